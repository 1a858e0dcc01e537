"""The text of stdin as a data source, for ``--text -``."""

from __future__ import annotations

import sys
from dataclasses import replace

from textseq.data.in_memory import text_files
from textseq.data.sources import DataSource, TextData
from textseq.errors import TextseqError


def with_stdin(source: DataSource) -> DataSource:
    """The data source with the text of stdin, which is kept in the cache, in place of the file "-".

    Raises:
        TextseqError: other files are named too, or stdin is not text.
    """
    if not isinstance(source, TextData) or "-" not in source.text:
        return source
    if len(source.text) > 1:
        raise TextseqError("--text -: expected stdin alone, got other files too; leave them out")
    try:
        text = sys.stdin.buffer.read().decode(source.encoding)
    except (LookupError, UnicodeDecodeError) as error:
        raise TextseqError(f"stdin is not {source.encoding} text ({error}); name its --encoding") from None
    return replace(source, text=text_files([text]), encoding="utf-8")
