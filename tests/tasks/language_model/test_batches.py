"""Streams: every token is learned once per epoch, in order, from wherever a run goes on."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from textseq.data.batching import Cursor
from textseq.errors import TextseqError
from textseq.tasks.language_model.batches import Streams, WindowBatch
from textseq.tasks.language_model.config import DataConfig


@dataclass(frozen=True)
class Text:
    """A text whose tokens are their own places."""

    length: int
    document_starts: np.ndarray = field(default_factory=lambda: np.array([0]))

    @property
    def ids(self) -> np.ndarray:
        return np.arange(self.length, dtype=np.uint16)


def made(
    length: int,
    *,
    batch_size: int = 3,
    window: int = 5,
    stride: int | None = None,
    reset_probability: float = 0.0,
    random_window: bool = False,
    shuffle_block: int | None = None,
    seed: int = 1,
    documents: tuple[int, ...] = (0,),
) -> Streams:
    config = DataConfig(
        batch_size=batch_size,
        window=window,
        stride=stride,
        reset_probability=reset_probability,
        random_window=random_window,
        shuffle_block=shuffle_block,
    )
    return Streams(Text(length, np.array(documents)), config, seed)


def epoch(streams: Streams, number: int = 0) -> list[tuple[Cursor, WindowBatch]]:
    cursor, batches = Cursor(number), []
    while cursor.epoch == number:
        batch, after = streams.batch(cursor)
        assert after > cursor
        batches.append((cursor, batch))
        cursor = after
    assert cursor == Cursor(number + 1)
    return batches


def same(one: WindowBatch, other: WindowBatch) -> bool:
    resets = (one.resets is None) == (other.resets is None)
    if one.resets is not None and other.resets is not None:
        resets = torch.equal(one.resets, other.resets)
    rest = replace(one, inputs=other.inputs, targets=other.targets, resets=other.resets) == other
    return torch.equal(one.inputs, other.inputs) and torch.equal(one.targets, other.targets) and resets and rest


@st.composite
def many_streams(draw: st.DrawFn) -> Streams:
    window = draw(st.integers(1, 8))
    random_window = draw(st.booleans())
    length = draw(st.integers(window + 1, 60))
    return made(
        length,
        batch_size=draw(st.integers(1, 5)),
        window=window,
        stride=None if random_window else draw(st.none() | st.integers(1, window)),
        random_window=random_window,
        reset_probability=draw(st.sampled_from([0.0, 0.3, 1.0])),
        documents=tuple(sorted({0, *draw(st.lists(st.integers(0, length - 1), max_size=5))})),
        seed=draw(st.integers(0, 3)),
    )


@given(many_streams(), st.integers(0, 3))
def test_every_position_is_scored_once_and_in_order(streams: Streams, number: int) -> None:
    batches = epoch(streams, number)
    length = len(streams.tokens.ids)
    start = batches[0][1].inputs[:, :1]
    wanted = (start + torch.arange(streams.stream_length)) % length
    if number == 0:
        assert start.flatten().tolist() == [streams.stream_length * row for row in range(streams.streams)]
    scored = [batch.inputs[:, -batch.scored :] for _, batch in batches]
    assert torch.equal(torch.cat(scored, dim=1), wanted)
    assert len(set(wanted.flatten().tolist())) == wanted.numel() == streams.streams * streams.stream_length
    for _, batch in batches:
        assert torch.equal(batch.targets, (batch.inputs + 1) % length)
        assert batch.inputs.dtype == batch.targets.dtype == torch.int64


@given(many_streams(), st.integers(0, 3))
def test_the_carried_state_meets_the_next_window(streams: Streams, number: int) -> None:
    batches = epoch(streams, number)
    start = batches[0][1].inputs[:, 0]
    carried = 0
    for cursor, batch in batches:
        assert cursor.position == carried
        assert torch.equal(batch.inputs[:, 0], (start + carried) % len(streams.tokens.ids))
        assert 1 <= batch.carry <= batch.inputs.shape[1] and 1 <= batch.scored <= batch.inputs.shape[1]
        carried += batch.carry


@pytest.mark.parametrize("stride", [1, 2, 3, 5])
def test_overlapping_windows_are_whole_and_score_the_stride(stride: int) -> None:
    first, *middle, last = (batch for _, batch in epoch(made(3 * 31, stride=stride)))
    assert first.scored == first.inputs.shape[1] == 5
    assert {(batch.inputs.shape[1], batch.carry, batch.scored) for batch in middle} == {(5, stride, stride)}
    assert 1 <= last.scored <= stride


@given(many_streams())
def test_a_batch_depends_on_the_cursor_alone(streams: Streams) -> None:
    batches = [pair for number in range(2) for pair in epoch(streams, number)]
    again = Streams(streams.tokens, streams.config, streams.seed)
    for cursor, batch in reversed(batches):
        assert same(again.batch(cursor)[0], batch)


@given(many_streams(), st.integers(0, 3))
def test_streams_start_afresh_exactly_where_documents_begin(streams: Streams, number: int) -> None:
    for cursor, batch in epoch(streams, number):
        resets = torch.zeros_like(batch.inputs, dtype=torch.bool) if batch.resets is None else batch.resets
        wanted = torch.isin(batch.inputs, torch.from_numpy(streams.tokens.document_starts))
        assert torch.equal(resets[:, 1:], wanted[:, 1:])
        assert resets[wanted].all()
        assert batch.resets is None or batch.resets.any()
        if cursor.position == 0 or streams.config.reset_probability == 1:
            assert resets[:, 0].all()
        elif streams.config.reset_probability == 0:
            assert torch.equal(resets[:, 0], wanted[:, 0])


def test_text_is_a_ring() -> None:
    streams = made(20, batch_size=1, documents=(0, 18))
    seen = 0
    for number in range(8):
        for _, batch in epoch(streams, number):
            row = batch.inputs[0].tolist()
            if 19 in row[:-1]:
                after = row.index(19) + 1
                assert row[after] == 0 and batch.resets is not None and batch.resets[0, after]
                seen += 1
    assert seen >= 4


def test_every_epoch_is_cut_elsewhere() -> None:
    streams = made(1000)
    first = [int(streams.batch(Cursor(number))[0].inputs[0, 0]) for number in range(10)]
    assert first[0] == 0 and len(set(first)) == 10
    other = [int(made(1000, seed=2).batch(Cursor(number))[0].inputs[0, 0]) for number in range(10)]
    assert first[1:] != other[1:]


def test_blocks_are_read_in_a_random_order_that_differs_between_epochs() -> None:
    """By the distances between the blocks, which do not depend on where an epoch cuts the text."""
    streams, orders = made(1000, batch_size=2, shuffle_block=10), []
    for number in range(2):
        begins = [batch.inputs[:, 0] for cursor, batch in epoch(streams, number) if cursor.position % 10 == 0]
        places = torch.cat(begins).tolist()
        orders.append([(after - before) % 1000 for before, after in itertools.pairwise(places)])
        assert len(places) == 100 and len(set(orders[-1])) > 20
    assert orders[0] != orders[1]


def test_random_windows_have_lengths_around_the_window() -> None:
    batches = [batch for _, batch in epoch(made(60_000, batch_size=1, window=70, random_window=True))][:-1]
    lengths = np.array([batch.inputs.shape[1] for batch in batches])
    assert all(batch.learning_rate_factor == length / 70 for batch, length in zip(batches, lengths, strict=True))
    assert all(batch.carry == batch.scored == length for batch, length in zip(batches, lengths, strict=True))
    assert lengths.min() >= 5 and lengths.max() <= 90
    long = lengths[lengths > 52]
    assert 0.90 < len(long) / len(lengths) < 0.99  # 0.95 wanted
    assert long.mean() == pytest.approx(70, abs=1) and long.std() == pytest.approx(5, abs=0.7)
    assert lengths[lengths <= 52].mean() == pytest.approx(35, abs=4)


def test_usual_windows_leave_the_learning_rate_alone() -> None:
    assert {batch.learning_rate_factor for _, batch in epoch(made(47))} == {1.0}


def test_random_resets_come_as_often_as_asked() -> None:
    flags = [
        np.zeros(4, bool) if batch.resets is None else batch.resets[:, 0].numpy()
        for cursor, batch in epoch(made(8000, batch_size=4, reset_probability=0.3))
        if cursor.position
    ]
    assert np.mean(flags) == pytest.approx(0.3, abs=0.05)
    assert np.mean(flags, axis=0).min() > 0.2
    assert np.mean(np.all(flags, axis=1)) < 0.05  # each stream for itself


def test_text_shorter_than_a_window_is_refused() -> None:
    with pytest.raises(TextseqError, match=r"longer than one window of 5 tokens, got 5 tokens; .* smaller --window"):
        made(5)
    assert made(6).streams == 1


@pytest.mark.parametrize(("length", "streams"), [(6, 1), (11, 1), (12, 2), (17, 2), (18, 3), (1000, 3)])
def test_short_text_is_read_in_fewer_streams(length: int, streams: int) -> None:
    found = made(length)
    assert found.streams == streams
    assert found.stream_length == length // streams
    assert found.batch(Cursor())[0].inputs.shape == (streams, 5)


def test_epochs_count_what_was_read() -> None:
    streams = made(33)  # three streams of 11
    assert [streams.epochs(cursor) for cursor, _ in epoch(streams, 2)] == pytest.approx([2, 2 + 5 / 11, 2 + 10 / 11])


def test_moving_a_batch_keeps_the_rest() -> None:
    batch, _ = made(33, stride=2).batch(Cursor(0, 2))
    assert same(batch.to(torch.device("cpu")), batch)
