"""What the pages show of the code itself: tables of corpora, models and recipes, and the help of each command.

A Sphinx extension with one directive, which parses what a function of this file writes in Markdown::

    ```{generated} corpora classification
    ```
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout, suppress
from importlib import import_module
from unittest import mock

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from textseq.checkpoints.registry import list_models
from textseq.commands.models import score
from textseq.config.recipes import read_recipe, recipes
from textseq.data.corpora.catalog import CorpusRecipe, recipe_files
from textseq.data.corpora.catalog import read_recipe as read_corpus
from textseq.data.readers.word_vectors import list_vectors


def corpora(task: str) -> str:
    """The corpora of a task."""
    every = (read_corpus(name, text) for name, text in recipe_files().items())
    return corpus_table(corpus for corpus in every if corpus.task == task)


def vectors() -> str:
    """The public word vectors."""
    return corpus_table(list_vectors())


def corpus_table(corpora: Iterable[CorpusRecipe]) -> str:
    rows = [
        (
            f"`{corpus.name}`",
            corpus.language,
            f"[{corpus.title}]({corpus.homepage})" if corpus.homepage.startswith("http") else corpus.title,
            corpus.purpose,
            f"{corpus.bytes / 1e6:,.1f}",
            corpus.licence,
        )
        for corpus in corpora
    ]
    return table(("name", "language", "what", "for", "MB", "licence"), rows)


def models() -> str:
    """The models that come with the package, from their cards."""
    rows = []
    for entry in list_models():
        if entry.shipped:
            size = sum(path.stat().st_size for path in entry.folder.iterdir()) / 1e6
            info = entry.info
            row = (
                f"`{entry.name}`",
                info.task,
                info.corpus.title,
                f"{size:.1f}",
                *score(info.results),
                info.corpus.licence,
            )
            rows.append(row)
    return table(("name", "task", "learned from", "MB", "on its test split", "licence of the text"), rows)


def training_recipes() -> str:
    """The recipes of ``--recipe``."""
    rows = [(f"`{name}`", f"`{read_recipe(name).get('corpus')}`", title) for name, title in recipes().items()]
    return table(("recipe", "corpus", "what"), rows)


def command_help(command: str, *flags: str) -> str:
    """All flags of a command."""
    main: Callable[[Sequence[str]], None] = import_module(f"textseq.cli.{command}").main
    out = io.StringIO()
    with mock.patch.dict(os.environ, COLUMNS="100"), redirect_stdout(out), suppress(SystemExit):
        main([*flags, "--help-all"])
    return f"```text\n{out.getvalue()}```"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


WRITERS: dict[str, Callable[..., str]] = {
    "corpora": corpora, "help": command_help, "models": models, "recipes": training_recipes, "vectors": vectors,
}  # fmt: skip


class Generated(SphinxDirective):
    """What a function of ``WRITERS`` writes, at this place of a page."""

    required_arguments = 1
    optional_arguments = 9

    def run(self) -> list[nodes.Node]:
        writer, *arguments = self.arguments
        return self.parse_text_to_nodes(WRITERS[writer](*arguments))


def setup(app: Sphinx) -> dict[str, object]:
    app.add_directive("generated", Generated)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
