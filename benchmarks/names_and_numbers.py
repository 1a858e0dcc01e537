"""Names and numbers that a translator must copy: how many of some sentences come out with all of them.

A hundred English sentences have one or two names that are rare in the training, or forty a number; thirty-five French
ones have names, most of them frequent. A time may come out by the clock of 24 hours.

    python benchmarks/names_and_numbers.py tatoeba-en-fr
    python benchmarks/names_and_numbers.py tatoeba-fr-en --show
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

from conditions import print_conditions

import textseq

ENGLISH_NAMES = (
    *("Siobhan", "Krzysztof", "Nkechi", "Thorvald", "Anjali", "Zbigniew", "Aoife", "Mehmet", "Xiaoling", "Oleksandr"),
    *("Ngozi", "Björn", "Peter", "Sarah", "Dmitri", "Guadalupe", "Chidi", "Priyanka", "Wolfgang", "Ottoline"),
)
ENGLISH = (
    "{a} is waiting for you in the kitchen.",
    "I spoke to {a} yesterday, but he didn't answer.",
    "Have you seen {a} and {b} today?",
    "My friends {a} and {b} are coming on Friday.",
    "This letter is for Mrs. {a}.",
)
NUMBERS = (14, 27, 350, 612, 45, 98, 1999, 73, 205, 81, 36, 5000)
MINUTES = (15, 20, 35, 40, 50, 10)
COUNTED = (
    "The room has {n} seats.",
    "My flight leaves at {h}:{m}.",
    "She was born in {y}.",
    "It costs {n} euros.",
    "There were {n} people at the concert.",
    "Call me at {h}.{m} tomorrow.",
    "The house is {n} years old.",
    "We walked {n} kilometres.",
)
FRENCH_NAMES = ("Peter", "Sarah", "Julia", "Smith", "Nancy", "Krzysztof", "Siobhan")
FRENCH = (
    "{a} t'attend dans la cuisine.",
    "Mes amis {a} et {b} viennent vendredi.",
    "{a} et {b} se marient en juin.",
    "J'ai parlé à {a} hier.",
    "{a} a trois ans de plus que {b}.",
)

Sentence = tuple[str, list[str]]
"""A sentence, and what its translation must have."""


def english_names() -> Iterator[Sentence]:
    """Sentences with one or two names."""
    for i, a in enumerate(ENGLISH_NAMES):
        for j, template in enumerate(ENGLISH):
            b = ENGLISH_NAMES[(i * 3 + j * 5 + 7) % len(ENGLISH_NAMES)]
            b = ENGLISH_NAMES[(i + 1) % len(ENGLISH_NAMES)] if b == a else b
            yield template.format(a=a, b=b), [a, b] if "{b}" in template else [a]


def english_numbers() -> Iterator[Sentence]:
    """Sentences with a number or a time."""
    for i, template in enumerate(COUNTED):
        for k in range(5):
            n, m = NUMBERS[(i * 5 + k) % len(NUMBERS)], MINUTES[(i + k) % len(MINUTES)]
            sentence = template.format(n=n, h=2 + (i + 3 * k) % 9, m=m, y=1920 + 7 * (i + 2 * k))
            yield sentence, re.findall(r"\d+", sentence)


def french_names() -> Iterator[Sentence]:
    """Sentences with one or two names."""
    for i, a in enumerate(FRENCH_NAMES):
        for template in FRENCH:
            b = FRENCH_NAMES[(i + 3) % len(FRENCH_NAMES)]
            yield template.format(a=a, b=b), [a, b] if "{b}" in template else [a]


def copied(word: str, translation: str) -> bool:
    """Whether a translation has a name, or a number or that of the afternoon's hour."""
    if not word.isdecimal():
        return word in translation
    return not {word, str(int(word) + 12)}.isdisjoint(re.findall(r"\d+", translation))


def main() -> None:
    """Translate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--show", action="store_true", help="print what comes out wrong")
    o = parser.parse_args()
    translator = textseq.load_translator(o.model)
    english = translator.info.source_language == "en"
    groups = {"names": english_names, "numbers": english_numbers} if english else {"names": french_names}
    for what, make in groups.items():
        sentences = [*make()]
        found = translator.translate([sentence for sentence, _ in sentences], num_beams=5, attention=False)
        wrong = [
            f"  {sentence} -> {one.text}"
            for (sentence, words), one in zip(sentences, found, strict=True)
            if not all(copied(word, one.text) for word in words)
        ]
        print(f"{what}: {len(sentences) - len(wrong)} of {len(sentences)} right")
        for line in wrong if o.show else ():
            print(line)
    print_conditions()


if __name__ == "__main__":
    main()
