"""``export_onnx``: a model as a folder of ONNX graphs, with what a program needs to use them."""

from __future__ import annotations

import inspect
import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from textseq.data.pairs import read_sentence
from textseq.decoding.ctc import BLANK
from textseq.errors import TextseqError
from textseq.io.extras import optional
from textseq.io.files import whole_folder
from textseq.tasks.classification.batches import EMPTY
from textseq.tasks.classification.classifier import Classifier, padded_text
from textseq.tasks.export.graphs import (
    Graph,
    classifier_graphs,
    generator_graphs,
    tagger_graphs,
    translator_graphs,
)
from textseq.tasks.language_model.generator import TextGenerator
from textseq.tasks.predictor import AnyPredictor
from textseq.tasks.tagging.lexicon import HALF, NO_LETTERS, PREFIX, SPACE
from textseq.tasks.tagging.tagger import Tagger
from textseq.tasks.translation.translator import Translator
from textseq.tasks.translation.vocabularies import Vocabularies
from textseq.tokenizers.base import Tokenizer

OPSET = 17
"""Version of ONNX's operators; onnxruntime has it since 1.12 (2022)."""


def export_onnx(predictor: AnyPredictor, folder: Path | str) -> list[Path]:
    """Write a model as ONNX graphs, for one text at a time, with ``model.json`` and its tokenizer.

    A text generator is one step; a translator an encoder and a step; a tagger of words what spells a word, and the
    tagger, to whose scores those of ``transitions`` in ``model.json`` are added, if it has them. A conditional text
    generator writes under the condition that ``under`` has set, which is part of the state before a text.

    Args:
        predictor: in float32, on the CPU.
        folder: must not exist yet.

    Returns:
        The graphs' files.

    Raises:
        TextseqError: the extra ``textseq[onnx]`` is not installed, the folder exists, ONNX has no such layers, a
            conditional model has no condition, a generator has a neural cache, or the precision is another.

    Example:
        >>> textseq.export_onnx(textseq.load("shakespeare"), "shakespeare-onnx")
    """
    optional("onnx", "onnx", needed_for="export")
    folder = Path(folder)
    if folder.exists():
        raise TextseqError(f"{folder} exists; name a new folder or remove it")
    graphs, about = _parts(predictor)
    with whole_folder(folder) as aside:
        for graph in graphs:
            _write(graph, aside / f"{graph.name}.onnx")
        tokenizers = predictor.tokenizer
        if isinstance(tokenizers, Vocabularies):
            tokenizers = replace(tokenizers, shortlist=None)
        tokenizers.save(aside)
        about |= {"graphs": {g.name: {"inputs": [*g.inputs], "outputs": [*g.outputs]} for g in graphs}}
        (aside / "model.json").write_text(json.dumps(about, ensure_ascii=False, indent=1), encoding="utf-8")
    return [folder / f"{graph.name}.onnx" for graph in graphs]


def _parts(predictor: AnyPredictor) -> tuple[list[Graph], dict[str, object]]:
    """The graphs of a predictor, and what ``model.json`` says of it."""
    about: dict[str, object] = {"task": predictor.info.task, "corpus": predictor.info.corpus.name}
    if predictor.precision != "float32":
        raise TextseqError(
            f"export: expected a model in float32, got {predictor.precision}; load it without the precision"
        )
    model = predictor.model.cpu()
    if isinstance(predictor, TextGenerator):
        if predictor.cache is not None:
            raise TextseqError(
                "export: expected a text generator without a neural cache, got one; a graph of a step cannot hold the "
                "cache: adapt the model without cache=True"
            )
        state = [list(part.shape) for part in predictor.initial_state(1)]
        start = [part.flatten().tolist() for part in predictor.initial_state(1)]
        about |= {"tokens": _tokens(predictor.tokenizer), "state": state, "start": start}
        before = {"before": predictor.start_token().tolist(), "without_prompt": predictor.context("")[0].tolist()}
        about["input"] = {"normalization": predictor.tokenizer.normalization, **before}
        return generator_graphs(predictor.model), about | {"never": list(predictor.tokenizer.fallback)}
    if isinstance(predictor, Classifier):
        about |= {"tokens": _tokens(predictor.tokenizer), "labels": list(predictor.labels)}
        about |= {"multi_label": predictor.threshold is not None, "threshold": predictor.threshold}
        about["input"] = {
            "normalization": predictor.tokenizer.normalization,
            "strip": True,
            "prefix": padded_text(""),
            "empty": [EMPTY],
        }
        return classifier_graphs(predictor.model, predictor.temperature), about
    if isinstance(predictor, Tagger):
        return tagger_graphs(predictor.model), about | _about_tagger(predictor)
    if isinstance(predictor, Translator):
        if len(predictor.models) > 1:
            raise TextseqError("export: expected one model, got an ensemble; export each model separately")
        source, target = predictor.vocabularies.source, predictor.vocabularies.target
        about |= {"source_tokens": _tokens(source), "tokens": _tokens(target)}
        about |= {"source_end": predictor.model.source_end, "end": predictor.model.end}
        about["input"] = {
            "normalization": source.normalization,
            "strip": True,
            "line_ends": " ",
            "prefix": read_sentence(""),
        }
        about["never"] = list(target.fallback)
        about["source_style"] = dict(predictor.info.source_style)
        return translator_graphs(predictor.model), about
    raise TextseqError(f"export: expected a model of a built-in task, got {type(model).__name__}")


def _about_tagger(tagger: Tagger) -> dict[str, object]:
    """What ``model.json`` says of a tagger."""
    lexicon, model, letters = tagger.tokenizer, tagger.model, _tokens(tagger.tokenizer.letters)
    about: dict[str, object] = {"words": _tokens(lexicon.words), "letters": letters}
    about |= {"labels": list(tagger.labels), "scheme": tagger.info.scheme}
    reading = {
        "normalization": lexicon.normalization,
        "prefix": PREFIX,
        "white_space": SPACE,
        "unknown_words": "lowercase",
        "unknown": lexicon.unknown,
    }
    if not tagger.aligned:
        return about | {"input": {**reading, "strip": True}, "blank": BLANK, "frames": model.frames}
    about["input"] = {**reading, "spelled_ends": HALF, "no_letters": NO_LETTERS}
    scores = model.transition_scores()
    if scores is not None:
        names = ("between", "begin", "end")
        about["transitions"] = {name: part.tolist() for name, part in zip(names, scores, strict=True)}
    return about


def _tokens(tokenizer: Tokenizer) -> list[str]:
    return list(tokenizer.vocabulary)


@torch.no_grad()
def _write(graph: Graph, path: Path) -> None:
    """Trace a module; its weights become part of the file."""
    axes = {name: dict(free) for name, (_, free) in graph.inputs.items()}
    axes |= {name: dict(free) for name, free in graph.outputs.items()}
    names = inspect.signature(torch.onnx.export).parameters
    by_tracing: dict[str, Any] = {"dynamo": False} if "dynamo" in names else {}  # torch 2.4 has no other way
    with warnings.catch_warnings():
        # The exporter by tracing is the one whose graphs have whole recurrent layers; torch announces another. Its
        # warnings on constant shapes are about the sizes that are fixed here.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph.module.eval(),
            tuple(example for example, _ in graph.inputs.values()),
            str(path),
            input_names=[*graph.inputs],
            output_names=[*graph.outputs],
            dynamic_axes={name: free for name, free in axes.items() if free},
            opset_version=OPSET,
            **by_tracing,
        )
