"""Megabytes of UTF-8 per second that each tokenizer encodes on one core, as when a corpus is prepared for training.

The text is the training split of a corpus, in the chunks in which it is read. SentencePiece itself, with the same model
over the same text cut into lines, is measured beside our subword tokenizer. Goal: 50 MB/s for characters and bytes,
SentencePiece's own speed for subwords.

    TEXTSEQ_DATA=... python benchmarks/tokenizer_speed.py
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial

import sentencepiece
from conditions import print_conditions
from sides import in_turns
from table import Row, note

from textseq.config.tokenizer import TokenizerConfig
from textseq.data.text import load_corpus
from textseq.tokenizers.registry import TOKENIZERS
from textseq.tokenizers.subwords import SubwordTokenizer

CHUNK = 2**20
OWN = "SentencePiece itself"


def chunks(text: str) -> Iterator[str]:
    """The text as a file of it is read."""
    return (text[start : start + CHUNK] for start in range(0, len(text), CHUNK))


def speed_of(size: float, encode: Callable[[], object]) -> float:
    """Megabytes per second."""
    start = time.perf_counter()
    encode()
    return size / 1e6 / (time.perf_counter() - start)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", default="shakespeare")
    parser.add_argument("--vocabulary-size", type=int, default=8000, help="of words and subwords")
    parser.add_argument("--megabytes", type=float, default=16, help="of text that characters and bytes encode")
    parser.add_argument("--slow-megabytes", type=float, default=2, help="of text that words and subwords encode")
    parser.add_argument("--rounds", type=int, default=5)
    o = parser.parse_args()
    corpus = load_corpus(o.corpus)
    text = "".join(chunk for document in corpus.documents("train") for chunk in document)
    sides: dict[str, tuple[float, Callable[[], object]]] = {}
    for kind, tokenizer_class in TOKENIZERS.items():
        options = TokenizerConfig.from_dict({"tokenizer": kind, "vocabulary_size": o.vocabulary_size}, where="here")
        tokenizer = tokenizer_class.train([chunks(text)], options)
        size = 1e6 * (o.megabytes if kind in ("char", "byte") else o.slow_megabytes)
        long = text * max(1, -(-int(size) // len(text)))
        long = long[: int(size)]
        size = len(long.encode())
        sides[kind] = size, lambda tokenizer=tokenizer, long=long: sum(map(len, tokenizer.encode_chunks(chunks(long))))  # type: ignore[misc]
        if isinstance(tokenizer, SubwordTokenizer):
            processor = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.proto)
            lines = long.splitlines()
            sides[OWN] = size, lambda lines=lines, processor=processor: [processor.encode(line) for line in lines]  # type: ignore[misc]
    speeds = in_turns({name: partial(speed_of, *side) for name, side in sides.items()}, o.rounds)
    for name, values in speeds.items():
        speed = statistics.median(values)
        print(f"{name:<24}{speed:>8,.1f} MB/s   ({min(values):,.1f} to {max(values):,.1f})")
        if name in ("char", "byte"):
            note(Row(f"encoding text, {name} tokenizer, one core", speed, "MB/s", goal=50))
        elif name == "subword":
            ratio = statistics.median(ours / own for ours, own in zip(values, speeds[OWN], strict=True))
            note(Row("encoding text, subword tokenizer, over SentencePiece itself", speed, "MB/s", ratio, 1.0))
        elif name != OWN:
            note(Row(f"encoding text, {name} tokenizer, one core", speed, "MB/s"))
    print(f"{o.corpus}, vocabulary {o.vocabulary_size:,} of words and subwords")
    print_conditions()


if __name__ == "__main__":
    main()
