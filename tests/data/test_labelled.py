"""Labelled texts: published counts, parts and folds that share no text, and what is wrong said before training."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from textseq.checkpoints.model_info import CorpusInfo, ModelInfo
from textseq.data.corpora.catalog import list_corpora
from textseq.data.corpora.labelled_formats import FORMATS, LabelledPhrases, _nodes
from textseq.data.labelled import LabelledDataset, load_labelled, load_text, own_labelled
from textseq.data.rows import Example
from textseq.data.sources import LabelledData
from textseq.data.splits import split_by_hash, text_key
from textseq.data.token_files import token_file
from textseq.errors import TextseqError
from textseq.tasks.classification.leakage import leak, shared_texts
from textseq.tokenizers.characters import CharTokenizer

EXAMPLES: list[Example] = [(f"text number {n}", "abc"[n % 3]) for n in range(300)]

COUNTS = {
    # As published: Socher et al. 2013 and Kim 2014 (SST, TREC, Subj, MR), Pang and Lee 2004, Maas et al. 2011.
    "sst2": (6920, 872, 1821),
    "sst5": (8544, 1101, 2210),
    "trec": (5452, 500),
    "subj": (8000, 1000, 1000),
    "sentence_polarity": (8530, 1066, 1066),
    "movie_reviews": (1600, 200, 200),
    "imdb": (22501, 2499, 25000),
    # The two before imdb together.
    "film_reviews": (10129, 1267, 1266),
    # Ganapathibhotla and Liu 2008 without empty lines; Kotzias et al. 2015; Hu and Liu 2004.
    "pros_cons": (41451, 2260, 2268),
    "uci-sentences": (1595, 202, 203),
    "opinion_lexicon": (6789,),
    "vader_lexicon": (5826,),
    "praise-and-blame": (19991,),
    # Without repetition within a sentence.
    "sst2-phrases": (98557, 872, 1821),
    "sst5-phrases": (306157, 1101, 2210),
}

BALANCED = {"imdb": (("train", "validation"), ("test",)), "sentence_polarity": (("train",), ("test",))}
"""Splits in which both labels are equally frequent."""


@pytest.mark.parametrize("name", [recipe.name for recipe in list_corpora() if recipe.labels])
def test_every_corpus_has_its_examples(name: str, data_folder: Path) -> None:
    corpus = load_labelled(name, data_dir=data_folder)
    counts, texts = {}, {}
    for split in corpus.splits:
        examples = list(corpus.examples(split))
        counts[split] = Counter(label for _, label in examples)
        assert set(counts[split]) == set(corpus.labels)
        assert all(text == text.strip() and text for text, _ in examples)
        assert not any(re.search("[ÃÂ][\x80-\xbf]", text) for text, _ in examples)  # UTF-8 read as Latin-1
        if name in BALANCED and split != "test":
            texts[split] = {text_key(text) for text, _ in examples}
    assert tuple(count.total() for count in counts.values()) == COUNTS[name]
    for splits in BALANCED.get(name, ()):
        (_, most), (_, least) = sum((counts[split] for split in splits), Counter()).most_common()
        assert most == least
        assert texts["train"].isdisjoint(texts["validation"])


def test_film_reviews_are_sentences_and_whole_reviews(data_folder: Path) -> None:
    def all_of(name: str) -> Counter[tuple[str, str]]:
        corpus = load_labelled(name, data_dir=data_folder)
        return Counter(example for split in corpus.splits for example in corpus.examples(split))

    assert all_of("film_reviews") == all_of("sentence_polarity") + all_of("movie_reviews")


SENTIMENT = "film_reviews+3*uci-sentences+opinion_lexicon"


def test_joined_corpora_are_one_and_no_text_is_trained_and_tested_on(data_folder: Path) -> None:
    joined = load_labelled(SENTIMENT, data_dir=data_folder)
    films, sentences, words = (
        load_labelled(name, data_dir=data_folder) for name in ("film_reviews", "uci-sentences", "opinion_lexicon")
    )
    for split in ("validation", "test"):
        assert [*joined.examples(split)] == [*films.examples(split), *sentences.examples(split)]
    rows = Counter(joined.examples("train"))
    whole = Counter(films.examples("train")) + Counter([*sentences.examples("train")] * 3)
    whole += Counter(words.examples("train"))
    held_out = {text_key(text) for split in ("validation", "test") for text, _ in joined.examples(split)}
    assert rows == Counter({row: count for row, count in whole.items() if text_key(row[0]) not in held_out})
    assert rows < whole and min(rows[row] for row in sentences.examples("train") if row in rows) >= 3
    assert (joined.name, joined.licence) == (SENTIMENT, "CC BY 4.0")
    assert joined.fingerprint not in {films.fingerprint, sentences.fingerprint}
    assert [*load_text(SENTIMENT, data_dir=data_folder).documents("test")] == [*joined.documents("test")]


def test_corpora_with_different_labels_are_not_joined(data_folder: Path) -> None:
    with pytest.raises(TextseqError, match=r"'trec': expected the labels of 'film_reviews' \(negative, positive\)"):
        load_labelled("film_reviews+trec", data_dir=data_folder)
    with pytest.raises(TextseqError, match=r"'0\*trec': expected a number from 1 to 1000 before \*"):
        load_labelled("film_reviews+0*trec", data_dir=data_folder)


@pytest.mark.parametrize("name", ["sentence_polarity+sst2-phrases", "sst2-phrases+2*film_reviews"])
def test_phrases_of_sentences_that_are_tested_are_not_joined(name: str, data_folder: Path) -> None:
    """The sentences themselves are, as those in training are recognized by their hash."""
    with pytest.raises(TextseqError, match=r"'sst2-phrases': expected corpora without sentences in .* use 'sst2'"):
        load_labelled(name, data_dir=data_folder)
    load_labelled(name.replace("-phrases", ""), data_dir=data_folder)
    load_labelled("sst2+sst2-phrases+uci-sentences", data_dir=data_folder)


def test_what_joined_corpora_know_is_known_of_each(data_folder: Path) -> None:
    films, sst2 = (load_labelled(name, data_dir=data_folder) for name in ("film_reviews", "sst2"))
    joined = load_labelled(SENTIMENT, data_dir=data_folder)
    assert leak(trained_on(SENTIMENT), films) is leak(trained_on(SENTIMENT), joined) is None
    assert leak(trained_on("film_reviews"), joined) is None
    assert leak(trained_on(SENTIMENT), sst2) == "film_reviews"
    assert leak(trained_on("sst2"), joined) == "sst2"
    fold = f"{SENTIMENT}-fold1of5"
    assert leak(trained_on(fold), films) == "film_reviews-fold1of5"
    assert leak(trained_on(fold), replace(joined, name=fold)) is None
    assert leak(trained_on("film_reviews"), films.fold(0, 5)) is None
    folds = LabelledData(corpus="film_reviews", folds=5)
    known = shared_texts(trained_on(SENTIMENT), folds, replace(folds, fold=1).open(data_dir=data_folder))
    assert known == "'film_reviews'"


@pytest.mark.parametrize(
    ("form", "text", "labels", "expected"),
    [
        ("word-list", ";; words\n;\n\ngood\n", {"positive": ["*.txt"]}, [("good", "positive")]),
        ("word-list", "good\n", {"positive": ["*.csv"]}, []),
        (
            "marked-lines",
            "<Pros>A &amp; B</Pros>\n  <Pros> </Pros>\nno mark\n",
            {"positive": ["*"]},
            [("A & B", "positive")],
        ),
        (
            "lines-then-signs",
            "fine\x85really \t1\nbad\t0\n\nodd\t2\n",
            {"negative": ["0"], "positive": ["1"]},
            [("fine\x85really", "positive"), ("bad", "negative")],
        ),
        (
            "valences",
            ":)\t2.0\t0.8\t[2, 2]\nmeh\t-0.3\t1\t[]\nawful\t-2.0\t1\t[]\n",
            {"negative": ["-"], "positive": ["+"]},
            [(":)", "positive"), ("awful", "negative")],
        ),
    ],
)
def test_lines_have_their_labels(form: str, text: str, labels: dict[str, list[str]], expected: list[Example]) -> None:
    assert [*FORMATS[form](text, "a.txt", labels)] == expected


def test_a_phrase_book_may_have_labels_and_both_for_what_is_neither() -> None:
    book = "[thing]\ntea; cake\n==\nThe {thing} is good. | +\nA {thing} | =\nbad / sad | -\n"
    labels = {"negative": ["-", "="], "positive": ["+", "="]}
    assert [*LabelledPhrases(book, labels)] == [
        *[("The tea is good.", "positive"), ("The cake is good.", "positive")],
        *[("A tea", "negative"), ("A tea", "positive"), ("A cake", "negative"), ("A cake", "positive")],
        *[("bad", "negative"), ("sad", "negative")],
    ]


def test_praise_and_blame_are_made_for_every_line_of_their_book() -> None:
    corpus = load_labelled("praise-and-blame")
    labels = Counter[str]()
    of_text: dict[str, set[str]] = {}
    for text, label in corpus.examples("train"):
        of_text.setdefault(text, set()).add(label)
        assert "{" not in text and "|" not in text
    labels.update("/".join(sorted(found)) for found in of_text.values())
    assert min(labels.values()) > 1000
    assert {"negative", "positive", "negative/positive"} == labels.keys()
    for text in ("Berlin", "42", "The tea was alright, I guess."):
        assert of_text.get(text, {"negative", "positive"}) == {"negative", "positive"}


def test_a_language_model_reads_the_texts_of_a_part_alone(data_folder: Path, tmp_path: Path) -> None:
    corpus = load_text("trec", data_dir=data_folder)
    assert [*corpus.documents("test")] == [
        (text,) for text, _ in load_labelled("trec", data_dir=data_folder).examples("test")
    ]
    assert load_text("tinyshakespeare", data_dir=data_folder).task == "language-model"
    letters = CharTokenizer.train(corpus.documents("train"))
    tokens = token_file(corpus, "train", letters, tmp_path)
    assert len(tokens.document_starts) == 5452


def test_a_tree_gives_its_phrases() -> None:
    tree = "(3 (2 It) (4 (2 's) (3 (2 -LRB-) (3 lovely))))"
    assert list(_nodes(tree)) == [
        *[("2", "It"), ("2", "'s"), ("2", "("), ("3", "lovely")],
        *[("3", "( lovely"), ("4", "'s ( lovely"), ("3", "It 's ( lovely")],
    ]
    assert [*_nodes("(3 (2 8\u00a01/2) (2 -LCB-))")][-1] == ("3", "8\u00a01/2 {")


def test_parts_are_spread_over_labels_and_share_no_text() -> None:
    twice = [*EXAMPLES, *((f"TEXT, number: {n}!", "a") for n in range(0, 300, 7))]
    part_of = split_by_hash(twice, [0.5, 0.3, 0.2])
    assert part_of == split_by_hash(twice, [0.5, 0.3, 0.2])
    of_first = Counter(zip(part_of[:300], (label for _, label in EXAMPLES), strict=True))
    assert {of_first[split, label] for split, label in of_first if split == 0} == {50}
    assert {of_first[split, label] for split, label in of_first if split == 1} == {30}
    for place, n in enumerate(range(0, 300, 7)):
        assert part_of[300 + place] == part_of[n]
    # What else there is does not move a text far: of 3,000 more, most stay where they were.
    more = split_by_hash([*((f"new {n}", "abc"[n % 3]) for n in range(3000)), *EXAMPLES], [0.5, 0.3, 0.2])[3000:]
    assert sum(one == other for one, other in zip(part_of, more, strict=False)) > 200


def test_what_a_corpus_keeps_for_validation_may_be_learnt_from_too(data_folder: Path) -> None:
    kept = load_labelled("sst2", data_dir=data_folder)
    whole = LabelledData(corpus="sst2", validation=0).open(data_dir=data_folder)
    assert whole.splits == ("train", "test") and whole.fingerprint != kept.fingerprint
    assert [*whole.examples("train")] == [*kept.examples("train"), *kept.examples("validation")]
    assert LabelledData(corpus="sst2", validation=0.3).open(data_dir=data_folder).fingerprint == kept.fingerprint
    shares = {
        share: LabelledData(corpus="trec", validation=share).open(data_dir=data_folder) for share in (0, 0.1, 0.2)
    }
    assert [one.splits for one in shares.values()] == [("train", "test")] + 2 * [("train", "validation", "test")]
    counts = [len([*one.examples("train")]) for one in shares.values()]
    assert counts[0] == 5452 and [counts[0] - count for count in counts] == pytest.approx([0, 545, 1090], abs=60)
    assert len({one.fingerprint for one in shares.values()}) == 3


@pytest.mark.parametrize("folds", [2, 3, 10])
def test_folds_are_disjoint_and_cover_everything(folds: int) -> None:
    corpus = corpus_of(EXAMPLES)
    seen: list[Example] = []
    for number in range(folds):
        fold = corpus.fold(number, folds)
        splits = {split: set(fold.examples(split)) for split in fold.splits}
        assert fold.splits == ("train", "validation", "test")
        assert sum(map(len, splits.values())) == len(set.union(*splits.values())) == len(EXAMPLES)
        assert abs(len(splits["test"]) - 300 / folds) <= 3
        assert abs(len(splits["validation"]) - 30 * (1 - 1 / folds)) <= 3
        seen += fold.examples("test")
    assert sorted(seen) == sorted(EXAMPLES)
    assert len({corpus.fold(number, folds).fingerprint for number in range(folds)}) == folds
    assert corpus.fold(0, folds, validation=0).splits == ("train", "test")


def test_folds_of_any_number_of_texts_are_a_partition() -> None:
    for count in range(1, 40):
        examples = [(f"text {number}", "a") for number in range(count)]
        for folds in range(2, 30):
            shares = [Fraction(1, folds), 1 - Fraction(1, folds)]
            splits = [split_by_hash(examples, shares, start=Fraction(number, folds)) for number in range(folds)]
            sizes = [split.count(0) for split in splits]
            assert sum(sizes) == count and max(sizes) - min(sizes) <= 1
            assert len({place for split in splits for place, part in enumerate(split) if part == 0}) == count


def test_more_folds_than_texts_are_refused() -> None:
    corpus = corpus_of([(f"text {number}", "ab"[number % 2]) for number in range(12)])
    assert corpus.fold(0, 3, validation=0.3).splits == ("train", "validation", "test")
    with pytest.raises(TextseqError, match="50 folds of 'mine' need more texts than 12: fold 1 would have none f"):
        corpus.fold(0, 50)
    with pytest.raises(TextseqError, match="3 folds of 'mine' need more texts than 12: fold 1 would have none f"):
        corpus.fold(0, 3, validation=0.05)


def test_sentences_and_their_phrases_are_not_dealt_out_to_folds(data_folder: Path) -> None:
    phrases = load_labelled("sst2-phrases", data_dir=data_folder)
    with pytest.raises(TextseqError, match=r"got sentences and their phrases in 'sst2-phrases'; use 'sst2'$"):
        phrases.fold(0, 10)
    load_labelled("sst2", data_dir=data_folder).fold(0, 10)


def test_texts_without_letters_are_dealt_out_too() -> None:
    examples = [("🙂" * (1 + n), "ab"[n % 2]) for n in range(120)]
    splits = split_by_hash(examples, [0.8, 0.2])
    assert 20 <= splits.count(1) <= 28
    assert (
        split_by_hash([*examples, ("🙂", "b")], [0.5, 0.5])[-1]
        == split_by_hash([*examples, ("🙂", "b")], [0.5, 0.5])[0]
    )


@pytest.mark.parametrize(("number", "folds"), [(0, 1), (3, 3), (-1, 3)])
def test_a_fold_that_is_none_is_refused(number: int, folds: int) -> None:
    with pytest.raises(TextseqError, match="cross-validation: expected at least 2 folds"):
        corpus_of(EXAMPLES).fold(number, folds)


def corpus_of(examples: Sequence[Example]) -> LabelledDataset:
    third = len(examples) // 3
    contents = {"train": examples[:third], "test": examples[third:]}
    return LabelledDataset(
        name="mine", title="Mine", purpose="", fingerprint="f", labels=("a", "b", "c"), contents=contents
    )


def write(path: Path, examples: Sequence[Example]) -> Path:
    path.write_text("label\ttext\n" + "".join(f"{label}\t{text}\n" for text, label in examples), encoding="utf-8")
    return path


def test_ones_own_texts_are_parted(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.tsv", EXAMPLES)
    corpus = own_labelled([path])
    train, validation = (list(corpus.examples(split)) for split in ("train", "validation"))
    assert sorted(train + validation) == sorted(EXAMPLES)
    assert Counter(label for _, label in validation) == {"a": 10, "b": 10, "c": 10}
    assert corpus.labels == ("a", "b", "c")
    assert list(corpus.documents("validation")) == [(text,) for text, _ in validation]
    assert own_labelled([path], validation=0).splits == ("train",)
    assert own_labelled([path], validation=0.2).fingerprint != corpus.fingerprint == own_labelled([path]).fingerprint
    held_out = write(tmp_path / "held.tsv", [(EXAMPLES[0][0].upper(), "a"), ("quite new", "b")])
    separate = own_labelled([path], validation_paths=[held_out])
    assert list(separate.examples("validation")) == [(EXAMPLES[0][0].upper(), "a"), ("quite new", "b")]
    assert separate.notes[-1] == "Validation texts that are also in training, which flatters: 1."
    path.write_text("label\ttext\na\tone\n", encoding="utf-8")
    with pytest.raises(TextseqError, match="has changed since it was split: expected 300 rows, got 1;"):
        list(corpus.examples("train"))


def test_what_cannot_be_learnt_from_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.tsv"
    for examples, told in (
        ([], "no texts in"),
        ([("x", "a"), ("y", "a")], "expected at least 2 labels, got only 'a' in"),
        ([("x", "a"), ("y", "b")], r"too few texts in .* to keep some for validation \(2\); give"),
        (
            [("x", "a"), ("y", "b"), ("Y!", "b")],
            r"for validation \(3, but only 2 without those that differ in case and",
        ),
    ):
        with pytest.raises(TextseqError, match=told):
            own_labelled([write(path, examples)])
    write(path, EXAMPLES)
    strange = write(tmp_path / "held.tsv", [("x", "a"), ("y", "d")])
    with pytest.raises(TextseqError, match="validation has the label 'd', which training lacks; training has a, b"):
        own_labelled([path], validation_paths=[strange])
    with pytest.raises(TextseqError, match=r"validation: expected a share between 0 and 0\.5"):
        own_labelled([path], validation=0.6)
    with pytest.raises(TextseqError, match="longest: expected at least 1, got"):
        own_labelled([path], longest=0)
    with pytest.raises(TextseqError, match="unknown encoding"):
        own_labelled([path], encoding="utf-9")
    with pytest.raises(TextseqError, match="unknown value of empty: 'keep'"):
        own_labelled([path], empty="keep")  # type: ignore[arg-type]
    with pytest.raises(TextseqError, match="unknown split of 'mine' 'dev'"):
        corpus_of(EXAMPLES).examples("dev")
    with pytest.raises(
        TextseqError,
        match="corpus 'shakespeare' is for language-model; corpora of labelled texts are film_reviews,",
    ):
        load_labelled("shakespeare")
    with pytest.raises(TextseqError, match="unknown corpus 'sst'"):
        load_labelled("sst")


def test_corpora_that_share_texts_say_so_of_one_another(data_folder: Path) -> None:
    overlaps = {recipe.name: set(recipe.overlaps) for recipe in list_corpora()}
    for name, others in overlaps.items():
        assert all(name in overlaps[other] for other in others)
    texts: dict[str, set[bytes]] = {}
    for name in ("sst2", "sst5", "sentence_polarity", "movie_reviews", "film_reviews", "subj", "trec"):
        corpus = load_labelled(name, data_dir=data_folder)
        texts[name] = {text_key(text) for split in corpus.splits for text, _ in corpus.examples(split)}
        assert set(corpus.overlaps) == overlaps[name]
    for name, own in texts.items():
        for other, theirs in texts.items():
            if name < other:
                assert (len(own & theirs) > 20) == (other in overlaps[name]), (name, other, len(own & theirs))


def test_labels_that_are_numbers_are_in_order_and_others_that_look_alike_are_noted(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = "".join(f"text {n},{label}\n" for n in range(30) for label in ("10", "2", "Good", "1", "good"))
    path.write_text("text,label\n" + rows)
    corpus = own_labelled([path])
    assert corpus.labels == ("1", "2", "10", "Good", "good")
    assert any("The labels 'Good' and 'good' are treated as different" in note for note in corpus.notes)


def test_labels_that_are_no_classes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "".join(f"text {n},user{n // 2 * 2 + n % 2}\n" for n in range(100)))
    with pytest.raises(TextseqError, match=r"100 labels for 100 texts in .* are too many for classes; say"):
        own_labelled([path])


def test_validation_files_without_a_text_are_named(tmp_path: Path) -> None:
    path, empty = tmp_path / "a.csv", tmp_path / "none.csv"
    path.write_text("text,label\n" + "".join(f"text {n},{'ab'[n % 2]}\n" for n in range(20)))
    empty.write_text("text,label\n")
    with pytest.raises(TextseqError, match=r"no texts for validation in .*none\.csv: .*; name other files"):
        own_labelled([path], validation_paths=[empty])


def trained_on(corpus: str, *before: str) -> ModelInfo:
    return ModelInfo(task="classification", corpus=CorpusInfo(name=corpus), init_corpora=before)


def test_what_spoils_a_measure_is_told_and_nothing_else(data_folder: Path) -> None:
    """Corpora of one split do not spoil each other; folds of either do, for they are parted otherwise."""

    def known(*names: str, corpus: str = "sst2") -> str | None:
        return leak(trained_on(*names), load_labelled(corpus, data_dir=data_folder))

    assert known("sst2") is None
    assert known("sst2-phrases") is None
    assert known("imdb", "sst5-phrases") is None
    assert known("sst5-fold3of10") == "sst5-fold3of10"
    assert known("imdb", "sst2-fold1of5") == "sst2-fold1of5"
    assert known("sentence_polarity") == "sentence_polarity"
    assert known("imdb", "sentence_polarity-fold1of10") == "sentence_polarity-fold1of10"
    assert known("sentence_polarity-fold1of10", corpus="film_reviews") == "sentence_polarity-fold1of10"
    assert known("trec", "imdb") is None


def test_folds_want_a_model_that_knows_none_of_their_texts(data_folder: Path, tmp_path: Path) -> None:
    origin = LabelledData(corpus="sst2", folds=10)
    fold_of_sst2 = replace(origin, fold=1).open(data_dir=data_folder)

    def known(info: ModelInfo) -> str | None:
        return shared_texts(info, origin, fold_of_sst2)

    for name in ("sst2", "sst2-fold3of10"):
        assert known(trained_on(name)) == "'sst2'"
        assert known(trained_on("imdb", name)) == "'sst2'"
    assert known(trained_on("sst2-phrases")) == "'sst2-phrases', which shares texts with 'sst2'"
    assert known(trained_on("imdb")) is None
    assert known(ModelInfo(task="classification")) is None
    mine = tmp_path / "mine.csv"
    mine.write_text("label,text\n" + "".join(f"{'ab'[n % 2]},text number {n}\n" for n in range(300)))
    own = LabelledData(labelled=(str(mine),), folds=2)
    fold = replace(own, fold=1).open()
    by_name = [
        trained_on("trec", "mine.csv"),  # of which the path is not known
        trained_on("mine.csv-fold2of3"),
    ]
    assert [shared_texts(info, own, fold) for info in by_name] == ["'mine.csv'"] * 2
    assert shared_texts(replace(trained_on("x"), source={"labelled": [str(mine)]}), own, fold) == str(mine)
    assert shared_texts(trained_on("other.csv"), own, fold) is None
