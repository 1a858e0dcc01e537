"""What a run began with: the text that it learns from and its settings, and how they are read back from the run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from textseq.config import DataConfig, LanguageModelConfig, TrainingConfig
from textseq.corpus import Corpus, load_corpus, own_text
from textseq.errors import TextseqError
from textseq.settings import Settings
from textseq.shelf import Facts


@dataclass(frozen=True, kw_only=True)
class Source(Settings):
    """What a run learns from: a corpus by name, or one's own files."""

    corpus: str | None = None
    text: tuple[str, ...] = ()
    encoding: str = "utf-8"
    validation: float = 0.1

    def open(self, *, data: Path | None = None, download: bool = False) -> Corpus:
        """The corpus, its files found and verified.

        Raises:
            TextseqError: neither or both named; whatever is wrong with the files.
        """
        if (self.corpus is None) == (not self.text):
            raise TextseqError("name a corpus or give your own files with --text, one of the two")
        if self.corpus is not None:
            return load_corpus(self.corpus, data=data, download=download)
        return own_text([Path(path) for path in self.text], encoding=self.encoding, validation=self.validation)


@dataclass(frozen=True)
class SavedSettings:
    """The settings that a run was started with, read back from its ``config.json``."""

    source: Source
    model: LanguageModelConfig
    batching: DataConfig
    training: TrainingConfig
    fingerprint: object
    """Of the corpus."""


def saved_settings(facts: Facts, folder: Path) -> SavedSettings:
    """Read a run's settings back.

    Raises:
        TextseqError: a table that is missing or does not fit.
    """
    where = str(folder / "config.json")

    def table(name: str) -> dict[str, object]:
        value = facts.get(name)
        if not isinstance(value, dict):
            raise TextseqError(f"{where} is damaged: it lacks '{name}'; restore the folder")
        return value

    source = table("source")
    text = source.get("text")
    return SavedSettings(
        Source.from_dict({**source, "text": tuple(text) if isinstance(text, list) else ()}, where=where),
        LanguageModelConfig.from_dict(table("model"), where=where),
        DataConfig.from_dict(table("data"), where=where),
        TrainingConfig.from_dict(table("training"), where=where),
        table("corpus").get("fingerprint"),
    )
