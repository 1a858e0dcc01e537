"""Measures of translations, over sacreBLEU: BLEU, chrF and TER, with how far chance could have moved them.

Translations and references are detokenised text, one reference for each sentence. Intervals and tests come from
bootstrap resampling with sacreBLEU's seed, which the signature states: the same translations give the same numbers.
Resampling takes about ``resamples`` x sentences x 80 bytes of memory.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from textseq.errors import TextseqError, unknown
from textseq.version import __version__

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric


TOKENIZERS: Mapping[str, bool] = {"13a": False, "intl": False, "zh": True, "char": True}
"""BLEU's tokenizers by name, and whether they are for languages that put no spaces between words.

"13a" is the standard; "intl" parts the marks of all scripts; "zh" is for Chinese, "char" for Japanese, Korean, Thai...
Of what sacreBLEU offers these need no further package and no download.
"""


@dataclass(frozen=True)
class TranslationScore:
    """How near translations come to their references, by one measure."""

    name: str
    """sacreBLEU's name of the measure: "BLEU", "chrF2", "TER"."""
    score: float
    """From 0 to 100, more is better; for TER the edits per 100 words of the reference, fewer are better."""
    interval: tuple[float, float]
    """95 % percentile interval of the bootstrap: 1 resample in 40 scores less, 1 in 40 more. sacreBLEU prints half its
    width behind a ±, of the same resamples."""
    signature: str
    """The recipe of the number."""

    def to_dict(self) -> dict[str, object]:
        """The number with its recipe, for a model's ``config.json``."""
        return {
            "signature": self.signature,
            "measure": self.name,
            "score": self.score,
            "interval_95": list(self.interval),
        }

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.name} {self.score:.2f} (95 % between {low:.2f} and {high:.2f})"


@dataclass(frozen=True)
class Comparison:
    """Whether one system translates otherwise than another, by one measure."""

    name: str
    """sacreBLEU's name of the measure."""
    baseline: float
    """The baseline's score."""
    system: float
    """The system's score."""
    p_value: float
    """How often chance alone would make a difference larger than this one; 1 where there is none."""
    signature: str
    """The recipe of the numbers."""

    @property
    def difference(self) -> float:
        """The system's score less the baseline's: above 0 is better, but for TER worse."""
        return self.system - self.baseline

    def to_dict(self) -> dict[str, object]:
        """The numbers with their recipe, for JSON."""
        return {
            "signature": self.signature,
            "measure": self.name,
            "baseline": self.baseline,
            "system": self.system,
            "difference": self.difference,
            "p_value": self.p_value,
        }

    def __str__(self) -> str:
        return f"{self.name} {self.baseline:.2f} -> {self.system:.2f} ({self.difference:+.2f}, p = {self.p_value:.3f})"


@dataclass(frozen=True)
class LengthBLEU:
    """BLEU of the translations of sources of about one length."""

    words: str
    """Range of words of the source: "≤5", "6–10", ">30"."""
    sentences: int
    """How many sources are so long."""
    bleu: float
    """Their BLEU."""


def bleu(translations: Sequence[str], references: Sequence[str], *, tokenize: str = "13a") -> float:
    """The BLEU alone, for a look during training: the score that ``measure_translations`` gives with its recipe.

    Raises:
        TextseqError: counts that differ, no sentence, what is no text, an unknown tokenizer.
    """
    _check(references, translations=translations)
    return _score(_bleu(_known(tokenize)), translations, references)


def measure_translations(
    translations: Sequence[str],
    references: Sequence[str],
    *,
    metrics: Sequence[str] = ("bleu", "chrf", "ter"),
    resamples: int = 1000,
    tokenize: str = "13a",
    how: str = "",
) -> list[TranslationScore]:
    """Measure translations, by each of ``metrics`` in their order.

    sacreBLEU's defaults: BLEU of up to 4 words, cased, smoothed "exp" (Papineni et al. 2002, Post 2018); chrF2 of up
    to 6 characters (Popović 2015); TER without case (Snover et al. 2006).

    Args:
        translations: detokenised; an empty one counts, as a bad one.
        references: one for each translation.
        metrics: keys of ``METRICS``.
        resamples: bootstrap resamples for the intervals, which reach over the middle 95 % of their scores: so no
            interval leaves what the measure can give.
        tokenize: BLEU's tokenizer, a key of ``TOKENIZERS``. With those for languages that put no spaces between
            words, TER counts characters of Chinese and Japanese as words.
        how: first fields of the signature, such as ``corpus:multi30k|split:test_2016_flickr|beam:5``.

    Raises:
        TextseqError: counts that differ, no sentence, what is no text, an unknown measure or tokenizer, too few
            resamples, a ``SACREBLEU_SEED`` that is no seed.
    """
    _check(references, translations=translations)
    from sacrebleu.significance import _bootstrap_resample

    measured = []
    for metric in _made(metrics, resamples, tokenize):
        # As corpus_score(n_bootstrap=resamples), which forgets the resamples.
        statistics = metric._extract_corpus_statistics(translations, [references])
        score = metric._aggregate_and_compute(statistics)
        metric.seed, resampled = _bootstrap_resample(statistics, metric, resamples)
        metric.n_bootstrap = resamples
        scores = sorted(float(one.score) for one in resampled)
        interval = scores[resamples // 40], scores[-1 - resamples // 40]
        signature = _joined(how, str(metric.get_signature()))
        measured.append(TranslationScore(score.name, float(score.score), interval, signature))
    return measured


def compare(
    baseline: Sequence[str],
    system: Sequence[str],
    references: Sequence[str],
    *,
    metrics: Sequence[str] = ("bleu", "chrf", "ter"),
    resamples: int = 1000,
    tokenize: str = "13a",
    how: str = "",
) -> list[Comparison]:
    """Test whether a system's scores differ from a baseline's by more than chance, by each of ``metrics``.

    Paired bootstrap resampling (Koehn 2004), as sacreBLEU does it: both are scored on the same resampled sentences.

    Args:
        baseline: its translations.
        system: the other's translations of the same sentences.
        references: one for each sentence, at least 2.
        metrics, resamples, tokenize, how: as for ``measure_translations``.

    Raises:
        TextseqError: as ``measure_translations``; a single sentence, from which nothing can be resampled.
    """
    _check(references, baseline=baseline, system=system)
    if len(references) < 2:
        raise TextseqError("comparing wants at least 2 sentences, found 1; give more of them")
    from sacrebleu.significance import PairedTest, Result

    named = [("baseline", baseline), ("system", system)]
    comparisons = []
    for metric in _made(metrics, resamples, tokenize):
        test = PairedTest(named, {"": metric}, [references], test_type="bs", n_samples=resamples)
        signatures, results = test()
        ((name, signature),) = signatures.items()
        first, second = (result for result in results[name] if isinstance(result, Result))
        # sacreBLEU counts the resamples that differ by more than the whole: for equal systems none, so "significant".
        p_value = 1.0 if first.score == second.score or second.p_value is None else second.p_value
        scores = float(first.score), float(second.score)
        comparisons.append(Comparison(name, *scores, float(p_value), _joined(how, str(signature))))
    return comparisons


def bleu_by_length(
    sources: Sequence[str],
    translations: Sequence[str],
    references: Sequence[str],
    *,
    edges: Sequence[int] = (5, 10, 15, 20, 30),
    least_share: float = 0.01,
    tokenize: str = "13a",
) -> list[LengthBLEU]:
    """The BLEU of short, longer and long sources, each range for itself; a range without sentences is left out.

    Where no translation of a range has 4 tokens, BLEU counts up to as many as there are; else it would be 0.

    Args:
        sources: the sentences that were translated; white space parts their words.
        translations: one for each source.
        references: one for each source.
        edges: the longest length, in words, of each range but the last, which is open; ascending.
        least_share: the shortest or longest range with a smaller share of the sentences is joined to the next one: a
            few sentences have any BLEU by chance.
        tokenize: BLEU's tokenizer, a key of ``TOKENIZERS``.

    Raises:
        TextseqError: as ``bleu``; edges that do not ascend from 1 or more.
    """
    _check(references, sources=sources, translations=translations)
    if not edges or edges[0] < 1 or any(low >= high for low, high in pairwise(edges)):
        raise TextseqError(f"edges wants ascending numbers of words from 1, found {list(edges)}; sort them")
    lengths = [len(source.split()) for source in sources]
    kept, few = list(edges), least_share * len(lengths)
    while len(kept) > 1 and sum(length <= kept[0] for length in lengths) < few:
        del kept[0]
    while len(kept) > 1 and sum(length > kept[-1] for length in lengths) < few:
        del kept[-1]
    edges = kept
    inner = [str(high) if low + 1 == high else f"{low + 1}–{high}" for low, high in pairwise(edges)]
    ranges = [f"≤{edges[0]}", *inner, f">{edges[-1]}"]
    members: list[list[int]] = [[] for _ in ranges]
    for place, length in enumerate(lengths):
        members[bisect_left(edges, length)].append(place)
    metric = _bleu(_known(tokenize), short=True)
    return [
        LengthBLEU(words, len(of), _score(metric, [translations[i] for i in of], [references[i] for i in of]))
        for words, of in zip(ranges, members, strict=True)
        if of
    ]


def _bleu(tokenize: str, *, short: bool = False) -> Metric:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(tokenize=tokenize, effective_order=short, force=True)  # force: no advice on stderr


def _chrf(tokenize: str) -> Metric:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF()


def _ter(tokenize: str) -> Metric:
    from sacrebleu.metrics.ter import TER

    return TER(normalized=TOKENIZERS[tokenize], asian_support=TOKENIZERS[tokenize])


METRICS: Mapping[str, Callable[[str], Metric]] = {"bleu": _bleu, "chrf": _chrf, "ter": _ter}
"""The measures by name: each makes sacreBLEU's, given BLEU's tokenizer."""


def _score(metric: Metric, translations: Sequence[str], references: Sequence[str]) -> float:
    return float(metric.corpus_score(translations, [references]).score)


def _made(metrics: Sequence[str], resamples: int, tokenize: str) -> list[Metric]:
    """The measures of these names, for so many resamples."""
    if resamples < 100:
        raise TextseqError(f"resamples wants at least 100 for an interval of 95 %, found {resamples}; give more")
    seed = os.environ.get("SACREBLEU_SEED", "12345")
    if not (seed.isdecimal() and int(seed)):  # sacreBLEU takes 0 for no seed
        raise TextseqError(f"SACREBLEU_SEED wants a whole number above 0, found '{seed}'; set it so, or unset it")
    for name in metrics:
        if name not in METRICS:
            raise unknown("measure", name, METRICS)
    _known(tokenize)
    return [METRICS[name](tokenize) for name in metrics]


def _joined(how: str, signature: str) -> str:
    """sacreBLEU's signature, which ends with its own version, between the caller's fields and ours."""
    return "|".join((*filter(None, [how]), signature, f"textseq:{__version__}"))


def _known(tokenize: str) -> str:
    if tokenize not in TOKENIZERS:
        raise unknown("tokenizer of BLEU", tokenize, TOKENIZERS)
    return tokenize


def _check(references: Sequence[str], **others: Sequence[str]) -> None:
    """Refuse what sacreBLEU would take for something else: it cuts to the shorter list, and leaves out None."""
    for name, sentences in {**others, "references": references}.items():
        if isinstance(sentences, str):
            raise TextseqError(f"{name} wants a list of sentences, found one text; put it in a list")
        for place, sentence in enumerate(sentences, start=1):
            if not isinstance(sentence, str):
                kind = type(sentence).__name__
                raise TextseqError(f"{name} wants texts, found {kind} as sentence {place}; an empty one is ''")
        if len(sentences) != len(references):
            raise TextseqError(
                f"{name} and references want as many sentences, found {len(sentences)} and {len(references)}; "
                "give one reference for each"
            )
    if not references:
        raise TextseqError("measuring wants at least 1 sentence, found none; give translations and their references")
