"""The recurrent networks of this package in NumPy, to learn from and to test against.

First an Elman network with its output layer and its gradient by full back-propagation through time, as in Karpathy's
min-char-rnn; then one step of each cell of ``textseq.nn.cells``; then a step of a decoder with attention. Nothing is
fast here and nothing is hidden: no batch is needed, and every activation is an argument. T time, E input, H hidden,
V vocabulary::

    state = reference.lstm_step(x, (h, c), weights, candidate=reference.IDENTITY, output=reference.TANH)

In the equations W stands for the input's weights, U for the recurrent ones, sigma for the logistic function, and
products of vectors are element-wise. The cells' weights are laid out as in ``torch.nn``: blocks of H rows, one
for each gate, in the order i f g o (LSTM) and r z n (GRU).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np

Array = np.ndarray

State = tuple[Array, ...]
"""(h,), and of an LSTM (h, c); each (..., H)."""


@dataclass(frozen=True)
class Activation:
    """A function of each element, and its derivative at the same argument."""

    function: Callable[[Array], Array]
    derivative: Callable[[Array], Array]

    def __call__(self, a: Array) -> Array:
        """f(a)."""
        return self.function(a)


def sigmoid(a: Array) -> Array:
    """1 / (1 + exp(-a)), written so that exp cannot overflow."""
    value: Array = (1 + np.tanh(a / 2)) / 2
    return value


TANH = Activation(np.tanh, lambda a: 1 - np.tanh(a) ** 2)

RELU = Activation(lambda a: np.maximum(a, 0), lambda a: (a > 0).astype(a.dtype))

SIGMOID = Activation(sigmoid, lambda a: sigmoid(a) * (1 - sigmoid(a)))

IDENTITY = Activation(lambda a: a, np.ones_like)

POSITIVE = Activation(
    lambda a: np.where(a >= 0, a + 0.5, sigmoid(a)), lambda a: np.where(a >= 0, 1, SIGMOID.derivative(a))
)
"""g of minGRU and minLSTM: a + 1/2 where a >= 0, else sigma(a)."""


# The Elman network, forward and backward


class Elman(NamedTuple):
    """The weights of an Elman network with its output layer; its gradients and Adagrad's memory have the same form."""

    W_xh: Array
    """Input to hidden, (H, E)."""
    W_hh: Array
    """Hidden to hidden, from one step to the next, (H, H)."""
    W_hy: Array
    """Hidden to output, (V, H)."""
    b_h: Array
    """(H,)."""
    b_y: Array
    """(V,)."""


class Trace(NamedTuple):
    """The results of a forward pass that the backward pass needs."""

    a: Array
    """Pre-activations of the hidden layer, (T, H)."""
    h: Array
    """Hidden states, (T+1, H); the first is the initial one, so that h[t] is the state before step t."""
    logits: Array
    """(T, V)."""


def elman_forward(weights: Elman, x: Array, h_0: Array, activation: Activation = TANH) -> Trace:
    """Elman (1990): h_t = f(W_xh x_t + W_hh h_(t-1) + b_h), y_t = W_hy h_t + b_y.

    Args:
        weights: of the network.
        x: inputs, (T, E); for tokens one-hot vectors, ``np.eye(V)[ids]``.
        h_0: the state before the first step, (H,).
        activation: f.
    """
    steps = len(x)
    a = np.empty((steps, len(h_0)))
    h = np.empty((steps + 1, len(h_0)))
    h[0] = h_0
    for t in range(steps):
        a[t] = weights.W_xh @ x[t] + weights.W_hh @ h[t] + weights.b_h
        h[t + 1] = activation(a[t])
    return Trace(a, h, h[1:] @ weights.W_hy.T + weights.b_y)


def softmax(logits: Array) -> Array:
    """Probabilities along the last axis."""
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: Array = e / e.sum(axis=-1, keepdims=True)
    return probabilities


def cross_entropy(logits: Array, targets: Array) -> tuple[float, Array]:
    """The loss in nats of logits (T, V) and targets (T,), summed, and its gradient: softmax minus one-hot target."""
    p = softmax(logits)
    steps = np.arange(len(targets))
    gradient = p.copy()
    gradient[steps, targets] -= 1
    return float(-np.log(p[steps, targets]).sum()), gradient


def elman_backward(
    weights: Elman, x: Array, trace: Trace, d_logits: Array, activation: Activation = TANH
) -> tuple[Elman, Array, Array]:
    """Back-propagation through all the steps of ``elman_forward`` (Rumelhart et al. 1986, Werbos 1990).

    Args:
        weights, x, trace: arguments and result of ``elman_forward``.
        d_logits: gradient of the loss with respect to the logits, (T, V).
        activation: f.

    Returns:
        The gradients of the weights, of the inputs (T, E) and of the initial state (H,).
    """
    d_h = d_logits @ weights.W_hy  # (T, H), from each state's own output
    d_a = np.empty_like(trace.a)
    later = np.zeros_like(trace.h[0])  # from the step after it
    for t in reversed(range(len(x))):
        d_a[t] = (d_h[t] + later) * activation.derivative(trace.a[t])
        later = weights.W_hh.T @ d_a[t]
    gradients = Elman(
        W_xh=d_a.T @ x,
        W_hh=d_a.T @ trace.h[:-1],
        W_hy=d_logits.T @ trace.h[1:],
        b_h=d_a.sum(axis=0),
        b_y=d_logits.sum(axis=0),
    )
    return gradients, d_a @ weights.W_xh, later


def clip_by_value(gradients: Elman, limit: float) -> Elman:
    """Clip every element to [-limit, limit]."""
    return Elman(*(np.clip(gradient, -limit, limit) for gradient in gradients))


def clip_by_norm(gradients: Elman, max_norm: float) -> Elman:
    """Scale all gradients together to a norm of at most ``max_norm`` (Pascanu et al. 2013, algorithm 1)."""
    norm = float(np.sqrt(sum((gradient**2).sum() for gradient in gradients)))
    return Elman(*(gradient * min(1.0, max_norm / norm) for gradient in gradients)) if norm else gradients


def adagrad(weights: Elman, gradients: Elman, memory: Elman, learning_rate: float) -> None:
    """One step of Adagrad (Duchi et al. 2011), in place: on the weights and the memory of squared gradients."""
    for weight, gradient, past in zip(weights, gradients, memory, strict=True):
        past += gradient**2
        weight -= learning_rate * gradient / (np.sqrt(past) + 1e-10)


# One step of each cell


class CellWeights(NamedTuple):
    """The weights of a cell of G gates."""

    weight_ih: Array
    """W, (G*H, E)."""
    weight_hh: Array
    """U, (G*H, H)."""
    bias_ih: Array
    """b, (G*H,)."""
    bias_hh: Array
    """A second b, (G*H,); it differs in effect only for the candidate n of ``gru_step``."""
    peephole: Array | None = None
    """p of i, f and o, (3, H)."""
    mogrifier: tuple[Array, ...] = ()
    """Q_1, R_2, Q_3, ... in turns, (E, H) and (H, E)."""


class Step(Protocol):
    """One step of a cell: an input (..., E) and the state before it -> the state after it, first the output h."""

    def __call__(self, x: Array, state: State, w: CellWeights) -> State: ...


def elman_step(x: Array, state: State, w: CellWeights, *, activation: Activation = TANH) -> State:
    """Elman (1990): h' = tanh(W x + U h + b)."""
    (h,) = state
    return (activation(_of_input(x, w) + _of_state(h, w)),)


def lstm_step(
    x: Array, state: State, w: CellWeights,
    *, gate: Activation = SIGMOID, candidate: Activation = TANH, output: Activation = TANH,
) -> State:  # fmt: skip
    """LSTM with a forget gate (Gers, Schmidhuber and Cummins 2000).

    i, f, o = sigma(W x + U h + b) each, g = tanh(W x + U h + b); c' = f c + i g; h' = o tanh(c'). The two tanh are
    ``candidate`` and ``output``.
    """
    h, c = state
    i, f, g, o = np.split(_of_input(x, w) + _of_state(h, w), 4, axis=-1)
    c = gate(f) * c + gate(i) * candidate(g)
    return gate(o) * output(c), c


def lstm_peephole_step(
    x: Array, state: State, w: CellWeights,
    *, gate: Activation = SIGMOID, candidate: Activation = TANH, output: Activation = TANH,
) -> State:  # fmt: skip
    """LSTM whose gates see the cell (Gers, Schraudolph and Schmidhuber 2002).

    i = sigma(W x + U h + p_i c + b), f the same with p_f; g = tanh(W x + U h + b); c' = f c + i g;
    o = sigma(W x + U h + p_o c' + b), which sees the new cell; h' = o tanh(c').
    """
    assert w.peephole is not None
    h, c = state
    p_i, p_f, p_o = w.peephole
    i, f, g, o = np.split(_of_input(x, w) + _of_state(h, w), 4, axis=-1)
    c = gate(f + p_f * c) * c + gate(i + p_i * c) * candidate(g)
    return gate(o + p_o * c) * output(c), c


def lstm_mogrifier_step(x: Array, state: State, w: CellWeights, *, gate: Activation = SIGMOID) -> State:
    """Mogrifier LSTM (Melis, Kocisky and Blunsom 2020): x and h gate one another, then comes an LSTM's step.

    x <- 2 sigma(Q_i h) x in rounds i = 1, 3, ...; h <- 2 sigma(R_i x) h in rounds i = 2, 4, ...
    """
    h, c = state
    for i, matrix in enumerate(w.mogrifier, start=1):
        if i % 2 == 1:
            x = 2 * gate(h @ matrix.T) * x
        else:
            h = 2 * gate(x @ matrix.T) * h
    return lstm_step(x, (h, c), w)


def gru_step(
    x: Array, state: State, w: CellWeights, *, gate: Activation = SIGMOID, candidate: Activation = TANH
) -> State:
    """GRU with the reset gate after the product (Cho et al. 2014, arXiv 1406.1078, version 1; torch and cuDNN).

    r, z = sigma(W x + U h + b) each; n = tanh(W x + b_ih + r (U h + b_hh)); h' = (1 - z) n + z h.

    The update gate z keeps the OLD state, as in both versions of Cho et al., torch, cuDNN and Keras. In Chung et al.
    (2014) z takes the NEW one, h' = (1 - z) h + z n: since 1 - sigma(a) = sigma(-a), negate the rows of z in W, U and
    b to go from one to the other. Keras calls this cell ``reset_after=True`` and orders its gates z r n.
    """
    (h,) = state
    x_r, x_z, x_n = np.split(_of_input(x, w), 3, axis=-1)
    h_r, h_z, h_n = np.split(_of_state(h, w), 3, axis=-1)
    r, z = gate(x_r + h_r), gate(x_z + h_z)
    n = candidate(x_n + r * h_n)
    return ((1 - z) * n + z * h,)


def gru_reset_before_step(
    x: Array, state: State, w: CellWeights, *, gate: Activation = SIGMOID, candidate: Activation = TANH
) -> State:
    """GRU with the reset gate before the product (Cho et al. 2014, arXiv 1406.1078, version 3).

    r, z = sigma(W x + U h + b) each; n = tanh(W x + U (r h) + b); h' = (1 - z) n + z h.

    z as in ``gru_step``. Keras calls this cell ``reset_after=False`` and gives it one bias: leave b_hh zero.
    """
    (h,) = state
    x_r, x_z, x_n = np.split(_of_input(x, w), 3, axis=-1)
    h_r, h_z, _ = np.split(_of_state(h, w), 3, axis=-1)
    r, z = gate(x_r + h_r), gate(x_z + h_z)
    n = candidate(x_n + np.split(_of_state(r * h, w), 3, axis=-1)[2])
    return ((1 - z) * n + z * h,)


def mingru_step(
    x: Array, state: State, w: CellWeights, *, gate: Activation = SIGMOID, candidate: Activation = POSITIVE
) -> State:
    """minGRU (Feng et al. 2024, appendix B): z = sigma(W x + b); n = g(W x + b); h' = (1 - z) h + z n.

    z takes the NEW state. There are no recurrent weights.
    """
    (h,) = state
    z, n = np.split(_of_input(x, w), 2, axis=-1)
    return ((1 - gate(z)) * h + gate(z) * candidate(n),)


def minlstm_step(
    x: Array, state: State, w: CellWeights, *, gate: Activation = SIGMOID, candidate: Activation = POSITIVE
) -> State:
    """minLSTM (Feng et al. 2024, appendix B): i, f = sigma(W x + b) each; g = g(W x + b); h' = (f h + i g) / (f + i).

    There are no recurrent weights, and no cell beside the output.
    """
    (h,) = state
    i, f, g = np.split(_of_input(x, w), 3, axis=-1)
    return ((gate(f) * h + gate(i) * candidate(g)) / (gate(f) + gate(i)),)


STEPS: dict[str, Step] = {
    "rnn": elman_step,
    "rnn-relu": partial(elman_step, activation=RELU),
    "lstm": lstm_step,
    "lstm-peephole": lstm_peephole_step,
    "lstm-mogrifier": lstm_mogrifier_step,
    "gru": gru_step,
    "gru-reset-before": gru_reset_before_step,
    "mingru": mingru_step,
    "minlstm": minlstm_step,
}
"""The step of each cell, by its name in ``textseq.nn.cell_registry.CELLS``."""


def over_time(step: Step, x: Array, state: State, w: CellWeights) -> tuple[Array, State]:
    """Step after step: inputs (T, ..., E) and the state before -> outputs (T, ..., H) and the state after."""
    outputs = []
    for x_t in x:
        state = step(x_t, state, w)
        outputs.append(state[0])
    return np.stack(outputs), state


# Attention, and the decoder's step with it


class AttentionWeights(NamedTuple):
    """The weights of additive attention, a network of width A."""

    W_a: Array
    """From the decoder's state, (A, H)."""
    U_a: Array
    """From the encoder's outputs, (A, C)."""
    v_a: Array
    """To the score, (A,)."""
    b_a: Array
    """A bias, (A,); the paper omits all biases to be readable."""


def additive_attention(
    s: Array, h: Array, w: AttentionWeights, *, activation: Activation = TANH
) -> tuple[Array, Array]:
    """The context and the weights of attention (Bahdanau et al. 2015, equations 5 and 6, and appendix A.1.2).

    e_j = v_a tanh(W_a s + U_a h_j + b_a); alpha = softmax(e); c = sum of alpha_j h_j over all j.

    From the decoder's state s (..., H) before the step, and the encoder's outputs h (..., S, C), to the context c
    (..., C) and the weights alpha (..., S).
    """
    e = activation((s @ w.W_a.T)[..., None, :] + h @ w.U_a.T + w.b_a) @ w.v_a
    alpha = softmax(e)
    context: Array = (alpha[..., None] * h).sum(axis=-2)
    return context, alpha


def attention_gru_step(
    y: Array, state: State, h: Array, w: CellWeights, attention: AttentionWeights, *, step: Step = gru_step
) -> tuple[State, Array, Array]:
    """One step of a decoder that attends to the source first (Bahdanau et al. 2015, appendix A.2.2).

    c = the context for s; z, r = sigma(W y + U s + C c) each; n = tanh(W y + r (U s) + C c);
    s' = (1 - z) n + z s.

    The word's vector y and the context c enter the cell side by side: W and C of the paper are columns of
    ``w.weight_ih``, (3H, E+C). As in ``gru_step``, z keeps the OLD state, unlike there, and r comes after the product;
    with ``step=gru_reset_before_step`` it comes before, as there.

    Args:
        y: the vector of the word before, (..., E).
        state: of the decoder, (..., H); its first tensor is s.
        h: the encoder's outputs, (..., S, C).
        w, attention: weights of the cell and of the attention.
        step: any cell.

    Returns:
        The state after the step, the context (..., C), and the attention's weights (..., S).
    """
    context, alpha = additive_attention(state[0], h, attention)
    return step(np.concatenate([y, context], axis=-1), state, w), context, alpha


def _of_input(x: Array, w: CellWeights) -> Array:
    """W x + b_ih: (..., E) -> (..., G*H)."""
    share: Array = x @ w.weight_ih.T + w.bias_ih
    return share


def _of_state(h: Array, w: CellWeights) -> Array:
    """U h + b_hh: (..., H) -> (..., G*H)."""
    share: Array = h @ w.weight_hh.T + w.bias_hh
    return share
