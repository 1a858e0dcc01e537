"""What every opened corpus shares: its splits, encoding checks and fingerprint."""

from __future__ import annotations

import codecs
import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace

from textseq.data.corpora.catalog import CorpusRecipe
from textseq.data.corpora.download import LocalFile
from textseq.data.corpora.text_formats import CorpusDocument, members
from textseq.errors import TextseqError
from textseq.io.documents import Document

SPLITS = ("train", "validation", "test")


def check_share(validation: float, usual: float = 0.1) -> None:
    """Raise a TextseqError if so much cannot be kept for validation."""
    if not 0 <= validation <= 0.5:
        raise TextseqError(f"validation must be a share between 0 and 0.5, not {validation}; {usual} is usual")


def check_encoding(encoding: str) -> None:
    """Raises a TextseqError for what is none of Python's text encodings."""
    try:
        codecs.getincrementaldecoder(encoding)
        "a".encode(encoding)  # refuses codecs that are not of text, such as hex
    except (LookupError, ValueError) as error:
        raise TextseqError(f"unknown encoding '{encoding}'; usual are utf-8, latin-1, cp1252") from error


def documents_of(recipe: CorpusRecipe, local: Mapping[str, LocalFile]) -> dict[str, Document]:
    """The documents of a recipe by name: a file's own name or, of an archive, the members' names."""
    documents: dict[str, Document] = {}
    for name, file in local.items():
        whole = CorpusDocument(file.path, recipe.encoding, format=recipe.formats.get(name, recipe.format))
        if name in recipe.members:
            found = members(file.path, recipe.members[name])
            documents |= {member: replace(whole, member=member) for member in found}
        else:
            documents[name] = whole
    return documents


def fingerprint_of(*decides: object) -> str:
    """The hex SHA-256 of plain data."""
    return hashlib.sha256(json.dumps(decides).encode()).hexdigest()
