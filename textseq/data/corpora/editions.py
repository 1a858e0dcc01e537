"""Editions: functions from the file of a digital library to the text of the work alone.

They remove the library's own text, use "\\n" for line ends and keep at most one blank line. The words and punctuation
of the work are unchanged, except for the errors listed here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping

from textseq.errors import TextseqError


def gutenberg(raw: str) -> str:
    """A book of Project Gutenberg, from its first chapter to the editors' notes or the end.

    Removed: licence, credits, title page, contents, texts about the author, marks of emphasis and notes.
    """
    _, text = _cut(raw, r"^\*\*\* ?START OF TH(E|IS) PROJECT GUTENBERG EBOOK.*$", "line '*** START OF'")
    text, _ = _cut(text, r"^\*\*\* ?END OF TH(E|IS) PROJECT GUTENBERG EBOOK.*$", "line '*** END OF'")
    _, text = _cut(text, rf"^(?={'|'.join(_GUTENBERG_BEGINNINGS)})", "known first chapter")
    text = re.split(r"^End of (?:the )?Project Gutenberg|^NOTES TO THIS VOLUME$", text, flags=re.MULTILINE)[0]
    return _lines(re.sub(r" ?\(\*\d*\)|_|^~~~ End of Text ~~~$", "", text, flags=re.MULTILINE))


def gutenberg_paragraphs(raw: str) -> str:
    """A book of Project Gutenberg whose indentation is only layout, without it."""
    return _paragraphs(gutenberg(raw))


_GUTENBERG_BEGINNINGS = (
    *("Chapter 1$", "Book the First--Recalled to Life$", "ADVENTURE I[.] A SCANDAL", "OSOBY$"),
    *("THE UNPARALLELED ADVENTURES OF ONE HANS", "THE PURLOINED LETTER$"),
)


def nltk_book(raw: str) -> str:
    """A book of NLTK's selection from Project Gutenberg, without its title line and licence."""
    _, text = _cut(raw, r"\A\[[^]]+\]", "title in brackets at the start")
    return _lines(re.split(r"^End of Project Gutenberg", text, flags=re.MULTILINE)[0].replace("\x1a", ""))


def paged(raw: str) -> str:
    """A text in pages that end with a number and a form feed, from after the title page to the appendix."""
    _, text = _cut(raw, r"\f", "form feed after the title page")
    text, _ = _cut(re.sub(r"\n+\d+\n+\f", "\n", text), r"^Život a doba spisovatele .*$", "heading of the appendix")
    return _paragraphs(re.sub(r"^[IVXL]+\.$", r"\n\g<0>\n", text, flags=re.MULTILINE))


def wolne_lektury(raw: str) -> str:
    """A text of wolnelektury.pl, from after the title block to the line "-----" above the imprint."""
    text, _ = _cut(raw, r"^-----$", "line '-----' above the imprint")
    _, text = _cut(text, r"\n{4}", "three blank lines below the title")
    text = text.replace("*", "")  # marks of emphasis
    return _paragraphs(_mend(text, {"niezgrabnie]": "niezgrabniej", "\n>—": "\n—", "gniewać./": "gniewać."}))


def ruslit(raw: str) -> str:
    """A text of the collection RusLit, from after the title to the notes, without the marks of notes.

    Repairs typesetting errors: spaced letters, joined lines, separate accents, words of mixed Latin and Cyrillic
    letters.
    """
    _, text = _cut(raw, rf"^[ \xa0]*({'|'.join(_RUSLIT_TITLES)})\s*$", "known title")
    text, _ = _cut(text, r"^\s*(О романе|ПРИЛОЖЕНИЕ|Примечания( к повести)?)\s*$", "heading of the notes")
    text = re.sub(r"(?<!\w)\w(?:\xa0\w)+(?!\w)", lambda spaced: _close_up(spaced[0]), text)
    text = _mend(text, _RUSLIT_FAULTS)
    text = re.sub(r"(?<=[а-яё)\]])(?=[А-ЯЁ])|(?<=\* \* \*)(?=\w)", "\n", text)  # joined lines
    text = re.sub(r"\[\d+\]|\{\d+\}|(?<=[^\W\d_])[1-9](?!\d)|(?<=[A-Za-z][.!?])[1-9](?!\d)", "", text)
    text = re.sub(r"^\d\n.+\n", "", text, flags=re.MULTILINE)  # notes at the end of a chapter
    text = re.sub(r"(?<=[a-z])[€`^]", lambda sign: _ACCENTS[sign[0]], text).replace("€", "")
    text = re.sub(r"\w+", lambda word: _one_script(word[0]), unicodedata.normalize("NFC", text))
    return _paragraphs(text)


_RUSLIT_TITLES = (
    *("Анна Каренина", "Борис Годунов", "Евгений Онегин\nРоман в стихах", "КАПИТАНСКАЯ ДОЧКА"),
    *("Повести покойного Ивана Петровича Белкина", "ЗАПИСКИ ИЗ ПОДПОЛЬЯ"),
)

_RUSLIT_FAULTS = {
    "мужа и c тем": "мужа и с тем",
    "particulie`re[1]He": "particulie`re\n\nНе",
    "te^te-а-te^te": "te^te-à-te^te",
    "d’exil /": "d’exil",
    "Дидло5)": "Дидло",
    "outchitel 1": "outchitel",
    "Schelm 1": "Schelm",
    "_____": "",
    "Волгу. 1": "Волгу.",
    "Allons...1": "Allons...",
    "Г-ж а": "Г-жа",
    "О statua": "O statua",
    "16.Село": "16.\nСело",
    "Александр ПушкинКРЕМ": "Александр Пушкин\n\nКРЕМ",
    "а dire": "à dire",
    "зa ": "ça ",
    "Не2! voyez": "Hé! voyez",
    "derriиres": "derrières",
    "кtre": "être",
    "На, ha!": "Ha, ha!",
    "il у fait": "il y fait",
    "Гр игорий": "Григорий",
    "Ш уйский": "Шуйский",
    "Друго й": "Другой",
    "В.Розен": "В. Розен",
    "Двастольника": "Два стольника",
    "Гуани Лепорелло": "Гуан и Лепорелло",
    "Мисаили Варлаам": "Мисаил и Варлаам",
    "игумен Чудовамонастыря": "игумен Чудова монастыря",
    "Одинбоярин": "Один боярин",
    "Первыйгость": "Первый гость",
    "Первыйпристав": "Первый пристав",
    "слепойстарик": "слепой старик",
    "статуякомандора": "статуя командора",
    "гостьL\xa0eporello": "гость\nLeporello",
}

_ACCENTS = {"€": "\u0301", "`": "\u0300", "^": "\u0302"}  # acute, grave, circumflex: each follows its letter

_LATIN, _CYRILLIC = "aceopxyëïABCEHKMOPTX", "асеорхуёїАВСЕНКМОРТХ"  # that look alike


def _close_up(spaced: str) -> str:
    """Join spaced letters; a capital begins the next word."""
    return re.sub(r"(?<=[а-яё])(?=[А-ЯЁ])", " ", spaced.replace("\xa0", ""))


def _one_script(word: str) -> str:
    """Convert a word of mixed Latin and Cyrillic letters to the only possible script."""
    if not (re.search("[а-яёї]", word, re.IGNORECASE) and re.search("[a-zà-ÿ]", word, re.IGNORECASE)):
        return word
    latin = word.translate(str.maketrans(_CYRILLIC, _LATIN))
    if not re.search("[а-яёї]", latin, re.IGNORECASE):
        return latin
    bare = unicodedata.normalize("NFC", unicodedata.normalize("NFD", word).replace("\u0301", ""))  # the stress
    return bare.translate(str.maketrans(_LATIN, _CYRILLIC))


def _cut(text: str, pattern: str, what: str) -> tuple[str, str]:
    """The text before and after the first match of a pattern, which every file of an edition has."""
    match = re.search(pattern, text.replace("\r\n", "\n"), re.MULTILINE)
    if match is None:
        raise TextseqError(f"expected the {what}, got none; this is not a file of that edition")
    return match.string[: match.start()], match.string[match.end() :]


def _mend(text: str, faults: Mapping[str, str]) -> str:
    for fault, right in faults.items():
        text = text.replace(fault, right)
    return text


def _lines(text: str) -> str:
    """Strip trailing white space, and keep at most one blank line."""
    lines = "\n".join(line.rstrip() for line in text.replace("\r\n", "\n").split("\n"))
    return re.sub(r"\n{3,}", "\n\n", lines).strip("\n") + "\n"


def _paragraphs(text: str) -> str:
    """``_lines``, without indentation and with single spaces between words."""
    return _lines("\n".join(" ".join(line.split()) for line in text.split("\n")))


EDITIONS: dict[str, Callable[[str], str]] = {
    "gutenberg": gutenberg,
    "gutenberg-paragraphs": gutenberg_paragraphs,
    "paged": paged,
    "plain": _paragraphs,
    "ruslit": ruslit,
    "wolne-lektury": wolne_lektury,
}


# The typesetting of the Moby edition of Shakespeare, from its 42 files.
_BODY = re.compile(r"^(ACT I|\t(THE )?PROLOGUE|\tINDUCTION)[. ]*$", re.MULTILINE)

# A direction ends at its bracket or, if that is missing, with its paragraph.
_DIRECTION = re.compile(r" *\[(?:[^][\n]|\n(?![ \t]*\n))*(?:\] *|(?=\n[ \t]*\n)|\Z)")

_SECTION = re.compile(r"(ACT|SCENE)\b|\t[0-9]+\. ")  # also the numbered order of a procession

_TITLE = re.compile(r" *\t{1,2}[A-Z0-9][A-Z0-9 ,'.]{2,}$|[IVXLC]+\.$")

_LAYOUT = re.compile(r" *\t[\t ]*| {3,}")

_SPEAKERS = (  # to the form "SPEAKER\twords"
    (re.compile(r"^([^\t\n:]+):[ \t]*", re.MULTILINE), r"\1\t"),  # "Servant: words"
    (re.compile(r"^([^\s|][^\t\n]*)\n(?=[^\s|][^\t\n]*\t)", re.MULTILINE), r"\1 "),  # broken over two lines
    (re.compile(r"^([A-Z]+)(\t.*)\n([A-Z][A-Z ]+)$", re.MULTILINE), r"\1 \3\2"),  # ... beside the words
)


def untypeset(raw: str) -> str:
    """A play in the form of tinyshakespeare: "SPEAKER:", the lines, a blank line.

    Lines without a speaker (a prologue, a song) are a block of their own; of several who speak together the first is
    named. A file without acts is verse: stanzas between blank lines.
    """
    body = _BODY.search(raw)
    text, count = raw[body.start() if body else 0 :], 1
    while count:  # directions may be nested
        text, count = _DIRECTION.subn(" ", text)
    text = text.replace("]", "")
    for pattern, form in _SPEAKERS if body else ():
        text = pattern.sub(form, text)
    blocks = _speeches(text.splitlines()) if body else _stanzas(text.splitlines())
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _tidy(line: str) -> str:
    return _LAYOUT.sub(" ", line.strip(" \t|"))


def _stanzas(lines: list[str]) -> Iterator[list[str]]:
    stanza: list[str] = []
    for line in [*lines, ""]:
        if line.strip() and not _TITLE.match(line):
            stanza.append(_tidy(line))
        elif stanza:
            yield stanza
            stanza = []


def _speeches(lines: list[str]) -> Iterator[list[str]]:
    speaker: list[str] = []
    spoken: list[str] = []
    heading = together = False  # whether the paragraph is a heading; whether several speakers share it
    for line in [*lines, "ACT"]:  # a heading ends the last speech too
        name, tab, words = line.partition("\t")
        section, title = _SECTION.match(line), _TITLE.match(line)
        speaks = bool(tab) and any(map(str.isalpha, name)) and not section
        if section or title or (speaks and not together):
            if spoken:
                yield speaker + spoken
            speaker, spoken = [" ".join(name.split()) + ":"] * speaks, []
        if not line.strip():
            heading = together = False
        elif section:
            heading = True
        elif speaks:
            heading, together = False, "|" in words
        if not (heading or title) and (line_spoken := _tidy(words)):
            spoken.append(line_spoken)
