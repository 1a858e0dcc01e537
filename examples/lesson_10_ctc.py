# %% [markdown]
# # CTC: labels without an alignment
#
# A reader sees 40 columns of pixels and writes 4 digits. Nobody says which column belongs to which digit.
# Connectionist temporal classification (Graves et al. 2006, section 3) lets the network give every frame a label or a
# blank "-". Then equal neighbors are merged and the blanks dropped: `cca-at` is `caat`, but `cc-aat` is `cat`. Such a
# row of frames is an alignment; the probability of `cat` is the sum over all its alignments.

# %%
import os
from itertools import accumulate, groupby, pairwise, product

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from torch.nn.functional import ctc_loss, one_hot
from torch.nn.utils.rnn import pad_sequence

from textseq import TaggedData, TrainingConfig, decoding, nn, training

Tensors = tuple[torch.Tensor, ...]
SHORT = "TEXTSEQ_SHORT" in os.environ  # for the tests, a few seconds


def alignments(word: str, frames: int) -> list[str]:
    paths = map("".join, product("-" + "".join(dict.fromkeys(word)), repeat=frames))
    return [path for path in paths if "".join(label for label, _ in groupby(path) if label != "-") == word]


ways = {"cat": alignments("cat", 4), "hello": alignments("hello", 7)}
figure, axes = plt.subplots(1, 2, figsize=(8, 4), width_ratios=(4, 7))
for axis, (word, paths) in zip(axes, ways.items(), strict=True):
    for path in paths:
        begins = [label not in ("-", before) for before, label in pairwise("-" + path)]
        rows = [2 * n - (label != "-") for n, label in zip(accumulate(begins), path, strict=True)]
        axis.plot(range(1, len(path) + 1), rows, "o-", color="C0", alpha=0.4, markersize=9)
    axis.set(title=f"{word}: {len(paths)} alignments", xlabel="frame", xticks=range(1, len(paths[0]) + 1))
    axis.set_yticks(range(2 * len(word) + 1), ["-", *"-".join(word), "-"])
    axis.invert_yaxis()
plt.show()

# %% [markdown]
# Each alignment is a way through a grid: it stays in its row, goes to the next, or skips a blank; not the blank between
# two equal letters, for `ll` would become `l`. The forward recursion goes through the grid once, however many ways
# there are, and keeps a sum for each row (section 4.1 there). With ones for the probabilities it counts them.


# %%
def forward(word: str, p: np.ndarray, labels: str) -> float:
    rows = ["-", *"-".join(word), "-"]
    may_skip = [label not in ("-", rows[n - 2]) for n, label in enumerate(rows)]
    total = np.eye(len(rows))[0]  # before the first frame
    for frame in p:
        total = total + np.append(0, total[:-1]) + np.append([0, 0], total[:-2]) * may_skip
        total *= [frame[labels.index(label)] for label in rows]
    return float(total[-2:].sum())


for word, frames in (("cat", 4), ("hello", 7), ("hello", 40)):
    labels = "-" + "".join(dict.fromkeys(word))
    print(f"{word} in {frames} frames: {forward(word, np.ones((frames, len(labels))), labels):,.0f} alignments")

# %% [markdown]
# ## A line of digits
#
# Images of scikit-learn's `digits` stand in a row with random gaps. The network reads column by column, 8 pixels each,
# in both directions. The test uses images that the training does not have; the picture shows one of its lines. Each
# digit is a peak of one to three columns, and the rest is blank: so `6 6` is not one 6.


# %%
class Reader(torch.nn.Module):
    def __init__(self, size: int, labels: int) -> None:
        super().__init__()
        self.rnn = nn.Recurrent("gru", size, 64, bidirectional=True)
        self.output = torch.nn.Linear(128, labels + 1)  # label 0 is the blank

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return torch.log_softmax(self.output(self.rnn(x, lengths=lengths)[0]), 2)  # (N, T, labels + 1)

    def loss(self, batch: Tensors, state: None) -> torch.Tensor:
        x, labels, lengths, counts = batch
        return ctc_loss(self(x, lengths).transpose(0, 1), labels, lengths, counts, zero_infinity=True)

    @torch.no_grad()
    def read(self, x: torch.Tensor) -> tuple[int, ...]:
        return decoding.ctc_greedy(self(x[None], torch.tensor([len(x)]))[0].numpy())


def train(model: Reader, rows: list[Tensors]) -> None:
    batches = []
    for n in range(0, len(rows), 32):
        pair = [[*column] for column in zip(*rows[n : n + 32], strict=True)]
        lengths = [torch.tensor([len(part) for part in column]) for column in pair]
        batches.append((*(pad_sequence(column, batch_first=True) for column in pair), *lengths))
    training.Trainer(model, batches, TrainingConfig(max_steps=len(batches), learning_rate=1e-2)).fit()


def line(numbers: np.ndarray) -> Tensors:
    chosen = rng.choice(numbers, size=rng.integers(3, 7))
    parts = [np.pad(images[n], ((0, int(rng.integers(4))), (0, 0))) for n in chosen]
    return torch.from_numpy(np.concatenate(parts)), torch.from_numpy(digits[chosen] + 1)


pixels, digits = load_digits(return_X_y=True)
images = pixels.reshape(-1, 8, 8).transpose(0, 2, 1).astype(np.float32) / 16  # (image, column, pixel)
rng, reader = np.random.default_rng(1), Reader(8, labels=10)
known, unknown = np.split(rng.permutation(len(images)), [1400])
train(reader, [line(known) for _ in range(1000 if SHORT else 12_800)])
test = [line(unknown) for _ in range(300)]
right = [reader.read(x) == (*written.tolist(),) for x, written in test]
print(f"lines of 3 to 6 digits without a mistake: {np.mean(right):.0%}")

# %%
x, written = next(row for row in test if len(row[1]) == 5 and len({*row[1].tolist()}) < 5)
p = reader(x[None], torch.tensor([len(x)]))[0].exp().detach().numpy()
figure, (top, bottom) = plt.subplots(2, 1, figsize=(8, 3.8), sharex=True)
top.imshow(x.T.numpy(), cmap="gray_r", aspect="auto")
top.set(title="Read as " + " ".join(str(label - 1) for label in reader.read(x)), yticks=[])
for label in sorted({0, *written.tolist()}):
    bottom.plot(p[:, label], label=str(label - 1) if label else "blank", color=None if label else "0.8")
bottom.set(xlabel="column", ylabel="probability")
bottom.legend(loc="upper left", bbox_to_anchor=(1, 1.05))
plt.show()

# %% [markdown]
# ## Letters to sounds
#
# The same network pronounces words of the CMU dictionary: three frames for each letter, 39 sounds as labels. After a
# small part of the words it knows the consonants and `tion`, and guesses at the vowels. `textseq-train` with
# `--recipe cmudict` trains a larger one for 40 minutes, which has three of four new words right.

# %%
dictionary = TaggedData(corpus="cmudict").open(download=not SHORT)
entries = [*dictionary.sentences("train")]
letters, sounds = sorted({letter for spelling, _ in entries for letter in spelling}), ["", *dictionary.labels]


def entry(spelling: str | tuple[str, ...], said: tuple[str, ...]) -> Tensors:
    x = one_hot(torch.tensor([letters.index(letter) for letter in spelling]), len(letters)).float()
    return x.repeat_interleave(3, 0), torch.tensor([sounds.index(sound) for sound in said])


speaker = Reader(len(letters), labels=len(sounds) - 1)
train(speaker, [entry(*entries[rng.integers(len(entries))]) for _ in range(640 if SHORT else 12_800)])
for word in ("night", "nation", "phonetic", "borogove"):
    print(f"{word:10}", *(sounds[label] for label in speaker.read(entry(word, ())[0])))
