"""One step of the optimizer: its gradient, by this process alone or by several together, whole or in pieces.

With W processes, process r reads rows r, r + W, r + 2W... of every batch, and DistributedDataParallel (Li et al. 2020)
adds up their gradients while they are being made. With pieces, a process takes its rows one part after the other, which
needs less memory. Either way the gradient is that of the whole batch, each prediction counting as much as any other.
"""

from __future__ import annotations

import contextlib
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from textseq.checkpoints import checkpoint
from textseq.checkpoints.registry import Facts, newest
from textseq.config.training import TrainingConfig
from textseq.data.batching import Cursor
from textseq.errors import Interrupted, TextseqError
from textseq.nn.cells import State
from textseq.nn.embedding import Embedding
from textseq.nn.losses import Loss
from textseq.training.devices import is_out_of_memory
from textseq.training.distributed.group import ALONE, Order, ProcessGroup
from textseq.training.optimizers import OPTIMIZERS, Parameters, clip, grouped
from textseq.training.state import Progress, gather, random_states, set_random_states, spread


class BatchLike(Protocol):
    """What a step must know of a batch."""

    @property
    def learning_rate_factor(self) -> float: ...
    @property
    def rows(self) -> int:
        """N."""

    @property
    def count(self) -> int:
        """Predictions in it, over which the mean of the loss goes."""

    def slice_rows(self, rows: slice) -> BatchLike:
        """Some of its rows, of which there is one at least."""

    def to(self, device: torch.device) -> BatchLike: ...


class Batches(Protocol):
    """Where batches come from: a pure function of the place."""

    def batch(self, cursor: Cursor) -> tuple[BatchLike, Cursor]: ...
    def epochs(self, cursor: Cursor) -> float: ...


class TrainStep:
    """A model with its optimizer, its place in the data, and the state that is carried there.

    Args:
        model: has ``loss(batch, state)``.
        batches: where its batches come from.
        config: optimizer, limits, seed.
        process_group: those that learn together, of which all must have the same model.
    """

    def __init__(
        self, model: nn.Module, batches: Batches, config: TrainingConfig, process_group: ProcessGroup = ALONE
    ) -> None:
        self.device = next(model.parameters()).device
        self.model, self.batches, self.config, self.process_group = model, batches, config, process_group
        self.progress = Progress()
        self.state: State | None = None
        """Of this process's own rows."""
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        tables = [part for part in model.modules() if isinstance(part, Embedding)]
        self.token_vectors = [parameter for table in tables for parameter in table.parameters()]
        self.layer_groups = _layer_groups(model, self.parameters, config)
        self.optimizer = OPTIMIZERS[config.optimizer](grouped(self.layer_groups, config), config)
        self.objective: nn.Module = _Objective(model)
        if process_group.count > 1:
            with process_group.all_there(), warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # broadcast_buffers has a new name since torch 2.12
                self.objective = DistributedDataParallel(
                    _Objective(model, spare=True), broadcast_buffers=False, find_unused_parameters=True
                )
        self.sending = False  # whether gradients of this step may be on their way to other processes
        self.pending: list[tuple[Tensor, int]] = []  # this process's nats, and all predictions, since the last look

    def begin(self, step: int = 0) -> None:
        """Start the random numbers: each process has its own, and has others where it joins at a later step."""
        mixed = np.random.SeedSequence([self.config.seed, self.process_group.rank, step]).generate_state(1, np.uint64)
        plain = self.process_group.rank == 0 and step == 0
        torch.manual_seed(self.config.seed if plain else int(mixed[0]))

    def step(self, rate: float) -> tuple[Tensor, int]:
        """One step of the optimizer.

        Args:
            rate: the learning rate, before what batch and layer make of it.

        Returns:
            The summed nats of this process's predictions, and the count of all.

        Raises:
            TextseqError: memory for it is lacking, or another process is.
        """
        self.process_group.order(Order.STEP, rate)
        return self._step(rate)

    def look(self) -> tuple[float, int]:
        """The summed nats and the count of all predictions since the last look."""
        self.process_group.order(Order.LOOK)
        return self._look()

    def gather(self) -> dict[str, Tensor]:
        """Everything in tensors that decides what comes next, beside the weights, each under a name."""
        self.process_group.order(Order.GATHER)
        own, *others = self._gather()
        self.progress.processes = self.process_group.count
        tensors = gather(self.parameters, self.optimizer)
        for rank, part in enumerate((own, *others)):
            prefix = f"process{rank}." if rank else ""
            tensors |= {prefix + name: part[name] for name in part if not name.startswith("state.")}
        counting = (own, *others)[: max(self.progress.rows, 1)]  # where rows are fewer than processes, some have none
        states = [name for name in own if name.startswith("state.")]
        return tensors | {name: woven([part[name] for part in counting]) for name in states}

    def restore(self, folder: Path, *, rewinding: bool = False) -> tuple[dict[str, Tensor], Facts]:
        """Put everything where the last checkpoint of a run's folder has it.

        Args:
            folder: the run's.
            rewinding: the run has been there before.

        Returns:
            What it holds beside the weights.

        Raises:
            TextseqError: there is none, or it is damaged.
        """
        self.process_group.order(Order.RESTORE)
        found = self._restore(folder)
        if not rewinding:
            try:
                self.batches.batch(self.progress.cursor)
            except (ValueError, IndexError) as error:
                raise TextseqError(
                    f"{folder} is no run on this text: it goes on where there is nothing ({error}); train anew"
                ) from error
        return found

    def follow(self, folder: Path, *, resume: bool) -> None:
        """Do what the leader says, until it says that the run is over.

        Raises:
            Interrupted: it was stopped, and has saved itself.
            TextseqError: another process has ended.
        """
        with _deaf():
            if not resume:
                self.begin()
            while True:
                order, value = self.process_group.receive()
                if order is Order.STEP:
                    self._step(value)
                elif order is Order.LOOK:
                    self._look()
                elif order is Order.GATHER:
                    self._gather()
                elif order is Order.RESTORE:
                    self._restore(folder)
                elif value:
                    raise Interrupted("", int(value))
                else:
                    return

    def _step(self, rate: float) -> tuple[Tensor, int]:
        progress, made = self.progress, None
        frozen = self._frozen()
        while made is None:
            made = self.gradient()
        nats, count, factor = made
        for parameter in frozen:
            parameter.grad = None
        clip(self.parameters, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * factor * group["scale"]
        self.optimizer.step()
        self.optimizer.zero_grad()
        progress.step += 1
        progress.tokens += count
        self.pending.append((nats, count))
        return nats, count

    def gradient(self) -> tuple[Tensor, int, float] | None:
        """Make the gradient of a step: its nats, its count, and the rate's factor. None: memory was lacking.

        What memory was taken when it fell short is free again once this has returned.
        """
        progress, state, self.sending = self.progress, self.state, False
        cursor, nats, count = progress.cursor, [], 0
        rows = 1
        try:
            for left in reversed(range(self.config.accumulate)):
                batch, cursor = self.batches.batch(cursor)
                rows = batch.rows
                summed, state = self._learn(batch, state, last=left == 0)
                nats.append(summed)
                count += batch.count
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self._take_smaller(rows)
            return None
        self.state = state
        progress.epoch, progress.position = cursor
        progress.rows = rows
        return torch.stack(nats).sum(), count, batch.learning_rate_factor

    def _learn(self, whole: BatchLike, state: State | None, *, last: bool) -> tuple[Tensor, State]:
        """Add the gradient of a batch's mean loss, as far as it is this process's to make.

        Args:
            whole: the batch of all processes.
            state: of this process's rows.
            last: whether the step ends with it.
        """
        rank, every = self.process_group.rank, self.process_group.count
        # Every process must take part, even where there are fewer rows: then its row is one that does not count.
        spare = rank >= whole.rows
        own = whole if every == 1 else whole.slice_rows(slice(0, 1) if spare else slice(rank, None, every))
        # DistributedDataParallel takes the mean over the processes, and what is wanted is their sum.
        scale = 0.0 if spare else every / self.config.accumulate
        micro_batches = min(max(self.progress.micro_batches, self.config.micro_batches), own.rows)
        nats: list[Tensor] = []
        states: list[State] = []
        for piece in range(micro_batches):
            rows = slice(piece, None, micro_batches)
            batch = own if micro_batches == 1 else own.slice_rows(rows)
            carried = state if micro_batches == 1 or not state else tuple(part[:, rows] for part in state)
            with self._synchronised(last and piece == micro_batches - 1):
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16"):
                    summed, penalty, after = self.objective(batch.to(self.device), carried)
                mean = summed / whole.count
                if penalty is not None and batch.count:
                    mean = mean + penalty * (batch.count / whole.count)
                self.sending = every > 1 and last and piece == micro_batches - 1
                torch.autograd.backward(mean * scale)
            nats.append(summed.detach() * (scale > 0))
            states.append(after)
        return torch.stack(nats).sum(), tuple(woven(parts) for parts in zip(*states, strict=True))

    def _synchronised(self, wanted: bool) -> AbstractContextManager[None]:
        """Where gradients are added up over all processes, or are not yet."""
        if not isinstance(self.objective, DistributedDataParallel):
            return contextlib.nullcontext()
        return self.process_group.all_there() if wanted else self.objective.no_sync()

    def _take_smaller(self, rows: int) -> None:
        """After a step that did not fit into memory: cut batches into twice as many pieces from now on."""
        progress = self.progress
        micro_batches = max(progress.micro_batches, self.config.micro_batches)
        if self.sending:  # the others wait for gradients of which some are on their way: there is no way back
            raise TextseqError(
                f"memory ran out in process {self.process_group.rank} at step {progress.step + 1}; go on from the last "
                f"checkpoint with --resume and --micro-batches {2 * micro_batches}"
            )
        if micro_batches >= -(-rows // self.process_group.count):
            raise TextseqError(
                f"memory ran out at step {progress.step + 1} with a batch in single rows; give the run more memory, or "
                "train anew with a smaller --window or smaller layers"
            )
        progress.micro_batches = 2 * micro_batches
        self.optimizer.zero_grad()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _frozen(self) -> list[nn.Parameter]:
        """What does not learn in the next step."""
        config, progress = self.config, self.progress
        frozen = [*self.token_vectors] if progress.step < config.frozen_steps else []
        if config.unfreeze_epochs:
            learning = 1 + int(self.batches.epochs(progress.cursor) / config.unfreeze_epochs)
            frozen += [parameter for stage in self.layer_groups[learning:] for parameter in stage]
        return frozen

    def _look(self) -> tuple[float, int]:
        nats, count = 0.0, 0
        for summed, predictions in self.pending:
            nats += float(summed)
            count += predictions
        self.pending.clear()
        return self.process_group.total(nats), count

    def _gather(self) -> list[dict[str, Tensor]]:
        state = {f"state.{index}": part for index, part in enumerate(self.state or ())}
        own = {"pieces": torch.tensor(self.progress.micro_batches)}
        return self.process_group.gather(state | own | random_states(self.device))

    def _restore(self, folder: Path) -> tuple[dict[str, Tensor], Facts]:
        place = newest(folder, "last")
        if place is None:
            raise TextseqError(f"{folder} holds no checkpoint to resume from; train it anew")
        tensors, plain = checkpoint.load_training(place)
        checkpoint.load_weights(self.model, checkpoint.read_tensors(place / "model.safetensors"), place)
        rank, every = self.process_group.rank, self.process_group.count
        own = f"process{rank}." if rank else ""
        try:
            self.progress = Progress.of(plain)
            self.progress.micro_batches = int(tensors.get(f"{own}pieces", torch.tensor(self.progress.micro_batches)))
            state = spread(tensors, self.parameters, self.optimizer)
            if f"{own}random.cpu" in tensors:
                states = {name.removeprefix(own): tensors[name] for name in tensors if name.startswith(f"{own}random.")}
                set_random_states(states, self.device)
            else:  # of fewer processes
                self.begin(self.progress.step)
        except (ValueError, IndexError, TypeError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise TextseqError(
                f"{place} is no checkpoint of this run ({reason}); restore the folder, or train anew"
            ) from error
        if state and every > 1:
            rows = slice(rank, None, every) if rank < state[0].shape[1] else slice(0, 1)
            state = tuple(part[:, rows].contiguous() for part in state)
        self.state = state
        self.optimizer.zero_grad()
        self.pending.clear()
        return tensors, plain


class _Objective(nn.Module):
    """``model.loss`` as a module's forward, as DistributedDataParallel wants it.

    Some steps leave parameters without a gradient: an initial state, where no stream begins. So DistributedDataParallel
    must look for them, by which its buckets also stay as they are, and the first step after a resume rounds as any
    other. Where it finds none it warns; ``spare`` is one that it always finds.
    """

    def __init__(self, model: nn.Module, *, spare: bool = False) -> None:
        super().__init__()
        self.model = model
        self.spare = nn.Parameter(next(model.parameters()).new_zeros(1)) if spare else None

    def forward(self, batch: BatchLike, state: State | None) -> tuple[Tensor, Tensor | None, State]:
        """The summed nats, the penalty, and the state after the batch."""
        loss: Loss = self.model.loss(batch, state)  # type: ignore[operator]
        return loss.nats, loss.penalty, loss.state


def woven(parts: Sequence[Tensor]) -> Tensor:
    """The whole whose rows 0, P, 2P... along the second axis the first of P parts has, rows 1, P + 1... the second."""
    if len(parts) == 1:
        return parts[0]
    size = list(parts[0].shape)
    size[1] = sum(part.shape[1] for part in parts)
    whole = parts[0].new_empty(size)
    for place, part in enumerate(parts):
        whole[:, place :: len(parts)] = part
    return whole


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """For the while Ctrl-C and SIGTERM are left to the leader, who ends the step and saves."""
    previous = {}
    with contextlib.suppress(ValueError):  # not the main thread: signals stay whose they are
        previous = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except TextseqError:
        previous.clear()  # the launcher is about to end this process too: it must have the time to say why
        raise
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _layer_groups(model: nn.Module, parameters: Parameters, config: TrainingConfig) -> list[Parameters]:
    """The parameters by layer, from the output down, if the model tells them apart; else all in one.

    Raises:
        TextseqError: it does not, and the settings are of layers.
    """
    layer_groups: Callable[[], list[Parameters]] | None = getattr(model, "stages", None)
    if layer_groups is not None:
        return layer_groups()
    if config.layer_decay != 1 or config.unfreeze_epochs:
        raise TextseqError("--layer-decay and --unfreeze-epochs are not for translators; leave them out")
    return [parameters]
