"""The public names of ``textseq.decoding``, with defaults, and the examples in their docstrings."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
import torch
from torch import Tensor

import textseq.decoding as decoding
from textseq.config.decoding import DecodingConfig
from textseq.nn.cells import State

NEEDS_A_MODEL = {"LogitsProcessor", "apply_processors", "token_bias"}
"""Their examples have names that a reader brings along."""


def count_up(tokens: Tensor, state: State) -> tuple[Tensor, State]:
    return 100.0 * torch.nn.functional.one_hot((tokens + 1) % 5, 5), state


def test_the_public_names_are_sorted_and_there() -> None:
    assert decoding.__all__ == sorted(decoding.__all__, key=lambda name: (not name.isupper(), name.islower(), name))
    assert all(hasattr(decoding, name) for name in decoding.__all__)


@pytest.mark.parametrize("name", sorted(set(decoding.__all__) - {"LOGITS_PROCESSORS"}))
def test_examples_in_docstrings_are_true(name: str) -> None:
    names = {"torch": torch, "np": np, "DecodingConfig": DecodingConfig}
    names |= {public: getattr(decoding, public) for public in decoding.__all__}
    tests = doctest.DocTestFinder(recurse=False).find(getattr(decoding, name), name, globs=names)
    (test,) = tests
    assert test.examples, f"{name} has no example"
    if name not in NEEDS_A_MODEL:
        flags = doctest.NORMALIZE_WHITESPACE
        out: list[str] = []
        result = doctest.DocTestRunner(optionflags=flags).run(test, out=out.append)
        assert not result.failed, "".join(out)


def test_sampling_needs_a_step_and_a_prompt_only() -> None:
    torch.manual_seed(1)
    prompt, state = torch.tensor([[0], [2]]), (torch.zeros(1, 2, 3),)
    tokens = [ids for ids, _ in zip(decoding.sample(count_up, prompt, state), range(3), strict=False)]
    assert torch.stack(tokens, 1).tolist() == [[1, 2, 3], [3, 4, 0]]


def test_the_seed_of_the_settings_decides() -> None:
    def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        return torch.zeros(len(tokens), 50), state

    def text(seed: int | None) -> list[int]:
        config = DecodingConfig(max_new_tokens=20, seed=seed)
        return torch.cat([*decoding.sample(step, torch.zeros(1, 1, dtype=torch.int64), config=config)]).tolist()

    assert text(1) == text(1) != text(2)
    assert text(None) != text(None)


def test_beam_search_needs_a_step_and_a_prompt_only() -> None:
    ((best,),) = decoding.beam_search(count_up, torch.tensor([[0]]), end=4)
    assert best.tokens == (1, 2, 3, 4)
