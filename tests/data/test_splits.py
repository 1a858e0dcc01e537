"""Pairs are divided by what they say: no sentence of one part is in another, wherever the pairs stand."""

from __future__ import annotations

import hashlib
import random
import re
import unicodedata
from collections import Counter
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textseq.data.rows import Pair
from textseq.data.splits import SIGN, normalized, shared, split_pairs, text_key

SHARES = {"validation": 0.1, "test": 0.2}


def many(count: int, seed: int = 1) -> list[Pair]:
    """Pairs of which some share a source or a target."""
    chance = random.Random(seed)
    return [(f"The {chance.randrange(count)}.", f"Die {chance.randrange(count)}!") for _ in range(count)]


def test_what_counts_in_a_sentence() -> None:
    assert (
        normalized("  Qu\u2019est-ce\u202fque c'est\u202f?")
        == "qu est ce que c est"
        == normalized("QU'EST-CE que c est")
    )
    assert normalized("STRASSE 12") == normalized("Straße\t12.")
    assert normalized("e\u0301te\u0301") == normalized("\u00e9t\u00e9")  # composed or not
    assert normalized("snake_case") == "snake case"
    assert normalized("?!") == normalized("") == ""


@pytest.mark.parametrize(
    ("one", "other"),
    [("दिन", "दान"), ("कि", "का"), ("ที่", "ทำ"), ("কো", "কে"), ("\U00011013\U00011038", "\U00011013\U0001103a")],
)
def test_vowel_signs_tell_words_apart(one: str, other: str) -> None:
    assert normalized(one) != normalized(other) and text_key(one) != text_key(other)
    for word in (one, other):
        assert normalized(f"({word}) a_1!") == f"{unicodedata.normalize('NFKC', word)} a 1" and text_key(
            f"({word}) A!"
        ) == text_key(f"{word}a")
        assert text_key(unicodedata.normalize("NFD", word)) == text_key(word)


@given(st.text(st.characters() | st.sampled_from("é́❤️☺︎1️⃣שָׁאَب")))
def test_keys_of_texts_without_vowel_signs_are_those_of_their_letters_and_digits(text: str) -> None:
    text = SIGN.sub("", text).encode("utf-8", "ignore").decode()
    letters = "".join(filter(str.isalnum, text)).casefold() or text
    assert text_key(text) == hashlib.sha256(letters.encode()).digest()[:16]
    folded = unicodedata.normalize("NFKC", text).casefold()
    if not SIGN.search(folded):  # as that of U+0E33 has
        assert normalized(text) == " ".join(re.findall(r"[^\W_]+", folded))


sentences = st.text("abAB ?!.é", max_size=4)


@given(st.lists(st.tuples(sentences, sentences), max_size=30))
def test_no_sentence_is_in_two_parts(pairs: list[Pair]) -> None:
    part_of = split_pairs(pairs, SHARES)
    assert len(part_of) == len(pairs)
    for (one, first), (other, second) in permutations(zip(pairs, part_of, strict=True), 2):
        if first != second:
            for side in (0, 1):
                assert one[side] != other[side]
                assert normalized(one[side]) != normalized(other[side])


def test_groups_are_what_a_search_finds() -> None:
    """The plain way: grow a group from one pair until no other pair shares a sentence with it."""
    pairs = many(300)
    part_of = split_pairs(pairs, {str(number): 0.02 for number in range(20)})
    left = set(range(len(pairs)))
    while left:
        group = {left.pop()}
        while True:
            sides = [{pairs[one][side] for one in group} for side in (0, 1)]
            if not (more := {one for one in left if pairs[one][0] in sides[0] or pairs[one][1] in sides[1]}):
                break
            group |= more
            left -= more
        assert len({part_of[one] for one in group}) == 1
    assert len(set(part_of)) == 21


def test_a_long_chain_is_one_group() -> None:
    chain = [(f"a{number // 2}", f"b{(number + 1) // 2}") for number in range(2000)]
    random.Random(3).shuffle(chain)
    assert set(split_pairs(chain, SHARES)) == {0}


def test_shares_are_met_and_limited() -> None:
    pairs = [(f"one {number}", f"eins {number}") for number in range(1000)]
    assert Counter(split_pairs(pairs, SHARES)) == {0: 700, 1: 100, 2: 200}
    assert Counter(split_pairs(pairs, SHARES, at_most=150)) == {0: 750, 1: 100, 2: 150}
    assert Counter(split_pairs(pairs[:3], {"validation": 0.02})) == {0: 2, 1: 1}
    assert split_pairs([], SHARES) == b""
    assert Counter(split_pairs(pairs[:300], {"validation": 0.02}, at_least=20)) == {0: 280, 1: 20}
    assert Counter(split_pairs(pairs[:99], {"validation": 0.02}, at_least=20)) == {0: 90, 1: 9}  # a tenth, not more
    assert Counter(split_pairs(pairs[:9], {"validation": 0.02}, at_least=20)) == {0: 8, 1: 1}
    assert split_pairs(pairs, SHARES, at_least=100) == split_pairs(
        pairs, SHARES
    )  # a floor below the shares changes nothing
    counts = Counter(split_pairs(many(3000), SHARES))  # groups of all sizes
    assert counts[1] == 300 and counts[2] == 600


def test_large_groups_are_not_preferred() -> None:
    """Though the order is of the smallest hash in a group, and large groups have smaller ones."""
    pairs = [(f"one {number}", f"eins {number}") for number in range(3000)]
    pairs += [(f"two {number // 10}", f"zwei {number}") for number in range(3000)]
    part_of = split_pairs(pairs, {"validation": 0.2})
    large = sum(part_of[3000:]) / sum(part_of)
    assert 0.4 < large < 0.6


def test_neither_order_nor_direction_matters() -> None:
    pairs = many(500)
    part_of = dict(zip(pairs, split_pairs(pairs, SHARES), strict=True))
    shuffled = random.Random(2).sample(pairs, len(pairs))
    assert dict(zip(shuffled, split_pairs(shuffled, SHARES), strict=True)) == part_of
    swapped = [(target, source) for source, target in pairs]
    assert split_pairs(swapped, SHARES) == split_pairs(pairs, SHARES)


def test_a_file_that_grows_keeps_most_of_its_parts() -> None:
    pairs = [(f"one {number}", f"eins {number}") for number in range(2000)]
    before = split_pairs(pairs, SHARES)
    more = [(f"two {number}", f"zwei {number}") for number in range(200)]
    after = split_pairs([*more, *pairs], SHARES)[len(more) :]
    for split in (1, 2):
        kept = sum(one == other == split for one, other in zip(before, after, strict=True))
        assert kept > 0.85 * before.count(split)


@pytest.mark.parametrize(
    "wordless", [[("Say it", "?!")], [("...", "Sag es")], [("!", "?")], [("Say it", "Sag es"), ("Say it", "?!")]]
)
def test_a_group_with_a_sentence_without_words_trains(wordless: list[Pair]) -> None:
    """Whatever its size: here it would fit into the validation pairs."""
    pairs = [(f"one {number}", f"eins {number}") for number in range(100)]
    part_of = split_pairs([*wordless, *pairs], {"validation": 0.95})
    assert not any(part_of[: len(wordless)]) and sum(part_of) == round(0.95 * len(part_of))


def test_many_sentences_without_words_leave_the_other_pairs_their_splits() -> None:
    pairs = [(f"Say {number}", "?!") for number in range(100)] + [("...", f"Sag {number}") for number in range(100)]
    pairs += [("?!", "...")] * 3 + [(f"one {number}", f"eins {number}") for number in range(100)]
    part_of = split_pairs(pairs, {"validation": 0.1})
    assert set(part_of[:203]) == {0} and sum(part_of[203:]) == 30
    alike = [("Say 1", f"Sag {number}") for number in range(5)]
    assert split_pairs([*pairs, *alike], {"validation": 0.5})[-5:] == bytes(5)  # "Say 1" is also beside a "?!"


@pytest.mark.parametrize(
    ("held_out", "count"), [([("a", "x")], 0), ([("A!", "x"), ("y", "2"), ("?", "?")], 2), ([], 0)]
)
def test_shared_counts_pairs_that_are_known(held_out: list[Pair], count: int) -> None:
    training = [("b", "1"), ("c", "2"), ("?", "?")] + ([("a", "3")] if count else [])
    assert shared(training, held_out) == count
