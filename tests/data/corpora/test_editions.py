"""An author's corpus is the author's text: nothing of the library around it, nothing of it lost."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from textseq.data.corpora.catalog import list_corpora
from textseq.data.corpora.editions import EDITIONS, nltk_book
from textseq.data.text import load_corpus
from textseq.errors import TextseqError

DataFile = Callable[[str], Path]

START = "*** START OF THIS PROJECT GUTENBERG EBOOK X ***"
END = "*** END OF THIS PROJECT GUTENBERG EBOOK X ***"

# -- small texts


@pytest.mark.parametrize(
    ("edition", "raw", "wanted"),
    [
        (
            "gutenberg",
            f"Licence\n{START}\n\nProduced by A\n\nTITLE\n\n Chapter 1\n\n\nChapter 1\n\n\n\n_One_ (*3)\n  two \n\n"
            f"End of the Project Gutenberg EBook, by\nB\n\n{END}\nmore\n",
            "Chapter 1\n\nOne\n  two\n",
        ),
        (
            "gutenberg",
            "***START OF THE PROJECT GUTENBERG EBOOK X***\r\n\r\nOSOBY\r\n\r\nA\r\n"
            "***END OF THE PROJECT GUTENBERG EBOOK X***",
            "OSOBY\n\nA\n",
        ),
        ("gutenberg-paragraphs", f"{START}\nOSOBY\n\nA:  b\n    c\n{END}", "OSOBY\n\nA: b\nc\n"),
        (
            "gutenberg",
            f"{START}\nTHE PURLOINED LETTER\nA (*)\n\nNOTES TO THIS VOLUME\n\n1\n{END}",
            "THE PURLOINED LETTER\nA\n",
        ),
        ("nltk-book", "[A by B 1816]\r\n\r\nVOLUME I\r\n \r\n\r\nA.\x1a\x1a\n", "VOLUME I\n\nA.\n"),
        ("nltk-book", "[A]\nB\nEnd of Project Gutenberg's A\n*** END\n", "B\n"),
        (
            "paged",
            "A\n\n\fI.\nOne\ntwo\n\n3\n\n\fthree.\n4\n\n\n\fII.\nFour 5\n\n5\n\n\fŽivot a doba spisovatele X\nY\n",
            "I.\n\nOne\ntwo\nthree.\n\nII.\n\nFour 5\n",
        ),
        ("plain", "\r\n  a  b \r\n\r\n\r\n\r\nc\r\n\r\n", "a b\n\nc\n"),
        (
            "ruslit",
            "А\n\nАнна Каренина\n\n\nЧасть\n\n\n\n  да[1],\xa0– нет{22}\n\n\n\nО романе\n\nx\n",
            "Часть\n\nда, – нет\n",
        ),
        (
            "wolne-lektury",
            "A B\r\n\r\nT\r\n\r\nISBN 9\r\n\r\n\r\n\r\n\r\nI\r\n\r\n    *a*,\r\nb\r\n\r\n\r\n-----\r\nc\r\n",
            "I\n\na,\nb\n",
        ),
    ],
)
def test_edition_leaves_the_work_alone(edition: str, raw: str, wanted: str) -> None:
    assert (EDITIONS | {"nltk-book": nltk_book})[edition](raw) == wanted


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ("Ш\xa0у\xa0й\xa0с\xa0к\xa0и\xa0й и н\xa0а\xa0р\xa0о\xa0д", "Шуйский и народ"),
        ("Д\xa0о\xa0н\xa0а\xa0А\xa0н\xa0н\xa0а", "Дона Анна"),
        ("о\xa0д\xa0и\xa0н и\xa0з н\xa0и\xa0х", "один из них"),
        ("Баратынский[4]Я поклялся", "Баратынский\nЯ поклялся"),
        ("(Слабо.)Милое", "(Слабо.)\nМилое"),
        ("* * *Тоска", "* * *\nТоска"),
        ("Musa gloriam1. Es ist quoi?2 В 1812 году 17.. ниже2,", "Musa gloriam. Es ist quoi? В 1812 году 17.. ниже,"),
        ("слово\n1\nперевод (нем.).\n\nГЛАВА", "слово\n\nГЛАВА"),
        ("vanite€, espe`ce, me^me; о€т", "vanité, espèce, même; от"),
        ("Домá чтó бóльшая нe Ceверский", "Дома что большая не Северский"),
        ("terrе Тhérèse Оh Staёl naїf", "terre Thérèse Oh Staël naïf"),
        ("ёлка й café Мой", "ёлка й café Мой"),
    ],
)
def test_what_typesetting_damaged_is_mended(raw: str, wanted: str) -> None:
    assert EDITIONS["ruslit"](f"Борис Годунов\n{raw}\nПримечания\n") == wanted + "\n"


@pytest.mark.parametrize(
    ("edition", "raw", "message"),
    [
        ("gutenberg", f"Chapter 1\n{END}\n", r"line '\*\*\* START OF'"),
        ("gutenberg", f"{START}\nChapter 1\n", r"line '\*\*\* END OF'"),
        ("gutenberg", f"{START}\nChapter 7\n{END}", "known first chapter"),
        ("nltk-book", "A [B]\n", "title in brackets at the start"),
        ("paged", "A\nŽivot a doba spisovatele X", "form feed"),
        ("paged", "A\n\fB\n\n3\n\n\fC", "heading of the appendix"),
        ("ruslit", "Мойдодыр\nA\nПримечания\n", "known title"),
        ("ruslit", "Анна Каренина\nA\n", "heading of the notes"),
        ("wolne-lektury", "A\n\n\n\nB\n", "line '-----'"),
        ("wolne-lektury", "A\n\nB\n-----\n", "three blank lines"),
    ],
)
def test_file_without_a_wanted_marker_is_refused(edition: str, raw: str, message: str) -> None:
    with pytest.raises(TextseqError, match=f"expected the {message}.*not a file of that edition"):
        (EDITIONS | {"nltk-book": nltk_book})[edition](raw)


# -- the authors

WORKS = {  # how each work begins and ends, and its characters to the nearest thousand
    "austen-pride_and_prejudice-pg1342.txt": (
        "Chapter 1\n\nIt is a truth universally acknowledged, that a single man in possession\n",
        "bringing\nher into Derbyshire, had been the means of uniting them.\n",
        684,
    ),
    "capek-krakatit.txt": (
        "I.\n\nS večerem zhoustla mlha sychravého dne.",
        "Prokop konečně usnul pokojným a posilujícím spánkem beze\nsnů.\n",
        459,
    ),
    "capek-rur-pg13083.txt": (
        "OSOBY\n\nHarry Domin: centrální ředitel",
        "(rozpřáhne ruce) Nezahyne!\n\nOPONA\n",
        114,
    ),
    "dickens-tale_of_two_cities-pg98.txt": (
        "Book the First--Recalled to Life\n\nI. The Period\n\nIt was the best of times,\n",
        "it is a\nfar, far better rest that I go to than I have ever known.”\n",
        755,
    ),
    "dostoevsky-zapiski_iz_podpolya.txt": (
        "Часть I\nПОДПОЛЬЕ\n\nI\n\nЯ человек больной… Я злой человек.",
        "Но нам тоже кажется, что здесь можно и остановиться.\n",
        214,
    ),
    "doyle-adventures_of_sherlock_holmes-pg1661.txt": (
        "ADVENTURE I. A SCANDAL IN BOHEMIA\n\nI.\n\nTo Sherlock Holmes she is always THE woman.",
        "I believe that she has met with considerable success.\n",
        562,
    ),
    "erben-kytice.txt": (
        "Věštkyně (úlomky)\n\nKdyž oko vaše slzou se zaleje,\n",
        "dětská hlava bez tělíčka\na tělíčko bez hlavy.\n",
        72,
    ),
    "mickiewicz-pan_tadeusz.txt": (
        "Księga pierwsza\n\nGospodarstwo\n\nPowrót panicza — Spotkanie",
        "Wianek rękami wieśniaczki usnuty\nZ modrych bławatków i zielonej ruty…\n",
        441,
    ),
    "nietzsche-keras.txt": (
        "preface\n\n\nsupposing that truth is a woman--what then?",
        "christian world as the indications of sinfulness.",
        601,
    ),
    "poe-works_1-pg2147.txt": (
        "THE UNPARALLELED ADVENTURES OF ONE HANS PFAALL\n\nBY late accounts from Rotterdam,",
        "‘This is indeed Life itself!’ turned suddenly to\nregard his beloved:--She was dead!”\n",
        471,
    ),
    "poe-works_2-pg2148.txt": (
        "THE PURLOINED LETTER\n\n     Nil sapientiae odiosius acumine nimio.\n",
        "which shall be made known to thee in Heaven, of thy vows\nunto Eleonora.”\n",
        536,
    ),
    "pushkin-boris_godunov.txt": (
        "Драгоценной для россиян памяти\nНиколая Михайловича Карамзина\n",
        "Я гибну – кончено – о Дона Анна!\nПроваливаются.\n1830\n",
        99,
    ),
    "pushkin-evgeniy_onegin.txt": (
        "Pétri de vanité il avait encore plus de cette espèce d’orgueil qui",
        "Лишь море Черное шумит…\n* * *\nИтак, я жил тогда в Одессе…\n",
        151,
    ),
    "pushkin-kapitanskaya_dochka.txt": (
        "Береги честь смолоду.\nПословица.\n\nГЛАВА I\nСЕРЖАНТ ГВАРДИИ\n",
        "дозволив себе переменить некоторые собственные имена.\n\n19 окт. 1836.\n",
        192,
    ),
    "pushkin-povesti_belkina.txt": (
        "Г-жа Простакова.\nТо, мой батюшка, он еще сызмала к историям охотник.\n",
        "излишней обязанности описывать развязку.\nКонец повестям Белкина\n",
        123,
    ),
    "sienkiewicz-quo_vadis.txt": (
        "Rozdział pierwszy\n\nPetroniusz obudził się zaledwie koło południa",
        "maleńka kapliczka z zatartym nieco napisem: „Quo vadis, Domine?”\n",
        1087,
    ),
    "tolstoy-anna_karenina.txt": (
        "Часть первая\n\nМне отмщение, и Аз воздам\n\nI\n\nВсе счастливые семьи похожи друг на друга,",
        "который я властен вложить в нее!»\n\nКонец\n",
        1709,
    ),
}
RECIPES = {recipe.name: recipe for recipe in list_corpora()}
AUTHORS = [
    name
    for name, recipe in RECIPES.items()
    if recipe.files and not recipe.authors and all("authors/" in file.path for file in recipe.files.values())
]


@cache
def works(author: str, folder: Path) -> dict[str, str]:
    """The whole text of each work, its parts joined."""
    corpus = load_corpus(author, data_dir=folder)
    joined: dict[str, str] = {}
    for part in corpus.splits:
        for document, chunks in zip(corpus.contents[part], corpus.documents(part), strict=True):
            joined[document.path.name] = joined.get(document.path.name, "") + "".join(chunks)
    return joined


@pytest.fixture(params=AUTHORS)
def author(request: pytest.FixtureRequest, data_file: DataFile) -> str:
    for file in RECIPES[request.param].files.values():
        data_file(file.path)
    return str(request.param)


def test_works_begin_and_end_as_their_authors_wrote(author: str, data_folder: Path) -> None:
    for name, text in works(author, data_folder).items():
        begins, ends, thousands = WORKS[name]
        assert text.startswith(begins) and text.endswith(ends), name
        assert round(len(text) / 1000) == thousands, name


def test_nothing_of_a_library_or_of_typesetting_is_left(author: str, data_folder: Path) -> None:
    for name, text in works(author, data_folder).items():
        library = (
            r"(?i)gutenberg|wolne ?lektury|isbn|https?:|www\.|\bebook|e-text|transcriber|\*\*\* ?(start|end)|-----$"
        )
        assert not re.search(library, text, re.MULTILINE), name
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\xa0\xad\u200b-\u200f\ufeff\ufffd€]", text), name
        if name != "nietzsche-keras.txt":  # which is as it is in the example of Keras
            assert not re.search(r"\A\s| $|\n\n\n", text, re.MULTILINE), name
            assert not re.search(r"\[\d+\]|\{\d+\}|\(\*\d*\)|^\d\n.*\((фр|нем|ит|лат)", text, re.MULTILINE), name


def test_every_work_is_known_here() -> None:
    assert {file for author in AUTHORS for file in RECIPES[author].files} == set(WORKS)


def test_russian_words_are_of_one_script(data_folder: Path, data_file: DataFile) -> None:
    for name in ("dostoevsky", "pushkin", "tolstoy"):
        for file in RECIPES[name].files.values():
            data_file(file.path)
        for text in works(name, data_folder).values():
            mixed = re.findall(r"\w*(?:[a-zà-ÿ][а-яёї]|[а-яёї][a-zà-ÿ])\w*", text, re.IGNORECASE)
            assert not mixed and not re.search(r"(?<!\w)\w(\xa0\w)+|[\u0300-\u036f]", text)


def test_no_line_of_a_work_is_lost(author: str, data_folder: Path, data_file: DataFile) -> None:
    """Between its ends a file's lines are the work's, but for 3 % that were mended or are notes: letter by letter."""
    recipe = RECIPES[author]
    for name, text in works(author, data_folder).items():
        raw = data_file(recipe.files[name].path).read_text("utf-8-sig")
        lines, ours = ([letters for line in side.splitlines() if (letters := bare(line))] for side in (raw, text))
        once = {line for line, times in Counter(lines).items() if times == 1}
        first, last = (next(line for line in side if line in once) for side in (ours, ours[::-1]))
        theirs, kept = lines[lines.index(first) : lines.index(last) + 1], set(ours)
        lost = [line for line in theirs if line not in kept]
        assert len(lost) <= 0.03 * len(theirs), (name, lost)
        assert sum(map(len, ours)) > 0.998 * sum(map(len, theirs)), name


def bare(line: str) -> str:
    """The letters of a line, as blanks, accents and signs are what is mended."""
    return "".join(filter(str.isalpha, line))
