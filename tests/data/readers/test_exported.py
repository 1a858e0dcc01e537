"""Parquet, JSON and Hugging Face datasets give the rows that the same data in plain files give."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from textseq.data.readers import exported
from textseq.data.sources import LabelledData, PairData, TaggedData, TextData
from textseq.errors import TextseqError

ROWS = [("a good film", "pos"), ("a bad – film", "neg"), ("fine\nin two lines", "pos")]
TABLE = [{"id": number, "text": text, "label": label} for number, (text, label) in enumerate(ROWS)]


@pytest.fixture(autouse=True)
def home(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return empty_home


def parquet(rows: list[dict[str, object]]) -> str:
    arrow = pytest.importorskip("pyarrow", reason="needs pyarrow")
    pytest.importorskip("pyarrow.parquet", reason="needs pyarrow").write_table(
        arrow.Table.from_pylist(rows), "t.parquet"
    )
    return "t.parquet"


def saved_dataset(rows: list[dict[str, object]]) -> str:
    """A dataset with the splits train and test, whose labels are numbers of classes."""
    datasets = pytest.importorskip("datasets", reason="needs datasets")
    whole = datasets.Dataset.from_list(rows)
    if "label" in rows[0]:
        whole = whole.cast_column("label", datasets.ClassLabel(names=["neg", "pos"]))
    if "ner_tags" in rows[0]:
        whole = whole.cast_column("ner_tags", datasets.List(datasets.ClassLabel(names=["O", "B-place"])))
    datasets.DatasetDict({"train": whole, "test": whole.select([0])}).save_to_disk("saved")
    return "hf://saved"


def as_json(content: object) -> Callable[[list[dict[str, object]]], str]:
    def write(rows: list[dict[str, object]]) -> str:
        Path("t.json").write_text(content if isinstance(content, str) else json.dumps(content))
        return "t.json"

    return write


FORMS: dict[str, Callable[[list[dict[str, object]]], str]] = {
    "parquet": parquet,
    "dataset": saved_dataset,
    "a list": as_json(TABLE),
    "a list in an object": as_json({"data": TABLE}),
    "a list beside other values": as_json({"version": 1, "labels": ["neg", "pos"], "data": TABLE}),
    "columns": as_json({key: [row[key] for row in TABLE] for key in TABLE[0]}),
    "columns of pandas": as_json({key: {str(i): row[key] for i, row in enumerate(TABLE)} for key in TABLE[0]}),
    "columns beside a column of objects": as_json(
        {**{key: [row[key] for row in TABLE] for key in TABLE[0]}, "meta": [{"k": i} for i in range(len(TABLE))]}
    ),
    "columns of pandas with an index of fractions": as_json(
        {key: {str(i - 0.5): row[key] for i, row in enumerate(TABLE)} for key in TABLE[0]}
    ),
    "columns of pandas with an index of strings": as_json(
        {key: {f"r{i}": row[key] for i, row in enumerate(TABLE)} for key in TABLE[0]}
    ),
    "a split table of pandas": as_json(
        {"columns": [*TABLE[0]], "index": [*range(len(TABLE))], "data": [[*row.values()] for row in TABLE]}
    ),
    "a split table of pandas without an index": as_json(
        {"columns": [*TABLE[0]], "data": [[*row.values()] for row in TABLE]}
    ),
    "rows of pandas": as_json({str(i): row for i, row in enumerate(TABLE)}),
    "rows of pandas with an index of strings": as_json({f"r{i}": row for i, row in enumerate(TABLE)}),
    "rows of pandas with an index of fractions": as_json({str(i - 0.5): row for i, row in enumerate(TABLE)}),
    "objects of several lines": as_json("\n".join(json.dumps(row, indent=2) for row in TABLE)),
    "lines": as_json("\n".join(map(json.dumps, TABLE))),
}


@pytest.mark.parametrize("form", FORMS)
def test_labelled_texts_are_those_of_the_table(form: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = LabelledData(labelled=(FORMS[form](TABLE),), validation=0)
    dataset = source.open()
    assert [*dataset.examples("train")] == ROWS
    assert source.default_name(dataset) == ("saved" if form == "dataset" else "t")
    (kept,) = (home / "cache" / "data").iterdir()
    before = kept.stat()
    (home / "elsewhere").mkdir()
    resolved = source.resolved()
    monkeypatch.chdir(home / "elsewhere")  # as a run that is resumed from there
    assert resolved.open().fingerprint == dataset.fingerprint
    assert kept.stat() == before


def test_a_single_object_is_a_row() -> None:
    name = as_json({"translation": {"en": "one", "fr": "un"}})([])
    assert [*PairData(pairs=(name,), source="en", target="fr").open_whole().rows("train")] == [("one", "un")]


def test_pairs_may_be_columns_by_language_with_an_index_of_strings() -> None:
    name = as_json({"en": {"r1": "one", "r2": "two"}, "fr": {"r1": "un", "r2": "deux"}})([])
    dataset = PairData(pairs=(name,), source="en", target="fr").open_whole()
    assert [*dataset.rows("train")] == [("one", "un"), ("two", "deux")]


def test_a_split_of_a_dataset_is_named() -> None:
    name = saved_dataset(TABLE)
    assert [*LabelledData(labelled=(f"{name}@test",)).open_whole().examples("train")] == ROWS[:1]
    with pytest.raises(TextseqError, match=r"unknown split of hf://saved@tset: 'tset'; did you mean 'test'\? known:"):
        LabelledData(labelled=(f"{name}@tset",)).open()


def test_a_class_of_minus_one_is_no_label() -> None:
    name = saved_dataset([{"text": "unknown", "label": -1}, {"text": "good", "label": 1}, {"text": "fine", "label": 1}])
    with pytest.raises(TextseqError, match=r"^saved: 1 of 3 rows with a 'label' that is no string or number"):
        LabelledData(labelled=(name,), validation=0).open()


@pytest.mark.parametrize("form", [parquet, saved_dataset])
def test_binary_columns_are_text(form: Callable[[list[dict[str, object]]], str], home: Path) -> None:
    rows = [(f"caf\u00e9 {number}", "pos" if number % 2 else "neg") for number in range(4)]
    name = form([{"text": text.encode(), "label": label, "picture": b"\x89PNG"} for text, label in rows])
    dataset = LabelledData(labelled=(name,), validation=0).open()
    assert [*dataset.examples("train")] == rows
    text = TextData(text=(name,), validation=0).open()
    assert ["".join(document) for document in text.documents("train")] == ["".join(f"{text}\n" for text, _ in rows)]
    name = form([{"tokens": [b"In", b"Rome"], "tags": [b"O", b"B"]}])
    tagged = TaggedData(tagged=(name,), validation=0).open()
    assert [*tagged.sentences("train")] == [(("In", "Rome"), ("O", "B"))]


def test_bytes_that_are_no_text_are_said_by_row() -> None:
    name = parquet([{"text": text, "label": label} for text, label in ((b"good", "a"), (b"caf\xe9", "b"))])
    with pytest.raises(TextseqError, match=rf"^{name}: 1 of 2 rows with bytes that are not utf-8 text .*\(row 2\)"):
        LabelledData(labelled=(name,)).open()


@pytest.mark.parametrize(
    "layout", [json.dumps, lambda rows, **options: "\n".join(json.dumps(row, **options) for row in rows)]
)
def test_the_encoding_is_that_of_json(layout: Callable[..., str]) -> None:
    Path("t.json").write_text(layout(TABLE, ensure_ascii=False), "cp1252")
    with pytest.raises(TextseqError, match=r"^t.json is not utf-8 text: byte 0x96 .*set --encoding"):
        LabelledData(labelled=("t.json",)).open()
    dataset = LabelledData(labelled=("t.json",), encoding="cp1252", validation=0).open()
    assert [*dataset.examples("train")] == ROWS
    with pytest.raises(TextseqError, match=r"^unknown encoding 'cp-1252'"):
        LabelledData(labelled=("t.json",), encoding="cp-1252").open()


@pytest.mark.parametrize("form", [parquet, saved_dataset])
def test_an_encoding_does_not_change_what_is_text_already(form: Callable[[list[dict[str, object]]], str]) -> None:
    dataset = LabelledData(labelled=(form(TABLE),), encoding="utf-16", validation=0).open()
    assert [*dataset.examples("train")] == ROWS


def test_rows_are_not_those_that_another_version_wrote(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = LabelledData(labelled=(as_json(TABLE)(TABLE),), validation=0)
    source.open()
    (kept,) = (home / "cache" / "data").iterdir()
    kept.write_text('{"text": "b\'old\'", "label": "pos"}\n{"text": "b\'old\'", "label": "neg"}\n')
    monkeypatch.setattr(exported, "ROWS_VERSION", exported.ROWS_VERSION + 1)
    assert [*source.open().examples("train")] == ROWS


@pytest.mark.parametrize("form", [parquet, saved_dataset])
def test_texts_of_a_table_are_one_text(form: Callable[[list[dict[str, object]]], str]) -> None:
    name = form([{"id": number, "sentence": text} for number, text in enumerate(("one\n", "", "two"))])
    dataset = TextData(text=(name,), validation=0).open()
    assert ["".join(document) for document in dataset.documents("train")] == ["one\n\ntwo\n"]


@pytest.mark.parametrize("form", [parquet, saved_dataset])
def test_rows_without_a_text_are_skipped(
    form: Callable[[list[dict[str, object]]], str], caplog: pytest.LogCaptureFixture
) -> None:
    name = form([{"text": "hello"}, {"text": None}, {"text": "\ufeffx\ny"}, {"text": None}])
    for _ in range(2):  # the second is from the cache
        caplog.clear()
        dataset = TextData(text=(name,), validation=0, encoding="utf-16").open()
        assert ["".join(document) for document in dataset.documents("train")] == ["hello\n\ufeffx\ny\n"]
        told = [f"note: reading 'text' of {name}", f"note: skipped of {name}: 2 rows without a text (2, 4)"]
        assert [record.getMessage() for record in caplog.records if record.name == "textseq"] == told
    with pytest.raises(TextseqError, match=r"t.parquet: expected strings, got 2 in row 1; convert it"):
        TextData(text=(parquet([{"text": 2}]),)).open()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"tokens": ["a", None], "tags": ["N", "N"]}, "with a word or tag that is missing, is empty or"),
        ({"tokens": ["a", "b"], "tags": ["N", None]}, "with a word or tag that is missing, is empty or"),
        ({"tokens": None, "tags": ["N"]}, "without a list of words and one of as many tags"),
    ],
)
@pytest.mark.parametrize("form", [parquet, saved_dataset])
def test_words_and_tags_that_are_null_are_refused(
    form: Callable[[list[dict[str, object]]], str], row: dict[str, object], message: str
) -> None:
    name = form([{"tokens": ["None"], "tags": ["N"]}, row])
    with pytest.raises(TextseqError, match=f"^{re.escape(f'{name}: 1 of 2 rows {message}')}.* \\(row 2\\); correct"):
        TaggedData(tagged=(name,), validation=0).open()


@pytest.mark.parametrize("form", [parquet, as_json([{"translation": {"en": "one", "fr": "un"}}])])
def test_pairs_may_be_in_an_object_of_languages(form: Callable[[list[dict[str, object]]], str]) -> None:
    name = form([{"translation": {"en": "one", "fr": "un"}}])
    dataset = PairData(pairs=(name,), source="en", target="fr", validation=0).open()
    assert [*dataset.rows("train")] == [("one", "un")]


def test_tagged_sentences_are_columns_of_lists(caplog: pytest.LogCaptureFixture) -> None:
    rows: list[dict[str, object]] = [
        {"tokens": ["In", "Rome"], "pos_tags": [0, 0], "ner_tags": [0, 1]},
        {"tokens": ["Here"], "pos_tags": [0], "ner_tags": [0]},
    ]
    dataset = TaggedData(tagged=(saved_dataset(rows),), validation=0).open()
    assert [*dataset.sentences("train")] == [(("In", "Rome"), ("O", "B-place")), (("Here",), ("O",))]
    assert "note: reading 'tokens' and 'ner_tags' of hf://saved" in caplog.text


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("t.json", json.dumps),
        ("t.jsonl", lambda rows: "\n".join(map(json.dumps, rows))),
        ("t.ndjson", lambda rows: "\n".join(map(json.dumps, rows))),
    ],
)
def test_tagged_sentences_may_be_json(name: str, layout: Callable[[object], str]) -> None:
    rows = [{"tokens": ["In", "Rome"], "tags": ["O", "B-place"]}, {"tokens": ["Here"], "tags": ["O"]}]
    Path(name).write_text(layout(rows))
    dataset = TaggedData(tagged=(name,), validation=0).open()
    assert [*dataset.sentences("train")] == [(("In", "Rome"), ("O", "B-place")), (("Here",), ("O",))]
    assert dataset.name == name
    with pytest.raises(TextseqError, match="without a text, a tab and tags after it"):
        TaggedData(tagged=(name,), unaligned=True).open()


@pytest.mark.parametrize("name", ["t.json", "t.jsonl"])
@pytest.mark.parametrize(
    "sentence",
    [
        {"tokens": ["Paris", "is"], "tags": ["LOC", "O"]},
        {"Tokens": ["Paris", "is"], "tags": ["LOC", "O"], "spans": [{"a": 1}]},
        {"tokens": [["Paris", "is"]], "tags": [["LOC", "O"]]},
    ],
)
def test_a_single_object_is_a_tagged_sentence_or_their_columns(name: str, sentence: dict[str, object]) -> None:
    Path(name).write_text(json.dumps(sentence))
    assert [*TaggedData(tagged=(name,), validation=0).open().sentences("train")] == [(("Paris", "is"), ("LOC", "O"))]


def test_rows_that_are_no_tagged_sentences_are_refused_with_their_numbers_or_dropped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    row = {"tokens": ["In", "Rome"], "tags": ["O", "B"]}
    no_lists = [{"tokens": "In", "tags": "O"}, {"tokens": ["In"], "tags": None}, {**row, "tags": ["O"]}]
    others = [{**row, "tokens": ["New York", "is"]}, {**row, "tokens": ["\ud83d", "is"]}]
    name = as_json([row, *no_lists, *others, row])([])
    report = (
        "3 of 7 rows without a list of words and one of as many tags (rows 2, 3, 4){}1 of 7 rows with a word or tag "
        "that is missing, is empty or has white space in it (row 5){}1 of 7 rows with half a character (a lone "
        "surrogate, such as \\ud83d in JSON) (row 6){}"
    )
    refused = report.format("; ", "; ", "; correct them, or drop them with --unreadable drop")
    with pytest.raises(TextseqError, match=f"^{re.escape(f't.json: {refused}')}$"):
        TaggedData(tagged=(name,)).open()
    dataset = TaggedData(tagged=(name,), unreadable="drop", validation=0).open()
    assert [*dataset.sentences("train")] == 2 * [(("In", "Rome"), ("O", "B"))]
    dropped = report.format(*2 * [".\nnote: Dropped from t.json: "], ".")
    told = [record.getMessage() for record in caplog.records if record.name == "textseq"]
    assert "\n".join(told).endswith(f"note: Dropped from t.json: {dropped}")
    nothing = as_json(no_lists)([])
    with pytest.raises(TextseqError, match=r"^no sentences in t.json: all rows were dropped; name other files$"):
        TaggedData(tagged=(nothing,), unreadable="drop").open()


def test_a_table_of_words_is_refused() -> None:
    Path("ner.csv").write_text("Sentence #,Word,Tag\nSentence: 1,London,B-geo\n,is,O\n")
    with pytest.raises(TextseqError, match=r"^expected one word and its tag per line .*, got the table ner.csv; conv"):
        TaggedData(tagged=("ner.csv",)).open()
    Path("tabs.csv").write_text("London\tB-geo\nis\tO\n")
    Path("spaces.csv").write_text("London B-geo\nis O\n")
    assert [*TaggedData(tagged=("spaces.csv",), validation=0).open().sentences("train")] == [
        (("London", "is"), ("B-geo", "O"))
    ]
    assert [*TaggedData(tagged=("tabs.csv",), validation=0).open().sentences("train")] == [
        (("London", "is"), ("B-geo", "O"))
    ]


def test_errors_about_tagged_sentences_name_the_table() -> None:
    name = parquet([{"tokens": ["In", "Rome"], "tags": ["O", "O"]}, {"tokens": ["Here"], "tags": ["O"]}])
    with pytest.raises(TextseqError, match=f"expected at least 2 tags, got only 'O' in {name};"):
        TaggedData(tagged=(name,), validation=0).open()


def unreachable(*names: object) -> None:
    """``datasets.load_dataset`` without a network."""
    raise ConnectionError("no network")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("t.json", b"[1, 2]", "expected a list of JSON objects, or an object per line, got 1 as item 1"),
        ("t.json", b'[["a", "b"]]', 'as item 1; write a list of objects, as pandas does with orient="records"'),
        ("t.json", b'{"columns": ["text", "text"], "data": [["a", "b"]]}', "a name in 'columns' for each value"),
        ("t.json", b'{"columns": ["text", "label"], "data": [["a"]]}', "a name in 'columns' for each value"),
        ("t.json", b'{"0": {"0": "a"}, "1": {"0": "b"}}', "got 0, 1 outside and 0 within; write"),
        ("t.json", b'{"text": {"text": "a"}, "label": {"text": "b"}}', "text, label outside and text within"),
        ("t.json", b'{"text": "a"}', "t.json has the columns 'text'; say with --label-column which is meant"),
        ("t.json", b'{"a": [{}], "n": 1, "b": [{}]}', "expected one list of JSON objects, got a, b; keep one of them"),
        ("t.json", b'{"text": ["a", "b"], "label": ["x"]}', "same length, got one of 1 and one of 2 values"),
        ("t.json", b"{", "t.json is no valid JSON: it ends too early, without '}'; write it again"),
        ("t.json", b'[{"text": "a", "label": "b"},\n{"text"', "it ends too early, without ']'; write it again"),
        ("t.json", b'[{"text": "a" "label": "b"}]', "no valid JSON: Expecting ',' delimiter: line 1 column 15"),
        ("t.json", b'{"text": "a", "label": "b"}\n[', "it ends too early, without ']'; write it again"),
        ("t.json", b'{"text": "a", "label": "b"}\n[1]', "got [1] as item 2"),
        ("t.json", b'{"text": "a"}\ntext\n{"text": "b"}', "t.json is no valid JSON: Expecting value: line 2 column 1"),
        ("t.json", b"[" * 100_000, "no valid JSON: it "),
        ("t.json", b"", "t.json has no rows; name another"),
        ("t.parquet", b"PAR1 damaged", "t.parquet is no Parquet file, or damaged ("),
        ("none.parquet", b"", "expected a file, got none at none.parquet; correct the path"),
        ("hf://no/such-dataset", b"", "cannot load hf://no/such-dataset ("),
    ],
)  # fmt: skip
def test_what_is_no_table_is_refused_in_a_line(
    name: str, content: bytes, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package, mark in (("pyarrow", "parquet"), ("datasets", "hf:")):
        if mark in name:
            monkeypatch.setattr(
                pytest.importorskip(package, reason=f"needs {package}"), "load_dataset", unreachable, raising=False
            )
    if content or name == "t.json":
        Path(name).write_bytes(content)
    with pytest.raises(TextseqError, match=re.escape(told)) as raised:
        LabelledData(labelled=(name,)).open()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "package", "needs"),
    [("t.parquet", "pyarrow.parquet", "reading t.parquet"), ("hf://imdb", "datasets", "hf://imdb")],
)
def test_without_the_extra_a_line_says_what_to_install(
    name: str, package: str, needs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    Path("t.parquet").write_bytes(b"PAR1")
    told = f'{needs} needs a package that is not installed; install it with: pip install "textseq[data]"'
    with pytest.raises(TextseqError, match=f"^{re.escape(told)}$"):
        LabelledData(labelled=(name,)).open()


def test_a_dataset_given_bare_is_answered_with_the_flags(empty_home: Path) -> None:
    from textseq.commands.train import Named

    with pytest.raises(TextseqError, match="--labelled hf://imdb"):
        Named(["hf://imdb"])


@pytest.mark.parametrize("form", [parquet, as_json(json.dumps(TABLE, indent=1).replace('"neg"', "null"))])
def test_errors_and_notes_name_the_file_of_the_user(form: Callable[[list[dict[str, object]]], str]) -> None:
    rows: list[dict[str, object]] = [{**row, "label": None if row["label"] == "neg" else row["label"]} for row in TABLE]
    name = form(rows)
    told = rf"^{name}: 1 of 3 rows with a 'label' that is no string or number \(row 2\); correct them"
    with pytest.raises(TextseqError, match=told):
        LabelledData(labelled=(name,)).open()
    dataset = LabelledData(labelled=(name,), unreadable="drop", validation=0).open_whole()
    assert dataset.name == dataset.title == name
    assert dataset.notes[0] == f"Reading texts from column 'text' of {name}, labels from 'label'."
    with pytest.raises(
        TextseqError, match=rf"^{name}: 3 of 3 rows without the key 'source' \(rows 1, 2, 3\); row 1 has"
    ):
        PairData(pairs=(name,)).open()


def test_texts_that_are_empty_name_the_file_of_the_user() -> None:
    with pytest.raises(TextseqError, match=r"^no text in 't\.parquet': all files are empty"):
        TextData(text=(parquet([{"text": None}, {"text": None}]),)).open()
