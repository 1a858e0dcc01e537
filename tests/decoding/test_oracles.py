"""Decoding gives what independent implementations give."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from textseq.config.decoding import DecodingConfig
from textseq.decoding import beam_search
from textseq.decoding.ctc import ctc_beam_search, ctc_greedy
from textseq.decoding.logits_processors import active_processors, apply_processors
from textseq.nn.cells import State


@pytest.fixture(scope="module")
def transformers() -> Any:
    """Hugging Face's package."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, while it is imported
        package = pytest.importorskip("transformers", reason="transformers is not installed (the extra dev)")
        assert package.GPT2LMHeadModel
    package.logging.set_verbosity_error()
    return package


def test_processors_are_those_of_hugging_face(transformers: Any) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = 3 * torch.randn(6, 40, generator=generator)
    history = torch.randint(40, (6, 30), generator=generator)
    theirs = {
        "repetition_penalty": (transformers.RepetitionPenaltyLogitsProcessor, 1.3),
        "no_repeat_ngram_size": (transformers.NoRepeatNGramLogitsProcessor, 2),
        "temperature": (transformers.TemperatureLogitsWarper, 0.7),
        "top_k": (transformers.TopKLogitsWarper, 5),
        "top_p": (transformers.TopPLogitsWarper, 0.8),
        "min_p": (transformers.MinPLogitsWarper, 0.1),
        "typical_p": (transformers.TypicalLogitsWarper, 0.6),
    }
    chain = logits
    for name, (processor, value) in theirs.items():
        config = DecodingConfig.from_dict({"temperature": 1.0, "min_p": 0.0, name: value}, where="here")
        ours = apply_processors(logits, history, config, active_processors(config))
        torch.testing.assert_close(ours, processor(value)(history, logits.clone()))
        chain = processor(value)(history, chain.clone())
    config = DecodingConfig.from_dict({name: value for name, (_, value) in theirs.items()}, where="here")
    torch.testing.assert_close(apply_processors(logits, history, config, active_processors(config)), chain)


@pytest.mark.parametrize(
    "settings",
    [
        {"num_beams": 1},
        {"num_beams": 1, "repetition_penalty": 1.5, "no_repeat_ngram_size": 2},
        {"num_beams": 4, "length_penalty": 0.0},
    ],
    ids=["greedy", "greedy with processors", "beams"],
)
def test_generate_is_that_of_hugging_face(transformers: Any, settings: dict[str, Any]) -> None:
    torch.manual_seed(1)
    shape = {"vocab_size": 30, "n_positions": 32, "n_embd": 16, "n_layer": 1, "n_head": 2}
    # Small weights, so flat distributions: where all but a repetition is noise, our no_repeat_ngram lets it pass.
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**shape, bos_token_id=None, eos_token_id=None)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    prompt = torch.randint(30, (3, 4))

    def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """The state is all tokens so far, (1, N, t)."""
        history = torch.cat([state[0], tokens.view(1, -1, 1)], dim=2)
        return model(history[0]).logits[:, -1], (history,)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of settings that are left out
        fixed = {"attention_mask": torch.ones_like(prompt), "pad_token_id": 0, "do_sample": False}
        theirs = model.generate(prompt, max_new_tokens=12, **fixed, **settings)
    config = DecodingConfig.from_dict({"max_new_tokens": 12, **settings}, where="here")
    ours = beam_search(step, prompt, (torch.zeros(1, 3, 0, dtype=torch.long),), config)
    assert [list(texts[0].tokens) for texts in ours] == theirs[:, 4:].tolist()


def test_ctc_is_that_of_fast_ctc_decode() -> None:
    fast = pytest.importorskip("fast_ctc_decode", reason="fast-ctc-decode is not installed (the extra dev)")
    random = np.random.default_rng(1)
    for _ in range(30):
        p = random.dirichlet(np.full(5, 0.5), size=12).astype(np.float32)
        greedy, _ = fast.viterbi_search(p, "-abcd")
        assert "".join("-abcd"[label] for label in ctc_greedy(np.log(p))) == greedy
        best, _ = fast.beam_search(p, "-abcd", beam_size=50, beam_cut_threshold=0.0)
        ours = ctc_beam_search(np.log(np.maximum(p, 1e-30)), 50, unlikely=1e9)
        assert "".join("-abcd"[label] for label in ours[0][0]) == best
