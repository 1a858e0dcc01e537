"""Tell praise of a film from blame, say how sure that is, and which words decided.

python examples/reading.py
"""

import textseq

classifier = textseq.load_classifier("sentiment")

print("--- the label of each text, and its probability ---")
texts = ["A wonderful, moving film.", "Dull, predictable and far too long.", "It starts well, but ends as a mess."]
for text, found in zip(texts, classifier.classify(texts), strict=True):
    print(f"{found.label} {found.probability:.0%}  {text}")

# Integrated gradients: what the words did adds up to the log odds of the label, but for what it is without a word.
print("--- what each word did for the label, in nats ---")
why = classifier.explain(texts[1])
for word, amount in why.words:
    print(f"{amount:+5.1f} {word.strip()}")
print(f"{why.baseline:+5.1f} without a word, {why.score:+.1f} in all")

print("--- the words that it takes for most alike ---")
print(", ".join(word for word, _ in classifier.nearest("good", 5)))
