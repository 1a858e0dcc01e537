"""A character network from nothing but NumPy: forwards, backwards through time, and a step of Adagrad.

python examples/min_char_rnn.py [my_text.txt]

The network, its gradient and the optimizer are in ``textseq/reference.py``, to be read beside this.
"""

import sys
from pathlib import Path

import numpy as np

from textseq.nn.reference import Elman, adagrad, clip_by_value, cross_entropy, elman_backward, elman_forward, softmax

SENTENCE = "the quick brown fox jumps over the lazy dog. "
HIDDEN, WINDOW, STEPS, LEARNING_RATE, LIMIT = 64, 25, 1500, 0.1, 5.0

text = Path(sys.argv[1]).read_text(encoding="utf-8") if len(sys.argv) > 1 else SENTENCE * 20
characters = sorted(set(text))
V = len(characters)
ids = np.array([characters.index(character) for character in text])
if len(ids) <= WINDOW:
    sys.exit(f"wanted a text of more than {WINDOW} characters, found {len(ids)}")
one_hot = np.eye(V)  # row i is the input vector of character i

rng = np.random.default_rng(1)
weights = Elman(
    W_xh=rng.normal(scale=0.1, size=(HIDDEN, V)),
    W_hh=rng.normal(scale=0.1, size=(HIDDEN, HIDDEN)),
    W_hy=rng.normal(scale=0.1, size=(V, HIDDEN)),
    b_h=np.zeros(HIDDEN),
    b_y=np.zeros(V),
)
memory = Elman(*(np.zeros_like(weight) for weight in weights))


def sample(length: int) -> str:
    """Write: each character drawn is the next input, and the state goes on."""
    h, token = np.zeros(HIDDEN), int(ids[0])
    written = characters[token]
    for _ in range(length):
        trace = elman_forward(weights, one_hot[[token]], h)
        h, token = trace.h[-1], int(rng.choice(V, p=softmax(trace.logits[0])))
        written += characters[token]
    return written


h = np.zeros(HIDDEN)
position = 0
average = np.log(V)  # nats per character of one who knows nothing
for step in range(STEPS + 1):
    if position + WINDOW + 1 > len(ids):
        position, h = 0, np.zeros(HIDDEN)
    inputs, targets = ids[position : position + WINDOW], ids[position + 1 : position + WINDOW + 1]
    trace = elman_forward(weights, one_hot[inputs], h)
    nats, d_logits = cross_entropy(trace.logits, targets)
    average = 0.99 * average + 0.01 * nats / WINDOW
    if step % 500 == 0:
        print(f"step {step}: {average:.3f} nats per character: {sample(60)!r}")
    gradients, _, _ = elman_backward(weights, one_hot[inputs], trace, d_logits)
    adagrad(weights, clip_by_value(gradients, LIMIT), memory, LEARNING_RATE)
    # Truncated back-propagation: the state goes on into the next window, the gradient does not come back from it.
    h = trace.h[-1]
    position += WINDOW
