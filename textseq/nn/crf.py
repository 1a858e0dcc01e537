"""A linear-chain conditional random field over the labels of a sequence (Lafferty et al. 2001; Lample et al. 2016).

The score of a sequence of labels y sums the network's scores of each label and the scores of each transition:

    s(y) = b[y_1] + sum_t scores[t, y_t] + sum_t A[y_t, y_{t+1}] + e[y_T]

and its probability is exp s(y) over the sum of exp s of all C^T sequences, computed by a recursion over time.
Transitions that are not allowed add ``FORBIDDEN`` to the score, in training too, so that the sum is over the
allowed sequences only, and nothing has to be learned about the others.

Shapes: N sequences, T tokens, C labels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from textseq.nn.rnn_layer import check_lengths

FORBIDDEN = -1e4
"""Score of a forbidden transition. Finite, as a sentence may have no allowed sequence, and -inf would give NaN."""


class ConditionalRandomField(nn.Module):
    """Learned scores of transitions between labels, and of labels at the start and the end; zero at first.

    Args:
        num_labels: C.
        allowed: which label may follow which, bool (C + 1, C + 1): the last row is the start, the last column the end.

    Raises:
        ValueError: ``allowed`` of another shape or dtype.

    Example:
        >>> crf = ConditionalRandomField(num_labels=3)
        >>> scores, lengths = torch.randn(2, 4, 3), torch.tensor([4, 2])
        >>> crf.nats(scores, torch.zeros(2, 4, dtype=torch.long), lengths).shape
        torch.Size([2])
        >>> [len(labels) for labels in crf.best(scores, lengths)]
        [4, 2]
    """

    penalties: Tensor | None

    def __init__(self, num_labels: int, allowed: Tensor | None = None) -> None:
        super().__init__()
        if allowed is not None and (allowed.shape != (num_labels + 1,) * 2 or allowed.dtype != torch.bool):
            raise ValueError(
                f"allowed: expected bool {(num_labels + 1,) * 2}, with a row for the start and a column for the end, "
                f"got {str(allowed.dtype).removeprefix('torch.')} {tuple(allowed.shape)}"
            )
        self.transitions = nn.Parameter(torch.zeros(num_labels, num_labels))
        """A, from the label of the row to that of the column, (C, C)."""
        self.begin = nn.Parameter(torch.zeros(num_labels))
        """b, (C,)."""
        self.end = nn.Parameter(torch.zeros(num_labels))
        """e, (C,)."""
        self.register_buffer("penalties", None if allowed is None else penalties_of(allowed), persistent=False)

    def nats(self, scores: Tensor, labels: Tensor, lengths: Tensor | Sequence[int]) -> Tensor:
        """Negative log-likelihood of each sequence of labels, (N,), in float32 at least.

        Args:
            scores: (N, T, C); scores after the end of a sequence are ignored.
            labels: (N, T); labels after the end are ignored.
            lengths: (N,), each from 1 to T.

        Raises:
            ValueError: lengths that are not from 1 to T.
        """
        lengths = check_lengths(lengths, *scores.shape[:2])
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        return self._log_partition(scores, lengths) - self._score(scores, labels, lengths)

    def marginals(self, scores: Tensor, lengths: Tensor | Sequence[int]) -> Tensor:
        """The probability of each label at each token, over all sequences, (N, T, C); zero after the end.

        It is the gradient of the log-partition function (which the backward recursion computes). Arguments and errors
        are those of ``nats``.
        """
        lengths = check_lengths(lengths, *scores.shape[:2])
        with torch.inference_mode(False), torch.enable_grad():
            free = scores.detach().clone().float().requires_grad_()
            (marginals,) = torch.autograd.grad(self._log_partition(free, lengths).sum(), free)
        return marginals.clamp(max=1.0)  # in float32 they may be rounded to more

    def best(self, scores: Tensor, lengths: Tensor | Sequence[int]) -> list[list[int]]:
        """The likeliest labels of each sequence; arguments and errors are those of ``nats``."""
        return viterbi(scores, check_lengths(lengths, *scores.shape[:2]), *self.transition_scores())

    def transition_scores(self) -> tuple[Tensor, Tensor, Tensor]:
        """A (C, C), b (C,) and e (C,), with the penalties of what is forbidden."""
        learned = self.transitions, self.begin, self.end
        if self.penalties is None:
            return learned
        fixed = split_penalties(self.penalties)
        return learned[0] + fixed[0], learned[1] + fixed[1], learned[2] + fixed[2]

    def _log_partition(self, scores: Tensor, lengths: Tensor) -> Tensor:
        """The logarithm of the sum of exp s over all sequences, (N,), by the forward recursion."""
        transitions, begin, end = self.transition_scores()
        reached = begin + scores[:, 0]  # (N, C): of all prefixes that end in each label
        for t in range(1, scores.shape[1]):
            further = (reached.unsqueeze(2) + transitions).logsumexp(dim=1) + scores[:, t]
            reached = torch.where((t < lengths).to(scores.device).unsqueeze(1), further, reached)
        return (reached + end).logsumexp(dim=1)

    def _score(self, scores: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
        """s(y) of each sequence, (N,)."""
        transitions, begin, end = self.transition_scores()
        lengths = lengths.to(labels.device)
        places = torch.arange(scores.shape[1], device=labels.device)
        inside = places < lengths.unsqueeze(1)  # (N, T)
        labels = labels.masked_fill(~inside, 0)
        emissions = scores.gather(2, labels.unsqueeze(2)).squeeze(2)  # (N, T)
        follows = transitions[labels[:, :-1], labels[:, 1:]]  # (N, T-1)
        last = labels.gather(1, (lengths - 1).unsqueeze(1)).squeeze(1)
        total = emissions.masked_fill(~inside, 0.0).sum(dim=1) + (follows * inside[:, 1:]).sum(dim=1)
        score: Tensor = total + begin[labels[:, 0]] + end[last]
        return score


def penalties_of(allowed: Tensor) -> Tensor:
    """Scores of transitions from which of them are allowed: 0 or ``FORBIDDEN``, (C + 1, C + 1)."""
    return torch.where(allowed, 0.0, FORBIDDEN)


def split_penalties(penalties: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Those of transitions (C, C), of the start (C,), and of the end (C,)."""
    return penalties[:-1, :-1], penalties[-1, :-1], penalties[:-1, -1]


@torch.no_grad()
def viterbi(scores: Tensor, lengths: Tensor, transitions: Tensor, begin: Tensor, end: Tensor) -> list[list[int]]:
    """The labels with the highest score s(y) of each sequence (Viterbi 1967).

    Args:
        scores: (N, T, C); scores after the end of a sequence are ignored.
        lengths: (N,), at least 1.
        transitions: A, (C, C).
        begin: b, (C,).
        end: e, (C,).
    """
    scores = scores.float()
    reached = begin + scores[:, 0]  # (N, C): the best score of all prefixes that end in each label
    came_from = []
    for t in range(1, scores.shape[1]):
        highest, before = (reached.unsqueeze(2) + transitions).max(dim=1)  # (N, C)
        inside = (t < lengths).to(scores.device).unsqueeze(1)
        reached = torch.where(inside, highest + scores[:, t], reached)
        came_from.append(before)
    last = (reached + end).argmax(dim=1).tolist()
    back = torch.stack(came_from, dim=1).tolist() if came_from else [[] for _ in last]  # (N, T-1, C)
    paths = []
    for row, (label, length) in enumerate(zip(last, lengths.tolist(), strict=True)):
        path = [label]
        for before in reversed(back[row][: length - 1]):
            path.append(before[path[-1]])
        paths.append(path[::-1])
    return paths
