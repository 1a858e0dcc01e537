"""The examples run as they stand, the lessons in a shortened form."""

from __future__ import annotations

import itertools
import math
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import run_lessons
import torch

from textseq import nn

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_writing(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "writing.py"), run_name="__main__")
    out = capsys.readouterr().out
    assert out.count("ROMEO:") >= 3
    sensible, senseless = (float(line.split()[0]) for line in out.splitlines()[-2:])
    assert sensible < senseless


def test_translating(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "translating.py"), run_name="__main__")
    out = capsys.readouterr().out
    assert "Je ne sais pas où elle vit." in out
    looks = [line.split()[:2] for line in out.splitlines() if line.startswith("   ")]
    assert ["pomme", "apple"] in looks and ["rouge", "red"] in looks
    sensible, senseless = (float(line.split()[0]) for line in out.splitlines()[-2:])
    assert sensible > senseless


def test_reading(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "reading.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["positive", "negative", "negative"]
    *words, whole = lines[5:-2]
    assert words[0].split()[1] == "Dull," and float(words[0].split()[0]) > 0.5
    without, _, _, _, total, *_ = whole.split()
    assert sum(float(line.split()[0]) for line in words) + float(without) == pytest.approx(float(total), abs=0.5)
    assert "great" in lines[-1]


def test_own_author(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path))
    (tmp_path / "mine.txt").write_text("A rose is a rose is a rose. " * 200)
    monkeypatch.setattr(sys, "argv", ["own_author.py", str(tmp_path / "mine.txt")])
    runpy.run_path(str(EXAMPLES / "own_author.py"), run_name="__main__")
    out, err = capsys.readouterr()
    assert "resumed at step 50" in err and "step 100: validation" in err
    assert "rose" in out.splitlines()[-1]


@pytest.mark.parametrize("files", [[], ["missing.txt"]])
def test_own_author_without_a_text(files: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["own_author.py", *files])
    with pytest.raises(SystemExit, match="usage: python examples/own_author"):
        runpy.run_path(str(EXAMPLES / "own_author.py"), run_name="__main__")


# Lessons

Lesson = Callable[[str], dict[str, Any]]
DataFile = Callable[[str], Path]


@pytest.fixture
def lesson(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Lesson:
    """Runs a lesson, shortened, and gives its variables."""
    monkeypatch.setenv("TEXTSEQ_SHORT", "1")
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path))
    monkeypatch.setenv("MPLBACKEND", "agg")
    torch.manual_seed(1)

    def run(name: str) -> dict[str, Any]:
        result = run_lessons.run(EXAMPLES / f"{name}.py")
        assert result.pictures
        return result.names

    return run


def test_lessons_are_pages() -> None:
    """Every lesson begins with its title, and what it prints and draws when run whole is stored."""
    for path in EXAMPLES.glob("lesson_*.py"):
        first, *others = run_lessons.cells(path)
        assert not first.is_code and first.text.startswith("# ")
        stored = (run_lessons.PAGES / f"{path.stem}.txt").read_text(encoding="utf-8")
        assert stored.count("# %%\n") == sum(cell.is_code for cell in others)
        pictures = [
            path.stem,
            *(f"{path.stem}-{number}" for number in range(2, path.read_text().count("plt.show()") + 1)),
        ]
        assert all((run_lessons.PAGES / f"{name}.png").exists() for name in pictures)


def test_lessons_are_found_by_name() -> None:
    whole = run_lessons.find([])
    assert len(whole) == len([*EXAMPLES.glob("lesson_*.py")])
    assert run_lessons.find(["lesson_01_by_hand"]) == run_lessons.find(["examples/lesson_01_by_hand.py"]) == whole[:1]
    with pytest.raises(SystemExit, match="no lesson lesson_99; the lessons are lesson_01_by_hand, "):
        run_lessons.find(["lesson_99"])


def test_lesson_01_by_hand(lesson: Lesson) -> None:
    names = lesson("lesson_01_by_hand")
    np.testing.assert_allclose(names["two_steps"].h[1:], [[1.3, 1.6], [3.93, 2.24]], rtol=1e-14)
    np.testing.assert_allclose(names["a_2"], [0.18816, 0.81184], atol=5e-6)
    np.testing.assert_array_equal(names["explosion"], [[16, 36], [1025, 3397]])
    assert names["error"] < 1e-8
    losses = names["losses"]
    assert losses[0] == pytest.approx(np.log2(len(names["characters"])), abs=0.01)
    assert np.mean(losses[-100:]) < 5


def test_lesson_02_binary_addition(lesson: Lesson) -> None:
    """Lowest bit first, the network adds and a unit holds the carry; highest first, it cannot know the carry."""
    names = lesson("lesson_02_binary_addition")
    forwards, backwards = names["correct"].values()
    assert forwards.float().mean() > 0.99
    assert (backwards.float().mean(dim=0) <= names["bound"] + 1e-6).all()
    assert backwards.all(dim=1).float().mean() < 0.75**7 + 1e-6
    assert abs(names["correlations"][names["best"]]) > 0.8


def test_lesson_03_sine_and_weather(lesson: Lesson) -> None:
    errors = lesson("lesson_03_sine_and_weather")["sine_errors"]
    last = errors.pop("last value again")
    assert all(0.1 < error < 0.9 * last for error in errors.values())


def test_lesson_04_gradients(lesson: Lesson) -> None:
    """Gates let a gradient pass; clipping holds a run that diverges; a fixed reach gives the same outputs."""
    names = lesson("lesson_04_gradients")
    far = {name: float(norms[10] / norms[0]) for name, norms in names["reach"].items()}
    assert [*far] == sorted(far, key=far.__getitem__, reverse=True)
    highest = {name: np.nanmax(losses) for name, losses in names["curves"].items()}
    assert highest["no clipping"] > 1e3 > 10 > max(highest["by norm"], highest["by value"])
    fixed, (x, y) = names["FixedReach"]("gru"), torch.rand(2, 3, names["REACH"] + 5)
    h, _ = fixed.rnn(x[..., None])
    error = (fixed.output(h)[..., 0] - y)[:, names["REACH"] :].square().sum()
    assert fixed.loss((x, y), None).nats.item() == pytest.approx(error.item(), rel=1e-4)


def test_lesson_05_gates_and_units(lesson: Lesson) -> None:
    """A cell follows the line; the LSTM spelled out is the built-in one."""
    names = lesson("lesson_05_gates_and_units")
    assert abs(names["found"]["position in the line"]) > 0.5
    assert [*names["bits"]] == [*names["VARIANTS"]]
    spelled, built_in = nn.Recurrent("own-lstm", 3, 4), nn.Recurrent("lstm", 3, 4)
    spelled.load_state_dict(built_in.state_dict())
    x = torch.randn(2, 5, 3)
    torch.testing.assert_close(spelled(x)[0], built_in(x)[0])


def test_lesson_06_deep_in_four_ways(lesson: Lesson) -> None:
    names = lesson("lesson_06_deep_in_four_ways")
    assert all(0 < bits < np.log2(len(names["letters"])) + 0.5 for bits in names["bits"].values())
    mender, (blotted, whole) = names["Mender"]("gru"), names["pages"][0]
    at = blotted == names["letters"].index("_")
    assert (blotted[~at] == whole[~at]).all() and 0 < at.sum() < at.numel() / 2
    loss = mender.loss((blotted, whole), None)
    changed = mender.loss((blotted, torch.where(at, whole, 1)), None)  # only what is blotted out counts
    assert loss.count == at.sum() and loss.nats.item() == changed.nats.item()


def test_lesson_07_char_rnn(lesson: Lesson) -> None:
    names = lesson("lesson_07_char_rnn")
    sensible, nonsense = names["scores"]
    assert sensible.nats < nonsense.nats
    assert {"def", "class", "return"} <= set(names["library"].split())
    assert {"letters", "words"} <= names["bits"].keys()
    cut, end, halves = names["cut"], names["end"], names["halves"]
    assert ["".join(half) for half in halves] == ["".join(cut[:end]), "".join(cut[end:])]


def test_lesson_08_sentiment(lesson: Lesson) -> None:
    """From love to wishes; the words' shares add up."""
    names = lesson("lesson_08_sentiment")
    positive, review, why = names["positive"], names["review"], names["why"]
    assert positive[review.index(",")] > 0.8 and positive[-1] < 0.5
    assert why.contributed + why.baseline == pytest.approx(why.score, abs=0.5)


def test_lesson_09_tags_and_names(lesson: Lesson, data_file: DataFile) -> None:
    pytest.importorskip("faker", reason="faker invents the names")
    data_file("nltk_data/corpora/treebank.zip")
    names = lesson("lesson_09_tags_and_names")
    words, tags = names["sentence"]()
    assert len(words) == len(tags) and {tag[0] for tag in tags} <= {*"BIO"}
    assert {*names["entities"].labels} == {"O", *(f"{b}-{kind}" for b in "BI" for kind in names["makers"])}
    assert names["confusion"].sum() == len(names["test"])
    assert not {name for name, _ in names["test"]} & {name for name, _ in names["train"]}
    assert names["accuracy"] > 0.15


def test_lesson_10_ctc(lesson: Lesson, data_file: DataFile) -> None:
    """Alignments are as many as the formula says, and the recursion is that of torch."""
    pytest.importorskip("sklearn", reason="scikit-learn has the images of digits")
    data_file("nltk_data/corpora/cmudict.zip")
    names = lesson("lesson_10_ctc")
    forward = names["forward"]
    for word, frames, labels in (("cat", 4, "-cat"), ("hello", 7, "-helo")):
        repeats = sum(a == b for a, b in itertools.pairwise(word))  # a blank is between them
        count = math.comb(frames + len(word) - repeats, 2 * len(word))
        assert len(names["ways"][word]) == forward(word, np.ones((frames, len(labels))), labels) == count
    p = torch.randn(7, 5, dtype=torch.float64).softmax(1)
    nats = torch.nn.functional.ctc_loss(
        p.log(), torch.tensor([1, 2, 3, 3, 4]), torch.tensor([7]), torch.tensor([5]), reduction="sum"
    )
    assert -math.log(forward("hello", p.numpy(), "-helo")) == pytest.approx(float(nats))
    x, labels = names["line"](names["unknown"])
    assert 8 * len(labels) <= len(x) <= 11 * len(labels) and not {*names["known"]} & {*names["unknown"]}


def test_lesson_11_translation(lesson: Lesson) -> None:
    names = lesson("lesson_11_translation")
    assert len(names["dates"](3)[1].split()) == 9
    assert not {*names["tests"]["sums"]} & {*names["pairs"]}
    example = names["example"]
    assert np.asarray(example.attention).shape == (len(example.tokens), len(example.source_tokens))
    assert names["said"] == names["now"] and names["said"][:2] == ["Elle", "a"]


def test_lesson_12_pictures_to_sentences(lesson: Lesson) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn has the images of digits")
    names = lesson("lesson_12_pictures_to_sentences")
    losses, steps = names["losses"], len(names["batches"])
    assert losses[steps - 1] < losses[0] and losses[-1] < losses[steps]
    looks = names["looks"].flatten(1)  # (words, places)
    assert torch.allclose(looks.sum(1), torch.ones(len(looks)), atol=1e-5) and looks.shape[1] == 27
    pictures, captions = names["examples"](names["unknown"], 20)
    assert ((captions > 0).sum(1) > 0).all() and pictures.amax() == 1


def test_lesson_13_questions_and_answers(lesson: Lesson) -> None:
    names = lesson("lesson_13_questions_and_answers")
    text, asked, answer = names["story"](9)
    assert text[max(place for place, word in enumerate(text) if word == asked) :][4] == answer
    assert names["losses"][-1] < names["losses"][0]
    asked = [pair for pair in zip(names["sources"], names["replies"], strict=True) if pair[1].startswith("You are ")]
    assert len(asked) > 50 and all(reply[len("You are ") : -1] in source for source, reply in asked)
    read = {source.split(" | ")[1] for source in names["sources"]}
    assert len(names["test_pairs"]) == 40 and not {*names["sources"]} & {said for said, _ in names["test_pairs"]}
    assert names["unread"][13] == ["I am Oscar.", "Nice to meet you, Oscar!", "Who am I?", "You are Oscar."]
    assert "My name is Oscar." in read and "I am Oscar." not in read


def test_lesson_14_several_inputs_and_outputs(lesson: Lesson) -> None:
    names = lesson("lesson_14_several_inputs_and_outputs")
    results = names["results"]
    assert results["both"][1] < results["text"][1]  # errors of the rent
    assert results["masked"][1] < 0.5 * results["zeros"][1]
    *inputs, labels, rents = names["make_batch"](64, known=0.5)
    assert 0 < (labels == -1).sum() < 64 and 0 < rents.isnan().sum() < 64
    model = names["Advert"]()
    with torch.no_grad():
        logits, predicted = model(*inputs)
        loss = model.loss((*inputs, labels, torch.where(rents.isnan(), rents, predicted)), None)
    unknown = labels == -1
    assert float(loss) == pytest.approx(float(torch.nn.functional.cross_entropy(logits[~unknown], labels[~unknown])))


def test_lesson_15_beside_the_recurrent(lesson: Lesson, data_file: DataFile) -> None:
    """The networks learn, have about as many parameters, and do not see the next character."""
    data_file("tinyshakespeare/input.txt")
    names = lesson("lesson_15_beside_the_recurrent")
    for name, model in names["models"].items():
        assert names["curves"][name][1][-1] < names["curves"][name][1][1]
        assert sum(weight.numel() for weight in model.parameters()) == pytest.approx(128_000, rel=0.1)
        ids = torch.randint(60, (1, 40))
        changed = ids.clone()
        changed[0, 30] = 61
        model.eval()
        before, after = (model.body(model.embedding(x)) for x in (ids, changed))
        before, after = (y[0] if isinstance(y, tuple) else y for y in (before, after))
        assert torch.allclose(before[:, :30], after[:, :30], atol=1e-5)
        assert not torch.allclose(before[:, 30], after[:, 30])
