"""Documents are translated with their layout: what is not text stays, and tags enclose the words that they enclosed."""

from __future__ import annotations

import html
import io
import itertools
import operator
import re
import zipfile
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textseq.errors import TextseqError
from textseq.tasks.documents.formats import FORMATS, plain_parts, translate_document
from textseq.tasks.documents.markup import MOST_MARKS, attribute_parts, parts_of
from textseq.tasks.documents.paragraphs import Paragraph, translated
from textseq.tasks.documents.word import box_parts, leaf, word_parts
from textseq.tasks.registry import load_translator
from textseq.tasks.translation.result import Translation

WORDS = {"the": "la", "house": "maison", "white": "blanche", "big": "grande", "is": "est", "burning": "en feu"}


def translate(sentences: Iterator[str]) -> Iterator[list[Translation]]:
    """Word by word, "white" after "house", with the attention that belongs to it."""
    for sentence in sentences:
        source = [f" {word}" for word in sentence.split()]
        order = [*range(len(source))]
        for n in range(len(source) - 1):
            if source[n : n + 2] in ([" white", " house"], [" white", " house."]):
                order[n : n + 2] = [n + 1, n]
        targets, owners = [], []
        for place in order:
            word = source[place].strip(" .,")
            for token in WORDS.get(word.lower(), word.upper()).split():
                targets.append(f" {token}")
                owners.append(place)
        text = "".join(targets).strip() + "." * sentence.endswith(".")
        weights = np.eye(len(source) + 1, dtype=np.float32)[[*owners, len(source)]]
        tokens = (*targets[:-1], targets[-1] + "." * sentence.endswith("."), "</s>") if targets else ()
        yield [Translation(text, 0.0, (*source, "</s>"), tokens, weights)]


def of_html(document: str) -> str:
    parts = [*attribute_parts(document)]
    results = translated((part for part in parts if isinstance(part, Paragraph)), translate)
    document = "".join(part if isinstance(part, str) else next(results).render(html.escape) for part in parts)
    parts = [*parts_of(document)]
    results = translated((part for part in parts if isinstance(part, Paragraph)), translate)
    return "".join(
        part if isinstance(part, str) else next(results).render(lambda text: html.escape(text, quote=False))
        for part in parts
    )


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("<p>The house.</p>", "<p>la maison.</p>"),
        ("<p>The <b>white</b> house.</p>", "<p>la maison <b>blanche.</b></p>"),
        ("<p>The <b>white house</b>.</p>", "<p>la <b>maison blanche</b>.</p>"),
        ("the <a href='#'>white <i>house</i></a> is big", "la <a href='#'><i>maison</i> blanche</a> est grande"),
        ("<b>the house</b>", "<b>la maison</b>"),
        ("the house <b>is burning</b> &amp; x", "la maison <b>est en feu</b> &amp; X"),
        ("the <img src='a'> house", "la <img src='a'> maison"),
        ("<p>the house <img src='a'> </p>", "<p>la maison <img src='a'> </p>"),
        ("<p>the house<img src='a'></p>", "<p>la maison<img src='a'></p>"),
        ("<p>the house <code>x</code></p>", "<p>la maison <code>x</code></p>"),
        ("a <code>x &lt; y</code> b", "A <code>x &lt; y</code> B"),
        ("<b>is <p>big</b>", "<b>est <p>grande</b>"),
        ("<script>if (a<b) the();</script>\n<p>the</p>\n", "<script>if (a<b) the();</script>\n<p>la</p>\n"),
        ("<!-- the -->\n<p>the</p> <pre>the</pre>", "<!-- the -->\n<p>la</p> <pre>the</pre>"),
        ("<img src='the' alt='The white house'>", "<img src='the' alt=\"la maison blanche\">"),
        ('<input data-title="the" PLACEHOLDER = the>', '<input data-title="the" PLACEHOLDER = "la">'),
        ('<a title="the &quot;big&quot;\nhouse">the</a>', '<a title="la &quot;BIG&quot; maison">la</a>'),
        ('<pre title="the"></pre><p title="1" x="title=the">', '<pre title="the"></pre><p title="1" x="title=the">'),
        (
            '<a href="x"><b>The house</b> is.<br>The house <i>is</i></a>',
            '<a href="x"><b>la maison</b> est.<br>la maison <i>est</i></a>',
        ),
        ('<p><a href="x"><img/></a></p>', '<p><a href="x"><img/></a></p>'),
        ('<p>the <a href="x"><img/></a> house</p>', '<p>la <a href="x"><img/></a> maison</p>'),
        ("<p>&nbsp;</p> <p>\u00a0the</p>", "<p>&nbsp;</p> <p>\u00a0la</p>"),
        ("<code/>the <code>the</code>", "<code/>la <code>the</code>"),
        ('<script src="a.js"/><p>the</p><script>the</script>', '<script src="a.js"/><p>la</p><script>the</script>'),
        (
            'the <span translate="no">the <span>big</span></span> house',
            'la <span translate="no">the <span>big</span></span> maison',
        ),
        (
            "<div Translate=NO><p title='the'>the</p></div> the<img alt='the' translate='no'>",
            "<div Translate=NO><p title='the'>the</p></div> la<img alt='the' translate='no'>",
        ),
        ('<p translate="no">the<p>the', '<p translate="no">the<p>la'),
        ("<ul><li translate=no>the<li>the</ul>", "<ul><li translate=no>the<li>la</ul>"),
        ("<ul><li>the<li translate=no>the</ul>the", "<ul><li>la<li translate=no>the</ul>la"),
        ("<p>the</p><p translate=no>the", "<p>la</p><p translate=no>the"),
        ("<p>the<br translate=no>the <wbr translate=no>the</p>", "<p>la<br translate=no>la <wbr translate=no>la</p>"),
        ('<span translate="no"/>the', '<span translate="no"/>la'),
        ('<a href="x"">the</a>', '<a href="x"">la</a>'),
        ('<p>the</p><img alt="A 5" big"><p>the</p>', '<p>la</p><img alt="A 5" big"><p>la</p>'),
        ("<a title=it's>the</a> house it's", """<a title="IT&#x27;S">la</a> maison IT'S"""),
        ("<a href='a>b' x = \"c>d\">the</a>", "<a href='a>b' x = \"c>d\">la</a>"),
        ('the<a href="x>the', 'la<a href="x>the'),
        ("the < house", "la &lt; maison"),
        ("<h1>the</h1>\n  <br/>the. Big house<br>", "<h1>la</h1>\n  <br/>la. grande maison<br>"),
    ],
)  # fmt: skip
def test_tags_move_with_the_words_they_enclose(source: str, target: str) -> None:
    assert of_html(source) == target


@pytest.mark.parametrize(
    ("source", "written", "target"),
    [
        ("name", "Nom.", "Nom"),
        ("name.", "Nom.", "Nom."),
        ("name", "Nom...", "Nom..."),
        ("(name)", "(Nom !)", "(Nom)"),
        ("(name!)", "(Nom !)", "(Nom !)"),
        ("Is. (Name)", "(Nom !)", "(Nom !) (Nom)"),
        ("name <b>\N{GRINNING FACE}</b>", "Nom ! \N{GRINNING FACE}", "Nom <b>\N{GRINNING FACE}</b>"),
        ("***", "***.", "***."),
    ],
)
def test_what_ends_without_a_mark_gets_none(source: str, written: str, target: str) -> None:
    """Brackets, emoji and the like around it do not count."""
    (paragraph,) = (part for part in parts_of(source) if isinstance(part, Paragraph))
    (result,) = translated([paragraph], lambda texts: ([Translation(written, 0.0, (), ())] for _ in texts))
    assert result.render() == target


TAGS = ("<b>", "</b>", "<i>", "</i>", "<p>", "</p>", "<br/>", "<img>")
PIECES = st.sampled_from([*TAGS, "white ", "house ", "the. ", "x", " ", "\n"])


@given(st.lists(PIECES, max_size=14))
def test_no_tag_is_lost_and_those_that_were_nested_are(pieces: list[str]) -> None:
    document = "".join(pieces)
    out = of_html(document)
    assert [out.count(tag) for tag in TAGS] == [document.count(tag) for tag in TAGS]
    for result in translated((part for part in parts_of(document) if isinstance(part, Paragraph)), translate):
        ends = [len(result.text)]
        for mark in result.marks:
            while len(ends) > 1 and ends[-1] <= mark.start:
                ends.pop()
            assert mark.end <= ends[-1], "marks do not cross"
            ends.append(mark.end)


TEXTS = st.sampled_from(["white ", "house", " ", "the. ", "(x), ", "<br/>", "<br/>", "<img/>", "<code>x</code>"])


def elements(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(st.builds("<{0}>{1}</{0}>".format, st.sampled_from("abi"), inner) | TEXTS, max_size=6).map("".join)


@given(elements(elements(elements(TEXTS))), st.randoms(use_true_random=False), st.sampled_from([1, 3, MOST_MARKS]))
def test_what_is_well_formed_stays_so(inner: str, random: Random, most_marks: int) -> None:
    def aligned(sentences: Iterator[str]) -> Iterator[list[Translation]]:
        for sentence in sentences:
            source = [f" {word}" for word in sentence.split()]
            targets = [f" {random.choice(['a', 'b,', '(c)', '.'])}" for _ in range(random.randrange(6))]
            owners = [random.randrange(len(source)) for _ in targets]
            weights = np.eye(len(source) + 1, dtype=np.float32)[[*owners, len(source)]]
            yield [
                Translation(
                    "".join(targets).strip(), 0.0, (*source, "</s>"), (*targets, "</s>") if targets else (), weights
                )
            ]

    def shape(document: str) -> Counter[tuple[str, str]]:
        tree = ElementTree.fromstring(f"<p>{document}</p>")
        return Counter((parent.tag, child.tag) for parent in tree.iter() for child in parent if child.tag == "br")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("textseq.tasks.documents.markup.MOST_MARKS", most_marks)
        parts = [*parts_of(inner)]
    results = translated((part for part in parts if isinstance(part, Paragraph)), aligned)
    out = "".join(part if isinstance(part, str) else next(results).render(html.escape) for part in parts)
    assert shape(out) == shape(inner)


@pytest.mark.parametrize("unit", ["<b>the</b> ", "<b>the ", "the</b> ", "<b></b>", "<img>", "<code>the</code>"])
def test_a_paragraph_of_many_tags_is_cut(unit: str) -> None:
    document = f"<p>the {unit * 3 * MOST_MARKS}</p>"
    parts = [*parts_of(document)]
    assert all(len(part.marks) <= MOST_MARKS for part in parts if isinstance(part, Paragraph))
    assert "".join(part if isinstance(part, str) else part.render() for part in parts) == document


@pytest.mark.parametrize("most_marks", [1, 2, MOST_MARKS])
@pytest.mark.parametrize(
    "document", ["the <a><b>house</b></a>", "<a><b>the </a></b> house", "the <a>", "the <a><img>x"]
)
def test_no_space_between_words_is_lost_where_a_paragraph_is_cut(
    document: str, most_marks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("textseq.tasks.documents.markup.MOST_MARKS", most_marks)
    out = "".join(part if isinstance(part, str) else part.render() for part in parts_of(document))
    assert re.sub("</?[ab]>", "", out).split() == re.sub("</?[ab]>", "", document).split()


def test_paragraphs_of_plain_text() -> None:
    page = [
        "It was the best of times, it was the worst of times, it was the age",
        "of wisdom, it was the age of foolishness, it was the epoch of many",
        "beliefs.",
    ]
    text = "  Title\n\n" + "\n".join(page) + "\n\nA line\nAnother line\n"
    parts = [part for part in plain_parts(text) if isinstance(part, Paragraph)]
    assert [part.text for part in parts] == ["Title", " ".join(page), "A line", "Another line"]
    for same in (text, text.replace("\n", "\r\n")):
        laid_out = (part if isinstance(part, str) else part.layout(part.text) for part in plain_parts(same))
        assert "".join(laid_out) == same


SUBTITLES = "1\n00:00:01,000 --> 00:00:02,500\nThe white\n<i>house</i>.\n\n2\n00:00:03,000 --> 00:00:04,000\nBig\n"


def of_file(path: Path, content: bytes, encoding: str = "utf-8") -> bytes:
    """The content of a document after its translation."""
    path.write_bytes(content)
    file = io.BytesIO()
    FORMATS[path.suffix](path, encoding, translate, file)
    return file.getvalue()


TRANSLATED = SUBTITLES.replace("The white\n<i>house</i>.", "la <i>maison</i>\nblanche.").replace("Big", "grande")


@pytest.mark.parametrize("blank", ["", " ", "\t \u00a0"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "mixed"])
def test_subtitles_keep_all_but_their_text(end: str, blank: str, tmp_path: Path) -> None:
    def with_ends(text: str) -> bytes:
        ends = itertools.cycle(["\r\n", "\n", "\r"] if end == "mixed" else [end])
        lines = text.replace("\n\n", f"\n{blank}\n").split("\n")
        return "".join(map(operator.add, lines, [*itertools.islice(ends, len(lines) - 1), ""])).encode()

    assert of_file(tmp_path / "a.srt", with_ends(SUBTITLES)) == with_ends(TRANSLATED)
    assert of_file(tmp_path / "a.srt", BOM_UTF8 + with_ends(SUBTITLES)) == BOM_UTF8 + with_ends(TRANSLATED)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_cue_ends_where_the_next_begins(end: str, tmp_path: Path) -> None:
    source, target = (text.replace("\n\n", "\n").replace("\n", end) for text in (SUBTITLES, TRANSLATED))
    assert of_file(tmp_path / "a.srt", source.encode()) == target.encode()
    unnumbered = source.replace(f"{end}2{end}", end)
    assert of_file(tmp_path / "a.srt", unnumbered.encode()) == target.replace(f"{end}2{end}", end).encode()


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ('<font color="red">the house</font>\nis', '<font color="red">la maison</font>\nest'),
        ("{\\an8}The white\nhouse is", "{\\an8}la maison\nblanche est"),
        ("{\\pos(1, 2)}the {\\i1}house", "{\\pos(1, 2)}la {\\i1}maison"),
        ("<i>the\nhouse</i>\nis", "<i>la\nmaison</i>\nest"),
        ("the <font color = 'a b'>house\nis\nbig</font>", "la <font color = 'a b'>maison\nest\ngrande</font>"),
        ("- Is the white house big.\n- is", "- est la maison blanche grande.\n- est"),
        ("<i>the\n{\\i1}– white house\n</i>—is", "<i>la\n{\\i1}– maison blanche\n</i>—IS"),
        ("house is burning\n-5", "maison est\nen feu -5"),
        ("the<!--\n- the-->house", "la<!--\n- the-->maison"),
    ],
)
def test_lines_of_subtitles_break_at_speakers_and_at_no_tag(source: str, target: str, tmp_path: Path) -> None:
    head = "1\n00:00:01,000 --> 00:00:02,500\n"
    assert of_file(tmp_path / "a.srt", f"{head}{source}\n".encode()).decode() == f"{head}{target}\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le"])
def test_documents_keep_their_byte_order_mark(encoding: str, tmp_path: Path) -> None:
    content = "\ufeffthe house\r\n" if encoding != "utf-16" else "the house\r\n"  # which this codec adds itself
    out = content.replace("the house", "la maison").encode()
    assert of_file(tmp_path / "a.txt", content.encode(encoding), encoding) == out
    assert of_file(tmp_path / "a.html", content.encode(encoding), encoding) == out


@pytest.mark.parametrize(
    "head",
    [
        "<meta charset={}>",
        "<META name='x' charset = ' {} '/>",
        '<meta http-equiv="Content-Type" content="text/html; charset={}">',
        "<meta content='text/html;charset={}' http-equiv=Content-Type>",
        "<?xml version='1.0' encoding='{}'?><meta name='x' content='charset=latin1'>",
    ],
)
def test_pages_declare_that_they_are_utf_8(head: str, tmp_path: Path) -> None:
    page, out = (f"{head.format(name)}<p>the \u00e9</p>" for name in ("ISO-8859-1", "utf-8"))
    out = out.replace("' utf-8 '", "'utf-8'").replace("the \u00e9", "la \u00c9")
    assert of_file(tmp_path / "a.html", page.encode("latin-1"), "latin-1").decode() == out


def in_book(path: Path, page: bytes) -> bytes:
    with zipfile.ZipFile(path, "w") as book:
        book.writestr("a.xhtml", page)
    with zipfile.ZipFile(io.BytesIO(of_file(path, path.read_bytes()))) as book:
        return book.read("a.xhtml")


def test_pages_of_a_book_are_read_in_the_encoding_they_declare(tmp_path: Path) -> None:
    page = '<?xml version="1.0" encoding="{}"?>\n<p>{} \u00e9</p>'
    out = page.format("utf-8", "la").replace("\u00e9", "\u00c9")
    for encoding in ("iso-8859-1", "utf-16", "utf-8"):
        assert in_book(tmp_path / "a.epub", page.format(encoding, "the").encode(encoding)).decode() == out
    assert in_book(tmp_path / "a.epub", page.format("UTF-16", "the").encode()).decode() == out, "it is UTF-8"
    assert of_file(tmp_path / "a.html", f"\ufeff{page.format('UTF-16', 'the')}".encode()).decode() == f"\ufeff{out}"
    for encoding in ("x-none", "rot13"):
        with pytest.raises(TextseqError, match=f"a.xhtml declares the unknown encoding '{encoding}'; save it as UTF-8"):
            in_book(tmp_path / "a.epub", page.format(encoding, "the").encode())
    with pytest.raises(TextseqError, match=r"a\.xhtml is not UTF-8 text"):
        in_book(tmp_path / "a.epub", b"<p>\xe9</p>")


def test_documents_are_written_whole(translators: Path, tmp_path: Path) -> None:
    translator = load_translator(translators / "runs" / "mine")
    with zipfile.ZipFile(tmp_path / "a.epub", "w") as book:
        book.writestr("mimetype", "application/epub+zip")
        book.writestr("text/one.xhtml", "<html><body><p class='x'>how are <b>you</b></p></body></html>")
        book.writestr("style.css", "p {}")
    translate_document(translator, tmp_path / "a.epub", tmp_path / "b.epub", max_new_tokens=9)
    with zipfile.ZipFile(tmp_path / "b.epub") as book:
        assert book.namelist() == ["mimetype", "text/one.xhtml", "style.css"]
        assert book.infolist()[0].compress_type == zipfile.ZIP_STORED and book.read("style.css") == b"p {}"
        page = book.read("text/one.xhtml").decode()
    assert page.startswith("<html><body><p class='x'>") and page.count("<b>") == page.count("</b>") == 1
    blind = load_translator(translators / "runs" / "blind")
    for name, text in {"a.txt": "how are you\n", "a.srt": SUBTITLES, "a.html": "<p>how <i>are</i> you"}.items():
        (tmp_path / name).write_text(text)
        for model in (translator, blind):
            translate_document(model, tmp_path / name, tmp_path / f"new-{name}", max_new_tokens=9)
    lines = (tmp_path / "new-a.srt").read_text().splitlines()
    assert [line for line in lines if "-->" in line] == [line for line in SUBTITLES.splitlines() if "-->" in line]
    with pytest.raises(TextseqError, match=r"unknown format of a document: '\.pdf'; .*\.epub"):
        translate_document(translator, tmp_path / "a.pdf", tmp_path / "b.pdf")
    (tmp_path / "c.epub").write_bytes(b"no book")
    with pytest.raises(TextseqError, match=r"c\.epub is not an intact ZIP archive"):
        translate_document(translator, tmp_path / "c.epub", tmp_path / "d.epub")
    assert not (tmp_path / "d.epub").exists()


def test_doubtful_translations_are_counted(translators: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    translator = load_translator(translators / "runs" / "mine")
    (tmp_path / "a.txt").write_text("a b c\n\nd e\n")
    for below, said in ((-1e9, 0), (1e9, 1)):
        translator.info = replace(translator.info, doubtful_below=below)
        translate_document(translator, tmp_path / "a.txt", tmp_path / "b.txt", max_new_tokens=9)
        notes = [record.getMessage() for record in caplog.records if "may be wrong" in record.getMessage()]
        assert len(notes) == said and all("of 2 of 2 sentences" in note for note in notes)


@pytest.mark.parametrize("name", ["a.epub", "a.docx"])
def test_an_encrypted_archive_is_an_error(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / name, "w") as file:
        file.writestr("x", "x")
    data = bytearray((tmp_path / name).read_bytes())
    for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(signature) + flags] |= 1
    with pytest.raises(TextseqError, match=rf"cannot read .*{name}/x: .*encrypted"):
        of_file(tmp_path / name, bytes(data))


def of_word(body: str) -> str:
    for parts_in in (box_parts, word_parts):
        parts = [*parts_in(body)]
        results = translated((part for part in parts if isinstance(part, Paragraph)), translate)
        body = "".join(part if isinstance(part, str) else part.layout(next(results).render(leaf)) for part in parts)
    return body


def run_of(text: str, format: str = "") -> str:
    return f'<w:r>{format}<w:t xml:space="preserve">{text}</w:t></w:r>'


BOLD = "<w:rPr><w:b/></w:rPr>"
TAB = "<w:r><w:tab/></w:r>"
LINK = '<w:hyperlink r:id="a">', "</w:hyperlink>"


def linked(runs: str) -> str:
    return runs.join(LINK)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ([run_of("The house.")], [run_of("la maison.")]),
        ([run_of("The hou"), "<w:proofErr/>", run_of("se.")], [run_of("la maison.")]),
        ([run_of("The "), run_of("white", BOLD), run_of(" house")], [run_of("la maison "), run_of("blanche", BOLD)]),
        ([run_of("the house is", BOLD), run_of(" big")], [run_of("la maison est ", BOLD), run_of("grande")]),
        ([run_of("the &amp; "), TAB, run_of("house")], [run_of("la &amp;"), TAB, run_of("maison")]),
        (
            [run_of("the house"), "<w:r><w:br/><w:t>the white house</w:t></w:r>"],
            [run_of("la maison"), "<w:r><w:br/></w:r>", run_of("la maison blanche")],
        ),
        (
            [f"<w:r>{BOLD}<w:t>white</w:t><w:tab/><w:t>house</w:t></w:r>"],
            [run_of("blanche", BOLD), f"<w:r>{BOLD}<w:tab/></w:r>", run_of("maison", BOLD)],
        ),
        (
            [linked(run_of("white") + "<w:r><w:br/><w:t>house</w:t></w:r>")],
            [LINK[0] + run_of("blanche"), "<w:r><w:br/></w:r>", run_of("maison") + LINK[1]],
        ),
        (
            [run_of("the "), "<m:oMath><m:r><m:t>x</m:t></m:r></m:oMath>", run_of(" house")],
            [run_of("la "), "<m:oMath><m:r><m:t>x</m:t></m:r></m:oMath>", run_of(" "), run_of("maison")],
        ),
        (
            [linked(run_of("white", BOLD)), run_of(" house is big")],
            [run_of("maison "), linked(run_of("blanche", BOLD)), run_of(" est grande")],
        ),
        (["<w:r><w:drawing/></w:r>"], ["<w:r><w:drawing/></w:r>"]),
    ],
)
def test_formatting_of_word_moves_with_the_words(source: list[str], target: list[str]) -> None:
    head, tail = '<w:body><w:p w:id="1"><w:pPr><w:rPr><w:i/></w:rPr></w:pPr>', "</w:p><w:sectPr/></w:body>"
    assert of_word(head + "".join(source) + tail) == head + "".join(target) + tail


def box(runs: str) -> str:
    return f"<w:r><w:pict><w:txbxContent><w:p>{runs}</w:p></w:txbxContent></w:pict></w:r>"


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (  # a text box in a paragraph of text, twice as Word writes it for its older versions
            f"<w:p>{run_of('the ')}{box(run_of('white house'))}{box(run_of('big'))}{run_of('house')}</w:p>",
            f"<w:p>{run_of('la ')}{box(run_of('maison blanche'))}{box(run_of('grande'))}{run_of('maison')}</w:p>",
        ),
        (f"<w:p>{box(run_of('the house'))}</w:p>", f"<w:p>{box(run_of('la maison'))}</w:p>"),
        (  # an empty paragraph before another
            f'<w:p w:rsidR="1"/><w:p w:rsidR="2">{run_of("the house")}</w:p>',
            f'<w:p w:rsidR="1"/><w:p w:rsidR="2">{run_of("la maison")}</w:p>',
        ),
        (  # a table in a cell
            f"<w:tbl><w:tc><w:tbl><w:tc><w:p>{run_of('the')}</w:p></w:tc></w:tbl><w:p/></w:tc></w:tbl>",
            f"<w:tbl><w:tc><w:tbl><w:tc><w:p>{run_of('la')}</w:p></w:tc></w:tbl><w:p/></w:tc></w:tbl>",
        ),
    ],
    ids=["boxes within text", "a box alone", "an empty paragraph", "a table in a table"],
)
def test_boxes_and_tables_of_word_are_translated(source: str, target: str) -> None:
    assert of_word(source) == target


def test_a_file_of_word_stays_one(translators: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.docx", "w") as file:
        file.writestr("[Content_Types].xml", "<Types/>")
        file.writestr("word/document.xml", f"<w:document><w:p>{run_of('how are you')}</w:p></w:document>")
    translator = load_translator(translators / "runs" / "mine")
    translate_document(translator, tmp_path / "a.docx", tmp_path / "b.docx", max_new_tokens=9)
    with zipfile.ZipFile(tmp_path / "b.docx") as file:
        assert file.namelist() == ["[Content_Types].xml", "word/document.xml"]
        text = file.read("word/document.xml").decode()
    assert text.startswith("<w:document><w:p><w:r>") and "how" not in text
    assert not re.search("[\x01-\x05]", text)
