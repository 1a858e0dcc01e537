# %% [markdown]
# # Sentiment
#
# Praise or blame? A classifier reads a text word by word, in both directions, pools its states and gives each label a
# probability. This lesson uses the one that comes with the package, and looks at what it does while it reads. (One that
# reads letters: `textseq-train praise-and-blame --tokenizer char`.)

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

import textseq
from textseq import TextseqError

classifier = textseq.load_classifier("sentiment")
texts = ["A wonderful, moving film.", "Dull, predictable and far too long.", "It is not bad at all."]
for text, result in zip(texts, classifier.classify(texts), strict=True):
    print(f"{result.label} {result.probability:.0%}  {text}")

# %% [markdown]
# ## While it reads
#
# This review begins with love and ends with wishes. Cut it after each letter and classify what is there so far: where
# the curve turns, a word has done it. In the middle of a word the model sees one that it does not know.

# %%
review = "I love the food and I love the place, but the service is bad and I wish I had stayed at home."
results = classifier.classify([review[:end] for end in range(1, len(review) + 1)])
positive = [result.probabilities["positive"] for result in results]
plt.figure(figsize=(10, 3.2))
plt.plot(positive)
plt.axhline(0.5, color="0.5", linestyle="--")
plt.xticks(range(len(review)), [*review], fontsize=7)
plt.ylim(0, 1)
plt.xlabel("the review up to this letter")
plt.ylabel("probability of praise")
plt.title("From love to wishes")
plt.show()

# %% [markdown]
# ## Which words did it?
#
# Integrated gradients (Sundararajan, Taly and Yan 2017) divide the log odds of a label among the words. Their sum, with
# the log odds of no words at all, is that of the whole text.

# %%
why = classifier.explain(review, label="negative")
words, amounts = zip(*why.words, strict=True)
plt.figure(figsize=(10, 3.2))
plt.bar(range(len(words)), amounts, color=["tab:red" if amount > 0 else "tab:blue" for amount in amounts])
plt.xticks(range(len(words)), [word.strip() for word in words], rotation=60, ha="right", fontsize=8)
plt.ylabel("nats for “negative”")
plt.title("What each word did for the label “negative”")
plt.show()
print(f"words {why.contributed:+.2f}, without a word {why.baseline:+.2f}, in all {why.score:+.2f} nats")

# %% [markdown]
# ## Vectors of words
#
# The first layer of the classifier is a vector for each word. It learnt them from labels alone, so words that praise or
# blame alike are neighbours, whatever they mean.

# %%
for word in ("good", "boring"):
    print(word, "~", ", ".join(near for near, _ in classifier.nearest(word, 6)))

# %% [markdown]
# GloVe (Pennington, Socher and Manning 2014) learnt its vectors from which words stand near one another in six billion
# words of text. Directions mean something there: king - man + woman is nearest to queen, apart from the three words
# themselves. The file is large and does not come with the package: unpack `glove.6B.50d.txt` from `glove.6B.zip`
# (https://nlp.stanford.edu/projects/glove/), or name another in the variable `GLOVE`. The picture shows pairs of words
# on the two main axes of their vectors.

# %%
analogies = [("man", "king", "woman"), ("france", "paris", "poland"), ("good", "better", "bad"), ("he", "his", "she")]
pairs = [("man", "woman"), ("king", "queen"), ("brother", "sister"), ("nephew", "niece"), ("actor", "actress")]
try:
    glove = textseq.read_vectors(os.environ.get("GLOVE", "glove.6B.50d.txt"))
except TextseqError as error:
    print(f"left out: {error}")
else:
    for a, b, c in analogies:
        print(f"{a} : {b} = {c} : {glove.analogy(a, b, c)[0][0]}")
    rows = np.stack([glove[word] for pair in pairs for word in pair])
    axes = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)[2][:2]  # the two main axes, (2, 50)
    points = (rows - rows.mean(axis=0)) @ axes.T
    for pair, ends in zip(pairs, points.reshape(-1, 2, 2), strict=True):
        plt.plot(*ends.T, "o-")
        plt.annotate(pair[0], ends[0], (5, -4), textcoords="offset points", va="top")
        plt.annotate(pair[1], ends[1], (-5, 4), textcoords="offset points", ha="right")
    plt.margins(0.15)
    plt.title("From a man to a woman is one direction")
    plt.show()
