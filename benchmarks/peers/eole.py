"""Eole: its own trainer and inference engine.

``make peers`` makes its environment.
"""

from __future__ import annotations

import os

from eole.bin.run.train import train as train_package
from eole.config.run import PredictConfig, TrainConfig
from eole.inference_engine import InferenceEnginePY
from eole.trainer import Trainer
from peers import driver


def train(job: driver.Job, clock: driver.Clock) -> None:
    """Train a new model."""
    driver.stop_by_clock(Trainer, clock)
    rnn = {"num_layers": 1, "rnn_type": "GRU"}
    model = {
        "architecture": "custom",  # "rnn" has no bidirectional encoder
        "embeddings": {"word_vec_size": driver.EMBEDDING, "position_encoding_type": None},
        "encoder": {"encoder_type": "brnn", "hidden_size": 2 * driver.ENCODER, **rnn},
        "decoder": {"decoder_type": "rnn", "hidden_size": driver.DECODER, "global_attention": "mlp", **rnn},
        "input_feed": 1,
    }
    training = {
        "model_path": str(job.model),
        "optim": "adam",
        "learning_rate": driver.LEARNING_RATE,
        "max_grad_norm": driver.CLIPPING,
        "dropout": [driver.DROPOUT],
        **driver.UNTIL_STOPPED,
        "log_attention_entropy": False,  # costs time
        "compute_dtype": "fp32",
    }
    settings = TrainConfig(
        data=driver.corpora(job),
        src_vocab=str(job.text / "pieces.txt"),
        share_vocab=True,
        save_data=str(job.model / "data"),
        seed=job.seed,
        model=model,
        training=training,
    )
    train_package(settings)


def load(job: driver.Job) -> driver.Translate:
    """Its inference engine with the trained model."""
    settings = PredictConfig(
        model_path=str(job.model),
        src=str(job.text / "test.en"),
        output=os.devnull,
        beam_size=driver.BEAM,
        max_length=driver.LONGEST,
        compute_dtype="fp32",
    )
    engine = InferenceEnginePY(settings)

    def translate(sentences: list[str], batch: int) -> list[str]:
        engine.config.batch_size = batch
        return [best[0] for best in engine.infer_list(sentences)[2]]

    return translate


if __name__ == "__main__":
    driver.main("eole", train, load)
