# %% [markdown]
# # Vanishing and exploding
#
# On its way back through time the gradient is multiplied by a matrix at every step. So it vanishes or explodes, unless
# something holds it (Bengio, Simard and Frasconi 1994). This lesson measures how far it comes, tames a run that
# diverges, and asks how long a window has to be.

# %%
import os
from dataclasses import replace

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from textseq import TextseqError, TrainingConfig, nn, training

SHORT = "TEXTSEQ_SHORT" in os.environ  # for the tests, a few seconds
State = tuple[Tensor, ...]

# %% [markdown]
# ## How far a gradient comes
#
# Random inputs over 100 steps, untrained networks of 64 units. How much does the output at the last step change with
# the input at each step before it? The cell of an LSTM passes the gradient on times its forget gate: a bias of +4 opens
# the gate (0.98 is left at each step), a bias of -4 closes it (0.02). Training starts in between, at +1.

# %%
reach = {}
for name, cell, forget_bias in (
    ("LSTM, forget gates open", "lstm", 4.0),
    ("GRU", "gru", 0.0),
    ("RNN", "rnn", 0.0),
    ("LSTM, forget gates closed", "lstm", -4.0),
):
    torch.manual_seed(1)
    rnn = nn.Recurrent(cell, input_size=8, hidden_size=64)
    if cell == "lstm":
        rnn.layers[0].get_parameter("bias_ih_l0").data[64:128] = forget_bias  # the gates are i, f, g, o
    x = torch.randn(16, 100, 8, requires_grad=True)
    y, _ = rnn(x)
    (gradient,) = torch.autograd.grad(y[:, -1].sum(), x)
    reach[name] = gradient.norm(dim=2).mean(dim=0).flip(0)  # (100,), the last step first
    plt.semilogy(reach[name], label=name)
    print(f"{name}: {reach[name][10] / reach[name][0]:.0e} of it is left after 10 steps")
plt.ylim(1e-12, 10)
plt.xlabel("distance in steps")
plt.ylabel("norm of the gradient")
plt.legend(fontsize="small")
plt.title("How far the gradient of the last output comes")
plt.show()

# %% [markdown]
# ## Clipping
#
# The other end: a recurrent matrix that makes every vector 1.2 times as long, 50 times over, and a rectifier that takes
# some of it away. The network learns to add up its inputs by plain gradient descent; each window starts from a state of
# zeros. For 24 steps all goes well, then one gradient throws the weights so far that soon nothing is left. Clipping by
# norm shortens the gradient and keeps its direction (Pascanu, Mikolov and Bengio 2013, algorithm 1); clipping by value
# cuts each entry, which bends it.


# %%
class Model(torch.nn.Module):
    def __init__(self, cell: str, *, carry_state: bool = True) -> None:
        super().__init__()
        self.carry_state = carry_state
        self.rnn = nn.Recurrent(cell, input_size=1, hidden_size=32)
        self.output = torch.nn.Linear(32, 1)

    def loss(self, batch: tuple[Tensor, Tensor], state: State | None) -> nn.Loss:
        x, y = batch  # (N, T)
        h, state = self.rnn(x[..., None], state or None)
        return nn.Loss((self.output(h)[..., 0] - y).square().sum(), y.numel(), state if self.carry_state else ())


def train(model: Model, batches: list[tuple[Tensor, Tensor]], config: TrainingConfig) -> list[float]:
    losses = []

    def record(event: training.Event) -> None:
        if event.kind == "step":
            losses.append(event.loss)

    try:
        training.Trainer(model, batches, config, callbacks=[record]).fit(show_progress=False)
    except TextseqError as error:
        print(str(error).partition(";")[0])
    return losses


sgd = TrainingConfig(optimizer="sgd", momentum=0, learning_rate=0.05, warmup_steps=0, schedule="constant",
                     clip_norm=None, max_steps=200)  # fmt: skip
limits = {"no clipping": sgd, "by norm": replace(sgd, clip_norm=0.3), "by value": replace(sgd, clip_value=0.03)}
curves = {}
for name, config in limits.items():
    torch.manual_seed(1)
    model = Model("rnn-relu", carry_state=False)
    torch.nn.init.orthogonal_(model.rnn.layers[0].get_parameter("weight_hh_l0"), gain=1.2)
    x = torch.randn(200, 16, 50)
    curves[name] = train(model, [*zip(x, x.cumsum(dim=2) / 5, strict=True)], config)
    print(f"{name}: mean of the last ten losses {sum(curves[name][-10:]) / 10:.2f}")
    plt.semilogy(curves[name], label=name)
plt.ylim(0.1, 10)  # where the run without clipping leaves the picture
plt.xlabel("step")
plt.ylabel("squared error")
plt.legend()
plt.title("A run that diverges, and two ways to hold it")
plt.show()

# %% [markdown]
# ## How long a window?
#
# Truncated back-propagation: the state goes on from window to window, the gradient stops at the cut. The task is to say
# the bit of eight steps ago, which no window of four steps holds: it learns nothing. Each training step has N rows of
# T steps, N T = 512, so long windows leave a small batch; here the length counts for more. The other style is a *fixed
# reach*: the gradient of each output goes back 12 steps, from the state there. It learns as well as windows of 64
# steps, and computes 12 steps for each output (`--stride 1` of `textseq-train`).


# %%
class FixedReach(Model):
    def loss(self, batch: tuple[Tensor, Tensor], state: State | None) -> nn.Loss:
        x, y = batch  # (N, REACH + T)
        with torch.no_grad():
            _, _, trace = self.rnn(x[..., None], return_trace=True)
        before = trace.h[0, 0, :, :-REACH].flatten(0, 1)[None]  # the state before each stretch, (1, N * T, H)
        stretches = x[:, 1:].unfold(1, REACH, 1).flatten(0, 1)  # (N * T, REACH)
        h, _ = self.rnn(stretches[..., None], (before,))
        targets = y[:, REACH:].flatten()
        return nn.Loss((self.output(h[:, -1])[:, 0] - targets).square().sum(), len(targets), state or ())


DELAY, REACH, STEPS = 8, 12, 15 if SHORT else 300
bits = torch.randint(2, (2**19,), generator=torch.Generator().manual_seed(1)).float()
final = {}
for T, style, before in ((4, Model, 0), (16, Model, 0), (64, Model, 0), (16, FixedReach, REACH)):
    rows = bits.view(512 // T, -1)
    x, y = rows[:, DELAY:], rows[:, :-DELAY]
    windows = [(x[:, t : t + T + before], y[:, t : t + T + before]) for t in range(0, T * STEPS, T)]
    torch.manual_seed(1)
    losses = train(style("gru"), windows, TrainingConfig(learning_rate=0.01, max_steps=STEPS))
    final[f"{'fixed reach' if before else 'windows'}\nN {512 // T}, T {T}"] = sum(losses[-20:]) / 20
plt.bar_label(plt.bar([*final], [*final.values()]), fmt="%.3f", label_type="center", color="white")
plt.axhline(0.25, color="0.5", linestyle="--", label="a guess")
plt.ylim(0, 0.32)
plt.ylabel("squared error")
plt.legend(loc="upper right")
plt.title("The bit of eight steps ago, after 300 steps of training")
plt.show()
