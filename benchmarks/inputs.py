"""Give damaged, hostile and random files to everything that reads a user's files, for as long as requested.

    python benchmarks/inputs.py --minutes 60

A reader must give a result or raise a TextseqError, which a command reports in one line with exit code 2. It may take
at most ``SECONDS``, and ``GIB`` of memory more than the process had. Hypothesis makes the inputs, from valid ones (see
``mutations``) and from nothing; the tests use the same strategies for a few examples. An input that breaks a reader is
saved with its traceback in a folder (--failures), one per place in the code; --replay reads it again.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import gzip
import importlib
import io
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from formats import COLUMNS, FORMATS, documents, format_inputs
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from mutations import Files, any_json, as_json, changed_json, models, mutated, rehashed, zipped
from small_models import ENGLISH, job_of, made

import textseq
from textseq import config
from textseq.checkpoints.model_info import read_info, read_json
from textseq.checkpoints.registry import ModelEntry
from textseq.commands.command import run
from textseq.commands.models import model_line
from textseq.config.base import Settings
from textseq.config.recipes import FOLDER, read_recipe
from textseq.data.corpora.catalog import read_recipe as read_corpus_recipe
from textseq.data.corpora.catalog import recipe_files
from textseq.data.labelled import own_labelled
from textseq.data.pairs import own_pairs
from textseq.data.readers.labelled import Texts
from textseq.data.readers.word_vectors import read_vectors
from textseq.data.tagged import own_tagged
from textseq.data.text import own_text
from textseq.errors import TextseqError
from textseq.io.documents.document import Document
from textseq.io.lines import Lines
from textseq.metrics.word_vectors import word_analogies, word_similarity
from textseq.tasks.language_model.memorization import training_text
from textseq.tokenizers.registry import TOKENIZERS, load_tokenizer
from textseq.training.log import RunLog, learning_curve

SECONDS = 20.0
"""Of the processor's time that an input may take."""
GIB = 1.0
"""Memory that it may take, on top of what the process has."""
BATCH = 50
"""Inputs that hypothesis makes in one go."""


class Hang(BaseException):
    """An input took too long; no ``Exception``, so that no reader takes it for its own."""


@dataclass(frozen=True)
class Reader:
    """Something that reads what a user gives."""

    name: str
    inputs: st.SearchStrategy[Files]
    read: Callable[[Path], object]
    """Reads the files of a folder, and does with them what is usually done."""


def holds(one: Reader, files: Files) -> str:
    """Give a reader an input, in a folder of its own.

    Returns:
        "result", or "refusal" for a TextseqError of one line.

    Raises:
        Exception: whatever else the reader raises: it is broken.
    """
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name, patch.dict(os.environ, {"TEXTSEQ_HOME": str(Path(name, "home"))}):
        os.environ.pop("TEXTSEQ_DATA", None)
        folder = Path(name)
        for file, data in files.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(data)
        os.chdir(folder)
        try:
            one.read(folder)
        except TextseqError as error:
            assert str(error), "a refusal without a word"
            return "refusal"
        finally:
            os.chdir(before)
    return "result"


# What there is to read


def exhaust(rows: Iterable[object]) -> None:
    """Read to the end."""
    for _ in rows:
        pass


def _recipe(folder: Path) -> None:
    recipe = read_recipe(str(folder / "recipe.toml"))
    tables: dict[str, dict[str, type[Settings]]] = {"model": MODELS, "data": BATCHINGS, "training": TRAININGS}
    for key, kinds in tables.items():
        table = recipe.get(key, {})
        assert isinstance(table, dict)
        for kind in kinds.values():
            with contextlib.suppress(TextseqError):
                kind.from_dict(table, where="recipe")


def _corpus_recipe(folder: Path) -> None:
    recipe = read_corpus_recipe("mine", (folder / "corpus.toml").read_bytes().decode(errors="replace"))
    assert recipe.bytes >= 0
    for file in recipe.files.values():
        inside = (folder / file.path).resolve()
        assert inside.is_relative_to(folder.resolve()) and inside != folder.resolve()


def _settings(folder: Path) -> None:
    for kind in KINDS:
        with contextlib.suppress(TextseqError):
            made = kind.from_dict(_object(folder / "settings.json"), where="here")
            assert kind.from_dict(made.to_dict(), where="here") == made


def _tokenizer(folder: Path) -> None:
    tokenizer = load_tokenizer(folder)
    for text in (ENGLISH, "Zażółć\0 \u2028\U0001f600 ▁<unk>", ""):
        ids = tokenizer.encode(text)
        stream = tokenizer.stream()
        whole = tokenizer.decode(ids)
        assert "".join([*map(stream.feed, ids.tolist()), stream.finish()]) == whole
    tokenizer.decode(np.arange(tokenizer.size))
    tokenizer.save(folder / "again")
    assert load_tokenizer(folder / "again").fingerprint == tokenizer.fingerprint


def _vectors(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        with contextlib.suppress(TextseqError):
            read_vectors(path, ["the", "To", "of"], size=3)
        found = read_vectors(path)
        if found.words:
            found.nearest(found.words[0])


def _word_tests(folder: Path) -> None:
    vectors = textseq.Vectors(("king", "queen", "man", "woman"), np.eye(4, dtype=np.float32))
    for test in (word_similarity, word_analogies):
        for path in sorted(folder.iterdir()):
            with contextlib.suppress(TextseqError):
                test(vectors, path)


def _texts(folder: Path) -> None:
    for encoding in ENCODINGS:
        with contextlib.suppress(TextseqError):
            corpus = own_text([folder], encoding=encoding)
            for split in corpus.splits:
                exhaust(chunk for document in corpus.documents(split) for chunk in document)
    for path in sorted(folder.iterdir()):
        own_text([path])


def _lines(folder: Path) -> None:
    for encoding in ENCODINGS:
        with Document(folder / "lines.txt", encoding).open() as file:
            lines = Lines(file, "lines.txt", encoding, longest=50)
            assert all(len(line) <= 50 for line in lines)


def _archive(folder: Path) -> None:
    from textseq.data.corpora.text_formats import members

    for member in members(folder / "texts.zip", ["*"]):
        with contextlib.suppress(TextseqError):
            exhaust(Document(folder / "texts.zip", "utf-8", member=member).chunks())
    assert [path.name for path in folder.iterdir()] == ["texts.zip"], "nothing is unpacked to disk"


def _own(opened: Callable[..., Any], rows: str, paths: Sequence[Path]) -> None:
    """A user's own files, opened in every encoding and with every treatment of faults, and read to the end."""
    for encoding in ENCODINGS:
        for options in ({}, {"empty": "drop", "overlong": "drop", "unreadable": "drop", "longest": 30}):
            with contextlib.suppress(TextseqError):
                corpus = opened(paths, encoding=encoding, validation=0.3, **options)
                for split in corpus.splits:
                    exhaust(getattr(corpus, rows)(split))


def _labelled(folder: Path) -> None:
    paths = sorted(path for path in folder.iterdir() if path.name != "home")
    _own(own_labelled, "examples", paths)
    for path in paths:
        if path.is_file():
            exhaust(Texts(path))


def _pairs(folder: Path) -> None:
    _own(own_pairs, "pairs", sorted(folder.iterdir()))


def _tagged(folder: Path) -> None:
    paths = sorted(folder.iterdir())
    for encoding in ENCODINGS:
        for options in ({}, {"aligned": False}, {"overlong": "drop", "unreadable": "drop", "longest": 3}):
            with contextlib.suppress(TextseqError):
                corpus = own_tagged(paths, encoding=encoding, validation=0.3, **options)
                for split in corpus.splits:
                    exhaust(corpus.sentences(split))


def _model(folder: Path) -> None:
    with contextlib.suppress(TextseqError):
        training_text(read_info(folder))  # whatever the model is
    with contextlib.suppress(TextseqError):
        model_line(ModelEntry("mine", folder, read_info(folder), False))
    _work(textseq.load(folder))
    job = textseq.load(folder)
    job.save(folder / "again")


def _work(job: Any) -> None:
    """What a model is for, in small."""
    repr(job)
    if isinstance(job, textseq.TextGenerator):
        job.generate("To be", max_new_tokens=5, seed=1)
        job.score("To be")
        job.generate("To", max_new_tokens=3, num_beams=2)
    elif isinstance(job, textseq.Translator):
        job.translate(["To be", ""], max_new_tokens=5)
    elif isinstance(job, textseq.Classifier):
        job.classify(["To be", ""])
    else:
        job.tag("To be")


def _run(folder: Path) -> None:
    """Go on for a step; the text is taken for the one that the run began with, wherever that lay."""
    (last,) = folder.glob("last-*")
    with contextlib.suppress(TextseqError, ValueError, TypeError, KeyError, OSError, RecursionError):
        facts = json.loads((last / "config.json").read_bytes())
        source = {"encoding": "utf-8", "validation": 0.1} | facts["source"]
        text = own_text([folder / "text.txt"], encoding=source["encoding"], validation=source["validation"])
        facts["corpus"]["fingerprint"] = text.fingerprint
        facts["source"]["text"] = [str(folder / "text.txt") for _ in facts["source"]["text"]]
        facts["sha256"].pop("config.json", None)
        (last / "config.json").write_text(json.dumps(facts))
    training = textseq.TrainingConfig(max_steps=3, evaluate_every=10, device="cpu")
    with patch("textseq.tasks.base.learning_curve"):  # which takes longer than all the rest
        textseq.resume(folder, training=training)


def _log(folder: Path) -> None:
    RunLog(folder).cut(1)
    (folder / "log.jsonl").write_bytes((folder / "whole.jsonl").read_bytes())
    learning_curve(folder / "log.jsonl", folder / "curve.png", "nats per token")


def _writing(folder: Path) -> None:
    given = _object(folder / "settings.json")
    prompt = given.pop("prompt", "")
    prompt = prompt if isinstance(prompt, str) else ""
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    writer = job_of("language-model")
    for piece, _ in zip(writer.stream(prompt, **given), range(50), strict=False):  # for it may go on for ever
        assert isinstance(piece, str)
    if prompt:
        writer.score(prompt)


def _sentences(folder: Path) -> None:
    given = _object(folder / "settings.json")
    texts = given.pop("sentences", [])
    texts = texts if isinstance(texts, list) else []
    for task in ("classification", "tagging", "letters"):
        with contextlib.suppress(TextseqError):
            job = job_of(task)
            exhaust(job.stream(texts))
    given = {"max_new_tokens": 20, "attention": True} | given
    exhaust(job_of("translation").stream(texts, **given))


def _command(folder: Path) -> None:
    """A command, in this process: exit code 0 or 2, and no traceback."""
    arguments = json.loads((folder / "arguments.json").read_bytes())
    for task, place in (("language-model", "writer"), *((other, other) for other in [*MODELS][1:])):
        (folder / place).mkdir()
        for file, data in made(task).items():
            (folder / place / file).write_bytes(data)
    for file, data in FILES.items():
        (folder / file).write_bytes(data)
    name, given = arguments[0], [argument.replace("\0", "") for argument in arguments[1:]]
    main = getattr(importlib.import_module(f"textseq.cli.{name}"), name)
    if name == "train":
        given = [*TINY, *given, *ENDS]
    out, said = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    stdin, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(ENGLISH.encode()))
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said), contextlib.suppress(SystemExit):
            code: object = None
            try:
                run(f"textseq-{name}", main, given)
            except SystemExit as stop:
                code = stop.code
        assert code in (None, 0, 2), (code, said.getvalue())
        assert "Traceback" not in said.getvalue()
        if code == 2:
            raise TextseqError(said.getvalue().strip() or "nothing said")
    finally:
        sys.stdin = stdin


def _object(path: Path) -> dict[str, Any]:
    return read_json(path)


MODELS: dict[str, type[Settings]] = {
    "language-model": textseq.LanguageModelConfig,
    "translation": textseq.TranslationModelConfig,
    "classification": textseq.ClassifierConfig,
    "tagging": textseq.TaggerConfig,
}
BATCHINGS: dict[str, type[Settings]] = {
    "language-model": textseq.DataConfig,
    "translation": textseq.PairConfig,
    "classification": textseq.LabelledConfig,
    "tagging": textseq.TaggedConfig,
}
TRAININGS: dict[str, type[Settings]] = {
    "language-model": textseq.TrainingConfig,
    "translation": textseq.TranslatorTrainingConfig,
    "classification": textseq.ClassifierTrainingConfig,
    "tagging": textseq.TaggerTrainingConfig,
}
KINDS: list[type[Settings]] = [
    *MODELS.values(),
    *BATCHINGS.values(),
    *TRAININGS.values(),
    textseq.GenerationConfig,
    textseq.TranslationConfig,
]
ENCODINGS = ("utf-8", "utf-16", "utf-7", "cp1252", "shift_jis", "idna")
TINY = ["--hidden-size", "8", "--embedding-size", "4", "--batch-size", "4", "--max-steps", "2"]
"""With which a command trains in no time."""
ENDS = ["--max-minutes", "0.02", "--device", "cpu"]


# Whole inputs


@cache
def trained() -> Files:
    """The files of a run that can be resumed."""
    with tempfile.TemporaryDirectory() as name:
        before, os.environ["TEXTSEQ_HOME"] = Path.cwd(), name
        os.chdir(name)
        try:
            Path("text.txt").write_text(ENGLISH * 3)
            textseq.train(
                text=["text.txt"],
                name="mine",
                model=textseq.LanguageModelConfig(hidden_size=6, embedding_size=4),
                training=textseq.TrainingConfig(max_steps=2, evaluate_every=10, device="cpu"),
            )
        finally:
            os.chdir(before)
        run = Path(name, "runs", "mine")
        files = {path.relative_to(run).as_posix(): path.read_bytes() for path in run.rglob("*") if path.is_file()}
    return {name: data for name, data in files.items() if name.startswith("last-") or name == "log.jsonl"}


def log_files() -> Files:
    lines = [{"step": n, "loss": 3 - n / 9, "validation_loss": 2.5, "validation_accuracy": 0.5} for n in (1, 2)]
    return {"log.jsonl": "".join(json.dumps(line) + "\n" for line in lines).encode()}


@cache
def tokenizers() -> list[Files]:
    """A tokenizer of every kind."""
    kinds = [config.TokenizerConfig(tokenizer="char"), config.TokenizerConfig(tokenizer="byte")]
    kinds += [config.TokenizerConfig(tokenizer="word", rare_words=rare) for rare in ("spell", "unknown")]
    kinds += [config.TokenizerConfig(tokenizer="word", lowercase=True, stem="english", punctuation="merge")]
    kinds += [config.TokenizerConfig(tokenizer="subword", vocabulary_size=300)]
    made = [TOKENIZERS[kind.tokenizer].train([[ENGLISH]], kind) for kind in kinds]
    return [{"tokenizer.json": json.dumps(one.to_json()).encode()} for one in made]


ROWS = [(f"the {word} film", "good" if n % 2 else "bad") for n, word in enumerate(ENGLISH.split()[:12])]
WORD_VECTORS = "".join(f"{word} {n} {-n}.5 1e-{n}\n" for n, word in enumerate(["the", "of", "To", "be", "kind"], 1))


def whole_inputs() -> dict[str, list[Files]]:
    """Valid inputs, by the name of their reader."""
    binary = b"5 3\n" + b"".join(
        word.encode() + b" " + np.arange(n, n + 3, dtype="<f4").tobytes()
        for n, word in enumerate(["the", "of", "To", "be", "kind"])
    )
    tagged = "".join(f"{word}\t{'N' if n % 2 else 'V'}\n" + "\n" * (n % 4 == 3) for n, (word, _) in enumerate(ROWS))
    universal = "# sent_id = 1\n" + "".join(
        f"{n}\t{word}\t_\t{'NOUN' if n % 2 else 'VERB'}\t_\t_\t_\t_\t_\t_\n" + "\n" * (n % 4 == 0)
        for n, word in enumerate(ENGLISH.split()[:12], 1)
    )
    english, french = (
        "".join(f"{side} sentence {n}\n" for n in range(12)).encode() for side in ("English", "phrase française")
    )
    tsv = "".join(f"{text}\t{label}\n" for text, label in [("text", "label"), *ROWS]).encode()
    jsonl = "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in ROWS).encode()
    pairs = "".join(json.dumps({"source": a, "target": b}) + "\n" for a, b in ROWS).encode()
    return {
        "training recipes": [{"recipe.toml": path.read_bytes()} for path in sorted(FOLDER.glob("*.toml"))],
        "corpus recipes": [{"corpus.toml": text.encode()} for text in recipe_files().values()],
        "vectors": [
            {"vectors.txt": WORD_VECTORS.encode()},
            {"vectors.txt": b"5 3\n" + WORD_VECTORS.encode()},
            {"vectors.bin": binary},
            {"vectors.txt.gz": gzip.compress(WORD_VECTORS.encode())},
            {"vectors.zip": zipped({"vectors.3d.txt": WORD_VECTORS.encode()})},
            {"vectors.zip": zipped({"a.txt": WORD_VECTORS.encode(), "../b.txt": b"the 1 2\nof 2 1\n"}, 0)},
        ],
        "word tests": [
            {"similar.txt": b"king\tqueen\t9.5\nman\twoman\t8\n"},
            {"analogies.txt": b": a\n" + b"king man queen woman\n"},
        ],
        "texts": [
            {"a.txt": ENGLISH.encode(), "b/c.txt": "zażółć\r\n".encode()},
            {"a.txt": ENGLISH.encode("utf-16")},
            {"a.txt.gz": gzip.compress(ENGLISH.encode())},
        ],
        "lines": [{"lines.txt": ENGLISH.encode()}, {"lines.txt": ENGLISH.encode("utf-16")}],
        "archives": [
            {"texts.zip": zipped({"a.txt": ENGLISH.encode(), "../b": b"b", "/c": b"c", "d/": b""}, way)}
            for way in (0, 8)
        ],
        "labelled texts": [
            {"a.csv": "".join(f'"{text}",{label}\r\n' for text, label in [("text", "label"), *ROWS]).encode()},
            {"a.tsv": tsv},
            {"a.tsv.gz": gzip.compress(tsv)},
            {"a.jsonl": jsonl},
            {f"all/{label}/{n}.txt": text.encode() for n, (text, label) in enumerate(ROWS)},
        ],
        "pairs": [
            {"a.en": english, "a.fr": french},
            {"a.en.gz": gzip.compress(english), "a.fr": french},
            {"a.tsv": b"source\ttarget\n" + tsv},
            {"a.jsonl": pairs},
        ],
        "tagged sentences": [
            {"a.conll": tagged.encode()},
            {"a.conllu": universal.encode()},
            {"a.conll.gz": gzip.compress(tagged.encode())},
            {"sounds.tsv": "".join(f"{text}\tA B C\n" for text, _ in ROWS).encode()},
        ],
        **format_inputs(),
    }


def _json_inputs(wholes: Sequence[dict[str, Any]]) -> st.SearchStrategy[Files]:
    """Settings in a file: those given with some changed, or any at all."""
    changed = st.sampled_from([as_json(whole) for whole in wholes]).flatmap(changed_json)
    return (changed | changed | changed | any_json().map(as_json)).map(lambda data: {"settings.json": data})


FLAGS: dict[str, list[str]] = {
    "sample": [
        "--author",
        "--prompt",
        "--text",
        "--corpus",
        "--training-text",
        "--encoding",
        "--show-surprisal",
        "--prompt-file",
    ],
    "classify": ["--model", "--input", "--output", "--encoding", "--text-column", "--json", "--explain", "--buffer"],
    "tag": ["--model", "--input", "--output", "--encoding", "--words", "--num-beams", "--json", "--buffer"],
    "translate": [
        "--model",
        "--input",
        "--output",
        "--encoding",
        "--num-beams",
        "--json",
        "--buffer",
        "--prefix",
        "--glossary",
        "--keep",
    ],
    "evaluate": ["--model", "--text", "--pairs", "--labelled", "--tagged", "--split", "--window", "--streams"],
    "train": ["--text", "--pairs", "--labelled", "--tagged", "--recipe", "--from", "--resume", "--task", "--name"],
}
"""Of each command those that read something; any of its other flags come besides."""
FILES: Files = {
    "text.txt": ENGLISH.encode(),
    "pairs.tsv": b"source\ttarget\n" + b"a b c\td e f\nb c\te f\nc\tf\n" * 9,
    "texts.csv": b"text,label\n" + b"".join(f"text {n},{n % 2}\n".encode() for n in range(30)),
    "words.conll": b"a\tX\nb\tY\n\nc\tX\na\tY\n\n" * 9,
    "recipe.toml": b'task = "language-model"\n[model]\nnum_layers = 1\n',
    "page.html": b"<p>To <b>be</b></p>",
    "terms.tsv": b"be\ta\n",
    "broken.json": b"{",
}


@cache
def _all_flags(name: str) -> list[str]:
    """Every flag of a command, as its help has them; none that would fetch something."""
    import re

    main = getattr(importlib.import_module(f"textseq.cli.{name}"), name)
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        run(f"textseq-{name}", main, ["--help-all"])
    found = set(re.findall(r"(?<!\S)--[a-z][a-z0-9-]+", out.getvalue()))
    return sorted(found - {"--download", "--interactive", "--help", "--help-all"})


@st.composite
def _arguments(draw: st.DrawFn, every: dict[str, list[str]]) -> Files:
    """A command, with files and models that it may name, and flags that make sense or none."""
    name = draw(st.sampled_from(sorted(FLAGS)))
    values = st.sampled_from(
        [*FILES, "writer", "translation", "classification", "tagging", "nowhere", ".", "", "-", "x" * 300]
    )
    values |= st.sampled_from(
        ["0", "1", "-1", "2", "0.5", "nan", "inf", "1e999", "9" * 30, "utf-16", "rot13", "a=1", "a"]
    )
    values |= st.text(max_size=5).map(lambda text: text.replace("/", ""))
    flags = st.sampled_from(FLAGS[name]) | st.sampled_from(every[name])
    arguments = [name]
    for _ in range(draw(st.integers(0, 4))):
        arguments += [draw(flags), *draw(st.lists(values, max_size=2))]
    if name != "train" and draw(st.booleans()):
        task = {"sample": "writer", "translate": "translation", "classify": "classification"}.get(name, "tagging")
        arguments += ["--author" if name == "sample" else "--model", task]
    return {"arguments.json": json.dumps(arguments).encode()}


READ: dict[str, Callable[[Path], object]] = {
    "training recipes": _recipe,
    "corpus recipes": _corpus_recipe,
    "settings": _settings,
    "tokenizers": _tokenizer,
    "vectors": _vectors,
    "word tests": _word_tests,
    "texts": _texts,
    "lines": _lines,
    "archives": _archive,
    "labelled texts": _labelled,
    "pairs": _pairs,
    "tagged sentences": _tagged,
    **FORMATS,
    **{f"model folders: {task}": _model for task in (*MODELS, "letters")},
    "runs to resume": _run,
    "logs of runs": _log,
    "prompts": _writing,
    "sentences": _sentences,
    "commands": _command,
}
"""Everything that reads what a user gives, by its name."""


@cache
def reader(name: str) -> Reader:
    """A key of ``READ`` with its inputs."""
    kind, _, task = name.partition(": ")
    prompts = {"prompt": "To be", **textseq.GenerationConfig(max_new_tokens=20).to_dict()}
    beams = {"prompt": "", **textseq.GenerationConfig(max_new_tokens=20, num_beams=3).to_dict()}
    sentences = {"sentences": ["To be", "", "x" * 100, "\n"], "num_beams": 2, "length_penalty": 1.0, "prefix": ""}
    special: dict[str, Callable[[], st.SearchStrategy[Files]]] = {
        "settings": lambda: _json_inputs([one().to_dict() for one in KINDS]),
        "tokenizers": lambda: mutated(tokenizers()),
        "model folders": lambda: models([made(task)]),
        "runs to resume": lambda: _runs(trained()),
        "logs of runs": lambda: mutated([log_files()]).map(lambda files: files | {"whole.jsonl": files["log.jsonl"]}),
        "prompts": lambda: _json_inputs([prompts, beams, {"prompt": "\ud800"}]),
        "sentences": lambda: _json_inputs([sentences]),
        "commands": lambda: _arguments({name: _all_flags(name) for name in FLAGS}),
        "documents": documents,
        "data in memory": lambda: _json_inputs(COLUMNS),
    }
    return Reader(name, special[kind]() if kind in special else mutated(whole_inputs()[name]), READ[name])


@st.composite
def _runs(draw: st.DrawFn, files: Files) -> Files:
    """A run that was stopped, its last checkpoint mutated, but for the tensors that the loop alone reads."""
    last = next(name.partition("/")[0] for name in files if name.startswith("last-"))
    inner = {name.partition("/")[2]: data for name, data in files.items() if name.startswith(last)}
    own = {name: data for name, data in inner.items() if name == "training.safetensors"}
    inner = {name: data for name, data in inner.items() if name not in own}
    inner = draw(mutated([inner]).map(rehashed) | mutated([inner]).map(rehashed) | st.just(inner))
    log = draw(mutated([{"log.jsonl": files["log.jsonl"]}]) | st.just({"log.jsonl": files["log.jsonl"]}))
    inner |= own
    return {"text.txt": (ENGLISH * 3).encode(), **log, **{f"{last}/{name}": data for name, data in inner.items()}}


# The long run


@dataclass
class Tally:
    """What became of a reader's inputs."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: dict[str, int] = field(default_factory=dict)
    """By the place in the code: the size of the smallest input that is saved."""
    memory: int = 0
    """The most that any took, in bytes."""
    seconds: float = 0.0
    """The longest that any took, of the processor's time."""


@contextlib.contextmanager
def watched(seconds: float) -> Iterator[None]:
    """Raise ``Hang`` in the block after so much of the processor's time, or ten times as much of the clock's.

    Where Python itself is stuck, the process ends with its stack.
    """

    def late(number: int, frame: FrameType | None) -> None:
        raise Hang(f"it took more than {seconds:.0f} s of the processor, or ten times as many of the clock")

    timers = (
        (signal.SIGPROF, signal.ITIMER_PROF, seconds),
        (signal.SIGALRM, signal.ITIMER_REAL, 10 * seconds),
    )
    previous = {number: signal.signal(number, late) for number, _, _ in timers}
    for _, timer, limit in timers:
        signal.setitimer(timer, limit, 1.0)  # again every second, for some callbacks swallow what is raised in them
    faulthandler.dump_traceback_later(20 * seconds, exit=True)
    try:
        yield
    finally:
        for number, timer, _ in timers:
            signal.setitimer(timer, 0)
            signal.signal(number, previous[number])
        faulthandler.cancel_dump_traceback_later()


def _resident(peak: bool) -> int:
    """The memory of this process in bytes: now, or its peak since ``_forget_peak``."""
    text = Path("/proc/self/status").read_text()
    return 1024 * int(
        next(line for line in text.splitlines() if line.startswith("VmHWM" if peak else "VmRSS")).split()[1]
    )


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _limit_memory(more: float) -> None:
    """Let the process ask for so many bytes more than it has: beyond it is a MemoryError, not the machine's end."""
    import resource

    text = Path("/proc/self/status").read_text()
    now = 1024 * int(next(line for line in text.splitlines() if line.startswith("VmData")).split()[1])
    resource.setrlimit(resource.RLIMIT_DATA, (now + int(more), resource.RLIM_INFINITY))


def attempt(one: Reader, files: Files, tally: Tally, failures: Path) -> None:
    """Give a reader an input, and note what it did."""
    _forget_peak()
    before, start = _resident(peak=False), time.process_time()
    broken: BaseException | None = None
    try:
        with watched(SECONDS):
            outcome = holds(one, files)
    except (Exception, Hang) as error:
        outcome, broken = "failure", error
    took, memory = time.process_time() - start, _resident(peak=True) - before
    tally.seconds, tally.memory = max(tally.seconds, took), max(tally.memory, memory)
    if broken is None and memory > GIB * 2**30:
        outcome, broken = "failure", MemoryError(f"it took {memory / 2**30:.2f} GiB")
    tally.outcomes[outcome] += 1
    if broken is None:
        return
    ours = [place for place in traceback.extract_tb(broken.__traceback__) if "/textseq/" in place.filename]
    where = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "nowhere"
    key = f"{type(broken).__name__} at {where}"
    size = sum(map(len, files.values()))
    if size < tally.failures.get(key, size + 1):
        tally.failures[key] = size
        folder = failures / one.name.replace(":", "").replace(" ", "-") / key.replace(" ", "-").replace(":", "-")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, data in files.items():
            (folder / "input" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "input" / name).write_bytes(data)
        (folder / "traceback.txt").write_text("".join(traceback.format_exception(broken)), errors="backslashreplace")


def fuzz(one: Reader, until: float, first_seed: int, tally: Tally, failures: Path) -> int:
    """Give a reader inputs of hypothesis's making until a moment; returns the next seed."""
    number = first_seed
    while time.monotonic() < until:

        @seed(number)
        @settings(
            max_examples=BATCH,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(one.inputs)
        def some(files: Files) -> None:
            if time.monotonic() < until:
                attempt(one, files, tally, failures)

        some()
        number += 1
    return number


def main(arguments: Sequence[str] | None = None) -> None:
    """Fuzz every reader in turn, and print what they did."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="in all")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the first batch of each reader")
    parser.add_argument("--only", nargs="*", default=[], help="readers whose names begin so")
    parser.add_argument("--failures", type=Path, default=Path("input-failures"), help="folder for what breaks a reader")
    parser.add_argument("--replay", type=Path, help="a folder of --failures: read it once more, with --only READER")
    options = parser.parse_args(arguments)
    chosen = [reader(name) for name in READ if not options.only or name.startswith(tuple(options.only))]
    if options.replay is not None:
        inner = options.replay / "input"
        files = {str(path.relative_to(inner)): path.read_bytes() for path in inner.rglob("*") if path.is_file()}
        print(holds(chosen[0], files))
        return
    warnings.simplefilter("error")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)  # the inputs are small, and threads that wait for one another are no hang
    tallies = {one.name: Tally() for one in chosen}
    for one in chosen:  # what is made and imported once is nobody's memory
        for files in (made("language-model"), trained()):
            with contextlib.suppress(Exception):
                holds(one, dict(files))
    _limit_memory(1.5 * GIB * 2**30)
    share = options.minutes * 60 / len(chosen)
    for one in chosen:
        fuzz(one, time.monotonic() + share, options.seed, tallies[one.name], options.failures.resolve())
        print(_row(one.name, tallies[one.name]), flush=True)
    print(_table(tallies))
    print(f"seed {options.seed}; an input may take {SECONDS:.0f} s and {GIB:g} GiB")
    from conditions import print_conditions

    print_conditions()
    for name, tally in tallies.items():
        for key, size in tally.failures.items():
            print(f"FAILURE {name}: {key} ({size:,} bytes, in {options.failures})")
    if any(tally.failures for tally in tallies.values()):
        raise SystemExit(1)


def _row(name: str, tally: Tally) -> str:
    counts = [tally.outcomes.total(), *(tally.outcomes[kind] for kind in ("result", "refusal", "failure"))]
    counts.append(round(tally.memory / 2**20))
    return f"| {name} | {' | '.join(f'{count:,}' for count in counts)} | {tally.seconds:.2f} |"


def _table(tallies: dict[str, Tally]) -> str:
    head = "| reader | inputs | results | refusals | failures | most memory, MiB | longest, s |"
    line = "|---|---:|---:|---:|---:|---:|---:|"
    whole = Tally(sum((tally.outcomes for tally in tallies.values()), Counter()))
    whole.memory = max(tally.memory for tally in tallies.values())
    whole.seconds = max(tally.seconds for tally in tallies.values())
    return "\n".join([head, line, *(_row(name, tally) for name, tally in tallies.items()), _row("all", whole)])


if __name__ == "__main__":
    main()
