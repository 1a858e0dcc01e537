"""The text of a work alone, out of a file as a digital library publishes it.

Each edition is a function that takes the whole of a file and gives the work: without the library's own
words, with "\\n" for line ends and never more than one blank line. The words and the punctuation of a work
stay as the library has them, but for the faults that are listed here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping

from textseq.errors import TextseqError


def gutenberg(raw: str) -> str:
    """A book of Project Gutenberg: from its first chapter up to the notes of other hands, or to the end.

    Left out are the licence, the credits, the title page, the contents, what others wrote about the author,
    marks of emphasis and of notes. Lines end, and are indented, as in the file.
    """
    _, text = _cut(raw, r"^\*\*\* ?START OF TH(E|IS) PROJECT GUTENBERG EBOOK.*$", "line '*** START OF'")
    text, _ = _cut(text, r"^\*\*\* ?END OF TH(E|IS) PROJECT GUTENBERG EBOOK.*$", "line '*** END OF'")
    _, text = _cut(text, rf"^(?={'|'.join(_GUTENBERG_BEGINNINGS)})", "first chapter that is known")
    text = re.split(r"^End of (?:the )?Project Gutenberg|^NOTES TO THIS VOLUME$", text, flags=re.MULTILINE)[0]
    return _lines(re.sub(r" ?\(\*\d*\)|_|^~~~ End of Text ~~~$", "", text, flags=re.MULTILINE))


_GUTENBERG_BEGINNINGS = (
    *("Chapter 1$", "Book the First--Recalled to Life$", "ADVENTURE I[.] A SCANDAL", "OSOBY$"),
    *("THE UNPARALLELED ADVENTURES OF ONE HANS", "THE PURLOINED LETTER$"),
)


def nltk_book(raw: str) -> str:
    """A book of NLTK's selection from Project Gutenberg, without its title line and one licence left in it."""
    _, text = _cut(raw, r"\A\[[^]]+\]", "title in brackets at the start")
    return _lines(re.split(r"^End of Project Gutenberg", text, flags=re.MULTILINE)[0].replace("\x1a", ""))


def paged(raw: str) -> str:
    """A text in pages, each ended by its number and a form feed; from behind the title page up to the appendix."""
    _, text = _cut(raw, r"\f", "form feed behind the title page")
    text, _ = _cut(re.sub(r"\n+\d+\n+\f", "\n", text), r"^Život a doba spisovatele .*$", "heading of the appendix")
    return _paragraphs(re.sub(r"^[IVXL]+\.$", r"\n\g<0>\n", text, flags=re.MULTILINE))


def wolne_lektury(raw: str) -> str:
    """A text of wolnelektury.pl: from behind the title block up to the line "-----" above the imprint."""
    text, _ = _cut(raw, r"^-----$", "line '-----' above the imprint")
    _, text = _cut(text, r"\n{4}", "three blank lines below the title")
    text = text.replace("*", "")  # marks of emphasis
    return _paragraphs(_mend(text, {"niezgrabnie]": "niezgrabniej", "\n>—": "\n—", "gniewać./": "gniewać."}))


def ruslit(raw: str) -> str:
    """A text of the collection RusLit: from behind the title up to the notes, and without the marks of notes.

    Mended as well is what got lost when others typeset it: words set with spaced letters, lines run
    together, accents printed as signs of their own, words of mixed Latin and Cyrillic letters.
    """
    _, text = _cut(raw, rf"^[ \xa0]*({'|'.join(_RUSLIT_TITLES)})\s*$", "title that is known")
    text, _ = _cut(text, r"^\s*(О романе|ПРИЛОЖЕНИЕ|Примечания( к повести)?)\s*$", "heading of the notes")
    text = re.sub(r"(?<!\w)\w(?:\xa0\w)+(?!\w)", lambda spaced: _close_up(spaced[0]), text)
    text = _mend(text, _RUSLIT_FAULTS)
    text = re.sub(r"(?<=[а-яё)\]])(?=[А-ЯЁ])|(?<=\* \* \*)(?=\w)", "\n", text)  # lines run together
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
    """A word set with a blank between its letters; a capital in it begins the next word."""
    return re.sub(r"(?<=[а-яё])(?=[А-ЯЁ])", " ", spaced.replace("\xa0", ""))


def _one_script(word: str) -> str:
    """A word of both Latin and Cyrillic letters in the one script that can be meant."""
    if not (re.search("[а-яёї]", word, re.IGNORECASE) and re.search("[a-zà-ÿ]", word, re.IGNORECASE)):
        return word
    latin = word.translate(str.maketrans(_CYRILLIC, _LATIN))
    if not re.search("[а-яёї]", latin, re.IGNORECASE):
        return latin
    bare = unicodedata.normalize("NFC", unicodedata.normalize("NFD", word).replace("\u0301", ""))  # the stress
    return bare.translate(str.maketrans(_LATIN, _CYRILLIC))


def _cut(text: str, pattern: str, wanted: str) -> tuple[str, str]:
    """What stands before and behind the first match of a pattern that every file of an edition has.

    Raises:
        TextseqError: there is none.
    """
    match = re.search(pattern, text.replace("\r\n", "\n"), re.MULTILINE)
    if match is None:
        raise TextseqError(f"found no {wanted}; this is not a file of that edition")
    return match.string[: match.start()], match.string[match.end() :]


def _mend(text: str, faults: Mapping[str, str]) -> str:
    for fault, right in faults.items():
        text = text.replace(fault, right)
    return text


def _lines(text: str) -> str:
    """Lines with nothing behind their last word, one blank line at most, a line end at the end."""
    lines = "\n".join(line.rstrip() for line in text.replace("\r\n", "\n").split("\n"))
    return re.sub(r"\n{3,}", "\n\n", lines).strip("\n") + "\n"


def _paragraphs(text: str) -> str:
    """Lines as above, moreover without indentation and with one blank between words."""
    return _lines("\n".join(" ".join(line.split()) for line in text.split("\n")))


EDITIONS: dict[str, Callable[[str], str]] = {
    "gutenberg": gutenberg,
    "paged": paged,
    "plain": _paragraphs,
    "ruslit": ruslit,
    "wolne-lektury": wolne_lektury,
}


# How the Moby edition of Shakespeare is typeset, as seen in its 42 files.
_BODY = re.compile(r"^(ACT I|\t(THE )?PROLOGUE|\tINDUCTION)[. ]*$", re.MULTILINE)

# A direction ends at its bracket or, where that was forgotten, with its paragraph.
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
    """A piece in the form of tinyshakespeare: "SPEAKER:", the lines, a blank line.

    Lines that nobody is named for (a prologue, a song) are a block without a speaker; of several who
    speak together the first is named. A file without acts is verse: stanzas between blank lines.
    """
    body = _BODY.search(raw)
    text, found = raw[body.start() if body else 0 :], 1
    while found:  # a direction may stand inside another
        text, found = _DIRECTION.subn(" ", text)
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
    said: list[str] = []
    heading = together = False  # of the paragraph so far: is it one; do several speakers share it
    for line in [*lines, "ACT"]:  # a heading ends the last speech too
        name, tab, words = line.partition("\t")
        section, title = _SECTION.match(line), _TITLE.match(line)
        speaks = bool(tab) and any(map(str.isalpha, name)) and not section
        if section or title or (speaks and not together):
            if said:
                yield speaker + said
            speaker, said = [" ".join(name.split()) + ":"] * speaks, []
        if not line.strip():
            heading = together = False
        elif section:
            heading = True
        elif speaks:
            heading, together = False, "|" in words
        if not (heading or title) and (spoken := _tidy(words)):
            said.append(spoken)
