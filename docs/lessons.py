"""A page and a notebook of each lesson in ``examples/``, from its cells and the results that ``make lessons`` stored.

A Sphinx extension: it writes ``lessons/NAME.md`` and ``NAME.ipynb`` before the pages are read; git ignores both.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

from run_lessons import Cell, cells
from sphinx.application import Sphinx

EXAMPLES, STORED = Path(__file__).parents[1] / "examples", Path(__file__).parent / "lessons"


def results(lesson: Path) -> Iterator[tuple[Cell, str, Path | None]]:
    """Each cell of a lesson, with what it prints and the picture it draws."""
    text = STORED / f"{lesson.stem}.txt"
    printed = iter(text.read_text(encoding="utf-8").split("# %%\n")[1:] if text.exists() else ())
    pictures = (STORED / f"{lesson.stem}{number}.png" for number in ("", *(f"-{n}" for n in range(2, 100))))
    for cell in cells(lesson):
        picture = next(pictures) if cell.is_code and "plt.show()" in cell.text else None
        yield cell, next(printed, "") if cell.is_code else "", picture if picture and picture.exists() else None


def page(lesson: Path) -> str:
    """The lesson in Markdown."""
    parts = []
    for cell, printed, picture in results(lesson):
        parts.append(f"```python\n{cell.text}```\n" if cell.is_code else cell.text)
        if printed:
            parts.append(f"```text\n{printed.rstrip()}\n```\n")
        if picture:
            parts.append(f"![The picture that this code draws]({picture.name})\n")
    title, _, rest = parts[0].partition("\n")
    name = lesson.stem
    links = f"Download: {{download}}`notebook <{name}.ipynb>`, {{download}}`script <../../examples/{name}.py>`."
    return "\n".join([title, "", links, rest, *parts[1:]])


def notebook(lesson: Path) -> str:
    """The lesson as a notebook (nbformat 4.5), with its results."""
    made: list[dict[str, object]] = []
    for number, (cell, printed, picture) in enumerate(results(lesson)):
        entry = {"id": f"cell-{number}", "metadata": {}, "source": cell.text.rstrip("\n")}
        if cell.is_code:
            outputs: list[dict[str, object]] = []
            if printed:
                outputs.append({"output_type": "stream", "name": "stdout", "text": printed})
            if picture:
                data = {"image/png": base64.b64encode(picture.read_bytes()).decode()}
                outputs.append({"output_type": "display_data", "data": data, "metadata": {}})
            made.append({"cell_type": "code", **entry, "execution_count": None, "outputs": outputs})
        else:
            made.append({"cell_type": "markdown", **entry})
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    whole = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": made}
    return json.dumps(whole, indent=1, ensure_ascii=False)


def write(app: Sphinx) -> None:
    """Write what has changed."""
    for lesson in sorted(EXAMPLES.glob("lesson_*.py")):
        for ending, text in ((".md", page(lesson)), (".ipynb", notebook(lesson))):
            file = STORED / f"{lesson.stem}{ending}"
            if not file.exists() or file.read_text(encoding="utf-8") != text:
                file.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, object]:
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True}
