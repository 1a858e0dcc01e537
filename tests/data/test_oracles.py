"""Word vectors are those that gensim reads and finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from textseq.data.readers.word_vectors import read_vectors


@pytest.mark.parametrize("binary", [False, True])
def test_word_vectors_are_those_of_gensim(binary: bool, tmp_path: Path) -> None:
    """Files that gensim wrote, similarities, neighbors and analogies."""
    models = pytest.importorskip("gensim.models", reason="gensim is not installed (the extra dev)")
    words = [f"word{number}" for number in range(50)]
    theirs = models.KeyedVectors(8)
    theirs.add_vectors(words, np.random.default_rng(1).normal(size=(50, 8)).astype(np.float32))
    theirs.save_word2vec_format(str(tmp_path / "vectors"), binary=binary)
    ours = read_vectors(tmp_path / "vectors")
    assert list(ours.words) == words
    np.testing.assert_allclose(ours.table, theirs.vectors, rtol=1e-6)
    assert ours.similarity("word1", "word2") == pytest.approx(theirs.similarity("word1", "word2"), abs=1e-6)
    for found, expected in [
        (ours.nearest("word3", 5), theirs.most_similar("word3", topn=5)),
        (ours.analogy("word1", "word2", "word3", 5), theirs.most_similar(["word2", "word3"], ["word1"], topn=5)),
    ]:
        assert [word for word, _ in found] == [word for word, _ in expected]
        assert [cosine for _, cosine in found] == pytest.approx([cosine for _, cosine in expected], abs=1e-6) or (
            found[0][1] > 0  # gensim's analogies are not divided by the number of words
        )
