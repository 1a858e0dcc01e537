"""The page in a real browser: it does what its tabs say, by pointer and by keyboard, and asks no other host."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from serving import Running

pytest.importorskip("playwright", reason="playwright is not installed")

from playwright.sync_api import Browser, FilePayload, Locator, Page, expect, sync_playwright

expect.set_options(timeout=90_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's chromium, or any of this name."""
    program = shutil.which("chromium")
    if program is None:
        if os.environ.get("TEXTSEQ_REQUIRE_BROWSER") == "1":
            pytest.fail("chromium is not installed")
        pytest.skip("chromium is not installed")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, running: Running) -> Iterator[Page]:
    """The page, loaded; at the end nothing has gone wrong in it."""
    wrong: list[str] = []
    page = browser.new_page()
    page.set_default_timeout(90_000)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.extend([message.text] * (message.type == "error")))
    page.on("request", lambda request: wrong.extend([request.url] * (not request.url.startswith(running.url))))
    page.goto(running.url)
    expect(page.locator("#panes select").first).to_have_value("author")
    yield page
    page.close()
    assert not wrong


def write(page: Page, tokens: int) -> Locator:
    """The text of a first pane of so many tokens, when it is written."""
    page.get_by_label("Length in tokens").first.fill(str(tokens))
    page.get_by_role("button", name="Write", exact=True).click()
    text = page.get_by_label("Text 1", exact=True)
    expect(text.locator("span.colored")).to_have_count(tokens)
    return text


def click_letter(text: Locator, number: int) -> int:
    """Click a colored token that can be seen, as a space at the end of a row cannot; its place in the text."""
    seen = text.locator("span.colored").filter(has_text=re.compile(r"\S")).nth(number)
    place = int(seen.get_attribute("data-n") or 0)
    seen.click()
    return place


def test_it_writes_and_writes_on_from_another_choice(page: Page) -> None:
    text = write(page, 40)
    text.locator("span.colored").first.hover()
    expect(page.get_by_role("status").first).to_contain_text("nats, p = ")
    place = click_letter(text, 9)
    choices = page.get_by_role("dialog").get_by_role("button")
    expect(choices).to_have_count(10)
    page.get_by_role("dialog").get_by_role("button", disabled=False).nth(1).click()
    expect(text.locator("span.colored")).to_have_count(place + 40)
    page.get_by_label("Two settings side by side").check()
    page.get_by_role("button", name="Write", exact=True).click()
    expect(page.get_by_label("Text 2", exact=True).locator("span.colored")).to_have_count(400)


def test_a_seed_that_the_browser_would_round_is_refused(page: Page) -> None:
    page.get_by_label("Seed").first.fill(str(2**53))
    page.get_by_role("button", name="Write", exact=True).click()
    expect(page.get_by_role("alert")).to_have_text(
        f"Seed: expected at most {2**53 - 1}, got {2**53}; choose a smaller one."
    )
    page.get_by_label("Seed").first.fill(str(2**53 - 1))
    with page.expect_request("**/v1/completions") as asked:
        write(page, 5)
    sent = asked.value.post_data_json
    assert sent is not None and sent["seed"] == 2**53 - 1


def test_the_end_of_a_line_is_colored_and_clicked_too(page: Page) -> None:
    logprobs = {
        "tokens": ["a", "\n"],
        "token_logprobs": [-1, -1],
        "top_logprobs": [{"a": -1}, {"\n": -1}],
        "top_texts": [{}, {}],
        "text_offset": [0, 1],
    }
    event = json.dumps({"choices": [{"text": "a\n", "logprobs": logprobs}]})
    page.route("**/v1/completions", lambda route: route.fulfill(status=200, body=f"data: {event}\n\n"))
    text = write(page, 2)
    text.locator("span.colored").nth(1).click()
    expect(page.get_by_role("dialog").get_by_role("button")).to_have_text(["line end36.8 %"])


def test_parts_of_a_character_are_no_choice(page: Page) -> None:
    logprobs = {
        "tokens": ["a"],
        "token_logprobs": [-1],
        "top_logprobs": [{"a": -1, "<0x2>": -2, "<unk>": -3}],
        "top_texts": [{"<0x2>": None, "<unk>": "?"}],
        "text_offset": [0],
    }
    event = json.dumps({"choices": [{"text": "a", "logprobs": logprobs}]})
    page.route("**/v1/completions", lambda route: route.fulfill(status=200, body=f"data: {event}\n\n"))
    text = write(page, 1)
    text.locator("span.colored").click()
    choices = page.get_by_role("dialog").get_by_role("button")
    expect(choices.nth(1)).to_be_disabled()
    with page.expect_request("**/v1/completions") as asked:
        choices.nth(2).click()
    sent = asked.value.post_data_json
    assert sent is not None and sent["prompt"].endswith("?")


def test_authors_of_one_model_are_blended(browser: Browser, conditional: Running, running: Running) -> None:
    page = browser.new_page()
    page.set_default_timeout(90_000)
    page.goto(running.url)
    expect(page.locator("#panes select").first).to_have_value("author")
    expect(page.get_by_label("Blend with").first).to_be_hidden()  # an author alone
    page.goto(conditional.url)
    page.get_by_label("Blend with").first.select_option("bob")
    page.get_by_label("Share of this other author").first.fill("30")
    with page.expect_request("**/v1/completions") as asked:
        write(page, 10)
    sent = asked.value.post_data_json
    assert sent is not None and sent["condition"] == "ann=0.7,bob=0.3"
    page.close()


def test_offsets_count_characters_after_an_emoji(page: Page) -> None:
    tokens = ["\U0001f600", "b", "c", "d"]
    logprobs = {
        "tokens": tokens,
        "token_logprobs": [-1.0] * 4,
        "top_logprobs": [{}] * 4,
        "top_texts": [{}] * 4,
        "text_offset": [0, 1, 2, 3],
    }
    event = {"choices": [{"index": 0, "text": "".join(tokens), "logprobs": logprobs}]}
    page.route("**/v1/completions", lambda route: route.fulfill(body=f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n"))
    page.get_by_label("How the text begins").fill("\U0001f600")
    text = write(page, 4)
    expect(text.locator("span.colored")).to_have_text(tokens)
    copied = json.dumps({"spans": [[3, 4]], "longest": "c", "source": "a book"})
    page.route("**/memorization", lambda route: route.fulfill(body=copied))
    page.get_by_role("button", name="Underline what is copied").first.click()
    expect(text.locator(".copied")).to_have_text(["c"])
    expect(page.get_by_text("1 of 5 characters are copied")).to_be_visible()


def test_a_file_that_is_not_utf_8_is_refused(page: Page) -> None:
    page.get_by_role("tab", name="Train").click()
    page.locator("#train-file").set_input_files({"name": "a.txt", "mimeType": "text/plain", "buffer": b"d\xe9j\xe0 vu"})
    expect(page.get_by_role("alert")).to_contain_text("a.txt: expected a text in UTF-8")
    expect(page.get_by_label("Text to learn from")).to_have_value("")
    text: FilePayload = {"name": "b.txt", "mimeType": "text/plain", "buffer": "\ufeffd\xe9j\xe0 vu".encode()}
    page.locator("#train-file").set_input_files(text)
    expect(page.get_by_label("Text to learn from")).to_have_value("d\xe9j\xe0 vu")
    expect(page.get_by_role("alert")).to_be_hidden()


def test_writing_can_be_stopped(page: Page) -> None:
    page.get_by_label("Length in tokens").first.fill("4096")
    both = "document.getElementById('write-start').click(); document.getElementById('write-stop').click()"
    page.evaluate(both)  # at once: a fast machine has soon written all
    expect(page.get_by_role("button", name="Write", exact=True)).to_be_enabled()
    assert page.get_by_label("Text 1", exact=True).locator("span.colored").count() < 4096
    expect(page.get_by_role("alert")).to_be_hidden()


def test_it_works_by_keyboard_alone(page: Page) -> None:
    page.get_by_role("tab", name="Write").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tabpanel", name="Translate")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    text = write(page, 20)
    text.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    choices = page.get_by_role("dialog").get_by_role("button", disabled=False)
    expect(choices.first).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(choices.nth(1)).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(text).to_be_focused()


def test_it_translates_and_shows_the_attention(page: Page) -> None:
    page.get_by_role("tab", name="Translate").click()
    page.get_by_label("Text", exact=True).fill("a cat. a mat")
    words = page.locator("#translation .word")
    expect(words.first).to_be_visible()
    words.first.hover()
    expect(page.locator("#attention-caption")).to_contain_text("looked most at")
    assert page.locator("#matrix td").count() > 1
    looked = page.locator("#from-words .word")
    looked.last.hover()
    expect(page.locator("#attention-caption")).to_contain_text("looked most at mat")
    assert "rgb" in str(page.locator("#to-words .word").first.get_attribute("style"))
    page.get_by_label("A translation of yours").fill("un chat")
    page.get_by_role("button", name="Look at it").click()
    expect(page.locator("#to-words .word")).to_have_text(["un", "chat"])
    expect(page.locator("#attention-caption")).to_contain_text("nats per token")
    page.locator("#candidates button").first.click()
    expect(page.locator("#to-words .word")).not_to_have_text(["un", "chat"])


def test_a_translation_is_shown_as_it_is_written(page: Page) -> None:
    tokens = ["a", "<0x25>", " ", "<0xC3>", "<0x89>", "b", "</s>"]
    candidate = {
        "text": "a% Éb",
        "log_p_per_token": -1,
        "doubtful": False,
        "tokens": tokens,
        "texts": ["a", "%", " ", "", "É", "b", ""],
        "attention": [[0.5, 0.5]] * len(tokens),
    }
    answer = json.dumps({"source": ["a", ""], "candidates": [candidate]})
    page.route("**/attention", lambda route: route.fulfill(body=answer))
    page.get_by_role("tab", name="Translate").click()
    page.get_by_label("Text", exact=True).fill("a cat")
    expect(page.locator("#translation .word")).to_have_text(["a%", "Éb"])
    page.locator("#translation .word").last.hover()
    expect(page.locator("#attention-caption")).to_have_text("Éb looked most at a (50 %)")
    page.get_by_role("button", name="Swap").click()
    expect(page.get_by_label("Text", exact=True)).to_have_value("a% Éb")


def test_the_page_translates_the_sentences_of_the_server(page: Page, running: Running) -> None:
    text = "Mr. Smith came.\n    He sat."
    page.get_by_role("tab", name="Translate").click()
    page.get_by_label("Text", exact=True).fill(text)
    expected = running.ask("/translate", {"q": text, "source": "en", "target": "fr"})["translatedText"]
    expect(page.locator("#translation .word").first).to_be_visible()
    assert page.locator("#translation").text_content() == expected
    asked: list[object] = []
    page.on("request", lambda request: asked.extend([request.post_data_json] * request.url.endswith("/attention")))
    page.get_by_label("Text", exact=True).fill(f"{text} A mat.")
    expect(page.locator("#translation > span")).to_have_count(3)
    assert [sent["text"] for sent in asked if isinstance(sent, dict)] == ["A mat."], "only what has changed"


def test_another_choice_replaces_a_text_that_is_being_written(page: Page) -> None:
    text = write(page, 30)
    page.get_by_label("Length in tokens").first.fill("4096")
    page.get_by_role("button", name="Write", exact=True).click()
    page.evaluate("document.querySelectorAll('#text-1 .colored')[3]?.click()")
    expect(text.locator("span.colored").nth(40)).to_be_attached()
    place = click_letter(text, 20)
    page.get_by_label("Length in tokens").first.fill("5")
    page.get_by_role("dialog").get_by_role("button", disabled=False).first.click()
    expect(text.locator("span.colored")).to_have_count(place + 5)
    expect(text).to_be_focused()
    expect(page.get_by_role("button", name="Stop", exact=True)).to_be_disabled()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("status").first).to_contain_text("nats, p = ")


def test_long_work_is_shown_and_can_be_stopped(page: Page) -> None:
    page.route("**/classify", lambda route: None)  # no answer comes
    page.get_by_role("tab", name="Classify").click()
    page.locator("#classify-start").click()
    expect(page.get_by_text("Working")).to_be_visible()
    page.locator("#busy-stop").click()
    expect(page.get_by_text("Working")).to_be_hidden()
    expect(page.get_by_role("alert")).to_be_hidden()


def test_it_classifies_tags_and_looks_inside(page: Page) -> None:
    page.get_by_role("tab", name="Classify").click()
    page.locator("#classify-start").click()
    expect(page.locator("#classified h2")).to_have_text(re.compile(r"(good|bad), [\d.]+ %"))
    page.get_by_role("button", name="Who wrote this?").click()
    expect(page.locator("#classified h2")).to_have_text("Most like author")
    page.get_by_role("tab", name="Tag").click()
    page.locator("#tag-start").click()
    expect(page.locator("#tagged li").first).to_be_visible()
    page.get_by_role("tab", name="Look inside").click()
    page.get_by_role("button", name="Look", exact=True).click()
    page.locator("#followers button").nth(1).click()
    expect(page.locator("#inside-about")).to_contain_text("of 24, hidden state h")
    page.locator("#quantity").select_option("c")
    page.locator("#inside-model").dispatch_event("change")  # another author may have no cell
    expect(page.locator("#quantity")).to_have_value("h")


@pytest.mark.usefixtures("forked_trainings")
def test_it_starts_and_stops_a_training(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path))
    page.get_by_role("tab", name="Train").click()
    page.get_by_label("Text to learn from").fill("one two three four five six seven,\n" * 300)
    page.get_by_label("Name", exact=True).fill("mine")
    page.get_by_label("Hidden size", exact=True).fill("8")
    page.get_by_role("button", name="Train", exact=True).click()
    expect(page.locator("#run")).to_have_value("mine")
    expect(page.locator("#curves figure")).to_have_count(3, timeout=120_000)
    page.get_by_role("button", name="Stop and save").click()
    expect(page.get_by_role("button", name="Resume")).to_be_enabled(timeout=60_000)
    expect(page.locator("#said")).to_contain_text("stopped at step")


def test_a_model_that_has_been_trained_meanwhile_is_offered(page: Page, running: Running) -> None:
    models = running.ask("/models")
    more = [{**model, "name": f"new-{model['name']}"} for model in models]
    author = page.get_by_label("Author").first
    author.select_option("author")
    page.route("**/models", lambda route: route.fulfill(body=json.dumps(more + models)))
    page.get_by_role("tab", name="Train").click()
    page.get_by_role("tab", name="Write").click()
    expect(author.locator("option")).to_have_count(2)
    expect(author).to_have_value("author")
    for name, select, count in (("Translate", "direction", 4), ("Classify", "classifier", 2), ("Tag", "tagger", 2)):
        page.get_by_role("tab", name=name).click()
        expect(page.locator(f"#{select} option")).to_have_count(count)


def test_errors_are_shown_as_sentences(page: Page) -> None:
    event = 'data: {"error": {"message": "no paper"}}\n\n'
    page.route("**/v1/completions", lambda route: route.fulfill(status=200, body=event))
    page.get_by_role("button", name="Write", exact=True).click()
    expect(page.get_by_role("alert")).to_have_text("no paper")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_light_and_dark(
    browser: Browser, running: Running, scheme: Literal["light", "dark"]
) -> None:
    page = browser.new_page(viewport={"width": 320, "height": 740}, color_scheme=scheme)
    page.goto(running.url)
    expect(page.get_by_label("Author").first).to_have_value("author")
    for tab in page.get_by_role("tab").all():
        tab.click()
        if tab.text_content() == "Classify":
            page.get_by_role("button", name="Who wrote this?").click()
            meter = page.locator("#classified meter").first
            expect(meter).to_be_visible()
            box = meter.bounding_box()
            assert box is not None and box["width"] > 40
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, tab.text_content()
        for field in page.locator("main :is(button, input, select, textarea):visible").all():
            place = field.bounding_box()
            assert place is not None and place["x"] >= 0 and place["x"] + place["width"] <= 320
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible(browser: Browser, running: Running, scheme: Literal["light", "dark"]) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page = browser.new_page(viewport={"width": 375, "height": 740}, color_scheme=scheme)
    page.set_default_timeout(90_000)
    page.goto(running.url)
    found: set[tuple[str, str]] = set()

    def check() -> None:
        for violation in axe.Axe().run(page).response["violations"]:
            found.update((violation["id"], node["html"]) for node in violation["nodes"])

    text = write(page, 30)
    click_letter(text, 9)
    expect(page.get_by_role("dialog")).to_be_visible()
    check()
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Translate").click()
    page.get_by_label("Text", exact=True).fill("a cat and a mat and a cat and a mat and a cat")
    page.locator("#translation .word").first.hover()
    check()
    page.get_by_role("tab", name="Classify").click()
    page.locator("#classify-start").click()
    expect(page.locator("#explained")).to_be_visible()
    check()
    page.get_by_role("tab", name="Tag").click()
    page.locator("#tag-start").click()
    expect(page.locator("#tagged li").first).to_be_visible()
    check()
    page.get_by_role("tab", name="Look inside").click()
    page.get_by_role("button", name="Look", exact=True).click()
    expect(page.locator("#followers button").first).to_be_visible()
    check()
    page.get_by_role("tab", name="Train").click()
    page.get_by_label("Name", exact=True).fill("no name")
    page.get_by_label("Text to learn from").fill("text")
    check()
    page.goto(f"{running.url}/docs")
    page.get_by_text("POST /v1/completions").click()
    check()
    page.close()
    assert not found


def test_the_addresses_are_shown(browser: Browser, running: Running) -> None:
    page = browser.new_page()
    page.goto(f"{running.url}/docs")
    page.get_by_text("POST /v1/completions").click()
    expect(page.get_by_text("logit_bias")).to_be_visible()
    page.close()
