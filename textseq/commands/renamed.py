"""Flags and tasks that had another name in earlier versions, or have one in other tools."""

from __future__ import annotations

from collections.abc import Callable, Mapping

NAMES: Mapping[str, str] = {
    # this version's: earlier versions' and other tools'
    "--learning-rate": "lr learning-rate-init eta",
    "--max-epochs": "epochs num-epochs num-train-epochs n-epochs",
    "--max-steps": "steps num-steps max-iters iterations",
    "--batch-size": "batch bs per-device-train-batch-size train-batch-size minibatch mini-batch-size",
    "--num-layers": "layers n-layers n-layer nlayers",
    "--num-encoder-layers or --num-decoder-layers": "layers n-layers n-layer nlayers num-layers",
    "--num-encoder-layers": "encoder-layers enc-layers",
    "--num-decoder-layers": "decoder-layers dec-layers",
    "--hidden-size": "hidden hidden-dim rnn-size nhid",
    "--embedding-size": "emb-size emb-dim embed-size embed-dim embedding-dim emsize word-vec-size",
    "--window": "bptt seq-len seq-length block-size",
    "--vocabulary-size": "vocab-size",
    "--cell": "rnn-type",
    "--optimizer": "opt optim",
    "--schedule": "lr-scheduler",
    "--clip-norm": "clip grad-clip max-grad-norm clipnorm gradient-clip-val",
    "--dropout": "drop dropout-rate dropout-prob",
    "--warmup-steps": "warmup num-warmup-steps",
    "--weight-decay": "wd l2",
    "--patience": "early-stopping early-stop",
    "--seed": "random-seed random-state manual-seed",
    "--bidirectional": "brnn bi",
    "--validation": "val-split validation-split val-size test-size dev-size",
    "--text": "train-file train-data data-file corpus-file",
    "--from": "pretrained init-from finetune train-from model-name-or-path",
    "--resume": "continue resume-from-checkpoint resume-from",
    "--accumulate": "gradient-accumulation-steps accum-count",
    "--micro-batches": "pieces",
    "--max-rollbacks": "max-rewinds",
    "--name": "save save-model out-dir output-dir run",
    "--data": "data-dir data-path",
    "--device cuda": "gpu cuda",
    "--precision bfloat16": "bfloat16 bf16 fp16",
    "--precision int8": "int8",
    "--split": "part",
    "--model": "checkpoint load",
    "--list-models": "list-authors",
    "--show-surprisal": "show-surprise",
    "--surprisal-html": "surprise-html",
    "--memorization": "novelty",
    "--shortlist": "short-list",
    "--num-beams": "beam beams beam-size num-beam beam-width",
    "--num-return-sequences": "num-samples nbest n-best",
    "--max-new-tokens": "length max-length",
    "--temperature": "temp",
    "--prompt": "start prime",
    "--input": "src",
    "--source": "src",
    "--target": "tgt",
    "--log-to tensorboard": "tensorboard",
    "--log-to wandb": "wandb use-wandb",
    "--log-to": "report-to",
    "--conll or --json": "output-format",
    "--print-completion SHELL": "tyro-print-completion",
}
"""What to use, and the names for which it is offered; of several that fit the first that a command has."""

TASKS: Mapping[str, str] = {
    **dict.fromkeys(("language", "lm", "writer"), "language-model"),
    **dict.fromkeys(("translator", "mt", "nmt"), "translation"),
    **dict.fromkeys(("classifier", "sentiment"), "classification"),
    **dict.fromkeys(("tagger", "ner", "pos"), "tagging"),
}
"""Tasks by other names."""


def renamed(flag: str, known: Callable[[str], bool]) -> str | None:
    """What to use instead of an unknown flag, if a command has it."""
    fits = (use for use, names in NAMES.items() if flag[2:] in names.split())
    return next((use for use in fits if known(use.split()[0]) or use.startswith("--print-completion")), None)
