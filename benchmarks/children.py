"""Python programs in child processes that start at once, because torch and textseq are imported already.

The children are forks of a server process (multiprocessing's forkserver), not of this process, which may have threads.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

if sys.platform != "win32":
    from multiprocessing.connection import Connection

    SERVER = multiprocessing.get_context("forkserver")
    SERVER.set_forkserver_preload(
        [f"textseq.cli.{name}" for name in ("classify", "evaluate", "sample", "tag", "train", "translate")]
        + ["textseq.tasks.registry", "textseq.commands.shards", "torch.distributed.run", "torch._dynamo", "pytest"]
        + ["matplotlib.backends.backend_agg", "matplotlib.figure", "sentencepiece"]
    )

PRELUDE = """
import os, sys
os.chdir(folder)
os.environ.clear()
os.environ.update(environment)
for descriptor, stream in enumerate(streams):
    os.dup2(stream.fileno(), descriptor)
sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)
sys.argv = ["-c", *arguments]
exec(code, {"__name__": "__main__"})
"""


class Child:
    """``python -c code arguments``, with the interface of subprocess.Popen.

    Args:
        code: the program.
        arguments: its arguments.
        environment: its environment variables; by default those of this process.
        folder: its current folder; by default that of this process.
        stdin, stdout, stderr: descriptors; by default stdin is empty and ``communicate`` returns the other two.
    """

    def __init__(
        self,
        code: str,
        arguments: Sequence[str] = (),
        environment: dict[str, str] | None = None,
        folder: Path | None = None,
        *,
        stdin: int | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
    ) -> None:
        self.files = [tempfile.TemporaryFile() for _ in range(3)]  # noqa: SIM115  ``wait`` closes them
        self.output: list[str] = []
        given = zip((stdin, stdout, stderr), self.files, strict=True)
        streams = [Connection(os.dup(file.fileno() if number is None else number)) for number, file in given]
        names = {
            "code": code,
            "arguments": list(arguments),
            "environment": dict(os.environ if environment is None else environment),
            "folder": str(folder or Path.cwd()),
            "streams": streams,
        }
        self.process = SERVER.Process(target=exec, args=(PRELUDE, names))
        self.process.start()
        for stream in streams:
            stream.close()

    @property
    def pid(self) -> int:
        """The process id."""
        assert self.process.pid is not None
        return self.process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self.process.exitcode

    def poll(self) -> int | None:
        """The same as ``returncode``."""
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM, unless it has ended."""
        self.process.terminate()

    def kill(self) -> None:
        """Send SIGKILL."""
        self.process.kill()

    def wait(self, timeout: float = 100) -> int:
        """Wait for the end; return the exit code."""
        self.process.join(timeout)
        if self.process.exitcode is None:
            self.kill()
            raise TimeoutError(f"a child runs for more than {timeout:g} seconds")
        for file in self.files:
            file.seek(0)
            self.output.append(file.read().decode())
            file.close()
        self.files.clear()
        return self.process.exitcode

    def communicate(self, timeout: float = 100) -> tuple[str, str]:
        """Wait for the end; return stdout and stderr."""
        self.wait(timeout)
        _, out, err = self.output
        return out, err
