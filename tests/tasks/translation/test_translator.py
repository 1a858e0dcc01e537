"""A translator: each sentence by itself whatever stands beside it, each score that of the text read again."""

from __future__ import annotations

import gc
import itertools
import logging
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from textseq.checkpoints.model_info import ModelInfo
from textseq.checkpoints.weight_formats import Bits, from_stored, to_stored
from textseq.config.tokenizer import TokenizerConfig
from textseq.data.pairs import PairDataset, read_sentence, written_sentence
from textseq.data.readers.glossary import Glossary
from textseq.decoding.beam import Hypothesis
from textseq.errors import Interrupted, TextseqError
from textseq.io.lines import LONGEST as LONGEST_LINE
from textseq.nn.cells import State
from textseq.nn.kernels import inference_weights as packed
from textseq.tasks.registry import load_generator, load_translator
from textseq.tasks.translation import batches as batching
from textseq.tasks.translation.batches import BATCH, BATCH_TOKENS, BEAMS, decoding_batches, pair_batch
from textseq.tasks.translation.config import TranslationConfig, TranslationModelConfig, TranslationSettings
from textseq.tasks.translation.inference import search as sources
from textseq.tasks.translation.inference.copying import Found
from textseq.tasks.translation.inference.detokenize import NAMED, unique_texts
from textseq.tasks.translation.inference.request import Request
from textseq.tasks.translation.inference.sentence import LONGEST, Sentence, tokenize_sentence, with_alternatives
from textseq.tasks.translation.model import TranslationModel
from textseq.tasks.translation.result import Translation
from textseq.tasks.translation.shortlist import Shortlist
from textseq.tasks.translation.translator import Translator, ensemble_of
from textseq.tasks.translation.vocabularies import SOURCE_FILE, Vocabularies
from textseq.tokenizers.base import END, Tokenizer
from textseq.tokenizers.characters import CharTokenizer
from textseq.tokenizers.source_style import SourceStyle
from textseq.tokenizers.subwords import SubwordTokenizer
from textseq.tokenizers.words import UNKNOWN, WordTokenizer

LETTERS = CharTokenizer.train([["abcdefgh "]])
TINY = {"embedding_size": 8, "encoder_size": 8, "hidden_size": 16, "attention_size": 8}
INFO = ModelInfo(task="translation", source_language="en", target_language="de")
KINDS: dict[str, dict[str, object]] = {
    "usual": {},
    "deep": {"cell": "lstm", "attention": "general", "num_decoder_layers": 2, "num_encoder_layers": 2},
    "dot": {"cell": "gru-reset-before", "attention": "dot", "num_decoder_layers": 3, "readout": "maxout"},
    "blind": {"attention": "none"},
}
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)
KINDS_THAT_ATTEND = [kind for kind in KINDS if kind != "blind"]
HOW: dict[str, TranslationSettings] = {
    "beams": {"num_beams": 4, "num_return_sequences": 3},
    "greedy": {"num_beams": 1},
    "drawn": {"num_beams": 1, "temperature": 1.0, "num_return_sequences": 3, "seed": 5},
}


def wish(how: str, **more: Unpack[TranslationSettings]) -> TranslationSettings:
    return {**HOW[how], **more}


def made(
    kind: str = "usual",
    *,
    seed: int = 2,
    source: Tokenizer = LETTERS,
    target: Tokenizer = LETTERS,
    info: ModelInfo = INFO,
) -> Translator:
    """A translator with large random weights, which is sure of what it says, and says anything."""
    settings = {**TINY, "tie_embeddings": "all" if source is target else "none", **KINDS[kind]}
    config = TranslationModelConfig.from_dict(settings, where="here")
    torch.manual_seed(seed)
    model = TranslationModel(config, source.size, target.size)
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    model.output.bias.data[-1] -= 1  # or most would end at once
    return Translator([model], Vocabularies(source, target), replace(info, model=config.to_dict()))


def texts(count: int, *, longest: int = 16, seed: int = 1) -> list[str]:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, longest, size=count)
    return ["a" + "".join(rng.choice([*"abcdefgh "], size=length)) for length in lengths.tolist()]


def read_again(translator: Translator, text: str, ids: Sequence[int]) -> tuple[float, Tensor]:
    """By ``forward``, of known tokens: their log-probability in nats, and where the models looked (T, S)."""
    source = translator.vocabularies.source.encode(read_sentence(text))
    batch = pair_batch([source], [np.array(ids[:-1])], translator.vocabularies.eos_ids)
    with torch.no_grad():
        found = [model(batch) for model in translator.models]
    p = torch.stack([logits[0].double().softmax(dim=1) for logits, _ in found]).mean(dim=0)  # (T, V+1)
    seeing = [model.config.attention != "none" for model in translator.models]
    looks = [looks[0] for (_, looks), sees in zip(found, seeing, strict=True) if sees or not any(seeing)]
    return float(p[range(len(ids)), ids].log().sum()), torch.stack(looks).mean(dim=0)


def ids_of(translator: Translator, translation: Translation) -> list[int]:
    target = translator.vocabularies.target
    return [target.size if token == END else target.vocabulary.index(token) for token in translation.tokens]


def assert_same(found: Iterable[Translation], wanted: Iterable[Translation], *, ties: int = 0) -> None:
    """The same translations but for rounding; so many may be others that the search holds for equally good."""
    different = 0
    for one, other in zip(found, wanted, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-3)
        different += one.tokens != other.tokens
        if one.tokens == other.tokens:
            assert (one.text, one.source_tokens) == (other.text, other.source_tokens)
            assert (one.attention is None) == (other.attention is None)
            if one.attention is not None and other.attention is not None:
                np.testing.assert_allclose(one.attention, other.attention, atol=1e-3)
    assert different <= ties


# One step


@EVERY_KIND
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_steps_are_the_forward_pass_also_of_sentences_that_stay(
    kind: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With three rows of each sentence; the longest one leaves after two steps."""
    monkeypatch.setattr(packed, "MIN_INT8", 1)
    model = made(kind).models[0]
    for parameter in model.parameters():
        parameter.data *= 0.5  # rounding to 8 bits is not to be blown up
    rng = np.random.default_rng(1)
    rows, size = 3, LETTERS.size
    sides = [[rng.integers(size, size=length) for length in lengths] for lengths in ([3, 9, 1, 5], [6, 6, 6, 6])]
    batch = pair_batch(sides[0], sides[1], (size, size))
    with torch.no_grad():
        wanted, looks = model(batch)
        memory, start = model.encode(batch.source, batch.source_lengths)
        stepper = model.stepper(precision)  # type: ignore[arg-type]
        step, kept = stepper.over(memory), torch.arange(4)
        state: State = (*start, torch.zeros(1, *memory.padding.shape))
        state = tuple(part.repeat_interleave(rows, dim=1) for part in state)
        for t in range(6):
            if t == 2:
                kept = torch.tensor([0, 2, 3])
                step = stepper.over(memory.select(kept))
                state = tuple(part.view(len(part), 4, rows, -1)[:, kept].flatten(1, 2) for part in state)
            logits, state = step(batch.inputs[kept, t].repeat_interleave(rows), state)
            right, seen = wanted[kept, t], looks[kept, : t + 1].sum(dim=1)[:, : state[-1].shape[2]]
            exact = precision == "float32"
            torch.testing.assert_close(
                logits.log_softmax(dim=1), right.log_softmax(dim=1).repeat_interleave(rows, dim=0),
                rtol=0, atol=1e-4 if exact else 0.3,
            )  # fmt: skip
            torch.testing.assert_close(
                state[-1][0], seen.repeat_interleave(rows, dim=0), rtol=0, atol=1e-4 if exact else 0.1
            )
        assert state[-1].shape[2] == 6


# A sentence is translated by itself


@pytest.mark.parametrize("how", ["beams", "greedy"])
@EVERY_KIND
def test_neighbors_do_not_matter(how: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone, in any batch, in any order."""
    translator, some = made(kind), texts(60 if kind == "usual" else 15)
    settings = wish(how, max_new_tokens=12, coverage_penalty=0.0 if kind == "blind" else 0.2)
    whole = translator.translate_all(some, **settings)
    assert len(whole) == len(some)
    alone = [translator.translate_all([text], **settings)[0] for text in some]
    order = np.random.default_rng(2).permutation(len(some)).tolist()
    monkeypatch.setattr(batching, "BATCH", 7)
    monkeypatch.setattr(batching, "BATCH_TOKENS", 60)
    shuffled = translator.translate_all([some[n] for n in order], **settings)
    for other in (alone, [shuffled[order.index(n)] for n in range(len(some))]):
        flat = [list(itertools.chain.from_iterable(each)) for each in (other, whole)]
        assert_same(*flat, ties=len(flat[0]) // 50)
    assert len({each[0].text for each in whole}) > (10 if kind == "usual" else 1)


def test_hundreds_come_in_their_order() -> None:
    translator, some = made(), texts(300)
    settings: TranslationSettings = {"num_beams": 2, "max_new_tokens": 8}
    wanted = translator.translate(some, attention=False, **settings)
    for text, one in zip(some, wanted, strict=True):
        assert one.source_tokens == (*read_sentence(text), END)
    for buffer in (7, 150, 10_000):
        found = [each[0] for each in translator.stream(iter(some), buffer=buffer, **settings)]
        assert_same(found, wanted, ties=3)


@pytest.mark.parametrize("buffer", [1, 4, None])
def test_a_stream_reads_no_further_than_its_buffer_and_keeps_nothing(buffer: int | None) -> None:
    """By default not as many as take so long that it would be a pity if they were lost."""
    taken: list[str] = []

    def endless() -> Iterator[str]:
        for text in itertools.cycle(["ab", "cde", "", "f g"]):
            taken.append(text)
            yield text

    def living() -> int:
        return sum(type(thing) is Translation for thing in gc.get_objects())

    settings: TranslationSettings = {"max_new_tokens": 2, "num_beams": 1}
    if buffer is None:
        answers, buffer = made().stream(endless(), **settings), 512
    else:
        answers = made().stream(endless(), buffer=buffer, **settings)
    gc.freeze()  # get_objects leaves out what there is by now: millions of objects of other tests
    try:
        for number in range(1, 25):
            assert len(next(answers)) == 1
            assert len(taken) == -(-number // buffer) * buffer
            assert living() <= 2 * buffer + 2
    finally:
        gc.unfreeze()


def test_empty_lines_stay_empty() -> None:
    translator, lines, told = made(), ["", "ab", " \t", "\n", "cd e", "\u00a0", ""], [0]
    found = translator.translate_all(lines, num_return_sequences=2)
    for line, translations in zip(lines, found, strict=True):
        if not line.strip():
            assert translations == [Translation("", 0.0)] * 2
            assert (translations[0].attention, translations[0].alignment()) == (None, [])
    assert_same([found[1][0], found[4][0]], translator.translate(["ab", "cd e"]))
    assert translator.translate([]) == [] == list(translator.stream([]))
    assert translator.translate(["", "  "], prefixes=["a", ""]) == [Translation("", 0.0)] * 2
    list(translator.stream(lines, progress=lambda count: told.append(count)))
    assert sum(told) == len(lines)


# Scores


@pytest.mark.parametrize(("kind", "beta"), [*itertools.product(KINDS_THAT_ATTEND, [0.0, 0.4]), ("blind", 0.0)])
@pytest.mark.parametrize("how", HOW)
def test_a_score_is_that_of_the_text_read_again(kind: str, how: str, beta: float) -> None:
    translator, some = made(kind), texts(6, seed=3)
    finished = 0
    settings = wish(how, max_new_tokens=15, length_penalty=0.6, coverage_penalty=beta)
    for text, translations in zip(some, translator.translate_all(some, **settings), strict=True):
        for one in translations:
            ids = ids_of(translator, one)
            log_p, looks = read_again(translator, text, ids)
            coverage = float(looks[: len(ids)].sum(dim=0).clamp(1e-6, 1).log().sum())
            wanted = log_p / ((5 + len(ids)) / 6) ** 0.6 + beta * coverage
            assert one.score == pytest.approx(wanted, abs=2e-4, rel=1e-4)
            if kind != "blind":
                assert one.attention is not None and one.attention.shape == (len(one.tokens), len(one.source_tokens))
                np.testing.assert_allclose(one.attention, looks.numpy(), atol=1e-4)
                np.testing.assert_allclose(one.attention.sum(axis=1), 1, atol=1e-5)
            assert one.text == "".join(one.tokens).removesuffix(END).strip()
            finished += one.tokens[-1] == END
    assert finished or how != "beams" or kind in ("deep", "blind")


def test_known_translations_are_scored() -> None:
    one, two = made(), made("deep", seed=1)
    rng = np.random.default_rng(3)
    some, others = texts(30), ["", *texts(29, seed=4)]
    for translator in (one, ensemble_of([one, two])):
        found = translator.score(some, others)
        for n in rng.integers(30, size=6).tolist():
            ids = LETTERS.encode(read_sentence(others[n])).tolist() if others[n] else []
            assert found[n] == pytest.approx(read_again(translator, some[n], [*ids, LETTERS.size])[0], rel=1e-4)
    best = one.translate(some, length_penalty=0.0, num_beams=3)
    for text, translation in zip(some, best, strict=True):
        if translation.tokens[-1] == END and translation.text == "".join(translation.tokens[:-1])[1:]:
            assert one.score([text], [translation.text])[0] == pytest.approx(translation.score, rel=1e-3)
    with pytest.raises(TextseqError, match="expected a target for each source, got 1 for 2"):
        one.score(["a", "b"], ["a"])
    with pytest.raises(TextseqError, match=r"score: expected sentences to translate, got an empty one \(number 2\)"):
        one.score(["a", " "], ["a", "b"])


@EVERY_KIND
def test_known_translations_are_aligned(kind: str) -> None:
    translator, some, others = made(kind), texts(12), texts(12, seed=4)
    targets = [[*LETTERS.encode(read_sentence(other)).tolist(), LETTERS.size] for other in others]
    factors = [(5 + len(ids)) / 6 for ids in targets]
    scores = [log_p / factor for log_p, factor in zip(translator.score(some, others), factors, strict=True)]
    translator.info = replace(translator.info, doubtful_below=float(np.median(scores)))
    for n, result in enumerate(translator.align(some, others)):
        source, ids = some[n], targets[n]
        assert result.text == written_sentence(others[n]) and ids_of(translator, result) == ids
        assert result.score == pytest.approx(scores[n], rel=1e-4)
        assert result.doubtful == (result.score < np.median(scores))
        if result.attention is not None:
            np.testing.assert_allclose(result.attention, read_again(translator, source, ids)[1].numpy(), atol=1e-4)
            assert max(target for _, target in result.alignment()) == len(result.text.split()) - 1
    assert (result.attention is None) == (kind == "blind")
    with pytest.raises(TextseqError, match=r"align: expected sentences to translate, got an empty one \(number 2\)"):
        translator.align(["a", " "], ["a", "b"])


@EVERY_KIND
def test_the_best_few_are_different_and_the_best_comes_first(kind: str) -> None:
    translator, some = made(kind), texts(20)
    for count in (1, 2, 5):
        found = translator.translate_all(some, num_beams=5, num_return_sequences=count, max_new_tokens=15)
        for translations in found:
            scores = [one.score for one in translations]
            assert scores == sorted(scores, reverse=True)
            assert len({one.text for one in translations}) == len(translations) <= count
        assert all(found) and (kind != "usual" or sum(map(len, found)) > 0.5 * count * len(some))
        assert_same([each[0] for each in found], translator.translate(some, max_new_tokens=15))


def test_one_text_in_other_tokens_is_the_same_translation() -> None:
    text = "abcab cab deaf fade"
    subwords = SubwordTokenizer.train([[text] * 9], TokenizerConfig(tokenizer="subword", vocabulary_size=290))
    best, rng = subwords.encode(read_sentence(text)), np.random.default_rng(1)
    ways = {tuple(subwords.resampled(best, 0.1, rng).tolist()) for _ in range(9)}
    assert len(ways) > 1
    found = [Hypothesis((*ids, subwords.size), -place) for place, ids in enumerate([*ways, tuple(best[:-1].tolist())])]
    assert unique_texts(Vocabularies(subwords, subwords), found) == [found[0], found[-1]]


@EVERY_KIND
def test_one_beam_takes_the_likeliest_token_at_every_step(kind: str) -> None:
    translator = made(kind)
    for text in texts(8):
        (one,) = translator.translate([text], num_beams=1, max_new_tokens=12)
        ids: list[int] = []
        while len(ids) < 12 and LETTERS.size not in ids:
            source = LETTERS.encode(read_sentence(text))
            with torch.no_grad():
                logits, _ = translator.models[0](pair_batch([source], [np.array(ids, np.int64)], (LETTERS.size,) * 2))
            logits[0, -1, list(LETTERS.fallback)] = -torch.inf
            ids.append(int(logits[0, -1].argmax()))
        assert ids_of(translator, one) == ids
        drawn = translator.translate([text], num_beams=1, max_new_tokens=12, temperature=1e-9)
        assert_same(drawn, [one])


def test_the_seed_decides_what_is_drawn() -> None:
    translator, some = made(), texts(10)

    def drawn(seed: int | None) -> list[list[Translation]]:
        return translator.translate_all(some, **wish("drawn", temperature=1.5, seed=seed))

    first = drawn(1)
    assert first == drawn(1)
    assert first != drawn(2)
    assert drawn(None) != drawn(None)
    assert all(len(each) == 3 for each in first)
    before = torch.get_rng_state()
    drawn(None)
    assert torch.equal(torch.get_rng_state(), before)  # its randomness is its own


# What a translation must and must not be


@pytest.mark.parametrize("how", HOW)
def test_prefixes_are_kept(how: str) -> None:
    translator, some = made(), texts(5)
    prefixes = ["", "a", "  ", "cab deaf ", "bad\nbeef" * 6]
    settings = wish(how, max_new_tokens=10, length_penalty=0.0)
    found = translator.translate_all(some, prefixes=prefixes, **settings)
    for text, prefix, translations in zip(some, prefixes, found, strict=True):
        for one in translations:
            assert one.text.startswith(prefix.strip().replace("\n", " "))
            forced = len(read_sentence(prefix)) if prefix.strip() else 0
            assert len(one.tokens) <= 10 or len(one.tokens) == forced + 1 > 11
            assert one.score == pytest.approx(read_again(translator, text, ids_of(translator, one))[0], rel=1e-4)
    if how != "drawn":
        for n in range(5):
            assert_same(
                found[n], translator.translate_all(some[n : n + 1], prefixes=prefixes[n : n + 1], **settings)[0]
            )
        free = translator.translate_all(some, **settings)
        assert_same(found[0] + found[2], free[0] + free[2])
        streamed = next(translator.stream(some[1:2], prefix="a", attention=True, **settings))
        assert_same(streamed, found[1])
    with pytest.raises(TextseqError, match="prefixes: expected 5, one per sentence, got 1"):
        translator.translate(some, prefixes=["a"])


@pytest.mark.parametrize("how", HOW)
def test_lengths_are_kept(how: str) -> None:
    translator, some = made(seed=4), texts(20)
    how_long = translator.translate_all(some, **wish(how, max_new_tokens=9))
    assert {len(one.tokens) for each in how_long for one in each} <= set(range(1, 10))
    assert any(one.tokens[-1] != END for each in how_long for one in each) or how == "beams"
    for each in translator.translate_all(some, **wish(how, min_new_tokens=6, max_new_tokens=30)):
        assert all(len(one.tokens) >= 7 and END not in one.tokens[:6] for one in each)
    limited = translator.translate_all(some, **wish(how, min_new_tokens=50, max_length_ratio=0.5))
    for text, each in zip(some, limited, strict=True):
        assert {len(one.tokens) for one in each} == {int(len(read_sentence(text)) * 0.5) + 10}
    huge = translator.translate_all(some[:2], **wish(how, max_length_ratio=1e30, max_new_tokens=3))
    assert all(len(one.tokens) <= 3 for each in huge for one in each)


def test_biases_and_repetitions() -> None:
    translator, some = made(), texts(10)
    banned: dict[str, float] = {"a": -100, "b": -100}
    for how in HOW:
        for each in translator.translate_all(some, **wish(how, logit_bias=banned, max_new_tokens=15)):
            assert all(not {"a", "b"} & set(one.tokens) for one in each)
        for each in translator.translate_all(some, **wish(how, no_repeat_ngram_size=2, max_new_tokens=15)):
            written = [list(itertools.pairwise(one.tokens)) for one in each]
            assert all(len(set(pairs)) == len(pairs) for pairs in written)
    plain = translator.translate(some, max_new_tokens=15, num_beams=1)
    written = [list(itertools.pairwise(one.tokens)) for one in plain]
    assert any(len(set(pairs)) < len(pairs) for pairs in written)
    assert any({"a", "b"} & set(one.tokens) for one in plain)
    half_bytes = {LETTERS.vocabulary[token] for token in LETTERS.fallback}
    assert half_bytes and not half_bytes & {token for one in plain for token in one.tokens}


def test_settings_are_checked_before_anything_is_read() -> None:
    translator = made()

    def unread() -> Iterator[str]:
        raise AssertionError("was read")
        yield ""

    for settings, message in (
        ({"num_beams": 0}, "--num-beams: expected at least 1.* got 0"),
        ({"logit_bias": {"xyz": 1.0}}, "--logit-bias"),
        ({"buffer": 0}, "buffer: expected at least 1 sentence, got 0; 1 answers each at once"),
        (
            {"replace_unknown": True},
            r"--replace-unknown: expected .* writes <unk> .*, got a char model; leave it out",
        ),
    ):
        with pytest.raises(TextseqError, match=message) as e:
            translator.stream(unread(), **settings)
        assert "\n" not in str(e.value)
    with pytest.raises(
        TextseqError,
        match=r"num_return_sequences: translate gives one translation .*, got 2; use translate_all for several",
    ):
        translator.translate(["a"], num_return_sequences=2)
    with pytest.raises(TextseqError, match="a list of sentences, got one string; put it into a list"):
        translator.translate_all("a b")
    for unknown, near in (("beams", "num_beams"), ("foo", "")):
        asks: tuple[Callable[..., object], ...] = (translator.translate, translator.translate_all, translator.stream)
        for ask in asks:
            with pytest.raises(TextseqError, match=f"unknown setting in translate '{unknown}'; .*{near}"):
                ask(["a"], **{unknown: 2})
    assert typing.get_type_hints(TranslationSettings) == typing.get_type_hints(TranslationConfig)


@pytest.mark.parametrize(("other", "kind"), [(3, "int"), (None, "NoneType"), (b"a", "bytes")])
def test_what_is_no_text_is_named_by_its_place(other: object, kind: str) -> None:
    translator, some = made(), typing.cast("list[str]", ["a", "", other])
    message = f"sentences: expected strings, got {kind} with sentence 3; an empty one is ''"
    for ask in (
        lambda: translator.translate(some),
        lambda: translator.translate(["a"] * 3, prefixes=some),
        lambda: translator.score(some, ["a"] * 3),
        lambda: list(translator.stream(some, buffer=2)),
    ):
        with pytest.raises(TextseqError, match=message):
            ask()


def test_a_translator_says_what_it_is() -> None:
    one = made()
    size = sum(parameter.numel() for parameter in one.models[0].parameters())
    assert repr(one) == f"Translator(en to de; {size:,} parameters)"
    assert repr(ensemble_of([one, made(seed=1)])) == f"Translator(en to de, 2 models; {2 * size:,} parameters)"


# Several models


def test_one_model_and_its_copy_are_the_model() -> None:
    translator, some = made("deep"), texts(20)
    for settings in ({"num_beams": 3, "coverage_penalty": 0.3}, {"num_beams": 1}):
        wanted = translator.translate(some, max_new_tokens=12, **settings)
        for several in ([translator], [translator, made("deep")]):
            found = ensemble_of(several).translate(some, max_new_tokens=12, **settings)
            assert_same(found, wanted, ties=1)


def test_models_that_translate_together_are_the_mean_of_their_probabilities() -> None:
    several = ensemble_of([made(), ensemble_of([made("deep", seed=1), made("blind", seed=3)])])
    assert len(several.models) == 3 and several.attends
    for text in texts(5):
        for one in several.translate_all([text], num_return_sequences=3, length_penalty=0, max_new_tokens=12)[0]:
            log_p, looks = read_again(several, text, ids_of(several, one))
            assert one.score == pytest.approx(log_p, rel=1e-4)
            assert one.attention is not None
            np.testing.assert_allclose(one.attention, looks.numpy(), atol=1e-4)


@pytest.mark.parametrize("how", HOW)
def test_a_model_without_attention_adds_nothing_to_where_several_looked(how: str) -> None:
    """The coverage too is that of the others; a blind model of another shape stands between them in the state."""
    several = ensemble_of([made(), made("blind", seed=3), made("deep", seed=1)])
    settings = wish(how, length_penalty=0.0, coverage_penalty=0.4, max_new_tokens=12)
    for text, translations in zip(some := texts(5), several.translate_all(some, **settings), strict=True):
        for one in translations:
            log_p, looks = read_again(several, text, ids_of(several, one))
            coverage = float(looks[: len(one.tokens)].sum(dim=0).clamp(1e-6, 1).log().sum())
            assert one.score == pytest.approx(log_p + 0.4 * coverage, rel=1e-4, abs=2e-4)
            assert one.attention is not None
            np.testing.assert_allclose(one.attention, looks.numpy(), atol=1e-4)


def test_what_cannot_translate_together() -> None:
    other = CharTokenizer.train([["abcdefghi "]])
    one = made()
    eight = Translator(one.models, one.vocabularies, one.info, precision="int8")
    for several, message in (
        ([], "expected at least one model, got none"),
        (
            [one, made(source=other, target=LETTERS)],
            "expected one source vocabulary, got different ones; train the models on",
        ),
        ([one, made(source=LETTERS, target=other)], "expected one target vocabulary, got different ones"),
        ([one, made(info=replace(INFO, target_language="fr"))], "the same languages, got en to de and en to fr"),
        ([one, eight], "expected one precision, got float32 and int8"),
    ):
        with pytest.raises(TextseqError, match=f"an ensemble: .*{message}") as e:
            ensemble_of(several)
        assert "\n" not in str(e.value)


# Alignments and unknown words


@pytest.mark.parametrize(
    ("source", "target", "looks", "pairs"),
    [
        ((" a", " b", END), (" B", " A", END), [[1, 8, 1], [8, 1, 1], [0, 0, 10]], [(1, 0), (0, 1)]),
        # The sum over the tokens of both words counts; the end is no word, however much it was looked at.
        ((" a", "b", " c", END), (" A", "B", END), [[2, 2, 3, 3], [2, 2, 3, 3], [9, 0, 0, 1]], [(0, 0)]),
        ((" a", "b", " c", END), (" A", " ", "B"), [[0, 0, 1, 9], [1, 4, 5, 0], [5, 5, 0, 0]], [(1, 0), (0, 1)]),
        (("<0x20>", "<0x61>", "<0x20>", "<0x62>", END), ("<0x20>", "<0x62>", " "), [[0, 0, 1, 9, 0]] * 3, [(1, 0)]),
        ((" ", " ", "a", " ", " ", "b", " ", END), (" x",), [[9, 0, 0, 1, 9, 9, 0, 0]], [(1, 0)]),
        ((" a", END), (END,), [[1, 9]], []),
        ((" a", END), (" ", " ", END), [[1, 9]] * 3, []),
        (("a", " a", END), ("x", "x", " x"), [[9, 1, 0], [9, 1, 0], [0, 9, 1]], [(0, 0), (1, 1)]),
        # A copied name of two words is one token.
        ((" a", " N M", "."), (" x", " N M"), [[9, 1, 0], [1, 9, 0]], [(0, 0), (1, 1), (2, 2)]),
        ((" a", " N M"), (" x", " y"), [[9, 1], [1, 9]], [(0, 0), (1, 1)]),
    ],
)
def test_words_are_aligned_as_by_hand(
    source: tuple[str, ...], target: tuple[str, ...], looks: list[list[int]], pairs: list[tuple[int, int]]
) -> None:
    one = Translation("", 0.0, source, target, np.array(looks, np.float32))
    assert one.alignment() == pairs


@pytest.mark.parametrize("kind", KINDS_THAT_ATTEND)
def test_the_search_keeps_the_attention_unless_it_is_very_much(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    translator, some = made(kind), texts(12)
    settings = wish("beams", max_new_tokens=12)
    monkeypatch.setattr(sources, "MAX_KEPT", 0)
    wanted = translator.translate_all(some, **settings)
    monkeypatch.undo()
    monkeypatch.setattr(sources.SourceBatch, "attention", None)  # which reads the translations again
    for found, expected in zip(translator.translate_all(some, **settings), wanted, strict=True):
        assert_same(found, expected)
        assert all(one.attention is not None for one in found)


def test_an_alignment_wants_the_attention() -> None:
    (one,) = made().translate(["a b"], attention=False, min_new_tokens=2)
    with pytest.raises(TextseqError, match="expected attention weights, got none; translate with attention=True"):
        one.alignment()
    (one,) = made().translate(["a b"], min_new_tokens=2)
    words = one.text.split()
    assert [target for _, target in one.alignment()] == list(range(len(words)))
    assert {source for source, _ in one.alignment()} <= {0, 1}


def words_translator() -> Translator:
    options = TokenizerConfig(tokenizer="word", rare_words="unknown", lowercase=True)
    words = WordTokenizer.train([["the cat, the mat, the cat, the mat"]], options)
    translator = made(source=words, target=words)
    for name in UNKNOWN:
        translator.models[0].output.bias.data[words.vocabulary.index(name)] += 9
    return translator


def test_unknown_words_are_written_as_they_stand_in_the_source() -> None:
    translator = words_translator()
    some = ["The ZEBRA sat, Anna!", "Ęż McDonald's", "the cat"]
    surfaces = [["The", "ZEBRA", "sat", ",", "Anna", "!"], ["Ęż", "McDonald", "'s"], ["the", "cat"]]
    replaced = translator.translate(some, replace_unknown=True, min_new_tokens=5)
    seen = set()
    for one, words in zip(replaced, surfaces, strict=True):
        assert one.attention is not None and len(one.source_tokens) == len(words) + 1
        shown = []
        for name, look in zip(one.tokens, one.attention, strict=True):
            word = words[int(look[:-1].argmax())]
            seen |= {word} if name in UNKNOWN else set()
            shown.append(name.replace("<unk>", word) if name in UNKNOWN else name.removesuffix(END))
        assert one.text == "".join(shown).strip() and "<unk>" not in one.text
    assert seen & {"ZEBRA", "Anna", "Ęż", "McDonald"}
    for plain in translator.translate(some, max_new_tokens=8):
        assert " <unk>" not in plain.tokens and "<unk>" not in plain.text
    kept = translator.translate(some[:1], prefixes=["Die ŻABA"], replace_unknown=True, max_new_tokens=8)[0]
    assert kept.text.startswith("Die ŻABA") and kept.tokens[:2] == (" <unk>",) * 2


def test_names_stand_for_rare_ones_in_several_orders() -> None:
    words = WordTokenizer.train([["ABCDEFGHIJKLMNOPQRSTUVWXYZ abcdefghijklmnopqrstuvwxyz Tom and Anna in Boston"] * 2])
    vocabularies, stand_ins = Vocabularies(words, words), ("Tom", "Anna", "Boston")
    style = SourceStyle(proper=frozenset({"Known"}))

    def alternatives(text: str, prefix: str = "", glossary: Glossary | None = None) -> list[tuple[str, dict[str, str]]]:
        sentence = tokenize_sentence(vocabularies, text, prefix, 1, None, None, stand_ins)
        several = with_alternatives(sentence, words, style, stand_ins, glossary).alternatives
        for one in several:
            assert one.restored(one.text) == one.restored(one.read) == text
            assert words.decode(one.ids).strip() == one.text.strip() and one.copied_once(text)
        return [(one.text, dict(one.codes)) for one in several]

    assert alternatives("Siobhan in Galway and Siobhan") == [
        ("Tom in Anna and Tom", {"Tom": "Siobhan", "Anna": "Galway"}),
        ("Boston in Tom and Boston", {"Boston": "Siobhan", "Tom": "Galway"}),
        ("Anna in Boston and Anna", {"Anna": "Siobhan", "Boston": "Galway"}),
    ]
    assert alternatives("Siobhan and Tom")[0] == ("Anna and Tom", {"Anna": "Siobhan"})
    assert alternatives("in Siobhan AF1234")[0] == ("in Anna Tom", {"Tom": "AF1234", "Anna": "Siobhan"})
    assert alternatives("Siobhan in Galway", prefix="Siobhan")[0] == ("Siobhan in Tom", {"Tom": "Galway"})
    assert alternatives("Siobhan in Galway", glossary=Glossary({"Galway": "G"}))[0][1] == {"Tom": "Siobhan"}
    assert alternatives("Aoife and Siobhan and Eoghan and Galway")[0][1].keys() == set(stand_ins)
    assert alternatives("and Known and Tom") == alternatives("Siobhan Tom Anna Boston") == alternatives("") == []


def test_codes_that_the_prefix_or_the_glossary_has_are_read_as_they_are() -> None:
    words = WordTokenizer.train([["ABCDEFGHIJKLMNOPQRSTUVWXYZ abcdefghijklmnopqrstuvwxyz0123456789- Tom"] * 2])
    vocabularies, text = Vocabularies(words, words), "He has COVID-19"

    def read(prefix: str = "", **terms: str) -> str:
        glossary = Glossary({"COVID-19" if term == "code" else term: target for term, target in terms.items()})
        sentence = tokenize_sentence(vocabularies, text, prefix, 1, glossary, None, ("Tom",))
        assert words.decode(sentence.ids).strip() == sentence.read.strip()
        return sentence.read

    assert read() == read(has="a") == "He has Tom"
    assert read(prefix="COVID-19") == read(code="COVID-19") == text


def test_terms_may_be_a_mapping() -> None:
    translator, terms = made("usual"), {"a": "b"}
    drawn = wish("drawn", num_return_sequences=1)
    assert translator.translate("a", glossary={}, **drawn) == translator.translate("a", **drawn)
    assert translator.translate("a a", glossary=terms) == translator.translate("a a", glossary=Glossary(terms))


def test_a_translation_that_is_aligned_is_read_as_it_is_translated() -> None:
    plain = made("usual")
    style = {"capital": True, "statement": ".", "question": "?", "question_words": []}
    tidy = Translator(plain.models, plain.vocabularies, replace(plain.info, source_style=style))
    found = tidy.translate("abc", max_new_tokens=5)
    as_translated, as_given = (one.align(["abc"], [found.text])[0].source_tokens for one in (tidy, plain))
    assert as_translated == found.source_tokens != as_given


@EVERY_KIND
@pytest.mark.parametrize("how", ["beams", "greedy"])
def test_several_sentences_are_translated_one_by_one(kind: str, how: str) -> None:
    marked = CharTokenizer.train([["abcdefgh .?!"]])
    plain = made(kind, source=marked, target=marked)
    single = Translator(plain.models, plain.vocabularies, replace(plain.info, source_style={"single": True}))
    sentences = ["abc?", "de f!", "gh a"]
    for settings in (wish(how), wish(how, max_new_tokens=3)):
        several: list[int] = []
        [joined] = single.stream([" ".join(sentences)], attention=plain.attends, progress=several.append, **settings)
        parts = plain.translate_all(sentences, attention=plain.attends, **settings)
        assert several and sum(several) == 1
        for rank, found in enumerate(joined):
            ones = [part[min(rank, len(part) - 1)] for part in parts]
            assert found.text == " ".join(one.text for one in ones)
            assert found.score == pytest.approx(min(one.score for one in ones), abs=1e-5)
            assert found.finished == all(one.finished for one in ones)
            assert "".join(found.source_tokens).strip() == " ".join(sentences) + END
            if not plain.attends:
                continue
            assert found.attention is not None
            assert found.attention.shape == (len(found.tokens), len(found.source_tokens))
            np.testing.assert_allclose(found.attention.sum(axis=1), 1, atol=1e-5)
            first = ones[0].attention
            assert first is not None
            rows, columns = len(ones[0].tokens) - ones[0].finished, len(ones[0].source_tokens) - 1
            np.testing.assert_allclose(found.attention[:rows, :columns], first[:rows, :columns], atol=1e-5)
            assert not found.attention[:rows, columns:-1].any()
            assert "".join(found.source_surfaces).strip() == " ".join(sentences)
    for whole in (single.translate("a. b c.", tidy=False), single.translate_all(["a. b c."], prefixes=["a"])[0][0]):
        assert "".join(whole.source_tokens).strip() == "a. b c." + END


def test_without_attention_nothing_is_said_of_it() -> None:
    words = words_translator().vocabularies.source
    with pytest.raises(TextseqError, match="got a model without attention; leave it out"):
        made("blind", source=words, target=words).translate(["a"], replace_unknown=True)
    for blind in (made("blind"), ensemble_of([made("blind"), made("blind", seed=1)])):
        for settings in HOW.values():
            with pytest.raises(
                TextseqError, match=r"--coverage-penalty: expected .* attention, got one without; leave"
            ):
                blind.stream(["a"], **{**settings, "coverage_penalty": 0.1})  # type: ignore[arg-type]
        for attention in (True, False):
            (one,) = blind.translate(["a b"], attention=attention, min_new_tokens=2)
            assert one.attention is None and one.tokens
            with pytest.raises(TextseqError, match="expected a model with attention, got one without"):
                one.alignment()
        (empty,) = blind.translate([" "])
        assert empty.alignment() == []


# Any sentence


def test_a_sentence_without_end_is_cut_and_named(caplog: pytest.LogCaptureFixture) -> None:
    translator = made()
    sizes: list[torch.Size] = []
    encode = translator.models[0].encode
    translator.models[0].encode = lambda source, lengths: (sizes.append(source.shape), encode(source, lengths))[1]  # type: ignore
    endless = "ab cd " * 1667
    settings: TranslationSettings = {"max_new_tokens": 4, "num_beams": 2}
    with caplog.at_level(logging.WARNING, logger="textseq"):
        found = list(translator.stream(["a", *[endless] * 6, "b", *texts(100)], buffer=3, attention=True, **settings))
    wanted = f"has 10002 tokens, of which the first {LONGEST} are read; give it in parts"
    notes = [record.getMessage() for record in caplog.records if "are read" in record.getMessage()]
    assert notes == [f"note: sentence {n} {wanted}" for n in range(2, 8)]
    assert found[1][0].attention is not None and found[1][0].attention.shape[1] == LONGEST + 1
    translator.translate([endless] * 9 + texts(200), attention=False, **settings)
    assert sizes and all(rows <= BATCH and rows * columns <= BATCH_TOKENS for rows, columns in sizes)
    assert max(rows for rows, _ in sizes) == BATCH
    assert_same(translator.translate(["a", "b"], **settings), [found[0][0], found[7][0]])


def test_a_line_that_was_cut_and_named_is_not_named_again(caplog: pytest.LogCaptureFixture) -> None:
    translator = made()
    for length, named in ((LONGEST_LINE, False), (LONGEST_LINE - 1, True), (LONGEST_LINE + 1, True)):
        caplog.clear()
        translator.translate(["a" * length], max_new_tokens=1, num_beams=1)
        assert ("are read; give it in parts" in caplog.text) == named


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("buffer", [3, 100])
def test_what_met_its_limit_is_named(how: str, buffer: int, caplog: pytest.LogCaptureFixture) -> None:
    """The first few sentences whose best translation has no end, in their order; what chance wrote is not."""
    translator, some = made(), ["", *texts(120)]
    translator.models[0].output.bias.data[-1] -= 2
    found = list(translator.stream(some, buffer=buffer, **wish(how, max_new_tokens=7)))
    cut = [n for n, each in enumerate(found, start=1) if each[0].tokens and each[0].tokens[-1] != END]
    assert [n for n, each in enumerate(found, start=1) if not each[0].finished] == cut
    assert NAMED < len(cut) < len(some) and cut[0] > 1
    notes = [record.getMessage() for record in caplog.records]
    if how == "drawn":
        assert notes == []
        return
    wanted = "was cut off at its limit of 7 tokens; to let it go on, raise --max-new-tokens or --max-length-ratio"
    assert notes[:NAMED] == [f"note: the translation of sentence {n} {wanted}" for n in cut[:NAMED]]
    assert notes[NAMED:] == ["note: translations of further sentences were cut off too; they are not named"]
    caplog.clear()
    translator.translate([some[n - 1] for n in cut[:2]], **wish(how, max_new_tokens=7, num_return_sequences=1))
    assert len(caplog.records) == 2


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), Interrupted("stopped", 143)])
def test_what_is_finished_comes_out_when_the_work_is_stopped(
    stop: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    translator = made()
    sentences = ["ab cd ef", "ab cd", "", "ab", "ab cd ef ab", "cd"]  # by length 5, 1, 2, 4 and 6 of them
    whole = [best[0].text for best in translator.stream(sentences)]
    work, done = translator.engine._decoded, 0

    def stopped(batch: list[Sentence], request: Request) -> list[Found]:
        nonlocal done
        done += 1
        if done > 3:
            raise stop
        return work(batch, request)

    monkeypatch.setattr("textseq.tasks.translation.batches.BATCH", 1)
    monkeypatch.setattr(translator.engine, "_decoded", stopped)
    found = []
    with pytest.raises(type(stop)):
        for best in translator.stream(sentences):
            found.append(best[0].text)
    assert found == whole[:3]  # the fourth was not at hand, so the fifth cannot come


def test_batches_hold_all_that_is_not_empty_and_keep_their_limits() -> None:
    lengths = np.random.default_rng(1).integers(0, 3000, size=500).tolist() + [0] * 5 + [20_000] + [3] * 1000
    found = list(decoding_batches(lengths))
    assert sorted(itertools.chain.from_iterable(found)) == [n for n, length in enumerate(lengths) if length]
    for batch in found:
        assert len(batch) <= BATCH
        assert len(batch) == 1 or len(batch) * (max(lengths[n] for n in batch) + 1) <= BATCH_TOKENS
    assert len(found) < 500
    assert list(decoding_batches(lengths, beams=5)) == found
    for beams in (16, 1000):
        for batch in decoding_batches(lengths, beams=beams):
            assert len(batch) == 1 or len(batch) * beams <= BATCH * BEAMS
            assert len(batch) == 1 or len(batch) * (lengths[batch[0]] + 1) * beams <= BATCH_TOKENS * BEAMS
    assert list(decoding_batches([])) == list(decoding_batches([0, 0])) == []


@pytest.mark.parametrize("text", ["żółw 🐢", "🐢", "\u200b", "a\0b", "日本語", "a\r\nb", "<unk> </s>", "e\u0301"])
def test_unknown_characters_are_read_all_the_same(text: str) -> None:
    subwords = SubwordTokenizer.train([["ab cd ef "] * 5], TokenizerConfig(tokenizer="subword", vocabulary_size=300))
    for translator in (made(), made(source=subwords, target=subwords), words_translator()):
        one, two = translator.translate([text, text], max_new_tokens=5)
        assert_same([one], [two])
        assert len(one.source_tokens) > 1 and one.source_tokens[-1] == END
    with pytest.raises(TextseqError, match=r"lone surrogate U\+D800"):
        made().translate(["a\ud800"])


def test_evaluation_reads_the_best_segmentation_only() -> None:
    text = ["abcab cab deaf fade ababa "] * 20
    subwords = SubwordTokenizer.train([text], TokenizerConfig(tokenizer="subword", vocabulary_size=290))
    translator, rng = made(source=subwords, target=subwords), np.random.default_rng(1)
    sentence = text[0].strip()
    best = subwords.encode(read_sentence(sentence))
    others = {tuple(subwords.resampled(best, 0.1, rng).tolist()) for _ in range(20)}
    assert len(others) > 1
    scores = {translator.score([sentence], [sentence])[0] for _ in range(5)}
    assert len(scores) == 1
    for one in translator.translate([sentence] * 3, max_new_tokens=3):
        assert one.source_tokens == (*(subwords.vocabulary[token] for token in best), END)


# Folders


@pytest.mark.parametrize("bits", [32, 16, 8])
@pytest.mark.parametrize("joint", [True, False])
def test_what_is_saved_is_what_is_loaded(bits: Bits, joint: bool, tmp_path: Path) -> None:
    other = LETTERS if joint else CharTokenizer.train([["abcdefghijk "]])
    translator = made("deep", source=other, target=LETTERS, info=replace(INFO, source={"pairs": ["/home/me"]}))
    folder = tmp_path / "kept"
    translator.save(folder, bits=bits)
    assert (folder / SOURCE_FILE).exists() != joint
    assert "\n# kept\n" in (folder / "README.md").read_text(encoding="utf-8")
    assert "/home/me" not in (folder / "config.json").read_text(encoding="utf-8")
    loaded = load_translator(folder)
    assert loaded.vocabularies.joint == joint and loaded.languages == ("en", "de")
    assert loaded.vocabularies.source.fingerprint == other.fingerprint
    some = texts(10)
    if bits < 32:
        for parameter in translator.models[0].parameters():
            parameter.data = from_stored(to_stored({"w": parameter.data}, bits), folder)["w"].float()
        translator = Translator(translator.models, translator.vocabularies, translator.info)
    assert_same(loaded.translate(some, max_new_tokens=10), translator.translate(some, max_new_tokens=10))
    with pytest.raises(TextseqError, match="exists; name a new folder or remove it"):
        translator.save(folder)
    with pytest.raises(TextseqError, match="an ensemble cannot be saved as one model; save each model separately"):
        ensemble_of([loaded, loaded]).save(tmp_path / "both")
    with pytest.raises(TextseqError, match=r"expected a language model, got .*, which is a translator") as e:
        load_generator(folder)
    assert "\n" not in str(e.value)
    if not joint:
        for damage, message in (
            (lambda path: path.write_text("{}", encoding="utf-8"), "source-tokenizer.json is damaged"),
            (Path.unlink, "source-tokenizer.json is missing"),
        ):
            damage(folder / SOURCE_FILE)
            with pytest.raises(TextseqError, match=message):
                load_translator(folder)


def test_a_writer_is_no_translator(tmp_path: Path) -> None:
    from textseq.tasks.language_model.config import LanguageModelConfig
    from textseq.tasks.language_model.generator import TextGenerator
    from textseq.tasks.language_model.model import LanguageModel

    config = LanguageModelConfig(hidden_size=8, embedding_size=4)
    info = ModelInfo(task="language-model", model=config.to_dict())
    TextGenerator(LanguageModel(config, LETTERS.size), LETTERS, info).save(tmp_path / "writer")
    with pytest.raises(TextseqError, match=r"expected a translator, got .*, which is a language model") as e:
        load_translator(tmp_path / "writer")
    assert "\n" not in str(e.value)


# Measures


def corpus(source: str = "en", target: str = "de", *parts: str) -> PairDataset:
    pairs = [(text, other) for text, other in zip(texts(12), texts(12, seed=2), strict=True)]
    return PairDataset(
        name="some", title="Some", purpose="", fingerprint="", contents={part: pairs for part in parts or ("a", "b")},
        source_language=source, target_language=target, other_names={"older": "b"},
    )  # fmt: skip


def fields_of(signature: str) -> dict[str, str]:
    return dict(part.split(":", 1) for part in signature.split("|"))


def test_a_measure_says_how_it_came_about() -> None:
    translator, told = made(), [0]
    measured = translator.evaluate(
        corpus(), "older", metrics=["chrf"], num_beams=2, max_new_tokens=9, progress=lambda count: told.append(count)
    )
    assert sum(told) == 12
    pairs = list(corpus().pairs("b"))
    found = translator.translate([source for source, _ in pairs], num_beams=2, max_new_tokens=9)
    assert measured.translations == tuple(one.text for one in found)
    assert [one.name for one in measured.scores] == ["chrF2"]
    wanted = {
        "corpus": "some", "split": "b", "direction": "en-de", "tokens": "char-joint", "models": "1",
        "precision": "float32", "beams": "2", "length-penalty": "1", "max-new-tokens": "9",
    }  # fmt: skip
    fields = fields_of(measured.scores[0].signature)
    assert {name: fields[name] for name in wanted} == wanted
    assert "coverage-penalty" not in fields and "temperature" not in fields
    both = ensemble_of([translator, made(seed=1)])
    measured = both.evaluate(
        corpus("en", "de", "a"), "a", metrics=["bleu"], num_beams=1, temperature=0.5, seed=3, coverage_penalty=0.25
    )
    fields = fields_of(measured.scores[0].signature)
    wanted = {
        "models": "2",
        "beams": "1",
        "split": "whole",
        "temperature": "0.5",
        "drawing-seed": "3",
        "coverage-penalty": "0.25",
    }
    assert {name: fields[name] for name in wanted} == wanted


def test_a_measure_wants_the_models_languages() -> None:
    with pytest.raises(TextseqError, match="this model translates en to de, got de to en; use --source en --target de"):
        made().evaluate(corpus("de", "en"), "a")
    with pytest.raises(TextseqError, match="unknown split of 'some'"):
        made().evaluate(corpus(), "test")
    nameless = made(info=ModelInfo(task="translation"))
    assert nameless.languages == ("source", "target")
    assert nameless.evaluate(corpus(), "a", metrics=["chrf"], num_beams=1).translations


def test_results_stand_on_the_card(tmp_path: Path) -> None:
    translator = made()
    measured = translator.evaluate(corpus(), "a", metrics=["chrf"], num_beams=1)
    translator.save(tmp_path / "measured", results=measured.scores)
    card = (tmp_path / "measured" / "README.md").read_text(encoding="utf-8")
    assert "chrF2" in card and "en to de" in card and "textseq-translate --model measured" in card


# A short list


def with_list(translator: Translator, found: Shortlist) -> Translator:
    vocabularies = replace(translator.vocabularies, shortlist=found)
    return Translator(translator.models, vocabularies, translator.info, precision=translator.precision)


def random_list(translator: Translator, each: int = 3) -> Shortlist:
    """For every token of the source some letters, whichever."""
    source_end, target_end = translator.vocabularies.eos_ids
    rng = np.random.default_rng(4)
    letters = [token for token in range(target_end) if token not in translator.vocabularies.target.fallback]
    lists = [rng.choice(letters, size=each, replace=False) for _ in range(source_end)]
    lists.append(np.array([0, target_end]))
    return Shortlist(np.concatenate(lists).astype(np.int32), np.cumsum([0, *map(len, lists)]))


@EVERY_KIND
@pytest.mark.parametrize("how", HOW)
def test_a_batch_is_its_sentences_alone(kind: str, how: str) -> None:
    """Although they choose among what any of them may need."""
    translator = made(kind)
    translator = with_list(translator, random_list(translator))
    sentences = texts(6)
    if how == "drawn":  # chance is shared out among the sentences of a batch
        alone = [translator.translate_all([text], **wish(how, shortlist=True)) for text in sentences[:1]]
        again = translator.translate_all(sentences[:1], **wish(how, shortlist=True))
        assert_same(again[0], alone[0][0])
        return
    every = translator.translate_all(sentences, **wish(how, shortlist=True))
    for text, found in zip(sentences, every, strict=True):
        assert_same(found, translator.translate_all([text], **wish(how, shortlist=True))[0])


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_list_of_everything_changes_nothing(how: str, precision: str) -> None:
    translator = made()
    translator = Translator(translator.models, translator.vocabularies, translator.info, precision=precision)  # type: ignore[arg-type]
    source_end, target_end = translator.vocabularies.eos_ids
    tokens = np.tile(np.arange(target_end + 1, dtype=np.int32), source_end + 1)
    translator = with_list(translator, Shortlist(tokens, np.arange(source_end + 2) * (target_end + 1)))
    for text in texts(4):
        found, wanted = (
            translator.translate_all(
                [text], **wish(how, no_repeat_ngram_size=3, repetition_penalty=1.1, shortlist=short)
            )[0]
            for short in (True, False)
        )
        assert_same(found, wanted)


def test_nothing_is_written_that_is_not_listed() -> None:
    translator = made()
    found = random_list(translator)
    translator = with_list(translator, found)
    sentences = texts(20)
    vocabulary = translator.vocabularies
    for text, one in zip(sentences, translator.translate(sentences, shortlist=True), strict=True):
        listed = found.of(vocabulary.source.encode(read_sentence(text)))
        names = {"</s>", *(vocabulary.target.vocabulary[token] for token in listed if token < vocabulary.target.size)}
        assert set(one.tokens) <= names
    free = translator.translate(sentences)
    assert [one.text for one in free] != [one.text for one in translator.translate(sentences, shortlist=True)]


def test_probabilities_are_those_among_the_list() -> None:
    """Of a translation that ends at once: it has one token, the end, and competes with what is listed only."""
    translator = made()
    translator = with_list(translator, random_list(translator))
    short, (model,) = translator.vocabularies.shortlist, translator.models
    assert short is not None
    for text in texts(4):
        source = translator.vocabularies.source.encode(read_sentence(text))
        with torch.no_grad():
            logits, _ = model(pair_batch([source], [np.array([], np.int64)], translator.vocabularies.eos_ids))
        listed = torch.from_numpy(short.of(source))
        wanted = logits[0, 0, listed].log_softmax(dim=0)[listed == model.end]
        found = translator.translate([text], shortlist=True, num_beams=16, max_new_tokens=1, length_penalty=0.0)[0]
        assert found.tokens == (END,)
        assert found.score == pytest.approx(float(wanted), abs=1e-4)


def test_prefixes_are_kept_whatever_the_list_says() -> None:
    translator = made()
    translator = with_list(translator, random_list(translator, each=1))
    for how in HOW:
        for one in translator.translate_all(["abc"], prefixes=["hgfe"], **wish(how, shortlist=True))[0]:
            assert one.text.startswith("hgfe")


def test_biases_and_ends_keep_their_meaning() -> None:
    translator = made()
    translator = with_list(translator, random_list(translator, each=4))
    for how in HOW:
        settings = wish(how, logit_bias={"a": -100.0, "b": -100.0}, min_new_tokens=4, shortlist=True)
        for text in texts(4):
            for one in translator.translate_all([text], **settings)[0]:
                assert not {"a", "b"} & set(one.text) and len(one.tokens) >= 4


def test_several_models_choose_among_one_list() -> None:
    one = made()
    found = random_list(one)
    pair = ensemble_of([with_list(made(seed=seed), found) for seed in (2, 3)])
    sentences = texts(4)
    every = pair.translate_all(sentences, **wish("beams", shortlist=True))
    for text, each in zip(sentences, every, strict=True):
        assert_same(each, pair.translate_all([text], **wish("beams", shortlist=True))[0])


def test_a_model_without_one_says_so() -> None:
    with pytest.raises(TextseqError, match="--shortlist: expected a model with a shortlist, got one without"):
        made().translate(["a"], shortlist=True)


def test_it_stands_in_the_folder_of_the_model(tmp_path: Path) -> None:
    translator = made()
    found = random_list(translator)
    with_list(translator, found).save(tmp_path / "model")
    again = load_translator(tmp_path / "model")
    assert again.vocabularies.shortlist is not None
    np.testing.assert_array_equal(again.vocabularies.shortlist.tokens, found.tokens)
    np.testing.assert_array_equal(again.vocabularies.shortlist.starts, found.starts)
    translator.save(tmp_path / "without")
    assert load_translator(tmp_path / "without").vocabularies.shortlist is None


def test_steps_over_some_tokens_are_those_over_all() -> None:
    model = made().models[0]
    some = torch.tensor([1, 3, 4, model.end])
    with torch.no_grad():
        source = torch.tensor([[1, 2, 3, model.source_end]])
        memory, start = model.encode(source, torch.tensor([4]))
        state = (*start, torch.zeros(1, 1, 4))
        few, _ = model.stepper().among(some).over(memory)(torch.tensor([2]), state)
        every, _ = model.stepper().over(memory)(some[2:3], state)
    torch.testing.assert_close(few, every[:, some])
