"""What a model was made with is written beside it, and a run that goes on with something else says so."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from configs import edit_config

import textseq
from textseq.checkpoints.model_info import read_json
from textseq.checkpoints.provenance import made_with, shown
from textseq.checkpoints.registry import newest
from textseq.config.training import TrainingConfig
from textseq.data.text import own_text
from textseq.io.paths import runs_folder
from textseq.tasks.language_model.config import DataConfig, LanguageModelConfig
from textseq.training.distributed.environment import environment


@pytest.fixture(autouse=True)
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/textseq-train", "--text", "my cats.txt"])
    path = tmp_path / "cats.txt"
    path.write_text("the cat sat on the mat. " * 40)
    return path


def train(text: Path, name: str, seed: int = 1, said: list[str] | None = None) -> Path:
    """A run of a few steps; returns its last checkpoint."""
    textseq.train(
        text=[text],
        name=name,
        model=LanguageModelConfig(hidden_size=8, embedding_size=8, dropout=0.3),
        data=DataConfig(batch_size=3, window=10, random_window=True),
        training=TrainingConfig(seed=seed, max_steps=4),
        report=(said if said is not None else []).append,
    )
    return last(name)


def last(name: str) -> Path:
    folder = newest(runs_folder() / name, "last")
    assert folder is not None
    return folder


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_the_same_seed_gives_the_same_weights_and_another_gives_others(text: Path) -> None:
    one = train(text, "one")
    torch.manual_seed(99)
    np.random.seed(99)
    assert weights(train(text, "again")) == weights(one)
    assert (train(text, "third") / "training.safetensors").read_bytes() == (one / "training.safetensors").read_bytes()
    assert weights(train(text, "other", seed=2)) != weights(one)


def test_a_run_records_versions_seed_command_and_the_hash_of_its_text(text: Path) -> None:
    table = read_json(train(text, "mine", seed=7) / "config.json")
    made = table["made_with"]
    assert isinstance(made, dict)
    assert made["torch"] == torch.__version__
    assert made["numpy"] == np.__version__
    assert made["textseq"] == textseq.__version__
    assert made["python"] == sys.version.split()[0]
    assert (made["device"], made["threads"], made["processes"]) == ("cpu", torch.get_num_threads(), 1)
    assert made["command"] == "textseq-train --text 'my cats.txt'"
    assert json.loads(json.dumps(table))["training"]["seed"] == 7
    assert json.loads(json.dumps(table))["corpus"]["fingerprint"] == own_text([text]).fingerprint
    card = (runs_folder() / "mine" / "README.md").read_text()
    assert f"torch {torch.__version__}" in card
    assert "`textseq-train --text 'my cats.txt'`" in card


def test_a_model_that_is_given_away_says_not_how_its_files_were_called(text: Path, tmp_path: Path) -> None:
    train(text, "mine")
    textseq.load_generator("mine").save(tmp_path / "gift")
    for file in ("config.json", "README.md"):
        told = (tmp_path / "gift" / file).read_text()
        assert torch.__version__ in told
        assert "my cats" not in told and str(tmp_path) not in told


def test_a_run_that_goes_on_as_it_began_says_nothing(text: Path) -> None:
    train(text, "mine")
    said: list[str] = []
    textseq.resume("mine", training=TrainingConfig(max_steps=6), report=said.append)
    assert not any("bit-identical" in line for line in said)
    assert "resumed_with" not in read_json(last("mine") / "config.json")


def test_a_run_that_goes_on_with_another_version_says_so_and_keeps_both(
    text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_json(train(text, "mine") / "config.json")["made_with"]
    monkeypatch.setattr(np, "__version__", "99.1")
    monkeypatch.setattr(sys, "argv", ["textseq-train", "--resume", "mine"])
    said: list[str] = []
    textseq.resume("mine", training=TrainingConfig(max_steps=6), report=said.append)
    assert isinstance(before, dict)
    numpy = before["numpy"]
    note = f"note: the run started with numpy {numpy} and resumes with numpy 99.1: results will not be bit-identical"
    assert said.count(note) == 1
    table = read_json(last("mine") / "config.json")
    assert table["made_with"] == before
    assert table["resumed_with"] == {**before, "numpy": "99.1", "command": "textseq-train --resume mine"}


def test_a_run_of_an_older_version_goes_on(text: Path) -> None:
    folder = train(text, "mine")
    edit_config(folder, made_with=None)
    said: list[str] = []
    textseq.resume("mine", training=TrainingConfig(max_steps=6), report=said.append)
    assert not any("bit-identical" in line for line in said)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["/a/b/textseq-train", "corpus", "--name", "a b"], "textseq-train corpus --name 'a b'"),
        (["/a/cli/train.py", "corpus"], "python -m textseq.cli.train corpus"),
        (["x.py", "--api-key", "abc", "--text", "t"], "x.py --api-key ... --text t"),
        (["x.py", "--hf_token=abc", "t"], "x.py --hf_token=... t"),
        (["x.py", "--PASSWORD", "abc", "--password"], "x.py --PASSWORD ... --password"),
        (["x.py", "https://me:word@host/a"], "x.py https://...@host/a"),
        (["x.py", "--tokenizer", "char", "--batch-tokens", "9"], "x.py --tokenizer char --batch-tokens 9"),
        ([""], "''"),
        ([], "''"),
    ],
)
def test_a_command_is_shown_without_anything_secret(arguments: list[str], said: str) -> None:
    assert shown(arguments) == said


def test_processes_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert made_with(torch.device("cpu"), environment().count)["processes"] == 1
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert made_with(torch.device("cpu"), environment().count)["processes"] == 3
