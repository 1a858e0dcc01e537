"""The tokenizers of a translator: one for both languages, or one for each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from textseq.tasks.translation.shortlist import Shortlist, load_shortlist
from textseq.tokenizers.base import Tokenizer
from textseq.tokenizers.registry import load_tokenizer

SOURCE_FILE = "source-tokenizer.json"
"""Beside the target's ``tokenizer.json``, where the languages do not share one."""


@dataclass(frozen=True)
class Vocabularies:
    """The tokenizers of source and target; the same object where both languages share one."""

    source: Tokenizer
    target: Tokenizer
    shortlist: Shortlist | None = None
    """Which target tokens each source token may need, where it has been learnt."""

    @property
    def joint(self) -> bool:
        """Whether both languages share one vocabulary."""
        return self.source is self.target

    @property
    def ends(self) -> tuple[int, int]:
        """The token after each vocabulary, which ends a text."""
        return self.source.size, self.target.size

    def copies(self) -> list[int]:
        """For each token of the source the target's token that is the same string, -1 where there is none."""
        places = {token: place for place, token in enumerate(self.target.vocabulary)}
        return [places.get(token, -1) for token in self.source.vocabulary]

    @property
    def signature(self) -> str:
        """What a measure must say of them."""
        if self.joint:
            return f"{self.target.signature}-joint"
        return f"{self.source.signature}-to-{self.target.signature}"

    def save(self, folder: Path) -> None:
        """Write the target's tokenizer, beside it the source's if it is another, and the short list if there is one."""
        self.target.save(folder)
        if not self.joint:
            self.source.save(folder, SOURCE_FILE)
        if self.shortlist is not None:
            self.shortlist.save(folder)


def load_vocabularies(folder: Path, target: Tokenizer) -> Vocabularies:
    """What ``save`` wrote, of which the target's tokenizer has been read.

    Raises:
        TextseqError: a file that is damaged.
    """
    shared = not (folder / SOURCE_FILE).exists()
    source = target if shared else load_tokenizer(folder, SOURCE_FILE)
    return Vocabularies(source, target, load_shortlist(folder, (source.size, target.size)))
