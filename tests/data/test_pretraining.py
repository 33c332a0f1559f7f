"""Text → instances: the original's, one for one, and their statistics."""

import collections
import gzip
import random

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from support import plain_pretraining
from support.common import read_json, shared

from bert_tf import FullTokenizer, pretrained
from bert_tf.data import example_proto, features
from bert_tf.data.pretraining import instances as pretraining_instances
from bert_tf.data.pretraining import shards as pretraining_shards
from bert_tf.data.pretraining.dataset import pretraining_specs
from bert_tf.data.pretraining.serialization import serialized_example
from bert_tf.errors import UserError

GOLDEN = {
    # max_seq_length, predictions, dupe_factor, short_seq_prob, seed, files
    "plain": (128, 20, 5, 0.1, 12345, ["plain"]),
    "short2": (64, 7, 2, 0.5, 7, ["short2-0", "short2-1"]),
}


@pytest.fixture(scope="module")
def tokenizer():
    return FullTokenizer(pretrained.DEMO_FLAGS["vocab_file"])


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """Some messages, a few to a document."""
    path = f"{pretrained.DEMO_FLAGS['data_dir']}/train.tsv"
    with open(path, encoding="utf-8") as reader:
        messages = [line.split("\t")[1].strip() for line in reader][1:400]
    lines = []
    for number, message in enumerate(messages):
        lines += [*message.split(". "), *[""] * (number % 3 == 0)]
    target = tmp_path_factory.mktemp("text") / "text.txt"
    target.write_text("\n".join(lines), encoding="utf-8")
    return str(target)


def settings(**changes):
    return pretraining_instances.InstanceSettings(
        **{"max_seq_length": 48, "max_predictions_per_seq": 6, **changes}
    )


def fields_of(instance):
    return (
        tuple(instance)
        if isinstance(instance, tuple)
        else (
            instance.tokens,
            instance.segment_ids,
            instance.is_random_next,
            instance.masked_lm_positions,
            instance.masked_lm_labels,
        )
    )


@pytest.mark.parametrize("name", GOLDEN)
def test_instances_are_the_originals(name):
    length, predictions, dupes, short, seed, _ = GOLDEN[name]
    golden = shared("golden/4_create_pretraining_data")
    vocab_file = shared("data/vocab/uncased/vocab.txt")
    found = pretraining_instances.create_training_instances(
        [str(shared("data/corpus/sample_text.txt"))],
        FullTokenizer(str(vocab_file)),
        length,
        dupes,
        short,
        0.15,
        predictions,
        random.Random(seed),
    )
    expected = read_json(golden / f"{name}.instances.json")
    names = ["tokens", "segment_ids", "is_random_next"]
    names += ["masked_lm_positions", "masked_lm_labels"]
    assert list(map(fields_of, found)) == [
        tuple(instance[name] for name in names) for instance in expected
    ]


@pytest.mark.parametrize("name", GOLDEN)
def test_records_hold_the_originals_features(name):
    length, predictions, dupes, short, seed, paths = GOLDEN[name]
    folder = shared("golden/4_create_pretraining_data")
    maker = pretraining_shards.RecordMaker(
        vocab_file=str(shared("data/vocab/uncased/vocab.txt")),
        do_lower_case=True,
        settings=pretraining_instances.InstanceSettings(
            max_seq_length=length,
            max_predictions_per_seq=predictions,
            dupe_factor=dupes,
            short_seq_prob=short,
        ),
        random_seed=seed,
    )
    text = str(shared("data/corpus/sample_text.txt"))
    found = maker.serialized_examples(
        pretraining_instances.lines_of([text]), random.Random(seed)
    )
    specs = pretraining_specs(length, predictions)
    for index, path in enumerate(paths):
        expected = [
            *tf.data.TFRecordDataset(
                str(folder / f"{path}.tfrecord")
            ).as_numpy_iterator()
        ]
        ours = found[index :: len(paths)]
        assert [len(content) for content in ours] == [*map(len, expected)]
        ours = features.parse_examples(ours, specs)
        for feature, value in features.parse_examples(expected, specs).items():
            assert (ours[feature].numpy() == value.numpy()).all(), feature


@pytest.mark.parametrize("whole_word", [False, True])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_plain_second_version_makes_the_same(
    tokenizer, text, whole_word, seed
):
    values = settings(
        dupe_factor=2, short_seq_prob=0.3, do_whole_word_mask=whole_word
    )
    expected = plain_pretraining.plain_instances(
        [text], tokenizer, values, random.Random(seed)
    )
    found = pretraining_instances.create_training_instances(
        [text], tokenizer, 48, 2, 0.3, 0.15, 6, random.Random(seed), whole_word
    )
    assert list(map(fields_of, found)) == list(map(fields_of, expected))
    # And of ids, the same.
    tokens = pretraining_instances.Tokens(tokenizer, as_ids=True)
    documents = pretraining_instances.read_documents(
        pretraining_instances.lines_of([text]), tokens
    )
    rng = random.Random(seed)
    instances = [
        *pretraining_instances.make_instances(documents, tokens, values, rng)
    ]
    rng.shuffle(instances)
    for instance, other in zip(instances, found, strict=True):
        ids = tokenizer.convert_tokens_to_ids(other.tokens)
        assert instance.tokens == ids
        serialized = serialized_example(instance, values)
        example = plain_pretraining.plain_example(
            plain_pretraining.Instance(*fields_of(other)),
            tokenizer,
            values,
        )
        assert tf.train.Example.FromString(serialized) == example


@given(st.integers(0, 300), st.integers())
def test_shuffle_is_that_of_random(length, seed):
    expected, found = [*range(length)], [*range(length)]
    rng, other = random.Random(seed), random.Random(seed)
    rng.shuffle(expected)
    pretraining_instances.shuffle(found, other)
    assert found == expected and rng.random() == other.random()


@given(st.text())
def test_words_cut_one_by_one_are_those_of_the_line(tokenizer, line):
    tokens = pretraining_instances.Tokens(tokenizer, as_ids=False)
    assert tokens.of_line(line) == tokenizer.tokenize(line)
    ids = pretraining_instances.Tokens(tokenizer, as_ids=True).of_line(line)
    assert ids == tokenizer.convert_tokens_to_ids(tokenizer.tokenize(line))


def test_remembered_words_are_forgotten_in_time(tokenizer, monkeypatch):
    monkeypatch.setattr(pretraining_instances, "MAX_WORDS", 3)
    tokens = pretraining_instances.Tokens(tokenizer, as_ids=False)
    assert tokens.of_line("a b c d e a") == ["a", "b", "c", "d", "e", "a"]
    assert len(tokens._of_word) <= 3


def statistics(instances, tokens):
    counts = collections.Counter()
    for instance in instances:
        counts["instances"] += 1
        counts["random next"] += instance.is_random_next
        for position, label in zip(
            instance.masked_lm_positions,
            instance.masked_lm_labels,
            strict=True,
        ):
            counts["masked"] += 1
            token = instance.tokens[position]
            is_mask = token == tokens.mask
            counts["[MASK]"] += is_mask
            counts["kept"] += token == label and not is_mask
    return counts


def test_statistics_of_a_megabyte():
    """80 / 10 / 10 % within a point, half of the pairs random, whole words.

    Half of those that have a choice: where a single sentence fills a sequence,
    or a short one is wanted, there is none to follow, so that in all of the
    original's data some more are random. Here sequences are long.
    """
    path = shared("data/corpus/war_and_peace_2600.txt")
    lines = path.read_text("utf-8-sig")[:1_000_000].split("\n")
    tokenizer = FullTokenizer(str(shared("data/vocab/uncased/vocab.txt")))
    tokens = pretraining_instances.Tokens(tokenizer, as_ids=False)
    lines = [line for number, line in enumerate(lines) if line.strip()]
    for number in range(200, len(lines), 200):
        lines[number] = ""
    documents = pretraining_instances.read_documents(lines, tokens)
    values = settings(
        max_seq_length=128,
        max_predictions_per_seq=20,
        dupe_factor=8,
        short_seq_prob=0.0,
        do_whole_word_mask=True,
    )
    rng = random.Random(3)
    instances = [
        *pretraining_instances.make_instances(documents, tokens, values, rng)
    ]
    counts = statistics(instances, tokens)
    assert counts["masked"] > 100_000
    assert abs(counts["[MASK]"] / counts["masked"] - 0.8) < 0.01
    assert abs(counts["kept"] / counts["masked"] - 0.1) < 0.01
    assert abs(counts["random next"] / counts["instances"] - 0.5) < 0.01
    for instance in instances:
        original = list(instance.tokens)
        for position, label in zip(
            instance.masked_lm_positions,
            instance.masked_lm_labels,
            strict=True,
        ):
            original[position] = label
        masked = set(instance.masked_lm_positions)
        places = range(1, len(original) - 1)
        for place in places:
            joins = original[place].startswith("##")
            if joins and original[place - 1] not in ("[CLS]", "[SEP]"):
                assert (place in masked) == (place - 1 in masked)


def test_documents_are_what_empty_lines_part(tokenizer, tmp_path):
    tokens = pretraining_instances.Tokens(tokenizer, as_ids=False)
    lines = ["\u200b", "a b", " c ", "", "\t", "d", "\x1c", "e"]
    assert pretraining_instances.read_documents(lines, tokens) == [
        [["a", "b"], ["c"]],
        [["d"]],
        [["e"]],
    ]
    (tmp_path / "a.txt").write_text("a\nb")
    with gzip.open(tmp_path / "b.txt.gz", "wt") as writer:
        writer.write("c\n\nd\n")
    paths = [str(tmp_path / name) for name in ("a.txt", "b.txt.gz")]
    # A document goes on in the next file for the original, but not in shards.
    assert [*pretraining_instances.lines_of(paths)] == ["a", "b", "c", "", "d"]
    assert [*pretraining_shards.documents_of_file(paths[0])] == [["a", "b"]]
    assert [*pretraining_shards.documents_of_file(paths[1])] == [["c"], ["d"]]


def test_one_sentence_makes_one_instance(tokenizer):
    tokens = pretraining_instances.Tokens(tokenizer, as_ids=False)
    documents = pretraining_instances.read_documents(
        ["you win a prize"], tokens
    )
    (instance,) = pretraining_instances.make_instances(
        documents, tokens, settings(dupe_factor=1), random.Random(1)
    )
    length = len(tokenizer.tokenize("you win a prize"))
    assert instance.is_random_next and len(instance.tokens) == 2 * length + 3


def test_a_line_of_a_megabyte_is_truncated(tokenizer):
    tokens = pretraining_instances.Tokens(tokenizer, as_ids=False)
    lines = ["you win " * 125_000, "", "you"]
    documents = pretraining_instances.read_documents(lines, tokens)
    instances = pretraining_instances.make_instances(
        documents, tokens, settings(dupe_factor=1), random.Random(1)
    )
    lengths = sorted(len(instance.tokens) for instance in instances)
    assert lengths == [48, 48]


def test_truncation_leaves_the_original_ends(tokenizer):
    rng = random.Random(5)
    for _ in range(100):
        a, b = [*range(rng.randint(1, 60))], [*range(rng.randint(1, 60))]
        kept_a, kept_b = pretraining_instances.truncate(a, b, 45, rng)
        assert 2 <= len(kept_a) + len(kept_b) <= 45
        for kept, whole in ((kept_a, a), (kept_b, b)):
            assert kept == whole[kept[0] : kept[-1] + 1]


def test_a_vocabulary_needs_mask(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n")
    with pytest.raises(UserError, match=r"no \[MASK\]"):
        pretraining_instances.Tokens(FullTokenizer(str(path)), as_ids=True)


@given(
    st.lists(st.integers(0, 2**63 - 1)),
    st.lists(st.floats(width=32, allow_nan=False)),
)
def test_examples_are_those_of_tensorflow(integers, floats):
    encoded = example_proto.example(
        example_proto.int64_feature("integers", integers),
        example_proto.float_feature("fl\u00f6ats", floats),
    )
    example = tf.train.Example.FromString(encoded)
    assert set(example.features.feature) == {"integers", "fl\u00f6ats"}
    found = example.features.feature
    assert list(found["integers"].int64_list.value) == integers
    assert list(found["fl\u00f6ats"].float_list.value) == floats


def test_records_are_those_of_tensorflow(tmp_path):
    contents = [b"", b"a", bytes(range(256)) * 40]
    path, theirs = str(tmp_path / "ours"), str(tmp_path / "theirs")
    pretraining_shards.write_records([path], contents)
    with tf.io.TFRecordWriter(theirs) as writer:
        for content in contents:
            writer.write(content)
    with open(path, "rb") as ours, open(theirs, "rb") as expected:
        assert ours.read() == expected.read()


def test_dealing_is_even_and_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(pretraining_shards, "WAITING", 10)
    paths = []
    for number in range(5):
        path = tmp_path / f"{number}.txt"
        path.write_text("".join(f"{number} {i}\n\n" for i in range(number)))
        paths.append(str(path))
    dealt = pretraining_shards.distribute(paths, 3, str(tmp_path))
    assert [shard.num_documents for shard in dealt] == [3, 4, 3]
    lines = [
        line for s in dealt for line in pretraining_instances.lines_of([s.path])
    ]
    expected = [f"{n} {i}" for n in range(5) for i in range(n)]
    assert sorted(filter(None, lines)) == expected
    # Of many files with one document each, too.
    numbers = [pretraining_shards.shard_of(file, 0, 8) for file in range(80)]
    assert set(collections.Counter(numbers).values()) == {10}
