"""A figure of matplotlib that notebooks show; imported only while a picture is drawn, as it imports matplotlib."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

from matplotlib.figure import Figure

from textseq.io.files import replacing
from textseq.io.pictures import default_style


class Picture(Figure):
    """A figure with textseq's style, shown by notebooks as a PNG."""

    def save(self, path: Path) -> None:
        """Save it as a PNG."""
        with replacing(path) as (file,):
            self._write(file)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self._write(buffer)
        return buffer.getvalue()

    @default_style()
    def _write(self, file: BinaryIO) -> None:
        self.savefig(file, format="png", dpi=150, bbox_inches="tight", pad_inches=0.15)
