"""Tokens per second of a whole training step, against forward and backward of a bare ``nn.LSTM``.

The whole step is that of the trainer, with everything on: reading windows, resets, embedding, stack, dropout, output
layer, loss, backward, clipping, AdamW, reading the loss. The bare one is the two LSTM layers on random vectors. Both
alternate in one process; prints medians and their ratio. Goal: a ratio of at least 0.95, on a GPU 0.9; at most 2 % of a
step spent on making its batch.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass

import numpy as np
import torch
from conditions import print_conditions
from sides import in_turns, seconds, stack_parser
from table import Row, note
from torch import nn

from textseq.config.training import TrainingConfig
from textseq.data.batching import Cursor
from textseq.nn.cell_registry import CELLS
from textseq.tasks.language_model.batches import Streams
from textseq.tasks.language_model.config import DataConfig, LanguageModelConfig
from textseq.tasks.language_model.model import LanguageModel
from textseq.tokenizers.characters import CharTokenizer
from textseq.training.devices import pick_device
from textseq.training.trainer import Trainer


@dataclass(frozen=True)
class RandomTokens:
    """A text of uniformly drawn characters."""

    ids: np.ndarray
    document_starts: np.ndarray


def main() -> None:
    """Measure and print."""
    parser = stack_parser(__doc__, rounds=9, steps=5)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--cell", choices=CELLS, default="lstm", help="of the whole step; the bare side stays nn.LSTM")
    o = parser.parse_args()
    device = pick_device(o.device)
    tokenizer = CharTokenizer("".join(chr(ord("!") + i) for i in range(65)))
    config = LanguageModelConfig(
        num_layers=o.num_layers, hidden_size=o.hidden_size, embedding_size=o.hidden_size, cell=o.cell, dropout=o.dropout
    )
    batching = DataConfig(batch_size=o.batch_size, window=o.window)
    ids = np.random.default_rng(0).integers(65, size=2_000_000).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        whole = Trainer(
            LanguageModel(config, tokenizer.size).to(device),
            Streams(RandomTokens(ids, np.array([0, 700_000])), batching, 0),
            TrainingConfig(precision=o.precision),
            folder=folder,
            tokenizer=tokenizer,
        )
        bare = nn.LSTM(o.hidden_size, o.hidden_size, o.num_layers).to(device)
        x = torch.randn(o.window, o.batch_size, o.hidden_size, device=device)
        upstream = torch.randn_like(bare(x)[0])

        def bare_step() -> None:
            with torch.autocast(device.type, torch.bfloat16, enabled=o.precision == "bfloat16"):
                y, _ = bare(x)
            y.backward(upstream.to(y.dtype))
            bare.zero_grad()

        def whole_step() -> None:
            nats, _ = whole.step()
            float(nats)

        def data_side() -> float:
            """Seconds that one step's batch takes."""
            cursor, count = Cursor(), 50
            start = time.perf_counter()
            for _ in range(count):
                batch, cursor = whole.batches.batch(cursor)
                batch.to(device)
            return (time.perf_counter() - start) / count

        whole.model.train()
        tokens = o.steps * o.batch_size * o.window
        speeds = in_turns(
            {
                "bare nn.LSTM": lambda: tokens / seconds(bare_step, o.steps, device),
                "whole step": lambda: tokens / seconds(whole_step, o.steps, device),
            },
            o.rounds,
        )
        batch_seconds = statistics.median(data_side() for _ in range(o.rounds))
    for name, values in speeds.items():
        print(f"{name}: {statistics.median(values):,.0f} tokens/s (from {min(values):,.0f} to {max(values):,.0f})")
    ratios = [w / b for b, w in zip(speeds["bare nn.LSTM"], speeds["whole step"], strict=True)]
    ratio, speed = statistics.median(ratios), statistics.median(speeds["whole step"])
    print(f"ratio, median of {o.rounds} rounds: {ratio:.3f}")
    share = batch_seconds * speed / (o.batch_size * o.window)
    print(f"making and moving a batch: {batch_seconds * 1e3:.2f} ms, {share:.2%} of a step")
    sizes = f"{o.num_layers}x{o.hidden_size} {o.cell}, {o.precision}, N {o.batch_size}, T {o.window}"
    print(f"{sizes}, vocabulary {tokenizer.size}, dropout {o.dropout}")
    what = (
        f"training a language model, {o.num_layers}x{o.hidden_size} {o.cell}, {o.precision}, "
        f"N {o.batch_size}, T {o.window}"
    )
    note(Row(f"{what}, over bare nn.LSTM", speed, "tokens/s", ratio, 0.9 if device.type == "cuda" else 0.95))
    note(Row(f"{what}: its data side", 100 * share, "% of a step", goal=2.0, at_most=True))
    print_conditions()


if __name__ == "__main__":
    main()
