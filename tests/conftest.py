"""Fixtures that several test files share, and the environment that the tests run in."""

from __future__ import annotations

import importlib
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The same examples every time, half as many as by default, and a few for `make test-fast`; as slow as the machine is.
for name, count in (("textseq", 50), ("fast", 10)):
    settings.register_profile(
        name, max_examples=count, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
    )
settings.load_profile("textseq")
# Before torch is imported, here and in child processes: the tensors are tiny, and the workers of pytest-xdist share the
# cores; with a thread per core in each of them the tests take several times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell starts background jobs with SIGINT ignored, and children inherit that; some tests send SIGINT.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

Result = tuple[int, str, str]
"""Exit code, stdout, stderr."""


@pytest.fixture
def draws_curve() -> None:
    """Runs of the test draw their learning curve."""


@pytest.fixture(autouse=True)
def no_curve(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs leave ``curve.png`` empty, for small models learn faster than matplotlib draws."""
    tasks = sys.modules.get("textseq.tasks.base")
    if tasks and "draws_curve" not in request.fixturenames:
        monkeypatch.setattr(tasks, "learning_curve", lambda log, picture, loss_unit: picture.touch())


@pytest.fixture(autouse=True)
def no_new_cells() -> Iterator[None]:
    """Cells that a test registers, such as those of the guides, are forgotten after it."""
    from textseq.config.names import CELL_STATES

    known = {*CELL_STATES}
    yield
    for name in {*CELL_STATES} - known:
        del CELL_STATES[name], sys.modules["textseq.nn.cell_registry"].CELLS[name]


@pytest.fixture
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder and TEXTSEQ_HOME: an empty folder, without TEXTSEQ_DATA and shipped models."""
    from textseq.checkpoints import registry

    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path))
    monkeypatch.delenv("TEXTSEQ_DATA", raising=False)
    monkeypatch.setattr(registry, "SHIPPED", tmp_path / "shipped")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def float64() -> Iterator[None]:
    """Default dtype float64, so that a difference is an error and not rounding; and seed 1."""
    import torch

    torch.manual_seed(1)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


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

    from textseq.checkpoints.model_info import CorpusInfo, ModelInfo
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
        info = ModelInfo(
            task="translation",
            model=settings.to_dict(),
            source_language=source,
            target_language=target,
            corpus=CorpusInfo(name="pairs", title="Some pairs"),
        )
        Translator([model], Vocabularies(letters, letters), info).save(home / "runs" / name / "best-1")
    return home


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Calls a command in this process; returns exit code, stdout, stderr."""
    from textseq.commands.command import run

    def call(name: str, *arguments: str | Path, stdin: bytes = b"") -> Result:
        main: Callable[[Sequence[str]], None] = getattr(importlib.import_module(f"textseq.cli.{name}"), name)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as stop:
            run(f"textseq-{name}", main, [str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        assert isinstance(stop.value.code, int | None)
        return stop.value.code or 0, out, err

    return call
