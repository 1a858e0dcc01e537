"""LibreTranslate's protocol, by a client of it and by hand."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import pytest
from serving import Running

import textseq
from textseq.serve.protocols.markup import joined, parts_of
from textseq.tasks.documents.markup import attribute_parts
from textseq.tasks.translation.result import Translation
from textseq.tasks.translation.translator import Translator

pytest.importorskip("fastapi", reason="the extra serve is not installed")

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def translator(running: Running) -> Translator:
    return textseq.load_translator("en-fr")


def test_its_client_translates(running: Running, translator: Translator) -> None:
    libretranslatepy = pytest.importorskip("libretranslatepy", reason="libretranslatepy is not installed")
    client = libretranslatepy.LibreTranslateAPI(running.url)
    assert client.languages() == [
        {"code": "en", "name": "English", "targets": ["fr"]},
        {"code": "fr", "name": "French", "targets": ["en"]},
    ]
    assert client.translate("a cat sat", "en", "fr") == translator.translate("a cat sat").text
    languages = client.detect("a cat sat on a mat")
    assert {row["language"] for row in languages} == {"en", "fr"}
    assert sum(row["confidence"] for row in languages) == pytest.approx(100, abs=0.2)


def test_sentences_are_translated_one_by_one(running: Running, translator: Translator) -> None:
    one, two = (translator.translate(text).text for text in ("A cat.", "A mat!"))
    body = {"q": "A cat.  A mat!\n\nA cat.", "source": "en", "target": "fr"}
    assert running.ask("/translate", body) == {"translatedText": f"{one}  {two}\n\n{one}"}
    assert running.ask("/translate", {**body, "target": "en"}) == {"translatedText": body["q"]}
    several = running.ask("/translate", {**body, "q": ["A cat.", "", "A mat!"], "alternatives": 2})
    assert several["translatedText"] == [one, "", two]
    assert [len(row) <= 2 and len(set(row)) == len(row) for row in several["alternatives"]] == [True] * 3


def test_pages_keep_their_tags(running: Running, translator: Translator) -> None:
    text = translator.translate("A cat.").text.replace("&", "&amp;")
    body = {
        "q": '<!-- A --><p class="x">A cat.<br/>\n<code>A &lt;</code><b translate="no">A</b></p><script>A&B</script>',
        "source": "en",
        "target": "fr",
        "format": "html",
    }
    expected = body["q"].replace("A cat.<br/>", f"{text}<br/>")
    assert running.ask("/translate", body) == {"translatedText": expected}


@pytest.mark.parametrize(
    "page", ["<![CDATA[x < y]]>", "<![if !IE]>1<![endif]>", "<!DOCTYPE html>", "<!--[if IE]>x<![endif]-->"]
)
def test_declarations_are_kept(page: str) -> None:
    assert joined(parts_of(page, html=True)) == page


@pytest.mark.parametrize("page", ["<![ x", "<![a[b]]>", "<![x", "<![a[b", "<!-- x", "<script>x", "<a x='y", "</"])
def test_pages_may_be_damaged(page: str) -> None:
    assert joined(parts_of(page, html=True)) in (page, page.replace("<", "&lt;"))


def test_titles_are_translated_and_text_areas_kept() -> None:
    parts = parts_of("<title>A < B.</title><textarea>A < B.</textarea>", html=True)
    assert joined(parts) == "<title>A &lt; B.</title><textarea>A < B.</textarea>"
    assert [part.text for part in parts if part.translate] == ["A < B."]


@pytest.mark.parametrize(
    "unit",
    [
        "<a ",
        "<a x='",
        "<!--",
        "<![CDATA[",
        "<?",
        "<!",
        "</",
        "<a/ ",
        "<script>",
        "<textarea>",
        "<a<",
        "<a\"'",
        '<a="',
        "<i translate=no>",
    ],
)
def test_pages_are_read_in_time_linear_in_them(unit: str) -> None:
    begun = time.process_time()
    for text in (unit * 10_000, f"<{unit[1:] * 20_000}", f"<a {unit[1:] * 20_000}>"):
        parts_of(text, html=True)
        assert [*attribute_parts(text)]
    assert time.process_time() - begun < 5  # in quadratic time, 10 to 600


def test_the_source_is_found(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def score(model: Translator, sources: list[str], targets: list[str]) -> list[float]:
        assert sources == targets
        return [-5.0 if ("le" in text) == (model.languages[1] == "fr") else -9.0 for text in sources]

    monkeypatch.setattr(Translator, "score", score)
    texts = ["a cat", "le chat", " "]
    answer = running.ask("/translate", {"q": texts, "source": "auto", "target": "fr"})
    assert [found["language"] for found in answer["detectedLanguage"][:2]] == ["en", "fr"]
    english = running.ask("/translate", {"q": "a cat", "source": "en", "target": "fr"})
    assert answer["translatedText"] == [english["translatedText"], "le chat", " "]  # what is French stays
    assert "expected one of the directions" in running.refusal(
        "/translate", {"q": "a", "source": "auto", "target": "xx"}
    )


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Where is the station?"),
        ("fr", "Je voudrais manger quelque chose."),
        ("pl", "Gdzie jest dworzec kolejowy?"),
        ("ru", "\u0413\u0434\u0435 \u0432\u043e\u043a\u0437\u0430\u043b?"),
    ],
)
def test_the_shipped_models_recognize_their_languages(shipped: Running, language: str, text: str) -> None:
    assert shipped.ask("/detect", {"q": text})[0]["language"] == language


def test_together_is_one_by_one(running: Running) -> None:
    def translate(text: str) -> str:
        return str(running.ask("/translate", {"q": text, "source": "en", "target": "fr"})["translatedText"])

    texts = [f"{'cat ' * (number % 5)}mat {chr(97 + number)}" for number in range(20)]
    with ThreadPoolExecutor(10) as pool:
        together = [*pool.map(translate, texts)]
    assert together == [translate(text) for text in texts]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"source": "xx", "target": "xx"}, "expected one of the directions en to fr, fr to en; got xx to xx"),
        ({"target": "pl"}, "expected one of the directions en to fr, fr to en; got en to pl"),
        ({"q": "a" * 2_001}, "q: expected at most 2,000 characters, got 2,001"),
        ({"q": ["a"] * 21}, "q: expected at most 20 texts, got 21"),
        ({"q": 3}, "q"),
        ({"format": "pdf"}, "format: input should be 'text' or 'html', got 'pdf'"),
        ({"alternatives": 99}, "alternatives"),
        ({"q": "\ud800"}, "lone surrogate"),
    ],
)
def test_mistakes_get_sentences(running: Running, change: dict[str, object], sentence: str) -> None:
    assert sentence in running.refusal("/translate", {"q": "a", "source": "en", "target": "fr", **change})


@pytest.mark.parametrize("body", [b"", b"[", b"[" * 40_000, b"3", b"\xff"])
def test_a_body_that_is_none_gets_a_sentence(running: Running, body: bytes) -> None:
    status, _, text = running.call("/translate", body)
    assert status == 400 and "expected a JSON object" in text


def test_an_idle_server_translates_a_text_of_many_sentences(running: Running) -> None:
    body = {"q": "A cat.\n" * 100, "source": "en", "target": "fr"}  # more than may wait and run
    assert running.ask("/translate", body)["translatedText"].count("\n") == 100


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ("&".join(f"a{number}=b" for number in range(101)), "expected a form of at most 100 fields, got more"),
        ("q=One.&q=Two.&source=en&target=fr", "q: expected one value, got several; send a list of texts as JSON"),
    ],
)
def test_forms_that_cannot_be_meant_get_sentences(running: Running, form: str, sentence: str) -> None:
    status, _, text = running.call("/translate", form.encode(), headers=FORM)
    assert status == 400 and sentence in text


@pytest.mark.parametrize("kind", [FORM["Content-Type"], "Application/X-WWW-Form-Urlencoded; charset=UTF-8"])
def test_forms_are_read(running: Running, kind: str) -> None:
    form = urlencode({"q": "a cat", "source": "en", "target": "fr"}).encode()
    assert running.call("/translate", form, headers={"Content-Type": kind})[0] == 200
    assert running.call("/translate", b"q=a", headers={"Content-Type": kind})[0] == 400


def test_a_form_of_files_gets_a_sentence(running: Running) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    status, _, text = running.call("/translate", b"--x--", headers=headers)
    assert status == 400 and "(curl -d, not -F), got multipart/form-data" in text


def test_null_is_the_default(running: Running) -> None:
    body = {"q": "a cat", "source": "en", "target": "fr"}
    nulls = {"format": None, "alternatives": None, "api_key": None}
    assert running.ask("/translate", {**body, **nulls}) == running.ask("/translate", body)
    assert running.ask("/translate", {**body, "source": None}) == running.ask("/translate", {**body, "source": "auto"})
    assert running.ask("/detect", {"q": "a cat", "api_key": None}) == running.ask("/detect", {"q": "a cat"})
    assert "q.str: input should be a valid string" in running.refusal("/translate", {**body, "q": None})


def test_a_server_without_a_translator_says_so(conditional: Running) -> None:
    for source in ("en", "auto"):
        body = {"q": "a cat", "source": source, "target": "fr"}
        assert conditional.refusal("/translate", body).startswith("no translator is served")


def test_a_user_interface_gets_its_settings(running: Running) -> None:
    settings = running.ask("/frontend/settings")
    assert (settings["charLimit"], settings["keyRequired"], settings["batchLimit"]) == (2_000, False, 20)


def test_a_translation_that_is_cut_off_is_counted_and_not_noted(
    running: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Translation, "finished", property(lambda self: False))

    def count() -> int:
        found = re.search(r'textseq_truncated_total\{model="en-fr"\} (\d+)', running.call("/metrics")[2])
        return int(found[1]) if found else 0

    before = count()
    running.ask("/translate", {"q": ["a cat", "A mat. A hat."], "source": "en", "target": "fr"})
    assert count() == before + 3
    assert "cut off" not in caplog.text


def test_a_sentence_that_would_not_be_read_whole_is_refused(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textseq.serve.operations.LONGEST", 5)
    body = {"q": ["a cat", "a long cat"], "source": "en", "target": "fr"}
    assert "expected sentences of at most 5 tokens, got 10; give it in parts" in running.refusal("/translate", body)
