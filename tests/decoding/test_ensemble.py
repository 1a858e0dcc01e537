"""An ensemble of one is the model; of several, the mean of their probabilities."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from textseq.config.names import CellName
from textseq.decoding.beam import beam_search
from textseq.decoding.ensemble import ensemble
from textseq.nn.cells import State, Step
from textseq.tasks.language_model.config import GenerationConfig, LanguageModelConfig
from textseq.tasks.language_model.model import LanguageModel

V = 6


def model(cell: CellName, seed: int) -> LanguageModel:
    torch.manual_seed(seed)
    made = LanguageModel(LanguageModelConfig(cell=cell, hidden_size=5, embedding_size=4), V)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=1.2)
    return made.eval()


def says(p: list[float]) -> Step:
    return lambda tokens, state: (torch.tensor([p]).log().expand(len(tokens), -1) + 3, state)


def test_an_ensemble_of_one_is_the_model() -> None:
    one = model("lstm", 1)
    state, tokens = one.initial_state(4), torch.tensor([0, 1, 2, 3])
    with torch.no_grad():
        logits, after = one.stepper()(tokens, state)
        found, changed = ensemble([one.stepper()], [2])(tokens, state)
    assert torch.equal(found, logits)
    assert all(map(torch.equal, changed, after))


def test_the_mean_is_of_probabilities() -> None:
    step = ensemble([says([0.7, 0.2, 0.1]), says([0.1, 0.6, 0.3]), says([0.1, 0.1, 0.8])], [0, 0, 0])
    logits, _ = step(torch.tensor([0, 0]), ())
    torch.testing.assert_close(logits.exp(), torch.tensor([[0.3, 0.3, 0.4]]).expand(2, -1))


def test_a_token_that_one_model_holds_impossible_is_possible() -> None:
    logits, _ = ensemble([says([1.0, 0.0, 0.0]), says([0.5, 0.5, 0.0])], [0, 0])(torch.tensor([0]), ())
    torch.testing.assert_close(logits.exp(), torch.tensor([[0.75, 0.25, 0.0]]))


@pytest.mark.parametrize("cells", [("lstm", "gru"), ("gru", "lstm", "rnn")])
def test_each_model_keeps_its_own_state(cells: tuple[CellName, ...]) -> None:
    """The search over an ensemble: its scores are recomputed from the models over the whole text."""
    models = [model(cell, seed) for seed, cell in enumerate(cells)]
    states = [one.initial_state(2) for one in models]
    step = ensemble([one.stepper() for one in models], [len(state) for state in states])
    joined: State = tuple(part for state in states for part in state)
    prompt = torch.tensor([[1, 2], [3, 0]])
    found = beam_search(step, prompt, joined, GenerationConfig(num_beams=3, max_new_tokens=6))
    for hypotheses, row in zip(found, prompt, strict=True):
        for hypothesis in hypotheses:
            whole = torch.cat([row, torch.tensor(hypothesis.tokens)])
            assert hypothesis.score == pytest.approx(log_probability(models, whole), abs=1e-4)


def log_probability(models: list[LanguageModel], whole: Tensor) -> float:
    with torch.no_grad():
        p = [one(whole[:-1].unsqueeze(0))[0][0].double().softmax(1) for one in models]
    mean = torch.stack(p).mean(0).log()
    return float(mean.gather(1, whole[1:].unsqueeze(1))[1:].sum())
