"""The texts of the corpora with recipes: each is in one part only, and is what its publishers describe."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from textseq.data.corpora.catalog import list_corpora
from textseq.data.text import TextDataset, load_corpus

DataFile = Callable[[str], Path]


@cache
def corpus(name: str, folder: Path) -> tuple[TextDataset, dict[str, list[str]]]:
    """A corpus, and the texts of each part."""
    loaded = load_corpus(name, data_dir=folder)
    return loaded, {part: ["".join(document) for document in loaded.documents(part)] for part in loaded.splits}


@pytest.fixture(params=[recipe.name for recipe in list_corpora() if recipe.is_text])
def name(request: pytest.FixtureRequest, data_file: DataFile) -> str:
    recipe = next(recipe for recipe in list_corpora() if recipe.name == request.param)
    for file in recipe.files.values():
        data_file(file.path)
    return recipe.name


def test_every_corpus_has_parts_that_share_nothing(name: str, data_folder: Path) -> None:
    loaded, texts = corpus(name, data_folder)
    assert {"train", "validation"} <= texts.keys()
    assert all(text.strip() for part in texts.values() for text in part)
    spans = sorted(
        (str(document.path), document.member or "", document.start, document.stop or sys.maxsize)
        for documents in loaded.contents.values()
        for document in documents
    )
    for (*before, _, stop), (*after, start, _) in pairwise(spans):
        assert before != after or stop <= start, (before, after)
    sizes = {part: sum(map(len, texts[part])) for part in texts}
    for part in texts.keys() - {"train"}:
        assert 0.015 * sum(sizes.values()) < sizes[part] < 0.13 * sum(sizes.values()), (part, sizes)
    long_lines = {
        part: {line for text in texts[part] for line in text.splitlines() if len(line) > 60} for part in texts
    }
    for part in texts.keys() - {"train"}:  # a few lines are said twice by an author
        assert len(long_lines[part] & long_lines["train"]) <= 0.01 * len(long_lines[part]), part


def test_gutenberg_holds_out_books_of_known_authors(data_folder: Path, data_file: DataFile) -> None:
    data_file("nltk_data/corpora/gutenberg.zip")
    loaded, texts = corpus("gutenberg", data_folder)
    names = {part: [document.name.rpartition("/")[2] for document in loaded.contents[part]] for part in loaded.splits}
    assert names["validation"] == ["chesterton-thursday.txt"] and names["test"] == ["austen-persuasion.txt"]
    assert len(names["train"]) == 13
    for part in ("validation", "test"):
        assert sum(names[part][0].split("-")[0] in other for other in names["train"]) == 2
    joined = "".join(text for part in texts.values() for text in part)
    assert not re.search(r"(?i)project gutenberg|\betext|small print!|[\r\x1a\t\x80-\x9f]|\n\n\n", joined)
    assert {*joined} - {chr(code) for code in range(128)} == set("æèéî")  # two of the books are Latin-1
    assert texts["test"][0].startswith("Chapter 1\n\nSir Walter Elliot, of Kellynch Hall")


def test_brown_holds_out_texts_of_every_genre(data_folder: Path, data_file: DataFile) -> None:
    data_file("nltk_data/corpora/brown.zip")
    loaded, texts = corpus("brown", data_folder)
    names = {part: [str(document.member) for document in loaded.contents[part]] for part in loaded.splits}
    assert {part: len(names[part]) for part in names} == {"train": 395, "validation": 54, "test": 51}
    genres = {part: {name[len("brown/c")] for name in names[part]} for part in names}
    assert genres["train"] == genres["validation"] == genres["test"] == set("abcdefghjklmnpr")
    assert {name[-1] for name in names["validation"]} == {"3"} and {name[-1] for name in names["test"]} == {"6"}
    first = texts["train"][0]
    assert first.startswith(
        "The Fulton County Grand Jury said Friday an investigation of Atlanta's recent primary election produced"
        " `` no evidence '' that any irregularities took place .\n\nThe jury further said"
    )
    words = Counter(word for part in texts.values() for text in part for word in text.split())
    assert words.total() == 1_161_192  # what NLTK's book counts
    assert sum("/nn" in word or "/at" in word for word in words) == 0


def test_wikitext_2_is_the_published_one(data_folder: Path, data_file: DataFile) -> None:
    data_file("wikitext-2/wikitext2.zip")
    _, texts = corpus("wikitext-2", data_folder)
    lines = {part: text.splitlines(keepends=True) for part, (text,) in texts.items()}
    tokens = {part: [word for line in lines[part] for word in [*line.split(), "<eos>"]] for part in lines}
    assert {part: (len(lines[part]), len(tokens[part])) for part in lines} == {
        "train": (36_718, 2_088_628),
        "validation": (3_760, 217_646),
        "test": (4_358, 245_569),
    }
    vocabulary = set(tokens["train"])
    assert len(vocabulary) == 33_278 and {"<unk>", "<eos>"} <= vocabulary
    assert vocabulary >= {*tokens["validation"], *tokens["test"]}
    assert texts["test"][0].encode() == data_file("wikitext-2/test.txt").read_bytes()
