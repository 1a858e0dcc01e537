"""Pictures look the same everywhere: matplotlib's own defaults, and no text in them is markup."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import chdir, contextmanager, suppress
from pathlib import Path


@contextmanager
def default_style() -> Iterator[None]:
    """Draw in this block with matplotlib's defaults, whatever a matplotlibrc says; also a decorator.

    LaTeX and mathematics in ``$`` are off: labels and names are drawn as they are.
    """
    _import_matplotlib()
    import matplotlib

    with matplotlib.rc_context():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # settings that another version of matplotlib is about to drop
            for name, value in matplotlib.rcParamsDefault.items():
                if name != "backend":
                    matplotlib.rcParams[name] = value
        matplotlib.rcParams["text.usetex"] = matplotlib.rcParams["text.parse_math"] = False
        yield


def _import_matplotlib() -> None:
    """Import matplotlib for the first time, without a backend that it does not know and without its warnings."""
    if "matplotlib" in sys.modules:
        return
    backend, log = os.environ.pop("MPLBACKEND", None), logging.getLogger("matplotlib")
    before, log.disabled = log.disabled, True
    try:
        try:
            import matplotlib
        except Exception:  # a matplotlibrc that cannot be read
            _import_without_settings()
        import matplotlib

        if backend:
            with suppress(ValueError):
                matplotlib.rcParams["backend"] = backend
    finally:
        log.disabled = before
        if backend is not None:
            os.environ["MPLBACKEND"] = backend


def _import_without_settings() -> None:
    """Import matplotlib in a folder with an empty matplotlibrc."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        del sys.modules[name]
    with tempfile.TemporaryDirectory() as empty, chdir(empty):
        Path("matplotlibrc").touch()  # the one that matplotlib reads first
        import matplotlib  # noqa: F401
