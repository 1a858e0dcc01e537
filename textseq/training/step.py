"""One step of the optimizer, by one process or several, with whole batches or micro-batches.

With W processes, process r reads rows r, r + W, r + 2W... of every batch, and DistributedDataParallel (Li et al. 2020)
sums their gradients. With micro-batches, a process takes its rows one part after the other, which needs less memory.
Either way the gradient is that of the whole batch: each prediction has the same weight, or in plain batches, whose
predictions are not counted beforehand, each row.
"""

from __future__ import annotations

import contextlib
import signal
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from textseq.checkpoints import checkpoint
from textseq.checkpoints.registry import newest
from textseq.config.training import TrainingConfig
from textseq.errors import Interrupted, TextseqError
from textseq.nn.cells import State
from textseq.nn.embedding import Embedding
from textseq.training.batches import Batches, BatchLike, Objective
from textseq.training.devices import is_out_of_memory
from textseq.training.distributed.group import SINGLE_PROCESS, Command, ProcessGroup
from textseq.training.distributed.signals import signal_handler
from textseq.training.optimizers import OPTIMIZERS, clip, clipped_norm, grouped, layer_groups
from textseq.training.state import (
    Progress,
    Sums,
    checkpoint_errors,
    interleave,
    optimizer_tensors,
    random_states,
    restore_optimizer,
    set_random_states,
)


class AbandonedStep(Exception):
    """A step of several batches was stopped between two of them; everything is as before it."""


class StepResult(NamedTuple):
    """The numbers of one step; the tensors are scalars on the model's device."""

    total: Tensor
    """Summed loss of this process's rows."""
    local_count: int
    """Predictions in these rows."""
    total_count: int
    """Predictions in the rows of all processes."""
    norm: Tensor
    """Of the gradient before clipping."""
    norm_before_scaling: Tensor
    """The same after ``clip_value`` and before ``clip_norm``."""


class TrainStep:
    """A model with its optimizer, its place in the data, and the state carried from batch to batch.

    Args:
        model: has ``loss(batch, state)``; see ``Trainer``.
        batches: the source of its batches.
        config: optimizer, limits, seed.
        process_group: the processes that train together; all must have the same model.
        objective: as of ``Trainer``.

    Example:
        >>> group = join_process_group("cpu")  # in a process that torchrun has started
        >>> if not group.leads:  # the first one runs Trainer(model, batches, config, process_group=group).fit()
        ...     TrainStep(model, as_batches(batches, config.seed), config, group).follow(folder, resume=False)
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Batches,
        config: TrainingConfig,
        process_group: ProcessGroup = SINGLE_PROCESS,
        *,
        objective: nn.Module | None = None,
    ) -> None:
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        objective = objective or model
        if not self.parameters or not callable(getattr(objective, "loss", None)):
            raise TextseqError(
                f"model: expected a module with weights and a method loss(batch, state), got {type(model).__name__}"
            )
        self.device = self.parameters[0].device
        self.model, self.batches, self.config, self.process_group = model, batches, config, process_group
        self.progress = Progress()
        self.state: State | None = None
        """Of this process's rows."""
        tables = [part for part in model.modules() if isinstance(part, Embedding)]
        self.token_vectors = [parameter for table in tables for parameter in table.parameters()]
        self.layer_groups = layer_groups(model, self.parameters, config)
        self.optimizer = OPTIMIZERS[config.optimizer](grouped(self.layer_groups, config), config)
        self.objective: nn.Module = Objective(objective)
        if process_group.count > 1:
            with process_group.connection_errors(), warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # broadcast_buffers has a new name since torch 2.12
                self.objective = DistributedDataParallel(
                    Objective(objective, spare=True), broadcast_buffers=False, find_unused_parameters=True
                )
        self.stopping: Callable[[], bool] = lambda: False
        """Whether a signal asks to stop; a single process then abandons a step of several batches."""
        self.restored: Path | None = None
        """The checkpoint that the state is from, until the next step."""
        self.sending = False  # gradients of this step may be on their way to other processes
        self.unread: list[StepResult] = []  # since the last ``read``

    def begin(self, step: int = 0) -> None:
        """Seed the random numbers: differently in each process, and in one that joins at a later step."""
        mixed = np.random.SeedSequence([self.config.seed, self.process_group.rank, step]).generate_state(1, np.uint64)
        plain = self.process_group.rank == 0 and step == 0
        torch.manual_seed(self.config.seed if plain else int(mixed[0]))

    def step(self, rate: float) -> StepResult:
        """One step of the optimizer, with a learning rate before the factors of batch and layer."""
        self.process_group.send(Command.STEP, rate)
        return self._step(rate)

    def read(self) -> Sums:
        """Sum the results of all processes and steps since the last call; waits for the device."""
        self.process_group.send(Command.READ)
        return self._read()

    def gather(self) -> dict[str, Tensor]:
        """All tensors besides the weights that decide what comes next, each under a name."""
        self.process_group.send(Command.GATHER)
        by_rank = self._gather()
        self.progress.processes = self.process_group.count
        tensors = optimizer_tensors(self.parameters, self.optimizer)
        for rank, part in enumerate(by_rank):
            prefix = f"process{rank}." if rank else ""
            tensors |= {prefix + name: part[name] for name in part if not name.startswith("state.")}
        with_rows = by_rank[: max(self.progress.rows, 1)]  # with fewer rows than processes, some have none
        states = [name for name in by_rank[0] if name.startswith("state.")]
        return tensors | {name: interleave([part[name] for part in with_rows]) for name in states}

    def restore(self, folder: Path, *, rollback: bool = False) -> dict[str, Tensor]:
        """Restore the last checkpoint of a run's folder; returns its tensors besides the weights.

        In a rollback the data is not checked: this process wrote the checkpoint.
        """
        self.process_group.send(Command.RESTORE)
        tensors = self._restore(folder)
        if not rollback:
            try:
                self.batches.batch(self.progress.cursor)
            except (ValueError, IndexError) as error:
                raise TextseqError(
                    f"{folder} was not trained on this data: there is no batch where it should continue ({error}); "
                    "train it again from the start"
                ) from error
        return tensors

    def follow(self, folder: Path, *, resume: bool) -> None:
        """Execute the commands of the first process until the run is over; raises Interrupted if it was stopped."""
        with signal_handler(signal.SIG_IGN, self.process_group.count):  # the first process ends the step and saves
            if not resume:
                self.begin()
            while True:
                command, value = self.process_group.receive()
                if command is Command.STEP:
                    self._step(value)
                elif command is Command.READ:
                    self._read()
                elif command is Command.GATHER:
                    self._gather()
                elif command is Command.RESTORE:
                    self._restore(folder)
                elif value:
                    raise Interrupted("", int(value))
                else:
                    return

    def _step(self, rate: float) -> StepResult:
        """A step; in the first after a restored checkpoint it shows whether its tensors fit the model."""
        restored, self.restored = self.restored, None
        with checkpoint_errors(restored) if restored else contextlib.nullcontext():
            return self._learn_step(rate)

    def _learn_step(self, rate: float) -> StepResult:
        progress, gradient = self.progress, None
        frozen = self._frozen()
        while gradient is None:
            gradient = self.gradient()
        total, local_count, count, factor = gradient
        for parameter in frozen:
            parameter.grad = None
        norms = clip(self.parameters, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * factor * group["scale"]
        self.optimizer.step()
        self.optimizer.zero_grad()
        progress.step += 1
        progress.tokens += count
        self.unread.append(StepResult(total, local_count, count, *norms))
        return self.unread[-1]

    def gradient(self) -> tuple[Tensor, int, int, float] | None:
        """Compute the gradient of a step; returns None and uses smaller micro-batches if memory runs out.

        Returns:
            Summed loss and count of this process's rows, count of all rows, and the mean factor of the learning rate.

        Raises:
            AbandonedStep: ``stopping`` asks for it between two batches.
        """
        progress, state, self.sending = self.progress, self.state, False
        cursor, local_count, count, rows, accumulate = progress.cursor, 0, 0, 1, self.config.accumulate
        totals: list[Tensor] = []
        factors: list[float] = []
        random = random_states(self.device) if accumulate > 1 else {}
        try:
            for left in reversed(range(accumulate)):
                if totals and self.process_group.count == 1 and self.stopping():
                    set_random_states(random, self.device, "")
                    self.optimizer.zero_grad()
                    raise AbandonedStep
                batch, cursor = self.batches.batch(cursor)
                rows = batch.rows
                total, part_count, state = self._learn(batch, state, last=left == 0)
                totals.append(total)
                factors.append(batch.learning_rate_factor)
                local_count += part_count
                count += batch.count
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self._use_smaller_micro_batches(rows)
            return None
        self.state = state
        progress.epoch, progress.position = cursor
        progress.rows = rows
        return torch.stack(totals).sum(), local_count, count, fmean(factors)

    def _learn(self, whole: BatchLike, state: State | None, *, last: bool) -> tuple[Tensor, int, State | None]:
        """Add the gradient of this process's rows of a batch; returns their summed loss, count and state."""
        rank, processes = self.process_group.rank, self.process_group.count
        # All processes must take part: if there are fewer rows, one gets a row whose loss is multiplied by 0.
        spare = rank >= whole.rows
        part = whole if processes == 1 else whole.slice_rows(slice(0, 1) if spare else slice(rank, None, processes))
        # DistributedDataParallel takes the mean over the processes, but the sum is needed.
        scale = 0.0 if spare else processes / self.config.accumulate
        micro_batches = min(max(self.progress.micro_batches, self.config.micro_batches), part.rows)
        totals: list[Tensor] = []
        states: list[State] = []
        for index in range(micro_batches):
            rows = slice(index, None, micro_batches)
            batch = part if micro_batches == 1 else part.slice_rows(rows)
            carried = state if micro_batches == 1 or not state else tuple(tensor[:, rows] for tensor in state)
            final = last and index == micro_batches - 1
            with self._synchronised(final):
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16"):
                    total, penalty, after = self.objective(batch.to(self.device), carried)
                mean = total / whole.count
                if penalty is not None and batch.count:
                    mean = mean + penalty * (batch.count / whole.count)
                self.sending = processes > 1 and final
                torch.autograd.backward(mean * scale)
            totals.append(total.detach() * (scale > 0))
            states.append(after)
        state = tuple(interleave(parts) for parts in zip(*states, strict=True)) or None
        return torch.stack(totals).sum(), 0 if spare else part.count, state

    def _synchronised(self, final: bool) -> AbstractContextManager[None]:
        """Sum the gradients over all processes in the final backward pass of a step only."""
        if not isinstance(self.objective, DistributedDataParallel):
            return contextlib.nullcontext()
        return self.process_group.connection_errors() if final else self.objective.no_sync()

    def _use_smaller_micro_batches(self, rows: int) -> None:
        """Cut batches into twice as many micro-batches, after running out of memory."""
        progress = self.progress
        micro_batches = max(progress.micro_batches, self.config.micro_batches)
        if self.sending:  # some gradients are on their way to the others: the step cannot be repeated
            raise TextseqError(
                f"memory ran out in process {self.process_group.rank} at step {progress.step + 1}; continue from the "
                f"last checkpoint with --resume and --micro-batches {2 * micro_batches}"
            )
        if micro_batches >= -(-rows // self.process_group.count):
            raise TextseqError(
                f"memory ran out at step {progress.step + 1} although the batch is cut into single rows; give the run "
                "more memory, or train with a smaller --window or smaller layers"
            )
        progress.micro_batches = 2 * micro_batches
        self.optimizer.zero_grad()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _frozen(self) -> list[nn.Parameter]:
        """The parameters that do not learn in the next step."""
        config, progress = self.config, self.progress
        frozen = [*self.token_vectors] if progress.step < config.frozen_steps else []
        if config.unfreeze_epochs:
            learning = 1 + int(self.batches.epochs(progress.cursor) / config.unfreeze_epochs)
            frozen += [parameter for group in self.layer_groups[learning:] for parameter in group]
        return frozen

    def _read(self) -> Sums:
        loss, count, norm, clipped, steps = 0.0, 0, 0.0, 0.0, len(self.unread)
        scalars = [tensor.to(self.device) for result in self.unread for tensor in (result.total, *result[-2:])]
        values = iter(torch.stack(scalars).tolist() if scalars else ())
        for result in self.unread:
            loss += next(values)
            norm += next(values)
            clipped += clipped_norm(next(values), self.config)
            count += result.total_count
        self.unread.clear()
        return Sums(self.process_group.total(loss), count, steps, norm, clipped)

    def _gather(self) -> list[dict[str, Tensor]]:
        state = {f"state.{index}": tensor for index, tensor in enumerate(self.state or ())}
        micro_batches = {"micro_batches": torch.tensor(self.progress.micro_batches)}
        return self.process_group.gather(state | micro_batches | random_states(self.device))

    def _restore(self, folder: Path) -> dict[str, Tensor]:
        last = newest(folder, "last")
        if last is None:
            raise TextseqError(f"{folder} has no checkpoint to resume from; train it from the start")
        tensors, values = checkpoint.load_training(last)
        weights = checkpoint.read_tensors(last / "model.safetensors")
        checkpoint.load_weights(self.model, weights, last, from_config=False)
        rank, processes = self.process_group.rank, self.process_group.count
        prefix = f"process{rank}." if rank else ""
        with checkpoint_errors(last):
            progress = self.progress = Progress.from_dict(values)
            progress.micro_batches = int(tensors.get(f"{prefix}micro_batches", torch.tensor(progress.micro_batches)))
            state = restore_optimizer(tensors, self.parameters, self.optimizer)
            if f"{prefix}random.cpu" in tensors:
                set_random_states(tensors, self.device, prefix)
            else:  # saved by fewer processes
                self.begin(progress.step)
            if state and processes > 1:
                rows = slice(rank, None, processes) if rank < state[0].shape[1] else slice(0, 1)
                state = tuple(tensor[:, rows].contiguous() for tensor in state)
        self.state, self.restored = state, last
        self.optimizer.zero_grad()
        self.unread.clear()
        return tensors
