"""JoeyNMT: its own training and prediction.

``make peers`` makes its environment.
"""

from __future__ import annotations

from joeynmt.batch import Batch
from joeynmt.config import parse_global_args
from joeynmt.prediction import predict, prepare
from joeynmt.training import TrainManager
from joeynmt.training import train as train_package
from peers import driver


def train(job: driver.Job, clock: driver.Clock) -> None:
    """Train a new model."""
    step = TrainManager._train_step

    def clocked(self: TrainManager, batch: Batch) -> tuple[float, int]:
        if not clock.begin(batch.ntokens):
            raise KeyboardInterrupt  # its trainer then saves and ends
        loss: tuple[float, int] = step(self, batch)
        return loss

    TrainManager._train_step = clocked
    train_package(rank=0, world_size=None, cfg=_settings(job), skip_test=True)


def load(job: driver.Job) -> driver.Translate:
    """Its predictions with the trained model."""
    o = parse_global_args(_settings(job), rank=0, mode="translate")
    model, _, _, stream = prepare(o, rank=0, mode="translate")

    def translate(sentences: list[str], batch: int) -> list[str]:
        stream.reset_cache()
        for sentence in sentences:
            stream.set_item(sentence)
        found = predict(
            model=model,
            data=stream,
            device=o.device,
            n_gpu=0,
            normalization="none",
            args=o.test._replace(batch_size=batch),
            autocast=o.autocast,
        )
        return list(found[2])

    return translate


def _settings(job: driver.Job) -> dict[str, object]:
    side = {"level": "word", "voc_file": str(job.text / "pieces.txt")}
    initial = {"initializer": "xavier_uniform", "embed_initializer": "normal", "embed_init_weight": 0.1}
    embeddings = {"embedding_dim": driver.EMBEDDING, "dropout": driver.DROPOUT}
    encoder = {"type": "recurrent", "rnn_type": "gru", "hidden_size": driver.ENCODER, "bidirectional": True}
    decoder = {"type": "recurrent", "rnn_type": "gru", "hidden_size": driver.DECODER, "attention": "bahdanau"}
    own = {"embeddings": embeddings, "num_layers": 1, "dropout": driver.DROPOUT}
    return {
        "name": "peer",
        "model_dir": str(job.model),
        "use_cuda": False,
        "random_seed": job.seed,
        "data": {
            "train": str(job.text / "train"),
            "dev": str(job.text / "val"),
            "dataset_type": "plain",
            "src": {"lang": "en", **side},
            "trg": {"lang": "de", **side},
        },
        "model": {
            **initial,
            "encoder": {**encoder, **own},
            "decoder": {**decoder, **own, "hidden_dropout": driver.DROPOUT, "init_hidden": "bridge"},
        },
        "training": {
            "optimizer": "adam",
            "learning_rate": driver.LEARNING_RATE,
            "learning_rate_min": 0.0,
            "scheduling": "exponential",  # it asks for one; this one keeps the rate
            "decrease_factor": 1.0,
            "clip_grad_norm": driver.CLIPPING,
            "batch_type": "sentence",
            "batch_size": driver.SENTENCES,
            "normalization": "tokens",
            "epochs": 1000,
            "validation_freq": 10**7,
            "logging_freq": 100,
            "keep_best_ckpts": 1,
        },
        "testing": {"beam_size": driver.BEAM, "beam_alpha": 1.0, "max_output_length": driver.LONGEST},
    }


if __name__ == "__main__":
    driver.main("joeynmt", train, load)
