"""Examples → features → TFRecords → batches, against the original's."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from support.common import read_npz, shared

from bert_tf import FullTokenizer, files
from bert_tf.data import features
from bert_tf.data import processor as processors
from bert_tf.data.processor import Examples
from bert_tf.data.text_reader import TextReader, TextReaderSettings
from bert_tf.errors import UserError
from bert_tf.tasks.registry import get_task
from bert_tf.text import packing

# name in the golden file: (task, folder, length, vocabulary, lower case)
GOLDEN_SETS = {
    "mrpc": ("mrpc", "MRPC", 128, "data/vocab/uncased/vocab.txt", True),
    "mrpc_len32": ("mrpc", "MRPC", 32, "data/vocab/uncased/vocab.txt", True),
    "mrpc_cased": ("mrpc", "MRPC", 64, "data/vocab/cased/vocab.txt", False),
    "cola": ("cola", "CoLA", 16, "data/vocab/uncased/vocab.txt", True),
    "mnli": ("mnli", "MNLI", 64, "data/vocab/uncased/vocab.txt", True),
    "xnli": ("xnli", "XNLI", 64, "data/vocab/chinese/vocab.txt", True),
    "mnli_small_vocab": ("mnli", "MNLI", 64, "golden/vocab_small.txt", True),
}


@pytest.mark.parametrize(
    "name",
    [
        # Other lengths and vocabularies of the same files.
        pytest.param(name, marks=pytest.mark.slow)
        if name in ("mrpc_len32", "mnli_small_vocab")
        else name
        for name in GOLDEN_SETS
    ],
)
def test_features_are_the_originals(name):
    task_name, folder, length, vocab, do_lower_case = GOLDEN_SETS[name]
    golden = read_npz(shared("golden/5_run_classifier/features_first50.npz"))
    data_dir = str(shared(f"golden/5_run_classifier/data/{folder}"))
    task = get_task(task_name)
    vocab_file = str(shared(vocab))
    tokenizer = FullTokenizer(vocab_file, do_lower_case)
    reader = TextReader(
        tokenizer,
        TextReaderSettings(
            vocab_file=vocab_file,
            do_lower_case=do_lower_case,
            max_seq_length=length,
        ),
    )
    problem = task.problem
    compared = 0
    for set_type in ("train", "dev", "test"):
        if f"{name}/{set_type}/guid" not in golden:
            continue
        examples = task.processor.get_examples(data_dir, set_type)
        expected = {
            key.rsplit("/", 1)[1]: value
            for key, value in golden.items()
            if key.startswith(f"{name}/{set_type}/")
        }
        assert len(examples) == expected["num_examples"]
        guids = [example.guid for example in examples[:50]]
        assert guids == [str(guid) for guid in expected["guid"]]
        converted = [
            problem.convert(example, reader)[0] for example in examples[:50]
        ]
        for spec in problem.feature_specs(reader):
            ours = np.array([c[spec.name] for c in converted])
            theirs = expected[spec.name].reshape(ours.shape)
            assert np.array_equal(ours, theirs), spec.name
        # The graph makes the same.
        (rows,) = problem.rows(examples[:50], reader).batch(50)
        in_graph = problem.features_of_rows(rows, reader)
        for spec in problem.feature_specs(reader):
            theirs = expected[spec.name].reshape(in_graph[spec.name].shape)
            assert np.array_equal(in_graph[spec.name], theirs), spec.name
        compared += 1
    assert compared >= 2


def drawn(tokens):
    names = {"[CLS]": "^", "[SEP]": "."}
    return "".join(names.get(token, token) for token in tokens)


@pytest.mark.parametrize(
    "a, b, length, packed, segments",
    [
        ("abc", "", 5, "^abc.", "00000"),
        ("abcd", "", 5, "^abc.", "00000"),
        ("ab", "xy", 9, "^ab.xy.", "0000111"),
        ("abcd", "xy", 8, "^abc.xy.", "00000111"),  # The longer one gives.
        ("abc", "xyz", 8, "^abc.xy.", "00000111"),  # Equal: the second.
        ("abc", "xyz", 3, "^.", "00"),
    ],
)
def test_packing(a, b, length, packed, segments):
    tokens, segment_ids, truncated = packing.pack_sequences(
        list(a), list(b), length
    )
    assert drawn(tokens) == packed
    assert "".join(map(str, segment_ids)) == segments
    assert truncated == (len(a) + len(b) + (3 if b else 2) > length)


@pytest.mark.parametrize(
    "a, b, length, packed, segments",
    [
        ("abcdefgh", "", 10, "^abcdefgh.", "0000000000"),
        ("abcdefghi", "", 10, "^abdefghi.", "0000000000"),  # Two and six.
        ("abcdefghi", "", 9, "^adefghi.", "000000000"),  # One and six.
        ("abcdefghi", "", 5, "^ghi.", "00000"),
        ("abcdefghi", "xy", 9, "^aghi.xy.", "000000111"),  # One is whole.
        ("abcdefgh", "stuvwxyz", 11, "^afgh.sxyz.", "00000011111"),
        ("abcdefgh", "stuvwxyz", 10, "^afgh.xyz.", "0000001111"),
        ("abc", "xyz", 3, "^.", "00"),
    ],
)
def test_a_text_loses_its_middle(a, b, length, packed, segments):
    tokens, segment_ids, truncated = packing.pack_sequences(
        list(a), list(b), length, "head_tail"
    )
    assert drawn(tokens) == packed
    assert "".join(map(str, segment_ids)) == segments
    _, by_head, _ = packing.pack_sequences(list(a), list(b), length)
    assert segment_ids == by_head
    assert truncated == (len(a) + len(b) + (3 if b else 2) > length)


@pytest.mark.parametrize(
    "text, max_windows, stride, windows, truncated",
    [
        ("", 3, None, ["^."], False),
        ("abcd", 3, None, ["^abcd."], False),
        ("abcde", 3, None, ["^abcd.", "^e."], False),
        ("abcdefgh", 2, None, ["^abcd.", "^efgh."], False),
        ("abcdefghi", 2, None, ["^abcd.", "^efgh."], True),
        ("abcdefgh", 9, 3, ["^abcd.", "^defg.", "^gh."], False),
        ("abcdefg", 9, 3, ["^abcd.", "^defg."], False),  # Its end is reached.
        ("abcdef", 2, 1, ["^abcd.", "^bcde."], True),
        ("abcde", 1, 4, ["^abcd."], True),
    ],
)
def test_windows_of_a_text(text, max_windows, stride, windows, truncated):
    found = packing.pack_windows(list(text), 6, max_windows, stride)
    assert ([*map(drawn, found[0])], found[1]) == (windows, truncated)


@given(
    st.integers(0, 60), st.integers(3, 20), st.integers(1, 8), st.integers(1)
)
def test_windows_cover_the_text(number, max_seq_length, max_windows, stride):
    """Each but the last is full; a token is in one, or behind them all."""
    room = max_seq_length - 2
    stride = 1 + (stride - 1) % room
    tokens = list(range(number))
    windows, truncated = packing.pack_windows(
        tokens, max_seq_length, max_windows, stride
    )
    assert 1 <= len(windows) <= max_windows
    for place, (cls, *inner, sep) in enumerate(windows):
        assert (cls, sep) == ("[CLS]", "[SEP]")
        assert inner == tokens[place * stride :][:room]
        is_last = place == len(windows) - 1
        assert is_last or len(inner) == room
        # None follows the one that reaches the end.
        assert is_last or inner[-1] != tokens[-1]
    covered = {token for window in windows for token in window[1:-1]}
    assert covered == set(range(len(covered)))
    assert truncated == (len(covered) < number)
    assert not truncated or len(windows) == max_windows


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((2, 1), "max_seq_length must be at least 3. Received: .*=2"),
        ((6, 0), "max_windows must be positive. Received: max_windows=0"),
        ((6, 1, 0), "stride must be from 1 to 4, .* Received: stride=0"),
        ((6, 1, 5), "stride must be from 1 to 4, .* Received: stride=5"),
    ],
)
def test_windows_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        packing.pack_windows(["a"], *arguments)


def test_truncation_has_two_ways():
    with pytest.raises(ValueError, match="one of head, head_tail. .*='tail'"):
        packing.pack_sequences(["a"], [], 6, "tail")


def test_records_are_the_originals(tmp_path):
    """Any tf.train.Example reader finds the original's keys and types."""
    specs = [
        *features.sequence_specs(24),
        features.FeatureSpec("label_ids", ()),
        features.FeatureSpec("is_real_example", ()),
    ]
    path = str(tmp_path / "train.tf_record")
    example = {
        "input_ids": packing.pad([7] * 3, 24),
        "input_mask": packing.pad([1] * 3, 24),
        "segment_ids": [0] * 24,
        "label_ids": [5],
        "is_real_example": [1],
    }
    features.write_tf_records(path, [example, example], specs)
    record, _ = tf.data.TFRecordDataset(path)
    values = {
        name: list(feature.int64_list.value)
        for name, feature in tf.train.Example.FromString(
            record.numpy()
        ).features.feature.items()
    }
    assert values == example
    (rows,) = features.record_rows(path).batch(2)
    batch = features.parse_record_rows(rows, specs)
    assert {value.dtype for value in batch.values()} == {tf.int32}
    assert batch["input_ids"].numpy().tolist() == [example["input_ids"]] * 2
    assert batch["label_ids"].numpy().tolist() == [5, 5]


def test_records_of_any_numbers(tmp_path):
    """Negative and large ones, too; floats are rounded to float32."""
    specs = [
        features.FeatureSpec("whole", (3,)),
        features.FeatureSpec("real", (3,), "float32"),
    ]
    whole, real = [-1, 2**62, -(2**63)], [0.1, -1e-40, np.inf]
    path = str(tmp_path / "numbers.tf_record")
    features.write_tf_records(path, [{"whole": whole, "real": real}], specs)
    (record,) = tf.data.TFRecordDataset(path)
    found = tf.train.Example.FromString(record.numpy()).features.feature
    assert list(found["whole"].int64_list.value) == whole
    written = np.array(found["real"].float_list.value, "f4")
    assert np.array_equal(written, np.array(real, "f4"))


def write(tmp_path, name, text):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)


def read(task, tmp_path, set_type="train"):
    return get_task(task).processor.get_examples(str(tmp_path), set_type)


def test_quotes_are_characters_and_empty_second_texts_are_none(tmp_path):
    write(tmp_path, "train.tsv", 'h\n1\t2\t3\t"a\tb "c"\n0\t2\t3\td\t\n\n\n')
    first, second = read("mrpc", tmp_path)
    assert (first.text_a, first.text_b, first.label) == ('"a', 'b "c"', "1")
    vocab = tmp_path / "vocab.txt"
    vocab.write_text("[CLS]\n[SEP]\nd\n[UNK]\n")
    reader = TextReader(
        FullTokenizer(str(vocab)),
        TextReaderSettings(vocab_file=str(vocab), max_seq_length=6),
    )
    converted, tokens = reader.convert(second.text_a, second.text_b)
    assert tokens == ["[CLS]", "d", "[SEP]"]
    assert converted["input_ids"] == [0, 2, 1, 0, 0, 0]
    assert converted["segment_ids"] == [0] * 6


def test_sst2_and_xnli_columns(tmp_path):
    write(tmp_path, "train.tsv", "sentence\tlabel\ngood film\t1\n")
    write(tmp_path, "test.tsv", "index\tsentence\n0\ta film\n")
    (example,) = read("sst-2", tmp_path)
    assert (example.text_a, example.label) == ("good film", "1")
    (example,) = read("SST-2", tmp_path, "test")
    assert (example.text_a, example.label) == ("a film", None)
    write(
        tmp_path,
        "xnli.test.tsv",
        "header\nen\tneutral\t\t\t\t\ta\tb\nzh\tneutral\t\t\t\t\tc\td\n",
    )
    (example,) = read("xnli", tmp_path, "test")
    assert (example.text_a, example.text_b) == ("c", "d")


@pytest.mark.parametrize(
    "task, content, message",
    [
        ("cola", "a\t1\t\tok\nb\t2\t\tno\n", "train.tsv:2: label '2' is not "),
        ("cola", "src\tverdict\tx\ttext\n", "train.tsv:1: .*header"),
        ("cola", "a\t1\t\tok\nb\t1\n", r"train.tsv:2: 2 columns, but the "),
        ("cola", "a\t1\t\tok\n\nb\t1\t\tok\n", r"train.tsv:2: 1 column,"),
        ("cola", "", "train.tsv: no examples"),
        ("mrpc", "header\n", "train.tsv: no examples"),
        ("cola", b"a\t1\t\tcaf\xe9\n", "train.tsv:1: not UTF-8: byte 0xe9"),
        ("sms", "label\ttext\nspam\n", "the text is column 2"),
    ],
)
def test_bad_files(tmp_path, task, content, message):
    write(tmp_path, "train.tsv", content)
    with pytest.raises(UserError, match=message) as error:
        read(task, tmp_path)
    assert "\n" not in str(error.value)


def test_missing_file_names_the_setting(tmp_path):
    with pytest.raises(UserError, match="^data_dir=.*dev.tsv does not exist"):
        read("cola", tmp_path, "dev")


def test_unknown_task_lists_the_known():
    with pytest.raises(UserError, match="known are cola, .*, relations$"):
        get_task("nope")


@pytest.mark.parametrize(
    "content, number",
    [
        ("label\ttext\nspam\tb\n" + "ham\ta\n" * 6, 7),
        ("label\ttext\r\nspam\tb\r\n" + "ham\ta\r\n" * 6 + "\r\n\n\n", 7),
        ("label\ttext\n" + "ham\ta\n" * 6 + "spam\tb", 7),
    ],
)
@pytest.mark.parametrize("num_checked", [1, 7, 100])
def test_rows_are_counted(tmp_path, monkeypatch, content, number, num_checked):
    write(tmp_path, "train.tsv", content)
    monkeypatch.setattr(processors, "NUM_CHECKED", num_checked)
    processor = get_task("sms").processor
    examples = Examples(processor, str(tmp_path), "train")
    assert len(examples) == len(list(examples)) == number
    assert list(examples) == list(examples)


def test_lines_are_counted_across_blocks(tmp_path):
    path = tmp_path / "lines"
    for size in (1 << 22) - 1, 1 << 22, (1 << 22) + 1:
        path.write_bytes(b"x" * size + b"\n\n" + b"y\n" * 3 + b"\n" * 5)
        assert files.count_lines(str(path)) == 5
    path.write_bytes(b"\n\n")
    assert files.count_lines(str(path)) == 0


def test_a_part_of_the_rows_is_counted_one_by_one(tmp_path, monkeypatch):
    monkeypatch.setattr(processors, "NUM_CHECKED", 2)
    rows = (
        "header\n"
        + "en\tneutral\t\t\t\t\ta\tb\nzh\tneutral\t\t\t\t\tc\td\n" * 4
    )
    write(tmp_path, "xnli.dev.tsv", rows)
    processor = get_task("xnli").processor
    assert len(Examples(processor, str(tmp_path), "dev")) == 4
