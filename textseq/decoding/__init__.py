"""Everything that writes text, over one ``step(tokens, state) -> (logits, state)``, whatever the model."""

from __future__ import annotations
