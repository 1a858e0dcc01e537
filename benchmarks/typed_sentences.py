"""What a translator loses when sentences are typed in capitals, without their final mark and the like.

Prints BLEU regardless of case on a split of the corpus that the model was tested on, for the sentences as they are and
for each way of ``--augment`` that changes only the source.
"""

from __future__ import annotations

import argparse
from typing import get_args

import numpy as np
from conditions import print_conditions

import textseq
from textseq.data.pairs import load_pairs
from textseq.metrics.translation import bleu
from textseq.tasks.translation.augment import varied
from textseq.tasks.translation.config import AugmentName

WAYS = tuple(way for way in get_args(AugmentName) if way != "exchange")
"""Ways of typing a sentence."""


def main() -> None:
    """Translate, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="tatoeba-en-fr")
    parser.add_argument("corpus", nargs="?", default="tatoeba-fra-eng")
    parser.add_argument("--split", default="test")
    parser.add_argument("--first", type=int, help="sentences of the split; default: all")
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=[*WAYS], help="default: all")
    o = parser.parse_args()
    translator = textseq.load_translator(o.model)
    corpus = load_pairs(o.corpus, source=translator.info.source_language, target=translator.info.target_language)
    pairs = [*corpus.rows(o.split)][: o.first]
    sources, references = [source for source, _ in pairs], [target.lower() for _, target in pairs]
    for way in (None, *o.ways):
        rng = np.random.default_rng(1)
        typed = [varied(text, way, rng) for text in sources] if way else sources
        translations = [made.text.lower() for made in translator.translate(typed)]
        print(f"{way or 'as they are':<18}{bleu(translations, references):>6.1f}  {typed[0]!r}", flush=True)
    print(f"{len(pairs):,} sentences, {o.model}, split {o.split} of {o.corpus}, BLEU of lower-cased text")
    print_conditions()


if __name__ == "__main__":
    main()
