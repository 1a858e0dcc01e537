"""Flags and help: what a newcomer types first, mistyped and outdated flags, a task that the commands do not know."""

from __future__ import annotations

import dataclasses
import importlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from textseq.commands.flags import flags_of, read
from textseq.commands.help import COMMON, completions, wrapped
from textseq.commands.renamed import NAMES, TASKS
from textseq.commands.train import Named, options_for
from textseq.data.sources import TextData
from textseq.data.text import TextDataset, own_text
from textseq.tasks import registry
from textseq.tasks.language_model.spec import LANGUAGE_MODEL
from textseq.version import __version__

Command = Callable[..., tuple[int, str, str]]

ALL = ["train", "sample", "translate", "classify", "tag", "evaluate", "export", "serve"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty home."""
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TEXTSEQ_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize("name", ALL)
def test_help_fits_the_terminal(command: Command, name: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    code, out, err = command(name, "--help-all")
    assert (code, err) == (0, "")
    lines = [line for line in out.splitlines() if "{" not in line and not line.startswith("  textseq-")]
    examples = out[out.index("Examples:") : out.index("Options:")].splitlines()
    assert max(map(len, set(lines) - set(examples))) <= width
    filled = [line for line in lines if len(line) > width - 15]
    assert filled, "paragraphs fill the lines"


@pytest.mark.parametrize("name", ALL)
def test_help_shows_the_common_flags_and_help_all_shows_all(command: Command, name: str) -> None:
    few, everything = (
        re.findall(r"^  (?:[A-Z]|--[a-z-]+).*", command(name, f"--{flag}")[1], re.M) for flag in ("help", "help-all")
    )
    assert set(few) <= set(everything) and len(few) <= 24
    last = command(name, "--help")[1].splitlines()[-1]
    assert ("--help-all shows all" in " ".join(command(name, "--help")[1].split())) == (few != everything), last
    assert command(name, "-h") == command(name, "--help")


def test_common_settings_exist() -> None:
    names = {"textseq-train": {name for task in registry.TASKS for name in _fields(options_for(task))}}
    for module, options in (("sample", "Sample"), ("translate", "Translate"), ("evaluate", "evaluate_options")):
        names[f"textseq-{module}"] = _fields(getattr(importlib.import_module(f"textseq.cli.{module}"), options)())
    for prog, common in COMMON.items():
        assert set(common.split()) <= names[prog], prog


def _fields(options: object) -> set[str]:
    return {path[-1] for flag in flags_of(options).values() for path in flag.paths}


def test_paragraphs_are_wrapped_and_examples_are_kept() -> None:
    text = "One two\nthree four.\n\nExamples:\n  textseq-train a   b\n  textseq-train\n  textseq x     c\n\nEnd."
    narrow = "  textseq-train a\n      b\n  textseq-train\n  textseq x\n      c\n"
    assert wrapped(text, 12) == f"One two\nthree four.\n\nExamples:\n{narrow}\nEnd."
    wide = "  textseq-train a  b\n  textseq-train\n  textseq x        c\n"
    assert wrapped(text, 80) == f"One two three four.\n\nExamples:\n{wide}\nEnd."


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train --hiden-size 3", "unknown flag --hiden-size; did you mean --hidden-size?"),
        ("train --lr 3", "unknown flag --lr; use --learning-rate"),
        ("train --epochs 3", "unknown flag --epochs; use --max-epochs"),
        ("train --layers 2", "unknown flag --layers; use --num-layers"),
        ("train --n_layers 2", "unknown flag --n_layers; use --num-layers"),
        ("train multi30k --num-layers=2", "--num-layers; use --num-encoder-layers or --num-decoder-layers"),
        ("train multi30k --encoder-layers 2", "unknown flag --encoder-layers; use --num-encoder-layers"),
        ("train --pieces 2", "unknown flag --pieces; use --micro-batches"),
        ("train --max-rewinds 2", "unknown flag --max-rewinds; use --max-rollbacks"),
        ("train --emb_size 2", "unknown flag --emb_size; use --embedding-size"),
        ("train --task translator", "--task: expected a task, got 'translator'; use --task translation"),
        ("train --task taging", "unknown task in --task 'taging'; did you mean 'tagging'"),
        ("train multi30k --stride 3", "--stride is not a flag of a translator (as corpus 'multi30k' says); "),
        ("train --hidden-size", "--hidden-size: expected a value (INT), got nothing"),
        ("train --hidden-size --cell gru", "--hidden-size: expected a value (INT), got the flag --cell; write"),
        ("train --hidden-size x", "--hidden-size: expected a whole number, got 'x'"),
        ("train --max-minutes soon", "--max-minutes: expected a number, got 'soon'"),
        ("train --batch-size all", "--batch-size: expected a whole number or auto, got 'all'"),
        ("train --cell lsmt", "gru-reset-before, mingru or minlstm, got 'lsmt'; did you mean lstm?"),
        ("train --overwrite=yes", "--overwrite takes no value, got 'yes'; leave it out"),
        ("train --zzzzzz", "unknown flag --zzzzzz; textseq-train --help-all shows all flags"),
        ("sample shakespeare", "unexpected 'shakespeare'; write --author before it"),
        ("translate hi there", "unexpected 'there'; put a value that has spaces in quotes"),
        ("sample --output a.txt", "unknown flag --output; textseq-sample writes to stdout: add > FILE"),
        ("sample --int8", "unknown flag --int8; use --precision int8"),
        ("sample --show-surprise", "unknown flag --show-surprise; use --show-surprisal"),
        ("sample --surprise-html a", "unknown flag --surprise-html; use --surprisal-html"),
        ("sample --novelty", "unknown flag --novelty; use --memorization"),
        ("translate --short-list", "unknown flag --short-list; use --shortlist"),
        ("classify --bfloat16", "unknown flag --bfloat16; use --precision bfloat16"),
        ("tag --list-authors", "unknown flag --list-authors; use --list-models"),
        ("tag --precision int7", "--precision: expected float32, bfloat16 or int8, got 'int7'; did you mean int8?"),
        ("tag --model a b c", "--model: expected one name, got a b c; leave out b c"),
        ("tag Time flies", "unexpected 'flies'; put a value that has spaces in quotes, several texts in lines"),
        ("train --batch_sizes 3", "unknown flag --batch_sizes; did you mean --batch-size?"),
        ("train --train_file a", "unknown flag --train_file; use --text"),
        ("train --warmup 3", "unknown flag --warmup; use --warmup-steps"),
        ("train --dropout_rate 0.1", "unknown flag --dropout_rate; use --dropout"),
        ("train --early-stopping 3", "unknown flag --early-stopping; use --patience"),
        ("evaluate --part test", "unknown flag --part; use --split"),
        ("train --print-completion csh", "unknown shell for --print-completion: 'csh'; did you mean 'tcsh'"),
    ],
)  # fmt: skip
def test_a_wrong_flag_is_one_line_with_the_right_one(command: Command, arguments: str, message: str) -> None:
    name, *rest = arguments.split()
    code, out, err = command(name, *rest)
    assert (code, out, len(err.splitlines())) == (2, "", 1), err
    assert message in err


def test_a_text_without_its_flag_is_taken_for_the_prompt(command: Command) -> None:
    assert command("sample", "Once upon", "--author", "poe")[2].endswith(
        "unexpected 'Once upon'; write --prompt before it\n"
    )


def test_every_name_that_is_offered_exists() -> None:
    known = {flag for task in registry.TASKS for flag in flags_of(options_for(task))}
    for module, options in (
        ("sample", "Sample"),
        ("translate", "Translate"),
        ("tag", "Tag"),
        ("evaluate", "evaluate_options"),
    ):
        known |= set(flags_of(getattr(importlib.import_module(f"textseq.cli.{module}"), options)()))
    for use in NAMES:
        for flag in re.findall(r"--[a-z-]+", use):
            assert flag in known | {"--print-completion"}, use
    assert set(TASKS.values()) <= {task.name for task in registry.TASKS}


@pytest.mark.parametrize(("flag", "value"), [("--hidden_size", "7"), ("--hidden-size=7", ""), ("--hidden-size", "7")])
def test_flags_may_be_written_in_other_ways(command: Command, flag: str, value: str) -> None:
    code, _, err = command("train", flag, *[value] * bool(value), "--learning-rate", "0")
    assert code == 2 and "--learning-rate" in err, "it came to the next flag"


def test_a_list_that_is_given_twice_has_the_values_of_both() -> None:
    options = options_for(LANGUAGE_MODEL)
    arguments = ["--text", "a", "b", "--max-steps", "1", "--text=c", "--max-steps", "2"]
    found, _ = read(options, flags_of(options), arguments, prog="x", elsewhere=lambda flag: None)
    assert (found.source.files, found.training.max_steps) == (("a", "b", "c"), 2)
    assert Named(["--distil-from", "a", "--distil-from", "b", "--name", "c", "--name", "d"]).values == {
        "--distil-from": ["a", "b"],
        "--name": ["d"],
    }


def test_completion_knows_every_flag() -> None:
    flags = flags_of(options_for(LANGUAGE_MODEL))
    scripts = completions(flags, "textseq-train")
    assert set(scripts) == {"bash", "zsh", "fish", "tcsh"}
    for script in scripts.values():
        assert all(flag[2:] in script for flag in flags if flag.startswith("--"))


def test_one_command_for_all(capfd: pytest.CaptureFixture[str]) -> None:
    main = importlib.import_module("textseq.cli.main").main
    for arguments, code, words in (
        (["--help"], 0, "translate"),
        ([], 0, "usage: textseq COMMAND"),
        (["--version"], 0, __version__),
        (["trian"], 2, "textseq: unknown command 'trian'; did you mean 'train'?"),
        (["train", "--version"], 0, f"textseq-train {__version__}"),
        (["tag", "--help"], 0, "usage: textseq-tag"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert (stop.value.code or 0) == code
        assert words in "".join(capfd.readouterr())
    assert set(importlib.import_module("textseq.cli.main").COMMANDS) == set(ALL)


@dataclass(frozen=True, kw_only=True)
class LetterData(TextData):
    """Your own letters."""

    own_files: ClassVar[str] = "letters"

    letters: tuple[str, ...] = ()
    """Files of letters."""

    def open(self, *, data_dir: Path | None = None, download: bool = False) -> TextDataset:
        """The letters."""
        return own_text([Path(path) for path in self.letters], validation=self.validation)

    def default_name(self, dataset: object) -> str:
        """The run's name."""
        return "letters"


def test_a_fifth_task_is_trained_and_evaluated(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fifth = dataclasses.replace(
        LANGUAGE_MODEL,
        name="letters",
        noun="a letter model",
        source=LetterData,
        examples="textseq-train --letters a.txt",
    )
    monkeypatch.setattr(registry, "TASKS", (*registry.TASKS, fifth))
    (tmp_path / "a.txt").write_text("abcdefgh\n" * 300)
    shown = command("train", "--task", "letters", "--help")[1]
    assert "Train a letter model." in shown and "textseq-train --letters a.txt" in shown and "--letters PATH" in shown
    assert "--task letters --help" in command("train", "--help")[1]
    tiny = ["--hidden-size", "8", "--embedding-size", "4", "--batch-size", "4", "--window", "16", "--max-steps", "4"]
    code, _, err = command("train", "--letters", "a.txt", *tiny)
    assert code == 0, err
    code, _, err = command("train", "--resume", "letters", "--max-steps", "6")
    assert code == 0, err
    code, out, err = command("evaluate", "--letters", "a.txt", "--model", "letters")
    assert code == 0 and "nats per token" in out, err
    assert "--letters for a letter model" in command("evaluate", "--model", "letters")[2]
    err = command("train", "--letters", "a.txt", "--pairs", "a.txt")[2]
    assert "--pairs asks for a translator, --letters for a letter model" in err


LISTS = [f"train --list-{what}" for what in ("corpora", "recipes", "vectors")]
LISTS += [f"{name} --list-models" for name in ("translate", "classify", "tag")]


@pytest.mark.parametrize("arguments", LISTS)
def test_every_list_is_json_too(command: Command, arguments: str) -> None:
    name, *rest = arguments.split()
    lines, records = command(name, *rest)[1], command(name, *rest, "--json")[1].splitlines()
    names = [json.loads(line)["name"] for line in records]
    assert len(set(names)) == len(names) and all(name in lines for name in names)
    assert names or "No models yet" in lines


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("novel.txt", "--text novel.txt"),
        ("reviews.csv", "--labelled reviews.csv"),
        ("rows.tsv.gz", "--labelled rows.tsv.gz or --pairs rows.tsv.gz"),
        ("my words.conll", "--tagged 'my words.conll'"),
    ],
)
def test_a_file_instead_of_a_corpus_is_told_its_flag(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, flags: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text("a\n")
    code, out, err = command("train", name)
    assert (code, out, err) == (2, "", f"textseq-train: {name} is a file, not a corpus; use {flags}\n")
