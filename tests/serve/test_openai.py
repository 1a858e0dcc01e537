"""OpenAI's protocol, by its own client and by hand: texts are those of ``generate``, alone and in company."""

from __future__ import annotations

import http.client
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from serving import Running

import textseq
from textseq.nn.kernels.compiled import text_loop
from textseq.serve.engine import text_of_tokens
from textseq.tasks.language_model.config import GenerationSettings
from textseq.tasks.language_model.generator import TextGenerator
from textseq.tokenizers.characters import CharTokenizer

pytest.importorskip("fastapi", reason="the extra serve is not installed")


@pytest.fixture(scope="module")
def openai() -> Any:
    """The client's package, imported when a test needs it, for it takes seconds."""
    return pytest.importorskip("openai", reason="the openai client is not installed")


@pytest.fixture(scope="module")
def client(running: Running, openai: Any) -> Any:
    with openai.OpenAI(base_url=f"{running.url}/v1", api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def author(running: Running) -> TextGenerator:
    return textseq.load_generator("author")


def test_its_client_lists_models(client: Any, openai: Any) -> None:
    assert [model.id for model in client.models.list()] == ["author"]
    assert client.models.retrieve("author").owned_by == "you"
    with pytest.raises(openai.NotFoundError, match="unknown model 'nobody'"):
        client.models.retrieve("nobody")


@pytest.mark.parametrize(
    ("asked", "settings"),
    [
        ({}, {}),
        ({"temperature": 0.9, "top_p": 0.5}, {"temperature": 0.9, "top_p": 0.5}),
        ({"stop": "e"}, {"stop_strings": ("e",)}),
        ({"logit_bias": {"10": 4, "q": -3}}, {"logit_bias": {"a": 4.0, "q": -3.0}}),
    ],
)
def test_its_client_gets_the_text_of_generate(
    client: Any, author: TextGenerator, asked: dict[str, Any], settings: GenerationSettings
) -> None:
    assert author.tokenizer.vocabulary[10] == "a"
    completion = client.completions.create(model="author", prompt="the ", max_tokens=40, seed=3, **asked)
    same: GenerationSettings = {**settings, "max_new_tokens": 40, "seed": 3}
    expected = author.generate("the ", **same)
    (choice,) = completion.choices
    assert "the " + choice.text == expected
    assert choice.finish_reason == ("stop" if "stop" in asked and len(expected) < 44 else "length")
    assert completion.usage.prompt_tokens == 4
    assert completion.usage.completion_tokens + 4 == completion.usage.total_tokens


def test_its_client_streams(client: Any, author: TextGenerator) -> None:
    stream = client.completions.create(
        model="author",
        prompt=["the ", "a "],
        max_tokens=30,
        n=2,
        seed=5,
        stream=True,
        stream_options={"include_usage": True},
    )
    texts, reasons, usage = [""] * 4, [""] * 4, []
    for chunk in stream:
        usage += [chunk.usage.completion_tokens] if chunk.usage else []
        for choice in chunk.choices:
            texts[choice.index] += choice.text
            reasons[choice.index] = choice.finish_reason
    assert reasons == ["length"] * 4
    assert usage == [4 * 30]
    expected = [author.generate(prompt, max_new_tokens=30, seed=seed) for prompt in ("the ", "a ") for seed in (5, 6)]
    assert [prompt + text for prompt, text in zip(["the ", "the ", "a ", "a "], texts, strict=True)] == expected


def test_all_streams_together_get_so_many_deliveries(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"model": "author", "prompt": "a", "max_tokens": 200, "n": 4, "seed": 1}
    whole = [choice["text"] for choice in running.ask("/v1/completions", body)["choices"]]
    monkeypatch.setattr("textseq.serve.engine.DELIVERIES", 0.01)  # of each of four texts, one in 400 seconds
    events = running.call("/v1/completions", {**body, "stream": True})[2].split("\n\n")[:-2]
    choices = [json.loads(event[6:])["choices"][0] for event in events]
    for number, text in enumerate(whole):
        first, rest = (choice for choice in choices if choice["index"] == number)
        assert len(first["text"]) == 1, "the first token is sent at once"
        assert first["text"] + rest["text"] == text


def test_blocks_of_the_compiled_loop_end_at_a_stop(
    running: Running, author: TextGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("numba", reason="needs numba")
    body = {"model": "author", "prompt": "a", "max_tokens": 300, "temperature": 0}
    (whole,) = running.ask("/v1/completions", body)["choices"]
    monkeypatch.setattr(text_loop, "PAYS", 0)
    answer = running.ask("/v1/completions", body | {"stop": whole["text"][9:12]})
    (choice,), cut = answer["choices"], whole["text"].index(whole["text"][9:12])
    assert (choice["text"], choice["finish_reason"]) == (whole["text"][:cut], "stop")
    assert answer["usage"]["completion_tokens"] == cut + 3
    (choice,) = running.ask("/v1/completions", body)["choices"]
    assert choice == whole


def test_the_client_gets_its_kinds_of_errors(client: Any, openai: Any) -> None:
    with pytest.raises(openai.NotFoundError, match="unknown model 'autor'; did you mean 'author'"):
        client.completions.create(model="autor", prompt="a")
    with pytest.raises(openai.BadRequestError, match="expected a language model, got mood, which is a classifier"):
        client.completions.create(model="mood", prompt="a")
    with pytest.raises(openai.BadRequestError, match="temperature"):
        client.completions.create(model="author", prompt="a", temperature=-1)


def test_errors_of_settings_name_the_field(running: Running) -> None:
    _, _, text = running.call("/v1/completions", {"model": "author", "logit_bias": {"²": 1}})
    error = json.loads(text)["error"]
    assert error["message"].startswith("logit_bias: unknown token '²'") and error["param"] == "logit_bias"
    message = running.refusal("/v1/completions", {"model": "author", "logit_bias": {"٣": 1}})  # a digit, and no number
    assert message.startswith("logit_bias: unknown token '٣'")


def test_chat_is_refused_in_a_sentence(running: Running) -> None:
    status, _, text = running.call("/v1/chat/completions", {"model": "author", "messages": []})
    error = json.loads(text)["error"]
    assert (status, error["code"]) == (404, None) and "use /v1/completions" in error["message"]
    errors = [json.loads(running.call(path)[2])["error"]["code"] for path in ("/v1/nothing", "/v1/models/autor")]
    assert errors == [None, "model_not_found"]


def test_log_probabilities_are_those_of_score(running: Running, author: TextGenerator) -> None:
    body = {"model": "author", "prompt": "the cat", "max_tokens": 12, "seed": 2, "logprobs": 3, "echo": True}
    (choice,) = running.ask("/v1/completions", body)["choices"]
    score = author.score(choice["text"])
    logprobs = choice["logprobs"]
    assert "".join(logprobs["tokens"]) == choice["text"]
    assert [-log_p for log_p in logprobs["token_logprobs"]] == pytest.approx(score.surprisal, abs=1e-3)
    assert logprobs["text_offset"] == [*range(len(choice["text"]))]
    assert all(len(row) == 3 for row in logprobs["top_logprobs"])
    assert all(
        row.keys() <= top.keys() for row, top in zip(logprobs["top_texts"], logprobs["top_logprobs"], strict=True)
    )
    streamed = running.call("/v1/completions", {**body, "stream": True})[2]
    chunks = [json.loads(line[6:]) for line in streamed.split("\n\n")[:-2]]
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == choice["text"]
    assert [token for chunk in chunks for token in chunk["choices"][0]["logprobs"]["tokens"]] == logprobs["tokens"]
    assert streamed.endswith("data: [DONE]\n\n")


def test_a_prompt_alone_is_scored(running: Running) -> None:
    body = {"model": "author", "prompt": "a cat", "max_tokens": 0, "logprobs": 0, "echo": True}
    (choice,) = running.ask("/v1/completions", body)["choices"]
    assert choice["text"] == "a cat" and len(choice["logprobs"]["tokens"]) == 5


def test_stopped_texts_report_no_token_after_the_stop(running: Running) -> None:
    body = {"model": "author", "prompt": "a", "max_tokens": 200, "seed": 1, "logprobs": 0, "stop": ["e", "a"]}
    body |= {"temperature": 1, "min_p": 0}
    (choice,) = running.ask("/v1/completions", body)["choices"]
    assert choice["finish_reason"] == "stop"
    assert "".join(choice["logprobs"]["tokens"]) == choice["text"]


def test_company_changes_no_text(running: Running, author: TextGenerator) -> None:
    def write(number: int) -> str:
        body = {"model": "author", "prompt": "the cat "[: number % 9], "max_tokens": 20 + number, "seed": number}
        if number % 3 == 0:
            body["repetition_penalty"] = 1.3
        if number % 4 == 0:
            body["temperature"] = 1.1
        return str(running.ask("/v1/completions", body)["choices"][0]["text"])

    with ThreadPoolExecutor(12) as pool:
        together = [*pool.map(write, range(24))]
    assert together == [write(number) for number in range(24)]


def test_null_is_the_default(running: Running) -> None:
    body = {"model": "author", "prompt": "a", "seed": 1, "temperature": 0}
    empty = dict.fromkeys(["max_tokens", "n", "echo", "stream", "logit_bias", "stop", "logprobs", "suffix", "best_of"])
    options = {"stream_options": {"include_usage": None}}
    answers = [running.ask("/v1/completions", body | more)["choices"] for more in ({}, empty, options)]
    assert answers[0] == answers[1] == answers[2]


def test_the_text_of_a_token_is_told_where_its_name_is_another() -> None:
    letters = CharTokenizer.train([["ab"]])
    text_of = text_of_tokens(letters)
    assert [text_of(token) for token in range(letters.size)] == ["a", "b", *[None] * 16]


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_away_stops_its_work(running: Running, stream: bool) -> None:
    engine = running.server.models._loaded["author"].engine
    assert engine is not None
    body = json.dumps({"model": "author", "prompt": "a", "max_tokens": 5_000, "n": 4, "stream": stream})
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
    connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
    _wait(lambda: engine.load[0] == 4)
    if stream:
        connection.getresponse().read(10)
    connection.close()
    _wait(lambda: engine.load == (0, 0))
    assert 'textseq_cancelled_total{model="author"}' in running.call("/metrics")[2]


def test_a_full_queue_asks_to_come_back(running: Running) -> None:
    engine = running.server.models._loaded["author"].engine
    assert engine is not None
    body = json.dumps({"model": "author", "prompt": "a", "max_tokens": 5_000, "n": 20})
    connections = [http.client.HTTPConnection("127.0.0.1", running.port, timeout=30) for _ in range(2)]
    for count, connection in enumerate(connections, 1):
        connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
        _wait(lambda count=count: sum(engine.load) == 20 * count)
    status, headers, text = running.call("/v1/completions", {"model": "author", "prompt": "a", "n": 5})
    assert (status, headers["retry-after"]) == (429, "1")
    assert "too busy: 36 texts are waiting" in json.loads(text)["error"]["message"]
    assert json.loads(text)["error"]["type"] == "rate_limit_error"
    connections[1].close()  # its texts no longer wait, though others are still running
    _wait(lambda: engine.load == (4, 16))
    connections[0].close()
    _wait(lambda: engine.load == (0, 0))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"max_tokens": 5_001}, "max_tokens: expected at most 5,000, got 5,001"),
        ({"prompt": "a" * 501}, "prompt: expected at most 500 tokens, got 501; shorten it"),
        ({"prompt": []}, "prompt: expected a text or a list of texts, got an empty list"),
        ({"prompt": ["a"] * 11, "n": 2}, "prompt: expected at most 20 texts, got 22"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"n": 10**9}, "expected at most 20 texts"),
        ({"logit_bias": {"99999": 1}}, "logit_bias: expected tokens below"),
        ({"logit_bias": {"9" * 5_000: 1}}, "logit_bias: expected tokens below"),
        ({"logit_bias": {"cat": 1}}, "expected single tokens, got 'cat'"),
        ({"color": 1}, "color: extra inputs are not permitted"),
        ({"frequency_penalty": 0.5}, "frequency_penalty: not supported; use repetition_penalty"),
        ({"seed": 2**64}, "seed: input should be less than"),
        ({"temperature": float("nan")}, "temperature"),
        ({"prompt": "\ud800"}, "lone surrogate"),
        ({"model": "../author"}, "unknown model"),
    ],
)
def test_bounds_hold_in_sentences(running: Running, change: dict[str, object], sentence: str) -> None:
    body = {"model": "author", "prompt": "a", **change}
    assert sentence in running.refusal("/v1/completions", body, 404 if "model" in change else 400)


def test_a_text_that_takes_too_long_ends(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = running.server.models._loaded["author"].engine
    assert engine is not None
    monkeypatch.setattr(engine, "_limits", engine._limits.from_dict({"max_seconds": 0.2}, where="here"))
    body = {"model": "author", "prompt": "a", "max_tokens": 5_000, "seed": 1}  # with a seed: not by the compiled loop
    assert "took more than 0.2 seconds" in running.refusal("/v1/completions", body, 503)
    _, _, text = running.call("/v1/completions", {**body, "stream": True})
    assert "took more than 0.2 seconds" in text.split("\n\n")[-2]


def test_texts_join_while_others_run(running: Running) -> None:
    body = {"model": "author", "prompt": "a", "max_tokens": 2_000, "seed": 1}  # with a seed: not by the compiled loop
    long = threading.Thread(target=running.call, args=("/v1/completions", body))
    long.start()
    running.ask("/v1/completions", {**body, "max_tokens": 5})
    assert long.is_alive()
    long.join()


def _wait(until: Any) -> None:
    """Wait for something that another thread does."""
    end = time.monotonic() + 30
    while not until():
        assert time.monotonic() < end
        time.sleep(0.01)
