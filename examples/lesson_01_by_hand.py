# %% [markdown]
# # A recurrent net by hand
#
# A recurrent network reads a sequence step by step. At each step it mixes the input with its state, which is all that
# it remembers. Everything here is NumPy: `textseq.nn.reference` has each network of this package in a few lines of it.
#
# ## Two steps with pencil and paper
#
# The state is $s_t = W x_t + U s_{t-1}$ and the output $a_t = \mathrm{softmax}(V s_t)$, without biases or squashing.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

from textseq import PairData
from textseq.nn import reference
from textseq.nn.reference import IDENTITY, Elman, cross_entropy, softmax

SHORT = "TEXTSEQ_SHORT" in os.environ  # for the tests, a few seconds

W = np.array([[0.9, 0.2], [0.4, 0.6]])
U = np.array([[0.5, 0.8], [0.4, 0.2]])
V = np.array([[0.3, 0.8], [0.9, 0.4]])
two_steps = reference.elman_forward(
    Elman(W, U, V, np.zeros(2), np.zeros(2)), np.array([[1, 2], [2, 1]]), np.zeros(2), IDENTITY
)
a_2 = softmax(two_steps.logits[1])
print("s1 =", two_steps.h[1], " s2 =", two_steps.h[2], " a2 =", a_2.round(5))

# %% [markdown]
# ## Gates without squashing
#
# An LSTM multiplies where the network above only adds. Take all activations away, $i = f = g = x + s$, and the new
# state is $s' = f s + i g$: two steps, and it explodes. The squashing of $i$ and $f$ to between 0 and 1 is what makes
# them gates.

# %%
units, output_gate_open = np.vstack([np.eye(2)] * 3 + [np.zeros((2, 2))]), np.repeat([0, 0, 0, 1], 2)
gates = reference.CellWeights(units, units, output_gate_open, np.zeros(8))
state: reference.State = (np.zeros(2), np.zeros(2))
explosion = []
for x in ([4, 6], [9, 7]):
    state = reference.lstm_step(np.array(x), state, gates, gate=IDENTITY, candidate=IDENTITY, output=IDENTITY)
    explosion.append(state[1])
print("s1 =", explosion[0], " s2 =", explosion[1])

# %% [markdown]
# ## Back-propagation through time
#
# The gradient runs through the same steps backwards and adds up what each step did with the shared weights. Is it
# right? Move one weight a little, compute the loss twice, divide: that needs no theory, and must agree.

# %%
rng = np.random.default_rng(1)
small = Elman(*(rng.normal(scale=0.5, size=shape) for shape in ((4, 3), (4, 4), (5, 4), 4, 5)))
inputs, targets = rng.normal(size=(6, 3)), rng.integers(5, size=6)
trace = reference.elman_forward(small, inputs, np.zeros(4))
gradient, _, _ = reference.elman_backward(small, inputs, trace, cross_entropy(trace.logits, targets)[1])


def loss_with(row: int, column: int, change: float) -> float:
    W_hh = small.W_hh.copy()
    W_hh[row, column] += change
    return cross_entropy(reference.elman_forward(small._replace(W_hh=W_hh), inputs, np.zeros(4)).logits, targets)[0]


differences = [[(loss_with(i, j, 1e-5) - loss_with(i, j, -1e-5)) / 2e-5 for j in range(4)] for i in range(4)]
error = np.abs(differences - gradient.W_hh).max()
print(f"largest difference between the two gradients of U: {error:.0e}")

# %% [markdown]
# ## min-char-rnn
#
# Karpathy's program of 2015, on the English side of the phrase book that comes with the package. It predicts the next
# character, reads 25 at a time, clips each entry of the gradient to $\pm 5$ and learns with Adagrad. The state goes on
# from one window to the next; the gradient does not go back: truncated back-propagation. Samples start from the state
# of the text just read, as in the original. 15,000 steps read most of the book once.

# %%
H, T, STEPS = 100, 25, 500 if SHORT else 15_000
sentences = sorted({english for english, _ in PairData(corpus="phrases-en-fr").open().pairs("train")})
text = "\n".join(rng.permutation(sentences))
characters = sorted(set(text))
ids, one_hot = np.array([characters.index(character) for character in text]), np.eye(len(characters))
shapes = ((H, len(characters)), (H, H), (len(characters), H))
W_xh, W_hh, W_hy = (rng.normal(scale=0.01, size=shape) for shape in shapes)
weights = Elman(W_xh, W_hh, W_hy, np.zeros(H), np.zeros(len(characters)))
memory = Elman(*map(np.zeros_like, weights))


def sample(h: np.ndarray, token: int, length: int) -> str:
    written = ""
    for _ in range(length):
        trace = reference.elman_forward(weights, one_hot[[token]], h)
        h, token = trace.h[1], int(rng.choice(len(characters), p=softmax(trace.logits[0])))
        written += characters[token]
    return written


h, position, losses = np.zeros(H), 0, []
for step in range(STEPS + 1):
    if position + T >= len(ids):
        h, position = np.zeros(H), 0
    inputs, targets = one_hot[ids[position : position + T]], ids[position + 1 : position + T + 1]
    trace = reference.elman_forward(weights, inputs, h)
    loss, d_logits = cross_entropy(trace.logits, targets)
    losses.append(loss / T / np.log(2))
    if step in (0, STEPS // 10, STEPS):
        print(f"--- after {step:,} steps: {np.mean(losses[-500:]):.2f} bits per character")
        print(sample(h, ids[position], 120))
    gradient, _, _ = reference.elman_backward(weights, inputs, trace, d_logits)
    reference.adagrad(weights, reference.clip_by_value(gradient, 5), memory, 0.1)
    h, position = trace.h[-1], position + T

# %%
plt.plot(np.convolve(losses, np.ones(500) / 500, "valid"))
plt.xlabel("step")
plt.ylabel("bits per character")
plt.title("min-char-rnn on the phrase book, mean of 500 steps")
plt.show()
