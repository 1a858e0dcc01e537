"""A loaded model writes and scores text, whatever the prompt, and finds its way by name."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

import textseq
from textseq.checkpoints import checkpoint
from textseq.checkpoints import registry as shelf
from textseq.checkpoints.model_info import CorpusInfo, ModelInfo
from textseq.checkpoints.weight_formats import Bits
from textseq.config.decoding import Precision
from textseq.config.tokenizer import TokenizerConfig
from textseq.config.training import TrainingConfig
from textseq.data.text import own_text
from textseq.errors import TextseqError
from textseq.nn.cells import State
from textseq.nn.kernels import inference_weights as packed
from textseq.nn.kernels.inference_weights import PRECISIONS
from textseq.tasks.language_model.batches import Streams
from textseq.tasks.language_model.config import DataConfig, GenerationConfig, GenerationSettings, LanguageModelConfig
from textseq.tasks.language_model.evaluate import measure
from textseq.tasks.language_model.generator import START, TextGenerator
from textseq.tasks.language_model.model import LanguageModel
from textseq.tasks.registry import load_generator
from textseq.tokenizers.base import Tokenizer
from textseq.tokenizers.characters import ByteTokenizer, CharTokenizer
from textseq.tokenizers.registry import TOKENIZERS
from textseq.training.distributed.group import ProcessGroup
from textseq.training.trainer import Trainer

TEXT = "one two three four five six seven,\n" * 60
PROMPTS = ["", "the ", "\n", "Zażółć gęślą jaźń", "👩‍👩‍👧‍👦 says: ", "e\u0301", "a\r\n\tb\0c", "the cat " * 20]
INFO = ModelInfo(task="language-model", corpus=CorpusInfo(title="Counting"))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path))
    monkeypatch.setattr(shelf, "SHIPPED", tmp_path / "shipped")
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Text:
    """The text as ids."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.ids = tokenizer.encode(TEXT)
        self.document_starts = np.zeros(1, np.int64)


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> TextGenerator:
    """A model that has learnt to count to seven."""
    tokenizer = CharTokenizer.train([TEXT])
    torch.manual_seed(1)
    config = LanguageModelConfig(hidden_size=32, embedding_size=8, dropout=0)
    model = LanguageModel(config, tokenizer.size)
    training = TrainingConfig(learning_rate=0.02, warmup_steps=0, max_epochs=None, max_steps=150)
    streams = Streams(Text(tokenizer), DataConfig(batch_size=8, window=24), seed=1)
    info = replace(INFO, model=config.to_dict())
    Trainer(model, streams, training).fit()
    return TextGenerator(model, tokenizer, info)


@pytest.fixture(scope="module", params=["char", "byte"])
def any_writer(request: pytest.FixtureRequest) -> TextGenerator:
    """A model that has learnt nothing, and so writes anything."""
    tokenizer: Tokenizer = CharTokenizer("abcdeż") if request.param == "char" else ByteTokenizer()
    torch.manual_seed(2)
    config = LanguageModelConfig(cell="gru", num_layers=2, hidden_size=8, embedding_size=4, learn_initial_state=True)
    model = LanguageModel(config, tokenizer.size)
    return TextGenerator(model, tokenizer, replace(INFO, model=config.to_dict()))


# Writing


def test_it_writes_what_it_has_learnt(writer: TextGenerator) -> None:
    assert writer.generate("one", temperature=0, max_new_tokens=20) == "one two three four five"


@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_text_is_the_prompt_and_what_follows(any_writer: TextGenerator, prompt: str) -> None:
    text = any_writer.generate(prompt, seed=3, max_new_tokens=20)
    assert text.startswith(prompt)
    assert text == any_writer.generate(prompt, seed=3, max_new_tokens=20)
    assert "".join(any_writer.stream(prompt, seed=3, max_new_tokens=20)) == text
    assert any_writer.generate_all(prompt, seed=3, max_new_tokens=20) == [text]
    if any_writer.tokenizer.kind == "char":
        assert len(text) == len(prompt) + 20
    assert any_writer.generate(prompt, max_new_tokens=0) == prompt


def test_the_seed_decides_the_text(any_writer: TextGenerator) -> None:
    texts = [any_writer.generate(seed=seed, max_new_tokens=40) for seed in range(5)]
    assert len(set(texts)) == 5
    assert any_writer.generate(max_new_tokens=40) != any_writer.generate(max_new_tokens=40)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    any_writer.generate(max_new_tokens=3)
    assert torch.equal(torch.get_rng_state(), before)  # its randomness is its own


def test_temperature_0_takes_the_likeliest_token_whatever_the_seed(any_writer: TextGenerator) -> None:
    model, tokenizer = any_writer.model, any_writer.tokenizer
    ids = tokenizer.encode("abc").tolist()
    context = [int(any_writer.start_token()), *ids]
    for _ in range(30):
        with torch.inference_mode():
            logits, _ = model(torch.tensor([context]))
        allowed = logits[0, -1].clone()
        allowed[list(tokenizer.fallback)] = -torch.inf
        context.append(int(allowed.argmax()))
    greedy = "abc" + tokenizer.decode(context[1 + len(ids) :])
    for seed in (None, 1, 2):
        assert any_writer.generate("abc", temperature=0, seed=seed, max_new_tokens=30) == greedy
    assert any_writer.generate("abc", top_k=1, seed=5, max_new_tokens=30) == greedy


@pytest.mark.parametrize("prompt", ["", "żaba", "xyz€"])
def test_fallback_tokens_are_never_written(any_writer: TextGenerator, prompt: str) -> None:
    text = any_writer.generate(prompt, seed=1, temperature=3.0, max_new_tokens=100)[len(prompt) :]
    if any_writer.tokenizer.fallback:
        assert set(text) <= set("abcdeż")
        assert len(text) == 100


def test_generate_all_writes_different_texts_side_by_side(any_writer: TextGenerator) -> None:
    texts = any_writer.generate_all("abc", num_return_sequences=5, seed=1, max_new_tokens=30)
    assert len(set(texts)) == 5
    assert all(text.startswith("abc") for text in texts)
    assert texts == any_writer.generate_all("abc", num_return_sequences=5, seed=1, max_new_tokens=30)
    greedy = any_writer.generate("abc", temperature=0, max_new_tokens=30)
    assert any_writer.generate_all("abc", num_return_sequences=3, temperature=0, max_new_tokens=30) == [greedy] * 3


@pytest.mark.parametrize("stops", [("four",), ("six", "five six"), ("t", "thr"), ("\n",), ("", "n,\no"), ("one",)])
def test_a_text_ends_before_the_first_stop_string(writer: TextGenerator, stops: tuple[str, ...]) -> None:
    written = writer.generate("one", temperature=0, max_new_tokens=80).removeprefix("one")
    cut = min(written.index(stop) for stop in stops if stop)
    expected = "one" + written[:cut]  # a stop string in the prompt ends nothing
    assert writer.generate("one", temperature=0, max_new_tokens=80, stop_strings=stops) == expected
    assert (
        writer.generate_all("one", temperature=0, max_new_tokens=80, stop_strings=stops, num_return_sequences=2)
        == [expected] * 2
    )


def counted_steps(writer: TextGenerator, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Count the steps of the network from now on; ``next`` gives how many there were."""
    step, steps = writer.step, itertools.count()

    def counted(tokens: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        next(steps)
        return step(tokens, state)

    monkeypatch.setattr(writer, "step", counted)
    return steps


def test_nothing_is_computed_after_a_stop_string(writer: TextGenerator, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = counted_steps(writer, monkeypatch)
    for write in (writer.generate, writer.generate_all):
        write("one", temperature=0, max_new_tokens=80, stop_strings=("two",))
    assert next(steps) == 2 * len("\none two"[:-1])


def test_a_stop_string_that_does_not_come_holds_nothing_back(writer: TextGenerator) -> None:
    whole = writer.generate("one", temperature=0, max_new_tokens=30)
    almost = whole[-3:] + "no"
    assert writer.generate("one", temperature=0, max_new_tokens=30, stop_strings=(almost,)) == whole


def test_streams_may_be_interleaved_and_leave_gradients_as_they_were(any_writer: TextGenerator) -> None:
    one, two = (any_writer.stream("ab", seed=seed, max_new_tokens=20) for seed in (1, 2))
    pieces: list[tuple[str, str]] = []
    for pair in itertools.zip_longest(one, two, fillvalue=""):
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
        pieces.append(pair)
    assert not torch.is_inference_mode_enabled()
    for seed, column in zip((1, 2), zip(*pieces, strict=True), strict=True):
        assert "".join(column) == any_writer.generate("ab", seed=seed, max_new_tokens=20)


def test_text_comes_as_it_is_written(writer: TextGenerator) -> None:
    stream = writer.stream("the", seed=1, max_new_tokens=10**9)
    assert next(stream) == "the"
    assert len("".join(itertools.islice(stream, 10))) == 10


def test_settings_are_checked_before_anything_is_written(writer: TextGenerator) -> None:
    with pytest.raises(TextseqError, match=r"unknown setting in generat.* 'max_length'"):
        writer.generate(max_length=3)  # type: ignore[call-overload]
    with pytest.raises(TextseqError, match=r"unknown setting in generat.* 'max_length'"):
        writer.stream(max_length=3)  # type: ignore[call-arg]
    with pytest.raises(TextseqError, match="--temperature: expected at least 0, got -1"):
        writer.stream(temperature=-1.0)
    with pytest.raises(TextseqError, match="prompts: expected strings, got NoneType; an empty one is ''"):
        writer.generate([None])  # type: ignore[list-item]
    with pytest.raises(TextseqError, match=r"num_return_sequences: expected 1, got 2; use generate_all\(\)"):
        writer.generate(num_return_sequences=2)


# Rules and beams


LOGITS_PROCESSORS: list[dict[str, object]] = [
    {"min_p": 0.05},
    {"typical_p": 0.8},
    {"repetition_penalty": 1.3},
    {"no_repeat_ngram_size": 3},
    {"logit_bias": {"a": 2.0, "b": -100.0}},
    {"top_k": 5, "top_p": 0.9, "min_p": 0.01, "typical_p": 0.9, "repetition_penalty": 1.1, "no_repeat_ngram_size": 4},
]


@pytest.mark.parametrize("rules", LOGITS_PROCESSORS, ids=lambda rules: "+".join(rules))
def test_the_seed_decides_the_text_under_every_rule(any_writer: TextGenerator, rules: dict[str, object]) -> None:
    settings = GenerationConfig.from_dict({"seed": 3, "max_new_tokens": 40, **rules}, where="here")
    values: GenerationSettings = settings.to_dict()  # type: ignore[assignment]
    text = any_writer.generate("abc", **values)
    assert text.startswith("abc") and len(text) > 3
    assert text == any_writer.generate("abc", **values) == "".join(any_writer.stream("abc", **values))
    assert any_writer.generate_all("abc", **values) == [text]
    stop = text[10]
    stopped: GenerationSettings = {**values, "stop_strings": (stop,)}
    assert any_writer.generate("abc", **stopped) == "abc" + text[3:].partition(stop)[0]
    if "logit_bias" in rules:
        assert "b" not in text[3:] and "a" in text[3:]


def test_repeated_runs_are_not_written(writer: TextGenerator) -> None:
    free = writer.generate("one", temperature=0, max_new_tokens=120)
    assert free.count(" two three") > 2
    assert writer.generate("one", temperature=0, max_new_tokens=120, no_repeat_ngram_size=10).count(" two three") == 1


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (
            "the",
            "expected single tokens, got 'the', which this model .char. splits into 't', 'h', 'e'; name",
        ),
        ("", "expected single tokens, got '', which this model .char. splits into nothing"),
        ("ż", "unknown token 'ż'; it is not in the training text"),
        ("<0x>", "unknown token '<0x>'; did you mean '<0x"),
    ],
)
def test_what_is_no_token_has_no_bias(writer: TextGenerator, token: str, message: str) -> None:
    for write in (writer.generate, writer.stream, writer.generate_all):
        with pytest.raises(TextseqError, match=f"--logit-bias:? {message}"):
            write("one", logit_bias={token: 1.0})


def test_a_bias_takes_names_and_texts_of_tokens(any_writer: TextGenerator) -> None:
    names = ["<0x61>", "a"] if any_writer.tokenizer.kind == "byte" else ["a"]
    for name in names:
        assert any_writer.generate("", logit_bias={name: 100.0}, max_new_tokens=5) == "aaaaa"
    with pytest.raises(TextseqError, match="expected -10000 to 10000, got a=inf; -100 bans a token"):
        any_writer.generate(logit_bias={"a": np.inf})
    with pytest.raises(TextseqError, match="--logit-bias: expected strings with numbers, got 'a': 'much'"):
        any_writer.generate(logit_bias={"a": "much"})  # type: ignore[dict-item]


def test_tokens_of_several_characters_are_biased_whole() -> None:
    tokenizer = TOKENIZERS["word"].train(["the cat sat on the mat the cat sat on the mat " * 3])
    model = LanguageModel(LanguageModelConfig(hidden_size=8, embedding_size=4), tokenizer.size)
    words = TextGenerator(model, tokenizer, INFO)
    assert words.generate("the", logit_bias={" cat": 100.0}, max_new_tokens=3) == "the cat cat cat"
    with pytest.raises(TextseqError, match="unknown token ' cats'; did you mean ' cat'"):
        words.generate("the", logit_bias={" cats": 100.0})


def test_one_beam_more_finds_nothing_less_likely_here(writer: TextGenerator) -> None:
    """A model that is sure of itself: greedy, beams and the batch of one agree."""
    greedy = writer.generate("one", temperature=0, max_new_tokens=30)
    texts = writer.generate_all("one", num_beams=4, num_return_sequences=4, max_new_tokens=30)
    assert texts[0] == greedy == writer.generate("one", num_beams=4, max_new_tokens=30)
    assert list(writer.stream("one", num_beams=4, max_new_tokens=30)) == ["one", greedy[3:]]
    assert len(set(texts)) == 4
    nats = [writer.score(text).nats for text in texts]
    assert nats == sorted(nats)


@pytest.mark.parametrize("seed", [1, 2])
def test_beams_take_no_chance(any_writer: TextGenerator, seed: int) -> None:
    text = any_writer.generate("ab", num_beams=3, max_new_tokens=20)
    assert text == any_writer.generate("ab", num_beams=3, max_new_tokens=20, seed=seed, temperature=seed)
    if any_writer.tokenizer.fallback:
        assert set(text) <= set("abcdeż") and len(text) == 22


def test_a_stop_string_ends_a_text_of_the_beam(writer: TextGenerator) -> None:
    whole = writer.generate("one", temperature=0, max_new_tokens=60)
    texts = writer.generate_all("one", num_beams=3, num_return_sequences=3, max_new_tokens=60, stop_strings=(" f", ","))
    assert whole.partition(" f")[0] in texts
    assert not any(stop in text for text in texts for stop in (" f", ","))
    assert len(set(texts)) == len(texts)
    assert writer.generate("one", num_beams=3, max_new_tokens=0) == "one"


def test_beams_stop_soon_after_their_stop_strings(writer: TextGenerator, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = counted_steps(writer, monkeypatch)
    writer.generate("one", num_beams=2, max_new_tokens=500, stop_strings=(" ", "\n"))
    assert next(steps) < 100


# Scoring


def test_the_pieces_of_a_score_are_the_text(any_writer: TextGenerator) -> None:
    for text in ("the cat", "żółw 🐢 the", "\n\n", "a\0b"):
        score = any_writer.score(text)
        assert "".join(piece.text for piece in score.pieces) == text
        assert sum(piece.nats for piece in score.pieces) == pytest.approx(score.nats)
        assert [piece.text for piece in score.pieces] == list(text)  # no character of these is cut
    turtle = any_writer.score("🐢")
    assert len(turtle.tokens) > 1 and len(turtle.pieces) == 1


@pytest.mark.parametrize("at_a_time", [1, 3, 100])
def test_a_long_text_is_scored_in_parts(
    any_writer: TextGenerator, monkeypatch: pytest.MonkeyPatch, at_a_time: int
) -> None:
    whole = any_writer.score("abc dab cab")
    monkeypatch.setattr("textseq.tasks.language_model.generator.CHUNK", at_a_time)
    assert any_writer.score("abc dab cab").surprisal == pytest.approx(whole.surprisal, rel=1e-5)


SENSE = {
    "To be, or not to be, that is the question": "Question the is that, be to not or, be to",
    "I have not slept one wink": "I wink slept have one not",
    "Good night, sweet prince": "Prince night, good sweet",
    "My lord, the king is dead": "My lord, the king is daed",
    "What is thy name?": "Whta si yht nmae?",
    "The ghost of my father walks by night": "The thgos of my hefatr skalw by ginht",
}


@pytest.fixture(scope="module")
def shakespeare() -> TextGenerator:
    return load_generator(Path(textseq.__file__).parent / "pretrained" / "shakespeare")


@pytest.mark.parametrize("sense", SENSE)
def test_sense_scores_better_than_nonsense_of_the_same_letters(shakespeare: TextGenerator, sense: str) -> None:
    nonsense = SENSE[sense]
    assert sorted(sense.lower().replace(" ", "")) == sorted(nonsense.lower().replace(" ", ""))
    assert shakespeare.score(sense).bits_per_character < 0.9 * shakespeare.score(nonsense).bits_per_character


@pytest.mark.parametrize("text", ["the cat sat", "t", "żółw 🐢 the", "\n\n"])
def test_a_score_adds_up(any_writer: TextGenerator, text: str) -> None:
    score, tokenizer = any_writer.score(text), any_writer.tokenizer
    ids = tokenizer.encode(text)
    assert score.tokens == tuple(tokenizer.vocabulary[token] for token in ids)
    assert len(score.surprisal) == len(ids)
    assert score.characters == len(text)
    assert score.nats == pytest.approx(sum(score.surprisal))
    assert score.nats_per_token == pytest.approx(score.nats / len(ids))
    assert score.perplexity == pytest.approx(np.exp(score.nats / len(ids)))
    assert score.bits_per_character == pytest.approx(score.nats / len(text) / np.log(2))
    after_start = np.concatenate([any_writer.start_token().numpy(), ids])
    assert score.nats == pytest.approx(measure(any_writer.model, after_start, setup="").nats, rel=1e-5)
    assert all(surprisal > 0 for surprisal in score.surprisal)


def test_a_score_is_the_model_s_own_probability(any_writer: TextGenerator) -> None:
    """Step by step through the writing path, which computes each cell in its plain form."""
    ids = any_writer.tokenizer.encode("abca")
    step, state = any_writer.model.stepper(), any_writer.model.initial_state(1)
    token = any_writer.start_token()
    for surprisal, target in zip(any_writer.score("abca").surprisal, ids, strict=True):
        with torch.inference_mode():
            logits, state = step(token, state)
        assert surprisal == pytest.approx(-float(logits.log_softmax(1)[0, target]), rel=1e-5)
        token = torch.tensor([target])


def test_a_text_like_the_learnt_one_scores_better_than_a_shuffled_one(writer: TextGenerator) -> None:
    text = TEXT[:200]
    shuffled = "".join(np.random.default_rng(1).permutation(list(text)))
    assert writer.score(text).nats_per_token < 0.2
    assert writer.score(shuffled).nats_per_token > 2
    assert writer.score("one two").nats < writer.score("one six").nats


def test_an_empty_text_has_no_score(writer: TextGenerator) -> None:
    with pytest.raises(TextseqError, match="score: expected a text, got an empty one; give at least one character"):
        writer.score("")


def test_a_corpus_is_measured_with_its_signature(writer: TextGenerator, tmp_path: Path) -> None:
    (tmp_path / "cats.txt").write_text(TEXT)
    corpus = own_text([tmp_path / "cats.txt"], validation=0.25)
    found = writer.evaluate(corpus, "validation")
    ids = writer.tokenizer.encode(TEXT[-len(TEXT) // 4 :])
    assert found.nats == pytest.approx(measure(writer.model, ids, setup="").nats, rel=1e-5)
    assert found.tokens == len(ids) - 1
    expected = f"split:validation|tokens:char|state:carried|streams:1|textseq:{textseq.__version__}"
    assert found.signature.endswith(expected)
    windowed = writer.evaluate(corpus, "validation", window=5)
    assert windowed.nats > found.nats
    assert "state:fresh-per-window|window:5" in windowed.signature
    with pytest.raises(TextseqError, match="test"):
        writer.evaluate(corpus, "test")
    with pytest.raises(TextseqError, match="a language model is evaluated by one process, got 2; start without torch"):
        writer.evaluate(corpus, "validation", process_group=ProcessGroup(count=2))


# Keeping and finding

STORED = {32: torch.float32, 16: torch.float16, 8: torch.int8}


@pytest.mark.parametrize(("bits", "tolerance"), [(32, 1e-9), (16, 0.01), (8, 0.01)])
def test_a_saved_model_loads_and_writes_the_same(
    writer: TextGenerator, tmp_path: Path, bits: Bits, tolerance: float
) -> None:
    writer.save(tmp_path / "gift", bits=bits)
    names = ["README.md", "config.json", "model.safetensors", "tokenizer.json"]
    assert sorted(path.name for path in (tmp_path / "gift").iterdir()) == names
    again = load_generator(tmp_path / "gift")
    assert again.info == writer.info
    stored = checkpoint.read_tensors(tmp_path / "gift" / "model.safetensors").values()
    assert {tensor.dtype for tensor in stored if tensor.dim() > 1} == {STORED[bits]}
    assert again.score(TEXT[:99]).nats_per_token == pytest.approx(writer.score(TEXT[:99]).nats_per_token, abs=tolerance)
    if bits == 32:
        assert again.generate("the", seed=4, max_new_tokens=40) == writer.generate("the", seed=4, max_new_tokens=40)


def test_a_folder_that_exists_is_not_written_over(writer: TextGenerator, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(TextseqError, match="mine exists; name a new folder or remove it"):
        writer.save(tmp_path / "mine")
    assert list((tmp_path / "mine").iterdir()) == []


def test_models_load_by_path_by_run_and_by_the_name_they_ship_under(
    writer: TextGenerator, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = writer.generate(seed=1, max_new_tokens=9)
    for place in ("elsewhere/one", "runs/two/best-3", "shipped/three"):
        writer.save(home / place)
    for name in ("elsewhere/one", home / "elsewhere" / "one", "two", "runs/two", "runs/two/best-3", "three"):
        assert load_generator(name).generate(seed=1, max_new_tokens=9) == text
    assert caplog.messages == []
    with pytest.raises(TextseqError, match="unknown model 'thre'; did you mean 'three'"):
        load_generator("thre")
    writer.save(home / "runs" / "three" / "last-1")
    with caplog.at_level(logging.WARNING, "textseq"):
        assert load_generator("three").generate(seed=1, max_new_tokens=9) == text
    assert caplog.messages == [
        f"note: the run {home}/runs/three shadows the model 'three' that ships with textseq",
    ]


def test_a_task_that_this_version_does_not_know_is_refused(writer: TextGenerator, tmp_path: Path) -> None:
    TextGenerator(writer.model, writer.tokenizer, replace(writer.info, task="juggler")).save(tmp_path / "other")
    with pytest.raises(TextseqError, match=r"unknown task in \S+config\.json 'juggler'.* language-model"):
        load_generator("other")


def test_a_device_that_is_not_here_is_refused(writer: TextGenerator, tmp_path: Path) -> None:
    writer.save(tmp_path / "one")
    with pytest.raises(TextseqError, match="--device cuda:99 cannot be used here"):
        load_generator("one", device="cuda:99")


def test_a_text_is_read_after_a_line_end_or_what_there_is(writer: TextGenerator, any_writer: TextGenerator) -> None:
    assert int(writer.start_token()) == writer.tokenizer.vocabulary.index(START)
    assert int(any_writer.start_token()) == {"char": 0, "byte": ord(START)}[any_writer.tokenizer.kind]


def test_pieces_are_never_empty(any_writer: TextGenerator) -> None:
    def pieces() -> Iterator[str]:
        yield from any_writer.stream(seed=1, max_new_tokens=50)
        yield from any_writer.stream("ab", seed=1, max_new_tokens=50, stop_strings=("aa", "cde"))

    assert all(pieces())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_writes_and_scores_alike(precision: Precision, writer: TextGenerator, home: Path) -> None:
    writer.save("counting")
    loaded = load_generator("counting", precision=precision)
    assert loaded.generate("one ", temperature=0, max_new_tokens=40) == writer.generate(
        "one ", temperature=0, max_new_tokens=40
    )
    assert loaded.score("two three").nats == pytest.approx(writer.score("two three").nats)


def test_int8_reaches_the_steps(writer: TextGenerator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "MIN_INT8", 1)
    tokens, state = torch.tensor([3]), writer.model.initial_state(1)
    exact, rounded = (
        TextGenerator(writer.model, writer.tokenizer, writer.info, precision=precision).step(tokens, state)[0]
        for precision in TextGenerator.precisions
    )
    assert not torch.equal(exact, rounded)
    torch.testing.assert_close(exact, rounded, rtol=0, atol=0.3)


def test_the_choices_of_precision_are_the_table() -> None:
    assert set(TextGenerator.precisions) == set(PRECISIONS)
    assert set(get_args(Precision)) >= set(PRECISIONS)


def test_an_unknown_precision_is_told(writer: TextGenerator, home: Path) -> None:
    writer.save("counting")
    with pytest.raises(TextseqError, match="unknown precision 'int4'; did you mean 'int8'"):
        load_generator("counting", precision="int4")  # type: ignore[arg-type]


def test_a_text_of_which_nothing_is_left_is_told() -> None:
    options = TokenizerConfig(tokenizer="word", punctuation="drop")
    tokenizer = TOKENIZERS["word"].train([TEXT], options)
    model = LanguageModel(LanguageModelConfig(hidden_size=8, embedding_size=4), tokenizer.size)
    with pytest.raises(TextseqError, match="score: expected a text, got one without known characters"):
        TextGenerator(model, tokenizer, INFO).score("!?")
    assert TextGenerator(model, tokenizer, INFO).score("one!").tokens == ("one",)


@pytest.mark.parametrize("num_beams", [1, 2])
def test_a_prompt_is_encoded_once(writer: TextGenerator, monkeypatch: pytest.MonkeyPatch, num_beams: int) -> None:
    encoded: list[str] = []
    encode = writer.tokenizer.encode

    def counted(text: str) -> np.ndarray:
        encoded.append(text)
        return encode(text)

    monkeypatch.setattr(writer.tokenizer, "encode", counted)
    writer.generate("one", max_new_tokens=3, num_beams=num_beams)
    writer.generate_all("two", max_new_tokens=3, num_beams=num_beams)
    assert (encoded.count("one"), encoded.count("two")) == (1, 1)
