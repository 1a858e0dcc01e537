"""Every row of a file of labelled texts is read, or said with its number; texts stay as they are."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from textseq.data.readers.labelled import Texts, read_own_file
from textseq.data.readers.row_errors import RowErrorKind
from textseq.data.rows import Example
from textseq.errors import TextseqError

Write = Callable[[str, bytes | str], Path]

EXAMPLES = [
    ("A plain text.", "good"),
    ('He said "no", and left;\nthen it rained.', "bad"),
    ("Ça va\u00a0? 好き 🎬", "good"),
    ("=1+1, 'quoted'", "so so"),
]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(name: str, content: bytes | str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return put


def opened(
    path: Path,
    columns: tuple[str | None, str | None] = (None, None),
    *,
    notes: list[str] | None = None,
    encoding: str = "utf-8",
    longest: int | None = None,
    drop: tuple[RowErrorKind, ...] = (),
) -> list[Example]:
    notes = [] if notes is None else notes
    file = read_own_file(path, columns, encoding=encoding, notes=notes, longest=longest, drop=frozenset(drop))
    found = list(file.surveyed(notes))
    assert list(file) == found  # and so they are read again
    return found


def table(examples: list[Example], delimiter: str = ",", header: tuple[str, str] = ("text", "label")) -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    writer.writerows([(7, *header), *((number, *example) for number, example in enumerate(examples))])
    return out.getvalue()


def test_every_layout_gives_the_same_examples(write: Write) -> None:
    flat = [(text.replace("\n", " "), label) for text, label in EXAMPLES]
    tabs = "".join(f"{label}\t{text}\n" for text, label in [("text", "label"), *flat])
    objects = "".join(json.dumps({"id": 1, "text": text, "label": label}) + "\n" for text, label in EXAMPLES)
    assert opened(write("a.csv", table(EXAMPLES))) == EXAMPLES
    assert opened(write("b.csv", table(EXAMPLES, ";"))) == EXAMPLES
    assert opened(write("sep.csv", "sep=;\n" + table(EXAMPLES, ";"))) == EXAMPLES
    assert opened(write("tab.csv", "SEP=\t\n" + table(EXAMPLES, "\t"))) == EXAMPLES
    assert opened(write("c.csv", "\ufeff" + table(EXAMPLES).replace("\n", "\r\n"))) == EXAMPLES
    assert opened(write("d.csv.gz", gzip.compress(table(EXAMPLES).encode()))) == EXAMPLES
    assert opened(write("e.tsv", tabs)) == flat
    assert opened(write("f.jsonl", objects)) == EXAMPLES
    assert opened(write("g.csv", table(EXAMPLES).encode("utf-16")), encoding="utf-16") == EXAMPLES
    for number, (text, label) in enumerate(EXAMPLES):
        write(f"folder/{label}/{number}.txt", f"  {text}\n")
    write("folder/.hidden/1.txt", "none")
    write("folder/good/.hidden", "none")
    write("folder/readme.txt", "none")
    assert sorted(opened(write("folder/x", "").parent)) == sorted(EXAMPLES)


def test_columns_are_known_by_their_names_or_named(write: Write) -> None:
    notes: list[str] = []
    path = write("a.csv", "Id,Sentiment,Review\n1,pos,fine\n2,neg,dull\n")
    assert opened(path, notes=notes) == [("fine", "pos"), ("dull", "neg")]
    assert notes == [f"Reading texts from column 'Review' of {path}, labels from 'Sentiment'."]
    assert opened(path, ("Review", "Id")) == [("fine", "1"), ("dull", "2")]
    for columns, told in (
        (("review", None), "unknown column of .* for --text-column: 'review'; did you mean"),
        ((None, "stars"), "unknown column of .* for --label-column: 'stars'"),
        (("Id", "Id"), "must be two columns"),
    ):
        with pytest.raises(TextseqError, match=told):
            opened(path, columns)
    told = r"has the columns 'a', 'b'; say with --text-column which is meant"
    with pytest.raises(TextseqError, match=f"{told}; if they are a row of data, add a line with the names of"):
        opened(write("b.csv", "a,b\n1,2\n"))
    with pytest.raises(TextseqError, match=f"{told}$"):
        opened(write("b.jsonl", '{"a": "1", "b": "2"}\n'))
    for empty in ("", "\n", ","):
        with pytest.raises(TextseqError, match="begins without a header; the first line must name the columns"):
            opened(write("c.csv", empty))
    for empty in ("\n", '[\n  {\n    "text": "x"\n  }\n]\n'):
        with pytest.raises(TextseqError, match=r"holds no JSON object on any line; .*name it \.json if it is a list"):
            opened(write("d.jsonl", empty))


def test_labels_of_json_may_be_numbers(write: Write) -> None:
    path = write("a.jsonl", '{"text": "a", "label": 1}\n{"text": "b", "label": true}\n{"text": "c", "label": "x"}\n')
    assert opened(path) == [("a", "1"), ("b", "True"), ("c", "x")]


def test_the_first_object_may_lack_a_key(write: Write) -> None:
    path = write("a.jsonl", '{"text": "new"}\n{"text": "good", "label": "a"}\n{"text": "bad", "label": "b"}\n')
    with pytest.raises(TextseqError, match=r"1 of 3 lines without the key 'label' \(line 1\); .* --unreadable drop"):
        opened(path)
    assert opened(path, drop=("unreadable",)) == [("good", "a"), ("bad", "b")]


@pytest.mark.parametrize(
    ("name", "content", "fault", "kind"),
    [
        ("a.csv", "text,label\nfine,a\n ,b\nbad,c\n", "1 of 3 lines with an empty text (line 3)", "empty"),
        ("a.csv", "text,label\nfine,a\n,\nbad,c\n", "1 of 3 lines with an empty text (line 3)", "empty"),
        ("a.csv", "text,label\nfine,a\nwell, really, good,b\nbad,c\n", "with more columns than the header", "unrea"),
        ("a.tsv", "text\tlabel\nfine\ta\nx\ty\tb\nbad\tc\n", "with more columns than the header (line 3)", "unr"),
        ("a.csv", 'text,label\nfine,a\nx,"b\nc"\nbad,c\n', "with a label that has a line end, a tab or", "unreadable"),
        (
            "a.jsonl",
            '{"text": "fine", "label": "a"}\n{"text": "x", "label": "\\u001b[31m"}\n',
            "a label that has",
            "unr",
        ),
        ("a.jsonl", '{"text": "fine", "label": "a"}\n{"text": "x", "label": NaN}\n', "that is no string or n", "unr"),
        ("a.csv", "text,label\nfine,a\nx,\nbad,c\n", "1 of 3 lines without a label (line 3)", "unreadable"),
        ("a.csv", 'text,label\n"fi\nne",a\nx\nbad,c\n', "1 of 3 lines with too few columns (line 4)", "unreadable"),
        ("a.tsv", "text\tlabel\nfine\ta\nx\nbad\tc\n", "1 of 3 lines with too few columns (line 3)", "unreadable"),
        ("a.csv", "text,label\nfine,a\nx\0,b\nbad,c\n", "1 of 3 lines with a NUL character (line 3)", "unreadable"),
        (
            "a.csv",
            b"text,label\nfine,a\ncaf\xe9,b\nbad,c\n",
            "1 of 3 lines with bytes that are not utf-8 text (--encoding says what they are) (line 3)",
            "unreadable",
        ),
        ("a.csv", f"text,label\nfine,a\n{'x' * 51},b\nbad,c\n", "with a text of more than 50 characters", "overlong"),
        (
            "a.jsonl",
            '{"text": "fine", "label": "a"}\n{\n{"text": "bad", "label": "c"}\n',
            "JSON object (line 2)",
            "unr",
        ),
        ("a.jsonl", '{"text": "fine", "label": "a"}\n{"text": 1, "label": "a"}\n', "'text' that is no string", "unr"),
        ("a.jsonl", '{"text": "fine", "label": "a"}\n{"text": "x"}\n', "without the key 'label' (line 2)", "unr"),
        (
            "a.jsonl",
            '{"text": "fine", "label": "a"}\n{"text": "x", "label": []}\n',
            "with a list in 'label', which a classifier reads with --multi-label",
            "unr",
        ),
    ],
)
def test_a_faulty_row_is_refused_or_left_out(
    name: str, content: str | bytes, fault: str, kind: str, write: Write
) -> None:
    path = write(name, content)
    with pytest.raises(TextseqError) as refused:
        opened(path, longest=50)
    assert fault in str(refused.value)
    assert f"drop them with --{kind}" in str(refused.value)
    notes: list[str] = []
    drop: RowErrorKind = next(one for one in ("empty", "overlong", "unreadable") if one.startswith(kind))
    found = opened(path, longest=50, drop=(drop,), notes=notes)
    assert found[0] == (found[0][0], "a")
    assert len(found) in (1, 2)
    assert any(fault in note for note in notes)


def test_a_file_in_a_folder_may_be_faulty_too(write: Write) -> None:
    folder = write("all/good/1.txt", "fine").parents[1]
    for name, content, told in (
        ("2.txt", b"caf\xe9", "not utf-8 text"),
        ("2.txt", b" \n", "an empty text"),
        ("2.txt", b"x" * 51, "more than 50 characters"),
        ("2.txt", b"a\0b", "a NUL character"),
    ):
        write(f"all/bad/{name}", content)
        with pytest.raises(TextseqError, match=rf"2\.txt is one with .*{told}.*--\w+ drop"):
            opened(folder, longest=50)
        notes: list[str] = []
        assert opened(folder, longest=50, drop=("empty", "overlong", "unreadable"), notes=notes) == [("fine", "good")]
        assert notes == [f"Files dropped from {folder}: 1 (the first is {folder / 'bad' / '2.txt'})."]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('text,label\nfine,a\n"never closed,b\nbad,c\n', "that begins in line 3 a quote is never closed"),
        ('text,label\nfine,a\n"he "said" it",b\nbad,c\n', "that begins in line 3 ',' expected after '\"'"),
    ],
)
def test_a_broken_quote_is_told_by_its_line(content: str, told: str, write: Write) -> None:
    with pytest.raises(TextseqError, match=told):
        opened(write("a.csv", content))


def test_a_cell_may_be_as_long_as_a_text(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "word " * 100_000 + "\nend"
    assert opened(write("a.csv", f'text,label\n"{text}",a\n')) == [(text, "a")]
    monkeypatch.setattr("textseq.data.readers.tables.LONGEST_LINE", 1000)
    before = csv.field_size_limit(1000)
    with pytest.raises(TextseqError, match="that begins in line 2 a cell has more than 1,000 characters; divide it"):
        opened(write("a.csv", 'text,label\n"' + "x\n" * 900 + '",a\n'))
    csv.field_size_limit(before)


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
def test_lines_without_anything_are_none(ending: str, write: Write) -> None:
    head, row = {
        "csv": ("text,label\n", "x,a"), "tsv": ("text\tlabel\n", "x\ta"), "jsonl": ("", '{"text": "x", "label": "a"}'),
    }[ending]  # fmt: skip
    assert opened(write(f"a.{ending}", f"{head}{row}\n\n{row}\n\n\n")) == [("x", "a")] * 2


def test_spaces_after_commas_are_no_part_of_a_cell(write: Write) -> None:
    assert opened(write("a.csv", 'text, label\n"a, b", "pos"\nc,  neg\n')) == [("a, b", "pos"), ("c", "neg")]


def test_quotes_of_a_tab_separated_file_stay_with_a_note(write: Write) -> None:
    notes: list[str] = []
    said = ('"He said ""hi"", 0"', '"Good" and "bad"', '""', '"', 'plain ""x""')
    path = write("a.tsv", "text\tlabel\n" + "".join(f"{text}\ta\n" for text in said))
    assert opened(path, notes=notes) == [(text, "a") for text in said]
    assert notes[1].startswith(f'1 row of {path} with a text in quotes and "" within: quotes mean nothing in')
    others: list[str] = []
    opened(write("b.jsonl", json.dumps({"text": said[0], "label": "a"})), notes=others)
    assert len(others) == 1


def test_trailing_commas_are_no_columns(write: Write) -> None:
    assert opened(write("a.csv", "text,label\nfine,a,,\n")) == [("fine", "a")]


def test_what_is_no_table_is_told_so(write: Write) -> None:
    for content, told in (
        (b"text\tlabel\nx\ta\n", r"has the columns 'text\\tlabel'; name it \.tsv if the columns are separated by tabs"),
        ("text,label\nx,a\n".encode("utf-16"), "seems to be UTF-16: set --encoding utf-16"),
        (b"\x89PNG\r\n\x1a\n\0\0,", "is a file of the format png, not text"),
        (b"caf\xe9,label\n", "begins with bytes that are not utf-8 text"),
        (b"text,label,label\nx,a,b\n", "has 2 columns called 'label'; give each its own name"),
    ):
        with pytest.raises(TextseqError, match=told):
            opened(write("a.csv", content))


def test_folders_that_only_hold_the_folders_of_labels_are_noted(write: Write) -> None:
    for part in ("train", "test"):
        for label in ("pos", "neg"):
            write(f"all/{part}/{label}/1.txt", f"{part} {label}")
    notes: list[str] = []
    folder = write("all/train/pos/2.txt", "more").parents[2]
    opened(folder, notes=notes)
    assert notes == [
        f"All folders of {folder} hold folders called neg, pos; if these are the labels, name the folder above them."
    ]
    notes.clear()
    assert {label for _, label in opened(folder / "train", notes=notes)} == {"neg", "pos"} and not notes


def test_texts_of_a_table_without_labels(write: Write) -> None:
    rows = 'id,review\n1,"lovely\nfilm, really"\n\n2,awful\n,\n3,\n'
    assert [*Texts(write("a.csv", rows))] == ["lovely\nfilm, really", "awful", "", ""]
    assert [*Texts(write("a.csv.gz", gzip.compress(rows.encode())), "id")] == ["1", "2", "", "3"]
    alone = 'text\ngood film\n""\n\nbad film\n'
    assert [*Texts(write("one.csv", alone))] == ["good film", "", "bad film"]
    assert [*Texts(write("one.tsv", "text\ngood film\n\nbad film\n"))] == ["good film", "", "bad film"]
    with pytest.raises(TextseqError, match=r"two.csv has 2 columns called 'text'; give each its own name"):
        Texts(write("two.csv", "text,text\na,b\n"))
    cut = Texts(write("a.jsonl", '{"body": "fine"}\n{"x": 1}\n{"body": "never read"}\n'), "body")
    assert [*cut] == ["fine"]
    assert cut.error is not None and "line 2 is one without the key 'body'" in str(cut.error)
    with pytest.raises(TextseqError, match=r"unknown column of .* for --text-column: 'nix'; known: id, review"):
        Texts(write("a.csv", rows), "nix")


def test_names_of_folders_are_labels_that_can_be_shown(tmp_path: Path) -> None:
    for name in (b"caf\xe9", b"ba\td"):
        folder = os.path.join(os.fsencode(tmp_path), b"all-" + name.hex().encode())
        for label in (name, b"good"):
            os.makedirs(os.path.join(folder, label))
            Path(os.fsdecode(os.path.join(folder, label, b"1.txt"))).write_text("x")
        with pytest.raises(TextseqError, match="is one with a label that has a line end, a tab or another i"):
            opened(Path(os.fsdecode(folder)))


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
def test_a_line_too_long_for_memory_is_refused(ending: str, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textseq.io.documents.document.LONGEST_LINE", 1000)
    head = {"csv": "text,label", "tsv": "text\tlabel", "jsonl": '{"text": "a", "label": "b"}'}[ending]
    with pytest.raises(TextseqError, match="line 2 has more than 1,000 characters"):
        opened(write(f"a.{ending}", head + "\n" + "x" * 5000))


def test_what_is_no_such_file_is_refused(write: Write, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path, told in (
        (tmp_path / "none.csv", "no file .*none.csv"),
        (write("a.xlsx", "x"), "are read from .csv, .tsv, .tab, .jsonl, .ndjson, .json, .parquet or a folder"),
        (tmp_path / "empty", "expected a folder for each label"),
        (write("a.csv.gz", "text"), "damaged"),
    ):
        with pytest.raises(TextseqError, match=told):
            opened(path)
    with pytest.raises(TextseqError, match="names of columns are for tables"):
        opened(write("f/good/1.txt", "x").parents[1], ("text", None))
