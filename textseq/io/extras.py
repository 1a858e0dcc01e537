"""Optional packages, which an extra of textseq installs."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from textseq.errors import TextseqError


def optional(module: str, extra: str, *, needed_for: str) -> ModuleType:
    """Import an optional package.

    Args:
        module: its name, such as "yaml".
        extra: the extra that installs it: ``pip install "textseq[EXTRA]"``.
        needed_for: the flag or feature that needs it; it begins the error.

    Raises:
        TextseqError: it is not installed.

    Example:
        >>> yaml = optional("yaml", "data", needed_for="a recipe in YAML")
    """
    try:
        return import_module(module)
    except ImportError:
        raise TextseqError(
            f'{needed_for} needs a package that is not installed; install it with: pip install "textseq[{extra}]"'
        ) from None
