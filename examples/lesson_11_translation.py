# %% [markdown]
# # Translation with and without attention
#
# An encoder reads the source, a decoder writes the target. Without attention the decoder gets one vector of the whole
# source (Cho et al. 2014); with it, before every token, a new weighted mean of the encoder's outputs (Bahdanau et al.
# 2015).
#
# ## A toy language: dates and sums
#
# Two translators learn to write dates in the order of ISO 8601, one to four of them in a row, and to add two numbers
# digit by digit, from the units on, as by hand: "2 1 + 9 0" is 12 + 9. They differ in the attention only. The sums of
# the test are not in the training; they are learned last, and how many come out right after so few steps depends on the
# seed.

# %%
import datetime
import os
import random
from typing import Literal

import matplotlib.pyplot as plt
import numpy as np
from sacrebleu import corpus_bleu

import textseq
from textseq import PairConfig, TranslationModelConfig, TranslatorTrainingConfig

SHORT = "TEXTSEQ_SHORT" in os.environ  # for the tests, a few seconds
rng = random.Random(1)


def dates(count: int) -> tuple[str, str]:
    days = [datetime.date(1960, 1, 1) + datetime.timedelta(rng.randrange(22_000)) for _ in range(count)]
    return " ".join(f"{day.day} {day:%B} {day.year}" for day in days), " ".join(f"{day:%Y %m %d}" for day in days)


def digits(number: int, count: int) -> str:
    return " ".join(f"{number:0{count}}"[::-1])


sums = [(f"{digits(a, 2)} + {digits(b, 2)}", digits(a + b, 3)) for a in range(100) for b in range(100)]
rng.shuffle(sums)
rows = 5 if SHORT else 100
tests = {f"{count} dates": [dates(count) for _ in range(rows)] for count in (1, 2, 3, 4)} | {"sums": sums[:rows]}
pairs = [dates(rng.randint(1, 4)) for _ in range(500 if SHORT else 12_000)] + sums[rows : 500 if SHORT else None]
rng.shuffle(pairs)
sources, targets = zip(*pairs, strict=True)
training = TranslatorTrainingConfig(
    max_steps=10 if SHORT else 1500, learning_rate=5e-3, warmup_steps=50, ema_decay=0, evaluate_every=10_000,
)  # fmt: skip


def train(attention: Literal["additive", "none"]) -> textseq.Translator:
    model = TranslationModelConfig(
        attention=attention, embedding_size=48, encoder_size=48, hidden_size=96, attention_size=48, dropout=0.0,
        embedding_dropout=0.0, label_smoothing=0.0,
    )  # fmt: skip
    return textseq.train_translator(
        sources=sources, targets=targets, model=model, data=PairConfig(tokenizer="word", batch_size=64),
        training=training, name=f"lesson-{attention}", overwrite=True, progress=False,
    )  # fmt: skip


translators = {"with attention": train("additive"), "without attention": train("none")}
scores: dict[str, list[float]] = {}
for name, translator in translators.items():
    scores[name] = []
    for kind, test in tests.items():
        written = [found.text for found in translator.translate([source for source, _ in test], num_beams=1)]
        references = [target for _, target in test]
        scores[name].append(corpus_bleu(written, [references], tokenize="char").score)
        exact = np.mean([text == reference for text, reference in zip(written, references, strict=True)])
        print(f"{name:17} {kind:7} {exact:4.0%} without a mistake")

# %%
for name, bleu in scores.items():
    plt.plot([1, 2, 3, 4], bleu[:4], "o-", label=name)
plt.xticks([1, 2, 3, 4])
plt.ylim(0, 105)
plt.xlabel("dates in the source")
plt.ylabel("BLEU of letters")
plt.title("BLEU by length")
plt.legend(loc="lower left")
plt.show()

# %% [markdown]
# ## Where it looks
#
# The weights of the attention, one row for each word that was written: the order of day, month and year changes.

# %%
example = translators["with attention"].translate("3 May 1984 21 October 2015")
print(example.text)
plt.figure(figsize=(5.5, 5))
plt.imshow(np.asarray(example.attention), cmap="Blues")
plt.xticks(range(len(example.source_tokens)), [*example.source_tokens[:-1], "end"], rotation=45)
plt.yticks(range(len(example.tokens)), [*example.tokens[:-1], "end"])
plt.title("Attention while the dates are written")
plt.grid(False)
plt.show()

# %% [markdown]
# ## A real translator: beams, and translating before the sentence is over
#
# `tatoeba-en-fr` comes with the package. Beam search keeps the best few translations at every step, where greedy
# decoding keeps one. An interpreter does not wait for the end: after each word of the source, what the last two
# translations agree on is said for good (local agreement, Liu et al. 2020).

# %%
translator = textseq.load_translator("tatoeba-en-fr")
for found in translator.translate_all(["He had to work all night."], num_beams=5, num_return_sequences=3)[0]:
    print(f"{found.score:6.2f}  {found.text}")

sentence = "She forgot to close the window before she went to bed."
words, said, before = sentence.split(), list[str](), list[str]()
for end in range(1, len(words) + 1):
    now = translator.translate(" ".join(words[:end]), prefixes=[" ".join(said)], tidy=False).text.split()
    same = [a == b for a, b in zip(before, now, strict=False)] + [False]
    agreed = now[: same.index(False)] if end < len(words) else now
    print(f"{words[end - 1]:8} {' '.join(agreed[len(said) :])}".rstrip())
    said, before = max(said, agreed, key=len), now
