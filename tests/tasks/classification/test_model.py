"""The classifier: a padded batch gives what each text gives alone, windows what the whole gives, for every pooling."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from textseq.config.names import CellName, PoolingName
from textseq.data.batching import Cursor
from textseq.nn.pooling import Pooling
from textseq.tasks.classification.batches import TextBatch, TextBatches, text_batch
from textseq.tasks.classification.config import ClassifierConfig
from textseq.tasks.classification.model import ClassifierModel

POOLINGS: tuple[PoolingName, ...] = get_args(PoolingName)
LENGTHS = (5, 12, 1, 12, 8, 4)


def model(pooling: PoolingName = "all", *, window: int = 400, bidirectional: bool = False, num_layers: int = 1,
          cell: CellName = "lstm", readout: int = 0) -> ClassifierModel:  # fmt: skip
    torch.manual_seed(1)
    config = ClassifierConfig(
        cell=cell, pooling=pooling, window=window, bidirectional=bidirectional, num_layers=num_layers,
        readout_size=readout, hidden_size=6, embedding_size=5, dropout=0, embedding_dropout=0,
    )  # fmt: skip
    made = ClassifierModel(config, 20, 3)
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.7)
    return made.double()


def batch() -> TextBatch:
    rng = np.random.default_rng(1)
    return text_batch([rng.integers(0, 20, length) for length in LENGTHS], [0, 1, 2, 0, 1, 2])


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize(
    ("bidirectional", "num_layers", "cell"), [(False, 1, "gru"), (True, 2, "lstm"), (True, 1, "rnn")]
)
@pytest.mark.parametrize("window", [4, 400])
def test_a_padded_batch_is_its_texts_alone(
    pooling: PoolingName, bidirectional: bool, num_layers: int, cell: CellName, window: int
) -> None:
    made, texts = model(pooling, window=window, bidirectional=bidirectional, num_layers=num_layers, cell=cell), batch()
    together = made(texts.ids, texts.lengths)
    for row, length in enumerate(LENGTHS):
        alone = made(texts.ids[row : row + 1, :length], texts.lengths[row : row + 1])
        torch.testing.assert_close(together[row : row + 1], alone)
    garbage = texts.ids.clone()
    garbage[torch.arange(garbage.shape[1]) >= texts.lengths.unsqueeze(1)] = 7
    assert torch.equal(made(garbage, texts.lengths), together)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("window", [1, 3, 5, 12])
def test_windows_give_what_the_whole_text_gives(pooling: PoolingName, num_layers: int, window: int) -> None:
    texts = batch()
    whole = model(pooling, num_layers=num_layers)(texts.ids, texts.lengths)
    torch.testing.assert_close(model(pooling, num_layers=num_layers, window=window)(texts.ids, texts.lengths), whole)


def test_the_second_direction_sees_its_window_and_the_first_token_last() -> None:
    """With two directions the last state is that of the first after the text, of the second after its first window."""
    texts = batch()
    short, long = model("last", bidirectional=True, window=4), model("last", bidirectional=True)
    early = (texts.ids[:, :4], texts.lengths.clamp(max=4))
    seen: list[Tensor] = []
    for made in (short, long):
        made.output = nn.Identity()  # type: ignore[assignment]
        seen.append(made(texts.ids, texts.lengths))
    torch.testing.assert_close(seen[0][:, :6], seen[1][:, :6])
    torch.testing.assert_close(seen[0][:, 6:], long(*early)[:, 6:])
    assert not torch.allclose(seen[0][1, 6:], seen[1][1, 6:])


def test_pooling_is_what_its_name_says() -> None:
    outputs = torch.randn(4, 7, 6, dtype=torch.double)
    lengths = torch.tensor([7, 5, 2, 1])
    real = torch.arange(7) < lengths.unsqueeze(1)
    last = torch.randn(4, 6, dtype=torch.double)
    pooled = {}
    for kind in POOLINGS:
        torch.manual_seed(2)
        pool = Pooling(kind, 6).double()
        pooled[kind] = pool.finish(pool.add(pool.begin(outputs), outputs, real, last))
        if kind == "attention":
            assert pool.key is not None and pool.query is not None
            for row, length in enumerate(lengths):
                text = outputs[row, :length]
                weights = (torch.tanh(pool.key(text)) @ pool.query).softmax(dim=0)
                torch.testing.assert_close(pooled[kind][row], weights @ text)
    for row, length in enumerate(lengths):
        torch.testing.assert_close(pooled["mean"][row], outputs[row, :length].mean(dim=0))
        torch.testing.assert_close(pooled["max"][row], outputs[row, :length].amax(dim=0))
    assert torch.equal(pooled["last"], last)
    assert torch.equal(pooled["all"], torch.cat([last, pooled["mean"], pooled["max"]], dim=1))


def test_no_gradient_goes_back_over_a_window() -> None:
    texts = text_batch([np.arange(10)], [1])
    for window, reaches in ((5, False), (10, True)):
        made = model("last", window=window)
        vectors = made.embedding(texts.ids).detach().requires_grad_()
        torch.autograd.backward(made.classify(vectors, texts.lengths).sum())
        assert vectors.grad is not None
        assert bool(vectors.grad[0, :5].any()) is reaches
        assert bool(vectors.grad[0, 5:].any())


@pytest.mark.parametrize("noise", ["dropout", "embedding_dropout", "word_dropout", "weight_dropout"])
def test_every_noise_is_for_training_alone(noise: str) -> None:
    plain, texts = model(), batch()
    config = ClassifierConfig.from_dict({**plain.config.to_dict(), noise: 0.5}, where="here")
    noisy = ClassifierModel(config, 20, 3).double()
    noisy.load_state_dict(plain.state_dict())
    assert not torch.equal(noisy(texts.ids, texts.lengths), noisy(texts.ids, texts.lengths))
    assert torch.equal(noisy.eval()(texts.ids, texts.lengths), plain(texts.ids, texts.lengths))


def test_dropped_words_are_dropped_whole_and_the_others_scaled_up() -> None:
    made, texts = model(), batch()
    made.config = replace(made.config, word_dropout=0.5)
    seen: list[Tensor] = []
    made.embedding_dropout.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    made(texts.ids, texts.lengths)
    (vectors,) = seen
    kept = (vectors != 0).all(dim=2)
    assert torch.equal(kept, (vectors != 0).any(dim=2)) and kept.any() and not kept.all()
    torch.testing.assert_close(vectors[kept], 2 * made.embedding(texts.ids)[kept])


def test_the_readout_is_rectified_with_dropout_before_and_after_it() -> None:
    made, texts = model(readout=40), batch()
    assert made.readout is not None
    seen: list[Tensor] = []
    for layer in (made.readout, made.output):
        layer.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    made(texts.ids, texts.lengths)
    pooled, read = seen
    torch.testing.assert_close(read, made.readout(pooled).relu())
    assert (pooled != 0).all() and (read == 0).any() and (read != 0).any()
    made.dropout.p = 0.9
    seen.clear()
    made(texts.ids, texts.lengths)
    assert all((inputs == 0).double().mean() > 0.8 for inputs in seen)


@pytest.mark.parametrize(
    ("smoothing", "weights"), [(0.0, None), (0.2, None), (0.0, [0.5, 2.0, 1.0]), (0.1, [3.0, 1, 2])]
)
def test_the_loss_is_the_cross_entropy_and_training_wants_what_was_asked(
    smoothing: float, weights: list[float] | None
) -> None:
    given = None if weights is None else torch.tensor(weights, dtype=torch.double)
    config = ClassifierConfig(
        hidden_size=4, embedding_size=4, dropout=0, embedding_dropout=0, label_smoothing=smoothing
    )
    made, texts = ClassifierModel(config, 20, 3, given).double(), batch()
    logits = made(texts.ids, texts.lengths)
    plain = nn.functional.cross_entropy(logits, texts.labels, reduction="sum")
    for training in (True, False):
        loss = made.train(training).loss(texts, None)
        torch.testing.assert_close(loss.nats, plain)
        assert loss.count == len(LENGTHS)
        log_p = logits.log_softmax(dim=1)
        each = -(1 - smoothing) * log_p[range(6), texts.labels] - smoothing * log_p.mean(dim=1)
        counts = torch.ones(6) if given is None else given[texts.labels]  # what an example counts, whatever it is not
        wanted = (each * counts).mean()
        asked = loss.nats / loss.count + (0 if loss.penalty is None else loss.penalty)
        torch.testing.assert_close(asked, wanted if training else plain / 6)


@pytest.mark.parametrize("window", [4, 400])
def test_adversarial_training_adds_the_loss_where_it_is_worst(window: int) -> None:
    """Each text's vectors move by a share of their length, in the direction of its own gradient; padding does not."""
    share = 0.01
    made, texts = model(window=window), batch()
    made.config = replace(made.config, adversarial=share)
    clean = made.eval().loss(texts, None)
    assert clean.penalty is None
    loss = made.train().loss(texts, None)
    assert loss.penalty is not None
    torch.testing.assert_close(loss.nats, clean.nats)
    vectors = made.embedding(texts.ids).detach().requires_grad_()
    nats = nn.functional.cross_entropy(made.classify(vectors, texts.lengths), texts.labels)
    (slope,) = torch.autograd.grad(nats, vectors)
    moved = []
    for row, length in enumerate(LENGTHS):
        own, steepest = vectors[row].detach(), slope[row]
        assert (steepest[length:] == 0).all() and (steepest != 0).any()
        moved.append(own + share * own[:length].norm() * steepest / steepest.norm())
    worse = nn.functional.cross_entropy(made.classify(torch.stack(moved), texts.lengths), texts.labels)
    torch.testing.assert_close(loss.penalty, worse)
    assert worse > nats
    torch.autograd.backward(loss.nats / loss.count + loss.penalty)
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in made.parameters())


def test_a_text_that_teaches_nothing_is_not_moved() -> None:
    made, texts = model(), batch()
    made.config = replace(made.config, adversarial=0.5)
    nn.init.zeros_(made.output.weight)
    loss = made.train().loss(texts, None)
    assert loss.penalty is not None
    torch.testing.assert_close(loss.penalty, loss.nats / loss.count)


def test_it_learns_what_one_word_early_in_a_long_text_says() -> None:
    """The word that decides stands somewhere in the text, which is three windows long."""
    torch.manual_seed(0)
    config = ClassifierConfig(
        cell="gru", hidden_size=16, embedding_size=8, pooling="max", window=10, dropout=0, embedding_dropout=0
    )
    made = ClassifierModel(config, 10, 2)
    optimizer = torch.optim.Adam(made.parameters(), 0.02)
    rng = np.random.default_rng(0)

    def examples(count: int) -> TextBatch:
        texts = rng.integers(2, 10, (count, 30))
        labels = rng.integers(0, 2, count)
        texts[np.arange(count), rng.integers(0, 30, count)] = labels
        return text_batch([*texts], labels.tolist())

    for _ in range(60):
        loss = made.loss(examples(32), None)
        torch.autograd.backward(loss.nats / loss.count)
        optimizer.step()
        optimizer.zero_grad()
    test = examples(200)
    right = made.eval()(test.ids, test.lengths).argmax(dim=1) == test.labels
    assert right.float().mean() > 0.95


# Batches


class Side:
    def __init__(self, lengths: list[int]) -> None:
        self.ids = np.arange(sum(lengths), dtype=np.uint16)
        self.document_starts = np.cumsum([0, *lengths])[:-1]


def epoch(batches: TextBatches, number: int) -> list[TextBatch]:
    cursor, found = Cursor(number), []
    while cursor.epoch == number:
        batch, cursor = batches.batch(cursor)
        found.append(batch)
    return found


def test_every_text_comes_once_in_an_epoch_with_its_label() -> None:
    rng = np.random.default_rng(1)
    lengths = [*rng.integers(1, 60, 997).tolist(), 0, 0, 300]
    side, labels = Side(lengths), np.arange(1000) % 7
    batches = TextBatches(side, labels, 16, seed=3)
    starts = {int(start): number for number, start in enumerate(side.document_starts) if lengths[number]}
    orders = []
    for number in range(2):
        seen: list[int] = []
        padding = total = 0
        for made in epoch(batches, number):
            for ids, length, label in zip(made.ids.tolist(), made.lengths.tolist(), made.labels.tolist(), strict=True):
                text = starts.get(ids[0])
                if text is None or (length, label) != (lengths[text], text % 7):
                    assert (ids[0], length) == (0, 1)  # a text without tokens is read as one
                    continue
                assert ids[:length] == list(range(ids[0], ids[0] + length))
                seen.append(text)
            padding += made.ids.numel() - int(made.lengths.sum())
            total += made.ids.numel()
        assert sorted(seen) == [text for text in range(1000) if lengths[text]]
        assert padding / total < 0.1
        orders.append(seen)
    assert orders[0] != orders[1]
    assert [b.ids.tolist() for b in epoch(TextBatches(side, labels, 16, seed=3), 1)] == [
        b.ids.tolist() for b in epoch(batches, 1)
    ]
    assert batches.epochs(Cursor(2)) == 2 and batches.epochs(Cursor(0, 5)) == 5 / len(epoch(batches, 0))
    assert max(b.ids.shape[1] for b in epoch(TextBatches(side, labels, 16, 3, longest=20), 0)) == 20
