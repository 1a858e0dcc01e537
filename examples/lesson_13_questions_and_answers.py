# %% [markdown]
# # Questions and answers, and a small chatbot
#
# ## Where is Mary?
#
# People walk about; the question is where one of them is. The answer needs one sentence of the story, the last about
# this person (the first task of Weston et al. 2015, bAbI; these stories are generated). The network reads the story in
# both directions, then the question looks at it once, with attention. It is trained on stories of 2 to 6 sentences and
# tested on longer ones, too.

# %%
import itertools
import os
import random
from importlib.resources import files

import matplotlib.pyplot as plt
import torch

import textseq
from textseq import PairConfig, TrainingConfig, TranslationModelConfig, TranslatorTrainingConfig, nn, training

SHORT = "TEXTSEQ_SHORT" in os.environ  # for the tests, a few seconds
PEOPLE, PLACES = ("mary", "john", "sandra", "daniel"), ("kitchen", "garden", "office", "bathroom", "hallway", "bedroom")
VERBS = ("went to", "moved to", "walked to", "ran to")
words = sorted({*PEOPLE, *PLACES, *" ".join(VERBS).split(), "the", "."})
rng = random.Random(1)


def story(sentences: int) -> tuple[list[str], str, str]:
    """The words of a story, who is asked for, and where that person is."""
    moves = [(rng.choice(PEOPLE), rng.choice(PLACES)) for _ in range(sentences)]
    text = " ".join(f"{person} {rng.choice(VERBS)} the {place} ." for person, place in moves)
    asked = rng.choice(moves)[0]
    return text.split(), asked, dict(moves)[asked]  # dict keeps the last place of each


def batch(sentences: int, rows: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    texts, asked, answers = zip(*(story(sentences) for _ in range(rows)), strict=True)
    ids = torch.tensor([[words.index(word) for word in text] for text in texts])
    return ids, torch.tensor([*map(words.index, asked)]), torch.tensor([*map(PLACES.index, answers)])


class Answerer(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(words), 32)
        self.rnn = nn.Recurrent("gru", 32, 48, bidirectional=True)
        self.attention = nn.AdditiveAttention(query_size=32, value_size=96, attention_size=48)
        self.output = torch.nn.Linear(96, len(PLACES))

    def forward(self, story: torch.Tensor, asked: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        values, _ = self.rnn(self.embedding(story))  # (N, T, 2H)
        context, weights = self.attention(self.embedding(asked), nn.Memory(values))
        return self.output(context), weights  # (N, places), (N, T)

    def loss(self, batch: tuple[torch.Tensor, ...], state: None) -> torch.Tensor:
        story, asked, answers = batch
        return torch.nn.functional.cross_entropy(self(story, asked)[0], answers)


losses: list[float] = []
torch.manual_seed(1)
model = Answerer()
batches = [batch(rng.randint(2, 6), 64) for _ in range(20 if SHORT else 1000)]
config = TrainingConfig(max_steps=len(batches), learning_rate=5e-3)
training.Trainer(model, batches, config, callbacks=[lambda event: losses.append(event.loss)]).fit()
print(f"loss {losses[0]:.2f} -> {losses[-1]:.2f} nats")
for sentences in (2, 6, 10):
    ids, asked, answers = batch(sentences, 300)
    accuracy = (model(ids, asked)[0].argmax(1) == answers).float().mean()
    print(f"stories of {sentences} sentences: {accuracy:.0%} right")

# %% [markdown]
# The picture: how much each word of one story is looked at, for each person that can be asked for. It is the place
# where the person was last, although nobody said which sentence matters.

# %%
text = "mary went to the kitchen . john ran to the garden . mary moved to the office . daniel ran to the bedroom ."
ids = torch.tensor([[words.index(word) for word in text.split()]] * 3)
people = ("mary", "john", "daniel")
logits, weights = model(ids, torch.tensor([words.index(person) for person in people]))
plt.figure(figsize=(8, 2.6))
plt.imshow(weights.detach().numpy(), cmap="Blues", aspect="auto")
plt.xticks(range(ids.shape[1]), text.split(), rotation=60, ha="right")
plt.yticks(range(3), [f"{person}? {PLACES[n]}" for person, n in zip(people, logits.argmax(1), strict=True)])
plt.title("Where the question looks")
plt.grid(False)
plt.show()

# %% [markdown]
# ## A chatbot that remembers one turn
#
# A dialogue model translates what was said into the reply (Vinyals and Le 2015). Its source holds two turns: the bot's
# last line, a bar, and the line of the person; without the first nobody could answer "What is my name?". The dialogues
# are generated ones about names, and the small talk of `chatterbot-corpus` (`pip install chatterbot-corpus pyyaml`).
# Each name is left out of one way to tell it and one way to ask for it, and these are the test. (No Oscar says "I am
# Oscar." or asks "Who am I?" in the training.) That is very little to read: the bot learns to copy a name into its
# reply, and on other matters it says something, sensible or not.

# %%
NAMES = (
    *("Anna", "Ben", "Clara", "David", "Eva", "Frank", "Greta", "Hugo", "Ida", "Karl", "Lena", "Max", "Nora", "Oscar"),
    *("Paula", "Rosa", "Simon", "Tina", "Victor", "Wanda"),
)
TELLING = ("My name is {}.", "I am {}.", "Call me {}.")
ASKING = ("What is my name?", "Who am I?", "Do you know my name?")
dialogues, unread = [], []
for (number, name), telling, asking in itertools.product(enumerate(NAMES), range(3), range(3)):
    turns = [TELLING[telling].format(name), f"Nice to meet you, {name}!", ASKING[asking], f"You are {name}."]
    if number % 3 not in (telling, asking):
        dialogues.append(["Hello", "Hi"] * rng.randint(0, 1) + turns)
    elif telling == asking:
        unread.append(turns)
try:
    import yaml

    folder = files("chatterbot_corpus") / "data" / "english"
except ImportError:
    print("chatterbot-corpus or pyyaml is not installed: the bot knows names only")
else:
    for topic in ("greetings", "conversations"):
        dialogues += yaml.safe_load((folder / f"{topic}.yml").read_text(encoding="utf-8"))["conversations"]
pairs = []
for turns in dialogues:
    said, answered = turns[::2], turns[1::2]  # by the person, by the bot
    pairs += [(f"{a} | {b}", c) for a, b, c in zip(["", *answered], said, answered, strict=False)]
sources, replies = zip(*((said, reply) for said, reply in pairs if len(reply.split()) <= 12), strict=True)
model_config = TranslationModelConfig(
    embedding_size=64, encoder_size=64, hidden_size=96, attention_size=48,
    dropout=0.2, embedding_dropout=0, label_smoothing=0,
)  # fmt: skip
bot = textseq.train_translator(
    sources=sources, targets=replies, model=model_config, data=PairConfig(tokenizer="word", batch_size=64),
    training=TranslatorTrainingConfig(
        max_steps=5 if SHORT else 600, learning_rate=8e-3, warmup_steps=50, ema_decay=0.98
    ),
    name="lesson-bot", overwrite=True, progress=False,
)  # fmt: skip
test_pairs = [pair for a, b, c, d in unread for pair in ((f" | {a}", b), (f"{b} | {c}", d))]
correct = sum(bot.translate(said, tidy=False).text == reply for said, reply in test_pairs)
print(f"names in wordings in which they were not read: {correct} of {len(test_pairs)} right")
reply = ""
for line in ("Hello", "I am Oscar.", "Who am I?", "What is your favorite book?"):
    reply = bot.translate(f"{reply} | {line}", tidy=False).text
    print(f"> {line}\n  {reply}")
