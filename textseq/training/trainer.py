"""The training loop, for any module with ``loss(batch, state)``.

A checkpoint holds everything that decides what comes next (``Progress``, weights and their averages, optimizer, carried
state, torch's random generators): a run that is killed and resumed gives the same weights, bit for bit.
"""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from torch import Tensor, nn

from textseq.checkpoints.checkpoint import TokenizerLike
from textseq.checkpoints.model_info import ModelInfo, Table
from textseq.config.training import TrainingConfig
from textseq.errors import Interrupted, TextseqError
from textseq.io.progress import ProgressBar, write_line
from textseq.training.averaging import Averages, refuse_unmeasured, swapped_weights
from textseq.training.batches import Batches, as_batches
from textseq.training.devices import deterministic
from textseq.training.distributed.group import SINGLE_PROCESS, ProcessGroup
from textseq.training.distributed.signals import signal_handler
from textseq.training.divergence import check_rollback, has_diverged, is_finite
from textseq.training.events import Callback, Evaluation, EventEmitter
from textseq.training.log import RunLog, Tracker
from textseq.training.optimizers import learning_rate
from textseq.training.run_folder import RunCheckpoints, check_folder
from textseq.training.samples import Samples
from textseq.training.state import Progress
from textseq.training.step import AbandonedStep, TrainStep

LOG_EVERY = 10
"""Steps between two lines of ``log.jsonl``, for each of which the loop waits for the device."""


class Trainer:
    """Trains a model, and saves, logs, evaluates and resumes the run.

    Args:
        model: a module on its device, with a method ``loss(batch, state)``. It returns the mean loss, a scalar tensor,
            or a ``textseq.nn.Loss`` with the summed loss, the count of predictions and the state for the next batch:
            a tuple of tensors whose second axis is the N rows. The state is None at first and in a model without state;
            it is carried from the last batch of an epoch into the first of the next.
        batches: a list, a ``DataLoader`` or another iterable of batches, read once per epoch, whose tensors have N
            rows; or an object with ``batch(cursor)`` and ``epochs(cursor)``: see ``Batches``.
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
        sample: text to show after each evaluation, and after about 20 seconds, 1, 2, 4... minutes of training.
        resume: continue from the last checkpoint in the folder.
        process_group: of which this process is the first; the others run ``TrainStep.follow``.
        objective: a module around the model that has ``loss`` in its place and no weights of its own.

    Raises:
        TextseqError: settings that do not fit the model or the data; with ``resume``, no valid checkpoint.

    Example:
        >>> class Regression(nn.Linear):
        ...     def loss(self, batch, state):
        ...         x, y = batch
        ...         return (self(x) - y).square().mean()
        >>> batches = [(torch.randn(8, 3), torch.randn(8, 1)) for _ in range(10)]
        >>> Trainer(Regression(3, 1), batches, TrainingConfig(max_steps=500)).fit().step
        500
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Batches | Iterable[object],
        config: TrainingConfig | None = None,
        *,
        folder: Path | str | None = None,
        tokenizer: TokenizerLike | None = None,
        info: ModelInfo | None = None,
        unit: str = "row",
        loss_unit: str = "",
        callbacks: Sequence[Callback] = (),
        evaluate: Callable[[], Evaluation | float] | None = None,
        report: Callable[[str], None] = write_line,
        sample: Callable[[], str] | None = None,
        resume: bool = False,
        process_group: ProcessGroup = SINGLE_PROCESS,
        objective: nn.Module | None = None,
    ) -> None:
        self.config = config = config or TrainingConfig()
        self.folder = None if folder is None else Path(folder)
        self.model, self.unit, self.loss_unit = model, unit, loss_unit
        self.evaluate, self.report = evaluate, report
        if evaluate is None:
            refuse_unmeasured(config)
        if self.folder is None and (resume or config.log_to is not None or config.average != "none"):
            raise TextseqError("resume, log_to and average need a folder: expected folder=..., got None")
        if self.folder is not None:
            check_folder(self.folder, resume=resume)
        self.batches = as_batches(batches, config.seed)
        self.train_step = TrainStep(model, self.batches, config, process_group, objective=objective)
        self.parameters = self.train_step.parameters
        self.samples = Samples(sample, report, self.train_step.device)
        self.averages = Averages(self.folder, self.parameters, config)
        self.log, info = RunLog(self.folder), info or ModelInfo(task="custom")
        if config.log_to is not None and self.folder is not None:
            settings = {"model": info.model, "data": info.data, "training": config.to_dict()}
            callbacks = [*callbacks, Tracker(config.log_to, self.folder, settings)]
        self.events = EventEmitter(callbacks, config)
        self.checkpoints = RunCheckpoints(self.folder, self.train_step, self.averages, tokenizer, info, self.events)
        self.stop_signal: int | None = None
        self.train_step.stopping = lambda: self.stop_signal is not None
        self.last_rate = 0.0
        self._restart_clock()
        if resume:
            self._restore()
        else:
            self.train_step.begin()  # random numbers drawn to make the model do not matter from here on
            self._save_last()

    @property
    def progress(self) -> Progress:
        """Progress of the run."""
        return self.train_step.progress

    def fit(self, *, show_progress: bool = True) -> Progress:
        """Train until a limit is reached; returns the progress then.

        Args:
            show_progress: show a progress bar, or where stderr is neither a terminal nor a notebook's a line every 30
                seconds.

        Raises:
            Interrupted: after Ctrl-C or SIGTERM; the run has saved itself.
            TextseqError: a run that keeps diverging, or a full disk.
        """
        started = time.monotonic() - self.progress.seconds
        self.model.train()
        bar = ProgressBar(1.0, "training", done=self._done(), show=show_progress, report=self.report)
        self.samples.postpone(self.progress.seconds)
        self._restart_clock()
        handler = signal_handler(self._stop, self.train_step.process_group.count)
        exact = deterministic(self.train_step.device, self.config.deterministic)
        with contextlib.closing(self.events), bar, exact, handler:
            limit, done = self._limit()
            if done >= 1.0:
                self.report(f"nothing left to train: the run has reached {limit}; raise it to continue")
            while self._done() < 1.0:
                self._advance(bar, started)
            self.events.emit("end")
        return self.progress

    def _advance(self, bar: ProgressBar, started: float) -> None:
        """A step, and what is due after it."""
        config = self.config
        try:
            self.step()
        except AbandonedStep:
            self.progress.seconds = time.monotonic() - started
            if self._check_loss(bar, log=False):
                self._save_last()
            self._interrupt()
        self.events.emit_step(self.progress.step, self.last_rate, self.train_step.unread[-1])
        self.progress.seconds = time.monotonic() - started
        step, last = self.progress.step, self._done() >= 1.0
        evaluating = self.evaluate is not None and (last or step % config.evaluate_every == 0)
        saving = last or step % config.save_every == 0
        logging = evaluating or saving or step % LOG_EVERY == 0
        stop = self.stop_signal  # a signal that comes after this line is for the next step
        if (logging or stop is not None) and not self._check_loss(bar, log=logging):
            return
        if not logging:
            bar.update(self._done() - bar.done)
        if evaluating:
            self._evaluate()
            self.progress.seconds = time.monotonic() - started
        elif logging and not last and stop is None and self.progress.seconds >= self.samples.next:
            with swapped_weights(self.model, self.parameters, self.averages.moving):
                self.samples.show_between(step, self.progress.seconds)
            self._restart_clock()  # its time counts from the next step on: it must not end the run unevaluated
        over = self._done() >= 1.0  # patience or the time of the evaluation may have ended it
        if over and len(self.progress.averaged_checkpoints) > 1:
            self._evaluate_mean()
        if saving or over or stop is not None:
            self._save_last()
        if stop is not None and not over:
            self._interrupt()
        if evaluating or saving:
            self._restart_clock()
        if over:
            self.report(f"{self._limit()[0]} ends the run: {step:,} steps in {self.progress.seconds / 60:.1f} minutes")

    def _interrupt(self) -> NoReturn:
        saved = " and saved" if self.folder else ""
        assert self.stop_signal is not None
        raise Interrupted(f"stopped at step {self.progress.step}{saved}", 128 + self.stop_signal)

    def step(self) -> tuple[Tensor, int]:
        """One step; returns the summed loss of this process's rows, a scalar, and the count of all predictions."""
        micro_batches = self.progress.micro_batches
        self.last_rate = self.rate()
        result = self.train_step.step(self.last_rate)
        if self.progress.micro_batches > micro_batches:
            self.report(
                f"step {self.progress.step} did not fit into memory: batches are cut into {self.progress.micro_batches}"
                " micro-batches from now on, which takes longer"
            )
        self.averages.update(self.progress.step, self.progress.averaging_since)
        return result.total, result.total_count

    def rate(self) -> float:
        """The learning rate of the next step."""
        return learning_rate(self.config, self.progress.step, self._done()) * self.progress.rate_factor

    def load_best(self) -> None:
        """Load the weights of the best checkpoint into the model; the last ones if none was evaluated.

        Raises:
            TextseqError: there is no checkpoint.
        """
        self.checkpoints.load_best()

    def _limit(self) -> tuple[str, float]:
        """The limit nearest to its end, as a flag, and the share of the run that is over."""
        return self.progress.limit(self.config, self.batches.epochs(self.progress.cursor))

    def _done(self) -> float:
        return self._limit()[1]

    def _check_loss(self, bar: ProgressBar, *, log: bool) -> bool:
        """Read the losses since the last call, and log them; after divergence, roll back and return False.

        At a step without a line in the log (the run is about to stop) the sums are kept for the next line, so that the
        log of a resumed run equals that of an uninterrupted one, but for the rounding of sums.
        """
        progress, unit = self.progress, self.unit
        progress.add_unlogged(self.train_step.read())
        loss = progress.unlogged_loss / max(progress.unlogged_count, 1)
        if not is_finite(loss, self.parameters) or (log and has_diverged(loss, progress, self.loss_unit)):
            self._roll_back(loss)
            return False
        if log:
            time_before, tokens_before = self.timed_from
            speed = (progress.tokens - tokens_before) / max(time.monotonic() - time_before, 1e-9)
            self._restart_clock()
            norms = progress.clear_unlogged()
            self._log({"loss": loss, **norms, f"{unit}s_per_second": round(speed)})
            amount = f"{loss:.3f} {self.loss_unit.split(' per ')[0]}".strip()
            note = f"step {progress.step}, loss {amount}, {speed:,.0f} {unit}s/s"
            bar.update(self._done() - bar.done, note)
        return True

    def _restart_clock(self) -> None:
        self.timed_from = (time.monotonic(), self.progress.tokens)

    def _roll_back(self, loss: float) -> None:
        """Return to the last checkpoint with half the learning rate."""
        failed, amount = self.progress, f"{loss:.4g} {self.loss_unit}".strip()
        check_rollback(failed, self.config, self.folder, amount)
        self._restore(rollback=True)
        progress = self.progress
        progress.rollbacks, progress.rate_factor = failed.rollbacks + 1, failed.rate_factor / 2
        progress.seconds = failed.seconds
        if failed.best is not None and (progress.best is None or failed.best < progress.best):  # still on disk
            progress.best, progress.best_loss, progress.best_step = failed.best, failed.best_loss, failed.best_step
        self._restart_clock()
        self.report(
            f"the loss diverged at step {failed.step} ({amount}): back to step {progress.step} with half the learning "
            f"rate, {self.rate():.3g} (rollback {progress.rollbacks} of {self.config.max_rollbacks})"
        )

    def _measure(self, name: str) -> Evaluation:
        """Evaluate the model with its current weights, and log the results as ``NAME_loss``..."""
        assert self.evaluate is not None
        loss = self.evaluate()
        evaluation = loss if isinstance(loss, Evaluation) else Evaluation(float(loss))
        results = {"loss": evaluation.loss, **evaluation.results}
        self._log({f"{name}_{key}": value for key, value in results.items()})
        return evaluation

    def _evaluate(self) -> None:
        """Evaluate the model, save it if it is the best, and handle plateaus."""
        progress, config = self.progress, self.config
        with swapped_weights(self.model, self.parameters, self.averages.moving):
            evaluation = self._measure("validation")
            self.report(f"step {progress.step}: validation {evaluation}")
            self.samples.show(progress.seconds)
            averaged = self.averages.add(progress.averaged_checkpoints, progress.step, evaluation.cost)
            progress.averaged_checkpoints = averaged
            better = self._save_if_best(evaluation)
        self.events.emit("evaluation", evaluation=evaluation)
        count = progress.evaluations_without_improvement = 0 if better else progress.evaluations_without_improvement + 1
        if better:
            return
        if config.average_after and not progress.averaging_since and count >= config.average_after:
            self.averages.begin()
            progress.averaging_since, progress.evaluations_without_improvement = progress.step, 0
            self.report(f"no improvement for {count} evaluations: the weights are averaged from here on")
            return
        if config.schedule == "plateau" and count % config.plateau_patience == 0:
            progress.rate_factor /= 2
            self.report(f"no improvement for {count} evaluations: learning rate {self.rate():.3g}")
        if config.patience is not None and count >= config.patience:
            self.report(f"no improvement for {count} evaluations: stopping early")

    def _evaluate_mean(self) -> None:
        """Evaluate the mean of the averaged checkpoints, and save it if it is the best."""
        averaged, best_step = self.progress.averaged_checkpoints, self.progress.best_step
        with swapped_weights(self.model, self.parameters, self.averages.mean(averaged)):
            evaluation = self._measure("average")
            better = self._save_if_best(evaluation, tuple(int(step) for step in averaged))
        verdict = "better" if better else "no better"
        self.report(f"mean of steps {', '.join(averaged)}: validation {evaluation}, {verdict} than step {best_step}")

    def _save_if_best(self, evaluation: Evaluation, average_of: tuple[int, ...] = ()) -> bool:
        """Save the current weights as the best checkpoint if their evaluation is the best so far."""
        better = self.progress.update_best(evaluation.cost, evaluation.loss)
        if better:
            self.checkpoints.save_best(average_of)
        return better

    def _save_last(self) -> None:
        if self.evaluate is None and self.averages.moving:  # without evaluations the newest average is the best
            with swapped_weights(self.model, self.parameters, self.averages.moving):
                self.checkpoints.save_best()
        self.checkpoints.save_last()

    def _restore(self, *, rollback: bool = False) -> None:
        """Restore the last checkpoint, and remove the lines of the log after it."""
        self.checkpoints.restore(rollback=rollback)
        self.log.cut(self.progress.step)

    def _log(self, values: Table) -> None:
        progress = self.progress
        epoch, minutes = round(self.batches.epochs(progress.cursor), 4), round(progress.seconds / 60, 3)
        row: Table = {"epoch": epoch, "minutes": minutes, "learning_rate": self.last_rate, **values}
        row = {k: v for k, v in row.items() if not isinstance(v, float) or math.isfinite(v)}  # JSON has no other
        self.log.write(progress.step, row)
        self.events.emit("log", values=row)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        """The first Ctrl-C or SIGTERM ends the step and saves; a second Ctrl-C ends at once."""
        if self.stop_signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.stop_signal = number
