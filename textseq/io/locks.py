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

POLL_INTERVAL = 0.05  # seconds between two attempts to take a lock

NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}  # errors of file systems without locks


@contextmanager
def locked(path: Path, busy: str | None = None) -> Iterator[None]:
    """Hold a lock on a file, which is created and removed at the end; other processes and threads wait.

    The operating system releases the lock when the process ends, however it ends, so a file left behind by a killed
    process blocks nothing. On a file system without locks nothing is locked.

    Args:
        path: the empty file to lock.
        busy: the error if another process holds the lock; None: wait for it.

    Raises:
        TextseqError: ``busy``; or the file cannot be created.
    """
    handle, noted = _lock(path), False
    while handle is None:
        if busy is not None:
            raise TextseqError(busy)
        if not noted:
            log.warning("note: another process is making %s; waiting for its end", path.with_suffix(""))
            noted = True
        time.sleep(POLL_INTERVAL)
        handle = _lock(path)
    try:
        yield
    finally:
        with suppress(OSError):  # Windows cannot remove open files
            if os.path.samestat(os.stat(path), os.fstat(handle)):  # the folder may have been removed and made again
                path.unlink()
        os.close(handle)


def _lock(path: Path) -> int | None:
    """The file, open and locked; None if another process holds the lock."""
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
    os.close(handle)  # the previous holder has removed it meanwhile
    return _lock(path)


def clear_leavings(folder: Path, name: str = "*") -> None:
    """Remove temporary files that killed processes left in a folder: those of one file, or all.

    Call it only while holding the lock under which they are written; on a file system without locks nothing is removed.
    """
    for path in folder.glob(f".{name}.{'[0-9a-f]' * 16}"):
        with suppress(OSError), open(path, "r+b") as file:
            if take(file.fileno()):
                path.unlink()


def take(handle: int) -> bool | None:
    """Lock an open file without waiting: False if another process holds the lock, None on file systems without locks.

    The lock is released when the file is closed.
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
