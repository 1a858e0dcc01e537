"""Tagging with a trained model: a tag for every word, or with CTC a sequence of tags for a text.

Shapes: N sentences, T words (with CTC frames of letters), C labels.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Literal, Self, get_args, overload

import numpy as np
import numpy.typing as npt
import torch

from textseq.checkpoints import checkpoint
from textseq.checkpoints.checkpoint import Checkpoint
from textseq.checkpoints.model_card import CardText, interval, label_results, label_text, result_table
from textseq.checkpoints.model_info import ModelInfo, Table
from textseq.config.decoding import Precision
from textseq.data.readers.tables import ending_of
from textseq.data.sources import DataSource, TaggedData
from textseq.data.spans import allowed_transitions
from textseq.data.tagged import TaggedDataset
from textseq.decoding.ctc import ctc_decode, ctc_greedy
from textseq.errors import TextseqError, unknown
from textseq.metrics.signature import data_signature
from textseq.metrics.tagging import SequenceMetrics, TaggingMetrics, measure_sequences, measure_tags
from textseq.tasks.label_predictor import (
    BUFFER,
    LabelPredictor,
    labelled_info,
    note_unseen,
    row_blocks,
    text_blocks,
)
from textseq.tasks.predictor import batches_by_length, check_dataset, each
from textseq.tasks.tagging.batches import tag_batch
from textseq.tasks.tagging.config import TaggerConfig
from textseq.tasks.tagging.lexicon import Lexicon, load_lexicon, normalized_letters
from textseq.tasks.tagging.model import TaggerModel
from textseq.tasks.tagging.result import Tagging, find_spans
from textseq.tokenizers.words import words_by_sentence
from textseq.training.devices import pick_device
from textseq.training.distributed.group import SINGLE_PROCESS, ProcessGroup

BEAMS = 10
"""Default beam size of the CTC search."""

CHARACTERS = 2**22
"""Characters read ahead, not counting the last sentence; bounds the memory."""

WORDS_PER_BATCH = 20_000
"""Words of a batch, padding included."""

WordSplitting = Literal["nltk", "spaces"]


class Tagger(LabelPredictor[TaggedDataset]):
    """A tagger with its lexicon and tags; its arguments are those of ``Predictor``, in float32.

    Example:
        >>> print(textseq.load("english-pos").tag("Time flies."))
        Time/NOUN flies/VERB ./.
    """

    noun = "a tagger"
    unit = "sentences"
    model: TaggerModel
    tokenizer: Lexicon

    @classmethod
    def open(cls, saved: Checkpoint, *, device: str = "cpu", precision: Precision = "float32") -> Self:
        where, info = labelled_info(saved)
        config, lexicon = TaggerConfig.from_dict(info.model, where=where), load_lexicon(saved.folder, saved.tokenizer)
        model = checkpoint.build_with_weights(lambda: tagger_model(config, lexicon, info), saved.weights, saved.folder)
        return cls(model.to(pick_device(device)), lexicon, info, precision=precision)

    @staticmethod
    def describe(name: str, info: ModelInfo) -> CardText:
        def row(result: Table) -> tuple[str, ...]:
            bounds = interval(result["interval_95"], ".2%")
            return f"{result['sequence_error_rate']:.2%}", bounds, f"{result['error_rate']:.2%}"

        unaligned = info.model.get("output") == "ctc"
        rates = ("sequence error rate", "95 % interval", "tag error rate")
        return CardText(
            pipeline="token-classification",
            title=f"A recurrent tagger of {'letters, by CTC' if unaligned else 'words'} ({label_text(info)})",
            command=f"textseq-tag --model {quote(name)} < sentences.txt",
            python=f'print(textseq.load({json.dumps(name)}).tag("A sentence."))',
            trained_on=(f"- Language: {info.language or 'not stated'}.",),
            results=result_table(rates, info, row) if unaligned else label_results(info, "word"),
            limits=(
                "It assigns one of its tags to every word and works only on sentences like its training sentences,",
                "which must be split into words in the same way.",
            ),
        )

    def word_table(self) -> tuple[Sequence[str], torch.Tensor]:
        return self.tokenizer.words.vocabulary, self.model.embedding.weight

    @property
    def aligned(self) -> bool:
        """Whether every word has a tag (without CTC)."""
        return self.model.config.output != "ctc"

    @overload
    def tag(  # type: ignore[overload-overlap]
        self, texts: str, *, words: WordSplitting = "nltk", num_beams: int = BEAMS
    ) -> Tagging: ...
    @overload
    def tag(
        self, texts: Sequence[str | Sequence[str]], *, words: WordSplitting = "nltk", num_beams: int = BEAMS
    ) -> list[Tagging]: ...
    def tag(
        self, texts: str | Sequence[str | Sequence[str]], *, words: WordSplitting = "nltk", num_beams: int = BEAMS
    ) -> Tagging | list[Tagging]:
        """Tag the words of sentences; with CTC, texts.

        Args:
            texts: sentences, each a string or a list of its words; a single string is one sentence.
            words: how a string is split: by NLTK's Treebank rules ("don't," is do n't ,), or at white space. Unused
                with CTC.
            num_beams: beam size with CTC; 1 takes the most probable path, which is fast.

        Raises:
            TextseqError: a text is neither, or a setting is unknown.
        """
        return each(texts, lambda several: list(self.stream(several, words=words, num_beams=num_beams)))

    __call__ = tag

    def stream(
        self,
        texts: Iterable[str | Sequence[str]],
        *,
        words: WordSplitting = "nltk",
        num_beams: int = BEAMS,
        buffer: int = BUFFER,
        progress: Callable[[int], object] = lambda count: None,
    ) -> Iterator[Tagging]:
        """Tag a stream of sentences of any length, in order and in constant memory.

        Args:
            texts: as ``tag``.
            words: as ``tag``.
            num_beams: as ``tag``.
            buffer: sentences read ahead and sorted by length; fewer if they are long.
            progress: called with the number of sentences of each finished block.
        """
        if num_beams < 1:
            raise TextseqError(f"num_beams: expected at least 1, got {num_beams}")
        if words not in get_args(WordSplitting):
            raise unknown("word splitting", words, get_args(WordSplitting))
        for block in text_blocks(texts, buffer, CHARACTERS, progress):
            for text in block:
                if not isinstance(text, str) and not (
                    isinstance(text, Sequence) and all(isinstance(word, str) for word in text)
                ):
                    raise TextseqError(f"tag: expected a sentence or a list of its words, got {text!r:.60}")
            if self.aligned:
                yield from self._tag_words(block, words)
            else:
                yield from self._tag_sequences(["".join(text).strip() for text in block], num_beams)

    def _tag_words(self, texts: Sequence[str | Sequence[str]], words: WordSplitting) -> Iterator[Tagging]:
        sentences = [words_of(text, words) if isinstance(text, str) else tuple(text) for text in texts]
        for text, sentence, (numbers, log_p) in zip(texts, sentences, self.read(sentences), strict=True):
            probabilities = np.exp(log_p[np.arange(len(numbers)), numbers]).tolist()
            tags = tuple(self.labels[number] for number in numbers)
            given = text if isinstance(text, str) else " ".join(text)
            spans = find_spans(given, sentence, tags) if self.info.scheme else ()
            yield Tagging(sentence, tags, tuple(probabilities), spans=spans)

    def _tag_sequences(self, texts: Sequence[str], num_beams: int) -> Iterator[Tagging]:
        """The most probable tag sequence of each text, by CTC."""
        letters = [normalized_letters(text, self.tokenizer.normalization) for text in texts]
        for text, (_, log_p) in zip(texts, self.read(letters), strict=True):
            numbers, nats = (
                ctc_decode(log_p, num_beams) if num_beams > 1 else (ctc_greedy(log_p), log_p.max(axis=1).sum())
            )
            tags = tuple(self.labels[number - 1] for number in numbers)  # 0 is the blank
            yield Tagging(tuple(text), tags, (float(np.exp(nats)),), aligned=False)

    def read(self, sentences: Sequence[Sequence[str]]) -> list[tuple[list[int], npt.NDArray[np.float64]]]:
        """The tag numbers (T,) of each sentence, and log-probabilities of all labels in nats, (T, C).

        With CTC no numbers, and log-probabilities of the frames of each text.
        """
        results: list[tuple[list[int], npt.NDArray[np.float64]]]
        results = [([], np.zeros((0, len(self.labels)))) for _ in sentences]
        lengths = {number: len(words) for number, words in enumerate(sentences) if words}
        for numbers in batches_by_length(lengths, WORDS_PER_BATCH):
            batch = tag_batch(self.tokenizer, [sentences[number] for number in numbers], [[] for _ in numbers])
            with torch.inference_mode():
                best, log_p = self.model.read(batch.to(self.device))
            for number, tags, rows in zip(numbers, best, log_p.double().cpu().numpy(), strict=True):
                results[number] = tags, rows[: lengths[number] * self.model.frames]
        return results

    def evaluate(
        self,
        dataset: TaggedDataset,
        split: str = "test",
        *,
        progress: Callable[[int], object] = lambda count: None,
        process_group: ProcessGroup = SINGLE_PROCESS,
    ) -> TaggingMetrics | SequenceMetrics:
        """Measure the tagger on a split of a dataset: words, or with CTC whole sequences.

        Args:
            dataset: tagged sentences.
            split: of the dataset.
            progress: called with the number of sentences of each finished block.
            process_group: processes that share the work, all with the same model and dataset; one with CTC.

        Raises:
            TextseqError: not a dataset of tagged sentences; the split is empty or the model knows no tag of it (where
                it knows some, the others count as wrong); or only one of model and dataset has tags that are aligned
                with words.
        """
        check_dataset(dataset, "sentences", 'TaggedData(tagged=("a.conll",)).open_whole()')
        if self.aligned:
            return self.evaluate_words(dataset, split, progress=progress, process_group=process_group)
        if process_group.count > 1:
            raise TextseqError("unaligned sequences: expected one process, got several; start without torchrun")
        return self.evaluate_sequences(dataset, split, progress=progress)

    def evaluation_source(self, source: DataSource) -> DataSource:
        """The data source, aligned with words as the model is, and with the training's columns.

        Not where the endings of the files differ, for then their columns do.
        """
        if not isinstance(source, TaggedData):
            return source
        source = replace(source, unaligned=not self.aligned)
        if not source.tagged:
            return source
        files = self.info.source.get("tagged")
        endings = {ending_of(Path(str(name))) for name in files} if isinstance(files, list) else set()
        if endings and not endings.issuperset(ending_of(Path(name)) for name in source.tagged):
            return source
        word, tag = (
            column if isinstance(column := self.info.source.get(name), int) else None
            for name in ("word_column", "tag_column")
        )
        return replace(source, word_column=source.word_column or word, tag_column=source.tag_column or tag)

    @property
    def has_confusion(self) -> bool:
        """Whether its metrics have a confusion matrix."""
        return self.aligned

    def evaluate_words(
        self,
        dataset: TaggedDataset,
        split: str = "test",
        *,
        progress: Callable[[int], object] = lambda count: None,
        process_group: ProcessGroup = SINGLE_PROCESS,
    ) -> TaggingMetrics:
        """``evaluate`` where every word has a tag."""
        self._check_alignment(dataset, aligned=True)
        rows, predicted, known, lengths = {}, {}, [], []
        truth: list[str] = []
        for turn, block in row_blocks(dataset.sentences(split), progress):
            for words, tags in block:
                truth += tags
                known += (self.tokenizer.encode(words) != self.tokenizer.unknown).tolist()
                lengths.append(len(words))
            if process_group.turn(turn):
                results = self.read([words for words, _ in block])
                rows[turn] = torch.cat([torch.from_numpy(log_p) for _, log_p in results])
                predicted[turn] = torch.tensor([tag for best, _ in results for tag in best])
        log_p = torch.cat([torch.zeros(0, len(self.labels)), *process_group.collect(rows)]).numpy()
        best = [tag for tags in process_group.collect(predicted) for tag in tags.tolist()]
        setup = f"{data_signature(dataset.name, dataset.splits, split)}|tokens:{self.tokenizer.signature}"
        setup += f"|output:{self.model.config.output}"
        labels, targets = self.with_unseen("tag", truth, dataset, split)
        return measure_tags(log_p, targets, best, known, lengths, labels, spans=bool(self.info.scheme), setup=setup)

    def evaluate_sequences(
        self,
        dataset: TaggedDataset,
        split: str = "test",
        *,
        num_beams: int = BEAMS,
        progress: Callable[[int], object] = lambda count: None,
    ) -> SequenceMetrics:
        """``evaluate`` where tags are not aligned with words (CTC).

        If a text is listed several times, any of its sequences counts as correct.
        """
        self._check_alignment(dataset, aligned=False)
        references: dict[str, list[tuple[str, ...]]] = {}
        for letters, tags in dataset.sentences(split):
            references.setdefault("".join(letters), []).append(tags)
        given = (tag for sequences in references.values() for tags in sequences for tag in tags)
        note_unseen("tag", given, self.labels, dataset, split, columns=False)
        predicted = [tagging.tags for tagging in self.stream(references, num_beams=num_beams, progress=progress)]
        setup = f"{data_signature(dataset.name, dataset.splits, split)}|tokens:letters|output:ctc|beams:{num_beams}"
        return measure_sequences(predicted, list(references.values()), setup=setup)

    def _check_alignment(self, dataset: TaggedDataset, *, aligned: bool) -> None:
        kinds = {True: "words, each with a tag", False: "letters, with tags that are not aligned with them (ctc)"}
        for name, actual in (("this model", self.aligned), (f"'{dataset.name}'", dataset.aligned)):
            if actual != aligned:
                raise TextseqError(f"{name}: expected {kinds[aligned]}, got {kinds[actual]}; choose another")


def tagger_model(config: TaggerConfig, lexicon: Lexicon, info: ModelInfo) -> TaggerModel:
    """The model for a lexicon and the tags of ``info``, with random weights."""
    if config.output == "auto":  # a run has resolved it
        raise TextseqError("config.json is damaged: it lacks 'output' of the model; restore the folder")
    allowed = allowed_transitions(info.labels, info.scheme)
    mask = None if allowed is None else torch.from_numpy(allowed)
    return TaggerModel(config, lexicon.size, lexicon.letters.size, len(info.labels), mask)


def words_of(text: str, words: WordSplitting = "nltk") -> tuple[str, ...]:
    """The words of a text; see ``Tagger.tag``."""
    if words == "spaces":
        return tuple(text.split())
    return tuple(words_by_sentence(text))
