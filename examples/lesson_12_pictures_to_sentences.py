# %% [markdown]
# # From a picture to a sentence
#
# The encoder need not read text. Here convolutions see a picture with digits, and a recurrent decoder says what they
# are, word by word: from one vector (Vinyals et al. 2015), or with attention over the grid of the picture (*Show,
# attend and tell*, Xu et al. 2015). To the decoder, a grid of 3 x 9 places is a memory like any source sentence.

# %%
import os
from typing import Literal

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits

from textseq import GenerationConfig, TrainingConfig, decoding, nn, training

Tensors = tuple[torch.Tensor, ...]
SHORT = "TEXTSEQ_SHORT" in os.environ  # for the tests, a few seconds
WORDS = ["<end>", "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
ROWS, COLUMNS, MOST, H = 3, 9, 3, 64  # the grid, each place 4 x 4 pixels; digits of a picture; hidden size
pixels, labels = load_digits(return_X_y=True)
images = pixels.reshape(-1, 8, 8).astype(np.float32) / 16
rng, _ = np.random.default_rng(1), torch.manual_seed(1)
known, unknown = np.split(rng.permutation(len(images)), [1400])


def examples(numbers: np.ndarray, count: int) -> Tensors:
    """Pictures (N, 1, 12, 36) with one to three digits, and their captions (N, 4); -1 is after the end."""
    pictures, captions = np.zeros((count, 1, 4 * ROWS, 4 * COLUMNS), np.float32), np.full((count, MOST + 1), -1)
    for picture, caption in zip(pictures[:, 0], captions, strict=True):
        chosen = rng.choice(numbers, size=rng.integers(1, MOST + 1))
        for place, n in zip(np.sort(rng.choice(MOST, len(chosen), replace=False)), chosen, strict=True):
            top, left = rng.integers(5), 12 * place + rng.integers(5)
            picture[top : top + 8, left : left + 8] = images[n]
        caption[: len(chosen) + 1] = [*labels[chosen] + 1, 0]
    return torch.from_numpy(pictures), torch.from_numpy(captions)


# %% [markdown]
# ## The network
#
# Every place of the grid is a vector, to which a learned vector of the place is added. `nn.AttentionDecoder` looks
# before it speaks: the state before a word decides where. With `attention="none"` it gets the `summary` of the memory
# at every step instead.


# %%
class Captioner(torch.nn.Module):
    def __init__(self, attention: Literal["none", "additive"]) -> None:
        super().__init__()
        self.see = torch.nn.Sequential(
            torch.nn.Conv2d(1, 16, 3, padding=1), torch.nn.BatchNorm2d(16), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
            torch.nn.Conv2d(16, H, 3, padding=1), torch.nn.BatchNorm2d(H), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        )  # fmt: skip
        self.places = torch.nn.Parameter(torch.randn(ROWS * COLUMNS, H) / 2)
        self.summary = torch.nn.Linear(H * ROWS * COLUMNS, H)
        self.embedding = nn.Embedding(len(WORDS), 16)
        self.decoder = nn.AttentionDecoder("gru", attention, 16, value_size=H, hidden_size=H, attention_size=H)
        self.output = torch.nn.Linear(H + H, len(WORDS))

    def memory(self, pictures: torch.Tensor) -> nn.Memory:
        grid = self.see(pictures)  # (N, H, ROWS, COLUMNS)
        return nn.Memory(grid.flatten(2).transpose(1, 2) + self.places, summary=self.summary(grid.flatten(1)).tanh())

    def forward(
        self, memory: nn.Memory, before: torch.Tensor, state: Tensors
    ) -> tuple[torch.Tensor, torch.Tensor, Tensors]:
        """The word before each step, (N, T) -> logits (N, T, V), weights (N, T, places) and the state."""
        gates = self.decoder.word_gates(self.embedding(before.T))
        outputs, contexts, weights, state = self.decoder(gates, memory, state)
        return self.output(torch.cat([outputs, contexts], 2)).transpose(0, 1), weights.transpose(0, 1), state

    def loss(self, batch: Tensors, state: None) -> torch.Tensor:
        pictures, words = batch
        before = torch.cat([torch.zeros_like(words[:, :1]), words[:, :-1].clamp(min=0)], 1)  # <end> also begins
        logits, _, _ = self(self.memory(pictures), before, (torch.zeros(len(words), H),))
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), words.flatten(), ignore_index=-1)

    @torch.no_grad()
    def captions(self, pictures: torch.Tensor) -> list[tuple[int, ...]]:
        memory, begin = self.memory(pictures), torch.zeros(len(pictures), 1, dtype=torch.long)

        def step(tokens: torch.Tensor, state: Tensors) -> tuple[torch.Tensor, Tensors]:
            logits, _, (h,) = self(memory, tokens.unsqueeze(1), (state[0][0],))
            return logits[:, 0], (h.unsqueeze(0),)

        config, state = GenerationConfig(max_new_tokens=MOST + 1), (torch.zeros(1, len(pictures), H),)
        return [best.tokens for best, *_ in decoding.beam_search(step, begin, state, config, end=0)]


batches = [examples(known, 32) for _ in range(20 if SHORT else 500)]
pictures, captions = examples(unknown, 400)  # of digits that the training does not have
true = [tuple(word for word in caption.tolist() if word >= 0) for caption in captions]
blind, seeing = models = [Captioner("none"), Captioner("additive")]
accuracies, losses = list[list[float]](), list[float]()
for model in models:
    config = TrainingConfig(max_steps=len(batches), learning_rate=5e-3)
    training.Trainer(model, batches, config, callbacks=[lambda event: losses.append(event.loss)]).fit()
    model.eval()
    right = [found == caption for found, caption in zip(model.captions(pictures), true, strict=True)]
    by_count = [[ok for ok, caption in zip(right, true, strict=True) if len(caption) == n + 2] for n in range(MOST)]
    accuracies.append([float(np.mean(some)) for some in by_count])
print("digits       ", *(f"{n + 1:4}" for n in range(MOST)))
for name, shares in zip(("from a vector", "attention    "), accuracies, strict=True):
    print(name, *(f"{share:4.0%}" for share in shares), "of the captions without a mistake")

# %% [markdown]
# ## Where it looked
#
# Nobody told the network that the words go from left to right, nor where a digit is. Before `<end>` no digit is left,
# and it looks at many places at once. With attention the weights that read a digit are the same at every place of the
# grid; the vector has weights of its own for each place, for which these examples are few.

# %%
row = next(row for row, caption in enumerate(true) if len(caption) == 4)
words = torch.tensor([[0, *seeing.captions(pictures[row : row + 1])[0]]])
with torch.no_grad():
    _, weights, _ = seeing(seeing.memory(pictures[row : row + 1]), words[:, :-1], (torch.zeros(1, H),))
looks = weights[0].view(-1, ROWS, COLUMNS)
figure, axes = plt.subplots(len(looks), 1, figsize=(5, 1.4 * len(looks)), squeeze=False)
for axis, word, look in zip(axes[:, 0], words[0, 1:], looks, strict=True):
    axis.imshow(pictures[row, 0].numpy(), cmap="gray_r")
    axis.imshow(look.numpy(), cmap="Reds", alpha=0.5, extent=(-0.5, 4 * COLUMNS - 0.5, 4 * ROWS - 0.5, -0.5))
    axis.set(ylabel=WORDS[word], xticks=[], yticks=[])
    axis.grid(False)
axes[0, 0].set_title("Where the network looks before each word")
plt.show()
