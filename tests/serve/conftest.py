"""A running server with small models that have learnt nothing, for the tests of the protocols."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import pytest
from children import Child
from serving import Running

LIMITS = {
    "max_body_bytes": 50_000,
    "max_training_bytes": 100_000,
    "max_texts": 20,
    "max_tokens": 5_000,
    "max_prompt_tokens": 500,
    "max_characters": 2_000,
    "max_running": 4,
    "max_waiting": 40,
    "shutdown_seconds": 1,
}
"""Small ones, so that tests reach them."""


@pytest.fixture
def forked_trainings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Trainings are forks of a process that has imported all, which saves seconds each."""
    children: list[Child] = []

    def fork(command: Sequence[str], *, stdin: int, stdout: IO[bytes], stderr: IO[bytes]) -> Child:
        assert list(command[:4]) == [sys.executable, "-u", "-m", "textseq.cli.train"]
        code = "from textseq.cli.train import main; main()"
        children.append(Child(code, command[4:], stdout=stdout.fileno(), stderr=stderr.fileno()))
        return children[-1]

    names = SimpleNamespace(Popen=fork, DEVNULL=subprocess.DEVNULL)
    monkeypatch.setattr("textseq.serve.training.subprocess", names)
    yield
    for child in children:
        child.terminate()
        child.wait()


@pytest.fixture(scope="session")
def models_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a model of each task: author, en-fr, fr-en, mood, pos."""
    import torch

    from textseq.checkpoints.model_info import CorpusInfo, ModelInfo
    from textseq.tasks.classification.classifier import Classifier
    from textseq.tasks.classification.config import ClassifierConfig
    from textseq.tasks.classification.model import ClassifierModel
    from textseq.tasks.language_model.config import LanguageModelConfig
    from textseq.tasks.language_model.generator import TextGenerator
    from textseq.tasks.language_model.model import LanguageModel
    from textseq.tasks.tagging.config import TaggedConfig, TaggerConfig
    from textseq.tasks.tagging.lexicon import Lexicon
    from textseq.tasks.tagging.tagger import Tagger, tagger_model
    from textseq.tasks.translation.config import TranslationModelConfig
    from textseq.tasks.translation.model import TranslationModel
    from textseq.tasks.translation.translator import Translator
    from textseq.tasks.translation.vocabularies import Vocabularies
    from textseq.tokenizers.characters import CharTokenizer

    home = tmp_path_factory.mktemp("served")
    torch.manual_seed(1)
    letters = CharTokenizer.train([['abcdefghij klmnopqrstuvwxyz ABC.,!?"\n\u00e9']])
    corpus = CorpusInfo(name="letters", title="Some letters", licence="none")

    def folder(name: str) -> Path:
        return home / "runs" / name / "best-1"

    author = LanguageModelConfig(hidden_size=24, embedding_size=8)
    info = ModelInfo(task="language-model", model=author.to_dict(), corpus=corpus, language="English")
    model = LanguageModel(author, letters.size)
    torch.nn.init.normal_(model.output.weight)
    TextGenerator(model, letters, info).save(folder("author"))

    translation = TranslationModelConfig(embedding_size=8, encoder_size=8, hidden_size=16, attention_size=8)
    for name, source, target in (("en-fr", "en", "fr"), ("fr-en", "fr", "en")):
        info = ModelInfo(
            task="translation",
            model=translation.to_dict(),
            corpus=corpus,
            source_language=source,
            target_language=target,
        )
        translator = TranslationModel(translation, letters.size, letters.size)
        for parameter in translator.parameters():
            torch.nn.init.normal_(parameter)
        Translator([translator], Vocabularies(letters, letters), info).save(folder(name))

    mood = ClassifierConfig(embedding_size=8, hidden_size=8)
    info = ModelInfo(task="classification", model=mood.to_dict(), corpus=corpus, labels=("bad", "good"))
    Classifier(ClassifierModel(mood, letters.size, 2), letters, info).save(folder("mood"))

    tags, lexicon = TaggerConfig(output="softmax"), Lexicon.train([["a", "cat", "sat"]] * 5, TaggedConfig())
    info = ModelInfo(task="tagging", model=tags.to_dict(), corpus=corpus, labels=("B-X", "I-X", "O"), scheme="BIO")
    Tagger(tagger_model(tags, lexicon, info), lexicon, info).save(folder("pos"))
    return home


@pytest.fixture(scope="module")
def running(models_home: Path) -> Iterator[Running]:
    """A server in a thread of this process."""
    with _serving(models_home, ("author", "en-fr", "fr-en", "mood", "pos")) as server:
        yield server


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with the models that ship."""
    with _serving(tmp_path_factory.mktemp("empty"), ()) as server:
        yield server


@pytest.fixture(scope="module")
def conditional(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with the authors of a conditional model: ann, bob and cid."""
    import torch

    from textseq.checkpoints.model_info import CorpusInfo, ModelInfo
    from textseq.tasks.language_model.config import LanguageModelConfig
    from textseq.tasks.language_model.generator import TextGenerator
    from textseq.tasks.language_model.model import LanguageModel
    from textseq.tokenizers.characters import CharTokenizer

    home, authors = tmp_path_factory.mktemp("conditional"), ("ann", "bob", "cid")
    letters = CharTokenizer.train([["abcdefghij klmnopqrstuvwxyz.\n"]])
    config = LanguageModelConfig(hidden_size=24, embedding_size=8)
    corpus = CorpusInfo(name="letters", title="Some letters", licence="none")
    info = ModelInfo(task="language-model", model=config.to_dict(), corpus=corpus, labels=authors)
    torch.manual_seed(1)
    model = LanguageModel(config, letters.size, len(authors))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    TextGenerator(model, letters, info).save(home / "runs" / "three" / "best-1")
    with _serving(home, authors) as server:
        yield server


@contextmanager
def _serving(home: Path, models: Sequence[str]) -> Iterator[Running]:
    pytest.importorskip("fastapi", reason="the extra serve is not installed")
    import uvicorn

    from textseq.serve.app import create_app
    from textseq.serve.server import address_of, listen
    from textseq.serve.settings import Limits

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEXTSEQ_HOME", str(home))
        patch.delenv("TEXTSEQ_API_KEY", raising=False)
        app = create_app(models, host="127.0.0.1", limits=Limits.from_dict(LIMITS, where="here"))
        listener = listen("127.0.0.1", 0)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield Running(address_of(listener), listener.getsockname()[1], app.state.server)
        server.should_exit = True
        thread.join(20)
        listener.close()
