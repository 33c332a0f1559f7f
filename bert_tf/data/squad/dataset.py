"""The windows of SQuAD's questions as a dataset.

A row is a window as numbers, without padding. It is small, and many rows at
once become the model's inputs inside the graph.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import joblib
import tensorflow as tf

from bert_tf.data import features, pipeline
from bert_tf.data.squad.examples import SquadExample
from bert_tf.data.squad.windows import (
    ConverterSettings,
    InputFeatures,
    Row,
    convert_block,
)
from bert_tf.progress import with_progress

# A block that one process converts has no more.
QUESTIONS_AT_ONCE = 256
WORDS_AT_ONCE = 100_000
# Fewer questions are converted before other processes have started.
MIN_QUESTIONS_FOR_PROCESSES = 20_000


def window_specs(
    max_seq_length: int, is_training: bool
) -> list[features.FeatureSpec]:
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


def window_features(window: InputFeatures) -> dict[str, Any]:
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


# The fields of a `windows.Row`. `ids` are the bytes of int32.
ROW_SIGNATURE = {
    "ids": tf.string,
    "doc_offset": tf.int32,
    "start_positions": tf.int32,
    "end_positions": tf.int32,
}


class WindowRows:
    """The windows of examples as rows of numbers, in order.

    Iterating converts the examples again each time, in several processes if
    there are many: a few blocks of some 100,000 words are in memory at a time.
    Creating the object converts them once, to count.

    Args:
        examples: a sized iterable that can be iterated more than once.
        settings: how they are converted.
        num_processes: None means one for each core, if there is enough to do.

    Attributes:
        num_cut_questions: questions longer than `max_query_length`.
    """

    def __init__(
        self,
        examples: Any,
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
        counted = with_progress(
            examples, len(examples), "questions", "Converting"
        )
        for rows, num_cut_questions in self._blocks(counted):
            self._number += len(rows)
            self.num_cut_questions += num_cut_questions

    def __len__(self) -> int:
        return self._number

    def __iter__(self) -> Iterator[Row]:
        for rows, _ in self._blocks(self.examples):
            yield from rows

    def _blocks(self, examples):
        # joblib keeps the order.
        parallel = joblib.Parallel(
            n_jobs=self.num_processes,
            batch_size=1,
            pre_dispatch="2 * n_jobs",
            return_as="generator",
        )
        yield from parallel(
            joblib.delayed(convert_block)(self.settings, block)
            for block in blocks_of(examples)
        )


def blocks_of(
    examples: Iterable[SquadExample],
) -> Iterator[list[SquadExample]]:
    """Yields lists of examples with neither many questions nor many words."""
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


def dataset_of_rows(rows: Iterable[Row]) -> tf.data.Dataset:
    """Rows as scalars, for `pad_rows`."""
    return pipeline.from_examples(
        rows,
        lambda row: dict(zip(ROW_SIGNATURE, row, strict=True)),
        ROW_SIGNATURE,
    )


def pad_rows(
    rows: Mapping[str, tf.Tensor], max_seq_length: int
) -> dict[str, tf.Tensor]:
    """Features of rows: pads the ids, and adds the mask and segments.

    Args:
        rows: {name: [N]}, a batch of `dataset_of_rows`.
        max_seq_length: S.

    Returns:
        {name: int32 [N, S], or [N]}.
    """
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


def parse_record_rows(
    rows: Mapping[str, tf.Tensor], specs: Sequence[features.FeatureSpec]
) -> dict[str, tf.Tensor]:
    """Features of records: {"record": tf.string [N]} -> as of `pad_rows`."""
    parsed = features.parse_record_rows(rows, specs)
    unique_ids = parsed.pop("unique_ids")
    return {**parsed, "is_real_example": tf.ones_like(unique_ids)}
