"""Several processes answer a file as one would, byte for byte; what was done when they are killed is not done again."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import BinaryIO

import pytest
import torch
from children import Child

from textseq.checkpoints.model_info import CorpusInfo, ModelInfo
from textseq.commands import shards
from textseq.commands.line_io import FEW_KERNELS
from textseq.commands.shards import Progress, Shards
from textseq.errors import Interrupted, TextseqError
from textseq.io.files import replacing
from textseq.tasks.classification.classifier import Classifier
from textseq.tasks.classification.config import ClassifierConfig
from textseq.tasks.classification.model import ClassifierModel
from textseq.tasks.registry import load_tagger
from textseq.tasks.tagging.config import TaggedConfig, TaggerConfig
from textseq.tasks.tagging.lexicon import Lexicon
from textseq.tasks.tagging.model import TaggerModel
from textseq.tasks.tagging.tagger import Tagger
from textseq.tokenizers.characters import CharTokenizer

Command = Callable[..., tuple[int, str, str]]
fcntl = pytest.importorskip("fcntl", reason="locks are looked at as POSIX has them")

SENTENCES = ["how are you", "i am here, dear.", "", "it is so", "a b c d e f g", "here", "a dog", " i see\t"]

ECHO = """
import os, signal, sys
from pathlib import Path
from textseq.commands.shards import Shards
from textseq.io.lines import Lines, read_ahead
from textseq.training.distributed.environment import environment

ahead, characters, buffers, dies = map(int, sys.argv[1:])
read = []

def answers(texts, first, progress):
    texts = iter(texts)
    while some := read_ahead(texts, ahead, characters):
        read.append(some)
        for number, text in enumerate(some, start=first):
            if number == dies:
                os.kill(os.getpid(), signal.SIGKILL)
            yield f"{number} {text} among {len(some)}"
        first += len(some)
        progress(len(some))

done = []
with open("in.txt", "rb") as file:
    work = Shards(Path("out.txt"), environment().rank, environment().count, {"lines": buffers})
    work.answer(Lines(file, "in.txt"), answers, ahead=ahead, characters=characters, buffers=buffers,
                progress=done.append)
print(sum(done), *(text for some in read for text in some))
"""
"""A process that answers every line with itself, its number, and how many were read ahead with it; it dies at one. At
the end it says how many lines it has passed, and those that it has answered."""


def started(program: Sequence[str], count: int, only: Sequence[int] | None = None) -> list[Child]:
    """The processes as a launcher starts them; ``program`` is "-c", code, arguments."""
    _, code, *arguments = program
    return [
        Child(code, arguments, os.environ | {"RANK": str(number), "WORLD_SIZE": str(count)})
        for number in (range(count) if only is None else only)
    ]


def ended(processes: Iterable[Child]) -> list[tuple[int | None, str, str]]:
    """What came of each: exit code, stdout, stderr."""
    return [(process.returncode, *output) for process in processes for output in [process.communicate()]]


def echo(ahead: int, characters: int, buffers: int, dies: int = -1) -> list[str]:
    return ["-c", ECHO, str(ahead), str(characters), str(buffers), str(dies)]


def awaited(process: Child, there: Callable[[], bool]) -> None:
    late = time.monotonic() + 60
    while not there():
        if process.poll() is not None or time.monotonic() > late:
            process.kill()
            pytest.fail(f"it does not come: {process.communicate()}")
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


# The shards themselves


@pytest.mark.parametrize(
    ("lines", "count", "ahead", "characters", "buffers"),
    [(0, 2, 3, 99, 2), (1, 2, 3, 99, 2), (12, 2, 3, 99, 2), (13, 3, 3, 99, 1), (40, 2, 4, 25, 3), (40, 1, 7, 99, 2)],
)
def test_as_one_process_answers(
    lines: int, count: int, ahead: int, characters: int, buffers: int, folder: Path
) -> None:
    texts = [f"line {number} {'x' * (number * 7 % 23)}" for number in range(lines)]
    Path("in.txt").write_text("".join(f"{text}\n" for text in texts))
    wanted, some = [], list[str]()
    for number, text in enumerate(texts):
        some.append(text)
        if len(some) == ahead or sum(map(len, some)) >= characters or number == lines - 1:
            first = number + 1 - len(some)
            wanted += [f"{first + n} {text} among {len(some)}\n" for n, text in enumerate(some)]
            some = []
    Path("out.txt").write_text("of before")
    found = ended(started(echo(ahead, characters, buffers), count))
    assert [(code, err) for code, _, err in found] == [(0, "")] * count, found
    assert Path("out.txt").read_text() == "".join(wanted)
    assert sorted(path.name for path in folder.iterdir()) == ["in.txt", "out.txt"]
    assert [out.split(" ")[0].strip() for _, out, _ in found] == [str(lines)] * count, "all are passed or answered"
    assert sum(out.count("line") for _, out, _ in found) == lines, "each by one process"


def test_what_is_done_is_not_done_again(folder: Path) -> None:
    Path("in.txt").write_text("".join(f"line{number}\n" for number in range(40)))
    first, second = started(echo(2, 99, 2, dies=25), 2)
    assert ended([first, second][0:1])[0][0] == -signal.SIGKILL  # in the shard of lines 24 to 27
    awaited(second, Path("out.txt.shards/000009").exists)
    second.kill()
    ended([second])
    there = {path.name for path in Path("out.txt.shards").glob("0*")}
    assert there == {f"{shard:06d}" for shard in (0, 1, 2, 3, 4, 5, 7, 9)}
    assert not Path("out.txt").exists()
    Path("out.txt.shards/000003").write_text("planted\n")
    found = ended(started(echo(2, 99, 2), 3))
    assert [code for code, _, _ in found] == [0, 0, 0], found
    lines = [f"{number} line{number} among 2" for number in range(40)]
    assert Path("out.txt").read_text().splitlines() == [*lines[:12], "planted", *lines[16:]]
    answered = " ".join(out.partition(" ")[2] for _, out, _ in found).split()
    assert sorted(answered) == sorted(f"line{number}" for number in (*range(24, 28), *range(32, 36)))
    assert not Path("out.txt.shards").exists()


def whole(lines: int = 4) -> tuple[Shards, Callable[[], None]]:
    """The work of the only process, and what does it."""
    work = Shards(Path("out.txt"), 0, 1, {"lines": 1})

    class Some:
        error: TextseqError | None = None

        def __iter__(self) -> Iterator[str]:
            return iter(["a"] * lines)

    def answers(texts: Iterable[str], first: int, progress: Progress) -> Iterator[str]:
        return iter(texts)

    return work, lambda: work.answer(Some(), answers, ahead=1, buffers=1, progress=lambda count: None)


def test_who_comes_when_all_is_done_does_nothing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("in.txt").write_text("a\n" * 4)
    work, do = whole()

    def killed(self: Shards, count: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Shards, "_end", killed)
    with pytest.raises(Interrupted, match=r"stopped; finished work stays in .*out\.txt\.shards, and the same command"):
        do()
    assert len(list(work.folder.glob("0*"))) == 4
    (first,) = started(echo(1, 99, 1), 2, only=[0])
    awaited(first, lambda: shards_lives(work, 0))
    late = started(echo(1, 99, 1), 2, only=[1])
    assert ended([first, *late]) == [(0, "4\n", "")] * 2
    assert Path("out.txt").read_text() == "a\n" * 4
    assert not work.folder.exists()


def shards_lives(work: Shards, process: int) -> bool:
    return work._lives(process)


def test_no_one_waits_for_the_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "AWAY", 0.2)
    alone, do = whole()
    for process in (0, 1):
        alone.process, alone.processes = process, 2
        with pytest.raises(TextseqError, match=f"process {1 - process} of 2 is not running; see its output"):
            do()
    alone.process, alone.processes = 0, 1
    do()
    assert Path("out.txt").read_text() == "a\n" * 4


def test_a_folder_is_of_one_job_and_one_command(folder: Path) -> None:
    _, do = whole()
    Path("out.txt.shards").mkdir()
    Path("out.txt.shards/mine.txt").write_text("of someone")
    with pytest.raises(TextseqError, match=r"expected only files of this job, got mine\.txt; move it away"):
        do()
    Path("out.txt.shards/mine.txt").rename("mine.txt")
    Path("out.txt.shards/000001").write_text("left by a job that has ended")
    Path("out.txt.shards/process-0").touch()
    with ExitStack() as stack:
        file = stack.enter_context(open("out.txt.shards/process-0", "rb"))
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(TextseqError, match="another command is working in"):
            do()
    do()
    assert Path("out.txt").read_text() == "a\n" * 4


@pytest.mark.parametrize("job", ["[]", "{", "[" * 10**5, '{"lines": 1' + " " * 2**24 + "}"], ids=range(4))
def test_a_job_that_is_none_is_refused(job: str) -> None:
    _, do = whole()
    Path("out.txt.shards").mkdir()
    Path("out.txt.shards/job.json").write_text(job)
    with pytest.raises(TextseqError, match=r"out\.txt\.shards belongs to another job"):
        do()


@pytest.mark.parametrize("name", ["job.json", "process-0", "000000", "joined"])
def test_pipes_and_endless_files_are_refused(name: str) -> None:
    _, do = whole()
    Path("out.txt.shards").mkdir()
    os.mkfifo(f"out.txt.shards/{name}")
    with pytest.raises(TextseqError, match=rf"{name} is a pipe or a device; .* remove it"):
        do()
    Path(f"out.txt.shards/{name}").unlink()
    Path(f"out.txt.shards/{name}").symlink_to("/dev/zero")
    with pytest.raises(TextseqError, match=rf"{name} is a pipe or a device; .* remove it"):
        do()


def test_an_output_that_is_a_link_to_itself_is_refused() -> None:
    Path("loop").symlink_to("loop")
    with pytest.raises(TextseqError, match="loop is a link that leads to itself"):
        Shards(Path("loop"), 0, 1, {})


# The commands


@pytest.fixture(scope="session")
def home(translators: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The translators, and beside them a classifier, "films", and a tagger, "words", that have learnt nothing."""
    home = tmp_path_factory.mktemp("home")
    runs = Path(shutil.copytree(translators / "runs", home / "runs"))
    torch.manual_seed(5)
    letters = CharTokenizer.train([["abcdefghij klmnopqrstuvwxyz .,"]])
    small = ClassifierConfig(hidden_size=8, embedding_size=6)
    info = ModelInfo(
        task="classification",
        labels=("good", "bad"),
        model=small.to_dict(),
        corpus=CorpusInfo(name="films", title="Films"),
    )
    Classifier(ClassifierModel(small, letters.size, 2), letters, info).save(runs / "films" / "best-1")
    lexicon = Lexicon.train([text.split() for text in SENTENCES if text], TaggedConfig())
    tags = TaggerConfig(hidden_size=6, embedding_size=5, letter_size=4, letter_hidden_size=3, output="softmax")
    info = ModelInfo(
        task="tagging", labels=("N", "V"), model=tags.to_dict(), corpus=CorpusInfo(name="w", title="Words")
    )
    model = TaggerModel(tags, lexicon.size, lexicon.letters.size, 2)
    Tagger(model, lexicon, info).save(runs / "words" / "best-1")
    return home


@pytest.fixture
def texts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts, plain, packed and in tables; of a table some have several lines."""
    monkeypatch.setenv("TEXTSEQ_HOME", str(home))
    many = [f"{text} {'a' * (number % 5)}" for number, text in enumerate(SENTENCES * 6)]
    Path("in.txt").write_text("\n".join(many))
    Path("in.txt.gz").write_bytes(gzip.compress(Path("in.txt").read_bytes()))
    rows = [f'{number},"{text}\n{text}"' for number, text in enumerate(many)]
    Path("in.csv").write_text("\n".join(["number,text", *rows]))
    Path("in.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in many))


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        (
            "translate",
            "--model mine second --input in.txt.gz --num-beams 3 --num-return-sequences 2 --alignment pharaoh",
        ),
        ("translate", "--model mine --input in.txt --num-beams 1 --json"),
        ("classify", "--model films --input in.txt --explain"),
        ("classify", "--model films --input in.csv --json"),
        ("classify", "--model films --input in.jsonl"),
        ("tag", "--model words --input in.txt --json --words spaces"),
    ],
)
@pytest.mark.usefixtures("texts")
def test_the_same_bytes_as_one_process(name: str, flags: str, command: Command, folder: Path) -> None:
    code, out, _ = command(name, *flags.split(), "--output", "one.txt", "--buffer", "4")
    assert (code, out) == (0, "")
    main = f"from textseq.cli.{name} import main; main()"
    sharded = [*flags.split(), "--output", "two.txt", "--buffer", "4", "--shard", "5"]
    found = ended(started(["-c", main, *sharded], 2))
    assert [code for code, _, _ in found] == [0, 0], found
    assert Path("two.txt").read_bytes() == Path("one.txt").read_bytes()
    assert not [path for path in folder.iterdir() if path.is_dir()]


@pytest.mark.parametrize(
    ("module", "flags"),
    [
        ("translation.translator", "--model mine --pairs in.tsv --compare second --write-translations out.txt"),
        ("label_predictor", "--model films --labelled in.csv"),
        ("label_predictor", "--model words --tagged in.conll"),
    ],
)
@pytest.mark.usefixtures("texts")
def test_several_processes_measure_what_one_does(
    module: str, flags: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [text for text in SENTENCES if text.strip()] * 3
    Path("in.tsv").write_text("".join(f"{text.strip()}\tit is {number}\n" for number, text in enumerate(texts)))
    rows = (f'"{text}",{"good" if "i" in text else "bad"}\n' for text in texts)
    Path("in.csv").write_text("text,label\n" + "".join(rows))
    lines = ("".join(f"{word}\t{'NV'[len(word) % 2]}\n" for word in text.split()) for text in texts)
    Path("in.conll").write_text("\n".join(lines))
    flags += " --source en --target fr" if module == "translation.translator" else ""
    monkeypatch.setattr(f"textseq.tasks.{module}.BUFFER", 4)
    code, one, err = command("evaluate", *flags.split())
    assert code == 0, err
    written = [path.read_text() for path in Path().glob("out.txt")]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MASTER_PORT", str(free.getsockname()[1]))
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    main = f"import textseq.tasks.{module} as it\nit.BUFFER = 4\nfrom textseq.cli.evaluate import main\nmain()"
    found = ended(started(["-c", main, *flags.split()], 2))
    assert [code for code, _, _ in found] == [0, 0], found
    assert [out for _, out, _ in found] == [one, ""]
    assert [path.read_text() for path in Path().glob("out.txt")] == written


@pytest.mark.usefixtures("texts")
def test_long_sentences_are_not_all_read_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textseq.tasks.tagging.tagger.CHARACTERS", 10)
    read: list[str] = []
    texts = (read.append(text) or text for text in ["abcd efgh"] * 6)  # type: ignore[func-returns-value]
    ahead = [len(read) for _ in load_tagger("words").stream(texts)]
    assert ahead == [2, 2, 4, 4, 6, 6]


@pytest.mark.usefixtures("texts")
def test_torchrun(command: Command) -> None:
    flags = ["--model", "mine", "--input", "in.txt", "--buffer", "4", "--num-beams", "1", "--output"]
    assert command("translate", *flags, "one.txt")[0] == 0
    processes = ["--standalone", "--nproc-per-node", "2", "-m", "textseq.cli.translate"]
    launcher = Child("from torch.distributed.run import main; main()", [*processes, *flags, "two.txt", "--shard", "8"])
    _, stderr = launcher.communicate()
    assert launcher.returncode == 0, stderr
    assert Path("two.txt").read_bytes() == Path("one.txt").read_bytes()
    notes = [line for line in stderr.splitlines() if "was cut off" in line]
    numbers = [int(number) for line in notes for number in re.findall(r"sentence (\d+)", line)]
    assert len(numbers) == len(set(numbers)) <= 10, "as many as one process names, for each"
    assert any(number > 8 for number in numbers), "the numbers of the lines in the file"


@pytest.mark.usefixtures("texts")
def test_a_command_that_is_killed_goes_on(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("in.txt").write_text("\n".join(SENTENCES * 30))
    flags = ["--model", "mine", "--input", "in.txt", "--num-beams", "1", "--max-new-tokens", "5", "--buffer", "1"]
    flags += ["--output"]
    assert command("translate", *flags, "one.txt")[0] == 0
    both = started(["-c", "from textseq.cli.translate import main; main()", *flags, "two.txt", "--shard", "1"], 2)
    for process, shard in zip(both, ("000002", "000003"), strict=True):
        awaited(process, Path("two.txt.shards", shard).exists)
    for process in both:
        process.kill()
    assert [code for code, _, _ in ended(both)] == [-signal.SIGKILL] * 2
    assert not Path("two.txt").exists()
    before = {path: path.stat().st_mtime_ns for path in Path("two.txt.shards").glob("0*")}
    assert 3 < len(before) < 240
    Path("two.txt.shards/000002").write_text("planted\n")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    again: list[int] = []

    def noted(path: Path) -> AbstractContextManager[tuple[BinaryIO, ...]]:
        again.extend(int(name) for name in [path.name] if name.isdigit())
        return replacing(path)

    monkeypatch.setattr(shards, "replacing", noted)
    code, _, err = command("translate", *flags, "two.txt", "--shard", "1")
    assert code == 0, err
    assert sorted([*again, *(int(path.name) for path in before)]) == list(range(240))
    one, two = Path("one.txt").read_text().splitlines(), Path("two.txt").read_text().splitlines()
    assert two == [*one[:2], "planted", *one[3:]]


@pytest.mark.usefixtures("texts")
def test_the_shards_of_another_job_are_refused(command: Command, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    flags = ["--model", "mine", "--input", "in.txt", "--output", "out.txt", "--num-beams", "1", "--buffer", "8"]
    real = Shards._end

    def killed(self: Shards, count: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Shards, "_end", killed)
    assert command("translate", *flags)[0] == 130
    monkeypatch.setattr(Shards, "_end", real)

    def refused(what: str, *arguments: str | Path) -> None:
        code, out, err = command("translate", *arguments)
        assert (code, out) == (2, ""), err
        (line,) = [line for line in err.splitlines() if not line.startswith("note:")]
        assert re.search(rf"out\.txt\.shards belongs to another job, which differs in {what}; remove", line), line

    refused("--num-beams", *flags[:7], "2", *flags[8:])
    refused("lines of a shard", *flags, "--shard", "16")
    refused("lines of a shard, --buffer", *flags[:9], "5")
    refused("model", "--model", "second", *flags[2:])
    os.utime("in.txt", ns=(1, 1))
    refused("its time", *flags)
    assert not Path("out.txt").exists()
    assert len(list(folder.glob("out.txt.shards/0*"))) == 1


@pytest.mark.usefixtures("texts")
def test_what_several_processes_cannot_do_is_refused(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    both = ["--input", "in.txt", "--output", "out.txt"]
    for name, model, flags, message in (
        (
            "translate",
            "mine",
            ["--output", "out.txt"],
            r"--input: several processes \(torchrun\) need a file, got none",
        ),
        ("translate", "mine", ["--input", "in.txt"], r"--output: several processes \(torchrun\) need a file, got none"),
        (
            "tag",
            "words",
            ["--input", "in.txt", "--output", "/dev/null"],
            "--output: .* need a file, got /dev/null, which is not one",
        ),
        ("translate", "mine", [*both, "--plot-attention", "a.png"], "--plot-attention works in a single process only"),
        ("classify", "films", [*both, "--explain-html", "a.html"], "--explain-html works in a single process only"),
        ("translate", "mine", [*both, "--num-beams", "1", "--temperature", "1"], "--temperature samples in the order"),
        ("translate", "mine", [*both, "--shard", "0"], "--shard: expected at least 1, got 0"),
    ):
        code, out, err = command(name, "--model", model, *flags)
        assert (code, out, len(err.splitlines())) == (2, "", 1), err
        assert re.search(message, err), err
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert command("tag", "--model", "words", stdin=b"a b\n")[:2] == (
        0,
        command("tag", "--model", "words", stdin=b"a b")[1],
    )
    assert not Path("out.txt.shards").exists()


@pytest.mark.usefixtures("texts")
def test_a_fault_is_told_and_long_lines_once() -> None:
    """Whoever answers a line says what there is to say of it; what ends the reading ends all."""
    lines = [b"a b", b"x" * 20_001, b"c", b"d", b"e", b"x" * 20_001, b"caf\xe9", b"g"]
    Path("in.txt").write_bytes(b"\n".join(lines))
    call = ["-c", "from textseq.cli.tag import main; main()", "--model", "words", "--input", "in.txt"]
    found = ended(started([*call, "--output", "out.txt", "--buffer", "1", "--shard", "1"], 2))
    assert [code for code, _, _ in found] == [2, 2], found
    for _, _, err in found:
        assert re.search(
            r"^textseq-tag(?: \(process 1\))?: line 7 of in\.txt is not utf-8 text: .*utf-16\.\.\.\)$", err, re.M
        )
    said = "".join(err for _, _, err in found)
    assert re.findall(r"note: line (\d+) of in\.txt has more", said) == ["2", "6"]
    assert {path.name for path in Path("out.txt.shards").glob("0*")} == {f"{shard:06d}" for shard in range(6)}
    assert not Path("out.txt").exists()


@pytest.mark.usefixtures("texts")
def test_few_of_the_kernels_for_shapes_of_batches_are_kept(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """benchmarks/memory.py classify shows what for."""
    name, few = FEW_KERNELS
    for given in (few, "7"):
        monkeypatch.setenv(name, given)
        if given == few:
            monkeypatch.delenv(name)
        assert command("tag", "--model", "words", stdin=b"a b\n")[0] == 0
        assert os.environ[name] == given, "what the user says holds"
