"""The only training loop. It knows ``model.loss(batch, state)`` and no task.

One step: take a batch, add up the gradient, clip it, move the weights, hand the detached state on. All that
decides what comes next stands in ``Progress``, the weights, the optimizer, the carried state and torch's random
generators, and a checkpoint holds all five: a run that is killed and resumed gives the same weights, bit for bit.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from textseq import checkpoint
from textseq.batches import Cursor
from textseq.cells import State
from textseq.config import OptimizerName, TrainingConfig
from textseq.errors import Interrupted, TextseqError
from textseq.files import cannot_write, replacing
from textseq.losses import Loss
from textseq.shelf import Facts, newest
from textseq.text import Tokenizer

LOG_EVERY = 10
"""Steps between two lines of ``log.jsonl``, and between two looks at the loss: each look waits for the GPU."""
DIVERGED = 1.0
"""Nats per token above its lowest that the smoothed loss may rise before the run is taken to have diverged."""
SMOOTHING = 0.9
"""Share of the old value in the smoothed loss, per look."""


class BatchLike(Protocol):
    """What the loop must know of a batch."""

    @property
    def learning_rate_factor(self) -> float: ...
    def to(self, device: torch.device) -> BatchLike: ...


class Batches(Protocol):
    """Where batches come from: a pure function of the place."""

    def batch(self, cursor: Cursor) -> tuple[BatchLike, Cursor]: ...
    def epochs(self, cursor: Cursor) -> float: ...


@dataclass
class Progress:
    """How far a run has come. Plain data: it is saved as ``training.json``."""

    step: int = 0
    """Steps of the optimizer."""
    epoch: int = 0
    position: int = 0
    """With ``epoch``, the place in the data: see ``batches.Cursor``."""
    tokens: int = 0
    """Predictions trained on."""
    seconds: float = 0.0
    """Time spent, over all the pieces of an interrupted run."""
    best: float | None = None
    """Lowest validation loss, nats per token."""
    best_step: int = 0
    stale: int = 0
    """Evaluations since the best one."""
    rate_factor: float = 1.0
    """What rewinds and plateaus have left of the learning rate."""
    rewinds: int = 0
    smoothed: float | None = None
    lowest: float | None = None
    """Lowest smoothed training loss, nats per token."""
    unlogged_nats: float = 0.0
    unlogged_count: int = 0
    """Summed loss and predictions since the last look at the loss, where the run was stopped between two looks."""

    @property
    def cursor(self) -> Cursor:
        """The place of the next batch."""
        return Cursor(self.epoch, self.position)


@dataclass(frozen=True)
class Run:
    """Where a run writes, and what it writes beside the weights."""

    folder: Path
    tokenizer: Tokenizer
    facts: Facts
    """For ``config.json``; the loop adds the step and the results."""


@dataclass(frozen=True)
class Evaluation:
    """What a look at the validation part found."""

    nats_per_token: float
    results: Facts
    """The same and more, for the log."""


OPTIMIZERS: dict[OptimizerName, Callable[[list[nn.Parameter], TrainingConfig, bool], torch.optim.Optimizer]] = {
    "adamw": lambda p, c, fused: torch.optim.AdamW(
        p, lr=c.learning_rate, betas=(c.momentum, c.beta2), weight_decay=c.weight_decay, fused=fused
    ),
    "sgd": lambda p, c, fused: torch.optim.SGD(
        p, lr=c.learning_rate, momentum=c.momentum, weight_decay=c.weight_decay, fused=fused
    ),
    "rmsprop": lambda p, c, fused: torch.optim.RMSprop(
        p, lr=c.learning_rate, momentum=c.momentum, alpha=c.beta2, weight_decay=c.weight_decay
    ),
    "adagrad": lambda p, c, fused: torch.optim.Adagrad(p, lr=c.learning_rate, weight_decay=c.weight_decay),
}


def learning_rate(config: TrainingConfig, step: int, done: float) -> float:
    """The scheduled learning rate, before rewinds and plateaus lower it.

    Args:
        config: schedule, peak and warm-up.
        step: steps taken.
        done: share of the run that is over, 0 to 1.
    """
    warm = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    shapes = {
        "cosine": 0.5 * (1 + math.cos(math.pi * done)),
        "linear": 1 - done,
        "constant": 1.0,
        "plateau": 1.0,
    }
    return config.learning_rate * warm * shapes[config.schedule]


def pick_device(name: str) -> torch.device:
    """The device of a name; ``auto`` is a GPU if there is one.

    Raises:
        TextseqError: a device that does not exist or is not here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = str(error).strip().splitlines()[0].split(". ")[0]
        raise TextseqError(f"--device {name} cannot be used here: {reason}; try --device auto") from None
    return device


class Training:
    """One run of the loop.

    Args:
        model: has ``loss(batch, state)``.
        batches: where its batches come from.
        config: optimizer, schedule, limits.
        run: where to write.
        evaluate: measures the model on the validation part; None where there is none.
        report: shows a line or a block of text to the user, between the progress bar's updates.
        sample: text to show after each evaluation, where the task has something to show.
        resume: go on from the run's last checkpoint instead of beginning.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Batches,
        config: TrainingConfig,
        run: Run,
        *,
        evaluate: Callable[[], Evaluation] | None = None,
        report: Callable[[str], None] = tqdm.write,
        sample: Callable[[], str] | None = None,
        resume: bool = False,
    ) -> None:
        self.device = next(model.parameters()).device
        self.model = model
        self.batches = batches
        self.config = config
        self.run = run
        self.evaluate = evaluate
        self.report = report
        self.sample = sample
        self.progress = Progress()
        self.state: State | None = None
        fused = self.device.type in {"cpu", "cuda"}
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = OPTIMIZERS[config.optimizer](self.parameters, config, fused)
        self.stop_signal: int | None = None
        self.log_path = run.folder / "log.jsonl"
        if resume:
            self._restore()
        else:
            torch.manual_seed(config.seed)  # what the model was drawn with does not matter to what follows
            self._save_last()

    def train(self, *, show_progress: bool = True) -> Progress:
        """Train until a limit is reached.

        Returns:
            How far the run came.

        Raises:
            Interrupted: after Ctrl-C or SIGTERM; the run has saved itself.
            TextseqError: a run that goes on diverging, or a disk that is full.
        """
        before = self.progress.seconds
        started = time.monotonic()
        self.model.train()
        bar = tqdm(
            total=1.0,
            initial=self._done(),
            disable=None if show_progress else True,  # None: off where stderr is no terminal
            bar_format="{percentage:3.0f}%|{bar:20}| {elapsed}<{remaining}{postfix}",
        )
        writer = _tensorboard(self.run.folder) if self.config.tensorboard else None
        pending: list[tuple[Tensor, int]] = []
        mark = (time.monotonic(), self.progress.tokens)
        with bar, self._signals(), contextlib.closing(writer) if writer else contextlib.nullcontext():
            while self._done() < 1.0:
                pending.append(self.step())
                progress = self.progress
                progress.seconds = before + time.monotonic() - started
                last = self._done() >= 1.0
                evaluating = self.evaluate and (last or progress.step % self.config.evaluate_every == 0)
                saving = last or progress.step % self.config.save_every == 0
                looking = evaluating or saving or progress.step % LOG_EVERY == 0
                stop = self.stop_signal  # a signal that comes after this line is for the next step
                if looking or stop is not None:
                    for summed, count in pending:
                        progress.unlogged_nats += float(summed)
                        progress.unlogged_count += count
                    pending.clear()
                    nats = progress.unlogged_nats / progress.unlogged_count
                    if not self._finite(nats) or (looking and self._runs_away(nats)):
                        self._rewind(nats)
                        mark = (time.monotonic(), self.progress.tokens)
                        continue
                if looking:
                    progress.unlogged_nats, progress.unlogged_count = 0.0, 0
                    now = time.monotonic()
                    rate = (progress.tokens - mark[1]) / max(now - mark[0], 1e-9)
                    mark = (now, progress.tokens)
                    self._log({"loss": nats, "tokens_per_second": round(rate)}, writer)
                    bar.set_postfix_str(f"step {progress.step}, loss {nats:.3f} nats, {rate:,.0f} tokens/s")
                    bar.update(self._done() - bar.n)
                if evaluating and self._evaluate(writer):
                    saving = last = True
                if saving or stop is not None:
                    progress.seconds = before + time.monotonic() - started
                    self._save_last()
                if stop is not None and not last:
                    raise Interrupted(f"stopped at step {progress.step} and saved", 128 + stop)
                if last:
                    break
                mark = (time.monotonic(), progress.tokens) if evaluating or saving else mark
        return self.progress

    def step(self) -> tuple[Tensor, int]:
        """One step of the optimizer; returns its summed nats and their count."""
        config, progress = self.config, self.progress
        nats: list[Tensor] = []
        count = 0
        factor = 1.0
        for _ in range(config.accumulate):
            batch, cursor = self.batches.batch(progress.cursor)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
                loss: Loss = self.model.loss(batch.to(self.device), self.state)  # type: ignore[operator]
            torch.autograd.backward(loss.nats / (loss.count * config.accumulate))
            self.state = loss.state
            progress.epoch, progress.position = cursor
            nats.append(loss.nats.detach())
            count += loss.count
            factor = batch.learning_rate_factor
        if config.clip_value is not None:
            nn.utils.clip_grad_value_(self.parameters, config.clip_value)
        if config.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, config.clip_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate() * factor
        self.optimizer.step()
        self.optimizer.zero_grad()
        progress.step += 1
        progress.tokens += count
        return torch.stack(nats).sum(), count

    def rate(self) -> float:
        """The learning rate of the next step."""
        return learning_rate(self.config, self.progress.step, self._done()) * self.progress.rate_factor

    def _done(self) -> float:
        """The share of the run that is over, by the limit that is nearest."""
        config, progress = self.config, self.progress
        if config.patience is not None and progress.stale >= config.patience:
            return 1.0
        shares = [
            self.batches.epochs(progress.cursor) / config.max_epochs if config.max_epochs else 0.0,
            progress.step / config.max_steps if config.max_steps else 0.0,
            progress.seconds / 60 / config.max_minutes if config.max_minutes else 0.0,
        ]
        return min(1.0, max(shares))

    def _finite(self, nats: float) -> bool:
        """Whether the loss and the weights are numbers: the last step may have spoilt what its loss does not show."""
        return math.isfinite(nats) and bool(torch.stack([p.isfinite().all() for p in self.parameters]).all())

    def _runs_away(self, nats: float) -> bool:
        """Whether the smoothed loss has risen too far above its lowest."""
        progress = self.progress
        old = nats if progress.smoothed is None else progress.smoothed
        progress.smoothed = SMOOTHING * old + (1 - SMOOTHING) * nats
        progress.lowest = min(progress.smoothed, progress.lowest if progress.lowest is not None else math.inf)
        return progress.smoothed > progress.lowest + DIVERGED

    def _rewind(self, nats: float) -> None:
        """Go back to the last checkpoint with half the learning rate."""
        failed = self.progress
        if failed.rewinds >= self.config.max_rewinds:
            raise TextseqError(
                f"the loss diverged again at step {failed.step} ({nats:.4g} nats per token) after "
                f"{failed.rewinds} rewinds; train anew with a smaller --learning-rate or --clip-norm"
            )
        self._restore()
        progress = self.progress
        progress.rewinds = failed.rewinds + 1
        progress.rate_factor = failed.rate_factor / 2
        progress.seconds = failed.seconds
        self.report(
            f"The loss diverged at step {failed.step} ({nats:.4g} nats per token): back to step {progress.step} with "
            f"half the learning rate, {self.rate():.3g} (rewind {progress.rewinds} of {self.config.max_rewinds})"
        )

    def _evaluate(self, writer: _Writer | None) -> bool:
        """Measure the model, keep it if it is the best; True if it is time to stop early."""
        assert self.evaluate is not None
        progress, config = self.progress, self.config
        self.model.eval()
        evaluation = self.evaluate()
        text = self.sample() if self.sample else None
        self.model.train()
        self._log({f"validation_{k}": v for k, v in evaluation.results.items()}, writer)
        nats = evaluation.nats_per_token
        self.report(f"step {progress.step}: validation {nats:.4f} nats per token")
        if text:
            self.report(text)
        if progress.best is None or nats < progress.best:
            progress.best, progress.best_step, progress.stale = nats, progress.step, 0
            checkpoint.save(self.run.folder, "best", self.model, self.run.tokenizer, self._facts())
        else:
            progress.stale += 1
            if config.schedule == "plateau" and progress.stale % config.plateau_patience == 0:
                progress.rate_factor /= 2
                self.report(f"no better for {progress.stale} evaluations: learning rate {self.rate():.3g}")
        if config.patience is not None and progress.stale >= config.patience:
            self.report(f"no better for {progress.stale} evaluations: stopping early")
            return True
        return False

    def _facts(self) -> Facts:
        return {**self.run.facts, "step": self.progress.step, "best_validation_nats": self.progress.best}

    def _save_last(self) -> None:
        tensors = checkpoint.random_state()
        for index, parameter in enumerate(self.parameters):
            for name, value in self.optimizer.state.get(parameter, {}).items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer.{index}.{name}"] = value
        for index, part in enumerate(self.state or ()):
            tensors[f"state.{index}"] = part
        plain = dataclasses.asdict(self.progress)
        checkpoint.save(self.run.folder, "last", self.model, self.run.tokenizer, self._facts(), (tensors, plain))

    def _restore(self) -> None:
        """Put everything where the last checkpoint has it, and cut the log there."""
        folder = newest(self.run.folder, "last")
        if folder is None:
            raise TextseqError(f"{self.run.folder} holds no checkpoint to resume from; train it anew")
        tensors, plain = checkpoint.load_training(folder)
        checkpoint.load_weights(self.model, checkpoint.read_tensors(folder / "model.safetensors"), folder)
        self.progress = Progress(**plain)  # type: ignore[arg-type]
        self.optimizer.state.clear()
        for name, tensor in tensors.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".", 2)
                parameter = self.parameters[int(index)]
                self.optimizer.state[parameter][key] = tensor.to(self.device)
        parts = sorted(name for name in tensors if name.startswith("state."))
        self.state = tuple(tensors[name].to(self.device) for name in parts) or None
        checkpoint.set_random_state(tensors)
        self.optimizer.zero_grad()
        if self.log_path.exists():
            lines = self.log_path.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if _log_step(line) <= self.progress.step]
            with replacing(self.log_path) as (file,):
                file.write("".join(line + "\n" for line in kept).encode())

    def _log(self, facts: Facts, writer: _Writer | None) -> None:
        progress = self.progress
        line = {
            "step": progress.step,
            "epoch": round(self.batches.epochs(progress.cursor), 4),
            "minutes": round(progress.seconds / 60, 3),
            "learning_rate": self.rate(),
            **facts,
        }
        try:
            with self.log_path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise cannot_write(self.log_path, error) from error
        if writer:
            for name, value in facts.items():
                if isinstance(value, int | float):
                    writer.add_scalar(name, value, progress.step)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Let the first Ctrl-C or SIGTERM end the step and save; a second Ctrl-C ends at once."""

        def ask(number: int, frame: FrameType | None) -> None:
            if self.stop_signal is not None:
                raise KeyboardInterrupt
            self.stop_signal = number

        previous = {}
        with contextlib.suppress(ValueError):  # not the main thread: signals stay whose they are
            previous = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


class _Writer(Protocol):
    """The part of TensorBoard's SummaryWriter that is used."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None: ...
    def close(self) -> None: ...


def _tensorboard(folder: Path) -> _Writer:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise TextseqError(
            '--tensorboard wants TensorBoard; install it with: pip install "textseq[tensorboard]"'
        ) from None
    writer: _Writer = SummaryWriter(str(folder / "tensorboard"))
    return writer


def _log_step(line: str) -> float:
    """The step of a line of the log; infinite for a line that a killed run left half-written."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf


def be_deterministic(device: torch.device, wanted: bool) -> None:
    """Ask torch for algorithms that give the same bits every time.

    On the CPU all that a run uses does so already, and asking would cost a second's import.
    """
    if device.type != "cpu":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS wants it, cuDNN's RNNs follow
        torch.use_deterministic_algorithms(wanted)
