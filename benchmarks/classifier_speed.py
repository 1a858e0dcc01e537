"""Tokens per second of a classifier in training and in use, against a plain loop over ``nn.LSTM``.

Both sides have the same layers (token embeddings, a bidirectional LSTM, its mean, maximum and last states, an output
layer), tokens, batch size, dropout and optimizer (AdamW). The plain loop is that of a tutorial: texts in random order,
each batch padded to its longest text, one call of the module, a mask for mean and maximum. Ours is the loop of
``textseq-train``: batches of texts of similar length, those of more than 400 tokens in windows of 400, at whose ends
the gradient stops. As the sides read other texts in a round, tokens are counted, without padding. The sides alternate
in one process; prints medians. Goal: three times as fast.

    TEXTSEQ_DATA=... python benchmarks/classifier_speed.py sst2
    TEXTSEQ_DATA=... python benchmarks/classifier_speed.py imdb --batches 4
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from conditions import print_conditions
from sides import in_turns
from table import Row, note
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from textseq.checkpoints.model_info import ModelInfo
from textseq.config.decoding import Precision
from textseq.config.training import TrainingPrecision
from textseq.data.batching import Cursor
from textseq.data.labelled import load_labelled
from textseq.tasks.classification.batches import TextBatch, TextBatches
from textseq.tasks.classification.classifier import Classifier, padded_text
from textseq.tasks.classification.config import ClassifierConfig, ClassifierTrainingConfig, LabelledConfig
from textseq.tasks.classification.model import ClassifierModel
from textseq.tokenizers.words import WordTokenizer
from textseq.training.trainer import Trainer


class Plain(nn.Module):
    """The same network on whole padded batches."""

    def __init__(self, config: ClassifierConfig, vocabulary_size: int, labels: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, config.embedding_size)
        self.lstm = nn.LSTM(config.embedding_size, config.hidden_size, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(config.dropout)
        self.output = nn.Linear(6 * config.hidden_size, labels)

    def forward(self, ids: Tensor, real: Tensor) -> Tensor:
        """Logits of texts (N, T); ``real`` (N, T) is false in the padding."""
        y, (h, _) = self.lstm(self.dropout(self.embedding(ids)))
        seen = real.unsqueeze(2)
        mean = (y * seen).sum(dim=1) / seen.sum(dim=1)
        highest = y.masked_fill(~seen, -1e30).amax(dim=1)
        logits: Tensor = self.output(self.dropout(torch.cat([h[0], h[1], mean, highest], dim=1)))
        return logits


class Texts:
    """Encoded texts with their labels, as ``TextBatches`` wants them."""

    def __init__(self, encoded: list[np.ndarray], labels: list[int]) -> None:
        self.encoded, self.labels = encoded, np.array(labels)
        self.ids = np.concatenate(encoded)
        self.document_starts = np.cumsum([0, *map(len, encoded)])[:-1]


def padded(texts: Texts, numbers: np.ndarray) -> tuple[Tensor, Tensor]:
    """The ids of some texts (N, T), and what is no padding."""
    rows = [torch.from_numpy(texts.encoded[number].astype(np.int64)) for number in numbers]
    lengths = torch.tensor([len(row) for row in rows])
    ids = pad_sequence(rows, batch_first=True)
    return ids, torch.arange(ids.shape[1]) < lengths.unsqueeze(1)


def shuffled(count: int, size: int) -> Iterator[np.ndarray]:
    """Batches of texts in random order, for ever."""
    rng = np.random.default_rng(0)
    while True:
        order = rng.permutation(count)
        yield from (order[start : start + size] for start in range(0, count - size + 1, size))


class CountedBatches(TextBatches):
    """Counts the tokens that it gives."""

    given = 0

    def batch(self, cursor: Cursor) -> tuple[TextBatch, Cursor]:
        """The batch at a position, and the next position."""
        batch, following = super().batch(cursor)
        self.given += int(batch.lengths.sum())
        return batch, following


def rate(run: Callable[[], int]) -> float:
    """Tokens per second of something that says how many it read."""
    start = time.perf_counter()
    done = run()
    return done / (time.perf_counter() - start)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", help="of labelled texts")
    parser.add_argument("--hidden-size", type=int, default=256)
    parser.add_argument("--embedding-size", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=40, help="of each side in a round")
    o = parser.parse_args()
    in_a_round: int = o.batches * o.batch_size  # texts
    corpus = load_labelled(o.corpus)
    batching = LabelledConfig()
    tokenizer = WordTokenizer.train(((padded_text(text),) for text, _ in corpus.examples("train")), batching)
    read = [(tokenizer.encode(padded_text(text)), label) for text, label in corpus.examples("train")]
    texts = Texts([ids for ids, _ in read], [corpus.labels.index(label) for _, label in read])
    config = ClassifierConfig(hidden_size=o.hidden_size, embedding_size=o.embedding_size)
    plain = Plain(config, tokenizer.size, len(corpus.labels))
    optimizer = torch.optim.AdamW(plain.parameters(), lr=1e-3, weight_decay=0.0)
    random_order = shuffled(len(read), o.batch_size)

    def plain_training() -> int:
        plain.train()
        done = 0
        for numbers in (next(random_order) for _ in range(o.batches)):
            ids, real = padded(texts, numbers)
            done += int(real.sum())
            loss = nn.functional.cross_entropy(plain(ids, real), torch.from_numpy(texts.labels[numbers]))
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        return done

    def plain_use() -> int:
        plain.eval()
        done = 0
        with torch.inference_mode():
            for numbers in (next(random_order) for _ in range(o.batches)):
                ids, real = padded(texts, numbers)
                plain(ids, real).argmax(dim=1)
                done += int(real.sum())
        return done

    def ours(training: Trainer) -> int:
        training.model.train()
        assert isinstance(training.batches, CountedBatches)
        before = training.batches.given
        for _ in range(o.batches):
            training.step()
        return training.batches.given - before

    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(1)
        trainings: dict[TrainingPrecision, Trainer] = {}
        for precision in ("float32", "bfloat16"):
            batches = CountedBatches(texts, texts.labels, o.batch_size, 1)
            model = ClassifierModel(config, tokenizer.size, len(corpus.labels))
            settings = ClassifierTrainingConfig(precision=precision, best_by="loss")  # nothing is held out
            trainings[precision] = Trainer(model, batches, settings, folder=f"{folder}/{precision}")
        used = ClassifierModel(config, tokenizer.size, len(corpus.labels))
        chosen = np.random.default_rng(1)

        info = ModelInfo(task="classification", labels=corpus.labels)

        def our_use(precision: Precision) -> int:
            classifier = Classifier(used, tokenizer, info, precision=precision)
            some = [texts.encoded[number] for number in chosen.permutation(len(read))[:in_a_round]]
            classifier.logits_of(some)
            return sum(map(len, some))

        sides: dict[str, Callable[[], int]] = {
            "training, plain loop, float32": plain_training,
            "training, textseq, float32": lambda: ours(trainings["float32"]),
            "training, textseq, bfloat16": lambda: ours(trainings["bfloat16"]),
            "using, plain loop, float32": plain_use,
            "using, textseq, float32": lambda: our_use("float32"),
            "using, textseq, bfloat16": lambda: our_use("bfloat16"),
        }
        rates = in_turns({name: partial(rate, run) for name, run in sides.items()}, o.rounds)
    for name, values in rates.items():
        base = rates[name.split(",")[0] + ", plain loop, float32"]
        ratio = statistics.median(ours / plain for ours, plain in zip(values, base, strict=True))
        print(f"{name}: {statistics.median(values):,.0f} tokens/s, {ratio:.2f} times the plain loop")
        if "textseq" in name:
            doing, _, precision = name.split(", ")
            what = f"{doing} a classifier of {o.corpus}, {precision}, over a plain padded loop in float32"
            note(Row(what, statistics.median(values), "tokens/s", ratio, 3.0))
    words = statistics.mean(map(len, texts.encoded))
    print(f"{o.corpus}: {len(read):,} texts of {words:.1f} tokens on average, vocabulary {tokenizer.size}")
    print(f"bidirectional LSTM {o.hidden_size}, embedding {o.embedding_size}, {o.batch_size} texts in a batch")
    print_conditions()


if __name__ == "__main__":
    main()
