"""BLEU, chrF and TER are what their papers say; intervals and tests behave; each number has its recipe beside it."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from statistics import median

import numpy as np
import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU

from textseq.errors import TextseqError
from textseq.metrics.translation import (
    METRICS,
    TOKENIZERS,
    Comparison,
    TranslationScore,
    bleu,
    bleu_by_length,
    compare,
    measure_translations,
    with_all_references,
)
from textseq.version import __version__

WORDS = ["a", "big", "black", "cat", "dog", "eats", "fish", "in", "mat", "my", "on", "red", "sat", "sees", "the", "yes"]


def sentences(count: int, seed: int = 1, longest: int = 15) -> list[str]:
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=chance.randint(4, longest))) for _ in range(count)]


def damaged(texts: list[str], share: float, seed: int = 2) -> list[str]:
    """The texts with about this share of their words replaced."""
    chance = random.Random(seed)
    return [" ".join("wrong" if chance.random() < share else word for word in text.split()) for text in texts]


REFERENCES = sentences(120)
TRANSLATIONS = damaged(REFERENCES, 0.2)


def naive_bleu(translations: list[str], references: list[str]) -> float:
    """Papineni et al. 2002, equations 1 to 3, with zeros smoothed as NIST's script does; words stand between spaces."""
    log_precisions, halved = [], 1.0
    for n in range(1, 5):
        matched = total = 0
        for translation, reference in zip(translations, references, strict=True):
            grams, wanted = (
                Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
                for words in (translation.split(), reference.split())
            )
            matched += (grams & wanted).total()
            total += grams.total()
        if not matched:
            halved *= 2
        log_precisions.append(math.log((matched or 1 / halved) / total))
    length, wanted_length = (sum(len(text.split()) for text in texts) for texts in (translations, references))
    return 100 * min(1.0, math.exp(1 - wanted_length / length)) * math.exp(sum(log_precisions) / 4)


def test_bleu_by_hand() -> None:
    """Of "the cat sat on a mat" 5 of 6 words, 3 of 5 pairs, 2 of 4 triples and 1 of 3 fours are in the reference."""
    wanted = 100 * (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** (1 / 4)
    assert bleu(["the cat sat on a mat"], ["the cat sat on the mat"]) == pytest.approx(wanted)
    assert bleu(["the cat sat on"], ["the cat sat on the mat"]) == pytest.approx(100 * math.exp(1 - 6 / 4))
    clipped = 100 * (2 / 4 * 1 / (2 * 3) * 1 / (4 * 2) * 1 / (8 * 1)) ** (1 / 4)
    assert bleu(["the the the the"], ["the cat the dog"]) == pytest.approx(clipped)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.4, 0.8])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_bleu_is_the_papers(share: float, seed: int) -> None:
    references = sentences(20, seed)
    translations = [" ".join(text.split()[: 9 + seed]) for text in damaged(references, share)]
    assert bleu(translations, references) == pytest.approx(naive_bleu(translations, references))


def test_ter_by_hand() -> None:
    (found,) = measure_translations(
        ["the cat sat on a mat", "yes"], ["The cat sat on the mat", "yes sir"], metrics=["ter"]
    )
    assert found.score == pytest.approx(100 * 2 / 8)  # a word replaced, a word put in; case does not count


def test_the_perfect_and_the_hopeless() -> None:
    perfect = measure_translations(REFERENCES, REFERENCES, resamples=100)
    assert [found.score for found in perfect] == pytest.approx([100, 100, 0])
    assert [end for found in perfect for end in found.interval] == pytest.approx([100, 100, 100, 100, 0, 0])
    for nothing in ("", "Ω"):
        hopeless = measure_translations([nothing] * 120, REFERENCES, resamples=100)
        assert [found.score for found in hopeless] == pytest.approx([0, 0, 100])


def test_an_empty_translation_counts_as_a_bad_one() -> None:
    whole = measure_translations(TRANSLATIONS, REFERENCES, resamples=100)
    holed = measure_translations(["", *TRANSLATIONS[1:]], REFERENCES, resamples=100)
    for found, full in zip(holed, whole, strict=True):
        assert (found.score > full.score) if found.name == "TER" else (found.score < full.score)


def test_the_order_of_sentences_is_no_matter() -> None:
    places = random.Random(3).sample(range(120), k=120)
    shuffled = measure_translations([TRANSLATIONS[i] for i in places], [REFERENCES[i] for i in places], resamples=100)
    straight = measure_translations(TRANSLATIONS, REFERENCES, resamples=100)
    assert [found.score for found in shuffled] == pytest.approx([found.score for found in straight])
    assert bleu(TRANSLATIONS, REFERENCES[::-1]) < 20 < bleu(TRANSLATIONS, REFERENCES)


def test_measures_come_in_the_order_asked_for() -> None:
    found = measure_translations(TRANSLATIONS, REFERENCES, metrics=["ter", "bleu"], resamples=100)
    assert [measure.name for measure in found] == ["TER", "BLEU"]
    assert list(METRICS) == ["bleu", "chrf", "ter"]


def test_the_quick_bleu_is_the_measured_one() -> None:
    (found,) = measure_translations(TRANSLATIONS, REFERENCES, metrics=["bleu"], resamples=100)
    assert bleu(TRANSLATIONS, REFERENCES) == found.score


def test_intervals_hold_the_score_and_narrow_with_more_sentences() -> None:
    references = sentences(400)
    translations = damaged(references, 0.2)
    few = measure_translations(translations[:25], references[:25], resamples=300)
    many = measure_translations(translations, references, resamples=300)
    for found in (*few, *many):
        assert found.interval[0] < found.score < found.interval[1]
    for wide, narrow in zip(few, many, strict=True):  # 16 times the sentences: about a fourth as wide
        assert 2 < (wide.interval[1] - wide.interval[0]) / (narrow.interval[1] - narrow.interval[0]) < 8


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_intervals_of_few_sentences_hold_nothing_impossible(count: int) -> None:
    """A good and some bad translations: symmetric about the mean, an interval would leave 0 to 100."""
    references = sentences(count, longest=9)
    for translations in ([references[0], *["Ω"] * (count - 1)], [*references[:-1], "Ω"], references):
        for found in measure_translations(translations, references, resamples=200):
            low, high = found.interval
            assert -1e-6 <= low <= high and (found.name == "TER" or high <= 100 + 1e-6)
            assert low - 1e-4 <= found.score <= high + 1e-4


def test_intervals_are_the_middle_of_the_resamples() -> None:
    """TER of sentences of as many words is their mean, which can be resampled by hand."""
    references = ["a b c d e f g h i j"] * 40
    translations = [" ".join(["x"] * (n % 4) + references[0].split()[n % 4 :]) for n in range(40)]
    (found,) = measure_translations(translations, references, metrics=["ter"], resamples=400)
    drawn = np.random.default_rng(12345).choice(40, size=(400, 40))
    means = np.sort(10 * (drawn % 4).mean(axis=1))
    assert found.interval == pytest.approx((means[10], means[-11]), abs=1e-4)


def test_the_numbers_are_sacrebleus_own() -> None:
    metric = BLEU()
    wanted = metric.corpus_score(TRANSLATIONS, [REFERENCES], n_bootstrap=200)
    (found,) = measure_translations(TRANSLATIONS, REFERENCES, metrics=["bleu"], resamples=200)
    low, high = found.interval
    told = wanted.format(width=4, score_only=True)  # score (μ = mean ± half the width)
    assert told.startswith(f"{found.score:.4f} (") and told.endswith(f" ± {(high - low) / 2:.4f})")
    assert found.signature == f"{metric.get_signature()}|textseq:{__version__}"


def test_several_references_are_sacrebleus_own() -> None:
    """Two of the first half of the sentences, one of the others."""
    others = damaged(REFERENCES, 0.5, seed=3)
    several = [
        (one, other) if place < 60 else (one,)
        for place, (one, other) in enumerate(zip(REFERENCES, others, strict=True))
    ]
    streams = [REFERENCES, [other if place < 60 else None for place, other in enumerate(others)]]
    expected = [
        sacrebleu.corpus_bleu(TRANSLATIONS, streams),  # type: ignore[arg-type]
        sacrebleu.corpus_chrf(TRANSLATIONS, streams),  # type: ignore[arg-type]
        sacrebleu.corpus_ter(TRANSLATIONS, streams),  # type: ignore[arg-type]
    ]
    scores = measure_translations(TRANSLATIONS, several, resamples=100)
    assert [score.score for score in scores] == pytest.approx([score.score for score in expected])
    assert all("nrefs:var|" in score.signature for score in scores)
    assert scores[0].score > bleu(TRANSLATIONS, REFERENCES)
    assert bleu(TRANSLATIONS, several) == pytest.approx(scores[0].score)
    assert compare(others, TRANSLATIONS, several, metrics=["bleu"])[0].system == pytest.approx(scores[0].score)
    (part,) = bleu_by_length(REFERENCES, TRANSLATIONS, several, edges=(100,))
    assert part.bleu == pytest.approx(scores[0].score)


def test_one_reference_each_is_the_same_in_a_tuple() -> None:
    assert measure_translations(TRANSLATIONS, [(one,) for one in REFERENCES]) == measure_translations(
        TRANSLATIONS, REFERENCES
    )


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"))))
def test_all_references_of_a_source_come_together(pairs: list[tuple[str, str]]) -> None:
    grouped = with_all_references(pairs)
    assert [source for source, _ in grouped] == list(dict.fromkeys(source for source, _ in pairs))
    assert {(source, target) for source, several in grouped for target in several} == set(pairs)
    assert sum(len(several) for _, several in grouped) == len(set(pairs))


def test_the_same_translations_give_the_same_numbers() -> None:
    once, again = (measure_translations(TRANSLATIONS, REFERENCES, resamples=100) for _ in range(2))
    assert once == again


def test_signature_is_the_recipe_of_the_number() -> None:
    setup = "corpus:multi30k|split:test|beam:5"
    found = measure_translations(TRANSLATIONS, REFERENCES, resamples=100, setup=setup)
    ends = f"|version:{sacrebleu.__version__}|textseq:{__version__}"
    wanted = [
        f"{setup}|nrefs:1|bs:100|seed:12345|case:mixed|eff:no|tok:13a|smooth:exp{ends}",
        f"{setup}|nrefs:1|bs:100|seed:12345|case:mixed|eff:yes|nc:6|nw:0|space:no{ends}",
        f"{setup}|nrefs:1|bs:100|seed:12345|case:lc|tok:tercom|norm:no|punct:yes|asian:no{ends}",
    ]
    assert [measure.signature for measure in found] == wanted
    compared = compare(TRANSLATIONS, REFERENCES, REFERENCES, resamples=100, setup=setup)
    assert [measure.signature for measure in compared] == wanted


def test_the_seed_is_sacrebleus(monkeypatch: pytest.MonkeyPatch) -> None:
    (usual,) = measure_translations(TRANSLATIONS, REFERENCES, metrics=["bleu"], resamples=100)
    monkeypatch.setenv("SACREBLEU_SEED", "7")
    (other,) = measure_translations(TRANSLATIONS, REFERENCES, metrics=["bleu"], resamples=100)
    assert other.score == usual.score and other.interval != usual.interval and "|seed:7|" in other.signature
    for wrong in ("none", "0", "-1", "abc", ""):
        monkeypatch.setenv("SACREBLEU_SEED", wrong)
        with pytest.raises(TextseqError, match=f"SACREBLEU_SEED: expected an integer above 0, got '{wrong}'; change"):
            measure_translations(TRANSLATIONS, REFERENCES)


@pytest.mark.parametrize("tokenize", TOKENIZERS)
def test_tokenizers(tokenize: str) -> None:
    """Where words have no spaces between them, a translation with one character wrong is not all wrong."""
    found = measure_translations(
        ["他昨天在图书馆看书"], ["我昨天在图书馆看书"], metrics=["bleu", "ter"], tokenize=tokenize
    )
    assert f"|tok:{tokenize}|" in found[0].signature
    assert ("|asian:yes|" in found[1].signature) == TOKENIZERS[tokenize]
    by_character = [100 * (8 / 9 * 7 / 8 * 6 / 7 * 5 / 6) ** (1 / 4), 100 / 9]
    assert [measure.score for measure in found] == pytest.approx(by_character if TOKENIZERS[tokenize] else [0, 100])
    assert bleu(["我昨天在"], ["我昨天在"], tokenize=tokenize) == pytest.approx(100 if TOKENIZERS[tokenize] else 0)


def test_a_system_does_not_differ_from_itself() -> None:
    for found in compare(TRANSLATIONS, list(TRANSLATIONS), REFERENCES, resamples=100):
        assert (found.difference, found.p_value) == (0, 1)


def test_a_worse_system_is_significantly_worse() -> None:
    for found in compare(TRANSLATIONS, damaged(REFERENCES, 0.4), REFERENCES, resamples=300):
        assert (found.difference > 5) if found.name == "TER" else (found.difference < -5)
        assert found.p_value < 0.01


def test_equally_good_systems_seldom_differ_significantly() -> None:
    p_values = []
    for seed in range(10, 19):
        (found,) = compare(TRANSLATIONS, damaged(REFERENCES, 0.2, seed), REFERENCES, metrics=["bleu"], resamples=100)
        assert found.difference != 0
        p_values.append(found.p_value)
    assert median(p_values) > 0.1


def test_a_comparison_turned_round() -> None:
    worse = damaged(REFERENCES, 0.25, seed=5)
    there, back = compare(TRANSLATIONS, worse, REFERENCES), compare(worse, TRANSLATIONS, REFERENCES)
    for one, other in zip(there, back, strict=True):
        assert (one.baseline, one.system, one.p_value) == (other.system, other.baseline, other.p_value)
        assert one.difference == -other.difference
    measured = measure_translations(TRANSLATIONS, REFERENCES, resamples=100)
    assert [one.baseline for one in there] == [found.score for found in measured]


def test_bleu_by_length_is_the_bleu_of_each_part() -> None:
    sources = sentences(120, seed=6, longest=40)
    parts = bleu_by_length(sources, TRANSLATIONS, REFERENCES, edges=(6, 7, 20))
    assert [part.words for part in parts] == ["≤6", "7", "8–20", ">20"]
    bounds = [(0, 6), (7, 7), (8, 20), (21, 99)]
    for part, (low, high) in zip(parts, bounds, strict=True):
        chosen = [i for i, source in enumerate(sources) if low <= len(source.split()) <= high]
        assert part.sentences == len(chosen)
        assert part.bleu == bleu([TRANSLATIONS[i] for i in chosen], [REFERENCES[i] for i in chosen])
    (one,) = bleu_by_length(sources, TRANSLATIONS, REFERENCES, edges=(1000,))
    assert (one.sentences, one.bleu) == (120, bleu(TRANSLATIONS, REFERENCES))


def test_a_few_short_or_long_sentences_are_joined_to_the_next() -> None:
    sources = ["a", *["a b c"] * 98, "a b c d e f g h i"]
    texts = (sources, ["x"] * 100, ["x"] * 100)
    assert [(part.words, part.sentences) for part in bleu_by_length(*texts, edges=(2, 3, 4, 5))] == [
        ("≤2", 1), ("3", 98), (">5", 1),
    ]  # fmt: skip
    assert [(part.words, part.sentences) for part in bleu_by_length(*texts, edges=(2, 3, 4, 5), least_share=0.02)] == [
        ("≤3", 99), (">3", 1),
    ]  # fmt: skip


def test_short_sentences_can_be_perfect_too() -> None:
    """Without a run of four words the usual BLEU is 0."""
    assert bleu(["Yes.", "No!"], ["Yes.", "No!"]) == 0
    (part,) = bleu_by_length(["Oui.", ""], ["Yes.", "No!"], ["Yes.", "No!"])
    assert (part.words, part.sentences) == ("≤5", 2)
    assert part.bleu == pytest.approx(100)


@pytest.mark.parametrize("edges", [(), (0, 5), (5, 5), (9, 5)])
def test_edges_that_are_none(edges: tuple[int, ...]) -> None:
    with pytest.raises(TextseqError, match="edges: expected ascending numbers of words from 1, got"):
        bleu_by_length(["a"], ["a"], ["a"], edges=edges)


CALLS: dict[str, Callable[[list[str], list[str]], object]] = {
    "bleu": bleu,
    "measure": measure_translations,
    "compare": lambda translations, references: compare(translations, translations, references),
    "by_length": lambda translations, references: bleu_by_length(references, translations, references),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_what_cannot_be_measured(call: Callable[[object, object], object]) -> None:
    with pytest.raises(TextseqError, match=r"expected as many .* as references, got 1 and 2; give one"):
        call(["a"], ["a", "b"])
    with pytest.raises(TextseqError, match="expected at least 1 sentence, got none; give"):
        call([], [])
    with pytest.raises(TextseqError, match=": expected strings, got NoneType as sentence 2; an empty one is ''"):
        call(["a", None], ["a", "b"])
    with pytest.raises(TextseqError, match=r"(references|sources): expected strings, got int as sentence 1"):
        call(["a"], [3])
    with pytest.raises(TextseqError, match="expected a list of sentences, got one text; put it in a list"):
        call("a cat", "a cat")


def test_names_and_numbers_that_are_wrong() -> None:
    with pytest.raises(TextseqError, match="unknown metric 'bleurt'; did you mean 'bleu'"):
        measure_translations(["a"], ["a"], metrics=["bleurt"])
    for call in (bleu, measure_translations):
        with pytest.raises(TextseqError, match="unknown tokenizer of BLEU '13'; did you mean '13a'"):
            call(["a"], ["a"], tokenize="13")
    with pytest.raises(TextseqError, match="resamples: expected at least 100 for a 95 % interval, got 99"):
        measure_translations(["a"], ["a"], resamples=99)
    with pytest.raises(TextseqError, match="comparing: expected at least 2 sentences, got 1; give more"):
        compare(["a"], ["b"], ["a"])
    with pytest.raises(TextseqError, match="references: expected at least 1 for sentence 2, got none; give one"):
        bleu(["a", "b"], [["a"], []])
    with pytest.raises(TextseqError, match="translations: expected strings, got tuple as sentence 1"):
        both = [("a", "b")]
        bleu(both, both)  # type: ignore[arg-type]
    with pytest.raises(TextseqError, match="references: expected strings, got NoneType as sentence 1"):
        bleu(["a"], [["a", None]])  # type: ignore[list-item]


def test_how_they_are_told() -> None:
    measured = TranslationScore("BLEU", 31.004, (29.5, 32.256), "x")
    assert str(measured) == "BLEU 31.00 (95 % between 29.50 and 32.26)"
    wanted = {"signature": "x", "measure": "BLEU", "score": 31.004, "interval_95": [29.5, 32.256]}
    assert json.loads(json.dumps(measured.to_dict())) == wanted
    compared = Comparison("TER", 50.0, 47.5, 0.0123, "x")
    assert str(compared) == "TER 50.00 -> 47.50 (-2.50, p = 0.012)"
    assert compared.to_dict() == {"measure": "TER", "difference": -2.5, **without(asdict(compared), "name")}


def without(table: dict[str, object], key: str) -> dict[str, object]:
    return {other: value for other, value in table.items() if other != key}


def test_numbers_are_plain_and_fit_json() -> None:
    for found in measure_translations(TRANSLATIONS, REFERENCES, resamples=100):
        assert TranslationScore(**asdict(found)) == found and json.dumps(found.to_dict())
    for compared in compare(TRANSLATIONS, REFERENCES, REFERENCES, resamples=100):
        assert json.dumps(compared.to_dict())


def test_importing_is_light() -> None:
    code = (
        "import sys, textseq.metrics.translation, textseq.tasks.translation.plots\n"
        "assert not {'sacrebleu', 'matplotlib', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
