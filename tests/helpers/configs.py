"""Editing ``config.json`` as a user may who knows of its hash."""

from __future__ import annotations

import json
from pathlib import Path

from textseq.checkpoints.model_info import Table, read_json


def edit_config(folder: Path, **changes: object) -> None:
    """Change entries of a model folder's ``config.json``, and leave out its hash of itself; None removes an entry."""
    write_config(folder, {**read_json(folder / "config.json"), **changes})


def write_config(folder: Path, table: Table) -> None:
    """Write ``config.json`` without its hash of itself and without entries that are None."""
    hashes = table.get("sha256")
    if isinstance(hashes, dict):
        table["sha256"] = {name: value for name, value in hashes.items() if name != "config.json"}
    kept = {name: value for name, value in table.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(kept))
