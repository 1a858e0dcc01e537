"""From labelled texts to a classifier: it learns, resumes as if never stopped, and says first what will not do."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import textseq
from textseq.checkpoints.checkpoint import read_tensors, set_info
from textseq.checkpoints.model_info import read_info
from textseq.checkpoints.registry import newest
from textseq.config.tokenizer import TokenizerName
from textseq.config.training import TrainingConfig
from textseq.data.labelled import LabelledDataset
from textseq.data.sources import LabelledData
from textseq.errors import Interrupted, TextseqError
from textseq.metrics.classification import ClassificationMetrics, combine, measure_labels
from textseq.tasks.classification.classifier import Classifier
from textseq.tasks.classification.config import ClassifierConfig, ClassifierTrainingConfig, LabelledConfig
from textseq.tasks.classification.leakage import leak
from textseq.tasks.classification.model import ClassifierModel
from textseq.tasks.classification.run import _class_weights
from textseq.tasks.language_model.config import DataConfig, LanguageModelConfig
from textseq.tasks.translation.config import PairConfig, TranslatorTrainingConfig
from textseq.training.optimizers import grouped
from textseq.training.trainer import Trainer

SMALL = ClassifierConfig(hidden_size=12, embedding_size=8, dropout=0, embedding_dropout=0)
LETTERS = LabelledConfig(tokenizer="char", batch_size=8)
QUICK = ClassifierTrainingConfig(max_steps=4, max_epochs=None, evaluate_every=2, warmup_steps=0)

Result = tuple[int, str, str]


@pytest.fixture(autouse=True)
def home(empty_home: Path) -> Path:
    return empty_home


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """A table whose texts say what they are."""
    rng = np.random.default_rng(1)
    lines = ["label,text"]
    for number in range(200):
        words = rng.choice(["the", "film", "is", "a", "story", "of", "time"], rng.integers(2, 9)).tolist()
        label = ("good", "bad")[number % 2]
        words.insert(int(rng.integers(0, len(words))), {"good": "lovely", "bad": "awful"}[label])
        lines.append(f"{label},{' '.join(words)} {number}")
    path = tmp_path / "reviews.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def train(
    reviews: Path, said: list[str] | None = None, *, model: ClassifierConfig = SMALL,
    training: ClassifierTrainingConfig = QUICK, name: str | None = None, init_from: str | None = None,
) -> Classifier:  # fmt: skip
    return textseq.train_classifier(
        labelled=[reviews], model=model, data=LETTERS, training=training, overwrite=True, name=name,
        init_from=init_from, report=(said if said is not None else []).append,
    )  # fmt: skip


def test_it_learns_and_leaves_a_whole_folder(reviews: Path, home: Path) -> None:
    said: list[str] = []
    training = replace(QUICK, max_steps=120, evaluate_every=60, learning_rate=0.01)
    words = LabelledConfig(batch_size=8)
    classifier = textseq.train_classifier(
        labelled=[reviews], model=SMALL, data=words, training=training, report=said.append
    )
    assert classifier.classify(["a lovely story", "an awful film"])[0].label == "good"
    assert [one.label for one in classifier.classify(["the time is lovely", "awful"])] == ["good", "bad"]
    folder = home / "runs" / "reviews"
    assert {"README.md", "curve.png", "log.jsonl"} <= {path.name for path in folder.iterdir()}
    log = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    assert {"validation_loss", "validation_accuracy", "validation_macro_f1"} in [
        {n for n in row if n.startswith("validation")} for row in log
    ]
    assert any("200 texts" in line or "180 texts (bad 90, good 90)" in line for line in said)
    assert any(re.search(r"step 60: validation accuracy \d+\.\d\d%, ", line) for line in said)
    assert any("use it with: textseq-classify --model reviews" in line for line in said)
    again = textseq.load("reviews")
    assert isinstance(again, Classifier)
    assert again.classify(["awful"]) == classifier.classify(["awful"])
    assert again.info.temperature == classifier.temperature
    assert "accuracy" in (folder / "README.md").read_text()
    table = json.loads((next(folder.glob("best-*")) / "config.json").read_text())
    assert table["labels"] == ["bad", "good"]
    signature = "corpus:reviews.csv|split:validation|tokens:word-norm-text|labels:2"
    assert table["results"][0]["signature"].startswith(signature)


@pytest.mark.parametrize(("language", "suggested"), [("English", True), ("German", False)])
def test_a_model_that_ships_is_suggested_only_for_its_language(
    language: str, suggested: bool, reviews: Path, home: Path
) -> None:
    textseq.train_classifier(
        labelled=reviews, model=SMALL, data=LabelledConfig(batch_size=8), training=QUICK, report=lambda line: None
    ).save(home / "shipped" / "films")
    if language == "German":
        german = {"the": "der", "film": "Film", "is": "ist", "a": "eine", "story": "Geschichte", "of": "von"}
        german |= {"time": "Zeit", "lovely": "lieblich", "awful": "scheußlich"}
        reviews.write_text(re.sub(r"\w+", lambda word: german.get(word[0], word[0]), reviews.read_text()))
    said: list[str] = []
    train(reviews, said)
    assert any("--from films, which ships" in line for line in said) == suggested


def last(folder: Path) -> dict[str, torch.Tensor]:
    """The weights of a run's last checkpoint."""
    return read_tensors(next(folder.glob("last-*")) / "model.safetensors")


def test_one_file_need_be_in_no_list(reviews: Path) -> None:
    for given in (reviews, str(reviews), [reviews]):
        classifier = textseq.train_classifier(labelled=given, model=SMALL, data=LETTERS, training=QUICK, overwrite=True)
        assert classifier.info.source["labelled"] == [str(reviews)]


def test_a_resumed_run_equals_one_never_stopped(reviews: Path, home: Path) -> None:
    training = replace(QUICK, max_steps=6, schedule="constant")
    model = replace(SMALL, dropout=0.3, embedding_dropout=0.2, word_dropout=0.1, weight_dropout=0.2)
    train(reviews, model=model, training=training, name="whole")
    train(reviews, model=model, training=replace(training, max_steps=3), name="halves")
    textseq.resume("halves", training=training)
    ours, theirs = (last(home / "runs" / name) for name in ("halves", "whole"))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(("best_by", "step"), [("accuracy", 4), ("macro_f1", 2), ("loss", 6)])
def test_the_best_checkpoint_is_chosen_by_accuracy_macro_f1_or_loss(
    reviews: Path, monkeypatch: pytest.MonkeyPatch, best_by: str, step: int
) -> None:
    confusions = [[4, 1], [2, 3]], [[8, 0], [2, 0]], [[7, 0], [3, 0]]
    results = iter(zip(confusions, (3.0, 2.0, 1.0), strict=True))  # after 2, 4 and 6 steps

    def measured(log_p: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> ClassificationMetrics:
        confusion, nats = next(results)
        return replace(measure_labels(log_p, labels, names), confusion=np.array(confusion), nats=nats)

    monkeypatch.setattr("textseq.tasks.classification.run.measure_labels", measured)
    training = ClassifierTrainingConfig.from_dict({**QUICK.to_dict(), "max_steps": 6, "best_by": best_by}, where="here")
    assert train(reviews, training=training).info.step == step


def test_texts_are_truncated_in_training_alone(reviews: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []
    logits_of = Classifier.logits_of

    def watched(self: Classifier, ids: Sequence[np.ndarray], *rest: Callable[[int], object]) -> np.ndarray:
        lengths.extend(map(len, ids))
        return logits_of(self, ids, *rest)

    monkeypatch.setattr(Classifier, "logits_of", watched)
    textseq.train_classifier(labelled=[reviews], model=SMALL, data=replace(LETTERS, longest=5), training=QUICK)
    assert min(lengths) > 5


def test_balanced_weights_count_rare_labels_more() -> None:
    counts = np.array([90, 10])
    assert _class_weights(ClassifierConfig(), counts) is None
    found = _class_weights(ClassifierConfig(class_weights="balanced"), counts)
    assert found is not None
    assert found.tolist() == pytest.approx([5 / 9, 5])
    assert (found.numpy() * counts).sum() == pytest.approx(100)  # the examples count 1 on average


def test_a_model_is_trained_further_on_other_labels(reviews: Path, tmp_path: Path) -> None:
    first = train(reviews, name="first")
    other = tmp_path / "other.csv"
    other.write_text("label,text\n" + "".join(f"{('good', 'odd')[n % 2]},text {n}!\n" for n in range(60)))
    said: list[str] = []
    training = replace(QUICK, max_steps=1, learning_rate=1e-9)
    second = train(other, said, training=training, name="second", init_from="first")
    assert second.labels == ("bad", "good", "odd")
    torch.testing.assert_close(second.model.output.weight[:2], first.model.output.weight)
    assert {*second.tokenizer.vocabulary} - {*first.tokenizer.vocabulary} == {"x", "!"}
    assert any("; its tokenizer is kept; your data add 2 characters, 1 label" in line for line in said)
    dataset = LabelledData(labelled=(str(reviews),)).open()
    before, after = (one.evaluate(dataset, "validation") for one in (first, second))
    assert isinstance(before, ClassificationMetrics) and isinstance(after, ClassificationMetrics)
    assert after.accuracy == before.accuracy
    other.write_text(other.read_text().replace("good", "even"))
    third = train(other, said, training=training, name="third", init_from="first")
    assert third.labels == ("even", "odd") and "2 labels in place of its own" in "".join(said)
    with pytest.raises(TextseqError, match="--from: expected a model of the same shape"):
        train(other, model=replace(SMALL, hidden_size=9), init_from="first")


def test_word_vectors_are_loaded(reviews: Path, tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text("lovely 1 2 3\nawful 4 5 6\n")
    origin = LabelledData(labelled=(str(reviews),), vectors=str(tmp_path / "v.txt"))
    classifier = textseq.train_classifier(
        data_source=origin, model=replace(SMALL, embedding_size=3), training=replace(QUICK, frozen_steps=100)
    )
    assert classifier.vectors["lovely"].tolist() == [1, 2, 3]


def test_what_will_not_do_is_refused_before_anything_is_replaced(reviews: Path, home: Path) -> None:
    train(reviews)
    before = sorted((home / "runs" / "reviews").rglob("*"))
    cases: list[tuple[dict[str, object], str]] = [
        (
            {"labelled": [reviews], "training": replace(QUICK, best_by="bleu")},
            "--best-by: expected accuracy or macro_f1 or loss for a classifier, got bleu; choose one",
        ),
        (
            {
                "data_source": LabelledData(labelled=(str(reviews),), validation=0),
                "training": replace(QUICK, average="best"),
            },
            "--average best needs validation data, and there are none",
        ),
        ({"data_source": LabelledData(labelled=(str(reviews),), corpus="sst2")}, "name a corpus or give your own"),
        ({"data_source": LabelledData()}, "name a corpus or give your own"),
        (
            {"labelled": [reviews], "data_source": LabelledData()},
            "data_source: expected it alone, got the corpus or files",
        ),
        ({"labelled": [reviews], "init_from": "nobody"}, "unknown model 'nobody'"),
    ]
    for given, told in cases:
        with pytest.raises(TextseqError, match=told):
            textseq.train_classifier(overwrite=True, name="reviews", **given)  # type: ignore[arg-type]
    with pytest.raises(TextseqError, match=r"the text of .* is not the one that the run was started with"):
        reviews.write_text(reviews.read_text() + "good,one more\n")
        textseq.resume("reviews")
    assert sorted((home / "runs" / "reviews").rglob("*")) == before


def test_without_validation_the_defaults_train_and_resume(reviews: Path) -> None:
    source = LabelledData(labelled=(str(reviews),), validation=0)
    classifier = textseq.train_classifier(data_source=source, model=SMALL, data=LETTERS, training=QUICK)
    assert classifier.info.results == ()
    assert textseq.resume("reviews", training=replace(QUICK, max_steps=6)).info.step == 6


def test_cross_validation_measures_every_text_once_and_goes_on_where_it_stopped(reviews: Path, home: Path) -> None:
    said: list[str] = []

    def validate(training: ClassifierTrainingConfig = QUICK) -> list[ClassificationMetrics]:
        origin = LabelledData(labelled=(str(reviews),), folds=3)
        return textseq.train_classifiers(origin, model=SMALL, data=LETTERS, training=training, report=said.append)

    found = validate()
    assert sum(one.examples for one in found) == 200
    names = [f"reviews-fold{number}of3" for number in (1, 2, 3)]
    assert sorted(path.name for path in (home / "runs").iterdir()) == names
    scores = np.array([one.accuracy for one in found])
    assert said[-1].startswith(f"3 folds: accuracy {scores.mean():.2%} +- {scores.std(ddof=1):.2%}, macro F1 ")
    whole = combine(found)
    assert whole.examples == 200 and said[-1].endswith(f"all together:\n{whole.table()}")
    texts = [set(LabelledData(labelled=(str(reviews),), folds=3, fold=n).open().examples("test")) for n in (1, 2, 3)]
    assert len(set.union(*texts)) == 200
    weights = [last(home / "runs" / name) for name in names]
    shutil.rmtree(home / "runs" / names[1])
    again = validate()
    assert [one.to_dict() for one in again] == [one.to_dict() for one in found]
    assert all(torch.equal(last(home / "runs" / names[1])[name], weights[1][name]) for name in weights[1])
    with pytest.raises(TextseqError, match="fold1of3 was made with other settings; --overwrite replaces it"):
        validate(replace(QUICK, learning_rate=0.5))
    with pytest.raises(TextseqError, match="expected --folds or --seeds for several classifiers, got neither"):
        textseq.train_classifiers(LabelledData(labelled=(str(reviews),)))
    other = home / "other.csv"
    other.write_text(reviews.read_text().replace("good,", "none,").replace("bad,", "good,").replace("none,", "bad,"))
    origin = LabelledData(labelled=(str(other),), folds=3)
    with pytest.raises(TextseqError, match="fold1of3 was trained on other texts; --overwrite replaces it"):
        textseq.train_classifiers(origin, name="reviews", model=SMALL, data=LETTERS, training=QUICK)


def test_folds_are_not_measured_with_a_model_that_knows_them(reviews: Path, home: Path) -> None:
    train(reviews, name="knows")
    origin = LabelledData(labelled=(str(reviews),), folds=2)
    with pytest.raises(
        TextseqError,
        match=r"--folds measures on texts that the model has not seen, but .* was trained on 'reviews.csv'; i",
    ):
        textseq.train_classifiers(origin, training=QUICK, init_from="knows")
    assert [path.name for path in (home / "runs").iterdir()] == ["knows"]


def test_too_many_folds_are_refused_before_the_first_training(reviews: Path, home: Path) -> None:
    few = home / "few.csv"
    few.write_text("label,text\n" + "".join(f"{('good', 'bad')[n % 2]},text {n}\n" for n in range(6)))
    for folds in (4, 50):
        with pytest.raises(TextseqError, match=f"{folds} folds of 'few.csv' need more texts than 6"):
            textseq.train_classifiers(LabelledData(labelled=(str(few),), folds=folds), model=SMALL, data=LETTERS)
    assert not (home / "runs").exists()


def test_other_tokens_than_those_of_the_first_model_are_refused(reviews: Path) -> None:
    train(reviews, name="letters")
    other = replace(LETTERS, tokenizer="byte")
    with pytest.raises(
        TextseqError, match=r"--tokenizer: the tokenizer of .* has char, got byte; leave it out, as --from"
    ):
        textseq.train_classifier(labelled=[reviews], data=other, training=QUICK, init_from="letters", name="x")


def test_an_evaluation_reads_so_many_tokens_as_are_asked_for(reviews: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    whole = Classifier.logits_of

    def counted(self: Classifier, some: Sequence[np.ndarray], *further: Callable[[int], object]) -> np.ndarray:
        read.append(len(some))
        return whole(self, some, *further)

    monkeypatch.setattr(Classifier, "logits_of", counted)
    train(reviews, training=replace(QUICK, evaluate_tokens=100), name="few")
    every, last_ = max(read), read[0]
    assert every == 20 and 2 <= last_ <= 6  # of some 30 letters each; the final one reads all


def test_what_a_model_learnt_from_is_remembered(reviews: Path, home: Path) -> None:
    train(reviews, name="first")
    (home / "other.csv").write_text(reviews.read_text() + "good,more\n")
    train(home / "other.csv", name="second", init_from="first")
    info = textseq.load_classifier("second").info
    assert info.corpora == ("other.csv", "reviews.csv")
    known = LabelledDataset(
        name="x",
        title="x",
        purpose="x",
        fingerprint="x",
        labels=("a", "b"),
        contents={},
        overlaps=("sst2", "reviews.csv"),
    )
    assert leak(info, known) == "reviews.csv"
    assert leak(info, replace(known, overlaps=("sst2",))) is None


def test_seeds_are_repeated_and_their_spread_told(reviews: Path, home: Path) -> None:
    said: list[str] = []
    few = replace(QUICK, max_steps=4, evaluate_every=4, seed=5)
    how = {"model": SMALL, "data": LETTERS, "training": few, "report": said.append}
    origin = LabelledData(labelled=(str(reviews),), seeds=2)
    measured = textseq.train_classifiers(origin, **how)  # type: ignore[arg-type]
    scores = np.array([one.accuracy for one in measured])
    assert said[-1].startswith(f"2 seeds: accuracy {scores.mean():.2%} +- {scores.std(ddof=1):.2%}, macro F1 ")
    one, other = (last(home / "runs" / f"reviews-seed{seed}") for seed in (5, 6))
    assert not torch.equal(one["output.weight"], other["output.weight"])
    assert all("split:validation" in one.signature for one in measured)
    again = textseq.train_classifiers(origin, **how)  # type: ignore[arg-type]
    assert [one.accuracy for one in again] == [one.accuracy for one in measured]
    both = replace(origin, folds=2, seeds=2)
    assert len(textseq.train_classifiers(both, **how)) == 4  # type: ignore[arg-type]
    assert said[-1].startswith("2 folds x 2 seeds: ")
    assert (home / "runs" / "reviews-fold2of2-seed6").is_dir()


# The commands


TINY = ["--hidden-size", "8", "--embedding-size", "8", "--tokenizer", "char", "--max-steps", "2"]


def refused(result: Result, message: str, out: str = "") -> None:
    """One line on stderr that matches, exit code 2, nothing on stdout but what is said."""
    assert result[:2] == (2, out), result
    assert len(result[2].splitlines()) == 1 and "Traceback" not in result[2]
    assert re.search(message, result[2]), result[2]


def test_from_a_table_to_labels(command: Callable[..., Result], reviews: Path, tmp_path: Path) -> None:
    code, out, err = command("train", "--labelled", reviews, "--name", "mine", *TINY)
    assert (code, out) == (0, ""), err
    assert "validation: accuracy" in err
    code, out, err = command("classify", "--model", "mine", "--unsure-below", "0", stdin=b"lovely\n\nawful\r\n")
    assert (code, err) == (0, "")
    found = [line.split("\t") for line in out.splitlines()]
    assert len(found) == 3
    for label, probability in found:
        assert label in ("good", "bad") and 0.5 <= float(probability) <= 1
    assert len(command("classify", "", "--model", "mine")[1].splitlines()) == 1, "an empty text is a text"
    code, out, err = command("classify", "--model", "mine", "--json", stdin=b"lovely\n")
    record = json.loads(out)
    assert record["label"] == found[0][0]
    assert sum(record["probabilities"].values()) == pytest.approx(1)
    (tmp_path / "in.txt").write_text("lovely\nawful\n")
    assert command("classify", "--model", "mine", "--input", "in.txt", "--output", "out.tsv") == (0, "", "")
    assert len((tmp_path / "out.tsv").read_text().splitlines()) == 2
    assert "mine  bad, good; " in command("classify", "--list-models")[1]
    (tmp_path / "rows.csv").write_text('n,body\n1,"lovely, and\nmore"\n2,awful\n')
    code, out, err = command("classify", "--model", "mine", "--input", "rows.csv", "--text-column", "body")
    assert (code, len(out.splitlines()), err) == (0, 2, "")
    rows = [{"n": 1, "body": "lovely, and\nmore"}, {"n": 2, "body": "awful"}]
    (tmp_path / "rows.json").write_text(json.dumps(rows, indent=2), "utf-16")
    (tmp_path / "rows.json.gz").write_bytes(gzip.compress(json.dumps({"data": rows}).encode("utf-16")))
    pandas = pytest.importorskip("pandas")
    pandas.DataFrame(rows).to_parquet(tmp_path / "rows.parquet")
    for name in ("rows.json", "rows.json.gz", "rows.parquet"):
        given = ("--input", name, "--text-column", "body", "--encoding", "utf-16")
        assert command("classify", "--model", "mine", *given) == (0, out, ""), name
    assert (
        command("classify", "--model", "mine", "--input", "-", "--output", "-", stdin=b"lovely\n")[1].count("\n") == 1
    )


def test_a_classifier_remembers_the_columns_of_its_table(
    command: Callable[..., Result], reviews: Path, tmp_path: Path
) -> None:
    table = tmp_path / "table.csv"
    rows = (line.partition(",") for line in reviews.read_text().splitlines()[1:])
    table.write_text("text,body,stars,label\n" + "".join(f"x,{text},{label},y\n" for label, _, text in rows))
    columns = ["--text-column", "body", "--label-column", "stars"]
    assert command("train", "--labelled", table, *columns, "--name", "mine", *TINY)[0] == 0
    for first, second in ([], columns), (["--text-column", "text"], ["--text-column", "text"]):
        asked = [command("evaluate", "--labelled", table, "--model", "mine", *given)[1] for given in (first, second)]
        lines = [command("classify", "--model", "mine", "--input", table, *given[:2])[1] for given in (first, second)]
        assert asked[0] == asked[1] != "" or first
        assert lines[0] == lines[1] and lines[0].count("\n") == 200
    textseq.load("mine").save("given")
    mine, given = (command("evaluate", "--labelled", table, "--model", name)[1] for name in ("mine", "given"))
    assert mine == given != asked[0]
    said = command("evaluate", "--labelled", table, "--model", "mine")[2]
    assert f"was trained on {table}: metrics on it say little about new texts" in said
    code, out, err = command("evaluate", "--labelled", reviews, "--model", "mine")  # has other columns
    assert code == 0 and "accuracy" in out and "was trained on" not in err, err
    code, out, err = command("evaluate", "--labelled", reviews, "--model", "mine", "--plot-confusion", "c.png")
    assert code == 0, err
    assert out.startswith("accuracy ") and "labels:2" in out and "true/pred." in out
    assert (tmp_path / "c.png").exists()
    code, out, err = command("train", "--resume", "mine", "--max-steps", "4")
    assert code == 0, err
    code, out, err = command("train", "--labelled", reviews, "--folds", "2", "--name", "v1.2", *TINY)
    assert code == 0, err
    assert re.search(r"\n2 folds: accuracy [\d.]+% \+- [\d.]+%", err)
    assert {f"v1.2-fold{number}of2" for number in (1, 2)} < {path.name for path in (tmp_path / "runs").iterdir()}


def test_the_command_explains(command: Callable[..., Result], reviews: Path, tmp_path: Path) -> None:
    train(reviews, name="mine")
    texts = b"a lovely story\nawful time\n"
    asked = ("--explain", "--explain-html", "why.html", "--unsure-below", "0")
    code, out, err = command("classify", "--model", "mine", *asked, stdin=texts)
    assert (code, err) == (0, "")
    blocks = [block.split("\n") for block in out.rstrip("\n").split("\n\n")]
    assert [block[1].split() for block in blocks] == [["a", "lovely", "story"], ["awful", "time"]]
    labels = [block[0].split("\t")[0] for block in blocks]
    for label, block in zip(labels, blocks, strict=True):
        assert re.fullmatch(rf"log odds [+-][\d.]+ of {label}: .* \(nats\)", block[-1])
        assert len(block[2].split()) == len(block[1].split())
    page = (tmp_path / "why.html").read_text()
    assert page.count('<div class="text"') == 2
    assert page.rstrip().endswith("</html>")
    code, out, err = command("classify", "--model", "mine", "--explain", "--json", "--explain-label", "bad",
                             "--explain-by", "gradient", stdin=texts)  # fmt: skip
    records = [json.loads(line)["explanation"] for line in out.splitlines()]
    assert [record["label"] for record in records] == ["bad", "bad"]
    assert [word for word, _ in records[1]["words"]] == [" awful", " time"]


def test_mistakes_are_one_line(command: Callable[..., Result], reviews: Path, tmp_path: Path) -> None:
    train(reviews, name="mine")
    (tmp_path / "one.csv").write_text("label,text\ngood,x\ngood,y\n")
    (tmp_path / "strange.csv").write_text("label,text\nodd,x\n")
    (tmp_path / "quote.csv").write_text('label,text\ngood,"x\n')
    (tmp_path / "strings.json").write_text('["lovely", "awful"]')
    (tmp_path / "rows.json").write_text('[{"words": "lovely"}]')
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 damaged")
    cases: list[tuple[list[str], str]] = [
        (["classify", "--model", "nobody"], "unknown model 'nobody'"),
        (["classify", "--model", "mine", "--input", "none.txt"], "--input: expected a file of texts, got none.txt"),
        (["classify", "--model", "mine", "--input", "strings.json"], "expected a list of JSON objects, or an object"),
        (["classify", "--model", "mine", "--input", "rows.json"], "has the columns 'words'; say with --text-column"),
        (["classify", "--model", "mine", "--input", "bad.parquet"], "bad.parquet is no Parquet file, or damaged"),
        (["classify", "--model", "mine", "--text-column", "x"], "--text-column: expected a table with --input"),
        (["classify", "--model", "mine", "--buffer", "0"], "--buffer: expected at least 1"),
        (["classify", "--model", "mine", "--explain-by", "gradient"], "need --explain or --explain-html FILE"),
        (["classify", "--model", "mine", "--explain", "--explain-label", "x"], "'x'; known: bad, good"),
        (["classify", "--model", "mine", "--explain-html", "runs"], "--explain-html: expected a file to write"),
        (["train", "--labelled", "none.csv"], "no file none.csv|no file .*none.csv"),
        (["train", "--labelled", "one.csv"], "expected at least 2 labels, got only 'good'"),
        (["train", "--labelled", "quote.csv"], "in the record that begins in line 2 a quote is never closed"),
        (["train", "--labelled", "reviews.csv", "--label-column", "stars"], "unknown column of .*: 'stars'"),
        (["train", "--task", "classification"], "name a corpus, or your own files with --labelled"),
        (["train", "sst2"], "'sst2' lacks 3 of 3 files.*--download"),
        (["train", "sst2", "--text", "a"], "corpus 'sst2' asks for a classifier, --text for a language model"),
        (["evaluate", "--model", "mine"], "nothing to evaluate on"),
        (["evaluate", "--labelled", "strange.csv", "--model", "mine"], r"model does not know \('odd'\)"),
        (["evaluate", "--labelled", "reviews.csv", "--model", "mine", "--text", "a"], "--text is for language models"),
        (["evaluate", "--labelled", "reviews.csv", "--model", "mine", "mine"], "--model: expected a classifier, got 2"),
        (["evaluate", "sst2", "--labelled", "reviews.csv", "--model", "mine"], "a corpus or --labelled, not both"),
        (["evaluate", "--labelled", "reviews.csv", "--model", "mine", "--plot-confusion", "c.jpg"], r"\.png"),
        (["translate", "--model", "mine"], "expected a translator, got mine, which is a classifier; use it with"),
    ]  # fmt: skip
    for arguments, told in cases:
        code, out, err = command(*arguments)
        lines = [line for line in err.splitlines() if not line.startswith("Reading texts from ")]
        assert (code, out, len(lines)) == (2, "", 1), (arguments, err)
        assert re.search(told, lines[0]), (arguments, err)


def test_bytes_that_are_no_text_lose_nothing_that_was_classified(command: Callable[..., Result], reviews: Path) -> None:
    train(reviews, name="mine")
    code, out, err = command("classify", "--model", "mine", stdin=b"lovely\nawful\ncaf\xe9\n")
    assert code == 2
    assert len(out.splitlines()) == 2
    assert "line 3 of stdin is not utf-8 text: byte 0xe9 at character 4" in err


# From a language model


@pytest.fixture
def writer(home: Path) -> Path:
    """A language model's run, hardly trained."""
    (home / "novel.txt").write_text("the lovely film is an awful story of time, and of a lovely time. " * 40)
    textseq.train(
        text=[home / "novel.txt"],
        model=LanguageModelConfig(cell="gru", num_layers=2, hidden_size=10, embedding_size=7),
        data=DataConfig(tokenizer="word", batch_size=2, window=16),
        training=TrainingConfig(max_steps=2, max_epochs=None),
    )
    return home / "runs" / "novel"


def test_a_classifier_begins_with_the_stack_and_the_tokens_of_a_language_model(writer: Path, reviews: Path) -> None:
    old = textseq.load_generator("novel")
    said: list[str] = []
    training = replace(QUICK, max_steps=1, learning_rate=1e-12)
    new = textseq.train_classifier(labelled=[reviews], training=training, init_from="novel", report=said.append)
    config = new.model.config
    assert (config.cell, config.num_layers, config.hidden_size, config.bidirectional) == ("gru", 2, 10, False)
    theirs = old.model.state_dict()
    shared = [name for name in new.model.state_dict() if name.startswith(("embedding", "recurrent"))]
    assert len(shared) == 9
    rows = [new.tokenizer.vocabulary.index(token) for token in old.tokenizer.vocabulary]
    ours = new.model.state_dict()
    ours["embedding.weight"] = ours["embedding.weight"][rows]
    for name in shared:
        torch.testing.assert_close(ours[name], theirs[name])
    assert any("weights from" in line for line in said)
    textseq.train_classifiers(LabelledData(labelled=(str(reviews),), seeds=2), training=training, init_from="novel")
    assert textseq.load_classifier("reviews-seed2").model.config == config
    with pytest.raises(TextseqError, match=r"--from: expected a model of the same shape.*bidirectional"):
        textseq.train_classifier(
            labelled=[reviews], model=replace(config, bidirectional=True), init_from="novel", name="x"
        )


@pytest.mark.parametrize("tokenizer", ["char", "byte"])
def test_a_classifier_begins_with_a_language_model_of_letters(tokenizer: TokenizerName, reviews: Path) -> None:
    textseq.train(
        texts=["the lovely film is an awful story of time. " * 40],
        model=LanguageModelConfig(hidden_size=8),
        data=DataConfig(tokenizer=tokenizer, batch_size=2, window=16),
        training=TrainingConfig(max_steps=1, max_epochs=None),
        name="letters",
    )
    new = textseq.train_classifier(labelled=[reviews], training=QUICK, init_from="letters", name="from-letters")
    assert new.info.data["tokenizer"] == tokenizer


def test_a_second_direction_begins_anew_beside_that_of_a_language_model(reviews: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("good bad film " * 200)
    textseq.train(
        text=[text], model=LanguageModelConfig(hidden_size=10, embedding_size=6), data=DataConfig(tokenizer="word"),
        training=TrainingConfig(max_steps=1, max_epochs=None), name="one",
    )  # fmt: skip
    old = textseq.load_generator("one")
    theirs = old.model.state_dict()
    training = replace(QUICK, max_steps=1, learning_rate=1e-12)
    config = ClassifierConfig(hidden_size=10, embedding_size=6, bidirectional=True)
    new = textseq.train_classifier(labelled=[reviews], model=config, training=training, init_from="one")
    ours = new.model.state_dict()
    ours["embedding.weight"] = ours["embedding.weight"][
        [*map(new.tokenizer.vocabulary.index, old.tokenizer.vocabulary)]
    ]
    for name in ("embedding.weight", "recurrent.layers.0.weight_ih_l0", "recurrent.layers.0.weight_hh_l0"):
        torch.testing.assert_close(ours[name], theirs[name])
    behind = ours["recurrent.layers.0.weight_hh_l0_reverse"]
    assert behind.shape == (40, 10) and not torch.equal(behind, ours["recurrent.layers.0.weight_hh_l0"])


@pytest.mark.parametrize("bidirectional", [True, False])
def test_both_directions_begin_with_those_of_a_language_model_that_has_both(
    reviews: Path, tmp_path: Path, bidirectional: bool
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("good bad film " * 200)
    textseq.train(
        text=[text], model=LanguageModelConfig(hidden_size=10, embedding_size=6, bidirectional=True),
        data=DataConfig(tokenizer="word"), training=TrainingConfig(max_steps=1, max_epochs=None), name="both",
    )  # fmt: skip
    theirs = textseq.load_generator("both").model.state_dict()
    training = replace(QUICK, max_steps=1, learning_rate=1e-12)
    asked = None if bidirectional else ClassifierConfig(hidden_size=10, embedding_size=6, bidirectional=False)
    new = textseq.train_classifier(labelled=[reviews], model=asked, training=training, init_from="both")
    ours = {name: value for name, value in new.model.state_dict().items() if name.startswith("recurrent")}
    assert len(ours) == 4 + 4 * bidirectional and new.model.config.bidirectional == bidirectional
    for name, tensor in ours.items():
        stack = "reverse" if name.endswith("_reverse") else "recurrent"
        torch.testing.assert_close(tensor, theirs[name.replace("recurrent", stack).removesuffix("_reverse")])


def test_the_command_knows_the_shape_of_a_language_model(
    writer: Path, reviews: Path, command: Callable[..., Result]
) -> None:
    code, _, err = command("train", "--labelled", reviews, "--from", "novel", "--name", "mine", "--max-steps", "2",
                           "--unfreeze-epochs", "0.05", "--layer-decay", "0.4")  # fmt: skip
    assert code == 0, err
    assert "weights from" in err
    found = textseq.load_classifier("mine")
    assert isinstance(found, Classifier) and found.model.config.hidden_size == 10
    refused(command("train", "--text", reviews, "--from", "mine", "--name", "y"), "--from mine asks for a classifier")


def test_layers_begin_to_learn_one_after_the_other_and_each_at_its_rate(reviews: Path) -> None:
    model = replace(SMALL, num_layers=2, bidirectional=False)
    moved: list[list[str]] = []
    for steps in (1, 4, 7, 10):
        # 23 batches an epoch: a layer more after every three steps.
        training = replace(QUICK, max_steps=steps, unfreeze_epochs=3 / 23, schedule="constant", evaluate_every=100)
        train(reviews, model=model, training=training, name=f"after{steps}")
        now = last(Path("runs") / f"after{steps}")
        if not moved:
            torch.manual_seed(training.seed)
            start = ClassifierModel(model, len(now["embedding.weight"]), 2).state_dict()
        moved.append([name for name in start if not torch.equal(start[name], now[name])])
    assert all(name.startswith("output") for name in moved[0])
    assert {name[:18] for name in moved[1]} == {"output.weight", "output.bias", "recurrent.layers.1"}
    assert {name[:18] for name in moved[2]} == {*(name[:18] for name in moved[1]), "recurrent.layers.0"}
    assert {*moved[3]} - {*moved[2]} == {"embedding.weight"}


def test_the_rate_of_a_layer_is_a_share_of_that_above() -> None:
    made = ClassifierModel(replace(SMALL, num_layers=2), 9, 2)
    groups = grouped(made.layer_groups(), TrainingConfig(layer_decay=0.5))
    assert [group["scale"] for group in groups] == [1, 0.5, 0.25, 0.125]
    assert sum(len(group["params"]) for group in groups) == len([*made.parameters()])
    assert groups[-1]["params"][0] is made.embedding.weight
    assert groups[0]["params"][0] is made.output.weight


def test_rates_by_layer_are_refused_where_layers_are_not_told_apart(tmp_path: Path) -> None:
    (tmp_path / "pairs.tsv").write_text("".join(f"a{n}\tb{n}\n" for n in range(60)))
    training = TranslatorTrainingConfig(max_steps=1, max_epochs=None, layer_decay=0.5)
    with pytest.raises(
        TextseqError,
        match=r"--layer-decay and --unfreeze-epochs need a model with layer_groups\(\), .*; leave them out",
    ):
        textseq.train_translator(pairs=["pairs.tsv"], training=training, data=PairConfig(tokenizer="char"))


def test_a_training_that_begins_with_what_spoils_its_measure_says_so(reviews: Path, home: Path) -> None:
    train(reviews, name="whole")
    said: list[str] = []
    textseq.train_classifier(
        labelled=[reviews], data=LETTERS, training=QUICK, init_from="whole", name="again", report=said.append
    )
    assert not any("shares texts" in line for line in said)
    checkpoint = newest(home / "runs" / "whole", "best")
    assert checkpoint is not None
    set_info(checkpoint, replace(read_info(checkpoint), init_corpora=("reviews.csv-fold1of3",)))
    textseq.train_classifier(
        labelled=[reviews], data=LETTERS, training=QUICK, init_from="whole", name="third", report=said.append
    )
    note = "was trained on 'reviews.csv-fold1of3', which shares texts with 'reviews.csv': metrics on it say little"
    assert any(note in line for line in said)


def test_stopped_folds_say_how_all_of_them_go_on(reviews: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Trainer.step

    def stopping_step(loop: Trainer) -> tuple[torch.Tensor, int]:
        signal.raise_signal(signal.SIGTERM)
        return step(loop)

    monkeypatch.setattr(Trainer, "step", stopping_step)
    origin = LabelledData(labelled=(str(reviews),), folds=2)
    with pytest.raises(Interrupted, match=r"and saved; the same command continues it, and the others$"):
        textseq.train_classifiers(origin, name="stopped", model=SMALL, data=LETTERS, training=QUICK)
    monkeypatch.setattr(Trainer, "step", step)
    assert len(textseq.train_classifiers(origin, name="stopped", model=SMALL, data=LETTERS, training=QUICK)) == 2
