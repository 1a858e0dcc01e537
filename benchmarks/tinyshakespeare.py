"""tinyshakespeare in a few minutes: a recipe over several seeds, against a char-RNN in plain torch.

The baseline is that of a tutorial: 2x512 ``nn.LSTM``, 64 streams of 100 characters, Adam at a constant 2e-3, the state
carried from window to window, float32. All train one after the other for the same number of minutes. One function
measures all of them on the whole validation split: in one pass from a zero state with the state carried, and in windows
of 256 that each start from a zero state. Nats per character.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from conditions import print_conditions
from torch import Tensor, nn

import textseq
from textseq.config.recipes import read_recipe
from textseq.data.text import load_corpus
from textseq.data.token_files import token_file, tokenizer_for
from textseq.io.paths import cache_folder
from textseq.tasks.language_model.config import DataConfig
from textseq.tasks.language_model.evaluate import measure

WINDOWS = (None, 256)
State = tuple[Tensor, ...]


class PlainCharRNN(nn.Module):
    """A char-RNN as a tutorial would write it."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, 512)
        self.lstm = nn.LSTM(512, 512, num_layers=2, batch_first=True)
        self.output = nn.Linear(512, vocabulary)

    def initial_state(self, batch: int) -> State:
        """Zero."""
        return torch.zeros(2, batch, 512), torch.zeros(2, batch, 512)

    def forward(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Logits (N, T, V) of ids (N, T), and the state after them."""
        h, state = self.lstm(self.embedding(ids), state)
        return self.output(h), state


def train_plain(train: Tensor, vocabulary: int, minutes: float, seed: int) -> PlainCharRNN:
    """Train it for so many minutes."""
    torch.manual_seed(seed)
    model = PlainCharRNN(vocabulary)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    n, t, at = 64, 100, 0
    streams = train[: len(train) // n * n].view(n, -1)
    state = model.initial_state(n)
    start = time.monotonic()
    while time.monotonic() - start < 60 * minutes:
        if at + t + 1 > streams.shape[1]:
            at, state = 0, model.initial_state(n)
        logits, after = model(streams[:, at : at + t], state)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), streams[:, at + 1 : at + t + 1].flatten())
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        state, at = tuple(part.detach() for part in after), at + t
    return model


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="tinyshakespeare-5min")
    parser.add_argument("--minutes", type=float, help="for each training; default: the recipe's")
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3], help="of the recipe; none: only the peer")
    parser.add_argument("--peer-seeds", type=int, nargs="*", default=[1], help="of the peer; none: only the recipe")
    o = parser.parse_args()
    limit = read_recipe(o.recipe)["training"].get("max_minutes")
    assert limit is None or isinstance(limit, int | float)
    minutes = o.minutes or limit
    corpus = load_corpus("tinyshakespeare")
    found: dict[str, list[list[float]]] = {o.recipe: [], "plain torch": []}

    def note(name: str, seed: int, model: nn.Module, ids: Tensor) -> None:
        nats = [measure(model, ids.numpy(), setup="", window=w).nats_per_token for w in WINDOWS]  # type: ignore[arg-type]
        found[name].append(nats)
        print(f"{name}, seed {seed}: {nats[0]:.4f} carried, {nats[1]:.4f} in windows of {WINDOWS[1]}", flush=True)

    with tempfile.TemporaryDirectory() as home:
        os.environ["TEXTSEQ_HOME"] = home
        command = [str(Path(sys.executable).parent / "textseq-train"), "tinyshakespeare", "--recipe", o.recipe]
        if minutes:
            command += ["--max-minutes", str(minutes)]
        tokenizer = tokenizer_for(corpus, DataConfig(), cache_folder())
        train, validation = (
            torch.from_numpy(token_file(corpus, part, tokenizer, cache_folder()).ids.astype("int64"))
            for part in ("train", "validation")
        )
        for seed in o.seeds:
            name = f"seed-{seed}"
            run = subprocess.run([*command, "--seed", str(seed), "--name", name], stderr=subprocess.PIPE, text=True)
            if run.returncode:
                sys.exit(run.stderr)
            note(o.recipe, seed, textseq.load_generator(name).model, validation)
        for seed in o.peer_seeds:
            if not minutes:
                parser.error("the peer wants --minutes")
            note("plain torch", seed, train_plain(train, tokenizer.size, minutes, seed), validation)
    for name, runs in found.items():
        for way, values in zip(("carried", f"windows of {WINDOWS[1]}"), zip(*runs, strict=True), strict=False):
            spread = f" +- {statistics.stdev(values):.4f}" if len(values) > 1 else ""
            print(f"{name}, {way}: {statistics.mean(values):.4f}{spread} nats per character, {len(values)} seeds")
    print_conditions()


if __name__ == "__main__":
    main()
