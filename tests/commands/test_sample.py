"""textseq-sample as a user meets it: every setting a flag, every look at a text, every mistake one line."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from shlex import quote

import pytest
import torch
from children import Child
from configs import edit_config

from textseq.checkpoints.model_info import CorpusInfo, ModelInfo
from textseq.data.sources import TextData
from textseq.data.text import own_text
from textseq.decoding.stopping import ended_well
from textseq.errors import TextseqError
from textseq.tasks.language_model.config import AdaptationConfig, GenerationConfig, LanguageModelConfig
from textseq.tasks.language_model.generator import TextGenerator
from textseq.tasks.language_model.model import LanguageModel
from textseq.tokenizers.characters import CharTokenizer

MAIN = "from textseq.cli.sample import main; main()"
TEXT = "To be, or not to be, that is the question:\nWhether 'tis nobler in the mind to suffer\n" * 3

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place with a model that has learnt nothing, of a text that lies beside it."""
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path))
    monkeypatch.delenv("TEXTSEQ_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    source = TextData(text=(str(path),), validation=0)
    torch.manual_seed(1)
    config = LanguageModelConfig(hidden_size=8, embedding_size=4)
    tokenizer = CharTokenizer.train([TEXT])
    info = ModelInfo(
        task="language-model",
        model=config.to_dict(),
        source={**source.to_dict(), "text": [str(path)]},
        corpus=CorpusInfo(name="text.txt", fingerprint=own_text([path], validation=0).fingerprint),
    )
    model = LanguageModel(config, tokenizer.size)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    writer = TextGenerator(model, tokenizer, info)
    writer.save(tmp_path / "runs" / "given" / "best-1")  # a gift, which does not say where its text lies
    writer.save(tmp_path / "runs" / "mine" / "best-1")
    given = {"text": [str(path)], "validation": 0, "corpus": None, "encoding": "utf-8"}
    edit_config(tmp_path / "runs" / "mine" / "best-1", source=given)
    return tmp_path


@pytest.fixture
def command(home: Path, command: Command) -> Command:
    """Calls the command in this process; returns exit code, stdout, stderr."""
    return partial(command, "sample")


def written(command: Command, *arguments: str | Path) -> str:
    code, out, err = command("--author", "mine", "--max-new-tokens", "60", *arguments)
    assert code == 0 and re.fullmatch(r"(note: --seed \d+ writes this again.*\n)?", err), err
    return out


def test_the_seed_of_a_text_is_told_and_writes_it_again(command: Command) -> None:
    code, out, err = command("--author", "mine", "--max-new-tokens", "60")
    found = re.fullmatch(r"note: --seed (\d+) writes this again(; try next: textseq-sample --author mine .*)?\n", err)
    assert code == 0 and found
    assert command("--author", "mine", "--max-new-tokens", "60", "--seed", found[1]) == (0, out, "")
    assert not command("--author", "mine", "--json")[2], "nothing beside JSON"
    assert not command("--author", "mine", "--temperature", "0", "--max-new-tokens", "60")[2], "no seed decides"


def test_the_next_command_goes_on_from_the_first_line(command: Command) -> None:
    code, out, err = command("--author", "shakespeare", "--max-new-tokens", "80")
    line = out.partition("\n")[0][:40].strip()
    assert code == 0 and err.endswith(f"; try next: textseq-sample --author shakespeare --prompt {quote(line)}\n")


@pytest.mark.parametrize(
    ("text", "ended"),
    [
        ("0123456\n\n\n", "0123456\n"),
        ("\n12345678\n", "\n12345678"),
        ("01234567. more", "01234567. more"),
        ("0123456789abcdefg. i", "0123456789abcdefg."),
        ("0123456789abcdef.) i", "0123456789abcdef.)"),
        ("0123456789abcdefgh i", "0123456789abcdefgh i"),
        ("", ""),
    ],
    ids=["line end", "last character", "too early", "sentence", "bracket", "no end", "empty"],
)
def test_a_text_ends_with_a_line_or_sentence_if_one_ends_late(text: str, ended: str) -> None:
    assert "".join(ended_well(iter(text), len(text))) == ended


def test_a_text_without_a_prompt_begins_with_a_speaker_and_ends_with_a_line(command: Command) -> None:
    for seed in ("1", "2", "3"):
        code, out, _ = command("--author", "shakespeare", "--max-new-tokens", "300", "--seed", seed)
        assert code == 0 and re.match(r"[A-Z][A-Za-z ]+:\n", out)
        asked = command("--author", "shakespeare", "--max-new-tokens", "300", "--seed", seed, "--json")[1]
        assert json.loads(asked)["text"] + "\n" == out and 230 < len(out) <= 302


def refused(result: tuple[int, str, str], message: str) -> None:
    """One line on stderr that matches, exit code 2, nothing on stdout."""
    code, out, err = result
    assert (code, out) == (2, ""), (code, out, err)
    assert len(err.splitlines()) == 1 and "Traceback" not in err
    assert re.search(message, err), err


def test_every_setting_is_a_flag_with_a_line_of_help(command: Command) -> None:
    code, out, _ = command("--help-all")
    assert code == 0
    for item in (*dataclasses.fields(GenerationConfig), *dataclasses.fields(AdaptationConfig)):
        assert "--" + item.name.replace("_", "-") in out
    for words in ("--show-surprisal", "--surprisal-html", "--memorization", "TOKEN=BIAS", "--training-text"):
        assert words in out


@pytest.mark.parametrize(
    "flags",
    [
        ["--min-p", "0.5"],
        ["--typical-p", "0.8"],
        ["--repetition-penalty", "1.3"],
        ["--no-repeat-ngram-size", "2"],
        ["--logit-bias", " =2", "e=-3.5", "t=1"],
        ["--num-beams", "3"],
        ["--num-beams", "3", "--length-penalty", "0.6", "--stop-strings", "e", "t"],
    ],
    ids=lambda flags: flags[0][2:],
)
def test_flags_change_the_text_and_the_seed_holds(command: Command, flags: list[str]) -> None:
    text = written(command, "--seed", "2", *flags)
    assert text == written(command, "--seed", "2", *flags)
    assert text != written(command, "--seed", "2")


def test_a_setting_without_effect_is_named(command: Command, caplog: pytest.LogCaptureFixture) -> None:
    call = ("--author", "mine", "--max-new-tokens", "5", "--seed", "2")
    text = command(*call)
    assert not caplog.messages
    assert command(*call, "--length-penalty", "1") == text
    assert caplog.messages == ["note: --length-penalty has no effect with --num-beams 1"]


def test_a_bias_bans_a_letter(command: Command) -> None:
    letter = written(command, "--seed", "1")[0]
    assert letter not in written(command, "--seed", "1", "--logit-bias", f"{letter}=-100").removesuffix("\n")
    assert written(command, "--logit-bias", ",=-100", ":=100", "--seed", "1") == ":" * 60 + "\n"


def test_beams_write_the_best_first(command: Command) -> None:
    out = written(command, "--num-beams", "4", "--num-return-sequences", "3", "--prompt", "To")
    texts = re.split(r"--- \d ---\n", out)[1:]
    assert len(set(texts)) == 3
    assert texts[0] == written(command, "--num-beams", "4", "--prompt", "To")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--min-p", "1.5"], "--min-p: expected at least 0 and at most 1, got 1.5"),
        (["--typical-p", "0"], "--typical-p: expected at most 1 and more than 0, got 0"),
        (["--repetition-penalty", "0"], "--repetition-penalty: expected at least 0.01"),
        (["--repetition-penalty", "inf"], "--repetition-penalty: expected finite"),
        (["--no-repeat-ngram-size", "-1"], "--no-repeat-ngram-size: expected at least 0, got -1"),
        (["--num-beams", "0"], "--num-beams: expected at least 1.* got 0"),
        (["--num-beams", "2", "--min-p", "0.2"], "--min-p is for sampling, got --num-beams 2"),
        (["--num-beams", "2", "--num-return-sequences", "3"], r"expected at most --num-beams \(2\), got 3"),
        (["--length-penalty", "-1"], "--length-penalty: expected at least 0 and at most 10, got -1"),
        (["--logit-bias", "e"], "--logit-bias: expected TOKEN=NUMBER, got 'e'"),
        (["--logit-bias", "e=much"], "--logit-bias: expected TOKEN=NUMBER, got 'e=much'"),
        (["--logit-bias", "e=nan"], "expected -10000 to 10000, got e=nan"),
        (["--logit-bias", " the=-2"], "expected single tokens, got ' the', which this model .char. splits into ' '"),
        (["--logit-bias", "ż=1"], "unknown token 'ż'"),
        (["--show-surprisal", "--max-new-tokens", "0"], "score: expected a text, got an empty one"),
        (["--text", "text.txt"], "--text needs one of --show-surprisal"),
        (
            ["--text", "text.txt", "--memorization", "--prompt", "To"],
            "with --text nothing is written: leave out the prompt",
        ),
        (["--text", "text.txt", "--memorization", "--top-k", "3"], "with --text nothing is written"),
        (["--text", "nowhere.txt", "--show-surprisal"], r"no file or folder nowhere\.txt"),
        (["--memorization", "--corpus", "shakespear"], "unknown corpus 'shakespear'; did you mean 'shakespeare'"),
        (["--memorization", "--training-text", "nowhere.txt"], r"no file or folder nowhere\.txt"),
        (["--memorization", "--corpus", "x", "--training-text", "text.txt"], "either --corpus or --training-text"),
        (["--dynamic"], "--dynamic learns from the prompt before it writes; give one, such as --prompt-file FILE"),
        (["--cache", "--cache-size", "0"], "--cache-size: expected at least 1, got 0"),
        (["--cache-theta", "2"], "--cache-theta is for --cache; add that, or leave it out"),
        (["--prompt", TEXT, "--dynamic", "--dynamic-learning-rate", "1e30"], "dynamic evaluation diverged; lower"),
        (["--seed", str(2**64)], "--seed: expected at least 0 and at most"),
        (["--logit-bias", "e=1e308"], "expected -10000 to 10000, got e=1e"),
        (["--num-beams", "3", "--length-penalty", "400"], "--length-penalty: expected at least 0 and at most 10"),
        (["--repetition-penalty", "1e-39"], "--repetition-penalty: expected at least 0.01"),
        (["--device", "meta"], "--device meta computes nothing"),
        (["--surprisal-html", "."], "--surprisal-html: expected a file to write, got the folder ."),
        (
            ["--text", "text.txt", "--surprisal-html", "text.txt"],
            "--surprisal-html would overwrite text.txt, which is in use",
        ),
        (
            ["--text", "text.txt", "--memorization", "--encoding", "utf-16"],
            "is not utf-16 text: .*utf-16-le or utf-16-be",
        ),
        (["--data", "."], "--data is for --memorization; add that, or leave it out"),
        (["--logit-bias", "<0x0>=2"], "'<0x0>' is never generated; leave it out"),
        (["--corpus", "shakespeare"], "--corpus is for --memorization; add that"),
        (
            ["--surprisal-html", "text.txt/a.html"],
            r"--surprisal-html: expected a file in an existing folder, got no folder",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_makes_no_sense_is_refused(command: Command, flags: list[str], message: str) -> None:
    brief = [] if "--text" in flags or "--max-new-tokens" in flags else ["--max-new-tokens", "5"]
    code, out, err = command("--author", "mine", *brief, *flags)
    if "text.txt/a.html" in flags:
        out = ""  # the text had been written by then
    refused((code, out, err), message)


def test_a_text_after_the_author_is_taken_for_the_prompt(command: Command) -> None:
    message = "--author: expected one name, got 'To be or' too; write --prompt before it"
    refused(command("--author", "mine", "To be or"), message)


def test_a_line_end_as_a_shell_passes_it_stops(command: Command, caplog: pytest.LogCaptureFixture) -> None:
    flags = ("--author", "mine", "--max-new-tokens", "300", "--seed", "1", "--prompt", "To")
    code, out, _ = command(*flags, "--stop-strings", r"\n", r"a\n")
    assert (code, out) == command(*flags, "--stop-strings", "\n", r"a\n")[:2] and out.count("\n") == 1
    assert caplog.messages == [r"note: --stop-strings: \n is read as a line end, \t as a tab"]


def test_what_beams_leave_unread_is_said(command: Command, caplog: pytest.LogCaptureFixture) -> None:
    flags = ("--author", "mine", "--max-new-tokens", "5", "--num-beams", "2")
    assert command(*flags)[0] == 0 and not caplog.messages
    assert command(*flags, "--seed", "1", "--temperature", "0.5")[0] == 0
    assert caplog.messages == [
        "note: --temperature has no effect with --num-beams 2",
        "note: --seed has no effect with --num-beams 2",
    ]


def test_the_surprisal_of_a_learned_prompt_says_what_it_is(command: Command, caplog: pytest.LogCaptureFixture) -> None:
    flags = ("--author", "mine", "--max-new-tokens", "5", "--prompt", "To be", "--show-surprisal", "--seed", "1")
    assert command(*flags)[0] == 0 and not caplog.messages
    assert command(*flags, "--dynamic", "--dynamic-learning-rate", "0.001")[0] == 0
    assert "after learning it" in caplog.messages[0]


def test_an_author_is_no_condition_beside_another(command: Command, home: Path) -> None:
    (home / "austen").write_text("a file hides no author")
    assert command("--author", "austen", "--max-new-tokens", "5")[0] == 0
    message = "--condition: expected none beside --author austen, got poe; leave out one of them"
    refused(command("--author", "austen", "--condition", "poe"), message)


# Surprise


def test_figures_stand_under_the_text_where_there_is_no_terminal(command: Command) -> None:
    text = written(command, "--seed", "3", "--prompt", "To").splitlines()
    lines = written(command, "--seed", "3", "--prompt", "To", "--show-surprisal").splitlines()
    assert lines[0 : 2 * len(text) : 2] == text
    for shown, figures in zip(lines[: 2 * len(text) : 2], lines[1 : 2 * len(text) : 2], strict=True):
        assert re.fullmatch(r"\d+", figures) and len(figures) - len(shown) in (0, 1)
    assert "nats per character" in lines[-1]


def test_a_terminal_gets_colors(home: Path) -> None:
    pty = pytest.importorskip("pty")
    for no_color, wanted in (("", True), ("1", False)):
        leader, follower = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", "NO_COLOR": no_color}
        call = ["--author", "mine", "--text", "text.txt", "--show-surprisal"]
        child = Child(MAIN, call, environment, home, stdout=follower)
        os.close(follower)
        shown = b""
        while b"nats per character" not in shown:
            shown += os.read(leader, 2**16)
        assert child.wait() == 0
        os.close(leader)
        assert (b"\x1b[38;5;16;48;5;" in shown) == wanted


def test_a_page_shows_the_written_text(command: Command, home: Path) -> None:
    page = home / "new" / "page.html"
    page.parent.mkdir()
    text = written(command, "--seed", "3", "--surprisal-html", page)
    assert text == written(command, "--seed", "3")
    spans = re.findall(
        r'<span[^>]*style="background[^>]*title="[\d.]+ nats, p=[\d.e-]+">(.*?)</span>', page.read_text(), re.S
    )
    assert len(spans) == 60
    assert [path.name for path in page.parent.iterdir()] == ["page.html"]
    written(command, "--num-return-sequences", "3", "--surprisal-html", page)
    assert page.read_text().count('class="text"') == 3


def test_a_given_text_is_looked_at(command: Command, home: Path) -> None:
    code, out, _ = command("--author", "mine", "--text", "text.txt", "--show-surprisal")
    assert code == 0
    assert out.splitlines()[0:4:2] == TEXT.splitlines()[:2]
    assert out.splitlines()[-1].endswith(f"{len(TEXT)} characters")
    assert command("--author", "mine", "--text", "-", "--show-surprisal", stdin=TEXT.encode())[1] == out
    (home / "marked.txt").write_bytes(marked := b"\xef\xbb\xbf" + TEXT.encode())
    for name in ("marked.txt", "-"):
        assert command("--author", "mine", "--text", name, "--show-surprisal", stdin=marked)[1] == out
    (home / "latin.txt").write_bytes("na\u00efve".encode("latin-1"))
    refused(command("--author", "mine", "--text", "latin.txt", "--show-surprisal"), "--encoding")
    out = command("--author", "mine", "--text", "latin.txt", "--show-surprisal", "--encoding", "latin-1")[1]
    assert out.startswith("na\u00efve\n")
    refused(
        command("--author", "mine", "--text", "-", "--show-surprisal", stdin=b"caf\xe9"),
        "stdin is not utf-8 text.*--encoding",
    )
    refused(
        command("--author", "mine", "--text", "-", "--show-surprisal", "--encoding", "hex", stdin=b"a"),
        "unknown encoding 'hex'",
    )


@pytest.mark.parametrize("flags", [["--prompt-file", "-"], ["--text", "-", "--show-surprisal"]])
def test_without_stdin(flags: list[str], home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    sample: Callable[[Sequence[str]], None] = importlib.import_module("textseq.cli.sample").sample
    with pytest.raises(TextseqError, match=rf"^stdin is closed; name a file with {flags[0]}$"):
        sample(["--author", "mine", *flags])


# Memorization


def test_novelty_is_of_what_was_written_and_not_of_the_prompt(command: Command, home: Path) -> None:
    out = written(command, "--seed", "3", "--prompt", TEXT[:50], "--memorization")
    assert "of 60 characters" in out.splitlines()[-1]
    found = re.search(r"longest run copied from text\.txt: (\d+) characters", out)
    assert found and int(found[1]) < 20
    code, out, _ = command("--author", "mine", "--text", "text.txt", "--memorization")
    assert code == 0
    assert f"longest run copied from text.txt: {len(TEXT)} characters" in out
    assert "100.0% of" in out


def test_novelty_against_another_text(command: Command, home: Path) -> None:
    (home / "other").mkdir()
    (home / "other" / "a.txt").write_text("nothing of the kind, that is the question\n")
    out = command("--author", "given", "--text", "text.txt", "--memorization", "--training-text", "other")[1]
    assert "from other: 22 characters, 5 words" in out and "', that is the question'" in out
    refused(command("--author", "given", "--memorization"), r"\('text\.txt'\); give it with --training-text")


def test_every_text_has_its_report(command: Command) -> None:
    out = written(command, "--num-return-sequences", "3", "--memorization", "--show-surprisal")
    assert out.count("longest run copied") == out.count("nats per character") == 3
    assert re.findall(r"--- (\d) ---", out) == ["1", "2", "3"]


@pytest.fixture
def corpora(data_file: Callable[[str], Path]) -> Path:
    """The folder of the corpora, asked for before ``home`` takes it away."""
    return data_file("shakespeare/hamlet.txt").parents[1]


def test_the_shipped_model_copies_little_from_its_corpus(corpora: Path, command: Command) -> None:
    flags = ["--max-new-tokens", "200", "--seed", "1", "--memorization", "--data", corpora]
    code, out, _ = command("--author", "shakespeare", *flags)
    assert code == 0
    found = re.search(r"longest run copied from shakespeare: (\d+) characters", out)
    assert found and 5 < int(found[1]) < 60


def test_a_temperature_next_to_zero_is_zero(command: Command) -> None:
    frozen = written(command, "--temperature", "0", "--seed", "1")
    for temperature in ("1e-7", "1e-46"):
        assert written(command, "--temperature", temperature, "--seed", "1") == frozen


def test_a_terminal_without_the_letters_gets_their_numbers(home: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    call = [sys.executable, "-c", MAIN, "--author", "tolstoy", "--seed", "1"]
    done = subprocess.run([*call, "--max-new-tokens", "20"], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u04" in done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_an_output_that_is_full_is_told(home: Path) -> None:
    with open("/dev/full", "w") as full:
        child = Child(MAIN, ["--list-authors"], stdout=full.fileno())
    assert child.wait() == 2
    assert child.communicate()[1].splitlines() == ["textseq-sample: output: No space left on device"]


def test_a_prompt_comes_from_a_file_or_stdin_without_its_last_line_end(command: Command) -> None:
    Path("opening.txt").write_bytes(b"To be,\r\nor not\r\n")
    asked = ["--seed", "1", "--max-new-tokens", "9"]
    expected = written(command, *asked, "--prompt", "To be,\r\nor not")
    assert written(command, *asked, "--prompt-file", "opening.txt") == expected
    for mark in (b"", b"\xef\xbb\xbf"):
        given = command("--author", "mine", *asked, "--prompt-file", "-", stdin=mark + b"To be,\r\nor not")
        assert given[1] == expected
    refused(command("--author", "mine", "--prompt", "a", "--prompt-file", "b"), "either --prompt or --prompt-file")
    refused(command("--author", "mine", "--prompt-file", "nowhere.txt"), r"no file or folder nowhere\.txt")
    refused(command("--author", "mine", "--prompt-file", "-"), "--prompt-file -: expected a text, got nothing")


def test_texts_and_lists_as_json(command: Command) -> None:
    plain = written(command, "--seed", "1", "--prompt", "To", "--max-new-tokens", "9")
    out = written(command, "--seed", "1", "--prompt", "To", "--max-new-tokens", "9", "--json", "--memorization",
                  "--show-surprisal")  # fmt: skip
    record = json.loads(out)
    assert (record["prompt"], record["text"] + "\n") == ("To", plain)
    assert "".join(token["text"] for token in record["tokens"]) == record["text"]
    assert set(record["memorization"]) == {"longest", "share", "source"}
    several = written(command, "--num-return-sequences", "3", "--json", "--max-new-tokens", "5").splitlines()
    assert [set(json.loads(line)) for line in several] == [{"prompt", "text", "seed"}] * 3
    entries = [json.loads(line) for line in command("--list-authors", "--json")[1].splitlines()]
    assert {"mine", "shakespeare"} <= {entry["name"] for entry in entries}
    assert all(entry["task"] == "language-model" for entry in entries)


def test_a_text_is_written_after_learning_and_remembering_the_prompt(command: Command, home: Path) -> None:
    (home / "opening.txt").write_text(TEXT)
    flags = ["--prompt-file", "opening.txt", "--seed", "1"]
    plain = written(command, *flags)
    assert written(command, *flags) == plain
    for adaptation in (["--cache"], ["--dynamic"], ["--dynamic", "--dynamic-method", "rms", "--cache"]):
        adapted = written(command, *flags, *adaptation)
        assert adapted.startswith(TEXT.rstrip("\n")) and adapted != plain
        assert written(command, *flags, *adaptation) == adapted
    inspected = ["--author", "mine", "--text", "opening.txt", "--show-surprisal"]
    shown = [command(*inspected, *flag)[1] for flag in ([], ["--cache"])]
    nats = [float(re.search(r"([\d.]+) nats per character", text)[1]) for text in shown]  # type: ignore[index]
    assert nats[1] < nats[0]
