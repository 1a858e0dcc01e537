# %% [markdown]
# # Tags and names
#
# A tagger gives each word a label: its part of speech, or its place in a name. A network in both directions reads the
# sentence; a smaller one reads each word letter by letter (Lample et al. 2016, section 4.1).
#
# ## Parts of speech, with and without letters
#
# The same tagger twice, on a tenth of the Penn Treebank. A word that occurs only once in the training, or never, has no
# vector of its own. Without its letters, only its neighbors can say what it is, and the letters help most there.
# (`english-pos`, which comes with the package, is such a tagger that has learned for longer.)

# %%
import os
import random
from importlib import import_module

import matplotlib.pyplot as plt
import numpy as np
from faker import Faker

import textseq

SHORT = "TEXTSEQ_SHORT" in os.environ  # for the tests, a few seconds
treebank = textseq.TaggedData(corpus="treebank").open(download=not SHORT)
training = textseq.TaggerTrainingConfig(max_steps=4 if SHORT else 150, evaluate_every=10_000, evaluate_tokens=1000)
results: dict[str, tuple[float, float]] = {}
for label, letters in (("words only", 0), ("words and letters", 32)):
    tagger = textseq.train_tagger(
        "treebank", model=textseq.TaggerConfig(hidden_size=64, letter_hidden_size=letters), training=training,
        name=f"lesson-{letters}", overwrite=True, download=not SHORT, progress=False,
    )  # fmt: skip
    metrics = tagger.evaluate_words(treebank)
    correct, unknown = metrics.unknown
    results[label] = metrics.accuracy, correct / unknown
    print(f"{label}: {metrics.accuracy:.1%} of all words, {correct / unknown:.1%} of {unknown:,} unknown words")
print("english-pos:", textseq.load_tagger("english-pos").tag("The slithy toves gyred and gimbled skilfully ."))

# %% [markdown]
# ## Named entities, with spans
#
# Names are spans of words: `B-` marks the first word, `I-` the others, `O` what is no name. Faker invents people,
# companies and towns, and many surnames occur in all three: only the words around them tell a Miller from Miller and
# Sons. A conditional random field knows that no `I-person` comes after `O`.
#
# Beware of a perfect score: what it has learned are five patterns. Only companies move in them, and before a full stop
# the last name is mostly a person's; so much for Ms Miller of Lake Miller below. From tweets, in which most names
# are new, even `textseq-train --recipe wnut17` finds few of them.

# %%
fake, rng = Faker("en_US"), random.Random(1)
fake.seed_instance(1)
makers = {"person": fake.name, "company": fake.company, "town": fake.city}
patterns = (
    "{person} works for {company} in {town} .", "{company} moves to {town} , says {person} .",
    "In {town} , {person} met {person} of {company} .", "Shares of {company} fell after {person} left .",
    "{town} has a new mayor , {person} .",
)  # fmt: skip


def sentence() -> tuple[list[str], list[str]]:
    """Words and tags of a pattern, filled in."""
    words: list[str] = []
    tags: list[str] = []
    for part in rng.choice(patterns).split():
        kind = part.strip("{}")
        name = makers[kind]().replace(",", " ,").split() if part != kind else []
        words += name or [part]
        tags += ["B-" + kind, *["I-" + kind] * (len(name) - 1)] if name else ["O"]
    return words, tags


sentences, tags = zip(*(sentence() for _ in range(200 if SHORT else 2000)), strict=True)
entities = textseq.train_tagger(
    sentences=sentences, tags=tags, model=textseq.TaggerConfig(hidden_size=64, letter_hidden_size=32, output="crf"),
    training=training, name="lesson-names", overwrite=True, progress=False,
)  # fmt: skip
new = [sentence() for _ in range(300)]
right = [
    found.tags == (*tags,) for found, (_, tags) in zip(entities.tag([words for words, _ in new]), new, strict=True)
]
print(f"new sentences with every tag right: {np.mean(right):.0%}")
for text in ("Ms Miller moves to Lake Miller .", "Smith , Miller and Sons moves to Berlin , says Angela Merkel ."):
    print(*(f"[{span.start}:{span.end}] {span.text} ({span.kind})" for span in entities.tag(text).spans), sep="; ")

# %% [markdown]
# ## Where a surname comes from
#
# The letters of a surname tell its language, mostly: Faker's lists of ten languages share some, such as Marin and
# Rossi. A classifier of characters learns from these lists; no name of the test is in the training, in any language.

# %%
locales = {
    "Croatian": "hr_HR", "Czech": "cs_CZ", "Dutch": "nl_NL", "English": "en_GB", "Finnish": "fi_FI", "French": "fr_FR",
    "German": "de_DE", "Italian": "it_IT", "Spanish": "es_ES", "Swedish": "sv_SE",
}  # fmt: skip
languages = [*locales]
train, test = [], []
for language, locale in locales.items():
    names = sorted(set(import_module(f"faker.providers.person.{locale}").Provider.last_names))
    rows = [(name, language) for name in rng.sample(names, min(len(names), 300))]
    test += rows[: len(rows) // 5]
    train += rows[len(rows) // 5 :]
unseen = {name for name, _ in test}
train = [(name, language) for name, language in train if name not in unseen]
texts, labels = zip(*train, strict=True)
classifier = textseq.train_classifier(
    texts=texts, labels=labels, model=textseq.ClassifierConfig(hidden_size=48, embedding_size=32),
    data=textseq.LabelledConfig(tokenizer="char"), name="lesson-languages", overwrite=True, progress=False,
    training=textseq.ClassifierTrainingConfig(max_steps=80 if SHORT else 400, learning_rate=5e-3),
)  # fmt: skip
confusion = np.zeros((10, 10), int)
for (_, language), found in zip(test, classifier.classify([name for name, _ in test]), strict=True):
    confusion[languages.index(language), languages.index(found.label)] += 1
accuracy = confusion.trace() / confusion.sum()
print(
    f"{accuracy:.0%} of {len(test)} new names (always the commonest language: {max(confusion.sum(1)) / len(test):.0%})"
)

# %%
plt.figure(figsize=(5.5, 5))
plt.imshow(confusion / confusion.sum(1, keepdims=True), cmap="Blues", vmax=1)
plt.xticks(range(10), languages, rotation=45, ha="right")
plt.yticks(range(10), languages)
for row, column in zip(*confusion.nonzero(), strict=True):
    dark = confusion[row, column] > 0.5 * confusion[row].sum()
    plt.text(column, row, confusion[row, column], ha="center", va="center", color="white" if dark else "black")
plt.xlabel("predicted")
plt.ylabel("true")
plt.title("Surnames of the test by language")
plt.grid(False)
plt.show()
