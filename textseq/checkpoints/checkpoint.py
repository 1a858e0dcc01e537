"""Checkpoints: save, load, resume.

Each checkpoint of a run is a folder, ``last-3`` or ``best-2``. It is written under a hidden name, flushed to disk and
renamed; then older ones of its kind are deleted. Numbers are not reused, so whenever a run is killed, the highest
number of each kind is a complete checkpoint.

A model folder holds ``model.safetensors``, ``config.json`` and ``tokenizer.json``; a checkpoint to resume from also
``training.safetensors`` and ``training.json``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from textseq.checkpoints.model_info import ModelInfo, Table, config_hash, read_info, read_json
from textseq.checkpoints.registry import Kind, numbered
from textseq.checkpoints.size_limits import limit_parameters
from textseq.checkpoints.weight_formats import Bits, from_stored, to_stored
from textseq.errors import TextseqError
from textseq.io.files import cannot_write, replacing, sha256, whole_folder
from textseq.tokenizers.base import Tokenizer
from textseq.tokenizers.registry import load_tokenizer

FORMAT = 2
"""Format of model folders that this version reads and writes."""

LONGEST_NAME = 100
"""Characters of a file name."""

SLACK = 2**16
"""Parameters that a model may have beyond twice those in its file, where shared ones are stored once."""

Model = TypeVar("Model", bound=nn.Module)


class TokenizerLike(Protocol):
    """A tokenizer, or a task's several tokenizers, saved beside the weights."""

    def save(self, folder: Path) -> None:
        """Write the files into an existing folder."""
        ...


@dataclass(frozen=True)
class Checkpoint:
    """The content of a model folder."""

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
    """Write a checkpoint of a run, then delete the older ones of its kind.

    Args:
        run: the run's folder.
        kind: "last" or "best".
        model: its weights are written.
        tokenizer: written beside them.
        info: the model's metadata, for ``config.json``.
        training: tensors and plain data to resume from; None: it cannot be resumed from.

    Returns:
        The checkpoint's folder.

    Raises:
        TextseqError: the disk is full or cannot be written; older checkpoints are kept.
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


def write_model(folder: Path, model: nn.Module, tokenizer: TokenizerLike, info: ModelInfo, *, bits: Bits = 32) -> None:
    """Write a model into an existing folder, whose other files are hashed too; shared weights are written once.

    Args:
        folder: an existing folder; ``files.whole_folder`` makes it appear complete.
        model: its weights are written.
        tokenizer: written beside them.
        info: written into ``config.json`` with the format version and the hashes of the files.
        bits: per weight.
    """
    seen: set[int] = set()
    weights: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() not in seen:
            seen.add(tensor.data_ptr())
            weights[name] = tensor
    _write_tensors(folder / "model.safetensors", to_stored(weights, bits))
    tokenizer.save(folder)
    (folder / "config.json").write_bytes(_config(info, _hashes(folder)))


def rehash(folder: Path) -> None:
    """Recompute the hashes in ``config.json`` after files of a model folder were edited on purpose.

    Example:
        >>> rehash(Path("textseq/pretrained/sentiment"))
    """
    data = _config(read_info(folder), _hashes(folder))
    with replacing(folder / "config.json") as (file,):
        file.write(data)


def _hashes(folder: Path) -> Table:
    """The hashes of a model folder's files; the model card may be edited."""
    card = {"config.json", "README.md"}
    return {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.name not in card}


def _config(info: ModelInfo, hashes: Table) -> bytes:
    """``config.json`` of a model folder: the metadata, the format, the hashes of the other files and of itself."""
    table: Table = {**info.to_dict(), "format": FORMAT, "sha256": hashes}
    return _json({**table, "sha256": {**hashes, "config.json": config_hash(table)}})


def load(folder: Path) -> Checkpoint:
    """Read a model folder.

    Raises:
        TextseqError: a file is missing or damaged, or has another format.
    """
    config = folder / "config.json"
    table = read_json(config)
    version, hashes = table.pop("format", None), table.pop("sha256", None)
    if not isinstance(version, int) or not isinstance(hashes, dict):
        raise TextseqError(f"{config} is damaged: format version and hashes are missing; restore the folder")
    if version != FORMAT:
        hint = "upgrade textseq" if version > FORMAT else "train it again with this version"
        raise TextseqError(f"{folder}: expected model format {FORMAT}, got {version}; {hint}")
    stated = hashes.pop("config.json", None)  # left out by earlier versions, and removed when the file is edited
    if stated not in (None, config_hash({**table, "format": version, "sha256": hashes})):
        raise TextseqError(
            f"{config} is damaged: its SHA-256 differs from the one that it states; restore the folder or train again"
        )
    for name, expected in hashes.items():
        path = folder / name
        if Path(name).name != name or name in {"", ".."} or not name.isprintable() or len(name) > LONGEST_NAME:
            raise TextseqError(f"{config} is damaged: {name[:LONGEST_NAME]!r} is not a file of this folder; restore it")
        if not path.is_file():
            raise TextseqError(f"{path} is missing; restore the folder or train the model again")
        if sha256(path) != expected:
            raise TextseqError(
                f"{path} is damaged: its SHA-256 differs from config.json; restore the folder or train again"
            )
    info = ModelInfo.from_dict(table, where=str(config))
    path = folder / "model.safetensors"
    weights = from_stored(read_tensors(path), path)
    return Checkpoint(folder, info, weights, load_tokenizer(folder))


def load_latest(find: Callable[[], Path]) -> Checkpoint:
    """``load(find())``, repeated if a running training replaces that checkpoint meanwhile.

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
    """Replace the metadata of a model folder, to add results."""
    hashes = read_json(folder / "config.json")["sha256"]
    assert isinstance(hashes, dict)  # ``load`` has checked it
    data = _config(info, {name: value for name, value in hashes.items() if name != "config.json"})
    with replacing(folder / "config.json") as (file,):
        file.write(data)


def build_with_weights(make: Callable[[], Model], weights: Mapping[str, Tensor], folder: Path) -> Model:
    """Build a model and load a checkpoint's weights, refusing one much larger than these before it takes memory.

    Args:
        make: builds the model of ``config.json``.
        weights: the checkpoint's weights.
        folder: the checkpoint's folder, for errors.

    Raises:
        TextseqError: the weights do not fit the model.
    """
    count = sum(tensor.numel() for tensor in weights.values())
    with limit_parameters(
        2 * count + SLACK,
        f"the weights in {folder} do not fit its config.json ({count:,} numbers for a larger model); restore it",
    ):
        model = make()
    load_weights(model, weights, folder)
    return model


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], folder: Path, *, from_config: bool = True) -> None:
    """Copy a checkpoint's weights into a model.

    Args:
        model: made from ``config.json`` or, without ``from_config``, by a user of the trainer.
        weights: of the checkpoint.
        folder: of the checkpoint, for the error.
        from_config: see ``model``.

    Raises:
        TextseqError: the weights do not fit the model.
    """
    state = model.state_dict()
    shared = {state[name].data_ptr() for name in weights if name in state}
    missing = [name for name, tensor in state.items() if name not in weights and tensor.data_ptr() not in shared]
    wrong = [name for name in weights if name not in state or state[name].shape != weights[name].shape]
    if missing or wrong:
        names = ", ".join((missing + wrong)[:3])
        if from_config:
            raise TextseqError(f"the weights in {folder} do not fit its config.json ({names}); restore the folder")
        raise TextseqError(
            f"the weights in {folder} are those of another model ({names}); give the model that was saved, or start in "
            "another folder"
        )
    model.load_state_dict({name: tensor.to(state[name].dtype) for name, tensor in weights.items()}, strict=False)


def load_training(folder: Path) -> tuple[dict[str, Tensor], Table]:
    """The tensors and plain data that a ``last`` checkpoint is resumed from."""
    return read_tensors(folder / "training.safetensors"), read_json(folder / "training.json")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        TextseqError: the file is missing or damaged.
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
        file.write(b"")  # gives it the usual permissions; safetensors would make it private
    mode = path.stat().st_mode
    try:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path)
    except SafetensorError as error:  # such as a full disk
        raise cannot_write(path, error) from error
    path.chmod(mode)


def _json(table: Table) -> bytes:
    # Lone surrogates are written as escapes, as JSON allows.
    return (json.dumps(table, indent=2, ensure_ascii=False) + "\n").encode(errors="backslashreplace")
