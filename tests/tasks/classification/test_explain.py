"""An explanation adds up to what it claims, whatever the model; what is shown is the text, with its figures."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
from torch import nn

from textseq.checkpoints.model_info import ModelInfo
from textseq.config.names import PoolingName
from textseq.config.tokenizer import TokenizerConfig
from textseq.errors import TextseqError
from textseq.io.colored_text import PAGE_END, page_begin
from textseq.tasks.classification.classifier import Classifier, padded_text
from textseq.tasks.classification.config import ClassifierConfig
from textseq.tasks.classification.explain import COLORS, LEGEND, TOLERANCE, Explanation
from textseq.tasks.classification.model import ClassifierModel
from textseq.tokenizers.base import Tokenizer
from textseq.tokenizers.characters import CharTokenizer
from textseq.tokenizers.words import WordTokenizer

LABELS = ("good", "bad", "so so")
TEXT = "the good and the bad, and the very bad one"
SMALL = ClassifierConfig(hidden_size=8, embedding_size=6)


def classifier_of(config: ClassifierConfig, tokenizer: Tokenizer | None = None, scale: float = 0.5) -> Classifier:
    letters = tokenizer or CharTokenizer.train([["abcdefghijklmnopqrstuvwxyz, "]])
    torch.manual_seed(2)
    model = ClassifierModel(config, letters.size, len(LABELS))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=scale)
    return Classifier(model, letters, ModelInfo(task="classification", labels=LABELS, temperature=1.7))


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "all", "attention"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_contributions_add_up_to_the_change_of_the_score(pooling: PoolingName, bidirectional: bool) -> None:
    classifier = classifier_of(replace(SMALL, pooling=pooling, bidirectional=bidirectional), scale=1.0)
    changes = []
    for label in LABELS:
        found = classifier.explain(TEXT, label=label)
        change = found.score - found.baseline
        changes.append(abs(change))
        assert found.contributed == pytest.approx(change, abs=TOLERANCE * max(1.0, abs(change)))
        assert found.gap == pytest.approx(change - found.contributed)
    assert max(changes) > 0.2


def test_gradients_reach_over_all_windows_of_a_long_text() -> None:
    whole = classifier_of(replace(SMALL, bidirectional=False, pooling="last"), scale=0.3)
    pieces = classifier_of(replace(SMALL, bidirectional=False, pooling="last", window=5), scale=0.3)
    one, other = whole.explain(TEXT), pieces.explain(TEXT)
    assert [amount for _, amount in other.pieces] == pytest.approx([amount for _, amount in one.pieces], abs=1e-4)
    assert abs(other.gap) <= TOLERANCE * max(1.0, abs(other.score - other.baseline))


def test_the_score_is_the_calibrated_log_odds_of_the_label() -> None:
    classifier = classifier_of(SMALL)
    (said,) = classifier.classify([TEXT])
    found = classifier.explain(TEXT)
    assert found.label == said.label
    assert found.probability == pytest.approx(said.probability)
    p = torch.tensor(said.probability, dtype=torch.float64)
    assert found.score == pytest.approx(float(torch.log(p / (1 - p))), abs=1e-5)
    other = classifier.explain(TEXT, label=next(label for label in LABELS if label != said.label))
    assert other.probability == pytest.approx(said.probabilities[other.label])
    with pytest.raises(TextseqError, match=r"label 'goood'.*good"):
        classifier.explain(TEXT, label="goood")


def test_the_gradient_alone_is_the_first_step_of_the_way() -> None:
    """Near zero the model is linear, and both methods say the same."""
    classifier = classifier_of(SMALL)
    with torch.no_grad():
        classifier.model.embedding.weight.mul_(1e-3)
    integrated, gradient = classifier.explain(TEXT), classifier.explain(TEXT, method="gradient")
    amounts = [amount for _, amount in integrated.pieces]
    assert [amount for _, amount in gradient.pieces] == pytest.approx(amounts, rel=0.02, abs=1e-5)
    assert max(map(abs, amounts)) > 1e-4
    with pytest.raises(TextseqError, match="integrated"):
        classifier.explain(TEXT, method="integral")  # type: ignore[arg-type]


def test_a_word_that_the_model_cannot_see_does_nothing() -> None:
    words = WordTokenizer.train([[" good good bad bad the the , ,"]])
    classifier = classifier_of(SMALL, words)
    (the,) = words.encode(" the").tolist()
    with torch.no_grad():
        classifier.model.embedding.weight[the] = 0.0
    found = dict(classifier.explain("the good bad").words)
    assert found[" the"] == 0
    assert found[" good"] != 0


@pytest.mark.parametrize("text", ["", "   ", "żółw 龜", "a\tb\nc", "x" * 500])
def test_any_text_can_be_explained(text: str) -> None:
    found = classifier_of(SMALL).explain(text)
    assert "".join(piece for piece, _ in found.pieces).strip() == text.strip()
    assert "".join(word for word, _ in found.words) == "".join(piece for piece, _ in found.pieces)
    assert sum(amount for _, amount in found.words) == pytest.approx(found.contributed)
    for show in (found.in_color, found.in_figures, found.to_html):
        assert "log odds" in show()


def explanation(**words: float) -> Explanation:
    pieces = tuple((f" {word}", amount) for word, amount in words.items())
    return Explanation("good", 0.9, sum(words.values()) + 0.25, 0.25, pieces)


def test_words_that_a_model_does_not_know_are_shown_as_they_were_written() -> None:
    options = TokenizerConfig(tokenizer="word", rare_words="unknown", lowercase=True)
    words = WordTokenizer.train([[" the good and the bad"] * 3], options)
    found = classifier_of(SMALL, words).explain("The GOOD, and 😀 Äpfel!")
    assert [text for text, _ in found.pieces] == [" The", " GOOD", ",", " and", " 😀", " Äpfel", "!"]
    assert found.contributed == pytest.approx(found.score - found.baseline, abs=0.02)


def test_colors_follow_sign_and_strength() -> None:
    found = explanation(splendid=2.0, fine=0.5, okay=0.15, the=0.01, poor=-0.5, awful=-1.5)
    painted = dict(re.findall(r"48;5;(\d+)m ?(\w+)", found.in_color()))
    names = {color.terminal: number for number, color in enumerate(COLORS)}
    assert {word: names[int(code)] for code, word in painted.items()} == {
        "splendid": 0, "fine": 1, "okay": 2, "awful": 3, "poor": 4,
    }  # fmt: skip
    assert re.search(r"m the|\x1b\[0m the\x1b", found.in_color())
    spans = re.findall(
        r'<span(?: style="background: (#\w+); color: #000")? title="([^"]*)"> (\w+)</span>', found.to_html()
    )
    assert (COLORS[0].web, "+2.00 nats", "splendid") in spans
    assert ("", "+0.01 nats", "the") in spans
    assert (COLORS[3].web, "-1.50 nats", "awful") in spans
    assert "log odds +0.91 of good: +0.25 without a word, +0.66 by the words (nats)" in found.in_figures()


def test_figures_stand_under_their_words() -> None:
    found = explanation(**{f"word{number}": number - 9.5 for number in range(20)})
    lines = found.in_figures().split("\n")
    assert max(map(len, lines[:-1])) <= 80
    seen = {}
    for above, below in zip(lines[0:-1:2], lines[1:-1:2], strict=True):
        for match in re.finditer(r"\S+", above):
            seen[match[0]] = float(below[match.start() :].split()[0])
    assert seen == {f"word{number}": number - 9.5 for number in range(20)}


def test_what_does_not_add_up_is_said() -> None:
    assert "unexplained" not in explanation(a=1.0).summary()
    short = replace(explanation(a=1.0), score=2.0)
    assert "+0.75 unexplained" in short.summary()


def test_long_words_are_shown_by_their_pieces() -> None:
    pieces = tuple((character, 0.5) for character in "x" * 40)
    found = Explanation("good", 0.9, 1.0, 0.0, pieces)
    assert found.words == pieces
    assert replace(found, pieces=pieces[:20]).words == (("x" * 20, 10.0),)


@pytest.mark.parametrize("text", ["这部电影很好", "とても良い", "ดีมาก"])
def test_scripts_without_spaces_are_shown_by_their_pieces(text: str) -> None:
    pieces = (*((letter, 0.1) for letter in text), (" so", 0.2), ("me", 0.1))
    found = Explanation("good", 0.9, 1.0, 0.0, pieces)
    assert [word for word, _ in found.words] == [*text, " some"]


def test_the_page_is_whole_and_harmless() -> None:
    found = Explanation("<b>", 0.5, 1.0, 0.0, ((" <script>", 1.0), (" \x1b[0m", -0.5)))
    page = "\n".join([page_begin("a <title>", LEGEND), found.to_html(), PAGE_END])
    assert "<script>" not in page
    assert "<b>" not in page
    assert "\x1b" not in page
    assert page.count("<span") == page.count("</span>") == 4
    assert page.startswith("<!DOCTYPE html>")
    assert page.endswith("</html>")


def test_reading_puts_a_space_before_the_first_word() -> None:
    found = classifier_of(SMALL).explain("good")
    assert "".join(text for text, _ in found.pieces) == padded_text("good") == " good"
