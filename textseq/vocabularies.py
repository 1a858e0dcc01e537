"""The tokenizers of a translator: one for both languages, or one for each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from textseq.text import Tokenizer, load_tokenizer

SOURCE_FILE = "source-tokenizer.json"
"""Beside the target's ``tokenizer.json``, where the languages do not share one."""


@dataclass(frozen=True)
class Vocabularies:
    """The tokenizers of source and target; the same object where both languages share one."""

    source: Tokenizer
    target: Tokenizer

    @property
    def joint(self) -> bool:
        """Whether both languages share one vocabulary."""
        return self.source is self.target

    @property
    def ends(self) -> tuple[int, int]:
        """The token after each vocabulary, which ends a text."""
        return self.source.size, self.target.size

    @property
    def signature(self) -> str:
        """What a measure must say of them."""
        if self.joint:
            return f"{self.target.signature}-joint"
        return f"{self.source.signature}-to-{self.target.signature}"

    def save(self, folder: Path) -> None:
        """Write the target's tokenizer, and the source's beside it if it is another."""
        self.target.save(folder)
        if not self.joint:
            self.source.save(folder, SOURCE_FILE)


def load_vocabularies(folder: Path, target: Tokenizer) -> Vocabularies:
    """What ``save`` wrote, of which the target's tokenizer has been read.

    Raises:
        TextseqError: a file that is damaged.
    """
    shared = not (folder / SOURCE_FILE).exists()
    return Vocabularies(target if shared else load_tokenizer(folder, SOURCE_FILE), target)
