"""Python programs in child processes that start at once, because torch and textseq are imported already.

The children are forks of a server process (multiprocessing's forkserver), not of the test process, which has threads.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

if sys.platform != "win32":
    SERVER = multiprocessing.get_context("forkserver")
    SERVER.set_forkserver_preload(
        [f"textseq.cli.{name}" for name in ("classify", "evaluate", "sample", "tag", "train", "translate")]
        + ["textseq.tasks.registry", "textseq.commands.shards", "torch.distributed"]
    )

PRELUDE = """
import os, sys
os.chdir(folder)
os.environ.clear()
os.environ.update(environment)
for descriptor, path in ((1, output), (2, errors)):
    os.dup2(os.open(path, os.O_WRONLY), descriptor)
sys.argv = ["-c", *arguments]
exec(code, {"__name__": "__main__"})
"""


class Child:
    """``python -c code arguments`` in the current folder, with an environment; the interface of subprocess.Popen."""

    def __init__(self, code: str, arguments: Sequence[str] = (), environment: dict[str, str] | None = None) -> None:
        self.files = [Path(tempfile.mkstemp(prefix="textseq-child-")[1]) for _ in range(2)]
        names = {
            "code": code,
            "arguments": list(arguments),
            "environment": dict(os.environ if environment is None else environment),
            "folder": os.getcwd(),
            "output": str(self.files[0]),
            "errors": str(self.files[1]),
        }
        self.process = SERVER.Process(target=exec, args=(PRELUDE, names))
        self.process.start()

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self.process.exitcode

    def poll(self) -> int | None:
        """The same as ``returncode``."""
        return self.process.exitcode

    def kill(self) -> None:
        """Send SIGKILL."""
        self.process.kill()

    def communicate(self, timeout: float = 100) -> tuple[str, str]:
        """Wait for the end; return stdout and stderr."""
        self.process.join(timeout)
        if self.process.exitcode is None:
            self.kill()
            raise TimeoutError(f"a child runs for more than {timeout:g} seconds")
        out, err = (path.read_text() for path in self.files)
        for path in self.files:
            path.unlink()
        return out, err
