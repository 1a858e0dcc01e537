"""Train a writer on a text of one's own, stop, go on, and use it, all from Python.

python examples/own_author.py my_text.txt
"""

import sys
from pathlib import Path

import textseq
from textseq.config.training import TrainingConfig
from textseq.tasks.language_model.config import DataConfig, LanguageModelConfig

if len(sys.argv) < 2:
    sys.exit("usage: python examples/own_author.py my_text.txt")
for path in sys.argv[1:]:
    if not Path(path).exists():
        sys.exit(f"no file {path}; usage: python examples/own_author.py my_text.txt")

textseq.train(
    text=sys.argv[1:],
    name="own-author",
    model=LanguageModelConfig(cell="gru", hidden_size=128),
    data=DataConfig(batch_size=8, window=50),
    training=TrainingConfig(max_steps=50, evaluate_every=50),
    overwrite=True,
)

# Fifty steps more, from where it stopped: the text, the state and the optimizer go on as if it had not.
textseq.resume("own-author", training=TrainingConfig(max_steps=100, evaluate_every=50))
print(textseq.load_generator("own-author").generate(max_new_tokens=200))
