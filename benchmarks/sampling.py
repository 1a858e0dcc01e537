"""Characters per second of text generation for six ways to compute a step, and the cost of int8 in loss.

The six have the same weights and sample alike: ``nn.LSTM`` called once per character, as most char-RNN scripts do;
cells in plain torch, with one product for the input and one for the state; ours in float32; ours in int8; and for one
text the compiled loop (extra ``fast``), which takes one thread, in both. They alternate; prints medians and their
ratios to ``nn.LSTM``. One text is measured with one thread too.

    TEXTSEQ_DATA=... python benchmarks/sampling.py

With ``TEXTSEQ_DATA`` set, also measures the loss with int8 on the validation text of the shipped model.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import time
from functools import partial

import torch
from conditions import print_conditions
from limits import writing
from sides import in_turns
from table import Row, note
from torch import Tensor, nn

import textseq
from textseq.data.text import load_corpus
from textseq.data.token_files import token_file
from textseq.decoding import sampling
from textseq.decoding.sampling import sample
from textseq.errors import TextseqError
from textseq.io.paths import cache_folder
from textseq.nn.cells import State, Step
from textseq.nn.kernels.compiled.text_loop import PAYS, CompilableStep
from textseq.nn.kernels.inference_weights import PRECISIONS
from textseq.tasks.language_model.config import GenerationConfig, LanguageModelConfig
from textseq.tasks.language_model.model import LanguageModel
from textseq.training.devices import pick_device

NAIVE = "nn.LSTM per character"
UNRECORDED = "ours, without a record"
STREAMS = 64
"""Stretches of the validation text that are read side by side; it costs both sides the same context."""
REACH = {
    (1, "float32"): 6.9, (1, "int8"): 11.5, (64, "float32"): 2.0, (64, "int8"): 3.5,
    (1, "float32, compiled"): 12.0, (1, "int8, compiled"): 18.0,
}  # fmt: skip
"""Times the speed of ``nn.LSTM`` per character with all threads, by texts and side."""
REACH_ONE_THREAD = {(1, "float32, compiled"): 7.0, (1, "int8, compiled"): 10.0}
"""The same with one thread."""


def plain_lstm(model: LanguageModel) -> nn.LSTM:
    """torch's module for the model's stack, with its weights."""
    layers = model.recurrent.layers
    lstm = nn.LSTM(model.config.embedding_size, model.config.hidden_size, len(layers), batch_first=True)
    lstm.to(model.output.weight.device).load_state_dict(
        {
            name.replace("_l0", f"_l{index}"): value
            for index, layer in enumerate(layers)
            for name, value in layer.state_dict().items()
        }
    )
    return lstm


def per_character(model: LanguageModel) -> Step:
    """A window of one token for every character."""
    lstm = plain_lstm(model)

    def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        h, state = lstm(model.embedding(tokens.unsqueeze(1)), state)
        return model.output(h[:, 0]), state

    return step


def by_hand(model: LanguageModel) -> Step:
    """The equations as most people write them down."""
    weights = dict(plain_lstm(model).named_parameters())

    def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        x = model.embedding(tokens)
        hs, cs = [], []
        for layer, (h, c) in enumerate(zip(*state, strict=True)):
            w, u = weights[f"weight_ih_l{layer}"], weights[f"weight_hh_l{layer}"]
            gates = x @ w.t() + weights[f"bias_ih_l{layer}"] + h @ u.t() + weights[f"bias_hh_l{layer}"]
            i, f, g, o = gates.chunk(4, dim=1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            x = torch.sigmoid(o) * torch.tanh(c)
            hs.append(x)
            cs.append(c)
        return model.output(x), (torch.stack(hs), torch.stack(cs))

    return step


def speed(model: LanguageModel, step: Step, texts: int, tokens: int) -> float:
    """Characters per second over all texts; each is fetched from the device, as who reads them would."""
    device = model.output.weight.device
    prompt = torch.zeros(texts, 1, dtype=torch.long, device=device)
    config = GenerationConfig(max_new_tokens=tokens, seed=1)
    start = time.perf_counter()
    for written in sample(step, prompt, model.initial_state(texts), config):
        written.cpu()
    return texts * tokens / (time.perf_counter() - start)


def without_record(model: LanguageModel, step: Step, texts: int, tokens: int) -> float:
    """The same on a GPU, with every operation launched from Python."""
    recorder, sampling._recorder = sampling._recorder, lambda device: None
    try:
        return speed(model, step, texts, tokens)
    finally:
        sampling._recorder = recorder


def our_sides(model: LanguageModel, texts: int) -> dict[str, Step]:
    """Each of our own ways to compute a step."""
    steps = {}
    for precision in PRECISIONS:
        try:
            step = model.stepper(precision)
        except TextseqError as error:
            print(f"without {precision}: {error}")
            continue
        if isinstance(step, CompilableStep):
            steps[f"ours, {precision}"] = step.step
            if texts == 1:
                step.asked = PAYS
                steps[f"ours, {precision}, compiled"] = step
        else:
            steps[f"ours, {precision}"] = step
    return steps


def print_speeds(model: LanguageModel, texts: int, rounds: int, threads: int) -> None:
    """One block of the table: every side for so many texts at once, and what float32 products allow."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    sides = {NAIVE: per_character(model), "cells by hand": by_hand(model), **our_sides(model, texts)}
    on_gpu = model.output.weight.is_cuda
    tokens = sampling.RECORDED * 5 if on_gpu else max(8, 400 // math.isqrt(texts))
    measures = {name: partial(speed, model, step, texts, tokens) for name, step in sides.items()}
    if on_gpu:
        measures[UNRECORDED] = partial(without_record, model, sides["ours, float32"], texts, tokens)
    speeds = in_turns(measures, rounds)
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    on, reach = (", one thread", REACH_ONE_THREAD) if threads == 1 < before else ("", REACH)
    for name, median in medians.items():
        span = f"{min(speeds[name]):,.0f} to {max(speeds[name]):,.0f}"
        print(f"{texts:>5}{threads:>9}  {name:<24}{median:>10,.0f}{median / medians[NAIVE]:>8.2f} x   ({span})")
        if name.startswith("ours, "):
            side = name.removeprefix("ours, ")
            what = f"writing {texts} at once, {side}{on}, over nn.LSTM per character"
            note(Row(what, median, "characters/s", median / medians[NAIVE], reach.get((texts, side))))
    torch.set_num_threads(before)
    if on_gpu:
        ratio = medians["ours, float32"] / medians[UNRECORDED]
        what = f"writing {texts} at once, float32, from a record, over the same without"
        note(Row(what, medians["ours, float32"], "characters/s", ratio, 10.0 if texts == 1 else None))
        return
    if threads < before:
        return
    config = model.config
    most = writing(config.num_layers, config.hidden_size, model.output.out_features, texts)
    share = medians["ours, float32"] / most
    print(f"{texts:>5}{threads:>9}  {'float32 products alone':<24}{most:>10,.0f}   of which ours reach {share:.0%}")
    note(Row(f"writing {texts} at once, float32, over what its products allow", most * share, "characters/s", share))


def print_cost() -> None:
    """The loss of the shipped model with 8 bits against 32, on its validation text."""
    writer = textseq.load_generator("shakespeare")
    tokens = token_file(load_corpus("shakespeare"), "validation", writer.tokenizer, cache_folder())
    length = len(tokens.ids) // STREAMS
    ids = torch.from_numpy(tokens.ids[: STREAMS * length].astype("int64")).view(STREAMS, length)
    logits = {}
    with torch.inference_mode():
        for precision in ("float32", "int8"):
            step, state, parts = writer.model.stepper(precision), writer.model.initial_state(STREAMS), []
            for t in range(length - 1):
                now, state = step(ids[:, t], state)
                parts.append(now)
            logits[precision] = torch.stack(parts, dim=1).flatten(0, 1)
        nats = {name: float(nn.functional.cross_entropy(z, ids[:, 1:].flatten())) for name, z in logits.items()}
        same = (logits["float32"].argmax(dim=1) == logits["int8"].argmax(dim=1)).float().mean()
    shown = ", ".join(f"{name} {value:.4f}" for name, value in nats.items())
    print(f"shakespeare, validation, {STREAMS} streams, {STREAMS * (length - 1):,} characters: {shown} nats each")
    note(Row("what 8 bits cost the writer that ships", nats["int8"] - nats["float32"], "nats", goal=0.01, at_most=True))
    print(f"cost of int8 {nats['int8'] - nats['float32']:+.4f} nats; likeliest character the same in {same:.2%}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden-size", type=int, default=512)
    parser.add_argument("--num-layers", type=int, default=2)
    parser.add_argument("--texts", type=int, nargs="+", default=[1, 64, 512])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    o = parser.parse_args()
    torch.manual_seed(0)
    model = LanguageModel(
        LanguageModelConfig(num_layers=o.num_layers, hidden_size=o.hidden_size, embedding_size=64), 65
    )
    model = model.eval().to(pick_device(o.device))
    print(
        f"{o.num_layers}x{o.hidden_size} LSTM, vocabulary 65, characters/s of all texts together, median of {o.rounds}"
    )
    print(f"texts  threads  {'side':<24}{'median':>10}")
    most = torch.get_num_threads()
    for texts in o.texts:
        for threads in sorted({1, most}) if texts == 1 and o.device == "cpu" else [most]:
            print_speeds(model, texts, o.rounds, threads)
    if os.environ.get("TEXTSEQ_DATA") and o.device == "cpu":
        print_cost()
    print_conditions()


if __name__ == "__main__":
    main()
