"""A model folder comes back bit for bit, is refused when it is not whole, and never spoils an older one."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
import torch
from configs import edit_config, write_config
from safetensors import SafetensorError

from textseq.checkpoints import checkpoint
from textseq.checkpoints.model_info import CorpusInfo, ModelInfo, Table, read_json
from textseq.checkpoints.registry import newest
from textseq.config.names import CellName
from textseq.errors import TextseqError
from textseq.tasks.language_model.config import LanguageModelConfig
from textseq.tasks.language_model.generator import TextGenerator
from textseq.tasks.language_model.model import LanguageModel
from textseq.tokenizers.base import Tokenizer
from textseq.tokenizers.characters import CharTokenizer
from textseq.tokenizers.registry import TOKENIZERS

INFO = ModelInfo(
    task="language-model", corpus=CorpusInfo(title="Zażółć"), step=7, training={"rate": 0.1, "nothing": None}
)
CHARACTERS = CharTokenizer("\nabcż")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path))


def language_model(
    tokenizer: Tokenizer = CHARACTERS, *, hidden: int = 8, cell: CellName = "lstm", tied: bool = False, seed: int = 1
) -> LanguageModel:
    torch.manual_seed(seed)
    config = LanguageModelConfig(
        cell=cell, hidden_size=hidden, embedding_size=8, num_layers=2, tie_embeddings=tied, learn_initial_state=tied
    )
    return LanguageModel(config, tokenizer.size)


def info_of(model: LanguageModel) -> ModelInfo:
    return replace(INFO, model=model.config.to_dict())


def test_others_may_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        folder = save(tmp_path)
    finally:
        os.umask(before)
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in folder.iterdir()} == {
        name: "0o644"
        for name in ("config.json", "model.safetensors", "tokenizer.json", "training.json", "training.safetensors")
    }


def save(run: Path, seed: int = 1) -> Path:
    """A checkpoint to resume from."""
    model = language_model(seed=seed)
    return checkpoint.save(run, "last", model, CHARACTERS, info_of(model), ({"x": torch.arange(3)}, {"step": seed}))


def reopened(folder: Path) -> LanguageModel:
    return TextGenerator.open(checkpoint.load(folder)).model


def equal(a: LanguageModel, b: LanguageModel) -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_model_comes_back_bit_for_bit(tmp_path: Path, kind: str, tied: bool, cell: CellName) -> None:
    tokenizer = TOKENIZERS[kind].train(["abc\nżó"])
    model = language_model(tokenizer, cell=cell, tied=tied)
    folder = checkpoint.save(tmp_path / "run", "best", model, tokenizer, info_of(model))
    found = checkpoint.load(folder)
    assert found.info == info_of(model)
    assert found.tokenizer.fingerprint == tokenizer.fingerprint
    writer = TextGenerator.open(found)
    assert equal(writer.model, model)
    assert (writer.model.output.weight is writer.model.embedding.weight) == tied
    assert sum(tensor.numel() for tensor in found.weights.values()) == sum(p.numel() for p in model.parameters())
    assert names(folder) == ["config.json", "model.safetensors", "tokenizer.json"]


def test_what_saves_itself_may_be_more_than_a_tokenizer(tmp_path: Path) -> None:
    class Two:
        def save(self, folder: Path) -> None:
            CHARACTERS.save(folder)
            (folder / "target.json").write_text("{}")

    folder = checkpoint.save(tmp_path / "run", "best", language_model(), Two(), INFO)
    assert names(folder) == ["config.json", "model.safetensors", "target.json", "tokenizer.json"]
    assert checkpoint.load(folder).tokenizer.fingerprint == CHARACTERS.fingerprint
    (folder / "target.json").write_text("[]")
    with pytest.raises(TextseqError, match=r"target\.json is damaged"):
        checkpoint.load(folder)


def test_half_precision_is_near_and_half_as_large(tmp_path: Path) -> None:
    model = language_model(tied=True)
    whole = checkpoint.save(tmp_path / "run", "best", model, CHARACTERS, info_of(model))
    half = tmp_path / "half"
    half.mkdir()
    checkpoint.write_model(half, model, CHARACTERS, info_of(model), bits=16)
    assert {tensor.dtype for tensor in checkpoint.load(half).weights.values()} == {torch.float16}
    for name, tensor in reopened(half).state_dict().items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, model.state_dict()[name], rtol=2**-11, atol=1e-6)
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (half, whole)]
    assert sizes[0] < 0.75 * sizes[1]  # the header does not shrink


def test_what_to_resume_from_comes_back(tmp_path: Path) -> None:
    torch.manual_seed(5)
    tensors = {
        "state.0": torch.rand(2, 3),
        "bytes": torch.arange(4, dtype=torch.uint8),
        "random": torch.get_rng_state(),
    }
    drawn = torch.rand(4)
    plain: Table = {"step": 3, "best": 1 / 3, "none": None}
    folder = checkpoint.save(tmp_path, "last", language_model(), CHARACTERS, INFO, (tensors, plain))
    found, read = checkpoint.load_training(folder)
    assert read == plain
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) and found[name].dtype == tensors[name].dtype for name in found)
    torch.set_rng_state(found["random"])
    assert torch.equal(torch.rand(4), drawn)


def test_results_can_be_added_and_the_folder_still_loads(tmp_path: Path) -> None:
    folder = save(tmp_path)
    results: tuple[Table, ...] = ({"nats_per_token": 1.5, "signature": "all"},)
    checkpoint.set_info(folder, replace(checkpoint.load(folder).info, results=results))
    assert checkpoint.load(folder).info.results == results
    assert equal(reopened(folder), language_model())


@pytest.mark.parametrize(
    "file", ["config.json", "model.safetensors", "tokenizer.json", "training.json", "training.safetensors"]
)
@pytest.mark.parametrize("damage", ["missing", "flipped at the start", "flipped at the end", "truncated", "empty"])
def test_a_damaged_folder_is_refused_in_one_line_that_names_the_file(tmp_path: Path, file: str, damage: str) -> None:
    folder = save(tmp_path / "run")
    path = folder / file
    size = path.stat().st_size
    if damage == "missing":
        path.unlink()
    elif damage == "flipped at the start":
        flip(path, 0)
    elif damage == "flipped at the end":
        flip(path, size - 3)
    else:
        os.truncate(path, size // 2 if damage == "truncated" else 0)
    with pytest.raises(TextseqError, match=rf"{file} is (missing|damaged).*(restore|train)") as told:
        checkpoint.load(folder)
    assert "\n" not in str(told.value)


def test_any_other_character_in_the_metadata_is_noticed(tmp_path: Path) -> None:
    folder = save(tmp_path / "run")
    config, text = folder / "config.json", (folder / "config.json").read_text(encoding="utf-8")
    letters = [place for place, letter in enumerate(text) if letter.isalnum()]
    for place in letters[:: len(letters) // 60]:
        config.write_text(f"{text[:place]}{'8' if text[place] == '7' else '7'}{text[place + 1 :]}", encoding="utf-8")
        with pytest.raises(TextseqError, match=r"damaged|not a file|missing|expected model format"):
            checkpoint.load(folder)
    config.write_text(text.replace("0.1", "0.2"), encoding="utf-8")
    with pytest.raises(TextseqError, match=r"damaged: its SHA-256 differs from the one that it states"):
        checkpoint.load(folder)
    checkpoint.rehash(folder)
    assert checkpoint.load(folder).info.training == {"rate": 0.2, "nothing": None}


def test_files_edited_on_purpose_are_hashed_again(tmp_path: Path) -> None:
    folder = save(tmp_path / "run")
    (folder / "README.md").write_text("a card may be edited at any time")
    checkpoint.load(folder)
    CharTokenizer("\nabcd").save(folder)
    with pytest.raises(TextseqError, match=r"tokenizer\.json is damaged"):
        checkpoint.load(folder)
    checkpoint.rehash(folder)
    (folder / "README.md").unlink()
    assert checkpoint.load(folder).tokenizer.fingerprint == CharTokenizer("\nabcd").fingerprint


@pytest.mark.parametrize("content", ["not JSON", "[]", "{}", '{"format": "1", "sha256": {}}', '{"format": 2}'])
def test_a_config_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    folder = save(tmp_path / "run")
    (folder / "config.json").write_text(content)
    with pytest.raises(TextseqError, match=r"config\.json is damaged"):
        checkpoint.load(folder)


def test_weights_are_no_pickle_and_no_other_file(tmp_path: Path) -> None:
    with pytest.raises(TextseqError, match=r"other\.safetensors is missing"):
        checkpoint.read_tensors(tmp_path / "other.safetensors")
    torch.save({"a": torch.zeros(1)}, tmp_path / "pickle.safetensors")
    with pytest.raises(TextseqError, match=r"pickle\.safetensors is damaged"):
        checkpoint.read_tensors(tmp_path / "pickle.safetensors")


@pytest.mark.parametrize(("version", "hint"), [(999, "upgrade textseq"), (1, "train it again with this version")])
def test_another_format_is_refused(tmp_path: Path, version: int, hint: str) -> None:
    folder = save(tmp_path / "run")
    edit_config(folder, format=version)
    with pytest.raises(TextseqError, match=rf"expected model format {checkpoint.FORMAT}, got {version}; {hint}"):
        checkpoint.load(folder)


@pytest.mark.parametrize("change", [{"hidden_size": 9}, {"num_layers": 1}, {"num_layers": 3}, {"cell": "gru"}])
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    model = language_model()
    info = replace(INFO, model={**model.config.to_dict(), **change})
    folder = checkpoint.save(tmp_path, "last", model, CHARACTERS, info)
    with pytest.raises(TextseqError, match=r"the weights in \S*last-1 do not fit its config\.json \(\S+.*\)") as told:
        TextGenerator.open(checkpoint.load(folder))
    assert "\n" not in str(told.value)


def test_settings_that_are_none_are_refused(tmp_path: Path) -> None:
    folder = save(tmp_path)
    table = read_json(folder / "config.json")
    for key in ("task", "model"):
        write_config(folder, {**table, key: None})
        with pytest.raises(TextseqError, match=rf"config\.json is damaged: it lacks '{key}'"):
            checkpoint.load(folder)


def test_numbers_never_come_twice_and_only_the_newest_stays(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert [save(run, seed).name for seed in range(1, 13)] == [f"last-{n}" for n in range(1, 13)]
    best = checkpoint.save(run, "best", language_model(), CHARACTERS, INFO)
    assert names(run) == ["best-1", "last-12"]
    assert best == run / "best-1"
    assert equal(reopened(run / "last-12"), language_model(seed=12))


def test_what_a_killed_run_left_is_passed_over_and_cleaned(tmp_path: Path) -> None:
    run = tmp_path / "run"
    save(run, 1)
    partial = run / ".last-2.partial"
    partial.mkdir()
    (partial / "model.safetensors").write_bytes(b"half")
    assert newest(run, "last") == run / "last-1"
    assert save(run, 2) == run / "last-2"
    assert names(run) == ["last-2"]
    assert equal(reopened(run / "last-2"), language_model(seed=2))


def no_space(*_: object, **__: object) -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def no_space_in_rust(*_: object, **__: object) -> NoReturn:
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize(
    ("call", "fails"),
    [
        ("textseq.checkpoints.checkpoint.save_file", no_space),
        ("textseq.checkpoints.checkpoint.save_file", no_space_in_rust),
        ("os.fsync", no_space),
        ("pathlib.Path.write_bytes", no_space),
        ("pathlib.Path.rename", no_space),
    ],
)
def test_a_full_disk_leaves_the_older_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, fails: Callable[..., NoReturn]
) -> None:
    run = tmp_path / "run"
    save(run, 1)
    with monkeypatch.context() as patch:
        patch.setattr(call, fails)
        with pytest.raises(TextseqError, match=r"cannot write .*last-2.*: the disk is full; free some space") as told:
            save(run, 2)
    assert "\n" not in str(told.value)
    assert names(run) == ["last-1"]
    assert equal(reopened(run / "last-1"), language_model(seed=1))
    assert save(run, 3) == run / "last-2"
