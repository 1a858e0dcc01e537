"""Models on the Hugging Face Hub: ``hf://user/model``, and ``push_to_hub``.

Only the files that ``config.json`` lists with their hashes travel, and their model card; never code.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Protocol

from textseq.checkpoints.model_info import read_json
from textseq.errors import TextseqError
from textseq.io.extras import optional

if TYPE_CHECKING:
    from textseq.checkpoints.weight_formats import Bits

SCHEME = "hf://"

ENDINGS = (".json", ".safetensors")
"""Of the files of a model, besides its card."""


class Savable(Protocol):
    """A predictor, as far as it is used here."""

    def save(self, folder: Path | str, *, bits: Bits = 32) -> None: ...


def is_hub_name(name: str) -> bool:
    """Whether a name is that of a model on the Hub."""
    return name.startswith(SCHEME)


def download_model(name: str) -> Path:
    """The folder of a model on the Hub, in the Hub's cache; what is there already is not downloaded again.

    Args:
        name: ``hf://user/model``, or ``hf://user/model@revision``: a branch, a tag or a commit.

    Raises:
        TextseqError: huggingface_hub is not installed, there is no such model, or it is not a model of textseq.
    """
    hub = _hub(name)
    repository, _, revision = name.removeprefix(SCHEME).partition("@")
    _check_repository(repository, f"expected {SCHEME}USER/MODEL, got {name}; copy the name from the model's page")

    def fetch(file: str, commit: str | None) -> Path:
        try:
            return Path(hub.hf_hub_download(repository, file, revision=commit, endpoint=_endpoint(), token=_token()))
        except Exception as error:  # of the Hub, of the connection, of the disk: each has classes of its own
            reason = " ".join(str(error).split())[:300]
            raise TextseqError(f"cannot download {file} of {name}: {reason}; check the name and the network") from error

    folder = fetch("config.json", revision or None).parent
    for file in model_files(folder):
        fetch(file, folder.name)  # of the same commit, by which the cache names the folder
    return folder


def push_to_hub(
    model: Savable, repository: str, *, private: bool = False, bits: Bits = 32, message: str = "Add the model"
) -> str:
    """Upload a model with its card to the Hub; the repository is created where it is missing.

    The user must be logged in (``hf auth login``, or ``HF_TOKEN``).

    Args:
        model: the model.
        repository: ``USER/MODEL``.
        private: create the repository as a private one.
        bits: per weight, as ``save``.
        message: of the commit.

    Returns:
        The name to load the model by.

    Raises:
        TextseqError: huggingface_hub is not installed, the name is not ``USER/MODEL``, or the upload failed.

    Example:
        >>> textseq.push_to_hub(textseq.load("mine"), "me/mine")
        'hf://me/mine'
        >>> textseq.load("hf://me/mine")
    """
    hub = _hub("push_to_hub")
    _check_repository(repository, f"push_to_hub: expected USER/MODEL, got {repository!r}; name both")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / repository.split("/")[-1]
        model.save(folder, bits=bits)
        try:
            api = hub.HfApi(endpoint=_endpoint(), token=_token())
            api.create_repo(repository, private=private, exist_ok=True)
            api.upload_folder(
                repo_id=repository,
                folder_path=folder,
                allow_patterns=["config.json", "README.md", *model_files(folder)],
                commit_message=message,
            )
        except Exception as error:  # as above
            reason = " ".join(str(error).split())[:300]
            raise TextseqError(f"cannot upload to {SCHEME}{repository}: {reason}; log in, or name another") from error
    return SCHEME + repository


def model_files(folder: Path) -> list[str]:
    """The files that a model consists of, besides ``config.json``, which lists them.

    Raises:
        TextseqError: the folder has no model of textseq, or lists something else than data.
    """
    hashes = read_json(folder / "config.json").get("sha256")
    if not isinstance(hashes, dict):
        raise TextseqError(f"{folder} is not a model of textseq: its config.json lists no files; name another")
    for name in hashes:
        if Path(name).name != name or not name.endswith(ENDINGS):
            raise TextseqError(f"{folder}: expected files of data ({', '.join(ENDINGS)}), got {name!r}; name another")
    return [*hashes]


def _check_repository(repository: str, message: str) -> None:
    """Refuse what is not USER/MODEL."""
    if re.fullmatch(r"[^\s/@:]+/[^\s/@:]+", repository) is None:
        raise TextseqError(message)


def _hub(what: str) -> ModuleType:
    return optional("huggingface_hub", "hub", needed_for=what)


def _endpoint() -> str | None:
    """The Hub's address, if it is not the usual one. The library reads the variable only when it is imported."""
    return os.environ.get("HF_ENDPOINT")


def _token() -> str | None:
    """The token in the environment, which the library also reads only once; None: that of the login."""
    return os.environ.get("HF_TOKEN")
