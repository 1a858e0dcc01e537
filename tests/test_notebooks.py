"""What notebooks show of results: HTML without scripts in which all text is escaped, and figures."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import textseq
from textseq.errors import TextseqError
from textseq.metrics.classification import measure_labels
from textseq.metrics.language_model import LanguageModelMetrics
from textseq.metrics.spans import measure_spans
from textseq.metrics.tagging import measure_sequences, measure_tags
from textseq.metrics.translation import TranslationMetrics, TranslationScore
from textseq.tasks.classification.explain import Explanation
from textseq.tasks.language_model.generator import TextGenerator
from textseq.tasks.language_model.surprisal import SCALE, Score, TokenSurprisal
from textseq.tasks.tagging.result import Tagging, find_spans
from textseq.tasks.translation.result import Translation

EVIL = "<script>alert('&')</script>"
PNG = b"\x89PNG\r\n\x1a\n"


class Fragment(HTMLParser):
    """The text of an HTML fragment and the cells of its tables; every tag must be closed, and none may run code."""

    def __init__(self, fragment: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.cells: list[str] = []
        self.titles: list[str] = []
        self.feed(fragment)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in {"div", "p", "span", "mark", "small", "style", "table", "tr", "th", "td"}
        assert {name for name, _ in attrs} <= {"class", "style", "title", "scope"}
        self.open.append(tag)
        self.titles += [value or "" for name, value in attrs if name == "title"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data
        if self.open[-1:] == ["td"]:
            self.cells.append(data)


def html_of(result: object) -> str:
    """The HTML that a notebook asks for."""
    html = result._repr_html_()  # type: ignore[attr-defined]
    assert isinstance(html, str)
    return html


def tagging(words: list[str], tags: list[str]) -> Tagging:
    spans = find_spans(" ".join(words), words, tags)
    return Tagging(tuple(words), tuple(tags), (0.9,) * len(words), spans=spans)


def translation(attention: np.ndarray | None, *, has_attention: bool = True) -> Translation:
    return Translation(
        EVIL,
        -1.0,
        source_tokens=("un", EVIL, "</s>"),
        tokens=("a", "</s>"),
        attention=attention,
        has_attention=has_attention,
    )


WEIGHTS = np.array([[0.75, 0.25, 0], [0, 0, 1]], np.float32)

LABELS = ("good", EVIL)

LABEL_METRICS = measure_labels(np.log([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]]), [0, 1, 1], LABELS)

TAG_METRICS = measure_tags(np.log([[0.9, 0.1]]), [0], [0], [True], [1], ("B-" + EVIL, "O"), spans=True)

RESULTS = {
    "score": Score((EVIL,), (2.0,), (TokenSurprisal(EVIL, 2.0), TokenSurprisal("\n", 0.1)), 3),
    "explanation": Explanation(EVIL, 0.9, 1.0, 0.0, ((EVIL, 1.0), (" bad", -1.0))),
    "translation": translation(WEIGHTS),
    "translation without attention": translation(None),
    "tags": tagging(["a", EVIL], ["DET", EVIL]),
    "spans": tagging(["a", EVIL, "."], ["O", f"B-{EVIL}", "O"]),
    "tags that are not aligned": Tagging(tuple(EVIL), ("A", EVIL), (0.5,), aligned=False),
    "metrics of labels": LABEL_METRICS,
    "metrics of tags": TAG_METRICS,
    "metrics of spans": measure_spans([[f"B-{EVIL}"]], [["O"]]),
    "metrics of sequences": measure_sequences([["A"]], [[["A"]]], setup=EVIL),
    "metrics of a language model": LanguageModelMetrics(3.0, 2, 2.0, EVIL),
    "metrics of translations": TranslationMetrics((TranslationScore("BLEU", 1.0, (0.5, 2.0), EVIL),), (EVIL,)),
}


@pytest.mark.parametrize("kind", RESULTS)
def test_text_is_escaped_and_nothing_runs(kind: str) -> None:
    assert EVIL in Fragment(html_of(RESULTS[kind])).text


def test_a_score_is_colored_by_surprisal() -> None:
    pieces = tuple(TokenSurprisal(f"{n}", nats) for n, nats in enumerate((0.1, 0.7, 1.5, 2.5, 3.5, 5.0, 9.0)))
    html = html_of(Score((), (), pieces, len(pieces)))
    assert re.findall(r"background: (#\w+); color: #000\" title=\"[^\"]*\">\d<", html) == [shade.web for shade in SCALE]


def test_the_page_of_the_server_has_the_colors_of_the_package() -> None:
    page = (Path(textseq.__file__).parent / "serve" / "page" / "colors.js").read_text()
    scale = [(float(below.replace("Infinity", "inf")), web) for below, web in re.findall(r'\[([\w.]+), "(#\w+)"', page)]
    assert scale == [(shade.below, shade.web) for shade in SCALE]


def test_attention_is_a_table_with_the_weight_of_each_cell() -> None:
    fragment = Fragment(html_of(RESULTS["translation"]))
    assert [title.rsplit(" ", 1)[1] for title in fragment.titles] == ["75%", "25%", "0%", "0%", "0%", "100%"]
    assert fragment.titles[0] == "a looked at un: 75%"
    huge = Translation("a", 0.0, ("a",) * 200, ("b",) * 100, np.ones((100, 200), np.float32))
    assert "<table" not in html_of(huge)


def test_spans_are_marked_each_kind_in_its_color() -> None:
    words = ["Ada", "Lovelace", "met", "Byron", "in", "London"]
    html = html_of(tagging(words, ["B-person", "I-person", "O", "B-person", "O", "B-place"]))
    marks = re.findall(r'<mark style="background: (#\w+);[^>]*>([^<]*)<span[^>]*>([^<]*)</span></mark>', html)
    assert [(text, kind) for _, text, kind in marks] == [
        ("Ada Lovelace", "person"), ("Byron", "person"), ("London", "place"),
    ]  # fmt: skip
    colors = [color for color, _, _ in marks]
    assert colors[0] == colors[1] != colors[2]
    assert re.sub("<[^>]*>", "", html) == "Ada Lovelaceperson met Byronperson in Londonplace"
    kinds = [f"kind{number}" for number in range(12)]
    twelve = html_of(tagging(kinds, [f"B-{kind}" for kind in kinds]))
    assert len(set(re.findall(r'<mark style="background: (#\w+)', twelve))) == 12


def test_metrics_of_labels_show_the_confusion_matrix() -> None:
    assert Fragment(html_of(LABEL_METRICS)).cells[-4:] == ["1", "0", "1", "1"]
    many = measure_labels(np.zeros((1, 31)), [0], [f"label{number}" for number in range(31)])
    assert "textseq-heat" not in html_of(many)
    assert html_of(TAG_METRICS).count("<table") == 3


@pytest.mark.parametrize("kind", ["translation", "metrics of labels", "metrics of tags"])
def test_plots_are_figures_that_notebooks_show(kind: str, tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    figure = RESULTS[kind].plot()  # type: ignore[attr-defined]
    assert isinstance(figure, Figure)
    assert figure._repr_png_().startswith(PNG)  # type: ignore[attr-defined]
    figure.savefig(tmp_path / "figure.pdf")
    assert (tmp_path / "figure.pdf").stat().st_size > 1000


@pytest.mark.parametrize(
    ("has_attention", "told"),
    [(True, "plot: expected attention weights, got none; translate with attention=True"),
     (False, "plot: expected a model with attention, got one without; use another model")],
)  # fmt: skip
def test_without_weights_there_is_no_plot(has_attention: bool, told: str) -> None:
    with pytest.raises(TextseqError, match=f"^{re.escape(told)}$"):
        translation(None, has_attention=has_attention).plot()


def test_next_tokens_are_those_that_are_generated(writer: TextGenerator) -> None:
    """With the probabilities of the score, but for tokens that are never generated."""
    every, vocabulary = writer.next("RO", 1000), writer.tokenizer.vocabulary
    never = {vocabulary[token] for token in writer.tokenizer.fallback}
    assert never and {token.text for token in every} == {*vocabulary} - never
    assert sum(token.probability for token in every) == pytest.approx(1, abs=1e-5)
    assert [token.probability for token in every] == sorted((token.probability for token in every), reverse=True)
    assert writer.next("RO", 3) == every[:3]
    for token in every[:5]:
        scored, best = (np.exp(-writer.score(f"RO{one.text}").surprisal[-1]) for one in (token, every[0]))
        assert scored / best == pytest.approx(token.probability / every[0].probability, rel=1e-4)
        assert scored <= token.probability * (1 + 1e-5)
    assert writer.next("x" * 5000, 1)[0].probability > 0
    assert len(writer.next()) == 10
    with pytest.raises(TextseqError, match="next: expected a count of at least 1, got 0"):
        writer.next("RO", 0)


@pytest.fixture(scope="module")
def writer() -> TextGenerator:
    return textseq.load_generator("shakespeare")
