"""The help of a command, wrapped to the terminal's width; shell completion from the same flags."""

from __future__ import annotations

import ast
import inspect
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import groupby, pairwise

from textseq.commands.flags import Flag

COMMON: Mapping[str, str] = {
    "textseq-train": "text source target cell num_layers hidden_size dropout attention pooling output tokenizer "
    "batch_size learning_rate max_epochs max_minutes device seed",
    "textseq-sample": "max_new_tokens temperature top_k top_p num_beams num_return_sequences seed stop_strings "
    "show_surprisal memorization text dynamic cache",
    "textseq-translate": "num_beams length_penalty num_return_sequences max_new_tokens temperature seed",
    "textseq-evaluate": "window dynamic cache source target num_beams compare",
}
"""Settings that ``--help`` of a command shows, besides its own flags; ``--help-all`` shows the others too."""

FEW = 24
"""Commands with so many flags at most show them all."""

INDENT = 26
"""Columns before the help of a flag; in a narrow terminal it is below the flag."""


def help_text(description: str, flags: Mapping[str, Flag], prog: str, *, everything: bool) -> str:
    """The help of a command: description, examples, all flags or only the common ones."""
    width = max(shutil.get_terminal_size().columns, 40)
    shown = [flag for flag in flags.values() if everything or len(flags) <= FEW or _is_common(flag, prog)]
    words = [f"[{flag.metavar}]" for flag in flags.values() if flag.about.get("positional")]
    parts = [" ".join(["usage:", prog, *words, "[--flag value ...]"]), wrapped(description, width)]
    for owner in dict.fromkeys(_group(flag) for flag in shown):
        heading = (inspect.getdoc(owner) or "").split("\n\n")[0] if owner else "Options"
        rows = [_row(flag, width) for flag in shown if _group(flag) == owner]
        if owner is None:
            rows += [_two_columns("--version", "Show the version, and exit.", width)]
            rows += [_two_columns("-h, --help", "Show this help, and exit.", width)]
            if everything or len(flags) <= FEW:
                script = "Print a script that completes this command for bash, zsh, fish or tcsh, and exit."
                rows += [_two_columns("--print-completion SHELL", script, width)]
        parts.append("\n".join([wrapped(" ".join(heading.split()).rstrip(".") + ":", width), *rows]))
    if len(shown) < len(flags):
        more = f"These are the common flags. {prog} --help-all shows all {len(flags)}."
        parts.append(wrapped(more, width))
    return "\n\n".join(part for part in parts if part)


def _group(flag: Flag) -> type | None:
    """The settings class that a flag belongs to; None: the command itself."""
    return flag.owner if len(flag.paths[0]) > 1 else None


def _is_common(flag: Flag, prog: str) -> bool:
    if len(flag.paths[0]) == 1:
        return not flag.about.get("rare")
    return flag.paths[0][-1] in (*COMMON.get(prog, "").split(), getattr(flag.owner, "own_files", ""))


def wrapped(text: str, width: int) -> str:
    """Paragraphs filled to a width; indented lines are examples, with a comment after two spaces or more."""
    lines: list[str] = []
    for kind, rows in groupby(text.splitlines(), key=lambda line: " " if line[:1].isspace() else line and "text"):
        block = list(rows)
        if kind == " ":
            lines += _examples([row.strip().partition("  ") for row in block], width)
        else:
            lines += textwrap.wrap(" ".join(block), width, break_on_hyphens=False) or block
    return "\n".join(lines)


def _examples(rows: Sequence[tuple[str, str, str]], width: int) -> list[str]:
    """Commands and comments in two columns; if a comment does not fit, all go below their commands."""
    column = max((len(command) for command, _, comment in rows if comment), default=0)
    if any(comment and column + 4 + len(comment.strip()) > width for _, _, comment in rows):
        return "\n".join(
            f"  {command}" + f"\n      {comment.strip()}" * bool(comment) for command, _, comment in rows
        ).splitlines()
    return [f"  {command.ljust(column)}  {comment.strip()}".rstrip() for command, _, comment in rows]


def _row(flag: Flag, width: int) -> str:
    names = [flag.name] + ([str(flag.about["alias"])] if "alias" in flag.about else [])
    if flag.about.get("positional"):
        names = [flag.metavar]
    elif flag.hint is bool:
        names += [f"--no-{flag.name[2:]}"] * (flag.default is True)
    else:
        names[-1] += f" {flag.metavar}"
    return _two_columns(", ".join(names), " ".join(f"{field_help(flag)} {_default(flag)}".split()), width)


def _default(flag: Flag) -> str:
    value = flag.default
    if value is None or value is False or value in ("", (), {}):
        return ""
    shown = "on" if value is True else " ".join(map(str, value)) if isinstance(value, tuple) else value
    return f"(default: {shown})"


def _two_columns(left: str, right: str, width: int) -> str:
    indent = " " * (INDENT if width >= 80 else 6)
    lines = textwrap.wrap(right, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
    if len(left) + 4 > len(indent) or not lines:
        head = textwrap.wrap(left, width, initial_indent="  ", subsequent_indent="      ", break_on_hyphens=False)
        return "\n".join(head + lines)
    return "\n".join([f"  {left}".ljust(len(indent)) + lines[0].lstrip(), *lines[1:]])


def wrapped_rows(heading: str, rows: Mapping[str, str]) -> str:
    """A heading and two columns, wrapped to the terminal's width."""
    width = max(shutil.get_terminal_size().columns, 40)
    return "\n".join([wrapped(heading, width), *(_two_columns(left, right, width) for left, right in rows.items())])


def field_help(flag: Flag) -> str:
    """The docstring below a field."""
    return next((docs[flag.paths[0][-1]] for docs in map(_docs, flag.owner.__mro__) if flag.paths[0][-1] in docs), "")


@cache
def _docs(owner: type) -> dict[str, str]:
    """The docstrings below the fields of a class."""
    try:
        (parsed,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    except (OSError, TypeError):  # a class that was made at run time
        return {}
    docs = {}
    assert isinstance(parsed, ast.ClassDef)
    for item, below in pairwise(parsed.body):
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and isinstance(below, ast.Expr):
            docs[item.target.id] = str(ast.literal_eval(below.value))
    return docs


LISTS: Mapping[str, str] = {"model": "--list-models", "recipe": "--list-recipes", "corpus": "--list-corpora"}
"""For a field the flag of the same command that lists its values."""

FIRST_WORDS = "sed -n 's/^[* ]* *\\([^ ()]*\\)  .*/\\1/p'"
"""Shell: the names in a list."""


def completions(flags: Mapping[str, Flag], prog: str) -> dict[str, str]:
    """Scripts that complete a command's flags, and the names of models, recipes and corpora, by shell."""
    names = [name for flag in flags.values() for name in flag.names if name.startswith("--")]
    words = " ".join([*names, "--help", "--help-all", "--version"])
    listed = [
        (flag, f"{prog} {LISTS[field]} 2>/dev/null | {FIRST_WORDS}")
        for field, flag in ((flag.paths[0][-1], flag) for flag in flags.values())
        if LISTS.get(field) in flags
    ]
    cases, fish = [], [f"complete -c {prog} -l {word[2:]}" for word in words.split()]
    for flag, command in listed:
        if flag.about.get("positional"):
            cases.append(f'    {prog}) words+=" $({command})" ;;')
            fish.append(f"complete -c {prog} -n __fish_is_first_arg -a '({_quoted(command)})'")
        else:
            options = [name for name in flag.names if not name.startswith("--no-")]
            cases.append(f"    {'|'.join(options)}) words=$({command}) ;;")
            fish += [f"complete -c {prog} -l {name[2:]} -xa '({_quoted(command)})'" for name in options]
    function = f"_{prog.replace('-', '_')}"
    choose = "\n".join([f'  local words="{words}"', "  case $before in", *cases, "  esac"])
    return {
        "bash": f"{function}() {{\n"
        "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]##*/}\n"
        f'{choose}\n  COMPREPLY=($(compgen -W "$words" -- "$word"))\n}}\n'
        f"complete -o default -F {function} {prog}",
        "zsh": f"#compdef {prog}\nlocal before=${{words[CURRENT-1]:t}}\n"
        f"() {{\n{choose}\n  compadd -- ${{=words}}\n}}\n[[ $PREFIX == -* ]] || _files",
        "fish": "\n".join(fish),
        "tcsh": f"complete {prog} 'c/--/({words.replace('--', '')})/' 'p/*/f/'",
    }


def _quoted(command: str) -> str:
    """A command within single quotes of fish."""
    return command.replace("\\", "\\\\").replace("'", "\\'")
