"""textseq: its own training loop and beam search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from peers import driver
from safetensors.torch import load_file, save_file

from textseq.checkpoints.model_info import ModelInfo
from textseq.config.tokenizer import TokenizerConfig
from textseq.config.training import TrainingConfig
from textseq.data.batching import Cursor
from textseq.data.pairs import read_sentence
from textseq.tasks.translation.batches import PairBatch, PairBatches
from textseq.tasks.translation.config import PairConfig, TranslationModelConfig
from textseq.tasks.translation.model import TranslationModel
from textseq.tasks.translation.translator import Translator
from textseq.tasks.translation.vocabularies import Vocabularies
from textseq.tokenizers.words import WordTokenizer
from textseq.training.trainer import Trainer

MODEL = TranslationModelConfig(
    embedding_size=driver.EMBEDDING,
    encoder_size=driver.ENCODER,
    hidden_size=driver.DECODER,
    attention_size=driver.DECODER,
    tie_embeddings="none",
    dropout=driver.DROPOUT,
    embedding_dropout=driver.DROPOUT,
    label_smoothing=0.0,
)


@dataclass(frozen=True)
class Side:
    """The tokens of one language."""

    ids: np.ndarray
    document_starts: np.ndarray


class Enough(Exception):
    """The clock stops the training."""


class Clocked(PairBatches):
    """Batches that the clock sees coming."""

    clock: driver.Clock

    def batch(self, cursor: Cursor) -> tuple[PairBatch, Cursor]:
        """A batch, unless it is enough."""
        batch, following = super().batch(cursor)
        if not self.clock.begin(batch.count):
            raise Enough
        return batch, following


def vocabularies(job: driver.Job) -> Vocabularies:
    """The pieces as words between spaces."""
    pieces = (job.text / "pieces.txt").read_text(encoding="utf-8").splitlines()
    options = TokenizerConfig(tokenizer="word", words="spaces", rare_words="unknown")
    words = WordTokenizer([f" {piece}" for piece in pieces], "", "", options)
    return Vocabularies(words, words)


def train(job: driver.Job, clock: driver.Clock) -> None:
    """Train a new model in ``job.precision``."""
    pair = vocabularies(job)
    sides = []
    for language, tokenizer in (("en", pair.source), ("de", pair.target)):
        sentences = (job.text / f"train.{language}").read_text(encoding="utf-8").splitlines()
        ids = [tokenizer.encode(read_sentence(sentence)) for sentence in sentences]
        starts = np.cumsum([0, *map(len, ids)])[:-1]
        sides.append(Side(np.concatenate(ids), starts))
    source, target = sides
    batches = Clocked(source, target, pair.eos_ids, PairConfig(batch_size=driver.SENTENCES), job.seed)
    batches.clock = clock
    torch.manual_seed(job.seed)
    model = TranslationModel(MODEL, *pair.eos_ids)
    config = TrainingConfig.from_dict(
        {
            "learning_rate": driver.LEARNING_RATE,
            "schedule": "constant",
            "warmup_steps": 0,
            "clip_norm": driver.CLIPPING,
            "max_epochs": None,
            "max_steps": 10**9,
            "save_every": 10**9,
            "precision": job.precision,
            "beta2": 0.999,
        },
        where="the benchmark",
    )
    try:
        Trainer(model, batches, config, folder=job.model, tokenizer=pair).fit(show_progress=False)
    except Enough:
        save_file(model.state_dict(), job.model / "model.safetensors")


INFO = ModelInfo(task="translation")


def load(job: driver.Job) -> driver.Translate:
    """Its beam search with the trained model, in ``job.precision``."""
    pair = vocabularies(job)
    model = TranslationModel(MODEL, *pair.eos_ids)
    model.load_state_dict(load_file(Path(job.model) / "model.safetensors"))
    translator = Translator([model], pair, INFO, precision="int8" if job.precision == "int8" else "float32")

    def translate(sentences: Sequence[str], batch: int) -> list[str]:
        made = translator.translate(
            sentences, attention=False, num_beams=driver.BEAM, max_new_tokens=driver.LONGEST, max_length_ratio=100
        )
        return [translation.text for translation in made]

    return translate


if __name__ == "__main__":
    driver.main("textseq", train, load)
