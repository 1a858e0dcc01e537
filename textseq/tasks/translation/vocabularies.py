"""The tokenizers of a translator: joint, or one for each language."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from textseq.tasks.translation.shortlist import Shortlist, load_shortlist
from textseq.tokenizers.base import Tokenizer
from textseq.tokenizers.registry import load_tokenizer

SOURCE_FILE = "source-tokenizer.json"
"""The source's tokenizer, unless joint; the target's is ``tokenizer.json``."""


@dataclass(frozen=True)
class Vocabularies:
    """The tokenizers of source and target; the same object if joint."""

    source: Tokenizer
    target: Tokenizer
    shortlist: Shortlist | None = None
    """The target tokens that each source token may need, if trained."""

    @property
    def joint(self) -> bool:
        """Whether both languages share one vocabulary."""
        return self.source is self.target

    @property
    def fingerprint(self) -> str:
        """Those of both tokenizers: equal for vocabularies that encode alike."""
        return f"{self.source.fingerprint} {self.target.fingerprint}"

    @property
    def eos_ids(self) -> tuple[int, int]:
        """The end-of-sentence ids of source and target: the first id after each vocabulary."""
        return self.source.size, self.target.size

    def source_to_target(self) -> list[int]:
        """For each source token the target token of the same string, or -1."""
        return _places(self.source, self.target)

    def places_in(self, larger: Vocabularies) -> tuple[list[int], list[int]]:
        """For each token of source and target, and for its end, the id in vocabularies that extend these."""
        sides = (self.source, larger.source), (self.target, larger.target)
        source, target = ([*_places(old, new), new.size] for old, new in sides)
        return source, target

    @property
    def signature(self) -> str:
        """For signatures of metrics."""
        if self.joint:
            return f"{self.target.signature}-joint"
        return f"{self.source.signature}-to-{self.target.signature}"

    def save(self, folder: Path) -> None:
        """Write the tokenizers and the shortlist into a folder."""
        self.target.save(folder)
        if not self.joint:
            self.source.save(folder, SOURCE_FILE)
        if self.shortlist is not None:
            self.shortlist.save(folder)


def _places(tokens: Tokenizer, among: Tokenizer) -> list[int]:
    """For each token of one vocabulary the id of the same string in another, or -1."""
    ids = {token: number for number, token in enumerate(among.vocabulary)}
    return [ids.get(token, -1) for token in tokens.vocabulary]


def load_vocabularies(folder: Path, target: Tokenizer) -> Vocabularies:
    """Load what ``save`` wrote; ``target`` has been loaded already.

    Raises:
        TextseqError: a file is damaged.
    """
    shared = not (folder / SOURCE_FILE).exists()
    source = target if shared else load_tokenizer(folder, SOURCE_FILE)
    return Vocabularies(source, target, load_shortlist(folder, (source.size, target.size)))
