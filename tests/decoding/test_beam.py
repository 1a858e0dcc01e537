"""Beam search finds the greedy text with one beam and the best of all texts with enough; its scores are the model's."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator

import pytest
import torch
from torch import Tensor

from textseq.config.names import CellName
from textseq.decoding.beam import BLOCK, SEARCHED_BY_BLOCKS, Ended, Hypothesis, beam_search, top_tokens
from textseq.decoding.sampling import sample
from textseq.errors import TextseqError
from textseq.nn.cells import State, Step
from textseq.tasks.language_model.config import GenerationConfig, LanguageModelConfig
from textseq.tasks.language_model.model import LanguageModel

V = 4
END = 3


def model(cell: CellName = "lstm", seed: int = 1) -> LanguageModel:
    """A model whose logits depend on all that it has read."""
    torch.manual_seed(seed)
    made = LanguageModel(LanguageModelConfig(cell=cell, num_layers=2, hidden_size=6, embedding_size=4), V)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=1.2)
    return made.eval()


def prompts(texts: int, length: int = 3) -> Tensor:
    return torch.randint(V, (texts, length), generator=torch.Generator().manual_seed(1))


def search(
    writer: LanguageModel,
    prompt: Tensor,
    config: GenerationConfig,
    ended: Ended | None = None,
    bias: Tensor | None = None,
) -> list[list[Hypothesis]]:
    state = writer.initial_state(len(prompt))
    return beam_search(writer.stepper(), prompt, state, config, bias=bias, ended=ended)


def log_probabilities(
    writer: LanguageModel, prompt: Tensor, texts: Iterable[tuple[int, ...]]
) -> dict[tuple[int, ...], float]:
    """By teacher forcing, the model over whole texts of one length at once; prompt (T,)."""
    found: dict[tuple[int, ...], float] = {}
    for _, group in itertools.groupby(sorted(texts, key=len), key=len):
        some = list(group)
        whole = torch.cat([prompt.expand(len(some), -1), torch.tensor(some)], dim=1)
        with torch.no_grad():
            logits, _ = writer(whole[:, :-1])
        chosen = logits.double().log_softmax(2).gather(2, whole[:, 1:].unsqueeze(2)).squeeze(2)
        found.update(zip(some, chosen[:, len(prompt) - 1 :].sum(dim=1).tolist(), strict=True))
    return found


def log_probability(writer: LanguageModel, prompt: Tensor, tokens: tuple[int, ...]) -> float:
    return log_probabilities(writer, prompt, [tokens])[tokens]


def at_end(written: Tensor) -> Tensor:
    return written[:, -1] == END


def every_text(longest: int, *, with_end: bool) -> Iterator[tuple[int, ...]]:
    """Every text of the longest length, and with an end token the shorter ones that it ends."""
    if not with_end:
        yield from itertools.product(range(V), repeat=longest)
        return
    for length in range(1, longest + 1):
        for text in itertools.product(set(range(V)) - {END}, repeat=length - 1):
            yield from ((*text, last) for last in range(V) if last == END or length == longest)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("processors", [{}, {"repetition_penalty": 1.7}, {"no_repeat_ngram_size": 2}])
def test_one_beam_is_the_greedy_text(cell: CellName, processors: dict[str, float]) -> None:
    writer, prompt = model(cell), prompts(5)
    bias = torch.tensor([0.5, 0, -1, -torch.inf])
    config = GenerationConfig.from_dict({"temperature": 0, "max_new_tokens": 15, **processors}, where="here")
    state, generator = writer.initial_state(5), torch.Generator()
    greedy = torch.stack(list(sample(writer.stepper(), prompt, state, config, generator=generator, bias=bias)), dim=1)
    found = search(writer, prompt, config, bias=bias)
    assert [[h.tokens for h in row] for row in found] == [[tuple(row)] for row in greedy.tolist()]


@pytest.mark.parametrize("with_end", [False, True])
@pytest.mark.parametrize("alpha", [0.0, 0.7, 2.0])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_enough_beams_find_every_text_in_order(with_end: bool, alpha: float, seed: int) -> None:
    """The best first, with the sums of the model's own log-probabilities over the length factor."""
    writer, prompt = model(seed=seed), prompts(2)
    texts = list(every_text(4, with_end=with_end))
    config = GenerationConfig(num_beams=V**4, max_new_tokens=4, length_penalty=alpha, early_stopping="never")
    found = search(writer, prompt, config, at_end if with_end else None)
    for hypotheses, row in zip(found, prompt, strict=True):
        sums = log_probabilities(writer, row, texts)
        scores = {text: total / ((5 + len(text)) / 6) ** alpha for text, total in sums.items()}
        assert {h.tokens for h in hypotheses} == set(texts)
        assert [h.score for h in hypotheses] == pytest.approx(sorted(scores.values(), reverse=True), abs=1e-4)
        for hypothesis in hypotheses:
            assert hypothesis.score == pytest.approx(scores[hypothesis.tokens], abs=1e-4)


@pytest.mark.parametrize("beams", [1, 2, 3, 7])
def test_scores_are_log_probabilities_best_first(beams: int) -> None:
    writer, prompt = model(), prompts(4)
    for hypotheses, row in zip(
        search(writer, prompt, GenerationConfig(num_beams=beams, max_new_tokens=9)), prompt, strict=True
    ):
        assert len({h.tokens for h in hypotheses}) == beams
        assert [h.score for h in hypotheses] == sorted((h.score for h in hypotheses), reverse=True)
        for hypothesis in hypotheses:
            assert hypothesis.score == pytest.approx(log_probability(writer, row, hypothesis.tokens), abs=1e-4)


@pytest.mark.parametrize("ended", [None, at_end], ids=["whole", "with-end"])
@pytest.mark.parametrize("processors", [{}, {"repetition_penalty": 1.3}, {"no_repeat_ngram_size": 2}])
def test_a_batch_finds_what_each_text_finds_alone(ended: Ended | None, processors: dict[str, float]) -> None:
    writer, prompt = model(), prompts(6)
    config = GenerationConfig.from_dict({"num_beams": 3, "max_new_tokens": 10, **processors}, where="here")
    together = search(writer, prompt, config, ended)
    for hypotheses, row in zip(together, prompt, strict=True):
        (alone,) = search(writer, row.unsqueeze(0), config, ended)
        assert [h.tokens for h in hypotheses] == [h.tokens for h in alone]
        assert [h.score for h in hypotheses] == pytest.approx([h.score for h in alone], abs=1e-5)
    assert together == search(writer, prompt, config, ended)


def garden_path() -> Step:
    """Token 0 looks better at first; what follows 1 is certain, and what follows 0 is not."""
    after = torch.tensor([[0.4, 0.3, 0.3], [0.0001, 0.0001, 0.9998], [0.55, 0.44, 0.01]]).log()
    return lambda tokens, state: (after[tokens], state)


def test_two_beams_see_through_a_garden_path() -> None:
    def best(beams: int) -> tuple[int, ...]:
        config = GenerationConfig(num_beams=beams, max_new_tokens=2)
        return beam_search(garden_path(), torch.tensor([[2]]), (), config)[0][0].tokens

    assert best(1)[0] == 0
    assert best(2) == (1, 2)


def test_an_ended_text_goes_no_further() -> None:
    writer, prompt = model(), prompts(4)
    for hypotheses in search(writer, prompt, GenerationConfig(num_beams=5, max_new_tokens=12), at_end):
        for hypothesis in hypotheses:
            assert END not in hypothesis.tokens[:-1]
            assert len(hypothesis.tokens) == 12 or hypothesis.tokens[-1] == END


def test_the_search_ends_when_nothing_can_overtake() -> None:
    steps = itertools.count()

    def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        next(steps)
        return torch.tensor([[0.3, 0.2, 0.1, 0.4]]).log().expand(len(tokens), -1), state

    config = GenerationConfig(num_beams=2, max_new_tokens=1000)
    found = beam_search(step, torch.tensor([[0]]), (), config, ended=at_end)[0]
    assert [h.tokens for h in found] == [(END,), (0, END)]
    assert next(steps) < 6


def test_the_search_goes_on_while_a_longer_text_may_overtake() -> None:
    """At first the texts that have ended score best; with this length penalty the longest of all wins."""

    def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        return torch.tensor([[0.7, 0.3]]).log().expand(len(tokens), -1), state

    config = GenerationConfig(num_beams=2, max_new_tokens=40, length_penalty=2)
    found = beam_search(step, torch.tensor([[0]]), (), config, ended=lambda written: written[:, -1] == 1)[0]
    assert found[0].tokens == (0,) * 40


def test_early_stopping_says_whether_what_may_grow_better_is_waited_for() -> None:
    """An even start; then ending becomes ever less likely, and the penalty on length favours the longest text."""
    steps = [0]

    def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        steps[0] += 1
        p = torch.tensor([[0.5, 0.5]] if steps[0] == 1 else [[0.99, 0.01]])
        return p.log().expand(len(tokens), -1), state

    found = {}
    for stopping in ("heuristic", "never"):
        steps[0] = 0
        config = GenerationConfig.from_dict(
            {"num_beams": 2, "max_new_tokens": 40, "length_penalty": 2, "early_stopping": stopping}, where="here"
        )
        found[stopping] = (
            beam_search(step, torch.tensor([[0]]), (), config, ended=lambda written: written[:, -1] == 1, wanted=1)[0][
                0
            ].tokens,
            steps[0],
        )
    assert found == {"heuristic": ((1,), 1), "never": ((0,) * 40, 40)}


def test_what_a_bias_may_still_raise_is_waited_for() -> None:
    """The text that ends at once leads until the other one reaches the token that the bias favours."""
    table = torch.full((V, V), -30.0)  # log-probabilities of the next token, by the token that is read
    table[END, END], table[END, 0], table[0, 1], table[1, END] = math.log(0.6), math.log(0.4), 0.0, 0.0

    def best(bias: list[float]) -> tuple[int, ...]:
        step: Step = lambda tokens, state: (table[tokens], state)  # noqa: E731
        config = GenerationConfig(num_beams=2, max_new_tokens=5)
        return beam_search(step, starts(1), (), config, end=END, bias=torch.tensor(bias), wanted=1)[0][0].tokens

    assert best([0, 0, 0, 0]) == (END,)
    assert best([0, 5.0, 0, 0]) == (0, 1, END)


@pytest.mark.parametrize("length", [3, 4])
def test_rules_and_bias_hold_in_every_hypothesis(length: int) -> None:
    writer, prompt = model(), prompts(3)
    config = GenerationConfig(num_beams=4, max_new_tokens=6, no_repeat_ngram_size=length)
    bias = torch.tensor([0, 0, 0, -torch.inf])
    for hypotheses, row in zip(search(writer, prompt, config, bias=bias), prompt.tolist(), strict=True):
        for hypothesis in hypotheses:
            text = [*row, *hypothesis.tokens]
            new = {tuple(text[at : at + length]) for at in range(len(row) - length + 1, len(text) - length + 1)}
            assert len(new) == 6
            assert END not in hypothesis.tokens
            # A ban makes no other token likelier.
            assert hypothesis.score == pytest.approx(
                log_probability(writer, torch.tensor(row), hypothesis.tokens), abs=1e-4
            )


def test_a_bias_counts_in_the_score() -> None:
    writer, prompt = model(), prompts(2)
    config = GenerationConfig(num_beams=3, max_new_tokens=5)
    for hypotheses, row in zip(search(writer, prompt, config, bias=torch.tensor([0, 2.0, 0, 0])), prompt, strict=True):
        for hypothesis in hypotheses:
            gained = 2 * hypothesis.tokens.count(1)
            expected = log_probability(writer, row, hypothesis.tokens) + gained
            assert hypothesis.score == pytest.approx(expected, abs=1e-4)


def test_more_beams_than_texts_give_the_texts_there_are() -> None:
    (found,) = search(model(), prompts(1), GenerationConfig(num_beams=50, max_new_tokens=2))
    assert len(found) == V**2
    (nothing,) = search(model(), prompts(1), GenerationConfig(num_beams=3, max_new_tokens=0))
    assert nothing == [Hypothesis((), 0.0)]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"top_k": 3}, "--top-k is for sampling, got --num-beams 2; leave one out"),
        ({"top_p": 0.9}, "--top-p is for sampling"),
        ({"min_p": 0.2}, "--min-p is for sampling"),
        ({"typical_p": 0.9}, "--typical-p is for sampling"),
        ({"num_return_sequences": 3}, r"--num-return-sequences: expected at most --num-beams \(2\), got 3"),
    ],
)
def test_what_asks_for_chance_does_not_go_with_beams(values: dict[str, float], message: str) -> None:
    with pytest.raises(TextseqError, match=message):
        GenerationConfig.from_dict({"num_beams": 2, **values}, where="here")
    GenerationConfig.from_dict({"num_beams": 2, "temperature": 0.3, "seed": 3, "num_return_sequences": 2}, where="here")


# Texts that end with a token, in batches that they leave: a toy model over the last two tokens.


def toy(texts: int, seed: int = 1) -> tuple[Callable[[Tensor], Step], Callable[[], State]]:
    """A step for some of the texts, which checks that it gets their rows and no others; and the state before them."""
    near, far = torch.randn(2, texts, V, V, generator=torch.Generator().manual_seed(seed)) * 2

    def narrow(left: Tensor) -> Step:
        assert left.tolist() == sorted(set(left.tolist())) != []

        def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
            owner, before = (part[0, :, 0] for part in state)
            assert torch.equal(owner, left.repeat_interleave(len(tokens) // len(left)))
            return near[owner, tokens] + far[owner, before], (state[0], tokens.view(1, -1, 1))

        return step

    def state() -> State:
        owner = torch.arange(texts).view(1, -1, 1)
        return owner, torch.full_like(owner, END)

    return narrow, state


def starts(texts: int) -> Tensor:
    return torch.full((texts, 1), END)


def toy_log_probability(seed: int, texts: int, text: int, tokens: tuple[int, ...]) -> float:
    narrow, _ = toy(texts, seed)
    step, total = narrow(torch.tensor([text])), 0.0
    before: State = (torch.tensor([[[text]]]), torch.tensor([[[END]]]))
    for last, token in itertools.pairwise((END, *tokens)):
        logits, before = step(torch.tensor([last]), before)
        total += float(logits[0].double().log_softmax(0)[token])
    return total


@pytest.mark.parametrize("alpha", [0.0, 0.7, 2.0])
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("least", [0, 2])
@pytest.mark.parametrize("forced", [None, [[], [2], [1, END - 1]]])
def test_enough_beams_find_every_text_that_ends(
    alpha: float, seed: int, least: int, forced: list[list[int]] | None
) -> None:
    """Within the limits, from the beginnings that are forced, best first; no unfinished one among them."""
    config = GenerationConfig(num_beams=V**4, max_new_tokens=4, length_penalty=alpha, early_stopping="never")
    narrow, state = toy(3, seed)
    limits = torch.tensor([4, 3, 9])
    found = beam_search(
        narrow(torch.arange(3)), starts(3), state(), config,
        end=END, min_new_tokens=least, limits=limits, forced=forced, narrow=narrow,
    )  # fmt: skip
    for text, hypotheses in enumerate(found):
        prefix = tuple(forced[text]) if forced else ()
        scores = {
            tokens: toy_log_probability(seed, 3, text, tokens) / ((5 + len(tokens)) / 6) ** alpha
            for tokens in every_text(min(4, int(limits[text])), with_end=True)
            if tokens[-1] == END and len(tokens) > max(least, len(prefix)) and tokens[: len(prefix)] == prefix
        }
        assert {h.tokens for h in hypotheses} == set(scores)
        assert [h.score for h in hypotheses] == pytest.approx(sorted(scores.values(), reverse=True), abs=1e-5)
        for hypothesis in hypotheses:
            assert hypothesis.score == pytest.approx(scores[hypothesis.tokens], abs=1e-5)


@pytest.mark.parametrize("beams", [1, 2, 5])
@pytest.mark.parametrize("processors", [{}, {"repetition_penalty": 1.3}, {"no_repeat_ngram_size": 2}])
def test_texts_that_leave_the_batch_are_the_texts_alone(beams: int, processors: dict[str, float]) -> None:
    n = 12
    config = GenerationConfig.from_dict(
        {"num_beams": beams, "max_new_tokens": 30, "length_penalty": 1, "early_stopping": "never", **processors},
        where="here",
    )
    narrow, state = toy(n)
    limits = torch.arange(n) * 2 + 1
    forced = [[text % (V - 1)] * (text % 3) for text in range(n)]
    sizes = [n]

    def watched(left: Tensor) -> Step:
        sizes.append(len(left))
        return narrow(left)

    together = beam_search(
        narrow(torch.arange(n)), starts(n), state(), config, end=END, limits=limits, forced=forced, narrow=watched
    )
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == len(sizes) > 4
    assert together == beam_search(
        narrow(torch.arange(n)), starts(n), state(), config, end=END, limits=limits, forced=forced
    )
    for text, hypotheses in enumerate(together):
        (alone,) = beam_search(
            narrow(torch.tensor([text])),
            starts(1),
            tuple(part[:, text : text + 1] for part in state()),
            config,
            end=END,
            limits=limits[text : text + 1],
            forced=[forced[text]],
        )
        assert [h.tokens for h in hypotheses] == [h.tokens for h in alone]
        assert [h.score for h in hypotheses] == pytest.approx([h.score for h in alone], abs=1e-5)
        assert len({h.tokens for h in hypotheses}) == len(hypotheses) > 0
        assert [h.score for h in hypotheses] == sorted((h.score for h in hypotheses), reverse=True)
        for hypothesis in hypotheses:
            assert len(hypothesis.tokens) <= int(limits[text])
            assert END not in hypothesis.tokens[:-1]
            if not processors:
                expected = toy_log_probability(1, n, text, hypothesis.tokens) / ((5 + len(hypothesis.tokens)) / 6)
                assert hypothesis.score == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("least", [0, 3])
@pytest.mark.parametrize("processors", [{}, {"repetition_penalty": 1.3}, {"no_repeat_ngram_size": 1}])
def test_one_beam_is_the_greedy_text_that_ends(least: int, processors: dict[str, float]) -> None:
    n = 20
    config = GenerationConfig.from_dict({"temperature": 0, "max_new_tokens": 12, **processors}, where="here")
    narrow, state = toy(n)
    limits = torch.arange(n) % 7 + 1
    forced = [[1, 0, 2, 2][: text % 5] for text in range(n)]
    bias = torch.tensor([-0.5, 0, -torch.inf, 0])  # a forced token comes all the same
    step = narrow(torch.arange(n))
    greedy = sample(
        step, starts(n), state(), config,
        generator=torch.Generator(), bias=bias, end=END, min_new_tokens=least, limits=limits, forced=forced,
    )  # fmt: skip
    found = beam_search(
        step, starts(n), state(), config,
        bias=bias, end=END, min_new_tokens=least, limits=limits, forced=forced, narrow=narrow,
    )  # fmt: skip
    rows = torch.stack(list(greedy), dim=1).tolist()
    assert len(rows[0]) <= 7  # over when all are
    for row, (hypothesis,), most, prefix in zip(rows, found, limits.tolist(), forced, strict=True):
        length = min(most, row.index(END) + 1 if END in row else most)
        assert list(hypothesis.tokens) == row[:length]
        assert set(row[length:]) <= {END}
        assert row[: min(length, len(prefix))] == prefix[:length]
        assert length > least or length == most


def test_an_unfinished_text_counts_only_without_a_finished_one() -> None:
    table = torch.tensor([0.6, 0.3, 0.06, 0.04]).log()

    def found(bias: list[float]) -> set[tuple[int, ...]]:
        step: Step = lambda tokens, state: (table.expand(len(tokens), -1), state)  # noqa: E731
        config = GenerationConfig(num_beams=4, max_new_tokens=2)
        return {h.tokens for h in beam_search(step, starts(1), (), config, end=END, bias=torch.tensor(bias))[0]}

    assert found([0, 0, 0, -torch.inf]) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert found([0, 0, 0, 0]) == {(END,)}  # the others are more likely, and break off


@pytest.mark.parametrize("processors", [{"no_repeat_ngram_size": 1}, {"repetition_penalty": 100.0}])
def test_no_rule_on_the_history_keeps_a_text_from_ending(processors: dict[str, float]) -> None:
    """Though the end token stands in the history as the start."""
    step: Step = lambda tokens, state: (torch.tensor([[0.3, 0.2, 0.1, 2.0]]).expand(len(tokens), -1), state)  # noqa: E731
    config = GenerationConfig.from_dict({"max_new_tokens": 9, "temperature": 0, **processors}, where="here")
    ((best,),) = beam_search(step, starts(1), (), config, end=END, min_new_tokens=2)
    assert best.tokens == (0, 1, END)
    drawn = sample(step, starts(1), (), config, generator=torch.Generator(), end=END, min_new_tokens=2)
    assert torch.cat(list(drawn)).tolist() == [0, 1, END]


def test_a_bonus_ranks_as_by_hand() -> None:
    """Coverage: the text that read the second source word too comes first though it is less likely."""
    start, word = torch.tensor([[0.5, 0.3, 0.1, 0.1], [0, 0, 0, 1.0]]).log()  # a word, and then the end
    looks = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5], [0.5, 0.5]])  # by the token that is read

    def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        logits = torch.where((tokens == END).unsqueeze(1), start, word)
        return logits, (state[0] + looks[tokens].unsqueeze(0),)

    def best(beta: float) -> list[Hypothesis]:
        return beam_search(
            step, starts(1), (torch.zeros(1, 1, 2),), GenerationConfig(num_beams=4, max_new_tokens=5, length_penalty=1),
            end=END, bonus=lambda state: beta * state[0][0].clamp(max=1).log().sum(dim=1),
        )[0]  # fmt: skip

    def by_hand(first: int, beta: float) -> float:
        covered = (looks[END] + looks[first]).clamp(max=1)
        return float(start[first]) / (7 / 6) + beta * sum(math.log(float(c)) for c in covered)

    assert [h.tokens for h in best(0.0)] == [(0, END), (1, END), (2, END), (END,)]
    assert [h.tokens for h in best(10.0)][:3] == [(2, END), (1, END), (0, END)]
    for hypothesis in best(10.0)[:3]:
        assert hypothesis.score == pytest.approx(by_hand(hypothesis.tokens[0], 10.0), abs=1e-5)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_fewer_wanted_are_the_same_best_in_fewer_steps(alpha: float, beta: float) -> None:
    n, steps = 10, [0]
    narrow, state = toy(n, seed=3)
    config = GenerationConfig(num_beams=4, max_new_tokens=40, length_penalty=alpha, early_stopping="never")

    def counted(left: Tensor) -> Step:
        step = narrow(left)

        def one(tokens: Tensor, state: State) -> tuple[Tensor, State]:
            steps[0] += len(left)
            return step(tokens, state)

        return one

    def search(wanted: int) -> tuple[list[list[Hypothesis]], int]:
        steps[0] = 0
        found = beam_search(
            counted(torch.arange(n)), starts(n), state(), config,
            end=END, bonus=lambda state: -beta * state[1][0, :, 0], wanted=wanted, narrow=counted,
        )  # fmt: skip
        return found, steps[0]

    whole, all_steps = search(4)
    for wanted in (1, 2):
        found, fewer = search(wanted)
        assert [best[:wanted] for best in found] == [best[:wanted] for best in whole]
        assert fewer < all_steps


@pytest.mark.parametrize("over", [0, 1, BLOCK - 1], ids=["whole blocks", "one more", "nearly one more"])
@pytest.mark.parametrize("count", [1, 5])
def test_the_likeliest_of_many_tokens_are_found_block_by_block(over: int, count: int) -> None:
    torch.manual_seed(over)
    tokens = 40 * BLOCK + over
    gains = torch.randn(SEARCHED_BY_BLOCKS // tokens + 1, tokens)
    gains[0, -count:] = 9 + torch.arange(count)  # all at the end,
    gains[1, BLOCK : BLOCK + count] = 9 + torch.arange(count)  # all in one block
    gains[2, :-1] = -torch.inf  # and nearly nothing allowed
    values, found = top_tokens(gains, count)
    torch.testing.assert_close(values, gains.topk(count, dim=1).values, rtol=0, atol=0)
    torch.testing.assert_close(gains.gather(1, found), values, rtol=0, atol=0)
    assert all(len(set(row)) == count for row in found.tolist())
