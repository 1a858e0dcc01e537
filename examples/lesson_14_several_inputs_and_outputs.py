# %% [markdown]
# # Several inputs, several outputs
#
# Adverts of flats, generated: a text, and two numbers, the area and the floor. Wanted are two things: the rent, a
# value, and for whom the flat is, a label. One network reads both inputs and gives both outputs; the trainer needs
# nothing but the sum of the losses.
#
# Both outputs need both inputs: a word changes the rent of a square metre, and "no lift" matters from the third floor
# up.

# %%
import math
import os
import random

import matplotlib.pyplot as plt
import torch

from textseq import TrainingConfig, nn, training

Batch = tuple[torch.Tensor, ...]
SHORT = "TEXTSEQ_SHORT" in os.environ  # for the tests, a few seconds
WHERE = {
    "by the lake": 24,
    "in the old town": 20,
    "near the university": 16,
    "next to the station": 12,
    "in the suburbs": 10,
}
EXTRAS = {"with a balcony": 1.1, "freshly renovated": 1.2, "a little dark": 0.9, "no lift": 1.0, "quiet": 1.05}
LABELS = ("family", "student", "anyone")
rng = random.Random(1)


def advert() -> tuple[str, tuple[float, float], int, float]:
    """Text, area and floor, label, and rent in hundreds."""
    where, extras = rng.choice([*WHERE]), rng.sample([*EXTRAS], rng.randint(0, 3))
    area, floor = rng.uniform(20, 120), rng.randint(0, 6)
    climb = "no lift" in extras and floor >= 3
    rent = area * WHERE[where] * math.prod(EXTRAS[extra] for extra in extras) * (0.8 if climb else 1)
    label = 0 if area > 70 and not climb else 1 if area < 45 and WHERE[where] < 20 else 2
    parts = ["flat " + where, *extras]
    rng.shuffle(parts)
    return " , ".join(parts), (area / 50 - 1.4, floor / 3 - 1), label, rent / 100


vocabulary = ["<pad>", *sorted({",", "flat", *" ".join([*WHERE, *EXTRAS]).split()})]


def make_batch(rows: int, known: float = 1.0) -> Batch:
    """Each output is known for this share of the rows; -1 and "not a number" stand for the others."""
    texts, numbers, labels, rents = zip(*(advert() for _ in range(rows)), strict=True)
    ids = [torch.tensor([vocabulary.index(word) for word in text.split()]) for text in texts]
    known_labels = [label if rng.random() < known else -1 for label in labels]
    known_rents = [rent if rng.random() < known else math.nan for rent in rents]
    padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)
    lengths = torch.tensor([*map(len, ids)])
    return padded, lengths, torch.tensor(numbers), torch.tensor(known_labels), torch.tensor(known_rents)


# %% [markdown]
# ## The network
#
# The text becomes a vector by a recurrent net and pooling, the numbers by a linear layer; a common layer sees both. The
# loss leaves out what is not known: `ignore_index` for the label, a mask for the rent.


# %%
class Advert(torch.nn.Module):
    def __init__(self, text: bool = True, numbers: bool = True) -> None:
        super().__init__()
        self.embedding, self.rnn = nn.Embedding(len(vocabulary), 16), nn.Recurrent("gru", 16, 32)
        self.pooling, self.linear = nn.Pooling("max", 32), torch.nn.Linear(2, 32)
        self.both = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU())
        self.label, self.rent = torch.nn.Linear(128, len(LABELS)), torch.nn.Linear(128, 1)
        self.uses = text, numbers

    def forward(self, ids: torch.Tensor, lengths: torch.Tensor, numbers: torch.Tensor) -> Batch:
        outputs, state = self.rnn(self.embedding(ids), lengths=lengths)
        text, numbers = self.pooling(outputs, state, lengths), self.linear(numbers)
        hidden = self.both(torch.cat([text * self.uses[0], numbers * self.uses[1]], 1))
        return self.label(hidden), self.rent(hidden).squeeze(1)  # (N, labels), (N,)

    def loss(self, batch: Batch, state: None) -> torch.Tensor:
        *inputs, labels, rents = batch
        logits, predicted = self(*inputs)
        known = ~rents.isnan()
        error: torch.Tensor = (predicted - rents)[known].abs().mean()
        return error + torch.nn.functional.cross_entropy(logits, labels, ignore_index=-1)


def fit(model: Advert, batches: list[Batch]) -> tuple[float, float]:
    """Train; return the share of correct labels and the mean error of the rent in the test."""
    config = TrainingConfig(max_steps=len(batches), learning_rate=1e-2)
    training.Trainer(model, batches, config).fit()
    *inputs, labels, rents = test
    with torch.no_grad():
        logits, predicted = model(*inputs)
    return float((logits.argmax(1) == labels).float().mean()), float(100 * (predicted - rents).abs().mean())


test, steps = make_batch(1000), 30 if SHORT else 500
complete = [make_batch(32) for _ in range(steps)]
results = {}
for inputs, uses in {"text": (True, False), "numbers": (False, True), "both": (True, True)}.items():
    results[inputs] = accuracy, error = fit(Advert(*uses), complete)
    print(f"{inputs:8} label {accuracy:.0%} right, rent wrong by {error:.0f} on average")

# %% [markdown]
# ## A loss on chosen outputs only
#
# Now every second label and every second rent is missing. With the mask the network learns from the half that is known.
# What happens if zeros stand where nothing is known?

# %%
half = [make_batch(32, known=0.5) for _ in range(steps)]
filled = [(*inputs, labels.clamp(min=0), rents.nan_to_num(0)) for *inputs, labels, rents in half]
for name, batches in (("masked", half), ("zeros", filled)):
    results[name] = fit(Advert(), batches)
    print(f"{name:8} label {results[name][0]:.0%} right, rent wrong by {results[name][1]:.0f} on average")

# %%
accuracies, errors = zip(*results.values(), strict=True)
figure, (left, right) = plt.subplots(1, 2)
left.bar_label(left.bar([*results], accuracies), fmt="{:.0%}")
left.set(title="Labels right", ylim=(0, 1.1))
right.bar_label(right.bar([*results], errors), fmt="{:.0f}")
right.set(title="Mean error of the rent")
plt.show()
