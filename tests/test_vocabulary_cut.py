"""Which entries of a vocabulary stay, and that words are split as before."""

import random

import pytest

from bert_tf import FullTokenizer, vocabulary_cut
from bert_tf.errors import UserError
from bert_tf.tokenization import WordpieceTokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def tokenizer_of(folder, entries, **settings):
    path = folder / "vocab.txt"
    path.write_text("".join(f"{token}\n" for token in entries), "utf-8")
    return FullTokenizer(str(path), **settings)


def choose(tokenizer, words, **settings):
    return vocabulary_cut.choose(tokenizer, words, **settings).tokens


def test_words_of_kept_pieces_are_split_as_before():
    """Greedy longest match: a smaller vocabulary has no longer piece.

    So the longest piece of the larger one is the longest of the smaller one as
    well, if it stays. A word that is [UNK] stays so if all pieces before the
    place that no piece continues stay.
    """
    rng = random.Random(7)
    num_same = num_unknown = 0
    for _ in range(200):
        pieces = [
            "".join(rng.choices("abc", k=rng.randint(1, 4))) for _ in range(40)
        ]
        vocab = {rng.choice(["", "##"]) + piece for piece in pieces}
        kept = {piece for piece in sorted(vocab) if rng.random() < 0.7}
        old, new = WordpieceTokenizer(vocab), WordpieceTokenizer(kept)
        for _ in range(50):
            word = "".join(rng.choices("abc", k=rng.randint(1, 8)))
            walked, _ = old.longest_pieces(word)
            if kept.issuperset(walked):
                found = old.tokenize_word(word)
                assert new.tokenize_word(word) == found
                num_same += 1
                num_unknown += found == ["[UNK]"]
    # The rule was tried on words of each kind.
    assert num_unknown > 1000 and num_same - num_unknown > 500


def test_a_dropped_piece_can_make_a_word_known():
    """Why the pieces of unknown words count."""
    before = WordpieceTokenizer({"ab", "a", "##bc"})
    after = WordpieceTokenizer({"a", "##bc"})
    assert before.tokenize_word("abc") == ["[UNK]"]
    assert after.tokenize_word("abc") == ["a", "##bc"]


def test_what_stays(tmp_path):
    entries = [
        *("[PAD]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[E1]"),
        *("!", "##!", "a", "é", "ж", "я", "##я", "中", "文", "##中"),
        *("the", "cat", "##s", "café", "жя", "dog", "##ing"),
    ]
    cased = tokenizer_of(tmp_path, entries, do_lower_case=False)
    words = {"the": 3, "cats": 2, "dog": 1}
    # Order stays; what brackets have is special; ##! and ##中 are never met.
    assert choose(cased, words) == [
        *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[E1]"),
        *("!", "a", "é", "the", "cat", "##s", "dog"),
    ]
    assert "[unused1]" in choose(cased, words, keep_unused=True)
    frequent = choose(cased, words, min_frequency=2)
    assert "cat" in frequent and "dog" not in frequent
    # Of `cat` and `##s`, as frequent, the first stays; `##s` is a character.
    assert choose(cased, words, vocab_size=11)[-2:] == ["the", "##s"]
    assert choose(cased, words, vocab_size=12)[-3:] == ["the", "cat", "##s"]
    # All letters of a script, except of Chinese; not of one that is rare.
    both = choose(cased, {"жя": 1, "中": 1})
    assert {"ж", "я", "##я", "жя", "中"} < {*both}
    assert not {"文", "é", "the"} & {*both} and "a" in both
    rare = choose(cased, {"the": 100, "я": 1})
    assert "я" in rare and "##я" in rare and "ж" not in rare
    # An entry with an accent is out of reach of a tokenizer that drops it.
    uncased = tokenizer_of(tmp_path, entries)
    assert "é" not in choose(uncased, words)


def test_room_is_filled_with_other_pieces_of_the_same_letters(tmp_path):
    entries = [*SPECIAL, *"catdog", "##t", "tac", "жя", "cat", "##do", "dot"]
    tokenizer = tokenizer_of(tmp_path, [*dict.fromkeys(entries)])
    words, size = {"cat": 1}, 5 + 7 + 1
    assert len(choose(tokenizer, words)) == size
    found = [choose(tokenizer, words, vocab_size=size + n) for n in (0, 1, 9)]
    assert [t[12:] for t in found] == [
        *(["cat"], ["tac", "cat"], ["tac", "cat", "##do", "dot"])
    ]
    least = choose(tokenizer, words, vocab_size=99, min_frequency=1)
    assert least == found[0]


def test_pieces_of_unknown_words_stay(tmp_path):
    tokenizer = tokenizer_of(tmp_path, [*SPECIAL, "ab", "a", "##bc", "##d"])
    assert choose(tokenizer, {"abc": 1})[5:] == ["ab", "a", "##d"]
    change = vocabulary_cut.change_of(
        tokenizer, [*SPECIAL, "a", "##bc"], {"abc": 3, "a": 4, "abd": 2}
    )
    assert change == vocabulary_cut.Change(
        num_words=9, num_changed=5, unknown_before=3, unknown_after=2
    )


def test_what_is_refused(tmp_path):
    tokenizer = tokenizer_of(tmp_path, ["[UNK]", "[CLS]", "[SEP]", "a"])
    with pytest.raises(UserError, match=r"has no \[PAD\], \[MASK\]: it is not"):
        choose(tokenizer, {"a": 1})
    tokenizer = tokenizer_of(tmp_path, [*SPECIAL, "a", "b", "ab"])
    with pytest.raises(UserError, match="the texts contain no words"):
        choose(tokenizer, {})
    with pytest.raises(UserError, match=r"size=6: the 5 special .* take 7 ent"):
        choose(tokenizer, {"ab": 1}, vocab_size=6)
    assert len(choose(tokenizer, {"ab": 1}, vocab_size=7)) == 7
