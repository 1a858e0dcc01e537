"""The run of a translator: from sentence pairs and settings to a trained encoder-decoder in its folder."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from textseq.checkpoints import checkpoint
from textseq.checkpoints.model_card import About
from textseq.checkpoints.registry import Facts
from textseq.checkpoints.size_limits import fitting_memory
from textseq.config.training import TrainingConfig
from textseq.data.batching import Cursor
from textseq.data.pairs import PairDataset
from textseq.data.sources import PairData, file_names
from textseq.data.token_files import TokenFile, token_file, tokenizer_for
from textseq.errors import TextseqError
from textseq.io.paths import cache_folder
from textseq.metrics.translation import bleu
from textseq.nn.embedding import carry_over
from textseq.tasks.translation.batches import PairBatches, Resegment
from textseq.tasks.translation.config import PairConfig, TranslationModelConfig, TranslatorTrainingConfig
from textseq.tasks.translation.model import TranslationModel
from textseq.tasks.translation.shortlist import learn_shortlist
from textseq.tasks.translation.spec import describe
from textseq.tasks.translation.translator import Translator, open_translator
from textseq.tasks.translation.vocabularies import Vocabularies, load_vocabularies
from textseq.tokenizers.base import Tokenizer
from textseq.tokenizers.subwords import SubwordTokenizer
from textseq.training.events import Evaluation
from textseq.training.provenance import facts_of
from textseq.training.run import TaskRun
from textseq.training.run_folder import (
    going_on,
    load_init_model,
    new_folder,
    same_shape,
    same_text,
    saved,
    saved_fingerprint,
    suited,
)

log = logging.getLogger("textseq")


FEW_STEPS = 1000
"""Steps of the optimizer below which a run is told to be too short."""

SHOWN = 3
"""Translations shown after each evaluation."""

MEASURED = 1000
"""Pairs of the validation part that BLEU is measured on during training, greedily."""


def train_translator(
    corpus: str | None = None,
    *,
    source: str | None = None,
    target: str | None = None,
    pairs: Sequence[Path | str] | Path = (),
    origin: PairData | None = None,
    name: str | None = None,
    model: TranslationModelConfig | None = None,
    batching: PairConfig | None = None,
    training: TrainingConfig | None = None,
    init_from: str | None = None,
    overwrite: bool = False,
    data_dir: Path | None = None,
    download: bool = False,
    report: Callable[[str], None] = log.info,
) -> Translator:
    """Train a translator, and return it as it was at its best.

    Args:
        corpus: a corpus of pairs by name; or
        source: the language to translate from, of this corpus or of
        target: the language to translate into.
        pairs: one's own: two aligned files, or one .tsv or .jsonl file.
        origin: all of these at once, and how one's own files are read.
        name: of the run; the corpus's name and the languages, or the first file's name, by default.
        model: sizes and kinds; with ``init_from``, that model's by default.
        batching: tokenizer, batches.
        training: optimizer, schedule, limits.
        init_from: a model whose weights to begin with; tokens that both vocabularies have keep their vectors.
        overwrite: replace a run of this name.
        data_dir: folder of the corpora; ``TEXTSEQ_DATA`` by default.
        download: fetch what is not there.
        report: where lines about the run go.

    Raises:
        TextseqError: anything that the user can mend, told before the first step wherever it can be.
        Interrupted: after Ctrl-C or SIGTERM; the run has saved itself.
    """
    if origin is None:
        origin = PairData(corpus=corpus, source=source, target=target, pairs=file_names(pairs))
    elif corpus or source or target or pairs:
        raise TextseqError("origin says all of the pairs; leave out corpus, source, target and pairs beside it")
    origin = origin.resolved()
    opened = origin.open(data_dir=data_dir, download=download)
    folder = new_folder(origin.default_name(opened) if name is None else name, overwrite=overwrite)
    base = load_init_model(init_from, "translation")
    if model is None:
        model = open_translator(base).models[0].config if base else TranslationModelConfig()
    batching = batching or PairConfig()
    training = suited(training or TranslatorTrainingConfig(), "translation")
    if batching.vocabulary == "separate" and model.tie_embeddings == "all":  # their sizes may well be equal
        raise TextseqError(
            "--vocabulary separate wants --tie-embeddings target or none, found all, which is for one vocabulary; "
            "change one of them"
        )
    for note in opened.notes:
        report(note)
    settings = model, batching, training
    facts = facts_of(
        "translation",
        origin,
        opened,
        (init_from, base),
        settings,
        source_language=opened.source_language,
        target_language=opened.target_language,
    )
    vocabularies = _vocabularies(opened, batching)
    for tokenizer in dict.fromkeys((vocabularies.source, vocabularies.target)):
        for note in tokenizer.notes(batching):
            report(note)
    run = TranslationRun(folder, facts, opened, vocabularies, model, batching, training, report)
    if base:
        _init_from(run, base)
    return run.run(overwrite=overwrite)


def resume_translator(
    folder: Path,
    found: checkpoint.Checkpoint,
    *,
    training: TrainingConfig | None,
    data_dir: Path | None,
    download: bool,
    report: Callable[[str], None],
) -> Translator:
    """Go on with a run from its last checkpoint, ``found``; see ``runs.resume``."""
    facts, place = found.facts, found.folder
    opened = saved(facts, place, "source", PairData).open(data_dir=data_dir, download=download)
    same_text(folder, saved_fingerprint(facts, place), opened.fingerprint)
    before = saved(facts, place, "training", TranslatorTrainingConfig)
    training = going_on(training, before, folder, "translation")
    model, batching = saved(facts, place, "model", TranslationModelConfig), saved(facts, place, "data", PairConfig)
    vocabularies = load_vocabularies(place, found.tokenizer)
    return TranslationRun(folder, facts, opened, vocabularies, model, batching, training, report).run(resume=True)


def _vocabularies(corpus: PairDataset, batching: PairConfig) -> Vocabularies:
    """The tokenizers of both languages, or one for both."""
    if batching.vocabulary == "joint":
        both = tokenizer_for(corpus.side("both"), batching, cache_folder())
        return Vocabularies(both, both)
    source, target = (tokenizer_for(corpus.side(side), batching, cache_folder()) for side in ("source", "target"))
    return Vocabularies(source, target)


class TranslationRun(TaskRun[Translator]):
    """A run of a translator.

    Args:
        folder: the run's.
        facts: for ``config.json``.
        corpus: the pairs.
        vocabularies: of both sides.
        model: sizes and kinds.
        batching: batches.
        training: limits, seed and device.
        report: where lines about the run go.

    Raises:
        TextseqError: whatever does not fit together.
    """

    use = "translate with: textseq-translate --model"
    model: TranslationModel

    def __init__(
        self,
        folder: Path,
        facts: Facts,
        corpus: PairDataset,
        vocabularies: Vocabularies,
        model: TranslationModelConfig,
        batching: PairConfig,
        training: TrainingConfig,
        report: Callable[[str], None],
    ) -> None:
        super().__init__(folder, facts, corpus.splits, training, report)
        self.corpus = corpus
        self.vocabularies = vocabularies
        sources, targets = self._sides("train")
        if vocabularies.shortlist is None:
            shortlist = learn_shortlist(sources, targets, vocabularies.copies(), vocabularies.ends)
            self.vocabularies = vocabularies = replace(vocabularies, shortlist=shortlist)
        self.tokenizer = vocabularies
        alpha = batching.subword_sampling
        pairs = self.batches = PairBatches(
            sources,
            targets,
            vocabularies.ends,
            batching,
            training.seed,
            (_resegment(vocabularies.source, alpha), _resegment(vocabularies.target, alpha)) if alpha else None,
        )
        self.held_out: PairBatches | None = None
        self.shown = list(islice(corpus.pairs("validation"), MEASURED)) if self.measured else []
        if self.measured:
            whole = replace(batching, longest=None, batch_tokens=None)
            self.held_out = PairBatches(*self._sides("validation"), vocabularies.ends, whole, training.seed)
        torch.manual_seed(training.seed)
        with fitting_memory():
            made = TranslationModel(model, *vocabularies.ends)
        self.model = made.to(self.device)
        pairs = self.batches = self.settled(pairs)
        self.held_out = self.sized(self.held_out) if self.held_out is not None else None
        parameters = sum(p.numel() for p in self.model.parameters())
        sizes = dict.fromkeys(vocabularies.ends) if not vocabularies.joint else [vocabularies.target.size]
        self.summary = (
            f"{parameters:,} parameters, {corpus.source_language} to {corpus.target_language}, "
            f"vocabulary {' and '.join(map(str, sizes))}, {len(pairs.kept):,} pairs"
            + (f" ({pairs.left_out:,} longer than {batching.longest} tokens left out)" if pairs.left_out else "")
        )
        steps = pairs.per_epoch * (training.epoch_limit or math.inf) / training.accumulate
        if steps < FEW_STEPS and training.max_steps is None:
            report(
                f"note: --max-epochs {training.epoch_limit:g} makes {math.ceil(steps)} steps of so few pairs, "
                f"and a translator wants {FEW_STEPS:,} or more; give more --max-epochs or a smaller --batch-size"
            )

    def _sides(self, split: str) -> tuple[TokenFile, TokenFile]:
        vocabularies, cache = self.vocabularies, cache_folder()
        return (
            token_file(self.corpus.side("source"), split, vocabularies.source, cache),
            token_file(self.corpus.side("target"), split, vocabularies.target, cache),
        )

    def describe(self, facts: Facts, rows: Sequence[Facts]) -> About:
        """What the model card says of it."""
        return describe(self.folder.name, facts, rows)

    def open(self, found: checkpoint.Checkpoint) -> Translator:
        """The translator of a checkpoint."""
        return open_translator(found, str(self.device))

    def measure(self, job: Translator, found: checkpoint.Checkpoint) -> list[Facts]:
        """BLEU, chrF and TER of its translations."""
        with _without_notes():
            measures, _ = job.measure(self.corpus, "validation")
        for measured in measures:
            self.report(f"validation: {measured}\n  {measured.signature}")
        return [measured.to_dict() for measured in measures]

    def evaluate(self) -> Evaluation:
        """The loss on the validation part, or on so much of it as the settings say.

        With ``best_by`` BLEU that of greedy translations too.
        """
        assert self.held_out is not None
        cursor, nats, count = Cursor(), 0.0, 0
        state = None
        with torch.inference_mode():
            while cursor.epoch == 0 and count < self.training.evaluate_tokens:
                batch, cursor = self.held_out.batch(cursor)
                loss = self.model.loss(batch.to(self.device), state)
                nats, count, state = nats + float(loss.nats), count + loss.count, loss.state
        results: Facts = {"nats_per_token": nats / count}
        words = f"{nats / count:.4f} nats per token"
        if self.training.best_by == "loss":
            return Evaluation(nats / count, results, words)
        found = self._translated([pair[0] for pair in self.shown])
        results["bleu"] = score = bleu(found, [pair[1] for pair in self.shown])
        return Evaluation(nats / count, results, f"{words}, BLEU {score:.2f} (greedy)", criterion=-score)

    def sample(self) -> str:
        """Some translations to look at."""
        pairs = self.shown[:SHOWN] if self.measured else list(islice(self.corpus.pairs("train"), SHOWN))
        found = self._translated([pair[0] for pair in pairs])
        return "\n".join(f"  {pair[0]}\n  = {one}" for pair, one in zip(pairs, found, strict=True))

    def _translated(self, sentences: Sequence[str]) -> list[str]:
        """What the model as it is makes of sentences, greedily."""
        translator = Translator([self.model], self.vocabularies, self.facts)
        with _without_notes():
            return [one.text for one in translator.translate(sentences, attention=False, num_beams=1)]


@contextmanager
def _without_notes() -> Iterator[None]:
    """Translate without being told what came to no end: of a model that has learnt little that is no news."""
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _resegment(tokenizer: Tokenizer, alpha: float) -> Resegment:
    """What cuts the words of a sentence anew."""
    assert isinstance(tokenizer, SubwordTokenizer), "PairConfig refuses others"

    def resegment(ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return tokenizer.resampled(ids, alpha, rng)

    return resegment


def _init_from(run: TranslationRun, base: checkpoint.Checkpoint) -> None:
    """Fill the new model with another's weights; rows of the vocabularies go by the tokens' strings."""
    old = open_translator(base)
    model = old.models[0]
    same_shape(base.folder, model.config.shape(), run.model.config.shape())
    new_weights, old_weights = run.model.state_dict(), model.state_dict()
    sides = {
        "source_embedding.weight": (run.vocabularies.source, old.vocabularies.source),
        "embedding.weight": (run.vocabularies.target, old.vocabularies.target),
        "output.weight": (run.vocabularies.target, old.vocabularies.target),
        "output.bias": (run.vocabularies.target, old.vocabularies.target),
    }
    carried = 0
    with torch.no_grad():
        for name, tensor in old_weights.items():
            if name not in sides:
                new_weights[name].copy_(tensor)
    for name, (new, before) in sides.items():
        # The end of a text has a row too, after those of the tokens; no token is the empty string.
        carried = carry_over(new_weights[name], (*new.vocabulary, ""), old_weights[name], (*before.vocabulary, ""))
    run.report(f"weights from {base.folder}; {carried - 1} of {run.vocabularies.target.size} tokens were known there")
