"""Runs of taggers: they learn, resume as if never stopped, are saved, measured and used; mistakes are told."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import textseq
from textseq.checkpoints.registry import newest
from textseq.data.sources import TaggedData
from textseq.data.tagged import TaggedDataset, own_tagged
from textseq.errors import Interrupted, TextseqError
from textseq.metrics.classification import measure_labels
from textseq.metrics.tagging import TaggingMetrics, measure_sequences, measure_tags
from textseq.tasks.tagging.batches import frames_needed, tag_batch
from textseq.tasks.tagging.config import TaggedConfig, TaggerConfig, TaggerTrainingConfig, TagOutput
from textseq.tasks.tagging.lexicon import Lexicon
from textseq.tasks.tagging.model import TaggerModel
from textseq.tasks.tagging.tagger import Tagger, words_of
from textseq.training.trainer import Trainer

Result = tuple[int, str, str]
SMALL = TaggerConfig(hidden_size=12, embedding_size=10, letter_size=6, letter_hidden_size=6)
QUICK = TaggerTrainingConfig(max_steps=40, max_epochs=None, evaluate_every=20, warmup_steps=5, learning_rate=2e-2)
TINY = ["--hidden-size", "8", "--embedding-size", "6", "--letter-hidden-size", "4", "--max-steps", "3", "--seed", "2"]
NOUNS, VERBS = ("dog", "cat", "bird", "fish", "cow"), ("sees", "hears", "likes", "feeds")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def sentences(home: Path) -> Path:
    """Sentences in columns; new nouns end in -ling, which letters alone can tell."""
    lines = []
    for n in range(120):
        first = f"{NOUNS[n % 5][:2]}{n}ling" if n % 3 == 0 else NOUNS[n % 5]
        words = ["the", first, VERBS[n % 4], "a", NOUNS[(n // 5) % 5], "."]
        tags = ["DET", "NOUN", "VERB", "DET", "NOUN", "."]
        lines += [f"{word}\t{tag}" for word, tag in zip(words, tags, strict=True)] + [""]
    (home / "own.conll").write_text("\n".join(lines))
    return home / "own.conll"


def train(sentences: Path, name: str = "mine", **settings: object) -> Tagger:
    given = {"model": SMALL, "data": TaggedConfig(batch_size=8), "training": QUICK, **settings}
    return textseq.train_tagger(tagged=[sentences], name=name, report=lambda line: None, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("words", ["the man says a house", "der Mann sieht ein Haus"])
def test_a_model_that_ships_is_suggested_only_for_its_language(words: str, home: Path) -> None:
    tagged = zip(words.split(), ("DET", "NOUN", "VERB", "DET", "NOUN"), strict=True)
    own = home / "own.conll"
    own.write_text(("\n".join(f"{word}\t{tag}" for word, tag in tagged) + "\n\n") * 2)
    said: list[str] = []
    data = TaggedData(tagged=(str(own),), validation=0)
    textseq.train_tagger(data_source=data, model=SMALL, training=QUICK, report=said.append)
    assert any("--from english-pos, which ships" in line for line in said) == words.startswith("the")


def weights(run: Path) -> dict[str, torch.Tensor]:
    folder = newest(run, "last")
    assert folder is not None
    return load_file(folder / "model.safetensors")


def test_it_learns_tags_and_unknown_words(sentences: Path) -> None:
    said: list[str] = []
    tagger = textseq.train_tagger(
        tagged=[sentences], model=SMALL, data=TaggedConfig(batch_size=8), training=QUICK, report=said.append
    )
    found = tagger.tag("the cat sees a duckling .")
    assert found.tags == ("DET", "NOUN", "VERB", "DET", "NOUN", ".")
    assert str(found).startswith("the/DET cat/NOUN")
    assert all(0 < p <= 1 for p in found.probabilities)
    assert any(("own: " in line and "5 tags" in line) or "4 tags" in line for line in said)
    assert any("use it with: textseq-tag --model own" in line for line in said)
    measured = tagger.evaluate_words(own_tagged([sentences]), "validation")
    assert tagger.evaluate(own_tagged([sentences]), "validation").to_dict() == measured.to_dict()
    assert measured.accuracy > 0.95
    assert measured.unknown[1] > 0
    assert measured.unit == "words" and measured.examples == 12 * 6
    again = textseq.load("own")
    assert isinstance(again, Tagger)
    assert again.tag("the cat sees a duckling .") == found


def test_a_stopped_run_goes_on_as_if_it_had_never_stopped(sentences: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = replace(SMALL, output="crf", num_layers=2)
    train(sentences, name="whole", model=model)
    step = Trainer.step

    def stopped(self: Trainer) -> tuple[torch.Tensor, int]:
        if self.progress.step == 23:
            self.stop_signal = 2
        return step(self)

    monkeypatch.setattr(Trainer, "step", stopped)
    with pytest.raises(Interrupted):
        train(sentences, name="parts", model=model)
    monkeypatch.undo()
    monkeypatch.setenv("TEXTSEQ_HOME", str(sentences.parent))
    textseq.resume("parts", report=lambda line: None)
    one, other = weights(sentences.parent / "runs" / "whole"), weights(sentences.parent / "runs" / "parts")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    sentences.write_text(sentences.read_text() + "\n\na DET\ncow NOUN\n")
    with pytest.raises(TextseqError, match="is not the one that the run was started with"):
        textseq.resume("parts", report=lambda line: None)


def test_a_batch_of_lines_gives_what_each_gives_alone(sentences: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tagger = train(sentences, model=replace(SMALL, output="crf"))
    lines = ["the dog sees a cat .", "", "fish", "a bird hears the very big cow of the dog .", "  ", "x" * 300]
    together = list(tagger.stream(lines))
    monkeypatch.setattr("textseq.tasks.tagging.tagger.WORDS_PER_BATCH", 4)
    for line, found, again in zip(lines, together, tagger.stream(lines, buffer=2), strict=True):
        alone = tagger.tag(line)
        assert alone.tags == found.tags == again.tags
        assert alone.probabilities == pytest.approx(found.probabilities, abs=1e-5)
    assert together[1] == together[4]
    assert together[1].words == ()
    assert tagger.tag([["New York", "sees"]])[0].words == ("New York", "sees")


def test_text_is_parted_into_words() -> None:
    assert words_of('He doesn\'t say "no".') == ("He", "does", "n't", "say", '"', "no", '"', ".")
    assert words_of("He doesn't.", "spaces") == ("He", "doesn't.")
    assert words_of(" \t") == ()
    assert words_of("Mr. Poe isn't in the U.S. today. “Not yet…”") == (
        *("Mr.", "Poe", "is", "n't", "in", "the", "U.S.", "today", ".", "“", "Not", "yet", "…", "”"),
    )
    assert words_of("10\u00a0000 men, e.g. we.") == ("10", "000", "men", ",", "e.g.", "we", ".")


def test_the_measures_are_those_of_the_definitions() -> None:
    p = np.log(np.array([[0.8, 0.2], [0.4, 0.6], [0.3, 0.7], [0.9, 0.1], [0.6, 0.4]]))
    right, given = [0, 1, 0, 0, 1], [0, 1, 1, 0, 1]  # the last was given though it is not the likeliest by itself
    found = measure_tags(p, right, given, [True, False, False, True, True], [2, 3], ("A", "B"), setup="corpus:x")
    assert found.accuracy == 0.8
    assert found.confusion.tolist() == [[2, 1], [0, 2]]
    assert found.unknown == (1, 2)
    assert found.sentences == (1, 2)
    assert found.interval == pytest.approx((2 / 3, 1))
    assert found.nats == measure_labels(p, right, ("A", "B")).nats
    assert "5 words; unknown words 50.00% of 2; whole sentences 50.00% of 2" in str(found)
    assert found.to_dict()["sentences"] == [1, 2]
    more = np.concatenate([p, np.full((5, 1), -9.0)], axis=1)  # a tag that no word has and none was given
    again = measure_tags(more, right, given, [True] * 5, [2, 3], ("A", "B", "C"))
    assert "5 words; whole sentences 50.00% of 2" in str(again), "there is no unknown word"
    assert again.macro_f1 == found.macro_f1 == pytest.approx((0.8 + 0.8) / 2)
    assert " words" in found.table().splitlines()[0]
    for lengths in ([2, 0, 3], [0, 2, 3], [2, 3, 0]):  # a sentence without a word has nothing wrong
        assert measure_tags(p, right, given, [True] * 5, lengths, ("A", "B")).sentences == (2, 3)


def test_another_tagger_gives_its_words_letters_and_tags(sentences: Path) -> None:
    old = train(sentences, name="old")
    other = sentences.with_name("other.conll")
    other.write_text(sentences.read_text().replace("\tNOUN", "\tN").replace("cow", "yak"))
    slow = replace(QUICK, max_steps=1, learning_rate=1e-12)
    new = train(other, name="new", init_from="old", training=slow, model=None)
    assert new.model.config == old.model.config
    row = {tag: n for n, tag in enumerate(old.labels)}
    for n, tag in enumerate(new.labels):
        same = torch.allclose(new.model.output.weight[n], old.model.output.weight[row.get(tag, 0)])
        assert same == (tag in row)
    words = ["the", "dog"]
    torch.testing.assert_close(
        new.model.embedding.weight[new.tokenizer.encode(words)], old.model.embedding.weight[old.tokenizer.encode(words)]
    )
    torch.testing.assert_close(new.model.recurrent.state_dict(), old.model.recurrent.state_dict())
    with pytest.raises(TextseqError, match="a model of the same shape"):
        train(other, name="x", init_from="old", model=replace(SMALL, hidden_size=13))


@pytest.mark.parametrize("output", ["softmax", "crf"])
def test_a_tagger_that_goes_on_with_few_sentences_forgets_nothing(sentences: Path, output: TagOutput) -> None:
    old = train(sentences, name="old", model=replace(SMALL, output=output))
    few = sentences.with_name("few.conll")
    few.write_text("".join(f"the\tDET\nyak\tNOUN\n{n}\tNOUN\n!\tMARK\n\n" for n in range(40)))
    slow, said = replace(QUICK, max_steps=1, learning_rate=1e-12), list[str]()
    new = textseq.train_tagger(tagged=few, init_from="old", training=slow, report=said.append)
    assert said[-1] and any(
        "its tokenizer is kept; your data add 2 words, 2 characters, 1 label" in line for line in said
    )
    assert new.labels == (*old.labels, "MARK")
    dataset = own_tagged([sentences])
    assert (
        new.evaluate_words(dataset, "validation").accuracy >= old.evaluate_words(dataset, "validation").accuracy > 0.9
    )
    assert textseq.load_tagger("few").tag("the cat sees a yak !").tags == new.tag("the cat sees a yak !").tags
    textseq.resume("few", training=replace(slow, max_steps=2), report=said.append)


def test_it_begins_with_word_vectors(sentences: Path, home: Path) -> None:
    (home / "v.txt").write_text("".join(f"{word} {' '.join(['7'] * 10)}\n" for word in ("the", "dog")))
    origin = TaggedData(tagged=(str(sentences),), vectors=str(home / "v.txt"))
    slow = replace(QUICK, max_steps=1, learning_rate=1e-12)
    made = textseq.train_tagger(data_source=origin, model=SMALL, training=slow, report=lambda line: None)
    (row,) = made.tokenizer.encode(["dog"])
    torch.testing.assert_close(made.model.embedding.weight[row], torch.full((10,), 7.0))
    with pytest.raises(TextseqError, match="--vectors and --from"):
        textseq.train_tagger(data_source=origin, init_from="own", overwrite=True)


@pytest.fixture
def sounds(home: Path) -> Path:
    """Letters and their sounds: x has two, and h is not heard."""
    rng = np.random.default_rng(0)
    said = {"a": "A", "b": "B", "x": "K S", "h": "", "o": "O"}
    texts = {"".join(rng.choice(list("abxho"), rng.integers(2, 6))) for _ in range(300)} - {
        "hh",
        "hhh",
        "hhhh",
        "hhhhh",
    }
    lines = [f"{text}\t{' '.join(' '.join(said[letter] for letter in text).split())}" for text in sorted(texts)]
    (home / "sounds.tsv").write_text("\n".join(lines) + "\n")
    return home / "sounds.tsv"


def test_sequences_that_are_not_aligned_are_learnt(sounds: Path, home: Path) -> None:
    origin = TaggedData(tagged=(str(sounds),), unaligned=True)
    quick = replace(QUICK, max_steps=150, evaluate_every=50)
    said: list[str] = []
    batching = TaggedConfig(batch_size=16)
    tagger = textseq.train_tagger(data_source=origin, model=SMALL, data=batching, training=quick, report=said.append)
    assert tagger.model.config.output == "ctc" and not tagger.aligned
    found = tagger.tag("baxho")
    assert (found.tags, str(found)) == (("B", "A", "K", "S", "O"), "B A K S O")
    assert found.words == tuple("baxho")
    assert 0 < found.probabilities[0] <= 1
    assert tagger.tag("baxho", num_beams=1).tags == found.tags
    corpus = origin.open()
    measured = tagger.evaluate_sequences(corpus, "validation")
    assert measured.sequence_error_rate < 0.1
    assert measured.error_rate <= measured.sequence_error_rate
    assert any("right in every tag" in line for line in said)
    again = textseq.load_tagger("sounds")
    assert again.tag("baxho") == found
    assert "sequence error rate" in (home / "runs" / "sounds" / "README.md").read_text()
    alone = [tagger.tag(text) for text in ("ab", "", "xoxox")]
    for one, other in zip(alone, tagger.stream(["ab", "", "xoxox"]), strict=True):
        assert one.tags == other.tags
        assert one.probabilities == pytest.approx(other.probabilities, rel=1e-4)
    assert tagger.evaluate(corpus, "validation") == measured
    with pytest.raises(TextseqError, match="letters, with tags that are not aligned with them"):
        tagger.evaluate_words(corpus, "validation")
    with pytest.raises(
        TextseqError, match=r"--output: expected ctc, as the tags of 'sounds\.tsv' are not aligned, got crf"
    ):
        textseq.train_tagger(data_source=origin, model=replace(SMALL, output="crf"), name="x")
    with pytest.raises(TextseqError, match="num_beams: expected at least 1"):
        tagger.tag("a", num_beams=0)


def test_sequences_that_cannot_be_written_are_told_and_not_counted(home: Path) -> None:
    """Two letters of one frame each have room for two tags, or for two that are the same and the blank between not."""
    rows = [("A B", 1), ("A A", 1), ("A B A B A B A B A", 1), ("B", 3)]
    path = home / "sounds.tsv"
    texts = (f"{chr(97 + n)}{'ab' * more}\t{tags}\n" for n in range(20) for tags, more in rows)
    path.write_text("".join(texts))
    said: list[str] = []
    quick = replace(QUICK, max_steps=2, evaluate_every=2, best_by="loss")
    how = {"model": replace(SMALL, frames=1), "training": quick, "report": said.append}
    tagger = textseq.train_tagger(data_source=TaggedData(tagged=(str(path),), unaligned=True), **how)  # type: ignore[arg-type]
    told = [line for line in said if "more tags than --frames 1 can write; they are not learned from" in line]
    assert len(told) >= 1 and all(line.endswith("(--frames 3 would be enough for all)") for line in told)
    batch = tag_batch(tagger.tokenizer, ["aba", "aba"], [[0, 1, 0], [0, 0, 0]])
    alone = tag_batch(tagger.tokenizer, ["aba"], [[0, 1, 0]])
    with torch.no_grad():
        both, one = (tagger.model.loss(some, None) for some in (batch, alone))
    assert both.count == one.count == 3 and both.nats.item() == pytest.approx(one.nats.item(), rel=1e-5)
    assert [frames_needed(tags) for tags in ([], [1], [1, 2], [1, 1], [1, 1, 1, 2])] == [0, 1, 2, 3, 6]
    path.write_text("".join(f"a{chr(97 + n)}\tA B A B\n" for n in range(26)))
    with pytest.raises(TextseqError, match=r"of \d+ training texts have more tags than --frames 1 can .* --frames 2"):
        textseq.train_tagger(data_source=TaggedData(tagged=(str(path),), unaligned=True), name="x", **how)  # type: ignore[arg-type]


def test_the_loss_of_sequences_is_the_mean_over_their_tags(sounds: Path) -> None:
    source = TaggedData(tagged=(str(sounds),), unaligned=True)
    said: list[str] = []
    training = replace(QUICK, max_steps=1, evaluate_every=1)
    tagger = textseq.train_tagger(data_source=source, model=SMALL, training=training, report=said.append)
    texts, tags = zip(*source.open().sentences("validation"), strict=True)
    batch = tag_batch(tagger.tokenizer, texts, [[tagger.labels.index(tag) for tag in some] for some in tags])
    with torch.no_grad():
        nats = float(tagger.model.loss(batch, None).nats) / sum(map(len, tags))
    assert any(f"{nats:.4f} nats per tag" in line for line in said)


def test_ctc_is_computed_where_it_can_be_deterministic(sounds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = TaggerModel(replace(SMALL, output="ctc"), 5, 5, 3)
    batch = tag_batch(Lexicon.train([("a", "b")] * 2, TaggedConfig()), ["ab", "ba"], [[0, 1], [2]])
    plain = model.eval().loss(batch, None).nats
    moved: list[Tensor] = []
    cpu = Tensor.cpu

    def counted(self: Tensor) -> Tensor:
        moved.append(self)
        return cpu(self)

    monkeypatch.setattr(Tensor, "cpu", counted)
    with deterministic_algorithms():
        found = model.loss(batch, None).nats
    assert len(moved) == 2 and found.item() == plain.item()


@contextmanager
def deterministic_algorithms() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def test_ways_to_part_words_that_do_not_exist_are_refused(sentences: Path) -> None:
    tagger = textseq.train_tagger(tagged=[sentences], model=SMALL, training=replace(QUICK, max_steps=1))
    with pytest.raises(TextseqError, match="unknown word splitting 'nltl'; did you mean 'nltk'"):
        tagger.tag("a", words="nltl")  # type: ignore[call-overload]
    with pytest.raises(TextseqError, match="stream: expected a list of texts, got one string; put it into a list"):
        next(tagger.stream("a text"))


@pytest.mark.parametrize("unaligned", [False, True])
def test_what_is_no_text_is_refused(unaligned: bool, sentences: Path, sounds: Path) -> None:
    origin = TaggedData(tagged=(str(sounds if unaligned else sentences),), unaligned=unaligned)
    tagger = textseq.train_tagger(data_source=origin, model=SMALL, training=replace(QUICK, max_steps=1))
    for text in (None, 3, b"ab", [1, 2], ["a", None]):
        with pytest.raises(TextseqError, match="tag: expected a sentence or a list of its words, got"):
            tagger.tag([text])  # type: ignore[list-item]


def test_tags_that_a_model_never_saw_count_as_wrong(
    sentences: Path, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tagger = train(sentences)
    words, tags = next(tagger_data(sentences).sentences("train"))
    (home / "strange.txt").write_text(
        "".join(f"{word} {tag}\n" for word, tag in zip(words, tags, strict=True)) + "x Z\n"
    )
    metrics = tagger.evaluate_words(tagger_data(home / "strange.txt"), "train")
    assert metrics.labels[-1] == "Z" and metrics.per_label[-1].recall == 0 and metrics.nats < 100
    assert f"tags that the model does not know ('Z'; 1 of {len(words) + 1}): they count as wrong" in caplog.text


def test_the_columns_of_the_training_are_read_in_files_of_the_same_kind(home: Path) -> None:
    def table(name: str, lines: list[str]) -> str:
        (home / name).write_text("".join(f"{line}\n" for line in lines))
        return str(home / name)

    lines = [f"{n}\t{word}\t_\tX\t{tag}" + "\t_" * 5 for n, (word, tag) in enumerate([("a", "D"), ("cat", "N")], 1)]
    training = TaggedData(tagged=(table("train.conllu", [*lines, ""] * 4),), tag_column=5, validation=0)
    tagger = textseq.train_tagger(data_source=training, model=SMALL, training=replace(QUICK, max_steps=1))

    def known_tags(source: TaggedData) -> tuple[str, ...]:
        whole = tagger.evaluation_source(source).open_whole()
        assert isinstance(whole, TaggedDataset)
        return tagger.evaluate_words(whole, "train").labels

    alike = TaggedData(tagged=(table("test.conllu", lines),))
    assert known_tags(alike) == ("D", "N")
    other = TaggedData(tagged=(table("test.txt", ["a D", "cat N"]),))
    assert known_tags(other) == ("D", "N")
    asked = replace(alike, tag_column=4)
    assert tagger.evaluation_source(asked) == asked
    with pytest.raises(
        TextseqError, match=r"^'test.conllu' has only tags .* if the tags are in another column, say with --tag-column"
    ):
        tagger.evaluate_words(asked.open_whole(), "train")
    corpus = TaggedData(corpus="treebank")
    assert tagger.evaluation_source(corpus) == corpus


def tagger_data(path: Path) -> TaggedDataset:
    return TaggedData(tagged=(str(path),), validation=0).open(whole=True)


def test_tags_that_a_model_never_saw_are_told_without_alignment_too(
    sounds: Path, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    origin = TaggedData(tagged=(str(sounds),), unaligned=True)
    tagger = textseq.train_tagger(data_source=origin, model=SMALL, training=replace(QUICK, max_steps=1))
    (home / "strange.tsv").write_text("ab\tA B\nbo\tB Z\n")
    strange = TaggedData(tagged=(str(home / "strange.tsv"),), unaligned=True, validation=0).open()
    assert tagger.evaluate_sequences(strange, "train").wrong > 0
    assert "tags that the model does not know ('Z'; 1 of 4): they count as wrong" in caplog.text
    (home / "strange.tsv").write_text("ab\tZ\n")
    with pytest.raises(
        TextseqError, match=r"has only tags that the model does not know \('Z'\); it knows A, B, K, O, S$"
    ):
        tagger.evaluate_sequences(TaggedData(tagged=("strange.tsv",), unaligned=True).open(whole=True), "train")


def test_an_evaluation_reads_so_many_words_as_are_asked_for(sentences: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []
    whole = Tagger.evaluate_words

    def measure(self: Tagger, corpus: TaggedDataset, split: str = "test", **how: Any) -> TaggingMetrics:
        counts.append(sum(1 for _ in corpus.sentences(split)))
        return whole(self, corpus, split, **how)

    monkeypatch.setattr(Tagger, "evaluate_words", measure)
    quick = replace(QUICK, max_steps=1, evaluate_tokens=20)
    textseq.train_tagger(tagged=[sentences], model=SMALL, training=quick, name="few")
    during, last = counts
    assert 1 <= during < last / 2


def test_sequences_are_compared_with_the_nearest_that_is_right() -> None:
    right: list[list[tuple[str, ...]]] = [[("K", "AE", "T")], [("T", "AH", "M"), ("T", "OW")], [("A",)]]
    found = measure_sequences([("K", "T"), ("T", "OW"), ("A", "B")], right, setup="corpus:x")
    assert (found.wrong, found.sequences) == (2, 3)
    assert found.error_rate == pytest.approx(2 / 6)
    assert "sequence error rate 66.67%" in str(found) and "tag error rate 33.33%, 3 sequences" in str(found)
    with pytest.raises(TextseqError, match="expected at least one sequence"):
        measure_sequences([], [])


# The commands


def test_from_letters_to_sounds(command: Callable[..., Result], sounds: Path) -> None:
    code, out, err = command("train", "--tagged", sounds, "--unaligned", "--frames", "2", *TINY)
    assert (code, out) == (0, ""), err
    code, out, err = command("tag", "--model", "sounds", stdin=b"abx\n\n")
    assert (code, err, len(out.split("\n"))) == (0, "", 3)
    code, out, err = command("evaluate", "--tagged", sounds, "--model", "sounds")
    assert code == 0, err
    assert out.startswith("sequence error rate") and "output:ctc|beams:10" in out
    for arguments, says in (
        (
            ["evaluate", "--tagged", sounds, "--model", "sounds", "--plot-confusion", "c.png"],
            "needs a model that predicts one label",
        ),
        (["tag", "--model", "sounds", "--num-beams", "0"], "--num-beams: expected at least 1"),
    ):
        code, out, err = command(*arguments)
        assert (code, out, len(err.splitlines())) == (2, "", 1), (arguments, err)
        assert re.search(says, err), err


def test_from_columns_to_tags(command: Callable[..., Result], sentences: Path, home: Path) -> None:
    code, out, err = command("train", "--tagged", sentences, "--name", "mine", "--output", "crf", *TINY)
    assert (code, out) == (0, ""), err
    assert "validation: accuracy" in err
    code, out, err = command("tag", "--model", "mine", stdin=b"the dog sees.\n\nfish\r\n")
    assert (code, err) == (0, "")
    lines = out.split("\n")
    assert [pair.split("/")[0] for pair in lines[0].split()] == ["the", "dog", "sees", "."]
    assert lines[1] == "" and len(lines) == 4
    code, out, err = command("tag", "--model", "mine", "--json", "--words", "spaces", stdin=b"the dog sees.\n")
    record = json.loads(out)
    assert record["words"] == ["the", "dog", "sees."]
    assert len(record["tags"]) == len(record["probabilities"]) == 3
    (home / "in.txt").write_text("the dog\na cat\n")
    assert command("tag", "--model", "mine", "--input", "in.txt", "--output", "out.txt") == (0, "", "")
    assert len((home / "out.txt").read_text().splitlines()) == 2
    assert "mine  ., DET, NOUN, VERB; " in command("tag", "--list-models")[1]
    code, out, err = command("evaluate", "--tagged", sentences, "--model", "mine", "--plot-confusion", "c.png")
    assert code == 0, err
    assert out.startswith("accuracy ") and "output:crf" in out and "true/pred." in out and "whole sentences" in out
    assert (home / "c.png").exists()
    code, out, err = command("train", "--resume", "mine", "--max-steps", "4")
    assert code == 0, err


def test_mistakes_are_one_line(command: Callable[..., Result], sentences: Path, home: Path) -> None:
    train(sentences)
    (home / "one.conll").write_text("a X\nb X\n")
    (home / "strange.conll").write_text("a P\nb Q\n")
    cases: list[tuple[list[str], str]] = [
        (["tag", "--model", "nobody"], "unknown model 'nobody'; known: english-pos, mine .searched"),
        (["tag", "--model", "treebank"], "unknown model 'treebank'; .*: textseq-train --recipe treebank"),
        (["tag", "--model", "shakespeare"], "expected a tagger, got .*, which is a language model; use it with"),
        (["classify", "--model", "mine"], "expected a classifier, got mine, which is a tagger; use it"),
        (["train", "--tagged", "none.conll"], "got no file at"),
        (["train", "--tagged", "one.conll"], "expected at least 2 tags, got only 'X'"),
        (["train", "--tagged", "own.conll", "--tag-column", "7"], "with too few columns"),
        (["train", "--tagged", "own.conll", "--best-by", "bleu"], "expected accuracy or f1 or loss for a tagger"),
        (["train", "--task", "tagging"], "name a corpus, or your own files with --tagged"),
        (["train", "treebank", "--text", "a"], "corpus 'treebank' asks for a tagger, --text for a language model"),
        (["train", "treebank", "--task", "classification"], "corpus 'treebank' for a tagger"),
        (["evaluate", "--tagged", "strange.conll", "--model", "mine"], r"model does not know \('P', 'Q'\)"),
        (["evaluate", "--labelled", "own.conll", "--model", "mine"], "--labelled is for classifiers"),
        (["evaluate", "--tagged", "own.conll", "--model", "mine", "--split", "test"], "evaluated as a whole"),
        (["evaluate", "brown", "--model", "mine", "--tag-column", "2"], "--tag-column is for --tagged"),
        (["evaluate", "--text", "a", "--model", "shakespeare", "--plot-confusion", "c.png"], "needs a model that"),
        (["evaluate", "--text", "a", "--model", "english-authors", "--plot-confusion", "c.png"], "needs a model that"),
    ]  # fmt: skip
    for arguments, told in cases:
        code, out, err = command(*arguments)
        assert (code, out, len(err.splitlines())) == (2, "", 1), (arguments, err)
        assert re.search(told, err), (arguments, err)


def test_bytes_that_are_no_text_lose_nothing_that_was_tagged(command: Callable[..., Result], sentences: Path) -> None:
    train(sentences)
    code, out, err = command("tag", "--model", "mine", stdin=b"the dog\na cat\ncaf\xe9\n")
    assert code == 2
    assert len(out.splitlines()) == 2
    assert "line 3 of stdin is not utf-8 text: byte 0xe9 at character 4" in err
