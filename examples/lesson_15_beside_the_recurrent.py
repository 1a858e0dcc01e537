# %% [markdown]
# # Beside the recurrent
#
# Four networks predict the next character of Shakespeare, with about as many parameters, in the same training loop: a
# window of 16 characters (Bengio et al. 2003), convolutions over time (a TDNN, Waibel et al. 1989; dilated, as in
# WaveNet, van den Oord et al. 2016), a small Transformer (Vaswani et al. 2017), and an LSTM, whose state goes on from
# window to window.

# %%
import math
import os
import time

import matplotlib.pyplot as plt
import torch
from torch.nn import functional

from textseq import TextData, TrainingConfig, nn, training

State = tuple[torch.Tensor, ...]
SHORT = "TEXTSEQ_SHORT" in os.environ  # for the tests, a few seconds
N, T, SECONDS = 16, 64, 1 if SHORT else 15
dataset = TextData(corpus="tinyshakespeare").open(download=not SHORT)
text = "".join(chunk for document in dataset.documents("train") for chunk in document)
characters = sorted(set(text))
number_of, V = {character: number for number, character in enumerate(characters)}, len(characters)
ids = torch.tensor([number_of[character] for character in text])


def windows(ids: torch.Tensor) -> list[State]:
    """N texts side by side, cut into windows: inputs and targets, (N, T) each."""
    streams = ids[: len(ids) // N * N].view(N, -1)
    return [(streams[:, t : t + T], streams[:, t + 1 : t + T + 1]) for t in range(0, streams.shape[1] - T, T)]


batches, held_out = windows(ids[:-20_000]), windows(ids[-20_000:])

# %% [markdown]
# ## The networks
#
# A convolution that sees the present and the past only makes both the window and the TDNN: one layer of width 16 and
# one of width 1 are a multilayer perceptron over 16 characters, and six layers of width 3, with dilations of 1, 2, 4,
# 8, 16 and 32, can see 127. Here they see at most the 64 of a training window, as the Transformer does.


# %%
class Causal(torch.nn.Conv1d):
    """(N, T, E) -> (N, T, H): each output sees the last ``width`` inputs, every ``dilation``-th."""

    def __init__(self, inputs: int, outputs: int, width: int, dilation: int = 1, residual: bool = False) -> None:
        super().__init__(inputs, outputs, width, dilation=dilation)
        self.residual = residual

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        reach = (self.kernel_size[0] - 1) * self.dilation[0]
        y = super().forward(functional.pad(x.transpose(1, 2), (reach, 0))).transpose(1, 2).relu()
        return x + y if self.residual else y


class Transformer(torch.nn.TransformerEncoder):
    def __init__(self, size: int, layers: int) -> None:
        block = torch.nn.TransformerEncoderLayer(size, 4, 3 * size, 0.0, batch_first=True, norm_first=True)
        super().__init__(block, layers, enable_nested_tensor=False)
        self.places = torch.nn.Parameter(0.1 * torch.randn(T, size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        mask = torch.nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        return super().forward(x + self.places[: x.shape[1]], mask, is_causal=True)


class LanguageModel(torch.nn.Module):
    def __init__(self, body: torch.nn.Module, embedding_size: int, hidden_size: int) -> None:
        super().__init__()
        self.embedding, self.body = nn.Embedding(V, embedding_size), body
        self.output = torch.nn.Linear(hidden_size, V)

    def loss(self, batch: State, state: State | None) -> nn.Loss:
        inputs, targets = batch
        x = self.embedding(inputs)
        y, state = self.body(x, state or None) if isinstance(self.body, nn.Recurrent) else (self.body(x), ())
        nats = functional.cross_entropy(self.output(y).flatten(0, 1), targets.flatten(), reduction="sum")
        return nn.Loss(nats, targets.numel(), state)


torch.manual_seed(1)
models = {
    "window": LanguageModel(torch.nn.Sequential(Causal(24, 256, 16), Causal(256, 80, 1)), 24, 80),
    "TDNN": LanguageModel(torch.nn.Sequential(*(Causal(80, 80, 3, 2**n, residual=True) for n in range(6))), 80, 80),
    "Transformer": LanguageModel(Transformer(64, 3), 64, 64),
    "LSTM": LanguageModel(nn.Recurrent("lstm", 48, 144), 48, 144),
}

# %% [markdown]
# ## At equal time
#
# `Trainer.step` takes one step, so that the loop can be one's own: here it ends when the processor has worked long
# enough. The speeds depend on the processor, and the order may change with more time: try `SECONDS = 60`.

# %%
results: dict[str, float] = {}
curves: dict[str, tuple[list[float], list[float]]] = {}
for name, model in models.items():
    config = TrainingConfig(learning_rate=4e-3, schedule="constant", warmup_steps=20)
    trainer = training.Trainer(model, batches, config)
    seconds, bits, begun = [0.0], [math.log2(V)], time.process_time()
    while seconds[-1] < SECONDS:
        total, count = trainer.step()
        bits.append(float(total) / count / math.log(2))
        seconds.append(time.process_time() - begun)
    losses, state = list[float](), State()
    for batch in held_out:
        with torch.no_grad():
            loss = model.loss(batch, state)
        losses, state = [*losses, float(loss.nats) / loss.count / math.log(2)], loss.state
    curves[name], results[name] = (seconds, bits), sum(losses) / len(losses)
    size, speed = sum(weight.numel() for weight in model.parameters()), (len(bits) - 1) * N * T / seconds[-1]
    print(f"{name:12} {size:,} parameters, {speed:6,.0f} characters/s, {results[name]:.2f} bits per character held out")

# %% [markdown]
# In 15 seconds three come out alike, and the Transformer needs more time. But they differ in what they keep to write
# the next character: the window the vectors of 15 characters, the convolutions what they still see of their inputs, the
# LSTM its state. A Transformer keeps the keys and values of the characters before, 384 numbers for each. This one
# takes no more than 64 characters; the picture shows what one with an unlimited window would keep.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8))
lengths = (16, 64, 256, 1024, 4096)
kept = {"window": 15 * 24, "TDNN": 80 * sum(2 * 2**n for n in range(6)), "LSTM": 2 * 144}
for name, (seconds, bits) in curves.items():
    means = [sum(bits[max(0, n - 19) : n + 1]) / min(n + 1, 20) for n in range(len(bits))]
    left.plot(seconds, means, label=name)
    right.loglog(lengths, [kept.get(name, 3 * 2 * 64 * length) for length in lengths], "o-", label=name)
left.set(title="Training, mean of 20 steps", xlabel="seconds of one processor", ylabel="bits per character")
left.legend()
right.set(title="Kept to write the next character", xlabel="characters so far", ylabel="numbers")
plt.show()
