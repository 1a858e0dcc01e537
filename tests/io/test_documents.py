"""Members of archives are read where they lie, and NLTK's corpora by NLTK's readers."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from textseq.data.corpora.text_formats import CorpusDocument, members
from textseq.errors import TextseqError
from textseq.io.compression import ZSTD
from textseq.io.documents.decode import CHUNK
from textseq.io.documents.document import Document, texts_of
from textseq.io.lines import Lines

DataFile = Callable[[str], Path]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "some.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("books/b.txt", "[B by C 1900]\r\n\r\nCaf\u00e9.\r\n".encode("latin-1"))
        file.writestr("books/a.txt", b"x" * (2 * CHUNK + 5))
        file.writestr("books/.DS_Store", b"\0")
        file.writestr("tags/t01", b"\n\n\tIt/pps is/bez ``/`` so/rb ''/'' ./.\nYes/rb ./.\n\n\n\tThen/rb and/or/cc\n")
    return path


def text_of(document: Document) -> str:
    return "".join(document.chunks())


def test_members_are_found_by_pattern_in_order(archive: Path) -> None:
    assert members(archive, ["books/*.txt"]) == ["books/a.txt", "books/b.txt"]
    assert members(archive, ["tags/t[0-9][0-9]", "books/b.txt", "books/?.txt"]) == [
        "tags/t01",
        "books/b.txt",
        "books/a.txt",
    ]
    with pytest.raises(TextseqError, match=r"some\.zip has no member 'books/\*\.csv'; it has books/\.DS_Store, "):
        members(archive, ["books/a.txt", "books/*.csv"])


def test_member_comes_in_chunks_and_pieces(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile.ZipFile, "extract", None)  # nothing is unpacked
    document = Document(archive, "ascii", member="books/a.txt")
    assert [len(chunk) for chunk in document.chunks()] == [CHUNK, CHUNK, 5]
    piece = Document(archive, "ascii", member="books/a.txt", start=CHUNK - 1, stop=CHUNK + 1)
    assert (text_of(piece), document.length()) == ("xx", 2 * CHUNK + 5)
    assert [path.name for path in archive.parent.iterdir()] == ["some.zip"]


@pytest.mark.parametrize("format", ["text", "plain", "nltk-book", "nltk-tagged"])
def test_what_cannot_be_read_is_said(archive: Path, format: str) -> None:
    with pytest.raises(TextseqError, match=r"some\.zip has no member 'books/c\.txt'; remove it"):
        text_of(CorpusDocument(archive, "ascii", format=format, member="books/c.txt"))
    with pytest.raises(TextseqError, match=r"cannot read .*other\.zip: No such file"):
        text_of(CorpusDocument(archive.with_name("other.zip"), "ascii", format=format, member="books/a.txt"))
    content = archive.read_bytes()
    archive.write_bytes(content[: len(content) // 2])
    with pytest.raises(TextseqError, match=r"some\.zip is not an intact ZIP archive .*download it again"):
        text_of(CorpusDocument(archive, "ascii", format=format, member="books/a.txt"))
    with pytest.raises(TextseqError, match=r"some\.zip is not an intact ZIP archive"):
        members(archive, ["*"])


def test_damaged_member_is_said(archive: Path) -> None:
    content = bytearray(archive.read_bytes())
    content[content.index(b"books/a.txt") + 60] ^= 255
    archive.write_bytes(content)
    with pytest.raises(TextseqError, match=r"some\.zip/books/a\.txt is damaged"):
        text_of(Document(archive, "ascii", member="books/a.txt"))


def test_errors_name_the_member(archive: Path) -> None:
    with pytest.raises(TextseqError, match=r"some\.zip/books/b\.txt is not ascii text: byte 0xe9 at offset 20"):
        text_of(Document(archive, "ascii", member="books/b.txt"))
    with pytest.raises(TextseqError, match=r"some\.zip/books/b\.txt: expected the known title"):
        text_of(CorpusDocument(archive, "latin-1", format="ruslit", member="books/b.txt"))


def zipped(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("__MACOSX/._a.txt", b"metadata")
        archive.writestr("a.txt", data)
    return buffer.getvalue()


def zstd(data: bytes) -> bytes:
    module = pytest.importorskip(ZSTD, reason=f"{ZSTD} is not installed")
    compressed: bytes = module.compress(data)
    return compressed


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "GZ": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstd,
    "zip": zipped,
}


@pytest.mark.parametrize("ending", COMPRESSIONS)
def test_compressed_files_are_read_as_they_are(tmp_path: Path, ending: str) -> None:
    text = "caf\u00e9\n" * (CHUNK // 4)
    path = tmp_path / f"a.TXT.{ending}"
    data = COMPRESSIONS[ending](text.encode())
    path.write_bytes(data)
    chunks = list(Document(path, "utf-8").chunks())
    assert "".join(chunks) == text and len(chunks) > 1 and max(map(len, chunks)) <= CHUNK
    assert list(Document(path, "utf-8").lines()) == text.splitlines()
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    half = len(data) // 2
    for bad in (data[:-4], b"plain text, which is no archive", data[:half] + b"xxxx" + data[half + 4 :]):
        path.write_bytes(bad)
        for read in (Document(path, "utf-8").chunks, Document(path, "utf-8").lines):
            with pytest.raises(TextseqError, match=rf"a\.TXT\.{ending} is (damaged .*; replace it|.*not utf-8 text)"):
                list(read())


@pytest.mark.parametrize("ending", COMPRESSIONS)
def test_a_line_of_a_compressed_file_is_bounded(tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textseq.io.documents.document.LONGEST_LINE", 1000)
    path = tmp_path / f"a.{ending}"
    path.write_bytes(COMPRESSIONS[ending](b"x" * 5000))
    with pytest.raises(TextseqError, match="line 1 has more than 1,000 characters"):
        list(Document(path, "utf-8").lines())


def test_an_archive_of_several_files_is_refused(archive: Path) -> None:
    with pytest.raises(TextseqError, match=r"some\.zip: expected an archive of one file, got 4; decompress it first"):
        list(Document(archive, "utf-8").chunks())


def test_without_the_extra_for_zstd_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, ZSTD, None)
    (tmp_path / "a.zst").write_bytes(b"x")
    with pytest.raises(TextseqError, match=r'reading .*a\.zst needs .* pip install "textseq\[zstd\]"'):
        list(Document(tmp_path / "a.zst", "utf-8").chunks())


def test_lines_end_at_newlines_alone(tmp_path: Path, archive: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffone\u2028\x85\x0c\rtwo\r\n\n\ufeffthree\tfour".encode() + b"\xff\n")
    assert list(Document(path, "utf-8").lines()) == ["one\u2028\x85\x0c\rtwo", "", "\ufeffthree\tfour\udcff"]
    assert list(Document(archive, "latin-1", member="books/b.txt").lines()) == ["[B by C 1900]", "", "Caf\u00e9."]
    path.write_bytes("one\n".encode("utf-16")[:-1])
    with pytest.raises(TextseqError, match=r"a\.txt is not utf-16 text: .*; set --encoding"):
        list(Document(path, "utf-16").lines())
    with pytest.raises(TextseqError, match=r"cannot read .*b\.txt: No such file"):
        list(Document(tmp_path / "b.txt", "utf-8").lines())


@pytest.mark.parametrize("begins", ["PAR1 and PAR2 are regions.", "BZh9 is a code.", "PK means penalty kick."])
def test_words_that_look_like_the_first_bytes_of_a_format_are_text(tmp_path: Path, begins: str) -> None:
    (tmp_path / "a.txt").write_text(begins)
    assert list(Document(tmp_path / "a.txt", "utf-8").lines()) == [begins]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_the_same_with_every_line_end(tmp_path: Path, end: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(end.join(["I am here.", "He left.", "", "We won.", ""]).encode())
    assert list(Document(path, "utf-8").lines()) == ["I am here.", "He left.", "", "We won."]
    with path.open("rb") as file:
        assert list(Lines(file, "a")) == ["I am here.", "He left.", "", "We won."]
        assert not file.closed
    for length in (8191, 8192, 20_000, 100_000):  # the first line end is not in the first block
        long = "é" * (length // 2)
        path.write_bytes(end.join([long, "He left.", "We won.", ""]).encode())
        assert list(Document(path, "utf-8").lines()) == [long, "He left.", "We won."]
        with path.open("rb", buffering=0) as raw:
            assert list(Lines(raw, "a", longest=10**6)) == [long, "He left.", "We won."]
    path.write_bytes(end.join(["I am here.", "He left."]).encode("utf-16"))
    assert list(Document(path, "utf-16").lines()) == ["I am here.", "He left."]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"PK\x03\x04\x14\0\0\0\0\0word/document.xml<w:t>Hello</w:t>", "docx"),
        (b"PK\x03\x04\x14\0\0\0\0\0mimetypeapplication/epub+zip", "epub"),
        (b"PK\x03\x04\x14\0\0\0\0\0letters.txt", "zip"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "pdf"),
        (b"\xfd7zXZ\0\0\x04", "xz"),
        (b"\x28\xb5\x2f\xfd\x04", "zstd"),
        (b"7z\xbc\xaf\x27\x1c\0\x04", "7z"),
        (gzip.compress(b"text", mtime=0), "gzip"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_file_that_is_no_text_is_named_by_its_first_bytes(
    tmp_path: Path, data: bytes, kind: str, encoding: str
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    for read in (Document(path, encoding).chunks, Document(path, encoding).lines):
        with pytest.raises(
            TextseqError, match=rf"a\.txt is a file of the format {kind}, not text; (save|decompress|give) it"
        ):
            list(read())


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_utf_16_without_a_mark_is_known_by_its_nul_characters(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("I am here.\nHe left.\n".encode(encoding))
    for read in (Document(path, "utf-8").chunks, Document(path, "latin-1").lines):
        with pytest.raises(TextseqError, match=f"not .* text but seems to be .*: set --encoding {encoding}"):
            list(read())
    assert list(Document(path, encoding).lines()) == ["I am here.", "He left."]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "cp1251", "ascii"])
def test_utf_8_is_not_read_in_an_encoding_of_one_byte_per_character(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.txt"
    # 8191 bytes come before the last letter, so that the beginning that is looked at ends within it
    for text in ("caf\u00e9 cr\u00e8me\n", "\ufeffcafe\n", "\u00e9t\u00e9".ljust(8189) + "\u00e9"):
        path.write_text(text, encoding="utf-8")
        for read in (Document(path, encoding).chunks, Document(path, encoding).lines):
            with pytest.raises(TextseqError, match=rf"a\.txt is UTF-8 text, not {encoding}, .*; leave out --encoding"):
                list(read())


@pytest.mark.parametrize("text", ["caf\u00e9 cr\u00e8me", "\u00ab CAF\u00c9\u00bb", "caf\u00e9 \u00c9\u00bb"])
def test_text_in_latin_1_is_read_so_even_if_an_accent_and_a_mark_look_like_utf_8(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode("latin-1"))
    assert list(Document(path, "latin-1").lines()) == ["".join(Document(path, "latin-1").chunks())] == [text]


def test_nltk_reads_books_and_tagged_texts(archive: Path) -> None:
    assert text_of(CorpusDocument(archive, "latin-1", format="nltk-book", member="books/b.txt")) == "Caf\u00e9.\n"
    tagged = CorpusDocument(archive, "ascii", format="nltk-tagged", member="tags/t01")
    assert text_of(tagged) == "It is `` so '' .\nYes .\n\nThen and/or\n"


def test_nltk_is_imported_only_to_read(archive: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom textseq.data.corpora.catalog import list_corpora\n"
        "from textseq.io.documents.document import Document\n"
        f"list_corpora(); list(Document(Path({str(archive)!r}), 'latin-1', member='books/b.txt').chunks())\n"
        "assert 'nltk' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_bad_name_in_an_archive_is_an_error_of_one_line(tmp_path: Path) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("\u00e9\u00e9.txt", "text")
    (tmp_path / "a.zip").write_bytes(data.getvalue().replace("\u00e9\u00e9".encode(), b"\xff\xfe\xff\xfe"))
    with pytest.raises(TextseqError, match="damaged"):
        list(texts_of(tmp_path / "a.zip", "utf-8", ["*"], lambda name: True))
