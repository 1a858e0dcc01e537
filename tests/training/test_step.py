"""A step whole, in pieces, or by several processes: the same gradient, and the same after a resume.

Run as a script under a launcher's variables, this file is one of the several processes.
"""

from __future__ import annotations

import copy
import importlib
import json
import math
import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from children import Child
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from textseq.commands.command import run
from textseq.config.training import TrainingConfig
from textseq.data.batching import Cursor
from textseq.errors import TextseqError
from textseq.nn.cells import State
from textseq.nn.losses import Loss
from textseq.tasks.classification.batches import TextBatches
from textseq.tasks.classification.config import ClassifierConfig
from textseq.tasks.classification.model import ClassifierModel
from textseq.tasks.language_model.batches import Streams, WindowBatch
from textseq.tasks.language_model.config import DataConfig, LanguageModelConfig
from textseq.tasks.language_model.model import LanguageModel
from textseq.tasks.tagging.batches import TagBatch, TagBatches
from textseq.tasks.tagging.config import TaggedConfig, TaggerConfig, TagOutput
from textseq.tasks.tagging.lexicon import Lexicon
from textseq.tasks.tagging.model import TaggerModel
from textseq.tasks.translation.batches import PairBatch, PairBatches
from textseq.tasks.translation.config import PairConfig, TranslationModelConfig
from textseq.tasks.translation.model import TranslationModel
from textseq.training import batch_size
from textseq.training.batch_size import auto_batch_size
from textseq.training.batches import Batches, BatchLike
from textseq.training.distributed.environment import DistributedEnvironment, environment
from textseq.training.distributed.group import Command, join_process_group
from textseq.training.state import interleave, restore_optimizer
from textseq.training.step import TrainStep
from textseq.training.trainer import Trainer

V = 9
PLAIN = TrainingConfig(
    optimizer="sgd", momentum=0, learning_rate=0.5, schedule="constant", warmup_steps=0, max_steps=8, clip_norm=1.0
)


@dataclass(frozen=True)
class Text:
    """Random ids in documents of random lengths."""

    ids: np.ndarray
    document_starts: np.ndarray


def text(documents: int, longest: int, seed: int = 1) -> Text:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, longest, size=documents)
    return Text(rng.integers(V, size=lengths.sum()), np.cumsum([0, *lengths[:-1]]))


def writer() -> tuple[nn.Module, Batches]:
    """Its streams begin with a learnt state, which has a gradient in few steps; and it has a penalty."""
    sizes = {"hidden_size": 7, "embedding_size": 5, "num_layers": 2, "dropout": 0.0, "temporal_penalty": 0.3}
    config = LanguageModelConfig(**sizes, learn_initial_state=True)  # type: ignore[arg-type]
    return LanguageModel(config, V), Streams(text(40, 60), DataConfig(batch_size=7, window=6), seed=1)


def translator() -> tuple[nn.Module, Batches]:
    """Its targets come in windows, and the last pairs of an epoch are fewer than three."""
    config = TranslationModelConfig(
        embedding_size=6, encoder_size=4, hidden_size=8, attention_size=6, dropout=0, embedding_dropout=0
    )
    data = PairConfig(tokenizer="char", batch_size=4, window=5)
    return TranslationModel(config, V, V), PairBatches(text(9, 14), text(9, 14, seed=2), (V, V), data, seed=1)


def classifier() -> tuple[nn.Module, Batches]:
    config = ClassifierConfig(embedding_size=6, hidden_size=5, dropout=0, embedding_dropout=0, label_smoothing=0.1)
    weights = torch.tensor([0.5, 1.5])
    labels = np.arange(13) % 2
    return ClassifierModel(config, V, 2, weights), TextBatches(text(13, 20), labels, 5, seed=1)


def tagger(output: TagOutput = "crf", per_letter: int | None = None) -> tuple[nn.Module, Batches]:
    words = [f"{'ab' * (n % 4)}{'cd' * (n % 3)}" or "e" for n in range(60)]
    if output == "ctc":
        words = ["abcde"[n % 5] for n in range(60)]  # letters
    sentences = [(tuple(words[n : n + 1 + n % 5]), ("X", "X", "Y", "Z", "Y")[: 1 + n % 5]) for n in range(0, 55, 4)]
    lexicon = Lexicon.train([one for one, _ in sentences], TaggedConfig(minimum_count=1))
    sizes = {"hidden_size": 6, "embedding_size": 5, "letter_size": 4, "letter_hidden_size": 3}
    config = TaggerConfig(**sizes, dropout=0, embedding_dropout=0, word_dropout=0, output=output)  # type: ignore[arg-type]
    batches = TagBatches(sentences, lexicon, ("X", "Y", "Z"), 4, 1, per_letter)
    return TaggerModel(config, lexicon.size, lexicon.letters.size, 3), batches


TASKS: dict[str, Callable[[], tuple[nn.Module, Batches]]] = {
    "writer": writer,
    "translation": translator,
    "classification": classifier,
    "tagging": tagger,
}


def made(task: str) -> tuple[nn.Module, Batches]:
    torch.manual_seed(3)
    return TASKS[task]()


def settings(**changes: object) -> TrainingConfig:
    return TrainingConfig.from_dict({**PLAIN.to_dict(), **changes}, where="the test")


CONFIGS = {"plain": settings(), "accumulated": settings(accumulate=2), "adamw": settings(optimizer="adamw")}


def learn(leader: TrainStep, steps: int) -> dict[str, Tensor]:
    """What some steps make of a model: weights, losses and carried state."""
    losses: list[float] = []
    states: dict[str, Tensor] = {}
    for step in range(steps):
        leader.step(0.5 if leader.config.optimizer == "sgd" else 0.01)
        sums = leader.read()
        losses.append(sums.loss / sums.predictions)
        found = leader.gather()
        states |= {f"{name} after {step}": found[name] for name in found if name.startswith("state.")}
    weights = {name: tensor.detach().clone() for name, tensor in leader.model.named_parameters()}
    return {**weights, **states, "losses": torch.tensor(losses)}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("micro_batches", [2, 3, 100])
def test_pieces_of_a_batch_give_the_gradient_of_the_whole(task: str, micro_batches: int) -> None:
    model, batches = made(task)
    whole = learn(TrainStep(copy.deepcopy(model), batches, CONFIGS["accumulated"]), 6)
    cut = learn(TrainStep(model, batches, replace(CONFIGS["accumulated"], micro_batches=micro_batches)), 6)
    assert whole.keys() == cut.keys()
    for name in whole:
        torch.testing.assert_close(cut[name], whole[name], msg=name)


@pytest.mark.parametrize("task", [*TASKS, "softmax", "ctc"])
def test_a_batch_counts_what_its_loss_is_the_sum_of(task: str) -> None:
    """Its gradient is divided by the one, and what is measured by the other."""
    if task == "ctc":  # of one frame to a letter: some texts have too few to write their tags
        model, batches = tagger("ctc", per_letter=1)
        model.frames = 1  # type: ignore[assignment]
    else:
        model, batches = tagger("softmax") if task == "softmax" else made(task)
    cursor, counts, tags = Cursor(), [], 0
    while cursor.epoch == 0:
        batch, cursor = batches.batch(cursor)
        loss: Loss = model.loss(batch, None)  # type: ignore[operator]
        assert loss.count == batch.count
        counts.append(batch.count)
        tags += int(batch.tag_counts.sum()) if isinstance(batch, TagBatch) else 0
    assert sum(counts) < tags or task != "ctc"


def test_interleaving_undoes_the_cut() -> None:
    whole = torch.randn(2, 7, 3)
    for parts in range(1, 8):
        assert torch.equal(interleave([whole[:, part::parts] for part in range(parts)]), whole)


class Narrow(nn.Module):
    """A language model with memory for so many rows, or none."""

    def __init__(self, rows: int, error: Callable[[], Exception]) -> None:
        super().__init__()
        self.model, _ = made("writer")
        self.rows, self.error = rows, error

    def loss(self, batch: WindowBatch, state: State | None) -> Loss:
        loss: Loss = self.model.loss(batch, state)  # type: ignore[operator]
        if batch.rows > self.rows:
            raise self.error()
        return loss


ERRORS: dict[str, Callable[[], Exception]] = {
    "cuda": lambda: torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "cpu": lambda: RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
    "python": MemoryError,
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path))
    return tmp_path / "runs" / "test"


@pytest.mark.parametrize(("error", "rows", "micro_batches"), [("cuda", 2, 4), ("cpu", 4, 2), ("python", 1, 8)])
def test_a_step_that_does_not_fit_is_done_in_pieces_and_that_is_said_once(
    place: Path, error: str, rows: int, micro_batches: int
) -> None:
    _, batches = made("writer")
    lines: list[str] = []
    model = Narrow(rows, ERRORS[error])
    loop = Trainer(model, batches, settings(accumulate=2, max_steps=6), folder=place, report=lines.append)
    loop.fit(show_progress=False)
    assert [line for line in lines if "fit" in line] == [
        f"step 1 did not fit into memory: batches are cut into {micro_batches} micro-batches from now on, which takes "
        "longer"
    ]
    plain = TrainStep(made("writer")[0], batches, settings(accumulate=2))
    for _ in range(6):
        plain.step(0.5)
    for ours, theirs in zip(model.parameters(), plain.parameters, strict=True):
        torch.testing.assert_close(ours, theirs)
    again = Trainer(model, batches, settings(accumulate=2, max_steps=8), folder=place, resume=True, report=lines.append)
    again.fit(show_progress=False)
    assert again.progress.micro_batches == micro_batches
    assert len([line for line in lines if "fit" in line]) == 1


def test_where_not_a_single_row_fits_the_run_ends_in_words(place: Path) -> None:
    with pytest.raises(
        TextseqError, match=r"memory ran out at step 1 although the batch is cut into single rows; .*--window"
    ):
        Trainer(Narrow(0, MemoryError), made("writer")[1], settings(), folder=place).fit(show_progress=False)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("step", "many"), ("step", -1), ("step", True), ("step", 1.5), ("epoch", -1), ("position", 10**9),
        ("position", 10**400), ("best", "good"), ("seconds", None), ("averaged_checkpoints", {"a": 1}),
        ("averaged_checkpoints", [1]), ("color", 1),
    ],
)  # fmt: skip
def test_a_checkpoint_that_tells_of_no_such_progress_is_refused(place: Path, key: str, value: object) -> None:
    model, batches = made("writer")
    Trainer(model, batches, settings(max_steps=4), folder=place).fit(show_progress=False)
    (last,) = place.glob("last-*")
    facts = json.loads((last / "training.json").read_text())
    (last / "training.json").write_text(json.dumps({**facts, key: value}))
    refused = r"last-\d is (not a checkpoint|damaged).*restore the folder|was not trained on this data"
    with pytest.raises(TextseqError, match=refused):
        Trainer(model, batches, settings(max_steps=5), folder=place, resume=True)


def test_any_other_error_is_not_taken_for_a_lack_of_memory(place: Path) -> None:
    model = Narrow(0, lambda: RuntimeError("shapes do not fit"))
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        Trainer(model, made("writer")[1], settings(), folder=place).fit(show_progress=False)


@pytest.mark.parametrize(
    ("step", "rows", "free", "found", "why"),
    [
        (lambda rows: 1.0, 1000, 1e9, 100, "the text gives no larger batch"),
        (lambda rows: rows, 1000, 1e9, 16, "a larger batch is hardly faster"),
        (lambda rows: max(rows, 32), 1000, 1e9, 32, "a larger batch is hardly faster"),
        (lambda rows: 1.0, 40, 1e9, 32, "a larger batch does not fit into memory"),
        (lambda rows: 1.0, 1000, 2.5e6, 32, "a larger batch would not fit into memory"),
    ],
)
def test_auto_takes_what_fits_and_what_is_faster(
    monkeypatch: pytest.MonkeyPatch, step: Callable[[int], float], rows: int, free: float, found: int, why: str
) -> None:
    """A step takes 30 kB for each row here, and the time that is told."""
    now, taken = 0.0, 0.0
    model = Narrow(rows, MemoryError)
    plain = model.loss

    def loss(batch: WindowBatch, state: State | None) -> Loss:
        nonlocal now, taken
        now, taken = now + step(batch.rows), max(taken, batch.rows * 3e4)
        return plain(batch, state)

    monkeypatch.setattr(model, "loss", loss)
    monkeypatch.setattr(batch_size, "_peak", lambda device: taken)
    hundred = Text(np.zeros(100 * 17, np.int64), np.zeros(1, np.int64))

    def batches(rows: int) -> Streams:
        return Streams(hundred, DataConfig(batch_size=rows, window=16), seed=1)

    before = [parameter.clone() for parameter in model.parameters()]
    fit = auto_batch_size(model, batches, PLAIN, free=lambda device: free, clock=lambda: now)
    assert fit == (found, why)
    assert all(map(torch.equal, before, model.parameters()))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_auto_says_so_where_nothing_fits() -> None:
    def batches(rows: int) -> Streams:
        return Streams(text(40, 60), DataConfig(batch_size=rows, window=6), seed=1)

    with pytest.raises(TextseqError, match="--batch-size auto: not even a batch of 16 rows fits"):
        auto_batch_size(Narrow(0, MemoryError), batches, PLAIN)


@pytest.mark.parametrize("task", ["translation", "classification", "tagging"])
def test_the_largest_batch_is_found(task: str) -> None:
    _, batches = made(task)
    if isinstance(batches, PairBatches):
        batches.config = replace(batches.config, window=200)
    assert isinstance(batches, (PairBatches, TextBatches, TagBatches))
    batches.batch_size = 3
    cursor, sizes = Cursor(), {}
    while cursor.epoch == 0:
        batch, following = batches.batch(cursor)
        assert batch.rows <= 3
        sides = (batch.source, batch.targets) if isinstance(batch, PairBatch) else (batch.ids,)
        sizes[cursor] = max(side.numel() for side in sides)
        cursor = following
    assert sizes[batches.largest()] == max(sizes.values())


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, DistributedEnvironment()),
        ({"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}, DistributedEnvironment(3, 4, 1, 4)),
        ({"RANK": "3", "WORLD_SIZE": "4"}, DistributedEnvironment(3, 4, 3, 4)),
        ({"RANK": "", "WORLD_SIZE": "1"}, DistributedEnvironment()),
        (
            {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"},
            DistributedEnvironment(3, 4, 1, 2),
        ),
    ],
)
def test_the_launcher_says_which_process_this_is(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: DistributedEnvironment
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert environment() == expected


@pytest.mark.parametrize("variables", [{"RANK": "two"}, {"RANK": "2", "WORLD_SIZE": "2"}, {"WORLD_SIZE": "-1"}])
def test_a_launcher_that_talks_nonsense_is_told(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TextseqError, match="RANK: expected a number from 0 to WORLD_SIZE - 1, got RANK="):
        environment()


def together(count: int, *arguments: str, folder: Path) -> list[tuple[int, str]]:
    """Run this file as so many processes of a job; their exit codes and what they said on stderr."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    job = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    job |= {"OMP_NUM_THREADS": "1", "TEXTSEQ_HOME": str(folder)}
    code = Path(__file__).read_text(encoding="utf-8")
    processes = [Child(code, arguments, {**job, "RANK": str(rank)}) for rank in range(count)]
    return [(process.wait(), process.communicate()[1]) for process in processes]


def test_several_processes_learn_what_one_does(tmp_path: Path) -> None:
    """Three, so that some batches have fewer rows; two are in the tests below."""
    done = together(3, "learn", str(tmp_path / "found.safetensors"), folder=tmp_path)
    assert [code for code, _ in done] == [0] * 3, done
    found = load_file(tmp_path / "found.safetensors")
    for task in TASKS:
        for kind, config in CONFIGS.items():
            model, batches = made(task)
            expected = learn(TrainStep(model, batches, config), 6)
            for name, tensor in expected.items():
                if config.optimizer == "adamw" and name != "losses":
                    continue  # it makes a whole step of what is but rounding
                what = f"{task}.{kind}.{name}"
                torch.testing.assert_close(found[what], tensor, rtol=1e-4, atol=1e-5, msg=what)
    for name, tensor in learn(TrainStep(*made("writer"), CONFIGS["plain"]), 6).items():
        torch.testing.assert_close(found[f"lacking.{name}"], tensor, rtol=1e-4, atol=1e-5, msg=name)
    assert bool(found["same weights in all"]) and bool(found["own random numbers"])


TEXT = "the rose is not a rose, and the sun is not the moon.\n" * 60
TRAIN = (
    "--text text.txt --name mine --hidden-size 12 --embedding-size 6 --num-layers 2 --dropout 0.3 --batch-size 5 "
    "--window 8 --schedule constant --precision float32 --save-every 4 --evaluate-every 6 --max-epochs 1000"
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "text.txt").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    yield tmp_path


def weights_of(home: Path) -> dict[str, Tensor]:
    (last,) = (home / "runs" / "mine").glob("last-*")
    return load_file(last / "model.safetensors")


def said_by(done: list[tuple[int, str]]) -> str:
    assert all("Traceback" not in said for _, said in done), done
    return "".join(said for _, said in done)


def test_a_job_goes_on_bit_for_bit_and_with_other_processes_in_words(home: Path) -> None:
    done = together(2, "train", *TRAIN.split(), "--max-steps", "14", folder=home)
    assert [code for code, _ in done] == [0, 0], done
    assert done[1][1] == "", "the first alone speaks"
    assert done[0][1].count("the model is in") == 1
    whole = weights_of(home)
    together(2, "train", *TRAIN.split(), "--max-steps", "8", "--overwrite", folder=home)
    resumed = together(2, "train", "--resume", "mine", "--max-steps", "14", folder=home)
    assert [code for code, _ in resumed] == [0, 0], resumed
    assert "note:" not in said_by(resumed)
    for name, tensor in weights_of(home).items():
        assert torch.equal(tensor, whole[name]), name
    fewer = together(1, "train", "--resume", "mine", "--max-steps", "16", folder=home)
    assert fewer[0][0] == 0
    assert (
        said_by(fewer).count("note: the run started with processes 2 and resumes with processes 1: results will not")
        == 1
    )


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="wants SIGKILL")
@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_process_ends_the_job_in_one_line_and_it_goes_on_from_there(home: Path, lost: int) -> None:
    done = together(2, "die", str(lost), *TRAIN.split(), "--max-steps", "14", folder=home)
    assert done[lost][0] == -signal.SIGKILL
    assert done[1 - lost][0] == 2, done
    which = " (process 1)" if lost == 0 else ""
    ended = "another process of the job has ended; a training continues from its last checkpoint with --resume"
    assert done[1 - lost][1].splitlines()[-1] == f"textseq-train{which}: {ended}"
    resumed = together(2, "train", "--resume", "mine", folder=home)
    assert [code for code, _ in resumed] == [0, 0], resumed


def test_a_loss_that_is_no_number_in_any_process_takes_all_of_them_back(home: Path) -> None:
    done = together(2, "nan", "1", *TRAIN.split(), "--max-steps", "14", folder=home)
    assert [code for code, _ in done] == [0, 0], done
    assert (
        said_by(done).count("diverged at step 8 (nan nats per token): back to step 4 with half the learning rate") == 1
    )


def test_memory_that_runs_out_on_the_way_back_ends_the_job_in_words(home: Path) -> None:
    done = together(2, "lack", "1", *TRAIN.split(), "--max-steps", "14", folder=home)
    assert [code for code, _ in done] == [2, 2], done
    told = (
        "memory ran out in process 1 at step 7; continue from the last checkpoint with --resume and --micro-batches 2"
    )
    assert f"textseq-train (process 1): {told}" in said_by(done)
    resumed = together(2, "train", "--resume", "mine", "--micro-batches", "2", folder=home)
    assert [code for code, _ in resumed] == [0, 0], resumed


def test_what_is_wrong_is_said_once(home: Path) -> None:
    done = together(2, "train", "--nme", "mine", folder=home)
    assert [code for code, _ in done] == [2, 2]
    assert said_by(done).count("unknown flag --nme; did you mean --name?") == 1, done


def test_what_is_wrong_is_said_once_under_a_launcher(home: Path) -> None:
    """By torch's own launcher, which stays when the first process has failed."""
    processes = ["--standalone", "--nproc-per-node", "2", "-m", "textseq.cli.train"]
    launcher = Child("from torch.distributed.run import main; main()", [*processes, "--text", "nowhere.txt"])
    assert launcher.wait(timeout=300)
    _, stderr = launcher.communicate()
    assert stderr.count("no file or folder") == 1, stderr


def test_several_processes_do_not_train_one_model_after_the_other(home: Path) -> None:
    (home / "table.csv").write_text("text,label\n" + "good day,yes\nbad day,no\n" * 30)
    done = together(2, "train", "--labelled", "table.csv", "--seeds", "2", folder=home)
    assert [code for code, _ in done] == [2, 2]
    assert "--folds and --seeds train one model after the other" in said_by(done)


def _learn_together(target: Path) -> None:
    """Every task, as the first process or as one of those that follow."""
    process_group = join_process_group("cpu")
    found: dict[str, Tensor] = {}
    for task in TASKS:
        for kind, config in CONFIGS.items():
            model, batches = made(task)
            one = TrainStep(model, batches, config, process_group)
            if not process_group.leads:
                one.follow(target, resume=False)
                continue
            found |= {f"{task}.{kind}.{name}": tensor for name, tensor in learn(one, 6).items()}
            process_group.send(Command.END)
    if process_group.rank == 1:  # which is short of memory, and the others never know
        model, batches = Narrow(1, MemoryError), made("writer")[1]
    else:
        model, batches = made("writer")
    one = TrainStep(model, batches, CONFIGS["plain"], process_group)
    if process_group.leads:
        found |= {f"lacking.{name}": tensor for name, tensor in learn(one, 6).items()}
        process_group.send(Command.END)
    else:
        one.follow(target, resume=False)
    sums = {"sum": torch.stack([parameter.double().sum() for parameter in model.parameters()]).sum()}
    seen = process_group.gather(sums | {"random": torch.rand(3)})
    if process_group.leads:
        found["same weights in all"] = torch.tensor(all(torch.equal(one["sum"], seen[0]["sum"]) for one in seen))
        found["own random numbers"] = torch.tensor(not torch.equal(seen[0]["random"], seen[1]["random"]))
        save_file(found, target)


def _fail_in_a_step(how: str, rank: int) -> None:
    """Die before the seventh step, lack memory in the middle of its gradient, or once find a loss that is no number."""
    plain = TrainStep._learn
    found = 0

    def lack(gradient: Tensor) -> Tensor:
        raise MemoryError

    def learn(
        self: TrainStep, whole: BatchLike, state: State | None, *, last: bool
    ) -> tuple[Tensor, int, State | None]:
        nonlocal found
        if self.process_group.rank != rank or self.progress.step != 6:
            return plain(self, whole, state, last=last)
        if how == "nan":
            found += 1
            nats, count, state = plain(self, whole, state, last=last)
            return nats * (math.nan if found == 1 else 1), count, state
        if how == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        hook = self.parameters[0].register_hook(lack)  # type: ignore[no-untyped-call]
        try:
            return plain(self, whole, state, last=last)
        finally:
            hook.remove()

    TrainStep._learn = learn  # type: ignore[method-assign]


@pytest.mark.parametrize("name", ["optimizer.0.exp_avg", "state.0"])
def test_whole_numbers_are_no_state(name: str) -> None:
    weights = nn.Parameter(torch.zeros(2, 2))
    optimizer = torch.optim.Adam([weights])
    with pytest.raises(ValueError, match=rf"{re.escape(name)} is of type torch\.int64"):
        restore_optimizer({name: torch.zeros(2, 2, dtype=torch.int64)}, [weights], optimizer)
    assert restore_optimizer({"state.0": torch.zeros(1, 2)}, [weights], optimizer) is not None


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "learn":
        _learn_together(Path(rest[0]))
    else:
        command = importlib.import_module("textseq.cli.train")
        if what in {"die", "lack", "nan"}:
            _fail_in_a_step(what, int(rest.pop(0)))
        run(command.PROG, command.train, rest)
