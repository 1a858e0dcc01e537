# %% [markdown]
# # Gates and units
#
# What does an LSTM do while it reads? `return_trace=True` gives its states and gates at every step. First we look into
# the Shakespeare model that comes with the package; then gates are taken away, one by one, to see which matter.

# %%
import os
import random
import re

import matplotlib.pyplot as plt
import torch
from torch import Tensor

import textseq
from textseq import DataConfig, LanguageModelConfig, PairData, TrainingConfig, nn

SHORT = "TEXTSEQ_SHORT" in os.environ  # for the tests, a few seconds
writer = textseq.load_generator("shakespeare")


@torch.no_grad()
def read(text: str) -> nn.RecurrentTrace:
    ids = torch.from_numpy(writer.tokenizer.encode(text)).long()
    trace: nn.RecurrentTrace = writer.model.recurrent(writer.model.embedding(ids)[None], return_trace=True)[2]
    return trace


# %% [markdown]
# ## The gates of a cell over a text
#
# The forget gates of twelve of the 768 cells, those that change the most: dark forgets, bright remembers. At the space
# after a word half of them forget, and the others keep what they hold.

# %%
line = "ROMEO:\nBut, soft! what light through yonder window breaks?"
forget = read(line).gates["f"][0, 0, 0]  # (T, H)
liveliest = forget.std(dim=0).argsort(descending=True)[:12]
plt.figure(figsize=(9, 3.2))
plt.imshow(forget[:, liveliest].T.numpy(), aspect="auto", vmin=0, vmax=1)
plt.grid(False)
plt.colorbar(label="forget gate")
plt.xticks(range(len(line)), line.replace("\n", "⏎"), fontsize=8)
plt.yticks(range(12), [str(int(unit)) for unit in liveliest], fontsize=7)
plt.ylabel("cell")
plt.title("Forget gates while reading")
plt.show()

# %% [markdown]
# ## Cells that follow something
#
# Karpathy, Johnson and Li (2015) found cells that count the letters of a line or know that a quotation is open. Nobody
# asks a model for them. To find such cells, describe each letter by a number, and take the cell that goes along with it
# best. With 768 candidates some cell always fits by chance, so the correlation is measured on a second text. (The text
# of this model has no quotations and no brackets; the same lines find those in a model of source code.)

# %%
texts = writer.generate(["ROMEO:\n", "JULIET:\n"], max_new_tokens=300 if SHORT else 1500, temperature=0.7, seed=1)


def features(text: str) -> dict[str, list[float]]:
    lines = text.splitlines(keepends=True)
    return {
        "position in the line": [place for line in lines for place in range(len(line))],
        "position in the word": [place for word in re.findall(r"\w+|\W", text) for place in range(len(word))],
        "upper case": [letter.isupper() for letter in text],
    }


cells, others = (read(text).c[0, 0, 0] for text in texts)  # (T, H)
best, found = {}, {}
for name, values in features(texts[0]).items():
    correlations = torch.corrcoef(torch.cat([torch.tensor([values]).float(), cells.T]))[0, 1:]
    best[name] = unit = int(correlations.nan_to_num().abs().argmax())
    pair = torch.stack([torch.tensor(features(texts[1])[name]).float(), others[:, unit]])
    found[name] = float(torch.corrcoef(pair)[0, 1])
    print(f"{name}: cell {unit}, correlation {found[name]:.2f} on the second text")

# %%
figure, axes = plt.subplots(1, len(best), figsize=(12, 3.2))
rows = texts[1].splitlines(keepends=True)[:12]
for axis, (name, unit) in zip(axes, best.items(), strict=True):
    grid, place = torch.full((len(rows), 55), torch.nan), 0
    for y, row in enumerate(rows):
        grid[y, : len(row)] = others[place : place + len(row), unit][:55]
        place += len(row)
        for x, letter in enumerate(row.rstrip()[:55]):
            axis.text(x, y, letter, ha="center", va="center", fontsize=6, family="monospace")
    limit = float(grid.nan_to_num().abs().max())
    axis.imshow(grid.numpy(), cmap="coolwarm", aspect="auto", vmin=-limit, vmax=limit)
    axis.set(title=f"{name}: cell {unit}", xticks=[], yticks=[])
    axis.grid(False)
plt.show()

# %% [markdown]
# ## Which gates matter?
#
# A cell is a function, so a variant of the LSTM is a line. Each learns the phrase book from the same weights at the
# start, and is measured on a tenth of it that it has not read. Greff et al. (2015, section 5) did this at large, and
# found the forget gate and the output activation to matter the most, and coupled gates to cost little. So few steps
# and such short windows ask for little memory, and the differences are small: here the tanh of the candidate, the
# output gate and the forget gate are missed a little, the input gate is not, and coupled gates cost next to nothing.

# %%
VARIANTS = ("lstm", "no input gate", "no forget gate", "no output gate", "coupled gates", "sigmoid candidate",
            "output gate sees the cell")  # fmt: skip


def register(variant: str) -> str:
    one, sigmoid = torch.ones(()), torch.sigmoid

    @nn.register_cell("own-" + variant.replace(" ", "-"), gates="ifgo", states=2)
    def step(x_gates: Tensor, state: tuple[Tensor, ...], weights: nn.Weights) -> tuple[Tensor, ...]:
        h, c = state
        i, f, g, o = (x_gates + weights.product(h)).chunk(4, dim=-1)
        f = one if variant == "no forget gate" else sigmoid(f)
        i = one if variant == "no input gate" else 1 - f if variant == "coupled gates" else sigmoid(i)
        c = f * c + i * (sigmoid(g) if variant == "sigmoid candidate" else torch.tanh(g))
        o = one if variant == "no output gate" else sigmoid(o + c if variant == "output gate sees the cell" else o)
        return o * torch.tanh(c), c

    return "own-" + variant.replace(" ", "-")


sentences = sorted({english for english, _ in PairData(corpus="phrases-en-fr").open().pairs("train")})
random.Random(1).shuffle(sentences)
phrases = "\n".join(sentences[: 500 if SHORT else 2000])
bits = dict[str, float]()
for variant in VARIANTS:
    model = textseq.train(
        texts=[phrases],
        model=LanguageModelConfig(cell=register(variant), embedding_size=32, hidden_size=64, dropout=0.0),
        data=DataConfig(window=32),
        training=TrainingConfig(max_steps=5 if SHORT else 120, learning_rate=0.01),
        name="lesson-gates",
        overwrite=True,
        progress=False,
    )
    bits[variant] = model.info.results[0]["bits_per_character"]  # type: ignore[assignment]
plt.bar_label(plt.barh([*bits], [*bits.values()]), fmt=" %.2f")
plt.gca().invert_yaxis()
plt.grid(False)
plt.xlabel("bits per character")
plt.title("LSTMs without one thing, after 120 steps")
plt.show()
