"""The pictures hold what they must, in any script and size, and nothing overlaps or is cut off."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder  # type: ignore[import-untyped]
from fontTools.pens.ttGlyphPen import TTGlyphPen  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.font_manager import FontEntry, fontManager
from matplotlib.image import imread
from matplotlib.text import Text

from textseq.errors import TextseqError
from textseq.io.files import check_picture
from textseq.io.pictures import FONT, LABEL, fonts_for, legible
from textseq.metrics.translation import LengthBLEU
from textseq.tasks.translation.plots import (
    CELL,
    LETTERS,
    LONGEST,
    attention_figure,
    attention_heat_map,
    bleu_by_length_figure,
    bleu_by_length_plot,
    by_character,
    distinct_names,
)
from textseq.tokenizers.base import Tokenizer
from textseq.tokenizers.characters import ByteTokenizer, CharTokenizer
from textseq.tokenizers.registry import TOKENIZERS

SOURCE = ["The", " cat", " sat", ".", "</s>"]
TARGET = ["Die", " Katze", " saß", ".", " ", "</s>"]
ODD = [
    "$x^2$", " \\alpha_1", "a$b", "50 %", "\n", "\t", "\x07", "", " ", "\u0301", "e\u0301", "\u202eabc", "\ud800",
    "\ue000", "\u200d", "_x", "{}",
    "ذهبت", "إلى", "הלכתי", "中文", "日本語", "한국어", "สวัสดี", "नमस्ते", "👩‍👧", "x" * 99,
]  # fmt: skip
SPLITS = [LengthBLEU("≤5", 1311, 41.2), LengthBLEU("6–10", 12, 38.0), LengthBLEU(">10", 1, 20.5)]
WORSE = [LengthBLEU(part.words, part.sentences, part.bleu / 2) for part in SPLITS]


def spread(targets: int, sources: int) -> np.ndarray:
    return np.random.default_rng(1).dirichlet(np.ones(sources), size=targets)


def labels(figure: Figure) -> tuple[list[Text], list[Text]]:
    """Those of the source and of the target."""
    return figure.axes[0].get_xticklabels(), figure.axes[0].get_yticklabels()


def shown(texts: list[Text]) -> list[str]:
    return [text.get_text() for text in texts]


def made_font(folder: Path, family: str, characters: str) -> FontEntry:
    """A font with a square for each of these characters."""
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for point in ((100, 700), (800, 700), (800, 0)):
        pen.lineTo(point)
    pen.closePath()
    names = [".notdef", *(f"u{ord(character):X}" for character in characters)]
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder(names)
    font.setupCharacterMap({ord(character): f"u{ord(character):X}" for character in characters})
    font.setupGlyf(dict.fromkeys(names, pen.glyph()))
    font.setupHorizontalMetrics(dict.fromkeys(names, (900, 100)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": family, "styleName": "Regular"})
    font.setupOS2(sTypoAscender=800, sTypoDescender=-200, usWinAscent=800, usWinDescent=200)
    font.setupPost()
    path = folder / f"{family}.ttf"
    font.save(path)
    return FontEntry(str(path), name=family, weight=400)


@pytest.fixture
def only_dejavu(monkeypatch: pytest.MonkeyPatch) -> list[FontEntry]:
    """Matplotlib's list of fonts, with nothing but the one that comes with it; put more in."""
    fonts = [entry for entry in fontManager.ttflist if entry.name == FONT]
    monkeypatch.setattr(fontManager, "ttflist", fonts)
    return fonts


def test_tokens_stand_along_the_top_and_down_the_left() -> None:
    weights = spread(6, 5)
    figure = attention_figure(weights, SOURCE, TARGET, "attention of mine")
    axes = figure.axes[0]
    source, target = labels(figure)
    assert shown(source) == ["The", "cat", "sat", ".", "END"]
    assert shown(target) == ["Die", "Katze", "saß", ".", "·", "END"]
    assert axes.get_title() == "attention of mine"
    figure.draw_without_rendering()
    box = axes.get_window_extent()
    assert all(label.get_window_extent().y0 > box.y1 for label in source)
    assert all(label.get_window_extent().x1 < box.x0 for label in target)
    assert target[0].get_window_extent().y0 > target[1].get_window_extent().y1  # the first on top
    assert source[0].get_window_extent().x0 < source[1].get_window_extent().x0
    (cells,) = axes.collections
    assert np.array_equal(np.asarray(cells.get_array()).reshape(6, 5), weights)


@pytest.mark.parametrize(
    ("tokens", "drawn"),
    [
        ([" Donau", "dampf", "er", ".", "</s>"], ["Donau", "-dampf", "-er", ".", "END"]),
        (["l", "'", "eau", " 1", "9"], ["l", "'", "eau", "1", "-9"]),
        (["t", "o", " ", "b", "e"], ["t", "o", "·", "b", "e"]),
        (["two", "words"], ["two", "words"]),  # of a tokenizer that drops spaces
    ],
)
def test_labels_are_words_and_their_parts(tokens: list[str], drawn: list[str]) -> None:
    source, _ = labels(attention_figure(spread(1, len(tokens)), tokens, ["x"]))
    assert shown(source) == drawn


@pytest.mark.parametrize(("largest", "ticks"), [(1.0, ["0", "0.5", "1"]), (0.034, ["0", "0.017", "0.034"])])
def test_the_largest_weight_is_the_darkest_and_the_bar_says_so(largest: float, ticks: list[str]) -> None:
    """A flat attention is not drawn in white on white."""
    weights = spread(6, 5)
    figure = attention_figure(weights * largest / weights.max(), SOURCE, TARGET)
    assert figure.axes[0].collections[0].get_clim() == pytest.approx((0, largest))
    bar = figure.axes[1]
    assert shown(bar.get_yticklabels()) == ticks
    assert bar.get_yticks() == pytest.approx([0, largest / 2, largest]) and bar.get_ylim() == pytest.approx(
        (0, largest)
    )
    nothing = attention_figure(np.zeros((1, 1)), ["a"], ["b"])
    assert nothing.axes[0].collections[0].get_clim() == (0, 1)


def names(tokenizer: Tokenizer, text: str) -> list[str]:
    return [tokenizer.vocabulary[token] for token in tokenizer.encode(text).tolist()]


@st.composite
def spelled(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """Tokens, some of them bytes or half-bytes of characters, and the texts that they are drawn as."""
    tokenizer = draw(st.sampled_from([ByteTokenizer(), CharTokenizer("")]))
    tokens: list[str] = []
    texts: list[str] = []
    for text, whole in draw(st.lists(st.tuples(st.text(st.characters(codec="utf-8"), max_size=3), st.booleans()))):
        tokens += [text] if whole else names(tokenizer, text)
        texts += [text] if whole else list(text)
    return [*tokens, "</s>"], [*texts, "</s>"]


@given(source=spelled(), target=spelled())
def test_bytes_of_a_character_are_drawn_as_the_character(
    source: tuple[list[str], list[str]], target: tuple[list[str], list[str]]
) -> None:
    weights = spread(len(target[0]), len(source[0]))
    merged, sources, targets = by_character(weights, source[0], target[0])
    assert (sources, targets) == (source[1], target[1])
    assert merged.sum(axis=1) == pytest.approx(np.ones(len(targets)))
    # The same by hand: what each piece of a source got from each piece of a target.
    wanted = np.array(
        [[weights[rows][:, columns].sum() / len(rows) for columns in places(*source)] for rows in places(*target)]
    )
    assert merged == pytest.approx(wanted)


def places(tokens: Sequence[str], texts: Sequence[str]) -> list[list[int]]:
    """Which tokens are each text's."""
    found, at = [], 0
    for text in texts:
        size = 1
        if tokens[at] != text:
            size = len(text.encode()) * (2 if len(tokens[at]) == len("<0x0>") else 1)
        found.append([*range(at, at + size)])
        at += size
    return found


@given(st.lists(st.text(max_size=3) | st.sampled_from([*SOURCE, *ODD]), min_size=1))
def test_other_tokens_stay_as_they_are(tokens: list[str]) -> None:
    weights = spread(2, len(tokens))
    merged, source, target = by_character(weights, tokens, tokens[:1] * 2)
    assert np.array_equal(merged, weights) and (source, target) == (tokens, tokens[:1] * 2)


@pytest.mark.parametrize(
    ("tokens", "texts"),
    [
        ("<0xE6> <0xBC>", "<0xE6> <0xBC>"),
        ("<0xE6> <0xBC> <0xA2> <0xE6> <0xBC> </s>", "漢 <0xE6> <0xBC> </s>"),
        ("<0xE6> <0xBC> the <0xA2>", "<0xE6> <0xBC> the <0xA2>"),
        ("<0xBC> <0xA2> <0xE6> <0xBC> <0xA2>", "<0xBC> <0xA2> 漢"),
        ("<0xE6> <0x41> <0xC3> <0x28>", "<0xE6> A <0xC3> ("),
        ("<0xED> <0xA0> <0x80>", "<0xED> <0xA0> <0x80>"),
        ("<0xC0> <0xAF> <0xFF>", "<0xC0> <0xAF> <0xFF>"),
        ("<0xE> <0x6> <0xB> <0xC> <0xA> <0x2>", "漢"),
        ("a <0xC> <0x3> <0x8> b", "a <0xC> <0x3> <0x8> b"),
        ("<0xF> <0xF> <0x4> <0x1> <0x4>", "<0xF> <0xF> A <0x4>"),
    ],
)
def test_bytes_that_are_no_character_keep_their_names(tokens: str, texts: str) -> None:
    tokens_, texts_ = tokens.split(), texts.split()
    merged, source, target = by_character(spread(len(tokens_), len(tokens_)), tokens_, tokens_)
    assert source == target == texts_ and merged.shape == (len(texts_), len(texts_))


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_every_tokenizers_spelling_is_drawn_as_it_was_written(kind: str) -> None:
    tokenizer = TOKENIZERS[kind].train([["the cat sat on the mat; the cat sat. "] * 20])
    text = "the 漢字 и русский язык ▁ عربي 🙂, cat\n"
    tokens = names(tokenizer, text)
    assert any(token.startswith("<0x") for token in tokens)
    _, source, _ = by_character(np.ones((1, len(tokens))) / len(tokens), tokens, ["x"])
    assert "".join(source) == text and set("漢字язык🙂") < set(source)
    figure = attention_figure(np.ones((1, len(tokens))) / len(tokens), tokens, ["x"])
    drawn = shown(labels(figure)[0])
    assert len(drawn) == len(source) and not any(label.startswith("<0x") for label in drawn) and "" not in drawn


def test_each_weight_is_drawn_in_its_cell(tmp_path: Path) -> None:
    """The darkest spots of the picture are where the weights are 1."""
    weights = np.zeros((3, 4))
    weights[[0, 1, 2], [2, 0, 3]] = 1
    figure = attention_figure(weights, list("abcd"), list("xyz"))
    figure.axes[1].set_visible(False)
    figure.savefig(tmp_path / "cells.png", bbox_inches=None)  # the axes fill it
    image = imread(tmp_path / "cells.png")
    high, wide, _ = image.shape
    middles = [
        [image[int((t + 0.5) * high / 3), int((s + 0.5) * wide / 4), 0] < 0.2 for s in range(4)] for t in range(3)
    ]
    assert np.array_equal(middles, weights == 1)


@pytest.mark.parametrize(
    ("token", "drawn"),
    [
        (" the", "the"),
        ("the", "the"),
        ("New York", "New York"),
        ("  ", "··"),
        ("", ""),
        ("\n", "\\n"),
        ("a\tb\x07", "a\\tb\\x07"),
        ("\\n", "\\n"),
        ("$x$", "$x$"),
        ("e\u0301", "é"),
        ("\u0301", "\u25cc\u0301"),
        ("\u202ea", "U+202E a"),
        ("\xa0", "U+00A0"),
        ("\u200d", "U+200D"),
        ("\ud800\U0010ffff", "U+D800 U+10FFFF"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("a中文b", "a U+4E2D U+6587 b"),
        ("x" * LABEL, "x" * LABEL),
        ("x" * (LABEL + 1), "x" * (LABEL - 1) + "…"),
    ],
)
def test_a_token_can_be_read(token: str, drawn: str) -> None:
    assert legible(token, missing="中文") == drawn


def test_a_character_that_no_font_has_is_its_code_point(only_dejavu: list[FontEntry]) -> None:
    assert fonts_for(["Katze", "Кот", "γάτα", "قطة", "חתול", "\n \u202e\ue000"]) == ([FONT], frozenset())
    assert fonts_for(["中a", "文"]) == ([FONT], frozenset("中文"))
    assert fonts_for(["か", "\u3099"]) == ([FONT], frozenset("か\u3099"))  # not joined over the border of the tokens
    figure = attention_figure(np.ones((1, 2)) / 2, ["中", "a"], ["文"])
    assert [shown(texts) for texts in labels(figure)] == [["U+4E2D", "a"], ["U+6587"]]


def test_other_fonts_serve_what_the_first_lacks(only_dejavu: list[FontEntry], tmp_path: Path) -> None:
    only_dejavu += [
        made_font(tmp_path, "One", "中"),
        made_font(tmp_path, "Both", "中文"),
        made_font(tmp_path, "Rest", "語"),
        FontEntry(str(tmp_path / "gone.ttf"), name="Gone", weight=400),
    ]
    assert fonts_for(["a中", "文語x"]) == ([FONT, "Both", "Rest"], frozenset())
    assert fonts_for(["中한"]) == ([FONT, "Both"], frozenset("한"))
    assert fonts_for(["abc"]) == ([FONT], frozenset())
    figure = attention_figure(np.ones((1, 2)) / 2, ["中文", "한"], ["語"])
    assert [shown(texts) for texts in labels(figure)] == [["中文", "U+D55C"], ["語"]]
    figure.draw_without_rendering()  # a missing glyph would be a warning


@pytest.mark.filterwarnings("error")
def test_odd_tokens_in_all_scripts_are_drawn_without_a_warning(tmp_path: Path) -> None:
    attention_heat_map(spread(3, len(ODD)), ODD, ODD[:3], tmp_path / "wide.png")
    attention_heat_map(spread(len(ODD), 1), ["a"], ODD, tmp_path / "tall.png")
    figure = attention_figure(spread(3, len(ODD)), ODD, ODD[:3])
    assert not any(label.get_parse_math() for texts in labels(figure) for label in texts)


@pytest.mark.parametrize(("targets", "sources"), [(1, 1), (1, 30), (12, 9), (4, 60), (60, 4)])
def test_labels_stay_apart_and_nothing_is_cut_off(targets: int, sources: int, tmp_path: Path) -> None:
    picture = tmp_path / "new folder" / "attention.png"
    words = [" Donaudampfschiff" if i % 2 else "g" for i in range(90)]
    figure = attention_figure(spread(targets, sources), words[:sources], words[:targets])
    figure.draw_without_rendering()
    source, target = labels(figure)
    for one, other in itertools.pairwise(target):
        assert one.get_window_extent().y0 >= other.get_window_extent().y1 - 1
    if source[0].get_rotation() == 90:
        for one, other in itertools.pairwise(source):
            assert one.get_window_extent().x1 <= other.get_window_extent().x0 + 1
    attention_heat_map(spread(targets, sources), words[:sources], words[:targets], picture)
    image = imread(picture)
    assert min(edge.min() for edge in (image[0], image[-1], image[:, 0], image[:, -1])) == 1  # a white margin
    assert [path.name for path in picture.parent.iterdir()] == [picture.name]


def test_the_picture_grows_with_the_tokens_up_to_a_bound() -> None:
    def made(count: int) -> tuple[float, float]:
        figure = attention_figure(spread(2, count), ["word"] * count, ["a", "b"])
        return float(figure.get_size_inches()[0]), float(labels(figure)[0][0].get_fontsize())

    def drawn(count: int) -> list[float]:
        mesh = attention_figure(spread(2, count), ["word"] * count, ["a", "b"]).axes[0].collections[0]
        return [float(width) for width in np.atleast_1d(mesh.get_linewidth())]

    assert made(10) == pytest.approx((10 * CELL, LETTERS))
    assert made(40) == pytest.approx((40 * CELL, LETTERS))
    assert all(0.1 < line <= 0.8 for line in drawn(10))
    assert drawn(2000) == [0.0], "lines would cover the cells"
    width, letters = made(150)
    assert width == pytest.approx(LONGEST) and letters < LETTERS


@pytest.mark.parametrize(
    ("tokens", "rotation"),
    [(["我", "们"] * 4 + ["</s>"], 0), (["a", "we"] * 4, 0), (["the"] * 9, 45), (["the"] * 80, 90)],
)
def test_labels_lean_where_they_must(
    tokens: list[str], rotation: int, only_dejavu: list[FontEntry], tmp_path: Path
) -> None:
    only_dejavu.append(made_font(tmp_path, "Chinese", "我们"))
    source, _ = labels(attention_figure(spread(1, len(tokens)), tokens, ["x"]))
    assert {label.get_rotation() for label in source} == {rotation}


def test_what_cannot_be_drawn(tmp_path: Path) -> None:
    with pytest.raises(TextseqError, match="heat map: expected tokens, got 0 of source and 6 of target; give both"):
        attention_figure(np.ones((6, 0)), [], TARGET)
    with pytest.raises(TextseqError, match=r"weights for 6 target by 5 source tokens, got \(5, 6\); give one row"):
        attention_figure(spread(5, 6), SOURCE, TARGET)
    for wrong in (np.nan, -0.5, 3.25, np.inf):
        weights = spread(6, 5)
        weights[2, 2] = wrong
        with pytest.raises(TextseqError, match=f"expected weights from 0 to 1, got .*({wrong}).*; give a softmax"):
            attention_heat_map(weights, SOURCE, TARGET, tmp_path / "a.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(TextseqError, match="cannot write"):
        attention_heat_map(spread(6, 5), SOURCE, TARGET, tmp_path / "folder.png")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


def test_a_picture_is_a_png_by_name_too(tmp_path: Path) -> None:
    for name, found in (
        ("a.pdf", r"\.pdf in a\.pdf"),
        ("look", "no ending in look"),
        ("a.png.gz", r"\.gz in a\.png\.gz"),
    ):
        with pytest.raises(TextseqError, match=rf"--plot is drawn as a PNG: expected .* in \.png, got {found}; rename"):
            check_picture(Path(name), "--plot")
        with pytest.raises(TextseqError, match=r"a picture is drawn as a PNG: expected a name that ends in \.png, got"):
            attention_heat_map(spread(6, 5), SOURCE, TARGET, tmp_path / name)
        with pytest.raises(TextseqError, match=r"a picture is drawn as a PNG: expected a name that ends in \.png, got"):
            bleu_by_length_plot({"a": SPLITS}, tmp_path / name)
    assert not list(tmp_path.iterdir())
    check_picture(Path("A.PNG"))


def test_bleu_by_length_has_a_line_for_each_system(tmp_path: Path) -> None:
    series = {"with attention": SPLITS, "_without $attention$": WORSE}
    figure = bleu_by_length_figure(series)
    (axes,) = figure.axes
    assert [np.asarray(line.get_ydata()).tolist() for line in axes.lines] == [
        [part.bleu for part in parts] for parts in series.values()
    ]
    legend = axes.get_legend()
    assert legend is not None and shown(list(legend.get_texts())) == list(series)
    assert shown(axes.get_xticklabels()) == ["≤5\n(1,311)", "6–10\n(12)", ">10\n(1)"]
    assert axes.get_ylim()[0] == 0 and axes.get_ylim()[1] > 41.2
    bleu_by_length_plot(series, tmp_path / "lengths.png")
    bleu_by_length_plot({"中文": [LengthBLEU("≤5", 3, 0.0)]}, tmp_path / "nothing right.png")
    assert imread(tmp_path / "lengths.png").ndim == 3


def test_series_that_cannot_be_drawn_together() -> None:
    nothing: list[dict[str, list[LengthBLEU]]] = [{}, {"a": []}]
    for empty in nothing:
        with pytest.raises(TextseqError, match="expected at least 1 range of lengths, got none; measure first"):
            bleu_by_length_figure(empty)
    with pytest.raises(TextseqError, match="expected the same sentences for all systems, got different ones"):
        bleu_by_length_figure({"a": SPLITS, "b": SPLITS[:2]})


def test_a_bleu_of_zero_is_drawn_whole() -> None:
    (axes,) = bleu_by_length_figure({"bad": [LengthBLEU("≤5", 3, 0.0), LengthBLEU("6–10", 3, 9.0)]}).axes
    assert axes.get_ylim()[0] == 0
    assert not any(line.get_clip_on() for line in axes.lines)


def test_long_names_of_systems_are_not_cut() -> None:
    long = "runs/" + "first/" * 20 + "best-10 + second"
    (axes,) = bleu_by_length_figure({long: SPLITS, "b": WORSE}).axes
    legend = axes.get_legend()
    assert legend is not None
    first, second = shown(list(legend.get_texts()))
    assert "".join(first.split()) == "".join(long.split()) and max(map(len, first.split("\n"))) <= 60
    assert second == "b"


@pytest.mark.parametrize(
    ("systems", "names"),
    [
        ([["mine"]], ["mine"]),
        ([["/a/long/way/runs/enfr/best-10"]], ["enfr/best-10"]),
        ([["/a/runs/enfr/best-10"], ["/a/runs/ende/best-10"]], ["enfr/best-10", "ende/best-10"]),
        ([["/a/here/enfr/best-10"], ["/a/there/enfr/best-10"]], ["here/enfr/best-10", "there/enfr/best-10"]),
        ([["/enfr"], ["enfr"]], ["/enfr", "enfr"]),
        ([["a/b/c"], ["b/c"]], ["a/b/c", "b/c"]),
        ([["/a/runs/x/last-2", "y"], ["/a/runs/x/last-2"]], ["x/last-2 + y", "x/last-2"]),
        ([["mine"], ["/tmp/of/others.txt"]], ["mine", "of/others.txt"]),
        ([["."], [".."]], [".", ".."]),
    ],
)
def test_systems_are_told_apart_by_the_ends_of_their_paths(systems: list[list[str]], names: list[str]) -> None:
    assert distinct_names(systems) == names
