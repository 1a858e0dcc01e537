"""What onnxruntime computes from the exported graphs is what the model computes, for every task and cell."""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import sentencepiece
import torch
from torch import nn

from textseq.checkpoints.model_info import ModelInfo
from textseq.config.names import AttentionName, CellName, PoolingName
from textseq.config.tokenizer import TokenizerConfig
from textseq.data.pairs import read_sentence
from textseq.errors import TextseqError
from textseq.nn.cell_registry import BUILT_IN
from textseq.tasks.classification.classifier import Classifier
from textseq.tasks.classification.config import ClassifierConfig
from textseq.tasks.classification.model import ClassifierModel
from textseq.tasks.export.onnx import export_onnx
from textseq.tasks.language_model.condition import Conditioned
from textseq.tasks.language_model.config import LanguageModelConfig
from textseq.tasks.language_model.generator import TextGenerator
from textseq.tasks.language_model.model import LanguageModel
from textseq.tasks.tagging.batches import tag_batch
from textseq.tasks.tagging.config import TaggedConfig, TaggerConfig
from textseq.tasks.tagging.lexicon import Lexicon
from textseq.tasks.tagging.model import TaggerModel
from textseq.tasks.tagging.tagger import Tagger, tagger_model
from textseq.tasks.translation.config import TranslationModelConfig
from textseq.tasks.translation.inference.search import SourceBatch
from textseq.tasks.translation.model import TranslationModel
from textseq.tasks.translation.shortlist import Shortlist
from textseq.tasks.translation.translator import Translator
from textseq.tasks.translation.vocabularies import Vocabularies
from textseq.tokenizers.characters import CharTokenizer
from textseq.tokenizers.registry import TOKENIZERS

onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("onnx", reason="onnx is not installed")

Command = Callable[..., tuple[int, str, str]]
Array = npt.NDArray[np.float32]
LETTERS = CharTokenizer.train([["abcdefg hij"]])


def session(folder: Path, name: str) -> Callable[..., list[Array]]:
    """Runs a graph."""
    graph = onnxruntime.InferenceSession(str(folder / f"{name}.onnx"), providers=["CPUExecutionProvider"])

    def run(**inputs: Array) -> list[Array]:
        results: list[Array] = graph.run(None, inputs)
        return results

    return run


def filled(model: nn.Module) -> None:
    torch.manual_seed(1)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)


def random_tagger(lexicon: Lexicon, config: TaggerConfig, info: ModelInfo) -> Tagger:
    model = tagger_model(config, lexicon, info)
    filled(model)
    return Tagger(model, lexicon, info)


def near(found: Array, expected: torch.Tensor) -> None:
    np.testing.assert_allclose(found, expected.detach().numpy(), atol=1e-4)


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("cell", sorted(BUILT_IN))
def test_generators(tmp_path: Path, cell: CellName, layer_norm: bool) -> None:
    config = LanguageModelConfig(
        cell=cell, hidden_size=7, embedding_size=4, num_layers=2, residual=cell == "gru", layer_norm=layer_norm
    )
    model = LanguageModel(config, LETTERS.size)
    filled(model)
    export_onnx(TextGenerator(model, LETTERS, ModelInfo(task="language-model")), tmp_path / "out")
    about = json.loads((tmp_path / "out" / "model.json").read_text())
    assert about["tokens"] == list(LETTERS.vocabulary) and about["graphs"]["step"]["inputs"][0] == "tokens"
    assert about["input"]["before"] == [0]  # these letters have no line end
    run, ids = session(tmp_path / "out", "step"), torch.randint(LETTERS.size, (3, 5))
    state = [np.zeros((layers, 3, hidden), np.float32) for layers, _, hidden in about["state"]]
    expected, _ = model(ids)
    for t in range(5):
        logits, *state = run(tokens=ids[:, t].numpy(), **{f"state{n}": part for n, part in enumerate(state)})
        near(logits, expected[:, t])


@pytest.mark.parametrize(
    ("info", "condition"),
    [
        (ModelInfo(task="language-model", labels=("keats", "blake")), "keats=0.7,blake=0.3"),
        (ModelInfo(task="language-model", vector_size=2), (0.5, -1.0)),
    ],
    ids=["labels", "vector"],
)
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_conditional_generators(tmp_path: Path, cell: CellName, info: ModelInfo, condition: Conditioned) -> None:
    config = LanguageModelConfig(cell=cell, hidden_size=7, embedding_size=4, num_layers=2, condition_size=3)
    model = LanguageModel(config, LETTERS.size, 2)
    filled(model)
    generator = TextGenerator(model, LETTERS, info)
    with pytest.raises(TextseqError, match="--condition"):
        export_onnx(generator, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    generator = generator.under(condition)
    export_onnx(generator, tmp_path / "out")
    about = json.loads((tmp_path / "out" / "model.json").read_text())
    run, ids = session(tmp_path / "out", "step"), torch.randint(LETTERS.size, (1, 5))
    expected, _ = model(ids, generator.initial_state(1))
    pairs = zip(about["start"], about["state"], strict=True)
    state = [np.array(part, np.float32).reshape(shape) for part, shape in pairs]
    for t in range(5):
        logits, *state = run(tokens=ids[:, t].numpy(), **{f"state{n}": part for n, part in enumerate(state)})
        near(logits, expected[:, t])


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "all", "attention"])
def test_classifiers(tmp_path: Path, pooling: PoolingName) -> None:
    cell: CellName = {"all": "lstm", "max": "rnn-relu", "mean": "rnn"}.get(pooling, "gru")
    config = ClassifierConfig(cell=cell, hidden_size=6, embedding_size=4, pooling=pooling, num_layers=2, readout_size=5)
    model = ClassifierModel(config, LETTERS.size, 3)
    filled(model)
    info = ModelInfo(task="classification", labels=("a", "b", "c"), temperature=1.7)
    classifier = Classifier(model, LETTERS, info)
    export_onnx(classifier, tmp_path / "out")
    run, about = session(tmp_path / "out", "classifier"), json.loads((tmp_path / "out" / "model.json").read_text())
    assert (about["multi_label"], about["threshold"]) == (False, None)
    for text in ("a", "bad hag face", " hi\n", ""):
        probabilities = classifier.classify(text).probabilities
        ids = [about["tokens"].index(letter) for letter in about["input"]["prefix"] + text.strip()]
        (found,) = run(ids=np.array([ids or about["input"]["empty"]]))
        near(found, torch.tensor([[probabilities[label] for label in info.labels]]))


def test_classifiers_of_several_labels_say_so(tmp_path: Path) -> None:
    config = ClassifierConfig(cell="gru", hidden_size=6, embedding_size=4)
    model = ClassifierModel(config, LETTERS.size, 2, multi_label=True)
    info = ModelInfo(task="classification", labels=("a", "b"), threshold=0.3)
    export_onnx(Classifier(model, LETTERS, info), tmp_path / "out")
    about = json.loads((tmp_path / "out" / "model.json").read_text())
    assert (about["multi_label"], about["threshold"]) == (True, 0.3)


def test_taggers_say_how_words_are_read(tmp_path: Path) -> None:
    lexicon = Lexicon.train([["a", "n", "New York"]] * 2, TaggedConfig())
    config = TaggerConfig(hidden_size=6, embedding_size=5, letter_size=4, letter_hidden_size=3, output="softmax")
    tagger = Tagger(
        TaggerModel(config, lexicon.size, lexicon.letters.size, 1), lexicon, ModelInfo(task="tagging", labels=("N",))
    )
    export_onnx(tagger, tmp_path / "out")
    about = json.loads((tmp_path / "out" / "model.json").read_text())
    rules = about["input"]
    rows: dict[str, int] = {word: row for row, word in enumerate(about["words"])}
    unknown: int = rules["unknown"]

    def row_of(word: str) -> int:
        word = rules["prefix"] + rules["white_space"].join(word.split())
        return rows.get(word, rows.get(word.lower(), unknown))

    def letters_of(word: str) -> list[int]:
        most = rules["spelled_ends"]
        word = word if len(word) <= 2 * most else word[:most] + word[-most:]
        return [about["letters"].index(letter) for letter in word or rules["no_letters"]]

    words = ["a", "N", "New  York", "nowhere", "a" * 70 + "N", ""]
    assert [row_of(word) for word in words] == lexicon.encode(words).tolist()
    for word in ("New York", "a" * 70 + "N", ""):
        assert letters_of(word) == lexicon.spell(word).tolist()


@pytest.mark.parametrize("output", ["crf", "softmax", "ctc"])
def test_taggers(tmp_path: Path, output: str) -> None:
    sentences = [["a", "bad", "hag"], ["hi", "a"]]
    lexicon = Lexicon.train(sentences * 2, TaggedConfig())
    config = TaggerConfig.from_dict(
        {"hidden_size": 6, "embedding_size": 5, "letter_size": 4, "letter_hidden_size": 3, "output": output}, where=""
    )
    model = TaggerModel(config, lexicon.size, lexicon.letters.size, 2)
    filled(model)
    tagger = Tagger(model, lexicon, ModelInfo(task="tagging", labels=("N", "V")))
    export_onnx(tagger, tmp_path / "out")
    run = session(tmp_path / "out", "tagger")
    batch = tag_batch(lexicon, sentences[:1], [[]])
    inputs = {"ids": batch.ids.numpy()}
    if output != "ctc":
        spell = session(tmp_path / "out", "speller")
        counts = batch.letter_counts.tolist()
        vectors = [spell(letters=row[None, :n].numpy())[0] for row, n in zip(batch.letters, counts, strict=True)]
        inputs["vectors"] = np.concatenate(vectors)[batch.forms.numpy()]
    near(run(**inputs)[0], model.eval()(batch))
    assert ("transitions" in json.loads((tmp_path / "out" / "model.json").read_text())) == (output == "crf")


@pytest.mark.parametrize("output", ["crf", "softmax"])
def test_labels_of_spans_are_decoded_from_the_files_alone(tmp_path: Path, output: str) -> None:
    words, labels = ["a", "bad", "hag", "hi"], ("B-per", "B-place", "I-per", "I-place", "O")
    lexicon = Lexicon.train([words] * 2, TaggedConfig())
    config = TaggerConfig.from_dict(
        {"hidden_size": 6, "embedding_size": 5, "letter_size": 4, "letter_hidden_size": 3, "output": output}, where=""
    )
    tagger = random_tagger(lexicon, config, ModelInfo(task="tagging", labels=labels, scheme="BIO"))
    tagger.model.output.bias.data = torch.tensor([0.0, 0.0, 2.0, 2.0, 0.0])  # I- is likely everywhere
    export_onnx(tagger, tmp_path / "out")
    about = json.loads((tmp_path / "out" / "model.json").read_text(), parse_constant=pytest.fail)  # NaN is not JSON
    run, spell = session(tmp_path / "out", "tagger"), session(tmp_path / "out", "speller")
    scores = about["transitions"]
    rng, unlike = np.random.default_rng(0), 0
    for length in (1, 2, 3, 4, *[12] * 8):
        sentence = rng.choice(words, length).tolist()
        ids = np.array([[about["words"].index(about["input"]["prefix"] + word) for word in sentence]])
        letters = [np.array([[about["letters"].index(letter) for letter in word]]) for word in sentence]
        (rows,) = run(ids=ids, vectors=np.concatenate([spell(letters=row)[0] for row in letters])[None])[0]
        best = rows[0] + np.array(scores["begin"])
        before: list[list[int]] = []
        for row in rows[1:]:
            sums = best[:, None] + np.array(scores["between"])
            best, before = sums.max(axis=0) + row, [*before, sums.argmax(axis=0).tolist()]
        path = [int((best + np.array(scores["end"])).argmax())]
        for back in reversed(before):
            path.append(back[path[-1]])
        assert [about["labels"][number] for number in reversed(path)] == list(tagger.tag([sentence])[0].tags)
        unlike += path[::-1] != rows.argmax(axis=1).tolist()
    assert unlike  # the likeliest labels would not do


def test_sequences_by_ctc_are_decoded_from_the_files_alone(tmp_path: Path) -> None:
    lexicon = Lexicon.train([[*"bad hag"], [*"hi\u00a0jig"]] * 2, TaggedConfig(normalization="text"))
    config = TaggerConfig(hidden_size=6, embedding_size=5, output="ctc", frames=3)
    tagger = random_tagger(lexicon, config, ModelInfo(task="tagging", labels=("N", "V", "W")))
    export_onnx(tagger, tmp_path / "out")
    about = json.loads((tmp_path / "out" / "model.json").read_text())
    run, rules = session(tmp_path / "out", "tagger"), about["input"]
    assert about["frames"] == 3 and rules["strip"] is True
    rows = {word: row for row, word in enumerate(about["words"])}
    for text in ("bad hag", " hi\u00a0jig\n", "Hag?", "a"):
        keys = [rules["prefix"] + ("" if letter.isspace() else letter) for letter in text.strip()]
        ids = [rows.get(key, rows.get(key.lower(), rules["unknown"])) for key in keys]
        (scores,) = run(ids=np.array([ids]))[0]
        assert len(scores) == about["frames"] * len(ids)
        path = scores.argmax(axis=1).tolist()
        kept = [new for old, new in zip([None, *path], path, strict=False) if new not in (old, about["blank"])]
        columns = [label for label in range(scores.shape[1]) if label != about["blank"]]
        tags = [about["labels"][columns.index(label)] for label in kept]
        assert tags == list(tagger.tag(text, num_beams=1).tags) and tags


@pytest.mark.parametrize("attention", ["additive", "general", "dot", "none"])
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_translators(tmp_path: Path, attention: AttentionName, cell: CellName) -> None:
    config = TranslationModelConfig(
        cell=cell, attention=attention, embedding_size=4, encoder_size=4, hidden_size=8, attention_size=5,
        num_decoder_layers=2, num_encoder_layers=2, readout="maxout" if cell == "lstm" else "tanh",
    )  # fmt: skip
    model = TranslationModel(config, LETTERS.size, LETTERS.size)
    filled(model)
    info = ModelInfo(task="translation", source_language="en", target_language="fr")
    export_onnx(Translator([model], Vocabularies(LETTERS, LETTERS), info), tmp_path / "out")
    encode, step = session(tmp_path / "out", "encoder"), session(tmp_path / "out", "decoder")
    source = LETTERS.encode(read_sentence(" bad\nhag "))
    about = json.loads((tmp_path / "out" / "model.json").read_text())
    given = [
        about["source_tokens"].index(letter)
        for letter in about["input"]["prefix"] + " bad\nhag ".strip().replace("\n", " ")
    ]
    values, keys, *state = encode(source=np.array([[*given, about["source_end"]]]))
    batch, target = SourceBatch([model.eval()], [source]), [3, 1, 4, 1]
    memory, start = batch.encoded[0]
    with torch.inference_mode():
        words, reading = model.decode(torch.tensor([[model.end, *target]]), memory, start)
        expected = model.logits(reading.outputs, reading.contexts, words)  # (T, 1, V+1)
    rows = [np.repeat(part, 2, axis=1) for part in state]  # two hypotheses
    for t, token in enumerate([model.end, *target]):
        state_before = {f"state{n}": part for n, part in enumerate(rows)}
        logits, weights, *rows = step(tokens=np.array([token] * 2), values=values, keys=keys, **state_before)
        near(logits, expected[t].expand(2, -1))
        near(weights, reading.attention[t].expand(2, -1))


def test_translations_are_decoded_from_the_files_alone(tmp_path: Path) -> None:
    config = TranslationModelConfig(embedding_size=4, encoder_size=4, hidden_size=8, attention_size=5)
    model = TranslationModel(config, LETTERS.size, LETTERS.size)
    filled(model)
    shortlist = Shortlist(np.zeros(1, np.int32), np.ones(LETTERS.size + 2, np.int64))
    translator = Translator([model], Vocabularies(LETTERS, LETTERS, shortlist), ModelInfo(task="translation"))
    export_onnx(translator, tmp_path / "out")
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert files == {"encoder.onnx", "decoder.onnx", "model.json", "tokenizer.json"}
    about = json.loads((tmp_path / "out" / "model.json").read_text())
    encode, step = session(tmp_path / "out", "encoder"), session(tmp_path / "out", "decoder")
    unlike = 0
    for text in ("bad", "hi a", "fed hag", "gig"):
        ids = [about["source_tokens"].index(letter) for letter in about["input"]["prefix"] + text]
        values, keys, *state = encode(source=np.array([[*ids, about["source_end"]]]))
        token, written = about["end"], ""
        while len(written) < 15:
            inputs = {"values": values, "keys": keys} | {f"state{n}": part for n, part in enumerate(state)}
            (logits,), _, *state = step(tokens=np.array([token]), **inputs)
            unlike += logits.argmax() in about["never"]
            logits[about["never"]] = -np.inf
            token = int(logits.argmax())
            if token == about["end"]:
                break
            written += about["tokens"][token]
        expected = translator.translate(text, num_beams=1, tidy=False, copy_names=False, max_new_tokens=15)
        assert written.strip() == expected.text
    assert unlike  # the likeliest tokens would not do


def test_the_command_exports_an_author(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert command("export", "--model", "blake")[:2] == (0, "blake-onnx/step.onnx\n")
    blend = ("--model", "english-authors", "--condition", "blake=0.5,poe=0.5", "--output", "both")
    assert command("export", *blend)[:2] == (0, "both/step.onnx\n")
    starts = [json.loads((tmp_path / name / "model.json").read_text())["start"] for name in ("blake-onnx", "both")]
    assert starts[0] != starts[1]
    code, out, err = command("export", "--author", "austen", "--condition", "poe", "--output", "none")
    assert (code, out) == (2, "") and "--condition: expected none beside --author austen, got poe" in err
    code, out, err = command("export", "--model", "english-authors", "--output", "none")
    assert (code, out) == (2, "") and "name one with --condition" in err and not (tmp_path / "none").exists()


def test_a_folder_is_exported_under_its_name(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = LanguageModelConfig(hidden_size=7, embedding_size=4)
    info = ModelInfo(task="language-model", model=config.to_dict())
    TextGenerator(LanguageModel(config, LETTERS.size), LETTERS, info).save(tmp_path / "mine")
    monkeypatch.chdir(tmp_path / "mine")
    for name in (".", "../mine/"):
        assert command("export", "--model", name)[:2] == (0, "mine-onnx/step.onnx\n")
        (tmp_path / "mine" / "mine-onnx").rename(tmp_path / f"done{len(name)}")


def test_what_cannot_be_exported_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = ClassifierConfig(cell="lstm-peephole", hidden_size=6, embedding_size=4)
    info = ModelInfo(task="classification", labels=("a", "b"))
    classifier = Classifier(ClassifierModel(config, LETTERS.size, 2), LETTERS, info)
    with pytest.raises(TextseqError, match=r"ONNX has layers for the cells rnn, rnn-relu, lstm and gru"):
        export_onnx(classifier, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(TextseqError, match="exists; name a new folder"):
        export_onnx(classifier, tmp_path)
    generator = TextGenerator(
        LanguageModel(LanguageModelConfig(hidden_size=7, embedding_size=4), LETTERS.size),
        LETTERS,
        ModelInfo(task="language-model"),
    )
    with pytest.raises(TextseqError, match="without a neural cache"):
        export_onnx(generator.adapted(cache=True), tmp_path / "out")
    with pytest.raises(TextseqError, match="expected a model in float32, got int8"):
        export_onnx(TextGenerator(generator.model, LETTERS, generator.info, precision="int8"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(TextseqError, match=r'export needs .* pip install "textseq\[onnx\]"'):
        export_onnx(classifier, tmp_path / "out")


WORDS = r" ?\S{1,100}|\s"
TEXTS = ["the cat sat on the mat, the cat\n  sat.\n", "The Cats — 100 % \t\n ▁é▁ <unk> 東 <0x41>", "x" * 120 + " é", ""]


@pytest.mark.parametrize(
    "options",
    [
        TokenizerConfig(),
        TokenizerConfig(tokenizer="byte"),
        TokenizerConfig(tokenizer="word", words="spaces"),
        TokenizerConfig(tokenizer="word", words="spaces", rare_words="unknown", lowercase=True),
        TokenizerConfig(tokenizer="subword", vocabulary_size=300),
    ],
    ids=lambda options: f"{options.tokenizer}-{options.rare_words}",
)
def test_texts_become_tokens_by_what_the_guide_says(tmp_path: Path, options: TokenizerConfig) -> None:
    tokenizer = TOKENIZERS[options.tokenizer].train([TEXTS[:1] * 3], options)
    config = LanguageModelConfig(hidden_size=3, embedding_size=2)
    generator = TextGenerator(LanguageModel(config, tokenizer.size), tokenizer, ModelInfo(task="language-model"))
    export_onnx(generator, tmp_path / "out")
    data = json.loads((tmp_path / "out" / "tokenizer.json").read_text())
    tokens = json.loads((tmp_path / "out" / "model.json").read_text())["tokens"]

    def spelled(text: str) -> list[str]:
        names = []
        for letter in text:
            halves = [f"<0x{half:X}>" for byte in letter.encode() for half in divmod(byte, 16)]
            names += [letter] if letter in data["characters"] else halves
        return names

    def word_of(match: str) -> list[str]:
        word = match.lower() if data["options"]["lowercase"] and not match.isspace() else match
        if word in tokens and word not in ("<unk>", " <unk>"):
            return [word]
        if data["options"]["rare_words"] == "spell":
            return spelled(word)
        other = word[1:] if word.startswith(" ") else f" {word}"
        known = other in tokens and other not in ("<unk>", " <unk>")
        return [other if known else " <unk>" if word.startswith(" ") else "<unk>"]

    def ids_of(text: str) -> list[int]:
        if data["kind"] == "char":
            return [tokens.index(token) for token in spelled(text)]
        if data["kind"] == "byte":
            return [*text.encode()]
        if data["kind"] == "word":
            matches = re.findall(r" ?\S{1,100}| ?\n|\s", text)
            return [tokens.index(token) for match in matches for token in word_of(match)]
        (tmp_path / "tokenizer.model").write_bytes(base64.b64decode(data["model"]))
        model = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "tokenizer.model"))
        ids = []
        for part in (part for match in re.findall(WORDS, text) for part in re.split("(▁)", match)):
            found = [1 + byte for byte in part.encode()] if part == "▁" else model.encode(part)
            ids += [n - 257 if n >= 257 else len(tokens) - 257 + n for n in found]
        return ids

    for text in TEXTS:
        assert ids_of(text) == tokenizer.encode(text).tolist()
        parts = (tokens[number] for number in ids_of(text))
        text = tokenizer.decode(tokenizer.encode(text))
        assert written(parts) == text


def written(names: Iterable[str]) -> str:
    """The text of tokens' names: bytes as they are, pairs of half-bytes, and others as UTF-8."""
    utf8, half = b"", ""
    for name in names:
        if re.fullmatch("<0x[0-9A-F]>", name):
            half += name[3]
        else:
            utf8 += bytes([int(name[3:5], 16)]) if re.fullmatch("<0x[0-9A-F]{2}>", name) else name.encode()
        if len(half) == 2:
            utf8, half = utf8 + bytes([int(half, 16)]), ""
    return utf8.decode()
