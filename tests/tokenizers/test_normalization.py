"""Normalization: look-alikes are the same tokens, chunks do not matter, and spans point into the text as given."""

from __future__ import annotations

import unicodedata
from itertools import pairwise
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textseq.config.tokenizer import NormalizationName, TokenizerConfig, TokenizerName
from textseq.errors import TextseqError
from textseq.tokenizers import align_to_text, load_tokenizer
from textseq.tokenizers.base import Tokenizer
from textseq.tokenizers.normalization import _attaches, character_spans, normalize, normalize_chunks
from textseq.tokenizers.registry import TOKENIZERS, tokenizer_from

NAMES = get_args(NormalizationName)

LOOK_ALIKES = "ab \r\n'.é…ﬁ“”’\u00a0\u200b\u200c\u200d\u0301\u0316\u0327\u00ad\ufeff\u1100\u1161\u11a8각"
LOOK_ALIKES += "शक\u094d\u09c7\u09be😀\u2000İ"

TEXTS = st.text(st.sampled_from(LOOK_ALIKES) | st.characters(exclude_categories=["Cs"]), max_size=20)

LESSON = ["Isn't it \"fine\"? Wait... the café - he said: İ fin, «voilà»!\nIt is fine, isn't it? A café."]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("isn’t ‘it’ “so”", "isn't 'it' \"so\""),
        ("cafe\u0301", "café"),
        ("10\u00a0km\u202f!\u3000a\u2009b", "10 km ! a b"),
        ("co\u00adoper\u200bate\ufeff \u200ehi\u202c", "cooperate hi"),
        ("ﬁne aﬄuent", "fine affluent"),
        ("wait…", "wait..."),
        ("well\u2011known", "well-known"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("« Ça » – 5′", "« Ça » – 5′"),
        ("می\u200cخواهم 👩\u200d👧", "می\u200cخواهم 👩\u200d👧"),
        ("wo\u200dr\u200cd", "word"),
    ],
)
def test_text_normalization_makes_look_alikes_one_character(given: str, expected: str) -> None:
    assert normalize(given, "text") == expected


def test_lines_changes_line_ends_only_and_none_changes_nothing() -> None:
    assert normalize("a\r\nb\r’\u00a0", "lines") == "a\nb\n’\u00a0"
    assert normalize("a\r\nb\r’\u00a0", "none") == "a\r\nb\r’\u00a0"


@pytest.mark.parametrize("name", NAMES)
@given(text=TEXTS, cuts=st.tuples(st.integers(0, 20), st.integers(0, 20)))
def test_normalization_is_idempotent_and_chunks_do_not_matter(
    name: NormalizationName, text: str, cuts: tuple[int, int]
) -> None:
    once = normalize(text, name)
    assert normalize(once, name) == once
    first, second = sorted(cuts)
    assert "".join(normalize_chunks([text[:first], text[first:second], text[second:]], name)) == once
    spans = character_spans(text, name)
    assert len(spans) == len(once)
    if spans:
        assert spans[0][0] == 0 and spans[-1][1] == len(text)
        assert all(one == two or one[1] == two[0] for one, two in pairwise(spans))


def test_every_character_that_composes_with_those_before_it_is_known_to() -> None:
    later = {mark for code in range(0x110000) for mark in unicodedata.normalize("NFD", chr(code))[1:]}
    assert [hex(ord(mark)) for mark in later if not _attaches(mark)] == []


def test_long_runs_of_marks_take_no_quadratic_time() -> None:
    assert len(normalize("a" + "\u0301\u0316" * 200_000, "text")) == 400_000


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "options",
    [{"tokenizer": kind} for kind in get_args(TokenizerName)]
    + [
        {"tokenizer": "word", "rare_words": "unknown", "lowercase": True},
        {"tokenizer": "word", "lowercase": True},
        {"tokenizer": "word", "stem": "german"},
        {"tokenizer": "word", "lowercase": True, "stem": "english", "punctuation": "merge"},
        {"tokenizer": "word", "minimum_count": 1, "punctuation": "drop", "words": "spaces"},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_spans_cover_the_text_as_given(name: NormalizationName, options: dict[str, object]) -> None:
    sizes = {"vocabulary_size": 320} if options["tokenizer"] == "subword" else {}
    config = TokenizerConfig.from_dict({**options, **sizes, "normalization": name}, where="here")
    tokenizer = TOKENIZERS[config.tokenizer].train([LESSON], config)

    @given(
        TEXTS
        | st.sampled_from(
            [
                "Isn’t it ﬁne… “café”?",
                " caf\u0065\u0301, (so): «a»…!",
                "a İİ, İ",
                "Spaß ist Spaß",
                "\ufeffIt\u00a0is\u200b",
            ]
        )
    )
    def check(text: str) -> None:
        ids, spans = tokenizer.encode(text), tokenizer.spans(text)
        assert len(spans) == len(ids)
        if spans:
            assert spans[0][0] == 0 and spans[-1][1] == len(text)
            assert all(start < end for start, end in spans)
            assert all(a[0] <= b[0] <= a[1] <= b[1] for a, b in pairwise(spans))
            segments = align_to_text(tokenizer, text, [1.0] * len(ids))
            assert "".join(part for part, _ in segments) == text
            assert sum(amount for _, amount in segments) == len(ids)

    check()


def test_letters_that_a_stem_has_more_belong_to_its_word() -> None:
    config = TokenizerConfig(tokenizer="word", stem="german", minimum_count=1)
    tokenizer = TOKENIZERS["word"].train([["sap ist gut"]], config)
    read = [tokenizer.vocabulary[token] for token in tokenizer.encode("Spaß ist gut")]
    assert read == ["s", "p", "a", "s", "s", " ist", " gut"]
    segments = align_to_text(tokenizer, "Spaß ist gut", [1, 2, 4, 8, 16, 32, 64])
    assert segments == [("S", 1), ("p", 2), ("a", 4), ("ß", 24), (" ist", 32), (" gut", 64)]


@pytest.mark.parametrize("kind", get_args(TokenizerName))
def test_a_tokenizer_keeps_its_normalization_and_applies_it_to_text_and_chunks(tmp_path: Path, kind: str) -> None:
    sizes = {"vocabulary_size": 320} if kind == "subword" else {}
    plain, typographic = "Isn't it fine... a café?", "Isn’t it\u00a0ﬁne… a cafe\u0301?"

    def train(name: str) -> Tokenizer:
        config = TokenizerConfig.from_dict({"tokenizer": kind, "normalization": name, **sizes}, where="here")
        return TOKENIZERS[config.tokenizer].train([LESSON, [plain]], config)

    tokenizer, lossless = train("text"), train("none")
    tokenizer.save(tmp_path)
    for one in (tokenizer, load_tokenizer(tmp_path)):
        assert one.encode(typographic).tolist() == one.encode(plain).tolist()
        chunks = one.encode_chunks(typographic)
        assert [token for ids in chunks for token in ids.tolist()] == one.encode(plain).tolist()
        assert one.normalization == "text" and one.signature.endswith("-norm-text")
    assert lossless.decode(lossless.encode(typographic)) == typographic
    assert "norm" not in lossless.signature
    assert "normalization" not in lossless.to_json()  # as it was stored before there was normalization
    with pytest.raises(TextseqError, match="unknown normalization 'nfkc'"):
        tokenizer_from({**tokenizer.to_json(), "normalization": "nfkc"})
