"""A run: from a corpus and settings to a trained model in its folder."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from textseq import checkpoint
from textseq.batches import Streams
from textseq.config import DataConfig, LanguageModelConfig, TrainingConfig
from textseq.corpus import Corpus, cache_folder
from textseq.devices import deterministic, pick_device, pick_precision
from textseq.embedding import carry_over
from textseq.errors import Interrupted, TextseqError
from textseq.files import replacing
from textseq.jobs import Writer, open_writer
from textseq.metrics import measure
from textseq.model_card import model_card
from textseq.models.language_model import LanguageModel
from textseq.origin import Source, saved_settings
from textseq.plots import learning_curve
from textseq.run_log import summary_writer
from textseq.shelf import Facts, find_model, find_run, newest, runs_folder
from textseq.text import Tokenizer
from textseq.tokens import TokenFile, token_file, tokenizer_for
from textseq.training import Evaluation, Run, Training
from textseq.version import __version__

log = logging.getLogger("textseq")

FINAL_TOKENS = 500_000
"""Tokens of the validation part that the final measure reads at most; ``textseq-evaluate`` reads all."""
SAMPLE_TOKENS = 200
"""Tokens of the text shown after each evaluation."""


@dataclass(frozen=True)
class Prepared:
    """Everything that stands before the first step."""

    folder: Path
    facts: Facts
    tokenizer: Tokenizer
    train_tokens: TokenFile
    validation_tokens: TokenFile | None
    streams: Streams
    model: LanguageModel


def train(
    corpus: str | None = None,
    *,
    text: Sequence[Path | str] = (),
    encoding: str = "utf-8",
    validation: float = 0.1,
    name: str | None = None,
    model: LanguageModelConfig | None = None,
    batching: DataConfig | None = None,
    training: TrainingConfig | None = None,
    start_from: str | None = None,
    overwrite: bool = False,
    data: Path | None = None,
    download: bool = False,
    report: Callable[[str], None] = log.info,
) -> Writer:
    """Train a language model, and return it as it was at its best.

    Args:
        corpus: a corpus by name; or
        text: one's own files and folders.
        encoding: of these files.
        validation: the share at their end that is kept for validation.
        name: of the run; the corpus's name, or the first file's, by default.
        model: sizes and cell; with ``start_from``, that model's by default.
        batching: tokenizer, streams, windows.
        training: optimizer, schedule, limits.
        start_from: a model whose weights to begin with; tokens that both vocabularies have keep their vectors.
        overwrite: replace a run of this name.
        data: folder of the corpora; ``TEXTSEQ_DATA`` by default.
        download: fetch what is not there.
        report: where lines about the run go.

    Raises:
        TextseqError: anything that the user can mend, told before the first step wherever it can be.
        Interrupted: after Ctrl-C or SIGTERM; the run has saved itself.
    """
    source = Source(
        corpus=corpus,
        text=tuple(str(Path(path).resolve()) for path in text),
        encoding=encoding,
        validation=validation,
    )
    if name is None:
        name = corpus or (Path(source.text[0]).stem if source.text else "") or "run"
    if name in {"", ".", ".."} or "/" in name or "\\" in name or not name.isprintable() or len(name) > 100:
        raise TextseqError(f"--name wants a plain name without slashes, of 1 to 100 characters, found {name!r}")
    folder = runs_folder() / name
    if folder.exists() and not overwrite:
        raise TextseqError(
            f"the run {folder} exists; go on with --resume {folder}, replace it with --overwrite, "
            "or choose another --name"
        )
    base = checkpoint.load(find_model(start_from)) if start_from else None
    if model is None:
        model = open_writer(base).model.config if base else LanguageModelConfig()
    batching, training = batching or DataConfig(), pick_precision(training or TrainingConfig())
    opened = source.open(data=data, download=download)
    for note in opened.notes:
        report(note)
    facts: Facts = {
        "task": "language-model",
        "textseq": __version__,
        "source": source.to_dict(),
        "corpus": {
            "name": opened.name,
            "title": opened.title,
            "licence": opened.licence,
            "fingerprint": opened.fingerprint,
        },
        "language": opened.language,
        "start_from": start_from,
        "model": model.to_dict(),
        "data": batching.to_dict(),
        "training": training.to_dict(),
    }
    tokenizer = tokenizer_for(opened, batching, cache_folder())
    for note in tokenizer.notes(batching):
        report(note)
    prepared = _prepare(folder, facts, opened, tokenizer, model, batching, training)
    if base:
        _start_from(prepared, base, report)
    shutil.rmtree(folder, ignore_errors=True)
    return _run(prepared, training, report, resume=False)


def resume(
    run: str | Path,
    *,
    training: TrainingConfig | None = None,
    data: Path | None = None,
    download: bool = False,
    report: Callable[[str], None] = log.info,
) -> Writer:
    """Go on with a run that was stopped, from its last checkpoint, as if it had never stopped.

    Args:
        run: its name or folder.
        training: other limits or another device than it had; anything else in it would not be the same run.
        data: folder of the corpora; ``TEXTSEQ_DATA`` by default.
        download: fetch what is not there.
        report: where lines about the run go.

    Raises:
        TextseqError: a folder that is no run, a text that has changed since, whatever is wrong with the files.
        Interrupted: after Ctrl-C or SIGTERM; the run has saved itself.
    """
    folder = find_run(str(run))
    last = newest(folder, "last")
    if last is None:
        raise TextseqError(f"there is no run to resume at {folder}: it holds no checkpoint; train it with --name")
    found = checkpoint.load(last)
    settings = saved_settings(found.facts, last)
    opened = settings.source.open(data=data, download=download)
    if settings.fingerprint != opened.fingerprint:
        raise TextseqError(
            f"the text of {folder} is not the one that the run began with; bring that back, or train anew "
            f"(--from {folder.name} begins with these weights)"
        )
    training = pick_precision(training or settings.training)
    if training.optimizer != settings.training.optimizer:
        raise TextseqError(
            f"{folder} goes on with the optimizer that it began with, {settings.training.optimizer}; found "
            f"--optimizer {training.optimizer}; leave it out"
        )
    facts = {**found.facts, "training": training.to_dict()}
    prepared = _prepare(folder, facts, opened, found.tokenizer, settings.model, settings.batching, training)
    return _run(prepared, training, report, resume=True)


def _prepare(
    folder: Path,
    facts: Facts,
    corpus: Corpus,
    tokenizer: Tokenizer,
    model: LanguageModelConfig,
    batching: DataConfig,
    training: TrainingConfig,
) -> Prepared:
    device = pick_device(training.device)
    if training.tensorboard:
        summary_writer()  # if it is missing, that is said before anything is replaced
    train_tokens = token_file(corpus, "train", tokenizer, cache_folder())
    validation = token_file(corpus, "validation", tokenizer, cache_folder()) if "validation" in corpus.parts else None
    streams = Streams(train_tokens, batching, training.seed)
    if validation is not None and len(validation.ids) < 2:
        raise TextseqError(
            f"the validation part must have at least 2 tokens, found {len(validation.ids)}; set a larger --validation, "
            "or 0 for none"
        )
    torch.manual_seed(training.seed)
    network = LanguageModel(model, tokenizer.size).to(device)
    return Prepared(folder, facts, tokenizer, train_tokens, validation, streams, network)


def _start_from(prepared: Prepared, base: checkpoint.Checkpoint, report: Callable[[str], None]) -> None:
    """Fill the new model with another's weights; rows of the vocabulary go by the tokens' strings."""
    old = open_writer(base).model
    new_shape, old_shape = prepared.model.config.shape(), old.config.shape()
    if new_shape != old_shape:
        raise TextseqError(
            f"--from wants a model of the same shape: {base.folder} has {_sizes(old_shape)}, the flags ask for "
            f"{_sizes(new_shape)}; leave the flags out"
        )
    new_weights, old_weights = prepared.model.state_dict(), old.state_dict()
    by_token = {"embedding.weight", "output.weight", "output.bias"}
    with torch.no_grad():
        for name, tensor in old_weights.items():
            if name not in by_token:
                new_weights[name].copy_(tensor)
    for name in sorted(by_token):
        carried = carry_over(
            new_weights[name], prepared.tokenizer.vocabulary, old_weights[name], base.tokenizer.vocabulary
        )
    report(f"weights from {base.folder}; {carried} of {prepared.tokenizer.size} tokens were known there")


def _sizes(config: LanguageModelConfig) -> str:
    words = {
        "tied": config.tie_embeddings,
        "learned initial state": config.learn_initial_state,
        "residual": config.residual,
        "layer norm": config.layer_norm,
    }
    extras = "".join(f", {word}" for word, holds in words.items() if holds)
    return f"{config.cell} {config.layers}x{config.hidden_size}, embedding {config.embedding_size}{extras}"


def _run(prepared: Prepared, training: TrainingConfig, report: Callable[[str], None], *, resume: bool) -> Writer:
    model, tokenizer, folder = prepared.model, prepared.tokenizer, prepared.folder
    held_out = prepared.validation_tokens
    corpus = prepared.facts["corpus"]
    assert isinstance(corpus, dict)
    source = f"corpus:{corpus['name']}|part:validation|tokenizer:{tokenizer.signature}"
    parameters = sum(p.numel() for p in model.parameters())
    report(
        f"{prepared.folder}: {parameters:,} parameters, vocabulary {tokenizer.size}, "
        f"{len(prepared.train_tokens.ids):,} training tokens in {prepared.streams.streams} streams, "
        f"on {next(model.parameters()).device}"
    )

    def evaluate() -> Evaluation:
        assert held_out is not None
        n, first = prepared.streams.streams, training.evaluate_tokens
        found = measure(model, held_out.ids, source=source, characters=held_out.characters, streams=n, first=first)
        words = (
            f"{found.nats_per_token:.4f} nats per token, {found.bits_per_character:.4f} bits per character "
            f"(state carried, {n} streams)"
        )
        results: Facts = {"nats_per_token": found.nats_per_token, "signature": found.signature}
        return Evaluation(found.nats_per_token, results, words)

    def sample() -> str:
        writer = Writer(model, tokenizer, prepared.facts)
        return writer.generate(max_new_tokens=SAMPLE_TOKENS, seed=training.seed)

    loop = Training(
        model,
        prepared.streams,
        training,
        Run(folder, tokenizer, prepared.facts),
        evaluate=evaluate if held_out is not None else None,
        report=report,
        sample=sample,
        resume=resume,
    )
    try:
        with deterministic(loop.device, training.deterministic):
            loop.train()
    except Interrupted as stop:
        raise Interrupted(f"{stop}; go on with: textseq-train --resume {folder}", stop.code) from None
    finally:
        if loop.log.path.exists():
            learning_curve(loop.log.path, folder / "curve.png")
    return _finish(prepared, report)


def _finish(prepared: Prepared, report: Callable[[str], None]) -> Writer:
    """Measure the best model, with the state carried and by windows, and write the model card."""
    folder, held_out = prepared.folder, prepared.validation_tokens
    found = checkpoint.load(find_model(str(folder.resolve())))
    writer = open_writer(found, str(next(prepared.model.parameters()).device))
    if held_out is not None:
        corpus = found.facts["corpus"]
        assert isinstance(corpus, dict)
        source = f"corpus:{corpus['name']}|part:validation|tokenizer:{found.tokenizer.signature}"
        measures = [
            measure(
                writer.model,
                held_out.ids,
                source=source,
                characters=held_out.characters,
                window=window,
                first=FINAL_TOKENS,
            )
            for window in (None, prepared.streams.config.window)
        ]
        for measured in measures:
            report(f"validation: {measured}\n  {measured.signature}")
        writer.facts["results"] = [measured.to_dict() for measured in measures]
        checkpoint.set_facts(found.folder, writer.facts)
    card = model_card(folder.name, writer.facts, writer.model)
    with replacing(folder / "README.md") as (file,):
        file.write(card.encode())
    report(f"the model is in {folder}; write with: textseq-sample --author {folder.name}")
    return writer
