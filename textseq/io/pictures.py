"""Pictures look the same everywhere: matplotlib's own defaults, and no text in them is markup."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from textseq.errors import TextseqError


@contextmanager
def default_style() -> Iterator[None]:
    """Draw in this block with matplotlib's defaults, whatever a matplotlibrc says; also a decorator.

    LaTeX and mathematics in ``$`` are off: labels and names are drawn as they are.

    Raises:
        TextseqError: matplotlib does not start.
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
        import matplotlib

        if backend:
            with suppress(ValueError):
                matplotlib.rcParams["backend"] = backend
    except Exception as error:  # such as a matplotlibrc in the current folder that is no text
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise TextseqError(f"no picture is drawn, as matplotlib does not start ({reason}); see matplotlibrc") from error
    finally:
        log.disabled = before
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
