"""The style of training sources: learnt where nearly all share it, and given to what is typed otherwise."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textseq.config.tokenizer import TokenizerConfig
from textseq.tokenizers.copied import amounts, codes, has_amount, rare_names
from textseq.tokenizers.source_style import FAMILIAR, FAMILIAR_NUMBER, SourceStyle, learn_copied, learn_style
from textseq.tokenizers.words import WordTokenizer

TIDY = [*["I know that Tom lives in Paris."] * 20, *["Where is Mary?"] * 9, *["She saw it, and I did too!"] * 5]
STYLE = learn_style(TIDY)


def test_a_style_is_learnt() -> None:
    assert STYLE.capital and (STYLE.statement, STYLE.question) == (".", "?")
    assert STYLE.question_words == {"where"}
    assert {"Tom", "Paris", "Mary", "I"} == STYLE.proper
    assert SourceStyle.from_dict(STYLE.to_dict()) == STYLE


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("WHERE IS TOM", "Where is Tom?"),
        ("where is tom ", "Where is Tom?"),
        ("DO I KNOW MARY?", "Do I know Mary?"),
        ("yes, i do", "Yes, I do."),
        ("thanks", "Thanks."),
        ("OK", "OK."),
        ("She works for NATO.", "She works for NATO."),
        ("3 dogs", "3 dogs."),
        ("(where is it)", "(Where is it)"),
        ("?!", "?!"),
        ("  ", ""),
    ],
)
def test_sentences_are_read_in_it(typed: str, read: str) -> None:
    assert STYLE.apply(typed) == read


def test_tidy_sentences_stay_and_other_trainings_have_no_style() -> None:
    assert all(STYLE.apply(sentence) == sentence for sentence in TIDY)
    for untidy in (["where is it", "here it is"] * 9, [], ["?"], ["学校に行く"] * 9, TIDY[:20] + ["no mark"] * 5):
        style = learn_style(untidy)
        assert style == SourceStyle() and style.to_dict() == {} and style.apply("where ARE we") == "where ARE we"


@given(st.text(max_size=40))
def test_characters_keep_their_places(typed: str) -> None:
    read = STYLE.apply(typed)
    assert len(typed.strip()) <= len(read) <= len(typed.strip()) + 1
    assert read.casefold().startswith(typed.strip().casefold()) or not read.isascii()
    assert STYLE.apply(read) == read or not read.isascii()


def test_a_word_alone_is_written_as_in_training() -> None:
    tidy = ["I am here.", "It is late.", "We ate.", "Go home.", "She left."] * 20
    style = learn_style([*tidy, "Hello!", "Hello!", "Hello.", "Yes.", "water", "Monday", "Really?"])
    typed = (
        "hello",
        "HELLO",
        "HELLO!",
        "Hello.",
        "Hello?",
        "yes",
        "Water",
        "water.",
        "monday",
        "really",
        "Really!",
        "berlin",
        "Milk",
    )
    read = [
        "Hello!",
        "Hello!",
        "Hello!",
        "Hello!",
        "Hello?",
        "Yes.",
        "water",
        "water",
        "Monday",
        "Really?",
        "Really!",
        "berlin",
        "Milk",
    ]
    assert [style.apply(word) for word in typed] == read
    assert style.apply("water is wet") == "Water is wet."
    assert SourceStyle.from_dict(style.to_dict()) == style
    assert learn_style([*tidy, "Hello!"]).apply("berlin") == "Berlin.", "no word stands there without a mark"


LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ abcdefghijklmnopqrstuvwxyz"
WORDS = WordTokenizer.train(
    [[f"{LETTERS} On the Monday captain. Anna said, and a from Boston is here: captain."] * 2],
    TokenizerConfig(tokenizer="word"),
)


@pytest.mark.parametrize(
    ("sentence", "found"),
    [
        ("Write to jan@example.org, please.", ["jan@example.org"]),
        ("(see https://example.org/a_b?c=1).", ["https://example.org/a_b?c=1"]),
        ("Go to www.example.org!", ["www.example.org"]),
        ("Flights AF1234 and B12, an MP3, COVID-19.", ["AF1234", "B12", "MP3", "COVID-19"]),
        ("Call 555-1234 or 0123456789.", ["555-1234", "0123456789"]),
        ("Call +33 1 23 45 67 89, not 01 23 45 67 89.", ["+33 1 23 45 67 89", "01 23 45 67 89"]),
        ("Call 020 7946 0958 or 0170 1234567.", ["020 7946 0958", "0170 1234567"]),
        ("+49 30 123456, +49 170 1234567.", ["+49 30 123456", "+49 170 1234567"]),
        ("+33 (0)1 23 45 67 89", ["+33 (0)1 23 45 67 89"]),
        (
            "Open test_file.txt, my-photo.jpeg: C++, C#, @jan #fun #1.",
            ["test_file.txt", "my-photo.jpeg", "C++", "C#", "@jan", "#fun"],
        ),
        ("I speak हिन्दी and الْعَرَبِيَّة.", ["हिन्दी", "الْعَرَبِيَّة"]),
        ("In 東京 (Токио) it is naïve, said Łukasz; see 東京.pdf.", ["東京", "Токио", "東京.pdf"]),
        ("From +5 10 20 to 7, +2 3 4, +5 degrees.", []),
        ("On 01.02.2020 some 10 000 000 people came at 08 15.", []),
        ("At 7:45 on May 3rd, 12 eggs for $15 in 1987, a 20th part, twenty-two.", []),
        ("", []),
    ],
)
def test_addresses_and_numbers_are_codes_and_times_and_prices_are_not(sentence: str, found: list[str]) -> None:
    assert [sentence[start:end] for start, end in codes(sentence, WORDS)] == found


def test_names_that_targets_copy_stand_for_codes() -> None:
    pairs = [("Tom met Anna.", "Tom a vu Anna."), ("Mary met Anna.", "Marie a vu Anna.")] * FAMILIAR
    pairs += [("Rare met us.", "Rare nous a vus."), *[("It is 3 C.", "Il fait 3 C.")] * FAMILIAR]
    style = learn_copied(replace(STYLE, proper=frozenset({"Tom", "Mary", "Anna", "Rare", "C"})), pairs)
    assert style.stand_ins == ("Anna", "Tom") and style.copied == {"Anna", "Tom", "Rare", "C"} and style.names
    assert SourceStyle.from_dict(style.to_dict()) == style
    only_tom = replace(STYLE, proper=frozenset({"Tom"}))
    assert learn_copied(only_tom, pairs).stand_ins == ("Tom",) and learn_copied(only_tom, []).stand_ins == ()


def test_stand_ins_are_persons_and_places() -> None:
    persons, places = ("Tom", "Anna", "Eva", "Max", "Leo"), ("Rome", "Oslo", "Bonn", "Kiel", "Graz")
    pairs = [(text, text) for n, (person, place) in enumerate(zip(persons, places, strict=True))
             for text in (f"{person} is in {place}.", f"We met {person}.") * (FAMILIAR + 10 - n)]  # fmt: skip
    style = learn_copied(replace(STYLE, proper=frozenset({*persons, *places})), pairs)
    assert style.stand_ins == persons[:4] + places[:4]
    only_places = learn_copied(replace(STYLE, proper=frozenset({"Tom", *places})), pairs)
    assert only_places.stand_ins == ("Tom", *places)


def test_where_all_nouns_have_capitals_a_capital_is_no_sign_of_a_name() -> None:
    nouns = ["Haus", "Zeit", "Jahr", "Hund", "Buch", "Wald", "Tisch", "Weg", "Kind", "Brot", "Stadt", "Berg"]
    pairs = [("Tom ist hier.", "Tom is here."), *((f"Das {noun} ist hier.", "It is here.") for noun in nouns)]
    style = learn_copied(replace(STYLE, proper=frozenset({"Tom", *nouns})), pairs * FAMILIAR)
    assert style.stand_ins == ("Tom",) and style.copied == {"Tom"} and not style.names
    assert SourceStyle.from_dict(style.to_dict()) == style
    older = {key: value for key, value in style.to_dict().items() if key != "names"}
    assert SourceStyle.from_dict(older).names


@pytest.mark.parametrize(
    ("sentence", "found"),
    [
        ("On Monday Siobhan's weather is from Galway.", ["Siobhan", "Galway"]),
        ("Siobhan and Eoghan is here, Siobhan.", ["Siobhan", "Eoghan", "Siobhan"]),
        ("Here is Winston Featherstone from Boston.", ["Winston Featherstone"]),
        ("Jean-Baptiste is from Stratford-upon-Avon.", ["Jean-Baptiste", "Stratford-upon-Avon"]),
        ("L'amie d'Aurélien", ["Aurélien"]),
        ("The Captain said and the Captain is from Boston", []),
        ("Captain! Captain: Sit-in, As-tu, I.", []),
        ("NATO, UNESCO AND SIOBHAN", []),
        ("anna@Siobhan.org Siobhan2 @Siobhan siobhan", []),
        ("Bo is here. Bo: Bo, and Bo.", ["Bo"]),
        ("", []),
    ],
)
def test_rare_names_have_a_capital_and_several_tokens(sentence: str, found: list[str]) -> None:
    assert [sentence[start:end] for start, end in rare_names(sentence, WORDS)] == found
    assert rare_names(sentence, WORDS, known=set(found) | {"Winston", "Featherstone"}) == []


def test_names_that_are_copied_count_wherever_they_stand_if_they_have_several_tokens() -> None:
    sentence = "Bo said: Wil is here and Wil, Anna, Captain."
    assert [sentence[start:end] for start, end in rare_names(sentence, WORDS)] == ["Wil", "Wil"]
    found = rare_names(sentence, WORDS, known={"Bo", "Wil", "Anna"}, copied={"Bo", "Anna"})
    assert [sentence[start:end] for start, end in found] == ["Bo"]


@pytest.mark.parametrize(
    ("sentence", "found"),
    [
        ("It costs $5, £20 or 5 €.", ["$5", "£20", "5 €"]),
        ("I have 1,250 books and 300 pens.", ["1,250", "300"]),
        ("On 12/05/2023, 3.5% more; from 2023-05-12 on.", ["12/05/2023", "3.5", "2023-05-12"]),
        ("Il a 10 000 livres.", ["10 000"]),
        ("At 7:45 on May 3rd, 12 eggs, 2 bags, B12 and the 1990s.", []),
    ],
)
def test_amounts_are_long_numbers_and_those_with_marks(sentence: str, found: list[str]) -> None:
    assert [sentence[start:end] for start, end in amounts(sentence)] == found


def test_a_text_has_an_amount_whose_digits_it_has() -> None:
    for text, amount in (("1 250 livres", "1,250"), ("1.250", "1,250"), ("1250", "1,250"), ("5 dollars", "$5")):
        assert has_amount(text, amount, known="$")
    for text, amount in (("10 livres", "1,250"), ("250 à 1", "1,250"), ("12", "2"), ("20 h", "£20")):
        assert not has_amount(text, amount, known="$")
    assert has_amount("£20", "£20", known="$")


def test_numbers_that_targets_copy_stand_for_others() -> None:
    pairs = [("It is 62 or 63, or 22.", "C'est 62, 22.")] * FAMILIAR_NUMBER + [("It is 64.", "C'est 64.")]
    pairs += [("At 19:50, 62.5 or 99%.", "19:50, 62.5, 99%")] * FAMILIAR_NUMBER
    style = learn_copied(STYLE, pairs)
    assert style.numbers == ("62",)
    assert SourceStyle.from_dict(style.to_dict()) == style
