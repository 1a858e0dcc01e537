"""The commands as a user meets them: help, lists, the whole path from text to text, and every kind of bad input.

Each mistake gives one line on stderr and exit code 2, and leaves nothing half-written behind.
"""

from __future__ import annotations

import csv
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

import pytest
from children import Child
from configs import edit_config

import textseq
from textseq.commands.command import run
from textseq.data.corpora.catalog import list_corpora
from textseq.errors import TextseqError
from textseq.version import __version__

TEXT = "To be, or not to be, that is the question:\nWhether 'tis nobler in the mind to suffer\n" * 30
TINY = ["--hidden-size", "8", "--embedding-size", "4", "--batch-size", "4", "--window", "16", "--max-steps", "4"]

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty home, below the current folder."""
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TEXTSEQ_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """A file with a little text."""
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder, hardly trained."""
    home = tmp_path_factory.mktemp("trained")
    path = home / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as stop:
        patch.setenv("TEXTSEQ_HOME", str(home))
        run("textseq-train", import_module("textseq.cli.train").train, ["--text", str(path), "--name", "mine", *TINY])
    assert not stop.value.code
    return home / "runs" / "mine"


@pytest.fixture
def trained(trained_once: Path, tmp_path: Path) -> Path:
    """A copy of it, in the home."""
    return Path(shutil.copytree(trained_once, tmp_path / "home" / "runs" / "mine"))


def refused(result: tuple[int, str, str], message: str) -> None:
    """One line on stderr that matches, exit code 2, nothing on stdout."""
    code, out, err = result
    assert code == 2, (code, out, err)
    assert out == ""
    lines = [line for line in err.splitlines() if line.startswith("textseq-")]
    assert lines == err.splitlines()[-1:], err
    assert "Traceback" not in err
    assert re.search(message, lines[0]), lines[0]


# The way that a user goes


def test_a_closed_stderr_is_no_error(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(arguments: Sequence[str]) -> None:
        raise TextseqError("an error that no one sees")

    for command, code in ((lambda arguments: print(sys.stderr.isatty()), 0), (fail, 2)):
        monkeypatch.setattr(sys, "stderr", None)
        with pytest.raises(SystemExit) as stop:
            run("textseq-tag", command, [])
        sys.stderr.close()
        assert stop.value.code == code
    assert capsys.readouterr().out == "False\n"


@pytest.mark.usefixtures("draws_curve")
def test_from_text_to_text(command: Command, trained: Path) -> None:
    for name in ("README.md", "log.jsonl", "curve.png"):
        assert (trained / name).stat().st_size > 0
    code, out, _ = command("sample", "--author", "mine", "--prompt", "To be", "--max-new-tokens", "30", "--seed", "3")
    assert code == 0
    assert out.startswith("To be")
    assert len(out) == len("To be") + 30 + 1
    assert out == command("sample", "--author", "mine", "--prompt", "To be", "--max-new-tokens", "30", "--seed", "3")[1]
    code, out, _ = command("sample", "--model", trained, "--num-return-sequences", "3", "--max-new-tokens", "5")
    assert code == 0
    assert [line for line in out.splitlines() if line.startswith("---")] == ["--- 1 ---", "--- 2 ---", "--- 3 ---"]


def test_evaluate_prints_the_number_and_its_signature(command: Command, trained: Path, text: Path) -> None:
    code, out, _ = command("evaluate", "--text", text, "--model", "mine")
    assert code == 0
    number, signature = out.splitlines()
    assert re.fullmatch(
        r"\d\.\d{4} nats per token, \d\.\d{4} bits per character, perplexity [\d.]+ \([\d,]+ tokens\), "
        r"per word [\d.,e+]+ \([\d,]+ words\)",
        number,
    )
    assert signature.endswith(f"split:whole|tokens:char-norm-lines|state:carried|streams:1|textseq:{__version__}")
    windowed = command("evaluate", "--text", text, "--model", "mine", "--window", "16")[1].splitlines()
    assert "state:fresh-per-window|window:16" in windowed[1]
    assert windowed[0] != number
    flags = ["--dynamic", "--dynamic-window", "16", "--cache", "--cache-size", "100"]
    adapted = command("evaluate", "--text", text, "--model", "mine", *flags)[1].splitlines()
    assert re.search(
        r"\|state:carried\|streams:1\|dynamic:\w+-rate-[\d.e-]+-decay-[\d.e-]+-window-16\|cache:100-", adapted[1]
    )
    assert float(adapted[0].split()[0]) < float(number.split()[0])


def test_a_text_is_read_from_stdin(command: Command, tmp_path: Path, text: Path) -> None:
    code, _, err = command("train", "--text", "-", *TINY[4:], stdin=text.read_bytes() + b"\0")
    assert code == 0 and "textseq-sample --author stdin" in err, err
    assert command("train", "--resume", "stdin", "--max-steps", "4")[0] == 0
    given = command("evaluate", "--text", text, "--model", "stdin")[1]
    read = command("evaluate", "--text", "-", "--model", "stdin", stdin=text.read_bytes())[1]
    assert read.splitlines()[0] == given.splitlines()[0] != ""
    refused(command("train", "--text", "-", text, stdin=b"x"), "--text -: expected stdin alone, got other files too")


def test_stdin_is_decoded_as_a_file_is(command: Command, trained: Path, text: Path) -> None:
    marked = b"\xef\xbb\xbf" + text.read_bytes()
    given = command("evaluate", "--text", text, "--model", "mine")[1]
    read = command("evaluate", "--text", "-", "--model", "mine", stdin=marked)[1]
    assert read.splitlines()[0] == given.splitlines()[0] != ""
    for data, message in (
        (b"caf\xe9", "stdin is not utf-8 text: byte 0xe9 at offset 3; set --encoding"),
        (TEXT.encode("utf-16-le"), "stdin is not utf-8 text but seems to be UTF-16: set --encoding utf-16-le"),
        (b"%PDF-1.4", "stdin is a file of the format pdf, not text"),
        (b"", "--text -: expected a text on stdin, got none; check the command before the pipe"),
    ):
        refused(command("train", "--text", "-", *TINY, stdin=data), message)
    refused(command("train", "--text", "-", "--encoding", "hex", *TINY, stdin=b"x"), "unknown encoding 'hex'")


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_without_stdin(name: str, home: None, monkeypatch: pytest.MonkeyPatch) -> None:
    main: Callable[[Sequence[str]], None] = getattr(import_module(f"textseq.cli.{name}"), name)
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(TextseqError, match=r"^stdin is closed; name a file with --text$"):
        main(["--text", "-", *(["--model", "shakespeare"] if name == "evaluate" else [])])


def test_a_model_is_trained_further(command: Command, trained: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("żółw i jeż\n" * 50, encoding="utf-8")
    code, _, err = command("train", "--text", other, "--from", "mine", "--name", "further", *TINY[4:])
    assert code == 0, err
    assert re.search(r"its tokenizer is kept; your data add \d characters$", err, re.MULTILINE)


def test_help_shows_examples_and_every_setting(command: Command) -> None:
    code, out, _ = command("train", "--help-all")
    assert code == 0
    for words in (
        "Examples:",
        "textseq-train tinyshakespeare",
        "--hidden-size",
        "--max-minutes",
        "--reset-probability",
    ):
        assert words in out


@pytest.mark.parametrize("name", ["train", "sample", "translate", "evaluate"])
def test_version(command: Command, name: str) -> None:
    assert command(name, "--version") == (0, f"textseq-{name} {__version__}\n", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "tcsh"])
def test_shell_completion_knows_the_flags(command: Command, shell: str) -> None:
    code, out, _ = command("train", "--print-completion", shell)
    assert code == 0
    assert "hidden-size" in out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["textseq-train", "tinysh"], ["tinyshakespeare"]),
        (["textseq-train", "--recipe", "multi30k-en-"], ["multi30k-en-de", "multi30k-en-fr"]),
        (["textseq-train", "--hidden-s"], ["--hidden-size"]),
    ],
)
def test_bash_completes_flags_and_names(
    command: Command, tmp_path: Path, words: list[str], expected: list[str]
) -> None:
    if (bash := shutil.which("bash")) is None:
        pytest.skip("needs bash")
    script = tmp_path / "completion"
    script.write_text(command("train", "--print-completion", "bash")[1])
    given = f"COMP_WORDS=({' '.join(words)}) COMP_CWORD={len(words) - 1}"
    train_command = f'textseq-train() {{ {sys.executable} -m textseq.cli.train "$@"; }}'
    code = f'source {script}\n{train_command}\n{given}\n_textseq_train\nprintf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run([bash, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == expected


def test_lists(command: Command, trained: Path) -> None:
    corpora = command("train", "--list-corpora")[1]
    tasks = [line for line in corpora.splitlines() if line.endswith(":")]
    assert tasks == ["language-model:", "translation:", "classification:", "tagging:"]
    assert re.search(r"^. shakespeare +5\.3 MB  The complete works", corpora, re.M)
    whole = command("train", "austen", "--list-corpora")[1]
    for words in ("austen  (English, 0.7 MB", "licence: public domain", "from: https:", "for:"):
        assert words in whole
    code, _, err = command("train", "austin", "--list-corpora")
    assert code == 2 and "did you mean 'austen'?" in err
    assert "mine" in command("sample", "--list-authors")[1]
    assert "tinyshakespeare-5min" in command("train", "--list-recipes")[1]
    vectors = command("train", "--list-vectors")[1]
    for words in (
        "glove.6B  (English, 862.2 MB",
        "glove.42B.300d",
        "glove.840B.300d",
        "licence: PDDL",
        "nlp.stanford.edu",
    ):
        assert words in vectors


def test_the_list_of_corpora_marks_what_is_here(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEXTSEQ_DATA", raising=False)
    here = tmp_path / "data"
    for file in next(recipe for recipe in list_corpora() if recipe.name == "austen").files.values():
        (here / file.path).parent.mkdir(parents=True, exist_ok=True)
        (here / file.path).touch()
    lines = command("train", "--list-corpora", "--data", here)[1].splitlines()
    marked = [line.split()[1] for line in lines if line.startswith("* ")]
    for named in ([], ["austen"]):
        records = map(json.loads, command("train", *named, "--list-corpora", "--json", "--data", here)[1].splitlines())
        assert [record["on_disk"] for record in records if record["name"] == "austen"] == [True]
    assert marked == ["austen", "phrases-en-fr", "praise-and-blame"], "phrase books come with textseq"


def test_a_recipe_stands_under_the_flags(command: Command, text: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "small.toml"
    recipe.write_text('[model]\nhidden_size = 6\ncell = "gru"\n[training]\nmax_steps = 2\n[data]\nwindow = 9\n')
    code, _, err = command("train", "--recipe", recipe, "--text", text, "--name", "r", "--window", "11")
    assert code == 0, err
    facts = json.loads(next((tmp_path / "home" / "runs" / "r").glob("best-*/config.json")).read_text())
    assert (facts["model"]["hidden_size"], facts["model"]["cell"], facts["data"]["window"]) == (6, "gru", 11)


SAMPLE = "from textseq.cli.sample import main; main()"


def first_letters(*arguments: str | Path) -> tuple[Child, int]:
    """textseq-sample when it has begun to write, and its stdout."""
    read, write = os.pipe()
    child = Child(SAMPLE, [str(argument) for argument in arguments], stdout=write)
    os.close(write)
    assert os.read(read, 5)
    return child, read


def test_a_closed_pipe_ends_quietly(trained: Path) -> None:
    child, out = first_letters("--author", trained)
    os.close(out)
    assert child.communicate() == ("", "")
    assert child.wait() == 0


def test_ctrl_c_while_writing_exits_with_130(trained: Path) -> None:
    child, out = first_letters("--author", trained, "--max-new-tokens", "100000000")
    child.send_signal(signal.SIGINT)
    while os.read(out, 2**16):  # or it could not end
        pass
    os.close(out)
    _, err = child.communicate()
    assert child.returncode == 130
    assert err.splitlines()[-1] == "textseq-sample: stopped"
    assert "Traceback" not in err


# What can go wrong


def test_ctrl_c_while_modules_load_is_one_line() -> None:
    code = (
        "import builtins; load = builtins.__import__\n"
        "def stopped(name, *rest):\n"
        "    if name == 'textseq.commands.command': raise KeyboardInterrupt\n"
        "    return load(name, *rest)\n"
        "builtins.__import__ = stopped; import textseq.cli.train"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("", "textseq: stopped\n")
    assert done.returncode == -signal.SIGINT  # 130 in a shell


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), None]
)
def test_memory_that_runs_out_is_told_in_one_line(error: Exception | None, capsys: pytest.CaptureFixture[str]) -> None:
    def command(arguments: Sequence[str]) -> None:
        raise error or RuntimeError("shapes do not fit")

    with pytest.raises(SystemExit if error else RuntimeError) as stop:
        run("textseq-tag", command, [])
    if error:
        assert stop.value.args == (2,)
        assert re.fullmatch(r"textseq-tag: memory ran out; [^\n]+\n", capsys.readouterr().err)


def test_missing_file(command: Command, tmp_path: Path) -> None:
    refused(command("train", "--text", tmp_path / "nowhere.txt"), "nowhere.txt")
    assert not (tmp_path / "home" / "runs").exists()


def test_folder_without_text(command: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(command("train", "--text", tmp_path / "empty"), "empty")
    assert not (tmp_path / "home" / "runs").exists()


def test_empty_text(command: Command, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    refused(command("train", "--text", tmp_path / "empty.txt"), r"no text in .*empty\.txt")


def test_text_shorter_than_a_window(command: Command, tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("to be or not")
    refused(command("train", "--text", tmp_path / "short.txt"), "longer than one window of 64 tokens, got 10")
    assert not (tmp_path / "home" / "runs").exists()


def test_undecodable_bytes(command: Command, tmp_path: Path) -> None:
    bad = tmp_path / "latin.txt"
    bad.write_bytes(TEXT.encode() + "caf\u00e9".encode("latin-1"))
    offset = len(TEXT.encode()) + 3
    refused(command("train", "--text", bad, *TINY), rf"{offset}.*--encoding|--encoding.*{offset}")
    assert command("train", "--text", bad, "--encoding", "latin-1", *TINY)[0] == 0


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
@pytest.mark.parametrize("harm", ["missing", "damaged"])
def test_damaged_model_folder(command: Command, trained: Path, tmp_path: Path, name: str, harm: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(next(trained.glob("best-*")), folder)
    if harm == "missing":
        (folder / name).unlink()
    else:
        damaged = bytearray((folder / name).read_bytes())
        damaged[len(damaged) // 2] ^= 0xFF
        (folder / name).write_bytes(damaged)
    refused(command("sample", "--author", folder), "config.json|" + re.escape(name))


def test_model_of_a_newer_format(command: Command, trained: Path) -> None:
    edit_config(next(trained.glob("best-*")), format=999)
    refused(command("sample", "--author", trained), "format 2, got 999; upgrade textseq")


def test_unknown_names_offer_the_nearest(command: Command, trained: Path) -> None:
    refused(command("sample", "--author", "mina"), "unknown .*'mina'; did you mean 'mine'")
    refused(command("train", "shakespear"), "unknown corpus 'shakespear'; did you mean 'shakespeare'")
    refused(command("train", "--recipe", "tinyshakespear"), "did you mean")
    refused(command("sample", "--author", "no/such/folder"), "no model folder at no/such/folder")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--hidden-size", "0"], "--hidden-size: expected at least 1, got 0"),
        (["--dropout", "1"], "--dropout: expected .* less than 1, got 1"),
        (["--learning-rate", "nan"], "--learning-rate: expected more than 0, got nan"),
        (["--learning-rate", "inf"], "--learning-rate: expected finite and more than 0, got inf"),
        (["--stride", "65"], r"--stride: expected at most --window \(64\), got 65"),
        (["--tie-embeddings"], "--tie-embeddings: expected --embedding-size equal to --hidden-size"),
        (["--validation", "0.9"], "validation"),
        (["--device", "cuda:99"], "--device cuda:99 cannot be used here"),
        (["--name", "a/b"], "--name: expected .*without slashes, got 'a/b'"),
        (["--name", ""], "--name: expected 1 to 100 printable characters .*got ''"),
        (["--name", "x" * 300], "expected 1 to 100 printable characters"),
        (["--name", "a\nb"], r"got 'a\\nb'"),
        (["--seed", str(10**22)], "--seed: expected at least 0 and at most"),
        (["--encoding", "utf-16"], "is not utf-16 text: .*utf-16-le or utf-16-be"),
        (["--device", "meta"], "--device meta computes nothing"),
        (["--encoding", "utf-9"], "utf-9"),
    ],
)
def test_impossible_values(command: Command, text: Path, flags: list[str], message: str) -> None:
    refused(command("train", "--text", text, *flags), message)


def test_flags_that_cannot_be_parsed(command: Command) -> None:
    code, out, err = command("train", "--hiden-size", "3")
    assert (code, out) == (2, "")
    assert "--hidden-size" in err
    assert "Traceback" not in err


def test_things_that_do_not_go_together(command: Command, text: Path, trained: Path) -> None:
    refused(command("train"), "name a corpus")
    refused(command("train", "tinyshakespeare", "--text", text), "one of the two|not both")
    refused(command("train", "--text", text, "--name", "mine"), "exists.*--resume.*--overwrite")
    refused(command("train", "--resume", "mine", "--text", text), "--resume continues")
    refused(
        command("train", "--resume", "mine", "--hidden-size", "9"),
        "--resume continues a run as it is; leave out --hidden-size$",
    )
    for flag in (["--name", "n"], ["--overwrite"]):
        refused(command("train", "--resume", "mine", *flag), f"--resume continues a run as it is; leave out {flag[0]}$")
    refused(
        command("train", "--resume", "mine", "--encoding", "latin-1"), "--resume continues .*; leave out --encoding$"
    )
    refused(command("train", "--resume", "nothing"), "no run to resume")
    refused(command("train", "--text", text, "--from", "mine", "--name", "n", "--hidden-size", "9"), "same shape")
    refused(command("sample"), "--model: expected the name of a language model, got nothing; there are .*mine")
    refused(
        command("evaluate", "--model", "mine"), "nothing to evaluate on; name a corpus .*--text for a language model"
    )
    refused(command("evaluate", "--text", text, "--model", "mine", "--window", "0"), "--window: expected at least 1")


def test_a_recipe_serves_ones_own_text(command: Command, text: Path) -> None:
    code, _, err = command("train", "--text", text, "--recipe", "tinyshakespeare-5min", "--name", "own", *TINY)
    assert code == 0, err


def test_a_run_is_found_by_name_beside_a_folder_of_that_name(command: Command, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    code, _, err = command("train", "--resume", "mine", "--max-steps", "3")
    assert code == 0, err


def test_a_corpus_that_is_not_here(command: Command) -> None:
    refused(command("train", "tinyshakespeare"), r"tinyshakespeare.*--download|--download.*tinyshakespeare")


def test_a_full_disk_while_saving(
    command: Command, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def full(handle: int) -> None:
        if "runs" in os.readlink(f"/proc/self/fd/{handle}"):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    if not Path("/proc/self/fd").exists():
        pytest.skip("finding out a handle's path wants /proc")
    monkeypatch.setattr(os, "fsync", full)
    refused(command("train", "--text", text, "--name", "full", *TINY), "disk is full")
    assert not [path for path in (tmp_path / "home" / "runs").rglob("*") if path.name != "full"]


def test_labels_for_a_spreadsheet_have_a_header_and_the_texts(command: Command, tmp_path: Path) -> None:
    texts = ['good, "very" good', "bad", "two\nlines", "also\rtwo", "dull\ttext"]
    with (tmp_path / "texts.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "text"], *enumerate(texts)])
    table = tmp_path / "labels.csv"
    assert command("classify", "--input", tmp_path / "texts.csv", "--output", table)[0] == 0
    found = textseq.load_classifier("sentiment").classify(texts)
    with table.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["text", "label", "probability", *found[0].probabilities]
    for text, one, row in zip(texts, found, rows, strict=True):
        assert row[0] == text and float(row[2]) == pytest.approx(one.probability, abs=1e-4)
        assert row[1] == ("unsure" if one.probability < 0.65 else one.label)
        assert [float(cell) for cell in row[3:]] == pytest.approx([*one.probabilities.values()], abs=1e-4)
    refused(command("classify", "bad", "--output", table, "--explain"), "use --explain-html FILE or --json")


def test_a_classifier_is_unsure_of_what_is_near_chance_unless_records_are_asked_for(command: Command) -> None:
    doubtful = 0
    for text in ("Berlin", "Volkswagen", "42", "wonderful"):
        record = json.loads(command("classify", text, "--json")[1])
        assert record["label"] in record["probabilities"]
        label, probability = command("classify", text)[1].rstrip("\n").split("\t")
        assert label == ("unsure" if record["probability"] < 0.65 else record["label"])
        assert float(probability) == pytest.approx(record["probability"], abs=1e-4)
        doubtful += label == "unsure"
    assert 0 < doubtful < 4
    assert command("classify", "twelve", "--unsure-below", "1")[1].startswith("unsure\t")
    assert command("classify", "wonderful", "--unsure-below", "0")[1].startswith("positive\t")
    assert json.loads(command("classify", "wonderful", "--json", "--unsure-below", "1")[1])["label"] == "unsure"
    refused(command("classify", "x", "--unsure-below", "60"), "expected a probability from 0 to 1, got 60")


def test_the_only_model_need_not_be_named(command: Command) -> None:
    for name, text, only, answer in (
        ("classify", "I love it", "sentiment", "positive\t"),
        ("tag", "We go.", "english-pos", "We/PRON go/VERB ./.\n"),
    ):
        code, out, err = command(name, text)
        assert (code, err) == (0, f"note: no --model is named; {only} is the only one\n")
        assert out.startswith(answer)
    assert "got nothing; there are" in command("sample")[2], "several ship"


def test_nothing_is_searched_for_garbage_at_the_end() -> None:
    """What is registered first is called last, after the objects have been frozen."""
    code = (
        "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count() > 1000));"
        "from textseq.commands.command import run; run('x', lambda arguments: print(gc.get_freeze_count()), [])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "True"]
