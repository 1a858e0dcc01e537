"""What all predictors share: a list gives a list, a single text gives one, and what is saved comes back."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import textseq
from textseq.checkpoints.model_info import CorpusInfo, ModelInfo
from textseq.errors import TextseqError
from textseq.tasks.classification.classifier import Classifier
from textseq.tasks.classification.config import ClassifierConfig
from textseq.tasks.classification.model import ClassifierModel
from textseq.tasks.language_model.config import LanguageModelConfig
from textseq.tasks.language_model.generator import TextGenerator
from textseq.tasks.language_model.model import LanguageModel
from textseq.tasks.predictor import AnyPredictor
from textseq.tasks.registry import TASKS, task_named
from textseq.tasks.tagging.config import TaggedConfig, TaggerConfig
from textseq.tasks.tagging.lexicon import Lexicon
from textseq.tasks.tagging.model import TaggerModel
from textseq.tasks.tagging.tagger import Tagger
from textseq.tasks.translation.config import TranslationModelConfig
from textseq.tasks.translation.model import TranslationModel
from textseq.tasks.translation.translator import Translator
from textseq.tasks.translation.vocabularies import Vocabularies
from textseq.tokenizers.characters import CharTokenizer

TEXTS = ["a good one", "the dog", "bad"]
LETTERS = CharTokenizer.train([["abcdefghijklmnopqrstuvwxyz "]])
SETTINGS: dict[str, dict[str, Any]] = {
    "language-model": {"seed": 1, "max_new_tokens": 9},
    "translation": {"attention": False, "max_new_tokens": 9},
}
VERBS = {"language-model": "generate", "translation": "translate", "classification": "classify", "tagging": "tag"}
ABOUT = {
    "language-model": "TextGenerator(mine; ",
    "translation": "Translator(en to fr; ",
    "classification": "Classifier(good, bad; ",
    "tagging": "Tagger(N, V; ",
}
EVERY_TASK = pytest.mark.parametrize("name", VERBS)


@cache
def predictor_of(name: str) -> AnyPredictor:
    """A predictor with large random weights, which gives different texts different results."""
    torch.manual_seed(1)
    corpus = CorpusInfo(name="mine", title="Mine")
    model: nn.Module
    if name == "language-model":
        sizes = LanguageModelConfig(hidden_size=8, embedding_size=4)
        model = LanguageModel(sizes, LETTERS.size)
        predictor: AnyPredictor = TextGenerator(
            model, LETTERS, ModelInfo(task=name, model=sizes.to_dict(), corpus=corpus)
        )
    elif name == "translation":
        pair = TranslationModelConfig(embedding_size=4, encoder_size=4, hidden_size=6, attention_size=4)
        model = TranslationModel(pair, LETTERS.size, LETTERS.size)
        languages = {"source_language": "en", "target_language": "fr"}
        info = ModelInfo(task=name, model=pair.to_dict(), corpus=corpus, **languages)  # type: ignore[arg-type]
        predictor = Translator([model], Vocabularies(LETTERS, LETTERS), info)
    elif name == "classification":
        reads = ClassifierConfig(hidden_size=6, embedding_size=4)
        model = ClassifierModel(reads, LETTERS.size, 2)
        info = ModelInfo(task=name, model=reads.to_dict(), corpus=corpus, labels=("good", "bad"), temperature=1.5)
        predictor = Classifier(model, LETTERS, info)
    else:
        tags = TaggerConfig(hidden_size=6, embedding_size=5, letter_size=4, letter_hidden_size=3, output="crf")
        lexicon = Lexicon.train([text.split() for text in TEXTS] * 2, TaggedConfig())
        model = TaggerModel(tags, lexicon.size, lexicon.letters.size, 2)
        info = ModelInfo(task=name, model=tags.to_dict(), corpus=corpus, labels=("N", "V"))
        predictor = Tagger(model, lexicon, info)
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    return predictor


def verb(predictor: AnyPredictor, name: str) -> Callable[..., Any]:
    use: Callable[..., Any] = getattr(predictor, VERBS[name])
    return use


def test_every_task_has_a_predictor_here() -> None:
    assert {task.name for task in TASKS} == {*VERBS}
    assert all(isinstance(predictor_of(name), task_named(name).predictor_class()) for name in VERBS)


@EVERY_TASK
def test_a_list_gives_a_list_and_a_single_text_gives_one(name: str) -> None:
    predictor, settings = predictor_of(name), SETTINGS.get(name, {})
    use = verb(predictor, name)
    results = use(TEXTS, **settings)
    assert isinstance(results, list) and len(results) == len(TEXTS)
    assert use([], **settings) == []
    assert use(TEXTS[:1], **settings) == [use(TEXTS[0], **settings)]
    assert type(use(TEXTS[0], **settings)) is type(results[0]) is not list
    assert len({str(result) for result in results}) == len(TEXTS)


@EVERY_TASK
def test_a_call_is_the_verb(name: str) -> None:
    predictor, settings = predictor_of(name), SETTINGS.get(name, {})
    call: Callable[..., Any] = predictor  # type: ignore[assignment]
    for given in (TEXTS, TEXTS[0]):
        assert call(given, **settings) == verb(predictor, name)(given, **settings)


@EVERY_TASK
def test_repr_says_class_contents_and_size(name: str) -> None:
    predictor = predictor_of(name)
    count = sum(parameter.numel() for parameter in predictor.model.parameters())
    assert repr(predictor) == f"{ABOUT[name]}{count:,} parameters)"


@EVERY_TASK
def test_what_is_saved_is_what_is_loaded(name: str, tmp_path: Path) -> None:
    predictor, settings = predictor_of(name), SETTINGS.get(name, {})
    predictor.save(tmp_path / "given")
    loaded = textseq.load(tmp_path / "given")
    assert type(loaded) is type(predictor) and loaded.info == predictor.info
    assert verb(loaded, name)(TEXTS, **settings) == verb(predictor, name)(TEXTS, **settings)
    with pytest.raises(TextseqError, match="given exists; name a new folder or remove it"):
        predictor.save(tmp_path / "given")


@EVERY_TASK
def test_precisions_are_checked(name: str, tmp_path: Path) -> None:
    predictor = predictor_of(name)
    predictor.save(tmp_path / "given")
    with pytest.raises(TextseqError, match="unknown precision 'int4'; did you mean 'int8'"):
        textseq.load(tmp_path / "given", precision="int4")  # type: ignore[arg-type]
    unsupported = "bfloat16" if name != "classification" else "int8"
    with pytest.raises(TextseqError, match=f"--precision: {predictor.noun} supports float32.*, got {unsupported}"):
        textseq.load(tmp_path / "given", precision=unsupported)  # type: ignore[arg-type]


@EVERY_TASK
@pytest.mark.parametrize("dataset", ["abc", ["a good one"], None])
def test_what_is_no_dataset_is_refused(name: str, dataset: object) -> None:
    with pytest.raises(
        TextseqError, match=rf"^evaluate: expected a dataset, such as .*, got {type(dataset).__name__}; "
    ):
        predictor_of(name).evaluate(dataset)


def test_what_is_no_text_has_no_score() -> None:
    generator = predictor_of("language-model")
    assert isinstance(generator, TextGenerator)
    with pytest.raises(TextseqError, match="expected a text, got NoneType; give a string"):
        generator.score(None)  # type: ignore[arg-type]
