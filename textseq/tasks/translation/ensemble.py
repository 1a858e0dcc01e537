"""Several translation models that translate together."""

from __future__ import annotations

from collections.abc import Sequence

from textseq.errors import TextseqError
from textseq.tasks.translation.translator import Translator


def ensemble_of(translators: Sequence[Translator]) -> Translator:
    """A translator that combines the models of several at every token; of one, that one.

    Raises:
        TextseqError: none are given, or their languages, vocabularies, devices or precisions differ.
    """
    if not translators:
        raise TextseqError("an ensemble: expected at least one model, got none")
    first = translators[0]
    if len(translators) == 1:
        return first
    for other in translators[1:]:
        for what, expected, actual in (
            ("the same languages", " to ".join(first.languages), " to ".join(other.languages)),
            ("one device", first.device, other.device),
            ("one precision", first.precision, other.precision),
        ):
            if expected != actual:
                raise TextseqError(f"an ensemble: expected {what}, got {expected} and {actual}")
        for side in ("source", "target"):
            if getattr(first.vocabularies, side).fingerprint != getattr(other.vocabularies, side).fingerprint:
                raise TextseqError(
                    f"an ensemble: expected one {side} vocabulary, got different ones; train the models on the same "
                    "pairs with the same tokenizer, each with another --seed"
                )
    models = [model for translator in translators for model in translator.models]
    return Translator(models, first.vocabularies, first.info, precision=first.precision)
