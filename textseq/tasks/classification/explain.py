"""Why a classifier gave a label: what each word of the text did for it or against it, and how that is shown.

What is explained is the label's log odds, log(p / (1 - p)), calibrated, in nats: 0 is even, 3 is 20 to 1. The
contributions of the tokens are integrated gradients (Sundararajan et al. 2017, equation 1): on the straight way from
vectors of zeros, where nothing can be read, to the vectors of the text, each token's gradient is added up. So all
contributions together are what the text did to the log odds of nothing (their proposition 1, "completeness").

Shapes: T tokens, E embedding, C labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm.utils import disp_len

from textseq.errors import unknown
from textseq.io.colored_text import Colour, page_text, painted, span, visible
from textseq.tasks.classification.config import ExplanationMethod
from textseq.tasks.classification.model import ClassifierModel

STRETCHES = 4
"""Stretches that the way is cut into to begin with; one whose sum is not right is halved."""

MOST = 1000
"""Points on the way where the gradient is taken before the rest is left as it is."""

TOLERANCE = 0.01
"""How far the whole sum may be off, in nats, or as a share of the whole change where that is more than one nat."""

AT_ONCE = 20_000
"""Tokens, of all points together, whose gradients are taken side by side."""

LONGEST_WORD = 30
"""Characters of what stands between spaces; if it is longer, as in scripts without spaces, its pieces stand alone."""

WIDTH = 80
"""Columns of the plain form, in which figures stand under the words."""


FOR = (Colour(75, "#5fafff"), Colour(153, "#afd7ff"), Colour(195, "#d7ffff"))

AGAINST = (Colour(208, "#ff8700"), Colour(216, "#ffaf87"), Colour(223, "#ffd7af"))

BOUNDS = (0.5, 0.2, 0.05)
"""A word has the first colour if it contributed more than half of what the strongest word did, and so on."""

COLOURS = (*FOR, *AGAINST)


@dataclass(frozen=True)
class Explanation:
    """What the parts of a text did for a label."""

    label: str
    probability: float
    """Of the label, calibrated."""
    score: float
    """Its log odds, in nats."""
    baseline: float
    """The log odds where nothing can be read: as many tokens, all their vectors zero."""
    pieces: tuple[tuple[str, float], ...]
    """The text as the tokens give it back, cut as finely as they allow, and what each piece contributed, in nats."""

    @property
    def contributed(self) -> float:
        """What all pieces did together."""
        return sum(amount for _, amount in self.pieces)

    @property
    def gap(self) -> float:
        """What they leave unexplained of the step from the baseline to the score."""
        return self.score - self.baseline - self.contributed

    @property
    def words(self) -> tuple[tuple[str, float], ...]:
        """The pieces put together to words, each with the space before it."""
        words: list[list[tuple[str, float]]] = []
        for text, amount in self.pieces:
            (words.append if not words or text[0].isspace() else words[-1].extend)([(text, amount)])
        whole = ([("".join(text for text, _ in word), math.fsum(amount for _, amount in word))] for word in words)
        kept = ((one if len(one[0][0]) <= LONGEST_WORD else word) for one, word in zip(whole, words, strict=True))
        return tuple(part for word in kept for part in word)

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return {"score": self.score, "baseline": self.baseline, "words": [list(word) for word in self.words]}

    def summary(self) -> str:
        """How the log odds come about."""
        gap = f"{self.gap:+.2f} of what could not be told apart " if abs(self.gap) >= 0.1 else ""
        return (
            f"log odds {self.score:+.2f} of {self.label}: {self.baseline:+.2f} without a word, "
            f"{self.contributed:+.2f} by the words {gap}(nats)"
        )

    def in_colour(self) -> str:
        """The text for a terminal: blue spoke for the label, orange against it."""
        largest = self._largest()
        text = "".join(
            shown if (number := _shade(amount, largest)) is None else painted(shown, COLOURS[number])
            for word, amount in self.words
            for shown in [visible(word).replace("\n", "↵").replace("\t", " ")]
        )
        return f"{text.strip(' ')}\n{self.summary()}"

    def in_figures(self) -> str:
        """The text without colours: under each word what it contributed, in nats."""
        rows: list[tuple[str, str]] = [("", "")]
        for word, amount in self.words:
            shown = visible(word).replace("\n", "↵").replace("\t", " ").strip(" ")
            if not shown:
                continue
            figure = f"{amount:+.1f}"
            wide = max(disp_len(shown), len(figure)) + 1
            if rows[-1][0] and len(rows[-1][1]) + wide > WIDTH:
                rows.append(("", ""))
            above, below = rows[-1]
            rows[-1] = above + shown + " " * (wide - disp_len(shown)), below + f"{figure:<{wide}}"
        return "\n".join([*(row.rstrip() for pair in rows for row in pair), self.summary()])

    def on_page(self) -> str:
        """The text for a web page that begins as ``painting.page_begin`` does with these ``COLOURS``."""
        largest = self._largest()
        spans = (
            span(word, "" if (n := _shade(amount, largest)) is None else f"s{n}", f"{amount:+.2f} nats")
            for word, amount in self.words
        )
        return page_text(f"{self.label}, {self.probability:.1%}; {self.summary()}", "".join(spans))

    def _largest(self) -> float:
        return max((abs(amount) for _, amount in self.words), default=0.0)


LEGEND = " ".join(
    [
        *(span(f"\u00a0{what}\u00a0", f"s{n}") for n, what in ((0, "for the label"), (3, "against it"))),
        "The stronger the colour, the more: point at a word to see what it did to the label's log odds, in nats.",
    ]
)
"""For ``painting.page_begin``."""


def contributions(
    model: ClassifierModel, ids: npt.NDArray[np.int64], label: int, temperature: float, method: ExplanationMethod
) -> tuple[npt.NDArray[np.float64], float, float]:
    """What each token did to the log odds of a label.

    Args:
        model: in evaluation mode.
        ids: (T,).
        label: its number.
        temperature: that the logits are divided by.
        method: "integrated" gradients, or "gradient": the gradient at the text, times its vectors, which takes one
            point and does not add up.

    Returns:
        Contributions (T,), log odds of the text, log odds of the baseline; in nats.

    Raises:
        TextseqError: no such method.
    """
    if method not in get_args(ExplanationMethod):
        raise unknown("explanation", method, get_args(ExplanationMethod))
    device = next(model.parameters()).device
    with torch.no_grad():
        vectors = model.embedding(torch.from_numpy(ids).unsqueeze(0).to(device))  # (1, T, E)
    (baseline, score), slopes = _at(model, vectors, np.array([0.0, 1.0]), label, temperature)
    if method == "gradient":
        return slopes[1], score, baseline
    tolerance = TOLERANCE / 10 * max(1.0, abs(score - baseline))  # for each of the few stretches that come near it
    total, spent = np.zeros(len(ids)), 0
    waiting = [(n / STRETCHES, (n + 1) / STRETCHES) for n in range(STRETCHES)]
    while waiting:
        points = np.concatenate([begin + (end - begin) * (NODES + 1) / 2 for begin, end in waiting])
        odds, slopes = _at(model, vectors, points, label, temperature)
        spent += len(points)
        halves = []
        for n, (begin, end) in enumerate(waiting):
            here = slice(n * len(NODES), (n + 1) * len(NODES))
            part = (end - begin) / 2 * (WEIGHTS @ slopes[here])  # (T,)
            # What a stretch must add up to is known, so that its error is.
            if abs(odds[here][-1] - odds[here][0] - part.sum()) <= tolerance or spent >= MOST:
                total += part
            else:
                halves += [(begin, (begin + end) / 2), ((begin + end) / 2, end)]
        waiting = halves
    return total, score, baseline


def _lobatto(count: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Nodes and weights of Gauss and Lobatto's quadrature on -1 to 1; the ends are among the nodes."""
    highest = np.polynomial.Legendre.basis(count - 1)
    nodes = np.array([-1.0, *np.sort(highest.deriv().roots().real), 1.0])
    return nodes, 2 / (count * (count - 1) * highest(nodes) ** 2)


NODES, WEIGHTS = _lobatto(7)


def _at(
    model: ClassifierModel,
    vectors: Tensor,
    points: npt.NDArray[np.float64],
    label: int,
    temperature: float,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """At P points on the way from zero to the vectors (1, T, E): the log odds, and their slope by token.

    Returns:
        (P,) in nats, and (P, T): how fast the log odds rise along the way by what each token does.
    """
    odds, slopes = [], []
    side_by_side = max(1, AT_ONCE // vectors.shape[1])
    for at in range(0, len(points), side_by_side):
        shares = torch.from_numpy(points[at : at + side_by_side]).to(vectors)
        scaled = (shares.view(-1, 1, 1) * vectors).requires_grad_()
        # cuDNN gives no gradient in evaluation mode, and training mode would drop what is to be explained.
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            here = _log_odds(model, scaled, label, temperature)
            (gradient,) = torch.autograd.grad(here.sum(), scaled)
        odds.append(here.detach().cpu().numpy())
        slopes.append((gradient * vectors).sum(dim=2).double().cpu().numpy())
    return np.concatenate(odds), np.concatenate(slopes)


def _log_odds(model: ClassifierModel, vectors: Tensor, label: int, temperature: float) -> Tensor:
    """Of one label against all others, (N,), from the vectors of texts of one length (N, T, E)."""
    lengths = torch.full((len(vectors),), vectors.shape[1])
    logits = model.classify(vectors, lengths).double() / temperature  # (N, C)
    others = torch.arange(logits.shape[1], device=logits.device) != label
    return logits[:, label] - logits[:, others].logsumexp(dim=1)


def _shade(amount: float, largest: float) -> int | None:
    """The number of the colour among ``COLOURS``; None for next to nothing."""
    step = next((n for n, bound in enumerate(BOUNDS) if largest and abs(amount) > bound * largest), None)
    return step if step is None or amount > 0 else step + len(FOR)
