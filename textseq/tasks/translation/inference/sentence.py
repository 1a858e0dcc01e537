"""From a text to what a translator reads: a sentence in tokens, with what its translation must contain."""

from __future__ import annotations

import logging
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from textseq.data.pairs import read_sentence, written_sentence
from textseq.data.readers.glossary import Glossary
from textseq.errors import TextseqError
from textseq.io.lines import LONGEST as LONGEST_LINE
from textseq.tasks.translation.vocabularies import Vocabularies
from textseq.tokenizers.base import Ids, Tokenizer
from textseq.tokenizers.copied import amounts, codes, has_amount, rare_names, unused_names, with_stand_ins
from textseq.tokenizers.frame import frame
from textseq.tokenizers.normalization import normalize
from textseq.tokenizers.sentences import split_message
from textseq.tokenizers.source_style import SourceStyle

log = logging.getLogger("textseq")

LONGEST = 2000
"""Source tokens of a sentence at most; bounds memory and time. No model is good at longer ones."""

BREAKS = re.compile(r"[\t-\r\x1c-\x1f\x85\u2028\u2029]+")
"""White space that would end a line or a column of the output."""


@dataclass(frozen=True)
class Sentence:
    """A sentence to translate."""

    number: int
    """Its number in the input, from 1."""
    text: str
    ids: Ids
    """Without the end-of-sentence token; empty for white space."""
    read: str = ""
    """The text that the ids stand for: as given, or put into the style of the training."""
    before: str = ""
    """What stands before it and before its translation alike, such as the dash of a list; no part of ``text``."""
    after: str = ""
    """The same for what stands after it."""
    prefix: str = ""
    """The text that the translation must begin with."""
    forced_prefix: tuple[int, ...] = ()
    """The prefix in tokens."""
    phrases: tuple[tuple[int, ...], ...] = ()
    """What the translation must contain, in tokens."""
    codes: Mapping[str, str] = field(default_factory=dict)
    """What is copied into the translation, by the name that stands for it in ``text`` and ``read``."""
    alternatives: tuple[Sentence, ...] = ()
    """The sentence with other names in the place of its rare ones, if it has any; the same names in several orders."""

    def copied(self, translation: str) -> bool:
        """Whether a translation has all codes."""
        return all(code in translation for code in self.codes.values())

    def copied_once(self, translation: str) -> bool:
        """Whether a translation has all codes as often as the sentence."""
        return all(
            len(_whole(code).findall(translation)) == len(_whole(name).findall(self.text))
            for name, code in self.codes.items()
        )

    def lacks_names(self, translation: str) -> bool:
        """Whether a translation lacks one of the rare names."""
        return any(not sentence.copied(translation) for sentence in self.alternatives[:1])

    def lacks_amounts(self, translation: str, known: Container[str]) -> bool:
        """Whether a translation lacks an amount; a known sign of money in it may have become a word."""
        return not all(has_amount(translation, self.text[start:end], known) for start, end in amounts(self.text))

    def all_phrases(self, target: Tokenizer) -> tuple[tuple[int, ...], ...]:
        """The phrases, and the names that stand for codes."""
        return *self.phrases, *(_phrase(target, name) for name in self.codes)

    def restored(self, text: str) -> str:
        """A text with the codes in place of their stand-ins, where these are whole words: "Tomorrow" has no "Tom"."""
        for name, code in self.codes.items():
            text = code.join(_whole(name).split(text))
        return text

    def restored_tokens(self, tokens: Sequence[str]) -> tuple[str, ...]:
        """The same for tokens: one that a letter follows is the beginning of a word."""
        following = [*tokens, ""][1:]
        return tuple(
            token if then[:1].isalnum() else self.restored(token) for token, then in zip(tokens, following, strict=True)
        )

    def framed(self, parts: Sequence[str]) -> tuple[str, ...]:
        """The parts of the sentence or its translation, such as tokens, with what stands before and after it."""
        if not parts or not (self.before or self.after):
            return (*parts,)
        first, *others = parts
        *parts, last = [" " * first.startswith(" ") + self.before + first.lstrip(" "), *others]
        return *parts, last + self.after

    def with_translation(self, text: str, target: Tokenizer) -> Sentence | None:
        """The sentence with a known translation as its prefix, in which names stand for the codes, too.

        None if the text has not all codes as whole words, or not what stands before and after the sentence.
        """
        if not (text.startswith(self.before) and text.endswith(self.after)):
            return None
        text = text.removeprefix(self.before).removesuffix(self.after)
        for name, code in sorted(self.codes.items(), key=lambda pair: -len(pair[1])):  # one may be part of another
            text, count = _whole(code).subn(name, text)
            if not count:
                return None
        return replace(self, prefix=text, forced_prefix=tuple(_encode(target, text).tolist()))


def tokenize_sentence(
    vocabularies: Vocabularies,
    text: str,
    prefix: str,
    number: int,
    glossary: Glossary | None = None,
    style: SourceStyle | None = None,
    stand_ins: Sequence[str] = (),
    *,
    known: bool = False,
) -> Sentence:
    """Tokenize a sentence, put into a style, its prefix and the translations of its terms.

    With a style, what stands around the sentence (see ``frame``) is put aside, unless its prefix lacks it or the
    glossary has it. The prefix is the beginning of a translation, or a whole one that is ``known``. More than
    ``LONGEST`` tokens are truncated, which is logged. Codes give way to the ``stand_ins``, as far as these suffice,
    unless the prefix or the glossary has them.

    Raises:
        TextseqError: not a string, or one that cannot be encoded.
    """
    _check_strings(text, prefix, number)
    before, after = "", ""
    if style is not None and style != SourceStyle():
        before, text, after = _put_aside(text, prefix, glossary, known=known)
        prefix = prefix.removeprefix(before).removesuffix(after)
    read = text if style is None else style.apply(text)
    names = unused_names(stand_ins, text, prefix)
    places = _not_required(text, codes(text, vocabularies.source), prefix, glossary) if names else ()
    given, read, copied = with_stand_ins(text, read, places, names)
    ids = _encode(vocabularies.source, read)
    if len(ids) > LONGEST and len(text) != LONGEST_LINE:  # the reader of lines reports those that it truncated
        log.warning(
            "note: sentence %d has %d tokens, of which the first %d are read; give it in parts",
            *(number, len(ids), LONGEST),
        )
    phrases = [_phrase(vocabularies.target, term) for term in glossary.targets(text)] if glossary else []
    forced = tuple(_encode(vocabularies.target, prefix).tolist())
    return Sentence(number, given, ids[:LONGEST], read, before, after, prefix, forced, tuple(phrases), copied)


def tokenize_text(
    vocabularies: Vocabularies,
    text: str,
    prefix: str,
    number: int,
    glossary: Glossary | None = None,
    style: SourceStyle | None = None,
    stand_ins: Sequence[str] = (),
) -> list[Sentence]:
    """Tokenize a text as a sentence, or as several if the training has single ones only; see ``tokenize_sentence``."""
    _check_strings(text, prefix, number)

    def tokenized(part: str) -> Sentence:
        return tokenize_sentence(vocabularies, part, prefix, number, glossary, style, stand_ins)

    if style is not None and style.single and not prefix:
        before, inner, after = _put_aside(text, prefix, glossary)
        parts = split_message(inner)
        if glossary is not None and len(glossary.targets(inner)) != sum(len(glossary.targets(part)) for part in parts):
            parts = []  # a sentence ends within a term
        if len(parts) > 1:
            sentences: list[Sentence] = []
            for part in parts:
                sentence = tokenized(part)
                if len(sentence.ids) or not sentences:
                    sentences.append(sentence)
                else:  # without a letter or digit, which stays as it is
                    sentences[-1] = replace(sentences[-1], after=f"{sentences[-1].after} {sentence.before}".rstrip())
            if len(sentences[0].ids):
                sentences[0] = replace(sentences[0], before=before + sentences[0].before)
                sentences[-1] = replace(sentences[-1], after=sentences[-1].after + after)
                return sentences
    return [tokenized(text)]


def _check_strings(text: str, prefix: str, number: int) -> None:
    """Refuse what is not a string; ``number`` is that of the sentence."""
    for part in (text, prefix):
        if not isinstance(part, str):
            raise TextseqError(
                f"sentences: expected strings, got {type(part).__name__} with sentence {number}; an empty one is ''"
            )


def _put_aside(text: str, prefix: str, glossary: Glossary | None, *, known: bool = False) -> tuple[str, str, str]:
    """What stands before a sentence, the sentence, and what stands after it; see ``tokenize_sentence``."""
    before, sentence, after = frame(text)
    before, after = BREAKS.sub(" ", before.lstrip()), BREAKS.sub(" ", after.rstrip())
    if known:
        aside = bool(sentence) and prefix.startswith(before) and prefix.endswith(after)
    else:
        aside = not prefix or prefix.startswith(before)
    aside = aside and not (glossary and (glossary.targets(before) or glossary.targets(after)))
    return (before, sentence, after) if aside else ("", text, "")


def with_alternatives(
    sentence: Sentence,
    source: Tokenizer,
    style: SourceStyle,
    stand_ins: Sequence[str],
    glossary: Glossary | None = None,
) -> Sentence:
    """A sentence with its alternatives: with stand-ins for names that are rare in the source's tokens.

    Names in the prefix and in the glossary's terms stay.
    """
    rare = rare_names(sentence.text, source, style.proper, style.copied) if stand_ins else []
    alternatives = _with_others(sentence, source, rare, stand_ins, glossary)
    return replace(sentence, alternatives=tuple(alternatives)) if alternatives else sentence


def with_other_amounts(
    sentence: Sentence, source: Tokenizer, stand_ins: Sequence[str], glossary: Glossary | None = None
) -> list[Sentence]:
    """A sentence with well-known numbers in the place of its amounts, in several orders; none if it has none."""
    return _with_others(sentence, source, amounts(sentence.text), stand_ins, glossary)


def _with_others(
    sentence: Sentence,
    source: Tokenizer,
    places: Iterable[tuple[int, int]],
    stand_ins: Sequence[str],
    glossary: Glossary | None,
) -> list[Sentence]:
    """A sentence with stand-ins at some places of its text, in several orders; see ``_not_required``."""
    text = sentence.text
    places = _not_required(text, places, sentence.prefix, glossary)
    names = unused_names(stand_ins, text, *sentence.codes.values(), sentence.prefix) if places else []
    several = []
    half = (len(names) + 1) // 2  # of persons; then places
    for first in dict.fromkeys(start % len(names) for start in (0, half, half - 1)) if names else ():
        given, read, copied = with_stand_ins(text, sentence.read, places, [*names[first:], *names[:first]])
        if copied:
            ids, copies = _encode(source, read)[:LONGEST], {**sentence.codes, **copied}
            several.append(replace(sentence, text=given, ids=ids, read=read, codes=copies, alternatives=()))
    return several


def _not_required(
    text: str, places: Iterable[tuple[int, int]], prefix: str, glossary: Glossary | None
) -> list[tuple[int, int]]:
    """The places whose text neither the prefix nor a term of the glossary has; in any case, as terms match."""
    kept = [part.lower() for part in (prefix, *(glossary.terms if glossary else ()))]
    return [(start, end) for start, end in places if not any(text[start:end].lower() in part for part in kept)]


def _whole(words: str) -> re.Pattern[str]:
    """Finds words that are no part of others."""
    return re.compile(rf"(?<!\w){re.escape(words)}(?!\w)")


def _phrase(target: Tokenizer, term: str) -> tuple[int, ...]:
    """The tokens of a term that a translation must contain; a TextseqError if the model cannot write it."""
    ids = _encode(target, term)
    written, expected = (written_sentence(text) for text in (target.decode(ids), normalize(term, target.normalization)))
    if written != expected:
        raise TextseqError(f"glossary: expected terms that the model can write, got '{term}'; it writes '{written}'")
    return tuple(ids.tolist())


def _encode(tokenizer: Tokenizer, text: str) -> Ids:
    """The ids of a sentence in its best segmentation; none for white space."""
    return tokenizer.encode(read_sentence(text)) if text.strip() else np.empty(0, np.int64)
