"""Conditional language models: the condition reaches every path alike, is learned, and is asked for clearly."""

from __future__ import annotations

import json
import re
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

import textseq
from textseq.checkpoints.registry import newest
from textseq.commands.train import Named
from textseq.config.decoding import DecodingConfig
from textseq.config.names import CellName
from textseq.config.training import TrainingConfig
from textseq.data.batching import Cursor
from textseq.data.corpora import catalog
from textseq.data.sources import TextData
from textseq.data.text import ConditionalDataset, own_text
from textseq.decoding.continuous import ContinuousBatch
from textseq.errors import Interrupted, TextseqError
from textseq.nn.kernels.compiled import text_loop
from textseq.nn.kernels.compiled.text_loop import CompilableStep
from textseq.tasks.language_model import generator as generators
from textseq.tasks.language_model.batches import Streams, WindowBatch
from textseq.tasks.language_model.condition import TextConditions, condition_numbers
from textseq.tasks.language_model.config import DataConfig, LanguageModelConfig
from textseq.tasks.language_model.generator import TextGenerator
from textseq.tasks.language_model.model import LanguageModel
from textseq.tasks.language_model.transfer import with_condition, without_condition

LABELS = ("anna", "bert", "carl")
SMALL = LanguageModelConfig(hidden_size=16, embedding_size=8, condition_size=4, dropout=0)
FAST = TrainingConfig(precision="float32", max_steps=60, learning_rate=0.03, warmup_steps=0, evaluate_every=30)

Result = tuple[int, str, str]


def model(cell: CellName = "lstm", layers: int = 1, **settings: bool) -> LanguageModel:
    torch.manual_seed(1)
    config = LanguageModelConfig(
        cell=cell, num_layers=layers, hidden_size=16, embedding_size=8, condition_size=4, dropout=0, **settings
    )
    made = LanguageModel(config, 11, len(LABELS)).eval()
    if (start := made.recurrent.start) is not None:
        torch.nn.init.normal_(start)
    return made


def texts(rows: int = 5, length: int = 9) -> tuple[Tensor, Tensor]:
    """Random ids (N, T) and a condition for each row, (N, K)."""
    random = torch.Generator().manual_seed(2)
    return torch.randint(11, (rows, length), generator=random), torch.eye(3)[torch.arange(rows) % 3]


MODELS = [
    *((cell, layers, {}) for cell in ("lstm", "gru", "rnn", "lstm-mogrifier") for layers in (1, 2)),
    ("lstm", 1, {"layer_norm": True}),
    ("lstm", 1, {"learn_initial_state": True}),
]


@pytest.mark.parametrize(("cell", "layers", "settings"), MODELS)
@torch.no_grad()
def test_every_path_computes_the_same(cell: CellName, layers: int, settings: dict[str, bool], float64: None) -> None:
    m = model(cell, layers, **settings)
    ids, numbers = texts()
    whole, state = m(ids, None, conditions=numbers[:, None].expand(-1, ids.shape[1], -1))
    step, states = m.stepper(), [m.initial_state(1, row) for row in numbers]
    for row, begun in enumerate(states):
        alone, after = m(ids[row : row + 1], begun)
        torch.testing.assert_close(alone[0], whole[row])
        first, between = m(ids[row : row + 1, :4], begun)  # in two parts
        torch.testing.assert_close(torch.cat([first, m(ids[row : row + 1, 4:], between)[0]], dim=1), alone)
        torch.testing.assert_close(after[-1][:, 0], state[-1][:, row])
        assert torch.equal(begun[-1], after[-1])
    joined = tuple(torch.cat(parts, dim=1) for parts in zip(*states, strict=True))
    for t in range(ids.shape[1]):
        logits, joined = step(ids[:, t], joined)
        torch.testing.assert_close(logits, whole[:, t])


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@torch.no_grad()
def test_a_zero_condition_is_none(cell: CellName, float64: None) -> None:
    m = model(cell)
    plain = LanguageModel(m.config, 11)
    weights = {name: tensor for name, tensor in m.state_dict().items() if not name.startswith("condition.")}
    weights["recurrent.layers.0.weight_ih_l0"] = weights["recurrent.layers.0.weight_ih_l0"][:, :8]
    plain.load_state_dict(weights)
    ids, numbers = texts()
    torch.testing.assert_close(m(ids, m.initial_state(5))[0], plain.eval()(ids)[0])
    assert not torch.allclose(m(ids, m.initial_state(5, numbers[0]))[0], plain(ids)[0])


@torch.no_grad()
def test_unconditional_weights_do_not_depend_on_conditions() -> None:
    weights = []
    for count in (0, 3):
        torch.manual_seed(1)
        weights.append(LanguageModel(SMALL, 11, count).state_dict())
    assert torch.equal(weights[0]["embedding.weight"], weights[1]["embedding.weight"])
    assert not any(name.startswith("condition") for name in weights[0])


def test_a_document_within_a_window_begins_with_its_own_condition(float64: None) -> None:
    m = model()
    ids, numbers = texts()
    conditions = numbers[:, None].repeat(1, 9, 1)
    conditions[:4, 4:] = numbers.flip(0)[:4, None]
    resets = torch.zeros(5, 9, dtype=torch.bool)
    resets[:4, 4] = True
    read, _ = m(ids, None, resets=resets, conditions=conditions)
    for row in range(4):
        begun = (m.initial_state(1, condition) for condition in (numbers[row], conditions[row, 4]))
        parts = (m(part[row : row + 1], state)[0] for part, state in zip((ids[:, :4], ids[:, 4:]), begun, strict=True))
        torch.testing.assert_close(torch.cat([*parts], dim=1)[0], read[row])
    for carry in (8, 5):  # windows that overlap are read in two parts
        batch = WindowBatch(ids[:, :-1], ids[:, 1:], resets[:, :-1], carry, 8, conditions[:, :-1])
        loss = m.loss(batch, None)
        torch.testing.assert_close(
            loss.nats, cross_entropy(read[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="sum")
        )
    loss.nats.backward()  # type: ignore[no-untyped-call]
    assert m.condition is not None
    assert all(p.grad is not None and p.grad.any() for p in m.condition.parameters())


@pytest.mark.skipif(find_spec("numba") is None, reason="needs the extra fast")
@torch.no_grad()
def test_the_compiled_loop_follows_a_change_of_condition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_loop, "PAYS", 1)
    monkeypatch.setattr(text_loop, "PAYS_LOADED", 1)
    m = model()
    step = m.stepper()
    assert isinstance(step, CompilableStep)
    loop = step.loop(20)
    assert loop is not None
    config, random = DecodingConfig(temperature=1.0, min_p=0), torch.Generator().manual_seed(3)
    ids, numbers = texts(1)
    for row in (numbers[0], torch.tensor([0.5, 0.0, 0.5]), torch.zeros(3)):
        noise = torch.empty(7, 11).exponential_(generator=random)
        written = loop.write(ids[0], m.initial_state(1, row), noise, config)
        state = m.initial_state(1, row)
        for token in [*ids[0], *written.tokens[:-1]]:
            logits, state = step(token[None], state)
        torch.testing.assert_close(written.logits, logits[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(written.state, state, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_texts_of_several_conditions_share_a_running_batch(float64: None) -> None:
    m, (ids, numbers) = model(), texts()
    config = DecodingConfig(temperature=0, max_new_tokens=6)
    states = iter(m.initial_state(1, row) for row in numbers)
    batch = ContinuousBatch(m.stepper(), lambda count: next(states))
    rows = [batch.join(row[:3].tolist(), config) for row in ids]
    while batch.rows:
        batch.advance()
    for row, condition in zip(rows, numbers, strict=True):
        tokens = row.tokens[:3]
        for _ in range(6):
            logits, _ = m(torch.tensor([tokens]), m.initial_state(1, condition))
            tokens.append(int(logits[0, -1].argmax()))
        assert row.tokens == tokens


class Encoded:
    """A text whose tokens are their own positions, of three documents."""

    ids = np.arange(100, dtype=np.uint16)
    document_starts = np.array([0, 30, 75])


@pytest.mark.parametrize("block", [None, 10, 16])
def test_batches_give_each_token_its_condition(block: int | None) -> None:
    conditions = TextConditions(Encoded.document_starts, np.array([2, 0, 2]), np.eye(3, dtype=np.float32))
    config = DataConfig(batch_size=2, window=5, shuffle_block=block, reset_probability=0)
    streams = Streams(Encoded(), config, 1, conditions)
    for epoch in range(2):
        cursor, read = Cursor(epoch), []
        while cursor.epoch == epoch:
            batch, after = streams.batch(cursor)
            again, _ = streams.batch(cursor)
            assert torch.equal(batch.inputs, again.inputs)
            assert batch.conditions is not None
            places = batch.inputs.numpy()
            expected = np.array([2, 0, 2])[np.searchsorted(Encoded.document_starts, places, side="right") - 1]
            assert (batch.conditions.argmax(dim=2).numpy() == expected).all()
            begins = np.isin(places, Encoded.document_starts)
            begins[:, 0] |= cursor.position % streams.block == 0
            resets = torch.zeros_like(batch.inputs, dtype=torch.bool) if batch.resets is None else batch.resets
            assert (resets.numpy() == begins).all()
            read += batch.inputs.flatten().tolist()
            cursor = after
        assert len(read) == len(set(read)) == streams.stream_length * 2


def test_conditions_as_numbers() -> None:
    for same in ("bert", {"bert": 2}, "bert=0.5", "bert=1,anna=0"):
        assert condition_numbers(same, LABELS, 0).tolist() == [0, 1, 0]
    blend = condition_numbers("anna=0.75, carl=0.25", LABELS, 0)
    assert blend.tolist() == [0.75, 0, 0.25] == condition_numbers({"anna": 3, "carl": 1}, LABELS, 0).tolist()
    assert condition_numbers("a=b", ["a=b"], 0).tolist() == [1]
    assert condition_numbers("a, b=3,a=b=1", ["a=b", "a, b"], 0).tolist() == [0.25, 0.75]
    assert condition_numbers("0.5,-1", (), 2).tolist() == [0.5, -1] == condition_numbers([0.5, -1], (), 2).tolist()


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ("brt", "did you mean .bert"),
        ("anna=0.5,zed=0.5", "unknown label 'zed'"),
        ("anna=much", "shares such as"),
        ({"anna": -1}, "at least 0"),
        ({"anna": "1"}, "at least 0, got anna='1'"),
        ({"anna": float("nan")}, "at least 0"),
        ("anna=0", "above 0"),
        ("anna=1,bert=1,anna=2", "one share of each label"),
        ([1, 2, 3], "expected a label"),
    ],
)
def test_bad_labels(condition: object, says: str) -> None:
    with pytest.raises(TextseqError, match=says):
        condition_numbers(condition, LABELS, 0)  # type: ignore[arg-type]


@pytest.mark.parametrize("condition", ["anna", "1", "1,2,3", "1,nan", [1], {"a": 1}, ["x", "y"], "", 3])
def test_bad_vectors(condition: object) -> None:
    with pytest.raises(TextseqError, match="vector of 2"):
        condition_numbers(condition, (), 2)  # type: ignore[arg-type]


def poems(path: str = "poems.csv") -> str:
    rows = [
        f"{letters * length},{label}" for length in range(6, 26) for letters, label in (("ab", "anna"), ("cd", "bert"))
    ]
    Path(path).write_text("text,label\n" + "\n".join(rows), encoding="utf-8")
    return path


def trained(name: str = "poets", **options: object) -> TextGenerator:
    settings: dict[str, Any] = {"labelled": poems(), "condition": "label", "training": FAST} | options
    made = textseq.train(
        name=name, model=SMALL, data=DataConfig(batch_size=4, window=16), progress=False, overwrite=True, **settings
    )
    assert isinstance(made, TextGenerator)
    return made


def test_two_authors_are_told_apart(empty_home: Path, command: Callable[..., Result]) -> None:
    said: list[str] = []
    writer = trained(report=said.append)
    assert said[-1].endswith("use it with: textseq-sample --author poets --condition anna")
    assert writer.info.labels == ("anna", "bert")
    for label, letters in (("anna", "ab"), ("bert", "cd")):
        text = writer.generate(condition=label, max_new_tokens=20, temperature=0)
        assert set(text.strip()) == set(letters)
        other = "bert" if label == "anna" else "anna"
        own = writer.score(letters * 8, condition=label).nats_per_token
        assert own * 3 < writer.score(letters * 8, condition=other).nats_per_token
        assert writer.under(label).score(letters * 8).nats_per_token == own
        assert writer.generate_all(condition={label: 1}, max_new_tokens=20, temperature=0) == [text]
        assert textseq.load_generator(label).generate(max_new_tokens=20, temperature=0) == text
        assert writer.next(condition=label)[0].text in letters
    same = writer.stream(condition="bert", changes={3: "bert"}, max_new_tokens=20, temperature=0)
    assert "".join(same) == writer.generate(condition="bert", max_new_tokens=20, temperature=0)
    beams = writer.generate(condition="bert", num_beams=2, max_new_tokens=9)
    assert set(beams.strip()) == {"c", "d"}
    metrics = writer.evaluate(TextData(labelled=("poems.csv",)).open(), "validation")
    assert metrics.nats_per_token < 0.5
    code, out, err = command("sample", "--author", "poets", "--condition", "bert", "--max-new-tokens", "9")
    assert code == 0 and set(out.strip()) <= {"c", "d"} and "--author poets --condition bert" in err
    code, blended, _ = command("sample", "--author", "anna=1,bert=0", "--seed", "1", "--max-new-tokens", "9")
    assert code == 0 and blended == command("sample", "--author", "anna", "--seed", "1", "--max-new-tokens", "9")[1]
    for arguments, says in (
        (("--author", "poets"), "anna, bert"),
        (("--author", "poets", "--condition", "ana"), "did you mean 'anna'"),
        (("--author", "ana"), "unknown model 'ana'; did you mean 'anna'"),
        (("--author", "ana=0.5,bert=0.5"), "unknown author 'ana'; did you mean 'anna'"),
    ):
        code, _, err = command("sample", *arguments)
        assert code == 2 and says in err and "Traceback" not in err
    code, out, _ = command("sample", "--list-authors")
    assert code == 0 and out.splitlines()[0] == "Other:" and "  anna  one of the 2 authors of the model in poets" in out
    code, out, _ = command("evaluate", "--labelled", "poems.csv", "--model", "poets", "--json")
    assert code == 0 and json.loads(out)["nats_per_token"] < 0.5


def test_a_text_without_labels_is_measured_under_a_condition(empty_home: Path, command: Callable[..., Result]) -> None:
    writer = trained()
    text = "abababab" * 20
    Path("text.txt").write_text(text, encoding="utf-8")
    Path("plain.txt").write_text("the cat sat on the mat\n" * 40, encoding="utf-8")
    trained("plain", labelled=(), condition=None, text="plain.txt", training=TrainingConfig(max_steps=2))
    source = own_text([Path("text.txt")], validation=0)
    for condition in ("anna", "bert", {"anna": 0.5, "bert": 0.5}):
        metrics = writer.evaluate(source, "train", condition=condition)
        assert metrics.nats == pytest.approx(writer.score(text, condition=condition).nats)
        assert writer.under(condition).evaluate(source, "train") == metrics
        assert "|condition:" + metrics.condition in metrics.signature
    adapted = writer.evaluate(source, "train", condition="bert", dynamic=True, cache=True)
    assert adapted.nats < writer.evaluate(source, "train", condition="bert").nats
    flags = ("--text", "text.txt", "--model")
    code, out, _ = command("evaluate", *flags, "anna", "--json")
    expected = writer.evaluate(source, "train", condition="anna").to_dict()
    assert code == 0 and json.loads(out) == expected and expected["condition"] == "anna"
    assert command("evaluate", *flags, "poets", "--condition", "anna", "--json")[:2] == (code, out)
    code, out, _ = command("evaluate", *flags, "anna=0.5,bert=0.5")
    assert code == 0 and ", under anna=0.5,bert=0.5\n" in out and "|condition:anna=0.5,bert=0.5|" in out
    assert command("evaluate", "--labelled", "poems.csv", "--model", "poets", "--condition", "label")[0] == 0
    for arguments, says in (
        ((*flags, "poets"), "labels that the model is conditioned on.*or one for all with --condition"),
        ((*flags, "poets", "--condition", "ana"), "did you mean 'anna'"),
        ((*flags, "anna", "--condition", "bert"), "--condition: expected none beside --model anna, got bert"),
        ((*flags, "plain", "--condition", "bert"), "expected none, as the model has no condition; got 'bert'"),
        ((*flags, "poets", "--condition", "label"), "--condition: expected none for --text text.txt, got label"),
        (("--labelled", "poems.csv", "--model", "anna"), "expected none for 'poems.csv', whose texts have labels"),
    ):
        code, _, err = command("evaluate", *arguments)
        assert code == 2 and re.search(says, err) and "Traceback" not in err


def test_a_folder_of_files_has_a_label_for_each(empty_home: Path) -> None:
    Path("authors").mkdir()
    Path("authors", "anna.txt").write_text("abab" * 100, encoding="utf-8")
    Path("authors", "bert.txt").write_text("cdcd" * 50, encoding="utf-8")
    Path("authors", ".hidden").write_text("no author", encoding="utf-8")
    source = TextData(labelled=("authors",), validation=0.25)
    dataset = source.open()
    assert isinstance(dataset, ConditionalDataset) and dataset.labels == ("anna", "bert")
    read = {
        split: [("".join(text)[1:], label) for text, label in dataset.conditional_documents(split)]
        for split in dataset.splits
    }
    assert read["train"] == [("abab" * 75, "anna"), ("cd" * 75, "bert")]
    assert read["validation"] == [("abab" * 25, "anna"), ("cd" * 25, "bert")]
    writer = trained(labelled="authors", condition=None)
    assert set(writer.generate(condition="bert", max_new_tokens=20, temperature=0).strip()) == {"c", "d"}
    plain = replace(source, condition="none").open()
    assert ["".join(text) for text in plain.documents("train")] == ["abab" * 75, "cd" * 75]
    with pytest.raises(TextseqError, match=r"a folder for each label.*a language model learns: --task language-model"):
        textseq.train_classifier(labelled="authors", name="c", progress=False)
    Path("authors", "anna.txt").write_text("", encoding="utf-8")
    with pytest.raises(TextseqError, match=r"no text in 'authors/anna.txt'"):
        source.open()
    for name, told in (
        ("a\tb.txt", "whose name can be a label"),
        (" .txt", "whose name can be"),
        ("a.csv", "got the table"),
    ):
        Path("others").mkdir()
        Path("others", name).write_text("abab", encoding="utf-8")
        with pytest.raises(TextseqError, match=told):
            TextData(labelled=("others",)).open()
        shutil.rmtree("others")


def test_labels_in_other_normal_forms_are_one(empty_home: Path) -> None:
    apart, whole = "C\u030capek", "\u010capek"
    Path("poems.csv").write_text(f"text,label\nabab,{apart}\nbaba,{whole}\nab,Poe\nbb,Poe\n", encoding="utf-8")
    for folder in (apart, whole, "Poe"):
        Path("folders", folder).mkdir(parents=True)
        Path("folders", folder, "text.txt").write_text("ab", encoding="utf-8")
    Path("files").mkdir()
    Path("files", f"{apart}.txt").write_text("abab", encoding="utf-8")
    for name, labels in (("poems.csv", ("Poe", whole)), ("folders", ("Poe", whole)), ("files", (whole,))):
        dataset = TextData(labelled=(name,), validation=0).open()
        assert isinstance(dataset, ConditionalDataset) and dataset.labels == labels
    for given in (apart, f"{apart}=1", {apart: 1.0}):
        assert condition_numbers(given, ["Poe", whole], 0).tolist() == [0, 1]
    Path("rows.csv").write_text("text,label\n" + f"{'ab' * 9},{apart}\n{'ba' * 9},Poe\n" * 9, encoding="utf-8")
    poems_of = trained(labelled="rows.csv", validation=0, training=TrainingConfig(max_steps=1))
    assert textseq.load_generator(apart).score("ab").nats == poems_of.score("ab", condition=whole).nats


def test_a_condition_may_change_within_a_text(empty_home: Path) -> None:
    writer = trained(training=TrainingConfig(max_steps=5))
    state, tokens = writer.initial_state(1, "anna"), writer.context("a", "anna")[0].tolist()
    with torch.inference_mode():
        for token in tokens[:-1]:
            _, state = writer.step(torch.tensor([token]), state)
        for written in range(9):
            if written == 4:
                state = (*state[:-1], writer.initial_state(1, "bert")[-1])
            logits, state = writer.step(torch.tensor(tokens[-1:]), state)
            tokens.append(int(logits.argmax()))
    stream = writer.stream("a", condition="anna", changes={4: "bert"}, max_new_tokens=9, temperature=0)
    assert "".join(stream) == writer.tokenizer.decode(np.array(tokens[1:]))
    with pytest.raises(TextseqError, match="num_beams"):
        writer.stream(condition="anna", changes={4: "bert"}, num_beams=2)
    with pytest.raises(TextseqError, match="unknown label"):
        writer.stream(condition="anna", changes={4: "berta"})
    for wrong in ({"4": "bert"}, {-1: "bert"}):
        with pytest.raises(TextseqError, match="changes: expected numbers of tokens, 0 or more, got"):
            writer.stream(condition="anna", changes=wrong)  # type: ignore[arg-type]
    cached = writer.adapted(cache=True)  # reads no text, and so needs no condition
    assert cached.generate("a", condition="anna", max_new_tokens=3, temperature=0).startswith("a")


def test_what_has_no_condition_refuses_one(empty_home: Path) -> None:
    Path("plain.txt").write_text("the cat sat on the mat\n" * 40, encoding="utf-8")
    plain = trained("plain", labelled=(), condition=None, text="plain.txt", training=TrainingConfig(max_steps=2))
    assert plain.info.labels == () and not plain.info.vector_size
    with pytest.raises(TextseqError, match="no condition"):
        plain.generate(condition="anna")
    poets = trained(training=TrainingConfig(max_steps=2))
    with pytest.raises(TextseqError, match="anna, bert"):
        poets.generate()
    with pytest.raises(TextseqError, match="labels that the model is conditioned on"):
        poets.evaluate(TextData(text=("plain.txt",)).open(), "validation")
    with pytest.raises(TextseqError, match="without a condition"):
        textseq.train_classifier(labelled="poems.csv", init_from="poets", name="c", progress=False)
    with pytest.raises(TextseqError, match="--condition: expected none for --text"):
        TextData(text=("plain.txt",), condition="label").open()
    assert trained("none", condition="none", training=TrainingConfig(max_steps=2)).info.labels == ()


def test_more_authors_may_join(empty_home: Path) -> None:
    first = trained()
    Path("more.csv").write_text(Path("poems.csv").read_text().replace("cd", "ef").replace("bert", "carl"), "utf-8")
    more = trained("more", labelled="more.csv", init_from="poets", training=TrainingConfig(max_steps=1))
    assert more.info.labels == ("anna", "bert", "carl")
    assert more.model.condition is not None and first.model.condition is not None
    drift = (more.model.condition.table[:2] - first.model.condition.table).abs().max()
    assert float(drift.detach()) < 0.02  # one step of AdamW


def test_a_vector_becomes_a_text(empty_home: Path) -> None:
    rows = [
        {"text": ("xy" if x > 0 else "zw") * length, "vector": [x, 1]}
        for length in range(6, 16)
        for x in (-1, 1, -0.5, 0.5)
    ]
    Path("rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    writer = trained(labelled="rows.jsonl", condition="vector")
    given = writer.evaluation_source(TextData(labelled=("rows.jsonl",)))
    assert isinstance(given, TextData) and given.condition == "vector"
    assert (writer.info.labels, writer.info.vector_size) == ((), 2)
    texts = [writer.generate(condition=[x, 1], max_new_tokens=12, temperature=0).strip() for x in (-0.8, 0.8)]
    assert [set(text) for text in texts] == [set("zw"), set("xy")]
    assert (
        textseq.load_generator("poets").generate(condition="0.8,1", max_new_tokens=12, temperature=0).strip()
        == texts[1]
    )
    Path("rows.csv").write_text('text,features\nab,"1, 2"\ncd,3 4\n', encoding="utf-8")
    assert TextData(labelled=("rows.csv",), condition="vector", validation=0).open().rows("train")
    for content, says in (
        ('{"text": "a", "vector": [1, "b"]}', "without a vector"),
        ('{"text": "a", "vector": [1]}\n{"text": "b", "vector": [1, 2]}', "vectors of one size"),
        ('{"text": "a", "label": "b"}', "--vector-column"),
    ):
        Path("bad.jsonl").write_text(content, encoding="utf-8")
        with pytest.raises(TextseqError, match=says):
            TextData(labelled=("bad.jsonl",), condition="vector", validation=0).open()


def test_a_stopped_run_goes_on_as_if_it_had_not(empty_home: Path) -> None:
    steps = TrainingConfig(precision="float32", max_steps=12, evaluate_every=6, save_every=3)
    whole = trained("whole", training=steps)

    def stop(line: str) -> None:
        if line.startswith("step 6"):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        trained("stopped", training=steps, report=stop)
    again = textseq.resume("stopped", progress=False)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name]), name
    assert newest(empty_home / "runs/stopped", "last")


def test_a_corpus_of_several_authors(data_file: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = data_file("authors/en/nietzsche-keras.txt").parents[2]
    data_file("nltk_data/corpora/gutenberg.zip")
    texts = {name: text for name, text in catalog.recipe_files().items() if name in ("nietzsche", "doyle", "gutenberg")}
    texts["both"] = (
        catalog.recipe_files()["english-authors"].replace('"english-authors"', '"both"').split("[authors]")[0]
    )
    texts["both"] += (
        '[authors]\nn = ["2*nietzsche/*"]\nd = ["doyle"]\nb = ["gutenberg/*blake-poems.txt"]\n'
        "[[sources]]\nurls = []\nfiles = {}\n"
    )
    monkeypatch.setattr(catalog, "recipe_files", lambda: texts)
    both = TextData(corpus="both").open(data_dir=folder)
    assert isinstance(both, ConditionalDataset) and both.labels == ("n", "d", "b")
    for split in ("train", "validation", "test"):
        documents = {label: [*TextData(corpus=corpus).open(data_dir=folder).documents(split)]
                     for label, corpus in (("n", "nietzsche"), ("d", "doyle"))}  # fmt: skip
        expected = [("n", "".join(document)) for document in documents["n"]] * (2 if split == "train" else 1)
        expected += [("d", "".join(document)) for document in documents["d"]]
        got = [(label, "".join(document)) for document, label in both.conditional_documents(split)]
        *others, (label, blake) = got
        assert others == [(label, "\n" + text) for label, text in expected]
        assert label == "b" and "\n " not in blake and len(blake) > 1500  # without indentation, as [formats] says
    alone = both.only("d")
    assert alone.labels == both.labels and {label for _, label in alone.rows("train")} == {"d"}
    assert alone.fingerprint != both.fingerprint
    plain = TextData(corpus="both", condition="none").open(data_dir=folder)
    assert not isinstance(plain, ConditionalDataset) and len([*plain.documents("test")]) == 3


def test_labelled_files_are_for_a_classifier_unless_said_otherwise() -> None:
    assert Named(["--labelled", "a.csv"]).task()[0].name == "classification"
    assert Named(["--labelled", "a.csv", "--condition", "label"]).task()[0].name == "language-model"
    assert Named(["--labelled", "a.csv", "--task", "language-model"]).task()[0].name == "language-model"


def test_long_texts_are_scored_in_chunks(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = trained(training=TrainingConfig(max_steps=5))
    whole = writer.score("abcd" * 20, condition="anna=0.5,bert=0.5").surprisal
    monkeypatch.setattr(generators, "CHUNK", 7)
    assert writer.score("abcd" * 20, condition={"anna": 1, "bert": 1}).surprisal == pytest.approx(whole, abs=1e-4)


def test_who_wrote_this(empty_home: Path, command: Callable[..., Result]) -> None:
    writer, who = trained(), textseq.load_classifier("poets")
    texts = ["ababab", "cdcdcdcdcd", "abcd", ""]
    for text, result in zip(texts, who.classify(texts), strict=True):
        nats = [-writer.score(text, condition=label).nats if text else 0.0 for label in who.labels]
        expected = torch.tensor(nats, dtype=torch.float64).softmax(0)
        assert [*result.probabilities] == ["anna", "bert"]
        assert [*result.probabilities.values()] == pytest.approx(expected.tolist(), abs=1e-5)
    assert [result.label for result in who.classify(texts[:2])] == ["anna", "bert"]
    assert who.classify("", unsure_below=0.65).label == "unsure"
    explanation = who.explain("ababab cdcdcdcd")
    changes = {word.strip(): nats for word, nats in explanation.words}
    assert changes["ababab"] < 0 if explanation.label == "bert" else changes["ababab"] > 0
    assert explanation.gap == pytest.approx(0) and explanation.score == pytest.approx(sum(changes.values()))
    one, other = (who.explain("abcab", label=label).score for label in ("anna", "bert"))
    assert one == pytest.approx(-other)
    code, out, _ = command("classify", "cdcdcd", "--model", "poets", "--explain")
    assert code == 0 and out.startswith("bert\t") and "log odds" in out
    assert who.evaluate(TextData(labelled=("poems.csv",), condition="none").open(), "validation").accuracy == 1  # type: ignore[arg-type, union-attr]
    with pytest.raises(TextseqError, match="unknown label 'ana'"):
        who.explain("ab", label="ana")
    Path("plain.txt").write_text("the cat sat on the mat\n" * 40, encoding="utf-8")
    trained("plain", labelled=(), condition=None, text="plain.txt", training=TrainingConfig(max_steps=2))
    with pytest.raises(TextseqError, match="expected a classifier"):
        textseq.load_classifier("plain")


@pytest.mark.parametrize(
    ("cell", "layers"), [("lstm", 2), ("gru", 1), ("gru-reset-before", 1), ("rnn", 1), ("minlstm", 1)]
)
@torch.no_grad()
def test_a_condition_is_dropped_and_added(cell: CellName, layers: int, float64: None) -> None:
    m = model(cell, layers)
    plain, again = LanguageModel(m.config, 11).eval(), model(cell, layers)
    ids, numbers = texts()
    for condition in (numbers[1], torch.tensor([0.2, 0.5, 0.3])):
        plain.load_state_dict(without_condition(m, condition))
        read, (*after, _) = m(ids, m.initial_state(5, condition))
        same, state = plain(ids, m.initial_state(5, condition)[:-1])
        torch.testing.assert_close(same, read)
        torch.testing.assert_close(state, tuple(after))
    again.load_state_dict(with_condition(again, plain.state_dict()))
    for condition in numbers[:3]:
        torch.testing.assert_close(again(ids, again.initial_state(5, condition))[0], plain(ids)[0])


def test_an_added_condition_is_learned() -> None:
    torch.manual_seed(3)
    plain, m = LanguageModel(SMALL, 11), model()
    m.load_state_dict(with_condition(m, plain.state_dict()))
    ids, numbers = texts()
    conditions = numbers[:, None].expand(-1, ids.shape[1], -1)
    optimizer = torch.optim.Adam(m.parameters(), lr=0.01)
    for _ in range(2):  # the second step reaches the vectors of the labels
        optimizer.zero_grad()
        batch = WindowBatch(ids[:, :-1], ids[:, 1:], None, 8, 8, conditions[:, :-1])
        m.loss(batch, None).nats.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert m.condition is not None
    assert all(p.grad is not None and p.grad.any() for p in m.condition.parameters())


@pytest.mark.parametrize("settings", [{"layer_norm": True}, {"cell": "lstm-mogrifier"}])
def test_a_condition_that_enters_with_the_token_is_not_dropped(settings: dict[str, Any]) -> None:
    m = model(**settings)
    plain = LanguageModel(m.config, 11)
    refused = "--from: expected both models with a condition or both without one"
    with pytest.raises(TextseqError, match=refused):
        without_condition(m, torch.ones(3))
    with pytest.raises(TextseqError, match=refused):
        with_condition(m, plain.state_dict())


def test_a_model_is_trained_further_on_data_without_its_condition(empty_home: Path) -> None:
    short = TrainingConfig(max_steps=1, learning_rate=1e-6)
    poets = trained()
    Path("anna.txt").write_text("abab" * 200, encoding="utf-8")
    Path("else.txt").write_text("abcd" * 200, encoding="utf-8")
    said: list[str] = []
    plain: dict[str, Any] = {"labelled": (), "condition": None, "init_from": "poets", "training": short}
    mean = trained("else", text="else.txt", report=said.append, **plain)
    assert mean.info.labels == () and mean.info.init_from == "poets"
    assert any("the mean of its labels is where the new model begins" in line for line in said)
    assert any(line.endswith("its tokenizer is kept; your data add nothing") for line in said)
    assert mean.score("abab" * 9).nats_per_token < 2 * poets.score("abab" * 9, condition="bert").nats_per_token
    named = trained("named", text="anna.txt", **plain)
    assert set(named.generate("ab", max_new_tokens=20, temperature=0).strip()) <= {"a", "b"}
    bert = trained("bert's", text="else.txt", **(plain | {"init_from": "bert"}))
    assert bert.info.init_from == "bert" and set(bert.generate("cd", max_new_tokens=20, temperature=0)) <= {*"cd\n"}
    blended = trained("both", text="else.txt", **(plain | {"init_from": "anna=0,bert=1"}))
    assert blended.score("cdcd").nats == pytest.approx(bert.score("cdcd").nats, rel=1e-3)
    with pytest.raises(TextseqError, match="unknown model 'berta'; did you mean 'bert'"):
        trained("berta", text="else.txt", **(plain | {"init_from": "berta"}))
    said.clear()
    more = trained("more", init_from="else", training=short, report=said.append)
    assert more.info.labels == ("anna", "bert") and any("no condition and your data have one" in line for line in said)
    assert more.score("abab", condition="anna").nats == pytest.approx(
        more.score("abab", condition="bert").nats, rel=1e-3
    )
    assert more.score("abab", condition="anna").nats == pytest.approx(mean.score("abab").nats, rel=1e-3)
    Path("vectors.jsonl").write_text(
        "".join(f'{{"text": "{"ab" * n}", "vector": [1, {n}]}}\n' for n in range(1, 31)), encoding="utf-8"
    )
    with pytest.raises(TextseqError, match="is a label, where that of your data is a vector of 2 numbers"):
        trained("other", labelled="vectors.jsonl", condition="vector", init_from="poets", training=short)
