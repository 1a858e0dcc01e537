"""A figure of matplotlib that notebooks show; imported only while a picture is drawn, as it imports matplotlib."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from textseq.io.files import check_picture, replacing
from textseq.io.pictures import default_style


class Picture(Figure):
    """A figure with textseq's style, shown by notebooks as a PNG."""

    def save(self, path: Path | str) -> None:
        """Save it as a PNG.

        Raises:
            TextseqError: the path does not end in .png or is not writable.
        """
        path = Path(path)
        check_picture(path)
        with replacing(path) as (file,):
            self.savefig(file, format="png")

    @default_style()
    def savefig(self, fname: Any, **options: Any) -> None:
        """As matplotlib's, with everything drawn in the picture, such as labels around axes that fill the figure."""
        super().savefig(fname, **{"dpi": 150, "bbox_inches": "tight", "pad_inches": 0.15, **options})

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()
