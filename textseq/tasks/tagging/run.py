"""The run of a tagger: from tagged sentences and settings to a trained model in its folder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import torch

from textseq.checkpoints import checkpoint
from textseq.checkpoints.model_card import About, labels_of
from textseq.checkpoints.registry import Facts
from textseq.checkpoints.size_limits import fitting_memory
from textseq.config.training import TrainingConfig, rows_of
from textseq.data.batching import Cursor
from textseq.data.sources import TaggedData, file_names
from textseq.data.splits import EveryNth
from textseq.data.tagged import TaggedDataset
from textseq.errors import TextseqError
from textseq.nn.embedding import carry_over
from textseq.tasks.tagging.batches import TagBatches
from textseq.tasks.tagging.config import TaggedConfig, TaggerConfig, TaggerTrainingConfig
from textseq.tasks.tagging.lexicon import Lexicon, load_lexicon
from textseq.tasks.tagging.model import TaggerModel
from textseq.tasks.tagging.spec import describe
from textseq.tasks.tagging.tagger import Tagger, open_tagger
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


UNITS = {True: ("words", "sentences"), False: ("letters", "texts")}
"""What is read, by whether the tags are aligned with it."""

SHOWN = 2
"""Sentences whose tags are shown after each evaluation."""

WORDS_SHOWN = 12
"""Words of them."""


def train_tagger(
    corpus: str | None = None,
    *,
    tagged: Sequence[Path | str] | Path = (),
    origin: TaggedData | None = None,
    name: str | None = None,
    model: TaggerConfig | None = None,
    batching: TaggedConfig | None = None,
    training: TrainingConfig | None = None,
    init_from: str | None = None,
    overwrite: bool = False,
    data_dir: Path | None = None,
    download: bool = False,
    report: Callable[[str], None] = log.info,
) -> Tagger:
    """Train a tagger, and return it as it was at its best.

    Args:
        corpus: a corpus of tagged sentences by name; or
        tagged: one's own files.
        origin: either of these at once, and how one's own files are read.
        name: of the run; the corpus's name, or the first file's, by default.
        model: sizes and kinds; with ``init_from``, that model's by default.
        batching: lexicon, batches.
        training: optimizer, schedule, limits.
        init_from: a tagger whose weights to begin with: words, letters and tags that both have keep theirs.
        overwrite: replace a run of this name.
        data_dir: folder of the corpora; ``TEXTSEQ_DATA`` by default.
        download: fetch what is not there.
        report: where lines about the run go.

    Raises:
        TextseqError: anything that the user can mend, told before the first step wherever it can be.
        Interrupted: after Ctrl-C or SIGTERM; the run has saved itself.
    """
    if origin is None:
        origin = TaggedData(corpus=corpus, tagged=file_names(tagged))
    elif corpus or tagged:
        raise TextseqError("origin says all of the sentences; leave out corpus and tagged beside it")
    origin = origin.resolved()
    opened = origin.open(data_dir=data_dir, download=download)
    folder = new_folder(origin.default_name(opened) if name is None else name, overwrite=overwrite)
    base = load_init_model(init_from, "tagging", vectors=origin.vectors)
    if model is None:
        model = open_tagger(base).model.config if base else TaggerConfig()
    model = _fitting(model, opened)
    batching, training = batching or TaggedConfig(), suited(training or TaggerTrainingConfig(), "tagging")
    for note in opened.notes:
        report(note)
    settings = model, batching, training
    more = {"language": opened.language, "labels": [*opened.labels]}
    facts = facts_of("tagging", origin, opened, (init_from, base), settings, **more)
    lexicon = Lexicon.train((words for words, _ in opened.sentences("train")), batching)
    run = TaggingRun(folder, facts, opened, lexicon, model, batching, training, report)
    if base:
        _init_from(run, base)
    table, words = run.model.embedding.weight, lexicon.words.vocabulary
    run.load_vectors(table, words, origin.vectors, data_dir=data_dir, download=download)
    return run.run(overwrite=overwrite)


def resume_tagger(
    folder: Path,
    found: checkpoint.Checkpoint,
    *,
    training: TrainingConfig | None,
    data_dir: Path | None,
    download: bool,
    report: Callable[[str], None],
) -> Tagger:
    """Go on with a run from its last checkpoint, ``found``; see ``runs.resume``."""
    facts, place = found.facts, found.folder
    opened = saved(facts, place, "source", TaggedData).open(data_dir=data_dir, download=download)
    same_text(folder, saved_fingerprint(facts, place), opened.fingerprint)
    before = saved(facts, place, "training", TaggerTrainingConfig)
    training = going_on(training, before, folder, "tagging")
    model, batching = saved(facts, place, "model", TaggerConfig), saved(facts, place, "data", TaggedConfig)
    lexicon = load_lexicon(place, found.tokenizer)
    return TaggingRun(folder, facts, opened, lexicon, model, batching, training, report).run(resume=True)


def _fitting(model: TaggerConfig, corpus: TaggedDataset) -> TaggerConfig:
    """The model with the output that ``auto`` stands for.

    Raises:
        TextseqError: an output that does not fit the tags.
    """
    if model.output == "auto":
        return replace(model, output="softmax" if corpus.aligned else "ctc")
    if corpus.aligned == (model.output == "ctc"):
        tags, fits = ("aligned with words", "softmax or crf") if corpus.aligned else ("not aligned", "ctc")
        raise TextseqError(
            f"the tags of '{corpus.name}' are {tags}, which wants --output {fits}; found --output {model.output}"
        )
    return model


class TaggingRun(TaskRun[Tagger]):
    """A run of a tagger.

    Args:
        folder: the run's.
        facts: for ``config.json``.
        corpus: the sentences.
        lexicon: of their words.
        model: sizes and kinds.
        batching: batches.
        training: limits, seed and device.
        report: where lines about the run go.

    Raises:
        TextseqError: whatever does not fit together.
    """

    use = "tag with: textseq-tag --model"
    unit = "tag"
    model: TaggerModel

    def __init__(
        self,
        folder: Path,
        facts: Facts,
        corpus: TaggedDataset,
        lexicon: Lexicon,
        model: TaggerConfig,
        batching: TaggedConfig,
        training: TrainingConfig,
        report: Callable[[str], None],
    ) -> None:
        super().__init__(folder, facts, corpus.splits, training, report)
        self.corpus = corpus
        self.tokenizer = self.lexicon = lexicon
        self.per_letter = model.frames if model.output == "ctc" else None
        self.held_out = self._batches("validation", rows_of(batching.batch_size)) if self.measured else None
        tagged = self.batches = self._batches("train", rows_of(batching.batch_size))
        if not corpus.aligned:
            self._check_frames(model.frames)
        torch.manual_seed(training.seed)
        with fitting_memory():
            made = TaggerModel(model, lexicon.size, lexicon.letters.size, len(corpus.labels))
        self.model = made.to(self.device)
        self.batches = self.settled(tagged)
        self.held_out = self.sized(self.held_out) if self.held_out is not None else None
        parameters = sum(p.numel() for p in self.model.parameters())
        count, (unit, many) = int(tagged.lengths.sum()), UNITS[corpus.aligned]
        self.summary = (
            f"{parameters:,} parameters, {lexicon.size:,} {unit} known, {len(corpus.labels)} tags, {count:,} {unit} in "
            f"{len(tagged.lengths):,} {many}"
        )

    def _check_frames(self, frames: int) -> None:
        """Say how many texts have more tags than their letters have frames for; refuse a part in which all have."""
        for split, batches in (("training", self.batches), ("validation", self.held_out)):
            wanted = batches.frames_wanted() if isinstance(batches, TagBatches) else []
            lost, most = sum(count > frames for count in wanted), max(wanted, default=0)
            what = f"{lost:,} of {len(wanted):,} texts for {split} have more tags than --frames {frames} can write"
            if lost and lost == len(wanted):
                raise TextseqError(f"{what}; set --frames {most}")
            if lost:
                self.report(f"{what}, and teach nothing; --frames {most} would do for all")

    def _batches(self, split: str, batch_size: int) -> TagBatches:
        sentences, labels = self.corpus.sentences(split), self.corpus.labels
        return TagBatches(sentences, self.lexicon, labels, batch_size, self.training.seed, self.per_letter)

    def describe(self, facts: Facts, rows: Sequence[Facts]) -> About:
        """What the model card says of it."""
        return describe(self.folder.name, facts, rows)

    def open(self, found: checkpoint.Checkpoint) -> Tagger:
        """The tagger of a checkpoint."""
        return open_tagger(found, str(self.device))

    def measure(self, job: Tagger, found: checkpoint.Checkpoint) -> list[Facts]:
        """Words, or whole sequences."""
        measured = (job.measure if self.corpus.aligned else job.measure_sequences)(self.corpus, "validation")
        self.report(f"validation: {measured}\n  {measured.signature}")
        return [measured.to_dict()]

    def evaluate(self) -> Evaluation:
        """Loss and accuracy on the validation part."""
        assert self.held_out is not None
        tagger = Tagger(self.model, self.lexicon, self.facts)
        step = -(-int(self.held_out.lengths.sum()) // self.training.evaluate_tokens)
        some = replace(self.corpus, contents={"validation": EveryNth(self.corpus.contents["validation"], step)})
        if not self.corpus.aligned:
            sequences, nats = tagger.measure_sequences(some, "validation", num_beams=1), self._nats()
            right = 1 - sequences.sequence_error_rate
            words = (
                f"{right:.2%} right in every tag, tag error rate {sequences.error_rate:.2%}, {nats:.4f} nats per tag"
            )
            criterion = -right if self.training.best_by == "accuracy" else None
            return Evaluation(nats, {"nats_per_token": nats, "accuracy": right}, words, criterion=criterion)
        found = tagger.measure(some, "validation")
        results: Facts = {"nats_per_token": found.nats, "accuracy": found.accuracy}
        right, of = found.unknown
        words = (
            f"accuracy {found.accuracy:.2%} ({right / max(of, 1):.2%} of unknown words), {found.nats:.4f} nats per word"
        )
        criterion = -found.accuracy if self.training.best_by == "accuracy" else None
        return Evaluation(found.nats, results, words, criterion=criterion)

    @torch.no_grad()
    def _nats(self) -> float:
        """The loss on the validation part, per tag."""
        assert self.held_out is not None
        nats, count, cursor = 0.0, 0, Cursor()
        while cursor.epoch == 0:
            batch, cursor = self.held_out.batch(cursor)
            loss = self.model.loss(batch.to(self.device), None)
            nats, count = nats + float(loss.nats), count + loss.count
        return nats / count

    def sample(self) -> str:
        """Some sentences of the validation part with their tags; a wrong one has the right one beside it."""
        split = "validation" if self.measured else "train"
        sentences = list(islice(self.corpus.sentences(split), SHOWN))
        found = Tagger(self.model, self.lexicon, self.facts).stream(words for words, _ in sentences)
        lines = []
        for one, (words, tags) in zip(found, sentences, strict=True):
            if not one.aligned:
                lines.append(f"  {''.join(words)}: {one}" + f" (it is {' '.join(tags)})" * (one.tags != tags))
                continue
            shown = [
                f"{word}/{given}" + f" (it is {tag})" * (given != tag)
                for word, given, tag in zip(words[:WORDS_SHOWN], one.tags, tags, strict=False)
            ]
            lines.append("  " + " ".join(shown) + " ..." * (len(words) > WORDS_SHOWN))
        return "\n".join(lines)


def _init_from(run: TaggingRun, base: checkpoint.Checkpoint) -> None:
    """Fill the new model with another's weights; of words, letters and tags those that both have."""
    old = open_tagger(base)
    same_shape(base.folder, old.model.config.shape(), run.model.config.shape())
    lexicon, known = run.lexicon, old.lexicon
    words, letters, labels = (
        (lexicon.words.vocabulary, known.words.vocabulary),
        (lexicon.letters.vocabulary, known.letters.vocabulary),
        (_outputs(run.model.config, run.corpus.labels), _outputs(run.model.config, labels_of(base.facts))),
    )
    tables = {"embedding.weight": words, "letters.weight": letters, "output.weight": labels, "output.bias": labels}
    tables |= {"crf.begin": labels, "crf.end": labels}
    weights = run.model.state_dict()
    with torch.no_grad():
        for name, tensor in base.weights.items():
            if name in tables:
                new, before = tables[name]
                carry_over(weights[name], new, tensor, before)
            elif name != "crf.transitions" or labels[0] == labels[1]:  # which tag follows which is of these tags alone
                weights[name].copy_(tensor)
    run.report(f"weights from {base.folder}")


def _outputs(model: TaggerConfig, labels: Sequence[str]) -> tuple[str, ...]:
    """The names of the rows of the output layer: with CTC the blank comes first."""
    return ("",) * (model.output == "ctc") + tuple(labels)
