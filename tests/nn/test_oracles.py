"""Layers give the numbers of independent implementations."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from textseq import nn
from textseq.config.names import CellName
from textseq.nn.crf import ConditionalRandomField


def test_the_crf_is_that_of_pytorch_crf(float64: None) -> None:
    """Log-likelihoods, their gradients and the best labels of sentences of several lengths."""
    torchcrf = pytest.importorskip("torchcrf", reason="pytorch-crf is not installed (the extra dev)")
    ours, theirs = ConditionalRandomField(4), torchcrf.CRF(4, batch_first=True)
    for parameter in ours.parameters():
        torch.nn.init.normal_(parameter)
    with torch.no_grad():
        theirs.transitions.copy_(ours.transitions)
        theirs.start_transitions.copy_(ours.begin)
        theirs.end_transitions.copy_(ours.end)
    scores, labels, lengths = torch.randn(5, 7, 4), torch.randint(4, (5, 7)), torch.tensor([7, 1, 4, 6, 2])
    mask = torch.arange(7) < lengths.unsqueeze(1)
    own, other = scores.clone().requires_grad_(), scores.clone().requires_grad_()
    nats = ours.nats(own, labels, lengths)
    theirs_nats = -theirs(other, labels, mask=mask, reduction="none")
    torch.testing.assert_close(nats, theirs_nats)
    nats.sum().backward()  # type: ignore[no-untyped-call]
    theirs_nats.sum().backward()
    torch.testing.assert_close(own.grad, other.grad)
    torch.testing.assert_close(ours.transitions.grad, theirs.transitions.grad)
    assert ours.best(scores, lengths) == theirs.decode(scores, mask=mask)


@pytest.mark.parametrize(("cell", "after"), [("gru", True), ("gru-reset-before", False)])
def test_both_grus_are_those_of_keras(
    cell: CellName, after: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The reset gate after the recurrent product (``reset_after``), or before it (Cho et al. 2014)."""
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    keras = pytest.importorskip("keras", reason="keras is not installed (the extra dev)")
    torch.manual_seed(1)
    ours = nn.Recurrent(cell, input_size=3, hidden_size=4)
    x = torch.randn(2, 6, 3)
    weights = {name.rsplit(".", 1)[-1]: tensor.detach() for name, tensor in ours.named_parameters()}

    def in_their_order(name: str) -> npt.NDArray[np.float32]:
        r, z, n = weights[name].chunk(3)
        return torch.cat([z, r, n]).t().numpy()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, about what keras does
        theirs = keras.layers.GRU(4, reset_after=after, return_sequences=True)
        theirs.build((2, 6, 3))
    biases = [in_their_order("bias_ih_l0"), in_their_order("bias_hh_l0")] if after else []
    bias = np.stack(biases) if after else in_their_order("bias_ih_l0") + in_their_order("bias_hh_l0")
    theirs.set_weights([in_their_order("weight_ih_l0"), in_their_order("weight_hh_l0"), bias])
    with torch.no_grad():
        outputs = theirs(x).cpu()
    torch.testing.assert_close(ours(x)[0].detach(), outputs, rtol=1e-5, atol=1e-6)
