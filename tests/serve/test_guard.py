"""Who may use the server, and how much of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from serving import Running

from textseq.errors import TextseqError
from textseq.serve.settings import Access

pytest.importorskip("fastapi", reason="the extra serve is not installed")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("localhost:8000", 200),
        ("[::1]:80", 200),
        ("192.168.1.2", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("", 421),
    ],
)
def test_other_names_are_refused(running: Running, host: str, status: int) -> None:
    assert running.call("/models", headers={"Host": host})[0] == status


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost", "http://["]
)
def test_pages_elsewhere_are_refused(running: Running, origin: str) -> None:
    status, headers, text = running.call("/score", {"model": "author", "texts": "a"}, headers={"Origin": origin})
    assert status == 403 and f"pages of '{origin}' may not use this server" in json.loads(text)["error"]
    assert "access-control-allow-origin" not in headers
    assert running.call("/score", method="OPTIONS", headers={"Origin": origin})[0] == 403


def test_its_own_page_is_served(running: Running) -> None:
    headers = {"Origin": running.url}
    assert running.call("/score", {"model": "author", "texts": "a"}, headers=headers)[0] == 200
    status, headers, text = running.call("/")
    assert status == 200 and "<!doctype html>" in text.lower()
    assert headers["content-security-policy"].startswith("default-src 'self'")


@pytest.mark.parametrize("name", ["../app.py", "..%2fapp.py", "%2e%2e/app.py", "nothing.js", "/etc/passwd"])
def test_no_name_reaches_the_file_system(running: Running, name: str) -> None:
    assert running.call(f"/page/{name}")[0] == 404


def test_large_bodies_are_refused(running: Running) -> None:
    assert "at most 50,000 bytes" in running.refusal("/score", {"model": "author", "texts": "a" * 60_000}, 413)
    training = {"name": "no name", "text": "a" * 60_000}
    assert "name: expected" in running.refusal("/runs", training)  # a text to learn from may be longer
    assert "at most 100,000 bytes" in running.refusal("/runs", {**training, "text": "a" * 100_000}, 413)
    with socket.create_connection(("127.0.0.1", running.port), timeout=20) as plain:  # of a length that it does not say
        plain.sendall(b"POST /score HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        plain.sendall(b"10000\r\n" + b"a" * 0x10000 + b"\r\n0\r\n\r\n")
        assert plain.recv(100).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain"])
def test_a_body_without_its_header_is_answered_with_the_header(running: Running, kind: str) -> None:
    body = b'{"model": "author", "prompt": "A"}'
    status, _, text = running.call("/v1/completions", body, headers={"Content-Type": kind})
    assert status == 400
    assert json.loads(text)["error"]["message"].endswith("send the header 'Content-Type: application/json'")


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"{", "expected JSON, got an error at character 1: Expecting property name"),
        (b"[1]", "expected a JSON object, got list"),
        (b"[" * 20_000, "expected JSON in UTF-8, got something else"),
        (b"9" * 5_000, "expected JSON in UTF-8, got something else"),
        (b'{"model": "\xff"}', "expected JSON in UTF-8, got something else"),
    ],
)
def test_bodies_that_are_no_json_get_a_sentence(running: Running, body: bytes, sentence: str) -> None:
    for path in ("/v1/completions", "/score"):
        assert running.refusal(path, body).startswith(sentence)


def test_a_lone_surrogate_is_named_with_its_field(running: Running) -> None:
    sentence = "expected Unicode, got the lone surrogate U+D83D at character 1; leave it out"
    assert running.refusal("/v1/completions", {"model": "author", "prompt": "a\ud83d"}) == f"prompt: {sentence}"
    assert running.refusal("/score", {"model": "author", "texts": ["a", "a\ud83d"]}) == f"texts: {sentence}"


def test_what_is_not_there_gets_a_sentence(running: Running) -> None:
    assert "nothing is here" in running.call("/nothing")[2]
    assert running.call("/score", method="GET")[0] == 405


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/page/app.js", "/healthz", "/v1/models", "/languages", "/models", "/runs"]
)
def test_what_can_be_read_has_a_head(running: Running, path: str) -> None:
    status, headers, text = running.call(path, method="HEAD")
    assert (status, text) == (200, "") and int(headers["content-length"]) > 10


def test_a_key_is_asked_for(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    server = running.server
    changed = replace(server, access=replace(server.access, api_key="secret"))
    monkeypatch.setattr("textseq.serve.requests.server_of", lambda request: changed)
    for path, body in (("/v1/models", None), ("/metrics", None), ("/score", {"model": "author", "texts": "a"})):
        assert running.call(path, body)[0] == 401, path
        assert running.call(path, body, headers={"Authorization": "Bearer wrong"})[0] == 401
        assert running.call(path, body, headers={"Authorization": "Bearer secret"})[0] == 200
    assert "API key, got none" in running.refusal("/translate", {"q": "a", "source": "en", "target": "fr"}, 401)
    assert running.ask("/translate", {"q": "a", "source": "en", "target": "fr", "api_key": "secret"})
    wrong = {"q": "a", "source": "en", "target": "fr", "api_key": "\ud800"}
    assert "API key, got another" in running.refusal("/translate", wrong, 401)
    assert running.call("/healthz")[0] == 200


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        (
            {"api_key": "clé"},
            "--api-key or TEXTSEQ_API_KEY: expected ASCII characters without white space around them, got one with",
        ),
        (
            {"api_key": ""},
            "--api-key or TEXTSEQ_API_KEY: expected ASCII characters without white space around them, got an empty one",
        ),
        ({"api_key": " key"}, "--api-key .* got one with white space"),
        ({"api_key": "key\n"}, "--api-key"),
        ({"cors_origins": ["*"]}, "--cors-origins: expected origins without a path, .* got '\\*'; name each"),
        ({"cors_origins": ["example.org"]}, "--cors-origins"),
        ({"cors_origins": ["https://example.org/page"]}, "--cors-origins"),
        ({"cors_origins": ["https://exämple.org"]}, "--cors-origins"),
        ({"allowed_hosts": ["example.org:8124"]}, "--allowed-hosts: expected names without scheme, port or"),
        ({"allowed_hosts": ["https://example.org"]}, "--allowed-hosts"),
        ({"allowed_hosts": ["*"]}, "--allowed-hosts"),
    ],
)
def test_settings_of_access_that_could_never_match_are_refused(setting: dict[str, object], sentence: str) -> None:
    with pytest.raises(TextseqError, match=sentence):
        Access.from_dict(setting, where="here")


def test_settings_of_access_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    from textseq.serve.app import create_app

    origins = {
        "https://Example.org/": "https://example.org",
        "https://example.org:443": "https://example.org",
        "http://[::1]:80": "http://[::1]",
        "https://example.org:80": "https://example.org:80",
        "http://localhost:3000": "http://localhost:3000",
        "chrome-extension://abc": "chrome-extension://abc",
        "null": "null",
    }
    access = Access(api_key="two words", allowed_hosts=("Example.org", "box"), cors_origins=tuple(origins))
    assert access.cors_origins == tuple(origins.values())
    monkeypatch.setenv("TEXTSEQ_API_KEY", "")  # as from an unset variable in a script
    with pytest.raises(TextseqError, match="got an empty one"):
        create_app(["shakespeare"])
    assert create_app(["shakespeare"], access=access).state.server.access.api_key == "two words"


@contextmanager
def _started(models_home: Path, shutdown_seconds: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server in a process of its own, and its address."""
    command = [sys.executable, "-m", "textseq.cli.serve", "--port", "0", "--models", "author"]
    command += ["--shutdown-seconds", str(shutdown_seconds)]
    environment = {**os.environ, "TEXTSEQ_HOME": str(models_home)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        yield child, child.stdout.readline().split()[1]


def _completion(url: str, **fields: object) -> urllib.request.Request:
    body = json.dumps({"model": "author", "prompt": "a", **fields}).encode()
    return urllib.request.Request(f"{url}/v1/completions", body, {"Content-Type": "application/json"})


def test_sigterm_ends_in_order(models_home: Path) -> None:
    with _started(models_home, shutdown_seconds=20) as (child, url):
        with urllib.request.urlopen(_completion(url, max_tokens=1500, stream=True), timeout=60) as answer:
            answer.readline()
            child.send_signal(signal.SIGTERM)
            assert answer.read().endswith(b"data: [DONE]\n\n")
        assert child.wait(60) == 143
        assert child.stderr is not None and child.stderr.read() == "textseq-serve: stopped\n"


def test_a_request_that_outlives_the_shutdown_is_told_so(models_home: Path) -> None:
    with _started(models_home, shutdown_seconds=0) as (child, url), ThreadPoolExecutor() as pool:
        answer = pool.submit(urllib.request.urlopen, _completion(url, max_tokens=4096, n=100), timeout=60)
        while b"textseq_texts_total" not in urllib.request.urlopen(f"{url}/metrics", timeout=60).read():
            pass
        child.send_signal(signal.SIGTERM)
        with pytest.raises(urllib.error.HTTPError) as refused:
            answer.result()
        assert refused.value.code == 503 and b"the server is shutting down" in refused.value.read()
        assert child.wait(60) == 143
        assert child.stderr is not None and "Traceback" not in child.stderr.read()


def test_mistakes_of_the_command(
    command: Callable[..., tuple[int, str, str]], models_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TEXTSEQ_HOME", str(models_home))
    code, _, err = command("serve", "--models", "nobody")
    assert code == 2 and "unknown model 'nobody'" in err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, _, err = command("serve", "--port", str(taken.getsockname()[1]))
    assert code == 2 and "choose another --port" in err
    for host in ("no.such.host.invalid", "127..0.0.1"):
        code, _, err = command("serve", "--host", host)
        assert code == 2 and "--host: expected an address of this machine" in err
    for folder in ("a", "b"):
        shutil.copytree(models_home / "runs" / "mood" / "best-1", tmp_path / folder / "m")
    code, _, err = command("serve", "--models", str(tmp_path / "a" / "m"), str(tmp_path / "b" / "m"))
    assert code == 2 and "--models: expected models of different names" in err
    code, _, err = command("serve", "--device", "cuda:99")
    assert code == 2 and "--device cuda:99 cannot be used here" in err
    monkeypatch.setitem(sys.modules, "fastapi", None)
    code, _, err = command("serve")
    assert code == 2
    assert err == (
        "textseq-serve: the server needs a package that is not installed; install it with: "
        'pip install "textseq[serve]"\n'
    )
