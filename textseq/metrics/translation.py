"""Translation metrics by sacreBLEU: BLEU, chrF and TER, with bootstrap intervals and significance tests.

Translations and references are detokenized text, one reference per sentence or several. The resampling has a fixed
seed, which the signature states. It takes about ``resamples`` x sentences x 80 bytes of memory.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from typing import TYPE_CHECKING, TypeAlias, cast

from textseq.errors import TextseqError, unknown
from textseq.io.colored_text import html_lines
from textseq.metrics.signature import RESAMPLES, SEED, signature_of

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric

References: TypeAlias = Sequence[str] | Sequence[Sequence[str]]
"""For each sentence one reference, or several."""

TOKENIZERS: Mapping[str, bool] = {"13a": False, "intl": False, "zh": True, "char": True}
"""BLEU's tokenizers by name, and whether they are for languages without spaces between words.

"13a" is the standard; "intl" splits off the punctuation of all scripts; "zh" is for Chinese, "char" for Japanese,
Korean, Thai... sacreBLEU's others need further packages or downloads.
"""


@dataclass(frozen=True)
class TranslationScore:
    """A corpus-level score of translations by one metric."""

    name: str
    """sacreBLEU's name of the metric: "BLEU", "chrF2", "TER"."""
    score: float
    """From 0 to 100, higher is better; TER: edits per 100 reference words, lower is better."""
    interval: tuple[float, float]
    """95 % percentile interval of the bootstrap; sacreBLEU prints half its width after ±, from the same resamples."""
    signature: str

    def to_dict(self) -> dict[str, object]:
        """The number with its signature, for a model's ``config.json``."""
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
class TranslationMetrics:
    """Translations and their scores."""

    scores: tuple[TranslationScore, ...]
    translations: tuple[str, ...]

    @property
    def signature(self) -> str:
        """Signatures of the scores, one per line."""
        return "\n".join(score.signature for score in self.scores)

    def to_dict(self) -> dict[str, object]:
        """The scores, for JSON."""
        return {"scores": [score.to_dict() for score in self.scores]}

    def _repr_html_(self) -> str:
        return html_lines(str(self), self.signature)

    def __str__(self) -> str:
        return "\n".join(map(str, self.scores))


@dataclass(frozen=True)
class Comparison:
    """Comparison of two systems by one metric."""

    name: str
    """sacreBLEU's name of the metric."""
    baseline: float
    system: float
    p_value: float
    """Probability of a larger difference under the null hypothesis; 1 for equal scores."""
    signature: str

    @property
    def difference(self) -> float:
        """The system's score minus the baseline's: above 0 is better, for TER worse."""
        return self.system - self.baseline

    def to_dict(self) -> dict[str, object]:
        """The numbers with their signature, for JSON."""
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
    """BLEU of the translations of sources in one range of lengths."""

    words: str
    """Range of words of the source: "≤5", "6–10", ">30"."""
    sentences: int
    bleu: float


def with_all_references(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, tuple[str, ...]]]:
    """Each different source once, in the order of the first, with all its different targets.

    Example:
        >>> with_all_references([("Hi.", "Salut."), ("No.", "Non."), ("Hi.", "Bonjour.")])
        [('Hi.', ('Salut.', 'Bonjour.')), ('No.', ('Non.',))]
    """
    targets: dict[str, dict[str, None]] = {}
    for source, target in pairs:
        targets.setdefault(source, {})[target] = None
    return [(source, tuple(several)) for source, several in targets.items()]


def bleu(translations: Sequence[str], references: References, *, tokenize: str = "13a") -> float:
    """The BLEU alone, for evaluations in training: the same score as from ``measure_translations``.

    Raises:
        TextseqError: different numbers of sentences, none, one that is not a string, an unknown tokenizer.
    """
    _check(references, translations=translations)
    return _score(_bleu(_known(tokenize)), translations, references)


def measure_translations(
    translations: Sequence[str],
    references: References,
    *,
    metrics: Sequence[str] = ("bleu", "chrf", "ter"),
    resamples: int = RESAMPLES,
    tokenize: str = "13a",
    setup: str = "",
) -> list[TranslationScore]:
    """Score translations by each of ``metrics``, in their order.

    sacreBLEU's defaults: BLEU of up to 4 words, cased, smoothed "exp" (Papineni et al. 2002, Post 2018); chrF2 of up
    to 6 characters (Popović 2015); TER without case (Snover et al. 2006).

    Args:
        translations: detokenized; empty ones count.
        references: for each translation one, or a sequence of several. With several, n-grams of any of them count, and
            chrF and TER take the nearest; the signature says ``nrefs:var`` if not all have as many.
        metrics: keys of ``METRICS``.
        resamples: bootstrap resamples for the intervals.
        tokenize: BLEU's tokenizer, a key of ``TOKENIZERS``. With those for languages without spaces between words,
            TER counts Chinese and Japanese characters as words.
        setup: first fields of the signature, such as ``corpus:multi30k|split:test_2016_flickr|beam:5``.

    Raises:
        TextseqError: different numbers of sentences, no sentence, one without a reference, a sentence that is not a
            string, an unknown metric or tokenizer, too few resamples, an invalid ``SACREBLEU_SEED``.
    """
    _check(references, translations=translations)
    from sacrebleu.significance import _bootstrap_resample

    results = []
    for metric in _metrics(metrics, resamples, tokenize):
        # Like corpus_score(n_bootstrap=resamples), which does not return the resamples.
        statistics = metric._extract_corpus_statistics(translations, _streams(references))
        score = metric._aggregate_and_compute(statistics)
        metric.seed, resampled = _bootstrap_resample(statistics, metric, resamples)
        metric.n_bootstrap = resamples
        scores = sorted(float(sample.score) for sample in resampled)
        interval = scores[resamples // 40], scores[-1 - resamples // 40]
        signature = signature_of(setup, str(metric.get_signature()))
        results.append(TranslationScore(score.name, float(score.score), interval, signature))
    return results


def compare(
    baseline: Sequence[str],
    system: Sequence[str],
    references: References,
    *,
    metrics: Sequence[str] = ("bleu", "chrf", "ter"),
    resamples: int = RESAMPLES,
    tokenize: str = "13a",
    setup: str = "",
) -> list[Comparison]:
    """Test whether a system's scores differ significantly from a baseline's, by each of ``metrics``.

    Paired bootstrap resampling (Koehn 2004) by sacreBLEU: both are scored on the same resampled sentences.

    Args:
        baseline: translations of the baseline.
        system: the system's translations of the same sentences.
        references: of each sentence, at least 2 sentences; see ``measure_translations``.
        metrics, resamples, tokenize, setup: as for ``measure_translations``.

    Raises:
        TextseqError: as ``measure_translations``; a single sentence.
    """
    _check(references, baseline=baseline, system=system)
    if len(references) < 2:
        raise TextseqError("comparing: expected at least 2 sentences, got 1; give more")
    from sacrebleu.significance import PairedTest, Result

    named = [("baseline", baseline), ("system", system)]
    comparisons = []
    for metric in _metrics(metrics, resamples, tokenize):
        test = PairedTest(named, {"": metric}, _streams(references), test_type="bs", n_samples=resamples)
        signatures, results = test()
        ((name, signature),) = signatures.items()
        first, second = (result for result in results[name] if isinstance(result, Result))
        # sacreBLEU counts the resamples that differ by more than the total: for equal systems none, so "significant".
        p_value = 1.0 if first.score == second.score or second.p_value is None else second.p_value
        scores = float(first.score), float(second.score)
        comparisons.append(Comparison(name, *scores, float(p_value), signature_of(setup, str(signature))))
    return comparisons


def bleu_by_length(
    sources: Sequence[str],
    translations: Sequence[str],
    references: References,
    *,
    edges: Sequence[int] = (5, 10, 15, 20, 30),
    least_share: float = 0.01,
    tokenize: str = "13a",
) -> list[LengthBLEU]:
    """BLEU by ranges of source length; empty ranges are left out.

    If no translation of a range has 4 tokens, BLEU uses shorter n-grams; otherwise it would be 0.

    Args:
        sources: source sentences; their words are separated by white space.
        translations: one for each source.
        references: of each source; see ``measure_translations``.
        edges: the upper bound of each range but the last, in words; ascending.
        least_share: the first or last range is merged with its neighbor if it has a smaller share of the sentences,
            because the BLEU of a few sentences is noise.
        tokenize: BLEU's tokenizer, a key of ``TOKENIZERS``.

    Raises:
        TextseqError: as ``bleu``; edges that are not ascending numbers from 1.
    """
    _check(references, sources=sources, translations=translations)
    if not edges or edges[0] < 1 or any(low >= high for low, high in pairwise(edges)):
        raise TextseqError(f"edges: expected ascending numbers of words from 1, got {list(edges)}; sort them")
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
        LengthBLEU(words, len(ids), _score(metric, [translations[i] for i in ids], [references[i] for i in ids]))
        for words, ids in zip(ranges, members, strict=True)
        if ids
    ]


def _bleu(tokenize: str, *, short: bool = False) -> Metric:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(tokenize=tokenize, effective_order=short, force=True)  # force: no warnings on stderr


def _chrf(tokenize: str) -> Metric:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF()


def _ter(tokenize: str) -> Metric:
    from sacrebleu.metrics.ter import TER

    return TER(normalized=TOKENIZERS[tokenize], asian_support=TOKENIZERS[tokenize])


METRICS: Mapping[str, Callable[[str], Metric]] = {"bleu": _bleu, "chrf": _chrf, "ter": _ter}
"""Constructors of sacreBLEU's metrics by name, given BLEU's tokenizer."""


def _score(metric: Metric, translations: Sequence[str], references: Sequence[str | Sequence[str]]) -> float:
    return float(metric.corpus_score(translations, _streams(references)).score)


def _streams(references: Sequence[str | Sequence[str]]) -> list[Sequence[str]]:
    """sacreBLEU's form: the first reference of every sentence, then the second... None where a sentence has no more."""
    several = ([one] if isinstance(one, str) else one for one in references)
    return cast(list[Sequence[str]], list(zip_longest(*several)))  # sacreBLEU takes None, and does not say so


def _metrics(metrics: Sequence[str], resamples: int, tokenize: str) -> list[Metric]:
    if resamples < 100:
        raise TextseqError(f"resamples: expected at least 100 for a 95 % interval, got {resamples}; give more")
    seed = os.environ.get("SACREBLEU_SEED", str(SEED))
    if not (seed.isdecimal() and int(seed)):  # sacreBLEU treats 0 as no seed
        raise TextseqError(f"SACREBLEU_SEED: expected an integer above 0, got '{seed}'; change or unset it")
    for name in metrics:
        if name not in METRICS:
            raise unknown("metric", name, METRICS)
    _known(tokenize)
    return [METRICS[name](tokenize) for name in metrics]


def _known(tokenize: str) -> str:
    if tokenize not in TOKENIZERS:
        raise unknown("tokenizer of BLEU", tokenize, TOKENIZERS)
    return tokenize


def _check(references: Sequence[str | Sequence[str]], **others: Sequence[str]) -> None:
    """Refuse what sacreBLEU accepts silently: it truncates to the shorter list, and skips None."""
    for name, sentences in {**others, "references": references}.items():
        if isinstance(sentences, str):
            raise TextseqError(f"{name}: expected a list of sentences, got one text; put it in a list")
        for place, sentence in enumerate(sentences, start=1):
            several = sentence if name == "references" and isinstance(sentence, (list, tuple)) else [sentence]
            if not several:
                raise TextseqError(f"references: expected at least 1 for sentence {place}, got none; give one")
            for one in several:
                if not isinstance(one, str):
                    kind = type(one).__name__
                    raise TextseqError(f"{name}: expected strings, got {kind} as sentence {place}; an empty one is ''")
        if len(sentences) != len(references):
            raise TextseqError(
                f"expected as many {name} as references, got {len(sentences)} and {len(references)}; "
                "give one for each, or a tuple of several"
            )
    if not references:
        raise TextseqError("expected at least 1 sentence, got none; give translations and their references")
