"""Models go to the Hub and come back as they were, through a local stand-in of its endpoints; nothing else travels."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

import textseq
from textseq.checkpoints.model_card import front_matter
from textseq.checkpoints.model_info import CorpusInfo, ModelInfo
from textseq.errors import TextseqError


class Hub:
    """What a stand-in of the Hub holds, and what it was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cards: list[str] = []
        self.asked: list[str] = []

    @property
    def commit(self) -> str:
        """A hash of the files."""
        return hashlib.sha1(repr(sorted(self.files.items())).encode()).hexdigest()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A server on this machine that answers as the Hub does."""
    pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    held = Hub()

    class Handler(BaseHTTPRequestHandler):
        def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def do_GET(self) -> None:
            place = re.fullmatch(r"/me/model/resolve/[^/]+/(.*)", unquote(self.path))
            if place is None or place[1] not in held.files:
                self.answer(404, b"", X_Error_Code="EntryNotFound", X_Error_Message="no file")
                return
            held.asked.append(place[1])
            content = held.files[place[1]]
            self.answer(200, content, ETag=f'"{hashlib.sha1(content).hexdigest()}"', X_Repo_Commit=held.commit)

        do_HEAD = do_GET

        def do_POST(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(size) if size else self.chunks()
            if self.path == "/api/repos/create":
                reply: dict[str, object] = {"url": "http://127.0.0.1/me/model", "id": "me/model", "name": "me/model"}
            elif self.path == "/api/validate-yaml":
                held.cards.append(json.loads(body)["content"])
                reply = {"errors": [], "warnings": []}
            elif "/preupload/" in self.path:
                paths = [file["path"] for file in json.loads(body)["files"]]
                reply = {"files": [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in paths]}
            elif "/commit/" in self.path:
                for line in map(json.loads, body.decode().splitlines()):
                    if line["key"] == "file":
                        held.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                url = f"http://127.0.0.1/me/model/commit/{held.commit}"
                reply = {"success": True, "commitOid": held.commit, "commitUrl": url}
            else:
                self.answer(404, b"{}")
                return
            self.answer(200, json.dumps(reply).encode(), Content_Type="application/json")

        def chunks(self) -> bytes:
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # tests of datasets set it for the process
    yield held
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_model_goes_and_comes_back(hub: Hub, translators: Path) -> None:
    model = textseq.load_translator(translators / "runs" / "mine")
    assert textseq.push_to_hub(model, "me/model") == "hf://me/model"
    assert set(hub.files) == {"README.md", "config.json", "model.safetensors", "tokenizer.json"}
    (card,) = hub.cards
    assert card.startswith('---\nlibrary_name: "textseq"\npipeline_tag: "translation"\n')
    hub.files["evil.py"] = b"raise SystemExit"
    again = textseq.load_translator("hf://me/model")
    ask = ["how are you", "it is so"]
    expected = [one.text for one in model.translate(ask, max_new_tokens=9)]
    assert [one.text for one in again.translate(ask, max_new_tokens=9)] == expected
    assert set(hub.asked) == {"config.json", "model.safetensors", "tokenizer.json"}, "never the card, never code"


def test_what_is_no_model_is_refused(hub: Hub) -> None:
    with pytest.raises(TextseqError, match=r"cannot download config\.json of hf://me/model: .*; check the name"):
        textseq.load("hf://me/model")
    hub.files["config.json"] = json.dumps({"architectures": ["LlamaForCausalLM"]}).encode()
    with pytest.raises(TextseqError, match=r"is not a model of textseq: its config\.json lists no files"):
        textseq.load("hf://me/model")
    hub.files |= {"config.json": json.dumps({"sha256": {"modeling.py": "0"}}).encode()}
    with pytest.raises(TextseqError, match=r"expected files of data .*, got 'modeling\.py'"):
        textseq.load("hf://me/model")
    for name in ("hf://me", "hf://me/model/more", "hf:///model"):
        with pytest.raises(TextseqError, match=f"expected hf://USER/MODEL, got {name}"):
            textseq.load(name)


@pytest.mark.parametrize("name", ["mine", "me/", "/mine", "", "me/mine/more", "hf://me/mine", "me/my model"])
def test_only_names_that_can_be_loaded_are_pushed(hub: Hub, translators: Path, name: str) -> None:
    model = textseq.load_translator(translators / "runs" / "mine")
    with pytest.raises(TextseqError, match=f"push_to_hub: expected USER/MODEL, got '{name}'; name both"):
        textseq.push_to_hub(model, name)
    assert not hub.files


def test_without_the_extra_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(TextseqError, match=r'hf://me/model needs .* pip install "textseq\[hub\]"'):
        textseq.load("hf://me/model")


def test_the_head_of_a_card_is_what_the_hub_reads() -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    info = ModelInfo(
        task="translation",
        source_language="en",
        target_language="fr",
        corpus=CorpusInfo(name="tatoeba-fra-eng", title='Tatoeba: "pairs"', licence="CC BY 2.0 FR (sentences)"),
        results=({"signature": "s", "measure": "BLEU", "score": 31.25, "interval_95": [30, 32]}, {"accuracy": 0.5}),
    )
    head = yaml.safe_load("\n".join(front_matter("mine", info, "translation")[1:-1]))
    assert head == {
        "library_name": "textseq",
        "pipeline_tag": "translation",
        "tags": ["textseq", "recurrent-neural-network"],
        "language": ["en", "fr"],
        "license": "cc-by-2.0",
        "model-index": [
            {
                "name": "mine",
                "results": [
                    {
                        "task": {"type": "translation"},
                        "dataset": {"name": 'Tatoeba: "pairs"', "type": "tatoeba-fra-eng"},
                        "metrics": [{"type": "bleu", "value": 31.25}, {"type": "accuracy", "value": 0.5}],
                    }
                ],
            }
        ],
    }


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("CC BY-SA 3.0", {"license": "cc-by-sa-3.0"}),
        ("CC BY 4.0 (Derczynski, Nichols)", {"license": "cc-by-4.0"}),
        ("public domain (the texts)", {"license": "other", "license_name": "public domain (the texts)"}),
        ("unknown", {}),
    ],
)
def test_licences_have_the_names_of_the_hub(licence: str, expected: dict[str, str]) -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    info = ModelInfo(task="language-model", language="Polish", corpus=CorpusInfo(licence=licence))
    head = yaml.safe_load("\n".join(front_matter("mine", info, "text-generation")[1:-1]))
    assert {key: value for key, value in head.items() if key.startswith("license")} == expected
    assert head["language"] == ["pl"] and "model-index" not in head
