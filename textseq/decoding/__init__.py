"""Everything that writes text, over one ``step(tokens, state) -> (logits, state)``, whatever the model."""
