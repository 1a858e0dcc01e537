"""The run folder: save, load, resume.

Each checkpoint is one folder, ``last-3`` or ``best-2``: written aside under a hidden name, flushed to disk,
renamed whole, and only then are older ones of its kind deleted. A number never comes twice, so whatever moment
a run is killed at, the highest number of each kind is a whole checkpoint.

A checkpoint holds ``model.safetensors``, ``config.json`` and ``tokenizer.json``; one to resume from also
``training.safetensors`` and ``training.json``. A folder with the first three, wherever it lies, is a model.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from textseq.checkpoints.model_info import BESIDE, ModelInfo, Table, read_json
from textseq.checkpoints.registry import Kind, numbered
from textseq.checkpoints.size_limits import limit_parameters
from textseq.errors import TextseqError
from textseq.io.files import cannot_write, replacing, sha256, whole_folder
from textseq.tokenizers.base import Tokenizer
from textseq.tokenizers.registry import load_tokenizer

FORMAT = 2
"""Format of model folders that this version reads and writes."""

FORMATS = frozenset({torch.float16, torch.bfloat16, torch.float32})
"""What the numbers of weights may be written as."""

LONGEST_NAME = 100
"""Characters of the name of a file beside them."""

SLACK = 2**16
"""Parameters that a model may have beyond twice those in its file, in which shared ones stand once."""


Model = TypeVar("Model", bound=nn.Module)


class TokenizerLike(Protocol):
    """What writes itself into a model's folder: a tokenizer, or whatever a task has of them."""

    def save(self, folder: Path) -> None:
        """Write one's files into an existing folder."""
        ...


@dataclass(frozen=True)
class Checkpoint:
    """What a model folder holds."""

    folder: Path
    info: ModelInfo
    weights: dict[str, Tensor]
    tokenizer: Tokenizer


def save(
    run: Path,
    kind: Kind,
    model: nn.Module,
    tokenizer: TokenizerLike,
    info: ModelInfo,
    training: tuple[Mapping[str, Tensor], Table] | None = None,
) -> Path:
    """Write a checkpoint of a run, and then delete the older ones of its kind.

    Args:
        run: the run's folder.
        kind: ``last`` or ``best``.
        model: its weights are written.
        tokenizer: written beside them.
        info: the model's metadata, ``config.json``.
        training: tensors and plain data to resume from, if it is to be resumed from.

    Returns:
        The checkpoint's folder.

    Raises:
        TextseqError: the disk is full or cannot be written; the older checkpoints are untouched.
    """
    older = numbered(run, kind)
    target = run / f"{kind}-{max(older, default=0) + 1}"
    with whole_folder(target) as aside:
        if training is not None:
            tensors, plain = training
            _write_tensors(aside / "training.safetensors", tensors)
            (aside / "training.json").write_bytes(_json(plain))
        write_model(aside, model, tokenizer, info)
    for folder in older.values():
        shutil.rmtree(folder, ignore_errors=True)
    return target


def write_model(
    folder: Path, model: nn.Module, tokenizer: TokenizerLike, info: ModelInfo, *, half: bool = False
) -> None:
    """Write the three files of a model into a folder.

    Args:
        folder: an existing folder; use ``files.whole_folder`` to have it appear whole. What lies in it already
            is hashed too.
        model: its weights are written, shared ones once.
        tokenizer: writes itself beside them, as ``tokenizer.json``.
        info: written into ``config.json``, beside the format version and the files' hashes.
        half: write the weights in 16 bits instead of 32.
    """
    seen: set[int] = set()
    weights: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() not in seen:
            seen.add(tensor.data_ptr())
            weights[name] = tensor.half() if half else tensor
    _write_tensors(folder / "model.safetensors", weights)
    tokenizer.save(folder)
    hashes = {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.name != "config.json"}
    (folder / "config.json").write_bytes(_json({**info.to_dict(), "format": FORMAT, "sha256": hashes}))


def load(folder: Path) -> Checkpoint:
    """Read a model folder.

    Raises:
        TextseqError: a file that is missing or damaged, or another format.
    """
    table = read_json(folder / "config.json")
    version, hashes = table.pop("format", None), table.pop("sha256", None)
    if not isinstance(version, int) or not isinstance(hashes, dict):
        raise TextseqError(
            f"{folder / 'config.json'} is damaged: format version and hashes are missing; restore the folder"
        )
    if version != FORMAT:
        hint = "upgrade textseq" if version > FORMAT else "train it again with this version"
        raise TextseqError(f"{folder}: expected model format {FORMAT}, got {version}; {hint}")
    for name, wanted in hashes.items():
        path = folder / name
        if Path(name).name != name or name in {"", ".."} or not name.isprintable() or len(name) > LONGEST_NAME:
            raise TextseqError(
                f"{folder / 'config.json'} is damaged: {name[:LONGEST_NAME]!r} is no file of this folder; restore it"
            )
        if not path.is_file():
            raise TextseqError(f"{path} is missing; restore the folder or train the model again")
        if sha256(path) != wanted:
            raise TextseqError(
                f"{path} is damaged: its SHA-256 is not the one in config.json; restore the folder or train again"
            )
    info = ModelInfo.from_dict(table, where=str(folder / "config.json"))
    weights = read_tensors(folder / "model.safetensors")
    for name, tensor in weights.items():
        if tensor.dtype not in FORMATS or not tensor.isfinite().all():
            found = "numbers that are infinite or none" if tensor.dtype in FORMATS else f"numbers of {tensor.dtype}"
            raise TextseqError(
                f"{folder / 'model.safetensors'} is no model's: '{name}' has {found}; restore the folder or train again"
            )
    return Checkpoint(folder, info, weights, load_tokenizer(folder))


def load_latest(find: Callable[[], Path]) -> Checkpoint:
    """Read the model folder that ``find`` names; or the next, if a run that goes on has replaced it meanwhile.

    Raises:
        TextseqError: as ``find`` and ``load``.
    """
    folder = find()
    try:
        return load(folder)
    except (TextseqError, OSError):
        if find() == folder:
            raise
        return load_latest(find)


def set_info(folder: Path, info: ModelInfo) -> None:
    """Replace the metadata of a model folder, for results that come after the weights."""
    table = read_json(folder / "config.json")
    with replacing(folder / "config.json") as (file,):
        file.write(_json({**info.to_dict(), **{key: table[key] for key in BESIDE}}))


def build_with_weights(make: Callable[[], Model], weights: Mapping[str, Tensor], folder: Path) -> Model:
    """A model with a checkpoint's weights; it is not made unless about as many parameters are there as it wants.

    Args:
        make: makes the model that ``config.json`` describes.
        weights: the checkpoint's.
        folder: its own.

    Raises:
        TextseqError: weights that do not fit the model.
    """
    count = sum(tensor.numel() for tensor in weights.values())
    with limit_parameters(
        2 * count + SLACK,
        f"the weights in {folder} do not fit its config.json, whose model has far more than their {count:,} numbers; "
        "restore the folder",
    ):
        model = make()
    load_weights(model, weights, folder)
    return model


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], folder: Path) -> None:
    """Fill a model with a checkpoint's weights.

    Raises:
        TextseqError: weights that do not fit the model that ``config.json`` describes.
    """
    own = model.state_dict()
    shared = {own[name].data_ptr() for name in weights if name in own}
    missing = [name for name, tensor in own.items() if name not in weights and tensor.data_ptr() not in shared]
    wrong = [name for name in weights if name not in own or own[name].shape != weights[name].shape]
    if missing or wrong:
        names = ", ".join((missing + wrong)[:3])
        raise TextseqError(f"the weights in {folder} do not fit its config.json ({names}); restore the folder")
    model.load_state_dict({name: tensor.to(own[name].dtype) for name, tensor in weights.items()}, strict=False)


def load_training(folder: Path) -> tuple[dict[str, Tensor], Table]:
    """Read what a ``last`` checkpoint holds to resume from.

    Raises:
        TextseqError: a file that is missing or damaged.
    """
    return read_tensors(folder / "training.safetensors"), read_json(folder / "training.json")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        TextseqError: a file that is missing or damaged.
    """
    if not path.is_file():
        raise TextseqError(f"{path} is missing; restore the folder or train the model again")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise TextseqError(f"{path} is damaged ({reason}); restore the folder or train the model again") from None


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    with replacing(path) as (file,):
        file.write(b"")  # made as every other file of the folder is: safetensors would keep it to its owner
    mode = path.stat().st_mode
    try:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path)
    except SafetensorError as error:  # how safetensors tells of a full disk
        raise cannot_write(path, error) from error
    path.chmod(mode)


def _json(table: Table) -> bytes:
    # What is no text, as JSON may have it by its number, is written by its number again.
    return (json.dumps(table, indent=2, ensure_ascii=False) + "\n").encode(errors="backslashreplace")
