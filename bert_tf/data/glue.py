"""Classification data sets in the files in which they are published.

Each `DataProcessor` names the files of one task and the columns of its rows.
"""

import os
from collections.abc import Sequence
from typing import Any

from bert_tf.data.input_example import InputExample
from bert_tf.data.processor import DataProcessor
from bert_tf.data.tabular.tsv_rows import Row


class ColaProcessor(DataProcessor):
    """Corpus of Linguistic Acceptability: is this an English sentence?

    train, dev: source, label, author's mark, sentence; no header.
    test: index, sentence; header.
    """

    labels = ["0", "1"]
    headers = ("test",)
    columns = {"label": 1, "text_a": 3}
    test_columns = {"text_a": 1}


class Sst2Processor(DataProcessor):
    """Stanford Sentiment Treebank, two classes: is a film liked?

    train, dev: sentence, label; test: index, sentence; all with a header.
    """

    labels = ["0", "1"]
    columns = {"text_a": 0, "label": 1}
    test_columns = {"text_a": 1}


class MrpcProcessor(DataProcessor):
    """Microsoft Research Paraphrase Corpus: do two sentences say the same?

    Quality, id, id, sentence, sentence; header.
    """

    labels = ["0", "1"]
    columns = {"text_a": 3, "text_b": 4, "label": 0}
    test_columns = {"text_a": 3, "text_b": 4}
    label_name = "Quality"


class StsbProcessor(DataProcessor):
    """Semantic Textual Similarity Benchmark: how alike, from 0 to 5?

    Seven columns on the origin, sentence, sentence, score; header.
    """

    labels = None
    columns = {"text_a": 7, "text_b": 8, "label": 9}
    test_columns = {"text_a": 7, "text_b": 8}
    label_name = "score"


class QqpProcessor(DataProcessor):
    """Quora Question Pairs: do two questions ask the same?

    train, dev: id, qid, qid, question, question, is_duplicate; header. The
    published file has some rows that a line break cuts in two: these are
    skipped.
    test: id, question, question; header.
    """

    labels = ["0", "1"]
    partial = ("train", "dev")
    columns = {"text_a": 3, "text_b": 4, "label": 5}
    test_columns = {"text_a": 1, "text_b": 2}
    label_name = "is_duplicate"

    def create_example(
        self, row: Row, set_type: str, index: int, columns: dict[str, int]
    ) -> InputExample | None:
        if set_type != "test" and len(row.columns) != 6:
            return None
        return self.example(row, set_type, index, columns)


class MnliProcessor(DataProcessor):
    """Multi-Genre Natural Language Inference; dev and test of known genres.

    Column 0 is the id, 8 and 9 are the sentences, the last is the label.
    """

    labels = ["contradiction", "entailment", "neutral"]
    genres = "matched"
    columns = {"id": 0, "text_a": 8, "text_b": 9, "label": -1}
    test_columns = {"id": 0, "text_a": 8, "text_b": 9}
    label_name = "gold_label"
    files = {
        "train": "train.tsv",
        "dev": "dev_matched.tsv",
        "test": "test_matched.tsv",
    }

    def create_example(
        self, row: Row, set_type: str, index: int, columns: dict[str, int]
    ) -> InputExample | None:
        example = self.example(row, set_type, index, columns)
        if set_type == "dev":  # The original's ids of these examples.
            example.guid = f"dev_{self.genres}{example.guid[len('dev') :]}"
        return example


class MnliMismatchedProcessor(MnliProcessor):
    """The same; dev and test are of genres that training does not have."""

    genres = "mismatched"
    files = {
        "train": "train.tsv",
        "dev": "dev_mismatched.tsv",
        "test": "test_mismatched.tsv",
    }


class DiagnosticProcessor(DataProcessor):
    """GLUE's diagnostic set, for a model trained on MNLI.

    index, sentence, sentence; header.
    """

    labels = MnliProcessor.labels
    files = {"test": ("diagnostic.tsv", "AX.tsv")}
    columns = {"text_a": 1, "text_b": 2, "label": 3}
    test_columns = {"text_a": 1, "text_b": 2}


class QnliProcessor(DataProcessor):
    """SQuAD as inference: does the sentence answer the question?

    index, question, sentence, label; header.
    """

    labels = ["entailment", "not_entailment"]
    columns = {"text_a": 1, "text_b": 2, "label": 3}
    test_columns = {"text_a": 1, "text_b": 2}


class RteProcessor(QnliProcessor):
    """Recognizing Textual Entailment: index, sentence, sentence, label."""


class WnliProcessor(QnliProcessor):
    """Winograd NLI: index, sentence, sentence, label; header."""

    labels = ["0", "1"]


class XnliProcessor(DataProcessor):
    """Cross-lingual Natural Language Inference, one of 15 languages.

    train: premise, hypothesis, label, machine-translated from MultiNLI.
    dev, test: language, label, …, premise (6), hypothesis (7).
    """

    labels = MnliProcessor.labels
    partial = ("dev", "test")  # They hold all languages.
    columns = {"text_a": 6, "text_b": 7, "label": 1}
    test_columns = columns
    train_columns = {"text_a": 0, "text_b": 1, "label": 2}

    def __init__(self, language: str = "zh"):
        self.language = language
        train = f"multinli.train.{language}.tsv"
        self.files = {
            "train": os.path.join("multinli", train),
            "dev": "xnli.dev.tsv",
            "test": "xnli.test.tsv",
        }
        self.selection = f" of `xnli_language`={language}"

    def configured(
        self,
        missing_label: Sequence[str] | None = None,
        xnli_language: str = "zh",
        **settings: Any,
    ) -> "DataProcessor":
        return XnliProcessor(xnli_language).with_marks(missing_label)

    def columns_of(self, set_type: str, header: list[str]) -> dict[str, int]:
        return self.train_columns if set_type == "train" else self.columns

    def create_example(
        self, row: Row, set_type: str, index: int, columns: dict[str, int]
    ) -> InputExample | None:
        is_other = row(0, "the language") != self.language
        if set_type != "train" and is_other:
            return None
        example = self.example(row, set_type, index, columns)
        # The translated file has its own word for this label.
        if example.label == "contradictory":
            example.label = "contradiction"
        return example


class SnliProcessor(DataProcessor):
    """Stanford Natural Language Inference 1.0, in its own files.

    gold_label, four parses, sentence, sentence, …; header. Where the judges
    did not agree the label is `-`: these rows are skipped, except in the test
    set.
    """

    labels = MnliProcessor.labels
    files = {name: f"snli_1.0_{name}.txt" for name in ("train", "dev", "test")}
    partial = ("train", "dev")
    columns = {"text_a": 5, "text_b": 6, "label": 0}
    test_columns = {"text_a": 5, "text_b": 6}
    label_name = "gold_label"

    def create_example(
        self, row: Row, set_type: str, index: int, columns: dict[str, int]
    ) -> InputExample | None:
        example = self.example(row, set_type, index, columns)
        is_skipped = set_type != "test" and example.label == "-"
        return None if is_skipped else example


class SciTailProcessor(DataProcessor):
    """SciTail 1.0, science questions as inference, in its `tsv_format`.

    premise, hypothesis, label; no header.
    """

    labels = ["entails", "neutral"]
    files = {
        name: f"scitail_1.0_{name}.tsv" for name in ("train", "dev", "test")
    }
    headers = ()
    columns = {"text_a": 0, "text_b": 1, "label": 2}
    test_columns = columns


class SmsProcessor(DataProcessor):
    """The bundled data set: is a text message wanted (ham) or spam?

    label, text; header.
    """

    labels = ["ham", "spam"]
    columns = {"label": 0, "text_a": 1}
    test_columns = {"text_a": 1}
