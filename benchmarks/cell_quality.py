"""tinyshakespeare with every kind of cell: the same parameters and processor time, one thread.

The hidden size of each network is the largest with at most so many parameters. All train one after the
other, AdamW with a cosine schedule over the processor time, so that other programs on the machine matter little. Prints
nats per character on the whole validation split, in 32 streams with the state carried, and characters per second of
processor time in training.
"""

from __future__ import annotations

import argparse
import bisect
import time
from functools import partial

import torch
from conditions import print_conditions

from textseq.config.training import TrainingConfig
from textseq.data.batching import Cursor
from textseq.data.text import load_corpus
from textseq.data.token_files import token_file, tokenizer_for
from textseq.io.paths import cache_folder
from textseq.nn.cells import State
from textseq.tasks.language_model.batches import Streams
from textseq.tasks.language_model.config import DataConfig, LanguageModelConfig
from textseq.tasks.language_model.evaluate import measure
from textseq.tasks.language_model.model import LanguageModel
from textseq.training.optimizers import OPTIMIZERS, clip, grouped, learning_rate

BLOCKS = {"residual": True, "layer_norm": True}
KINDS: dict[str, dict[str, object]] = {
    "LSTM, 2 layers": {"cell": "lstm", "num_layers": 2},
    "GRU, 2 layers": {"cell": "gru", "num_layers": 2},
    "Mogrifier LSTM, 2 layers": {"cell": "lstm-mogrifier", "num_layers": 2},
    "minGRU, 2 layers": {"cell": "mingru", "num_layers": 2},
    "minLSTM, 2 layers": {"cell": "minlstm", "num_layers": 2},
    "minGRU, 4 layers, residual, layer norm": {"cell": "mingru", "num_layers": 4, **BLOCKS},
}
"""What the table calls it, and its settings."""

SIZES = range(8, 2048, 4)

STREAMS = 32
"""Parts of the validation split that are read side by side."""


def config(settings: dict[str, object], hidden_size: int) -> LanguageModelConfig:
    """A small model without dropout, which so short a training does not need."""
    whole = {"embedding_size": 64, "dropout": 0.0, **settings, "hidden_size": hidden_size}
    return LanguageModelConfig.from_dict(whole, where="here")


def parameters(settings: dict[str, object], hidden_size: int, vocabulary: int) -> int:
    """Their number."""
    with torch.device("meta"):
        return sum(
            parameter.numel() for parameter in LanguageModel(config(settings, hidden_size), vocabulary).parameters()
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=4.0, help="processor time of each training")
    parser.add_argument("--parameters", type=int, default=400_000)
    parser.add_argument("--learning-rate", type=float, default=4e-3)
    parser.add_argument("--kinds", nargs="*", default=[*KINDS], help="default: all")
    parser.add_argument("--seed", type=int, default=1)
    o = parser.parse_args()
    torch.set_num_threads(1)
    corpus, data = load_corpus("tinyshakespeare"), DataConfig(batch_size=32, window=64)
    tokenizer = tokenizer_for(corpus, data, cache_folder())
    train, validation = (token_file(corpus, split, tokenizer, cache_folder()) for split in ("train", "validation"))
    training = TrainingConfig(learning_rate=o.learning_rate, schedule="cosine")
    print(f"{'':<40}{'hidden':>8}{'parameters':>12}{'characters/s':>14}{'nats':>8}", flush=True)
    for name in o.kinds:
        size = partial(parameters, KINDS[name], vocabulary=tokenizer.size)
        hidden = SIZES[bisect.bisect(SIZES, o.parameters, key=size) - 1]
        torch.manual_seed(o.seed)
        model = LanguageModel(config(KINDS[name], hidden), tokenizer.size)
        weights = [*model.parameters()]
        optimizer = OPTIMIZERS["adamw"](grouped([weights], training), training)
        streams, cursor, step, read = Streams(train, data, o.seed), Cursor(), 0, 0
        state: State | None = None
        start = time.process_time()
        while (done := (time.process_time() - start) / (60 * o.minutes)) < 1:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(training, step, done)
            batch, cursor = streams.batch(cursor)
            loss = model.loss(batch, state)
            torch.autograd.backward(loss.nats / loss.count)
            clip(weights, training)
            optimizer.step()
            optimizer.zero_grad()
            state, step, read = loss.state, step + 1, read + batch.count
        nats = measure(model.eval(), validation.ids, setup="", streams=STREAMS).nats_per_token
        count = sum(parameter.numel() for parameter in weights)
        print(f"{name:<40}{hidden:>8}{count:>12,}{read / (60 * o.minutes):>14,.0f}{nats:>8.3f}", flush=True)
    print(f"{o.minutes:g} minutes of processor time each, N {data.batch_size}, T {data.window}, seed {o.seed}")
    print_conditions()


if __name__ == "__main__":
    main()
