"""What several test files share."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from textseq.commands.command import run

Result = tuple[int, str, str]
"""Exit code, stdout, stderr."""


@pytest.fixture
def data_file() -> Callable[[str], Path]:
    """Gives the path of a corpus file, such as "tinyshakespeare/input.txt", under ``TEXTSEQ_DATA``.

    Where the file is missing the test is skipped, or fails if ``TEXTSEQ_REQUIRE_DATA`` is 1.
    """

    def find(name: str) -> Path:
        folder = os.environ.get("TEXTSEQ_DATA")
        if folder and (path := Path(folder) / name).exists():
            return path
        missing = f"TEXTSEQ_DATA ({folder or 'not set'}) has no {name}"
        if os.environ.get("TEXTSEQ_REQUIRE_DATA") == "1":
            pytest.fail(missing)
        pytest.skip(missing)

    return find


@pytest.fixture
def data_folder(data_file: Callable[[str], Path]) -> Path:
    """The folder ``TEXTSEQ_DATA`` itself."""
    return data_file(".")


@pytest.fixture(scope="session")
def translators(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home (for TEXTSEQ_HOME) with translators that have learnt nothing: "mine" and "second", which may choose
    together, "back" for the other direction, "blind" without attention, and "nameless", which knows no languages."""
    import torch

    from textseq.tasks.translation.config import TranslationModelConfig
    from textseq.tasks.translation.model import TranslationModel
    from textseq.tasks.translation.translator import Translator
    from textseq.tasks.translation.vocabularies import Vocabularies
    from textseq.tokenizers.characters import CharTokenizer

    home = tmp_path_factory.mktemp("translators")
    letters = CharTokenizer.train([["abcdefghij klmnopqrstuvwxyz .,\u00e9\u00f1"]])
    config = TranslationModelConfig(embedding_size=8, encoder_size=8, hidden_size=16, attention_size=8)
    for seed, (name, source, target, attention) in enumerate(
        [
            ("mine", "en", "fr", "additive"),
            ("second", "en", "fr", "general"),
            ("back", "fr", "en", "additive"),
            ("blind", "en", "fr", "none"),
            ("nameless", "source", "target", "additive"),
        ]
    ):
        torch.manual_seed(seed)
        settings = TranslationModelConfig.from_dict({**config.to_dict(), "attention": attention}, where="here")
        model = TranslationModel(settings, letters.size, letters.size)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter)
        facts: dict[str, object] = {
            "task": "translation",
            "model": settings.to_dict(),
            "source_language": source,
            "target_language": target,
            "corpus": {"name": "pairs", "title": "Some pairs"},
        }
        Translator([model], Vocabularies(letters, letters), facts).save(home / "runs" / name / "best-1")
    return home


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Calls a command in this process; returns exit code, stdout, stderr."""

    def call(name: str, *arguments: str | Path, stdin: bytes = b"") -> Result:
        main: Callable[[Sequence[str]], None] = getattr(importlib.import_module(f"textseq.cli.{name}"), name)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as stop:
            run(f"textseq-{name}", main, [str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        assert isinstance(stop.value.code, int | None)
        return stop.value.code or 0, out, err

    return call
