"""Word tokenizer: words and punctuation marks with the space before them; others are spelled."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache, lru_cache, partial
from itertools import accumulate, chain, groupby, pairwise
from typing import Self

import numpy as np

from textseq.config.tokenizer import TokenizerConfig
from textseq.errors import TextseqError
from textseq.tokenizers.base import DEFAULTS, Ids, StreamDecoder, counted, encode_unicode, required_string
from textseq.tokenizers.characters import HALF_BYTES, CharTokenizer, SpellingStream, decode_spelled
from textseq.tokenizers.pretokenizer import CACHE_SIZE, WORDS, WORDS_AND_LINES, PretokenizingTokenizer, count_pretokens
from textseq.tokenizers.sentences import split_sentences

UNKNOWN = ("<unk>", " <unk>")
"""The unknown word, without and with a space before it."""

_ENCODING = ("words", "lowercase", "stem", "punctuation", "rare_words")  # options that affect encoding


Splitter = Callable[[str], list[str]]


class WordTokenizer(PretokenizingTokenizer):
    """Tokens are the frequent words and marks of the training text, each with the space before it (" the", ",").

    Ids: white space, then words, both by frequency (then by code point); then the characters of the training text
    that are not among them, and 16 half-bytes: other words are spelled with these as in ``CharTokenizer``. With
    ``rare_words="unknown"`` there is instead ``<unk>`` without and with a space, and the tokenizer is not reversible.
    """

    kind = "word"

    def __init__(self, words: Sequence[str], characters: str, unused: str, options: TokenizerConfig = DEFAULTS) -> None:
        """A tokenizer of these words.

        Args:
            words: different from each other and from the names of other tokens.
            characters: for spelling other words, all different and in ascending order.
            unused: the characters that spell no word of the training text.
            options: how text is split into words.

        Raises:
            TextseqError: words or characters that do not meet this.
        """
        speller = CharTokenizer(characters)
        known = set(words)
        rest = [character for character in characters if character not in known]
        special = HALF_BYTES if options.rare_words == "spell" else UNKNOWN
        vocabulary = (*words, *rest, *special)
        if len(set(vocabulary)) < len(vocabulary):
            raise TextseqError("the words of a word tokenizer must be different from each other and from other tokens")
        self._first_special = len(vocabulary) - len(special)
        specials = range(self._first_special, len(vocabulary))
        # Without the special tokens: text equal to their names is text.
        self._ids = {token: number for number, token in enumerate(vocabulary[: self._first_special])}
        fallback = (*(self._ids[character] for character in unused), *specials)
        super().__init__(vocabulary, fallback, _loses(options))
        self._words, self._unused, self._options = words, unused, options
        self._speller = speller
        # Our ids by the speller's.
        self._spelling = np.array([*(self._ids[character] for character in characters), *specials])
        self._split = partial(split_pretoken, options)
        self.pattern = _pattern(options)

    @classmethod
    def _train(cls, documents: Iterable[Iterable[str]], options: TokenizerConfig) -> Self:
        return cls((), "", "", options)._extended(documents, options)[0]

    def _extended(self, documents: Iterable[Iterable[str]], options: TokenizerConfig) -> tuple[Self, str]:
        pretokens, dropped = count_pretokens(documents, self.pattern)
        counts: Counter[str] = Counter()
        for pretoken, count in pretokens.items():
            for word in self._split(pretoken):
                counts[word] += count
        known = {*self.vocabulary}
        ranked = [word for word in sorted(counts, key=lambda word: (-counts[word], word)) if word not in known]
        white = [word for word in ranked if word.isspace()]
        frequent = [word for word in ranked if counts[word] >= options.minimum_count and not word.isspace()]
        if self._options.rare_words == "unknown":
            frequent = [word for word in frequent if self._other_form(word) not in known]
        room = max(0, options.vocabulary_size - sum(not word.isspace() for word in self._words))
        added = white + frequent[:room]
        words, characters, unused = [*self._words, *added], "", ""
        if self._options.rare_words == "spell":
            spelled = {*self._speller.vocabulary[: -len(HALF_BYTES)]} - {*self._unused}
            spelled.update(chain.from_iterable(counts.keys() - set(words)))
            spelled.update(chain.from_iterable(chain.from_iterable(map(self._split, dropped))))
            used = spelled.union(chain.from_iterable(words))
            characters, unused = "".join(sorted(used)), "".join(sorted(used - spelled - set(words)))
        tokenizer = type(self)(words, characters, unused, self._options)
        phrase = counted(word=len(added), character=tokenizer.size - self.size - len(added))
        if beyond := len(frequent[room:]):
            phrase = f"{phrase or 'no words'} ({beyond:,} more are beyond --vocabulary-size)"
        return tokenizer, phrase

    def _ends(self, text: str) -> list[int]:
        plain = partial(split_pretoken, replace(self._options, lowercase=False, stem="none"))
        ends: list[int] = []
        offset = 0
        for pretoken in self.pattern.findall(text):
            words, forms, at = self._split(pretoken), plain(pretoken), 0
            for word, form in zip(words, forms if len(forms) == len(words) else words, strict=True):
                bare = form.strip(" ") or form
                stop = max(pretoken.find(bare, at), at) + len(bare)
                begin = stop - len(form)
                known = word in self._ids or self._options.rare_words == "unknown"
                spelled = [] if known else self._speller._ends(word)[:-1]
                # A word in small letters, or a stem, may be longer than what is written.
                ends += (offset + min(max(begin + end, at), stop - 1) for end in spelled)
                ends.append(offset + stop)
                at = stop
            offset += len(pretoken)
        return ends

    def _encode_pretokens(self, pretokens: list[str]) -> Iterable[Sequence[int]]:
        return (tuple(chain.from_iterable(map(self._encode_word, self._split(pretoken)))) for pretoken in pretokens)

    def _encode_word(self, word: str) -> Sequence[int]:
        if word in self._ids:
            return (self._ids[word],)
        if self._options.rare_words == "unknown":
            return (self._ids.get(self._other_form(word), self._first_special + word.startswith(" ")),)
        spelled: list[int] = self._spelling[self._speller.encode(word)].tolist()
        return spelled

    @staticmethod
    def _other_form(word: str) -> str:
        """The word without the space before it, or with one: "good ," and "good," are the same words."""
        return word[1:] if word.startswith(" ") else f" {word}"

    def _decode(self, ids: Ids) -> str:
        return decode_spelled(
            ids, self._first_half, lambda run: "".join(map(self.vocabulary.__getitem__, run.tolist()))
        )

    def stream(self) -> StreamDecoder:
        return SpellingStream(self, self._first_half)

    @property
    def _first_half(self) -> int:
        """The id of the first half-byte; V if there are none."""
        return self._first_special if self._options.rare_words == "spell" else self.size

    def _settings(self) -> dict[str, object]:
        return {
            "words": list(self._words),
            "characters": self._speller.to_json()["characters"],
            "unused": self._unused,
            "options": {name: getattr(self._options, name) for name in _ENCODING},
        }

    @classmethod
    def _from_settings(cls, data: Mapping[str, object]) -> Self:
        words, options = data.get("words"), data.get("options")
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise TextseqError("a word tokenizer without its 'words'; restore it or train again")
        if not isinstance(options, dict):
            raise TextseqError("a word tokenizer without its 'options'; restore it or train again")
        characters, unused = (required_string(data, key, cls.kind) for key in ("characters", "unused"))
        encode_unicode("".join(words), "utf-8")
        if not set(unused) <= set(characters):
            raise TextseqError("the unused characters of a word tokenizer must be among its characters")
        config = TokenizerConfig.from_dict({**options, "tokenizer": cls.kind}, where="a word tokenizer")
        return cls(words, characters, unused, config)


def split_pretoken(options: TokenizerConfig, pretoken: str) -> list[str]:
    """The words of a pretoken; unless the options lose text, the words joined are the pretoken."""
    if pretoken.isspace():
        return [pretoken]
    text = pretoken.lower() if options.lowercase else pretoken
    word = text.removeprefix(" ")
    space = text[: len(text) - len(word)]
    parts = _nltk_words(word) if options.words == "nltk" else [word]
    if options.punctuation == "merge":
        runs = [list(run) for _, run in groupby(parts, _is_mark)]
        parts = list(chain.from_iterable(["".join(run)] if _is_mark(run[0]) else run for run in runs))
    stem = _stemmer(options.stem) if options.stem != "none" else str
    words: list[str] = []
    for part in parts:
        mark = _is_mark(part)
        if mark and options.punctuation == "drop":
            space = space or " " * bool(words)  # keeps the words on both sides apart
        else:
            words.append(space + (part if mark else stem(part)))
            space = ""
    return words


def _is_mark(part: str) -> bool:
    return not any(map(str.isalnum, part))


@lru_cache(CACHE_SIZE)  # encoding repeats what training has split
def _nltk_words(word: str) -> list[str]:
    """Split a word by NLTK's rules, which are written for ASCII; see ``_AsciiMarks``."""
    ends = [0, *accumulate(map(len, _nltk_tokenize()(word.translate(_ASCII_MARKS))))]
    # NLTK only adds spaces; if that ever changes, words stay whole.
    return [word[start:end] for start, end in pairwise(ends)] if ends[-1] == len(word) else [word]


def words_by_sentence(text: str) -> list[str]:
    """The words of a text by NLTK's Treebank rules, which split the full stop off at the end of a sentence only.

    Example:
        >>> words_by_sentence("Mr. Poe isn't in the U.S. now.")
        ['Mr.', 'Poe', 'is', "n't", 'in', 'the', 'U.S.', 'now', '.']
    """
    words: list[str] = []
    for sentence in split_sentences(text):
        plain, end = sentence.translate(_ASCII_MARKS), 0
        for token in _nltk_tokenize()(plain):
            start = end + len(_SPACE.match(plain, end)[0])  # type: ignore[index]
            end = start + len(token)  # NLTK adds spaces, and changes '' to ``
            words.append(sentence[start:end])
    return words


class _AsciiMarks(dict[int, int]):
    """Translation of characters for NLTK: marks of other scripts become one that NLTK always splits off."""

    def __missing__(self, code: int) -> int:
        mark = code >= 0x80 and unicodedata.category(chr(code))[0] in "PS"
        self[code] = ord("”") if mark else code
        return self[code]


_SPACE = re.compile(r"\s*")

# NLTK rewrites the straight double quote, and knows only ASCII apostrophes and hyphens in words.
_ASCII_MARKS = _AsciiMarks({ord('"'): ord("”"), ord("’"): ord("'"), ord("‐"): ord("-"), ord("‑"): ord("-")})


@cache
def _nltk_tokenize() -> Splitter:
    from nltk.tokenize.destructive import NLTKWordTokenizer

    tokenize: Splitter = NLTKWordTokenizer().tokenize
    return tokenize


# Letters without which a word is not in the language: the stemmer would damage it.
_SCRIPTS = {"russian": "[\u0400-\u04ff]", "arabic": "[\u0600-\u06ff]"}


@cache
@cache
def _stemmer(language: str) -> Callable[[str], str]:
    from nltk.stem.snowball import SnowballStemmer

    stem: Callable[[str], str] = SnowballStemmer(language).stem
    script = _SCRIPTS.get(language, "")
    return lambda word: (stem(word.lower()) if re.search(script, word) else word.lower()) or word


def _pattern(options: TokenizerConfig) -> re.Pattern[str]:
    return WORDS if options.words == "nltk" else WORDS_AND_LINES


def _loses(options: TokenizerConfig) -> tuple[str, ...]:
    lost = {
        "rare words": options.rare_words == "unknown",
        "case": options.lowercase or options.stem != "none",
        "word endings": options.stem != "none",
        "punctuation": options.punctuation == "drop",
    }
    return tuple(name for name, is_lost in lost.items() if is_lost)
