# %% [markdown]
# # Binary addition
#
# Two numbers of eight bits come in bit by bit, one bit of each number at a time, and out comes their sum. Whoever adds
# on paper begins at the right and keeps a carry in mind. A recurrent network has one place for that: its state.

# %%
import os

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from textseq import TrainingConfig, nn, training

SHORT = "TEXTSEQ_SHORT" in os.environ  # for the tests, a few seconds
BITS, N, STEPS = 8, 64, 300 if SHORT else 3000


def bits(numbers: Tensor) -> Tensor:
    return (numbers.unsqueeze(1) >> torch.arange(BITS) & 1).float()  # (N, 8), the lowest bit first


def task(a: Tensor, b: Tensor, *, lowest_first: bool) -> tuple[Tensor, Tensor]:
    x, y = torch.stack([bits(a), bits(b)], dim=2), bits(a + b)  # (N, 8, 2), (N, 8)
    return (x, y) if lowest_first else (x.flip(1), y.flip(1))


class Adder(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.Recurrent("rnn", input_size=2, hidden_size=16)
        self.output = torch.nn.Linear(16, 1)

    def forward(self, x: Tensor) -> Tensor:
        h, _ = self.rnn(x)  # (N, 8, 16)
        y: Tensor = torch.sigmoid(self.output(h)).squeeze(2)
        return y

    def loss(self, batch: tuple[Tensor, Tensor], state: None) -> Tensor:
        x, y = batch
        error: Tensor = (self(x) - y).square().mean()
        return error


# %% [markdown]
# ## Training
#
# An Elman network of 16 units, squared error on each bit. The same network learns both tasks, once with the lowest bit
# first and once with the highest first. Afterwards all 16,384 sums of two numbers below 128 are added: each bit counts,
# and a sum is right when all its bits are.

# %%
a, b = (numbers.flatten() for numbers in torch.meshgrid(torch.arange(128), torch.arange(128), indexing="ij"))
adders, correct = {}, {}
for order in ("lowest bit first", "highest bit first"):
    torch.manual_seed(1)
    lowest_first = order == "lowest bit first"
    batches = [task(*torch.randint(128, (2, N)), lowest_first=lowest_first) for _ in range(STEPS)]
    adders[order] = Adder()
    config = TrainingConfig(max_steps=STEPS, learning_rate=0.03)
    training.Trainer(adders[order], batches, config, report=lambda line: None).fit(show_progress=False)
    x, y = task(a, b, lowest_first=lowest_first)
    with torch.no_grad():
        right = (adders[order](x) > 0.5) == (y > 0.5)  # (16384, 8)
    correct[order] = right if lowest_first else right.flip(1)
    print(f"{order}: {right.float().mean():.1%} of the bits, {right.all(dim=1).float().mean():.1%} of the sums")

# %% [markdown]
# ## Why the other order fails
#
# The highest bit of the sum depends on every bit below it: 0111 + 0001 is 1000. Read from the highest bit, the network
# must say a bit before it has seen whether a carry comes from below: what is not in the input yet cannot be in the
# state. The best that it can do is to guess that none comes. Into the lowest place none ever comes; into place $k$ one
# comes with a probability of $1/2 - 2^{-(k+1)}$, so that at most $1/2 + 2^{-(k+1)}$ of the bits are right: 100%, 75%,
# 62.5%, and in the highest place hardly more than half. The network reaches this bound, and more training cannot help.
# A whole sum is right when no place has a carry: $(3/4)^7$ or 13.3% of them.

# %%
for order, right in correct.items():
    plt.plot(range(BITS), right.float().mean(dim=0), "o-", label=order)
bound = 0.5 + 0.5 ** torch.arange(1, BITS + 1)
plt.plot(range(BITS), bound, "k--", label="highest bit first, at best")
plt.xlabel("place of the bit (0 is the lowest)")
plt.ylabel("share that is right")
plt.ylim(0, 1.05)
plt.legend()
plt.title("Sums of two numbers, bit by bit")
plt.show()

# %% [markdown]
# ## Where is the carry?
#
# In the state, and nobody said so. For each unit: how far does its activation go along with the carry into the next
# place?

# %%
lowest = 2 ** torch.arange(1, BITS + 1)
carry = ((a.unsqueeze(1) % lowest + b.unsqueeze(1) % lowest) >= lowest).float()  # (16384, 8), out of each place
with torch.no_grad():
    h, _ = adders["lowest bit first"].rnn(task(a, b, lowest_first=True)[0])
correlations = torch.corrcoef(torch.cat([carry.flatten()[None], h.flatten(0, 1).T]))[0, 1:]
best = int(correlations.abs().argmax())
print(f"unit {best} of {len(correlations)} follows the carry with a correlation of {correlations[best]:.2f}")
