"""textseq: all commands under one name; `textseq train` is the same as `textseq-train`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

from textseq.commands.command import run
from textseq.commands.help import wrapped_rows
from textseq.errors import unknown
from textseq.version import __version__

COMMANDS: Mapping[str, str] = {
    "train": "Train a model on a corpus or on your own files.",
    "sample": "Write in an author's style; show surprisal and memorization.",
    "translate": "Translate text, one sentence per line.",
    "classify": "Classify texts, one text per line.",
    "tag": "Tag the words of sentences, one sentence per line.",
    "serve": "Serve models: a web page, and the protocols of OpenAI and LibreTranslate.",
    "evaluate": "Measure a model on a corpus or on your own files.",
    "export": "Export a model to ONNX, for other programs and the browser.",
}

HELP = """usage: textseq COMMAND [--flag value ...]

Recurrent networks on text. textseq COMMAND --help shows the flags of a command; textseq-COMMAND is the same.

Examples:
  textseq train tinyshakespeare --download --max-minutes 5
  textseq sample --author tinyshakespeare --prompt "ROMEO:"
  textseq train --list-corpora

Commands:"""


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in COMMANDS:
        command: Callable[[Sequence[str]], None] = import_module(f"textseq.cli.{words[0]}").main
        command(words[1:])
    run("textseq", _help, words)


def _help(words: Sequence[str]) -> None:
    """Print the commands."""
    if words and words[0] == "--version":
        print(f"textseq {__version__}")
    elif words and words[0] not in ("-h", "--help", "--help-all", "help"):
        raise unknown("command", words[0], COMMANDS)
    else:
        print(wrapped_rows(HELP, COMMANDS))


if __name__ == "__main__":
    main()
