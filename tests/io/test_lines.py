"""Lines come as they are there, bounded, and what is wrong is kept until those before it are done with."""

from __future__ import annotations

import gc
import io
import os
import tracemalloc

import pytest

from textseq.io.lines import LONGEST, Lines


def lines(data: bytes, encoding: str = "utf-8") -> list[str]:
    return list(Lines(io.BytesIO(data), "here", encoding))


def test_a_line_ends_at_a_line_feed() -> None:
    assert lines(b"") == []
    assert lines(b"\n") == [""]
    assert lines(b"a\n\nb") == ["a", "", "b"]
    assert lines("\ufeffa\r\nb\rc\u2028d\x85e\x0cf\n".encode()) == ["a", "b\rc\u2028d\x85e\x0cf"]


@pytest.mark.parametrize("length", [LONGEST - 1, LONGEST, LONGEST + 1, 10 * LONGEST])
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_only_what_is_too_long_is_cut_and_told(length: int, end: str, caplog: pytest.LogCaptureFixture) -> None:
    found = lines(f"a\n{'é' * length}{end}".encode() + (b"b" if end else b""))
    assert found == ["a", "é" * min(length, LONGEST)] + ["b"] * bool(end)
    assert ("line 2 of here has more than 20000 characters" in caplog.text) == (length > LONGEST)


@pytest.mark.parametrize("length", range(LONGEST - 2, LONGEST + 3))
def test_a_carriage_return_within_a_line_ends_none(length: int) -> None:
    assert lines(f"{'x' * length}\ry\nlast\n".encode()) == [f"{'x' * length}\ry"[:LONGEST], "last"]


def test_memory_is_bounded() -> None:
    class Endless(io.RawIOBase):
        left = 50 * 2**20

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            size = min(len(buffer), self.left)
            buffer[:size] = b"x" * size
            self.left -= size
            return size

    tracemalloc.start()
    try:
        found = list(Lines(io.BufferedReader(Endless()), "here"))
        assert tracemalloc.get_traced_memory()[1] < 2 * 2**20
    finally:
        tracemalloc.stop()
    assert found == ["x" * LONGEST]


def test_a_line_comes_before_the_next_is_there() -> None:
    reading, writing = os.pipe()
    with open(reading, "rb") as file:
        some = iter(Lines(file, "here"))
        os.write(writing, b"a\nb\n")
        assert next(some) == "a"
        assert next(some) == "b"
        os.write(writing, b"c")
        os.close(writing)
        assert list(some) == ["c"]
        assert not file.closed


@pytest.mark.parametrize(
    ("data", "encoding", "before", "message"),
    [
        (b"a\nb\xffc\nd\n", "utf-8", ["a"], "line 2 of here is not utf-8 text: byte 0xff at character 2; set"),
        (b"a\n\xc3", "utf-8", ["a"], "line 2 of here is not utf-8 text: byte 0xc3 at character 1; set"),
        (b"a\n\xed\xa0\x80", "utf-8", ["a"], "line 2 of here is not utf-8 text: byte 0xed"),
        (b"a\n\x81", "cp1252", ["a"], "line 2 of here is not cp1252 text: byte 0x81"),
        (b"a\x00\n\x00\x00\xd8b\x00", "utf-16-le", ["a"], "line 2 of here is not utf-16-le text: byte 0x00"),
        (
            "a\nb\n".encode("utf-16") + b"c",
            "utf-16",
            ["a", "b"],
            "line 3 of here is not utf-16 text: byte 0x63 at character 1",
        ),
    ],
)
def test_what_is_no_text_ends_them(data: bytes, encoding: str, before: list[str], message: str) -> None:
    some = Lines(io.BytesIO(data), "here", encoding)
    assert some.error is None
    assert list(some) == before
    assert message in str(some.error) and "\n" not in str(some.error)


def test_a_typed_line_that_is_no_text_is_told_and_the_next_one_comes(caplog: pytest.LogCaptureFixture) -> None:
    some = Lines(io.BytesIO(b"a\n\xffb\nc\n"), "here", typed=True)
    assert list(some) == ["a", "", "c"] and some.error is None
    assert [record.message.split(";")[0] for record in caplog.records] == [
        "line 2 of here is not utf-8 text: byte 0xff at character 1"
    ]


def test_what_cannot_be_read_ends_them() -> None:
    class Broken(io.BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            data = super().read1(2)
            if not data:
                raise OSError(5, "Input/output error")
            return data

    some = Lines(Broken(b"a\nb\n"), "here")
    assert list(some) == ["a", "b"]
    assert "cannot read here: Input/output error" in str(some.error)


def test_a_reader_may_stop_after_its_file_was_closed() -> None:
    """As on Ctrl-C, where the file is closed first; pytest makes an error of what Python could only print."""
    file = io.BytesIO(b"one\ntwo\n")
    reader = iter(Lines(file, "here"))
    assert next(reader) == "one"
    file.close()
    del reader
    gc.collect()
