# %% [markdown]
# # Char-RNN in an author's style
#
# A network that predicts the next letter can write, letter by letter, and can say how much a text surprises it. The one
# of Shakespeare here comes with the package; your own: `textseq-train --text novel.txt`. At the end small ones are
# trained, of letters, syllables and words.

# %%
import math
import os
import random
import re
from collections import Counter
from pathlib import Path

import matplotlib.pyplot as plt

import textseq
from textseq import LanguageModelConfig, PairData, TextData, TextseqError, TrainingConfig

SHORT = "TEXTSEQ_SHORT" in os.environ  # for the tests, a few seconds

# %% [markdown]
# ## Temperature
#
# The logits are divided by the temperature before a letter is drawn. A low one is careful and repeats itself, 1 is what
# the model learnt, a high one is wild. (By default `min_p=0.1` also leaves out every letter less than a tenth as
# probable as the likeliest one, which tames the high temperatures. Here it is off, elsewhere in this lesson on.)

# %%
writer = textseq.load_generator("shakespeare")
for temperature in (0.2, 0.7, 1.3):
    print(f"--- temperature {temperature}")
    print(writer.generate("ROMEO:\n", max_new_tokens=30 if SHORT else 180, temperature=temperature, min_p=0, seed=1))

# %% [markdown]
# ## Surprisal
#
# How many bits does each letter cost the model? The first letters of a word carry the news, the rest follows. A
# sensible sentence costs less than its nonsense twin, although one letter differs.

# %%
twins = ("Give me thy hand.", "Give me thy band.")
scores = [writer.score(sentence) for sentence in twins]
figure, axes = plt.subplots(2, sharey=True, figsize=(7, 4))
for axis, sentence, score in zip(axes, twins, scores, strict=True):
    axis.bar(range(len(sentence)), [nats / math.log(2) for nats in score.surprisal])
    axis.set_xticks(range(len(sentence)), [*sentence])
    axis.set(ylabel="bits", title=f"{sentence}  {score.bits_per_character:.2f} bits per character")
plt.show()

# %% [markdown]
# ## Does it copy?
#
# The longest stretch that also stands in the plays that it has read. The plays do not come with the package: let
# `TEXTSEQ_DATA` name their folder, or fetch them with `textseq-train shakespeare --download`.

# %%
written = writer.generate("ROMEO:\n", max_new_tokens=100 if SHORT else 2000, temperature=0.7, seed=2)
try:
    copied = textseq.memorization_of(written, TextData(corpus="shakespeare").open())
    print(f"{copied.length} of {len(written)} characters: {copied.run!r}")
except TextseqError as error:
    print(f"left out: {error}")

# %% [markdown]
# ## Source code
#
# Any text will do. After a minute or two with Python's own library a small network of letters writes indented lines,
# underscores and `self.`, and does not know any grammar yet. Four spaces are made one tab, so that it need not count
# them.

# %%
library = "\n".join(path.read_text(encoding="utf-8") for path in sorted(Path(os.__file__).parent.glob("[a-d]*.py")))
coder = textseq.train(
    texts=[library[: 20_000 if SHORT else None].replace("    ", "\t")],
    model=LanguageModelConfig(embedding_size=64, hidden_size=256),
    training=TrainingConfig(max_steps=5 if SHORT else 800, learning_rate=5e-3),
    name="lesson-code",
    overwrite=True,
    progress=False,
)
print(coder.generate("\tdef ", max_new_tokens=30 if SHORT else 300, temperature=0.7, seed=1).expandtabs(4))

# %% [markdown]
# ## Letters, syllables, words
#
# What is a step of the network to be? Words make a text short and the vocabulary large, letters the other way round. To
# compare them, count in bits per *letter*, on text that was not read. Syllables are cut by patterns for hyphenation
# (`pip install pyphen`). A unit that occurs once is spelled. Each unit then becomes one character of Unicode's private
# area, so that the same network reads all three. All train for the same 120 steps, in which words read this small text
# three times as often as letters: part of their lead.

# %%
sentences = sorted({english for english, _ in PairData(corpus="phrases-en-fr").open().pairs("train")})
random.Random(1).shuffle(sentences)
words = re.findall(r" ?\w+|\W", "\n".join(sentences[: 500 if SHORT else 3000]))
cuts = {"letters": [letter for word in words for letter in word], "words": words}
try:
    import pyphen
except ImportError:
    print("pyphen is not installed: syllables are left out")
else:
    patterns = pyphen.Pyphen(lang="en_US")
    cuts["syllables"] = [part for word in words for part in patterns.inserted(word, "|").split("|")]
bits = {}
for name, cut in cuts.items():
    end, counts = len(cut) * 9 // 10, Counter(cut[: len(cut) * 9 // 10])
    halves = [
        [part for unit in half for part in ([unit] if counts[unit] > 1 else unit)] for half in (cut[:end], cut[end:])
    ]
    vocabulary = sorted({*halves[0], *halves[1]})
    read, unread = ("".join(chr(0xF0000 + vocabulary.index(unit)) for unit in half) for half in halves)
    model = textseq.train(
        texts=[read],
        model=LanguageModelConfig(embedding_size=64, hidden_size=128),
        training=TrainingConfig(max_steps=5 if SHORT else 120, learning_rate=0.01),
        name="lesson-char-rnn",
        overwrite=True,
        progress=False,
    )
    bits[name] = model.score(unread).nats / math.log(2) / len("".join(halves[1]))
    print(f"{name:>9}: {len(vocabulary):5,} different, {len(read):7,} to read, {bits[name]:.2f} bits per letter")
