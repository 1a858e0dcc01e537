"""A phrase book: slots are filled alike on both sides, words agree and elide, and the sentences are always the same."""

from __future__ import annotations

import re

import pytest

from textseq.data.corpora.phrase_book import LIMIT, SLOT, english_number, french_number, read_phrase_book
from textseq.data.pairs import load_pairs
from textseq.errors import TextseqError

LISTS = """
[thing m]
book | livre; umbrella | parapluie; computer | ordinateur; knife, knives | couteau; hamburger | *hamburger
*unicycle | monocycle
[thing f]
key | clé; watch | montre; address | adresse
[name m]
Hans; Anna
== Phrases
"""


def sentences(phrase: str) -> list[tuple[str, str]]:
    return list(read_phrase_book(LISTS + phrase).pairs())


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        (
            "{a thing} | {un thing}",
            ["a book = un livre", "an umbrella = un parapluie", "a unicycle = un monocycle", "a key = une clé"],
        ),
        ("the {s thing} | les {s thing}", ["the knives = les couteaux", "the watches = les montres"]),
        ("It's {the thing}. | C'est {le thing}.", ["It's the computer. = C'est l'ordinateur."]),
        ("{my thing}! | {mon thing} !", ["My address! = Mon adresse !", "My key! = Ma clé !"]),
        ("{this thing} | {ce thing}", ["this computer = cet ordinateur", "this address = cette adresse"]),
        ("two {s thing} | peu {ds thing}", ["two addresses = peu d'adresses", "two hamburgers = peu de hamburgers"]),
        ("of {the thing} | {du thing}", ["of the hamburger = du hamburger", "of the address = de l'adresse"]),
        ("to {the thing} | {au thing}", ["to the book = au livre", "to the key = à la clé"]),
        ("{the thing}: lost | {le thing} : {thing:perdu/perdue}", ["The watch: lost = La montre : perdue"]),
        ("for {name} | avant {que name}", ["for Anna = avant qu'Anna"]),
        ("{2-9} or {words 2-9} | {2-9} ou {words 2-9}", ["7 or seven = 7 ou sept"]),
        ("in {words 20-22} minutes | dans {une 20-22} minutes", ["in twenty-one minutes = dans vingt et une minutes"]),
        (
            "is {thing:he/she} a {thing}? | {thing:il/elle}, {thing}",
            ["is he a book? = Il, livre", "is she a key? = Elle, clé"],
        ),
    ],
)
def test_words_agree(phrase: str, expected: list[str]) -> None:
    made = {" = ".join(pair) for pair in sentences(phrase)}
    assert made >= set(expected)


def test_a_phrase_gives_all_its_sentences_or_some_that_are_always_the_same() -> None:
    assert len(sentences("{thing} | {thing}")) == 9
    assert sentences("Hi! / Hello! | Salut !") == [("Hi!", "Salut !"), ("Hello!", "Salut !")]
    pairs = sentences("{1-1000} {thing} {name} | {1-1000} {thing} {name}")
    assert len(set(pairs)) == len(pairs) == LIMIT and pairs == sentences(
        "{1-1000} {thing} {name} | {1-1000} {thing} {name}"
    )
    two = sentences("{thing}, {thing#2} | {thing}, {thing#2}")
    assert two and all(source.split(", ")[0] != source.split(", ")[1] for source, _ in two)


def test_numbers_in_words() -> None:
    expected = {
        0: "zero zéro",
        21: "twenty-one vingt_et_un",
        70: "seventy soixante-dix",
        71: "seventy-one soixante_et_onze",
        77: "seventy-seven soixante-dix-sept",
        80: "eighty quatre-vingts",
        81: "eighty-one quatre-vingt-un",
        99: "ninety-nine quatre-vingt-dix-neuf",
        100: "one_hundred cent",
        200: "two_hundred deux_cents",
        391: "three_hundred_and_ninety-one trois_cent_quatre-vingt-onze",
        1000: "one_thousand mille",
    }
    for number, words in expected.items():
        assert f"{english_number(number)}|{french_number(number)}".replace(" ", "_") == words.replace(" ", "|")
    for spell in (english_number, french_number):
        assert len({spell(number) for number in range(1001)}) == 1001


@pytest.mark.parametrize(
    ("phrase", "error"),
    [
        ("Hello", "expected 'English | French' in line"),
        ("{things} | {thing}", "unknown list of a phrase book 'things'; did you mean 'thing'"),
        ("{the thing} | {los thing}", "unknown form 'los'"),
    ],
)
def test_mistakes_are_reported(phrase: str, error: str) -> None:
    with pytest.raises(TextseqError, match=error.replace("|", r"\|")):
        sentences(phrase)


def test_the_phrase_book_that_ships_is_whole() -> None:
    """No slot is left open, no list unused, and what a name or number slot makes is the same on both sides."""
    english = load_pairs("phrases-en-fr")
    pairs = list(english.pairs("train"))
    assert english.licence.startswith("CC0") and english.splits == ("train",)
    assert len(pairs) > 10_000 and len({source for source, _ in pairs}) > 8_000
    for pair in pairs:
        for sentence in pair:
            assert sentence and sentence == sentence.strip() and "  " not in sentence and not SLOT.search(sentence)
            assert not set("{}|[]*") & set(sentence) and " / " not in sentence, sentence
        assert not re.search(r"\b([Dd]e|[Qq]ue) [AEIOUÉ]", pair[1]), "unelided: " + pair[1]
        assert not re.search(r"\bun (minute|personne|heure)s", pair[1]), pair[1]
    assert [*load_pairs("phrases-en-fr", source="fr").pairs("train")] == [(target, source) for source, target in pairs]
