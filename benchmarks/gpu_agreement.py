"""Whether fast paths compute on a GPU what their references compute on the CPU: layers, losses, models, a resumed run.

Each line is one path and its largest difference, relative to the largest number of the reference; layers and losses are
compared with their step-by-step forms in float64, outputs and gradients, often enough that CUDA graphs are recorded and
replayed. Ends with 1 if any difference is beyond its bound. ``--device cpu`` checks the fast paths of the CPU.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from unittest import mock

import torch
from conditions import print_conditions
from torch import Tensor, nn

import textseq
from textseq.config.training import TrainingConfig, TrainingPrecision
from textseq.nn.attention import Memory
from textseq.nn.attention_decoder import AttentionDecoder
from textseq.nn.cell_registry import CELLS
from textseq.nn.crf import ConditionalRandomField
from textseq.nn.kernels.cuda_graphs import CALLS_BEFORE_RECORDING
from textseq.nn.kernels.linear_cross_entropy import linear_cross_entropy
from textseq.nn.recurrent import Recurrent
from textseq.tasks.language_model.config import DataConfig, LanguageModelConfig
from textseq.training.devices import pick_device

Difference = tuple[str, float, float]
"""What was compared, the largest difference, and its bound."""

FLOAT32 = 1e-4
"""The bound of sums in float32; TF32 products, which are off by default, would miss it."""
CALLS = CALLS_BEFORE_RECORDING + 2
ENGLISH = [
    "Good morning!",
    "Where is the station?",
    "I would like two coffees, please.",
    "She has never been to Paris.",
]


def apart(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """The largest difference, relative to the largest number of its reference; not a number counts as infinite."""
    pairs = [(a.detach().cpu().double(), b.detach().cpu().double()) for a, b in zip(found, expected, strict=True)]
    off = max(float((a - b).abs().max() / b.abs().max().clamp(min=1e-12)) for a, b in pairs)
    return off if off == off else float("inf")


def gradients(outputs: Sequence[Tensor], module: nn.Module, inputs: Tensor) -> list[Tensor]:
    """The outputs, and the gradients of a weighted sum of them."""
    for parameter in (*module.parameters(), inputs):
        parameter.grad = None
    generator = torch.Generator().manual_seed(3)
    weights = [torch.randn(y.shape, generator=generator).to(y) for y in outputs]
    torch.stack([(w * y).sum() for w, y in zip(weights, outputs, strict=True)]).sum().backward()  # type: ignore[no-untyped-call]
    found = [p.grad for p in module.parameters() if p.grad is not None]
    assert inputs.grad is not None
    return [*outputs, inputs.grad, *found]


def compared(
    name: str, module: nn.Module, inputs: Tensor, device: torch.device,
    fast: Callable[[nn.Module, Tensor], Sequence[Tensor]], reference: Callable[[nn.Module, Tensor], Sequence[Tensor]],
) -> Difference:  # fmt: skip
    """A layer's fast path on the device, several calls, against its reference on the CPU in float64."""
    slow = copy.deepcopy(module).double()
    x = inputs.double().requires_grad_()
    expected = gradients(reference(slow, x), slow, x)
    quick = module.to(device)
    x = inputs.to(device).requires_grad_()
    return name, max(apart(gradients(fast(quick, x), quick, x), expected) for _ in range(CALLS)), FLOAT32


def layers(device: torch.device) -> Iterator[Difference]:
    """The recurrent stack of every cell, with the lengths of sentences where the cell is bidirectional."""
    lengths = torch.tensor([9, 9, 7, 4, 1])
    for cell in CELLS:
        for two_ways in (False, True):
            stack = Recurrent(cell, 24, 32, num_layers=2, bidirectional=two_ways)
            given = lengths if two_ways else None
            on_device = None if given is None else given.to(device)
            yield compared(
                f"{cell}{', both directions' if two_ways else ''}", stack, torch.randn(5, 9, 24), device,
                lambda layer, x, n=on_device: [layer(x, lengths=n)[0]],  # type: ignore[misc]
                lambda layer, x, n=given: [layer.forward_reference(x, lengths=n)[0]],  # type: ignore[misc]
            )  # fmt: skip


def decoders(device: torch.device) -> Iterator[Difference]:
    """The attention decoder, over short and long sentences: additive attention has a Triton kernel on a GPU."""
    for cell, attention, length in (
        ("gru", "additive", 7), ("gru", "additive", 300), ("gru", "general", 7), ("lstm", "additive", 7),
    ):  # fmt: skip
        decoder = AttentionDecoder(cell, attention, 24, 40, 32, 48)  # type: ignore[arg-type]
        words, lengths = torch.randn(6, 4, 24), torch.tensor([length, length - 1, 3, 1])

        def steps(
            layer: nn.Module, values: Tensor, name: str, words: Tensor = words, lengths: Tensor = lengths
        ) -> Sequence[Tensor]:
            assert isinstance(layer, AttentionDecoder)
            memory = Memory(values, lengths.to(values.device))
            state = tuple(values.new_zeros(4, 32) for _ in range(layer.cell.states))
            outputs, contexts, *_ = getattr(layer, name)(layer.word_gates(words.to(values)), memory, state)
            return [outputs, contexts]

        yield compared(
            f"{cell} decoder, {attention} attention over {length}", decoder, torch.randn(4, length, 40), device,
            lambda layer, x: steps(layer, x, "forward"), lambda layer, x: steps(layer, x, "forward_reference"),
        )  # fmt: skip


def losses(device: torch.device) -> Iterator[Difference]:
    """Linear cross-entropy without the logits in memory, and the CRF."""
    targets = torch.randint(500, (64,))

    def plain(layer: nn.Module, x: Tensor) -> Sequence[Tensor]:
        return [nn.functional.cross_entropy(layer(x), targets, reduction="sum")]

    def fused(layer: nn.Module, x: Tensor) -> Sequence[Tensor]:
        assert isinstance(layer, nn.Linear)
        return [linear_cross_entropy(x, layer.weight, layer.bias, targets.to(x.device))[0]]

    yield compared("linear cross-entropy", nn.Linear(32, 500), torch.randn(64, 32), device, fused, plain)
    labels, lengths = torch.randint(6, (5, 11)), torch.tensor([11, 11, 8, 3, 1])

    def crf(layer: nn.Module, x: Tensor) -> Sequence[Tensor]:
        assert isinstance(layer, ConditionalRandomField)
        return [layer.nats(x, labels.to(x.device), lengths)]

    yield compared("conditional random field", ConditionalRandomField(6), torch.randn(5, 11, 6), device, crf, crf)


def models(device: torch.device) -> Iterator[Difference]:
    """What ships, on the device and on the CPU."""
    here, there = (textseq.load_generator("shakespeare", device=name) for name in ("cpu", str(device)))
    texts = [writer.generate("ROMEO:", max_new_tokens=300, temperature=0.0) for writer in (here, there)]
    yield "shakespeare's likeliest text", float(texts[0] != texts[1]), 0.0
    scores = [writer.score(str(texts[0])).surprisal for writer in (here, there)]
    yield "its surprisal", apart([torch.tensor(scores[1])], [torch.tensor(scores[0])]), FLOAT32
    translations = [
        [one.text for one in textseq.load_translator("tatoeba-en-fr", device=name).translate(ENGLISH)]
        for name in ("cpu", str(device))
    ]
    yield "translations with a beam", float(translations[0] != translations[1]), 0.0
    praise = [
        [one.probability for one in textseq.load_classifier("sentiment", device=name).classify(ENGLISH)]
        for name in ("cpu", str(device))
    ]
    yield "sentiment", apart([torch.tensor(praise[1])], [torch.tensor(praise[0])]), FLOAT32


def runs(device: torch.device) -> Iterator[Difference]:
    """A run that was stopped and resumed, against one that never stopped, in both precisions: equal bit for bit."""
    text = "\n".join(f"{n} and {n + 1} make {2 * n + 1}." for n in range(3000))
    sizes, data = LanguageModelConfig(hidden_size=32, embedding_size=16), DataConfig(batch_size=8, window=20)
    precisions: tuple[TrainingPrecision, ...] = "float32", "bfloat16"
    for precision in precisions:
        weights: list[list[Tensor]] = []
        with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, TEXTSEQ_HOME=folder):
            for name, stop in (("whole", 40), ("stopped", 20)):
                config = TrainingConfig(
                    max_steps=stop, schedule="constant", precision=precision, device=str(device), evaluate_every=20
                )
                textseq.train(texts=[text], name=name, model=sizes, data=data, training=config, progress=False)
                if stop < 40:
                    textseq.resume(name, training=dataclasses.replace(config, max_steps=40), progress=False)
                weights.append([*textseq.load_generator(name, device="cpu").model.parameters()])
        yield f"resumed, {precision}", apart(weights[1], weights[0]), 0.0


CHECKS = {"layers": layers, "decoders": decoders, "losses": losses, "models": models, "runs": runs}


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only", nargs="+", choices=CHECKS, default=[*CHECKS])
    o = parser.parse_args()
    logging.disable(logging.WARNING)
    device = pick_device(o.device)
    beyond = 0
    for check in o.only:
        torch.manual_seed(0)
        for name, difference, bound in CHECKS[check](device):
            beyond += difference > bound
            print(
                f"{name:<44}{difference:>10.1e}   {'ok' if difference <= bound else f'BEYOND {bound:.0e}'}", flush=True
            )
    print(f"{beyond} beyond their bound" if beyond else "all agree")
    print_conditions()
    sys.exit(beyond > 0)


if __name__ == "__main__":
    main()
