"""A registered cell is a cell like any other: layers, settings, saved models and the command line know it."""

from __future__ import annotations

import importlib
import operator
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

import textseq
from textseq import nn
from textseq.config.names import CELL_STATES
from textseq.errors import TextseqError
from textseq.nn.cells import State, Weights, lstm_mogrifier_step, mogrifier_weights
from textseq.tasks.language_model.config import LanguageModelConfig
from textseq.tasks.language_model.model import LanguageModel

N, T, E, H = 3, 6, 4, 5


def mgu(x_gates: Tensor, state: State, weights: Weights) -> State:
    """Zhou et al. (2016)."""
    (h,) = state
    size = h.shape[1]
    x_f, x_g = x_gates.chunk(2, dim=-1)
    f = torch.sigmoid(x_f + weights.product(h, slice(size)))
    g = torch.tanh(x_g + weights.product(f * h, slice(size, None)))
    weights.record(f=f, g=g)
    return ((1 - f) * h + f * g,)


def lstm(x_gates: Tensor, state: State, weights: Weights, *, whole: bool) -> State:
    """An LSTM with a candidate of ReLU and an output of the identity; or whose output gate sees the whole new cell."""
    h, c = state
    i, f, g, o = (x_gates + weights.product(h)).chunk(4, dim=-1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * (torch.tanh(g) if whole else torch.relu(g))
    if whole:
        return torch.sigmoid(o + c @ weights.extra["co"].t()) * torch.tanh(c), c
    return torch.sigmoid(o) * c, c


def three(x_gates: Tensor, state: State, weights: Weights) -> State:
    """A state of three tensors."""
    h, a, b = state
    return torch.tanh(x_gates + weights.product(h) + b), h, a


def test_a_state_of_three_may_have_zoneout() -> None:
    nn.register_cell("three", gates="h", states=3)(three)
    config = LanguageModelConfig(cell="three", hidden_size=4, embedding_size=4, zoneout=0.5)
    logits, state = LanguageModel(config, 5).train()(torch.zeros(2, 3, dtype=torch.int64))
    assert logits.shape == (2, 3, 5) and len(state) == 3


@pytest.fixture(params=["mgu", "lstm-whole", "lstm-linear", "mogrifier-of-rank-2"])
def cell(request: pytest.FixtureRequest) -> Iterator[str]:
    """A registered cell, forgotten after the test."""
    name: str = request.param
    torch.manual_seed(1)
    if name == "mgu":
        nn.register_cell("mgu", gates="fg")(mgu)
    elif name == "lstm-whole":
        step = partial(lstm, whole=True)
        nn.register_cell(name, gates="ifgo", states=2, extra_weights={"co": ("H", "H")}, additive=True)(step)
    elif name == "mogrifier-of-rank-2":
        shapes = mogrifier_weights(rounds=3, rank=2)
        nn.register_cell(name, gates="ifgo", states=2, extra_weights=shapes, reads_input=True)(lstm_mogrifier_step)
    else:
        nn.register_cell(name, gates="ifgo", states=2)(partial(lstm, whole=False))
    yield name
    del nn.CELLS[name], CELL_STATES[name]


def naive(stack: nn.Recurrent, x: Tensor, row: int) -> Tensor:
    """One row through the first layer by its equations, with U and b written out; (T, H)."""
    w = {name.removesuffix("_l0"): part for name, part in stack.layers[0].named_parameters()}
    kind = stack.cell
    state = tuple(torch.zeros(1, H, dtype=x.dtype) for _ in range(kind.states))
    outputs = []
    for now in x[row]:
        gates = now if kind.reads_input else w["weight_ih"] @ now + w["bias_ih"]
        extra = {name: w[f"weight_{name}"] for name in kind.extra_weights}
        weights = Weights(w["weight_hh"], w["bias_hh"], extra, input=Weights(w["weight_ih"], w["bias_ih"]))
        state = kind.step(gates.unsqueeze(0), state, weights)
        outputs.append(state[0].squeeze(0))
    return torch.stack(outputs)


def test_a_stack_of_it_is_the_naive_loop_its_steps_and_has_the_right_gradient(cell: str) -> None:
    stack = nn.Recurrent(cell, E, H).double()
    x = torch.randn(N, T, E, dtype=torch.double)
    y, _ = stack(x)
    for row in range(N):
        torch.testing.assert_close(y[row], naive(stack, x, row))
    names = [name for name, _ in stack.named_parameters()]
    assert ("layers.0.weight_co_l0" in names) == (cell == "lstm-whole")

    def run(x: Tensor, *weights: Tensor) -> Tensor:
        outputs: tuple[Tensor, State] = torch.func.functional_call(stack, dict(zip(names, weights, strict=True)), (x,))
        return outputs[0]

    assert torch.autograd.gradcheck(run, (x[:1, :3].requires_grad_(), *stack.parameters()))
    deep = nn.Recurrent(cell, E, H, num_layers=2).double().eval()
    whole, final = deep(x)
    gates, step, carried, outputs = deep.input_gates(x), deep.stepper(), deep.initial_state(N), []
    for t in range(T):
        h, carried = step(gates[:, t], carried)
        outputs.append(h)
    torch.testing.assert_close((torch.stack(outputs, dim=1), carried), (whole, final))
    gates_shown = {"mgu": ["f", "g"], "lstm-whole": [], "lstm-linear": [], "mogrifier-of-rank-2": [*"ifgo"]}
    both = nn.Recurrent(cell, E, H, bidirectional=True, layer_norm=True).double()
    lengths = torch.tensor([4, T, 1])
    torch.testing.assert_close(both(x, lengths=lengths), both.forward_reference(x, lengths=lengths))
    assert [*nn.Recurrent(cell, E, H).double()(x, return_trace=True)[2].gates] == gates_shown[cell]


def test_it_is_initialized_trained_and_stored_like_the_others(cell: str) -> None:
    stack = nn.Recurrent(cell, E, H)
    weights = stack.state_dict()
    assert all(0 < weight.abs().max() <= 1 for weight in weights.values())
    x, target = torch.randn(N, T, E), torch.rand(N, T, H) * 0.5
    optimizer = torch.optim.Adam(stack.parameters(), lr=0.05)
    before = {name: part.clone() for name, part in weights.items()}
    losses = []
    for _ in range(30):
        loss = (stack(x)[0] - target).square().mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert not any(torch.equal(part, before[name]) for name, part in stack.state_dict().items())
    twin = nn.Recurrent(cell, E, H)
    twin.load_state_dict(stack.state_dict())
    assert torch.equal(twin(x)[0], stack(x)[0])


@pytest.mark.slow
def test_the_command_trains_it_and_load_knows_it(
    cell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path))
    (tmp_path / "text.txt").write_text("ab" * 3000, encoding="utf-8")
    sizes = "--hidden-size 8 --embedding-size 4 --max-steps 20"
    command = f"textseq-train --text {tmp_path}/text.txt --name mine --cell {cell} {sizes}"
    monkeypatch.setattr("sys.argv", command.split())
    with pytest.raises(SystemExit) as stop:
        importlib.import_module("textseq.cli.train").main()
    assert stop.value.code in (0, None), capsys.readouterr().err
    generate = operator.attrgetter("generate")(textseq.load("mine"))
    assert len(generate("a", max_new_tokens=5, seed=1)) >= 5
    del nn.CELLS[cell], CELL_STATES[cell]
    with pytest.raises(
        TextseqError, match=rf"^--cell in .*config\.json: .*, got '{cell}'; .*textseq\.nn\.register_cell"
    ):
        textseq.load("mine")
    nn.CELLS[cell], CELL_STATES[cell] = nn.CELLS["rnn"], 1  # for the fixture


def test_an_unknown_cell_gets_the_nearest_match() -> None:
    with pytest.raises(TextseqError, match="unknown cell 'lstmm'; did you mean 'lstm'"):
        nn.Recurrent("lstmm", E, H)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("lstm", {"gates": "ifgo"}),
        ("My Cell", {"gates": "f"}),
        ("mine", {"gates": ""}),
        ("mine", {"gates": "ff"}),
        ("mine", {"gates": "f", "states": 0}),
        ("mine", {"gates": "f", "extra_weights": {"hh": ("H",)}}),
        ("mine", {"gates": "f", "extra_weights": {"p": ("X",)}}),
        ("mine", {"gates": "f", "extra_weights": {"p": ()}}),
    ],
)
def test_what_is_no_cell_is_refused(name: str, options: dict[str, object]) -> None:
    with pytest.raises(TextseqError, match="cell"):
        nn.register_cell(name, **options)  # type: ignore[arg-type]
    assert name == "lstm" or name not in nn.CELLS


def leaky(x_gates: Tensor, state: State, weights: Weights) -> State:
    """A unit that keeps a share of h."""
    return (0.5 * state[0] + 0.5 * torch.tanh(x_gates + weights.product(state[0])),)


def of_last(x_gates: Tensor, state: State, weights: Weights) -> State:
    """A step that sees the last unit of h besides."""
    return (torch.tanh(x_gates + weights.product(state[0]) + state[0][:, -1:] + state[0][:, :1]),)


def of_one_size(x_gates: Tensor, state: State, weights: Weights) -> State:
    """A step for a hidden size of five."""
    return (torch.tanh(x_gates + weights.product(state[0])) * torch.ones(H),)


def with_noise(x_gates: Tensor, state: State, weights: Weights) -> State:
    """A step that samples."""
    return (torch.nn.functional.dropout(torch.tanh(x_gates + weights.product(state[0]))),)


def test_a_step_that_uses_h_elsewhere_is_not_additive() -> None:
    for step in (leaky, of_last, mgu):
        gates = "fg" if step is mgu else "h"
        with pytest.raises(TextseqError, match="cell 'mine': expected a step that uses x_gates and h only as"):
            nn.register_cell("mine", gates=gates, additive=True)(step)
        assert "mine" not in nn.CELLS
        nn.register_cell("mine", gates=gates)(step)
        del nn.CELLS["mine"], CELL_STATES["mine"]
    random_state = torch.get_rng_state()
    for step in (of_one_size, with_noise):
        nn.register_cell("mine", gates="h", additive=True)(step)
    assert torch.equal(torch.get_rng_state(), random_state)


@pytest.mark.parametrize("name", [name for name, cell in nn.CELLS.items() if cell.recurrent and not cell.reads_input])
def test_built_in_cells_are_additive_where_the_table_says_so(name: str) -> None:
    cell = nn.CELLS[name]
    register = nn.register_cell(
        "mine", gates=cell.gates, states=cell.states, extra_weights=cell.extra_weights, additive=True
    )
    with nullcontext() if cell.additive else pytest.raises(TextseqError, match="leave additive out"):
        register(cell.step)
