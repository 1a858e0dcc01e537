"""A tagger: a padded batch gives what each sentence gives alone, letters tell unknown words, and it learns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from textseq.data.batching import Cursor
from textseq.data.rows import Tagged
from textseq.errors import TextseqError
from textseq.tasks.tagging.batches import TagBatches, tag_batch
from textseq.tasks.tagging.config import TaggedConfig, TaggerConfig, TagOutput
from textseq.tasks.tagging.lexicon import HALF, Lexicon, load_lexicon
from textseq.tasks.tagging.model import TaggerModel
from textseq.tokenizers.characters import CharTokenizer
from textseq.tokenizers.registry import load_tokenizer

SENTENCES: list[Tagged] = [
    (("the", "dog", "runs"), ("DET", "NOUN", "VERB")),
    (("a", "cat", "sees", "the", "dog"), ("DET", "NOUN", "VERB", "DET", "NOUN")),
    (("go",), ("VERB",)),
    (("the", "cat", "and", "the", "dog"), ("DET", "NOUN", "X", "DET", "NOUN")),
]
TAGS = ("DET", "NOUN", "VERB", "X")
NUMBERS = [[TAGS.index(tag) for tag in tags] for _, tags in SENTENCES]
WORDS = [words for words, _ in SENTENCES]
SMALL = TaggerConfig(output="softmax", hidden_size=6, embedding_size=5, letter_size=4, letter_hidden_size=3)


@pytest.fixture
def lexicon() -> Lexicon:
    return Lexicon.train(WORDS, TaggedConfig(minimum_count=2))


def model_of(lexicon: Lexicon, config: TaggerConfig) -> TaggerModel:
    torch.manual_seed(3)
    made = TaggerModel(config, lexicon.size, lexicon.letters.size, len(TAGS))
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.5)
    return made.eval()


@pytest.mark.parametrize("output", ["softmax", "crf"])
@pytest.mark.parametrize("letters", [0, 3])
def test_a_padded_batch_gives_what_each_sentence_gives_alone(lexicon: Lexicon, output: TagOutput, letters: int) -> None:
    model = model_of(lexicon, replace(SMALL, output=output, letter_hidden_size=letters, num_layers=2))
    batch = tag_batch(lexicon, WORDS, NUMBERS)
    with torch.no_grad():
        scores, (best, log_p) = model(batch), model.read(batch)
        whole = model.loss(batch, None)
        nats = 0.0
        for row, words in enumerate(WORDS):
            alone = tag_batch(lexicon, [words], [NUMBERS[row]])
            torch.testing.assert_close(scores[row : row + 1, : len(words)], model(alone))
            chosen, p = model.read(alone)
            torch.testing.assert_close(log_p[row : row + 1, : len(words)], p)
            assert chosen == [best[row]]
            nats += model.loss(alone, None).nats.item()
    assert whole.count == sum(map(len, WORDS))
    assert whole.nats.item() == pytest.approx(nats, rel=1e-5)
    for row, words in enumerate(WORDS):
        torch.testing.assert_close(log_p[row, : len(words)].exp().sum(dim=1), torch.ones(len(words)))


def test_without_a_crf_the_loss_is_that_of_the_probabilities(lexicon: Lexicon) -> None:
    model, batch = model_of(lexicon, SMALL), tag_batch(lexicon, WORDS, NUMBERS)
    best, log_p = model.read(batch)
    wanted = -sum(log_p[row, place, tag] for row, tags in enumerate(NUMBERS) for place, tag in enumerate(tags))
    torch.testing.assert_close(model.loss(batch, None).nats, torch.as_tensor(wanted))
    assert [[int(p.argmax()) for p in log_p[row, : len(words)]] for row, words in enumerate(WORDS)] == best


def test_an_unknown_word_is_told_by_its_letters_alone(lexicon: Lexicon) -> None:
    batch = tag_batch(lexicon, [("the", "dogs"), ("the", "cats"), ("the", "dogs")], [[], [], []])
    assert batch.ids.tolist()[0] == batch.ids.tolist()[1]
    assert batch.tags.shape == (3, 0)
    with_letters, without = model_of(lexicon, SMALL), model_of(lexicon, replace(SMALL, letter_hidden_size=0))
    one, other, again = with_letters(batch)
    torch.testing.assert_close(one, again)
    assert not torch.allclose(one, other)
    one, other, _ = without(batch)
    torch.testing.assert_close(one, other)


def test_the_lexicon_knows_frequent_words_and_every_letter(lexicon: Lexicon, tmp_path: Path) -> None:
    known = lexicon.encode(["the", "dog", "cat", "a", "zebra", "New York", "<unk>"])
    assert len(set(known[:3].tolist())) == 3
    assert known[3:].tolist() == [lexicon.unknown] * 4
    cities = Lexicon.train([("New York", "is", "new\u2028ish")] * 2, TaggedConfig())
    assert cities.size == 4 + 1  # three words, the unknown one with a space before it and without
    assert cities.encode(["New York", "New", "York", "new\u2028ish"]).tolist()[1:3] == [cities.unknown] * 2
    assert cities.unknown not in cities.encode(["New York", "new\u2028ish", "is"]).tolist()
    assert len(lexicon.spell("")) == 1
    assert len(lexicon.spell("x" * 200)) == len(lexicon.spell("x" * 2 * HALF))
    assert lexicon.letters.decode(lexicon.spell("a" * 40 + "b" * 40)) == "a" * HALF + "b" * HALF
    lexicon.save(tmp_path)
    again = load_lexicon(tmp_path, load_tokenizer(tmp_path))
    assert again.encode(WORDS[1]).tolist() == lexicon.encode(WORDS[1]).tolist()
    assert again.spell("dog").tolist() == lexicon.spell("dog").tolist()
    CharTokenizer.train([["a"]]).save(tmp_path)
    with pytest.raises(TextseqError, match="expected the tokenizers of a tagger"):
        load_lexicon(tmp_path, load_tokenizer(tmp_path))
    with pytest.raises(TextseqError, match="words that occur 9 times, got none"):
        Lexicon.train(WORDS, TaggedConfig(minimum_count=9))


def test_unknown_words_are_looked_up_in_lower_case(lexicon: Lexicon) -> None:
    assert lexicon.encode(["The", "DOG", "Zebra"]).tolist() == lexicon.encode(["the", "dog", "zebra"]).tolist()
    both = Lexicon.train([("Turkey", "turkey")] * 2, TaggedConfig())
    assert len(set(both.encode(["Turkey", "turkey"]).tolist())) == 2


def test_every_epoch_has_every_sentence_once_in_another_order(lexicon: Lexicon) -> None:
    many = [(("the", *["dog"] * (n % 7)), ("DET", *["NOUN"] * (n % 7))) for n in range(50)]
    batches = TagBatches(many, lexicon, TAGS, batch_size=8, seed=1)
    seen = []
    cursor = Cursor(0)
    while cursor.epoch < 2:
        epoch = cursor.epoch
        batch, cursor = batches.batch(cursor)
        real = torch.arange(batch.ids.shape[1]) < batch.lengths.unsqueeze(1)
        assert (batch.tags[real] < 2).all()
        seen.append((epoch, batch.lengths.tolist()))
    assert batches.epochs(cursor) == 2
    for epoch in range(2):
        lengths = [length for of, each in seen for length in each if of == epoch]
        assert sorted(lengths) == sorted(len(words) for words, _ in many)
    assert [each for of, each in seen if of == 0] != [each for of, each in seen if of == 1]
    again, _ = batches.batch(Cursor(1, 3))
    torch.testing.assert_close(again.ids, TagBatches(many, lexicon, TAGS, 8, 1).batch(Cursor(1, 3))[0].ids)


@pytest.mark.parametrize("output", ["softmax", "crf"])
def test_it_learns(lexicon: Lexicon, output: TagOutput) -> None:
    model = model_of(lexicon, replace(SMALL, output=output, dropout=0.0, embedding_dropout=0.0, word_dropout=0.0))
    batch = tag_batch(lexicon, WORDS, NUMBERS)
    optimizer = torch.optim.Adam(model.parameters(), 0.03)
    model.train()
    for _ in range(60):
        optimizer.zero_grad()
        torch.autograd.backward(model.loss(batch, None).nats)
        optimizer.step()
    assert model.eval().read(batch)[0] == NUMBERS


@pytest.mark.parametrize("noise", ["dropout", "embedding_dropout", "word_dropout"])
def test_every_noise_is_for_training_alone(lexicon: Lexicon, noise: str) -> None:
    quiet = replace(SMALL, dropout=0.0, embedding_dropout=0.0, word_dropout=0.0)
    noisy = TaggerConfig.from_dict({**quiet.to_dict(), noise: 0.5}, where="here")
    model, batch = model_of(lexicon, noisy), tag_batch(lexicon, WORDS, NUMBERS)
    torch.testing.assert_close(model(batch), model_of(lexicon, quiet)(batch))
    model.train()
    assert not torch.equal(model(batch), model(batch))


def test_word_dropout_hides_words_in_training_only(lexicon: Lexicon) -> None:
    model = model_of(lexicon, replace(SMALL, letter_hidden_size=0, dropout=0, embedding_dropout=0, word_dropout=0.99))
    batch = tag_batch(lexicon, WORDS, NUMBERS)
    unknown = tag_batch(lexicon, [["zebra"] * len(words) for words in WORDS], NUMBERS)
    torch.manual_seed(0)
    model.train()
    hidden = (model(batch) - model(unknown)).abs().amax(dim=2) < 1e-6
    model.eval()
    seen = (model(batch) - model(unknown)).abs().amax(dim=2) < 1e-6
    real = torch.arange(batch.ids.shape[1]) < batch.lengths.unsqueeze(1)
    assert hidden[real].float().mean() > 0.5
    assert seen[real].float().mean() < 0.5


def test_its_stages_are_all_parameters_once(lexicon: Lexicon) -> None:
    model = model_of(lexicon, replace(SMALL, output="crf", num_layers=2))
    layer_groups = model.layer_groups()
    assert len(layer_groups) == 4
    assert sorted(id(p) for stage in layer_groups for p in stage) == sorted(map(id, model.parameters()))
    assert any(p is model.embedding.weight for p in layer_groups[-1])
