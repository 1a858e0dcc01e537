"""A linear-chain conditional random field over the labels of a sequence (Lafferty et al. 2001; Lample et al. 2016).

The score of a sequence of labels y sums the network's scores of each label and the scores of each transition:

    s(y) = b[y_1] + sum_t scores[t, y_t] + sum_t A[y_t, y_{t+1}] + e[y_T]

and its probability is exp s(y) over the sum of exp s of all C^T sequences, computed by a recursion over time.

Shapes: N sequences, T tokens, C labels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ConditionalRandomField(nn.Module):
    """Learned scores of transitions between labels, and of labels at the start and the end; zero at first.

    Args:
        num_labels: C.

    Example:
        >>> crf = ConditionalRandomField(num_labels=3)
        >>> scores, lengths = torch.randn(2, 4, 3), torch.tensor([4, 2])
        >>> crf.nats(scores, torch.zeros(2, 4, dtype=torch.long), lengths).shape
        torch.Size([2])
        >>> [len(labels) for labels in crf.best(scores, lengths)]
        [4, 2]
    """

    def __init__(self, num_labels: int) -> None:
        super().__init__()
        self.transitions = nn.Parameter(torch.zeros(num_labels, num_labels))
        """A, from the label of the row to that of the column, (C, C)."""
        self.begin = nn.Parameter(torch.zeros(num_labels))
        """b, (C,)."""
        self.end = nn.Parameter(torch.zeros(num_labels))
        """e, (C,)."""

    def nats(self, scores: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
        """Negative log-likelihood of each sequence of labels, (N,), in float32 at least.

        Args:
            scores: (N, T, C); scores after the end of a sequence are ignored.
            labels: (N, T); labels after the end are ignored.
            lengths: (N,), at least 1.
        """
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        return self._log_partition(scores, lengths) - self._score(scores, labels, lengths)

    def marginals(self, scores: Tensor, lengths: Tensor) -> Tensor:
        """The probability of each label at each token, over all sequences, (N, T, C); zero after the end.

        It is the gradient of the log-partition function (which the backward recursion computes).
        """
        with torch.inference_mode(False), torch.enable_grad():
            free = scores.detach().clone().float().requires_grad_()
            (marginals,) = torch.autograd.grad(self._log_partition(free, lengths).sum(), free)
        return marginals

    @torch.no_grad()
    def best(self, scores: Tensor, lengths: Tensor) -> list[list[int]]:
        """The likeliest labels of each sequence (Viterbi 1967); arguments as for ``nats``."""
        scores = scores.float()
        steps = scores.shape[1]
        reached = self.begin + scores[:, 0]  # (N, C): the best score of all prefixes that end in each label
        came_from = []
        for t in range(1, steps):
            highest, before = (reached.unsqueeze(2) + self.transitions).max(dim=1)  # (N, C)
            inside = (t < lengths).to(scores.device).unsqueeze(1)
            reached = torch.where(inside, highest + scores[:, t], reached)
            came_from.append(before)
        last = (reached + self.end).argmax(dim=1).tolist()
        back = torch.stack(came_from, dim=1).tolist() if came_from else [[] for _ in last]  # (N, T-1, C)
        paths = []
        for row, (label, length) in enumerate(zip(last, lengths.tolist(), strict=True)):
            path = [label]
            for before in reversed(back[row][: length - 1]):
                path.append(before[path[-1]])
            paths.append(path[::-1])
        return paths

    def _log_partition(self, scores: Tensor, lengths: Tensor) -> Tensor:
        """The logarithm of the sum of exp s over all sequences, (N,), by the forward recursion."""
        reached = self.begin + scores[:, 0]  # (N, C): of all prefixes that end in each label
        for t in range(1, scores.shape[1]):
            further = (reached.unsqueeze(2) + self.transitions).logsumexp(dim=1) + scores[:, t]
            reached = torch.where((t < lengths).to(scores.device).unsqueeze(1), further, reached)
        return (reached + self.end).logsumexp(dim=1)

    def _score(self, scores: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
        """s(y) of each sequence, (N,)."""
        lengths = lengths.to(labels.device)
        places = torch.arange(scores.shape[1], device=labels.device)
        inside = places < lengths.unsqueeze(1)  # (N, T)
        labels = labels.masked_fill(~inside, 0)
        emissions = scores.gather(2, labels.unsqueeze(2)).squeeze(2)  # (N, T)
        follows = self.transitions[labels[:, :-1], labels[:, 1:]]  # (N, T-1)
        last = labels.gather(1, (lengths - 1).unsqueeze(1)).squeeze(1)
        total = (emissions * inside).sum(dim=1) + (follows * inside[:, 1:]).sum(dim=1)
        score: Tensor = total + self.begin[labels[:, 0]] + self.end[last]
        return score
