"""Explanations are those of captum."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import Tensor

from textseq.tasks.classification.config import ClassifierConfig
from textseq.tasks.classification.explain import _log_odds, contributions
from textseq.tasks.classification.model import ClassifierModel


def test_contributions_are_the_integrated_gradients_of_captum() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, while it is imported
        attr = pytest.importorskip("captum.attr", reason="captum is not installed (the extra dev)")
    torch.manual_seed(1)
    model = ClassifierModel(ClassifierConfig(hidden_size=8, embedding_size=6), 20, 3).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    ids = np.array([3, 1, 4, 1, 5, 9, 2, 6])
    vectors = model.embedding(torch.from_numpy(ids).unsqueeze(0)).detach()

    def odds(some: Tensor) -> Tensor:
        return _log_odds(model, some, 1, 1.7)

    theirs = attr.IntegratedGradients(odds).attribute(vectors, torch.zeros_like(vectors), n_steps=200)
    ours, score, baseline = contributions(model, ids, 1, 1.7, "integrated")
    np.testing.assert_allclose(ours, theirs.sum(dim=2)[0].detach().numpy(), atol=5e-3)
    assert ours.sum() == pytest.approx(score - baseline, abs=1e-2)
    gradients = attr.InputXGradient(odds).attribute(vectors.clone().requires_grad_()).sum(dim=2)[0]
    np.testing.assert_allclose(
        contributions(model, ids, 1, 1.7, "gradient")[0], gradients.detach().numpy(), rtol=1e-4, atol=1e-6
    )
