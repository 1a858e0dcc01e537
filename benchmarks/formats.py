"""Formats that one's own files may have: documents, compressions, glossaries, phrase books, columns, data in memory."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import importlib
import lzma
from collections.abc import Callable, Sequence
from itertools import islice, product
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from mutations import Files, as_json, mutated, zipped
from small_models import ENGLISH, job_of

from textseq.checkpoints.model_info import read_json
from textseq.data.corpora.catalog import recipe_folder
from textseq.data.corpora.phrase_book import read_phrase_book
from textseq.data.in_memory import labelled_files, pair_files, tagged_files, text_files
from textseq.data.labelled import own_labelled
from textseq.data.pairs import own_pairs
from textseq.data.readers.glossary import Glossary
from textseq.data.readers.labelled import Texts
from textseq.data.readers.tables import is_table
from textseq.data.tagged import own_tagged
from textseq.data.text import own_text
from textseq.errors import TextseqError
from textseq.io.compression import OPENERS, ZSTD
from textseq.io.documents.document import Document
from textseq.tasks.documents.formats import FORMATS as DOCUMENTS
from textseq.tasks.documents.formats import translate_document

SENTENCES = "Be kind. To be, or not?"


def _documents(folder: Path) -> None:
    """Translate a document; what comes of it can be read as such again."""
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in DOCUMENTS:
            result = path.with_name(f"translated{path.suffix.lower()}")
            settings: dict[str, Any] = {"max_new_tokens": 3, "num_beams": 1}
            translate_document(job_of("translation"), path, result, encoding="utf-8", **settings)
            again = path.with_name(f"again{path.suffix.lower()}")
            translate_document(job_of("translation"), result, again, **settings)


def _compressions(folder: Path) -> None:
    """Texts, lines and tables of a compressed file."""
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in OPENERS:
            with contextlib.suppress(TextseqError):
                own_text([path])
            if is_table(path):
                with contextlib.suppress(TextseqError):
                    list(Texts(path))
            assert all(isinstance(line, str) for line in Document(path, "utf-8").lines())


def _glossaries(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        glossary = Glossary.read(path, keep=["be"])
        for sentence in ("To be", "the slings, THE SLINGS", "", *islice(glossary.terms, 3)):
            found = glossary.targets(sentence)
            assert all(term in glossary.terms.values() for term in found)
            job_of("translation").translate([sentence], glossary=glossary, max_new_tokens=5, num_beams=2)


def _phrase_books(folder: Path) -> None:
    for english, french in islice(
        read_phrase_book((folder / "phrases.txt").read_bytes().decode(errors="replace")).pairs(), 500
    ):
        assert isinstance(english, str) and isinstance(french, str)


def _columns(folder: Path) -> None:
    """Tables with columns that are found, and with those that are asked for by name or number."""
    opened: Sequence[tuple[Callable[..., Any], str, str, str]] = [
        (own_labelled, "examples", "text_column", "label_column"),
        (own_pairs, "pairs", "source_column", "target_column"),
        (own_tagged, "sentences", "word_column", "tag_column"),
    ]
    asked: Sequence[Any] = (None, "text", "label", "2", "3", "0", "99", "9" * 30)
    for path in sorted(folder.iterdir()):
        if not path.is_file():
            continue
        for (own, rows, first, second), names in product(opened, zip(asked, [None, *asked[:0:-1]], strict=True)):
            numbers = own is own_tagged
            if numbers and not all(name is None or name.isdecimal() for name in names):
                continue
            given = {
                key: int(name) if numbers and name else name for key, name in zip((first, second), names, strict=True)
            }
            with contextlib.suppress(TextseqError):
                corpus = own([path], validation=0.3, **given)
                for split in corpus.splits:
                    assert all(row for row in getattr(corpus, rows)(split))


def _in_memory(folder: Path) -> None:
    """Columns of any values, as a caller of ``textseq.train`` may give them."""
    given = read_json(folder / "settings.json")
    first, second = given.get("first"), given.get("second")
    calls: Sequence[tuple[Callable[..., tuple[str, ...]], Callable[..., Any], str, tuple[Any, ...]]] = [
        (text_files, own_text, "documents", (first,)),
        (labelled_files, own_labelled, "examples", (first, second)),
        (pair_files, own_pairs, "pairs", (first, second)),
        (tagged_files, own_tagged, "sentences", (given.get("words"), given.get("tags"))),
        (tagged_files, own_tagged, "sentences", (given.get("words"), None)),
    ]
    for write, own, rows, values in calls:
        with contextlib.suppress(TextseqError):
            corpus = own([Path(name) for name in write(*values)], validation=0.3)
            for split in corpus.splits:
                assert all(row is not None for row in getattr(corpus, rows)(split))


COLUMNS: Sequence[dict[str, Any]] = [
    {
        "first": ["a film", "a bad film", "no film", "a book"] * 3,
        "second": ["good", "bad", 0, True] * 3,
        "words": [["To", "be"], ["or"], ["not", "to", "be"]],
        "tags": [["A", "B"], ["C"], ["D", "A", "B"]],
    },
    {"first": ["one", "two"], "second": ["un", "deux"], "words": [[["To", "A"], ["be", "B"]], []], "tags": None},
]
"""Data in memory."""

FORMATS: dict[str, Callable[[Path], object]] = {
    "documents": _documents,
    "compressions": _compressions,
    "glossaries": _glossaries,
    "phrase books": _phrase_books,
    "columns": _columns,
    "data in memory": _in_memory,
}
"""Readers of formats, by name."""

HTML = (
    '<!DOCTYPE html>\n<html><head><title>To be</title><style>p > a {}</style></head><body><p class="x">Be <b>kind '
    '<i>and</i></b> wise.<br/>To <a href="#x" title="or not">be</a> &amp; <code>x</code>.</p><!-- no --><pre>be</pre>'
    '<ul><li>one<ul><li>two</ul></ul><img src="x" alt="A face"><table><tr><td>of<td>the</table></body></html>'
)
SUBTITLES = (
    "1\n00:00:01,000 --> 00:00:02,500\nTo be,\nor <i>not</i> to be.\n\n"
    "2\n00:00:03,000 --> 00:00:04,000\n- The question\n\n"
)
WORD = (
    '<?xml version="1.0" encoding="UTF-8"?><w:document><w:body><w:p><w:pPr><w:b/></w:pPr><w:r><w:t>To be </w:t></w:r>'
    "<w:r><w:rPr><w:b/></w:rPr><w:t>kind</w:t></w:r><w:r><w:tab/></w:r><w:hyperlink><w:r><w:t>and</w:t></w:r>"
    "</w:hyperlink></w:p><w:tbl><w:tr><w:tc><w:p><w:r><w:t>of &amp; the</w:t></w:r></w:p></w:tc></w:tr></w:tbl>"
    "<w:p><w:r><w:pict><w:txbxContent><w:p><w:r><w:t>in a box</w:t></w:r></w:p></w:txbxContent></w:pict></w:r></w:p>"
    "</w:body></w:document>"
)


def documents() -> st.SearchStrategy[Files]:
    """Documents, those that are archives with changed members or changed as bytes."""
    whole = format_inputs()["documents"]
    book = {"mimetype": b"application/epub+zip", "text/a.xhtml": HTML.encode(), "style.css": b"p {}"}
    letter = {"[Content_Types].xml": b"<x/>", "word/document.xml": WORD.encode(), "word/header1.xml": WORD.encode()}
    inner = [(book, "a.epub"), (letter, "a.docx")]
    repacked = st.sampled_from(inner).flatmap(lambda one: mutated([one[0]]).map(lambda files: {one[1]: zipped(files)}))
    return mutated(whole) | repacked


def format_inputs() -> dict[str, list[Files]]:
    """Valid inputs of ``FORMATS``."""
    plain = ENGLISH.encode()
    zstd = importlib.import_module(ZSTD)
    table = "text,label\n" + "".join(f"text {n},{n % 2}\n" for n in range(9))
    packed: dict[str, Callable[[bytes], bytes]] = {
        "gz": gzip.compress,
        "bz2": bz2.compress,
        "xz": lzma.compress,
        "zst": zstd.compress,
    }
    phrases = (recipe_folder() / "phrases-en-fr.txt").read_text("utf-8").splitlines(keepends=True)
    lists = "[food f]\npear | poire; apple | *pomme\n[city]\nParis; Rome\n== phrases\n"
    return {
        "data in memory": [{"settings.json": as_json(columns)} for columns in COLUMNS],
        "documents": [
            {"a.txt": (SENTENCES + "\n\n" + "To be or not to be, that is the question of the day\n" * 3).encode()},
            {"a.srt": SUBTITLES.encode()},
            {"a.html": HTML.encode()},
            {"a.epub": zipped({"mimetype": b"application/epub+zip", "a.xhtml": HTML.encode()})},
            {"a.docx": zipped({"word/document.xml": WORD.encode(), "word/media/x.png": b"\x89PNG"})},
        ],
        "compressions": [
            *({f"a.txt.{ending}": pack(plain)} for ending, pack in packed.items()),
            *({f"a.csv.{ending}": pack(table.encode())} for ending, pack in packed.items()),
            {"a.txt.zip": zipped({"a.txt": plain})},
            {"a.csv.zip": zipped({"a.csv": table.encode(), "__MACOSX/a.csv": b"x"}, 0)},
        ],
        "glossaries": [
            {"terms.tsv": b"slings\ta\nto be\tb\nThe\tT\n"},
            {"terms.csv": b'slings,a\n"to be, or",b\n'},
            {"terms.tsv.gz": gzip.compress(b"slings\ta\n")},
        ],
        "phrase books": [
            {"phrases.txt": "".join(phrases[:30] + phrases[-30:]).encode()},
            {"phrases.txt": (lists + "I eat {a food}. | Je mange {un food} à {city}. / Bon {s food:x/y}.\n").encode()},
            {"phrases.txt": b"== phrases\n{words 1-1000} of {2-9} | {words 1-1000} / {2-9}\n"},
        ],
        "columns": [
            {"a.csv": table.encode()},
            {
                "a.csv": b"\xef\xbb\xbfid;Sentiment;Review\r\n"
                + b"".join(f"{n};{n % 2};a {n}\r\n".encode() for n in range(9))
            },
            {"a.tsv": b"id\ten\tfr\n" + b"".join(f"{n}\ta {n}\tb {n}\n".encode() for n in range(9))},
            {"a.tsv": b"".join(f"{n}\ta {n}\tb {n}\tCC-BY\n".encode() for n in range(9))},
            {"a.jsonl": b'{"translation": {"en": "a", "fr": "b"}}\n' * 9},
            {"a.jsonl": b'{"id": 1, "text": "a", "label": 1, "x": [1]}\n' * 9},
            {"a.conll": b"word tag\n# a comment\n#2 CD\n" + b"a X\nb Y\n\n" * 9},
            {"a.conll": b"-DOCSTART- -X- O\n\n" + b"a DT O\nb NN B-X\n\n" * 9},
        ],
    }
