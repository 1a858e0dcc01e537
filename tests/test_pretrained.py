"""The models that ship do what the README says of them."""

from __future__ import annotations

import importlib
import pickle
import re
import shutil
from collections.abc import Callable
from copy import deepcopy
from io import BytesIO, TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any, cast

import pytest

import textseq
from textseq.checkpoints.model_info import ModelInfo, Table, read_json
from textseq.checkpoints.registry import SHIPPED, list_models
from textseq.commands.command import run
from textseq.data.corpora.catalog import joined_names, read_recipe, recipe_files
from textseq.data.labelled import load_labelled
from textseq.data.pairs import load_pairs
from textseq.data.sources import TextData
from textseq.data.tagged import load_tagged
from textseq.data.text import ConditionalDataset, load_corpus
from textseq.data.token_files import token_file
from textseq.errors import TextseqError
from textseq.metrics.translation import bleu
from textseq.tasks.language_model.evaluate import measure
from textseq.tokenizers.copied import amounts, codes, has_amount

Command = Callable[..., tuple[int, str, str]]
SEVERAL = {"english-authors": 13, "polish-authors": 2, "russian-authors": 3, "czech-authors": 2}
"""The models of several authors, and of how many."""
WORDS = {
    "English": "[a-z]{2,}",
    "Polish": "[a-ząćęłńóśźż]{2,}",
    "Russian": "[а-яё]{2,}",
    "Czech": "[a-záčďéěíňóřšťúůýž]{2,}",
}
"""Words by language."""
AUTHORS = sorted(model.name for model in list_models("language-model") if model.shipped and model.name not in SEVERAL)
EVERY_AUTHOR = pytest.mark.parametrize("author", AUTHORS)
TRANSLATORS = sorted(model.name for model in list_models("translation") if model.shipped)
EVERY_TRANSLATOR = pytest.mark.parametrize("name", TRANSLATORS)
SENSE = {
    "shakespeare": ("My lord, the king is dead.", "Lord the dead is. king, My"),
    "sienkiewicz": ("Winicjusz spojrzał na nią ze zdumieniem.", "Zdumieniem na spojrzał ze Winicjusz nią."),
    "tolstoy": ("Он посмотрел на нее и улыбнулся.", "На улыбнулся нее и посмотрел он."),
}
"""A sentence and its words in an order that means nothing."""
TRANSLATIONS = {
    "tatoeba-en-fr": {"I don't know where she lives.": "Je ne sais pas où elle vit.", "I am hungry.": "J'ai faim."},
    "tatoeba-fr-en": {"Je ne sais pas où elle vit.": "I don't know where she lives.", "J'ai faim.": "I'm hungry."},
}

SMALLEST = [
    ("english-authors", "carroll", 1.235),
    ("polish-authors", "mickiewicz", 1.589),
    ("russian-authors", "dostoevsky", 1.410),
    ("czech-authors", "capek", 1.762),
]
"""The author with the shortest test split (Erben has none), and nats per character of it."""
FIRST_TOKENS = 60_000
SIDE_BY_SIDE = {"shakespeare": 1.45495, "sienkiewicz": 1.38970, "tolstoy": 1.34609}
"""Nats per token of the first ``FIRST_TOKENS`` of the test split, in 64 stretches side by side."""
FIRST_300 = {"tatoeba-en-fr": 43.832, "tatoeba-fr-en": 51.239}
"""BLEU of the first 300 sentences of the test split, greedily."""


def rows(info: ModelInfo) -> list[dict[str, Any]]:
    """The results of a model."""
    return [dict(row) for row in info.results]


def test_every_model_states_the_hash_of_its_metadata() -> None:
    for entry in list_models():
        assert not entry.shipped or "config.json" in cast(Table, read_json(entry.folder / "config.json")["sha256"])


def test_one_author_of_each_language_ships() -> None:
    assert set(AUTHORS) == set(SENSE)
    assert {textseq.load_generator(author).info.language for author in AUTHORS} == {"English", "Polish", "Russian"}


@EVERY_AUTHOR
def test_it_is_small_and_knows_its_numbers(author: str) -> None:
    assert sum(path.stat().st_size for path in (SHIPPED / author).rglob("*")) <= 8e6
    results = rows(textseq.load_generator(author).info)
    assert results[0]["signature"].startswith(
        f"corpus:{author}|split:test|tokenizer:char-norm-lines|state:carried|streams:1|"
    )


@EVERY_AUTHOR
def test_it_measures_as_its_card_says(
    author: str, data_file: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Only its first part, and in 64 stretches side by side, which is quick and changes some hundredths of a nat."""
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path))
    for file in read_recipe(author, recipe_files()[author]).files.values():
        data_file(file.path)
    writer = textseq.load_generator(author)
    results = rows(writer.info)
    tokens = token_file(load_corpus(author), "test", writer.tokenizer, tmp_path)
    measured = measure(writer.model, tokens.ids, setup="", first=FIRST_TOKENS, streams=64)
    assert measured.nats_per_token == pytest.approx(results[0]["nats_per_token"], abs=0.03)
    assert measured.nats_per_token == pytest.approx(SIDE_BY_SIDE[author], abs=1e-4)


@EVERY_AUTHOR
def test_it_finds_sense_likelier_than_nonsense(author: str) -> None:
    writer = textseq.load_generator(author)
    sense, nonsense = SENSE[author]
    assert sorted(sense.lower()) == sorted(nonsense.lower())
    assert writer.score(sense).bits_per_character < 0.9 * writer.score(nonsense).bits_per_character


@EVERY_AUTHOR
def test_it_writes_in_its_letters(author: str) -> None:
    writer = textseq.load_generator(author)
    for text in writer.generate_all(max_new_tokens=300, num_return_sequences=4, seed=1):
        assert "\ufffd" not in text
        letters = [letter for letter in text.lower() if letter.isalpha()]
        own = {"shakespeare": str.isascii, "sienkiewicz": lambda x: x < "\u0180", "tolstoy": lambda x: x > "\u0400"}
        assert len(letters) > 200
        assert sum(map(own[author], letters)) >= 0.95 * len(letters)
    if author == "sienkiewicz":
        assert set("ąęłśż") <= set("".join(writer.generate(max_new_tokens=1000, seed=1)))


def test_shakespeare_writes_plays() -> None:
    for text in textseq.load_generator("shakespeare").generate_all(max_new_tokens=300, num_return_sequences=4, seed=1):
        assert sum(line.endswith(":") for line in text.splitlines()) >= 1  # somebody speaks


@pytest.mark.parametrize("several", SEVERAL)
def test_a_model_of_several_authors_writes_as_each_of_them(several: str) -> None:
    writer = textseq.load_generator(several)
    assert len(writer.info.labels) == SEVERAL[several]
    assert sum(path.stat().st_size for path in (SHIPPED / several).rglob("*")) <= 4e6
    for label in writer.info.labels:
        text = writer.generate(condition=label, max_new_tokens=300, seed=1)
        words = re.findall(WORDS[str(writer.info.language)], text.lower())
        assert sum(map(len, words)) > 200 and "  " not in text
        if label in AUTHORS:
            assert textseq.load_generator(label).info.labels == ()  # an author's own model comes first
        else:
            assert textseq.load_generator(label).info.labels == writer.info.labels


def test_an_author_of_several_writes_by_name(capfd: pytest.CaptureFixture[str]) -> None:
    importlib.import_module("textseq.cli.sample").sample(
        ["--author", "austen", "--max-new-tokens", "50", "--seed", "1"]
    )
    written = capfd.readouterr().out.removesuffix("\n")
    writer = textseq.load_generator("english-authors")
    assert len(written) > 20 and writer.generate(condition="austen", max_new_tokens=50, seed=1).startswith(written)


def test_the_model_of_several_authors_knows_who_wrote_what() -> None:
    texts = {
        "austen": "Her sister was to be at the ball, and Elizabeth could not but think well of Mr. Darcy's manners.",
        "bible": "And it came to pass, that the LORD spake unto the children of Israel, saying, Go ye up.",
        "melville": "The white whale was now alongside, and Queequeg the harpooneer stood up in the bows of the boat,\n"
        "while Captain Ahab cried out from the quarter-deck of the Pequod.",
        "shakespeare": "KING HENRY:\nMy lord, I prithee tell me, hath the duke\nBeen here to-day?",
        "whitman": "I hear America singing, I see the endless crowds of the cities,\nO the joy of the manly self-hood!",
    }
    classifier = textseq.load_classifier("english-authors")
    assert [one.label for one in classifier.classify([*texts.values()])] == [*texts]


USES: dict[str, Callable[[Any], object]] = {
    "shakespeare": lambda generator: generator.generate("ROMEO:", max_new_tokens=20, seed=1),
    "sentiment": lambda classifier: classifier.classify(["I love it"])[0].label,
    "english-pos": lambda tagger: tagger.tag(["I love it"])[0].tags,
    "tatoeba-en-fr": lambda translator: translator.translate(["I am Tom."])[0].text,
}


@pytest.mark.parametrize("name", USES)
def test_other_processes_and_copies_can_use_a_model_that_was_used(name: str) -> None:
    model, use = textseq.load(name), USES[name]
    answer = use(model)
    assert [use(deepcopy(model)), use(pickle.loads(pickle.dumps(model)))] == [answer] * 2


@pytest.mark.parametrize(("several", "smallest", "nats"), SMALLEST)
def test_a_model_of_several_authors_measures_as_its_documentation_says(
    several: str, smallest: str, nats: float, data_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The smallest of the authors; the results of each are in the documentation."""
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path))
    writer = textseq.load_generator(several)
    assert re.match(
        rf"corpus:{several}\|split:test\|token(s|izer):char-norm-lines\|", rows(writer.info)[0]["signature"]
    )
    texts = cast(ConditionalDataset, TextData(corpus=several).open(data_dir=data_folder)).only(smallest)
    assert writer.evaluate(texts, "test").nats_per_token == pytest.approx(nats, abs=0.01)


def test_a_translator_of_each_direction_ships() -> None:
    assert set(TRANSLATORS) == set(TRANSLATIONS)
    for name in TRANSLATORS:
        assert textseq.load_translator(name).languages == tuple(name.split("-")[1:])


@EVERY_TRANSLATOR
def test_a_translator_is_small_and_knows_its_numbers_and_whose_sentences_it_learnt(name: str) -> None:
    assert sum(path.stat().st_size for path in (SHIPPED / name).rglob("*")) <= 12e6
    results = rows(textseq.load_translator(name).info)
    begin = f"corpus:tatoeba-fra-eng|split:test|direction:{name.removeprefix('tatoeba-')}|"
    assert [row["measure"] for row in results[:3]] == ["BLEU", "chrF2", "TER"]
    assert all(row["signature"].startswith(begin) for row in results[:3])
    card = (SHIPPED / name / "README.md").read_text(encoding="utf-8")
    assert "tatoeba.org" in card and "CC BY 2.0 FR" in card


UNTIDY = {
    "tatoeba-en-fr": ("Where do you live?", "I don't know where Tom is.", "She is my sister."),
    "tatoeba-fr-en": ("Où habites-tu ?", "Je ne sais pas où est Tom.", "C'est ma sœur."),
}


CODES = {
    "tatoeba-en-fr": ("Call me at 555-1234.", "WRITE TO JAN@EXAMPLE.ORG TODAY", "Look at https://example.org/a_b?c=1."),
    "tatoeba-fr-en": ("Appelle-moi au 555-1234.", "va voir jan@example.org", "Regarde https://example.org/a_b?c=1."),
}


AMOUNTS = {
    "tatoeba-en-fr": (
        "It costs $12.50.",
        "It costs £20.",
        "I have 1,250 books.",
        "See you on 12/05/2023.",
        "I have 500 pens.",
    ),
    "tatoeba-fr-en": (
        "Ça coûte 12,50 €.",
        "Ça coûte 20 £.",
        "J'ai 1 250 livres.",
        "À demain, 12/05/2023.",
        "J'ai 500 stylos.",
    ),
}


@EVERY_TRANSLATOR
def test_amounts_are_copied(name: str) -> None:
    translator = textseq.load_translator(name)
    known = translator.vocabularies.source.vocabulary
    for sentence, found in zip(AMOUNTS[name], translator.translate(AMOUNTS[name]), strict=True):
        [(start, end)] = amounts(sentence)
        assert has_amount(found.text, sentence[start:end], known)
        assert found.attention is not None
        assert found.attention.shape == (len(found.tokens), len(found.source_tokens))
        [again] = translator.align([sentence], [found.text])
        assert again.text == found.text
        assert again.doubtful == found.doubtful or again.tokens != found.tokens  # of another segmentation
    plain = translator.translate(AMOUNTS[name], copy_codes=False)
    lacking = [not has_amount(one.text, sentence, known) for sentence, one in zip(AMOUNTS[name], plain, strict=True)]
    assert any(lacking), "they need the copying"


FRAMES = ("- {}", "  \N{EN DASH} {}", "a) {}", "({})", "*{}* \N{GRINNING FACE}", "TOM: {}")


@EVERY_TRANSLATOR
def test_what_stands_around_a_sentence_stands_around_its_translation(name: str) -> None:
    translator = textseq.load_translator(name)
    for sentence in UNTIDY[name][1:2]:
        plain = translator.translate(sentence)
        framed = translator.translate([frame.format(sentence) for frame in FRAMES])
        for frame, one in zip(FRAMES, framed, strict=True):
            assert one.text == frame.strip().format(plain.text) and one.score == pytest.approx(plain.score, abs=1e-4)
            assert "".join(one.source_surfaces).split() == frame.format(sentence).split()
            assert "".join(one.tokens[:-1]).split() == one.text.split()
            again = translator.align([frame.format(sentence)], [one.text])[0]
            assert again.text == one.text and again.score == pytest.approx(one.score, abs=0.05)
            begun = " ".join(one.text.split()[:3])  # without what comes after
            assert translator.translate_all([frame.format(sentence)], prefixes=[begun])[0][0].text.startswith(begun)


@EVERY_TRANSLATOR
def test_known_translations_may_have_what_stands_around_the_sentence(name: str) -> None:
    translator = textseq.load_translator(name)
    framed = [frame.format(sentence) for frame in FRAMES for sentence in (CODES[name][0], NAMES[name][0])]
    for sentence, one in zip(framed, translator.translate(framed), strict=True):
        [again] = translator.align([sentence], [one.text])
        assert again.text == one.text and again.score > one.score - 0.1
    [plain] = translator.align([UNTIDY[name][1]], ["..."])
    [lacking] = translator.align([f"- {UNTIDY[name][1]}"], ["..."])
    assert plain.text == lacking.text == "..."
    assert [one.text for one in translator.align(["...", "-"], ["...", "+"])] == ["...", "+"]


@EVERY_TRANSLATOR
def test_no_sentence_of_several_is_lost(name: str) -> None:
    translator = textseq.load_translator(name)
    sentences = [UNTIDY[name][1], "2023?", UNTIDY[name][1]]
    [joined] = translator.translate([f"- ({' '.join(sentences)}) \N{GRINNING FACE}"])
    parts = translator.translate(sentences)
    assert joined.text == f"- ({' '.join(part.text for part in parts)}) \N{GRINNING FACE}"
    words = {word for _, word in joined.alignment()}
    assert words == {*range(len(joined.text.split()))}
    first, last = translator.translate([UNTIDY[name][1], UNTIDY[name][2]])
    [found] = translator.translate([f"{UNTIDY[name][1]} \N{GRINNING FACE}. {UNTIDY[name][2]} :-)"])
    assert found.text == f"{first.text} \N{GRINNING FACE}. {last.text} :-)"


def test_what_stands_around_a_sentence_may_be_a_term_and_is_written_on_one_line() -> None:
    translator = textseq.load_translator("tatoeba-en-fr")
    assert "NARRATEUR" in translator.translate("NARRATOR: The door is open.", glossary={"NARRATOR": "NARRATEUR"}).text
    assert translator.translate("-\n\nHello.\t*").text == "- Bonjour ! *"
    assert translator.translate("-\t*").text == "- *"


@EVERY_TRANSLATOR
def test_what_has_no_letter_or_digit_stays_as_it_is(name: str) -> None:
    translator = textseq.load_translator(name)
    texts = ["...", " * * * ", "\N{GRINNING FACE}", "\N{BLACK STAR}\N{WHITE STAR}", "-", "?!"]
    assert [one.text for one in translator.translate(texts)] == [text.strip() for text in texts]
    assert [len(several) for several in translator.translate_all(texts, num_return_sequences=3)] == [3] * len(texts)
    assert translator.translate("...", tidy=False).text != "..."


@EVERY_TRANSLATOR
@pytest.mark.parametrize("beams", [1, 5])
def test_codes_are_copied(name: str, beams: int) -> None:
    translator = textseq.load_translator(name)
    sentences = [*CODES[name], "AF1234", "B12, B12 & MP3", "A1 B2 C3 D4 E5 F6", "  x  AF1234", "Tom AF1234."]
    for sentence, found in zip(sentences, translator.translate(sentences, num_beams=beams), strict=True):
        codes_there = [sentence[start:end] for start, end in codes(sentence, translator.vocabularies.source)]
        assert codes_there[-1] in found.text
        assert ("Tom" in found.text) == ("Tom" in sentence)
        assert found.attention is not None
        assert found.attention.shape == (len(found.tokens), len(found.source_tokens))
        assert "".join(found.source_surfaces).split() == sentence.split()
    plain = [one.text for one in translator.translate(CODES[name], num_beams=beams, copy_codes=False)]
    places = [codes(sentence, translator.vocabularies.source)[-1] for sentence in CODES[name]]
    kept = [
        sentence[start:end] in text for sentence, (start, end), text in zip(CODES[name], places, plain, strict=True)
    ]
    assert not all(kept), "they need the copying"


def test_a_name_that_stands_for_a_code_is_no_part_of_another_word() -> None:
    translator = textseq.load_translator("tatoeba-fr-en")
    for sentence in ("Demain, je prendrai le vol AF1234.", "Demain, appelle le 555-1234."):
        one = translator.translate(sentence)
        assert one.text.startswith("Tomorrow") and one.tokens[0] == " Tomorrow"
        assert translator.align([sentence], [one.text])[0].text == one.text


def test_names_of_two_words_are_aligned_word_by_word() -> None:
    one = textseq.load_translator("tatoeba-en-fr").translate("Do you know Wojciech Kowalczyk?", attention=True)
    assert one.text.split()[-3:] == ["Wojciech", "Kowalczyk", "?"]
    assert {(3, 1), (4, 2)} <= {*one.alignment()} and len(one.alignment()) == len(one.text.split())


@EVERY_TRANSLATOR
def test_known_translations_with_names_and_codes_are_scored_as_they_are_found(name: str) -> None:
    translator = textseq.load_translator(name)
    sentences = [CODES[name][0], NAMES[name][1], NAMES[name][3], UNTIDY[name][2]]
    found = translator.translate(sentences)
    for one, again in zip(found, translator.align(sentences, [one.text for one in found]), strict=True):
        assert again.text == one.text and again.score > one.score - 0.05 and again.doubtful == one.doubtful


NAMES = {
    "tatoeba-en-fr": (
        "Siobhan's brother lives in Szczecin.",
        "The train to Eskişehir is late.",
        "Tadeusz and Małgorzata know Tadeusz.",
        "Write to jan@example.org, Chukwuemeka.",
        "  Jean-Baptiste is tired.",
    ),
    "tatoeba-fr-en": (
        "Le frère de Siobhan habite à Szczecin.",
        "Le train pour Eskişehir est en retard.",
        "Tadeusz et Małgorzata connaissent Tadeusz.",
        "Écris à jan@example.org, Chukwuemeka.",
        "  Jean-Baptiste est fatigué.",
    ),
}
RARE = ("Siobhan", "Szczecin", "Eskişehir", "Tadeusz", "Małgorzata", "Chukwuemeka", "Jean-Baptiste")


COMMON = {
    "tatoeba-en-fr": {"Peter": "Peter is waiting for you in the kitchen."},
    "tatoeba-fr-en": {"Krzysztof": "Krzysztof t'attend dans la cuisine."},
}


@EVERY_TRANSLATOR
def test_names_that_training_always_copies_are_copied_where_they_are_first(name: str) -> None:
    translator = textseq.load_translator(name)
    for person, sentence in COMMON[name].items():
        assert person in translator.translate(sentence).text


@EVERY_TRANSLATOR
def test_rare_names_are_copied_and_other_sentences_translated_as_without(name: str) -> None:
    translator = textseq.load_translator(name)
    sentences = [*NAMES[name], *UNTIDY[name]]
    copied, plain = (
        translator.translate_all(sentences, num_beams=2, num_return_sequences=2, copy_names=copy)
        for copy in (True, False)
    )
    kept = {True: 0, False: 0}
    for sentence, found, before in zip(sentences, copied, plain, strict=True):
        names = [rare for rare in RARE if rare in sentence]
        assert names or found == before
        for copy, best in ((True, found[0]), (False, before[0])):
            kept[copy] += sum(best.text.count(rare) == sentence.count(rare) for rare in names)
        for one in found:
            assert one.attention is not None and one.attention.shape == (len(one.tokens), len(one.source_tokens))
            assert len(one.source_surfaces) == len(one.source_tokens)
            assert "Tom" in sentence or "Tom" not in "".join(one.source_surfaces) + one.text
            assert all(
                (rare in one.text) == (rare in "".join(one.tokens)) for rare in ("Tom", "Siobhan", "Jean-Baptiste")
            )
    assert kept[True] >= 4 and kept[True] >= kept[False]
    assert [translator.translate(sentence, num_beams=2).text for sentence in NAMES[name][1:3]] == [
        found[0].text for found in copied[1:3]
    ]


@EVERY_TRANSLATOR
def test_rare_names_that_a_glossary_keeps_are_copied_once_and_sampling_copies_none(name: str) -> None:
    translator, sentence = textseq.load_translator(name), NAMES[name][0]
    kept = translator.translate(sentence, glossary=textseq.Glossary({"Siobhan": "Siobhan"}), num_beams=5)
    assert kept.text.count("Siobhan") == 1
    drawn = [
        translator.translate(sentence, num_beams=1, temperature=0.5, seed=3, copy_names=copy) for copy in (False, True)
    ]
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("beams", [5, 10])
def test_a_term_comes_where_the_attention_is_on_its_source_and_not_beside_the_usual_word(beams: int) -> None:
    translator = textseq.load_translator("tatoeba-en-fr")
    for sentence, term, translation, usual in (
        ("The school is closed.", "school", "établissement", "école"),
        ("The meeting starts at ten o'clock.", "meeting", "séance", "réunion"),
        ("We need a new printer.", "printer", "copieur", "imprimante"),
        ("The train leaves in five minutes.", "train", "TGV", "train"),
    ):
        text = translator.translate(sentence, glossary={term: translation}, num_beams=beams).text
        assert translation in text and usual not in text and text.index(".") == len(text) - 1


def test_the_place_of_a_term_is_no_part_of_the_score() -> None:
    translator, sentence = textseq.load_translator("tatoeba-en-fr"), "She has a big dog."
    found = translator.translate(sentence, glossary={"dog": "chien"})
    assert found.score == pytest.approx(translator.align([sentence], [found.text])[0].score, abs=1e-4)


def test_the_place_of_a_term_depends_on_no_other_sentence_of_the_batch() -> None:
    translator, glossary = textseq.load_translator("tatoeba-en-fr"), {"house": "baraque"}
    long = f"I see {'the old red house of my brother, ' * 8}and I like it."
    some = ["I like my house.", long, *["The house is very old and very big."] * 8]
    together = translator.translate(some, glossary=glossary, num_beams=10)
    assert [one.text for one in together[:3]] == [
        translator.translate(text, glossary=glossary, num_beams=10).text for text in some[:3]
    ]


@EVERY_TRANSLATOR
def test_shouted_whispered_and_unmarked_sentences_are_read_as_tidy_ones(name: str) -> None:
    translator = textseq.load_translator(name)
    for sentence in UNTIDY[name]:
        bare = sentence.rstrip(" ?.")
        forms = [sentence, sentence.upper(), sentence.lower(), bare, bare.lower(), bare.upper()]
        found = translator.translate(forms, num_beams=1)
        assert {one.text for one in found} == {found[0].text} and not found[0].doubtful
        assert [one.text for one in translator.translate(forms[:2], num_beams=1, tidy=False)] != [found[0].text] * 2
        assert max(target for _, target in found[5].alignment()) == len(found[0].text.split()) - 1
        assert all(source < len(bare.split()) for source, _ in found[5].alignment())


@EVERY_TRANSLATOR
def test_a_translator_doubts_what_it_cannot_read(name: str) -> None:
    found = textseq.load_translator(name).translate(["Zxqv brk wtl mnop gfd.", UNTIDY[name][2]])
    assert [one.doubtful for one in found] == [True, False]


@EVERY_TRANSLATOR
def test_a_translator_is_as_good_as_its_card_says(
    name: str, data_file: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On the first 300 sentences of the test part, greedily: there chance has some points."""
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path))
    for file in read_recipe("tatoeba-fra-eng", recipe_files()["tatoeba-fra-eng"]).files.values():
        data_file(file.path)
    translator = textseq.load_translator(name)
    results = rows(translator.info)
    source, target = translator.languages
    pairs = [*islice(load_pairs("tatoeba-fra-eng", source=source, target=target).pairs("test"), 300)]
    found = translator.translate([pair[0] for pair in pairs], attention=False, num_beams=1)
    score = bleu([one.text for one in found], [pair[1] for pair in pairs])
    assert score > results[0]["score"] - 5
    assert score == pytest.approx(FIRST_300[name], abs=0.1)


@EVERY_TRANSLATOR
def test_a_translator_translates(name: str) -> None:
    translator = textseq.load_translator(name)
    for sentence, wanted in TRANSLATIONS[name].items():
        assert translator.translate([sentence])[0].text == wanted
    sentence, wanted = next(iter(TRANSLATIONS[name].items()))
    backwards = " ".join(reversed(wanted.split()))
    assert translator.score([sentence], [wanted])[0] > translator.score([sentence], [backwards])[0] + 5


OPINIONS = {
    "A wonderful, moving film with brilliant performances.": "positive",
    "One of the best comedies of the year.": "positive",
    "Dull, predictable and far too long.": "negative",
    "The plot makes no sense and the acting is terrible.": "negative",
    "This is not a bad product.": "positive",
    "I was not disappointed.": "positive",
    "I don't like it.": "negative",
    "The food was cold and the waiter rude.": "negative",
    "Worth every penny": "positive",
    "this is so good 😍": "positive",
    "broken again 😡": "negative",
}


def test_the_classifier_that_ships_is_small_and_knows_its_numbers_and_whose_texts_it_learnt() -> None:
    shipped = [model.name for model in list_models("classification") if model.shipped]
    assert shipped == ["sentiment"]
    assert sum(path.stat().st_size for path in (SHIPPED / "sentiment").rglob("*")) <= 8e6
    results = rows(textseq.load_classifier("sentiment").info)
    assert results[0]["signature"].startswith("corpus:film_reviews+pros_cons+3*uci-sentences+")
    assert [row["accuracy"] > 0.85 for row in results] == [True, True]
    card = (SHIPPED / "sentiment" / "README.md").read_text(encoding="utf-8")
    for source in ("Pang and Lee", "Hu and Liu", "Kotzias", "Ganapathibhotla", "Hutto", "CC BY 4.0; MIT; CC0"):
        assert source in card


def test_the_classifier_that_ships_tells_praise_from_blame() -> None:
    found = textseq.load_classifier("sentiment").classify([*OPINIONS])
    assert [one.label for one in found] == [*OPINIONS.values()]
    assert all(one.probability > 0.6 for one in found)


def test_the_classifier_that_ships_does_not_call_a_name_or_a_number_praise() -> None:
    classifier = textseq.load_classifier("sentiment")
    names = ["Berlin", "Tuesday", "Volkswagen", "Margaret", "42", "zxqv"]
    assert {one.label for one in classifier.classify(names, unsure_below=0.65)} == {"unsure"}
    others = ["Maria", "1984", "Samsung Galaxy", "Barack Obama", "My name is John.", "The table."]
    assert "positive" not in {one.label for one in classifier.classify(others, unsure_below=0.65)}


def test_the_classifier_that_ships_says_the_same_in_sixteen_bits(capsys: pytest.CaptureFixture[str]) -> None:
    lines = []
    for flags in ([], ["--precision", "bfloat16"]):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stdin", TextIOWrapper(BytesIO("\n".join(OPINIONS).encode())))
            importlib.import_module("textseq.cli.classify").classify(["--model", "sentiment", *flags])
        lines.append([line.split("\t") for line in capsys.readouterr().out.splitlines()])
    assert [label for label, _ in lines[1]] == [label for label, _ in lines[0]] == [*OPINIONS.values()]
    exact, found = ([float(p) for _, p in side] for side in lines)
    assert found == pytest.approx(exact, abs=0.02) and found != exact


def test_the_classifier_that_ships_measures_as_its_card_says(data_file: Callable[[str], Path]) -> None:
    classifier = textseq.load_classifier("sentiment")
    corpora = joined_names(classifier.info.corpus.name)
    for path in {file.path for name in corpora for file in read_recipe(name, recipe_files()[name]).files.values()}:
        data_file(path)
    measured = classifier.evaluate(load_labelled(classifier.info.corpus.name), "test").to_dict()
    stored, _ = rows(classifier.info)
    assert measured["signature"] == stored["signature"]
    assert measured["accuracy"] == pytest.approx(stored["accuracy"], abs=1e-6)
    assert measured["nats"] == pytest.approx(stored["nats"], abs=1e-5)


def test_the_tagger_that_ships_is_small_and_knows_its_numbers_and_its_licence() -> None:
    assert [model.name for model in list_models("tagging") if model.shipped] == ["english-pos"]
    folder = SHIPPED / "english-pos"
    assert sum(path.stat().st_size for path in folder.rglob("*")) <= 5e6
    results = rows(textseq.load_tagger("english-pos").info)
    assert [row["signature"].split("|")[:2] for row in results] == [
        ["corpus:treebank", f"split:{split}"] for split in ("test", "validation")
    ]
    assert "non-commercial use only" in (folder / "README.md").read_text(encoding="utf-8")


PARTS_OF_SPEECH = {
    "She reads old books on the train.": "PRON VERB ADJ NOUN ADP DET NOUN .",
    "Don't forget to call your mother.": "VERB ADV VERB PRT VERB PRON NOUN .",
    "Who wrote this book?": "PRON VERB DET NOUN .",
    "is it going to rain today": "VERB PRON VERB PRT VERB NOUN",
    "The children were playing in the garden.": "DET NOUN VERB VERB ADP DET NOUN .",
}


def test_the_tagger_that_ships_tags_everyday_sentences() -> None:
    found = textseq.load_tagger("english-pos").tag([*PARTS_OF_SPEECH])
    assert [" ".join(tagging.tags) for tagging in found] == [*PARTS_OF_SPEECH.values()]


def test_the_tagger_that_ships_measures_as_its_card_says(data_folder: Path) -> None:
    tagger = textseq.load_tagger("english-pos")
    dataset = load_tagged("treebank", data_dir=data_folder)
    for split, stored in zip(("test", "validation"), rows(tagger.info), strict=True):
        measured = tagger.evaluate(dataset, split).to_dict()
        assert measured["signature"] == stored["signature"]
        assert measured["accuracy"] == pytest.approx(stored["accuracy"], abs=2e-4)  # a word
        assert measured["nats"] == pytest.approx(stored["nats"], abs=1e-5)


def test_what_ships_reads_typographic_characters_as_plain_ones() -> None:
    classifier = textseq.load_classifier("sentiment")
    plain, typographic = classifier.classify(["This isn't a fine film...", "This isn’t a\u00a0ﬁne ﬁlm…"])
    assert plain.probabilities == typographic.probabilities
    explained = classifier.explain("This isn’t a\u00a0ﬁne ﬁlm…")
    assert "".join(text for text, _ in explained.pieces) == " This isn’t a\u00a0ﬁne ﬁlm…"
    translator = textseq.load_translator("tatoeba-fr-en")
    one, two = translator.translate(["J'ai un café...", "J’ai\u00a0un cafe\u0301…"])
    assert one.text == two.text
    assert two.source_tokens == one.source_tokens and "cafe\u0301" in "".join(two.source_surfaces)
    assert {source for source, _ in two.alignment()} <= {0, 1}  # the words of the text as given, between spaces


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_a_text_scores_the_same_whatever_its_line_ends(end: str) -> None:
    writer = textseq.load_generator("shakespeare")
    text = "ROMEO:\nBut soft, what light\nthrough yonder window breaks?\n"
    score, plain = writer.score(text.replace("\n", end)), writer.score(text)
    assert score.surprisal == plain.surprisal and score.bits_per_character == plain.bits_per_character
    assert "".join(piece.text for piece in score.pieces) == text.replace("\n", end)


def test_measuring_on_texts_that_a_model_may_know_is_told(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TEXTSEQ_DATA", str(data_folder))
    evaluate = importlib.import_module("textseq.cli.evaluate").evaluate
    note = "was trained on 'film_reviews', which shares texts with 'sst2': metrics on it say little about new texts"
    for corpus in ("sst2", "uci-sentences"):
        with pytest.raises(SystemExit):
            run("textseq-evaluate", evaluate, [corpus, "--model", "sentiment", "--split", "validation"])
        out, err = capfd.readouterr()
        assert out.startswith("accuracy ") and (note in err) == (corpus == "sst2")


def test_a_damaged_run_of_an_author_s_name_is_not_read_as_the_author(empty_home: Path) -> None:
    shutil.copytree(SHIPPED / "shakespeare", empty_home / "runs" / "poe")
    shutil.copytree(SHIPPED / "english-authors", empty_home / "shipped" / "english-authors")
    assert textseq.load("austen").info.labels and not textseq.load("poe").info.labels
    weights = empty_home / "runs" / "poe" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(TextseqError, match=r"runs/poe/model.safetensors is damaged"):
        textseq.load("poe")


@pytest.mark.parametrize("program", ["classify", "tag"])
def test_the_only_model_need_not_be_named(program: str, command: Command, empty_home: Path) -> None:
    for name in ("sentiment", "english-pos"):
        shutil.copytree(SHIPPED / name, empty_home / "shipped" / name)
    page = ["--explain-html", "why.html"] if program == "classify" else []
    code, out, err = command(program, "What a mess!", *page)
    assert code == 0 and out and "is the only one" in err
    assert not page or "Explanations by sentiment" in (empty_home / "why.html").read_text()
