"""The fused stack is the plain one and torch's own; windows, padding and resets change nothing they should not."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from textseq.config.names import CellName
from textseq.errors import TextseqError
from textseq.nn.cell_registry import CELLS
from textseq.nn.cells import State
from textseq.nn.recurrent import Recurrent

N, T, E, H = 3, 7, 4, 5

EVERY_CELL = pytest.mark.parametrize("cell", CELLS)
RECURRENT_CELLS = pytest.mark.parametrize("cell", [name for name, cell in CELLS.items() if cell.recurrent])
FUSED_CELLS = pytest.mark.parametrize("cell", [name for name, cell in CELLS.items() if cell.fused])
KINDS: dict[str, Callable[..., Recurrent]] = {
    "bare": Recurrent,
    "residual": partial(Recurrent, residual=True),
    "layer_norm": partial(Recurrent, layer_norm=True),
    "both": partial(Recurrent, residual=True, layer_norm=True),
}
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)
LAYERS = pytest.mark.parametrize("layers", [1, 2, 3])
DIRECTIONS = pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])


pytestmark = pytest.mark.usefixtures("float64")


def clamped(x: Tensor) -> Tensor:
    """Stands for dropout where its place counts: it changes activations, but always alike."""
    return x.clamp(0, 0.01)


def weight_rate(cell: CellName, p: float) -> float:
    """A weight dropout of p, where there are recurrent weights."""
    return p if CELLS[cell].recurrent else 0.0


def random_state(stack: Recurrent, batch: int = N) -> State:
    return tuple(torch.randn_like(part) for part in stack.initial_state(batch))


def torchs_own(stack: Recurrent, cell: CellName) -> nn.RNNBase:
    """``torch.nn``'s module for the whole stack, with the same weights."""
    kind = CELLS[cell]
    extra = {"nonlinearity": kind.nonlinearity} if kind.nonlinearity else {}
    layers, both = len(stack.layers), stack.directions == 2
    assert kind.fused is not None
    twin = kind.fused(E, H, num_layers=layers, bidirectional=both, batch_first=True, **extra)
    weights = {
        name.replace("_l0", f"_l{layer}"): value
        for layer, kernel in enumerate(stack.layers)
        for name, value in kernel.state_dict().items()
    }
    twin.load_state_dict(weights)
    return twin


def gradients(module: nn.Module, outputs: Tensor, state: State, *inputs: Tensor) -> list[Tensor]:
    """Of one number that every output enters with a weight of its own."""
    total = sum(
        ((part * torch.linspace(-1, 1, part.numel()).view_as(part)).sum() for part in (outputs, *state)),
        torch.zeros(()),
    )
    return list(torch.autograd.grad(total, [*inputs, *module.parameters()]))


@FUSED_CELLS
@LAYERS
@DIRECTIONS
def test_fused_is_torch(cell: CellName, layers: int, bidirectional: bool) -> None:
    stack = Recurrent(cell, E, H, num_layers=layers, bidirectional=bidirectional)
    twin = torchs_own(stack, cell)
    x = torch.randn(N, T, E, requires_grad=True)
    state = tuple(part.requires_grad_() for part in random_state(stack))
    y, final = stack(x, state)
    assert y.shape == (N, T, H * stack.directions)
    assert [part.shape for part in final] == [part.shape for part in state]
    y_torch, after = twin(x, state if len(state) > 1 else state[0])
    final_torch = after if isinstance(after, tuple) else (after,)
    torch.testing.assert_close((y, final), (y_torch, final_torch))
    fast = gradients(stack, y, final, x, *state)
    torch.testing.assert_close(fast, gradients(twin, y_torch, final_torch, x, *state))


@EVERY_CELL
@DIRECTIONS
@pytest.mark.parametrize("rows", ["whole", "padded", "resets", "masked"])
def test_functional_call_is_a_module_with_these_weights(cell: CellName, bidirectional: bool, rows: str) -> None:
    """And leaves the module as it was."""
    if rows == "resets" and bidirectional:
        pytest.skip("rows restart in one direction only")
    stack = Recurrent(cell, E, H, bidirectional=bidirectional, weight_dropout=weight_rate(cell, 0.4))
    x, given = torch.randn(N, T, E), dict[str, Any]()
    if rows == "padded":
        given = {"lengths": torch.tensor([4, T, 1])}
    elif rows == "resets":
        given = {"resets": torch.rand(N, T) < 0.3}
    elif rows == "masked":
        given = {"lengths": torch.tensor([4, T, 1]), "masks": stack.sample_masks(N)}
    before = stack.eval()(x, **given)
    weights = {name: torch.randn_like(weight) for name, weight in stack.named_parameters()}
    other = copy.deepcopy(stack)
    other.load_state_dict(weights)
    called = torch.func.functional_call(stack, weights, (x,), given)
    torch.testing.assert_close(called, other(x, **given))
    torch.testing.assert_close(stack(x, **given), before)


@EVERY_CELL
@EVERY_KIND
@DIRECTIONS
@pytest.mark.parametrize("lengths", [None, torch.tensor([4, T, 1])], ids=["whole", "padded"])
def test_fast_is_plain(cell: CellName, kind: str, bidirectional: bool, lengths: Tensor | None) -> None:
    """With all that chance can take away at work, drawn once for both."""
    stack = KINDS[kind](
        cell, E, H, num_layers=3, bidirectional=bidirectional, dropout=0.4, locked_dropout=True,
        weight_dropout=weight_rate(cell, 0.4),
    )  # fmt: skip
    x = torch.randn(N, T, E, requires_grad=True)
    state = tuple(part.requires_grad_() for part in random_state(stack))
    masks = stack.sample_masks(N)
    assert masks is not None
    y, final = stack(x, state, lengths=lengths, masks=masks)
    y_plain, final_plain = stack.forward_reference(x, state, lengths=lengths, masks=masks)
    torch.testing.assert_close((y, final), (y_plain, final_plain))
    torch.testing.assert_close(gradients(stack, y, final, x, *state), gradients(stack, y_plain, final_plain, x, *state))
    assert not torch.allclose(y, stack(x, state, lengths=lengths, masks=stack.sample_masks(N))[0])


@EVERY_CELL
@EVERY_KIND
@LAYERS
def test_one_window_is_several_with_the_state_carried(cell: CellName, kind: str, layers: int) -> None:
    stack = KINDS[kind](cell, E, H, num_layers=layers)
    x = torch.randn(N, T, E)
    whole, final = stack(x)
    state, pieces = None, []
    for piece in (x[:, :1], x[:, 1:5], x[:, 5:]):
        y, state = stack(piece, state)
        pieces.append(y)
    torch.testing.assert_close((torch.cat(pieces, dim=1), state), (whole, final))


@pytest.mark.parametrize("plain", [False, True], ids=["fused", "plain"])
@EVERY_CELL
@DIRECTIONS
def test_padded_batch_is_its_rows_alone(cell: CellName, bidirectional: bool, plain: bool) -> None:
    stack = Recurrent(cell, E, H, num_layers=2, bidirectional=bidirectional)
    run = stack.forward_reference if plain else stack
    lengths = torch.tensor([4, T, 1])
    x, state = torch.randn(N, T, E), random_state(stack)
    y, final = run(x, state, lengths=lengths)
    for row, length in enumerate(lengths.tolist()):
        mine = slice(row, row + 1)
        alone, ended = run(x[mine, :length], tuple(part[:, mine] for part in state))
        torch.testing.assert_close(y[mine, :length], alone)
        torch.testing.assert_close(tuple(part[:, mine] for part in final), ended)
        assert (y[row, length:] == 0).all()


@EVERY_CELL
@DIRECTIONS
@pytest.mark.parametrize("anything", [1e9, torch.nan, torch.inf])
def test_garbage_in_the_padding_changes_nothing(cell: CellName, bidirectional: bool, anything: float) -> None:
    stack = Recurrent(cell, E, H, num_layers=2, bidirectional=bidirectional)
    lengths = torch.tensor([T, 3, 5])
    padding = torch.arange(T) >= lengths.unsqueeze(1)
    x = torch.randn(N, T, E)
    garbage = x.clone()
    garbage[padding] = anything
    for run in (stack, stack.forward_reference):
        y, final = run(x, lengths=lengths)
        again, final_again = run(garbage, lengths=lengths)
        assert torch.equal(y, again)
        assert all(map(torch.equal, final, final_again))
        wanted, found = gradients(stack, y, final), gradients(stack, again, final_again)
        torch.testing.assert_close(found, wanted)


@EVERY_CELL
@pytest.mark.parametrize("within", [False, True], ids=["at the start", "within"])
@pytest.mark.parametrize("learned", [False, True], ids=["zero", "learned"])
def test_resets_in_a_window_are_separate_texts(cell: CellName, learned: bool, within: bool) -> None:
    stack = Recurrent(cell, E, H, num_layers=2, learn_initial_state=learned)
    if stack.start is not None:
        nn.init.normal_(stack.start)
    x, state = torch.randn(N, T, E), random_state(stack)
    resets = torch.zeros(N, T, dtype=torch.bool)
    resets[0, 0] = True
    if within:
        resets[0, 3] = True
        resets[1, [2, 3, T - 1]] = True  # row 2 goes on throughout
    y, final = stack(x, state, resets=resets)
    for row in range(N):
        mine = slice(row, row + 1)
        carried: State | None = tuple(part[:, mine] for part in state)
        cuts = sorted({0, *resets[row].nonzero().flatten().tolist(), T})
        for start, end in itertools.pairwise(cuts):
            piece, carried = stack(x[mine, start:end], None if resets[row, start] else carried)
            torch.testing.assert_close(y[mine, start:end], piece)
        torch.testing.assert_close(tuple(part[:, mine] for part in final), carried)


@EVERY_CELL
@DIRECTIONS
def test_learned_initial_state_is_used_and_learns(cell: CellName, bidirectional: bool) -> None:
    stack = Recurrent(cell, E, H, num_layers=2, bidirectional=bidirectional, learn_initial_state=True)
    start = cast(nn.Parameter, stack.start)
    assert "start" in dict(stack.named_parameters())
    nn.init.normal_(start)
    x = torch.randn(N, T, E)
    wanted = tuple(part.unsqueeze(1).expand(-1, N, -1) for part in start)
    torch.testing.assert_close(stack.initial_state(N), wanted)
    y, _ = stack(x)
    torch.testing.assert_close(y, stack(x, wanted)[0])
    y.sum().backward()
    assert start.grad is not None and (start.grad != 0).any(dim=2).all()


@EVERY_CELL
def test_learned_initial_state_learns_from_resets_alone(cell: CellName) -> None:
    stack = Recurrent(cell, E, H, learn_initial_state=True)
    start = cast(nn.Parameter, stack.start)
    nn.init.uniform_(start)
    x, state = torch.randn(N, T, E), random_state(stack)
    resets = torch.zeros(N, T, dtype=torch.bool)
    y, _ = stack(x, state, resets=resets)
    assert not any(part is not None for part in torch.autograd.grad(y.sum(), start, allow_unused=True))
    resets[1, 3] = True
    y, _ = stack(x, state, resets=resets)
    assert (torch.autograd.grad(y.sum(), start)[0] != 0).any(dim=2).all()


@EVERY_CELL
def test_without_one_the_initial_state_is_zero(cell: CellName) -> None:
    stack = Recurrent(cell, E, H, num_layers=2, bidirectional=True)
    state = stack.initial_state(N)
    assert len(state) == CELLS[cell].states
    assert all(part.shape == (4, N, H) and not part.any() for part in state)


@EVERY_CELL
@EVERY_KIND
@DIRECTIONS
def test_forget_bias_is_one_and_the_rest_small(cell: CellName, kind: str, bidirectional: bool) -> None:
    for layer in KINDS[kind](cell, E, H, num_layers=2, bidirectional=bidirectional).layers:
        weights = dict(layer.named_parameters())
        for suffix in ("_l0", "_l0_reverse")[: 1 + bidirectional]:
            total = sum(weights[name + suffix] for name in ("bias_ih", "bias_hh") if name + suffix in weights)
            biases = cast(Tensor, total).chunk(len(CELLS[cell].gates))
            for gate, bias in zip(CELLS[cell].gates, biases, strict=True):
                assert (bias == 1).all() if gate == "f" else (bias.abs() <= 2 * H**-0.5).all()
            assert 0 < weights[f"weight_ih{suffix}"].abs().max() <= H**-0.5
            assert (f"weight_hh{suffix}" in weights) == CELLS[cell].recurrent
        for name, weight in weights.items():
            assert not name.startswith("gain") or (weight == 1).all()


@EVERY_CELL
def test_dropout_stands_between_layers_in_training_only(cell: CellName) -> None:
    x = torch.randn(N, T, E)
    single = Recurrent(cell, E, H, dropout=0.5).train()
    assert torch.equal(single(x)[0], single(x)[0])
    stack = Recurrent(cell, E, H, num_layers=2, dropout=0.5).eval()
    assert torch.equal(stack(x)[0], stack(x)[0])
    torch.testing.assert_close(stack(x), stack.forward_reference(x))
    stack.train()
    assert not torch.equal(stack(x)[0], stack(x)[0])


@EVERY_CELL
@DIRECTIONS
def test_dropout_is_applied_to_the_input_of_every_layer_but_the_first(cell: CellName, bidirectional: bool) -> None:
    stack = Recurrent(cell, E, H, num_layers=3, bidirectional=bidirectional)
    stack.dropout.forward = clamped  # type: ignore[method-assign]
    x = wanted = torch.randn(N, T, E)
    for index, layer in enumerate(stack.layers):
        single = Recurrent(cell, wanted.shape[2], H, bidirectional=bidirectional)
        single.layers[0] = layer
        wanted, _ = single(clamped(wanted) if index else wanted)
    torch.testing.assert_close(stack(x)[0], wanted)
    torch.testing.assert_close(stack.forward_reference(x)[0], wanted)


@EVERY_CELL
@EVERY_KIND
@LAYERS
@pytest.mark.parametrize("zoneout", [0.0, 0.3])
def test_chain_of_steps_is_forward(cell: CellName, kind: str, layers: int, zoneout: float) -> None:
    rates = (zoneout,) * CELLS[cell].states
    p = weight_rate(cell, 0.5)
    stack = KINDS[kind](cell, E, H, num_layers=layers, zoneout=rates, dropout=0.5, weight_dropout=p).eval()
    table, ids = torch.randn(9, E), torch.randint(9, (N, T))
    start = state = random_state(stack)
    gates = stack.input_gates(table)
    outputs = []
    for t in range(T):
        y, state = stack.stepper()(gates[ids[:, t]], state)
        outputs.append(y)
    torch.testing.assert_close((torch.stack(outputs, dim=1), state), stack(table[ids], start))


@EVERY_CELL
def test_residual_adds_what_a_layer_read_before_dropout(cell: CellName) -> None:
    torch.manual_seed(2)
    bare = Recurrent(cell, E, H, num_layers=2)
    torch.manual_seed(2)
    stack = Recurrent(cell, E, H, num_layers=2, residual=True)
    bare.dropout.forward = stack.dropout.forward = clamped  # type: ignore[method-assign]
    x = torch.randn(N, T, E)
    first = Recurrent(cell, E, H)
    first.layers[0] = bare.layers[0]
    torch.testing.assert_close(stack(x)[0], bare(x)[0] + first(x)[0])
    torch.testing.assert_close(stack(x)[1], bare(x)[1])


@RECURRENT_CELLS
def test_dropped_weights_are_dropped_for_the_whole_window_and_the_gradient_skips_them(cell: CellName) -> None:
    stack = Recurrent(cell, E, H, weight_dropout=0.5)
    x = torch.randn(N, T, E)
    masks = stack.sample_masks(N)
    assert masks is not None
    (mask,) = masks.weights
    assert set(mask.flatten().tolist()) == {0, 2}  # the others are scaled up
    y, _ = stack(x, masks=masks)
    weight = stack.layers[0].get_parameter("weight_hh_l0")
    (gradient,) = torch.autograd.grad(y.square().sum(), weight)
    assert (gradient[mask == 0] == 0).all() and (gradient[mask != 0] != 0).any()
    before = weight.detach().clone()
    with torch.no_grad():
        weight.mul_(mask)  # by hand
    torch.testing.assert_close(stack.eval()(x)[0], y)
    assert not torch.equal(before, weight)


@FUSED_CELLS
def test_dropped_weights_still_go_through_the_fused_kernel(cell: CellName, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = Recurrent(cell, E, H, num_layers=2, weight_dropout=0.5)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("step by step")

    monkeypatch.setattr("textseq.nn.recurrent.unroll", refuse)
    stack(torch.randn(N, T, E))[0].sum().backward()
    assert all(parameter.grad is not None for parameter in stack.parameters())


def test_the_same_masks_serve_a_window_read_in_pieces() -> None:
    stack = Recurrent("lstm", E, H, num_layers=2, dropout=0.5, locked_dropout=True, weight_dropout=0.5)
    x, masks = torch.randn(N, T, E), stack.sample_masks(N)
    whole, final = stack(x, masks=masks)
    head, state = stack(x[:, :3], masks=masks)
    tail, after = stack(x[:, 3:], state, masks=masks)
    torch.testing.assert_close((torch.cat([head, tail], dim=1), after), (whole, final))
    resets = torch.zeros(N, T, dtype=torch.bool)
    resets[:, 3] = True
    y, _ = stack(x, resets=resets, masks=masks)
    torch.testing.assert_close(y[:, 3:], stack(x[:, 3:], masks=masks)[0])


def test_no_masks_are_sampled_where_nothing_is_locked_or_in_use() -> None:
    assert Recurrent("lstm", E, H, num_layers=2, dropout=0.5).sample_masks(N) is None
    assert (
        Recurrent("lstm", E, H, num_layers=2, dropout=0.5, locked_dropout=True, weight_dropout=0.5)
        .eval()
        .sample_masks(N)
        is None
    )


@EVERY_CELL
def test_zoneout_of_nearly_all_keeps_the_old_state(cell: CellName) -> None:
    rates = (0.999999,) * CELLS[cell].states
    stack = Recurrent(cell, E, H, zoneout=rates)
    x, state = torch.randn(N, T, E), random_state(stack)
    for mode in (stack.train(), stack.eval()):
        torch.testing.assert_close(mode(x, state)[1], state, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [4, 6, 8, 10])
def test_a_mogrifier_that_gates_nothing_is_a_normalised_lstm(size: int) -> None:
    mogrifier, lstm = (Recurrent(name, size, H, num_layers=2, layer_norm=True) for name in ("lstm-mogrifier", "lstm"))
    with torch.no_grad():
        for name, weight in mogrifier.named_parameters():
            if ".weight_q" in name or ".weight_r" in name:
                weight.zero_()  # 2 sigma(0) = 1
    parts = mogrifier.state_dict()
    for name in lstm.state_dict():
        if "gain" in name or "bias_c" in name:
            parts[name].normal_()
    lstm.load_state_dict({name: parts[name] for name in lstm.state_dict()})
    x, state = torch.randn(N, T, size), random_state(lstm)
    torch.testing.assert_close(mogrifier(x, state), lstm(x, state))
    torch.testing.assert_close(mogrifier.forward_reference(x, state), lstm(x, state))


def test_zoneout_needs_a_rate_for_each_part_of_the_state() -> None:
    with pytest.raises(TextseqError, match="zoneout: expected 2 rates, one for each state tensor of lstm, got 1"):
        Recurrent("lstm", E, H, zoneout=(0.1,))


def test_state_keeps_its_number_format_under_autocast() -> None:
    torch.set_default_dtype(torch.float32)
    for cell in CELLS:
        stack = Recurrent(cell, E, H, num_layers=2)
        with torch.autocast("cpu", torch.bfloat16):
            y, state = stack(torch.randn(N, T, E))
        assert {part.dtype for part in state} == {torch.float32}
        plain, _ = stack.forward_reference(torch.zeros(N, T, E))
        assert plain.dtype == torch.float32
        y.float().sum().backward()


@pytest.mark.slow
@EVERY_CELL
@pytest.mark.parametrize("kind", ["bare", "layer_norm"])
def test_gradient_is_the_numerical_one_however_often_it_is_asked_for(cell: CellName, kind: str) -> None:
    stack = KINDS[kind](cell, 2, 3)
    x = torch.randn(2, 3, 2, requires_grad=True)
    names = [name for name, _ in stack.named_parameters()]

    def run(x: Tensor, *weights: Tensor) -> Tensor:
        y, _ = torch.func.functional_call(stack, dict(zip(names, weights, strict=True)), (x,))
        return cast(Tensor, y)

    if isinstance(stack.layers[0], nn.RNNBase):  # torch's modules keep a list of their weights beside them
        assert torch.autograd.gradcheck(lambda x: stack(x)[0], (x,))
        return
    assert torch.autograd.gradcheck(run, (x, *stack.parameters()))


@EVERY_CELL
def test_under_autocast_fast_is_plain_and_the_gradient_reaches_the_weights(cell: CellName) -> None:
    torch.set_default_dtype(torch.float32)
    stack = Recurrent(cell, E, H, num_layers=2, weight_dropout=weight_rate(cell, 0.3))
    x = torch.randn(N, T, E)
    masks = stack.sample_masks(N)
    exact, _ = stack(x, masks=masks)
    wanted = torch.autograd.grad(exact.square().sum(), list(stack.parameters()))
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = stack(x, masks=masks)
    assert not torch.equal(y.float(), exact)
    torch.testing.assert_close(y.float(), exact, rtol=0, atol=0.05)
    for found, right in zip(
        torch.autograd.grad(y.float().square().sum(), list(stack.parameters())), wanted, strict=True
    ):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, right, rtol=0.1, atol=0.1 * float(right.abs().max()))


@EVERY_CELL
@DIRECTIONS
def test_a_window_without_steps_is_refused(cell: CellName, bidirectional: bool) -> None:
    stack, x = Recurrent(cell, E, H, bidirectional=bidirectional), torch.zeros(N, 0, E)
    calls: list[Callable[[], object]] = [
        lambda: stack(x),
        lambda: stack(x, lengths=torch.zeros(N, dtype=torch.long)),
        lambda: stack(x, return_trace=True),
        lambda: stack.forward_reference(x),
        *([] if bidirectional else [lambda: stack(x, resets=torch.zeros(N, 0, dtype=torch.bool))]),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"^expected a window of at least one step, got none \(T = 0\); leave it"):
            call()


@pytest.mark.parametrize("plain", [False, True], ids=["fused", "plain"])
@EVERY_CELL
@DIRECTIONS
def test_every_cell_checks_lengths_and_state_alike(cell: CellName, bidirectional: bool, plain: bool) -> None:
    stack, x = Recurrent(cell, E, H, bidirectional=bidirectional), torch.randn(N, T, E)
    run: Callable[..., Any] = stack.forward_reference if plain else stack
    assert torch.equal(run(x, lengths=[4, T, 1])[0], run(x, lengths=torch.tensor([4, T, 1]))[0])
    for lengths in ([4, 0, 1], [4, T + 1, 1], [4, -1, 1]):
        for given in (lengths, torch.tensor(lengths)):
            with pytest.raises(ValueError, match=rf"^lengths: expected 1 to {T}, the steps of the window, got \[4, "):
                run(x, lengths=given)
    with pytest.raises(ValueError, match=rf"^lengths: expected {N} whole numbers, one for each row, got int64 \(2,\)"):
        run(x, lengths=[4, 1])
    state = stack.initial_state(N)
    with pytest.raises(
        ValueError, match=rf"^state: expected a tuple of {len(state)} tensors .*, got one tensor; write"
    ):
        run(x, state[0])
    with pytest.raises(ValueError, match=rf"^state: expected a tuple of {len(state)} tensors .*, got 3$"):
        run(x, (state[0],) * 3)
    layers = 1 + bidirectional
    for shape in ((2 * layers, N, H), (N, H), (N, layers, H), (layers, 1, H), (layers, N, H + 1)):
        expected = rf"shape \({layers}, {N}, {H}\), got {re.escape(str(shape))}$"
        with pytest.raises(ValueError, match=rf"^state: expected tensors \(L\*D, N, H\) of {expected}"):
            run(x, (torch.zeros(shape),) * len(state))


@EVERY_CELL
def test_resets_are_a_truth_value_for_each_step(cell: CellName) -> None:
    stack, x, resets = Recurrent(cell, E, H), torch.randn(N, T, E), torch.zeros(N, T, dtype=torch.bool)
    for wrong in (resets[:, 1:], resets.t(), resets[:1], resets[0], resets.float(), resets.long()):
        with pytest.raises(ValueError, match=rf"^resets: expected bool \(N, T\) of shape \({N}, {T}\), got "):
            stack(x, resets=wrong)


def test_print_shows_cell_sizes_and_options() -> None:
    assert str(Recurrent("mingru", 3, 5, num_layers=2, residual=True, dropout=0.5)) == (
        "Recurrent(\n  mingru, residual=True\n"
        "  (layers): ModuleList(\n    (0): Layer(3, 5)\n    (1): Layer(5, 5)\n  )\n"
        "  (dropout): Dropout(p=0.5)\n)"
    )
    assert "Layer(3, 5, bidirectional=True, layer_norm=True)" in str(
        Recurrent("lstm", 3, 5, bidirectional=True, layer_norm=True)
    )


def test_a_stack_has_layers_and_rates_are_a_tuple() -> None:
    with pytest.raises(TextseqError, match=r"^num_layers: expected at least 1, got 0"):
        Recurrent("gru", E, H, num_layers=0)
    with pytest.raises(TextseqError, match=r"^zoneout: expected a tuple of rates, one for each .* of gru, got 0\.1"):
        Recurrent("gru", E, H, zoneout=0.1)  # type: ignore[arg-type]


@pytest.mark.parametrize("cell", ["mingru", "minlstm"])
def test_weight_dropout_needs_recurrent_weights(cell: CellName) -> None:
    with pytest.raises(TextseqError, match=f"--weight-dropout: expected a cell with .*, got --cell {cell}; use --drop"):
        Recurrent(cell, E, H, weight_dropout=0.1)


@pytest.mark.parametrize("cell", ["mingru", "minlstm"])
@DIRECTIONS
def test_cells_without_recurrent_weights_take_all_steps_at_once(
    cell: CellName, bidirectional: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = Recurrent(cell, E, H, num_layers=2, bidirectional=bidirectional)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("step by step")

    monkeypatch.setattr("textseq.nn.recurrent.unroll", refuse)
    stack(torch.randn(N, T, E), lengths=torch.tensor([4, T, 1]))[0].sum().backward()
    assert all(parameter.grad is not None for parameter in stack.parameters())
    if not bidirectional:
        resets = torch.zeros(N, T, dtype=torch.bool)
        resets[1, 3] = True
        stack(torch.randn(N, T, E), resets=resets)


@EVERY_CELL
@EVERY_KIND
def test_second_derivatives_are_right_or_refused(cell: CellName, kind: str) -> None:
    stack = KINDS[kind](cell, E, H)
    x = torch.randn(N, T, E, requires_grad=True)

    def second(run: Callable[..., tuple[Tensor, State]]) -> tuple[Tensor, ...]:
        (gradient,) = torch.autograd.grad(run(x)[0].square().sum(), x, create_graph=True)
        return torch.autograd.grad(gradient.square().sum(), [x, stack.layers[0].get_parameter("weight_ih_l0")])

    wanted = second(stack.forward_reference)
    if stack.cell.recurrent and cell != "gru" and isinstance(stack.layers[0], nn.RNNBase):
        torch.testing.assert_close(second(stack), wanted)
    else:
        with pytest.raises(RuntimeError, match="no second derivatives: use forward_reference"):
            second(stack)


@EVERY_CELL
@EVERY_KIND
@DIRECTIONS
def test_functional_call_uses_the_weights_that_it_gives(cell: CellName, kind: str, bidirectional: bool) -> None:
    """Weights that are not parameters, as in meta-learning, with their gradient."""
    options = {
        "num_layers": 2,
        "bidirectional": bidirectional,
        "learn_initial_state": True,
        "weight_dropout": weight_rate(cell, 0.3),
    }
    stack, other = KINDS[kind](cell, E, H, **options), KINDS[kind](cell, E, H, **options)
    x, masks = torch.randn(N, T, E), stack.sample_masks(N)
    weights = {name: part.detach().clone().requires_grad_() for name, part in other.named_parameters()}
    y, state = torch.func.functional_call(stack, weights, (x,), {"masks": masks})
    wanted = other(x, masks=masks)
    torch.testing.assert_close((y, state), wanted)
    found = torch.autograd.grad(y.square().sum(), [*weights.values()])
    torch.testing.assert_close(found, torch.autograd.grad(wanted[0].square().sum(), [*other.parameters()]))
