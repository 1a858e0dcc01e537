"""What is asked of a translator in one call: its settings, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from textseq.data.readers.glossary import Glossary
from textseq.tasks.translation.config import TranslationConfig


@dataclass(frozen=True)
class Request:
    """Settings of a call, checked."""

    config: TranslationConfig
    attention: bool
    bias: Tensor | None
    """(V+1,)."""
    generator: torch.Generator
    glossary: Glossary | None = None
    doubtful_below: float = -math.inf
    """Translations with a lower score are doubtful."""

    @property
    def samples(self) -> bool:
        """Whether tokens are sampled instead of searched for."""
        return self.config.num_beams == 1 and self.config.temperature > 0

    @property
    def scored(self) -> bool:
        """Whether scores are log-probabilities per token, which can be compared with those of other sentences."""
        return not self.samples and self.config.length_penalty == 1 and not self.config.coverage_penalty

    @property
    def signature(self) -> str:
        """The settings that differ from the defaults, for signatures of metrics."""
        config, defaults = self.config.to_dict(), TranslationConfig().to_dict()
        return f"beams:{self.config.num_beams}|length-penalty:{self.config.length_penalty:g}" + "".join(
            f"|{'drawing-' * (name == 'seed')}{name.replace('_', '-')}:{value}"  # sacreBLEU's signature has a seed too
            for name, value in config.items()
            if value != defaults[name] and name not in {"num_beams", "length_penalty"}
        )

    def is_doubtful(self, score: float) -> bool:
        """Whether a translation with this score is doubtful."""
        return self.scored and score < self.doubtful_below
