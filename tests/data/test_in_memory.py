"""Data in memory gives the same dataset as the same data in files, and what cannot be data is refused."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from textseq.data.in_memory import labelled_files, pair_files, tagged_files, text_files
from textseq.data.sources import LabelledData, PairData, TaggedData, TextData
from textseq.errors import TextseqError

TEXTS = ["good\tfilm", 'bad – "film"\nwith a second line', "spaces  within", "\ufefffour"]
LABELS = ["pos", "neg", "neg", "neg"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path / "home"))


def test_labelled_texts_come_back() -> None:
    dataset = LabelledData(labelled=labelled_files(TEXTS, LABELS), validation=0).open()
    assert [*dataset.examples("train")] == [*zip(TEXTS, LABELS, strict=True)]


def test_pairs_come_back() -> None:
    dataset = PairData(
        pairs=pair_files(["one", "two"], ["eins", "zwei"]), source="en", target="de", validation=0
    ).open()
    assert [*dataset.rows("train")] == [("one", "eins"), ("two", "zwei")]


@pytest.mark.parametrize("validation", [0, 0.5])
def test_worker_processes_can_read_a_dataset(validation: float) -> None:
    dataset = LabelledData(labelled=labelled_files(TEXTS, LABELS), validation=validation).open()
    again = pickle.loads(pickle.dumps(dataset))
    for split in dataset.splits:
        assert [*again.rows(split)] == [*dataset.rows(split)] != []


def test_texts_are_documents() -> None:
    texts = ["first\r\n", "second", "third text"]
    dataset = TextData(text=text_files(texts), validation=0).open()
    assert ["".join(chunks) for chunks in dataset.documents("train")] == texts


def test_tagged_sentences_come_back_in_both_forms() -> None:
    words, tags = [["Time", "#", "flies"], ["Go"]], [["N", ".", "V"], ["V"]]
    pairs = [list(zip(*both, strict=True)) for both in zip(words, tags, strict=True)]
    assert tagged_files(words, tags) == tagged_files(pairs)
    dataset = TaggedData(tagged=tagged_files(words, tags), validation=0).open()
    assert [(list(one), list(two)) for one, two in dataset.sentences("train")] == [*zip(words, tags, strict=True)]


FORMAT_LIKE = ["%PDF-1.4 was the first", "\ufeffmark", "\ufeff\ufefftwo", "a\0b\0c\0d\0", "nul\0text", "PK\x03\x04"]
"""Texts that would be another format, or begin with a byte order mark, in a file."""


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16"])
@pytest.mark.parametrize("texts", [["plain", *FORMAT_LIKE, "łódź"], *([text] for text in FORMAT_LIKE)])
def test_all_of_a_text_is_text(texts: list[str], encoding: str) -> None:
    dataset = TextData(text=text_files(texts), validation=0, encoding=encoding).open()
    assert ["".join(chunks) for chunks in dataset.documents("train")] == texts


def test_a_byte_order_mark_that_is_text_is_in_the_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\ufeffmark", encoding="utf-8")
    files = (str(tmp_path / "a.txt"),), text_files(["\ufeffmark"])
    assert len({TextData(text=text, validation=0).open().fingerprint for text in files}) == 2


def test_errors_and_notes_speak_of_rows_not_of_a_file_in_the_cache() -> None:
    labelled = LabelledData(labelled=labelled_files(["a", "", "b"], ["x", "y", "z"]))
    with pytest.raises(TextseqError, match=r"^labelled: 1 of 3 rows with an empty text \(row 2\); correct them, or"):
        labelled.open()
    with pytest.raises(TextseqError, match=r"^pairs: 1 of 2 rows with an empty text \(row 1\); correct them, or"):
        PairData(pairs=pair_files(["", "b"], ["x", "y"])).open()
    tagged = TaggedData(tagged=tagged_files([["a"], ["b", "c"], ["d"]], [["N"], ["V", "N"], ["N"]]), longest_sentence=1)
    with pytest.raises(TextseqError, match=r"^tagged: 1 of 3 sentences with more than 1 words \(sentence 2\); correct"):
        tagged.open()
    dataset = TextData(text=text_files(["one", "two\r\n"]), validation=0).open()
    assert dataset.name == "texts"
    assert dataset.notes[0].startswith("Line ends CRLF or CR in row 2 of texts: ")


FIRST_WORDS = ["#", "#a=1", "#hashtag", "-DOCSTART-", "word", "%PDF-1", "\ufeffmark", "1", "'", "łódź"]
"""Words that would be a comment, a header, a mark or another format in a file."""


@pytest.mark.parametrize("first", FIRST_WORDS)
def test_all_words_in_memory_are_words(first: str) -> None:
    pairs = [[(first, "tag"), ("one", "NUM")], [("a", "DT"), (first, "NN"), ("c", "SYM")], [(first, "SYM")]]
    dataset = TaggedData(tagged=tagged_files(pairs), validation=0, encoding="latin-1").open()
    assert [[*zip(*sentence, strict=True)] for sentence in dataset.sentences("train")] == pairs
    assert not dataset.notes


def test_files_of_earlier_runs_are_read_as_before(tmp_path: Path) -> None:
    texts, tagged = tmp_path / "texts.0123456789abcdef", tmp_path / "tagged.0123456789abcdef.conll"
    texts.mkdir()
    (texts / "000000000.txt").write_text("\ufeffmark", encoding="utf-8")
    (texts / "000000001.txt").write_text("nul\0", encoding="utf-8")
    dataset = TextData(text=(str(texts),), validation=0).open()
    assert ["".join(chunks) for chunks in dataset.documents("train")] == ["mark"]
    tagged.write_text("word\ttag\none\tNUM\n\na\tDT\n\n", encoding="utf-8")
    sentences = [*TaggedData(tagged=(str(tagged),), validation=0).open().sentences("train")]
    assert sentences == [(("one",), ("NUM",)), (("a",), ("DT",))]


def columns(name: str) -> tuple[object, object]:
    """The same texts and numbers in the columns of a package."""
    data = {"text": ["a", "b", "c"], "label": [1, 0, 1]}
    if name == "numpy":
        return np.array(data["text"]), np.array(data["label"])
    module = pytest.importorskip(name, reason=f"needs {name}")
    if name == "datasets":
        table = module.Dataset.from_dict(data)
        return table["text"], table["label"]
    table = module.DataFrame(data)
    return table["text"], table["label"]


@pytest.mark.parametrize("name", ["numpy", "pandas", "polars"])
def test_columns_of_other_packages_are_lists(name: str) -> None:
    texts, labels = columns(name)
    assert labelled_files(texts, labels) == labelled_files(["a", "b", "c"], ["1", "0", "1"])  # type: ignore[arg-type]


def test_the_same_data_is_written_once_and_other_data_elsewhere() -> None:
    (first,) = labelled_files(TEXTS, LABELS)
    before = Path(first).stat().st_mtime_ns
    assert labelled_files(TEXTS, LABELS) == (first,)
    assert Path(first).stat().st_mtime_ns == before
    assert labelled_files(TEXTS, LABELS[::-1]) != (first,)
    assert json.loads(Path(first).read_text().splitlines()[0]) == {"text": TEXTS[0], "label": "pos"}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: labelled_files(["a", None], [1, 2]), "texts: expected strings, got None in row 2"),
        (lambda: labelled_files(["a"], [1, 2]), "as many texts as labels, got 1 and 2"),
        (
            lambda: labelled_files(["a", "b"], [1, float("nan")]),
            "labels: expected strings or whole numbers, got nan in",
        ),
        (lambda: labelled_files("ab", ["1", "2"]), "texts: expected a list or column, got str; put it into a list"),
        (lambda: labelled_files([], []), "labelled: expected some data, got none"),
        (lambda: pair_files(["a"], []), "as many sources as targets, got 1 and 0"),
        (lambda: text_files(3), "texts: expected a list or column, got int"),  # type: ignore[arg-type]
        (lambda: tagged_files([["a", "b"]]), "expected pairs of word and tag, got 'a'"),
        (lambda: tagged_files([["a", "b"]], [["N"]]), "as many words of sentence 1 as tags, got 2 and 1"),
        (lambda: tagged_files([["a b"]], [["N"]]), "a word without white space, got 'a b' in sentence 1"),
        (lambda: tagged_files([["a"]], [[""]]), "a tag without white space, got '' in sentence 1"),
        (lambda: tagged_files([["a"], ["b", None]], [["N"], ["N", "N"]]), "expected a word, got None in sentence 2"),
        (lambda: tagged_files([[("a", float("nan"))]]), "sentences: expected a tag, got nan in sentence 1"),
        (lambda: tagged_files([["a"], None], [["N"], ["N"]]), "sentence 2: expected a list or column, got NoneType"),  # type: ignore[list-item]
        (lambda: tagged_files([["a"]], [None]), "tags of sentence 1: expected a list or column, got NoneType"),  # type: ignore[list-item]
        (lambda: text_files(["a", "b\ud800"]), r"texts: expected text that UTF-8 can encode, got the lone surrogate "
                                               r"'\ud800' in row 2; replace it"),
        (lambda: tagged_files([["a\udcff"]], [["N"]]), r"got the lone surrogate '\udcff' in sentence 1"),
    ],
)  # fmt: skip
def test_what_is_no_data_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(TextseqError) as caught:
        call()
    assert message in str(caught.value)
