"""From the hypotheses of a search to translations."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from textseq.data.pairs import read_sentence, written_sentence
from textseq.decoding.beam import Hypothesis
from textseq.tasks.translation.inference.sentence import Sentence
from textseq.tasks.translation.result import AttentionWeights, Translation
from textseq.tasks.translation.vocabularies import Vocabularies
from textseq.tokenizers.base import END
from textseq.tokenizers.words import UNKNOWN

log = logging.getLogger("textseq")

NAMED = 5
"""Truncated translations that are logged one by one."""


def detokenize(
    vocabularies: Vocabularies,
    sentence: Sentence,
    hypothesis: Hypothesis,
    attention: AttentionWeights | None,
    *,
    replace_unknown: bool = False,
) -> Translation:
    """The translation of a sentence from its hypothesis and attention weights (T, S).

    ``replace_unknown`` replaces each unknown word with the surface form of the source word of the largest weight.
    """
    source, target, restored = vocabularies.source, vocabularies.target, sentence.restored
    ids = without_eos(hypothesis, target.size)
    names = [target.vocabulary[token] for token in ids]
    generated = slice(len(sentence.forced_prefix), None)
    surfaces: list[str] = []
    if attention is not None:
        given = read_sentence(sentence.text)
        spans = source.spans(read_sentence(sentence.read))[: len(sentence.ids)]
        surfaces = [*sentence.framed([restored(given[start:end]) for start, end in spans])]
    if replace_unknown and attention is not None:
        best = (surfaces[place].strip(" ") for place in attention[: len(ids), : len(surfaces)].argmax(axis=1))
        words = [
            name.replace(UNKNOWN[0], word) if name in UNKNOWN else name for name, word in zip(names, best, strict=True)
        ]
        text = "".join(words[generated])
    else:
        text = target.decode(ids[generated])
    source_tokens = sentence.restored_tokens([source.vocabulary[token] for token in sentence.ids.tolist()])
    written = restored(written_sentence(read_sentence(sentence.prefix) + text))
    return Translation(
        text=sentence.before + written + sentence.after,
        score=hypothesis.score,
        source_tokens=(*sentence.framed(source_tokens), END),
        source_surfaces=(*surfaces, "") if surfaces else (),
        tokens=(*sentence.framed(sentence.restored_tokens(names)), *[END] * (len(ids) < len(hypothesis.tokens))),
        attention=attention,
    )


class TruncationLog:
    """Logs translations that reached their length limit; only the first few one by one.

    Args:
        quiet: log nothing, for callers who say it in their own way (``Translation.finished``).
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.count = 0
        self._quiet = quiet

    def note(self, number: int, translation: Translation) -> None:
        """Log the truncated translation of the sentence of this number."""
        self.count += 1
        if self._quiet:
            return
        if self.count <= NAMED:
            log.warning(
                "note: the translation of sentence %d was cut off at its limit of %d tokens; to let it go on, raise "
                "--max-new-tokens or --max-length-ratio",
                *(number, len(translation.tokens)),
            )
        elif self.count == NAMED + 1:
            log.warning("note: translations of further sentences were cut off too; they are not named")


def unique_texts(vocabularies: Vocabularies, hypotheses: Sequence[Hypothesis]) -> list[Hypothesis]:
    """Hypotheses, best first, without those whose text equals that of a better one."""
    target = vocabularies.target
    texts: dict[str, Hypothesis] = {}
    for hypothesis in hypotheses:
        texts.setdefault(written_sentence(target.decode(without_eos(hypothesis, target.size))), hypothesis)
    return list(texts.values())


def without_eos(hypothesis: Hypothesis, eos_id: int) -> tuple[int, ...]:
    """The tokens of a hypothesis without the end-of-sentence token."""
    return hypothesis.tokens[:-1] if hypothesis.tokens[-1:] == (eos_id,) else hypothesis.tokens
