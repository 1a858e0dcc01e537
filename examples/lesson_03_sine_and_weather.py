# %% [markdown]
# # A noisy sine, and the weather
#
# A recurrent network need not read text. Here it reads numbers and says the next one: the same `Recurrent`, with a
# linear layer in place of the softmax, and the squared error in place of the cross-entropy.

# %%
import matplotlib.pyplot as plt
import torch
from torch import Tensor

from textseq import TrainingConfig, nn, training

H, T, N, STEPS = 32, 25, 16, 150


class Forecaster(torch.nn.Module):
    """Series (N, T, S) -> the change to the next value of each, (N, T, S)."""

    def __init__(self, cell: str, series: int) -> None:
        super().__init__()
        self.rnn = nn.Recurrent(cell, input_size=series, hidden_size=H)
        self.output = torch.nn.Linear(H, series)

    def forward(self, x: Tensor, state: tuple[Tensor, ...] | None = None) -> tuple[Tensor, tuple[Tensor, ...]]:
        h, state = self.rnn(x, state)
        return x + self.output(h), state  # repeating the last value is where it begins

    def loss(self, batch: Tensor, state: tuple[Tensor, ...] | None) -> nn.Loss:
        y, state = self(batch[:, :-1], state)
        return nn.Loss((y - batch[:, 1:]).square().sum(), y.numel(), state)


def train(cell: str, series: Tensor) -> Forecaster:
    """Train on series (time, S), read as N streams in windows of T steps; the state goes on from window to window."""
    torch.manual_seed(1)
    streams = torch.stack(series[: len(series) // N * N].chunk(N))  # (N, time / N, S)
    windows = [streams[:, t : t + T + 1] for t in range(0, streams.shape[1] - T, T)]
    model = Forecaster(cell, series.shape[1])
    config = TrainingConfig(max_steps=STEPS, learning_rate=0.01)
    training.Trainer(model, windows, config, report=lambda line: None).fit(show_progress=False)
    return model


@torch.no_grad()
def errors(model: Forecaster, series: Tensor) -> Tensor:
    """The root mean squared error of the next value, (S,)."""
    y, _ = model(series[None, :-1])
    error: Tensor = (y[0] - series[1:]).square().mean(dim=0).sqrt()
    return error


# %% [markdown]
# ## One series
#
# A sine of period 30 with noise of standard deviation 0.1. Nobody can foresee the noise, so 0.1 is the best there is.

# %%
torch.manual_seed(1)
clean = torch.sin(torch.arange(6000) * 2 * torch.pi / 30)[:, None]
noisy = clean + 0.1 * torch.randn(6000, 1)
models = {cell: train(cell, noisy[:5000]) for cell in ("rnn", "lstm", "gru")}
sine_errors = {cell: float(errors(model, noisy[5000:])) for cell, model in models.items()}
sine_errors["last value again"] = float((noisy[5001:] - noisy[5000:-1]).square().mean().sqrt())
for name, error in sine_errors.items():
    print(f"{name:>16}: {error:.3f}")

# %% [markdown]
# ## Many steps ahead
#
# To look further, the network reads its own forecast as the next input, as a text generator reads its own letters.


# %%
@torch.no_grad()
def ahead(model: Forecaster, past: Tensor, steps: int) -> Tensor:
    """The series (time, S) continued: (steps, S)."""
    y, state = model(past[None])
    forecasts = [y[:, -1:]]
    while len(forecasts) < steps:
        y, state = model(forecasts[-1], state)
        forecasts.append(y)
    return torch.cat(forecasts, dim=1)[0]


far_errors = {}
plt.plot(range(-50, 100), noisy[5450:5600], ".", color="0.7", label="observed")
for cell, model in models.items():
    forecast = ahead(model, noisy[5000:5500], 100)
    far_errors[cell] = float((forecast - clean[5500:5600]).square().mean().sqrt())
    plt.plot(range(100), forecast, label=cell)
plt.axvline(0, color="0.5", linestyle="--")
plt.xlabel("steps from now")
plt.ylabel("value")
plt.legend(loc="upper left", ncols=4)
plt.ylim(-1.6, 1.9)
plt.title("A hundred steps ahead")
plt.show()

# %% [markdown]
# ## Several series: the weather of Seattle
#
# Four years of days: rain, highest and lowest temperature, wind. One network reads and forecasts all four; the last
# year is for the test. (`pip install vega_datasets` brings the data.)

# %%
try:
    from vega_datasets import data
except ImportError:
    print("vega_datasets is not installed: the weather is left out")
else:
    table = data.seattle_weather()
    names = ["precipitation", "temp_max", "temp_min", "wind"]
    days = torch.tensor(table[names].to_numpy(), dtype=torch.float32)
    mean, scale = days[:-365].mean(dim=0), days[:-365].std(dim=0)
    scaled = (days - mean) / scale
    weather_error = errors(train("gru", scaled[:-365]), scaled[-365:]) * scale
    last_error = (days[-364:] - days[-365:-1]).square().mean(dim=0).sqrt()
    for name, error, last in zip(names, weather_error, last_error, strict=True):
        print(f"{name:>13}: {error:.2f} (yesterday's value again: {last:.2f})")
