"""A conditional language model as a classifier keeps the promises of one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import textseq
from textseq.checkpoints.model_info import CorpusInfo, ModelInfo
from textseq.data.labelled import LabelledDataset
from textseq.errors import TextseqError
from textseq.tasks.classification.generative import GenerativeClassifier
from textseq.tasks.language_model.config import LanguageModelConfig
from textseq.tasks.language_model.generator import TextGenerator
from textseq.tasks.language_model.model import LanguageModel
from textseq.tokenizers.characters import CharTokenizer

LABELS = ("anna", "bert", "carl")
RESULT = {"nats_per_token": 1.0, "bits_per_character": 1.4, "perplexity": 2.7, "signature": "corpus:poems"}


@pytest.fixture
def who() -> GenerativeClassifier:
    letters = CharTokenizer.train([["abcdefghijklmnopqrstuvwxyz \n"]])
    torch.manual_seed(1)
    config = LanguageModelConfig(hidden_size=8, embedding_size=6, condition_size=4, dropout=0)
    model = LanguageModel(config, letters.size, len(LABELS))
    info = ModelInfo(
        task="language-model",
        labels=LABELS,
        model=config.to_dict(),
        corpus=CorpusInfo(name="poems", title="Poems"),
        results=(RESULT,),
    )
    return GenerativeClassifier(TextGenerator(model, letters, info))


def test_it_is_saved_as_the_language_model_that_it_is(who: GenerativeClassifier, tmp_path: Path) -> None:
    who.save(tmp_path / "given")
    again = textseq.load_classifier(tmp_path / "given")
    assert isinstance(again, GenerativeClassifier) and isinstance(textseq.load(tmp_path / "given"), TextGenerator)
    assert again.classify("some text") == who.classify("some text")
    assert "A conditional recurrent language model" in (tmp_path / "given" / "README.md").read_text(encoding="utf-8")


def test_no_texts_have_no_labels(who: GenerativeClassifier) -> None:
    assert who.log_probabilities([]).shape == (0, 3) and who.classify([]) == []
    assert who.logits(["a", "some text"]).shape == (2, 3)


def test_an_unknown_explanation_is_refused(who: GenerativeClassifier) -> None:
    with pytest.raises(TextseqError, match="unknown explanation 'nonsense'"):
        who.explain("some text", method="nonsense")  # type: ignore[arg-type]
    with pytest.raises(TextseqError, match="unknown label 'dora'"):
        who.explain("some text", label="dora")
    with pytest.raises(TextseqError, match="texts: expected strings, got NoneType"):
        who.explain(None)  # type: ignore[arg-type]


def test_it_scores_in_float32_and_refuses_what_it_would_not_use(who: GenerativeClassifier, tmp_path: Path) -> None:
    who.save(tmp_path / "given")
    assert textseq.load_classifier(tmp_path / "given").precision == "float32"
    with pytest.raises(TextseqError, match="labels supports float32, got int8"):
        textseq.load_classifier(tmp_path / "given", precision="int8")


def test_it_is_evaluated_as_a_classifier(who: GenerativeClassifier) -> None:
    examples = [("some text", "anna"), ("another", "bert"), ("a third", "anna")]
    dataset = LabelledDataset(
        name="mine", title="Mine", purpose="", fingerprint="f", labels=LABELS, contents={"test": examples}
    )
    expected = sum(who.classify(text).label == label for text, label in examples) / len(examples)
    metrics = who.evaluate(dataset)
    assert metrics.to_dict()["accuracy"] == pytest.approx(expected)
    assert who.has_confusion and len(who.word_table()[0]) == who.tokenizer.size
