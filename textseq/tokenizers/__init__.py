"""Tokenizers: text to token ids and back.

Example:
    >>> from pathlib import Path
    >>> from textseq.config.tokenizer import TokenizerConfig
    >>> tokenizer = SubwordTokenizer.train([["some text"]], TokenizerConfig(tokenizer="subword", vocabulary_size=300))
    >>> ids = tokenizer.encode("some text")
    >>> tokenizer.decode(ids)
    'some text'
    >>> tokenizer.save(Path("folder"))
    >>> load_tokenizer(Path("folder")).decode(ids)
    'some text'
"""

from __future__ import annotations

from textseq.tokenizers.base import StreamDecoder, Tokenizer, align_to_text
from textseq.tokenizers.characters import ByteTokenizer, CharTokenizer
from textseq.tokenizers.registry import TOKENIZERS, load_tokenizer, tokenizer_from
from textseq.tokenizers.sentences import split_sentences
from textseq.tokenizers.subwords import SubwordTokenizer
from textseq.tokenizers.words import WordTokenizer

__all__ = [
    "TOKENIZERS",
    "ByteTokenizer",
    "CharTokenizer",
    "StreamDecoder",
    "SubwordTokenizer",
    "Tokenizer",
    "WordTokenizer",
    "align_to_text",
    "load_tokenizer",
    "split_sentences",
    "tokenizer_from",
]
