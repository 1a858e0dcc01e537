"""Translate English to French, see the second and third best, and look where the model looked.

python examples/translating.py
"""

import textseq

translator = textseq.load_translator("tatoeba-en-fr")

print("--- the best translation of each sentence ---")
sentences = ["How are you?", "I don't know where she lives.", "The train was late because of the snow."]
for sentence, best in zip(sentences, translator.translate(sentences), strict=True):
    print(f"{sentence}  ->  {best.text}")

print("--- the three best of one ---")
for translation in translator.translate_all(["I'm glad to see you."], num_return_sequences=3)[0]:
    print(f"{translation.score:6.2f}  {translation.text}")

# Before it writes a word, the decoder looks at the source: one row of weights for each token that it wrote.
print("--- what it looked at most before each token ---")
best = translator.translate("She gave him a red apple.")
assert best.attention is not None
for token, weights in zip(best.tokens, best.attention, strict=True):
    print(f"{token:>12}  {best.source_tokens[weights.argmax()]:<10} {weights.max():.2f}")

# How likely is a translation by someone else? The log-probability in nats, the higher the better.
print("--- which of two translations the model finds likelier ---")
for text in ("Il fait froid aujourd'hui.", "Aujourd'hui froid fait il."):
    print(f"{translator.score(['It is cold today.'], [text])[0]:7.2f}  {text}")
