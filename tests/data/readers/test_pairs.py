"""Every line of a file of pairs is read, or said with its number; sentences stay as they are."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from textseq.data.readers.pairs import UNKNOWN, PairFile, cleaned, languages_of, read_own_file
from textseq.data.readers.row_errors import RowErrorKind
from textseq.errors import TextseqError

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
    languages: tuple[str, str] = UNKNOWN,
    notes: list[str] | None = None,
    encoding: str = "utf-8",
    longest: int | None = None,
    drop: frozenset[RowErrorKind] = frozenset(),
) -> PairFile:
    return read_own_file(
        paths,
        columns,
        encoding=encoding,
        notes=[] if notes is None else notes,
        languages=languages,
        longest=longest,
        drop=drop,
    )


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


def test_columns_that_are_not_read_are_noted(write: Write) -> None:
    def notes_of(row: str) -> list[str]:
        notes: list[str] = []
        read_own_file([write("t.tsv", f"{row}\n{row}\n")], (None, None), encoding="utf-8", notes=notes)
        return notes

    (note,) = notes_of("Go.\tLos!\tGeh.")
    assert "Of 3 columns" in note and "sources are read from column 1, targets from column 2; if these are o" in note
    assert not notes_of("Go.\tLos!")


@pytest.mark.parametrize(
    ("first", "told"),
    [("en\tde", True), ("en\tde\twho", True), ("Go.\tLos!", False), ("go on\tde", False), ("en", False)],
)
def test_a_first_line_that_may_be_a_header_is_named(first: str, told: bool, write: Write) -> None:
    notes: list[str] = []
    read_own_file([write("h.tsv", f"{first}\na b\tc d")], (None, None), encoding="utf-8", notes=notes)
    wanted = "'en' and 'de', is read as a pair; if it is a header, say --source en --target de."
    assert any(wanted in note for note in notes) == told


@pytest.mark.parametrize(
    ("header", "languages", "columns"),
    [
        ("en\tfr", ("en", "fr"), (0, 1)),
        (" EN \tFr\r", ("en", "fr"), (0, 1)),
        ("\ufeffen\tfr", ("en", "fr"), (0, 1)),
        ("fr\ten", ("EN", "fr"), (1, 0)),
        ("id\tpt-br\tlicence\ten", ("en", "pt-BR"), (3, 1)),
        ("source\ttarget", UNKNOWN, (0, 1)),
        ("Target\tSource", UNKNOWN, (1, 0)),
        ("src\ttgt", UNKNOWN, (0, 1)),
        ("src\ttrg\tscore", UNKNOWN, (0, 1)),
        ("source\ttarget", ("en", "fr"), (0, 1)),
        ("en\tfr", UNKNOWN, None),  # the languages were not asked for
        ("en\tde", ("en", "fr"), None),
        ("en\ten", ("en", "en"), None),
        ("source\ttgt", UNKNOWN, None),
        ("en.\tfr", ("en", "fr"), None),
        ("en: fr\tfr: en", ("en", "fr"), None),
    ],
)
def test_a_header_is_known_by_the_languages(
    header: str, languages: tuple[str, str], columns: tuple[int, int] | None, write: Write
) -> None:
    rows = [[f"{row}{column}" for column in "abcd"[: header.count("\t") + 1]] for row in range(3)]
    path = write("h.tsv", "\n".join([header, *map("\t".join, rows)]))
    notes: list[str] = []
    found = surveyed(opened(path, languages=languages, notes=notes))
    if columns is None:
        assert (
            not any("read as a header" in note for note in notes)
            and found[0] == tuple(header.split("\t"))
            and len(found) == 4
        )
    else:
        source, target = columns
        assert found == [(row[source], row[target]) for row in rows]
        (note,) = notes
        cells = [cell.strip("\ufeff \r") for cell in header.split("\t")]
        assert "h.tsv is read as a header" in note and f"source '{cells[source]}', target '{cells[target]}'" in note


@pytest.mark.parametrize("count", [2, 300])
@pytest.mark.parametrize(
    ("header", "languages", "columns"),
    [
        ("id\tsentence\ttranslation", UNKNOWN, (1, 2)),
        ("\ten\tfr", UNKNOWN, (1, 2)),  # pandas' index has no name
        ("id\ten\tfr", ("source", "fr"), (1, 2)),
        ("id\ten\tfr", ("source", "en"), (2, 1)),
        ("id\ten\tfr", ("fr", "target"), (2, 1)),
        ("7\ten\tfr", UNKNOWN, None),
    ],
)
def test_a_header_is_known_by_a_column_of_numbers(
    header: str, languages: tuple[str, str], columns: tuple[int, int] | None, count: int, write: Write
) -> None:
    rows = [[f"{number}", f"hello {number}", f"bonjour {number}"] for number in range(count)]
    path, notes = write("h.tsv", "\n".join([header, *map("\t".join, rows)])), list[str]()
    pairs = surveyed(opened(path, languages=languages, notes=notes))
    if columns is None:
        assert pairs == [("en", "fr"), *((row[1], row[2]) for row in rows)]
        return
    source, target = columns
    assert pairs == [(row[source], row[target]) for row in rows]
    names = header.split("\t")
    told = (
        f"as only numbers follow in column 1: source '{names[source]}', target '{names[target]}'; if these are others"
    )
    assert len(notes) == 1 and told in notes[0]
    assert surveyed(opened(path, columns=("2", "3"))) == [(row[1], row[2]) for row in rows]


@pytest.mark.parametrize("header", ["sentence\ttranslation", "en\tfr", "English sentence\tFrench sentence"])
def test_numbers_of_rows_may_have_no_name_as_r_writes_them(header: str, write: Write) -> None:
    path = write("r.tsv", f"{header}\n1\tHello.\tSalut.\n2\tBye.\tAdieu.\n")
    assert surveyed(opened(path)) == [("Hello.", "Salut."), ("Bye.", "Adieu.")]
    wider = write("w.tsv", "Hi there.\tSalut.\nScore\t5\tx\nNo.\t6\ty\n")
    assert surveyed(opened(wider))[0] == ("Hi there.", "Salut.")


def test_named_columns_need_no_guess(write: Write) -> None:
    path, notes = write("h.tsv", "en\tfr\tde\nGo.\tVa.\tGeh.\n"), list[str]()
    assert surveyed(opened(path, columns=("de", "fr"), languages=("en", "fr"), notes=notes)) == [("Geh.", "Va.")]
    assert notes == []


@pytest.mark.parametrize(
    ("names", "given", "wanted"),
    [
        (["a.en", "b.fr"], (None, None), ("en", "fr")),
        (["a.en.gz", "a.fr"], (None, None), ("en", "fr")),
        (["a.EN.GZ", "a.pt-BR"], (None, None), ("en", "pt-BR")),
        (["a.en-fr.en", "a.en-fr.ces"], (None, None), ("en", "ces")),
        (["a.zh_Hans", "a.en"], (None, None), ("zh_Hans", "en")),
        (["a.en", "a.fr"], ("de", None), ("de", "fr")),
        (["a.en", "a.fr"], (None, "de"), ("en", "de")),
        (["a.en", "a.fr"], ("fr", "en"), ("fr", "en")),
        (["a.en", "a.fr"], ("fr", None), ("fr", "target")),  # which the second cannot be too
        (["a.src", "a.tgt"], (None, None), UNKNOWN),
        (["a.src", "a.trg"], (None, "fr"), ("source", "fr")),
        (["a.en", "a.txt"], (None, None), UNKNOWN),
        (["a.gz", "a.en"], (None, None), UNKNOWN),
        (["en.txt", "fr.txt"], (None, None), UNKNOWN),
        (["a.en", "b.en"], (None, None), UNKNOWN),
        (["a.en", "a.EN"], (None, None), UNKNOWN),
        (["a.english", "a.french"], (None, None), UNKNOWN),
        (["a.en1", "a.f"], (None, None), UNKNOWN),
        (["en", "fr"], (None, None), UNKNOWN),
        (["a.tsv"], (None, None), UNKNOWN),
        (["a.jsonl"], ("en", "fr"), ("en", "fr")),
        ([], (None, None), UNKNOWN),
    ],
)
def test_languages_by_the_endings(
    names: list[str], given: tuple[str | None, str | None], wanted: tuple[str, str]
) -> None:
    assert languages_of([Path("corpus.de", name) for name in names], *given) == wanted


@pytest.mark.parametrize(
    "line",
    [
        {"en": "Go.", "fr": "Va."},
        {"translation": {"fr": "Va.", "en": "Go."}, "id": "3"},
        {"translation": {"fr": "Va.", "en": "Go."}, "source": "a site"},
        {"source": "Go.", "target": "Va.", "en": "x", "fr": "y"},
        {"source": "Go.", "target": "Va.", "translation": "z"},
    ],
)
def test_json_by_languages(line: dict[str, object], write: Write) -> None:
    path = write("a.jsonl", "no object\n{}\n" + json.dumps(line) + "\n")
    drop: frozenset[RowErrorKind] = frozenset({"unreadable"})
    assert surveyed(opened(path, languages=("en", "fr"), drop=drop)) == [("Go.", "Va.")]


def test_json_columns_come_before_languages(write: Write) -> None:
    line = {"en": "Go.", "fr": "Va.", "de": "Geh.", "source": "x", "target": "y", "translation": {"cs": "Jdi."}}
    path = write("a.jsonl", json.dumps(line))
    assert surveyed(opened(path, columns=("de", "cs"), languages=("en", "fr"))) == [("Geh.", "Jdi.")]
    assert surveyed(opened(path, columns=("de", None), languages=("en", "fr"))) == [("Geh.", "y")]
    path = write("b.jsonl", json.dumps({"en": "Go.", "fr": "Va.", "de": "Geh.", "cs": "Jdi."}))
    assert surveyed(opened(path, columns=("de", "cs"), languages=("en", "fr"))) == [("Geh.", "Jdi.")]


@pytest.mark.parametrize(
    ("line", "columns", "message"),
    [
        (
            {"en": "a", "fr": "b"},
            (None, None),
            r"without the key 'source' \(lines 2, 3\); line 2 has the keys 'en', 'fr'; "
            r"say which with --source-column 'en' --target-column 'fr'$",
        ),
        ({"translation": {"en": "a", "fr": "b"}, "id": 3}, (None, None), r"--source-column 'en' --target-column 'fr'$"),
        (
            {"id": "3", "en": "a", "fr": "b"},
            (None, None),
            "'id', 'en', 'fr'; .*--source-column KEY --target-column KEY$",
        ),
        ({key: "a" for key in "1234567"}, (None, None), r"has the keys '1', '2', '3', '4', '5', \.\.\.; say"),
        ({"en": "a", "fr": "b"}, ("en", "de"), "without the key 'de'.*has the keys 'en', 'fr'; say"),
        ({"a\nb": "a"}, (None, None), r"has the keys 'a\\nb'; say"),
    ],
)
def test_keys_that_are_there_are_named(
    line: dict[str, object], columns: tuple[str | None, str | None], message: str, write: Write
) -> None:
    path = write("a.jsonl", "[]\n" + 2 * (json.dumps(line) + "\n"))
    with pytest.raises(TextseqError, match=message) as caught:
        surveyed(opened(path, columns=columns, languages=("it", "es")))
    assert "drop" not in str(caught.value) and "\n" not in str(caught.value)


def test_leaving_out_all_lines_is_no_advice(write: Write) -> None:
    lines = ["no tab", "\t", "no tab either"]
    with pytest.raises(TextseqError, match=r"2 of 3 lines with too few .*\(lines 1, 3\); .*\(line 2\); correct them$"):
        surveyed(opened(write("a.tsv", "\n".join(lines))))
    with pytest.raises(TextseqError, match=r"; correct them, or drop them with --empty drop --unreadable drop$"):
        surveyed(opened(write("b.tsv", "\n".join([*lines, "a\tb"]))))
    sound_at_last = ['{"en": "a"}', '{"source": "a", "target": "b"}']
    with pytest.raises(TextseqError, match=r"1 of 2 lines without the key 'source' .*; correct them, or drop them"):
        surveyed(opened(write("c.jsonl", "\n".join(sound_at_last))))
    with pytest.raises(
        TextseqError, match=r"4 of 4 lines without a JSON object .*; correct them, or name it \.json if it"
    ):
        surveyed(opened(write("e.jsonl", json.dumps({"source": "a", "target": "b"}, indent=1))))
    with pytest.raises(TextseqError, match=r"; correct them$"):  # the keys are right
        surveyed(opened(write("d.jsonl", '{"source": "a", "target": null}')))


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
    everything: frozenset[RowErrorKind] = frozenset({"empty", "overlong", "unreadable"})
    message = r"got 5 in .*long\.de and 2 in .*short\.en; .*long\.de has 3 more"
    with pytest.raises(TextseqError, match=message):
        surveyed(opened(long, short, drop=everything))
    with pytest.raises(TextseqError, match=r"got 2 in .*short\.en and 5 in .*long\.de; .*long\.de has 3 more"):
        surveyed(opened(short, long, drop=everything))


@pytest.mark.parametrize(
    ("name", "content", "kind", "message"),
    [
        ("a.tsv", b"Go.\tGeh.\nGo.\nHi\tHallo", "unreadable", "1 of 3 lines with too few columns \\(line 2\\)"),
        ("a.tsv", b"a\tb\n\n\t\na\t \n c\td", "empty", "3 of 5 lines with an empty text \\(lines 2, 3, 4\\)"),
        ("a.tsv", b"a\tb\n" + 7 * b"\t\n", "empty", "7 of 8 lines .* \\(lines 2, 3, 4, 5, 6, \\.\\.\\.\\)"),
        (
            "a.tsv",
            b"a\tb\nna\xefve\tx\n",
            "unreadable",
            "with bytes that are not utf-8 text .*--encoding.* \\(line 2\\)",
        ),
        ("a.tsv", b"a\tb\nc\t\0\n", "unreadable", "with a NUL character \\(line 2\\)"),
        ("a.tsv", b"a\tb\n123456\tx\n12345\tx", "overlong", "sentence of more than 5 characters \\(line 2\\)"),
        ("a.jsonl", b'{"source": "a"', "unreadable", "1 of 1 lines without a JSON object \\(line 1\\)"),
        ("a.jsonl", b'["a", "b"]\n\n', "unreadable", "1 of 2 lines without a JSON object \\(line 1\\)"),
        ("a.jsonl", b"[" * 200_000, "unreadable", "without a JSON object"),
        ("a.jsonl", b'{"source": "a"}', "unreadable", "without the key 'target' \\(line 1\\)"),
        ("a.jsonl", b'{"source": "a", "target": null}', "unreadable", "with a 'target' that is no string"),
        ("a.jsonl", b'{"source": "a", "target": " "}', "empty", "1 of 1 lines with an empty text"),
        (
            "a.jsonl",
            b'{"source": "\\ud83d", "target": "a"}',
            "unreadable",
            "with half a character .a lone surrogate, such as",
        ),
        ("a.jsonl", b'{"source": "\xff", "target": "a"}', "unreadable", "with bytes that are not utf-8 text"),
    ],
)
def test_faulty_lines_are_refused_or_left_out(
    name: str, content: bytes, kind: RowErrorKind, message: str, write: Write
) -> None:
    path = write(name, content)
    with pytest.raises(TextseqError, match=rf"{name}: .*{message}"):
        surveyed(opened(path, longest=5))
    with pytest.raises(TextseqError, match=rf"{name}: line \d+ is one with"):
        list(opened(path, longest=5))
    everything: frozenset[RowErrorKind] = frozenset({"empty", "overlong", "unreadable"})
    with pytest.raises(TextseqError, match=message):
        surveyed(opened(path, longest=5, drop=everything - {kind}))
    notes: list[str] = []
    left = list(opened(path, longest=5, drop=everything).surveyed(notes))
    assert sum("Dropped" in note and path.name in note for note in notes) == len(notes) > 0
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
    with pytest.raises(TextseqError, match=r"c\.tsv is not utf-16 text: .*set --encoding"):
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
    with pytest.raises(TextseqError, match=r"columns are for.*; got 'en' with .*a\.tsv"):
        opened(table, columns=("en", None))
    with pytest.raises(TextseqError, match=r"columns are for.*; got 'de' with .*a\.en"):
        opened(text, write("a.de", "b"), columns=("en", "de")[::-1])


def test_quotes_of_a_tab_separated_file_stay_with_a_note(write: Write) -> None:
    notes: list[str] = []
    path = write("a.tsv", 'house\t"la ""maison"" "\n"a" b\tc\n')
    file = opened(path)
    assert [*file.surveyed(notes)] == [("house", '"la ""maison"" "'), ('"a" b', "c")]
    assert notes[0].startswith(f'1 row of {path} with a text in quotes and "" within')
