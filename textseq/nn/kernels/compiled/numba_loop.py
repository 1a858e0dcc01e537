"""Writing one text, compiled by numba: embedding table, layers, output layer and random choice, token after token.

The equations are those of ``cells.lstm_step`` and ``cells.gru_step``, the choice that of ``decoding.sampling``: the
reference implementations. A step of them is forty operations of Python and torch around a few products; here nothing
but the products costs time. Four rows of a matrix are multiplied at once, so that a vector is read a quarter as often,
and 8-bit weights are widened in registers. exp is a polynomial that the compiler can vectorize, exact to 2 units in the
last place.

Compiled once (seconds), then read from numba's cache, beside this file or in the user's cache folder. Where neither can
be written, importing this module is a RuntimeError.

Shapes: L layers, H hidden, G gates, V vocabulary, T tokens, M products of a step, R rows of all their matrices.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

LSTM, GRU = 0, 1
FLOAT, BOUNDED, PEAK = 0, 1, 2
"""Number formats of a product: float32; 8 bits for a vector between -1 and 1; 8 bits for any vector."""
INPUT, STATE, BOTH, OUTPUT = 0, 1, 2, 3
"""What is multiplied: the output y of the layer below, h, [y h], or the last layer's y."""


class Network(NamedTuple):
    """The weights of a network, of all products of a step one after the other."""

    cell: int
    residual: bool
    products: np.ndarray
    """(M, 7) integers: what is multiplied, layer, number format, rows, columns, place in ``floats`` or ``bytes``, place
    in ``scales`` and ``biases``."""
    floats: np.ndarray
    bytes: np.ndarray
    scales: np.ndarray
    """(R,); 1 for products in float32."""
    biases: np.ndarray
    """(R,)."""
    table: np.ndarray
    """The first layer's input gates for each token, (V, G*H)."""


class Choice(NamedTuple):
    """How a token is chosen; see ``decoding.logits_processors``."""

    temperature: np.float32
    top_k: int
    """V keeps all."""
    top_p: np.float32
    min_p: np.float32
    bias: np.ndarray
    """Added to the logits, (V,)."""


jit = numba.njit(error_model="numpy")
jit_sums = numba.njit(error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
"""For sums in any order, which the compiler can vectorize."""

ZERO, HALF, ONE, TWO = np.float32(0), np.float32(0.5), np.float32(1), np.float32(2)
LOWEST, HIGHEST = np.float32(-87), np.float32(88)
"""Between them exp is a normal number."""
LOG2_E, LN_2_HIGH, LN_2_LOW = np.float32(1.44269504), np.float32(0.693359375), np.float32(-2.12194440e-4)
C2, C3, C4, C5, C6, C7 = (
    np.float32(c) for c in (0.5, 0.16666665459, 4.1665795894e-2, 8.3334519073e-3, 1.3981999507e-3, 1.9875691500e-4)
)
"""exp of -ln 2 / 2 to ln 2 / 2 as a polynomial (Cephes, expf)."""
STEPS, HALF_UP, MIDDLE = np.float32(127), np.float32(128.5), np.int32(128)
TINY = np.float32(1e-30)
GREEDY, COLD, FLAT = np.float32(1e-6), np.float32(0.01), np.float32(1e30)
LEAST = np.float32(np.finfo(np.float32).tiny)


@jit_sums
def exp(x):
    x = min(max(x, LOWEST), HIGHEST)
    n = np.floor(x * LOG2_E + HALF)
    r = x - n * LN_2_HIGH - n * LN_2_LOW
    p = ((((C7 * r + C6) * r + C5) * r + C4) * r + C3) * r + C2
    power = np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
    return (p * r * r + r + ONE) * power


@jit_sums
def sigmoid(x):
    return ONE / (ONE + exp(-x))


@jit_sums
def tanh(x):
    return ONE - TWO / (ONE + exp(TWO * x))


@jit_sums
def product(number, w, x, factor, scales, biases, out):
    """W x, summed as a type of ``number``, times factor and scales, plus the biases; W (R*K,), x (K,), out (R,)."""
    last, columns = len(out) - 1, len(x)
    for r0 in range(0, last + 1, 4):
        r1, r2, r3 = min(r0 + 1, last), min(r0 + 2, last), min(r0 + 3, last)
        w0, w1 = w[r0 * columns : (r0 + 1) * columns], w[r1 * columns : (r1 + 1) * columns]
        w2, w3 = w[r2 * columns : (r2 + 1) * columns], w[r3 * columns : (r3 + 1) * columns]
        s0 = s1 = s2 = s3 = number(0)
        for k in range(columns):
            v = number(x[k])
            s0 = number(s0 + number(w0[k]) * v)
            s1 = number(s1 + number(w1[k]) * v)
            s2 = number(s2 + number(w2[k]) * v)
            s3 = number(s3 + number(w3[k]) * v)
        out[r0] = np.float32(s0) * scales[r0] * factor + biases[r0]
        out[r1] = np.float32(s1) * scales[r1] * factor + biases[r1]
        out[r2] = np.float32(s2) * scales[r2] * factor + biases[r2]
        out[r3] = np.float32(s3) * scales[r3] * factor + biases[r3]


@jit
def multiply(network, m, x, rounded, out):
    """The product m of x (K,), as ``int8.Int8Linear`` or in float32; ``rounded`` is for x in 8 bits."""
    _, _, kind, rows, columns, at, at_row = network.products[m]
    scales, biases = network.scales[at_row : at_row + rows], network.biases[at_row : at_row + rows]
    if kind == FLOAT:
        product(np.float32, network.floats[at : at + rows * columns], x, ONE, scales, biases, out)
        return
    peak = ONE
    if kind == PEAK:
        peak = TINY
        for k in range(columns):
            peak = max(peak, abs(x[k]))
    by = STEPS / peak
    for k in range(columns):
        rounded[k] = np.int8(np.int32(x[k] * by + HALF_UP) - MIDDLE)  # truncates: the half rounds
    product(np.int32, network.bytes[at : at + rows * columns], rounded[:columns], peak, scales, biases, out)


@jit_sums
def lstm(x_gates, gates, h, c):
    """Gates in the order i f g o, (4H,); the input's share is added to them."""
    size = len(h)
    for j in range(size):
        i = sigmoid(gates[j] + x_gates[j])
        f = sigmoid(gates[size + j] + x_gates[size + j])
        g = tanh(gates[2 * size + j] + x_gates[2 * size + j])
        o = sigmoid(gates[3 * size + j] + x_gates[3 * size + j])
        c[j] = f * c[j] + i * g
        h[j] = o * tanh(c[j])


@jit_sums
def gru(x_gates, gates, h):
    """Gates in the order r z n, (3H,)."""
    size = len(h)
    for j in range(size):
        r = sigmoid(gates[j] + x_gates[j])
        z = sigmoid(gates[size + j] + x_gates[size + j])
        n = tanh(x_gates[2 * size + j] + r * gates[2 * size + j])
        h[j] = n + z * (h[j] - n)


@jit
def before(v, w, z):
    return z[v] > z[w] or (z[v] == z[w] and v < w)


@jit
def sift(heap, root, size, z):
    """Restore the order of a heap of tokens below a root: the likeliest first, of equals the first."""
    while 2 * root + 1 < size:
        child = 2 * root + 1
        if child + 1 < size and before(heap[child + 1], heap[child], z):
            child += 1
        if before(heap[root], heap[child], z):
            return
        heap[root], heap[child] = heap[child], heap[root]
        root = child


@jit
def likeliest(z, count):
    """The tokens of the highest logits z in order: probabilities can be equal where logits are not.

    An own heap, because numba's sort takes seconds to compile.
    """
    size = len(z)
    heap, order = np.arange(size), np.empty(count, np.int64)
    for root in range(size // 2 - 1, -1, -1):
        sift(heap, root, size, z)
    for rank in range(count):
        order[rank] = heap[0]
        size -= 1
        heap[0] = heap[size]
        sift(heap, 0, size, z)
    return order


@jit
def choose(logits, noise, choice):
    """The token that logits (V,) choose with exponential noise (V,)."""
    vocabulary, best = len(logits), 0
    z, p = np.empty(vocabulary, np.float32), np.empty(vocabulary, np.float32)
    for v in range(vocabulary):
        z[v] = logits[v] + choice.bias[v]
        if z[v] > z[best]:
            best = v
    if choice.temperature < GREEDY:
        return best
    shift = z[best] if choice.temperature < COLD else ZERO
    by = min(choice.temperature, FLAT)
    top = (z[best] - shift) / by
    for v in range(vocabulary):
        z[v] = (z[v] - shift) / by
        below = z[v] - top
        p[v] = exp(below) if below > LOWEST else ZERO
    kept = min(vocabulary, choice.top_k)
    order = likeliest(z, kept) if kept < vocabulary or choice.top_p < ONE else np.arange(vocabulary)
    if choice.top_p < ONE:
        total, reached = 0.0, 0.0
        for rank in range(kept):
            total += p[order[rank]]
        for rank in range(kept):
            share = np.float32(p[order[rank]] / total)
            reached += float(share)
            if np.float32(reached) - share >= max(choice.top_p, LEAST):
                kept = rank
                break
    chosen, highest = order[0], np.float32(-1)
    for rank in range(kept):
        v = order[rank]
        if p[v] >= choice.min_p and p[v] / noise[v] > highest:
            chosen, highest = v, p[v] / noise[v]
    return chosen


@numba.njit(error_model="numpy", nogil=True, cache=True)
def write(network, choice, tokens, given, noise, h, c, logits):
    """Continue a text in place.

    Args:
        network, choice: weights and settings.
        tokens: (T,), of which the first ``given`` are read and the others are written.
        noise: from the exponential distribution, (T - given, V).
        h, c: state before the first token, (L, H) each, which becomes that before the last one; a GRU has no c.
        logits: (V,), those of the last choice afterwards.
    """
    size, width, count = h.shape[1], network.table.shape[1], len(network.products)
    both, x_gates, gates = np.empty(2 * size, np.float32), np.empty(width, np.float32), np.empty(width, np.float32)
    rounded = np.empty(2 * size, np.int8)
    for t in range(len(tokens) - 1):
        for j in range(width):
            x_gates[j] = network.table[tokens[t], j]
        for m in range(count if t + 1 >= given else count - 1):
            part, layer, _, _, columns, _, _ = network.products[m]
            for j in range(size):
                both[size + j] = h[layer, j]
            start = size if part == STATE else 0
            out = logits if part == OUTPUT else x_gates if part == INPUT else gates
            multiply(network, m, both[start : start + columns], rounded, out)
            if part in (INPUT, OUTPUT):
                continue
            if part == BOTH:  # the input's share is in the product
                for j in range(width):
                    x_gates[j] = ZERO
            if network.cell == LSTM:
                lstm(x_gates, gates, h[layer], c[layer])
            else:
                gru(x_gates, gates, h[layer])
            for j in range(size):
                both[j] = h[layer, j] + (both[j] if network.residual and layer > 0 else ZERO)
        if t + 1 >= given:
            tokens[t + 1] = choose(logits, noise[t + 1 - given], choice)
