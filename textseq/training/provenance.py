"""What a model was made with: versions, machine and command, as its ``config.json`` keeps them."""

from __future__ import annotations

import platform
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from textseq.checkpoints import checkpoint
from textseq.checkpoints.registry import Facts
from textseq.config.base import Settings
from textseq.config.names import Task
from textseq.data.labelled import FOLD, LabelledDataset
from textseq.data.sources import LabelledData
from textseq.training.distributed.environment import environment
from textseq.version import __version__


class Opened(Protocol):
    """What is known of any corpus."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def licence(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...


def facts_of(
    task: Task,
    origin: Settings,
    corpus: Opened,
    begun: tuple[str | None, checkpoint.Checkpoint | None],
    settings: tuple[Settings, Settings, Settings],
    **further: object,
) -> Facts:
    """What ``config.json`` says of a new run.

    Args:
        task: of the model.
        origin: what it learns from, as the user named it.
        corpus: the same, opened.
        begun: the model whose weights it begins with, by name, and opened.
        settings: of model, data and training.
        further: what only this task has to say.
    """
    tables, (init_from, base) = (one.to_dict() for one in settings), begun
    return {
        "task": task,
        "textseq": __version__,
        "source": origin.to_dict(),
        "corpus": {key: getattr(corpus, key) for key in ("name", "title", "licence", "fingerprint")},
        **further,
        "init_from": init_from,
        "learnt_before": learnt_from(base.facts) if base is not None else [],
        **dict(zip(("model", "data", "training"), tables, strict=True)),
    }


def learnt_from(facts: Facts) -> list[str]:
    """The names of the corpora that a model, and those that it began with, learnt from; a fold as such."""
    corpus, before = facts.get("corpus"), facts.get("learnt_before")
    own = [str(corpus["name"])] if isinstance(corpus, dict) and "name" in corpus else []
    return [*own, *(map(str, before) if isinstance(before, list) else [])]


def overlap(facts: Facts, corpus: LabelledDataset) -> str | None:
    """What a model learnt from that shares texts with those that a corpus is measured on, if anything does.

    The corpus itself does not, nor what is parted in the same way; but folds of either do.
    """
    for name in learnt_from(facts):
        whole = FOLD.sub("", name)
        parted_anew = whole != name and name != corpus.name
        if whole in {corpus.name, *corpus.same_split}:
            if parted_anew:
                return name
        elif whole in corpus.overlaps:
            return name
    return None


def spoiled(model: Path, known: str, corpus: LabelledDataset) -> str:
    """What is to be said where a model learnt from what ``overlap`` found."""
    return (
        f"{model} learnt from '{known}', which shares texts with '{corpus.name}': what is measured here says little "
        "of new texts"
    )


def shared_texts(facts: Facts, origin: LabelledData, corpus: LabelledDataset) -> str | None:
    """What a model learnt from of all that an origin names: a corpus, or a file; None if it is nothing."""
    names = {FOLD.sub("", name) for name in learnt_from(facts)}
    whole = FOLD.sub("", corpus.name)
    if whole in names:
        return f"'{whole}'"
    if shared := names.intersection(corpus.overlaps):
        return f"'{min(shared)}', which shares texts with '{whole}'"
    source = facts.get("source")
    known = source if isinstance(source, dict) else {}
    read = {str(path) for key in ("labelled", "validation_labelled", "text") for path in known.get(key) or ()}
    return next((path for path in (*origin.labelled, *origin.validation_labelled) if path in read), None)


SECRET = re.compile(
    r"(--?[\w-]*(?:token|secret|password|passwd|credentials?|api-?key))(=.*)?", re.IGNORECASE | re.DOTALL
)
"""A flag of somebody's own program that no one else should read the value of; our commands have none."""

LOGIN = re.compile(r"(?<=://)[^/@\s]+@")
"""In a URL."""


def made_with(device: torch.device) -> Facts:
    """The versions, the machine and the command of this process.

    With the same of them, the same seed and the same text a run gives the same weights, bit for bit.
    """
    return {
        "textseq": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "processes": environment().count,
        "command": shown(sys.argv),
    }


def shown(arguments: Sequence[str]) -> str:
    """A command line as one would type it, without folders of the program and anything secret."""
    program, *rest = arguments or [""]
    path = Path(program)
    said = ["python", "-m", f"textseq.cli.{path.stem}"] if path.parent.name == "cli" else [path.name]
    hidden = False
    for argument in rest:
        flag = SECRET.fullmatch(argument)
        if flag:
            argument = flag[1] + ("=..." if flag[2] else "")
        elif hidden and not argument.startswith("-"):
            argument = "..."
        hidden = flag is not None and not flag[2]
        said.append(LOGIN.sub("...@", argument))
    return shlex.join(said)


def changes(before: object, now: Facts) -> str:
    """In what a run that goes on differs from how it began, in words; empty if in nothing that could change a bit.

    Args:
        before: what ``made_with`` found when it began; nothing is known of runs of older versions.
        now: what it finds.
    """
    if not isinstance(before, dict):
        return ""
    others = [what for what in now if what != "command" and what in before and before[what] != now[what]]
    then, since = (", ".join(f"{what} {facts[what]}" for what in others) for facts in (before, now))
    return f"the run began with {then} and goes on with {since}: not bit for bit the same" if others else ""
