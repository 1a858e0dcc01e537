"""OpenNMT-py: its own trainer and inference engine.

``make peers`` makes its environment.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from types import ModuleType

import torch
from peers import driver

# Two of its transforms import them; none that we use does.
sys.modules.update({name: ModuleType(name) for name in ("spacy", "fasttext")})

from onmt.bin.train import _get_parser as training_parser  # noqa: E402
from onmt.bin.train import train as train_package  # noqa: E402
from onmt.bin.translate import _get_parser as translating_parser  # noqa: E402
from onmt.inference_engine import InferenceEnginePY  # noqa: E402
from onmt.trainer import Trainer  # noqa: E402
from onmt.utils.parse import ArgumentParser  # noqa: E402


def train(job: driver.Job, clock: driver.Clock) -> None:
    """Train a new model."""
    driver.stop_by_clock(Trainer, clock)
    options: dict[str, object] = {
        "data": json.dumps(driver.corpora(job)),
        "src_vocab": job.text / "pieces.txt",
        "share_vocab": True,
        "save_data": job.model / "data",
        "save_model": job.model / "model",
        "encoder_type": "brnn",
        "decoder_type": "rnn",
        "rnn_type": "GRU",
        "num_layers": 1,
        "word_vec_size": driver.EMBEDDING,
        "enc_hid_size": 2 * driver.ENCODER,
        "dec_hid_size": driver.DECODER,
        "input_feed": 1,
        "global_attention": "mlp",
        "dropout": driver.DROPOUT,
        "optim": "adam",
        "learning_rate": driver.LEARNING_RATE,
        "max_grad_norm": driver.CLIPPING,
        **driver.UNTIL_STOPPED,
        "keep_checkpoint": 1,
        "model_dtype": "fp32",
        "seed": job.seed,
    }
    train_package(training_parser().parse_args(_flags(options)))


def load(job: driver.Job) -> driver.Translate:
    """Its inference engine with the trained model."""
    torch.serialization.add_safe_globals([argparse.Namespace])  # stands in its checkpoints; newer torch wants to know
    (model,) = job.model.glob("model_step_*.pt")
    options: dict[str, object] = {
        "model": model,
        "src": job.text / "test.en",
        "output": os.devnull,
        "beam_size": driver.BEAM,
        "max_length": driver.LONGEST,
    }
    o = translating_parser().parse_args(_flags(options))
    ArgumentParser.validate_translate_opts(o)
    ArgumentParser._get_all_transform_translate(o)
    ArgumentParser._validate_transforms_opts(o)
    ArgumentParser.validate_translate_opts_dynamic(o)
    engine = InferenceEnginePY(o)

    def translate(sentences: list[str], batch: int) -> list[str]:
        engine.opt.batch_size = batch
        return [best[0] for best in engine.infer_list(sentences)[1]]

    return translate


def _flags(options: dict[str, object]) -> list[str]:
    flags = []
    for name, value in options.items():
        flags += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return flags


if __name__ == "__main__":
    driver.main("OpenNMT-py", train, load)
