"""The tokenizers by name, and loading of any of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from textseq.errors import TextseqError, unknown
from textseq.io.files import json_of, read_text
from textseq.tokenizers.base import LARGEST_FILE, TOKENIZER_FILE, TOKENIZER_FORMAT, Tokenizer
from textseq.tokenizers.characters import ByteTokenizer, CharTokenizer
from textseq.tokenizers.subwords import SubwordTokenizer
from textseq.tokenizers.words import WordTokenizer

TOKENIZERS: dict[str, type[Tokenizer]] = {
    "char": CharTokenizer,
    "byte": ByteTokenizer,
    "word": WordTokenizer,
    "subword": SubwordTokenizer,
}


def tokenizer_from(data: Mapping[str, object]) -> Tokenizer:
    """The tokenizer from ``to_json``'s data.

    Raises:
        TextseqError: the data is damaged, of an unknown kind, or of a newer format.
    """
    kind = str(data.get("kind"))
    if kind not in TOKENIZERS and data.get("format") == TOKENIZER_FORMAT:
        raise unknown("tokenizer", kind, TOKENIZERS)
    return TOKENIZERS.get(kind, CharTokenizer).from_json(data)


def load_tokenizer(folder: Path, name: str = TOKENIZER_FILE) -> Tokenizer:
    """Load the tokenizer that ``save`` wrote into a folder.

    Raises:
        TextseqError: ``tokenizer.json`` is missing, damaged, of an unknown kind or of a newer format.
    """
    path = folder / name
    try:
        data = json_of(read_text(path, LARGEST_FILE))
        if not isinstance(data, dict):
            raise ValueError(f"a {type(data).__name__}, not a table")
    except FileNotFoundError:
        raise TextseqError(f"{path} is missing; give a folder that holds a trained tokenizer") from None
    except OSError as error:
        raise TextseqError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise TextseqError(f"{path} is damaged ({error}); restore it or train again") from error
    try:
        return tokenizer_from(data)
    except TextseqError as error:
        raise TextseqError(f"{path}: {error}") from error
