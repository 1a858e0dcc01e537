"""Steps in 8 bits: exact where 8 bits suffice, near where they do not, and of use to every cell."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import textseq
from textseq.config.names import CellName
from textseq.decoding.sampling import sample
from textseq.errors import TextseqError
from textseq.nn.cell_registry import CELLS
from textseq.nn.cells import Weights
from textseq.nn.kernels import inference_weights as packed
from textseq.nn.kernels.inference_weights import MIN_INT8, PRECISIONS, quantized
from textseq.nn.kernels.int8 import VECTOR_STEPS, WEIGHT_STEPS, Int8Linear
from textseq.nn.recurrent import Recurrent
from textseq.tasks.language_model.config import GenerationConfig, LanguageModelConfig
from textseq.tasks.language_model.model import LanguageModel

N, T, K, M, H, V = 3, 12, 40, 24, 64, 11

try:
    Int8Linear(torch.ones(M, K))
except TextseqError as error:  # not every processor has these products
    pytest.skip(str(error), allow_module_level=True)


def whole_numbers(rows: int, columns: int, peak: int) -> Tensor:
    """Random whole numbers from -peak to peak, both met in every row."""
    made = torch.randint(-peak, peak + 1, (rows, columns)).float()
    made[:, :2] = torch.tensor([peak, -peak])
    return made


@pytest.mark.parametrize("columns", [2, K, 512])
def test_whole_numbers_within_the_steps_are_exact(columns: int) -> None:
    torch.manual_seed(1)
    scales = torch.tensor([2.0**-k for k in range(M)]).unsqueeze(1)  # each row has a scale of its own
    weight, bias = whole_numbers(M, columns, WEIGHT_STEPS) * scales, torch.randn(M)
    x = whole_numbers(N, columns, VECTOR_STEPS) * torch.tensor([[1.0], [0.25], [8.0]])
    wanted = x.double() @ weight.double().t() + bias.double()
    torch.testing.assert_close(Int8Linear(weight, bias)(x).double(), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_largest_sums_do_not_overflow(sign: float) -> None:
    weight, x = torch.ones(M, 512), torch.full((1, 512), sign)
    torch.testing.assert_close(Int8Linear(weight)(x), torch.full((1, M), sign * 512))


def test_error_is_that_of_rounding() -> None:
    """Each factor is off by up to half a step, and the errors of a sum are spread around zero."""
    torch.manual_seed(1)
    weight, x = torch.randn(M, 512), torch.randn(50, 512)
    found, wanted = Int8Linear(weight)(x), x @ weight.t()
    error = float((found - wanted).norm() / wanted.norm())
    assert 1e-4 < error < 0.02


def test_a_text_does_not_depend_on_those_beside_it() -> None:
    torch.manual_seed(1)
    layer, x = Int8Linear(torch.randn(M, K)), torch.randn(N, K) * torch.tensor([[1.0], [1e3], [1e-3]])
    for row in range(N):
        torch.testing.assert_close(layer(x[row : row + 1]), layer(x)[row : row + 1], rtol=1e-6, atol=0)


def test_zeros_give_the_bias() -> None:
    bias = torch.randn(M)
    torch.testing.assert_close(Int8Linear(torch.randn(M, K), bias)(torch.zeros(1, K))[0], bias, rtol=0, atol=0)
    torch.testing.assert_close(Int8Linear(torch.zeros(M, K), bias)(torch.randn(1, K))[0], bias, rtol=0, atol=0)


def test_keeps_the_number_format() -> None:
    layer = Int8Linear(torch.randn(M, K, dtype=torch.float64), torch.randn(M, dtype=torch.float64))
    for dtype in (torch.float64, torch.bfloat16):
        assert layer(torch.randn(N, K, dtype=dtype)).dtype == dtype


def test_another_device_is_refused() -> None:
    with pytest.raises(TextseqError, match=r"expected the CPU .*, got meta and torch 2\..*; use float32"):
        quantized(Weights(torch.ones(512, MIN_INT8 // 512, device="meta"), torch.ones(512, device="meta")))


def test_small_matrices_stay_in_32_bits() -> None:
    torch.manual_seed(1)
    rows = MIN_INT8 // 512
    x = torch.randn(N, 512)
    for count, exact in ((rows - 1, True), (rows, False)):
        weights = Weights(torch.randn(count, 512), torch.randn(count))
        error = float((quantized(weights).product(x) - weights.product(x)).abs().max())
        assert (error < 1e-3) == exact


@pytest.mark.parametrize("layer_norm", [False, True], ids=["plain", "normalized"])
@pytest.mark.parametrize("residual", [False, True], ids=["bare", "residual"])
@pytest.mark.parametrize("cell", CELLS)
def test_int8_steps_are_near_float32_steps(
    cell: CellName, residual: bool, layer_norm: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "MIN_INT8", 0)
    torch.manual_seed(1)
    config = LanguageModelConfig(
        cell=cell, num_layers=2, hidden_size=H, embedding_size=16, residual=residual, layer_norm=layer_norm
    )
    model = LanguageModel(config, V).eval()
    ids = torch.randint(V, (N, T))
    logits: dict[str, list[Tensor]] = {}
    with torch.inference_mode():
        for precision in PRECISIONS:
            step, state = model.stepper(precision), model.initial_state(N)
            logits[precision] = []
            for t in range(T):
                now, state = step(ids[:, t], state)
                logits[precision].append(now)
    exact, rounded = torch.stack(logits["float32"]), torch.stack(logits["int8"])
    error = float((rounded - exact).norm() / exact.norm())
    assert 1e-5 < error < (0.1 if cell == "lstm-mogrifier" else 0.05)  # whose rounds multiply the error of h


def test_unknown_precision_offers_the_nearest() -> None:
    model = LanguageModel(LanguageModelConfig(hidden_size=8, embedding_size=8), V)
    with pytest.raises(TextseqError, match="unknown precision 'int'; did you mean 'int8'"):
        model.stepper("int")  # type: ignore[arg-type]


@pytest.mark.slow
def test_int8_costs_the_shipped_model_at_most_a_hundredth_of_a_nat() -> None:
    """On 4,800 characters that the model itself writes, in eight texts side by side."""
    model = textseq.load_generator("shakespeare").model
    texts, prompt = 8, torch.zeros(8, 1, dtype=torch.long)
    generator = torch.Generator().manual_seed(1)
    start = model.initial_state(texts)
    written = sample(model.stepper(), prompt, start, GenerationConfig(max_new_tokens=600), generator=generator)
    ids = torch.cat([prompt, *(tokens.unsqueeze(1) for tokens in written)], dim=1)
    step, state, rows = model.stepper("int8"), start, []
    with torch.inference_mode():
        for t in range(600):
            now, state = step(ids[:, t], state)
            rows.append(now)
        exact, _ = model(ids[:, :-1])
    rounded = torch.stack(rows, dim=1)
    assert not torch.equal(exact, rounded)

    def nats(logits: Tensor) -> float:
        return float(torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()))

    assert nats(rounded) - nats(exact) <= 0.01
    assert (rounded.argmax(dim=2) == exact.argmax(dim=2)).float().mean() >= 0.97


@pytest.mark.parametrize("rows", [1, 5])
def test_a_known_bound_gives_the_same_product(rows: int) -> None:
    torch.manual_seed(1)
    weight, bias, x = torch.randn(40, 64), torch.randn(40), 2 * torch.rand(rows, 64) - 1
    x[0, 0], x[0, 1] = 1.0, -1.0
    exact = torch.nn.functional.linear(x, weight, bias)
    for bounded in (False, True):
        torch.testing.assert_close(Int8Linear(weight, bias, bounded=bounded)(x), exact, rtol=0, atol=0.25)


@pytest.mark.parametrize("kind", ["rnn-relu", "residual", "learned"])
def test_what_may_leave_the_bound_is_looked_at(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """States far beyond 1 come out as in float32: nothing wraps around in the bytes."""
    monkeypatch.setattr(packed, "MIN_INT8", 1)
    torch.manual_seed(1)
    stack = Recurrent(
        "rnn-relu" if kind == "rnn-relu" else "lstm",
        4,
        16,
        num_layers=4,
        residual=kind == "residual",
        learn_initial_state=kind == "learned",
    )
    state = stack.initial_state(2)
    if kind == "residual":
        state = (state[0], state[1] + 9)  # the cells are open wide, so that the layers' outputs add up
    else:
        state = tuple(part + 9 * torch.rand_like(part) for part in state)
    gates = 3 * torch.randn(2, 16 * len(stack.cell.gates))
    with torch.inference_mode():
        exact, _ = stack.stepper()(gates, state)
        rounded, _ = stack.stepper(quantized)(gates, state)
    assert float((exact - rounded).abs().max()) < 0.05 * max(1.0, float(exact.abs().max()))
