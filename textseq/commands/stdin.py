"""The text of stdin: its bytes, and as a data source for ``--text -``."""

from __future__ import annotations

import io
import sys
from dataclasses import replace

from textseq.data.dataset import check_encoding
from textseq.data.in_memory import text_files
from textseq.data.sources import DataSource, TextData
from textseq.errors import TextseqError
from textseq.io.documents.decode import decoded
from textseq.io.documents.errors import reading


def read_stdin(flag: str, most: int = -1) -> bytes:
    """All bytes of stdin, or at most so many; a TextseqError, which names the flag, if it is closed."""
    if sys.stdin is None:
        raise TextseqError(f"stdin is closed; name a file with {flag}")
    with reading("stdin"):
        return sys.stdin.buffer.read(most)


def with_stdin(source: DataSource) -> DataSource:
    """The data source with the text of stdin, which is kept in the cache, in place of the file "-".

    Raises:
        TextseqError: other files are named too, or stdin is closed, empty or not text.
    """
    if not isinstance(source, TextData) or "-" not in source.text:
        return source
    if len(source.text) > 1:
        raise TextseqError("--text -: expected stdin alone, got other files too; leave them out")
    check_encoding(source.encoding)
    text = "".join(decoded(io.BytesIO(read_stdin("--text")), "stdin", source.encoding))
    if not text:
        raise TextseqError("--text -: expected a text on stdin, got none; check the command before the pipe")
    return replace(source, text=text_files([text]), encoding="utf-8")
