"""File locks between processes."""

from __future__ import annotations

import errno
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from textseq.errors import TextseqError
from textseq.io.files import cannot_write

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

log = logging.getLogger("textseq")

LOOK_AGAIN = 0.05
"""Seconds between two looks at what another process has locked."""

NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
"""How file systems tell that they have no locks."""


@contextmanager
def locked(path: Path, busy: str | None = None) -> Iterator[None]:
    """One process at a time is in the block, of those that name the same file; so are the threads of a process.

    The file is made, and removed at the end. The lock is the system's: it ends with the process, however that ends,
    and a file that a killed process leaves behind locks nothing. Where the file system has no locks there is none.

    Args:
        path: stands for what is locked, and holds nothing.
        busy: what is said where another process is in the block; None: wait until it has left.

    Raises:
        TextseqError: ``busy``; or the file cannot be made.
    """
    handle, told = _lock(path), False
    while handle is None:
        if busy is not None:
            raise TextseqError(busy)
        if not told:
            log.warning("note: another process is making %s; waiting for its end", path.with_suffix(""))
            told = True
        time.sleep(LOOK_AGAIN)
        handle = _lock(path)
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes no open file
            if os.path.samestat(os.stat(path), os.fstat(handle)):  # someone may have removed the folder, and begun anew
                path.unlink()
        os.close(handle)


def _lock(path: Path) -> int | None:
    """The file, open and locked; None where another has the lock."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise cannot_write(path, error) from error
    if take(handle) is False:
        os.close(handle)
        return None
    with suppress(FileNotFoundError):
        if os.path.samestat(os.stat(path), os.fstat(handle)):
            return handle
    os.close(handle)  # the one before has removed it meanwhile: it stands for nothing any more
    return _lock(path)


def take(handle: int) -> bool | None:
    """Lock an open file without waiting: False where another has the lock, None where the file system has no locks.

    The lock ends when the file is closed, or with the process.
    """
    try:
        if sys.platform == "win32":
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in NO_LOCKS:
            return None
        if error.errno in {errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK}:
            return False
        raise
    return True
