"""Word vectors: every format gives the same rows, only what is wanted is kept, and what is wrong is told."""

from __future__ import annotations

import gzip
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from textseq.data.readers import word_vectors
from textseq.data.readers.word_vectors import read_vectors
from textseq.data.word_vectors import Vectors, spearman, vectors_of
from textseq.errors import TextseqError
from textseq.io.documents import document
from textseq.nn.embedding import load_rows

WORDS = ("the", "of", "Paris", "paris", "naïve", ". . .", "at name@domain.com", "1")
TABLE = np.random.default_rng(1).normal(size=(len(WORDS), 5)).astype(np.float32)


def lines(words: tuple[str, ...] = WORDS, table: np.ndarray = TABLE, end: str = "") -> str:
    """As GloVe writes them; ``end`` is a space in fastText's."""
    return "".join(f"{word} {' '.join(map(repr, row.tolist()))}{end}\n" for word, row in zip(words, table, strict=True))


def packed(words: tuple[str, ...] = WORDS, table: np.ndarray = TABLE, between: bytes = b"") -> bytes:
    """As word2vec writes them; with or without a line's end ``between`` two words."""
    head = f"{len(words)} {table.shape[1]}\n".encode()
    return head + b"".join(
        word.encode() + b" " + row.astype("<f4").tobytes() + between for word, row in zip(words, table, strict=True)
    )


def zipped(path: Path, **members: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


WAYS: dict[str, Callable[[Path], Path]] = {}


def way(write: Callable[[Path], object]) -> Callable[[Path], object]:
    def written(folder: Path) -> Path:
        path = folder / write.__name__.replace("_", ".")
        write(path)
        return path

    WAYS[write.__name__] = written
    return write


@way
def glove_txt(path: Path) -> None:
    path.write_text(lines(), encoding="utf-8")


@way
def glove_txt_gz(path: Path) -> None:
    path.write_bytes(gzip.compress(lines().encode()))


@way
def glove_txt_zip(path: Path) -> None:
    zipped(path, **{"glove.txt": lines()})


@way
def word2vec_txt(path: Path) -> None:
    path.write_text(f"{len(WORDS)} 5\n" + lines(), encoding="utf-8")


@way
def fasttext_vec(path: Path) -> None:
    path.write_text(f"{len(WORDS)} 5\n" + lines(end=" "), encoding="utf-8")


@way
def windows_txt(path: Path) -> None:
    path.write_bytes(lines().replace("\n", "\r\n").encode())


@way
def tabs_txt(path: Path) -> None:
    words = tuple(word.replace(" ", "_") for word in WORDS)
    path.write_text(lines(words).replace(" ", "\t").replace("_", " "), encoding="utf-8")


@way
def without_last_end(path: Path) -> None:
    path.write_text(lines().rstrip("\n"), encoding="utf-8")


SINGLE = tuple(word for word in WORDS if " " not in word)
"""Words that word2vec's binary format can hold."""


def test_every_text_format_gives_every_row(tmp_path: Path) -> None:
    for name, write in WAYS.items():
        found = read_vectors(write(tmp_path))
        assert found.words == WORDS, name
        np.testing.assert_array_equal(found.table, TABLE, err_msg=name)
        assert found.notes == (), name


@pytest.mark.parametrize("between", [b"", b"\n"])
@pytest.mark.parametrize("packing", [bytes, gzip.compress])
def test_the_binary_format_gives_every_row(between: bytes, packing: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / ("words.bin.gz" if packing is gzip.compress else "words.bin")
    table = np.random.default_rng(2).normal(size=(3000, 300)).astype(np.float32)  # several blocks long
    words = tuple(f"word{row}" for row in range(len(table)))
    path.write_bytes(packing(packed(words, table, between)))
    found = read_vectors(path)
    assert found.words == words
    np.testing.assert_array_equal(found.table, table)
    assert found.notes == ()


@pytest.mark.parametrize("name", ["glove_txt", "fasttext_vec", "glove_txt_zip"])
def test_only_wanted_words_are_kept_in_their_order(name: str, tmp_path: Path) -> None:
    found = read_vectors(WAYS[name](tmp_path), ["1", "lacking", ". . .", "the"])
    assert found.words == ("1", ". . .", "the")
    np.testing.assert_array_equal(found.table, TABLE[[7, 5, 0]])


def test_another_case_will_do_and_the_right_one_is_better(tmp_path: Path) -> None:
    path = tmp_path / "v.txt"
    path.write_text("PARIS 1 0\nParis 2 0\nparis 3 0\nThe 4 0\nROME 5 0\nthe 6 0\n")
    found = read_vectors(path, ["Paris", "pAris", "THE", "rome", "nowhere"])
    assert dict(zip(found.words, found.table[:, 0], strict=True)) == {"Paris": 2, "pAris": 3, "THE": 6, "rome": 5}
    assert found.other_case == 3
    path.write_text("Straße 1 0\n")
    assert "STRASSE" in read_vectors(path, ["STRASSE"])


def test_memory_is_that_of_the_wanted_rows(tmp_path: Path) -> None:
    path = tmp_path / "large.txt"
    numbers = " 0.125" * 100
    with path.open("w") as file:
        file.writelines(f"word{row}{numbers}\n" for row in range(20_000))
    wanted = [f"word{row}" for row in range(0, 20_000, 1000)]
    tracemalloc.start()
    found = read_vectors(path, wanted)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.words == tuple(wanted)
    assert peak < path.stat().st_size / 10


def test_the_member_of_an_archive_is_named_or_known_by_its_size(tmp_path: Path) -> None:
    wide = np.concatenate([TABLE, TABLE], axis=1)
    path = zipped(tmp_path / "six.zip", **{"a.5d.txt": lines(), "a.10d.txt": lines(table=wide), "README": "nothing\n"})
    np.testing.assert_array_equal(read_vectors(path, size=10).table, wide)
    np.testing.assert_array_equal(read_vectors(f"{path}#a.5d.txt").table, TABLE)
    noted = zipped(tmp_path / "mac.zip", **{"a.txt": lines(), "__MACOSX/._a.txt": "\0"})
    np.testing.assert_array_equal(read_vectors(noted).table, TABLE)
    for member, told in (("", "3 members"), ("#a.50d.txt", "did you mean 'a.5"), ("#", "3 members")):
        with pytest.raises(TextseqError, match=told):
            read_vectors(f"{path}{member}")
    with pytest.raises(TextseqError, match="0 members with vectors of size 7"):
        read_vectors(path, size=7)


def test_an_archive_of_many_members_is_opened_once_to_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    members = {f"{number}.txt": "" if number % 2 else "nothing\n" for number in range(200)}
    path = zipped(tmp_path / "many.zip", **members, **{"a.txt": lines()})
    opened: list[Path] = []

    def counted(path: Path) -> zipfile.ZipFile:
        opened.append(path)
        return zipfile.ZipFile(path)

    for module in (word_vectors, document):
        monkeypatch.setattr(module, "archive_of", counted)
    np.testing.assert_array_equal(read_vectors(path, size=5).table, TABLE)
    assert len(opened) <= 3
    with pytest.raises(TextseqError, match="101 members"):
        read_vectors(path)


def test_the_size_that_is_asked_for_is_held(tmp_path: Path) -> None:
    with pytest.raises(
        TextseqError,
        match=r"expected vectors of size 300, got size 5 in .*; .* --embedding-size 5",
    ):
        read_vectors(WAYS["glove_txt"](tmp_path), size=300)


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ("short 1 2 3", "1 lines without a word and 5 numbers (the first: line 9)"),
        ("long 1 2 3 4 5 6", "1 lines without a word and 5 numbers (the first: line 9)"),
        ("none 1 2 x 4 5", "1 lines with other things than numbers after the word (the first: line 9)"),
        (" 1 2 3 4 5", "1 lines without a word and 5 numbers (the first: line 9)"),
        ("not nan 2 3 4 5", "1 words with numbers that are infinite or NaN (the first: not)"),
        ("far 1e99 2 3 4 5", "1 words with numbers that are infinite or NaN (the first: far)"),
        ("the 1 2 3 4 5", "1 words that occur twice, the first is used (the first: the)"),
        ("", "1 lines without a word and 5 numbers (the first: line 9)"),
    ],
)
def test_a_bad_line_is_told_and_the_others_are_read(bad: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "v.txt"
    for header, line in (("", 9), ("10 5\n", 10)):
        path.write_text(header + lines() + bad + "\n" + lines(("last",), TABLE[:1]), encoding="utf-8")
        found = read_vectors(path)
        assert found.words == (*WORDS, "last")
        np.testing.assert_array_equal(found.table[:-1], TABLE)
        assert found.notes == (f"{path}: {told.replace('line 9', f'line {line}')}",)


def test_a_word_that_is_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "v.txt"
    path.write_bytes(lines().encode() + b"caf\xe9 1 2 3 4 5\n")
    assert read_vectors(path).notes == (f"{path}: 1 words that are not UTF-8 (the first: line 9)",)


def test_a_first_line_that_is_bad_does_not_mislead(tmp_path: Path) -> None:
    path = tmp_path / "v.txt"
    path.write_text("# vectors made on a Monday, 3 4\n" + lines(), encoding="utf-8")
    assert read_vectors(path).words == WORDS


@pytest.mark.parametrize("end", [1, 20])
def test_a_file_cut_short_is_told(end: int, tmp_path: Path) -> None:
    path = tmp_path / "v.bin"
    path.write_bytes(packed(SINGLE, TABLE[: len(SINGLE)])[:-end])
    found = read_vectors(path)
    assert found.words == SINGLE[:-1]
    assert found.notes == (f"{path}: its header declares 6 words, it has 5",)
    path.write_text("9 5\n" + lines(), encoding="utf-8")
    assert read_vectors(path).notes == (f"{path}: its header declares 9 words, it has 8",)


def test_a_first_line_that_lies_about_the_numbers_is_told(tmp_path: Path) -> None:
    path = tmp_path / "v.txt"
    for lie in (50, 300, 2):
        path.write_text(f"{len(WORDS)} {lie}\n" + lines(), encoding="utf-8")
        found = read_vectors(path)
        assert (found.words, found.size) == (WORDS, 5)
        np.testing.assert_array_equal(found.table, TABLE)
        assert found.notes == (f"{path}: its header declares vectors of size {lie}, most lines have 5",)
        with pytest.raises(TextseqError, match=f"expected vectors of size {lie}, got size 5"):
            read_vectors(path, size=lie)


@pytest.mark.parametrize("announced", [b"6 3\n", b"6 7\n", b"6 1\n"])
def test_a_binary_file_whose_first_line_lies_about_the_numbers_is_refused(announced: bytes, tmp_path: Path) -> None:
    path = tmp_path / "v.bin"
    path.write_bytes(announced + packed(SINGLE, TABLE[: len(SINGLE)]).split(b"\n", 1)[1])
    with pytest.raises(TextseqError, match="not an intact file of word vectors"):
        read_vectors(path)


def test_what_follows_the_announced_words_is_told(tmp_path: Path) -> None:
    path = tmp_path / "v.bin"
    path.write_bytes(b"4 5\n" + packed(SINGLE, TABLE[: len(SINGLE)]).split(b"\n", 1)[1])
    found = read_vectors(path)
    assert found.words == SINGLE[:4]
    assert found.notes == (f"{path}: it has data after the words that its header declares",)


def test_a_packed_file_cut_short_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "v.txt.gz"
    table = np.random.default_rng(3).normal(size=(5000, 5)).astype(np.float32)
    words = tuple(f"word{row}" for row in range(len(table)))
    path.write_bytes(gzip.compress(lines(words, table).encode())[:-1000])
    found = read_vectors(path)
    assert 100 < len(found.words) < 5000 and found.words == words[: len(found.words)]
    np.testing.assert_array_equal(found.table, table[: len(found.words)])
    assert found.notes == (f"{path}: it is compressed, and truncated",)


def test_a_byte_order_mark_is_no_part_of_a_word(tmp_path: Path) -> None:
    path = tmp_path / "v.txt"
    for header in ("", f"{len(WORDS)} 5\n"):
        path.write_text("\ufeff" + header + lines(), encoding="utf-8")
        assert read_vectors(path).words == WORDS
        assert read_vectors(path).notes == ()


def test_what_holds_no_vectors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "v.txt"
    for content, told in (
        (b"", "not a file of word vectors"),
        (b"Once upon a time\nthere was a king.\n", "not a file of word vectors"),
        (b"\x89PNG\r\n\x1a\n\0\0", "not a file of word vectors"),
        (b"9 5\n", "not a file of word vectors"),
        (b"9 0\n", "not a file of word vectors"),
        (b"9 99999999999999\n", "not a file of word vectors"),
        (b"2 5\nOnce upon a time\n", "not an intact file"),
        (b"a 1 2\nb 1 2\nc 1 2 x\nd 1\ne 1\n", r"not an intact file of word vectors of size 2: 3 lines without"),
    ):
        path.write_bytes(content)
        with pytest.raises(TextseqError, match=told):
            read_vectors(path)


def test_what_cannot_be_opened_is_told(tmp_path: Path) -> None:
    for path, content in (("v.zip", b"PK no"), ("v.gz", gzip.compress(lines().encode())[:-20]), ("w.gz", b"a 1 2\n")):
        (tmp_path / path).write_bytes(content)
        with pytest.raises(TextseqError, match=r"not an intact ZIP|damaged"):
            read_vectors(tmp_path / path)
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    for wrong, told in (
        (tmp_path, "folder"),
        ("", "got an empty name in ''; name one"),
        ("#vectors.txt", "got an empty name in '#vectors.txt'; name one"),
        (tmp_path / "none.txt", "no file of word vectors at"),
        (tmp_path / "empty.zip", "an empty archive"),
    ):
        with pytest.raises(TextseqError, match=told):
            read_vectors(wrong)


def test_neighbors_and_analogies() -> None:
    words = ("man", "woman", "king", "queen", "apple", "nothing")
    table = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 1], [0, 1, 1], [-1, -1, 0], [0, 0, 0]], np.float32)
    vectors = Vectors(words, table)
    assert [word for word, _ in vectors.nearest("king", 2)] == ["man", "queen"]
    ((word, cosine),) = vectors.nearest(table[3], 1)
    assert word == "queen" and cosine == pytest.approx(1)
    assert vectors.similarity("king", "queen") == pytest.approx(0.5)
    assert vectors.similarity("king", "nothing") == 0
    assert vectors.analogy("man", "king", "woman")[0][0] == "queen"
    assert len(vectors.nearest("king", 100)) == len(words) - 1
    assert vectors.nearest("KING", 2) == vectors.nearest("king", 2)
    with pytest.raises(TextseqError, match="count: expected at least 1, got 0"):
        vectors.nearest("king", 0)
    for count in (0, -1):
        with pytest.raises(TextseqError, match=f"count: expected at least 1, got {count}"):
            vectors.analogy("man", "king", "woman", count)
    with pytest.raises(TextseqError, match=r"expected a vector of shape \(3,\), got shape \(4,\)"):
        vectors.nearest(np.zeros(4, np.float32))
    with pytest.raises(TextseqError, match="did you mean 'queen'"):
        vectors.nearest("quen")


def test_rank_correlation() -> None:
    assert spearman([1, 2, 3, 4], [1, 4, 9, 16]) == pytest.approx(1)
    assert spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    # Ranks 1, 2.5, 2.5, 4 and 1, 3, 2, 4: covariance 4.5 over the root of 4.5 * 5.
    assert spearman([1, 2, 2, 4], [1, 3, 2, 4]) == pytest.approx(4.5 / (4.5 * 5) ** 0.5)
    assert np.isnan(spearman([1, 1], [1, 2]))


@pytest.mark.parametrize(
    ("file", "words", "size", "notes"),
    [
        ("allennlp/fake_embeddings.5d.txt", 15, 5, ()),
        ("allennlp/fake_embeddings.5d.txt.gz", 15, 5, ()),
        ("allennlp/fake_embeddings.5d.txt.zip", 15, 5, ()),
        ("allennlp/glove.6B.100d.sample.txt.gz", 100, 100, ()),
        ("allennlp/glove.6B.300d.sample.txt.gz", 100, 300, ()),
        ("allennlp/multi-file-archive.zip#folder/fake_embeddings.5d.txt", 15, 5, ()),
        ("gensim/test_glove.txt", 76, 50, ()),
        ("gensim/lee_fasttext.vec", 1762, 10, ()),
        ("gensim/toy-model.vec", 22, 5, ()),
        ("gensim/crime-and-punishment.vec", 291, 5, ()),
        ("gensim/euclidean_vectors.bin", 2747, 10, ()),
        ("torchtext/glove.840B.300d.zip", 100, 300, ()),
        ("torchtext/glove.6B.zip#glove.6B.200d.txt", 1, 200, ()),
        ("torchtext/wiki.en.vec", 99, 300, ("its header declares 2,519,370 words, it has 99",)),
    ],
)
def test_files_that_others_made(file: str, words: int, size: int, notes: tuple[str, ...], data_folder: Path) -> None:
    path = data_folder / "embeddings" / file
    found = read_vectors(path)
    assert (len(found.words), found.size) == (words, size)
    assert [note.split(": ", 1)[1] for note in found.notes] == [*notes]


def test_an_unknown_word_does_not_list_them_all() -> None:
    many = Vectors(tuple(f"word{row}" for row in range(5000)), np.ones((5000, 2), np.float32))
    with pytest.raises(TextseqError, match=r"unknown word 'wort7'; did you mean 'word7'\? .*\(5,000 in all\)") as told:
        many.nearest("wort7")
    assert len(str(told.value)) < 1000


def test_what_stands_for_unknown_words_is_no_word() -> None:
    assert vectors_of((" <unk>", " dog", "cat", "<unk>"), np.ones((4, 2), np.float32)).words == ("dog", "cat")


def test_one_number_to_a_word_will_do() -> None:
    table = torch.zeros(3, 1)
    told = load_rows(table, [" film", " the", "."], Vectors(("film",), np.array([[1.5]], np.float32)))
    assert table[0].item() == 1.5 and table.isfinite().all() and told.startswith("1 of 3")
