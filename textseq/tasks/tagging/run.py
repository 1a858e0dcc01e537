"""Training of a tagger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Unpack, cast

import torch

from textseq.checkpoints.checkpoint import Checkpoint
from textseq.config.base import Settings
from textseq.data.batching import Cursor
from textseq.data.in_memory import Column, tagged_files
from textseq.data.sources import TaggedData, file_names
from textseq.data.splits import EveryNth
from textseq.data.tagged import TaggedDataset
from textseq.errors import TextseqError
from textseq.tasks import run
from textseq.tasks.base import Report, Run
from textseq.tasks.initialization import Rows, check_shape, copy_weights
from textseq.tasks.predictor import Metrics
from textseq.tasks.tagging.batches import TagBatches
from textseq.tasks.tagging.config import TaggedConfig, TaggerConfig
from textseq.tasks.tagging.lexicon import Lexicon, load_lexicon, normalized_letters
from textseq.tasks.tagging.model import TaggerModel
from textseq.tasks.tagging.spec import TAGGING
from textseq.tasks.tagging.tagger import Tagger, tagger_model
from textseq.training.events import Evaluation

SHOWN = 2
"""Sentences whose tags are shown after each evaluation."""
WORDS_SHOWN = 12
"""Words of them."""


def train_tagger(
    corpus: str | None = None,
    *,
    tagged: Sequence[Path | str] | Path = (),
    sentences: Iterable[Column] | None = None,
    tags: Iterable[Column] | None = None,
    data_source: TaggedData | None = None,
    model: TaggerConfig | None = None,
    data: TaggedConfig | None = None,
    **options: Unpack[run.TrainOptions],
) -> Tagger:
    """Train a tagger on a corpus of tagged sentences by name or on one's own files.

    Args:
        corpus: a corpus of tagged sentences by name; or
        tagged: one's own files; or
        sentences: one's own sentences in memory: for each its words, or without ``tags`` its pairs of word and tag.
        tags: for each sentence the tag of each word.
        data_source: either of these, with all settings of how files are read.
        model: sizes and kinds; default: those of ``init_from``, or ``TaggerConfig()``.
        data: lexicon and batches.
        options: name, training, init_from and so on, as of ``textseq.tasks.run.train``; its errors too.

    Example:
        >>> tagger = textseq.train_tagger(tagged="train.conll", name="mine")
        >>> print(tagger.tag("Time flies."))
        >>> tagger = textseq.train_tagger(sentences=[[("Time", "NOUN"), ("flies", "VERB")], ...], name="mine")
    """
    files = file_names(tagged) if sentences is None else (*file_names(tagged), *tagged_files(sentences, tags))
    source = run.data_source(data_source, TaggedData(corpus=corpus, tagged=files))
    return cast(Tagger, run.train(TAGGING, source, model=model, data=data, **options))


class TaggingRun(Run[TaggedDataset, Tagger]):
    """A run of a tagger."""

    dataset_info = ("language", "labels", "scheme")
    unit = "tag"
    tokenizer: Lexicon
    model: TaggerModel
    batches: TagBatches

    @classmethod
    def resolve(cls, model: Settings, data: Settings, dataset: TaggedDataset | None) -> Settings:
        assert isinstance(model, TaggerConfig) and dataset is not None
        if model.output == "auto":
            return replace(model, output="softmax" if dataset.aligned else "ctc")
        if dataset.aligned == (model.output == "ctc"):
            tags, fits = ("aligned with words", "softmax or crf") if dataset.aligned else ("not aligned", "ctc")
            raise TextseqError(
                f"--output: expected {fits}, as the tags of '{dataset.name}' are {tags}, got {model.output}; change it"
            )
        return model

    @classmethod
    def make_tokenizer(cls, dataset: TaggedDataset, data: TaggedConfig, report: Report) -> Lexicon:
        return Lexicon.train(_words(dataset, data), data)

    @classmethod
    def load_tokenizer(cls, saved: Checkpoint) -> Lexicon:
        return load_lexicon(saved.folder, saved.tokenizer)

    @classmethod
    def extend_tokenizer(cls, dataset: TaggedDataset, data: TaggedConfig, saved: Checkpoint) -> tuple[Lexicon, str]:
        return cls.load_tokenizer(saved).extended(_words(dataset, data), data)

    def make_model(self) -> TaggerModel:
        config = self.config(TaggerConfig, self.info.model)
        self.frames = config.frames if config.output == "ctc" else None
        return tagger_model(config, self.tokenizer, self.info)

    def texts(self) -> Iterator[str]:
        return (" ".join(words) for words, _ in self.dataset.sentences("train"))

    def make_batches(self, rows: int) -> TagBatches:
        return self._batches("train", rows)

    def prepare_validation(self, rows: int) -> None:
        self.validation = self._batches("validation", rows)

    def _batches(self, split: str, rows: int) -> TagBatches:
        sentences, labels = self.dataset.sentences(split), self.dataset.labels
        return TagBatches(sentences, self.tokenizer, labels, rows, self.training.seed, self.frames)

    def notes(self) -> Iterator[str]:
        """How the tags mark spans; how many texts have more tags than their letters have frames.

        Raises:
            TextseqError: all texts of a split have; or F1 is to choose the best model and no tags mark spans.
        """
        if self.training.best_by == "f1" and not self.info.scheme:
            raise TextseqError(
                "--best-by f1: expected tags that mark spans, such as B-person, I-person and O, got "
                f"{', '.join(self.dataset.labels[:5])}...; choose accuracy or loss"
            )
        if self.info.scheme == "mixed":
            broken = self.dataset.scheme_found[1]
            yield f"tags of spans, whose scheme {broken:,} training sentences break; any tag may follow any other"
        elif self.info.scheme:
            yield f"tags of spans, in the scheme {self.info.scheme}; only sequences that it allows are predicted"
        if self.dataset.aligned or self.frames is None:
            return
        splits = {"training": self.batches, **({"validation": self.validation} if self.measured else {})}
        for split, batches in splits.items():
            needed = batches.frames_wanted()
            lost, most = sum(count > self.frames for count in needed), max(needed, default=0)
            text = f"{lost:,} of {len(needed):,} {split} texts have more tags than --frames {self.frames} can write"
            if lost and lost == len(needed):
                raise TextseqError(f"{text}; set --frames {most}")
            if lost:
                yield f"{text}; they are not learned from (--frames {most} would be enough for all)"

    @property
    def summary(self) -> str:
        unit, texts = ("words", "sentences") if self.dataset.aligned else ("letters", "texts")
        lengths = self.batches.lengths
        return (
            f"{self.tokenizer.size:,} {unit} known, {len(self.dataset.labels)} tags, {int(lengths.sum()):,} {unit} in "
            f"{len(lengths):,} {texts}"
        )

    def predictor(self) -> Tagger:
        return Tagger(self.model, self.tokenizer, self.info)

    def final_metrics(self, predictor: Tagger) -> list[Metrics]:
        with self.measuring(len(self.validation.words)) as bar:
            metrics = predictor.evaluate(self.dataset, "validation", progress=bar.update)
        self.report(f"validation: {metrics}\n  {metrics.signature}")
        return [metrics]

    def evaluate(self) -> Evaluation:
        """Loss, accuracy of words or of whole sequences, and F1 of spans."""
        tagger = self.predictor()
        step = -(-int(self.validation.lengths.sum()) // self.training.evaluate_tokens)
        results: dict[str, float] = {}
        contents = {"validation": EveryNth(self.dataset.contents["validation"], step)}
        some = replace(self.dataset, contents=contents)
        if self.dataset.aligned:
            metrics = tagger.evaluate_words(some, "validation")
            accuracy, nats = metrics.accuracy, metrics.nats
            right, count = metrics.unknown
            unknown = f" ({right / count:.2%} of unknown words)" if count else ""
            text = f"accuracy {accuracy:.2%}{unknown}, {nats:.4f} nats per word"
            if metrics.spans is not None:
                text = f"F1 of spans {metrics.spans.f1:.2%}, {text}"
                results["f1"] = metrics.spans.f1
        else:
            sequences, nats = tagger.evaluate_sequences(some, "validation", num_beams=1), self._nats()
            accuracy = 1 - sequences.sequence_error_rate
            rate = sequences.error_rate
            text = f"{accuracy:.2%} right in every tag, tag error rate {rate:.2%}, {nats:.4f} nats per tag"
        results["accuracy"] = accuracy
        best_by = self.training.best_by
        return Evaluation(nats, dict(results), text, criterion=None if best_by == "loss" else -results[best_by])

    @torch.no_grad()
    def _nats(self) -> float:
        """The loss on the validation split, per tag."""
        nats, count, cursor = 0.0, 0, Cursor()
        while cursor.epoch == 0:
            batch, cursor = self.validation.batch(cursor)
            loss = self.model.loss(batch.to(self.device), None)
            nats, count = nats + float(loss.nats), count + loss.count
        return nats / count

    def sample(self) -> str:
        """Some sentences with their tags; beside a wrong tag the true one."""
        sentences = list(islice(self.dataset.sentences("validation" if self.measured else "train"), SHOWN))
        taggings = self.predictor().tag([words for words, _ in sentences])
        lines = []
        for tagging, (words, tags) in zip(taggings, sentences, strict=True):
            if not tagging.aligned:
                lines.append(f"  {''.join(words)}: {tagging}" + f" (true: {' '.join(tags)})" * (tagging.tags != tags))
                continue
            shown = [
                f"{word}/{tag}" + f" (true: {true})" * (tag != true)
                for word, tag, true in zip(words[:WORDS_SHOWN], tagging.tags, tags, strict=False)
            ]
            lines.append("  " + " ".join(shown) + " ..." * (len(words) > WORDS_SHOWN))
        return "\n".join(lines)

    def init_weights(self, init: Checkpoint) -> str:
        other = Tagger.open(init)
        check_shape(init.folder, other.model.config.shape(), self.model.config.shape())
        lexicon, old = self.tokenizer, other.tokenizer
        blank = ("",) * (self.model.config.output == "ctc")  # with CTC the first output is the blank
        labels = Rows((*blank, *self.dataset.labels), (*blank, *init.info.labels))
        tables = dict.fromkeys(("output.weight", "output.bias", "crf.begin", "crf.end"), labels) | {
            "crf.transitions": replace(labels, square=True),
            "embedding.weight": Rows(
                lexicon.words.vocabulary, old.words.vocabulary, lambda word: old.encode([word.strip()])
            ),
            "letters.weight": Rows(lexicon.letters.vocabulary, old.letters.vocabulary, old.letters.encode),
        }
        copied = copy_weights(self.model, init.weights, tables)
        return f"{copied['embedding.weight']:,} of {lexicon.size:,} words are known there"


def _words(dataset: TaggedDataset, data: TaggedConfig) -> Iterator[Sequence[str]]:
    """The words of each training sentence; of a text that is not aligned its letters."""
    for words, _ in dataset.sentences("train"):
        yield words if dataset.aligned else normalized_letters(words, data.normalization)
