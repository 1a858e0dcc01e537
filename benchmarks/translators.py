"""Translation recipes over several seeds: BLEU, chrF and TER on a split that they were not tuned on.

The runs go through ``textseq-train`` into the runs folder (``TEXTSEQ_HOME``, or the current folder), named by recipe,
attention and seed. An unfinished run is resumed, a finished one only evaluated, so it can be stopped at any time, and
several can run at once for different recipes or seeds.

    TEXTSEQ_DATA=... python benchmarks/translators.py multi30k-en-de multi30k-en-fr multi30k-de-en
    TEXTSEQ_DATA=... python benchmarks/translators.py multi30k-en-de --attention none --seeds 1
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from pathlib import Path
from typing import get_args

from conditions import print_conditions

import textseq
from textseq.config.names import AttentionName
from textseq.config.recipes import read_recipe
from textseq.data.pairs import load_pairs
from textseq.io.paths import runs_folder
from textseq.metrics.translation import TranslationScore
from textseq.tasks.translation.translator import Translator


def trained(recipe: str, attention: str | None, seed: int) -> Translator:
    """The translator of a run, which is begun, or taken to its end."""
    name = "-".join(filter(None, [recipe, attention, str(seed)]))
    if (runs_folder() / name).exists():
        flags = ["--resume", name]
    else:
        flags = ["--recipe", recipe, "--seed", str(seed), "--name", name]
        flags += ["--attention", attention] if attention else []
    subprocess.run([Path(sys.executable).parent / "textseq-train", *flags], check=True)
    return textseq.load_translator(name)


def main() -> None:
    """Train, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="+", metavar="RECIPE", help="as textseq-train --list-recipes names them")
    parser.add_argument("--attention", choices=get_args(AttentionName), help="default: the recipe's")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--splits", nargs="+", default=["test"], help="of the corpus, such as test_2017_flickr")
    o = parser.parse_args()
    rows: list[str] = []
    for recipe in o.recipes:
        settings = read_recipe(recipe)
        corpus = load_pairs(settings["corpus"], source=settings["source"], target=settings["target"])
        found: dict[tuple[str, str], list[TranslationScore]] = {}
        for seed in o.seeds:
            translator = trained(recipe, o.attention, seed)
            for split in o.splits:
                for measured in translator.evaluate(corpus, split).scores:
                    print(f"{recipe}, seed {seed}, {split}: {measured}\n  {measured.signature}", flush=True)
                    found.setdefault((split, measured.name), []).append(measured)
        for (split, measure), each in found.items():
            scores = [measured.score for measured in each]
            spread = f" +- {statistics.stdev(scores):.2f}" if len(scores) > 1 else ""
            rows.append(f"{recipe}, {split}: {measure} {statistics.mean(scores):.2f}{spread}, {len(scores)} seeds")
    print("\n".join(rows))
    print_conditions()


if __name__ == "__main__":
    main()
