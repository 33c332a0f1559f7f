"""Classification data sets in the files in which they are published.

Each `DataProcessor` names the files of one task and the columns of its rows.
Files are tab-separated without any quoting: a `"` is a character like others.
"""

import functools
import itertools
import os

import tensorflow as tf

from bert_tf import files
from bert_tf.data import features, pipeline
from bert_tf.data.features import InputExample, PaddingInputExample
from bert_tf.errors import UserError

NUM_CHECKED = 100_000  # Rows of a file that are checked before anything else.


def read_tsv(path: str):
    """Yields (line number, columns) for each row of a tab-separated file.

    Empty lines at the end of the file are no rows.
    """
    pending = []
    for number, line in files.read_lines(path):
        if not line:
            pending.append((number, [""]))
            continue
        yield from pending
        pending = []
        yield number, line.split("\t")


class Row:
    """One row of a file; a column that it lacks is an error with its place."""

    def __init__(self, path, number, columns):
        self.path, self.number, self.columns = path, number, columns

    def __call__(self, column: int, what: str) -> str:
        """Text of a column, counted from 0; -1 is the last."""
        if column >= len(self.columns):
            raise UserError(
                f"{self.path}:{self.number}: {len(self.columns)} column(s), "
                f"but {what} is column {column + 1} (columns are separated by "
                "tabs)"
            )
        return self.columns[column]


class DataProcessor:
    """How the examples of one task stand in its files.

    Attributes:
        labels: every label, in the order of the model's outputs.
        files: {"train" | "dev" | "test": path in the data folder}.
        headers: the sets whose file starts with a header row.
        partial: the sets of which not every row is an example.
    """

    labels: list
    files = {"train": "train.tsv", "dev": "dev.tsv", "test": "test.tsv"}
    headers = ("train", "dev", "test")
    partial = ()

    def get_labels(self) -> list:
        return list(self.labels)

    def get_train_examples(self, data_dir: str) -> list:
        return self.get_examples(data_dir, "train")

    def get_dev_examples(self, data_dir: str) -> list:
        return self.get_examples(data_dir, "dev")

    def get_test_examples(self, data_dir: str) -> list:
        return self.get_examples(data_dir, "test")

    def path(self, data_dir: str, set_type: str) -> str:
        return os.path.join(data_dir, self.files[set_type])

    def create_example(self, row: Row, set_type: str, index: int):
        """The example of a row, or None for a row of another language.

        `index` is the row's place in its file from 0, the header counted.
        """
        raise NotImplementedError

    def get_examples(self, data_dir: str, set_type: str) -> list:
        """The examples of the set "train", "dev" or "test".

        Raises:
            UserError: there is no such file, or a row of it is wrong.
        """
        return list(Examples(self, data_dir, set_type))

    def read_examples(self, path: str, set_type: str):
        """Yields the examples of a file as it is read."""
        for index, (number, columns) in enumerate(read_tsv(path)):
            if index == 0 and set_type in self.headers:
                continue
            row = Row(path, number, columns)
            example = self.create_example(row, set_type, index)
            if example is not None:
                self._check_label(example, row)
                yield example

    def _check_label(self, example, row):
        if example.label is None or example.label in self.labels:
            return
        hint = ""
        if row.number == 1:
            hint = " (is this a header row? This file is read without one)"
        raise UserError(
            f"{row.path}:{row.number}: label {example.label!r} is not one of "
            f"{', '.join(self.labels)}{hint}"
        )


class Examples:
    """The examples of one set, read from its file whenever they are iterated.

    Making the object reads the first `NUM_CHECKED` rows, so that mistakes are
    found at once; in a larger file the other rows are counted, which takes
    little time, and checked when their turn comes.

    Args:
        processor: of the task.
        data_dir: its folder.
        set_type: "train", "dev" or "test".

    Raises:
        UserError: there is no such file, or a row of it is wrong. Iterating
            raises it too.
    """

    def __init__(self, processor: DataProcessor, data_dir: str, set_type: str):
        self._read = functools.partial(
            processor.read_examples,
            processor.path(data_dir, set_type),
            set_type,
        )
        path = processor.path(data_dir, set_type)
        if not files.exists(path):
            raise UserError(f"--data_dir={data_dir}: {path} does not exist")
        limit = None if set_type in processor.partial else NUM_CHECKED
        self._number = sum(1 for _ in itertools.islice(self._read(), limit))
        if self._number == limit:
            has_header = set_type in processor.headers
            self._number = files.count_lines(path) - has_header
        if not self._number:
            raise UserError(f"{path}: no examples in this file")

    def __len__(self):
        return self._number

    def __iter__(self):
        return self._read()


class ColaProcessor(DataProcessor):
    """Corpus of Linguistic Acceptability: is this an English sentence?

    train, dev: source, label, author's mark, sentence; no header.
    test: index, sentence; header.
    """

    labels = ["0", "1"]
    headers = ("test",)

    def create_example(self, row, set_type, index):
        guid = f"{set_type}-{index}"
        if set_type == "test":
            return InputExample(guid, row(1, "the sentence"))
        label = row(1, "the label")
        return InputExample(guid, row(3, "the sentence"), label=label)


class MrpcProcessor(DataProcessor):
    """Microsoft Research Paraphrase Corpus: do two sentences say the same?

    Quality, id, id, sentence, sentence; header.
    """

    labels = ["0", "1"]

    def create_example(self, row, set_type, index):
        return InputExample(
            f"{set_type}-{index}",
            row(3, "the first sentence"),
            row(4, "the second sentence"),
            None if set_type == "test" else row(0, "the label"),
        )


class MnliProcessor(DataProcessor):
    """Multi-Genre Natural Language Inference, the matched sets.

    Column 0 is the id, 8 and 9 are the sentences, the last is the label.
    """

    labels = ["contradiction", "entailment", "neutral"]
    files = {
        "train": "train.tsv",
        "dev": "dev_matched.tsv",
        "test": "test_matched.tsv",
    }
    guid_prefixes = {
        "train": "train",
        "dev": "dev_matched",
        "test": "test",
    }

    def create_example(self, row, set_type, index):
        return InputExample(
            f"{self.guid_prefixes[set_type]}-{row(0, 'the id')}",
            row(8, "the premise"),
            row(9, "the hypothesis"),
            None if set_type == "test" else row(-1, "the label"),
        )


class XnliProcessor(DataProcessor):
    """Cross-lingual Natural Language Inference, the Chinese part.

    train: premise, hypothesis, label, machine-translated from MultiNLI.
    dev, test: language, label, …, premise (6), hypothesis (7).
    """

    labels = ["contradiction", "entailment", "neutral"]
    language = "zh"
    partial = ("dev", "test")  # They hold all languages.
    files = {
        "train": os.path.join("multinli", f"multinli.train.{language}.tsv"),
        "dev": "xnli.dev.tsv",
        "test": "xnli.test.tsv",
    }

    def create_example(self, row, set_type, index):
        guid = f"{set_type}-{index}"
        if set_type == "train":
            label = row(2, "the label")
            # The translated file has its own word for it.
            if label == "contradictory":
                label = "contradiction"
            return InputExample(
                guid, row(0, "the premise"), row(1, "the hypothesis"), label
            )
        if row(0, "the language") != self.language:
            return None
        return InputExample(
            guid,
            row(6, "the premise"),
            row(7, "the hypothesis"),
            None if set_type == "test" else row(1, "the label"),
        )


class Sst2Processor(DataProcessor):
    """Stanford Sentiment Treebank, two classes: is a film liked?

    train, dev: sentence, label; test: index, sentence; all with a header.
    """

    labels = ["0", "1"]

    def create_example(self, row, set_type, index):
        guid = f"{set_type}-{index}"
        if set_type == "test":
            return InputExample(guid, row(1, "the sentence"))
        return InputExample(
            guid, row(0, "the sentence"), label=row(1, "the label")
        )


class SmsProcessor(DataProcessor):
    """The bundled data set: is a text message wanted (ham) or spam?

    label, text; header.
    """

    labels = ["ham", "spam"]

    def create_example(self, row, set_type, index):
        text = row(1, "the text")
        label = None if set_type == "test" else row(0, "the label")
        return InputExample(f"{set_type}-{index}", text, label=label)


def classification_specs(max_seq_length: int) -> list:
    """The features of a classification example, as in the original's files."""
    return [
        *features.sequence_specs(max_seq_length),
        features.FeatureSpec("label_ids", ()),
        features.FeatureSpec("is_real_example", ()),
    ]


def convert_single_example(
    example, label_ids: dict, max_seq_length: int, tokenizer
):
    """An `InputExample` as numbers, or a `PaddingInputExample` as zeros.

    A second text that is empty, or has no token, is no second text.

    Args:
        example: either kind.
        label_ids: {label: id}.
        max_seq_length: length of the sequences, special tokens included.
        tokenizer: a `FullTokenizer`.

    Returns:
        (features, tokens, truncated): a dict with a value for each of
        `classification_specs`, the tokens without padding, and whether some
        were cut off.
    """
    if isinstance(example, PaddingInputExample):
        specs = classification_specs(max_seq_length)
        return {s.name: [0] * (s.shape or (1,))[0] for s in specs}, [], False
    tokens, segment_ids, truncated = features.pack_sequences(
        tokenizer.tokenize(example.text_a),
        tokenizer.tokenize(example.text_b) if example.text_b else [],
        max_seq_length,
    )
    input_ids = tokenizer.convert_tokens_to_ids(tokens)
    label = example.label
    converted = {
        "input_ids": features.pad(input_ids, max_seq_length),
        "input_mask": features.pad([1] * len(tokens), max_seq_length),
        "segment_ids": features.pad(segment_ids, max_seq_length),
        # The original writes the first label where none is known.
        "label_ids": [0 if label is None else label_ids[label]],
        "is_real_example": [1],
    }
    return converted, tokens, truncated


def text_rows(examples, label_ids: dict) -> tf.data.Dataset:
    """The examples as scalars, texts not tokenized yet.

    `features_of_rows` makes the features of `classification_specs` from them.
    """

    def encode(example):
        label = example.label
        return {
            "text_a": example.text_a.encode(),
            "text_b": (example.text_b or "").encode(),
            "label_ids": 0 if label is None else label_ids[label],
            "is_real_example": 1,
        }

    return pipeline.from_examples(
        examples,
        encode,
        {
            "text_a": tf.string,
            "text_b": tf.string,
            "label_ids": tf.int32,
            "is_real_example": tf.int32,
        },
    )


def features_of_rows(rows: dict, preprocess) -> dict:
    """{name: [N]} of `text_rows` -> features, {name: [N, …]}, in the graph."""
    return {
        **preprocess(rows["text_a"], rows["text_b"]),
        "label_ids": rows["label_ids"],
        "is_real_example": rows["is_real_example"],
    }


def sequence_lengths(examples: list, preprocess):
    """int64 [N]: tokens of each example's sequence if nothing were cut off."""
    return preprocess.sequence_lengths(
        [example.text_a for example in examples],
        [example.text_b or "" for example in examples],
    ).numpy()
