"""A tagger at work: sentences in, a tag for every word out; or with CTC a text in, a sequence of tags out.

Shapes: N sentences, T words, or T frames of letters, C labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from typing import Literal, Self, get_args, overload

import numpy as np
import numpy.typing as npt
import torch

from textseq.checkpoints import checkpoint
from textseq.checkpoints.checkpoint import Checkpoint
from textseq.checkpoints.model_card import CardText, interval, label_results, label_text, result_table
from textseq.checkpoints.model_info import ModelInfo, Table
from textseq.config.decoding import Precision
from textseq.config.tokenizer import TokenizerConfig
from textseq.data.sources import DataSource, TaggedData
from textseq.data.tagged import TaggedDataset
from textseq.decoding.ctc import ctc_beam_search, ctc_greedy
from textseq.errors import TextseqError, unknown
from textseq.io.lines import read_ahead
from textseq.metrics.signature import data_signature
from textseq.metrics.tagging import SequenceMetrics, TaggingMetrics, measure_sequences, measure_tags
from textseq.tasks.predictor import Predictor, each
from textseq.tasks.tagging.batches import tag_batch
from textseq.tasks.tagging.config import TaggerConfig
from textseq.tasks.tagging.lexicon import Lexicon, load_lexicon
from textseq.tasks.tagging.model import TaggerModel
from textseq.tokenizers.pretokenizer import WORDS
from textseq.tokenizers.words import splitter
from textseq.training.devices import pick_device
from textseq.training.distributed.group import ALONE, ProcessGroup

BEAMS = 10
"""Sequences that a search with CTC keeps."""

BUFFER = 2048
"""Sentences that are sorted by length together."""

CHARACTERS = 2**22
"""Characters of them at most, but for the last, so that memory stays flat whatever comes."""

WORDS_AT_ONCE = 20_000
"""Words, with their padding, that are read side by side."""


Parting = Literal["nltk", "spaces"]


@dataclass(frozen=True)
class Tagging:
    """What a tagger says of a sentence."""

    words: tuple[str, ...]
    """Or with CTC the letters."""
    tags: tuple[str, ...]
    """One for each word; or with CTC a sequence of its own."""
    probabilities: tuple[float, ...]
    """Of each tag, whatever tags the others have; or with CTC one, of the whole sequence (with one beam, of the
    likeliest path to it)."""
    aligned: bool = True

    def __str__(self) -> str:
        if not self.aligned:
            return " ".join(self.tags)
        return " ".join(f"{word}/{tag}" for word, tag in zip(self.words, self.tags, strict=True))


class Tagger(Predictor[TaggedDataset]):
    """A tagger with its lexicon and tags.

    Args:
        model: set to evaluation mode.
        tokenizer: the lexicon that it was trained with.
        info: its metadata.
        precision: float32.

    Example:
        >>> print(textseq.load("treebank").tag("Time flies."))
        Time/NOUN flies/VERB ./.
    """

    noun = "a tagger"
    model: TaggerModel
    tokenizer: Lexicon

    @classmethod
    def open(cls, saved: Checkpoint, *, device: str = "cpu", precision: Precision = "float32") -> Self:
        where, info = str(saved.folder / "config.json"), saved.info
        if len(info.labels) < 2:
            raise TextseqError(f"{where} is damaged: expected two labels or more; restore the folder")
        config, lexicon = TaggerConfig.from_dict(info.model, where=where), load_lexicon(saved.folder, saved.tokenizer)
        sizes = lexicon.size, lexicon.letters.size, len(info.labels)
        model = checkpoint.build_with_weights(lambda: TaggerModel(config, *sizes), saved.weights, saved.folder)
        return cls(model.to(pick_device(device)), lexicon, info, precision=precision)

    @staticmethod
    def describe(name: str, info: ModelInfo) -> CardText:
        def row(result: Table) -> tuple[str, ...]:
            return (
                f"{result['sequence_error_rate']:.2%}",
                interval(result["interval_95"], ".2%"),
                f"{result['error_rate']:.2%}",
            )

        unaligned = info.model.get("output") == "ctc"
        rates = ("sequence error rate", "95 % interval", "tag error rate")
        return CardText(
            title=f"A recurrent tagger of {'letters, by CTC' if unaligned else 'words'} ({label_text(info)})",
            command=f"textseq-tag --model {name} < sentences.txt",
            python=f'print(textseq.load("{name}").tag("A sentence."))',
            trained_on=(f"- Language: {info.language or 'not stated'}.",),
            results=result_table(rates, info, row) if unaligned else label_results(info, "word"),
            limits=(
                "It gives one of its tags to every word, and knows only sentences like those that it was trained on.",
                "Sentences must be split into words as those were.",
            ),
        )

    def word_table(self) -> tuple[Sequence[str], torch.Tensor]:
        return self.tokenizer.words.vocabulary, self.model.embedding.weight

    @property
    def about(self) -> str:
        return ", ".join(self.labels)

    @property
    def labels(self) -> tuple[str, ...]:
        """The tags, in the order of the model's outputs."""
        return self.info.labels

    @property
    def aligned(self) -> bool:
        """Whether every word has a tag."""
        return self.model.config.output != "ctc"

    @overload
    def tag(  # type: ignore[overload-overlap]
        self, texts: str, *, words: Parting = "nltk", num_beams: int = BEAMS
    ) -> Tagging: ...
    @overload
    def tag(
        self, texts: Sequence[str | Sequence[str]], *, words: Parting = "nltk", num_beams: int = BEAMS
    ) -> list[Tagging]: ...
    def tag(
        self, texts: str | Sequence[str | Sequence[str]], *, words: Parting = "nltk", num_beams: int = BEAMS
    ) -> Tagging | list[Tagging]:
        """Tag the words of sentences; with CTC give the tags of texts.

        Args:
            texts: sentences, each a string or a list of its words; a single string is one sentence.
            words: how a string is split: by NLTK's Treebank rules ("don't," is do n't ,), or at white space. Without
                effect with CTC.
            num_beams: with CTC the hypotheses that the search keeps; 1 takes the most probable path, which is fast.

        Raises:
            TextseqError: a text that is neither, or an unknown setting.
        """
        return each(texts, lambda several: list(self.stream(several, words=words, num_beams=num_beams)))

    __call__ = tag

    def stream(
        self,
        texts: Iterable[str | Sequence[str]],
        *,
        words: Parting = "nltk",
        num_beams: int = BEAMS,
        buffer: int = BUFFER,
        progress: Callable[[int], object] = lambda count: None,
    ) -> Iterator[Tagging]:
        """The same of a stream of sentences of any length, in its order and in flat memory.

        Args:
            texts: of which so many are read ahead as
            words: as ``tag``.
            num_beams: likewise.
            buffer: says, or fewer if they are long, and sorted by length.
            progress: told how many are done, now and then.
        """
        if num_beams < 1:
            raise TextseqError(f"num_beams must be at least 1, found {num_beams}")
        if words not in get_args(Parting):
            raise unknown("way to part words", words, get_args(Parting))
        if isinstance(texts, str):
            raise TextseqError("stream wants texts, found one string; put it into a list")
        waiting = iter(texts)
        while some := read_ahead(waiting, buffer, CHARACTERS):
            for text in some:
                if not isinstance(text, str) and not (
                    isinstance(text, Sequence) and all(isinstance(word, str) for word in text)
                ):
                    raise TextseqError(f"tag wants a sentence, or a list of its words, found {text!r:.60}")
            if not self.aligned:
                yield from self._sequences(["".join(text).strip() for text in some], num_beams)
                progress(len(some))
                continue
            split_by_hash = [words_of(text, words) if isinstance(text, str) else tuple(text) for text in some]
            for sentence, (numbers, log_p) in zip(split_by_hash, self.read(split_by_hash), strict=True):
                chosen = np.exp(log_p[np.arange(len(numbers)), numbers]).tolist()
                yield Tagging(sentence, tuple(self.labels[number] for number in numbers), tuple(chosen))
            progress(len(some))

    def _sequences(self, texts: Sequence[str], num_beams: int) -> Iterator[Tagging]:
        """The likeliest sequence of tags of each text, by CTC."""
        for text, (_, log_p) in zip(texts, self.read(texts), strict=True):
            found, nats = (
                ctc_beam_search(log_p, num_beams)[0] if num_beams > 1 else (ctc_greedy(log_p), log_p.max(axis=1).sum())
            )
            tags = tuple(self.labels[number - 1] for number in found)  # without the blank
            yield Tagging(tuple(text), tags, (float(np.exp(nats)),), aligned=False)

    def read(self, sentences: Sequence[Sequence[str]]) -> list[tuple[list[int], npt.NDArray[np.float64]]]:
        """The numbers of each sentence's tags, (T,), and the log-probabilities of all, in nats, (T, C).

        With CTC, of each text, of which the letters are read, no numbers, and the log-probabilities of its frames.
        """
        found: list[tuple[list[int], npt.NDArray[np.float64]]] = [
            ([], np.zeros((0, len(self.labels)))) for _ in sentences
        ]
        longest_first = sorted(
            (number for number, words in enumerate(sentences) if words), key=lambda number: -len(sentences[number])
        )
        while longest_first:
            count = max(1, WORDS_AT_ONCE // len(sentences[longest_first[0]]))
            numbers, longest_first = longest_first[:count], longest_first[count:]
            batch = tag_batch(self.tokenizer, [sentences[number] for number in numbers], [[] for _ in numbers])
            batch = batch.to(self.device)
            with torch.inference_mode():
                best, log_p = self.model.read(batch)
            for number, tags, rows in zip(numbers, best, log_p.double().cpu().numpy(), strict=True):
                found[number] = tags, rows[: len(sentences[number]) * self.model.frames]
        return found

    def evaluate(
        self,
        dataset: TaggedDataset,
        split: str = "test",
        *,
        progress: Callable[[int], object] = lambda count: None,
        process_group: ProcessGroup = ALONE,
    ) -> TaggingMetrics | SequenceMetrics:
        """Measure the tagger on a split of a dataset: words, or with CTC whole sequences.

        Args:
            dataset: tagged sentences.
            split: of the dataset.
            progress: called with the number of sentences that are done.
            process_group: processes that share the work, all with the same model and dataset; one with CTC.

        Raises:
            TextseqError: the split has a tag that the model does not know or is empty, or only one of model and dataset
                has tags that are aligned with words.
        """
        if self.aligned:
            return self.evaluate_words(dataset, split, progress=progress, process_group=process_group)
        if process_group.count > 1:
            raise TextseqError("unaligned sequences are measured by one process; start it without torchrun")
        return self.evaluate_sequences(dataset, split, progress=progress)

    def evaluation_source(self, source: DataSource) -> DataSource:
        """The data source, aligned with words as the model is."""
        return replace(source, unaligned=not self.aligned) if isinstance(source, TaggedData) else source

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
        process_group: ProcessGroup = ALONE,
    ) -> TaggingMetrics:
        """How often the tags of a part are found.

        Args:
            dataset: the sentences.
            split: of the dataset.
            progress: told how many sentences are done.
            process_group: those that measure together, all with the same model and dataset.

        Raises:
            TextseqError: the part has a tag that the model never saw, or nothing to read; or the tags of dataset or
                model are not aligned with words.
        """
        self._check(dataset, aligned=True)
        number_of = {label: number for number, label in enumerate(self.labels)}
        rows, given, right, known, lengths = {}, {}, [], [], []
        sentences = dataset.sentences(split)
        for turn in count():
            if not (some := list(islice(sentences, BUFFER))):
                break
            for words, tags in some:
                self._check_tags(tags, dataset, split)
                right += [number_of[tag] for tag in tags]
                known += (self.tokenizer.encode(words) != self.tokenizer.unknown).tolist()
                lengths.append(len(words))
            if process_group.turn(turn):
                found = [*self.read([words for words, _ in some])]
                rows[turn] = torch.cat([torch.from_numpy(log_p) for _, log_p in found])
                given[turn] = torch.tensor([tag for best, _ in found for tag in best])
            progress(len(some))
        log_p = torch.cat([torch.zeros(0, len(self.labels)), *process_group.collect(rows)]).numpy()
        best = [tag for some in process_group.collect(given) for tag in some.tolist()]
        how = f"{data_signature(dataset.name, dataset.splits, split)}|tokens:{self.tokenizer.signature}"
        how += f"|output:{self.model.config.output}"
        return measure_tags(log_p, right, best, known, lengths, self.labels, how=how)

    def evaluate_sequences(
        self,
        dataset: TaggedDataset,
        split: str = "test",
        *,
        num_beams: int = BEAMS,
        progress: Callable[[int], object] = lambda count: None,
    ) -> SequenceMetrics:
        """How often the sequences of a part are found, where tags are not aligned with what is read.

        What is listed for a text more than once may be written in any of these ways.

        Raises:
            TextseqError: the part has a tag that the model never saw, or nothing to read; or the tags of dataset or
                model are aligned with words.
        """
        self._check(dataset, aligned=False)
        right: dict[str, list[tuple[str, ...]]] = {}
        for letters, tags in dataset.sentences(split):
            self._check_tags(tags, dataset, split)
            right.setdefault("".join(letters), []).append(tags)
        found = [one.tags for one in self.stream(right, num_beams=num_beams, progress=progress)]
        how = f"{data_signature(dataset.name, dataset.splits, split)}|tokens:letters|output:ctc|beams:{num_beams}"
        return measure_sequences(found, list(right.values()), how=how)

    def _check(self, dataset: TaggedDataset, *, aligned: bool) -> None:
        for what, its in (("this model", self.aligned), (f"'{dataset.name}'", dataset.aligned)):
            if its != aligned:
                how = "words, each with a tag" if its else "letters, with tags that are not aligned with them (ctc)"
                raise TextseqError(f"{what} has {how}, which is not what is measured here; name another")

    def _check_tags(self, tags: Sequence[str], dataset: TaggedDataset, split: str) -> None:
        if strange := set(tags).difference(self.labels):
            raise TextseqError(
                f"the {split} part of '{dataset.name}' has the tag '{min(strange)}', which the model never saw; "
                f"it knows {', '.join(self.labels)}"
            )


def words_of(text: str, words: Parting = "nltk") -> tuple[str, ...]:
    """The words of a text; see ``Tagger.tag``."""
    if words == "spaces":
        return tuple(text.split())
    split = splitter(TokenizerConfig(tokenizer="word"))
    return tuple(word.strip() for unit in WORDS.findall(text) if not unit.isspace() for word in split(unit))
