"""Run lessons whole, and store what they print and draw: python examples/run_lessons.py [lesson_01_by_hand ...]

A lesson is a script in percent format: prose in cells ``# %% [markdown]``, code in cells ``# %%``. What its code cells
print goes to ``docs/lessons/NAME.txt``, after a line ``# %%`` for each cell. Its pictures, one for each ``plt.show()``,
go to ``NAME.png``, ``NAME-2.png`` and so on. With ``TEXTSEQ_SHORT=1`` a lesson takes seconds, as in the tests.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import matplotlib
import matplotlib.pyplot as plt
from PIL import Image

EXAMPLES = Path(__file__).parent
PAGES = EXAMPLES.parent / "docs" / "lessons"
STYLE: dict[str, object] = {
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "figure.figsize": (7.0, 3.5),
    "grid.alpha": 0.3,
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Cell:
    """A cell of a lesson: prose in Markdown, or code."""

    is_code: bool
    line: int
    """Number of its first line in the file, from 1."""
    text: str


@dataclass
class Result:
    """What running a lesson gives."""

    names: dict[str, object] = field(default_factory=dict)
    """The lesson's variables and functions."""
    outputs: list[str] = field(default_factory=list)
    """What each code cell prints."""
    pictures: list[Image.Image] = field(default_factory=list)


def cells(lesson: Path) -> list[Cell]:
    """The cells of a lesson, in order; prose without its ``# ``."""
    found: list[Cell] = []
    lines = lesson.read_text(encoding="utf-8").splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("# %%")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        is_code = lines[start] == "# %%"
        body = lines[start + 1 : end] if is_code else [line[2:] for line in lines[start + 1 : end]]
        found.append(Cell(is_code, start + 2, "\n".join(body).strip("\n") + "\n"))
    return found


def run(lesson: Path) -> Result:
    """Run a lesson's code cell by cell."""
    result = Result(names={"__name__": "__main__"})
    with mock.patch.object(plt, "show", lambda: result.pictures.append(_picture())), matplotlib.rc_context():
        plt.style.use(["default", STYLE])
        for cell in cells(lesson):
            if cell.is_code:
                code = compile("\n" * (cell.line - 1) + cell.text, str(lesson), "exec", dont_inherit=True)
                with contextlib.redirect_stdout(io.StringIO()) as printed:
                    exec(code, result.names)
                result.outputs.append(printed.getvalue())
    return result


def _picture() -> Image.Image:
    """The current figure, in few colors so that the file is small."""
    file = io.BytesIO()
    plt.savefig(file, format="png", dpi=110)
    plt.close("all")
    return Image.open(file).convert("RGB").quantize(64)


def main(names: list[str]) -> None:
    """Run the lessons of these names, or all; the models that they train are not kept."""
    lessons = find(names)
    matplotlib.use("agg")
    PAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as home, mock.patch.dict(os.environ, TEXTSEQ_HOME=home):
        _store(lessons)


def find(names: list[str]) -> list[Path]:
    """The lessons of these names, with or without folder and ``.py``, or all."""
    lessons = {lesson.stem: lesson for lesson in sorted(EXAMPLES.glob("lesson_*.py"))}
    stems = [Path(name).name.removesuffix(".py") for name in names]
    if unknown := [stem for stem in stems if stem not in lessons]:
        sys.exit(f"no lesson {', '.join(unknown)}; the lessons are {', '.join(lessons)}")
    return [lessons[stem] for stem in stems] or [*lessons.values()]


def _store(lessons: list[Path]) -> None:
    for lesson in lessons:
        started = time.process_time()
        result = run(lesson)
        (PAGES / f"{lesson.stem}.txt").write_text("".join(f"# %%\n{text}" for text in result.outputs), encoding="utf-8")
        for number, picture in enumerate(result.pictures, 1):
            name = lesson.stem if number == 1 else f"{lesson.stem}-{number}"
            picture.save(PAGES / f"{name}.png", optimize=True)
        print(f"{lesson.stem}: {time.process_time() - started:.0f} s of processor time")


if __name__ == "__main__":
    main(sys.argv[1:])
