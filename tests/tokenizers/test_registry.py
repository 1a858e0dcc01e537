"""Tokenizers: whatever the text, it comes back; whatever the ids, both decoders agree."""

from __future__ import annotations

import json
import tracemalloc
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textseq import tokenizers
from textseq.config.tokenizer import TOKENIZER_OPTIONS, NormalizationName, TokenizerConfig, TokenizerName
from textseq.errors import TextseqError
from textseq.tokenizers.base import CHUNK, TOKENIZER_FILE, Tokenizer
from textseq.tokenizers.characters import ByteTokenizer, CharTokenizer
from textseq.tokenizers.registry import TOKENIZERS, load_tokenizer, tokenizer_from

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
    "<0x0><0xE2> <0xA> <0x41> <unk> <s>\n<0xA> <0xA>",  # text that looks like the names of tokens
)
REVERSIBLE = {kind: TokenizerConfig.from_dict({"tokenizer": kind}, where="here") for kind in TOKENIZERS} | {
    "word, all": TokenizerConfig(tokenizer="word", minimum_count=1),
    "word, few": TokenizerConfig(tokenizer="word", minimum_count=1, vocabulary_size=2),
    "word, spaces": TokenizerConfig(tokenizer="word", words="spaces", minimum_count=1),
    "word, merge": TokenizerConfig(tokenizer="word", punctuation="merge", minimum_count=1),
    "subword, few": TokenizerConfig(tokenizer="subword", vocabulary_size=600),
    "subword, bpe": TokenizerConfig(tokenizer="subword", subword_model="bpe"),
}
LOSSY = {
    "word, unknown": TokenizerConfig(tokenizer="word", rare_words="unknown"),
    "word, lowercase": TokenizerConfig(tokenizer="word", lowercase=True, minimum_count=1),
    "word, stem": TokenizerConfig(tokenizer="word", stem="english"),
    "word, drop": TokenizerConfig(tokenizer="word", punctuation="drop", words="spaces"),
}
ALL = REVERSIBLE | LOSSY
EVERY_KIND = pytest.mark.parametrize("kind", ALL)
EVERY_REVERSIBLE = pytest.mark.parametrize("kind", REVERSIBLE)
# Characters near those of the samples, so that seen and unseen ones mix, and any others.
TEXTS = st.one_of(st.text(), st.text(st.sampled_from(sorted(set("".join(SAMPLES))))), st.sampled_from(SAMPLES))


def train(kind: str, *documents: Iterable[str]) -> Tokenizer:
    """A tokenizer as an entry of ``ALL`` describes it."""
    return TOKENIZERS[ALL[kind].tokenizer].train(documents, ALL[kind])


def chunked(text: str, size: int) -> Iterator[str]:
    return (text[start : start + size] for start in range(0, len(text), size))


def streamed(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    stream = tokenizer.stream()
    return "".join([*(stream.feed(token) for token in ids), stream.finish()])


def test_table_and_settings_know_the_same_tokenizers() -> None:
    assert {kind: tokenizer.kind for kind, tokenizer in TOKENIZERS.items()} == {k: k for k in TOKENIZERS}
    assert set(get_args(TokenizerName)) == set(TOKENIZERS) == set(TOKENIZER_OPTIONS)


@EVERY_REVERSIBLE
@pytest.mark.parametrize("text", SAMPLES)
def test_samples_come_back_whatever_was_trained_on(kind: str, text: str) -> None:
    for training in (text, "To be", "", "Zażółć 道"):
        tokenizer = train(kind, training)
        ids = tokenizer.encode(text)
        assert ids.dtype == np.int64 and ids.ndim == 1
        assert tokenizer.decode(ids) == text
        assert tokenizer.decode(ids.tolist()) == text


@EVERY_REVERSIBLE
@given(training=TEXTS, text=TEXTS)
def test_every_text_comes_back(kind: str, training: str, text: str) -> None:
    tokenizer = train(kind, training)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert streamed(tokenizer, ids.tolist()) == text
    assert ((ids >= 0) & (ids < tokenizer.size)).all()


@EVERY_KIND
@given(training=TEXTS)
def test_fallback_is_for_unseen_text_only(kind: str, training: str) -> None:
    tokenizer = train(kind, training)
    used = {tokenizer.vocabulary[token] for token in tokenizer.encode(training).tolist()}
    fallback = {tokenizer.vocabulary[token] for token in tokenizer.fallback}
    assert used & fallback <= {"<unk>", " <unk>"}
    assert len(fallback) == len(tokenizer.fallback)


@EVERY_KIND
def test_what_training_used_is_no_fallback(kind: str) -> None:
    """All that spells and was never needed is fallback, so that a writer never meets a token without training."""
    text = "to be or not to be, that is the question:\n" * 3
    tokenizer = train(kind, text)
    characters = 0 if tokenizer.kind == "subword" else 1  # SentencePiece keeps every character as a piece
    spelling = {n for n, token in enumerate(tokenizer.vocabulary) if token[0] == "<" or len(token) == characters}
    if kind != "byte":
        assert spelling - {*tokenizer.encode(text).tolist()} <= {*tokenizer.fallback}
    assert tokenizer.encode("\n").tolist()[0] not in tokenizer.fallback


@EVERY_KIND
def test_reversible_or_it_says_what_is_lost(kind: str) -> None:
    tokenizer = train(kind, "To be, or not to be. " * 400)
    assert tokenizer.reversible == (kind in REVERSIBLE) == (not tokenizer.loses)
    notes = list(tokenizer.notes(ALL[kind]))
    assert any("not reversible" in note for note in notes) == (kind in LOSSY)
    assert all(lost in notes[0] for lost in tokenizer.loses)


@EVERY_KIND
@given(training=TEXTS)
def test_vocabulary_has_a_different_string_for_every_id(kind: str, training: str) -> None:
    tokenizer = train(kind, training)
    assert len(set(tokenizer.vocabulary)) == len(tokenizer.vocabulary) == tokenizer.size


@EVERY_KIND
@given(training=TEXTS, text=TEXTS, size=st.integers(1, 5))
def test_cutting_a_text_into_chunks_changes_nothing(kind: str, training: str, text: str, size: int) -> None:
    tokenizer = train(kind, chunked(training, size))
    assert tokenizer.fingerprint == train(kind, training).fingerprint
    whole = [token for ids in tokenizer.encode_chunks([text]) for token in ids]
    assert [token for ids in tokenizer.encode_chunks(chunked(text, size)) for token in ids] == whole
    assert tokenizer.encode(text).tolist() == whole


@EVERY_KIND
def test_long_chunks_are_encoded_whole(kind: str) -> None:
    text = ("To be, or not to bé. " * CHUNK)[: 2 * CHUNK + 1]
    tokenizer = train(kind, text)
    np.testing.assert_array_equal(np.concatenate(list(tokenizer.encode_chunks([text]))), tokenizer.encode(text))


@EVERY_KIND
@given(training=TEXTS, data=st.data())
def test_streaming_equals_decoding_for_any_ids(kind: str, training: str, data: st.DataObject) -> None:
    tokenizer = train(kind, training)
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


@EVERY_REVERSIBLE
def test_streams_of_one_tokenizer_are_independent(kind: str) -> None:
    tokenizer = train(kind, "abc")
    one, other = tokenizer.stream(), tokenizer.stream()
    shown = [(one.feed(token), other.feed(token)) for token in tokenizer.encode("a道c").tolist()]
    assert "".join(first for first, _ in shown) + one.finish() == "a道c"
    assert "".join(second for _, second in shown) + other.finish() == "a道c"


@EVERY_KIND
def test_lone_surrogates_are_refused(kind: str) -> None:
    tokenizer = train(kind, "abc")
    with pytest.raises(TextseqError, match=r"lone surrogate U\+DC80 at character 2, after 'ab'"):
        tokenizer.encode("ab\udc80c")


def test_lone_surrogates_are_refused_in_training() -> None:
    with pytest.raises(TextseqError, match=r"lone surrogate U\+D800 at character 0"):
        CharTokenizer.train(["\ud800"])


@EVERY_KIND
@pytest.mark.parametrize("wrong", [-1, None, 10**6, 2**63])
def test_ids_outside_the_vocabulary_are_refused(kind: str, wrong: int | None) -> None:
    tokenizer = train(kind, "abc")
    wrong = tokenizer.size if wrong is None else wrong
    with pytest.raises(TextseqError, match=rf"token id {wrong} is outside 0\.\.{tokenizer.size - 1}"):
        tokenizer.decode([wrong])
    with pytest.raises(TextseqError, match=rf"token id {wrong} is outside"):
        tokenizer.stream().feed(wrong)


@EVERY_KIND
def test_only_one_sequence_of_integers_is_decoded(kind: str) -> None:
    tokenizer = train(kind, "abc")
    with pytest.raises(TextseqError, match=r"one sequence of integers .* shape \(1, 2\)"):
        tokenizer.decode(np.zeros((1, 2), np.int64))
    with pytest.raises(TextseqError, match="got float64"):
        tokenizer.decode(np.zeros(2))  # type: ignore[arg-type]  # what a caller without mypy may do


@EVERY_KIND
@given(training=TEXTS, text=TEXTS)
def test_plain_data_and_back_encodes_alike(kind: str, training: str, text: str) -> None:
    tokenizer = train(kind, training)
    again = tokenizer_from(json.loads(json.dumps(tokenizer.to_json())))
    assert type(again) is type(tokenizer)
    assert (again.vocabulary, again.fallback) == (tokenizer.vocabulary, tokenizer.fallback)
    assert (again.loses, again.reversible) == (tokenizer.loses, tokenizer.reversible)
    assert again.fingerprint == tokenizer.fingerprint
    np.testing.assert_array_equal(again.encode(text), tokenizer.encode(text))


@EVERY_KIND
def test_saved_and_loaded(kind: str, tmp_path: Path) -> None:
    tokenizer = train(kind, *SAMPLES)
    tokenizer.save(tmp_path / "new" / "folder")
    again = load_tokenizer(tmp_path / "new" / "folder")
    assert (again.kind, again.vocabulary) == (ALL[kind].tokenizer, tokenizer.vocabulary)
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == [TOKENIZER_FILE]


def test_fingerprint_tells_tokenizers_apart() -> None:
    tokenizers = (CharTokenizer("ab"), CharTokenizer("abc"), CharTokenizer(""), ByteTokenizer())
    assert len({tokenizer.fingerprint for tokenizer in tokenizers}) == len(tokenizers)


def test_a_subclass_reads_only_its_own_kind() -> None:
    with pytest.raises(TextseqError, match="expected a char tokenizer, got a byte tokenizer"):
        CharTokenizer.from_json(ByteTokenizer().to_json())


@pytest.mark.parametrize("name", [option for options in TOKENIZER_OPTIONS.values() for option in options])
def test_options_are_refused_where_they_mean_nothing(name: str) -> None:
    values = {"vocabulary_size": 9, "minimum_count": 3, "rare_words": "unknown", "words": "spaces", "lowercase": True}
    value = (values | {"normalization": "text", "stem": "porter", "punctuation": "drop", "subword_model": "bpe"})[name]
    for kind, options in TOKENIZER_OPTIONS.items():
        settings = {"tokenizer": kind, name: value}
        if name in options:
            assert TokenizerConfig.from_dict(settings, where="here").to_dict()[name] == value
        else:
            flag = f"--{name.replace('_', '-')}"
            with pytest.raises(TextseqError, match=rf"{flag}: expected --tokenizer .*word, got --tokenizer {kind}; l"):
                TokenizerConfig.from_dict(settings, where="here")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is missing"),
        ("", "is damaged"),
        ('{"format":1,"kind":"char","charac', "is damaged"),
        ("[1]", "is damaged .*a list"),
        ("{}", "format None"),
        ('{"format":2,"kind":"char"}', "expected a tokenizer of format 1, got format 2"),
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


@pytest.mark.slow
@EVERY_KIND
def test_training_takes_bounded_memory(kind: str) -> None:
    chunk = "To be, or not to be: żółć. " * 4_000
    tracemalloc.start()
    try:
        train(kind, (chunk for _ in range(4)))
        _, small = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        train(kind, (chunk[:] + "!" for _ in range(12)))
        _, large = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert large < small + 8 * len(chunk)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(TextseqError, match=r"cannot write .*file"):
        ByteTokenizer().save(tmp_path / "file")


def test_the_public_names_are_what_can_be_imported() -> None:
    assert len(set(tokenizers.__all__)) == len(tokenizers.__all__)
    assert {type_.__name__ for type_ in TOKENIZERS.values()} <= {*tokenizers.__all__}
    assert all(hasattr(tokenizers, name) for name in tokenizers.__all__)


def test_amounts_are_aligned_with_the_text_of_their_tokens() -> None:
    tokenizer = ByteTokenizer()
    assert tokenizers.align_to_text(tokenizer, "aż!", [1, 2, 4, 8]) == [("a", 1), ("ż", 6), ("!", 8)]


@pytest.mark.parametrize("normalization", ["none", "text"])
@pytest.mark.parametrize(
    ("kind", "added"),
    [
        ("byte", ""),
        ("char", "4 characters"),
        ("word", "1 word, 4 characters"),
        ("subword", "4 characters spelled with bytes"),
    ],
)
def test_a_tokenizer_grows_by_the_tokens_of_another_text_and_loses_none(
    kind: TokenizerName, added: str, normalization: NormalizationName
) -> None:
    options = TokenizerConfig.from_dict({"tokenizer": kind, "normalization": normalization}, where="here")
    first, second = "the cat sat on the mat, the cat sat", "the żółty cat, żółty"
    old = TOKENIZERS[kind].train([[first]], options)
    given = unicodedata.normalize("NFD", second) if normalization == "text" else second
    new, phrase = old.extended([[given[:6], given[6:]]], options)
    assert phrase == added
    assert {*old.vocabulary} <= {*new.vocabulary} and new.normalization == normalization
    before, after = ([one.vocabulary[token] for token in one.encode(first)] for one in (old, new))
    assert before == after
    ids = new.encode(given)
    assert new.decode(ids) == second and not {*ids.tolist()} & {*new.fallback}
    again, nothing = new.extended([[given]], options)
    assert nothing == "" and again.fingerprint == new.fingerprint
    assert tokenizer_from(new.to_json()).fingerprint == new.fingerprint


def test_words_are_added_up_to_the_size_of_the_vocabulary() -> None:
    options = TokenizerConfig(tokenizer="word", minimum_count=1, vocabulary_size=4, rare_words="unknown")
    old = TOKENIZERS["word"].train([["a b c"]], options)
    new, phrase = old.extended([["a d d e f"]], options)
    assert phrase == "1 word (2 more are beyond --vocabulary-size)"
    assert {*new.vocabulary} - {*old.vocabulary} == {" d"}
    assert new.extended([["a g"]], options)[1] == "no words (1 more are beyond --vocabulary-size)"
