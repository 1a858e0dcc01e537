"""Write in Shakespeare's style, watch it being written, and ask what the model finds surprising.

python examples/writing.py
"""

import textseq

writer = textseq.load_generator("shakespeare")

# The same seed gives the same text. A low temperature is careful, a high one is bold; min_p (by default 0.1) still
# leaves out what is less than a tenth as likely as the likeliest letter. min_p=0 turns it off.
for temperature in (0.3, 0.7, 1.0):
    print(f"--- temperature {temperature} ---")
    print(writer.generate("ROMEO:", max_new_tokens=150, temperature=temperature, seed=1))

# As it comes, up to the end of the first speech.
print("--- one speech, as it is written ---")
for piece in writer.stream("LADY MACBETH:\n", stop_strings=("\n\n",), seed=3):
    print(piece, end="", flush=True)
print()

# A sensible sentence surprises the model less than the same words in a senseless order.
print("--- bits per character ---")
for text in ("My lord, the king is dead.", "Dead my king the lord is."):
    print(f"{writer.score(text).bits_per_character:.2f}  {text}")
