"""Training of a translator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Unpack, cast

import numpy as np
import torch

from textseq.checkpoints.checkpoint import Checkpoint
from textseq.checkpoints.registry import ModelEntry
from textseq.config.base import Settings
from textseq.data.batching import Cursor
from textseq.data.in_memory import Column, pair_files
from textseq.data.pairs import PairDataset, Side
from textseq.data.sources import PairData, file_names
from textseq.data.token_files import TokenFile, token_file, tokenizer_for
from textseq.errors import TextseqError
from textseq.io.paths import cache_folder
from textseq.metrics.translation import bleu
from textseq.tasks import run
from textseq.tasks.base import Report, Run
from textseq.tasks.distillation import check_tokenizer
from textseq.tasks.initialization import Rows, check_shape, copy_weights
from textseq.tasks.predictor import Metrics
from textseq.tasks.translation.augment import Augmentation
from textseq.tasks.translation.batches import PairBatches, Resegment
from textseq.tasks.translation.config import PairConfig, TranslationModelConfig
from textseq.tasks.translation.inference.detokenize import TruncationLog
from textseq.tasks.translation.model import TranslationModel
from textseq.tasks.translation.shortlist import learn_shortlist
from textseq.tasks.translation.spec import TRANSLATION
from textseq.tasks.translation.translator import Translator
from textseq.tasks.translation.vocabularies import Vocabularies, load_vocabularies
from textseq.tokenizers.base import Tokenizer
from textseq.tokenizers.subwords import SubwordTokenizer
from textseq.training.events import Evaluation

SHOWN = 3
"""Translations shown after each evaluation."""
DOUBTFUL = 0.05
"""Share of the validation translations that are called doubtful."""
SCORED = 300
"""Validation pairs whose scores decide which translations are doubtful."""
MEASURED = 1000
"""Validation pairs that BLEU is measured on during training, greedily."""


def train_translator(
    corpus: str | None = None,
    *,
    source: str | None = None,
    target: str | None = None,
    pairs: Sequence[Path | str] | Path = (),
    sources: Column | None = None,
    targets: Column = (),
    data_source: PairData | None = None,
    model: TranslationModelConfig | None = None,
    data: PairConfig | None = None,
    **options: Unpack[run.TrainOptions],
) -> Translator:
    """Train a translator on a corpus of pairs by name or on one's own pairs.

    Args:
        corpus: a corpus of pairs by name; or
        pairs: one's own: two aligned files, or one .tsv or .jsonl file.
        source: language to translate from.
        target: language to translate into.
        sources: one's own sentences in memory: a list, an array, a column of pandas, polars or Hugging Face datasets.
        targets: the translation of each.
        data_source: all of these, with all settings of how files are read.
        model: sizes and kinds; default: those of ``init_from``, or ``TranslationModelConfig()``.
        data: tokenizer and batches.
        options: name, training, init_from and so on, as of ``textseq.tasks.run.train``; its errors too.

    Example:
        >>> translator = textseq.train_translator(pairs=["train.en", "train.de"], name="mine")
        >>> translator.translate("How are you?").text
        >>> translator = textseq.train_translator(sources=["How are you?", ...], targets=["Wie geht es?", ...])
    """
    files = file_names(pairs) if sources is None else (*file_names(pairs), *pair_files(sources, targets))
    named = PairData(corpus=corpus, source=source, target=target, pairs=files)
    predictor = run.train(TRANSLATION, run.data_source(data_source, named), model=model, data=data, **options)
    return cast(Translator, predictor)


class TranslationRun(Run[PairDataset, Translator]):
    """A run of a translator."""

    dataset_info = ("source_language", "target_language", "source_style")
    tokenizer: Vocabularies
    model: TranslationModel
    batches: PairBatches

    @classmethod
    def resolve(cls, model: Settings, data: Settings, dataset: PairDataset | None) -> Settings:
        assert isinstance(model, TranslationModelConfig) and isinstance(data, PairConfig)
        if data.vocabulary == "separate" and model.tie_embeddings == "all":  # their sizes may be equal by chance
            raise TextseqError(
                "--vocabulary separate: expected --tie-embeddings target or none, got all, which needs one vocabulary; "
                "change one of them"
            )
        return model

    @classmethod
    def make_tokenizer(cls, dataset: PairDataset, data: PairConfig, report: Report) -> Vocabularies:
        sides: tuple[Side, ...] = ("both",) if data.vocabulary == "joint" else ("source", "target")
        tokenizers = [tokenizer_for(dataset.side(side), data, cache_folder(), report) for side in sides]
        return _with_shortlist(Vocabularies(tokenizers[0], tokenizers[-1]), dataset)

    @classmethod
    def load_tokenizer(cls, saved: Checkpoint) -> Vocabularies:
        return load_vocabularies(saved.folder, saved.tokenizer)

    @classmethod
    def extend_tokenizer(cls, dataset: PairDataset, data: PairConfig, saved: Checkpoint) -> tuple[Vocabularies, str]:
        old = cls.load_tokenizer(saved)
        sides: dict[Side, Tokenizer] = (
            {"both": old.source} if old.joint else {"source": old.source, "target": old.target}
        )
        extended = [
            tokenizer.extended(dataset.side(side).documents("train"), data) for side, tokenizer in sides.items()
        ]
        vocabularies = _with_shortlist(Vocabularies(extended[0][0], extended[-1][0]), dataset)
        if old.shortlist and vocabularies.shortlist:
            shortlist = vocabularies.shortlist.joined(old.shortlist, *old.places_in(vocabularies))
            vocabularies = replace(vocabularies, shortlist=shortlist)
        return vocabularies, ", ".join(filter(None, (new for _, new in extended)))

    @cached_property
    def data(self) -> PairConfig:
        """Settings of the batches."""
        return self.config(PairConfig, self.info.data)

    def make_model(self) -> TranslationModel:
        return TranslationModel(self.config(TranslationModelConfig, self.info.model), *self.tokenizer.eos_ids)

    def fitting(self, models: Sequence[ModelEntry]) -> ModelEntry | None:
        """One of the same languages."""
        pair = self.info.source_language, self.info.target_language
        return next(
            (model for model in models if (model.info.source_language, model.info.target_language) == pair), None
        )

    def make_batches(self, rows: int) -> PairBatches:
        alpha, vocabularies = self.data.subword_sampling, self.tokenizer
        resegment = (_resegment(vocabularies.source, alpha), _resegment(vocabularies.target, alpha)) if alpha else None
        sides = _token_files(self.dataset, "train", vocabularies)
        augment = Augmentation(self.data, vocabularies, self.dataset.pairs("train")) if self.data.augment else None
        config = replace(self.data, batch_size=rows)
        return PairBatches(*sides, vocabularies.eos_ids, config, self.training.seed, resegment, augment)

    def prepare_validation(self, rows: int) -> None:
        whole = replace(self.data, batch_size=rows, longest=None, batch_tokens=None)
        sides = _token_files(self.dataset, "validation", self.tokenizer)
        self.validation = PairBatches(*sides, self.tokenizer.eos_ids, whole, self.training.seed)
        self.validation_pairs = list(islice(self.dataset.pairs("validation"), MEASURED))

    @property
    def summary(self) -> str:
        pairs, vocabularies = self.batches, self.tokenizer
        sizes = [vocabularies.target.size] if vocabularies.joint else dict.fromkeys(vocabularies.eos_ids)
        longer = f" ({pairs.left_out:,} longer than {self.data.longest} tokens left out)" if pairs.left_out else ""
        return (
            f"{self.dataset.source_language} to {self.dataset.target_language}, "
            f"vocabulary {' and '.join(map(str, sizes))}, {len(pairs.kept):,} pairs{longer}"
        )

    def predictor(self) -> Translator:
        return Translator([self.model], self.tokenizer, self.info)

    def final_metrics(self, predictor: Translator) -> list[Metrics]:
        """BLEU, chrF and TER of its translations; and the score below which one is doubtful."""
        with self.measuring(len(self.validation.kept)) as bar:
            quiet = TruncationLog(quiet=True)
            metrics = predictor.evaluate(self.dataset, "validation", progress=bar.update, truncated=quiet)
            sources = [source for source, _ in self.validation_pairs[:SCORED]]
            scores = [best.score for best, *_ in predictor.translate_all(sources, attention=False, truncated=quiet)]
        predictor.info = replace(predictor.info, doubtful_below=float(np.quantile(scores, DOUBTFUL)))
        for score in metrics.scores:
            self.report(f"validation: {score}\n  {score.signature}")
        return [*metrics.scores]

    def evaluate(self) -> Evaluation:
        """The loss; with ``best_by`` BLEU that of greedy translations too."""
        cursor, nats, count, state = Cursor(), 0.0, 0, None
        with torch.inference_mode():
            while cursor.epoch == 0 and count < self.training.evaluate_tokens:
                batch, cursor = self.validation.batch(cursor)
                loss = self.model.loss(batch.to(self.device), state)
                nats, count, state = nats + float(loss.nats), count + loss.count, loss.state
        text = f"{nats / count:.4f} nats per token"
        if self.training.best_by == "loss":
            return Evaluation(nats / count, words=text)
        sources, targets = zip(*self.validation_pairs, strict=True)
        score = bleu(self._translated(sources), targets)
        return Evaluation(nats / count, {"bleu": score}, f"{text}, BLEU {score:.2f} (greedy)", criterion=-score)

    def sample(self) -> str:
        """Translations of the first pairs."""
        split = "validation" if self.measured else "train"
        sources = [source for source, _ in islice(self.dataset.pairs(split), SHOWN)]
        shown = zip(sources, self._translated(sources), strict=True)
        return "\n".join(f"  {source}\n  = {translation}" for source, translation in shown)

    def _translated(self, sentences: Sequence[str]) -> list[str]:
        """Greedy translations, without notes on truncated ones: a model in training makes many."""
        quiet = TruncationLog(quiet=True)
        results = self.predictor().translate_all(sentences, attention=False, truncated=quiet, num_beams=1)
        return [best.text for best, *_ in results]

    def check_teacher(self, teacher: Checkpoint) -> None:
        """One with the run's vocabularies and languages."""
        check_tokenizer(teacher, self.load_tokenizer(teacher).fingerprint, self.tokenizer.fingerprint)
        theirs, ours = ((info.source_language, info.target_language) for info in (teacher.info, self.info))
        if theirs != ours:
            raise TextseqError(
                "--distil-from: expected translators from {} to {}, got {} from {} to {}; name another".format(
                    *ours, teacher.folder, *theirs
                )
            )

    def init_weights(self, init: Checkpoint) -> str:
        other = Translator.open(init)
        check_shape(init.folder, other.models[0].config.shape(), self.model.config.shape())

        def rows(new: Tokenizer, old: Tokenizer) -> Rows:
            # The end of a text has a row too, after those of the tokens; no token is the empty string.
            return Rows((*new.vocabulary, ""), (*old.vocabulary, ""))

        sources = rows(self.tokenizer.source, other.vocabularies.source)
        targets = rows(self.tokenizer.target, other.vocabularies.target)
        tables = {"source_embedding.weight": sources, "embedding.weight": targets}
        tables |= dict.fromkeys(("output.weight", "output.bias"), targets)
        copied = copy_weights(self.model, other.models[0].state_dict(), tables)
        return f"{copied['output.bias'] - 1} of {self.tokenizer.target.size} tokens are known there"


def _with_shortlist(vocabularies: Vocabularies, dataset: PairDataset) -> Vocabularies:
    """The vocabularies with a shortlist of these pairs."""
    sides = _token_files(dataset, "train", vocabularies)
    shortlist = learn_shortlist(*sides, vocabularies.source_to_target(), vocabularies.eos_ids)
    return replace(vocabularies, shortlist=shortlist)


def _token_files(dataset: PairDataset, split: str, vocabularies: Vocabularies) -> tuple[TokenFile, TokenFile]:
    cache = cache_folder()
    return (
        token_file(dataset.side("source"), split, vocabularies.source, cache),
        token_file(dataset.side("target"), split, vocabularies.target, cache),
    )


def _resegment(tokenizer: Tokenizer, alpha: float) -> Resegment:
    """A function that samples another segmentation of a sentence."""
    assert isinstance(tokenizer, SubwordTokenizer), "PairConfig refuses others"

    def resegment(ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return tokenizer.resampled(ids, alpha, rng)

    return resegment
