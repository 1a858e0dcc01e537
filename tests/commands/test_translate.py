"""textseq-translate as a user meets it: a line for every line, nothing lost that was translated, one line of error."""

from __future__ import annotations

import dataclasses
import gzip
import importlib
import io
import json
import os
import re
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from children import Child

from textseq.data.pairs import written_sentence
from textseq.io.lines import LONGEST
from textseq.tasks.registry import load_translator
from textseq.tasks.translation.config import TranslationConfig
from textseq.tasks.translation.translator import Translator, ensemble_of

Command = Callable[..., tuple[int, str, str]]
SENTENCES = ["how are you", "i am here, dear.", "it is so", "a b c d e f g"]
MAIN = "from textseq.cli.translate import main; main()"
CALL = ["--model", "mine", "--num-beams", "1"]


@pytest.fixture(autouse=True)
def home(translators: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The translators by name, in an empty folder."""
    monkeypatch.setenv("TEXTSEQ_HOME", str(translators))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def command(command: Command) -> Command:
    """Calls the command in this process, with what it reads first; returns exit code, stdout, stderr."""

    def call(stdin: str | bytes, *arguments: str | Path, model: Sequence[str] = ("mine",)) -> tuple[int, str, str]:
        named = ["--model", *model] if model else []
        return command("translate", *named, *arguments, stdin=stdin if isinstance(stdin, bytes) else stdin.encode())

    return call


def but_for_notes(err: str) -> str:
    """What these models write often meets the limit of its length, and that is told."""
    return re.sub(r"note: (the translation of sentence|translations of further) .*\n", "", err)


def written(result: tuple[int, str, str]) -> list[str]:
    code, out, err = result
    assert (code, err) == (0, ""), err
    assert out.endswith("\n") or not out
    return out.split("\n")[:-1]


def refused(result: tuple[int, str, str], message: str, out: str = "") -> None:
    """One line on stderr that matches, exit code 2, nothing on stdout but what is said."""
    assert result[:2] == (2, out), result
    err = result[2]
    assert len(err.splitlines()) == 1 and "Traceback" not in err
    assert re.search(message, err), err


def expected(sentences: Sequence[str], **settings: int) -> list[str]:
    return [one.text for one in load_translator("mine").translate(sentences, **settings)]  # type: ignore[call-overload]


# A line for a line


def test_how_many_translations_are_doubtful_is_said_where_they_are_not_on_the_screen(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Translator.open

    def doubting(*arguments: object, **options: object) -> Translator:
        translator = opened(*arguments, **options)  # type: ignore[arg-type]
        translator.info = dataclasses.replace(translator.info, doubtful_below=0.0)  # of everything
        return translator

    monkeypatch.setattr(Translator, "open", doubting)
    note = "note: the translations of 2 of 3 lines may be wrong: the model finds them unlikely; --json marks them\n"
    for arguments in ((), ("--output", "out.txt"), ("--split-sentences",)):
        code, _, err = command("how are you\n\nit is so\n", *arguments)
        assert code == 0 and but_for_notes(err) == note
    code, out, err = command("how are you\n", "--json")
    assert code == 0 and json.loads(out)["doubtful"] and not but_for_notes(err)


def test_every_setting_is_a_flag_with_a_line_of_help(command: Command) -> None:
    code, out, _ = command("", "--help-all", model=())
    assert code == 0
    for item in dataclasses.fields(TranslationConfig):
        assert "--" + item.name.replace("_", "-") in out
    assert "Examples:" in out and "--plot-attention" in out


def test_every_line_gives_a_line(command: Command) -> None:
    best = expected(SENTENCES)
    assert len(set(best)) == len(best)
    assert written(command("\n".join(SENTENCES) + "\n")) == best
    assert written(command("\n".join(SENTENCES))) == best, "the last line without its end"
    assert written(command("\r\n".join(SENTENCES) + "\r\n")) == best
    assert written(command("\ufeff" + "\n".join(SENTENCES))) == best, "a byte order mark"
    spaced = f"\n{SENTENCES[0]}\n \t \n\n  {SENTENCES[1]} \n\n"
    assert written(command(spaced)) == ["", best[0], "", "", best[1], ""]
    assert written(command("")) == []
    assert written(command("\n".join(SENTENCES), "--buffer", "1")) == best
    assert len(written(command("Ж字\x00\u2028Ж\n\x0b\n"))) == 2, "characters that no one ever saw"


def test_what_a_model_writes_stays_on_its_line() -> None:
    assert written_sentence(" a\n b\r\u2028c\n") == "a  b c"  # a model that writes bytes may write any


def test_flags_reach_the_search(command: Command) -> None:
    text = "\n".join(SENTENCES)
    assert written(command(text, "--num-beams", "1")) == expected(SENTENCES, num_beams=1)
    assert written(command(text, "--max-new-tokens", "3")) == expected(SENTENCES, max_new_tokens=3)
    drawn = ["--num-beams", "1", "--temperature", "1", "--seed"]
    assert written(command(text, *drawn, "3")) == written(command(text, *drawn, "3"))
    assert written(command(text, *drawn, "3")) != written(command(text, *drawn, "4"))
    assert not any("e" in line for line in written(command(text, "--logit-bias", "e=-100")))
    assert all(line.startswith("le chien") for line in written(command(text, "--prefix", "le chien")))


def test_several_models_choose_together(command: Command) -> None:
    both = ensemble_of([load_translator("mine"), load_translator("second")])
    best = [one.text for one in both.translate(SENTENCES)]
    assert written(command("\n".join(SENTENCES), model=("mine", "second"))) == best != expected(SENTENCES)
    refused(command("", model=("mine", "back")), "same languages, got en to fr and fr to en")


def test_eight_bits_and_the_device_reach_the_model(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def load(name: str, **settings: str) -> Translator:
        asked.append((name, settings))
        return load_translator(name)

    monkeypatch.setattr("textseq.tasks.registry.load_translator", load)
    written(command("a", "--precision", "int8", "--device", "mps"))
    written(command("a"))
    assert asked == [
        ("mine", {"device": "mps", "precision": "int8"}),
        ("mine", {"device": "cpu", "precision": "float32"}),
    ]


# What is told of a translation


def test_the_best_few(command: Command) -> None:
    flags = ["--num-return-sequences", "2"]
    lines = written(command("\n".join(["", *SENTENCES]), *flags))
    found = [re.fullmatch(r"(\d+) \|\|\| (.*) \|\|\| (-?\d+\.\d{4})", line) for line in lines]
    assert [match and int(match[1]) for match in found] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert [match and match[2] for match in found[2::2]] == expected(SENTENCES)
    assert all(match is not None for match in found)
    for first, second in zip(found[2::2], found[3::2], strict=True):
        assert first and second and first[2] != second[2] and float(first[3]) >= float(second[3])
    aligned = written(command("a b", *flags, "--alignment", "pharaoh"))
    assert all(re.fullmatch(r"0 \|\|\| .* \|\|\| \S+ \|\|\| (\d+-\d+ ?)+", line) for line in aligned), aligned


def test_a_setting_without_effect_is_named(command: Command, caplog: pytest.LogCaptureFixture) -> None:
    text = command("a\n", "--num-beams", "1")
    assert not [line for line in caplog.messages if "no effect" in line]
    assert command("a\n", "--num-beams", "1", "--length-penalty", "2") == text
    assert "note: --length-penalty has no effect with --num-beams 1" in caplog.messages


def test_alignments_count_the_words_of_both_sides(command: Command) -> None:
    sentences = ["how are you", "i  am here, dear.", "", "Ж a"]
    lines = written(command("\n".join(sentences), "--alignment", "pharaoh"))
    texts = [line.rpartition("\t")[0] for line in lines]
    assert texts == expected(sentences)
    for sentence, text, line in zip(sentences, texts, lines, strict=True):
        pairs = [tuple(map(int, pair.split("-"))) for pair in line.rpartition("\t")[2].split()]
        assert [target for _, target in pairs] == list(range(len(text.split())))
        assert all(0 <= source < len(sentence.split()) for source, _ in pairs)


def test_json_says_it_all(command: Command) -> None:
    records = [json.loads(line) for line in written(command("\n".join(SENTENCES) + "\n\n", "--json"))]
    assert [record["text"] for record in records] == [*expected(SENTENCES), ""]
    found = load_translator("mine").translate(SENTENCES)
    for record, one in zip(records, found, strict=False):
        assert list(record) == ["text", "score", "doubtful", "tokens", "source_tokens", "alignment"]
        assert record["score"] == pytest.approx(one.score, abs=1e-4)
        assert (record["tokens"], record["source_tokens"]) == (list(one.tokens), list(one.source_tokens))
        assert record["alignment"] == [list(pair) for pair in one.alignment()]
    assert records[-1] == {
        "text": "",
        "score": 0.0,
        "doubtful": False,
        "tokens": [],
        "source_tokens": [],
        "alignment": [],
    }
    several = [json.loads(line) for line in written(command("a b\n\nc", "--json", "--num-return-sequences", "3"))]
    assert [len(record) for record in several] == [3, 3, 3]
    assert json.loads(written(command("a b", "--json", model=("blind",)))[0])["alignment"] is None


def test_json_holds_on_a_terminal_without_the_letters(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii"))
    assert command("a", "--json", "--prefix", "\u00e9\u00f1")[0] == 0
    assert json.loads(shown.getvalue())["text"].startswith("\u00e9\u00f1")


def test_a_picture_of_the_first_sentence(command: Command, tmp_path: Path) -> None:
    picture = tmp_path / "look.png"
    assert written(command("\nhow are you\nhere", "--plot-attention", picture)) == [
        "",
        *expected(["how are you", "here"]),
    ]
    assert picture.read_bytes().startswith(b"\x89PNG")
    refused(
        command("", "--plot-attention", picture), "--plot-attention: expected a sentence to draw, got none in stdin"
    )
    refused(command("\n \n", "--plot-attention", picture), "expected a sentence to draw", out="\n\n")
    for flags in (["--plot-attention", "x.png"], ["--alignment", "pharaoh"]):
        refused(command("a", *flags, model=("blind",)), "show the attention, but this model has none")


def test_a_prompt_answers_at_once(command: Command) -> None:
    code, out, err = command("how are you\n\nhere\n", "--interactive")
    assert (code, out.splitlines()) == (0, [expected(["how are you"])[0], "", expected(["here"])[0]])
    assert err == "en> " * 4 + "\n"


def test_a_terminal_gets_a_prompt_and_its_answers() -> None:
    pty = pytest.importorskip("pty")
    leader, follower = pty.openpty()
    process = Child(MAIN, CALL, stdin=follower, stdout=follower, stderr=follower)
    os.close(follower)
    shown = b""
    for line in (b"here\n", b"\n", b"\x04"):
        while not shown.endswith(b"en> "):
            shown += os.read(leader, 2**16)
        os.write(leader, line)
        shown += b"|"
    assert process.wait() == 0
    os.close(leader)
    answer = expected(["here"], num_beams=1)[0].encode()
    assert shown == b"en> |here\r\n" + answer + b"\r\nen> |\r\n\r\nen> |"


# Files


def test_files_in_and_out(command: Command, tmp_path: Path) -> None:
    text = "\n".join(SENTENCES) + "\n"
    Path("in.gz").write_bytes(gzip.compress(text.encode()))
    Path("in.txt").write_text(text)
    Path("out.txt").write_text("of before")
    Path("link.txt").symlink_to("linked.txt")
    for given, to in (("in.gz", "new.txt"), ("in.txt", "out.txt"), ("in.txt", "link.txt")):
        assert written(command("", "--input", given, "--output", to)) == []
        assert Path(to).read_text().splitlines() == expected(SENTENCES)
    assert Path("link.txt").is_symlink()
    assert not list(tmp_path.rglob("*.part"))
    assert written(command("", "--output", "empty.txt")) == []
    assert Path("empty.txt").read_bytes() == b""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_written_to_as_it_is(command: Command) -> None:
    os.mkfifo("pipe")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(Path("pipe").read_text()))
    reader.start()
    assert written(command("\n".join(SENTENCES), "--output", "pipe")) == []
    reader.join(timeout=60)
    assert read == ["\n".join(expected(SENTENCES)) + "\n"]
    assert [path.name for path in Path().iterdir()] == ["pipe"]


def test_other_encodings(command: Command) -> None:
    line = "\u00e9t\u00e9 \u00f1u"
    for encoding in ("latin-1", "utf-16", "utf-16-le"):
        assert written(command(f"a\n{line}\n".encode(encoding), "--encoding", encoding)) == expected(["a", line])
    bad = "a\n".encode("utf-16") + b"x"
    refused(
        command(bad, "--encoding", "utf-16"),
        "line 2 of stdin is not utf-16 text: byte 0x78",
        out=expected(["a"])[0] + "\n",
    )


def test_sentences_flow_through(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more of the input is read than the buffer holds before its translations are out."""
    seen: list[int] = []
    real = Translator.stream

    def stream(self: Translator, sentences: Iterator[str], **settings: object) -> object:
        read = 0

        def counted() -> Iterator[str]:
            nonlocal read
            for sentence in sentences:
                read += 1
                yield sentence

        for number, found in enumerate(real(self, counted(), **settings)):  # type: ignore[arg-type]
            seen.append(read - number)
            yield found

    monkeypatch.setattr(Translator, "stream", stream)
    written(command("a\n" * 50, "--buffer", "7", "--num-beams", "1"))
    assert len(seen) == 50 and max(seen) == 7


@pytest.mark.parametrize("name", ["in.jsonl", "in.JSON", "in.ndjson.gz", "in.parquet"])
def test_json_is_no_text(command: Command, name: str) -> None:
    Path(name).write_text('{"text": "here"}\n')
    refused(
        command("", "--input", name, "--num-beams", "1"), rf"--input: expected a text with a line .* got {name}; save"
    )


def test_a_line_without_end_is_cut(command: Command, caplog: pytest.LogCaptureFixture) -> None:
    long = "a b " * (LONGEST // 2)
    code, out, _ = command(f"here\n{long}\nhere\n{'x' * LONGEST}\n", "--num-beams", "1", "--max-new-tokens", "5")
    lines = out.splitlines()
    assert (code, len(lines)) == (0, 4) and lines[0] == lines[2]
    assert lines[1] == written(command(long[:1999], "--num-beams", "1", "--max-new-tokens", "5"))[0]
    assert "note: line 2 of stdin has more than 20000 characters, the rest is skipped; divide it" in caplog.text
    assert "note: sentence 2 has" not in caplog.text, "it is named once"
    assert "line 4 of stdin" not in caplog.text


# What can go wrong


def test_what_came_before_a_fault_is_out(command: Command) -> None:
    best = expected(["a", "b"])
    bad = b"a\nb\ncaf\xe9 b\nc\n"
    message = r"line 3 of stdin is not utf-8 text: byte 0xe9 at character 4; set --encoding"
    refused(command(bad), message, out="\n".join(best) + "\n")
    Path("out.txt").write_text("of before")
    refused(command(bad, "--output", "out.txt"), message + r".*what was written until then is in .*out\.txt\.part$")
    assert Path("out.txt").read_text() == "of before"
    assert Path("out.txt.part").read_text().splitlines() == best
    refused(command("a", "--output", "out.txt"), r"out\.txt\.part exists, from a run that was stopped")
    assert Path("out.txt.part").read_text().splitlines() == best
    Path("bad.gz").write_bytes(gzip.compress(b"a\nb\n" + os.urandom(2**16))[:-9])
    code, _, err = command("", "--input", "bad.gz", "--output", "gz.txt")
    assert code == 2 and re.search(r"not utf-8|bad\.gz is damaged", err)
    assert Path("gz.txt.part").read_text().splitlines()[:2] == best


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_told(command: Command) -> None:
    refused(command("a\n", "--output", "/dev/full"), "cannot write /dev/full: the disk is full")
    Path("in.txt").write_text("here\n")
    with open("/dev/full", "w") as full, open("in.txt") as given:
        process = Child(MAIN, CALL, stdin=given.fileno(), stdout=full.fileno())
    assert process.wait() == 2
    assert process.communicate()[1] == "textseq-translate: output: No space left on device\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize(("flags", "ahead"), [(["--buffer", "1"], 1), ([], 512)])
def test_nothing_translated_is_lost_when_it_is_stopped(
    number: signal.Signals, code: int, flags: list[str], ahead: int, tmp_path: Path
) -> None:
    """But for the lines that are being translated, of which there are by default not so many."""
    part = tmp_path / "out.txt.part"
    read, write = os.pipe()
    process = Child(MAIN, [*CALL, *flags, "--output", "out.txt"], stdin=read)
    os.close(read)
    with open(write, "wb") as lines:
        lines.write(b"a\nb\n" * ahead)
        lines.flush()
        late = time.monotonic() + 60
        while not (part.exists() and part.read_bytes().count(b"\n") == 2 * ahead):
            if process.poll() is not None or time.monotonic() > late:
                process.kill()
                pytest.fail("the lines do not come")
            time.sleep(0.05)
        process.send_signal(number)
        _, err = process.communicate()
    assert process.returncode == code
    assert but_for_notes(err) == f"textseq-translate: stopped; what was written until then is in {part}\n"
    assert part.read_text().splitlines() == expected(["a", "b"], num_beams=1) * ahead
    assert not (tmp_path / "out.txt").exists()


def test_a_closed_pipe_ends_quietly() -> None:
    Path("in.txt").write_text("a\n" * 20)
    read, write = os.pipe()
    with open("in.txt") as given:
        process = Child(MAIN, [*CALL, "--buffer", "1"], stdin=given.fileno(), stdout=write)
    os.close(write)
    with open(read) as lines:
        lines.readline()
    _, err = process.communicate()
    assert (process.wait(), but_for_notes(err)) == (0, "")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--input nowhere", "--input: expected a file of sentences, got nowhere, which does not exist"),
        ("--input .", "--input: expected a file of sentences, got the folder \\."),
        ("--input in.txt --output in.txt", "--output would overwrite in.txt"),
        ("--input in.txt --output ./link", "--output would overwrite in.txt"),
        ("--output .", "--output: expected a file to write, got the folder"),
        ("--output out.gz", r"writes no compressed files; leave it out and add: \| gzip > out.gz"),
        (
            "--output in.txt/out",
            r"--output: expected a file in an existing folder, got no folder at .*/in\.txt; create it",
        ),
        (
            "--output nowhere/in/out",
            r"--output: expected a file in an existing folder, got no folder at .*/nowhere/in; ",
        ),
        (
            "--plot-attention nowhere/x.png",
            r"--plot-attention: expected a file in an existing folder, got no folder at .*/no",
        ),
        ("--json --alignment pharaoh", "--json includes the alignment; leave out --alignment"),
        ("--plot-attention .", "--plot-attention: expected a file to write, got the folder"),
        (
            "--plot-attention look.pdf",
            r"--plot-attention is drawn as a PNG: .* ends in \.png, got \.pdf in look\.pdf",
        ),
        ("--output a --plot-attention a", "--plot-attention would overwrite a"),
        ("--interactive --input in.txt", "--interactive reads stdin line by line; leave out --input"),
        ("--interactive --buffer 3", "leave out --input and --buffer"),
        ("--buffer 0", "--buffer: expected at least 1, got 0"),
        ("--encoding utf-9", "unknown encoding 'utf-9'"),
        ("--num-return-sequences 6", r"expected at most --num-beams \(5\), got 6"),
        ("--num-beams 2 --min-p 0.2", "--min-p is for sampling"),
        ("--logit-bias e", "--logit-bias: expected TOKEN=NUMBER, got 'e'"),
        ("--logit-bias the=1", "expected single tokens, got 'the'"),
        ("--device cuda:99", "--device cuda:99 cannot be used here"),
    ],
)
def test_what_makes_no_sense_is_refused(command: Command, flags: str, message: str) -> None:
    Path("in.txt").write_text("a\n")
    Path("link").symlink_to("in.txt")
    refused(command("a", *flags.split()), message)
    assert {path.name for path in Path().iterdir()} == {"in.txt", "link"}


def test_a_text_of_the_command_line_is_translated(command: Command, tmp_path: Path) -> None:
    wanted = written(command(f"{SENTENCES[0]}\n", "--num-beams", "1"))
    assert written(command("", "--num-beams", "1", model=("mine", SENTENCES[0]))) == wanted  # after --model
    code, out, err = command("", SENTENCES[0], "--model", "mine", "--num-beams", "1", model=())
    assert (code, out.splitlines()) == (0, wanted), err
    assert written(command(f"{SENTENCES[0]}\n", "-", "--model", "mine", "--num-beams", "1", model=())) == wanted
    code, out, err = command("", "\n".join(SENTENCES), "--model", "mine", model=())
    assert (code, len(out.splitlines())) == (0, len(SENTENCES)), err
    (tmp_path / "in file.txt").write_text("how are you\n")
    refused(command("", "in file.txt", "--model", "mine", model=()), "is a file; to read it, use --input 'in file.txt'")
    refused(
        command("", "how", "are", "--model", "mine", model=()),
        "unexpected 'are'; put a value that has spaces in quotes",
    )
    refused(
        command("", "how", "--model", "mine", "--input", "in file.txt", model=()),
        "either a text, got 'how', or --input",
    )


def test_models_that_cannot_be_had(command: Command) -> None:
    refused(
        command("a", model=()),
        "--model: expected the name of a translator, got nothing; there are .*back, blind, mine, nameless, second; ",
    )
    refused(
        command("a", model=("mone",)), r"unknown model 'mone'; did you mean 'mine'\? known: [a-z, -]* \(searched: .*\)$"
    )
    refused(result := command("a", model=("mine", "second", "it's", "me")), "unknown model 'it's'; known: ")
    call = ["textseq-translate", "it's me", "--model", "mine", "second"]
    assert shlex.split(result[2].partition("; or, to translate it: ")[2]) == call
    refused(command("a", model=("mine", "shakespeare")), "expected a translator, got .* use .*textseq-sample[^;]*$")
    refused(
        command("a", model=("shakespeare",)),
        "expected a translator, got .*, which is a language model; use .*textseq-sample",
    )


def test_the_models_are_listed(command: Command) -> None:
    lines = written(command("", "--list-models", model=()))
    assert [line.split()[0] for line in lines if "trained here" in line] == [
        "back",
        "blind",
        "mine",
        "nameless",
        "second",
    ]
    assert lines[-3].startswith("mine  en to fr, Some pairs (trained here, "), "those that ship come first"


def test_without_stdin(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    translate: Callable[[Sequence[str]], None] = importlib.import_module("textseq.cli.translate").translate
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ValueError, match="stdin is closed; name a file with --input"):
        translate(["--model", "mine"])


def test_paragraphs_are_translated_sentence_by_sentence(command: Command) -> None:
    paragraph = "how are you. I am here."
    lines = f"{paragraph}\n\nit is so\n"
    whole = command(lines, "--split-sentences", "--num-beams", "1")
    first, second = written_lines(command("how are you.\nI am here.\n", "--num-beams", "1"))
    out = written_lines(whole)
    assert out[0] == f"{first} {second}" and out[1] == "" and len(out) == 3
    records = [json.loads(line) for line in written_lines(command(lines, "--split-sentences", "--json"))]
    assert [len(record["sentences"]) for record in records] == [2, 1, 1]
    assert records[0]["text"] == " ".join(sentence["text"] for sentence in records[0]["sentences"])
    for flag in ("--alignment pharaoh", "--num-return-sequences 2", "--prefix a", "--plot-attention a.png"):
        refused(command("a", "--split-sentences", *flag.split()), f"{flag.split()[0]} is for single sentences")


def written_lines(result: tuple[int, str, str]) -> list[str]:
    return written((result[0], result[1], but_for_notes(result[2])))


def test_a_glossary_is_met_and_words_are_kept(command: Command) -> None:
    Path("terms.tsv").write_text("are\tsont ils\ndear\tcher\n")
    ask = ("--glossary", "terms.tsv", "--keep", "you", "it", "--max-new-tokens", "30")
    lines = written_lines(command("\n".join(SENTENCES), *ask))
    assert "sont ils" in lines[0] and "you" in lines[0] and "cher" in lines[1] and "it" in lines[2]
    plain = command("a b c d e f g\n", "--max-new-tokens", "30")[1]
    assert lines[3] + "\n" == plain, "a sentence without terms is translated as ever"
    greedy = written_lines(command("how are you\n", *ask, "--num-beams", "1", "--num-return-sequences", "1"))
    assert "sont ils" in greedy[0]
    several = written_lines(command("how are you\n", *ask, "--num-beams", "48", "--num-return-sequences", "3"))
    assert len(several) > 1 and all("sont ils" in line and "you" in line for line in several)
    refused(command("a", "--glossary", "no.tsv"), r"cannot read no\.tsv")
    Path("latin.tsv").write_bytes("hôw\tcommént\n".encode("latin-1"))
    refused(command("a", "--glossary", "latin.tsv"), r"latin\.tsv: line 1 is one with bytes that are not utf-8 text")
    latin = ("--glossary", "latin.tsv", "--encoding", "latin-1", "--max-new-tokens", "30")
    assert "commént" in written_lines(command("hôw are you\n".encode("latin-1"), *latin))[0]
    refused(
        command("a", "--keep", "a", "--num-beams", "1", "--temperature", "1"), "need beam search, got --temperature"
    )


def test_a_document_is_translated_into_a_file(command: Command) -> None:
    Path("a.html").write_text("<p>how are <b>you</b></p>\n")
    code, out, err = command("", "--document", "a.html", "--output", "b.html", "--max-new-tokens", "9", "--keep", "you")
    assert (code, out, but_for_notes(err)) == (0, "", ""), err
    page = Path("b.html").read_text()
    assert page.startswith("<p>") and "you" in page and page.endswith("</p>\n") and page.count("<b>") == 1
    refused(command("", "--document", "a.html"), r"--document: expected --output FILE")
    refused(command("", "--document", "a.html", "--output", "b.html", "--json"), "--json is for lines")
    refused(command("", "--document", "a.doc", "--output", "b.doc"), r"unknown format of a document: '\.doc'")
    refused(command("", "--document", "no.txt", "--output", "b.txt"), r"cannot read no\.txt")
