"""The page holds together: its parts exist, it is small, and it asks no other host for anything."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from importlib import resources

import pytest
from serving import Running

from textseq.config.decoding import DecodingConfig
from textseq.serve.training import NAME, NAME_RULE

FILES = {
    item.name: item.read_text(encoding="utf-8") for item in resources.files("textseq.serve").joinpath("page").iterdir()
}
SCRIPTS = sorted(name for name in FILES if name.endswith(".js"))


class Elements(HTMLParser):
    """The elements of a page with their attributes."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(FILES[name])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def ids(self) -> list[str]:
        return [str(attributes["id"]) for _, attributes in self.found if "id" in attributes]


@pytest.mark.parametrize("name", ["temperature", "top_p", "min_p"])
def test_the_settings_of_writing_begin_with_the_defaults(name: str) -> None:
    found = re.search(rf'\["{name}", .*value: ([\d.]+) }}\]', FILES["write.js"])
    assert found and float(found[1]) == getattr(DecodingConfig(), name)


def test_names_of_runs_have_one_rule() -> None:
    (name,) = [found for _, found in Elements("index.html").found if found.get("id") == "train-name"]
    assert (name["pattern"], name["title"]) == (NAME.pattern.replace("_-", r"_\-"), NAME_RULE)


def test_it_is_small_and_alone() -> None:
    assert sum(len(text.encode()) for text in FILES.values()) < 200_000
    for name, text in FILES.items():
        addresses = re.findall(r"""(?:https?:)?//[\w.-]+\.\w+""", re.sub(r"//.*$", "", text, flags=re.MULTILINE))
        assert set(addresses) <= {"http://www.w3.org"}, name  # the name space of SVG
        assert "eval(" not in text and "innerHTML" not in text, name


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_find_what_they_name(name: str) -> None:
    ids = {page: Elements(page).ids() for page in ("index.html", "docs.html")}
    assert all(len(several) == len(set(several)) for several in ids.values())
    page = ids["docs.html" if name == "docs.js" else "index.html"]
    for wanted in re.findall(r"""(?:getElementById|byId)\("([\w-]+)"\)""", FILES[name]):
        assert wanted in page, wanted
    for names, module in re.findall(r"import \{([^}]*)\} from \"/page/([\w.]+)\"", FILES[name]):
        exported = re.findall(r"^export (?:async )?(?:function\*?|class) (\w+)", FILES[module], re.MULTILINE)
        assert {word.strip() for word in names.split(",")} <= set(exported)


def test_every_field_has_a_label_and_every_tab_a_panel() -> None:
    page, labels = FILES["index.html"], 0
    elements = Elements("index.html")
    for tag, attributes in elements.found:
        if attributes.get("role") == "tab":
            assert attributes["aria-controls"] in elements.ids()
        if tag in ("input", "select", "textarea"):
            opened = page[: page.index(f'id="{attributes["id"]}"')] if "id" in attributes else page
            labels += 1
            assert "id" not in attributes or opened.rfind("<label") > opened.rfind("</label>"), attributes
        assert not {name for name in attributes if name.startswith("on") or name == "style"}, "forbidden by the policy"
    assert labels > 10


@pytest.mark.parametrize("name", sorted(FILES))
def test_files_are_served(running: Running, name: str) -> None:
    status, headers, text = running.call(f"/page/{name}")
    assert status == 200 and text == FILES[name]
    assert headers["content-type"].split(";")[0] in ("text/html", "text/css", "text/javascript", "image/svg+xml")
