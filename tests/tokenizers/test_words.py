"""Words: what a word is, which are tokens, how others are spelled, and what each option does."""

from __future__ import annotations

import json
import unicodedata
import zipfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.stem.snowball import SnowballStemmer

from textseq.config.tokenizer import StemmerName, TokenizerConfig
from textseq.errors import TextseqError
from textseq.tokenizers import pretokenizer, words
from textseq.tokenizers.words import WordTokenizer, split_pretoken

UNITS = st.text(min_size=1, max_size=100).map(lambda text: "".join(text.split())).filter(bool)
MARKS = st.text(st.sampled_from("""ab1.,;:!?'"`’“”()[]-–—%$&*/@…n'tsé道🙂\u0301"""), min_size=1, max_size=12)


def options(**changes: object) -> TokenizerConfig:
    return TokenizerConfig.from_dict({"tokenizer": "word", "minimum_count": 1, **changes}, where="here")


def tokens(tokenizer: WordTokenizer, text: str) -> list[str]:
    return [tokenizer.vocabulary[token] for token in tokenizer.encode(text)]


def train(*documents: Iterable[str], **changes: object) -> WordTokenizer:
    return WordTokenizer.train(documents, options(**changes))


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("don't", "do n't"),
        ("don’t", "do n’t"),
        ("it's", "it 's"),
        ("cannot", "can not"),
        ("wander'd", "wander 'd"),
        ("well-known", "well-known"),
        ("3.14", "3.14"),
        ("$3,000.", "$ 3,000 ."),
        ('"Hello,"', '" Hello , "'),
        ("end.”", "end . ”"),
        ("(see``it'')", "( see `` it '' )"),
        ("what?!...", "what ? ! ..."),
        ("life—that", "life — that"),
        ("--well--", "-- well --"),
        ("道可道,非常道。", "道可道 , 非常道 。"),
        ("«Ну»…", "« Ну » …"),
        ("e\u0301tude", "e\u0301tude"),
        ("हिन्दी", "हिन्दी"),
    ],
)
def test_words_are_parted_as_nltk_does_whatever_the_script(word: str, parts: str) -> None:
    assert split_pretoken(options(), word) == parts.split()
    first, *rest = parts.split()
    assert split_pretoken(options(), " " + word) == [" " + first, *rest]
    assert split_pretoken(options(words="spaces"), " " + word) == [" " + word]


@given(unit=UNITS | MARKS, space=st.sampled_from(["", " "]))
def test_the_parts_are_the_unit(unit: str, space: str) -> None:
    for changes in ({}, {"punctuation": "merge"}, {"words": "spaces"}):
        parts = split_pretoken(options(**changes), space + unit)
        assert "".join(parts) == space + unit
        assert all(part.strip(" ") for part in parts)


def test_a_word_stays_whole_where_nltk_would_rewrite_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "_nltk_tokenize", lambda: lambda word: [word, "more"])
    assert split_pretoken(options(), " rewritten") == [" rewritten"]


@given(st.text(st.sampled_from("""ab1.,;:!?'"`’“”()[]-–—%$&*/@… \u00a0\n"""), max_size=30))
def test_the_words_of_a_sentence_are_its_characters_without_white_space(text: str) -> None:
    assert "".join(words.words_by_sentence(text)) == "".join(text.split())


def test_quotes_of_two_apostrophes_are_words() -> None:
    expected = ["He", "said", "''", "hello", "''", "to", "me", "."]
    assert words.words_by_sentence("He said ''hello'' to me.") == expected
    assert words.words_by_sentence("(''") == ["(", "''"]


def test_merged_and_dropped_marks() -> None:
    text = 'He said: "Why?!" (Well—"so"...) don\'t & 3.5% - "'
    merged, dropped = (train(text, punctuation=what) for what in ("merge", "drop"))
    assert tokens(merged, text) == [
        "He", " said", ":", ' "', "Why", '?!"', " (", "Well", '—"', "so", '"...)', " do", "n't", " &", " 3.5", "%",
        " -", ' "',
    ]  # fmt: skip
    assert tokens(dropped, text) == ["He", " said", " Why", " Well", " so", " do", "n't", " 3.5"]
    assert dropped.decode(dropped.encode(text)) == "He said Why Well so don't 3.5"
    assert dropped.decode(dropped.encode('"Oh!"\n- and,\n')) == "Oh\n and\n"
    assert dropped.encode("?!").tolist() == []


@given(text=st.text() | st.text(st.sampled_from("aB .!\n")))
def test_dropping_marks_leaves_the_rest(text: str) -> None:
    tokenizer = train(text, punctuation="drop", words="spaces")
    back = tokenizer.decode(tokenizer.encode(text))
    assert "".join(filter(str.isalnum, back)) == "".join(c for unit in text.split() for c in unit if c.isalnum())
    assert not back or "".join(back.split()) in "".join(text.split()) or len(text.split()) > 1


@given(text=st.text())
def test_lower_case_is_all_that_is_lost_by_it(text: str) -> None:
    tokenizer = train("to be", lowercase=True)
    back = tokenizer.decode(tokenizer.encode(text))
    assert tokenizer.decode(tokenizer.encode(back)) == back
    assert back.replace("ς", "σ") == text.lower().replace("ς", "σ")  # final only as a word's end, which units may cut


def test_the_stemmers_are_those_of_nltk() -> None:
    assert get_args(StemmerName) == ("none", *SnowballStemmer.languages)


@pytest.mark.parametrize("language", get_args(StemmerName)[1:])
@settings(max_examples=20)
@given(text=st.text() | st.text(st.characters(categories=["L", "M"])))
def test_every_stemmer_takes_every_text(language: str, text: str) -> None:
    tokenizer = train(text, stem=language)
    stream = tokenizer.stream()
    ids = tokenizer.encode(text).tolist()
    assert "".join([*map(stream.feed, ids), stream.finish()]) == tokenizer.decode(ids)
    assert not {*ids} & {*tokenizer.fallback}


def test_stems() -> None:
    tokenizer = train("Running, runs", stem="english")
    assert tokens(tokenizer, "Running, runs") == tokens(tokenizer, "runs, running") == ["run", ",", " run"]
    assert tokens(train(" любимых", stem="russian"), " любимый") == [" любим"]
    assert tokenizer.loses == ("case", "word endings")


def test_ids_are_white_space_then_words_by_frequency_then_characters_then_half_bytes() -> None:
    tokenizer = train("b a a c\nxyz a b\n", minimum_count=2)
    assert tokenizer.vocabulary == (
        "\n", " a", " ", "a", "b", "c", "x", "y", "z", *(f"<0x{half:X}>" for half in range(16)),
    )  # fmt: skip
    spelled = [tokenizer.vocabulary[token] for token in tokenizer.fallback]
    assert spelled == ["a", *tokenizer.vocabulary[-16:]], "only of characters that training never spelled"


def test_the_vocabulary_is_the_most_frequent_words_and_never_more() -> None:
    text = " one two two three three three four four four four\n"
    for size in range(1, 6):
        tokenizer = train(text, vocabulary_size=size)
        found = [token for token in tokenizer.vocabulary if token.startswith(" ") and len(token) > 1]
        assert found == [" four", " three", " two", " one"][:size]
        assert tokenizer.decode(tokenizer.encode(text + "five")) == text + "five"
    assert " one" not in train(text, minimum_count=2).vocabulary


def test_equal_counts_go_by_code_point_wherever_the_text_was_cut() -> None:
    assert train(" b a c").vocabulary[:3] == train(" c b a").vocabulary[:3] == (" a", " b", " c")


def test_text_that_looks_like_the_name_of_a_token_is_spelled() -> None:
    tokenizer = train("<0xA> <0xA> <unk>", words="spaces")
    assert len(set(tokenizer.vocabulary)) == tokenizer.size
    assert tokens(tokenizer, "<0xA> <unk>") == ["<", "0", "x", "A", ">", " <unk>"]


def test_unknown_words_lose_their_letters_but_not_their_space() -> None:
    tokenizer = train("to be or not to be", rare_words="unknown", minimum_count=2)
    assert tokenizer.vocabulary == (" be", "<unk>", " <unk>")
    assert tokens(tokenizer, "xor be,") == ["<unk>", " be", "<unk>"]
    assert tokens(tokenizer, "be or") == [" be", " <unk>"]  # known with a space alone, and so taken
    assert tokenizer.decode(tokenizer.encode("a be or")) == "<unk> be <unk>"
    assert {tokenizer.vocabulary[token] for token in tokenizer.fallback} == {"<unk>", " <unk>"}


def test_a_mark_is_known_with_and_without_a_space_before_it() -> None:
    apart = train(" do n't , do n't , good . good .", rare_words="unknown", minimum_count=2)
    assert tokens(apart, "don't, good.") == [" do", " n't", " ,", " good", " ."]
    joined = train(" don't, don't, good. good.", rare_words="unknown", minimum_count=2)
    assert tokens(joined, " do n't , good .") == [" do", "n't", ",", " good", "."]


def test_unk_in_the_text_is_the_unknown_word() -> None:
    """WikiText has it written out."""
    tokenizer = train(" the <unk> of\n", rare_words="unknown", words="spaces")
    assert tokenizer.encode(" <unk>").tolist() == tokenizer.encode(" zebra").tolist()
    assert len(set(tokenizer.vocabulary)) == tokenizer.size


@pytest.mark.parametrize("text", ["to be\nor not\n", " = A = \n \n to be \n"])
def test_a_line_s_end_is_the_first_token_of_a_text_with_lines(text: str) -> None:
    tokenizer = train(text, words="spaces")
    assert tokenizer.vocabulary[0] in {"\n", " \n"}
    assert 0 not in tokenizer.fallback
    start = tokenizer.encode("\n").tolist()
    assert start == [0] or start[0] in tokenizer.fallback, "what a writer begins with is known, or the first token"


def test_forgotten_units_can_be_spelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretokenizer, "MAX_PRETOKENS", 20)
    monkeypatch.setattr(pretokenizer, "_BLOCK", 5)
    text = "".join(f" the of{chr(0x400 + n)}!" for n in range(100))
    tokenizer = train(text, minimum_count=2)
    assert " the" in tokenizer.vocabulary
    assert not {*tokenizer.encode(text).tolist()} & {*tokenizer.fallback}


@pytest.mark.slow
def test_wikitext_has_the_published_number_of_tokens(data_file: Callable[[str], Path]) -> None:
    with zipfile.ZipFile(data_file("wikitext-2/wikitext2.zip")) as archive:
        text = archive.read("wikitext2/train.txt").decode()
    tokenizer = train(text, words="spaces", rare_words="unknown", vocabulary_size=500_000)
    assert sum(map(len, tokenizer.encode_chunks([text]))) == 2_088_628
    assert tokenizer.size - 1 == 33_278, "and one for <unk> without a space"
    test = data_file("wikitext-2/test.txt").read_text(encoding="utf-8")
    assert len(tokenizer.encode(test)) == 245_569


def damaged(**changes: object) -> dict[str, object]:
    return {key: value for key, value in {**train("to be").to_json(), **changes}.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"words": None}, "without its 'words'"),
        ({"words": ["to", 1]}, "without its 'words'"),
        ({"words": ["to", "to"]}, "must be different"),
        ({"words": ["<0x0>"]}, "must be different"),
        ({"words": ["\ud800"]}, "lone surrogate"),
        ({"characters": None}, "without its 'characters'"),
        ({"characters": "ba", "unused": ""}, "different and in ascending order"),
        ({"unused": None}, "without its 'unused'"),
        ({"unused": "ż"}, "unused characters of a word tokenizer must be among its characters"),
        ({"options": None}, "without its 'options'"),
        ({"options": {"stem": "klingon"}}, "unknown value of --stem 'klingon'"),
        ({"options": {"stemming": "english"}}, "unknown setting in a word tokenizer 'stemming'; did you mean 'stem'"),
    ],
)
def test_damaged_data_is_named(changes: dict[str, object], message: str) -> None:
    data = json.loads(json.dumps(damaged(**changes)))
    with pytest.raises(TextseqError, match=message):
        WordTokenizer.from_json(data)


def test_marks_of_every_script_are_set_apart() -> None:
    split = partial(split_pretoken, options())
    for code in range(0x80, 0x3100):
        mark = chr(code)
        if unicodedata.category(mark)[0] in "PS" and mark not in "’‐‑":
            assert split(f"a{mark}b") == ["a", mark, "b"], hex(code)


@pytest.mark.parametrize(("language", "word"), [("russian", "rzekł"), ("russian", "İstanbul"), ("arabic", "Zażółć")])
def test_a_stemmer_leaves_words_of_other_scripts_their_letters(language: StemmerName, word: str) -> None:
    assert split_pretoken(TokenizerConfig(tokenizer="word", stem=language), word) == [word.lower()]


def test_a_stemmer_takes_the_case_whatever_the_language() -> None:
    assert split_pretoken(TokenizerConfig(tokenizer="word", stem="russian"), " КНИГИ") == [" книг"]
