"""Files are found where they should be, and a download resumes, verifies and leaves nothing half-written."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO

import pytest

from textseq.data.corpora import download as fetch
from textseq.data.corpora.catalog import CorpusRecipe, read_recipe
from textseq.data.corpora.download import find
from textseq.errors import TextseqError
from textseq.io.paths import cache_folder

BODY = bytes(range(256)) * 1000  # larger than one read
DIGEST = hashlib.sha256(BODY).hexdigest()

RECIPE = """
name = "fruit"
title = "Fruit"
task = "language-model"
language = "English"
purpose = "tests"
licence = "none"
homepage = "http://127.0.0.1"
encoding = "ascii"
format = "text"
strips = "nothing"
folder = "fruit"
split = {{ validation = 0.1 }}

[[sources]]
urls = [{urls}]

[sources.files]
"apple pie.txt" = {{ bytes = {size}, sha256 = "{digest}" }}
"""


class Server(ThreadingHTTPServer):
    """Serves BODY at /good; /bad has one byte changed, /plain knows no ranges; half-way /short closes the connection,
    /resets breaks it off and /hangs says nothing more."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str | None]] = []  # path and Range of each request
        self.sent = 0  # bytes of bodies
        self.released = threading.Event()  # ends what hangs

    def url(self, kind: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{kind}/"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers["Range"]
        self.server.asked.append((self.path, wanted))
        kind = self.path.split("/")[1]
        if kind == "gone":
            return self.send_error(404)
        body = b"?" + BODY[1:] if kind == "bad" else BODY
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and kind != "plain" else 0
        if start >= len(body) or (kind == "refuses" and start):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.end_headers()
        piece = body[start : len(body) // 2] if kind in {"short", "hangs", "resets"} else body[start:]
        self.server.sent += len(piece)
        self.wfile.write(piece)
        self.wfile.flush()
        if kind == "hangs":
            self.server.released.wait(60)
        elif kind == "resets":  # the connection breaks off instead of being closed
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TEXTSEQ_DATA", raising=False)
    return tmp_path / "home"


@pytest.fixture
def target(home: Path) -> Path:
    """Where a download of the file ends."""
    return home / "cache/corpora/fruit/apple pie.txt"


def recipe(*urls: str, digest: str = DIGEST) -> CorpusRecipe:
    text = RECIPE.format(urls=", ".join(f'"{url}"' for url in urls), size=len(BODY), digest=digest)
    return read_recipe("fruit", text)


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_cache_folder_follows_textseq_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == home / "cache"
    monkeypatch.delenv("TEXTSEQ_HOME")
    assert cache_folder().name == "textseq"


def test_data_folder_is_looked_in_before_the_cache(
    tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = recipe("http://127.0.0.1:9/")
    put(target, BODY)
    by_variable = put(tmp_path / "variable/fruit/apple pie.txt", BODY)
    by_flag = put(tmp_path / "flag/fruit/apple pie.txt", BODY)
    assert find(wanted)["apple pie.txt"].path == target
    monkeypatch.setenv("TEXTSEQ_DATA", str(tmp_path / "variable"))
    assert find(wanted)["apple pie.txt"].path == by_variable
    assert find(wanted, data_dir=tmp_path / "flag")["apple pie.txt"].path == by_flag
    assert find(wanted, data_dir=tmp_path / "empty")["apple pie.txt"].path == target


def test_missing_file_says_where_and_how(server: Server, tmp_path: Path) -> None:
    with pytest.raises(TextseqError) as caught:
        find(recipe(server.url("good")), data_dir=tmp_path / "mine")
    message = str(caught.value)
    assert "\n" not in message
    for part in ("'fruit' lacks 1 of 1 files", str(tmp_path / "mine"), str(cache_folder()), "--download", "256.0 kB"):
        assert part in message
    assert f"{server.url('good')}apple%20pie.txt" in message
    assert f"by hand at {tmp_path / 'mine/fruit/apple pie.txt'}" in message
    assert server.asked == []


def test_wrong_file_is_refused(tmp_path: Path, server: Server) -> None:
    path = put(tmp_path / "mine/fruit/apple pie.txt", b"crumble")
    found = hashlib.sha256(b"crumble").hexdigest()
    with pytest.raises(TextseqError, match=rf"{path}.*expected SHA-256 {DIGEST}, got {found}; remove it"):
        find(recipe(server.url("good")), data_dir=tmp_path / "mine", download=True)
    assert path.read_bytes() == b"crumble" and server.asked == []


def test_unreadable_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "mine/fruit/apple pie.txt"
    path.mkdir(parents=True)  # a folder cannot be read, whoever runs the test
    with pytest.raises(TextseqError, match=f"cannot read {path}: Is a directory"):
        find(recipe("http://127.0.0.1:9/"), data_dir=tmp_path / "mine")


def test_download_then_no_further_request(server: Server, target: Path) -> None:
    wanted = recipe(server.url("good"))
    assert find(wanted, download=True)["apple pie.txt"] == fetch.LocalFile(target, DIGEST)
    assert target.read_bytes() == BODY
    assert left_in(target.parent) == ["apple pie.txt"]
    assert server.asked == [("/good/apple%20pie.txt", None)]
    find(wanted, download=True)
    find(wanted)
    assert len(server.asked) == 1


def test_wrong_file_in_the_cache_is_downloaded_anew(server: Server, target: Path) -> None:
    put(target, b"crumble")
    with pytest.raises(TextseqError, match="remove it"):
        find(recipe(server.url("good")))
    find(recipe(server.url("good")), download=True)
    assert target.read_bytes() == BODY


def test_broken_download_resumes(server: Server, target: Path) -> None:
    half = len(BODY) // 2
    with pytest.raises(TextseqError, match=rf"ended after {half} of {len(BODY)} bytes; run again"):
        find(recipe(server.url("short")), download=True)
    assert left_in(target.parent) == ["apple pie.txt.part"]
    server.sent = 0
    find(recipe(server.url("good")), download=True)
    assert server.asked[-1] == ("/good/apple%20pie.txt", f"bytes={half}-")
    assert server.sent == len(BODY) - half
    assert target.read_bytes() == BODY and left_in(target.parent) == ["apple pie.txt"]


@pytest.mark.parametrize(("kind", "reason"), [("hangs", "timed out"), ("resets", "reset by peer")])
def test_what_stops_in_the_middle_is_told_and_resumes(
    kind: str, reason: str, server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "TIMEOUT", 0.2)
    with pytest.raises(TextseqError, match=rf"{reason}; run again to resume"):
        find(recipe(server.url(kind)), download=True)
    server.released.set()
    assert left_in(target.parent) == ["apple pie.txt.part"]
    have = target.with_name("apple pie.txt.part").read_bytes()
    assert BODY.startswith(have)
    find(recipe(server.url("good")), download=True)
    assert server.asked[-1][1] == (f"bytes={len(have)}-" if have else None)
    assert target.read_bytes() == BODY and left_in(target.parent) == ["apple pie.txt"]


def test_a_part_of_something_else_is_refused_and_removed(server: Server, target: Path) -> None:
    put(target.with_name("apple pie.txt.part"), b"?" * 1000)
    with pytest.raises(TextseqError, match=r"SHA-256 \w+ instead of"):
        find(recipe(server.url("good")), download=True)
    assert left_in(target.parent) == []
    find(recipe(server.url("good")), download=True)
    assert target.read_bytes() == BODY


def test_one_downloads_what_many_want_at_once(server: Server, target: Path) -> None:
    many = 4
    barrier = threading.Barrier(many, timeout=30)

    def get(_: int) -> Path:
        barrier.wait()
        return find(recipe(server.url("good")), download=True)["apple pie.txt"].path

    with ThreadPoolExecutor(many) as pool:
        assert set(pool.map(get, range(many))) == {target}
    assert server.sent == len(BODY)
    assert target.read_bytes() == BODY and left_in(target.parent) == ["apple pie.txt"]


@pytest.mark.parametrize("kind", ["plain", "refuses"])
def test_server_that_cannot_resume_starts_again(kind: str, server: Server, target: Path) -> None:
    put(target.with_name("apple pie.txt.part"), BODY[:1000])
    find(recipe(server.url(kind)), download=True)
    assert server.asked[0][1] == "bytes=1000-"
    assert target.read_bytes() == BODY and left_in(target.parent) == ["apple pie.txt"]


def test_part_longer_than_the_file_starts_again(server: Server, target: Path) -> None:
    put(target.with_name("apple pie.txt.part"), BODY + b"more")
    find(recipe(server.url("good")), download=True)
    assert target.read_bytes() == BODY


def test_complete_part_is_not_asked_for_again(server: Server, target: Path) -> None:
    put(target.with_name("apple pie.txt.part"), BODY)
    find(recipe(server.url("good")), download=True)
    assert target.read_bytes() == BODY and server.asked == []


def test_corrupted_body_is_refused(server: Server, target: Path) -> None:
    with pytest.raises(TextseqError, match=rf"{server.url('bad')}apple%20pie.txt: SHA-256 \w+ instead of {DIGEST}"):
        find(recipe(server.url("bad")), download=True)
    assert left_in(target.parent) == []


@pytest.mark.parametrize("first", ["bad", "gone", "short"])
def test_next_source_is_tried(first: str, server: Server, target: Path) -> None:
    find(recipe(server.url(first), server.url("good")), download=True)
    assert [path.split("/")[1] for path, _ in server.asked] == [first, "good"]
    assert target.read_bytes() == BODY and left_in(target.parent) == ["apple pie.txt"]


def test_network_failures_name_url_and_reason(server: Server, target: Path) -> None:
    with pytest.raises(TextseqError, match=rf"{server.url('gone')}apple%20pie.txt: HTTP 404"):
        find(recipe(server.url("gone")), download=True)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        closed = f"http://127.0.0.1:{listening.getsockname()[1]}/"  # nothing listens there any more
    with pytest.raises(TextseqError, match=rf"{closed}apple%20pie.txt: .*[Rr]efused.*by hand at {target}"):
        find(recipe(closed), download=True)


def test_silent_server_times_out(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    waiting = threading.Event()
    monkeypatch.setattr(Handler, "do_GET", lambda self: waiting.wait(5))
    monkeypatch.setattr(fetch, "TIMEOUT", 0.1)
    with pytest.raises(TextseqError, match="timed out"):
        find(recipe(server.url("good")), download=True)
    waiting.set()


def test_too_little_space_is_said_before_the_download(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(TextseqError, match=r"needs 256.0 kB in .* where 1.0 kB are free; free some space"):
        find(recipe(server.url("good")), download=True)
    assert server.asked == []


def test_full_disk_while_writing(server: Server, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, content: object, /) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    ordinary = Path.open

    def opened(path: Path, mode: str = "r") -> IO[bytes]:
        return Full() if mode in ("ab", "wb") else ordinary(path, "rb")

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(TextseqError, match=r"cannot write .*\.part: No space left on device; free some space"):
        find(recipe(server.url("good")), download=True)
    assert not target.exists()


def test_place_that_cannot_be_written(server: Server, home: Path) -> None:
    home.write_text("a file where the folder should be")
    with pytest.raises(TextseqError, match=r"cannot write .*Not a directory; .*TEXTSEQ_HOME"):
        find(recipe(server.url("good")), download=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("purpose", "purpse"), "unknown key in recipe 'fruit': 'purpse'; did you mean 'purpose'?"),
        (('title = "Fruit"', ""), "recipe 'fruit' lacks the key 'title'"),
        (("validation", "vaildation"), "'vaildation'; did you mean 'validation'?"),
        (("sha256", "sha265"), "'sha265'; did you mean 'sha256'?"),
        (("urls", "url"), "'url'; did you mean 'urls'?"),
        (("= 0.1", '= ["apple pi.txt"]'), "'apple pi.txt'; did you mean 'apple pie.txt'?"),
        (("name =", "name"), "recipe 'fruit' is not TOML"),
        (("{ bytes", '{ remot = "x", bytes'), "'remot'; did you mean 'remote'?"),
        (("[[", 'formats = { "apple pi.txt" = "text" }\n[['), "'apple pi.txt'; did you mean 'apple pie.txt'?"),
        (("[[", 'members = { "apple pi.txt" = [] }\n[['), "'apple pi.txt'; did you mean 'apple pie.txt'?"),
        (("= 0.1", "= 0.4, test = 0.2"), "of shares up to 0.5 in total"),
        (("= 0.1", '= 0.1, test = ["apple pie.txt"]'), "recipe 'fruit': expected a split of lists, or of shares"),
        (("= 0.1", "= 1"), "recipe 'fruit': expected a split of lists, or of shares"),
        (("= 0.1", "= 0.1, test_2017 = 0.1"), "unknown key in recipe 'fruit': 'test_2017'; did you mean 'test'?"),
        (("split", "languages = ['en']\nsplit"), "expected two or more different languages, got ('en',)"),
        (("split", "languages = ['en', 'en']\nsplit"), "expected two or more different languages"),
    ],
)
def test_faulty_recipe_is_refused(change: tuple[str, str], message: str) -> None:
    text = RECIPE.format(urls='"http://127.0.0.1/"', size=1, digest=DIGEST)
    assert read_recipe("fruit", text).files["apple pie.txt"].path == "fruit/apple pie.txt"
    with pytest.raises(TextseqError) as caught:
        read_recipe("fruit", text.replace(*change))
    assert message in str(caught.value)


def test_recipe_of_pairs_has_languages_and_further_tests() -> None:
    text = RECIPE.format(urls='"http://127.0.0.1/"', size=1, digest=DIGEST)
    assert read_recipe("fruit", text).languages == ()
    head = 'languages = ["en", "de"]\nsplit = {'
    changed = text.replace("split = {", head).replace("= 0.1", '= ["app*"], test_2017 = ["apple pie.*"]')
    recipe = read_recipe("fruit", changed)
    assert recipe.languages == ("en", "de")
    assert recipe.lists == {"validation": ["app*"], "test_2017": ["apple pie.*"]}
    with pytest.raises(TextseqError, match=r"unknown file in the split of recipe 'fruit': 'pear\*'"):
        read_recipe("fruit", changed.replace("app*", "pear*"))


def test_file_may_have_another_name_at_its_source(server: Server, home: Path) -> None:
    text = RECIPE.format(urls=f'"{server.url("good")}"', size=len(BODY), digest=DIGEST)
    renamed = read_recipe("fruit", text.replace("{ bytes", '{ remote = "pies/яблоко 1.txt", bytes'))
    assert find(renamed, download=True)["apple pie.txt"].path == home / "cache/corpora/fruit/apple pie.txt"
    assert server.asked == [("/good/pies/%D1%8F%D0%B1%D0%BB%D0%BE%D0%BA%D0%BE%201.txt", None)]


def test_copies_that_differ_are_all_right() -> None:
    other = hashlib.sha256(b"pear").hexdigest()
    text = RECIPE.format(urls='"http://a/", "http://b/"', size=1, digest=DIGEST)
    text += f"""
[[sources]]
urls = ["http://c/"]
files = {{ "apple pie.txt" = {{ bytes = 4, sha256 = "{other}" }} }}
"""
    (file,) = read_recipe("fruit", text).files.values()
    assert [(source.url[:9], source.bytes, source.sha256) for source in file.sources] == [
        ("http://a/", 1, DIGEST),
        ("http://b/", 1, DIGEST),
        ("http://c/", 4, other),
    ]
