"""Taggers on the same split of the treebank: ours over several seeds, and NLTK's averaged perceptron.

Our runs go through ``textseq-train`` into the runs folder (``TEXTSEQ_HOME``, or the current folder), named by corpus,
output layer and seed. An unfinished run is resumed, a finished one only evaluated. The perceptron is trained each time,
with its own defaults.

    TEXTSEQ_DATA=... python benchmarks/taggers.py treebank
    TEXTSEQ_DATA=... python benchmarks/taggers.py brown --output crf --seeds 1
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from conditions import print_conditions

import textseq
from textseq.data.tagged import TaggedDataset, load_tagged
from textseq.io.paths import runs_folder
from textseq.tasks.tagging.tagger import Tagger


def trained(corpus: str, output: str, seed: int) -> Tagger:
    """The tagger of a run, which is begun, or taken to its end."""
    name = f"{corpus}-{output}-{seed}"
    flags = [corpus, "--task", "tagging", "--output", output, "--seed", str(seed), "--name", name]
    if (runs_folder() / name).exists():
        flags = ["--resume", name]
    subprocess.run([Path(sys.executable).parent / "textseq-train", *flags], check=True)
    return textseq.load_tagger(name)


def perceptron(corpus: TaggedDataset) -> tuple[float, float]:
    """Accuracy of NLTK's tagger on the test part, of all words and of those that training never had."""
    from nltk.tag.perceptron import PerceptronTagger

    tagger = PerceptronTagger(load=False)
    sentences = [list(zip(*sentence, strict=True)) for sentence in corpus.sentences("train")]
    known = {word for sentence in sentences for word, _ in sentence}
    tagger.train(sentences)
    hits: list[tuple[bool, bool]] = []
    for words, tags in corpus.sentences("test"):
        found = tagger.tag(list(words))
        hits += [(given == tag, word in known) for (word, given), tag in zip(found, tags, strict=True)]
    unknown = [hit for hit, seen in hits if not seen]
    return statistics.mean(hit for hit, _ in hits), statistics.mean(unknown)


def main() -> None:
    """Train, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", help="treebank or brown")
    parser.add_argument("--output", nargs="+", default=["softmax", "crf"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    o = parser.parse_args()
    corpus = load_tagged(o.corpus)
    rows: list[str] = []
    for output in o.output:
        measured = []
        for seed in o.seeds:
            tagger = trained(o.corpus, output, seed)
            started = time.perf_counter()
            measured.append(tagger.evaluate_words(corpus))
            seconds = time.perf_counter() - started
            print(f"{output}, seed {seed}: {measured[-1]}\n  {measured[-1].signature}", flush=True)
            print(f"  {measured[-1].examples / seconds:,.0f} words/s")
        scores = [one.accuracy for one in measured]
        spread = f" +- {statistics.stdev(scores):.2%}" if len(scores) > 1 else ""
        unknown = statistics.mean(right / of for right, of in (one.unknown for one in measured))
        rows.append(
            f"textseq, {output}: {statistics.mean(scores):.2%}{spread}, {unknown:.2%} of words it does not know"
        )
    whole, unseen = perceptron(corpus)
    rows.append(f"NLTK's averaged perceptron: {whole:.2%}, {unseen:.2%} of words that training never had")
    print("\n".join(rows))
    print_conditions()


if __name__ == "__main__":
    main()
