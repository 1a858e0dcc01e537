"""The only training loop, for any module with ``loss(batch, state)``.

One step: take a batch, compute the gradient, clip it, update the weights, carry the detached state on. Everything that
decides what comes next (``Progress``, weights and their averages, optimizer, carried state, torch's random generators)
is in a checkpoint: a run that is killed and resumed gives the same weights, bit for bit.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Literal, NoReturn

import torch
from torch import Tensor, nn
from tqdm import tqdm

from textseq.checkpoints import checkpoint
from textseq.checkpoints.model_info import ModelInfo, Table
from textseq.checkpoints.registry import newest
from textseq.config.training import TrainingConfig
from textseq.errors import Interrupted, TextseqError
from textseq.training.averaging import Averages, refuse_unmeasured, swapped_weights
from textseq.training.batches import Batches, as_batches
from textseq.training.devices import deterministic
from textseq.training.distributed.group import ALONE, ProcessGroup
from textseq.training.distributed.signals import signal_handler
from textseq.training.events import Callback, Evaluation, Event
from textseq.training.log import RunLog
from textseq.training.optimizers import learning_rate
from textseq.training.state import Progress
from textseq.training.step import TrainStep

LOG_EVERY = 10
"""Steps between two lines of ``log.jsonl``, for each of which the loop waits for the device."""

DIVERGED = 1.0
"""A run has diverged when its smoothed loss is so many nats above its lowest. A loss in other units must also have
doubled."""


class Trainer:
    """Trains a model, and saves, logs, evaluates and resumes the run.

    Args:
        model: a module on its device, with a method ``loss(batch, state)``. It returns the mean loss of the batch, a
            scalar tensor, if it has no state; or a ``textseq.nn.Loss`` with the summed loss, the count of predictions
            and the state that the next batch begins with: a tuple of tensors whose second axis is the N rows. The state
            is None at the beginning and in a model without state.
        batches: a list, a ``DataLoader`` or another iterable of batches, read once per epoch; the first axis of their
            tensors is the N rows. Or an object with ``batch(cursor)`` and ``epochs(cursor)``: see ``Batches``.
        config: optimizer, schedule, limits, seed. ``device`` is not used (the model is on its device), and "auto"
            precision is float32.
        folder: where checkpoints and ``log.jsonl`` go; None writes nothing.
        tokenizer: has ``save(folder)``; writes its files beside the weights in every checkpoint.
        info: for the ``config.json`` of every checkpoint.
        unit: what a prediction is, singular, for the speed: ``token``.
        loss_unit: the unit of the loss, for messages: ``nats per token``.
        callbacks: functions that are called with an ``Event`` after every step, evaluation and checkpoint.
        evaluate: measures the model on validation data; returns a loss or an ``Evaluation``. The best model is saved.
        report: shows a line or a block of text to the user, between the progress bar's updates.
        sample: text to show after each evaluation.
        resume: continue from the last checkpoint in the folder.
        process_group: the processes that train together, of which this one is the first; the others run
            ``TrainStep.follow``.

    Raises:
        TextseqError: settings that do not fit the model or the data; with ``resume``, no valid checkpoint.

    Example:
        >>> class Regression(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.linear = nn.Linear(3, 1)
        ...     def loss(self, batch, state):
        ...         x, y = batch
        ...         return (self.linear(x) - y).square().mean()
        >>> batches = [(torch.randn(8, 3), torch.randn(8, 1)) for _ in range(10)]
        >>> Trainer(Regression(), batches, TrainingConfig(max_steps=500)).fit().step
        500
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Batches | Iterable[object],
        config: TrainingConfig | None = None,
        *,
        folder: Path | str | None = None,
        tokenizer: checkpoint.TokenizerLike | None = None,
        info: ModelInfo | None = None,
        unit: str = "row",
        loss_unit: str = "",
        callbacks: Sequence[Callback] = (),
        evaluate: Callable[[], Evaluation | float] | None = None,
        report: Callable[[str], None] = tqdm.write,
        sample: Callable[[], str] | None = None,
        resume: bool = False,
        process_group: ProcessGroup = ALONE,
    ) -> None:
        self.config = config = config or TrainingConfig()
        self.folder = None if folder is None else Path(folder)
        self.model, self.tokenizer, self.info = model, tokenizer or _NoFiles(), info or ModelInfo(task="custom")
        self.unit, self.loss_unit = unit, loss_unit
        self.callbacks, self.evaluate, self.report, self.sample = callbacks, evaluate, report, sample
        if evaluate is None:
            refuse_unmeasured(config)
        if self.folder is None and (resume or config.tensorboard or config.average != "none"):
            raise TextseqError("resume, tensorboard and average need a folder: expected folder=..., got None")
        if self.folder is not None and not resume and newest(self.folder, "last") is not None:
            raise TextseqError(f"{self.folder} holds a run; continue it with resume=True, or choose another folder")
        self.batches = as_batches(batches, config.seed)
        self.train_step = TrainStep(model, self.batches, config, process_group)
        self.parameters = self.train_step.parameters
        self.averages = Averages(self.folder, self.parameters, config)
        self.log = RunLog(self.folder, tensorboard=config.tensorboard)
        self.stop_signal: int | None = None
        self.last_rate = 0.0
        self.last_event: Event | None = None
        self.timed_from = (time.monotonic(), 0)  # time and tokens from which the speed is measured
        if resume:
            self._restore()
        else:
            self.train_step.begin()  # random numbers drawn to make the model do not matter from here on
            self._save_last()

    @property
    def progress(self) -> Progress:
        """How far the run has come."""
        return self.train_step.progress

    def fit(self, *, show_progress: bool = True) -> Progress:
        """Train until a limit is reached.

        Args:
            show_progress: show a progress bar if stderr is a terminal.

        Returns:
            How far the run came.

        Raises:
            Interrupted: after Ctrl-C or SIGTERM; the run has saved itself.
            TextseqError: a run that keeps diverging, or a full disk.
        """
        started = time.monotonic() - self.progress.seconds
        self.model.train()
        bar = tqdm(
            total=1.0,
            initial=self._done(),
            disable=None if show_progress else True,  # None: off if stderr is not a terminal
            bar_format="{percentage:3.0f}%|{bar:20}| {elapsed}<{remaining}{postfix}",
        )
        self._restart_clock()
        handler = signal_handler(self._stop, self.train_step.process_group.count)
        exact = deterministic(self.train_step.device, self.config.deterministic)
        with contextlib.closing(self.log), bar, exact, handler:
            if (limit := self._limit()) is not None:
                self.report(f"nothing left to train: the run has reached {limit}; raise it to continue")
            while self._done() < 1.0:
                self._advance(bar, started)
            self._emit("end")
        return self.progress

    def _advance(self, bar: tqdm[NoReturn], started: float) -> None:
        """A step, and what is due after it."""
        config = self.config
        self.step()
        self._emit("step")
        self.progress.seconds = time.monotonic() - started
        step, last = self.progress.step, self._done() >= 1.0
        evaluating = self.evaluate is not None and (last or step % config.evaluate_every == 0)
        saving = last or step % config.save_every == 0
        logging = evaluating or saving or step % LOG_EVERY == 0
        stop = self.stop_signal  # a signal that comes after this line is for the next step
        if (logging or stop is not None) and not self._check_loss(bar, log=logging):
            return
        if evaluating:
            self._evaluate()
            self.progress.seconds = time.monotonic() - started
        over = self._done() >= 1.0  # patience or the time of the evaluation may have ended it
        if over and len(self.progress.averaged_checkpoints) > 1:
            self._evaluate_mean()
        if saving or over or stop is not None:
            self._save_last()
        if stop is not None and not over:
            saved = " and saved" if self.folder else ""
            raise Interrupted(f"stopped at step {step}{saved}", 128 + stop)
        if evaluating or saving:
            self._restart_clock()
        if over:
            self.report(f"{self._limit()} ends the run: {step:,} steps in {self.progress.seconds / 60:.1f} minutes")

    def step(self) -> tuple[Tensor, int]:
        """One step of the optimizer.

        Returns:
            The summed loss of this process's rows, a scalar on the model's device, and the count of all predictions.
        """
        micro_batches = self.progress.micro_batches
        self.last_rate = self.rate()
        result = self.train_step.step(self.last_rate)
        if self.progress.micro_batches > micro_batches:
            self.report(
                f"step {self.progress.step} did not fit into memory: batches are cut into "
                f"{self.progress.micro_batches} micro-batches from now on, which gives the same gradient and takes "
                "longer"
            )
        self.averages.update(self.progress.step)
        return result.total, result.full_count

    def rate(self) -> float:
        """The learning rate of the next step."""
        return learning_rate(self.config, self.progress.step, self._done()) * self.progress.rate_factor

    def load_best(self) -> None:
        """Load the weights of the best checkpoint into the model; the last ones if none was evaluated.

        Raises:
            TextseqError: there is no checkpoint.
        """
        folder = self.folder and (newest(self.folder, "best") or newest(self.folder, "last"))
        if folder is None:
            raise TextseqError("there is no checkpoint to load; train with folder=...")
        checkpoint.load_weights(self.model, checkpoint.read_tensors(folder / "model.safetensors"), folder)

    def _emit(
        self,
        kind: Literal["step", "evaluation", "checkpoint", "end"],
        evaluation: Evaluation | None = None,
        folder: Path | None = None,
    ) -> None:
        if not self.callbacks:
            return
        if kind == "step":
            result = self.train_step.unread[-1]
            self.last_event = Event(kind, self.progress.step, self.last_rate, result, self.config)
        if self.last_event is None:  # before the first step
            return
        event = dataclasses.replace(self.last_event, kind=kind, evaluation=evaluation, folder=folder)
        for callback in self.callbacks:
            callback(event)

    def _used_up(self) -> dict[str, float]:
        return self.progress.used_up(self.config, self.batches.epochs(self.progress.cursor))

    def _done(self) -> float:
        """The share of the run that is over, by the nearest limit."""
        return min(1.0, max(self._used_up().values()))

    def _limit(self) -> str | None:
        """The limit that has been reached, as a flag; None while the run is not over."""
        limit, share = max(self._used_up().items(), key=lambda item: item[1])
        return limit if share >= 1.0 else None

    def _check_loss(self, bar: tqdm[NoReturn], *, log: bool) -> bool:
        """Read the losses since the last call, log them, and roll back if the run has diverged.

        Args:
            bar: the progress bar.
            log: False at a step without a line in the log, when the run is about to stop: the sums are then kept for
                the next line, so that the log of a resumed run equals that of one that was never stopped.

        Returns:
            False after a rollback.
        """
        progress, sums = self.progress, self.train_step.read()
        progress.unlogged_loss += sums.loss
        progress.unlogged_count += sums.predictions
        progress.unlogged_steps += sums.steps
        progress.unlogged_norm += sums.norm
        progress.unlogged_clipped += sums.clipped
        loss = progress.unlogged_loss / max(progress.unlogged_count, 1)
        if not self._is_finite(loss) or (log and self._has_diverged(loss)):
            self._roll_back(loss)
            return False
        if log:
            (time_before, tokens_before), unit = self.timed_from, self.unit
            speed = (progress.tokens - tokens_before) / max(time.monotonic() - time_before, 1e-9)
            self._restart_clock()
            norms = {
                "gradient_norm": progress.unlogged_norm / progress.unlogged_steps,
                "gradient_norm_clipped": progress.unlogged_clipped / progress.unlogged_steps,
            }
            progress.unlogged_steps = progress.unlogged_count = 0
            progress.unlogged_loss = progress.unlogged_norm = progress.unlogged_clipped = 0.0
            self._log({"loss": loss, **norms, f"{unit}s_per_second": round(speed)})
            amount = f"{loss:.3f} {self.loss_unit.split(' per ')[0]}".strip()
            bar.set_postfix_str(f"step {progress.step}, loss {amount}, {speed:,.0f} {unit}s/s", refresh=False)
            bar.update(self._done() - bar.n)
        return True

    def _restart_clock(self) -> None:
        self.timed_from = (time.monotonic(), self.progress.tokens)

    def _is_finite(self, loss: float) -> bool:
        """Whether loss and weights are finite: the loss does not show what its own step has done to the weights."""
        return math.isfinite(loss) and bool(torch.stack([p.isfinite().all() for p in self.parameters]).all())

    def _has_diverged(self, loss: float) -> bool:
        rise = self.progress.smooth(loss)
        lowest = self.progress.lowest or 0.0
        return rise > (DIVERGED if self.loss_unit.startswith("nats") else max(DIVERGED, abs(lowest)))

    def _roll_back(self, loss: float) -> None:
        """Return to the last checkpoint with half the learning rate."""
        failed, amount = self.progress, f"{loss:.4g} {self.loss_unit}".strip()
        if self.folder is None:
            raise TextseqError(
                f"the loss diverged at step {failed.step} ({amount}); train with a smaller learning_rate or clip_norm, "
                "or with a folder, whose last checkpoint the run can return to"
            )
        if failed.rollbacks >= self.config.max_rollbacks:
            raise TextseqError(
                f"the loss diverged again at step {failed.step} ({amount}) after {failed.rollbacks} rollbacks; train "
                "from the start with a smaller --learning-rate or --clip-norm"
            )
        self._restore(rollback=True)
        progress = self.progress
        progress.rollbacks = failed.rollbacks + 1
        progress.rate_factor = failed.rate_factor / 2
        progress.seconds = failed.seconds
        self._restart_clock()
        self.report(
            f"the loss diverged at step {failed.step} ({amount}): back to step {progress.step} with half the learning "
            f"rate, {self.rate():.3g} (rollback {progress.rollbacks} of {self.config.max_rollbacks})"
        )

    def _measure(self) -> Evaluation:
        assert self.evaluate is not None
        evaluation = self.evaluate()
        return evaluation if isinstance(evaluation, Evaluation) else Evaluation(float(evaluation))

    def _evaluate(self) -> None:
        """Evaluate the model, save it if it is the best, and handle plateaus."""
        progress, config = self.progress, self.config
        with swapped_weights(self.model, self.parameters, self.averages.moving):
            evaluation = self._measure()
            text = self.sample() if self.sample else None
            self._log_evaluation("validation", evaluation)
            self.report(f"step {progress.step}: validation {evaluation}")
            if text:
                self.report(text)
            progress.averaged_checkpoints = self.averages.add(
                progress.averaged_checkpoints, progress.step, evaluation.cost
            )
            better = self._save_if_best(evaluation)
        self._emit("evaluation", evaluation)
        if better:
            progress.evaluations_without_improvement = 0
            return
        progress.evaluations_without_improvement += 1
        count = progress.evaluations_without_improvement
        if config.schedule == "plateau" and count % config.plateau_patience == 0:
            progress.rate_factor /= 2
            self.report(f"no improvement for {count} evaluations: learning rate {self.rate():.3g}")
        if config.patience is not None and count >= config.patience:
            self.report(f"no improvement for {count} evaluations: stopping early")

    def _evaluate_mean(self) -> None:
        """Evaluate the mean of the averaged checkpoints; it becomes the best checkpoint if it is the best."""
        averaged, best_step = self.progress.averaged_checkpoints, self.progress.best_step
        with swapped_weights(self.model, self.parameters, self.averages.mean(averaged)):
            evaluation = self._measure()
            better = self._save_if_best(evaluation, tuple(int(step) for step in averaged))
        self._log_evaluation("average", evaluation)
        verdict = "better" if better else "no better"
        self.report(f"mean of steps {', '.join(averaged)}: validation {evaluation}, {verdict} than step {best_step}")

    def _save_if_best(self, evaluation: Evaluation, average_of: tuple[int, ...] = ()) -> bool:
        """Save the model as it is as the best checkpoint if its evaluation is the best so far."""
        progress = self.progress
        if progress.best is not None and not evaluation.cost < progress.best:
            return False
        progress.best, progress.best_loss = evaluation.cost, evaluation.loss
        progress.best_step = progress.step
        self._save("best", average_of=average_of)
        return True

    def _save(
        self,
        kind: Literal["last", "best"],
        training: tuple[Mapping[str, Tensor], Table] | None = None,
        average_of: tuple[int, ...] = (),
    ) -> None:
        if self.folder is not None:
            progress = self.progress
            info = dataclasses.replace(
                self.info, step=progress.step, best_validation_loss=progress.best_loss, average_of=average_of
            )
            folder = checkpoint.save(self.folder, kind, self.model, self.tokenizer, info, training)
            self._emit("checkpoint", folder=folder)

    def _save_last(self) -> None:
        if self.folder is None:
            return
        if self.evaluate is None and self.averages.moving:  # without evaluations the newest average is the best
            with swapped_weights(self.model, self.parameters, self.averages.moving):
                self._save("best")
        tensors = self.train_step.gather() | self.averages.tensors()
        self._save("last", (tensors, dataclasses.asdict(self.progress)))
        self.averages.tidy(self.progress.averaged_checkpoints)

    def _restore(self, *, rollback: bool = False) -> None:
        """Restore the last checkpoint, and remove the lines of the log after it."""
        assert self.folder is not None
        tensors = self.train_step.restore(self.folder, rollback=rollback)
        self.progress.averaged_checkpoints = self.averages.restore(tensors, self.progress.averaged_checkpoints)
        self.log.cut(self.progress.step)

    def _log_evaluation(self, prefix: str, evaluation: Evaluation) -> None:
        results = {"loss": evaluation.loss, **evaluation.results}
        self._log({f"{prefix}_{name}": value for name, value in results.items()})

    def _log(self, values: Table) -> None:
        progress = self.progress
        place = {
            "epoch": round(self.batches.epochs(progress.cursor), 4),
            "minutes": round(progress.seconds / 60, 3),
            "learning_rate": self.rate(),
        }
        self.log.write(progress.step, place | values)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        """The first Ctrl-C or SIGTERM ends the step and saves; a second Ctrl-C ends at once."""
        if self.stop_signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.stop_signal = number


class _NoFiles:
    def save(self, folder: Path) -> None:
        """Write nothing."""
