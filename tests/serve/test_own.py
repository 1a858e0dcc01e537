"""textseq's own addresses give what the predictors give, and the document describes all."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import pytest
from serving import Running

import textseq
from textseq.data.text import own_text
from textseq.errors import TextseqError
from textseq.serve.errors import RequestError
from textseq.serve.gathering import Gatherer, Operation
from textseq.serve.inside import Inside
from textseq.serve.metrics import Metrics
from textseq.serve.models import LoadedModel, ServedModels
from textseq.serve.operations import Classify, Explain, FindCopied, ScoreText, Translate, token_texts
from textseq.serve.settings import Limits
from textseq.tasks.classification.classifier import Classifier
from textseq.tasks.classification.label_classifier import Classification

pytest.importorskip("fastapi", reason="the extra serve is not installed")


def test_all_models_are_listed(running: Running) -> None:
    tasks = {entry["name"]: entry["task"] for entry in running.ask("/models")}
    assert tasks == {
        "author": "language-model",
        "en-fr": "translation",
        "fr-en": "translation",
        "mood": "classification",
        "pos": "tagging",
    }


def test_texts_are_classified_and_explained(running: Running) -> None:
    texts = ["a cat", "", "a mat sat"]
    answers = running.ask("/classify", {"model": "mood", "texts": texts, "explain": True})
    classifier = textseq.load_classifier("mood")
    for text, answer in zip(texts, answers, strict=True):
        assert answer["label"] == classifier.classify(text).label
        assert answer["probability"] == pytest.approx(classifier.classify(text).probability)
        explanation = classifier.explain(text)
        assert "".join(word["text"] for word in answer["explanation"]["words"]) == "".join(
            word for word, _ in explanation.words
        )
    assert "unknown label 'great'" in running.refusal(
        "/classify", {"model": "mood", "texts": "a", "explain": True, "label": "great"}
    )


def test_a_newer_checkpoint_ends_no_request(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    classify = Classifier.classify
    retired: list[Gatherer] = []

    def retire(classifier: Classifier, texts: list[str]) -> list[Classification]:
        retired.append(running.server.models._loaded["mood"].gatherer)
        retired[0].retire()
        return classify(classifier, texts)

    running.ask("/classify", {"model": "mood", "texts": ["a"]})
    monkeypatch.setattr(Classifier, "classify", retire)
    monkeypatch.setattr("textseq.serve.protocols.own.Explain", partial(_after_the_end, retired))
    assert running.ask("/classify", {"model": "mood", "texts": ["a cat"], "explain": True})[0]["explanation"]
    retired[0]._thread.join(20)
    assert not retired[0]._thread.is_alive(), "the old checkpoint is let go"
    monkeypatch.undo()
    for _ in range(2):  # who still holds the model can go on
        assert running.ask("/classify", {"model": "mood", "texts": ["a cat"]})


def _after_the_end(retired: list[Gatherer], *arguments: object) -> object:
    retired[0]._thread.join(20)
    return Explain(*arguments)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Slow(Operation[str]):
    """A loop over texts that waits at each."""

    batched: ClassVar[bool] = False
    seen: list[str]
    go: threading.Semaphore

    def __call__(self, texts: Sequence[str]) -> list[str]:
        for text in texts:
            self.seen.append(text)
            self.go.acquire(timeout=20)
        return [*texts]


class SlowTogether(Slow):
    """A batch with an error, whose texts are then computed one by one."""

    batched: ClassVar[bool] = True

    def __call__(self, texts: Sequence[str]) -> list[str]:
        if len(texts) > 1:
            raise TextseqError("one at a time")
        return super().__call__(texts)


@pytest.mark.parametrize("kind", [Slow, SlowTogether])
def test_work_ends_between_texts(kind: type[Slow]) -> None:
    gatherer = Gatherer("slow", Limits(), Metrics())
    cancelled, stopped = kind([], threading.Semaphore(0)), kind([], threading.Semaphore(0))

    async def until(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.01)

    async def run() -> None:
        first = asyncio.ensure_future(gatherer.compute(["a", "b", "c"], cancelled))
        await until(lambda: cancelled.seen == ["a"])
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        cancelled.go.release(3)
        second = asyncio.ensure_future(gatherer.compute(["d", "e", "f"], stopped))
        await until(lambda: stopped.seen == ["d"])
        gatherer.stop()
        begun = time.monotonic()
        gatherer.join(0.1)
        assert time.monotonic() - begun < 5
        stopped.go.release(3)
        with pytest.raises(RequestError, match="shutting down"):
            await second

    asyncio.run(run())
    assert (cancelled.seen, stopped.seen) == (["a"], ["d"])


def test_a_label_without_an_explanation_is_refused(running: Running) -> None:
    body = {"model": "mood", "texts": "a", "label": "good"}
    assert "label: expected only with explain" in running.refusal("/classify", body)


async def _loaded(gatherer: Gatherer, running: int, waiting: int) -> None:
    """Wait until so many texts are computed and wait."""
    async with asyncio.timeout(20):
        while gatherer.load != (running, waiting):
            await asyncio.sleep(0.01)


def test_texts_of_a_call_that_ends_no_longer_wait() -> None:
    gatherer = Gatherer("slow", Limits(max_running=3, max_waiting=3), Metrics())
    slow = Slow([], threading.Semaphore(0))

    async def run() -> None:
        first = asyncio.ensure_future(gatherer.compute(["a", "b", "c"], slow))
        await _loaded(gatherer, 1, 2)
        second = asyncio.ensure_future(gatherer.compute(["a", "b", "c"], slow))
        await _loaded(gatherer, 1, 5)
        with pytest.raises(RequestError, match="too busy: 5 texts are waiting"):
            await gatherer.compute(["d", "e"], slow)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        assert gatherer.load == (1, 2)
        slow.go.release(5)
        assert await gatherer.compute(["d", "e"], slow) == ["d", "e"]
        await first

    asyncio.run(run())
    gatherer.stop()


def test_a_long_list_leaves_room_for_other_calls() -> None:
    gatherer = Gatherer("slow", Limits(max_running=2, max_waiting=1), Metrics())
    slow = Slow([], threading.Semaphore(0))

    async def run() -> None:
        long = asyncio.ensure_future(gatherer.compute([*"abcdefgh"], slow))
        await _loaded(gatherer, 1, 1)
        slow.go.release(1)
        await _loaded(gatherer, 1, 0)
        others = [asyncio.ensure_future(gatherer.compute([text], slow)) for text in "xyz"]
        await _loaded(gatherer, 1, 3)
        with pytest.raises(RequestError, match="too busy: 3 texts are waiting"):
            await gatherer.compute(["w"], slow)
        slow.go.release(1)
        await _loaded(gatherer, 1, 4)  # the next texts of the list are not refused
        slow.go.release(9)
        assert await asyncio.gather(*others) == [["x"], ["y"], ["z"]]
        assert await long == [*"abcdefgh"]

    asyncio.run(run())
    assert "".join(slow.seen) == "abxyzcdefgh"
    gatherer.stop()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/classify", {"model": "mood", "texts": "a", "explain": True}),
        ("/translate", {"q": "a cat", "source": "auto", "target": "fr"}),
        ("/v1/completions", {"model": "author", "prompt": "a"}),
    ],
)
def test_the_time_of_a_request_is_that_of_all_its_work(
    running: Running, monkeypatch: pytest.MonkeyPatch, path: str, body: dict[str, object]
) -> None:
    opened = ServedModels.open

    async def slowly(models: ServedModels, name: str) -> LoadedModel:
        await asyncio.sleep(0.7)
        return await opened(models, name)

    changed = replace(running.server, limits=replace(running.server.limits, max_seconds=0.5))
    monkeypatch.setattr("textseq.serve.requests.server_of", lambda request: changed)
    monkeypatch.setattr(ServedModels, "open", slowly)
    assert "took more than 0.5 seconds" in running.refusal(path, body, 503)


@pytest.mark.parametrize("operation", [Explain, ScoreText, FindCopied, Inside])
def test_what_loops_over_texts_takes_them_one_by_one(operation: type[Operation[object]]) -> None:
    assert not operation.batched and Classify.batched and Translate.batched


def test_words_are_tagged(running: Running) -> None:
    (answer,) = running.ask("/tag", {"model": "pos", "texts": "a cat sat"})
    tagging = textseq.load_tagger("pos").tag("a cat sat")
    assert (answer["words"], answer["tags"]) == ([*tagging.words], [*tagging.tags])
    assert [span["text"] for span in answer["spans"]] == [span.text for span in tagging.spans]


def test_texts_are_scored(running: Running) -> None:
    (answer,) = running.ask("/score", {"model": "author", "texts": "a cat"})
    assert answer["nats"] == pytest.approx(textseq.load_generator("author").score("a cat").nats, abs=1e-4)
    assert "".join(piece["text"] for piece in answer["pieces"]) == "a cat"
    assert "expected a text, got an empty one" in running.refusal("/score", {"model": "author", "texts": ""})


def test_a_text_is_split_into_the_sentences_of_its_translation(running: Running) -> None:
    text = "Mr. Smith came. He sat.\n\n    ...\n  1. I am fine.\n"
    parts = running.ask("/sentences", {"text": text})
    assert "".join(part["text"] for part in parts) == text
    sentences = [part["text"] for part in parts if part["translate"]]
    assert sentences == ["Mr. Smith came.", "He sat.", "1. I am fine."]
    assert running.ask("/sentences", {"text": ""}) == []
    assert "text: expected at most 2,000 characters" in running.refusal("/sentences", {"text": "a" * 2_001})


def test_attention_belongs_to_the_translation(running: Running) -> None:
    answer = running.ask("/attention", {"model": "en-fr", "text": "a cat", "alternatives": 2})
    result = textseq.load_translator("en-fr").translate("a cat")
    best = answer["candidates"][0]
    assert best["text"] == result.text
    assert len(answer["candidates"]) <= 3
    assert len(best["attention"]) == len(best["tokens"])
    assert all(
        sum(row) == pytest.approx(1, abs=1e-3) and len(row) == len(answer["source"]) for row in best["attention"]
    )
    given = running.ask("/attention", {"model": "en-fr", "text": "a cat", "target": "un chat"})
    (one,) = given["candidates"]
    (expected,) = textseq.load_translator("en-fr").align(["a cat"], ["un chat"])
    assert (one["text"], one["tokens"], one["doubtful"]) == ("un chat", [*expected.tokens], expected.doubtful)
    assert one["log_p_per_token"] * len(one["tokens"]) == pytest.approx(
        textseq.load_translator("en-fr").score(["a cat"], ["un chat"])[0], rel=1e-4
    )
    assert len(one["attention"]) == len(one["tokens"])
    assert "empty" in running.refusal("/attention", {"model": "en-fr", "text": " ", "target": "un chat"})
    assert running.ask("/attention", {"model": "en-fr", "text": " "})["candidates"][0]["text"] == ""


def test_the_texts_of_tokens_are_the_translation(running: Running) -> None:
    text = "ça 🙂 cat"  # the model spells ç and the emoji
    given = running.ask("/attention", {"model": "en-fr", "text": "a cat", "target": text})
    best = given["candidates"][0]
    assert "".join(best["texts"]).strip() == text
    assert len(best["texts"]) == len(best["tokens"]) and best["tokens"][-1] == "</s>"
    assert "🙂" in best["texts"]
    assert token_texts(["<0xC3>", "<0x89>", "tats", "<0x25>", "</s>"]) == ["", "É", "tats", "%", ""]
    assert token_texts(["<0xC>", "<0x3>", "a", "<0x8>", "<0x9>"]) == ["", "", "\ufffda", "", "\ufffd"]


def test_the_tokens_of_a_character_show_it_once_in_the_source(running: Running) -> None:
    text = "a 🙂🙂 cat"
    answer = running.ask("/attention", {"model": "en-fr", "text": text})
    assert "".join(answer["source"]).strip() == text
    assert len(answer["source"]) == len(answer["candidates"][0]["attention"][0])


def test_a_unit_is_followed_over_a_text(running: Running) -> None:
    text = 'A "a cat" at last.\nA mat, A cat!'
    answer = running.ask("/inside", {"model": "author", "text": text, "quantity": "c"})
    assert "".join(answer["pieces"]) == text
    assert len(answer["values"]) == len(text)
    assert set(answer["quantities"]) >= {"h", "c", "f"} and (answer["layers"], answer["units"]) == (1, 24)
    assert "inside quotes" in {row["what"] for row in answer["followers"]}
    assert answer["followers"][0]["unit"] == answer["unit"]
    spelled = running.ask("/inside", {"model": "author", "text": "S a"})  # S is spelled in two tokens
    assert (spelled["pieces"], len(spelled["values"])) == (["S", "", " ", "a"], 4)
    assert "unknown quantity 'x'" in running.refusal("/inside", {"model": "author", "text": text, "quantity": "x"})
    assert "a unit below 24" in running.refusal("/inside", {"model": "author", "text": text, "unit": 24})


def test_health_and_metrics(running: Running) -> None:
    assert running.ask("/healthz")["models"] == 5
    status, headers, text = running.call("/metrics")
    assert status == 200 and headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'textseq_requests_total{path="/healthz",status="200"}' in text
    for line in text.splitlines():
        assert line.startswith("#") or float(line.rpartition(" ")[2]) >= 0


def test_the_document_describes_every_address(running: Running) -> None:
    paths = running.ask("/openapi.json")["paths"]
    assert set(paths) >= {"/v1/completions", "/v1/models", "/translate", "/detect", "/languages", "/classify", "/tag"}
    assert set(paths) >= {"/score", "/attention", "/inside", "/healthz", "/metrics", "/frontend/settings"}
    for path, methods in paths.items():
        for method in methods.values():
            assert method.get("description"), path
    assert running.call("/docs")[0] == 200


def test_copied_passages_are_found(running: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    training = "the cat sat on the mat and looked at the dog that was in the garden\n" * 3
    (tmp_path / "mine.txt").write_text(training, encoding="utf-8")
    corpus = own_text([tmp_path / "mine.txt"], validation=0)
    monkeypatch.setattr("textseq.serve.operations.training_text", lambda info: corpus)
    text = "A!" + training[4:50] + "!A" + training[10:20]
    answer = running.ask("/memorization", {"model": "author", "text": text})
    assert (answer["spans"], answer["longest"]) == ([[2, 48]], training[4:50])


def test_a_missing_training_text_is_said(running: Running) -> None:
    assert "letters" in running.refusal("/memorization", {"model": "author", "text": "a"})


def test_every_client_can_read_the_schemas(running: Running) -> None:
    assert "prefixItems" not in running.call("/openapi.json")[2], "tuples, which not every reader of OpenAPI knows"
