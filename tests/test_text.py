"""Tokenizers: whatever the text, it comes back; whatever the ids, both decoders agree."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textseq.config import TokenizerName
from textseq.errors import TextseqError
from textseq.text import (
    PIECE,
    TOKENIZER_FILE,
    TOKENIZERS,
    ByteTokenizer,
    CharTokenizer,
    Tokenizer,
    load_tokenizer,
)

SAMPLES = (
    "",
    "To be, or not to be",
    "Zażółć gęślą jaźń",  # Polish
    "Příliš žluťoučký kůň úpěl ďábelské ódy",  # Czech
    "Съешь же ещё этих мягких французских булок",  # Russian
    "道可道,非常道。𠀀𪚥",  # Chinese, the last two outside the basic plane
    "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽",  # emoji joined by ZWJ, with a variation selector and a skin tone
    "e\u0301 n\u0303 \u0301",  # combining marks, one of them with nothing to stand on
    "one\r\ntwo\rthree\n\ttab\0nul",
    "\ufeffwith a byte order mark\ufeff",
    "\ufffd\uffff\U0010ffff\x7f\x80\u0800\u2028",  # the replacement itself, non-characters, edges of UTF-8
    "<0x0><0xE2>",  # text that looks like the name of a token
)
EVERY_KIND = pytest.mark.parametrize("kind", TOKENIZERS)
# Characters near those of the samples, so that seen and unseen ones mix, and any others.
TEXTS = st.one_of(st.text(), st.text(st.sampled_from(sorted(set("".join(SAMPLES))))), st.sampled_from(SAMPLES))
UNHURRIED = settings(deadline=None, max_examples=60)


def chunked(text: str, size: int) -> Iterator[str]:
    return (text[start : start + size] for start in range(0, len(text), size))


def streamed(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    stream = tokenizer.stream()
    return "".join([*(stream.feed(token) for token in ids), stream.finish()])


def test_table_and_settings_know_the_same_tokenizers() -> None:
    assert {kind: tokenizer.kind for kind, tokenizer in TOKENIZERS.items()} == {k: k for k in TOKENIZERS}
    assert set(get_args(TokenizerName)) == set(TOKENIZERS)


@EVERY_KIND
@pytest.mark.parametrize("text", SAMPLES)
def test_samples_come_back_whatever_was_trained_on(kind: str, text: str) -> None:
    for training in (text, "To be", "", "Zażółć 道"):
        tokenizer = TOKENIZERS[kind].train([training])
        ids = tokenizer.encode(text)
        assert ids.dtype == np.int64 and ids.ndim == 1
        assert tokenizer.decode(ids) == text
        assert tokenizer.decode(ids.tolist()) == text


@EVERY_KIND
@UNHURRIED
@given(training=TEXTS, text=TEXTS)
def test_every_text_comes_back(kind: str, training: str, text: str) -> None:
    tokenizer = TOKENIZERS[kind].train([training])
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert streamed(tokenizer, ids.tolist()) == text
    assert ((ids >= 0) & (ids < tokenizer.size)).all()


@EVERY_KIND
@UNHURRIED
@given(training=TEXTS)
def test_fallback_is_for_unseen_text_only(kind: str, training: str) -> None:
    tokenizer = TOKENIZERS[kind].train([training])
    assert not set(tokenizer.encode(training).tolist()) & set(tokenizer.fallback)
    assert all(0 <= token < tokenizer.size for token in tokenizer.fallback)


@EVERY_KIND
@UNHURRIED
@given(training=TEXTS)
def test_vocabulary_has_a_different_string_for_every_id(kind: str, training: str) -> None:
    tokenizer = TOKENIZERS[kind].train([training])
    assert len(set(tokenizer.vocabulary)) == len(tokenizer.vocabulary) == tokenizer.size


@EVERY_KIND
@UNHURRIED
@given(training=TEXTS, text=TEXTS, size=st.integers(1, 5))
def test_cutting_a_text_into_chunks_changes_nothing(kind: str, training: str, text: str, size: int) -> None:
    tokenizer = TOKENIZERS[kind].train(chunked(training, size))
    assert tokenizer.fingerprint == TOKENIZERS[kind].train([training]).fingerprint
    whole = [token for ids in tokenizer.encode_chunks([text]) for token in ids]
    assert [token for ids in tokenizer.encode_chunks(chunked(text, size)) for token in ids] == whole
    assert tokenizer.encode(text).tolist() == whole


@EVERY_KIND
def test_long_chunks_are_encoded_whole(kind: str) -> None:
    text = ("To be, or not to bé. " * PIECE)[: 2 * PIECE + 1]
    tokenizer = TOKENIZERS[kind].train([text])
    np.testing.assert_array_equal(np.concatenate(list(tokenizer.encode_chunks([text]))), tokenizer.encode(text))


@pytest.mark.parametrize("kind", ["char", "byte"])
@UNHURRIED
@given(training=TEXTS, first=TEXTS, second=TEXTS)
def test_encoding_distributes_over_concatenation(kind: str, training: str, first: str, second: str) -> None:
    """The property that encoding a corpus chunk by chunk relies on."""
    tokenizer = TOKENIZERS[kind].train([training])
    joined = np.concatenate([tokenizer.encode(first), tokenizer.encode(second)])
    np.testing.assert_array_equal(tokenizer.encode(first + second), joined)


@EVERY_KIND
@UNHURRIED
@given(training=TEXTS, data=st.data())
def test_streaming_equals_decoding_for_any_ids(kind: str, training: str, data: st.DataObject) -> None:
    tokenizer = TOKENIZERS[kind].train([training])
    # Fallback ids are drawn as often as all others together, or malformed bytes would hardly ever come.
    tokens = st.integers(0, tokenizer.size - 1)
    if tokenizer.fallback:
        tokens |= st.sampled_from(tokenizer.fallback)
    ids = data.draw(st.lists(tokens, max_size=40))
    stream = tokenizer.stream()
    shown = ""
    for end, token in enumerate(ids, start=1):
        shown += stream.feed(token)
        assert tokenizer.decode(ids[:end]).startswith(shown)
    assert tokenizer.decode(ids).startswith(shown)
    assert shown + stream.finish() == tokenizer.decode(ids)


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


@EVERY_KIND
def test_streams_of_one_tokenizer_are_independent(kind: str) -> None:
    tokenizer = TOKENIZERS[kind].train(["abc"])
    one, other = tokenizer.stream(), tokenizer.stream()
    shown = [(one.feed(token), other.feed(token)) for token in tokenizer.encode("a道c").tolist()]
    assert "".join(first for first, _ in shown) + one.finish() == "a道c"
    assert "".join(second for _, second in shown) + other.finish() == "a道c"


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


@EVERY_KIND
def test_lone_surrogates_are_refused(kind: str) -> None:
    tokenizer = TOKENIZERS[kind].train(["abc"])
    with pytest.raises(TextseqError, match=r"lone surrogate U\+DC80 at character 2, after 'ab'"):
        tokenizer.encode("ab\udc80c")


def test_lone_surrogates_are_refused_in_training() -> None:
    with pytest.raises(TextseqError, match=r"lone surrogate U\+D800 at character 0"):
        CharTokenizer.train(["\ud800"])


@EVERY_KIND
@pytest.mark.parametrize("wrong", [-1, None, 10**6, 2**63])
def test_ids_outside_the_vocabulary_are_refused(kind: str, wrong: int | None) -> None:
    tokenizer = TOKENIZERS[kind].train(["abc"])
    wrong = tokenizer.size if wrong is None else wrong
    with pytest.raises(TextseqError, match=rf"token id {wrong} is outside 0\.\.{tokenizer.size - 1}"):
        tokenizer.decode([wrong])
    with pytest.raises(TextseqError, match=rf"token id {wrong} is outside"):
        tokenizer.stream().feed(wrong)


@EVERY_KIND
def test_only_one_sequence_of_integers_is_decoded(kind: str) -> None:
    tokenizer = TOKENIZERS[kind].train(["abc"])
    with pytest.raises(TextseqError, match=r"one sequence of integers .* shape \(1, 2\)"):
        tokenizer.decode(np.zeros((1, 2), np.int64))
    with pytest.raises(TextseqError, match="found float64"):
        tokenizer.decode(np.zeros(2))  # type: ignore[arg-type]  # what a caller without mypy may do


@EVERY_KIND
@UNHURRIED
@given(training=TEXTS, text=TEXTS)
def test_plain_data_and_back_encodes_alike(kind: str, training: str, text: str) -> None:
    tokenizer = TOKENIZERS[kind].train([training])
    again = Tokenizer.from_json(json.loads(json.dumps(tokenizer.to_json())))
    assert type(again) is type(tokenizer)
    assert (again.vocabulary, again.fallback) == (tokenizer.vocabulary, tokenizer.fallback)
    assert again.fingerprint == tokenizer.fingerprint
    np.testing.assert_array_equal(again.encode(text), tokenizer.encode(text))


@EVERY_KIND
def test_saved_and_loaded(kind: str, tmp_path: Path) -> None:
    tokenizer = TOKENIZERS[kind].train(SAMPLES)
    tokenizer.save(tmp_path / "new" / "folder")
    again = load_tokenizer(tmp_path / "new" / "folder")
    assert (again.kind, again.vocabulary) == (kind, tokenizer.vocabulary)
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == [TOKENIZER_FILE]


def test_fingerprint_tells_tokenizers_apart() -> None:
    tokenizers = (CharTokenizer("ab"), CharTokenizer("abc"), CharTokenizer(""), ByteTokenizer())
    assert len({tokenizer.fingerprint for tokenizer in tokenizers}) == len(tokenizers)


def test_a_subclass_reads_only_its_own_kind() -> None:
    with pytest.raises(TextseqError, match="wanted a char tokenizer, found a byte tokenizer"):
        CharTokenizer.from_json(ByteTokenizer().to_json())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is missing"),
        ("", "is damaged"),
        ('{"format":1,"kind":"char","charac', "is damaged"),
        ("[1]", "is damaged .*a list"),
        ("{}", "format None"),
        ('{"format":2,"kind":"char"}', "wanted a tokenizer of format 1, found format 2"),
        ('{"format":1}', "unknown tokenizer 'None'"),
        ('{"format":1,"kind":"chr"}', "unknown tokenizer 'chr'; did you mean 'char'"),
        ('{"format":1,"kind":"char"}', "without its 'characters'"),
        ('{"format":1,"kind":"char","characters":["a"]}', "without its 'characters'"),
        ('{"format":1,"kind":"char","characters":"ba"}', "different and in ascending order"),
        ('{"format":1,"kind":"char","characters":"aa"}', "different and in ascending order"),
        ('{"format":1,"kind":"char","characters":"\\ud800"}', "lone surrogate"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / TOKENIZER_FILE).write_text(content, encoding="utf-8")
    with pytest.raises(TextseqError, match=message) as caught:
        load_tokenizer(tmp_path)
    assert str(tmp_path / TOKENIZER_FILE) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_utf8_or_no_file_at_all_is_named(tmp_path: Path) -> None:
    (tmp_path / TOKENIZER_FILE).write_bytes(b"\xff\xfe{}")
    with pytest.raises(TextseqError, match=rf"{TOKENIZER_FILE} is damaged"):
        load_tokenizer(tmp_path)
    (tmp_path / "folder" / TOKENIZER_FILE).mkdir(parents=True)
    with pytest.raises(TextseqError, match=rf"cannot read .*{TOKENIZER_FILE}"):
        load_tokenizer(tmp_path / "folder")


@EVERY_KIND
def test_training_takes_bounded_memory(kind: str) -> None:
    chunk = "To be, or not to be: żółć. " * 10_000
    tracemalloc.start()
    try:
        TOKENIZERS[kind].train(chunk for _ in range(2))
        _, small = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        TOKENIZERS[kind].train(chunk[:] + "!" for _ in range(40))
        _, large = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert large < small + 4 * len(chunk)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(TextseqError, match=r"cannot write .*file"):
        ByteTokenizer().save(tmp_path / "file")
