"""How a model reads marked entities, in Python and in the graph."""

import types

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from support.programs import DEMO

from bert_tf import FullTokenizer
from bert_tf.data.relations import RelationExample, parse_marked
from bert_tf.data.text_reader import TextReader, TextReaderSettings
from bert_tf.errors import UserError
from bert_tf.export.relations import (
    MarkedReader,
    delimited,
    kept_lengths,
    mark_tokens,
)
from bert_tf.tasks.relations import Relations

VOCAB = str(DEMO / "demo" / "vocab.txt")
TOKENIZER = FullTokenizer(VOCAB)


TEXT_READERS = {
    length: TextReader(
        TOKENIZER,
        TextReaderSettings(
            vocab_file=VOCAB, do_lower_case=True, max_seq_length=length
        ),
    )
    for length in (13, 32)
}
READERS = {length: MarkedReader(r) for length, r in TEXT_READERS.items()}
# Traced once, for any number of texts.
IN_GRAPH = {
    length: tf.function(
        reader.read, input_signature=[tf.TensorSpec([None], tf.string)]
    )
    for length, reader in READERS.items()
}


def example_of(text):
    return RelationExample("", *parse_marked(text))


def tokens_of(text, length=32):
    """(tokens, entity_positions) of a marked text."""
    converted, tokens = READERS[length].convert(example_of(text))
    return " ".join(tokens), converted["entity_positions"]


def test_marks_are_tokens():
    assert tokens_of("Call <e1>me</e1> at [E2]home[/E2]!") == (
        "[CLS] call [unused0] me [unused1] at [unused2] home [unused3] ! [SEP]",
        [2, 6],
    )
    # e2 comes first.
    assert tokens_of("<e2>home</e2><e1>call</e1>") == (
        "[CLS] [unused2] home [unused3] [unused0] call [unused1] [SEP]",
        [4, 1],
    )


def test_marks_in_a_text_are_text():
    example = RelationExample("", "[E1] [unused0]", (0, 4), (5, 14))
    _, tokens = READERS[32].convert(example)
    assert tokens.count("[unused0]") == tokens.count("[unused2]") == 1


@pytest.mark.parametrize(
    "text, expected",
    [
        # The room is 7 tokens. Text around the entities: half from each side,
        ("a b c d <e1>m</e1> n <e2>o</e2> w x y z", "c d <m> n <o> w x"),
        # or more where the other side has less.
        ("d <e1>m</e1> n <e2>o</e2> w x y z", "d <m> n <o> w x y"),
        ("a b c d <e1>m</e1> n <e2>o</e2> w", "b c d <m> n <o> w"),
        ("a b c <e1>m</e1> n <e2>o</e2>", "a b c <m> n <o>"),
        # Entities that are far apart: the middle between them is lost.
        (
            "a <e1>m</e1> b c d e f g h i <e2>o</e2> z",
            "<m> b c d h i <o>",
        ),
        # An entity that is too long loses its end, the longer one first.
        ("a <e1>b c d e f g h i j</e1> k <e2>o</e2>", "<b c d e f g> <o>"),
        (
            "<e1>b c d e f g</e1> k <e2>o p q r s t</e2>",
            "<b c d e> <o p q>",
        ),
    ],
)
def test_long_sentences_keep_both_entities(text, expected):
    tokens, positions = tokens_of(text, 13)
    shown = tokens.removeprefix("[CLS] ").removesuffix(" [SEP]")
    for mark, bracket in (("0", "<"), ("2", "<"), ("1", ">"), ("3", ">")):
        mark = f"[unused{mark}]"
        shown = shown.replace(
            f"{mark} " if bracket == "<" else f" {mark}", bracket
        )
    assert shown == expected
    at = [tokens.split()[place] for place in positions]
    assert at == ["[unused0]", "[unused2]"]


def test_entities_that_are_far_apart_are_counted(warnings):
    texts = [
        "the <e1>cat</e1> called the <e2>dog</e2>",
        f"the <e1>cat</e1> {'x ' * 30} the <e2>dog</e2>",
        f"the <e1>cat {'x ' * 30}</e1> the <e2>dog</e2>",
        f"{'x ' * 30} the <e1>cat</e1> called the <e2>dog</e2>",
    ]
    rows = [*map(example_of, texts)]
    reader = TEXT_READERS[13]
    problem = Relations(["Other"])
    assert problem.prepare(rows, reader) == rows
    assert warnings() == [
        "The entities of 2 of 4 sentences are too far apart for 13 tokens: "
        "the text between them loses its middle; an entity loses a part, too, "
        "in 1 of these"
    ]
    lengths = problem.num_tokens(rows, reader).tolist()
    assert lengths[0] == len(problem.convert(rows[0], reader)[1])
    assert min(lengths[1:]) > 36


LENGTHS = st.integers(0, 12)


@given(
    lengths=st.lists(LENGTHS, min_size=5, max_size=5), room=st.integers(2, 30)
)
def test_all_of_the_room_is_used(lengths, room):
    kept = kept_lengths(lengths, room)
    assert sum(kept) == min(sum(lengths), room)
    assert all(0 <= k <= n for k, n in zip(kept, lengths, strict=True))
    before, first, between, second, after = kept
    if sum(lengths[1:4]) > room:
        assert before == after == 0
    if lengths[1] and lengths[3]:
        assert first and second


CHARACTERS = st.characters(exclude_categories=["Cs"])
PIECES = st.text(
    CHARACTERS | st.sampled_from("aé ΣΑς\u0301\0\x01\x03日!가[]<e1>\u2028")
)
PARTS = st.tuples(*[st.lists(PIECES, max_size=4).map(" ".join)] * 5)


@settings(max_examples=50)
@given(
    rows=st.lists(st.tuples(PARTS, st.booleans()), min_size=1, max_size=4),
    length=st.sampled_from([*READERS]),
)
def test_python_and_the_graph_agree(length, rows):
    examples = []
    for parts, is_reversed in rows:
        parts = [*parts]
        for entity in (1, 3):  # None of them is empty.
            parts[entity] += "x"
        ends = np.cumsum([*map(len, parts)]).tolist()
        spans = (ends[0], ends[1]), (ends[2], ends[3])
        e1, e2 = spans[::-1] if is_reversed else spans
        examples.append(RelationExample("", "".join(parts), e1, e2))
    reader = READERS[length]
    texts = tf.constant([reader.encode(example) for example in examples])
    found = IN_GRAPH[length](texts)
    for row, example in enumerate(examples):
        for name, expected in reader.convert(example)[0].items():
            assert found[name][row].numpy().tolist() == expected, name
        parts = [*map(TOKENIZER.tokenize, example.parts())]
        lengths = reader.lengths(texts)[row].numpy().tolist()
        assert lengths == [*map(len, parts)]


def test_texts_with_marks_are_read_in_the_graph():
    texts = [
        "Call <e1>me</e1> at [E2]home[/E2]!",
        "<e2>home</e2>\x01 \x00and\n[E1]call\x03[/E1]",
    ]
    found = IN_GRAPH[32](delimited(tf.constant(texts)))
    for row, text in enumerate(texts):
        converted, _ = READERS[32].convert(example_of(text))
        for name, expected in converted.items():
            assert found[name][row].numpy().tolist() == expected, name
    # Bytes that are not UTF-8 are dropped, as in all texts.
    found = IN_GRAPH[32](delimited(tf.constant([b"[E1]a\xff[/E1]<e2>b</e2>"])))
    tokens, _ = tokens_of("[E1]a[/E1]<e2>b</e2>")
    ids = TOKENIZER.convert_tokens_to_ids(tokens.split())
    assert found["input_ids"][0, : len(ids)].numpy().tolist() == ids


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no mark",
        "[E1]a[/E1]",
        "[E1]a[/E1] [E2]b",
        "[E1]a [E2]b[/E2][/E1]",
        "[E1]a [E2]b[/E1] c[/E2]",
        "[E1]a[/E1] [E2]b[/E2] <e2>c</e2>",
        "[E1]a[/E1] [E2] \u3000[/E2]",
        "[E1][/E1] [E2]b[/E2]",
    ],
)
def test_the_graph_refuses_what_python_does(text):
    with pytest.raises(ValueError):
        parse_marked(text)
    good = "[E1]a[/E1] [E2]b[/E2]"
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        IN_GRAPH[32](delimited(tf.constant([good, text])))
    assert "each text must have two marked entities" in str(caught.value)


def test_marks_of_a_vocabulary():
    vocab = {"[PAD]": 0, "[unused7]": 3, "[unused1]": 5, "[unused2]": 4}
    with pytest.raises(UserError) as caught:
        mark_tokens(vocab)
    assert str(caught.value).startswith(
        "vocab_file has no entries for the marks [E1], [/E1], [E2], [/E2], and "
    )
    assert "\n" not in str(caught.value)
    vocab["[unused99]"] = 9
    expected = ["[unused7]", "[unused2]", "[unused1]", "[unused99]"]
    assert mark_tokens(vocab) == expected
    vocab |= {"[E1]": 10, "[/E1]": 11, "[E2]": 12}
    assert mark_tokens(vocab) == ["[E1]", "[/E1]", "[E2]", "[unused7]"]
    vocab["[/E2]"] = 13
    assert mark_tokens(vocab) == ["[E1]", "[/E1]", "[E2]", "[/E2]"]


def test_room_for_both_entities():
    reader = types.SimpleNamespace(tokenizer=TOKENIZER, max_seq_length=7)
    with pytest.raises(UserError) as caught:
        MarkedReader(reader)
    assert str(caught.value) == (
        "max_seq_length=7: two marked entities need at least 8 tokens"
    )
