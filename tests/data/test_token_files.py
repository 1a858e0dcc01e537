"""Token files: the same ids however the text was cut, made once, and never half-made."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Semaphore, get_ident
from typing import NoReturn

import numpy as np
import pytest

import textseq.io.locks
from textseq.config.tokenizer import TokenizerConfig
from textseq.data.token_files import CHECK_FILE, TokenFile, labelled_token_file, token_file, tokenizer_for
from textseq.errors import TextseqError
from textseq.io.files import replacing
from textseq.tasks.language_model.config import DataConfig
from textseq.tokenizers.base import TOKENIZER_FILE
from textseq.tokenizers.characters import CharTokenizer
from textseq.tokenizers.registry import TOKENIZERS, load_tokenizer

DOCUMENTS = ("To be, or not to be,\n", "", "żółć 道可道 👩‍👩‍👧‍👦", "that is the question.\r\n")
KINDS = {kind: TokenizerConfig.from_dict({"tokenizer": kind}, where="here") for kind in TOKENIZERS}
EVERY_KIND = pytest.mark.parametrize("kind", TOKENIZERS)
CHAR, BYTE = KINDS["char"], KINDS["byte"]


class Stub:
    """A corpus in memory that counts how often it is read."""

    def __init__(self, *train: str, chunk: int = 7, valid: tuple[str, ...] = ()) -> None:
        self.name = "stub"
        self.splits: tuple[str, ...] = ("train", "valid")
        self.texts = {"train": train or DOCUMENTS, "valid": valid}
        self.chunk = chunk
        self.reads = 0

    @property
    def fingerprint(self) -> str:
        return repr(self.texts)

    def documents(self, split: str) -> Iterator[Iterator[str]]:
        self.reads += 1
        return (self.chunks(text) for text in self.texts[split])

    def chunks(self, text: str) -> Iterator[str]:
        return (text[start : start + self.chunk] for start in range(0, len(text), self.chunk))


def files(folder: Path) -> list[str]:
    return sorted(path.suffix for path in folder.rglob("*") if path.is_file())


def same(one: TokenFile, other: TokenFile) -> bool:
    return (
        one.ids.tolist() == other.ids.tolist()
        and one.document_starts.tolist() == other.document_starts.tolist()
        and (one.characters, one.words, one.utf8_bytes) == (other.characters, other.words, other.utf8_bytes)
    )


@EVERY_KIND
def test_ids_and_document_starts_give_every_document_back(kind: str, tmp_path: Path) -> None:
    corpus = Stub()
    tokenizer = tokenizer_for(corpus, KINDS[kind], tmp_path)
    tokens = token_file(corpus, "train", tokenizer, tmp_path)
    ends = [*tokens.document_starts[1:].tolist(), len(tokens.ids)]
    assert tokens.document_starts[0] == 0 and tokens.document_starts.dtype == np.int64
    assert (
        tuple(tokenizer.decode(tokens.ids[start:end]) for start, end in zip(tokens.document_starts, ends, strict=True))
        == DOCUMENTS
    )
    assert tokens.characters == len("".join(DOCUMENTS))
    assert tokens.words == sum(len(document.split()) for document in DOCUMENTS)
    assert tokens.utf8_bytes == len("".join(DOCUMENTS).encode())
    assert tokens.path.stat().st_size == tokens.ids.nbytes


@EVERY_KIND
def test_chunking_changes_nothing(kind: str, tmp_path: Path) -> None:
    made = []
    for chunk in (1, 2, 1000):
        corpus, cache = Stub(chunk=chunk), tmp_path / str(chunk)
        made.append(token_file(corpus, "train", tokenizer_for(corpus, KINDS[kind], cache), cache))
    assert same(made[0], made[1]) and same(made[0], made[2])


@pytest.mark.parametrize(("size", "dtype"), [(17, "|u1"), (256, "|u1"), (257, "<u2"), (65536, "<u2"), (65537, "<u4")])
def test_the_smallest_type_that_fits(size: int, dtype: str, tmp_path: Path) -> None:
    characters = "".join(map(chr, range(0x10000, 0x10000 + size - 16)))
    tokenizer = CharTokenizer(characters)
    assert tokenizer.size == size
    tokens = token_file(Stub(characters + "é", chunk=1000), "train", tokenizer, tmp_path)
    assert tokens.ids.dtype.str == dtype
    assert tokens.ids.tolist() == tokenizer.encode(characters + "é").tolist()


def test_token_files_are_mapped_and_read_only(tmp_path: Path) -> None:
    tokens = token_file(Stub(), "train", CharTokenizer("abc"), tmp_path)
    assert isinstance(tokens.ids, np.memmap) and isinstance(tokens.document_starts, np.memmap)
    assert not tokens.ids.flags.writeable and not tokens.document_starts.flags.writeable


def test_a_second_call_reads_no_document(tmp_path: Path) -> None:
    corpus = Stub()
    tokenizer = tokenizer_for(corpus, CHAR, tmp_path)
    first = token_file(corpus, "train", tokenizer, tmp_path)
    assert corpus.reads == 2
    again = tokenizer_for(corpus, CHAR, tmp_path)
    assert again.fingerprint == tokenizer.fingerprint
    assert same(first, token_file(corpus, "train", again, tmp_path))
    assert corpus.reads == 2


def test_another_corpus_part_or_tokenizer_makes_another_file(tmp_path: Path) -> None:
    corpus = Stub(valid=("to be",))
    tokenizer = tokenizer_for(corpus, CHAR, tmp_path)
    made = [
        token_file(corpus, "train", tokenizer, tmp_path),
        token_file(corpus, "valid", tokenizer, tmp_path),
        token_file(Stub("or not to be"), "train", tokenizer, tmp_path),
        token_file(corpus, "train", CharTokenizer("be"), tmp_path),
        token_file(corpus, "train", tokenizer_for(corpus, BYTE, tmp_path), tmp_path),
    ]
    assert len({tokens.path for tokens in made}) == len(made)
    assert tokenizer.decode(made[1].ids) == "to be"
    assert tokenizer_for(Stub("another"), CHAR, tmp_path).fingerprint != tokenizer.fingerprint


def test_the_cache_tells_options_apart_that_the_tokenizer_heeds(tmp_path: Path) -> None:
    corpus = Stub("To be, or not to be: that is the question. " * 9)
    options = [
        CHAR,
        TokenizerConfig(tokenizer="word"),
        TokenizerConfig(tokenizer="word", lowercase=True),
        TokenizerConfig(tokenizer="word", minimum_count=10),
        TokenizerConfig(tokenizer="subword"),
        TokenizerConfig(tokenizer="subword", vocabulary_size=275),
        TokenizerConfig(tokenizer="subword", subword_model="bpe"),
    ]
    made = [tokenizer_for(corpus, wanted, tmp_path).fingerprint for wanted in options]
    assert len(list(tmp_path.rglob(TOKENIZER_FILE))) == len(set(made)) == len(options)
    assert corpus.reads == len(options)
    assert [tokenizer_for(corpus, wanted, tmp_path).fingerprint for wanted in options] == made
    assert corpus.reads == len(options)
    batching = DataConfig(tokenizer="word", normalization="none", lowercase=True, batch_size=3)
    assert tokenizer_for(corpus, batching, tmp_path).fingerprint == made[2] and corpus.reads == len(options)


def test_tokenizers_and_caches_made_before_there_were_options_are_still_found(tmp_path: Path) -> None:
    """What ``tokenizer.json`` held and where it stood when a char tokenizer was all there was."""
    corpus = Stub("abc")
    tokenizer = tokenizer_for(corpus, CHAR, tmp_path)
    [path] = tmp_path.rglob(TOKENIZER_FILE)
    assert path.read_bytes() == b'{"characters":"abc","format":1,"kind":"char"}'
    key = hashlib.sha256(json.dumps(("char", corpus.fingerprint, "1")).encode()).hexdigest()[:16]
    assert path.parent == tmp_path / "tokenizers" / f"stub-char-{key}"
    assert tokenizer.fingerprint == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_tokenizer_is_trained_on_the_train_part_alone(tmp_path: Path) -> None:
    corpus = Stub("abc", valid=("xyz",))
    assert tokenizer_for(corpus, CHAR, tmp_path).vocabulary[:-16] == ("a", "b", "c")


def spoilt_header(**changes: object) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        header = path.with_suffix(".json")
        header.write_text(json.dumps({**json.loads(header.read_bytes()), **changes}))

    return spoil


def flipped(suffix: str, place: float) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        file = path.with_suffix(suffix)
        data = bytearray(file.read_bytes())
        data[int(place * (len(data) - 1))] ^= 1
        file.write_bytes(data)

    return spoil


def cut_off(suffix: str, length: int) -> Callable[[Path], None]:
    return lambda path: os.truncate(path.with_suffix(suffix), path.with_suffix(suffix).stat().st_size - length)


@pytest.mark.parametrize(
    "spoil",
    [
        *(flipped(suffix, place) for suffix in (".ids", ".documents", ".json") for place in (0, 0.3, 0.5, 0.9, 1)),
        cut_off(".ids", 1),
        cut_off(".documents", 1),
        cut_off(".documents", 8),
        cut_off(".json", 5),
        lambda path: path.unlink(),
        lambda path: path.with_suffix(".documents").unlink(),
        lambda path: path.with_suffix(".json").unlink(),
        lambda path: path.with_suffix(".json").write_bytes(b""),
        lambda path: path.with_suffix(".json").write_bytes(b"\xff\xfe"),
        lambda path: path.with_suffix(".json").write_bytes(b"[]"),
        lambda path: path.with_suffix(".json").write_bytes(b"{}"),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes() + b"\0"),
        spoilt_header(format=0),
        spoilt_header(fingerprint="another"),
        spoilt_header(tokenizer="another"),
        spoilt_header(dtype="<u2"),
        spoilt_header(tokens="many"),
        spoilt_header(characters=None),
        spoilt_header(utf8_bytes=1.5),
        spoilt_header(characters=59),
        spoilt_header(documents=True),
        spoilt_header(surplus=1),
    ],
)
def test_what_is_damaged_is_made_anew(spoil: Callable[[Path], None], tmp_path: Path) -> None:
    corpus, tokenizer = Stub(), CharTokenizer("abc")
    path = token_file(corpus, "train", tokenizer, tmp_path).path
    whole = {suffix: path.with_suffix(suffix).read_bytes() for suffix in (".ids", ".documents", ".json")}
    spoil(path)
    token_file(corpus, "train", tokenizer, tmp_path)
    assert corpus.reads == 2
    assert {suffix: path.with_suffix(suffix).read_bytes() for suffix in whole} == whole
    assert files(tmp_path) == [".documents", ".ids", ".json"]


def test_the_token_file_of_another_tokenizer_is_not_taken(tmp_path: Path) -> None:
    """Neither all of it under the right name, nor its ids beside the right header."""
    corpus, tokenizer = Stub("c, d"), CharTokenizer("abc")
    path = token_file(corpus, "train", tokenizer, tmp_path).path
    right = path.read_bytes()
    other = token_file(corpus, "train", CharTokenizer("abd"), tmp_path).path
    assert other != path and other.stat().st_size == len(right) and other.read_bytes() != right
    for suffixes in ((".ids", ".documents", ".json"), (".ids",), (".json",)):
        for suffix in suffixes:
            path.with_suffix(suffix).write_bytes(other.with_suffix(suffix).read_bytes())
        assert token_file(corpus, "train", tokenizer, tmp_path).ids.tobytes() == right


def test_checking_a_file_takes_no_memory(tmp_path: Path) -> None:
    class Long(Stub):
        fingerprint = "long"

    corpus, tokenizer = Long("a" * 20_000_000, chunk=10**6), CharTokenizer("a")
    token_file(corpus, "train", tokenizer, tmp_path)
    tracemalloc.start()
    try:
        tokens = token_file(corpus, "train", tokenizer, tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 2 * 10**6
    finally:
        tracemalloc.stop()
    assert isinstance(tokens.ids, np.memmap) and len(tokens.ids) == 20_000_000
    assert corpus.reads == 1


@EVERY_KIND
def test_a_damaged_tokenizer_in_the_cache_is_trained_anew(kind: str, tmp_path: Path) -> None:
    corpus = Stub()
    tokenizer = tokenizer_for(corpus, KINDS[kind], tmp_path)
    [path] = tmp_path.rglob(TOKENIZER_FILE)
    other = CharTokenizer("ab") if kind == "byte" else TOKENIZERS["byte"].train([])
    whole = path.read_text()
    spelled = whole.replace("ó", "ö") if "ó" in whole else whole.replace("e", "f", 1)
    for damage in (
        lambda: path.write_text("{"),
        lambda: other.save(path.parent),
        lambda: path.write_text(spelled),  # one that may well be read
        lambda: (path.parent / CHECK_FILE).unlink(),
    ):
        damage()
        assert tokenizer_for(corpus, KINDS[kind], tmp_path).fingerprint == tokenizer.fingerprint
        assert load_tokenizer(path.parent).fingerprint == tokenizer.fingerprint


class Broken(Stub):
    """A corpus that fails after it gave some text."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def chunks(self, text: str) -> Iterator[str]:
        yield text
        raise self.error


def test_replacing_several_files_is_all_or_nothing(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"old")
    with pytest.raises(KeyError), replacing(first, second) as (one, two):
        one.write(b"new")
        two.write(b"new")
        raise KeyError
    assert first.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["first"]
    with replacing(first, second) as (one, two):
        one.write(b"new")
        assert first.read_bytes() == b"old"
    assert first.read_bytes() == b"new" and second.read_bytes() == b""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "second"]


def test_an_exception_in_the_middle_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        token_file(Broken(KeyError()), "train", CharTokenizer("abc"), tmp_path)
    with pytest.raises(KeyError):
        tokenizer_for(Broken(KeyError()), CHAR, tmp_path)
    assert files(tmp_path) == []


def test_a_full_disk_is_said_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TextseqError, match=r"cannot write .*\.ids: the disk is full"):
        token_file(Stub(), "train", CharTokenizer("abc"), tmp_path)
    with pytest.raises(TextseqError, match=rf"cannot write .*{TOKENIZER_FILE}: the disk is full"):
        tokenizer_for(Stub(), CHAR, tmp_path)
    assert files(tmp_path) == []


def test_a_write_that_fails_halfway_is_said_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """The kernel itself refuses to let the file grow: the nearest to a full disk that a test can have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(TextseqError, match=r"cannot write .*\.ids: .*; use a place") as caught:
            token_file(Stub("a" * 1_000_000, chunk=50_000), "train", CharTokenizer("a"), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert files(tmp_path) == []


def test_one_makes_what_many_want_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who makes it takes until all others have come."""
    many, come = 4, Semaphore(0)
    locks = textseq.io.locks.take
    met: set[tuple[int, int]] = set()

    def counted(handle: int) -> bool | None:
        done = locks(handle)
        if done is False and (seen := (get_ident(), os.fstat(handle).st_ino)) not in met:
            met.add(seen)
            come.release()
        return done

    class Slow(Stub):
        def documents(self, split: str) -> Iterator[Iterator[str]]:
            all(come.acquire(timeout=5) for _ in range(many - 1))
            return super().documents(split)

    monkeypatch.setattr(textseq.io.locks, "take", counted)
    corpora = [Slow() for _ in range(many)]
    barrier = Barrier(many, timeout=60)

    def prepare(corpus: Stub) -> tuple[str, TokenFile]:
        tokenizer = tokenizer_for(corpus, KINDS["subword"], tmp_path)
        barrier.wait()
        return tokenizer.fingerprint, token_file(corpus, "train", tokenizer, tmp_path)

    with ThreadPoolExecutor(many) as pool:
        made = list(pool.map(prepare, corpora))
    assert sum(corpus.reads for corpus in corpora) == 2  # once to train the tokenizer, once to encode
    (one, tokens), *others = made
    assert all(one == other and same(tokens, more) for other, more in others)
    assert list(tmp_path.rglob("*.lock")) == []


def test_what_a_killed_process_left_is_in_no_way(tmp_path: Path) -> None:
    corpus = Stub()
    tokenizer = tokenizer_for(corpus, CHAR, tmp_path)
    path = token_file(corpus, "train", tokenizer, tmp_path).path
    whole = path.read_bytes()
    path.write_bytes(b"half")
    path.with_suffix(".lock").touch()
    (path.parent / f".{path.name}.0123").write_bytes(b"half")
    assert token_file(corpus, "train", tokenizer, tmp_path).ids.tobytes() == whole


def test_without_locks_many_at_once_do_not_disturb_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All write at the same time."""
    monkeypatch.setattr("textseq.io.locks.take", lambda handle: None)
    writers = 4
    barrier = Barrier(writers, timeout=30)

    class Together(Stub):
        def chunks(self, text: str) -> Iterator[str]:
            for chunk in super().chunks(text):
                barrier.wait()
                yield chunk

    tokenizer = CharTokenizer("abc")
    with ThreadPoolExecutor(writers) as pool:
        made = list(pool.map(lambda _: token_file(Together(), "train", tokenizer, tmp_path), range(writers)))
    assert all(same(made[0], tokens) for tokens in made)
    assert same(made[0], token_file(Stub(), "train", tokenizer, tmp_path / "alone"))
    assert files(made[0].path.parent) == [".documents", ".ids", ".json"]


def test_a_whole_cache_need_not_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = Stub()
    tokenizer = tokenizer_for(corpus, CHAR, tmp_path)
    made = token_file(corpus, "train", tokenizer, tmp_path)

    def read_only(path: Path) -> NoReturn:
        raise TextseqError("read-only")

    monkeypatch.setattr("textseq.io.locks._lock", read_only)
    assert same(made, token_file(corpus, "train", tokenizer_for(corpus, CHAR, tmp_path), tmp_path))
    with pytest.raises(TextseqError, match="read-only"):
        token_file(corpus, "train", CharTokenizer("abc"), tmp_path)


def test_names_that_are_no_file_names_are_harmless(tmp_path: Path) -> None:
    corpus = Stub()
    corpus.name = "../über/alles\0" * 100
    cache = tmp_path / "cache"
    path = token_file(corpus, "train", tokenizer_for(corpus, CHAR, cache), cache).path
    assert path.parent == cache / "tokens" and path.name.isascii()
    assert [entry.name for entry in tmp_path.iterdir()] == ["cache"]


@pytest.mark.parametrize("valid", [(), ("",), ("", "")])
def test_a_part_without_text_is_refused(valid: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(TextseqError, match=rf"the valid split of 'stub' has no text \({len(valid)} doc"):
        token_file(Stub(valid=valid), "valid", CharTokenizer("a"), tmp_path)
    assert files(tmp_path) == []


def test_unknown_parts_are_named(tmp_path: Path) -> None:
    corpus = Stub()
    with pytest.raises(TextseqError, match="unknown split of 'stub' 'vaild'; did you mean 'valid'"):
        token_file(corpus, "vaild", CharTokenizer("a"), tmp_path)
    corpus.splits = ("test",)
    with pytest.raises(TextseqError, match="unknown split of 'stub' 'train'"):
        tokenizer_for(corpus, CHAR, tmp_path)
    assert corpus.reads == 0 and files(tmp_path) == []


def test_lone_surrogates_are_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(TextseqError, match="lone surrogate"):
        token_file(Stub("ab\udc80"), "train", CharTokenizer("a"), tmp_path)
    assert files(tmp_path) == []


def test_a_vocabulary_of_nothing_but_unknown_words_is_refused(tmp_path: Path) -> None:
    options = TokenizerConfig(tokenizer="word", rare_words="unknown", minimum_count=5)
    with pytest.raises(TextseqError, match="no word of 'stub' occurs 5 times; lower --minimum-count or give more"):
        tokenizer_for(Stub("onewordonly"), options, tmp_path)
    assert files(tmp_path) == []
    assert " one" in tokenizer_for(Stub("one " * 7), options, tmp_path).vocabulary


# Labels


class LabelledStub(Stub):
    """Documents with labels, in memory."""

    labels: tuple[str, ...] = ("a", "b")
    given = ("b", "a", "a", "b")

    def labelled_documents(self, split: str) -> Iterator[tuple[Iterator[str], str]]:
        return zip(self.documents(split), self.given, strict=True)


def test_labels_lie_beside_the_ids_of_their_documents(tmp_path: Path) -> None:
    corpus, tokenizer = LabelledStub(), CharTokenizer("abc")
    tokens = labelled_token_file(corpus, "train", tokenizer, tmp_path)
    assert tokens.labels.tolist() == [1, 0, 0, 1] and isinstance(tokens.labels, np.memmap)
    again = labelled_token_file(corpus, "train", tokenizer, tmp_path)
    assert same(again, tokens) and again.labels.tolist() == [1, 0, 0, 1] and corpus.reads == 1
    plain = token_file(corpus, "train", tokenizer, tmp_path)
    assert same(plain, tokens) and plain.labels.size == 0 and plain.path != tokens.path


def test_another_order_of_labels_makes_another_file(tmp_path: Path) -> None:
    corpus, tokenizer = LabelledStub(), CharTokenizer("abc")
    first = labelled_token_file(corpus, "train", tokenizer, tmp_path)
    corpus.labels = ("b", "a")
    second = labelled_token_file(corpus, "train", tokenizer, tmp_path)
    assert second.labels.tolist() == [0, 1, 1, 0] and second.path != first.path


@pytest.mark.parametrize(
    "spoil",
    [
        flipped(".labels", 0),
        flipped(".labels", 0.9),
        cut_off(".labels", 8),
        lambda p: p.with_suffix(".labels").unlink(),
    ],
)
def test_damaged_labels_are_written_again(spoil: Callable[[Path], None], tmp_path: Path) -> None:
    corpus, tokenizer = LabelledStub(), CharTokenizer("abc")
    path = labelled_token_file(corpus, "train", tokenizer, tmp_path).path
    spoil(path)
    assert labelled_token_file(corpus, "train", tokenizer, tmp_path).labels.tolist() == [1, 0, 0, 1]
    assert corpus.reads == 2
