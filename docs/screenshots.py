"""Make the screenshots of ``textseq-serve`` for the README and the guide, with the models that ship.

Needs ``pip install -e ".[dev]"`` and chromium:

    python docs/screenshots.py
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 300_000  # milliseconds


@contextmanager
def server() -> Iterator[str]:
    """The address of a server that knows nothing but what ships."""
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-m", "textseq.cli.serve", "--port=0", "--read-only"]
        environment = {**os.environ, "TEXTSEQ_HOME": home}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
            assert child.stdout is not None
            try:
                yield child.stdout.readline().split()[1]
            finally:
                child.terminate()


def write(page: Page) -> None:
    """A text that has been written, and what else could have come at one place."""
    page.get_by_label("Length in tokens").first.fill("330")
    page.get_by_label("Seed").first.fill("7")
    page.get_by_role("button", name="Write", exact=True).click()
    text = page.get_by_label("Text 1", exact=True).locator("span.colored")
    expect(text).to_have_count(330)
    text.nth(41).click()
    expect(page.get_by_role("dialog")).to_be_visible()


def translate(page: Page) -> None:
    """A translation, and where a word of it looked."""
    page.get_by_role("tab", name="Translate").click()
    page.get_by_label("Text", exact=True).fill("Where is the station? I would like to eat something.")
    page.locator("#translation .word").nth(3).hover()
    expect(page.locator("#attention-caption")).to_contain_text("looked most at")


def look_inside(page: Page) -> None:
    """A unit over a text."""
    page.get_by_role("tab", name="Look inside").click()
    page.get_by_role("button", name="Look", exact=True).click()
    expect(page.locator("#followers button").first).to_be_visible()


PICTURES = {
    "figures/serve.png": write,
    "docs/guides/serve_translate.png": translate,
    "docs/guides/serve_inside.png": look_inside,
}
"""What each shows."""


def main() -> None:
    """Make all pictures."""
    expect.set_options(timeout=PATIENCE)
    with server() as url, sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, show in PICTURES.items():
            page = browser.new_page(viewport={"width": 1060, "height": 500}, color_scheme="light")
            page.set_default_timeout(PATIENCE)
            page.goto(url)
            expect(page.locator("#panes select").first).to_be_enabled()
            show(page)
            picture = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
            picture.quantize(96, dither=Image.Dither.NONE).save(ROOT / name, optimize=True)
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
