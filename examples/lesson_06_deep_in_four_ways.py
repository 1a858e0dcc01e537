# %% [markdown]
# # Deep in four ways
#
# A recurrent network is deep in time by itself. Within a step it can be made deep in four places (Pascanu et al. 2014,
# "How to construct deep recurrent neural networks", section 3): a network before the state, one after it, one in place
# of its tanh (a *deep transition*), or one recurrent layer above another.

# %%
import math
import os
import random
from typing import Any

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from textseq import PairData, TrainingConfig, nn, training

SHORT = "TEXTSEQ_SHORT" in os.environ  # for the tests, a few seconds
State = tuple[Tensor, ...]
H, N, T, STEPS = 64, 16, 32, 5 if SHORT else 200

sentences = sorted({english for english, _ in PairData(corpus="phrases-en-fr").open().pairs("train")})
random.Random(1).shuffle(sentences)
text = "\n".join(sentences)
letters = ["_", *sorted(set(text))]
ids = torch.tensor([letters.index(letter) for letter in text[: len(text) // N * N]]).view(N, -1)  # N streams
windows = [(ids[:, t : t + T], ids[:, t + 1 : t + T + 1]) for t in range(0, STEPS * T, T)]

# %% [markdown]
# ## The model
#
# The network in place of the tanh is a cell of its own, with one more matrix: $h' = \tanh(V \tanh(W x + U h + b))$.


# %%
@nn.register_cell("deep-transition", gates="h", extra_weights={"V": ("H", "H")}, bounded=True)
def deep_transition(x_gates: Tensor, state: State, weights: nn.Weights) -> State:
    (h,) = state
    return (torch.tanh(torch.tanh(x_gates + weights.product(h)) @ weights.extra["V"].T),)


class CharRNN(torch.nn.Module):
    def __init__(
        self, cell: str = "rnn", hidden_size: int = H, num_layers: int = 1, *, residual: bool = False,
        bidirectional: bool = False, before: bool = False, after: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.embedding = torch.nn.Embedding(len(letters), H)
        self.before, self.after = (
            torch.nn.Sequential(torch.nn.Linear(H, H), torch.nn.Tanh()) if deep else torch.nn.Identity()
            for deep in (before, after)
        )
        self.rnn = nn.Recurrent(cell, H, hidden_size, num_layers, residual=residual, bidirectional=bidirectional)
        self.output = torch.nn.Linear(H, len(letters))

    def forward(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        h, state = self.rnn(self.before(self.embedding(ids)), state)
        return self.output(self.after(h)), state

    def loss(self, batch: tuple[Tensor, Tensor], state: State | None) -> nn.Loss:
        inputs, targets = batch
        logits, state = self(inputs, state)
        nats = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
        return nn.Loss(nats, targets.numel(), state)


def train(model: CharRNN, batches: list[tuple[Tensor, Tensor]]) -> list[float]:
    """Train, and return the bits per character of each step, all of text not read before."""
    bits = []

    def record(event: training.Event) -> None:
        if event.kind == "step":
            bits.append(event.loss / math.log(2))

    config = TrainingConfig(max_steps=len(batches), learning_rate=0.005)
    training.Trainer(model, batches, config, callbacks=[record], report=lambda line: None).fit(show_progress=False)
    return bits


# %% [markdown]
# ## Which depth helps?
#
# All read the same 100,000 letters once, and after so little the four ways differ by little. More layers are more to
# train: four learn more slowly than one, until a residual connection around each of them but the first gives the
# gradient a short way down. Then they are the best by far.

# %%
makers: dict[str, dict[str, Any]] = {
    "shallow": {},
    "a network before the state": {"before": True},
    "a network after the state": {"after": True},
    "in place of its tanh": {"cell": "deep-transition"},
    "two layers": {"num_layers": 2},
    "four layers": {"num_layers": 4},
    "four layers, residual": {"num_layers": 4, "residual": True},
}
bits = {}
for name, options in makers.items():
    torch.manual_seed(1)
    model = CharRNN(**options)
    curve = train(model, windows)
    bits[name] = sum(curve[-20:]) / len(curve[-20:])
    size = sum(weight.numel() for weight in model.parameters())
    print(f"{name:>26}: {size:6,} weights, {bits[name]:.2f} bits per character")
    plt.plot(torch.tensor(curve).unfold(0, min(20, STEPS), 1).mean(dim=1), label=name)
plt.xlabel("step")
plt.ylabel("bits per character")
plt.legend(fontsize="small")
plt.title("Deep in several ways, mean of 20 steps")
plt.show()

# %% [markdown]
# ## From both sides
#
# A bidirectional network reads the text from its end, too. So it cannot write, for it would see what it is to say. But
# it can mend: a fifth of the letters is blotted out, and it says what stood there. (Each window is a text by itself;
# both networks have 64 units in all.)


# %%
class Mender(CharRNN):
    def loss(self, batch: tuple[Tensor, Tensor], state: State | None) -> nn.Loss:
        blotted, whole = batch
        at = blotted == letters.index("_")
        logits, _ = self(blotted)
        return nn.Loss(torch.nn.functional.cross_entropy(logits[at], whole[at], reduction="sum"), int(at.sum()), ())


torch.manual_seed(1)
pages = [(inputs.where(torch.rand(N, T) > 0.2, letters.index("_")), inputs) for inputs, _ in windows]
mended = {}
for name, both in {"from the left": False, "from both sides": True}.items():
    torch.manual_seed(1)
    curve = train(Mender("gru", hidden_size=H // (1 + both), bidirectional=both), pages)
    mended[name] = sum(curve[-20:]) / len(curve[-20:])
    print(f"{name}: {mended[name]:.2f} bits for a blotted letter")
