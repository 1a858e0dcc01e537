"""Files as people have them: ids, headers, comments, other spaces and line ends. None is read as something else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from textseq.data.labelled import own_labelled
from textseq.data.pairs import own_pairs
from textseq.data.readers.word_vectors import read_vectors
from textseq.data.sources import LabelledData, PairData, TaggedData
from textseq.data.tagged import own_tagged
from textseq.errors import TextseqError


@dataclass(frozen=True)
class Case:
    """A file, its settings, its first rows and their number, and a note on it."""

    content: str
    settings: Mapping[str, str | int]
    first: tuple[object, ...]
    count: int
    note: str = ""


def check(case: Case, rows: Iterable[object], notes: Iterable[str]) -> None:
    found = [*rows]
    assert tuple(found[: len(case.first)]) == case.first
    assert len(found) == case.count
    assert case.note in " ".join(notes)
    assert case.note or not [note for note in notes if "Validation" not in note]


DOG, BIRD = ("A dog sells the door.", "Un chien vend la porte."), ("A bird paints.", "Un oiseau peint.")
EN_FR = {"source_language": "en", "target_language": "fr"}
THIRD = "This machine wants a book.\tCette machine veut un livre."
PAIRS = {
    "an id before": Case(
        f"0\t{DOG[0]}\t{DOG[1]}\n1\t{BIRD[0]}\t{BIRD[1]}\n2\t{THIRD}\n",
        EN_FR,
        (DOG, BIRD),
        3,
        "Column 1 of FILE holds only numbers: sources are read from column 2, targets from column 3",
    ),
    "ids before both": Case(
        f"0\t{DOG[0]}\t900\t{DOG[1]}\n1\t{BIRD[0]}\t901\t{BIRD[1]}\n\n".replace("\n\n", "\n"),
        EN_FR,
        (DOG, BIRD),
        2,
        "sources are read from column 2, targets from column 4",
    ),
    "columns by number": Case(
        f"0\t{DOG[0]}\t900\t{DOG[1]}\n1\t{BIRD[0]}\t901\t{BIRD[1]}\n",
        {"source_column": "4", "target_column": "2"},
        (DOG[::-1], BIRD[::-1]),
        2,
    ),
    "columns by number below a header": Case(
        f"id\ten\tfr\n0\t{DOG[0]}\t{DOG[1]}\n1\t{BIRD[0]}\t{BIRD[1]}\n",
        {**EN_FR, "source_column": "2", "target_column": "3"},
        (DOG, BIRD),
        2,
    ),
    "numbers and a text": Case(
        "12\ttwelve\n20\ttwenty\n",
        {},
        (("12", "twelve"), ("20", "twenty")),
        2,
        "Column 1 of FILE holds only numbers, and",
    ),
    "names of languages": Case(
        f"English\tFrench\n{DOG[0]}\t{DOG[1]}\n",
        EN_FR,
        (DOG,),
        1,
        "is read as a header: source 'English', target 'French'",
    ),
    "names of languages that are not asked for": Case(
        f"Français\tEnglish\n{DOG[1]}\t{DOG[0]}\n", {}, (DOG[::-1],), 1, "is read as a header: source 'Français'"
    ),
    "names of languages the other way round": Case(
        f"French\tEnglish\n{DOG[1]}\t{DOG[0]}\n", EN_FR, (DOG,), 1, "is read as a header: source 'English'"
    ),
    "a word that is the name of a language": Case(
        "German\tDeutsch\nDutch\tNiederländisch\n", {}, (("German", "Deutsch"),), 2
    ),
    "a header again": Case(
        f"en\tfr\n{DOG[0]}\t{DOG[1]}\nen\tfr\n{BIRD[0]}\t{BIRD[1]}\n",
        EN_FR,
        (DOG, BIRD),
        2,
        "Skipped in FILE: the header again (1 line: 3).",
    ),
    "line ends of CR alone": Case(f"{DOG[0]}\t{DOG[1]}\r{BIRD[0]}\t{BIRD[1]}\r", {}, (DOG, BIRD), 2),
}


@pytest.mark.parametrize("case", PAIRS.values(), ids=PAIRS)
def test_pairs(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "own.tsv"
    path.write_text(case.content, newline="")
    pairs = own_pairs([path], validation=0, **case.settings)  # type: ignore[arg-type]
    check(case, pairs.pairs("train"), [note.replace(str(path), "FILE") for note in pairs.notes])


CAT = (("a", "cat", "sees"), ("DET", "NOUN", "VERB"))
RUNS = (("dogs", "run"), ("NOUN", "VERB"))
TAGGED = {
    "comments with other columns": Case(
        "# id 12ab-0\tdomain=en\na _ _ DET\ncat _ _ NOUN\nsees _ _ VERB\n\n"
        "# id 12ab-1\tdomain=en\ndogs _ _ NOUN\nrun _ _ VERB\n",
        {},
        (CAT, RUNS),
        2,
        "Skipped in FILE: comments, which begin with # (2 lines: 1, 6).",
    ),
    "comments of words": Case(
        "# sentence 0\na DET\ncat NOUN\nsees VERB\n\n# sentence 1\ndogs NOUN\nrun VERB\n",
        {},
        (CAT, RUNS),
        2,
        "comments",
    ),
    "comments of as many words as columns": Case(
        "# comment\na DET\ncat NOUN\nsees VERB\n\n# comment\ndogs NOUN\nrun VERB\n",
        {},
        (CAT, RUNS),
        2,
        "Skipped in FILE: comments, which begin with # (2 lines: 1, 6).",
    ),
    "comments within a sentence": Case(
        "a DET\n# comment\ncat NOUN\n# of more words\n#\nsees VERB\n\ndogs NOUN\n#comment\nrun VERB\n",
        {},
        (CAT, RUNS),
        2,
        "Skipped in FILE: comments, which begin with # (4 lines: 2, 4, 5, 9).",
    ),
    "comments without tabs within a sentence": Case(
        "a\tDET\n# NOUN\ncat\tNOUN\nsees\tVERB\n\n# 2\ndogs\tNOUN\nrun\tVERB\n",
        {},
        (CAT, RUNS),
        2,
        "Skipped in FILE: comments, which begin with # (2 lines: 2, 6).",
    ),
    "number signs within a sentence": Case(
        "a DET\n# SYM\n#cat=1 NOUN\n# NOUN\n\ndogs NOUN\n#run VERB\n",
        {},
        ((("a", "#", "#cat=1", "#"), ("DET", "SYM", "NOUN", "NOUN")), (("dogs", "#run"), ("NOUN", "VERB"))),
        2,
    ),
    "tags in small letters": Case("a det\n# sym\n\ndogs n\n", {}, ((("a", "#"), ("det", "sym")),), 2),
    "a number sign and its tag": Case(
        "# #\n1 NUM\n\n# NUM\n1 NUM\n# SYM\n\n",
        {},
        ((("#", "1"), ("#", "NUM")), (("#", "1", "#"), ("NUM", "NUM", "SYM"))),
        2,
    ),
    "a hashtag first": Case(
        "#newparty\tX\ndogs\tNOUN\n\n#new\tX\n#topic\tX\nrun\tVERB\n\n#newpar\tX\nrun\tVERB\n",
        {},
        (
            (("#newparty", "dogs"), ("X", "NOUN")),
            (("#new", "#topic", "run"), ("X", "X", "VERB")),
            (("#newpar", "run"), ("X", "VERB")),
        ),
        3,
    ),
    "documents of CoNLL-2012": Case(
        "#begin document (doc_0); part 000\ndoc_0 0 0 a DET *\ndoc_0 0 1 cat NOUN *\ndoc_0 0 2 sees VERB *\n\n"
        "#end document\n#begin document (doc_1); part 000\ndoc_1 0 0 dogs NOUN *\ndoc_1 0 1 run VERB *\n\n"
        "#end document\n",
        {"word_column": 4, "tag_column": 5},
        (CAT, RUNS),
        2,
    ),
    "documents without empty lines": Case(
        "a DET\ncat NOUN\nsees VERB\n-DOCSTART- O\ndogs NOUN\nrun VERB\n", {}, (CAT, RUNS), 2
    ),
    "no-break spaces and line separators within words": Case(
        "10\u00a0000 NUM\nwait\u2028what X\nno\u0085no X\n\ndogs  NOUN \nrun NOUN\n",
        {},
        ((("10\u00a0000", "wait\u2028what", "no\u0085no"), ("NUM", "X", "X")), (("dogs", "run"), ("NOUN", "NOUN"))),
        2,
    ),
    "a header, twice": Case(
        "Word POS\na DET\ncat NOUN\nsees VERB\n\nWord POS\ndogs NOUN\nrun VERB\n",
        {},
        (CAT, RUNS),
        2,
        "Skipped in FILE: a header of columns (2 lines: 1, 6).",
    ),
    "a sentence about words": Case(
        "word NOUN\nruns VERB\n\ntoken NOUN\n", {}, ((("word", "runs"), ("NOUN", "VERB")),), 2
    ),
    "line ends of CR alone": Case("a DET\rcat NOUN\rsees VERB\r\rdogs NOUN\rrun VERB\r", {}, (CAT, RUNS), 2),
}


@pytest.mark.parametrize("case", TAGGED.values(), ids=TAGGED)
def test_tagged_sentences(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "own.conll"
    path.write_text(case.content, newline="")
    tagged = own_tagged([path], validation=0, **case.settings)  # type: ignore[arg-type]
    check(case, tagged.sentences("train"), [note.replace(str(path), "FILE") for note in tagged.notes])


BAD, GOOD = ("worst movie ever, awful acting", "0"), ("best movie ever", "1")
ROWS = '"worst movie ever, awful acting",0\nbest movie ever,1\n'
COLUMNS = "Reading texts from column 'text' of FILE, labels from 'label'."
LABELLED = {
    "numbers spelled in two ways": Case(
        f"text,label\n{ROWS}fine,1.0\nso so,0.0\n",
        {},
        (BAD, GOOD),
        4,
        "The labels '0' and '0.0', '1' and '1.0' are treated as different",
    ),
    "a header again": Case(
        f"text,label\n{ROWS}text,label\nfine,1\n", {}, (BAD, GOOD), 3, "Skipped in FILE: the header again (1 line: 4)."
    ),
    "missing labels": Case(
        f"text,label\n{ROWS}fine,nan\nso so,nan\n",
        {},
        (BAD, GOOD),
        4,
        "The label 'nan' (2 texts) may stand for a missing",
    ),
    "columns by number": Case(
        f"id,body,stars\n7,{BAD[0].replace(',', '')},0\n8,best,1\n",
        {"text_column": "2", "label_column": "3"},
        (("worst movie ever awful acting", "0"), ("best", "1")),
        2,
        "Reading texts from column 'body' of FILE, labels from 'stars'.",
    ),
    "line ends of CR alone": Case(f"text,label\n{ROWS}".replace("\n", "\r"), {}, (BAD, GOOD), 2, COLUMNS),
}


@pytest.mark.parametrize("case", LABELLED.values(), ids=LABELLED)
def test_labelled_texts(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text(case.content, newline="")
    corpus = own_labelled([path], validation=0, **case.settings)  # type: ignore[arg-type]
    check(case, corpus.examples("train"), [note.replace(str(path), "FILE") for note in corpus.notes])


VECTORS = {"a": [-0.5, 0.25], "an": [0.5, -0.75]}


@pytest.mark.parametrize("line", ["{}  {} {}\n", " {} {} {}\n", "{}\t{}  {} \r\n"])
@pytest.mark.parametrize("header", ["", "2 2\n", "2  2 \r\n"])
def test_vectors_with_more_spaces(line: str, header: str, tmp_path: Path) -> None:
    path = tmp_path / "v.txt"
    path.write_text(header + "".join(line.format(word, *values) for word, values in VECTORS.items()), newline="")
    for words in (None, ["an", "a"]):
        vectors = read_vectors(path, words)
        assert {word: row.tolist() for word, row in zip(vectors.words, vectors.table, strict=True)} == VECTORS
        assert not vectors.notes


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("word{} 0,5 -0,25 0,1 0,2\n", "lines with other things than numbers after the word"),
        ("word{} 0:0.5 3:0.25\n", "lines without a word and 4 numbers"),
        ("word{} café été noël où\n", "lines with other things than numbers after the word"),
    ],
)
def test_numbers_that_cannot_be_read_are_not_taken_for_binary(row: str, what: str, tmp_path: Path) -> None:
    path = tmp_path / "v.txt"
    path.write_text("38 4\n" + "".join(row.format(number) for number in range(38)))
    with pytest.raises(TextseqError, match=rf"v\.txt is not an intact file .*: 38 {what} \(the first: line 2\)"):
        read_vectors(path)


def test_vectors_with_line_ends_of_cr_alone_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "v.txt"
    path.write_text("a 1 2\ran 1 2\r", newline="")
    with pytest.raises(TextseqError, match="has line ends of CR alone"):
        read_vectors(path)


def test_columns_that_a_file_has_not_are_named(tmp_path: Path) -> None:
    path = tmp_path / "own.tsv"
    path.write_text("text\tlabel\ta\nfine\t1\tx\nbad\t0\ty\n")
    for source in (
        LabelledData(labelled=(str(path),), text_column="4", validation=0),
        PairData(pairs=(str(path),), source_column="1", target_column="4", validation=0),
        PairData(pairs=(str(path),), source_column="0", target_column="1", validation=0),
    ):
        with pytest.raises(TextseqError, match=r"unknown column of .*own\.tsv"):
            source.open()
    with pytest.raises(TextseqError, match="too few columns"):
        TaggedData(tagged=(str(path),), tag_column=4).open()
