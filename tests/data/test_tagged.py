"""Tagged sentences: the corpora have the published counts, own files are read as they say, and faults are told."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import pytest

from textseq.data.corpora.catalog import list_corpora
from textseq.data.corpora.tagged_formats import LEAF, _read_trees
from textseq.data.readers.tagged import own_tagged_file
from textseq.data.rows import Tagged
from textseq.data.tagged import load_tagged, own_tagged
from textseq.data.text import load_corpus
from textseq.errors import TextseqError

COUNTS = {
    # Sentences, words, by part. Together they are NLTK's: 3,914 sentences, and 100,676 tokens less 6,592 traces; 57,340
    # sentences and 1,161,192 tokens; 133,737 pronunciations, of 853,918 sounds.
    "treebank": 3914,
    "brown": 57340,
    "cmudict": 133_737,
    "wnut17": 3394 + 1009 + 1287,
}
WORDS = {"treebank": 100_676 - 6592, "brown": 1_161_192, "cmudict": 853_918, "wnut17": 62_730 + 15_733 + 23_394}
TAGS = {"treebank": 12, "brown": 12, "cmudict": 39, "wnut17": 13}


@pytest.mark.parametrize("name", [recipe.name for recipe in list_corpora() if recipe.tags])
def test_every_corpus_has_its_sentences(name: str, data_folder: Path) -> None:
    corpus = load_tagged(name, data_dir=data_folder)
    sentences = words = 0
    used: Counter[str] = Counter()
    for split in corpus.splits:
        for its_words, tags in corpus.sentences(split):
            assert len(tags) > 0 and (len(its_words) == len(tags)) >= corpus.aligned
            assert all(word and not word.isspace() for word in its_words)
            sentences, words = sentences + 1, words + len(tags)
            used.update(tags)
    assert (sentences, words) == (COUNTS[name], WORDS[name])
    assert set(used) == set(corpus.labels)
    assert len(corpus.labels) == TAGS[name]
    assert corpus.splits == ("train", "validation", "test")


def test_the_first_sentence_of_the_treebank(data_folder: Path) -> None:
    words, tags = next(load_tagged("treebank", data_dir=data_folder).sentences("train"))
    assert words[:6] == ("Pierre", "Vinken", ",", "61", "years", "old")
    assert tags[:6] == ("NOUN", "NOUN", ".", "NUM", "NOUN", "ADJ")
    assert words[-2:] == ("29", ".")


def test_the_first_entities_of_wnut17(data_folder: Path) -> None:
    corpus = load_tagged("wnut17", data_dir=data_folder)
    words, tags = next(corpus.sentences("train"))
    assert list(zip(words, tags, strict=True))[14:17] == [
        ("Empire", "B-location"),
        ("State", "I-location"),
        ("Building", "I-location"),
    ]
    assert corpus.scheme_found == ("BIO", 0)
    assert load_tagged("treebank", data_dir=data_folder).scheme == ""


def test_a_tagged_text_can_be_for_a_language_model_too(data_folder: Path) -> None:
    text = "".join(next(iter(load_corpus("brown", data_dir=data_folder).documents("train"))))
    words, _ = next(load_tagged("brown", data_dir=data_folder).sentences("train"))
    assert text.split()[:5] == list(words[:5]) == ["The", "Fulton", "County", "Grand", "Jury"]
    with pytest.raises(TextseqError, match="'treebank' is for tagging; corpora of texts are austen"):
        load_corpus("treebank", data_dir=data_folder)
    with pytest.raises(TextseqError, match="corpora of tagged sentences are brown, cmudict, treebank, wnut17"):
        load_tagged("shakespeare", data_dir=data_folder)


def test_traces_and_escapes_are_no_words() -> None:
    tree = "( (S (NP-SBJ-1 (-LRB- -LCB-) (NN 1\\/2)) (VP (-NONE- *-1) (`` ``)) ))\n( (NN x))"
    assert LEAF.findall("(NN x)") == [("NN", "x", "")]
    found = list(_read_trees(tree, {"-LRB-": ".", "NN": "NOUN", "``": "."}))
    assert found == [(("{", "1/2", '"'), (".", "NOUN", ".")), (("x",), ("NOUN",))]


CONLL = "-DOCSTART- -X- O O\n\nU.N. NNP I-NP I-ORG\nofficial NN I-NP O\n\n\nEkeus NNP I-NP I-PER\n"
CONLLU = "# sent_id = 1\n1-2\tdu\t_\t_\n1\tde\tde\tADP\n2\tle\tle\tDET\n2.1\tx\tx\tX\n\n# n\n1\t# 1\t_\tSYM\n"
FIRST: list[Tagged] = [(("U.N.", "official"), ("I-ORG", "O")), (("Ekeus",), ("I-PER",))]


def read(path: Path, text: str, columns: tuple[int | None, int | None] = (None, None)) -> list[Tagged]:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return list(own_tagged_file(path, columns, longest=1000))


def test_columns_are_read_as_their_file_has_them(tmp_path: Path) -> None:
    assert read(tmp_path / "a.conll", CONLL) == FIRST
    assert read(tmp_path / "a.conll.gz", CONLL) == FIRST
    assert read(tmp_path / "b.txt", CONLL.replace("\n", "\r\n")) == FIRST
    assert read(tmp_path / "a.conll", CONLL, (1, 2))[0] == (("U.N.", "official"), ("NNP", "NN"))
    assert read(tmp_path / "a.conll", CONLL, (-4, -3))[0][1] == ("NNP", "NN")
    assert read(tmp_path / "a.conllu", CONLLU) == [(("de", "le"), ("ADP", "DET")), (("# 1",), ("SYM",))]
    assert read(tmp_path / "t.tsv", "New York\tNOUN\n is \tVERB\n") == [(("New York", "is"), ("NOUN", "VERB"))]


@pytest.mark.parametrize(
    ("columns", "says"),
    [((0, None), "expected two different columns, counted from 1"), ((2, 2), "two different columns.* got 2 and 2")],
)
def test_columns_that_make_no_sense_are_refused(
    columns: tuple[int | None, int | None], says: str, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text(CONLL)
    with pytest.raises(TextseqError, match=says):
        own_tagged_file(tmp_path / "a.txt", columns, longest=10)


def test_what_is_not_aligned_has_a_tab(tmp_path: Path) -> None:
    text = "cat\tK AE T\n\nan ox\t AH N  AA K S \r\n"
    path = write(tmp_path, text)
    found = [*own_tagged([path], aligned=False, validation=0).sentences("train")]
    assert found == [(tuple("cat"), ("K", "AE", "T")), (tuple("an ox"), ("AH", "N", "AA", "K", "S"))]
    for more, says in {"ox AA\n": "without a text, a tab and tags", "x" * 50 + "\tA": "more than 40 letters"}.items():
        path.write_text(text + more)
        with pytest.raises(TextseqError, match=rf"1 of 3 .*{says}.* \(line 4\)"):
            own_tagged([path], aligned=False, longest=40)


def test_all_pronunciations_of_a_word_are_in_one_part(data_folder: Path) -> None:
    corpus = load_tagged("cmudict", data_dir=data_folder)
    assert not corpus.aligned
    splits = {split: {"".join(letters) for letters, _ in corpus.sentences(split)} for split in corpus.splits}
    assert sum(map(len, splits.values())) == 123_455
    assert not splits["train"] & (splits["test"] | splits["validation"])
    assert len(splits["test"]) == pytest.approx(12_345, rel=0.01)
    assert ("cat" in splits["train"]) + ("cat" in splits["test"]) + ("cat" in splits["validation"]) == 1


def write(folder: Path, text: str, name: str = "own.txt") -> Path:
    (folder / name).write_text(text, encoding="utf-8", errors="surrogateescape")
    return folder / name


MANY = "".join(f"word{n} NOUN\nruns VERB\n\n" for n in range(60))


def test_own_sentences_are_parted_and_none_is_lost(tmp_path: Path) -> None:
    corpus = own_tagged([write(tmp_path, MANY + MANY)])
    splits = {split: [" ".join(words) for words, _ in corpus.sentences(split)] for split in corpus.splits}
    assert sum(map(len, splits.values())) == 120
    assert not set(splits["train"]) & set(splits["validation"])
    assert len(set(splits["validation"])) == 6
    assert corpus.labels == ("NOUN", "VERB")
    whole = own_tagged([tmp_path / "own.txt"], validation=0)
    assert whole.splits == ("train",)
    assert whole.fingerprint != corpus.fingerprint
    other = own_tagged([write(tmp_path, MANY)], validation_paths=[write(tmp_path, "a NOUN\n", "v.txt")])
    assert [*other.sentences("validation")] == [(("a",), ("NOUN",))]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no sentences in .*own.txt: it is empty"),
        ("\n\n", "no sentences in"),
        ("a NOUN\nb\n\nc NOUN\n", r"1 of 2 sentences with too few columns \(line 2\); correct .*--unreadable drop"),
        ("a\tNOUN\n\t\tNOUN\n" + MANY, "with a word or a tag that is empty"),
        (MANY + "caf\udce9 NOUN\n", r"with bytes that are not utf-8 text .*line 181"),
        (MANY + "a\0 NOUN\n", "with a NUL character"),
        (MANY + "x NOUN\n" * 11, r"1 of 61 sentences with more than 10 words \(line 191\).*--overlong drop"),
        ("a NOUN\n\nb NOUN\n", "expected at least 2 tags, got only 'NOUN'"),
        ("a NOUN\nb\tVE\x1bRB\n", r"with a tag that has an invisible character \(line 2\)"),
        ("a NOUN\nb VERB\n", r"too few sentences in .* to keep some for validation \(1\); add more sentences$"),
        ("a NOUN\nb VERB\n\nA NOUN\nB VERB\n", r"\(2, but only 1 without those that differ in case .*\); give sep"),
    ],
)
def test_faults_are_told(text: str, says: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    with pytest.raises(TextseqError, match=says):
        own_tagged([path], longest=10)


def test_faulty_sentences_are_left_out_if_asked(tmp_path: Path) -> None:
    path = write(tmp_path, MANY + "a\n\n" + "x NOUN\n" * 11 + "\nlast NOUN\n")
    corpus = own_tagged([path], longest=10, overlong="drop", unreadable="drop", validation=0)
    found = [words for words, _ in corpus.sentences("train")]
    assert len(found) == 61
    assert found[-1] == ("last",)
    assert len(corpus.notes) == 2
    path.write_text(path.read_text() + "\nb\n")
    assert len([*corpus.sentences("train")]) == 61


def test_what_was_read_before_is_checked_again(tmp_path: Path) -> None:
    path = write(tmp_path, MANY)
    corpus = own_tagged([path])
    path.write_text(MANY + "one more NOUN\n")
    with pytest.raises(TextseqError, match="has changed since it was split"):
        list(corpus.sentences("train"))


def test_a_tag_that_training_never_saw_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TextseqError, match="validation has the tag 'X', which training lacks"):
        own_tagged([write(tmp_path, MANY)], validation_paths=[write(tmp_path, "a X\n", "v.txt")])
    with pytest.raises(TextseqError, match="got a folder at"):
        own_tagged([tmp_path])
    with pytest.raises(TextseqError, match="got no file at"):
        own_tagged([tmp_path / "none.txt"])


UNIVERSAL = (
    "# sent_id = 1\n# text = The dogs\n1-2\tThedogs\t_\t_\t_\t_\t_\t_\t_\t_\n"
    "1\tThe\tthe\tDET\t_\t_\t2\tdet\t_\t_\n2\tdogs\tdog\tNOUN\t_\t_\t0\troot\t_\tSpaceAfter=No\n\n"
)


@pytest.mark.parametrize("name", ["a.conllu", "a.conll", "a.txt"])
def test_columns_of_universal_dependencies_are_known_by_their_looks(name: str, tmp_path: Path) -> None:
    file = own_tagged_file(write(tmp_path, UNIVERSAL * 3, name), longest=10)
    assert [*file] == [(("The", "dogs"), ("DET", "NOUN"))] * 3


def test_ten_columns_are_universal_only_if_the_first_counts_the_words(tmp_path: Path) -> None:
    columns = " a b c d e f g h "
    for first in ("1990", "1st", "1"):
        file = own_tagged_file(write(tmp_path, f"{first}{columns}O\nAda{columns}B\n"), longest=10)
        assert [*file] == [((first, "Ada"), ("O", "B"))]
    file = own_tagged_file(write(tmp_path, f"1990{columns}O\nAda{columns}B\n".replace(" ", "\t")), longest=10)
    assert [*file] == [(("1990", "Ada"), ("O", "B"))]


def test_a_broken_line_of_universal_dependencies_is_an_error(tmp_path: Path) -> None:
    broken = UNIVERSAL.replace("2\tdogs", "dogs") + UNIVERSAL
    with pytest.raises(TextseqError, match="line 5 is one without the number of a word in its first column"):
        list(own_tagged_file(write(tmp_path, broken, "a.conllu"), longest=10))


def test_comments_before_a_sentence_are_no_words(tmp_path: Path) -> None:
    text = "# newdoc\n# text = The dog\nThe DET\ndog NOUN\n\n# SYM\n1 NUM\n# SYM\n\n"
    file = own_tagged_file(write(tmp_path, text), longest=10)
    assert [words for words, _ in file] == [("The", "dog"), ("#", "1", "#")]


def test_a_validation_file_without_a_sentence_is_named(tmp_path: Path) -> None:
    with pytest.raises(TextseqError, match=r"no sentences for validation in .*v\.txt: .*; name other files"):
        own_tagged([write(tmp_path, MANY)], validation_paths=[write(tmp_path, "\n", "v.txt")])


def test_validation_sentences_that_are_in_training_are_noted(tmp_path: Path) -> None:
    (tmp_path / "train.conll").write_text("A X\ncat Y\n\nNo X\n\nA X\ndog Y\n")
    (tmp_path / "new.conll").write_text("A X\nbird Y\n")
    (tmp_path / "old.conll").write_text("a X\nCat Y\n\nA X\nbird Y\n")
    for name, notes in (("new", ()), ("old", ("Validation sentences that are also in training, which flatters: 1.",))):
        data = own_tagged([tmp_path / "train.conll"], validation_paths=[tmp_path / f"{name}.conll"])
        assert data.notes == notes
