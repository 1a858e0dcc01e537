"""The only training loop. It knows ``model.loss(batch, state)`` and no task.

One step: take a batch, add up the gradient, clip it, move the weights, hand the detached state on. All that
decides what comes next stands in ``Progress``, the weights and their averages, the optimizer, the carried state and
torch's random generators, and a checkpoint holds them all: a run that is killed and resumed gives the same weights,
bit for bit.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

import torch
from torch import Tensor, nn
from tqdm import tqdm

from textseq.checkpoints import checkpoint
from textseq.checkpoints.registry import Facts
from textseq.config.training import TrainingConfig
from textseq.errors import Interrupted, TextseqError
from textseq.training.averaging import Averages, in_use, refuse_unmeasured
from textseq.training.distributed.group import ALONE, ProcessGroup
from textseq.training.log import RunLog
from textseq.training.optimizers import learning_rate
from textseq.training.state import Progress
from textseq.training.step import Batches, TrainStep

LOG_EVERY = 10
"""Steps between two lines of ``log.jsonl``, and between two looks at the loss: each look waits for the GPU."""

DIVERGED = 1.0
"""Nats per token above its lowest that the smoothed loss may rise before the run is taken to have diverged."""


@dataclass(frozen=True)
class Run:
    """Where a run writes, and what it writes beside the weights."""

    folder: Path
    tokenizer: checkpoint.Savable
    facts: Facts
    """For ``config.json``; the loop adds the step and the results."""
    unit: str = "token"
    """What the loss is the mean over, for people."""


@dataclass(frozen=True)
class Evaluation:
    """What a measure of the validation part found."""

    nats_per_token: float
    results: Facts
    """The same and more, for the log."""
    words: str = ""
    """The same for people."""
    criterion: float | None = None
    """What the best checkpoint has the least of (the negative of what more is better of); None: ``nats_per_token``."""

    @property
    def cost(self) -> float:
        """The criterion, whichever it is: lower is better."""
        return self.nats_per_token if self.criterion is None else self.criterion

    def __str__(self) -> str:
        return self.words or f"{self.nats_per_token:.4f} nats per token"


class Trainer:
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
        process_group: those that train together, of which this one leads; the others ``follow`` with a ``TrainStep``.
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
        process_group: ProcessGroup = ALONE,
    ) -> None:
        self.model = model
        self.batches = batches
        self.config = config
        self.run = run
        self.evaluate = evaluate
        self.report = report
        self.sample = sample
        self.learner = TrainStep(model, batches, config, process_group)
        self.parameters = self.learner.parameters
        self.averages = Averages(run.folder, self.parameters, config)
        self.stop_signal: int | None = None
        self.log = RunLog(run.folder, tensorboard=config.tensorboard)
        self.mark = (time.monotonic(), 0)  # when, and at how many tokens, the speed was last reckoned from
        if evaluate is None:
            refuse_unmeasured(config)
        if resume:
            self._restore()
        else:
            self.learner.begin()  # what the model was drawn with does not matter to what follows
            self._save_last()

    @property
    def progress(self) -> Progress:
        """How far the run has come."""
        return self.learner.progress

    def train(self, *, show_progress: bool = True) -> Progress:
        """Train until a limit is reached.

        Returns:
            How far the run came.

        Raises:
            Interrupted: after Ctrl-C or SIGTERM; the run has saved itself.
            TextseqError: a run that goes on diverging, or a disk that is full.
        """
        config = self.config
        started = time.monotonic() - self.progress.seconds
        self.model.train()
        bar = tqdm(
            total=1.0,
            initial=self._done(),
            disable=None if show_progress else True,  # None: off where stderr is no terminal
            bar_format="{percentage:3.0f}%|{bar:20}| {elapsed}<{remaining}{postfix}",
        )
        self._reckon_speed_from_here()
        with contextlib.closing(self.log), bar, self._signals():
            if (limit := self._limit()) is not None:
                self.report(f"nothing is left to train: the run has reached {limit}; a larger one goes on with it")
            while self._done() < 1.0:
                self.step()
                self.progress.seconds = time.monotonic() - started
                step, last = self.progress.step, self._done() >= 1.0
                evaluating = self.evaluate is not None and (last or step % config.evaluate_every == 0)
                saving = last or step % config.save_every == 0
                looking = evaluating or saving or step % LOG_EVERY == 0
                stop = self.stop_signal  # a signal that comes after this line is for the next step
                if (looking or stop is not None) and not self._look(bar, whole=looking):
                    continue
                if evaluating:
                    self._evaluate()
                    self.progress.seconds = time.monotonic() - started
                over = self._done() >= 1.0  # early stopping or the time it took to evaluate may have come to it
                if over and len(self.progress.kept) > 1:
                    self._measure_mean()
                if saving or over or stop is not None:
                    self._save_last()
                if stop is not None and not over:
                    raise Interrupted(f"stopped at step {step} and saved", 128 + stop)
                if evaluating or saving:
                    self._reckon_speed_from_here()
                if over:
                    self.report(
                        f"{self._limit()} ends the run: {step:,} steps in {self.progress.seconds / 60:.1f} minutes"
                    )
        return self.progress

    def step(self) -> tuple[Tensor, int]:
        """One step of the optimizer; returns its summed nats and their count."""
        micro_batches = self.progress.micro_batches
        done = self.learner.step(self.rate())
        if self.progress.micro_batches > micro_batches:
            self.report(
                f"step {self.progress.step} did not fit into memory: batches are cut into "
                f"{self.progress.micro_batches} micro-batches from now on, "
                "which gives the same gradient and takes longer"
            )
        self.averages.update(self.progress.step)
        return done

    def rate(self) -> float:
        """The learning rate of the next step."""
        return learning_rate(self.config, self.progress.step, self._done()) * self.progress.rate_factor

    def _done(self) -> float:
        """The share of the run that is over, by the limit that is nearest."""
        return min(1.0, max(self._shares().values()))

    def _limit(self) -> str | None:
        """The limit that has been reached, as a flag; None while the run is not over."""
        shares = self._shares()
        nearest = max(shares, key=lambda limit: shares[limit])
        return nearest if shares[nearest] >= 1.0 else None

    def _shares(self) -> dict[str, float]:
        """How much of each limit has been used up."""
        config, progress = self.config, self.progress
        shares = {
            f"--max-epochs {config.max_epochs or 0:g}": self.batches.epochs(progress.cursor)
            / (config.max_epochs or math.inf),
            f"--max-steps {config.max_steps}": progress.step / (config.max_steps or math.inf),
            f"--max-minutes {config.max_minutes or 0:g}": progress.seconds / 60 / (config.max_minutes or math.inf),
        }
        if config.patience is not None:  # it is no measure of how far a run has come, only of its end
            shares[f"--patience {config.patience}"] = float(progress.evaluations_without_improvement >= config.patience)
        return shares

    def _look(self, bar: tqdm[NoReturn], *, whole: bool) -> bool:
        """Wait for the losses since the last look, show and log them; False if the run had to go back.

        Args:
            bar: where they are shown.
            whole: False for a look out of turn, when the run is about to stop: what was seen is then kept for
                the next one, so that the log of a resumed run equals that of one never stopped.
        """
        progress = self.progress
        summed, count = self.learner.look()
        progress.unlogged_nats += summed
        progress.unlogged_count += count
        nats = progress.unlogged_nats / progress.unlogged_count
        if not self._finite(nats) or (whole and progress.smooth(nats) > DIVERGED):
            self._rewind(nats)
            return False
        if whole:
            progress.unlogged_nats, progress.unlogged_count = 0.0, 0
            (time_before, tokens_before), unit = self.mark, self.run.unit
            speed = (progress.tokens - tokens_before) / max(time.monotonic() - time_before, 1e-9)
            self._reckon_speed_from_here()
            self._log({"loss": nats, f"{unit}s_per_second": round(speed)})
            bar.set_postfix_str(f"step {progress.step}, loss {nats:.3f} nats, {speed:,.0f} {unit}s/s", refresh=False)
            bar.update(self._done() - bar.n)
        return True

    def _reckon_speed_from_here(self) -> None:
        self.mark = (time.monotonic(), self.progress.tokens)

    def _finite(self, nats: float) -> bool:
        """Whether the loss and the weights are numbers: the last step may have spoilt what its loss does not show."""
        return math.isfinite(nats) and bool(torch.stack([p.isfinite().all() for p in self.parameters]).all())

    def _rewind(self, nats: float) -> None:
        """Go back to the last checkpoint with half the learning rate."""
        failed = self.progress
        if failed.rollbacks >= self.config.max_rollbacks:
            raise TextseqError(
                f"the loss diverged again at step {failed.step} ({nats:.4g} nats per {self.run.unit}) after "
                f"{failed.rollbacks} rollbacks; train anew with a smaller --learning-rate or --clip-norm"
            )
        self._restore(rewinding=True)
        progress = self.progress
        progress.rollbacks = failed.rollbacks + 1
        progress.rate_factor = failed.rate_factor / 2
        progress.seconds = failed.seconds
        self._reckon_speed_from_here()
        self.report(
            f"The loss diverged at step {failed.step} ({nats:.4g} nats per {self.run.unit}): back to step "
            f"{progress.step} with half the learning rate, {self.rate():.3g} (rewind {progress.rollbacks} of "
            f"{self.config.max_rollbacks})"
        )

    def _evaluate(self) -> None:
        """Measure the model, keep it if it is the best, and see to plateaus."""
        assert self.evaluate is not None
        progress, config = self.progress, self.config
        with in_use(self.model, self.parameters, self.averages.moving):
            evaluation = self.evaluate()
            text = self.sample() if self.sample else None
            self._log({f"validation_{name}": value for name, value in evaluation.results.items()})
            self.report(f"step {progress.step}: validation {evaluation}")
            if text:
                self.report(text)
            progress.kept = self.averages.keep(progress.kept, progress.step, evaluation.cost)
            if self._keep_if_best(evaluation):
                progress.evaluations_without_improvement = 0
                return
        progress.evaluations_without_improvement += 1
        if config.schedule == "plateau" and progress.evaluations_without_improvement % config.plateau_patience == 0:
            progress.rate_factor /= 2
            self.report(
                f"no better for {progress.evaluations_without_improvement} evaluations: learning rate {self.rate():.3g}"
            )
        if config.patience is not None and progress.evaluations_without_improvement >= config.patience:
            self.report(f"no better for {progress.evaluations_without_improvement} evaluations: stopping early")

    def _measure_mean(self) -> None:
        """Measure the mean of the kept weights; it becomes the best checkpoint if no evaluation was as good."""
        assert self.evaluate is not None
        kept, best_step = self.progress.kept, self.progress.best_step
        with in_use(self.model, self.parameters, self.averages.mean(kept)):
            evaluation = self.evaluate()
            better = self._keep_if_best(evaluation, {"average_of": [int(step) for step in kept]})
        self._log({f"average_{name}": value for name, value in evaluation.results.items()})
        verdict = "better" if better else "no better"
        self.report(f"mean of steps {', '.join(kept)}: validation {evaluation}, {verdict} than step {best_step}")

    def _keep_if_best(self, evaluation: Evaluation, facts: Facts | None = None) -> bool:
        """Write the best checkpoint if no evaluation was as good as this one of the model as it is."""
        progress = self.progress
        if progress.best is not None and not evaluation.cost < progress.best:
            return False
        progress.best, progress.best_nats = evaluation.cost, evaluation.nats_per_token
        progress.best_step = progress.step
        checkpoint.save(self.run.folder, "best", self.model, self.run.tokenizer, self._facts() | (facts or {}))
        return True

    def _facts(self) -> Facts:
        return {**self.run.facts, "step": self.progress.step, "best_validation_nats": self.progress.best_nats}

    def _save_last(self) -> None:
        if self.evaluate is None and self.averages.moving:  # nothing is measured: the newest average is the best
            with in_use(self.model, self.parameters, self.averages.moving):
                checkpoint.save(self.run.folder, "best", self.model, self.run.tokenizer, self._facts())
        tensors = self.learner.gather() | self.averages.tensors()
        plain = dataclasses.asdict(self.progress)
        checkpoint.save(self.run.folder, "last", self.model, self.run.tokenizer, self._facts(), (tensors, plain))
        self.averages.tidy(self.progress.kept)

    def _restore(self, *, rewinding: bool = False) -> None:
        """Put everything where the last checkpoint has it, and cut the log there."""
        tensors, _ = self.learner.restore(self.run.folder, rewinding=rewinding)
        self.progress.kept = self.averages.restore(tensors, self.progress.kept)
        self.log.cut(self.progress.step)

    def _log(self, facts: Facts) -> None:
        progress = self.progress
        place = {
            "epoch": round(self.batches.epochs(progress.cursor), 4),
            "minutes": round(progress.seconds / 60, 3),
            "learning_rate": self.rate(),
        }
        self.log.write(progress.step, place | facts)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Let the first Ctrl-C or SIGTERM end the step and save; a second Ctrl-C ends at once."""

        def ask(number: int, frame: FrameType | None) -> None:
            if self.stop_signal is not None and number == signal.SIGINT:
                raise KeyboardInterrupt
            self.stop_signal = number

        previous = {}
        with contextlib.suppress(ValueError):  # not the main thread: signals stay whose they are
            previous = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        except TextseqError:
            if self.learner.process_group.count > 1:
                previous.clear()  # the launcher is about to end this process too: it must have the time to say why
            raise
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
