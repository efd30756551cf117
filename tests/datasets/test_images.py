"""The pictures are the official ones, read from a format that is checked; the network is a fake."""

from pathlib import Path

import numpy as np
import pytest

from bnnbook.datasets import fetching, images
from bnnbook.datasets.fetching import File, UnreachableError
from bnnbook.datasets.images import COLLECTIONS, balanced, load, parse
from bnnbook.datasets.registry import DataIntegrityError


def tiny(monkeypatch, tmp_path, sources=None):
    """A collection of five pictures, in a folder instead of on the web."""
    import hashlib

    rng = np.random.default_rng(1)
    folder, files = tmp_path / "source", []
    folder.mkdir()
    for part, n in (("train", 3), ("t10k", 2)):
        arrays = {
            f"{part}-images-idx3-ubyte": rng.integers(0, 256, (n, 28, 28)).astype(np.uint8),
            f"{part}-labels-idx1-ubyte": np.arange(n, dtype=np.uint8),
        }
        for name, array in arrays.items():
            content = images._idx(array)
            (folder / name).write_bytes(content)
            files.append(File(name, hashlib.sha256(content).hexdigest(), len(content)))
    where = (fetching.Folder(folder),) if sources is None else sources
    made = images.Collection(tuple(files), where, images.DIGITS, "free", "lecun1998")
    monkeypatch.setattr(images, "COLLECTIONS", {"mnist": made})
    monkeypatch.setenv("BNNBOOK_CACHE", str(tmp_path / "cache"))
    return folder


def test_splits_are_loaded_and_cannot_be_written_to(monkeypatch, tmp_path, capsys):
    tiny(monkeypatch, tmp_path)
    train, test = load("mnist", "train"), load("mnist", "test")
    assert (train.pixels.shape, test.pixels.shape) == ((3, 28, 28), (2, 28, 28))
    assert (len(train), len(test), train.labels.tolist()) == (3, 2, [0, 1, 2])
    assert train.licence == "free"
    for array in (train.pixels, train.labels):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    assert "fetching train-images" in capsys.readouterr().out
    load("mnist", "train")
    assert capsys.readouterr().out == ""


def test_no_source_is_one_clear_error(monkeypatch, tmp_path):
    tiny(monkeypatch, tmp_path, sources=())
    with pytest.raises(UnreachableError, match=r"no source gave train-images.*BNNBOOK_CACHE"):
        load("mnist", "train")


def test_pixels_are_scaled_to_one_with_an_axis_for_the_channel():
    found = images.scaled(np.array([[[0, 51], [204, 255]]], np.uint8))
    assert (found.shape, found.dtype) == ((1, 2, 2, 1), np.float32)
    np.testing.assert_allclose(found.ravel(), [0, 0.2, 0.8, 1], rtol=1e-6)


def test_the_pickles_pairs_become_the_official_files():
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 256, (5, 784))
    labels = np.array([3, 1, 4, 1, 5])
    parts = [(pixels[i] / np.float32(256), labels[i]) for i in (slice(0, 3), slice(3, 4), [4])]
    made = images._from_pickle(parts)
    train = parse("x", made["train-images-idx3-ubyte"])
    np.testing.assert_array_equal(train.reshape(4, 784), pixels[:4])
    np.testing.assert_array_equal(parse("y", made["t10k-labels-idx1-ubyte"]), labels[4:])
    with pytest.raises(fetching.SourceError, match="does not hold MNIST"):
        images._from_pickle([1, 2, 3])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must be an IDX file of bytes, got b'' first"),
        (b"<html>", "must be an IDX file of bytes"),
        (b"\0\0\x0d\1\0\0\0\1\0\0\0\0", "must be an IDX file of bytes"),  # of float32
        (b"\0\0\x08\1\0\0\0\2\0", "must have 10 bytes, got 9"),
        (b"\0\0\x08\1\0\0\0\1\0\0", "must have 9 bytes, got 10"),
        (b"\0\0\x08\3\0\0", "must be an IDX file of bytes"),
    ],
)
def test_files_of_another_form_are_refused(content, message):
    with pytest.raises(DataIntegrityError, match=message):
        parse("digits", content)


def test_small_sets_are_balanced():
    labels = np.array([1, 0, 0, 1, 1, 0], np.uint8)
    assert balanced(labels, 2).tolist() == [0, 1, 2, 3]
    assert balanced(labels, 1, first=2).tolist() == [4, 5]
    with pytest.raises(ValueError, match="num_each must be at most 3 for class 0, got 4"):
        balanced(labels, 4)


@pytest.mark.parametrize("call", [lambda: load("cifar"), lambda: load("mnist", "validation")])
def test_unknown_names_list_the_known_ones(call):
    with pytest.raises(ValueError, match=r"must be one of 'mnist', 'f|must be one of 'train', 'te"):
        call()


def test_citations_are_in_the_bibliography():
    text = (Path(__file__).parents[2] / "book" / "references.bib").read_text("utf8")
    for collection in COLLECTIONS.values():
        assert f"{{{collection.citation}," in text


def test_the_registry_says_how_long_the_official_files_are():
    for collection in COLLECTIONS.values():
        assert [f.size for f in collection.files] == [47_040_016, 60_008, 7_840_016, 10_008]
        assert len({f.sha256 for f in collection.files}) == 4


@pytest.mark.slow
@pytest.mark.parametrize("name", COLLECTIONS)
def test_the_real_pictures_are_the_official_ones(name, capsys):
    """Fetches them where they are not in the cache; skipped only where no source answers."""
    try:
        test = load(name, "test")
    except UnreachableError as error:
        pytest.skip(f"no source can be reached: {error}")
    assert test.pixels.shape == (10_000, 28, 28)
    assert np.bincount(test.labels).min() > 800
    # MNIST's background is empty; its first test picture is a seven.
    assert name != "mnist" or (test.labels[0], int(test.pixels[:, 0, 0].max())) == (7, 0)
