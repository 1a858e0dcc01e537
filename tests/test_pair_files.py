"""Every line of a file of pairs is read, or said with its number; sentences stay as they are."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from textseq.errors import TextseqError
from textseq.pair_files import FaultKind, PairFile, cleaned, own_file

Write = Callable[[str, bytes | str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(name: str, content: bytes | str) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return put


def opened(
    *paths: Path,
    columns: tuple[str | None, str | None] = (None, None),
    encoding: str = "utf-8",
    longest: int | None = None,
    drop: frozenset[FaultKind] = frozenset(),
) -> PairFile:
    return own_file(paths, columns, encoding=encoding, longest=longest, drop=drop)


def surveyed(file: PairFile) -> list[tuple[str, str]]:
    found = list(file.surveyed([]))
    assert list(file) == found  # and so they are read again
    return found


def test_sentences_stay_as_they_are() -> None:
    assert cleaned(" \tQuoi\u202f? Ça\u00a0va,  e\u0301 \r") == "Quoi\u202f? Ça\u00a0va,  e\u0301"
    assert cleaned("one\r\ntwo\u2028three\x85four\x0cfive") == "one two three four five"


def test_aligned_files_stay_aligned(write: Write) -> None:
    """Other line ends than the newline are none: they would put the files out of step."""
    source = write("train.en", "\ufeffone\u2028more\r\ntwo\x0c\x85\rmore\nthree\tcolumns \n")
    target = write("train.de", "eins\nzwei\ndrei")
    wanted = [("one more", "eins"), ("two more", "zwei"), ("three\tcolumns", "drei")]
    assert surveyed(opened(source, target)) == wanted


def test_tab_separated_columns(write: Write) -> None:
    path = write("deu.txt", 'Go. \tGeh.\tCC-BY 2.0 #1 & #2\n"Hi," he said.\t"Hallo"\n')
    wanted = [("Go.", "Geh."), ('"Hi," he said.', '"Hallo"')]
    assert surveyed(opened(path)) == wanted
    named = write("pairs.tsv", "id\t de\ten \r\n1\tGeh.\tGo.\r\n")
    assert surveyed(opened(named, columns=("en", "de"))) == [("Go.", "Geh.")]
    with pytest.raises(TextseqError, match=r"unknown column of .*pairs\.tsv: 'End'; did you mean 'en'\?"):
        surveyed(opened(named, columns=("End", "de")))


def test_json_lines(write: Write) -> None:
    line = json.dumps({"source": "Caf\u00e9\nau lait", "target": "Kaffee\t!", "id": 3})
    assert surveyed(opened(write("a.jsonl", line + "\n"))) == [("Caf\u00e9 au lait", "Kaffee\t!")]
    path = write("b.ndjson", '{"en": "Go.", "de": "Geh."}')
    assert surveyed(opened(path, columns=("en", "de"))) == [("Go.", "Geh.")]


@pytest.mark.parametrize("name", ["pairs.tsv.gz", "pairs.JSONL.GZ"])
def test_compressed_files(name: str, write: Write) -> None:
    lines = [(f"word {number}", f"Wort {number * number}") for number in range(1000)]
    text = "".join(
        f"{one}\t{other}\n" if "tsv" in name else json.dumps({"source": one, "target": other}) + "\n"
        for one, other in lines
    )
    packed = gzip.compress(text.encode())
    assert surveyed(opened(write(name, packed))) == lines
    for damaged in (packed[:-4], packed[: len(packed) // 2], b"no gzip", packed[:50] + b"\xff" * 50 + packed[100:]):
        with pytest.raises(TextseqError, match=rf"{name} is damaged"):
            surveyed(opened(write(name, damaged)))


def test_aligned_and_compressed(write: Write) -> None:
    file = opened(write("a.en.gz", gzip.compress(b"one\n")), write("a.de", "eins\n"))
    assert surveyed(file) == [("one", "eins")]


def test_lengths_that_differ_are_said(write: Write) -> None:
    short, long = write("short.en", "one\ntwo\n"), write("long.de", "eins\n\n\nvier\nfünf")
    everything: frozenset[FaultKind] = frozenset({"empty", "overlong", "unreadable"})
    message = r"found 5 in .*long\.de and 2 in .*short\.en; .*long\.de has 3 more"
    with pytest.raises(TextseqError, match=message):
        surveyed(opened(long, short, drop=everything))
    with pytest.raises(TextseqError, match=r"found 2 in .*short\.en and 5 in .*long\.de; .*long\.de has 3 more"):
        surveyed(opened(short, long, drop=everything))


@pytest.mark.parametrize(
    ("name", "content", "kind", "message"),
    [
        ("a.tsv", b"Go.\tGeh.\nGo.\nHi\tHallo", "unreadable", "1 of 3 lines with too few columns .* \\(line 2\\)"),
        ("a.tsv", b"a\tb\n\n\t\na\t \n c\td", "empty", "3 of 5 lines with an empty sentence \\(line 2, 3, 4\\)"),
        ("a.tsv", b"a\tb\n" + 7 * b"\t\n", "empty", "7 of 8 lines .* \\(line 2, 3, 4, 5, 6, \\.\\.\\.\\)"),
        ("a.tsv", b"a\tb\nna\xefve\tx\n", "unreadable", "with what is not utf-8 text .*--encoding.* \\(line 2\\)"),
        ("a.tsv", b"a\tb\nc\t\0\n", "unreadable", "with a NUL character \\(line 2\\)"),
        ("a.tsv", b"a\tb\n123456\tx\n12345\tx", "overlong", "sentence of more than 5 characters \\(line 2\\)"),
        ("a.jsonl", b'{"source": "a"', "unreadable", "1 of 1 lines without a JSON object \\(line 1\\)"),
        ("a.jsonl", b'["a", "b"]\n\n', "unreadable", "1 of 2 lines without a JSON object \\(line 1\\)"),
        ("a.jsonl", b"[" * 200_000, "unreadable", "without a JSON object"),
        ("a.jsonl", b'{"source": "a"}', "unreadable", "without the key 'target' \\(--target-column .*\\(line 1\\)"),
        ("a.jsonl", b'{"source": "a", "target": null}', "unreadable", "with a 'target' that is no string"),
        ("a.jsonl", b'{"source": "a", "target": " "}', "empty", "1 of 1 lines with an empty sentence"),
        ("a.jsonl", b'{"source": "\\ud83d", "target": "a"}', "unreadable", "with what is not utf-8 text"),
    ],
)
def test_faulty_lines_are_refused_or_left_out(
    name: str, content: bytes, kind: FaultKind, message: str, write: Write
) -> None:
    path = write(name, content)
    with pytest.raises(TextseqError, match=rf"{name}: .*{message}.*; mend them, or .* --{kind} drop"):
        surveyed(opened(path, longest=5))
    with pytest.raises(TextseqError, match=rf"{name}: line \d+ is one with"):
        list(opened(path, longest=5))
    everything: frozenset[FaultKind] = frozenset({"empty", "overlong", "unreadable"})
    with pytest.raises(TextseqError, match=message):
        surveyed(opened(path, longest=5, drop=everything - {kind}))
    notes: list[str] = []
    left = list(opened(path, longest=5, drop=everything).surveyed(notes))
    assert sum("Left out" in note and path.name in note for note in notes) == len(notes) > 0
    assert left == surveyed(opened(path, longest=5, drop=everything))
    assert all(0 < len(sentence) <= 5 and "\0" not in sentence for pair in left for sentence in pair)


def test_all_faults_are_said_at_once(write: Write) -> None:
    path = write("a.tsv", b"one\n\t\nx\ty\n\xff\tb\n")
    with pytest.raises(TextseqError) as caught:
        surveyed(opened(path))
    message = str(caught.value)
    assert "\n" not in message and "--empty drop --unreadable drop" in message
    assert all(f"(line {number})" in message for number in (1, 2, 4)) and "of 4 lines" in message


def test_other_encodings(write: Write) -> None:
    text = "na\u00efve\tW\u00f6rter\n\u010aa\tb\n"  # the first byte of this letter is a newline in UTF-16
    assert surveyed(opened(write("a.tsv", text.encode("utf-16")), encoding="utf-16"))[1] == ("\u010aa", "b")
    latin = write("b.tsv", "na\u00efve\tW\u00f6rter\n".encode("latin-1"))
    assert surveyed(opened(latin, encoding="latin-1")) == [("na\u00efve", "W\u00f6rter")]
    with pytest.raises(TextseqError, match=r"c\.tsv is not utf-16 text: .*say with --encoding what it is"):
        surveyed(opened(write("c.tsv", "abc".encode("utf-16")[:-1]), encoding="utf-16"))


def test_files_that_are_no_pairs(write: Write, tmp_path: Path) -> None:
    text, table, lines = write("a.en", "a\n"), write("a.tsv", "a\tb\n"), write("a.jsonl", "{}\n")
    for paths in ([], [text], [write("a.csv", "a,b\n")], [text, lines], [table, write("b.tsv", "")], [text] * 3):
        with pytest.raises(TextseqError, match=r"two aligned text files, or from one that ends in \.tsv, \.tab, \.txt"):
            opened(*paths)
    with pytest.raises(TextseqError, match="is named twice"):
        opened(text, text)
    for path in (tmp_path, tmp_path / "no.tsv"):
        with pytest.raises(TextseqError, match=f"no file {path}; name two aligned"):
            opened(path)
    with pytest.raises(TextseqError, match=r"names of columns.*; found 'en' with .*a\.tsv"):
        opened(table, columns=("en", None))
    with pytest.raises(TextseqError, match=r"names of columns.*; found 'de' with .*a\.en"):
        opened(text, write("a.de", "b"), columns=("en", "de")[::-1])
