"""Explanations of a classification: the contribution of each word to a label's log odds, and their display.

The calibrated log odds of the label, log(p / (1 - p)), are explained, in nats: 0 is even, 3 is 20 to 1. The
contributions of the tokens are integrated gradients (Sundararajan et al. 2017, equation 1) along the straight path from
zero embeddings (the baseline) to the text's embeddings. They sum to the difference of the log odds between text and
baseline (their proposition 1, "completeness").

Shapes: T tokens, E embedding, C labels.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from textseq.errors import unknown
from textseq.io.colored_text import Color, display_width, html_text, painted, span, visible
from textseq.tasks.classification.config import ExplanationMethod
from textseq.tasks.classification.model import ClassifierModel

INTERVALS = 4
"""Initial intervals of the path; an interval whose sum is inexact is halved."""

MAX_POINTS = 1000
"""Maximum number of points on the path where the gradient is computed."""

TOLERANCE = 0.01
"""Tolerance of the sum, in nats, or relative to a total change above one nat."""

BATCH_TOKENS = 20_000
"""Tokens per batch of points."""

LONGEST_WORD = 30
"""Characters of a word; longer ones are shown by tokens, as are those with a letter of ``UNSPACED``."""

UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]")
"""Letters of scripts without spaces between words: Thai, Lao, Burmese, Khmer, kana and Chinese characters."""

WIDTH = 80
"""Columns of the plain form, with figures under the words."""


FOR = (Color(75, "#5fafff"), Color(153, "#afd7ff"), Color(195, "#d7ffff"))

AGAINST = (Color(208, "#ff8700"), Color(216, "#ffaf87"), Color(223, "#ffd7af"))

BOUNDS = (0.5, 0.2, 0.05)
"""Lower bounds of the three colors, as shares of the largest contribution."""

COLORS = (*FOR, *AGAINST)


@dataclass(frozen=True)
class Explanation:
    """Contributions of the parts of a text to a label."""

    label: str
    probability: float
    """Calibrated probability of the label."""
    score: float
    """Log odds of the label, in nats."""
    baseline: float
    """Log odds with as many tokens whose embeddings are zero."""
    pieces: tuple[tuple[str, float], ...]
    """The text as given by tokens, and the contribution of each in nats."""

    @property
    def contributed(self) -> float:
        """The sum of all contributions."""
        return sum(amount for _, amount in self.pieces)

    @property
    def gap(self) -> float:
        """The part of score - baseline that the contributions leave unexplained."""
        return self.score - self.baseline - self.contributed

    @property
    def words(self) -> tuple[tuple[str, float], ...]:
        """The pieces joined to words, each with the space before it; not in scripts without spaces between words."""
        words: list[list[tuple[str, float]]] = []
        for text, amount in self.pieces:
            (words.append if not words or text[0].isspace() else words[-1].extend)([(text, amount)])
        parts: list[tuple[str, float]] = []
        for word in words:
            whole = "".join(text for text, _ in word)
            by_token = len(whole) > LONGEST_WORD or UNSPACED.search(whole)
            parts += word if by_token else [(whole, math.fsum(amount for _, amount in word))]
        return tuple(parts)

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return {"score": self.score, "baseline": self.baseline, "words": [list(word) for word in self.words]}

    def summary(self) -> str:
        """The log odds as baseline plus contributions."""
        gap = f"{self.gap:+.2f} unexplained " if abs(self.gap) >= 0.1 else ""
        return (
            f"log odds {self.score:+.2f} of {self.label}: {self.baseline:+.2f} without a word, "
            f"{self.contributed:+.2f} by the words {gap}(nats)"
        )

    def in_color(self) -> str:
        """The text for a terminal: blue for the label, orange against it."""
        largest = self._largest()
        text = "".join(
            shown if (number := _shade(amount, largest)) is None else painted(shown, COLORS[number])
            for word, amount in self.words
            for shown in [visible(word).replace("\n", "↵").replace("\t", " ")]
        )
        return f"{text.strip(' ')}\n{self.summary()}"

    def in_figures(self) -> str:
        """The text without colors: under each word its contribution in nats."""
        rows: list[tuple[str, str]] = [("", "")]
        for word, amount in self.words:
            shown = visible(word).replace("\n", "↵").replace("\t", " ").strip(" ")
            if not shown:
                continue
            figure = f"{amount:+.1f}"
            wide = max(display_width(shown), len(figure)) + 1
            if rows[-1][0] and len(rows[-1][1]) + wide > WIDTH:
                rows.append(("", ""))
            above, below = rows[-1]
            rows[-1] = above + shown + " " * (wide - display_width(shown)), below + f"{figure:<{wide}}"
        return "\n".join([*(row.rstrip() for pair in rows for row in pair), self.summary()])

    def to_html(self) -> str:
        """The text as HTML, for a page that begins with ``page_begin``, or for a notebook."""
        largest = self._largest()
        spans = (
            span(word, None if (n := _shade(amount, largest)) is None else COLORS[n], f"{amount:+.2f} nats")
            for word, amount in self.words
        )
        return html_text(f"{self.label}, {self.probability:.1%}; {self.summary()}", "".join(spans))

    _repr_html_ = to_html

    def _largest(self) -> float:
        return max((abs(amount) for _, amount in self.words), default=0.0)


LEGEND = " ".join(
    [
        *(
            span(f"\u00a0{what}\u00a0", color)
            for color, what in ((FOR[0], "for the label"), (AGAINST[0], "against it"))
        ),
        "The stronger the color, the larger the contribution; hover over a word for its contribution in nats.",
    ]
)
"""The legend for ``page_begin``."""


def contributions(
    model: ClassifierModel, ids: npt.NDArray[np.int64], label: int, temperature: float, method: ExplanationMethod
) -> tuple[npt.NDArray[np.float64], float, float]:
    """The contribution of each token to the log odds of a label.

    Args:
        model: in evaluation mode.
        ids: (T,).
        label: its number.
        temperature: divides the logits.
        method: "integrated" gradients, or "gradient": gradient times input, which is one evaluation, without
            completeness.

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
    tolerance = TOLERANCE / 10 * max(1.0, abs(score - baseline))  # of each interval; few come near it
    total, count = np.zeros(len(ids)), 0
    intervals = [(n / INTERVALS, (n + 1) / INTERVALS) for n in range(INTERVALS)]
    while intervals:
        points = np.concatenate([begin + (end - begin) * (NODES + 1) / 2 for begin, end in intervals])
        odds, slopes = _at(model, vectors, points, label, temperature)
        count += len(points)
        halves = []
        for n, (begin, end) in enumerate(intervals):
            here = slice(n * len(NODES), (n + 1) * len(NODES))
            part = (end - begin) / 2 * (WEIGHTS @ slopes[here])  # (T,)
            # The exact sum over an interval is the difference of the log odds, so the error is known.
            if abs(odds[here][-1] - odds[here][0] - part.sum()) <= tolerance or count >= MAX_POINTS:
                total += part
            else:
                halves += [(begin, (begin + end) / 2), ((begin + end) / 2, end)]
        intervals = halves
    return total, score, baseline


def _lobatto(count: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Nodes and weights of Gauss-Lobatto quadrature on [-1, 1]; the ends are nodes."""
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
    """At P points between zero and the vectors (1, T, E): the log odds (P,), and their slope by token (P, T)."""
    odds, slopes = [], []
    batch = max(1, BATCH_TOKENS // vectors.shape[1])
    for at in range(0, len(points), batch):
        shares = torch.from_numpy(points[at : at + batch]).to(vectors)
        scaled = (shares.view(-1, 1, 1) * vectors).requires_grad_()
        # cuDNN gives no gradient in evaluation mode, and training mode would apply dropout.
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            here = _log_odds(model, scaled, label, temperature)
            (gradient,) = torch.autograd.grad(here.sum(), scaled)
        odds.append(here.detach().cpu().numpy())
        slopes.append((gradient * vectors).sum(dim=2).double().cpu().numpy())
    return np.concatenate(odds), np.concatenate(slopes)


def _log_odds(model: ClassifierModel, vectors: Tensor, label: int, temperature: float) -> Tensor:
    """The log odds (N,) of a label, from the vectors of texts of one length (N, T, E)."""
    lengths = torch.full((len(vectors),), vectors.shape[1])
    logits = model.classify(vectors, lengths).double() / temperature  # (N, C)
    if model.multi_label:
        return logits[:, label]
    others = torch.arange(logits.shape[1], device=logits.device) != label
    return logits[:, label] - logits[:, others].logsumexp(dim=1)


def _shade(amount: float, largest: float) -> int | None:
    """The index in ``COLORS``; None for small contributions."""
    step = next((n for n, bound in enumerate(BOUNDS) if largest and abs(amount) > bound * largest), None)
    return step if step is None or amount > 0 else step + len(FOR)
