"""The attention translator against other packages on Multi30k, English to German: training, and beam search.

All sides train the same model (embedding 256; encoder GRU of one layer, 256 units in each direction; decoder GRU 512
with Bahdanau attention; dropout 0.3; Adam, 80 sentences per batch) on the same tokens, a joint BPE of 8,000. The sides
alternate, each time in a new process. Prints medians of the rounds: target tokens per second of training, without
padding; tokens per second generated with 5 beams; and the time for one sentence alone.

    TEXTSEQ_DATA=... python benchmarks/translation.py --peers .peers --work .peers/work

The peers' folder has one virtual environment per package, named as in ``PEERS``. The work folder keeps the tokens and a
trained model of every side; without it they are made each time. ``make peers`` makes both.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TypedDict

import torch
from conditions import print_conditions
from peers import driver
from table import Row, note

PEERS = {"onmt": "OpenNMT-py", "joey": "JoeyNMT", "eole": "Eole"}
"""The name of each peer's environment, which is that of its driver, and the name of its package."""

PRECISIONS = {"speed": ("float32", "bfloat16"), "translate": ("float32", "int8")}
"""What our side computes in, for training and for translation; the peers always compute in float32."""

REACH = {"speed": {"float32": 2.2, "bfloat16": 4.5}, "translate": {"float32": 3.0, "int8": 5.0}}
"""How many times the fastest peer's tokens per second ours are to be."""

SPLITS = {"train": "train", "val": "val", "test": "test_2016_flickr"}
"""The parts of the text, and the names of Multi30k's files."""

VOCABULARY = 8000


@dataclass(frozen=True)
class Side:
    """One row of a table: the driver, the Python that runs it, and what it computes in."""

    driver: str
    python: Path
    precision: str = "float32"

    @property
    def name(self) -> str:
        """What the table calls it."""
        return f"{PEERS.get(self.driver, self.driver)}, {self.precision}"


class Result(TypedDict, total=False):
    """What a driver prints; ``peers/driver.py`` says what each is."""

    tokens_per_second: float
    milliseconds: float
    tokens: int
    translations: list[str]
    package: str
    torch: str


class Failed(Exception):
    """A driver ended without a result."""


def lines(data: Path, part: str, language: str) -> list[str]:
    """One side of a part of Multi30k, as it is."""
    with gzip.open(data / "multi30k" / f"{SPLITS[part]}.{language}.gz", "rt", encoding="utf-8", newline="\n") as file:
        return [line.rstrip("\n") for line in file]


def prepare(data: Path, folder: Path) -> None:
    """Write the text as tokens between blanks, and beside it the pieces and the model that cut it."""
    import sentencepiece

    texts = {(part, language): lines(data, part, language) for part in SPLITS for language in ("en", "de")}
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts["train", "en"] + texts["train", "de"]),
        model_writer=model,
        model_type="bpe",
        vocab_size=VOCABULARY,
        character_coverage=1.0,
        bos_id=-1,
        eos_id=-1,
        minloglevel=2,
    )
    cutter = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)  # of a run that was killed
    unfinished.mkdir(parents=True)
    (unfinished / "subwords.model").write_bytes(model.getvalue())
    pieces = [cutter.id_to_piece(number) for number in range(cutter.get_piece_size()) if not cutter.is_unknown(number)]
    (unfinished / "pieces.txt").write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")
    for (part, language), text in texts.items():
        tokens = (" ".join(cutter.encode(line, out_type=str)) for line in text)
        (unfinished / f"{part}.{language}").write_text("".join(f"{line}\n" for line in tokens), encoding="utf-8")
    unfinished.rename(folder)


def run(side: Side, action: str, work: Path, *flags: str) -> Result:
    """One turn of a side.

    Raises:
        Failed: with the last line that it printed.
    """
    here = str(Path(__file__).resolve().parent)
    paths = [here, *filter(None, [os.environ.get("PYTHONPATH")])] if side.driver not in PEERS else [here]
    command = [str(side.python), "-m", f"peers.{side.driver}", action, str(work / "text"), str(work / side.driver)]
    command += ["--precision", side.precision, *flags]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "CUDA_VISIBLE_DEVICES": ""}
    with tempfile.TemporaryDirectory() as folder:
        ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8")
    if ran.returncode:
        raise Failed((ran.stderr.strip().splitlines() or [f"exit {ran.returncode}"])[-1])
    result: Result = json.loads(ran.stdout.splitlines()[-1])
    return result


def rounds(sides: Sequence[Side], action: str, work: Path, count: int, *flags: str) -> dict[Side, list[Result]]:
    """The results of every side that can do it, the sides taking turns."""
    found: dict[Side, list[Result]] = {side: [] for side in sides}
    for _ in range(count):
        for side in list(found):
            try:
                found[side].append(run(side, action, work, *flags))
            except Failed as failed:
                print(f"{side.name} left out of {action}: {failed}")
                del found[side]
    return found


def with_model(sides: Sequence[Side], work: Path, minutes: float, *flags: str) -> Iterator[Side]:
    """The sides that have a trained model, or get one now."""
    for side in sides:
        if not (work / side.driver).exists():
            if not minutes:
                print(f"{side.name} left out of translate: no trained model; --train-minutes makes one")
                continue
            try:
                trained = run(side, "train", work, "--minutes", str(minutes), *flags)
            except Failed as failed:
                print(f"{side.name} left out of translate: {failed}")
                continue
            print(f"{side.name} trained on {trained['tokens']:,} target tokens", flush=True)
        yield side


def median(results: Sequence[Result], key: str) -> float:
    """The median of one of the measures."""
    return statistics.median(float(str(result.get(key))) for result in results)


def print_speeds(found: dict[Side, list[Result]], title: str, goal: dict[str, float]) -> None:
    """Medians of tokens per second, and how many times the fastest peer's they are, or are to be (``goal``)."""
    speeds = {side: median(results, "tokens_per_second") for side, results in found.items()}
    fastest = max((speed for side, speed in speeds.items() if side.driver in PEERS), default=None)
    print(f"{title:<28}{'tokens/s':>9}{'over the fastest peer':>23}")
    for side, results in found.items():
        ratio = f"{speeds[side] / fastest:.2f} x" if fastest else "-"
        each = [result["tokens_per_second"] for result in results]
        print(f"  {side.name:<26}{speeds[side]:>9,.0f}{ratio:>23}   ({min(each):,.0f} to {max(each):,.0f})")
        if fastest and side.driver not in PEERS:
            what = f"{title}, {side.precision}, over the fastest of {', '.join(PEERS.values())} in float32"
            note(Row(what, speeds[side], "tokens/s", speeds[side] / fastest, goal.get(side.precision)))


def print_translations(found: dict[Side, list[Result]], references: list[str]) -> None:
    """Besides the speeds: the wait for one sentence, the tokens written and how good they are."""
    measure, signature = None, "sacrebleu is not installed"
    if find_spec("sacrebleu"):
        from sacrebleu.metrics.bleu import BLEU

        measure = BLEU()
    print(f"{'one sentence alone':<28}{'ms':>9}{'tokens of all':>23}{'BLEU':>7}")
    for side, results in found.items():
        score = "-"
        if measure:
            texts = ["".join(line.split()).replace("▁", " ").strip() for line in results[0]["translations"]]
            score = f"{measure.corpus_score(texts, [references[: len(texts)]]).score:.1f}"
            signature = str(measure.get_signature())
        tokens = results[0]["tokens"]
        print(f"  {side.name:<26}{median(results, 'milliseconds'):>9,.1f}{tokens:>23,}{score:>7}")
    print(f"BLEU: {signature}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder of the corpora; default: TEXTSEQ_DATA")
    parser.add_argument("--peers", type=Path, help="a folder with one virtual environment per peer")
    parser.add_argument("--work", type=Path, help="keeps tokens and trained models; default: a temporary folder")
    parser.add_argument(
        "--train-minutes", type=float, default=0, help="train missing models, with so much processor time each"
    )
    parser.add_argument("--only", choices=list(PRECISIONS), help="measure training alone, or translation alone")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warm-up", type=int, default=10, help="steps of training before the clock counts")
    parser.add_argument("--steps", type=int, default=60, help="steps of training that are measured")
    parser.add_argument("--sentences", type=int, default=1000, help="sentences to translate")
    parser.add_argument("--batch", type=int, default=100, help="sentences translated at once")
    parser.add_argument("--single", type=int, default=20, help="sentences translated one by one")
    parser.add_argument("--threads", type=int, default=2)
    o = parser.parse_args()
    data = o.data or Path(os.environ.get("TEXTSEQ_DATA") or parser.error("--data or TEXTSEQ_DATA must name a folder"))
    torch.set_num_threads(o.threads)
    os.environ["OMP_NUM_THREADS"] = str(o.threads)
    threads = ("--threads", str(o.threads))
    peers = []
    for name, package in PEERS.items():
        python = o.peers.resolve() / name / "bin" / "python" if o.peers else None
        if python is not None and python.exists():
            peers.append(Side(name, python))
        else:
            where = "no --peers folder was named" if o.peers is None else f"{o.peers / name} has no bin/python"
            print(f"{package} is not there: {where}")

    def sides(action: str) -> list[Side]:
        return [*(Side("textseq", Path(sys.executable), precision) for precision in PRECISIONS[action]), *peers]

    ran: dict[Side, list[Result]] = {}
    with ExitStack() as stack:
        work = o.work.resolve() if o.work else Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if not (work / "text").exists():
            prepare(data, work / "text")
        if o.only != "translate":
            flags = [f"--warm-up={o.warm_up}", f"--steps={o.steps}"]
            found = rounds(sides("speed"), "speed", work, o.rounds, *flags, *threads)
            if found:
                print_speeds(found, "training a translator", REACH["speed"])
            ran |= found
        if o.only != "speed":
            able = list(with_model(sides("translate"), work, o.train_minutes, *threads))
            flags = [f"--{name}={getattr(o, name)}" for name in ("sentences", "batch", "single")]
            found = rounds(able, "translate", work, o.rounds, *flags, *threads)
            if found:
                print_speeds(found, f"translating, at most {o.batch} at once (ours: 64)", REACH["translate"])
                print_translations(found, lines(data, "test", "de"))
            ran |= found
    print(f"Multi30k en-de, joint BPE {VOCABULARY:,}; embedding {driver.EMBEDDING}, encoder GRU 2x{driver.ENCODER},")
    print(
        f"decoder GRU {driver.DECODER} with Bahdanau attention, dropout {driver.DROPOUT}, N {driver.SENTENCES}, Adam;"
    )
    print(f"beam {driver.BEAM}, {o.sentences:,} sentences of {SPLITS['test']}; medians of {o.rounds} rounds")
    versions = {f"{result['package']} (torch {result['torch']})" for results in ran.values() for result in results}
    print(f"sides: {', '.join(sorted(versions)) or 'none'}")
    print_conditions()


if __name__ == "__main__":
    main()
