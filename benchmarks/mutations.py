"""Damaged inputs: valid files with a flipped byte, a part lost or doubled, an absurd number, a grown tree.

An input is a set of files by name, as they will be in a folder. The strategies take valid inputs and return inputs that
may be damaged.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

Files = dict[str, bytes]
"""The bytes of each file, by its name in a folder."""

MISCHIEF = [
    *(b"\0", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\r", b"\n", b"\r\n", b"\x1a", b"\x1b[31m"),
    *(b"\t", b"\t" * 3000, b" ", b"\n\n\n", b'"', b'""', b"'", b"\\", b"/", b"#", b"=", b",", b";", b"{", b"}"),
    *(b"NaN", b"-inf", b"1e999", b"-1", b"0", b"9" * 30, b"9" * 5000, b"1_0", "١٢".encode(), b"null", b"true"),
    *(b"[" * 3000, b'{"a":' * 3000, b"a" * 70_000, "\u2028\u0130\ufeff\U0001f600".encode(), b"../../x", b"-DOCSTART-"),
]
"""Bytes that some reader may stumble over."""
VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 2, 3, 1.5, -0.5, 1e308, 1e-320, float("nan"), float("inf"), float("-inf")),
    *(2**31, 2**63, 2**64, 10**12, 10**30, 10**400, -(10**18), "", "a", "\ud800", "\0", "../x", "/", "x" * 10_000),
    *([], [[]], ["a"], [1, 2], {}, {"a": 1}, "NaN", "1", [None], ["", ""]),
]
"""Values that stand where others are wanted."""
BINARY = {"gz", "bz2", "xz", "zst", "zip", "epub", "docx", "bin"}
"""Endings of files that have no lines."""
DEEP = "\ue000"
"""Stands in JSON for a tree that is nested more deeply than json.dumps would write it."""
LONG = "\ue001"
"""Likewise for a number of very many digits."""


def flipped(data: bytes, at: int) -> bytes:
    """One byte otherwise."""
    at %= max(len(data), 1)
    return data[:at] + bytes((data[at] ^ (1 << at % 8),)) + data[at + 1 :] if data else data


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes with one to four changes that know nothing of what they mean."""
    for _ in range(draw(st.integers(1, 4))):
        at, other = (draw(st.integers(0, len(data))) for _ in range(2))
        start, stop = min(at, other), max(at, other)
        change = draw(st.integers(0, 6))
        if change == 0:
            data = flipped(data, at)
        elif change == 1:
            data = data[:at]
        elif change == 2:
            data = data[:start] + data[min(stop, start + 200) :]
        elif change == 3:
            data = data[:at] + data[start : start + 200] + data[at:]
        elif change == 4:
            data = data[:at] + draw(st.sampled_from(MISCHIEF)) + data[at:]
        elif change == 5:
            piece = draw(st.sampled_from(MISCHIEF))
            data = data[:at] + piece + data[at + len(piece) :]
        else:
            data = data[:at] + draw(st.binary(max_size=20)) + data[at:]
    return data


def any_json() -> st.SearchStrategy[Any]:
    """Plain data of all kinds."""
    leaves = st.sampled_from(VALUES) | st.text(max_size=5) | st.integers() | st.floats()
    trees = st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=5,
    )
    return trees | st.sampled_from([DEEP, LONG])


def as_json(value: Any) -> bytes:
    """JSON, with what the marks stand for."""
    text = json.dumps(value)
    text = text.replace(json.dumps(DEEP), "[" * 100_000 + "]" * 100_000)
    return text.replace(json.dumps(LONG), "9" * 5000).encode()


@st.composite
def grown(draw: st.DrawFn, value: Any) -> Any:
    """Plain data with one value changed, lost, moved or put in, somewhere in it."""
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 9)) == 0:
        return draw(any_json())
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = draw(st.sampled_from(keys))
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    change = draw(st.integers(0, 9))
    if change == 0:
        del copy[key]
    elif change == 1:
        new = draw(any_json())
        if isinstance(copy, dict):
            copy[draw(st.sampled_from(keys) | st.text(max_size=5))] = new
        else:
            copy.insert(key, new)
    elif change == 2:
        copy[key] = value[draw(st.sampled_from(keys))]
    else:
        copy[key] = draw(grown(value[key]))
    return copy


@st.composite
def changed_json(draw: st.DrawFn, data: bytes) -> bytes:
    """A JSON text that says something else in one to three places; of what is none, bytes."""
    if not _is_json(data):
        return draw(damaged(data))
    value = json.loads(data)
    for _ in range(draw(st.integers(1, 3))):
        value = draw(grown(value))
    return as_json(value)


@st.composite
def changed_lines(draw: st.DrawFn, data: bytes) -> bytes:
    """A text of lines with a line changed, lost, doubled or moved; a line of JSON is changed as such."""
    lines = data.split(b"\n")
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1)) if lines else 0
        change = draw(st.integers(0, 4))
        if not lines or change == 0:
            lines.insert(at, draw(st.sampled_from(MISCHIEF)))
        elif change == 1:
            del lines[at]
        elif change == 2:
            lines.insert(draw(st.integers(0, len(lines))), lines[at])
        elif change == 3 and lines[at].startswith(b"{"):
            lines[at] = draw(changed_json(lines[at]))
        else:
            lines[at] = draw(damaged(lines[at]))
    return b"\n".join(lines)


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


@st.composite
def changed_toml(draw: st.DrawFn, data: bytes) -> bytes:
    """A TOML text with some values that are others."""
    lines = data.decode(errors="surrogateescape").split("\n")
    places = [n for n, line in enumerate(lines) if " = " in line]
    for _ in range(draw(st.integers(1, 3))):
        if not places:
            break
        at = draw(st.sampled_from(places))
        key = lines[at].partition(" = ")[0]
        value = draw(
            st.sampled_from(["0", "-1", "1e999", "nan", "inf", "9" * 40, "9" * 5000, "[]", "{}", '""', '"a"', "true"])
            | st.sampled_from(['["a", 1]', "[" * 3000 + "]" * 3000, "2020-01-01", '"../../x"', "[[]]", "{a = 1}"])
        )
        lines[at] = f"{draw(st.sampled_from([key, key, key, 'other']))} = {value}"
    return "\n".join(lines).encode(errors="surrogateescape")


@st.composite
def changed_tensors(draw: st.DrawFn, data: bytes) -> bytes:
    """A safetensors file with another header, or numbers that are none."""
    length = int.from_bytes(data[:8], "little")
    header, body = data[8 : 8 + length], data[8 + length :]
    change = draw(st.integers(0, 4))
    if change == 0 and len(body) >= 4:
        at = draw(st.integers(0, len(body) // 4 - 1)) * 4
        number = draw(st.sampled_from([b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\xff\xff\x7f\x7f", b"\0\0\xc0\xff"]))
        return data[: 8 + length + at] + number + data[8 + length + at + 4 :]
    if change == 1:
        return draw(st.integers(0, 2**64 - 1)).to_bytes(8, "little") + data[8:]
    entries = json.loads(header) if _is_json(header) else None
    if (
        change == 2 and isinstance(entries, dict) and entries
    ):  # a sound header, of tensors that have another name, type or shape
        name = draw(st.sampled_from([*entries]))
        entry = entries[name]
        if draw(st.booleans()) or not isinstance(entry, dict) or not isinstance(entry.get("shape"), list):
            entries[draw(st.sampled_from(list(entries)) | st.text(max_size=5))] = entries.pop(name)
        else:
            entry["shape"] = draw(
                st.sampled_from([[*entry["shape"], 1], entry["shape"][::-1], [-1], [], [2**62, 4], [0, 2**40]])
            )
            entry["dtype"] = draw(st.sampled_from(["F32", "I32", "F16", "BF16", "F64", "BOOL", "F8_E4M3", "C64", "X"]))
        changed = json.dumps(entries).encode()
    else:
        changed = draw(changed_json(header))
    return len(changed).to_bytes(8, "little") + changed + body


def changed(name: str, data: bytes) -> st.SearchStrategy[bytes]:
    """What may become of a file, by its name: mostly what its format makes of it, now and then mere bytes."""
    by_ending: dict[str, Callable[[bytes], st.SearchStrategy[bytes]]] = {
        "json": changed_json,
        "toml": changed_toml,
        "safetensors": changed_tensors,
    }
    ending = name.rpartition(".")[2]
    by_form = by_ending.get(ending, damaged if ending in BINARY else changed_lines)(data)
    return by_form | by_form | damaged(data) | st.binary(max_size=200)


@st.composite
def mutated(draw: st.DrawFn, wholes: Sequence[Files]) -> Files:
    """An input with up to two of its files changed, or, seldom, one of several lost."""
    files = dict(draw(st.sampled_from(wholes)))
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2, 2]))):
        name = draw(st.sampled_from(sorted(files)))
        if len(files) > 1 and draw(st.integers(0, 19)) == 0:
            del files[name]
        else:
            files[name] = draw(changed(name, files[name]))
    return files


def rehashed(files: Files) -> Files:
    """A model's files with the hashes in ``config.json`` that they ought to have, where there is something to mend."""
    try:
        facts = json.loads(files["config.json"])
        if isinstance(facts["sha256"], dict):
            facts["sha256"].pop("config.json", None)  # the hash of the metadata itself, which may be left out
            known = facts["sha256"].keys() & files.keys()
            facts["sha256"] |= {name: hashlib.sha256(files[name]).hexdigest() for name in known}
    except (KeyError, TypeError, ValueError, RecursionError):
        return files
    return files | {"config.json": json.dumps(facts).encode()}


def models(wholes: Sequence[Files]) -> st.SearchStrategy[Files]:
    """Model folders that are mutated, most of them by someone who also writes the right hashes."""
    made = mutated(wholes)
    return made.map(rehashed) | made.map(rehashed) | made


def zipped(files: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP archive."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return packed.getvalue()
