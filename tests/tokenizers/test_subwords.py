"""Subwords: SentencePiece's pieces, made from counts, with every text coming back."""

from __future__ import annotations

import base64
import json
import math
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor

from textseq.config.tokenizer import TokenizerConfig
from textseq.errors import TextseqError
from textseq.tokenizers import subwords
from textseq.tokenizers.subwords import SEGMENTATIONS, SubwordTokenizer

TEXT = "the then there other mother brother bothers them in the hut\n" * 20
NUMBERS = " ".join(str(n * n) for n in range(2000))
EVERY_MODEL = pytest.mark.parametrize("model", ["unigram", "bpe"])


def train(*documents: str, model: str = "unigram", size: int = 8000) -> SubwordTokenizer:
    options = {"tokenizer": "subword", "subword_model": model, "vocabulary_size": size}
    return SubwordTokenizer.train(documents, TokenizerConfig.from_dict(options, where="here"))


def tokens(tokenizer: SubwordTokenizer, text: str) -> list[str]:
    return [tokenizer.vocabulary[token] for token in tokenizer.encode(text)]


@EVERY_MODEL
@pytest.mark.parametrize("size", [270, 300, 500])
def test_the_vocabulary_is_as_large_as_asked_for(model: str, size: int) -> None:
    tokenizer = train(NUMBERS, model=model, size=size)
    assert tokenizer.size == size
    assert tokenizer.vocabulary[-256:] == tuple(f"<0x{byte:02X}>" for byte in range(256))
    assert list(tokenizer.notes(TokenizerConfig(tokenizer="subword", vocabulary_size=size))) == []
    assert {" ", *"0123456789"} < set(tokenizer.vocabulary)


@EVERY_MODEL
def test_a_small_text_gives_what_it_can_and_says_so(model: str) -> None:
    for text in ("", " ", "a", "\n", "▁", "▅", "\0", "\x1f", "\t"):
        tokenizer = train(text, model=model)
        assert tokenizer.decode(tokenizer.encode(text + "aé")) == text + "aé"
        [note] = tokenizer.notes(TokenizerConfig(tokenizer="subword"))
        assert note == f"the text gives {tokenizer.size} subwords, fewer than the 8000 requested"


def test_a_vocabulary_that_is_too_small_is_refused_with_the_size_it_needs() -> None:
    with pytest.raises(TextseqError, match=r"--vocabulary-size: expected at least (\d+) .*, got 100") as caught:
        train(TEXT, size=100)
    needed = int(str(caught.value).split("at least ")[1].split()[0])
    assert train(TEXT, size=needed).size == needed
    with pytest.raises(TextseqError, match=f"at least {needed}"):
        train(TEXT, size=needed - 1)


@EVERY_MODEL
def test_pieces_are_what_sentencepiece_finds_in_the_whole_text(model: str) -> None:
    """Units change nothing: no piece reaches over one."""
    tokenizer = train(TEXT, model=model, size=290)
    plain = SentencePieceProcessor(model_proto=base64.b64decode(str(tokenizer.to_json()["model"])))
    line = "the other brother hut, them the  in then é mother"
    found = [piece.replace("▁", " ") for piece in plain.encode(line, out_type=str)]
    assert tokens(tokenizer, line) == found


@EVERY_MODEL
def test_no_piece_reaches_over_white_space(model: str) -> None:
    tokenizer = train("in the in the in the\tin the\nin the" * 50, model=model)
    assert not [piece for piece in tokenizer.vocabulary if len(piece) > 1 and piece[1:].strip() != piece[1:]]


def test_the_mark_that_sentencepiece_writes_spaces_as_is_a_character_like_others() -> None:
    tokenizer = train(" a ▁b▁ " * 9)
    assert tokens(tokenizer, "▁") == ["<0xE2>", "<0x96>", "<0x81>"]
    for text in ("▁", " ▁", "▁ ", " a▁ ▁▁b\n▁", "\u2581the"):
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert not any("▁" in token for token in tokenizer.vocabulary)


@EVERY_MODEL
def test_bytes_and_the_space_are_fallback_where_training_had_no_use_for_them(model: str) -> None:
    rare = "道" + "ab" * 5000  # so rare that it is no piece of its own
    tokenizer = train(rare, model=model)
    assert tokens(tokenizer, "道") == ["<0xE9>", "<0x81>", "<0x93>"]
    assert {tokenizer.vocabulary[token] for token in tokenizer.fallback} == (
        {" ", *(f"<0x{byte:02X}>" for byte in range(256))} - {"<0xE9>", "<0x81>", "<0x93>"}
    )


@pytest.mark.slow
def test_every_code_point_comes_back() -> None:
    tokenizer = train(TEXT)
    for start in range(0, 0x110000, 0x8000):
        text = "".join(chr(code) for code in range(start, start + 0x8000) if not 0xD800 <= code < 0xE000)
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_training_gives_the_same_model_in_another_process() -> None:
    code = (
        "from textseq.tokenizers.subwords import SubwordTokenizer as S\n"
        "from textseq.config.tokenizer import TokenizerConfig as C\n"
        f"for model in ('unigram', 'bpe'): print(S.train([{TEXT!r}], C(tokenizer='subword', subword_model=model, "
        "vocabulary_size=300)).fingerprint)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == "", "quiet"
    assert done.stdout.split() == [train(TEXT, model=model, size=300).fingerprint for model in ("unigram", "bpe")]


def test_a_character_of_several_bytes_is_shown_with_its_last() -> None:
    tokenizer = train(TEXT)
    stream = tokenizer.stream()
    *first, last = tokenizer.encode("道").tolist()
    assert [stream.feed(token) for token in first] == ["", ""]
    assert stream.feed(last) == "道"
    the = tokenizer.encode(" the").tolist()
    assert [stream.feed(first[0]), stream.feed(the[0])] == ["", "\ufffd" + tokenizer.vocabulary[the[0]]]


def pieces(tokenizer: SubwordTokenizer, ids: Iterable[int]) -> tuple[str, ...]:
    return tuple(tokenizer.vocabulary[token] for token in ids)


def every_way(tokenizer: SubwordTokenizer, word: str) -> dict[tuple[str, ...], float]:
    """All cuts of a word into pieces, and their log-probabilities: sums of the pieces' scores."""
    model = SentencePieceProcessor(model_proto=base64.b64decode(str(tokenizer.to_json()["model"])))
    score = {model.id_to_piece(n).replace("▁", " "): model.get_score(n) for n in range(257, model.get_piece_size())}
    ways: dict[tuple[str, ...], float] = {}

    def extend(found: tuple[str, ...], rest: str) -> None:
        if not rest:
            ways[found] = sum(score[piece] for piece in found)
        for end in range(1, len(rest) + 1):
            if rest[:end] in score:
                extend((*found, rest[:end]), rest[end:])

    extend((), word)
    return ways


@pytest.mark.parametrize("alpha", [0.1, 0.5, 1.0])
def test_a_word_is_cut_as_often_as_its_probability_to_the_alpha(alpha: float) -> None:
    """Kudo (2018), section 3.3."""
    tokenizer, word, draws = train(NUMBERS, size=400), " 1444", 3000
    weights = {way: math.exp(alpha * score) for way, score in every_way(tokenizer, word).items()}
    assert 5 < len(weights) <= SEGMENTATIONS, "all of them"
    ids, rng = tokenizer.encode(word), np.random.default_rng(1)
    found = Counter(pieces(tokenizer, tokenizer.resampled(ids, alpha, rng)) for _ in range(draws))
    assert found.keys() <= weights.keys()
    for way, weight in weights.items():
        p = weight / sum(weights.values())
        assert abs(found[way] / draws - p) < 4 * math.sqrt(p / draws), way


def test_a_long_word_is_cut_in_its_likeliest_ways_alone() -> None:
    tokenizer, word = train(NUMBERS, size=400), " 14441444"
    ways = every_way(tokenizer, word)
    least = sorted(ways.values(), reverse=True)[SEGMENTATIONS - 1]
    assert len(ways) > 2 * SEGMENTATIONS
    ids, rng = tokenizer.encode(word), np.random.default_rng(1)
    found = {pieces(tokenizer, tokenizer.resampled(ids, 0.01, rng)) for _ in range(500)}
    assert len(found) == SEGMENTATIONS and min(ways[way] for way in found) > least - 1e-4


def test_little_chance_leaves_the_best_way() -> None:
    tokenizer = train(TEXT, size=290)
    ids = tokenizer.encode("the other brother,\tin then 道 é▁ mother\n" * 20)
    assert np.array_equal(tokenizer.resampled(ids, 50.0, np.random.default_rng(1)), ids)
    assert not np.array_equal(tokenizer.resampled(ids, 0.5, np.random.default_rng(1)), ids)


@settings(max_examples=60)
@given(text=st.text(max_size=40) | st.text(" thenbro▁道\n\t", max_size=40), alpha=st.sampled_from([0.1, 0.5, 1.0]))
def test_resampled_tokens_are_the_same_text_and_depend_on_chance_alone(text: str, alpha: float) -> None:
    fresh = SubwordTokenizer.from_json(WELL_TRAINED.to_json())
    ids = fresh.encode(text)
    first, second = (each.resampled(ids, alpha, np.random.default_rng(7)) for each in (fresh, WELL_TRAINED))
    assert fresh.decode(first) == text and first.dtype == ids.dtype
    assert np.array_equal(first, second)


def test_words_that_were_cut_before_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subwords, "_CACHE_SIZE", 3)
    tokenizer = train(TEXT, size=290)
    for number in range(20):
        ids = tokenizer.encode(f" the{number} then")
        assert tokenizer.decode(tokenizer.resampled(ids, 0.2, np.random.default_rng(number))) == f" the{number} then"
        assert len(tokenizer._segmentations) <= 3 + 2


WELL_TRAINED = train(TEXT, size=290)
DATA = train(TEXT).to_json()
MODEL = base64.b64decode(str(DATA["model"]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": None}, "without its 'model'"),
        ({"model": ""}, "model of a subword tokenizer is damaged"),
        ({"model": "é"}, "model of a subword tokenizer is damaged"),
        ({"model": "AAA"}, "model of a subword tokenizer is damaged"),
        ({"model": base64.b64encode(MODEL[:-100]).decode()}, "model of a subword tokenizer is damaged"),
        ({"model": base64.b64encode(MODEL[100:]).decode()}, "model of a subword tokenizer is damaged"),
        ({"unused": None}, "without its 'unused' tokens"),
        ({"unused": "a"}, "without its 'unused' tokens"),
        ({"unused": ["a"]}, "without its 'unused' tokens"),
        ({"unused": [["a"]]}, "without its 'unused' tokens"),
    ],
)
def test_damaged_data_is_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(TextseqError, match=message) as caught:
        SubwordTokenizer.from_json({**json.loads(json.dumps(DATA)), **changes})
    assert "\n" not in str(caught.value)


@settings(max_examples=200)
@given(at=st.integers(0, len(MODEL) - 1), byte=st.integers(0, 255))
def test_a_spoilt_byte_is_refused_or_harmless(at: int, byte: int) -> None:
    spoilt = base64.b64encode(MODEL[:at] + bytes((byte,)) + MODEL[at + 1 :]).decode()
    try:
        tokenizer = SubwordTokenizer.from_json({**DATA, "model": spoilt})
    except TextseqError:
        return
    assert tokenizer.size == len(set(tokenizer.vocabulary))
    assert isinstance(tokenizer.decode(tokenizer.encode("in the hut")), str)
