"""The public names of ``textseq.nn``: complete, documented, quick to import, and as the design shows them."""

from __future__ import annotations

import ast
import copy
import doctest
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from textseq import nn
from textseq.config.names import PoolingName
from textseq.data.word_vectors import Vectors
from textseq.errors import TextseqError

SHAPED = [name for name in nn.__all__ if name not in {"CELLS", "Cell", "reference"}]


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    torch.manual_seed(1)
    yield


def test_the_names_are_sorted_and_all_there_is() -> None:
    assert nn.__all__ == sorted(nn.__all__) == dir(nn)
    stub = [node for node in ast.walk(ast.parse(inspect.getsource(nn))) if isinstance(node, ast.If)]
    typed = {
        alias.asname
        for node in ast.walk(stub[0])  # under TYPE_CHECKING, what mypy sees
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == set(nn.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Recurent'"):
        _ = getattr(nn, "Recurent")  # noqa: B009


def test_importing_the_names_loads_no_torch() -> None:
    code = "import sys; from textseq import nn; nn.__all__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", nn.__all__)
def test_every_name_is_documented_with_an_example(name: str) -> None:
    thing = getattr(nn, name)
    if name == "CELLS":
        assert set(thing) >= {"rnn", "lstm", "gru"}
        return
    text = inspect.getdoc(thing) or ""
    assert ">>>" in text or "::" in text, "an example"
    if name in SHAPED:
        whole = text + "".join(inspect.getdoc(member) or "" for _, member in inspect.getmembers(thing))
        assert re.search(r"\([A-Z](\*[A-Z])?, ", whole), "shapes"


@pytest.mark.parametrize("module", ["attention", "attention_decoder", "cell_registry", "crf", "dropout", "embedding",
                                    "pooling", "recurrent"])  # fmt: skip
def test_the_examples_run(module: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(f"textseq.nn.{module}"))
    assert tried and not failed


def test_the_designs_example_runs() -> None:
    lengths = torch.tensor([5, 3])
    encoder = nn.Recurrent("lstm", input_size=6, hidden_size=8, num_layers=2, bidirectional=True)
    y, state = encoder(torch.randn(2, 5, 6), lengths=lengths)
    assert y.shape == (2, 5, 16) and [part.shape for part in state] == [(4, 2, 8)] * 2
    context, weights = nn.AdditiveAttention(8, 16, 8)(torch.randn(2, 8), nn.Memory(y, lengths))
    assert context.shape == (2, 16) and weights.shape == (2, 5)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(2))
    assert not weights[1, 3:].any()


@pytest.mark.parametrize("kind", ["last", "mean", "max", "all", "attention"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_pooling_of_long_texts_in_half_precision(kind: PoolingName, dtype: torch.dtype) -> None:
    """Neither the number of tokens nor the sums are rounded to the outputs' dtype."""
    pooling = nn.Pooling(kind, 4)
    y, h = torch.rand(1, 5000, 4) + 0.5, torch.rand(1, 1, 4)
    y[0, -1, 0] = 5
    narrow = copy.deepcopy(pooling).to(dtype)
    vector = narrow(y.to(dtype), (h.to(dtype),))
    assert vector.dtype == dtype
    torch.testing.assert_close(vector.float(), pooling(y, (h,)), rtol=0.01, atol=0.01)


def test_an_embedding_starts_with_word_vectors() -> None:
    table = torch.randn(2, 3).numpy()
    embedding = nn.Embedding.from_word_vectors(["cat", "dog", " the"], Vectors(("the", "cat"), table))
    assert embedding.weight.shape == (3, 3) and embedding.weight.requires_grad
    assert torch.equal(embedding(torch.tensor([2, 0])), torch.from_numpy(table))


def test_the_vector_of_padding_is_zero() -> None:
    embedding = nn.Embedding(5, 3, padding_idx=0)
    assert not embedding.weight[0].any() and (embedding.weight[1:] != 0).all()


@pytest.mark.parametrize("bidirectional", [False, True])
def test_pooling_takes_what_recurrent_gives(bidirectional: bool) -> None:
    lengths = torch.tensor([5, 3])
    recurrent = nn.Recurrent("lstm", 4, 6, num_layers=2, bidirectional=bidirectional)
    y, state = recurrent(torch.randn(2, 5, 4), lengths=lengths)
    ends = [y[torch.arange(2), lengths - 1, :6], y[:, 0, 6:]]

    def pooled(kind: str) -> Tensor:
        vector: Tensor = nn.Pooling(kind, y.shape[2])(y, state, lengths)  # type: ignore[arg-type]
        return vector

    torch.testing.assert_close(pooled("last"), torch.cat(ends, dim=1))
    torch.testing.assert_close(pooled("mean")[1], y[1, :3].mean(dim=0))
    torch.testing.assert_close(pooled("max")[1], y[1, :3].amax(dim=0))
    assert pooled("attention").shape == (2, y.shape[2])


def test_pooling_refuses_what_it_does_not_know_and_what_does_not_fit() -> None:
    for kind in ("avg", "sum", None):
        with pytest.raises(TextseqError, match=rf"^unknown kind of pooling '{kind}'; .*known: all, attention, last, "):
            nn.Pooling(kind, 8)  # type: ignore[arg-type]
    pooling, y, state = nn.Pooling("mean", 8), torch.randn(3, 5, 8), (torch.randn(1, 3, 8),)
    assert torch.equal(pooling(y, state, [5, 2, 1]), pooling(y, state, torch.tensor([5, 2, 1])))
    for lengths in ([5, 0, 1], [9, 2, 1], [5]):
        with pytest.raises(ValueError, match=r"^lengths: expected "):
            pooling(y, state, torch.tensor(lengths))
    with pytest.raises(ValueError, match=r"^outputs: expected \(N, T, 9\), got \(3, 5, 8\); set width"):
        nn.Pooling("mean", 9)(y, state)
