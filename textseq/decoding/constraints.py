"""Phrases that a text must contain: lexically constrained beam search with dynamic beam allocation.

Post and Vilar (2018), https://aclanthology.org/N18-1119: each hypothesis carries its progress through the phrases; the
beam is shared between hypotheses that have the same number of constraint tokens to go, so that those that met theirs,
which are less likely, are not crowded out. An unmet phrase in progress is begun again if another token follows.

Not in the paper: a place may fit a phrase badly (``fit``), as where the attention is not on its source. To a model, a
phrase that it would not write is about as unlikely everywhere, and fits best where it disturbs least: after the end.

Shapes as in ``beam``: M texts, K beams; a row is a hypothesis before its next token.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import torch
from torch import Tensor

Phrase = Sequence[int]


@dataclass(frozen=True)
class Progress:
    """How far a text is with its phrases; one entry per phrase."""

    matched: tuple[int, ...]
    """Tokens at the end of the text that begin the phrase."""
    needed: tuple[int, ...]
    """Times that the phrase must still occur."""
    ended: tuple[int, ...] = ()
    """Numbers of the phrases that a needed occurrence of has just ended."""
    fits: tuple[float, ...] = ()
    """How well the place fits where each phrase was last begun; at most 0."""
    ended_fit: float = 0.0
    """The sum for the needed occurrences that have ended."""


class Phrases:
    """The phrases of one text: token sequences that it must contain; one given twice must occur twice.

    Occurrences may overlap.

    Args:
        phrases: sequences of tokens.
        inner: tokens that continue a word; an occurrence does not count if one of them follows that no unmet phrase
            needs next.

    Example:
        >>> phrases = Phrases([(1, 2)])
        >>> phrases.remaining(phrases.advance(phrases.start, 1))
        1
    """

    def __init__(self, phrases: Iterable[Phrase], inner: Container[int] = ()) -> None:
        counts = Counter(tuple(phrase) for phrase in phrases if len(phrase))
        self.phrases = [*counts]
        self.inner = inner
        self.borders = [_borders(phrase) for phrase in self.phrases]
        self.start = Progress((0,) * len(counts), tuple(counts.values()), fits=(0.0,) * len(counts))
        """Before the first token."""

    def advance(self, progress: Progress, token: int, fit: Sequence[float] | None = None) -> Progress:
        """The progress after one more token (Knuth, Morris and Pratt's matching of each phrase).

        ``fit`` says how well each phrase begins with the token; 0 by default.
        """
        matched, needed, ended = [*progress.matched], [*progress.needed], []
        fits, ended_fit = [*progress.fits], progress.ended_fit
        if progress.ended and token in self.inner and token not in self.next_tokens(progress):
            for n in progress.ended:
                needed[n] += 1
                ended_fit -= fits[n]
        for n, (phrase, borders) in enumerate(zip(self.phrases, self.borders, strict=True)):
            place = matched[n]
            while place and phrase[place] != token:
                place = borders[place]
            place += phrase[place] == token
            if place <= matched[n] or place == 1:
                fits[n] = fit[n] if fit is not None else 0.0
            if place == len(phrase):
                place = borders[place]
                if needed[n]:
                    needed[n] -= 1
                    ended.append(n)
                    ended_fit += fits[n]
            matched[n] = place
        return Progress(tuple(matched), tuple(needed), tuple(ended), tuple(fits), ended_fit)

    def remaining(self, progress: Progress) -> int:
        """Tokens that complete all phrases, one after the other; 0 once all are met."""
        rows = [*zip(self.phrases, progress.matched, progress.needed, strict=True)]
        begun = max((matched for _, matched, needed in rows if needed), default=0)
        return sum(len(phrase) * needed for phrase, _, needed in rows) - begun

    def begun_fit(self, progress: Progress) -> float:
        """How well the unmet phrases in progress fit."""
        rows = zip(progress.matched, progress.needed, progress.fits, strict=True)
        return sum(fit for matched, needed, fit in rows if matched and needed)

    def next_tokens(self, progress: Progress) -> list[int]:
        """The tokens that begin an unmet phrase or continue it; one of them always reduces ``remaining``."""
        rows = zip(self.phrases, progress.matched, progress.needed, strict=True)
        return [*dict.fromkeys(phrase[matched] for phrase, matched, needed in rows if needed)]


def _borders(phrase: Phrase) -> list[int]:
    """For each length of a beginning of the phrase the longest shorter beginning that it ends with."""
    borders = [0, 0]
    for token in phrase[1:]:
        place = borders[-1]
        while place and phrase[place] != token:
            place = borders[place]
        borders.append(place + (phrase[place] == token))
    return borders


@dataclass(frozen=True)
class ConstrainedBeams:
    """The hypotheses of M texts, with their progress."""

    phrases: Sequence[Phrases]
    """Of each text, (M,)."""
    progress: Sequence[Sequence[Progress]]
    """Of each text's rows, (M, rows of a text)."""
    end: int | None = None
    """The token that ends a text."""

    @classmethod
    def begin(
        cls, constraints: Sequence[Sequence[Phrase]], inner: Container[int] = (), end: int | None = None
    ) -> ConstrainedBeams:
        """One empty hypothesis of each text; ``inner`` as in ``Phrases``."""
        phrases = [Phrases(several, inner) for several in constraints]
        return cls(phrases, [[each.start] for each in phrases], end)

    def remaining(self) -> list[list[int]]:
        """Constraint tokens that the rows of each text still need, (M, rows of a text)."""
        return [[own.remaining(one) for one in rows] for own, rows in zip(self.phrases, self.progress, strict=True)]

    def unmet(self, device: torch.device) -> Tensor:
        """Which hypotheses still need a constraint token, (M, rows of a text)."""
        return torch.tensor(self.remaining(), device=device) > 0

    def ended_fits(self, device: torch.device) -> Tensor:
        """How well the phrases fit that the hypotheses have met, (M, rows of a text); at most 0."""
        return torch.tensor([[one.ended_fit for one in rows] for rows in self.progress], device=device)

    def select(self, texts: Sequence[int]) -> ConstrainedBeams:
        """Those of some texts, by their places."""
        return ConstrainedBeams([self.phrases[n] for n in texts], [self.progress[n] for n in texts], self.end)

    def add(
        self, values: Tensor, tokens: Tensor, log_p: Tensor, required: Tensor | None, *, may_end: bool = True
    ) -> tuple[Tensor, Tensor]:
        """The candidates of each row, (rows, each) -> (rows, more): with tokens that advance a constraint.

        Where the last one has just been met, with the end if it ``may_end``, for all others might continue its last
        word. These count with their log-probability, whatever bias and processors say. ``log_p`` is (rows, V);
        ``required`` (M,) are forced tokens, or -1.
        """
        lists = [
            own.next_tokens(one) or ([self.end] if may_end and one.ended and self.end is not None else [])
            for own, rows in zip(self.phrases, self.progress, strict=True)
            for one in rows
        ]
        if not any(lists):
            return values, tokens
        padded = [*zip(*zip_longest(*lists, fillvalue=-1), strict=True)]
        more = torch.tensor(padded, device=values.device)  # (rows, X)
        known = (more.unsqueeze(2) == tokens.unsqueeze(1)) & (values > -torch.inf).unsqueeze(1)
        absent = (more < 0) | known.any(dim=2)
        if required is not None:
            absent |= required.repeat_interleave(len(more) // len(required)).unsqueeze(1) >= 0
        gained = log_p.gather(1, more.clamp(min=0)).masked_fill(absent, -torch.inf)
        return torch.cat([values, gained], dim=1), torch.cat([tokens, more.clamp(min=0)], dim=1)

    def choose(
        self, totals: Tensor, tokens: Tensor, beams: int, limits: Sequence[int], length: int, fit: Tensor | None = None
    ) -> tuple[Tensor, Tensor, ConstrainedBeams]:
        """Share the beam: choose the candidates that become hypotheses.

        Args:
            totals: log-probabilities of the candidates, (M, rows of a text * each).
            tokens: their last tokens, in the same shape.
            beams: K.
            limits: most tokens of each text, (M,).
            length: tokens of the candidates.
            fit: how well each phrase begins after the rows, (M, rows of a text, phrases); see ``beam_search``.

        Returns:
            Log-probabilities and places of the chosen ones, (M, K) each, and the hypotheses.
        """
        values, places = totals.topk(min(beams, totals.shape[1]), dim=1)
        progress: list[list[Progress]] = []
        for n, (own, rows) in enumerate(zip(self.phrases, self.progress, strict=True)):
            each = totals.shape[1] // len(rows)
            ids = tokens[n].tolist()
            fits = [None] * len(rows) if fit is None else fit[n].tolist()
            after = [own.advance(rows[place // each], token, fits[place // each]) for place, token in enumerate(ids)]
            if own.phrases:
                chosen = self._share(own, after, totals[n].tolist(), places.shape[1], limits[n] - length)
                values[n, len(chosen) :] = -torch.inf
                places[n, : len(chosen)] = torch.tensor(chosen, device=places.device)
                values[n, : len(chosen)] = totals[n, places[n, : len(chosen)]]
            progress.append([after[place] for place in places[n].tolist()])
        return values, places, ConstrainedBeams(self.phrases, progress, self.end)

    @staticmethod
    def _share(own: Phrases, after: Sequence[Progress], totals: Sequence[float], beams: int, room: int) -> list[int]:
        """Places of at most K candidates of a text that has room for so many more tokens.

        Candidates with equally many constraint tokens to go form a bank. The banks take turns, the nearest to the end
        first; an exhausted bank leaves its slots to the others.
        """
        values = [total + one.ended_fit + own.begun_fit(one) for total, one in zip(totals, after, strict=True)]
        banks: dict[int, list[int]] = {}
        for place in sorted(range(len(values)), key=lambda place: -values[place]):
            if values[place] == -torch.inf:
                break
            if (remaining := own.remaining(after[place])) <= room:
                banks.setdefault(remaining, []).append(place)
        turns = zip_longest(*(banks[remaining] for remaining in sorted(banks)))
        return [place for turn in turns for place in turn if place is not None][:beams]
