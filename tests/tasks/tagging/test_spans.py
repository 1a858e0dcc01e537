"""Taggers of spans: what the scheme forbids is never predicted, and spans are where they are in the text."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import textseq
from textseq.config.recipes import read_recipe
from textseq.data.corpora.catalog import list_corpora
from textseq.data.spans import may_follow, read_spans
from textseq.errors import TextseqError
from textseq.metrics.tagging import TaggingMetrics
from textseq.tasks.tagging.config import TaggedConfig, TaggerConfig, TaggerTrainingConfig, TagOutput
from textseq.tasks.tagging.model import TaggerModel
from textseq.tasks.tagging.result import Span, find_spans
from textseq.tasks.tagging.tagger import Tagger, words_of

Result = tuple[int, str, str]
SMALL = TaggerConfig(hidden_size=12, embedding_size=10, letter_size=6, letter_hidden_size=6)
QUICK = TaggerTrainingConfig(max_steps=60, max_epochs=None, evaluate_every=20, learning_rate=3e-2, best_by="f1")
NAMES = (("Ada", "Lovelace"), ("Alan", "Turing"), ("Grace",), ("Kurt", "Friedrich", "Goedel"))
PLACES = (("New", "York"), ("Paris",), ("Rome",))


def sentences(scheme: str) -> str:
    """120 sentences in columns: PERSON saw PLACE PLACE ."""
    lines = []
    for n in range(120):
        row = [("person", NAMES[n % 4]), (None, ("saw",)), ("place", PLACES[n % 3]), ("place", PLACES[n // 3 % 3])]
        before = None
        for kind, words in row:
            for place, word in enumerate(words):
                starts = place == 0 and (scheme != "IOB1" or kind == before)
                prefix = "B" if starts else "I"
                if scheme == "BIOES" and place == len(words) - 1:
                    prefix = "S" if len(words) == 1 else "E"
                lines.append(f"{word}\t{f'{prefix}-{kind}' if kind else 'O'}")
            before = kind
        lines += [".\tO", ""]
    return "\n".join(lines)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(
    home: Path, scheme: str, output: TagOutput, said: list[str], training: TaggerTrainingConfig = QUICK
) -> Tagger:
    (home / "own.conll").write_text(sentences(scheme))
    return textseq.train_tagger(
        tagged=[home / "own.conll"],
        name="mine",
        model=replace(SMALL, output=output),
        data=TaggedConfig(batch_size=8),
        training=training,
        report=said.append,
    )


@pytest.mark.parametrize("output", ["softmax", "crf"])
@pytest.mark.parametrize("scheme", ["BIO", "IOB1", "BIOES"])
def test_spans_are_learned_in_every_scheme(home: Path, scheme: str, output: TagOutput) -> None:
    said: list[str] = []
    tagger = train(home, scheme, output, said)
    assert tagger.info.scheme == scheme
    assert f"tags of spans, in the scheme {scheme}; only sequences that it allows are predicted" in said
    assert any("validation F1 of spans" in line for line in said)
    text = "  Ada Lovelace saw  New York Paris ."
    again = textseq.load_tagger("mine")
    found = again.tag(text)
    assert found == tagger.tag(text)
    assert found.spans == (
        Span("person", 2, 14, "Ada Lovelace"),
        Span("place", 20, 28, "New York"),
        Span("place", 29, 34, "Paris"),
    )
    assert again.tag([text.split()])[0].spans[1] == Span("place", 17, 25, "New York")
    source = textseq.TaggedData(tagged=(str(home / "own.conll"),))
    measured = tagger.evaluate(source.open(), "validation")
    assert isinstance(measured, TaggingMetrics) and measured.spans is not None
    assert measured.spans.f1 > 0.9 and measured.to_dict()["f1"] == measured.spans.f1
    assert measured.table().index("all (micro)") < measured.table().index("words")
    assert "| F1 of spans | accuracy |" in (home / "runs" / "mine" / "README.md").read_text()


@pytest.mark.parametrize("output", ["softmax", "crf"])
@pytest.mark.parametrize("scheme", ["BIO", "IOB1", "BIOES"])
def test_random_weights_break_no_rule(home: Path, scheme: str, output: TagOutput) -> None:
    tagger = train(home, scheme, output, [], replace(QUICK, max_steps=1))
    for parameter in tagger.model.parameters():
        torch.nn.init.normal_(parameter)
    for tagging in tagger.tag([["Ada", "saw", "x" * n, "Rome", "New"][: n % 5 + 1] for n in range(40)]):
        tags = ("O", *tagging.tags, "O")
        assert all(may_follow(scheme, *pair) for pair in pairwise(tags)), tags


def test_a_scheme_that_training_breaks_forbids_nothing(home: Path) -> None:
    (home / "own.conll").write_text(sentences("BIO") + "\n\nRome\tI-place\nand\tO\nRome\tB-place\n")
    said: list[str] = []
    quick = replace(QUICK, max_steps=2)
    tagger = textseq.train_tagger(tagged=["own.conll"], model=SMALL, training=quick, report=said.append)
    assert tagger.info.scheme == "mixed" and tagger.model.penalties is None
    note = "tags of spans, whose scheme 1 training sentences break; any tag may follow any other"
    assert note in said
    assert isinstance(tagger.tag("Rome").spans, tuple)


def test_f1_needs_spans(home: Path) -> None:
    (home / "own.conll").write_text("".join(f"the\tDET\ndog{n % 9}\tNOUN\n\n" for n in range(90)))
    with pytest.raises(TextseqError, match=r"--best-by f1: expected tags that mark spans.*got DET, NOUN"):
        textseq.train_tagger(tagged=["own.conll"], model=SMALL, training=QUICK, report=lambda line: None)
    tagger = textseq.train_tagger(tagged=["own.conll"], model=SMALL, training=replace(QUICK, best_by="loss"))
    assert tagger.info.scheme == "" and tagger.tag("the dog").spans == ()


@given(text=st.text(max_size=40), splitting=st.sampled_from(["nltk", "spaces"]), data=st.data())
def test_a_span_is_the_text_between_its_ends(text: str, splitting: str, data: st.DataObject) -> None:
    words = words_of(text, "spaces" if splitting == "spaces" else "nltk")
    tags = [data.draw(st.sampled_from(["O", "B-a", "I-a"])) for _ in words]
    spans = find_spans(text, words, tags)
    assert len(spans) == len(read_spans(tags))
    for span, (_, first, after) in zip(spans, read_spans(tags), strict=True):
        assert span.text == text[span.start : span.end]
        assert "".join(span.text.split()) == "".join("".join(words[first:after]).split())


def test_the_command_writes_spans_and_columns(home: Path, command: Callable[..., Result]) -> None:
    train(home, "BIO", "crf", [])
    (home / "in.txt").write_text("Ada Lovelace saw Rome Paris .\n\n")
    code, out, err = command("tag", "--model", "mine", "--input", "in.txt", "--json")
    assert code == 0, err
    first, empty = map(json.loads, out.splitlines())
    assert first["spans"][0] == {"kind": "person", "start": 0, "end": 12, "text": "Ada Lovelace"}
    assert empty["spans"] == []
    code, out, _ = command("tag", "--model", "mine", "--input", "in.txt", "--conll")
    assert (code, out.splitlines()[:3]) == (0, ["Ada\tB-person", "Lovelace\tI-person", "saw\tO"])
    assert out.endswith(".\tO\n\n\n")
    (home / "again.conll").write_text(out)
    code, out, err = command("evaluate", "--tagged", "again.conll", "--model", "mine")
    assert code == 0 and "F1 of spans 100.00%" in out and "all (micro)" in out, err
    code, _, err = command("tag", "--model", "mine", "--json", "--conll")
    assert code == 2 and "--json and --conll are two formats" in err


@pytest.mark.parametrize("name", ["wnut17", "treebank"])
def test_recipes_make_models_of_at_most_5_megabytes(name: str) -> None:
    """Weights in 32 bits, with room for the words that occur twice: 4,179 in wnut17, 5,281 in treebank."""
    recipe = read_recipe(name)
    (corpus,) = (corpus for corpus in list_corpora() if corpus.name == recipe["corpus"])
    config = TaggerConfig.from_dict(recipe["model"], where=name)
    words = {"wnut17": 4179, "treebank": 5281}[name]
    model = TaggerModel(config, words, 110, len(corpus.tags))
    assert 4 * sum(parameter.numel() for parameter in model.parameters()) < 5e6
