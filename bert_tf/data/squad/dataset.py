"""The windows of SQuAD's questions as a dataset.

A row is a window as numbers, without padding. It is small, and many rows at
once become the model's inputs inside the graph.
"""

import joblib
import tensorflow as tf

from bert_tf.data import features, pipeline
from bert_tf.data.squad.windows import (
    ConverterSettings,
    InputFeatures,
    convert_block,
)

# That a process converts.
QUESTIONS_AT_ONCE = 256
WORDS_AT_ONCE = 100_000
# Fewer are converted before other processes have started.
MIN_QUESTIONS_FOR_PROCESSES = 20_000


def window_specs(max_seq_length: int, is_training: bool) -> list:
    """The features of a window, as in the original's files."""
    specs = [
        features.FeatureSpec("unique_ids", ()),
        *features.sequence_specs(max_seq_length),
    ]
    if is_training:
        specs += [
            features.FeatureSpec("start_positions", ()),
            features.FeatureSpec("end_positions", ()),
            features.FeatureSpec("is_impossible", ()),
        ]
    return specs


def window_features(window: InputFeatures) -> dict:
    """A value for each of `window_specs`."""
    return {
        "unique_ids": window.unique_id,
        "input_ids": window.input_ids,
        "input_mask": window.input_mask,
        "segment_ids": window.segment_ids,
        "start_positions": window.start_position,
        "end_positions": window.end_position,
        "is_impossible": int(window.is_impossible),
    }


# Of `squad_windows.encode_row`. `ids` are the bytes of int32.
ROW_SIGNATURE = {
    "ids": tf.string,
    "doc_offset": tf.int32,
    "start_positions": tf.int32,
    "end_positions": tf.int32,
}


class WindowRows:
    """The windows of examples as rows of numbers, in order.

    Iterating converts the examples anew, in several processes if there are
    many: a few blocks of some 100,000 words are in memory at a time. Making
    the object converts them once, to count.

    Args:
        examples: a sized iterable that can be iterated more than once.
        settings: a `ConverterSettings`.
        num_processes: None: one for each core, if there is enough to do.

    Attributes:
        num_cut_questions: questions longer than `max_query_length`.
    """

    def __init__(
        self,
        examples,
        settings: ConverterSettings,
        num_processes: int | None = None,
    ):
        self.examples = examples
        self.settings = settings
        if num_processes is None:
            enough = len(examples) >= MIN_QUESTIONS_FOR_PROCESSES
            num_processes = joblib.cpu_count() if enough else 1
        self.num_processes = num_processes
        self._number = self.num_cut_questions = 0
        for rows, num_cut_questions in self._blocks():
            self._number += len(rows)
            self.num_cut_questions += num_cut_questions

    def __len__(self):
        return self._number

    def __iter__(self):
        for rows, _ in self._blocks():
            yield from rows

    def _blocks(self):
        # It keeps the order.
        parallel = joblib.Parallel(
            n_jobs=self.num_processes,
            batch_size=1,
            pre_dispatch="2 * n_jobs",
            return_as="generator",
        )
        yield from parallel(
            joblib.delayed(convert_block)(self.settings, block)
            for block in blocks_of(self.examples)
        )


def blocks_of(examples):
    """Yields lists of examples, of neither many questions nor many words."""
    block, num_words, document = [], 0, None
    for example in examples:
        if example.doc_tokens is not document:
            document = example.doc_tokens
            num_words += len(document)
        block.append(example)
        if len(block) == QUESTIONS_AT_ONCE or num_words > WORDS_AT_ONCE:
            yield block
            block, num_words, document = [], 0, None
    if block:
        yield block


def dataset_of_rows(rows) -> tf.data.Dataset:
    """Rows as scalars; `features_of_rows` makes features of them."""
    return pipeline.from_examples(
        rows,
        lambda row: dict(zip(ROW_SIGNATURE, row, strict=True)),
        ROW_SIGNATURE,
    )


def features_of_rows(rows: dict, max_seq_length: int) -> dict:
    """{name: [N]} of `dataset_of_rows` -> features, {name: [N, …]}."""
    input_ids = tf.io.decode_raw(
        rows["ids"], tf.int32, fixed_length=4 * max_seq_length
    )
    input_ids = tf.ensure_shape(input_ids, [None, max_seq_length])
    num_tokens = tf.strings.length(rows["ids"])[:, tf.newaxis] // 4
    place = tf.range(max_seq_length)[tf.newaxis]
    is_token = place < num_tokens
    is_document = is_token & (place >= rows["doc_offset"][:, tf.newaxis])
    return {
        "input_ids": input_ids,
        "input_mask": tf.cast(is_token, tf.int32),
        "segment_ids": tf.cast(is_document, tf.int32),
        "start_positions": rows["start_positions"],
        "end_positions": rows["end_positions"],
        "is_real_example": tf.ones_like(rows["doc_offset"]),
    }


def features_of_records(rows: dict, specs: list) -> dict:
    """{"record": tf.string [N]} of `window_specs` -> as `features_of_rows`."""
    found = features.features_of_rows(rows, specs)
    unique_ids = found.pop("unique_ids")
    return {**found, "is_real_example": tf.ones_like(unique_ids)}
