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


@pytest.mark.parametrize("header", ["source,target", "Term,Translation", "English,French", "src,trg"])
def test_a_header_is_no_term(header: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.csv").write_text(f"{header}\nen,fr\nhouse,maison\n")
    assert Glossary.read(tmp_path / "a.csv").terms == {"en": "fr", "house": "maison"}
    source, target = header.split(",")
    assert f"a.csv is read as a header: '{source}', '{target}'" in caplog.text


@pytest.mark.parametrize("line", ["German,Deutsch", "no,no", "cat,chat", "source,fontaine"])
def test_a_first_line_of_a_term_is_no_header(line: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"{line}\nhouse,maison\nen,fr\n")
    source, target = line.split(",")
    assert Glossary.read(tmp_path / "a.csv").terms == {source: target, "house": "maison", "en": "fr"}


@pytest.mark.parametrize(
    "lines",
    [
        "house;maison\nwe, you;nous, vous\n",
        '"we, you"; "nous, vous"\nhouse;maison\n',
        "sep=;\nhouse;maison\nwe, you;nous, vous",
    ],
)
def test_spreadsheets_of_some_languages_write_semicolons(tmp_path: Path, lines: str) -> None:
    (tmp_path / "a.csv").write_text(lines)
    assert Glossary.read(tmp_path / "a.csv").terms == {"house": "maison", "we, you": "nous, vous"}
    (tmp_path / "a.csv").write_text("hello; hi,salut; bonjour\n")
    assert Glossary.read(tmp_path / "a.csv").terms == {"hello; hi": "salut; bonjour"}
    (tmp_path / "a.csv").write_text("house;maison\ndog\n")
    with pytest.raises(TextseqError, match="expected a term, a semicolon and its translation in line 2"):
        Glossary.read(tmp_path / "a.csv")


@pytest.mark.parametrize("name", ["a.tsv", "a.csv"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "latin-1"])
def test_files_are_decoded(name: str, encoding: str, tmp_path: Path) -> None:
    mark = "\ufeff" if encoding in ("utf-8", "utf-16-le") else ""
    separator = "," if name == "a.csv" else "\t"
    lines = [f"été{separator}summer", "", f"salt; pepper; cumin{separator}épices", f"{'x' * 140_000}{separator}long"]
    (tmp_path / name).write_bytes((mark + "\r\n".join(lines) + "\r\n").encode(encoding))
    glossary = Glossary.read(tmp_path / name, encoding=encoding)
    assert glossary.terms == {"été": "summer", "salt; pepper; cumin": "épices", "x" * 140_000: "long"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", "house maison\n", r"tsv: expected a term, a tab and its translation in line 1, got 'house maison'"),
        ("a.tsv", "a\tb\na\t\n", r"in line 2, got 'a\\t'"),
        ("a.tsv", "\n\n", r"a\.tsv: expected a term, a tab and its translation in a line, got an empty file"),
        ("a.tsv", "source\ttarget\n", r"a\.tsv: expected a term, .* in a line, got only a header"),
        ("a.csv", "target,source\nmaison,house\n", r"got 'target' and 'source'; exchange the columns"),
        ("a.tsv", "a\tb\n\na\tc\n", r"expected one translation of 'a', got 'b' and, in line 3, 'c'; remove one"),
        ("a.tsv", "a\tb\nred\rapple\tpomme\n", r"expected a term, .* in line 2, got 'red\\rapple\\tpomme'; correct"),
        ("a.csv", "a,b\nred\rapple,pomme\n", r"a\.csv: in the .* line 2 a cell without quotes has a carriage return"),
        ("a.csv", 'a,b\n"red\napple",pomme\n', r"a\.csv: expected a term, .* in line 2, got 'red\\napple,pomme'"),
        ("a.csv", 'a,"b\nc,d\n', r"a\.csv: in the record that begins in line 1 a quote is never closed"),
        ("a.tsv", f"{'x' * 140_000}\n", r"a\.tsv: expected a term, .* in line 1, got '(xxxxx){20}\.\.\.'; correct"),
        ("a.csv", f"a,b\n{'x' * 140_000}\n", r"a\.csv: expected a term, .* in line 2, got '(xxxxx){20}\.\.\.';"),
        ("a.tsv", "a\tb\nc\0\td\n", r"a\.tsv: line 2 is one with a NUL character; correct it there"),
        ("a.csv", "a,b\nc,d\0\n", r"a\.csv: line 2 is one with a NUL character; correct it there"),
        ("a.tsv", b"a\tb\n\xe9t\xe9\tsummer\n", r"a\.tsv: line 2 is one with bytes that are not utf-8 text"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(TextseqError, match=message):
        Glossary.read(tmp_path / name)
    with pytest.raises(TextseqError, match="cannot read"):
        Glossary.read(tmp_path / "b.tsv")
