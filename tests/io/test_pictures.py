"""Pictures take neither settings nor markup from outside."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.image import imread

from textseq.errors import TextseqError
from textseq.io.pictures import fonts_for
from textseq.metrics.confusion_plot import confusion_figure, confusion_plot
from textseq.tasks.translation.plots import attention_figure

LABELS = ("$\\frac", "a_b^{", "${x}$")

DRAW = f"""
import numpy as np
from pathlib import Path
from textseq.metrics.confusion_plot import confusion_plot
confusion_plot(np.eye(3, dtype=np.int64), {LABELS!r}, Path("child.png"))
"""


def in_new_process(**environment: str) -> str:
    """What DRAW says on stderr in a process that has not loaded matplotlib."""
    done = subprocess.run(
        [sys.executable, "-c", DRAW], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return done.stderr


def drawn(path: Path) -> bytes:
    """A confusion matrix, whose labels are no mathematics."""
    confusion_plot(np.eye(3, dtype=np.int64), LABELS, path)
    return path.read_bytes()


def test_settings_of_the_process_do_not_matter_and_stay(tmp_path: Path) -> None:
    plain = drawn(tmp_path / "plain.png")
    with matplotlib.rc_context({"text.usetex": True, "font.size": 30, "axes.facecolor": "red"}):
        assert drawn(tmp_path / "other.png") == plain
        assert matplotlib.rcParams["font.size"] == 30


@pytest.mark.slow
def test_settings_of_the_folder_and_the_environment_do_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("matplotlibrc").write_text("text.usetex: True\nfont.size: 30\nbackend: nonsense\nnothing: 1\n")
    assert in_new_process(MPLBACKEND="nonsense") == ""
    assert Path("child.png").read_bytes() == drawn(tmp_path / "here.png")
    Path("child.png").unlink()
    Path("matplotlibrc").write_bytes(b"\xff\xfe")  # matplotlib does not start here
    assert in_new_process() == ""
    assert Path("child.png").read_bytes() == drawn(tmp_path / "here.png")


def test_a_figure_is_saved_whole_in_either_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its labels lie around the axes, which fill it."""
    monkeypatch.chdir(tmp_path)
    figure = attention_figure(np.eye(2), ["The", " cat"], ["Die", " Katze"])
    figure.save("saved.png")
    figure.savefig("own.png")
    figure.savefig(tmp_path / "large.png", dpi=300)
    assert Path("saved.png").read_bytes() == Path("own.png").read_bytes() == figure._repr_png_()
    assert len(imread("large.png")) == pytest.approx(2 * len(imread("own.png")), abs=2)
    with pytest.raises(TextseqError, match=r"expected a name that ends in \.png, got \.pdf in other\.pdf"):
        figure.save("other.pdf")


def test_labels_of_any_script_are_drawn_or_named_by_code_points(recwarn: pytest.WarningsRecorder) -> None:
    labels = ["正面", "负面", "neutral"]
    figure = confusion_figure(np.eye(3, dtype=np.int64), labels, "评论")
    _, missing = fonts_for(labels)
    shown = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert shown == [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert len({*shown}) == 3 and shown[2] == "neutral"
    assert all(character not in label for label in shown for character in missing)
    figure._repr_png_()
    assert not recwarn.list
