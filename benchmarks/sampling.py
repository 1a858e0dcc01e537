"""Characters per second when writing, against calling ``nn.LSTM`` once per character; and the time to the first one."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from conditions import print_conditions

from textseq.config import GenerationConfig, LanguageModelConfig
from textseq.decoding.sampling import Step, sample
from textseq.models.language_model import LanguageModel


def per_character(model: LanguageModel) -> Step:
    """The slow way: the whole model over a window of one token."""

    def step(tokens: torch.Tensor, state: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        logits, state = model(tokens.unsqueeze(1), state)
        return logits[:, 0], state

    return step


def speed(model: LanguageModel, step: Step, texts: int, tokens: int) -> float:
    """Characters per second over all texts."""
    prompt = torch.zeros(texts, 1, dtype=torch.long)
    config = GenerationConfig(max_new_tokens=tokens)
    start = time.perf_counter()
    for _ in sample(step, prompt, model.initial_state(texts), config, generator=torch.Generator().manual_seed(1)):
        pass
    return texts * tokens / (time.perf_counter() - start)


def first_character() -> float:
    """Seconds from the command to its first character, the shipped model, disk warm."""
    command = [str(Path(sys.executable).parent / "textseq-sample"), "--author", "shakespeare"]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        seconds = time.perf_counter() - start
        process.kill()
    return seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden-size", type=int, default=512)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--texts", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--rounds", type=int, default=5)
    o = parser.parse_args()
    torch.manual_seed(0)
    model = LanguageModel(LanguageModelConfig(layers=o.layers, hidden_size=o.hidden_size, embedding_size=64), 65).eval()
    for texts in o.texts:
        tokens = 400 if texts == 1 else 60
        sides = {"stepper": model.stepper(), "nn.LSTM per character": per_character(model)}
        speeds: dict[str, list[float]] = {name: [] for name in sides}
        for round_ in range(o.rounds + 1):
            for name, step in sides.items():
                with torch.inference_mode():
                    value = speed(model, step, texts, tokens)
                if round_ > 0:  # the first warms up
                    speeds[name].append(value)
        shown = ", ".join(f"{name} {statistics.median(values):,.0f}" for name, values in speeds.items())
        print(f"{texts} texts at once: {shown} characters/s")
    print(f"{o.layers}x{o.hidden_size} LSTM, vocabulary 65, float32")
    times = [first_character() for _ in range(o.rounds)]
    print(f"first character of textseq-sample --author shakespeare after {statistics.median(times):.2f} s (median)")
    print_conditions()


if __name__ == "__main__":
    main()
