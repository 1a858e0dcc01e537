"""Hostile files: absurd sizes are refused before memory is taken, nothing is unpacked to disk or without bound, nothing
runs, and what no machine can read is told in one line."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import re
import resource
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mutations import Files, as_json, rehashed, zipped
from safetensors.torch import load, save
from small_models import ENGLISH, made

import textseq
from textseq.checkpoints import size_limits as parameters
from textseq.checkpoints.model_info import read_json
from textseq.commands.command import show
from textseq.config.base import LARGEST
from textseq.data.corpora.catalog import read_recipe, recipe_files
from textseq.data.corpora.text_formats import members
from textseq.data.labelled import own_labelled
from textseq.data.pairs import own_pairs
from textseq.data.readers.word_vectors import read_vectors
from textseq.data.text import own_text
from textseq.data.word_vectors import Vectors
from textseq.errors import TextseqError, unknown
from textseq.io import files as plain
from textseq.io.documents.document import Document
from textseq.tasks.classification.config import ClassifierConfig
from textseq.tasks.classification.model import ClassifierModel
from textseq.tasks.language_model.config import LanguageModelConfig
from textseq.tasks.language_model.model import LanguageModel
from textseq.tasks.tagging.config import TaggerConfig
from textseq.tasks.tagging.model import TaggerModel
from textseq.tasks.translation.config import TranslationModelConfig
from textseq.tasks.translation.model import TranslationModel
from textseq.tokenizers.characters import CharTokenizer

TASKS = ("language-model", "translation", "classification", "tagging")
MODELS: dict[str, Callable[[], torch.nn.Module]] = {
    "language-model": lambda: LanguageModel(LanguageModelConfig(hidden_size=8, learn_initial_state=True), 9),
    "translation": lambda: TranslationModel(TranslationModelConfig(hidden_size=8), 9, 9),
    "classification": lambda: ClassifierModel(ClassifierConfig(hidden_size=8), 9, 2, torch.tensor([0.5, 1.5])),
    "tagging": lambda: TaggerModel(TaggerConfig(hidden_size=8, output="crf"), 9, 9, 3),
}
DEEP = b"[" * 10**6 + b"]" * 10**6
LONG = b"9" * 10**6


@contextmanager
def little_memory(more: int = 2**28) -> Iterator[None]:
    """A block in which the process gets so many bytes more than it has, and no others."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("only Linux tells the memory of a process")
    now = 1024 * int(next(line for line in status.read_text().splitlines() if line.startswith("VmData")).split()[1])
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (now + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def folder_of(files: Files, folder: Path) -> Path:
    """A folder with these files."""
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def edited(task: str, change: Callable[[dict[str, Any]], object]) -> Files:
    """A model whose ``config.json`` says something else."""
    files = made(task)
    facts = json.loads(files["config.json"])
    facts["sha256"].pop("config.json", None)
    change(facts)
    return files | {"config.json": json.dumps(facts).encode()}


# Models


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("size", [10**4, 10**9, 10**12, LARGEST])
def test_a_model_of_absurd_size_is_refused_before_memory_is_taken(task: str, size: int, tmp_path: Path) -> None:
    files = edited(task, lambda facts: facts["model"].update(hidden_size=size))
    with little_memory(), pytest.raises(TextseqError, match=r"do not fit its config\.json"):
        textseq.load(folder_of(files, tmp_path / "model"))


@pytest.mark.parametrize("task", TASKS)
def test_so_is_one_of_absurdly_many_layers(task: str, tmp_path: Path) -> None:
    layers = "num_decoder_layers" if task == "translation" else "num_layers"
    files = edited(task, lambda facts: facts["model"].update({layers: 10**9}))
    with little_memory(), pytest.raises(TextseqError, match=r"layers: expected .* at most 1000, got 1000000000"):
        textseq.load(folder_of(files, tmp_path / "model"))


@pytest.mark.parametrize("sizes", [{"hidden_size": 10**9}, {"hidden_size": 3000, "num_layers": 1000}])
def test_a_new_model_that_no_memory_holds_is_refused(
    sizes: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path))
    Path("text.txt").write_text(ENGLISH)
    config = textseq.LanguageModelConfig.from_dict(sizes, where="the test")
    with little_memory(), pytest.raises(TextseqError, match=r"cannot be trained in the .* GiB of memory"):
        textseq.train(text=["text.txt"], model=config, name="large")
    assert not (tmp_path / "runs" / "large").exists()


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_a_model_that_is_counted_first_has_the_same_weights(
    make: Callable[[], torch.nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    def weights(large: int) -> dict[str, torch.Tensor]:
        monkeypatch.setattr(parameters, "LARGE", large)
        torch.manual_seed(1)
        return parameters.build_within_memory(make).state_dict()

    counted, at_once = weights(10), weights(10**9)
    assert all(tensor.device.type == "cpu" and torch.equal(tensor, at_once[name]) for name, tensor in counted.items())
    monkeypatch.setattr(parameters, "_memory", lambda: 80)
    with pytest.raises(TextseqError, match="a model of more than 10 parameters cannot be trained"):
        weights(9)


def test_a_model_has_at_most_a_thousand_layers() -> None:
    with pytest.raises(TextseqError, match=r"--num-layers: .*1,?000"):
        textseq.LanguageModelConfig(num_layers=10**6)


def test_parameters_are_counted_before_they_are_made() -> None:
    for make in (
        lambda: torch.empty(11, 10),
        lambda: torch.zeros((11, 10)),
        lambda: torch.nn.Linear(10, 10),  # 110, its bias counted
        lambda: torch.nn.Embedding(11, 10),
        lambda: torch.randn(torch.Size([11, 10])),
    ):
        with parameters.limit_parameters(110, "too many"):
            make()
        with pytest.raises(TextseqError, match="too many"), parameters.limit_parameters(109, "too many"):
            make()


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("task", TASKS)
def test_weights_that_are_no_numbers_are_refused_by_name(task: str, number: float, tmp_path: Path) -> None:
    files = made(task)
    weights = load(files["model.safetensors"])
    name = sorted(weights)[-1]
    weights[name].view(-1)[-1] = number
    with pytest.raises(TextseqError, match=f"'{name}' has infinite or undefined numbers"):
        textseq.load(folder_of(rehashed(files | {"model.safetensors": save(weights)}), tmp_path / "model"))


@pytest.mark.parametrize("dtype", [torch.float64, torch.int32, torch.bool, torch.complex64])
def test_weights_of_another_type_are_refused(dtype: torch.dtype, tmp_path: Path) -> None:
    files = made("classification")
    weights = load(files["model.safetensors"])
    weights["output.bias"] = weights["output.bias"].to(dtype)
    with pytest.raises(TextseqError, match=f"'output.bias' has numbers of {dtype}"):
        textseq.load(folder_of(rehashed(files | {"model.safetensors": save(weights)}), tmp_path / "model"))


def _tensors(header: object, body: bytes = b"\0" * 64) -> bytes:
    data = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(data).to_bytes(8, "little") + data + body


@pytest.mark.parametrize(
    "data",
    [
        (2**63).to_bytes(8, "little") + b"{}",
        _tensors({"a": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 64]}}),
        _tensors({"a": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}),
        _tensors({n: {"dtype": "F32", "shape": [16], "data_offsets": [0, 64]} for n in "ab"}),
        _tensors({"a": {"dtype": "F32", "shape": [16], "data_offsets": [64, 0]}}),
        _tensors({"a": {"dtype": "F99", "shape": [16], "data_offsets": [0, 64]}}),
        _tensors(DEEP[:100_000]),
        _tensors(b'{"a": ' + LONG + b"}"),
        b"",
        b"\x80\x04" + b"\0" * 20,
    ],
    ids=lambda data: f"{len(data)} bytes",
)
def test_a_header_that_lies_is_refused(data: bytes, tmp_path: Path) -> None:
    files = rehashed(made("classification") | {"model.safetensors": data})
    with little_memory(), pytest.raises(TextseqError, match=r"model\.safetensors is damaged"):
        textseq.load(folder_of(files, tmp_path / "model"))


class _Calls:
    """What unpickling would call."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, ...]]:
        return open, ("ran", "w")  # makes a file


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_model_folder_executes_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = io.BytesIO()
    torch.save({"a": _Calls()}, data)
    for harm in (pickle.dumps(_Calls()), data.getvalue()):
        with pytest.raises(TextseqError, match="damaged"):
            textseq.load(folder_of(rehashed(made("classification") | {name: harm}), tmp_path / "model"))
    files = edited("language-model", lambda facts: facts.update(task="__import__('os').system('touch ran')"))
    with pytest.raises(TextseqError, match="unknown task"):
        textseq.load(folder_of(files, tmp_path / "model"))
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    "name", ["../config.json", "/etc/passwd", "a/../b", "", ".", "..", "a\0b", "a" * 5000, "\ud800"]
)
def test_the_files_of_a_model_lie_in_its_folder(name: str, tmp_path: Path) -> None:
    files = edited("classification", lambda facts: facts["sha256"].update({name: "0"}))
    with pytest.raises(TextseqError, match="is not a file of this folder"):
        textseq.load(folder_of(files, tmp_path / "model"))


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan"), float("inf"), 10**400, "1", None], ids=range(7))
def test_a_temperature_that_divides_nothing_is_refused(temperature: object, tmp_path: Path) -> None:
    files = edited("classification", lambda facts: facts.update(temperature=temperature))
    with pytest.raises(TextseqError, match=r"'temperature' must be (above 0|finite|of type float)"):
        textseq.load(folder_of(files, tmp_path / "model"))


def test_lists_show_models_whose_results_are_nonsense(
    tmp_path: Path, command: Callable[..., tuple[int, str, str]]
) -> None:
    for task in ("language-model", "classification"):
        files = edited(task, lambda facts: facts.update(results=[{"accuracy": "x", "nats_per_token": [], "score": {}}]))
        (tmp_path / "runs" / task).mkdir(parents=True)
        folder_of(files, tmp_path / "runs" / task / "best-1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEXTSEQ_HOME", str(tmp_path))
        assert "language-model  Mine (" in command("sample", "--list-authors")[1]
        assert "classification  good, bad; Mine (" in command("classify", "--list-models")[1]


def test_a_tagger_that_lacks_its_output_is_refused(tmp_path: Path) -> None:
    files = edited("tagging", lambda facts: facts["model"].pop("output"))
    with pytest.raises(TextseqError, match=r"config\.json is damaged: it lacks 'output'"):
        textseq.load(folder_of(files, tmp_path / "model"))


def test_a_home_that_there_is_not_is_one_line(
    monkeypatch: pytest.MonkeyPatch, command: Callable[..., tuple[int, str, str]]
) -> None:
    for variable, arguments in (("TEXTSEQ_HOME", ["sample", "--list-authors"]), ("TEXTSEQ_DATA", ["train", "imdb"])):
        with monkeypatch.context() as patch:
            patch.setenv(variable, "~nosuchuser/here")
            code, _, err = command(*arguments)
        assert code == 2 and len(err.splitlines()) == 1
        assert f"{variable}: expected a folder, got ~nosuchuser/here, and there is no such user" in err


# Terminals and Markdown

NASTY = "a\x1b[2J\x9b\x07\x7fb"


def test_no_terminal_gets_control_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., tuple[int, str, str]]
) -> None:
    def raw(text: str) -> bool:
        return any(character in text for character in "\x1b\x9b\x07\x7f\r")

    code, _, err = command("classify", "--model", NASTY)
    assert code == 2 and "␛[2J" in err and not raw(err)
    (tmp_path / "runs" / "author").mkdir(parents=True)
    (tmp_path / "runs" / "authors").mkdir()
    plain = edited("language-model", lambda facts: facts.update(corpus={"title": NASTY}))
    folder_of(plain, tmp_path / "runs" / "author" / "best-1")
    conditional = edited("language-model", lambda facts: facts.update(corpus={"title": NASTY}, labels=[NASTY]))
    folder_of(conditional, tmp_path / "runs" / "authors" / "best-1")
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path))
    asked = "sample", "--list-authors"
    assert raw(command(*asked)[1]), "a pipe gets the text as it is"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    show(f"{NASTY}\tc\r\n")
    assert not raw(command(*asked)[1])
    with monkeypatch.context() as patch:
        patch.setattr(textseq.TextGenerator, "stream", lambda *_, **__: iter([NASTY, "\r\n"]))
        code, out, _ = command("sample", "--author", "author")
    assert code == 0 and out.endswith("b␍\n\n") and not raw(out)


def test_nothing_in_a_model_card_is_markup_of_others(tmp_path: Path) -> None:
    evil = "a|b](http://x)[c]<script>`d`\n# e\x1b_f_ *g*"
    corpus = {"name": evil, "title": evil, "licence": evil}
    facts = {"labels": [evil, "other"], "corpus": corpus, "made_with": {"device": evil}, "init_from": str(tmp_path)}
    loaded = textseq.load(folder_of(edited("classification", lambda table: table.update(facts)), tmp_path / "model"))
    folder = tmp_path / "x`<b>`; $(y)"
    loaded.save(folder)
    card = (folder / "README.md").read_text(encoding="utf-8")
    _, head, body = card.split("---\n", 2)
    assert "\x1b" not in head and all(line.count(": ") for line in head.splitlines()), "YAML, its values in quotes"
    outside = "".join(body.split("```")[::2])
    assert not re.search(r"(?<!\\)[<\[]|\x1b|^# e|(?<![\\\w])_f|(?<!\\)\*g", outside, re.MULTILINE)
    assert "textseq-classify --model 'x`<b>`; $(y)' < texts.txt" in card
    for path in folder.iterdir():
        assert str(tmp_path).encode() not in path.read_bytes()


def test_a_name_that_is_no_text_is_saved_by_its_number(tmp_path: Path) -> None:
    files = edited("classification", lambda facts: facts.update(labels=["\ud800", "ż"], corpus={"title": "\udfff"}))
    loaded = textseq.load(folder_of(files, tmp_path / "model"))
    loaded.save(tmp_path / "again")
    assert read_json(tmp_path / "again" / "config.json")["labels"] == ["\ud800", "ż"]


@pytest.mark.parametrize("task", ["translation", "tagging", "letters"])
def test_any_number_of_sentences_may_be_read_ahead(task: str, tmp_path: Path) -> None:
    loaded = textseq.load(folder_of(made(task), tmp_path / "model"))
    if isinstance(loaded, textseq.Translator):
        assert len([*loaded.stream(["To be"], buffer=10**30, max_new_tokens=2)]) == 1
    elif isinstance(loaded, textseq.Tagger):
        assert len([*loaded.stream(["To be"], buffer=10**30)]) == 1


# JSON and TOML


@pytest.mark.parametrize(
    "data", [DEEP, LONG, b'{"a": ' + DEEP + b"}", b'{"a": ' + LONG + b"}", b"\xff{}"], ids=range(5)
)
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_json_that_no_machine_reads_is_refused(name: str, data: bytes, tmp_path: Path) -> None:
    with pytest.raises(TextseqError, match=f"{name} is damaged"):
        textseq.load(folder_of(rehashed(made("classification") | {name: data}), tmp_path / "model"))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_file_of_settings_has_a_largest_size(name: str, tmp_path: Path) -> None:
    place = folder_of(made("classification"), tmp_path / "model")
    with (place / name).open("wb") as file:
        file.truncate(2**40)  # which takes no room on the disk
    if name != "config.json":  # whose hash would take an hour
        facts = json.loads((place / "config.json").read_bytes())
        (place / "config.json").write_text(json.dumps(facts | {"sha256": {}}))
    with little_memory(), pytest.raises(TextseqError, match="it has more than"):
        textseq.load(place)


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 10**5, "a = " + "9" * 10**5, "a = 1979-99-99", "\0", "a = nan"], ids=range(5)
)
def test_recipes_that_no_machine_reads_are_refused(text: str, tmp_path: Path) -> None:
    from textseq.config.recipes import read_recipe as read_training_recipe

    (tmp_path / "recipe.toml").write_text(text)
    with pytest.raises(TextseqError, match=r"expected TOML|unknown key"):
        read_training_recipe(str(tmp_path / "recipe.toml"))
    with pytest.raises(TextseqError, match=r"is not TOML|unknown key"):
        read_recipe("mine", text)


def test_plain_data_raises_value_errors_alone() -> None:
    for text in (DEEP.decode(), LONG.decode(), "", "{", "nan"):
        with pytest.raises(ValueError):
            plain.json_of(text)
    for text in ("a = " + "[" * 10**5, "a = " + LONG.decode(), "{"):
        with pytest.raises(ValueError):
            plain.toml_of(text)


@pytest.mark.parametrize("value", [10**400, -(10**400), 2**63, float("nan"), float("inf"), 10**5000], ids=range(6))
def test_numbers_that_nothing_counts_to_are_refused(value: float) -> None:
    for name in ("hidden_size", "dropout", "activation_penalty"):
        with pytest.raises(TextseqError, match=f"--{name.replace('_', '-')}: expected") as told:
            textseq.LanguageModelConfig.from_dict({name: value}, where="here")
        assert len(str(told.value)) < 300


def test_tuples_of_settings_hold_what_they_say() -> None:
    with pytest.raises(TextseqError, match="--stop-strings: expected str entries"):
        textseq.GenerationConfig(stop_strings=("a", 1))  # type: ignore[arg-type]


def test_a_long_name_is_shown_in_part() -> None:
    assert len(str(unknown("model", "x" * 10**6, ["a", "b"]))) < 200


# Recipes of corpora


def _recipe(*changes: tuple[str, str]) -> str:
    text = recipe_files()["tinyshakespeare"]
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize("folder", ["", "../outside", "/etc", "a/../../b", "a\\\\b"])
def test_the_files_of_a_corpus_lie_below_the_folder_of_the_corpora(folder: str) -> None:
    with pytest.raises(TextseqError, match="expected files below the data folder"):
        read_recipe("mine", _recipe(('folder = "tinyshakespeare"', f'folder = "{folder}"')))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('task = "language-model"', "task = 1", "wrong type for 'task'"),
        ("validation = 0.1", "validation = [1]", "wrong type for 'split'"),
        ("validation = 0.1", "validation = nan", "expected a split"),
        ("validation = 0.1", "validation = -0.1", "expected a split"),
        ("[[sources]]", "[[other]]", "unknown key"),
        ("urls = [", "urls = [1, ", "wrong type for 'urls'"),
    ],
)
def test_a_recipe_that_says_something_else_is_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(TextseqError, match=message):
        read_recipe("mine", _recipe((old, new)))


# Archives, and files that are larger than they look


def test_nothing_is_unpacked_to_disk(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zipped({name: b"text" for name in ("../../out", "/tmp/out", "a/../b", "link")}))
    for member in members(path, ["*"]):
        assert "".join(Document(path, "utf-8", member=member).chunks()) == "text"
    assert [*tmp_path.iterdir()] == [path]


def _endless(path: Path, size: int = 2**30) -> Path:
    """A packed file of a gibibyte of zeros, on a single line, in a few megabytes."""
    block = b"0" * 2**20
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(size // len(block)):
            file.write(block)
    return path


@pytest.mark.parametrize("name", ["a.tsv.gz", "a.jsonl.gz", "a.csv.gz", "a.conll.gz", "vectors.txt.gz"])
def test_a_packed_line_without_end_is_refused_in_little_memory(name: str, tmp_path: Path) -> None:
    path = _endless(tmp_path / name, 2**26)
    read: dict[str, Callable[[], object]] = {
        "a.tsv.gz": lambda: own_pairs([path]),
        "a.jsonl.gz": lambda: own_pairs([path]),
        "a.csv.gz": lambda: own_labelled([path]),
        "a.conll.gz": lambda: textseq.TaggedData(tagged=(str(path),)).open(),
        "vectors.txt.gz": lambda: read_vectors(path),
    }
    with (
        little_memory(),
        pytest.raises(TextseqError, match=r"more than 16,777,216 characters|not a file of word vectors"),
    ):
        read[name]()


def test_a_text_of_a_label_is_read_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for label in ("good", "bad"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "a.txt").write_text("a text")
    _endless(tmp_path / "bad" / "b.txt.gz", 2**27)
    with little_memory(), pytest.raises(TextseqError, match="is one with a text of more than 1,000,000 characters"):
        own_labelled([tmp_path])


def test_a_text_to_look_at_is_not_endless(tmp_path: Path, command: Callable[..., tuple[int, str, str]]) -> None:
    path = _endless(tmp_path / "a.txt.gz", 2**24)
    for code, _, err in (
        command("sample", "--author", "shakespeare", "--text", path, "--show-surprisal"),
        command("sample", "--author", "shakespeare", "--text", "-", "--show-surprisal", stdin=b"a" * 5_000_000),
    ):
        assert code == 2 and "expected at most 1,000,000 characters" in err


def test_a_text_that_is_packed_well_is_read_chunk_by_chunk(tmp_path: Path) -> None:
    path = _endless(tmp_path / "a.txt.gz", 2**27)
    with little_memory(2**26):
        assert Document(path, "utf-8").length() == 2**27
        assert own_text([path]).splits == ("train", "validation")


@pytest.mark.parametrize("size", [2**32 - 2, 10])
def test_members_that_lie_about_their_size_take_little_memory(size: int, tmp_path: Path) -> None:
    text = "the 1 2\nof 2 1\n" * 100
    data = bytearray(zipped({"a.txt": text.encode()}))
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", size)  # unpacked, as the directory has it
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    document = Document(path, "utf-8", member="a.txt")
    with little_memory(2**26):
        if size > len(text):
            assert "".join(document.chunks()) == text
        else:
            with pytest.raises(TextseqError, match="is damaged"):
                "".join(document.chunks())


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_archives_that_are_packed_otherwise_are_refused(method: int, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zipped({"a.txt": b"the 1 2\n"}, method))
    with pytest.raises(TextseqError, match="has an unsupported compression"):
        read_vectors(path)


def test_archives_under_a_password_are_refused(tmp_path: Path) -> None:
    data = bytearray(zipped({"a.txt": b"the 1 2\n"}))
    for sign, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(sign) + place] |= 1
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    with pytest.raises(TextseqError, match=r"cannot read .*a\.txt: .*password"):
        read_vectors(path)


def test_an_archive_with_a_damaged_directory_is_refused(tmp_path: Path) -> None:
    data = bytearray(zipped({"a.txt": b"the 1 2\n"}))
    data[data.index(b"PK\x01\x02")] ^= 1
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    with pytest.raises(TextseqError, match="is not an intact ZIP archive"):
        read_vectors(path)


def test_an_archive_of_a_version_that_there_is_not_is_refused(tmp_path: Path) -> None:
    data = bytearray(zipped({"a.txt": b"the 1 2\n"}))
    data[data.index(b"PK\x01\x02") + 6] = 116  # the version that is needed to unpack it
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    with pytest.raises(TextseqError, match="is not an intact ZIP archive"):
        read_vectors(path)
    with pytest.raises(TextseqError, match="is not an intact ZIP archive"):
        members(path, ["*"])


def test_a_header_of_vectors_with_a_number_of_many_digits_is_no_header(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"9" * 5000 + b" 3\nthe 1 2 3\nof 1 2 3\n")
    found = read_vectors(path)
    assert found.words == ("the", "of") and "line 1" in found.notes[0]


def test_vectors_of_very_large_numbers_have_neighbors() -> None:
    largest = np.finfo(np.float32).max
    vectors = Vectors(("a", "b", "c"), np.array([[largest, largest], [1, 1], [1, -1]], np.float32))
    assert [word for word, _ in vectors.nearest("a")] == ["b", "c"]
    assert vectors.similarity("a", "b") == pytest.approx(1)


def test_lines_are_bounded_for_every_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textseq.io.documents.document.LONGEST_LINE", 100)
    (tmp_path / "a.txt").write_text("a\n" + "b" * 99 + "\n" + "c" * 101)
    lines = Document(tmp_path / "a.txt", "utf-8").lines()
    assert [next(lines), next(lines)] == ["a", "b" * 99]
    with pytest.raises(TextseqError, match="line 3 has more than 100 characters"):
        next(lines)


def test_the_json_of_the_tests_is_what_it_claims_to_be() -> None:
    assert sys.getrecursionlimit() < as_json("\ue000").count(b"[")


@pytest.mark.parametrize("whole", [True, False])
def test_an_archive_whose_names_are_not_the_text_that_they_say_is_refused(tmp_path: Path, whole: bool) -> None:
    data = bytearray(zipped({"żółć.txt": b"the 1 2\n"}))  # whose names are marked as UTF-8
    first = data.index("żółć".encode())
    data[data.index("żółć".encode(), first + 1) if whole else first] = 0xC0
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    with pytest.raises(TextseqError, match=r"is damaged|is not an intact ZIP archive"):
        read_vectors(path)


def test_a_tokenizer_too_large_to_be_read_again_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told when a run begins, not when its model is to be used."""
    monkeypatch.setattr("textseq.tokenizers.base.LARGEST_FILE", 100)
    with pytest.raises(
        TextseqError, match=r"expected a tokenizer of at most 100 bytes, got \d+; lower --vocabulary-size"
    ):
        CharTokenizer("".join(map(chr, range(64, 126)))).save(tmp_path / "new")
    assert not (tmp_path / "new").exists()
