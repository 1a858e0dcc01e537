"""The short list: what stood together is listed, by the probabilities of the paper's model; damage is refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from textseq.errors import TextseqError
from textseq.tasks.translation import shortlist as shortlist
from textseq.tasks.translation.shortlist import FILE, Shortlist, learn_shortlist, load_shortlist


@dataclass(frozen=True)
class Side:
    """Sentences as ids."""

    ids: np.ndarray
    document_starts: np.ndarray


def side(sentences: list[list[int]]) -> Side:
    lengths = [len(sentence) for sentence in sentences]
    ids = np.array([token for sentence in sentences for token in sentence], np.uint16)
    return Side(ids, np.cumsum([0, *lengths])[:-1])


def learnt(sources: list[list[int]], targets: list[list[int]], ends: tuple[int, int]) -> Shortlist:
    return learn_shortlist(side(sources), side(targets), [-1] * ends[0], ends)


def test_words_are_listed_with_what_they_were_translated_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """Source token n always goes with target token 9 - n, in sentences of three whose order is another each time."""
    monkeypatch.setattr(shortlist, "COMMON", 0)
    monkeypatch.setattr(shortlist, "EACH", 1)
    rng = np.random.default_rng(0)
    sources = [rng.choice(10, size=3, replace=False).tolist() for _ in range(300)]
    targets = [rng.permutation([9 - token for token in sentence]).tolist() for sentence in sources]
    found = learnt(sources, targets, (10, 10))
    for token in range(10):
        assert found.of(np.array([token])).tolist() == [9 - token, 10]


def test_probabilities_are_those_of_model_1() -> None:
    """Against the equations of Brown et al. (1993), section 4.1, in plain loops; token 2 is the empty word."""
    sources, targets = [[0, 1], [0], [1, 1]], [[0, 1], [0], [1]]
    t = {(f, e): 1.0 for f in range(2) for e in range(3)}
    for _ in range(shortlist.ROUNDS):
        counts = dict.fromkeys(t, 0.0)
        for source, target in zip(sources, targets, strict=True):
            for f in target:
                total = sum(t[f, e] for e in [*source, 2])
                for e in [*source, 2]:
                    counts[f, e] += t[f, e] / total
        t = {(f, e): counts[f, e] / sum(counts[g, e] for g in range(2)) for f, e in t}
    found = {
        (int(f), int(e)): p for e, f, p in zip(*shortlist._translations(side(sources), side(targets), 2), strict=True)
    }
    for pair, p in t.items():
        assert found.get(pair, 0.0) == pytest.approx(p)


def test_the_end_the_common_and_the_copied_are_always_there() -> None:
    found = learn_shortlist(side([[0], [1], []]), side([[3, 3], [2], [1]]), [0, -1, 4], (3, 5))
    assert found.of(np.array([0])).tolist() == [0, 1, 2, 3, 4, 5]
    assert found.of(np.array([], np.int64), [4]).tolist() == [0, 1, 2, 3, 4, 5]


def test_of_a_large_corpus_some_sentences_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortlist, "LINKS", 6)
    monkeypatch.setattr(shortlist, "COMMON", 0)
    found = learnt([[0], [1], [2], [3], [0], [0]], [[0], [1], [2], [3], [0], [0]], (4, 4))
    assert found.of(np.array([2])).tolist() == [2, 4]
    assert found.of(np.array([1])).tolist() == [4]


def test_no_pairs_of_tokens_at_all() -> None:
    found = learnt([[0], [1]], [[], []], (2, 2))
    assert 2 in found.of(np.array([0]))


@pytest.mark.parametrize(
    "tokens, starts",
    [
        (np.array([0, 9], np.int32), np.array([0, 1, 2])),  # an id outside the vocabulary
        (np.array([0, -1], np.int32), np.array([0, 1, 2])),
        (np.array([0, 1], np.int32), np.array([0, 2])),  # another vocabulary
        (np.array([0, 1], np.int32), np.array([0, 2, 1])),  # ends before it begins
        (np.array([0, 1], np.int32), np.array([0, 1, 5])),
        (np.array([0, 1], np.int64), np.array([0, 1, 2])),
        (np.array([[0, 1]], np.int32), np.array([0, 1, 2])),
    ],
)
def test_a_damaged_list_is_refused(tokens: np.ndarray, starts: np.ndarray, tmp_path: Path) -> None:
    save_file({"tokens": tokens, "starts": starts}, tmp_path / FILE)
    with pytest.raises(TextseqError, match="is damaged, or of another vocabulary"):
        load_shortlist(tmp_path, (1, 1))


def test_no_safetensors_at_all(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"nonsense")
    with pytest.raises(TextseqError, match="is damaged"):
        load_shortlist(tmp_path, (1, 1))
