"""Characters and bytes: what is a token, and how the malformed bytes that a model may write are shown."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textseq.config.tokenizer import TokenizerConfig
from textseq.tokenizers.base import Tokenizer
from textseq.tokenizers.characters import MOST_CHARACTERS, ByteTokenizer, CharTokenizer


def streamed(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    stream = tokenizer.stream()
    return "".join([*(stream.feed(token) for token in ids), stream.finish()])


@pytest.mark.parametrize("kind", [CharTokenizer, ByteTokenizer])
@given(training=st.text(), first=st.text(), second=st.text())
def test_encoding_distributes_over_concatenation(kind: type[Tokenizer], training: str, first: str, second: str) -> None:
    """The property that encoding a corpus chunk by chunk relies on."""
    tokenizer = kind.train([training])
    joined = np.concatenate([tokenizer.encode(first), tokenizer.encode(second)])
    np.testing.assert_array_equal(tokenizer.encode(first + second), joined)


@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_streaming_equals_decoding_for_malformed_bytes(length: int) -> None:
    """Bytes from every class that the UTF-8 decoder tells apart, in every order."""
    corners = bytes.fromhex("41 80 90 a0 c2 e0 ed e2 f0 f4 ff")
    char, byte = CharTokenizer("A"), ByteTokenizer()
    for utf8 in product(corners, repeat=length):
        text = bytes(utf8).decode("utf-8", "replace")
        halves = [1 + half for value in utf8 for half in (value >> 4, value & 15)]
        assert byte.decode(utf8) == streamed(byte, utf8) == text
        assert char.decode(halves) == streamed(char, halves) == text


def test_a_lone_half_byte_becomes_one_replacement_character() -> None:
    tokenizer = CharTokenizer("ab")
    half = tokenizer.fallback[0xC]
    for ids, text in (
        ([half], "\ufffd"),
        ([0, half, 1], "a\ufffdb"),
        ([half, 0, half], "\ufffda\ufffd"),
        ([*tokenizer.encode("é"), half, 0], "é\ufffda"),
        ([*tokenizer.encode("é")[:2], half, 0], "\ufffd\ufffda"),
    ):
        assert tokenizer.decode(ids) == streamed(tokenizer, ids) == text


def test_stream_shows_a_character_with_its_last_token_and_starts_afresh_after_finish() -> None:
    for tokenizer in (ByteTokenizer(), CharTokenizer("a")):
        stream = tokenizer.stream()
        *first, last = tokenizer.encode("道").tolist()
        for _ in range(2):
            assert [stream.feed(token) for token in first] == [""] * len(first)
            assert stream.feed(last) == "道"
            assert stream.feed(first[0]) == ""
            assert stream.finish() == "\ufffd"


def test_char_ids_are_code_points_in_order_then_half_bytes() -> None:
    tokenizer = CharTokenizer.train(["hello, żółw"])
    assert tokenizer.vocabulary[:-16] == tuple(sorted(set("hello, żółw")))
    assert tokenizer.vocabulary[-16:] == tuple(f"<0x{half:X}>" for half in range(16))
    assert all(len(name) > 1 for name in tokenizer.vocabulary[-16:])
    assert [tokenizer.vocabulary[token] for token in tokenizer.encode("hé")] == [
        "h", "<0xC>", "<0x3>", "<0xA>", "<0x9>",
    ]  # fmt: skip


def test_unseen_characters_come_back_beside_a_large_vocabulary() -> None:
    tokenizer = CharTokenizer.train(["".join(map(chr, range(0x4E00, 0x4E00 + 300)))])
    ids = tokenizer.encode("a丁􏿿")
    assert ids.min() >= 0 and ids[:2].min() >= 300
    assert tokenizer.decode(ids) == streamed(tokenizer, ids.tolist()) == "a丁􏿿"


def test_byte_ids_are_the_bytes_of_utf8() -> None:
    assert ByteTokenizer().encode("é").tolist() == [0xC3, 0xA9]
    assert ByteTokenizer().vocabulary[0xC3] == "<0xC3>"


def test_rare_characters_of_a_text_with_very_many_are_spelled_and_may_be_generated() -> None:
    common = "".join(map(chr, range(0x4E00, 0x4E00 + MOST_CHARACTERS)))
    rare = "\U00020000\U00030000ab"
    tokenizer = CharTokenizer.train([[rare[:2], common, common, rare[2:]]])
    assert tokenizer.size == MOST_CHARACTERS + 16
    assert tokenizer.decode(tokenizer.encode(common[:9] + rare)) == common[:9] + rare
    assert tokenizer.fallback == ()
    assert any("rarest are spelled" in note for note in tokenizer.notes(TokenizerConfig()))
    again = CharTokenizer.from_json(tokenizer.to_json())
    assert again.fallback == () and again.encode(rare).tolist() == tokenizer.encode(rare).tolist()
    assert len(CharTokenizer.train([common]).fallback) == 16
