"""Augmentation: each way changes what its name says, in every epoch anew, and always in the same way."""

from __future__ import annotations

import json
import typing
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import textseq
from textseq.config.tokenizer import TokenizerConfig
from textseq.data.batching import Cursor
from textseq.data.rows import Pair
from textseq.errors import TextseqError
from textseq.tasks.translation.augment import Augmentation, exchanged, varied
from textseq.tasks.translation.batches import PairBatches
from textseq.tasks.translation.config import AugmentName, PairConfig, TranslationModelConfig, TranslatorTrainingConfig
from textseq.tasks.translation.vocabularies import Vocabularies
from textseq.tokenizers.characters import CharTokenizer
from textseq.tokenizers.words import WordTokenizer

PAIRS = [(f"I don't know Tom {number} here.", f"Je ne connais pas Tom {number} ici.") for number in range(20, 60)]
PAIRS += [("Is Anna here?", "Est-ce qu'Anna est ici ?"), ("Yes, Max is.", "Oui, Max est ici.")]
WAYS: tuple[AugmentName, ...] = typing.get_args(AugmentName)


class Side:
    """The ids of one side."""

    def __init__(self, rows: Sequence[np.ndarray]) -> None:
        self.ids = np.concatenate(rows)
        self.document_starts = np.cumsum([0, *map(len, rows)])[:-1]


def batches(ways: tuple[AugmentName, ...], rate: float = 0.5) -> tuple[PairBatches, CharTokenizer]:
    tokenizer = CharTokenizer.train([[" ".join(word for pair in PAIRS for word in pair)], "0123456789’…\u00a0\u202f"])
    vocabularies = Vocabularies(tokenizer, tokenizer)
    config = PairConfig(tokenizer="char", augment=ways, augment_rate=rate, batch_size=8)
    source, target = (Side([tokenizer.encode(" " + pair[side]) for pair in PAIRS]) for side in (0, 1))
    augment = Augmentation(config, vocabularies, PAIRS) if ways else None
    return PairBatches(source, target, vocabularies.eos_ids, config, 1, augment=augment), tokenizer


def epoch(batches: PairBatches, tokenizer: CharTokenizer, number: int) -> list[Pair]:
    """The pairs of an epoch, sorted."""
    pairs, cursor = [], Cursor(number)
    while cursor.epoch == number:
        batch, cursor = batches.batch(cursor)
        for source, length, target, real in zip(
            batch.source, batch.source_lengths, batch.targets, batch.real, strict=True
        ):
            texts = [tokenizer.decode(ids[:-1]) for ids in (source[:length].tolist(), target[real].tolist())]
            pairs.append((texts[0].strip(" "), texts[1].strip(" ")))
    return sorted(pairs)


@pytest.mark.parametrize(
    ("way", "text", "expected"),
    [
        ("upper", "Où es-tu ?", {"OÙ ES-TU ?"}),
        ("lower", "Tom's HERE.", {"tom's here."}),
        ("no-final-mark", "Really?! ", {"Really"}),
        ("no-final-mark", "Où est-ce ?", {"Où est-ce"}),
        ("no-final-mark", "At 3.15 he left...", {"At 3.15 he left"}),
        ("no-apostrophes", "I don't say 'no'.", {"I dont say 'no'."}),
        ("typographic", 'C\'est "ça" ?', {f"C’est “ça”{space}?" for space in ("", "\u00a0", "\u202f")}),
        ("misspell", "I am Tomas, 12345.", {"I am Tomas, 12345."}),
        ("exchange", "Tom", {"Tom"}),
    ],
)
def test_each_way_of_writing(way: AugmentName, text: str, expected: set[str]) -> None:
    assert {varied(text, way, np.random.default_rng(seed)) for seed in range(20)} == expected


def slips(word: str, letters: str) -> set[str]:
    """A word with one slip after its first letter."""
    spelled = set()
    for place in range(1, len(word) - 1):
        before, letter, following, after = word[:place], word[place], word[place + 1], word[place + 2 :]
        middles = {following, letter + letter + following, following + letter, *(one + following for one in letters)}
        spelled |= {before + middle + after for middle in middles}
    return spelled


@pytest.mark.parametrize("text", ["Tom has another cousin.", "TOM HAS ANOTHER COUSIN."])
def test_one_or_two_long_words_are_misspelled(text: str) -> None:
    letters = {*filter(str.isalpha, text)} - ({"T"} if "a" in text else set())
    seen: set[str] = set()
    for seed in range(2000):
        typed = varied(text, "misspell", np.random.default_rng(seed))
        assert typed == varied(text, "misspell", np.random.default_rng(seed))
        words = dict(zip(text.rstrip(".").split(), typed.rstrip(".").split(), strict=True))
        assert typed[-1] == "." and all(word == typed for word, typed in words.items() if len(word) < 4)
        seen |= {typed for word, typed in words.items() if typed != word}
    possible = set().union(*(slips(word, "".join(letters)) - {word} for word in text.rstrip(".").split()[2:]))
    assert seen <= possible and len(seen) > 0.9 * len(possible)


def test_names_and_numbers_are_exchanged_on_both_sides() -> None:
    names = {False: ["Kim", "Berlin"], True: ["Olga"]}
    for seed in range(20):
        rng = np.random.default_rng(seed)
        source, target = exchanged(
            "Tom and Anna ate 12 of 1 cakes, 007.", "Tom et l'ami d'Anna, 12 sur 1, 007", names, rng
        )
        words = source.split()
        assert words[0] in names[False] and words[2] == "Olga"
        assert 10 <= int(words[4]) <= 99 and source.endswith("of 1 cakes, 007.")
        assert target == f"{words[0]} et l'ami d'Olga, {words[4]} sur 1, 007"
    assert exchanged("Yes, Mary.", "Oui, Marie.", names, rng) == ("Yes, Mary.", "Oui, Marie.")


def test_every_epoch_is_another_and_always_the_same() -> None:
    first = batches(WAYS)
    epochs = [epoch(*first, number) for number in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]
    assert [epoch(*batches(WAYS), number) for number in (2, 0)] == [epochs[2], epochs[0]]
    for way in set(WAYS) - {"exchange"}:
        pairs = epoch(*batches((way,)), 0)
        assert {target for _, target in pairs} == {target for _, target in PAIRS}  # the source alone changes
        changed = len(set(pairs) - set(PAIRS))
        assert 10 < changed < 32, way
    assert epoch(*batches(()), 1) == sorted(PAIRS)


def test_rate_is_the_share_of_each_way() -> None:
    assert set(epoch(*batches(("lower",), rate=1.0), 0)) == {(source.lower(), target) for source, target in PAIRS}


def test_a_lossy_tokenizer_is_refused() -> None:
    tokenizer = WordTokenizer.train([["one two"]], TokenizerConfig(tokenizer="word", lowercase=True))
    with pytest.raises(TextseqError, match=r"--augment: expected a tokenizer that keeps the text, got .*case"):
        Augmentation(PairConfig(augment=("lower",)), Vocabularies(tokenizer, tokenizer), PAIRS)
    with pytest.raises(TextseqError, match=r"unknown value of --augment 'capitals'; known: exchange, lower"):
        PairConfig.from_dict({"augment": ["capitals"]}, where="x")


def test_a_run_keeps_its_ways_and_resumes_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path))
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(f"{source}\t{target}\n" for source, target in PAIRS), encoding="utf-8")
    model = TranslationModelConfig(embedding_size=4, encoder_size=4, hidden_size=8, attention_size=4)

    def train(name: str, steps: int) -> textseq.Translator:
        training = TranslatorTrainingConfig(
            max_steps=steps, schedule="constant", warmup_steps=0, save_every=3, evaluate_every=6, precision="float32"
        )
        data = PairConfig(tokenizer="char", augment=WAYS, augment_rate=0.5, batch_size=8)
        return textseq.train_translator(pairs=path, name=name, model=model, data=data, training=training)

    train("whole", 6)
    train("stopped", 3)
    again = TranslatorTrainingConfig(
        max_steps=6, schedule="constant", warmup_steps=0, save_every=3, evaluate_every=6, precision="float32"
    )
    textseq.resume("stopped", training=again)
    weights = [
        next((tmp_path / "runs" / name).glob("last-*/model.safetensors")).read_bytes() for name in ("whole", "stopped")
    ]
    assert weights[0] == weights[1]
    config = json.loads(next((tmp_path / "runs" / "whole").glob("last-*/config.json")).read_text(encoding="utf-8"))
    assert config["data"]["augment"] == list(WAYS) and config["data"]["augment_rate"] == 0.5


def test_a_way_that_is_named_twice_has_two_chances() -> None:
    shares = []
    for ways in (("lower",), ("lower",) * 4):
        made = batches(ways, rate=0.2)
        changed = [sum(source.islower() for source, _ in epoch(*made, number)) for number in range(20)]
        shares.append(sum(changed) / 20 / len(PAIRS))
    assert shares == pytest.approx([0.2, 1 - 0.8**4], abs=0.08)
