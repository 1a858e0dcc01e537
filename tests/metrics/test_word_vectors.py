"""Word vectors beside people's judgements: what is asked, what is right, what is known."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

from textseq.data.readers.word_vectors import read_vectors
from textseq.data.word_vectors import Vectors
from textseq.errors import TextseqError
from textseq.metrics.word_vectors import word_analogies, word_similarity

WORDS = ("man", "woman", "king", "queen", "Oslo")
TABLE = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 1], [0, 1, 1], [-1, 0.5, 0]], np.float32)
VECTORS = Vectors(WORDS, TABLE)


def written(folder: Path, text: str) -> Path:
    path = folder / "file.tsv"
    path.write_text(text, encoding="utf-8")
    return path


def test_similarities_are_ordered_beside_the_judgements(tmp_path: Path) -> None:
    judged = "# a comment\nman\tking\t9.5\nman\twoman\t5\nMan\tOslo\t0.1\n\nman\tdragon\t3\n"
    found = word_similarity(VECTORS, written(tmp_path, judged))
    assert found.correlation == pytest.approx(1) and (found.known, found.pairs) == (3, 4)
    turned = word_similarity(VECTORS, written(tmp_path, judged.replace("9.5", "-1").replace("0.1", "9")))
    assert turned.correlation == pytest.approx(-1)
    assert str(found) == "rank correlation 1.000 (3 of 4 pairs known)"
    alone = word_similarity(VECTORS, written(tmp_path, "man\tking\t1\n"))
    assert math.isnan(alone.correlation) and alone.known == 1


@pytest.mark.parametrize(
    "lines",
    [
        ["Word 1\tWord 2\tHuman (mean)", "man\tking\t9.5", "man\twoman\t5", "man\tOslo\t0"],
        ["word1\tword2\tPOS\tSimLex999\tconc(w1)", "man\tking\tN\t9.5\t1", "man\twoman\tN\t5\t2", "man\tOslo\tN\t0\t9"],
        ["word1\tword2\tjudged", "man\tking\t9.5", "man\twoman\t5", "man\tOslo\t0"],
    ],
)
def test_the_headers_of_the_field_are_understood(tmp_path: Path, lines: list[str]) -> None:
    found = word_similarity(VECTORS, written(tmp_path, "\r\n".join(lines) + "\r\n"))
    assert found.correlation == pytest.approx(1) and found.pairs == 3


def test_analogies_are_counted_by_section(tmp_path: Path) -> None:
    text = ": family\nman king woman queen\nman woman king queen\nMan king woman Oslo\n: places\nOslo a b c\n"
    found = word_analogies(VECTORS, written(tmp_path, text))
    assert list(found) == ["family", "places"]
    assert (found["family"].right, found["family"].known, found["family"].questions) == (2, 3, 3)
    assert [str(one) for one in found.values()] == [
        "66.7% right (3 of 3 questions known)",
        "none asked (0 of 1 questions known)",
    ]


@pytest.mark.parametrize("line", ["man king", "man\tking\tmuch", "man king 9"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, line: str) -> None:
    path = written(tmp_path, f"# pairs\n{line}\n")
    with pytest.raises(TextseqError, match=f"{re.escape(str(path))}, line 2: expected two words and a number"):
        word_similarity(VECTORS, path)
    with pytest.raises(TextseqError, match="line 2: expected four words"):
        word_analogies(VECTORS, path)
    with pytest.raises(TextseqError, match="no file"):
        word_similarity(VECTORS, tmp_path / "none")


def test_the_files_of_the_field_are_read_whole(data_folder: Path) -> None:
    """With vectors that are drawn: nothing agrees, but for chance."""
    folder = data_folder / "embeddings" / "gensim"
    rng = np.random.default_rng(1)
    text = "".join((folder / name).read_text() for name in ("wordsim353.tsv", "simlex999.txt", "questions-words.txt"))
    words = tuple(sorted({*re.findall(r"\S+", text)}))
    drawn = Vectors(words, rng.normal(size=(len(words), 50)).astype(np.float32))
    for name, pairs in (("wordsim353.tsv", 353), ("simlex999.txt", 999)):
        found = word_similarity(drawn, folder / name)
        assert found.known == found.pairs == pairs
        assert abs(found.correlation) < 4 / pairs**0.5
    lowered = Vectors(("boy", "girl", "brother", "sister", "he", "she"), np.eye(6, dtype=np.float32))
    sections = word_analogies(lowered, folder / "questions-words.txt")
    assert len(sections) == 14 and sum(one.questions for one in sections.values()) == 19_544
    assert sections["family"].known == 6 and sections["capital-common-countries"].known == 0


def test_real_vectors_agree_with_people(data_folder: Path) -> None:
    """Even small ones, of a little text: far more than chance."""
    folder = data_folder / "embeddings" / "gensim"
    found = word_similarity(read_vectors(folder / "euclidean_vectors.bin"), folder / "wordsim353.tsv")
    assert found.known > 100 and found.correlation > 0.2
