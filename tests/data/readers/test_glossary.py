"""A glossary's terms are found as whole words, the longest first; a damaged file is one line of error."""

from __future__ import annotations

from pathlib import Path

import pytest

from textseq.data.readers.glossary import Glossary, kept
from textseq.errors import TextseqError


@pytest.mark.parametrize(
    ("sentence", "targets"),
    [
        ("The house is old.", ["maison"]),
        ("House by house; a lighthouse, household.", ["maison", "maison"]),
        ("The White House, a white house.", ["la Maison-Blanche", "maison"]),
        ("c++ and C++: use C++.", ["le C++", "le C++"]),
        ("Nothing.", []),
        ("", []),
    ],
)
def test_terms_are_whole_words_and_the_longest_counts(sentence: str, targets: list[str]) -> None:
    terms = {"house": "maison", "White House": "la Maison-Blanche", "C++": "le C++"}
    assert Glossary(terms).targets(sentence) == targets
    assert Glossary({}).targets(sentence) == []


@pytest.mark.parametrize("sentence", ["İstanbul", "ISTANBUL", "ıstanbul", "iſtanbul", "İſTANBUL"])
def test_letters_that_match_in_any_case_find_their_term(sentence: str) -> None:
    glossary = Glossary({"tan": "x", "Istanbul": "exact", "istanbul": "Istamboul", "σας": "you"})
    assert glossary.targets(f"I live in {sentence}.") == ["Istamboul"]
    assert glossary.targets("Istanbul; ΣΑΣ, σασ.") == ["exact", "you", "you"]


def test_files_have_two_columns(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("house\tmaison\n\nit's \"so\"\tc'est ainsi\n")
    assert Glossary.read(tmp_path / "a.tsv").terms == {"house": "maison", 'it\'s "so"': "c'est ainsi"}
    (tmp_path / "a.csv").write_text('house,maison\n"salt, pepper","sel, poivre"\n')
    glossary = Glossary.read(tmp_path / "a.csv", keep=["textseq", " "])
    assert glossary.terms == {"textseq": "textseq", "house": "maison", "salt, pepper": "sel, poivre"}
    assert kept(["a b"]) == {"a b": "a b"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("house maison\n", r"a\.tsv: expected a term, a tab and its translation in line 1, got 'house maison'"),
        ("a\tb\na\t\n", r"in line 2, got 'a\\t'"),
        ("a\tb\n\na\tc\n", r"expected one translation of 'a', got 'b' and, in line 3, 'c'; remove one"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a.tsv").write_text(content)
    with pytest.raises(TextseqError, match=message):
        Glossary.read(tmp_path / "a.tsv")
    with pytest.raises(TextseqError, match="cannot read"):
        Glossary.read(tmp_path / "b.tsv")
