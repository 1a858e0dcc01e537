"""Small models of every task that have learnt nothing, for inputs that are read beside a model."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from mutations import Files, rehashed

import textseq
from textseq.checkpoints.model_info import CorpusInfo, ModelInfo
from textseq.config.tokenizer import TokenizerConfig
from textseq.tasks.classification.model import ClassifierModel
from textseq.tasks.language_model.model import LanguageModel
from textseq.tasks.tagging.config import TaggedConfig
from textseq.tasks.tagging.lexicon import Lexicon
from textseq.tasks.tagging.model import TaggerModel
from textseq.tasks.translation.model import TranslationModel
from textseq.tasks.translation.vocabularies import Vocabularies
from textseq.tokenizers.registry import TOKENIZERS

ENGLISH = "To be, or not to be: that is the question.\nWhether 'tis nobler in the mind to suffer\n\n\tThe slings!\n" * 6
"""What the models are made for, and what they are given."""


@cache
def made(task: str) -> Files:
    """The files of a small model that has learnt nothing."""
    torch.manual_seed(1)
    letters = TOKENIZERS["char"].train([[ENGLISH]])
    info = ModelInfo(
        task=task,
        textseq=textseq.__version__,
        corpus=CorpusInfo(name="mine", title="Mine", licence="none"),
        labels=() if task in ("language-model", "translation") else ("good", "bad"),
        step=1,
        language="English",
    )
    if task == "language-model":
        words = TOKENIZERS["word"].train([[ENGLISH]], TokenizerConfig(tokenizer="word"))
        own = textseq.LanguageModelConfig(hidden_size=6, embedding_size=4, num_layers=2)
        info = replace(info, model=own.to_dict(), source={"text": ["text.txt"], "corpus": None})
        job: Any = textseq.TextGenerator(LanguageModel(own, words.size), words, info)
    elif task == "translation":
        both = textseq.TranslationModelConfig(embedding_size=4, encoder_size=4, hidden_size=6, attention_size=4)
        info = replace(info, model=both.to_dict(), source_language="en", target_language="fr")
        model = TranslationModel(both, letters.size, letters.size)
        job = textseq.Translator([model], Vocabularies(letters, letters), info)
    elif task == "classification":
        reads = textseq.ClassifierConfig(hidden_size=6, embedding_size=4, window=8)
        info = replace(info, model=reads.to_dict(), temperature=1.5)
        job = textseq.Classifier(ClassifierModel(reads, letters.size, 2), letters, info)
    else:
        output = "ctc" if task == "letters" else "crf"
        tags = textseq.TaggerConfig.from_dict(
            {"hidden_size": 6, "embedding_size": 4, "letter_size": 4, "letter_hidden_size": 4, "output": output},
            where="here",
        )
        info = replace(info, task="tagging", model=tags.to_dict())
        lexicon = Lexicon.train([ENGLISH.split()], TaggedConfig())
        job = textseq.Tagger(TaggerModel(tags, lexicon.size, lexicon.letters.size, 2), lexicon, info)
    with tempfile.TemporaryDirectory() as name:
        job.save(Path(name) / "model")
        paths = sorted(path for path in (Path(name) / "model").iterdir() if path.name != "README.md")
        files = {path.name: path.read_bytes() for path in paths}
    if task == "language-model":  # which the folder of a run has, though none that is given away
        table = json.loads(files["config.json"]) | {"source": info.source}
        files = rehashed(files | {"config.json": json.dumps(table).encode()})
    return files


@cache
def job_of(task: str) -> Any:
    """The same model, loaded."""
    with tempfile.TemporaryDirectory() as name:
        for file, data in made(task).items():
            Path(name, file).write_bytes(data)
        return textseq.load(name)
