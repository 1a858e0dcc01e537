"""The log of a run is read line by line, and only if it is one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from textseq.errors import TextseqError
from textseq.training.log import RunLog, learning_curve


def test_lines_after_a_step_and_damaged_ones_are_cut(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    for step in (1, 2, 3):
        log.write(step, {"loss": 1.0 / step})
    path = tmp_path / "log.jsonl"
    good = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(good[0] + b"\xff\n" + b"9" * 2**21 + b"\n[1]\n{}\n" + good[1] + good[2] + b'{"step": 2')
    log.cut(2)
    assert path.read_bytes() == good[0] + good[1]


def test_what_is_no_log_is_refused_at_once(tmp_path: Path) -> None:
    log, path = RunLog(tmp_path), tmp_path / "log.jsonl"

    def refused(message: str) -> None:
        with pytest.raises(TextseqError, match=message):
            log.cut(1)
        with pytest.raises(TextseqError, match=message):
            learning_curve(path, tmp_path / "curve.png")
        path.unlink()

    path.symlink_to("/dev/zero")
    refused("is a pipe or a device")
    os.mkfifo(path)
    refused("is a pipe or a device")
    with path.open("wb") as file:
        file.truncate(2**40)  # which takes no room on the disk
    refused("no log has, so move it away")
