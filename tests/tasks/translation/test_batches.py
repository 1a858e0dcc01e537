"""Pairs: each is learned once per epoch, beside others of its length, from wherever a run goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from textseq.config.training import rows_of
from textseq.data.batching import Cursor, pad
from textseq.errors import TextseqError
from textseq.tasks.translation import batches as pair_batches
from textseq.tasks.translation.batches import PairBatch, PairBatches, Resegment, pair_batch, window
from textseq.tasks.translation.config import PairConfig

SOURCE_END, END = 900, 901
Lengths = Sequence[int] | np.ndarray


@dataclass(frozen=True)
class Text:
    """Sentences whose tokens tell which sentence and which place they are of."""

    ids: np.ndarray
    document_starts: np.ndarray


def text(lengths: Lengths) -> Text:
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    return Text(np.concatenate([1000 * n + np.arange(length) for n, length in enumerate(lengths, 1)]), starts)


def made(
    source: Lengths,
    target: Lengths,
    *,
    batch_size: int = 3,
    batch_tokens: int | None = None,
    window: int = 200,
    longest: int | None = None,
    seed: int = 1,
    resegment: tuple[Resegment, Resegment] | None = None,
    **settings: Any,
) -> PairBatches:
    config = PairConfig(batch_size=batch_size, batch_tokens=batch_tokens, window=window, longest=longest, **settings)
    return PairBatches(text(source), text(target), (SOURCE_END, END), config, seed, resegment)


def epoch(batches: PairBatches, number: int = 0) -> list[tuple[Cursor, PairBatch]]:
    cursor, found = Cursor(number), []
    while cursor.epoch == number:
        batch, after = batches.batch(cursor)
        assert after > cursor and batches.epochs(after) > batches.epochs(cursor)
        found.append((cursor, batch))
        cursor = after
    assert cursor == Cursor(number + 1) and batches.epochs(cursor) == number + 1
    return found


def same(one: PairBatch, other: PairBatch) -> bool:
    pairs = [(getattr(one, item.name), getattr(other, item.name)) for item in fields(PairBatch)]
    return all(torch.equal(a, b) if isinstance(a, Tensor) else a == b for a, b in pairs)


def sources(batch: PairBatch) -> list[list[int]]:
    """The sentences, without ``end`` and padding."""
    return [row[: length - 1] for row, length in zip(batch.source.tolist(), batch.source_lengths.tolist(), strict=True)]


def joined(windows: Sequence[PairBatch]) -> list[list[int]]:
    """The targets of consecutive windows of the same pairs, ``end`` and all, without padding."""
    targets, real = (torch.cat([getattr(part, name) for part in windows], dim=1) for name in ("targets", "real"))
    return [row[keep].tolist() for row, keep in zip(targets, real, strict=True)]


def groups(found: Sequence[tuple[Cursor, PairBatch]]) -> list[list[PairBatch]]:
    """The windows of each batch of pairs."""
    made: list[list[PairBatch]] = []
    for _, batch in found:
        if batch.first:
            assert not made or made[-1][-1].last
            made.append([])
        made[-1].append(batch)
    assert made[-1][-1].last and not any(part.last for windows in made for part in windows[:-1])
    return made


def identity(lengths: Lengths) -> list[list[int]]:
    return [list(range(1000 * n, 1000 * n + length)) for n, length in enumerate(lengths, 1)]


@st.composite
def many_batches(draw: st.DrawFn) -> PairBatches:
    pairs = draw(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=30))
    source, target = zip(*pairs, strict=True)
    return made(
        source,
        target,
        batch_size=draw(st.integers(1, 5)),
        batch_tokens=draw(st.none() | st.integers(1, 40)),
        window=draw(st.integers(1, 14)),
        seed=draw(st.integers(0, 3)),
    )


def lengths_of(batches: PairBatches) -> tuple[list[int], list[int]]:
    return batches.source_lengths.tolist(), batches.target_lengths.tolist()


def test_what_a_batch_is() -> None:
    batch = pair_batch([np.array([1, 2, 3]), np.array([4])], [np.array([5]), np.array([6, 7])], (8, 9))
    assert batch.source.tolist() == [[1, 2, 3, 8], [4, 8, 8, 8]]
    assert batch.source_lengths.tolist() == [4, 2]
    assert batch.inputs.tolist() == [[9, 5, 9], [9, 6, 7]]
    assert batch.targets.tolist() == [[5, 9, 9], [6, 7, 9]]
    assert batch.real.tolist() == [[True, True, False], [True, True, True]]
    assert batch.count == 5 and batch.first and batch.last and batch.learning_rate_factor == 1
    assert {part.dtype for part in (batch.source, batch.inputs, batch.targets)} == {torch.int64}


def test_padding_fills_up() -> None:
    assert pad([np.array([1]), np.array([2, 3]), np.array([], np.int64)], 7).tolist() == [[1, 7], [2, 3], [7, 7]]


def test_a_window_is_a_stretch_of_the_targets_over_the_whole_sources() -> None:
    batch = pair_batch([np.array([1]), np.array([2])], [np.arange(3), np.arange(10, 16)], (8, 9))
    parts = [window(batch, 0, 3), window(batch, 3, 6), window(batch, 6, None)]
    assert [part.targets.shape[1] for part in parts] == [3, 3, 1]
    assert [(part.first, part.last) for part in parts] == [(True, False), (False, False), (False, True)]
    assert [part.count for part in parts] == [6, 4, 1] and sum(part.count for part in parts) == batch.count
    assert torch.equal(torch.cat([part.inputs for part in parts], dim=1), batch.inputs)
    assert all(torch.equal(part.source, batch.source) for part in parts)
    assert window(batch, 3, 7).last and same(window(batch, 0, None), batch) and same(window(batch, 0, 7), batch)


@given(many_batches(), st.integers(0, 2))
def test_every_pair_comes_once_an_epoch_and_whole(batches: PairBatches, number: int) -> None:
    source, target = map(identity, lengths_of(batches))
    found: list[tuple[list[int], list[int]]] = []
    for windows in groups(epoch(batches, number)):
        assert len({tuple(map(tuple, sources(part))) for part in windows}) == 1
        found += zip(sources(windows[0]), joined(windows), strict=True)
        inputs, targets = (
            torch.cat([getattr(part, name) for part in windows], dim=1) for name in ("inputs", "targets")
        )
        assert (inputs[:, 0] == END).all() and torch.equal(inputs[:, 1:], targets[:, :-1])
        for part in windows:
            assert 1 <= part.count == int(part.real.sum()) and part.targets.shape[1] <= batches.config.window
    assert sorted(found) == sorted((a, [*b, END]) for a, b in zip(source, target, strict=True))
    assert sum(batch.count for _, batch in epoch(batches, number)) == sum(map(len, target)) + len(target)


@given(many_batches())
def test_a_batch_depends_on_the_cursor_alone(batches: PairBatches) -> None:
    found = [pair for number in range(2) for pair in epoch(batches, number)]
    again = PairBatches(batches.sources, batches.targets, batches.eos_ids, batches.config, batches.seed)
    for cursor, batch in reversed(found):
        assert same(again.batch(cursor)[0], batch)


def test_batches_differ_between_epochs_and_between_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_batches, "POOL", 4)
    lengths = np.random.default_rng(1).integers(1, 30, size=(2, 60))
    orders = [
        [sources(batch) for _, batch in epoch(made(*lengths, batch_size=4, seed=seed), number)]
        for seed in range(2)
        for number in range(3)
    ]
    assert len({str(order) for order in orders}) == 6, "another order"
    assert len({str(sorted(map(sorted, order))) for order in orders}) == 6, "other neighbors"


def test_batches_of_a_pool_come_in_no_order_of_length() -> None:
    lengths = np.random.default_rng(1).integers(1, 60, size=5000)
    longest = [batch.targets.shape[1] for _, batch in epoch(made(lengths, lengths, batch_size=10))]
    steps = np.diff(longest)
    assert (steps > 0).mean() > 0.3 and (steps < 0).mean() > 0.3


@pytest.mark.parametrize(("batch_size", "batch_tokens"), [(32, None), (1, 1000)])
def test_little_is_padding(batch_size: int, batch_tokens: int | None) -> None:
    """On sources that are about as long as their targets: a tenth, where unsorted pairs would make it half."""
    rng = np.random.default_rng(1)
    target = rng.gamma(2.0, 12.0, size=8000).astype(int) + 1
    source = np.maximum(1, target * rng.normal(1.1, 0.1, size=8000)).astype(int)
    found = [batch for _, batch in epoch(made(source, target, batch_size=batch_size, batch_tokens=batch_tokens))]
    real, cells = sum(batch.count for batch in found), sum(batch.targets.numel() for batch in found)
    assert 1 - real / cells < 0.05
    real += sum(int(batch.source_lengths.sum()) for batch in found)
    cells += sum(batch.source.numel() for batch in found)
    assert 1 - real / cells < 0.1
    unsorted = rng.permutation(target).reshape(-1, 32)
    assert 1 - unsorted.sum() / (32 * unsorted.max(axis=1).sum()) > 0.5


@given(many_batches())
def test_batches_are_as_large_as_asked_for(batches: PairBatches) -> None:
    found = groups(epoch(batches))
    rows = [len(windows[0].targets) for windows in found]
    tokens = [max(sum(part.targets.numel() for part in windows), windows[0].source.numel()) for windows in found]
    bound = batches.config.batch_tokens
    if bound is None:
        size = rows_of(batches.config.batch_size)
        assert max(rows) <= size
        assert len(rows) == -(-len(batches.kept) // size), "the last one alone may be smaller"
    else:
        assert all(token <= bound or row == 1 for token, row in zip(tokens, rows, strict=True))


def test_batches_are_filled_up() -> None:
    lengths = np.random.default_rng(1).integers(0, 30, size=1000)
    tokens = [batch.targets.numel() for _, batch in epoch(made(lengths, lengths, batch_tokens=400))]
    assert max(tokens) <= 400 and np.mean(tokens) > 350


def test_long_pairs_are_left_out_and_counted() -> None:
    source, target = [3, 9, 5, 5, 6], [3, 2, 9, 5, 5]
    batches = made(source, target, longest=5)
    assert batches.left_out == 3 and batches.kept.tolist() == [0, 3]
    found = [row for _, batch in epoch(batches) for row in sources(batch)]
    assert sorted(found) == [identity(source)[0], identity(source)[3]]
    assert made(source, target).left_out == 0


def test_no_pair_at_all_is_refused() -> None:
    with pytest.raises(
        TextseqError, match=r"--longest: expected pairs of at most 4 tokens, got 3 pairs, .*; raise it"
    ) as said:
        made([5, 3, 9], [1, 5, 9], longest=4)
    assert "\n" not in str(said.value)


# Fresh segmentations


def doubled(ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Some tokens in two: as a subword that is cut, the same text in more tokens."""
    return np.repeat(ids, rng.integers(1, 5, size=len(ids)))


def test_fresh_segmentations_differ_from_epoch_to_epoch_and_are_the_same_text() -> None:
    lengths = np.random.default_rng(1).integers(0, 30, size=(2, 40))
    batches = made(*lengths, batch_size=4, window=25, resegment=(doubled, doubled))
    seen: list[dict[int, str]] = []
    for number in range(3):
        found = epoch(batches, number)
        again = made(*lengths, batch_size=4, window=25, resegment=(doubled, doubled))
        assert all(same(again.batch(cursor)[0], batch) for cursor, batch in reversed(found))
        pairs = [pair for windows in groups(found) for pair in zip(sources(windows[0]), joined(windows), strict=True)]
        texts = [tuple(sorted(set(side)) for side in pair) for pair in pairs]
        wanted = [(a, sorted([*b, END])) for a, b in zip(*map(identity, lengths), strict=True)]
        assert sorted(texts) == sorted(wanted)
        seen.append({pair[1][0]: str(pair) for pair in pairs if pair[1][0] != END})
    assert all(seen[0][key] != seen[1][key] != seen[2][key] for key in seen[0] if len(seen[0][key]) > 60)
    other = made(*lengths, batch_size=4, window=25, resegment=(doubled, doubled), seed=2)
    assert not any(same(one, two) for (_, one), (_, two) in zip(epoch(other), epoch(batches), strict=False))


def test_both_sides_of_a_pair_are_segmented_independently() -> None:
    """Even if they have the same tokens."""
    for windows in groups(epoch(made([30] * 9, [30] * 9, resegment=(doubled, doubled)))):
        for source, target in zip(sources(windows[0]), joined(windows), strict=True):
            assert sorted(set(source)) == sorted(set(target) - {END}) and [*source, END] != target


def test_fresh_segmentations_end_after_their_epochs() -> None:
    lengths = np.random.default_rng(1).integers(0, 30, size=(2, 40))
    whole, plain = made(*lengths, resegment=(doubled, doubled)), made(*lengths)
    ending = made(*lengths, resegment=(doubled, doubled), subword_sampling_epochs=2)
    for number in range(4):
        found, wanted = epoch(ending, number), epoch(whole if number < 2 else plain, number)
        assert len(found) == len(wanted)
        assert all(same(one, two) for (_, one), (_, two) in zip(found, wanted, strict=True))


@pytest.mark.parametrize(("batch_size", "batch_tokens"), [(32, None), (1, 1000)])
def test_fresh_segmentations_are_batched_by_their_own_lengths(batch_size: int, batch_tokens: int | None) -> None:
    lengths = np.random.default_rng(1).integers(5, 40, size=4000)
    batches = made(lengths, lengths, batch_size=batch_size, batch_tokens=batch_tokens, resegment=(doubled, doubled))
    found = [batch for _, batch in epoch(batches, 1)]
    assert 1 - sum(batch.count for batch in found) / sum(batch.targets.numel() for batch in found) < 0.05
    assert batch_tokens is None or max(batch.targets.numel() for batch in found) <= batch_tokens


@pytest.mark.parametrize("length", [4, 8, 9, 19, 40])
def test_targets_that_grow_or_shrink_are_still_read_to_their_end(length: int) -> None:
    """Windows are planned by the lengths of the fresh segmentations."""

    def longer(ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.repeat(ids, 3)

    def shorter(ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return ids[::3]

    for resegment in (longer, shorter):
        batches = made([5] * 7, [length] * 7, window=20, resegment=(shorter, resegment))
        found = groups(epoch(batches))
        for windows in found:
            wanted = [resegment(np.array(ids), np.random.default_rng()).tolist() for ids in identity([length] * 7)]
            assert all([*row[:-1]] in wanted and row[-1] == END for row in joined(windows))
            assert all(part.count > 0 for part in windows)
            assert all(part.targets.shape[1] <= 20 for part in windows)
        assert sum(len(windows[0].targets) for windows in found) == 7


def test_moving_a_batch_keeps_the_rest() -> None:
    batch, _ = made([3, 4], [5, 2]).batch(Cursor())
    assert same(batch.to(torch.device("cpu")), batch)
    meta = batch.to(torch.device("meta"))
    assert {part.device.type for part in (meta.source, meta.inputs, meta.targets, meta.real)} == {"meta"}
    assert meta.source_lengths.device.type == "cpu" and meta.count == batch.count
