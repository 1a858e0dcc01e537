"""A corpus of pairs gives every pair of its files once, in parts that share no sentence, a side of it as a text."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import tracemalloc
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from textseq.config.tokenizer import TokenizerConfig
from textseq.data import pairs as pairs_module
from textseq.data.corpora import catalog as corpus_recipes
from textseq.data.corpora.catalog import list_corpora
from textseq.data.pairs import PairDataset, load_pairs, own_pairs, read_sentence, written_sentence
from textseq.data.readers.pairs import UNKNOWN
from textseq.data.rows import Pair
from textseq.data.splits import normalized, shared
from textseq.data.text import load_corpus
from textseq.data.token_files import token_file, tokenizer_for
from textseq.errors import TextseqError

DataFile = Callable[[str], Path]
RECIPES = {recipe.name: recipe for recipe in list_corpora() if recipe.languages}


def everything(corpus: PairDataset) -> dict[str, list[Pair]]:
    return {split: list(corpus.pairs(split)) for split in corpus.splits}


# -- sentences


def test_a_sentence_is_read_with_a_space_before_it() -> None:
    assert read_sentence("How are you?\n") == read_sentence("  How are you? ") == " How are you?"
    assert read_sentence("Ça va\u202f?\u2028Oui.") == " Ça va\u202f? Oui."
    assert written_sentence(read_sentence("How are you?")) == "How are you?"


# -- corpora by name


@cache
def loaded(name: str, folder: Path, source: str | None = None, target: str | None = None) -> dict[str, list[Pair]]:
    return everything(load_pairs(name, source=source, target=target, data_dir=folder))


@pytest.fixture(params=RECIPES)
def name(request: pytest.FixtureRequest, data_file: DataFile) -> str:
    recipe = RECIPES[request.param]
    older = RECIPES[recipe.held_out].files if recipe.held_out else {}
    for file in (*recipe.files.values(), *older.values()):
        data_file(file.path)
    return str(request.param)


SIZES = {
    "phrases-en-fr": {"train": 23899},
    "multi30k": {"train": 29_000, "validation": 1_014, "test": 1_000, "test_2017_flickr": 1_000},
    "tatoeba-deu-eng": {"train": 164_121, "validation": 1_692, "test": 3_384},
    "tatoeba-fra-eng": {"train": 138_503, "validation": 1_428, "test": 2_856},
    "tatoeba-fra-eng-2019": {"train": 162_061, "validation": 1_428, "test": 2_856, "test_own": 3_343},
    "tatoeba-pol-eng": {"train": 41_759, "validation": 430, "test": 861},
}
BEGINS = {
    "phrases-en-fr": ("Good morning, Oscar!", "Bonjour, Oscar !"),
    "multi30k": ("A man in an orange hat starring at something.", "Ein Mann mit einem orangefarbenen Hut, der etwas"),
    "tatoeba-deu-eng": ("Run!", "Lauf!"),
    "tatoeba-fra-eng": ("I see.", "Je comprends."),
    "tatoeba-fra-eng-2019": ("I see.", "Je comprends."),
    "tatoeba-pol-eng": ("I'm with Tom.", "Jestem z Tomem."),
}
"""The first pair of the test split, or of the only one."""


def test_corpora_of_pairs_are_listed() -> None:
    assert RECIPES.keys() == SIZES.keys()
    for recipe in RECIPES.values():
        assert recipe.task == "translation"
        assert len(recipe.languages) == len(recipe.language.split(", ")) >= 2
    assert {recipe.task for recipe in list_corpora() if recipe.labels} == {"classification"}
    others = [recipe for recipe in list_corpora() if not (recipe.languages or recipe.labels)]
    assert {recipe.task for recipe in others} == {"language-model", "tagging"}
    assert all(recipe.tags for recipe in others if recipe.task == "tagging")


def test_parts_have_these_pairs(name: str, data_folder: Path) -> None:
    splits = loaded(name, data_folder)
    assert {split: len(pairs) for split, pairs in splits.items()} == SIZES[name]
    source, target = splits.get("test", splits["train"])[0]
    assert (source, target[: len(BEGINS[name][1])]) == BEGINS[name]
    for sentence in {sentence for pairs in splits.values() for pair in pairs for sentence in pair}:
        assert sentence and sentence == sentence.strip() and len(sentence.splitlines()) == 1
        assert "\t" not in sentence or name == "multi30k"  # which has a few


def test_tatoeba_keeps_every_pair_once_and_leaks_nothing(data_folder: Path, data_file: DataFile) -> None:
    for name in ("tatoeba-deu-eng", "tatoeba-fra-eng", "tatoeba-pol-eng"):
        (file,) = RECIPES[name].files.values()
        data_file(file.path)
        splits = loaded(name, data_folder)
        for side in (0, 1):
            for form in (str, normalized):
                kept = {split: {form(pair[side]) for pair in pairs} for split, pairs in splits.items()}
                assert not kept["train"] & kept["test"]
                assert not kept["train"] & kept["validation"]
                assert not kept["validation"] & kept["test"]
    raw = data_file("tatoeba/pol.txt").read_text("utf-8").splitlines()
    assert Counter(tuple(line.split("\t")) for line in raw) == Counter(
        pair for pairs in loaded("tatoeba-pol-eng", data_folder).values() for pair in pairs
    )


def test_multi30k_shares_next_to_nothing(data_folder: Path, data_file: DataFile) -> None:
    """The published split is kept as it is; sentences on both sides are few."""
    data_file("multi30k/train.en.gz")
    for source, target in (("en", "de"), ("fr", "cs")):
        splits = loaded("multi30k", data_folder, source, target)
        assert all(shared(splits["train"], splits[split]) <= 5 for split in splits if split != "train")


def test_multi30k_is_read_line_by_line(data_folder: Path, data_file: DataFile) -> None:
    for stem, split in (("train", "train"), ("val", "validation"), ("test_2016_flickr", "test")):
        for language in ("en", "de", "fr", "cs"):
            lines = gzip.decompress(data_file(f"multi30k/{stem}.{language}.gz").read_bytes()).decode().split("\n")
            other = "de" if language == "en" else "en"
            corpus = load_pairs("multi30k", source=language, target=other, data_dir=data_folder)
            assert [source for source, _ in corpus.pairs(split)] == [line.strip() for line in lines[:-1]]
            assert list(corpus.pairs(stem)) == list(corpus.pairs(split))  # by the name of its files


def test_directions(data_folder: Path, data_file: DataFile) -> None:
    data_file("multi30k/train.en.gz")
    data_file("tatoeba/pol.txt")

    def directed(name: str, **languages: str) -> tuple[str, str]:
        corpus = load_pairs(name, data_dir=data_folder, **languages)  # type: ignore[arg-type]
        return corpus.source_language, corpus.target_language

    assert directed("multi30k") == ("en", "de")
    assert directed("multi30k", target="fr") == directed("multi30k", source="en", target="fr") == ("en", "fr")
    assert directed("multi30k", source="cs") == ("cs", "en")
    assert directed("multi30k", target="en") == directed("multi30k", source="de") == ("de", "en")
    assert directed("tatoeba-pol-eng", source="pl") == ("pl", "en")
    forth = loaded("tatoeba-pol-eng", data_folder)
    back = loaded("tatoeba-pol-eng", data_folder, "pl", "en")
    assert back == {split: [(target, source) for source, target in pairs] for split, pairs in forth.items()}
    fingerprints = [
        load_pairs("multi30k", source=source, target=target, data_dir=data_folder).fingerprint
        for source, target in (("en", "de"), ("de", "en"), ("en", "fr"))
    ]
    assert len(set(fingerprints)) == 3 and all(len(one) == 64 for one in fingerprints)


def test_czech_has_no_test_of_2017(data_folder: Path, data_file: DataFile) -> None:
    data_file("multi30k/train.cs.gz")
    corpus = load_pairs("multi30k", source="en", target="cs", data_dir=data_folder)
    assert corpus.splits == ("train", "validation", "test")
    with pytest.raises(TextseqError, match=r"unknown split of 'multi30k' \(en to cs\) 'test_2017_flickr'"):
        corpus.pairs("test_2017_flickr")


def test_what_cannot_be_loaded_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path))
    with pytest.raises(TextseqError, match=r"unknown corpus 'multi3k'; did you mean 'multi30k'\?"):
        load_pairs("multi3k")
    with pytest.raises(TextseqError, match=r"'shakespeare' is for language-model; corpora of pairs are multi30k, phr"):
        load_pairs("shakespeare")
    with pytest.raises(TextseqError, match=r"'multi30k' is for translation; corpora of texts are austen, brown, capek"):
        load_corpus("multi30k")
    for languages in ({"source": "it"}, {"target": "it"}, {"source": "it", "target": "it"}):
        with pytest.raises(TextseqError, match=r"unknown language of corpus 'multi30k': 'it'.*known: cs, de, en, fr"):
            load_pairs("multi30k", **languages)  # type: ignore[arg-type]
    with pytest.raises(
        TextseqError, match=r"'multi30k': expected two languages .* got 'fr' twice; it has en, de, fr, cs"
    ):
        load_pairs("multi30k", source="fr", target="fr")
    with pytest.raises(TextseqError, match=r"'multi30k' lacks 6 of 6 files, the first multi30k/train\.en\.gz"):
        load_pairs("multi30k", target="cs", data_dir=tmp_path)  # none of the German and French ones


def recipe(folder: Path, name: str, content: str, held_out: str = "") -> str:
    """The recipe of a file of columns, which is written."""
    words = ["title", "language", "purpose", "licence", "homepage", "strips"]
    (folder / f"{name}.txt").write_text(content)
    digest = hashlib.sha256(content.encode()).hexdigest()
    return (
        "".join(f'{word} = "{name}"\n' for word in words)
        + f"""
name = "{name}"
task = "translation"
encoding = "utf-8"
format = "text"
folder = "."
languages = ["en", "de"]
held_out = "{held_out}"
split = {{ validation = 0.1, test = 0.2 }}
[[sources]]
urls = ["http://127.0.0.1:9/"]
files = {{ "{name}.txt" = {{ bytes = {len(content)}, sha256 = "{digest}" }} }}
"""
    )


def test_corpora_are_trained_on_together_and_a_newer_one_keeps_the_split_without_leaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lines(start: int, stop: int) -> str:
        return "".join(f"Go {number}!\tGeh {number}.\n" for number in range(start, stop))

    texts = {
        "old": recipe(tmp_path, "old", lines(0, 200)),
        "new": recipe(tmp_path, "new", lines(50, 400) + "go 7\tLos!\n" * 3, held_out="old"),
        "more": recipe(tmp_path, "more", lines(150, 600)),
    }
    monkeypatch.setattr(corpus_recipes, "recipe_files", lambda: texts)
    old, new = (everything(load_pairs(name, data_dir=tmp_path)) for name in ("old", "new"))
    assert [new[split] for split in ("validation", "test")] == [old[split] for split in ("validation", "test")]
    assert new.keys() == {"train", "validation", "test", "test_own"}
    for split in ("validation", "test", "test_own"):
        assert new[split] and not shared(new["train"], new[split])
    assert len(new["train"]) > 200

    joined = load_pairs("old+2*more", source="de", data_dir=tmp_path)
    splits = everything(joined)
    assert joined.name == "old+2*more" and joined.title == joined.licence == "old; more"
    assert splits["test"] == [(target, source) for source, target in old["test"]]
    assert not shared(splits["train"], [*splits["test"], *splits["validation"]])
    more = everything(load_pairs("more", source="de", data_dir=tmp_path))["train"]
    kept = [pair for pair in more if pair not in {*splits["test"], *splits["validation"]}]
    assert splits["train"][-2 * len(kept) :] == kept * 2 and len(kept) < len(more)
    one = load_pairs("old+more", source="de", data_dir=tmp_path)
    assert one.fingerprint != joined.fingerprint
    for times in ("0", "x", "-1"):
        with pytest.raises(TextseqError, match=r"expected a number from 1 to 1000 before \*, got"):
            load_pairs(f"old+{times}*more", data_dir=tmp_path)
    with pytest.raises(TextseqError, match=r"unknown corpus 'mor'; did you mean 'more'\?"):
        load_pairs("old+mor", data_dir=tmp_path)


def test_newer_releases_have_a_third_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = "".join(f"Go {number}.\tGeh {number}.\tCC-BY 2.0 (France) #{number}\n" for number in range(200))
    text = recipe(tmp_path, "mine", content)
    monkeypatch.setattr(corpus_recipes, "recipe_files", lambda: {"mine": text})
    splits = everything(load_pairs("mine", source="de", data_dir=tmp_path))
    assert {split: len(pairs) for split, pairs in splits.items()} == {"train": 140, "validation": 20, "test": 40}
    assert {pair for pairs in splits.values() for pair in pairs} == {
        (f"Geh {number}.", f"Go {number}.") for number in range(200)
    }


# -- sides


def test_sides_are_texts_of_one_sentence_each(tmp_path: Path) -> None:
    path = tmp_path / "few.tsv"
    path.write_text("Go.\tGeh.\nI go.\tIch gehe.\n")
    corpus = own_pairs([path], validation=0, target_language="de")
    texts = {
        side: [list(document) for document in corpus.side(side).documents("train")]
        for side in ("source", "target", "both")
    }
    assert texts["source"] == [[" Go."], [" I go."]] and texts["target"] == [[" Geh."], [" Ich gehe."]]
    assert texts["both"] == texts["source"] + texts["target"]
    sides = [corpus.side("source"), corpus.side("target"), corpus.side("both")]
    assert [side.name for side in sides] == ["few.tsv-source", "few.tsv-de", "few.tsv-both"]
    assert len({corpus.fingerprint, *(side.fingerprint for side in sides)}) == 4


def test_sides_become_token_files(tmp_path: Path) -> None:
    path = tmp_path / "few.tsv"
    path.write_text("".join(f"Go {number}.\tGeh {number}, geh.\n" for number in range(50)))
    corpus = own_pairs([path], validation=0.1)
    both = corpus.side("both")
    tokenizer = tokenizer_for(both, TokenizerConfig(tokenizer="word"), tmp_path / "cache")
    assert " Geh" in tokenizer.vocabulary and "Geh" not in tokenizer.vocabulary  # it never begins a text
    for side, place in (("source", 0), ("target", 1)):
        file = token_file(corpus.side(side), "train", tokenizer, tmp_path / "cache")  # type: ignore[arg-type]
        assert len(file.document_starts) == 45
        sentences = [
            tokenizer.decode(ids) for ids in np.split(np.asarray(file.ids).astype(np.int64), file.document_starts[1:])
        ]
        assert [written_sentence(text) for text in sentences] == [pair[place] for pair in corpus.pairs("train")]
    assert len(list((tmp_path / "cache/tokens").glob("*.ids"))) == 2


# -- a user's own pairs


def own(tmp_path: Path, lines: list[str], name: str = "own.tsv") -> Path:
    path = tmp_path / name
    path.write_text("".join(line + "\n" for line in lines))
    return path


def test_own_pairs_keep_a_share_that_is_in_no_training_pair(tmp_path: Path) -> None:
    chance = random.Random(1)
    lines = [f"The {chance.randrange(600)}.\tDie {chance.randrange(600)}!" for _ in range(1000)]
    splits = everything(own_pairs([own(tmp_path, lines)], validation=0.1))
    assert {split: len(pairs) for split, pairs in splits.items()} == {"train": 900, "validation": 100}
    assert shared(splits["train"], splits["validation"]) == 0
    assert Counter("\t".join(pair) for pairs in splits.values() for pair in pairs) == Counter(lines)
    order = [lines.index("\t".join(pair)) for pair in splits["train"]]
    first = {line: number for number, line in reversed(list(enumerate(lines)))}
    assert order == [first["\t".join(pair)] for pair in splits["train"]]
    assert own_pairs([tmp_path / "own.tsv"], validation=0).splits == ("train",)


@pytest.mark.parametrize(
    ("count", "share", "held_out"),
    [
        (5, 0.02, 1),
        (63, 0.02, 6),
        (400, 0.02, 40),
        (900, 0.02, 50),
        (900, 0.001, 50),
        (3000, 0.02, 60),
        (63, 0.5, 32),
        (900, 0, 0),
    ],
)
def test_own_validation_has_a_floor(count: int, share: float, held_out: int, tmp_path: Path) -> None:
    """50 pairs, or a tenth of all; that they are few is noted."""
    path = own(tmp_path, [f"one {number}\teins {number}" for number in range(count)])
    corpus = own_pairs([path], validation=share)
    assert [len(split) for split in everything(corpus).values()] == [count - held_out, *[held_out] * (held_out > 0)]
    pairs = "1 pair" if held_out == 1 else f"{held_out} pairs"
    few = (f"Validation has only {pairs}; metrics from so few say little.",)
    assert corpus.notes == (few if held_out else ())
    assert everything(own_pairs([path], validation=share)) == everything(corpus)


def test_validation_of_a_hundred_pairs_is_not_few(tmp_path: Path) -> None:
    path = own(tmp_path, [f"one {number}\teins {number}" for number in range(1000)])
    assert own_pairs([path], validation=0.1).notes == ()
    assert own_pairs([path], validation=0.099).notes == (
        "Validation has only 99 pairs; metrics from so few say little.",
    )
    held_out = own(tmp_path, [f"two {number}\tzwei {number}" for number in range(100)], "v.tsv")
    assert own_pairs([path], validation_paths=[held_out]).notes == ()


def test_languages_are_read_from_the_files(tmp_path: Path) -> None:
    """And tell a header and the keys of JSON, of the validation's files too."""

    def languages(corpus: PairDataset) -> tuple[str, str]:
        return corpus.source_language, corpus.target_language

    aligned = [own(tmp_path, [f"{side} {number}" for number in range(20)], f"a.{side}") for side in ("en", "fr")]
    table = own(tmp_path, ["fr\tEN", "Va.\tGo."], "v.tsv")
    lines = own(tmp_path, [json.dumps({"translation": {"en": "Go.", "fr": "Va."}})], "v.jsonl")
    assert languages(own_pairs(aligned)) == ("en", "fr")
    assert languages(own_pairs(aligned, source_language="de")) == ("de", "fr")
    assert languages(own_pairs([table], validation=0)) == ("source", "target")
    assert languages(own_pairs([table], target_language="en", validation=0)) == ("source", "en")
    for header, found in (("French\tenglish", ("fr", "en")), ("id\tDeutsch\tPolski", ("de", "pl")), ("Fr\tx", UNKNOWN)):
        named = own(tmp_path, [header, *("7\t" * header.count("id") + f"a {n}\tb {n}" for n in range(9))], "n.tsv")
        assert languages(own_pairs([named], validation=0)) == found
        assert languages(own_pairs([named], target_language="it", validation=0))[1] == "it"
        assert languages(own_pairs([named], source_language="de-AT", validation=0))[0] == "de-AT"
    named = own(tmp_path, ["French\tEnglish", "Va.\tGo."], "n.tsv")
    for given in ({"source_language": "en"}, {"target_language": "fr"}):
        corpus = own_pairs([named], **given, validation=0)  # type: ignore[arg-type]
        assert languages(corpus) == ("en", "fr") and list(corpus.pairs("train")) == [("Go.", "Va.")]
    columns = own_pairs([named], source_language="en", source_column="1", target_column="2", validation=0)
    assert languages(columns) == ("en", "target"), "not twice the same"
    other = own(tmp_path, ["English\tFrench", "Run.\tCours."], "other.tsv")
    assert list(own_pairs([named], validation_paths=[other]).pairs("validation")) == [("Cours.", "Run.")]
    for path in (table, lines):
        corpus = own_pairs(aligned, validation_paths=[path])
        assert list(corpus.pairs("validation")) == [("Go.", "Va.")]
        assert any("is read as a header" in note for note in corpus.notes) == (path == table)
    asked = own_pairs([lines], source_language="fr", target_language="en", validation=0)
    assert list(asked.pairs("train")) == [("Va.", "Go.")]


def test_own_validation_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs_module, "MOST_VALIDATION", 7)
    path = own(tmp_path, [f"one {number}\teins {number}" for number in range(100)])
    assert [len(split) for split in everything(own_pairs([path], validation=0.5)).values()] == [93, 7]


def test_own_validation_files(tmp_path: Path) -> None:
    training = own(tmp_path, ["one\teins", "two\tzwei", "three\tdrei"])
    held_out = [own(tmp_path, ["Two!", "four"], "v.en"), own(tmp_path, ["zwo", "vier"], "v.de")]
    corpus = own_pairs([training], validation_paths=held_out)
    assert everything(corpus) == {
        "train": [("one", "eins"), ("two", "zwei"), ("three", "drei")],
        "validation": [("Two!", "zwo"), ("four", "vier")],
    }
    flatters = "Validation pairs with a sentence that is also in training, which flatters: 1."
    assert corpus.notes == (flatters, "Validation has only 2 pairs; metrics from so few say little.")
    other = own(tmp_path, ["five\tfünf"], "v.tsv")
    assert own_pairs([training], validation_paths=[other]).notes == (
        "Validation has only 1 pair; metrics from so few say little.",
    )


def test_lines_left_out_are_noted_and_never_given(tmp_path: Path) -> None:
    lines = [f"one {number}\teins {number}" for number in range(50)]
    path = own(tmp_path, [*lines[:20], "", "x\t" + "y" * 30, *lines[20:], "no tab"])
    for treatment in ("empty", "overlong", "unreadable"):
        others = dict.fromkeys({"empty", "overlong", "unreadable"} - {treatment}, "drop")
        with pytest.raises(TextseqError, match=rf"1 of 53 lines .*; correct them, or .* --{treatment} drop"):
            own_pairs([path], longest=20, **others)  # type: ignore[arg-type]
    corpus = own_pairs([path], longest=20, empty="drop", overlong="drop", unreadable="drop", validation=0.1)
    assert len(corpus.notes) == 4 and all("Dropped from" in note for note in corpus.notes[:3])
    kept = own_pairs([own(tmp_path, lines, "kept.tsv")], validation=0.1)
    assert everything(corpus) == everything(kept)
    assert corpus.fingerprint == kept.fingerprint


def test_fingerprint_is_of_the_pairs_and_their_parts(tmp_path: Path) -> None:
    lines = [f"one {number}\teins {number}" for number in range(50)]
    path = own(tmp_path, lines)
    before = own_pairs([path]).fingerprint
    os.utime(path, ns=(0, 0))
    assert own_pairs([path]).fingerprint == before and len(before) == 64
    copies = [own(tmp_path, [line.split("\t")[side] for line in lines], f"copy.{side}") for side in (0, 1)]
    assert own_pairs(copies).fingerprint == before
    others = {
        own_pairs(copies[::-1]).fingerprint,
        own_pairs([path], validation=0.2).fingerprint,
        own_pairs([path], validation=0).fingerprint,
        own_pairs([path], validation_paths=[own(tmp_path, ["a\tb"], "v.tsv")]).fingerprint,
        own_pairs([path], validation_paths=[own(tmp_path, ["a\tc"], "v.tsv")]).fingerprint,
        own_pairs([own(tmp_path, [*lines[:-1], "one 49\teins 50"])]).fingerprint,
        own_pairs([own(tmp_path, lines[::-1])]).fingerprint,
    }
    assert len(others) == 7 and before not in others
    first = own_pairs([own(tmp_path, ["b\tb"])], validation_paths=[own(tmp_path, ["x\tx", "a\ta"], "v.tsv")])
    second = own_pairs([own(tmp_path, ["a\ta", "b\tb"])], validation_paths=[own(tmp_path, ["x\tx"], "v.tsv")])
    assert first.fingerprint != second.fingerprint


def test_what_cannot_be_had_is_said(tmp_path: Path) -> None:
    path = own(tmp_path, ["one\teins", "one\tzwei"])
    with pytest.raises(
        TextseqError, match=r"too few pairs in .*own\.tsv to keep some for validation \(2\); give separate val"
    ):
        own_pairs([path])
    with pytest.raises(TextseqError, match=r"too few pairs .* \(1\); add more pairs$"):
        own_pairs([own(tmp_path, ["one\teins"])])
    for content in ([], ["", ""]):
        with pytest.raises(TextseqError, match=r"no pairs in .*own\.tsv"):
            own_pairs([own(tmp_path, content)], empty="drop")
    for share in (-0.1, 0.51, float("nan")):
        with pytest.raises(TextseqError, match=f"a share between 0 and 0.5, got {share}"):
            own_pairs([path], validation=share)
    with pytest.raises(TextseqError, match="unknown encoding 'utf-88'"):
        own_pairs([path], encoding="utf-88")
    with pytest.raises(TextseqError, match="longest: expected at least 1, got 0"):
        own_pairs([path], longest=0)
    with pytest.raises(TextseqError, match=r"unknown value of empty: 'dorp'; did you mean 'drop'\?"):
        own_pairs([path], empty="dorp")  # type: ignore[arg-type]


def test_a_file_that_changes_is_noticed(tmp_path: Path) -> None:
    path = own(tmp_path, [f"one {number}\teins {number}" for number in range(50)])
    corpus = own_pairs([path])
    own(tmp_path, ["two\tzwei"])
    with pytest.raises(TextseqError, match="changed since it was split: expected 50 rows, got 1;"):
        list(corpus.pairs("train"))
    path.unlink()
    with pytest.raises(TextseqError, match=r"cannot read .*own\.tsv: No such file"):
        list(corpus.pairs("train"))


def test_memory_does_not_grow_with_the_text(tmp_path: Path) -> None:
    """Of each pair a few numbers are kept, however long it is."""
    path = tmp_path / "long.jsonl"
    with path.open("w") as file:
        for number in range(300):
            pair = {"source": f"{number} " + "long " * 2000, "target": f"{number} " + "lang " * 2000}
            file.write(json.dumps(pair) + "\n")
    tracemalloc.start()
    corpus = own_pairs([path], longest=20_000)
    count = sum(1 for split in corpus.splits for _ in corpus.pairs(split))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 300 and peak < 0.1 * path.stat().st_size
