"""build_vocab --keep_pieces_of: cuts a model down to the pieces of a corpus."""

import collections
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from absl import flags, logging

from bert_tf import files, pretrained
from bert_tf.data.tabular import file_shape, text_rows
from bert_tf.data.tabular.text_rows import Format
from bert_tf.errors import UserError
from bert_tf.file_formats import HEAD_BYTES
from bert_tf.programs import console, defaults, model_files, program
from bert_tf.progress import with_progress
from bert_tf.tokenization import BasicTokenizer, FullTokenizer
from bert_tf.vocab_files import missing_special_tokens

if TYPE_CHECKING:
    import numpy as np

    from bert_tf.config import BertConfig
    from bert_tf.storing import Contents
    from bert_tf.vocabulary_cut import Change, Cut

FLAGS = flags.FLAGS
MODEL_FILES = ("vocab_file", "bert_config_file", "init_checkpoint")
# A text of another language or casing than the model has such shares.
MANY_UNKNOWN = 0.05
# Tables are rounded up to multiples of 8, 64 or 128, for speed.
MOST_FREE_ROWS = 128


def cut_model() -> None:
    """Writes the model of the flags with the pieces of --keep_pieces_of.

    Raises:
        UserError: a flag is missing or wrong, a file cannot be used, the files
            of the model do not fit each other, or there is no text.
    """
    defaults.use_pretrained()
    program.require(*MODEL_FILES, "output_dir")
    paths = program.matching_files("keep_pieces_of")
    check_new_folder()
    config, tokenizer = model_files.read_config_and_tokenizer()
    check_has_entries(config, tokenizer)
    words = count_words(paths, tokenizer.basic_tokenizer)
    if not words:
        raise UserError(
            "contains no words",
            setting="keep_pieces_of",
            value=FLAGS.keep_pieces_of,
        )
    console.show(
        "Words", f"{sum(words.values()):,}, of which {len(words):,} differ"
    )
    from bert_tf import storing, vocabulary_cut
    from bert_tf.export import saved_models

    contents = read_contents(config, tokenizer)
    size = FLAGS["vocab_size"]
    cut = vocabulary_cut.choose(
        tokenizer,
        words,
        vocab_size=None if size.using_default_value else size.value,
        min_frequency=FLAGS.min_frequency,
        # Without marks of their own, relations are marked by these.
        keep_unused=FLAGS.keep_unused or contents.kind == "relation",
    )
    smaller = vocabulary_cut.cut_contents(contents, cut)
    change = vocabulary_cut.change_of(tokenizer, cut.tokens, words)
    with saved_models.replacing_folder(FLAGS.output_dir) as scratch:
        storing.write_folder(scratch, smaller, "original")
    show_cut(len(tokenizer.vocab), cut, change)
    show_sizes(contents.weights, smaller.weights)


def check_new_folder() -> None:
    """Raises UserError unless --output_dir can be made, or is empty."""
    program.check_folder("output_dir")
    if files.entries(FLAGS.output_dir):
        raise UserError(
            "has files already; name another folder",
            setting="output_dir",
            value=FLAGS.output_dir,
        )


def check_has_entries(config: "BertConfig", tokenizer: FullTokenizer) -> None:
    """Raises UserError if entries are missing.

    They are special tokens, or the table has many more rows than entries.

    Args:
        config, tokenizer: the model's.
    """
    if missing := missing_special_tokens(tokenizer.vocab):
        raise UserError(missing, setting="vocab_file", value=FLAGS.vocab_file)
    num_ids = 1 + max(i for token, i in tokenizer.vocab.items() if token)
    if num_ids < min(
        config.vocab_size - MOST_FREE_ROWS, 0.99 * config.vocab_size
    ):
        raise UserError(
            f"has {num_ids} entries, and {FLAGS.bert_config_file} says "
            f"vocab_size={config.vocab_size}: they are of two models",
            setting="vocab_file",
            value=FLAGS.vocab_file,
        )


# ---------------------------------------------------------------------------
# The texts.


def count_words(
    paths: Sequence[str], tokenizer: BasicTokenizer
) -> collections.Counter[str]:
    """Counts how often each word occurs in files.

    Args:
        paths: of the files: lines of text, or JSON objects.
        tokenizer: splits text into words.
    """
    counts: collections.Counter[str] = collections.Counter()
    for path in paths:
        read = with_progress(texts(path), unit="texts", verb=f"Reading {path}")
        for text in read:
            counts.update(tokenizer.tokenize(text))
    return counts


def texts(path: str) -> Iterator[str]:
    """Yields the texts of a file: its lines, or all strings of JSON objects.

    Args:
        path: the file; compressed files are read, too.
    """
    with files.reading(path) as reader:
        head = reader.peek(HEAD_BYTES)  # type: ignore[attr-defined]
    start = head[:HEAD_BYTES].decode("utf-8", "replace")
    if len(head) < HEAD_BYTES:
        start += "\n"
    if file_shape.shape_of(start).is_json or files.is_json_lines(path):
        for row in text_rows.read_rows(path, Format(name="jsonl")):
            yield from strings_of(row.values)
    else:
        for _, line in files.read_lines(path):
            yield line


def strings_of(value: Any) -> Iterator[str]:
    """Yields the strings in a value of JSON, without the names of its parts.

    Args:
        value: the value.
    """
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from strings_of(part)
    elif isinstance(value, list):
        for part in value:
            yield from strings_of(part)


# ---------------------------------------------------------------------------
# The model.


def read_contents(config: "BertConfig", tokenizer: FullTokenizer) -> "Contents":
    """The whole of the model that the flags name, without training's state.

    Args:
        config, tokenizer: the model's.

    Raises:
        UserError: the checkpoint cannot be read, or does not fit the config.
    """
    from bert_tf import storing
    from bert_tf.checkpoints import open_weights, weights_in
    from bert_tf.formats import heads
    from bert_tf.formats.encoder_shapes import check_encoder

    weights = open_weights(FLAGS.init_checkpoint)
    check_encoder(weights, config)
    for name in storing.unused_of(weights):
        logging.warning("%s: not converted: %s", weights.prefix, name)
    contents = storing.Contents(
        name=os.path.basename(FLAGS.output_dir.rstrip("/")),
        config=config,
        weights={name: weights.read(name) for name in weights_in(weights)},
        tokenizer=tokenizer.settings,
    )
    if FLAGS.pretrained is None or defaults.is_given("init_checkpoint"):
        if heads.has_head_at_root(contents.weights):
            logging.warning(
                "--init_checkpoint=%s has a head; the new model has it, too, "
                "but nothing says its kind and labels: name its folder by "
                "--pretrained",
                FLAGS.init_checkpoint,
            )
        return contents
    stored = pretrained.open(FLAGS.pretrained)
    kind = stored.kind_with(weights)
    if missing := heads.scope_without(kind, contents.weights):
        raise UserError(
            f"its files say that its head is of the kind {kind}, but the "
            f"weights have no {missing}",
            setting="pretrained",
            value=FLAGS.pretrained,
        )
    labels, task = storing.answers_of(stored, weights, kind)
    return dataclasses.replace(
        contents,
        kind=kind,
        labels=labels,
        task=task,
        dropout_rate=stored.dropout_rate,
    )


# ---------------------------------------------------------------------------
# What people see.


def show_cut(num_before: int, cut: "Cut", change: "Change") -> None:
    """Logs how the vocabulary and the words have changed.

    Args:
        num_before: number of entries of the old vocabulary.
        cut: the entries that stay.
        change: what it changes for the words.
    """
    number = len(cut.tokens)
    others = number - cut.num_special - cut.num_characters
    unseen = f" ({cut.num_unseen:,} not in the texts)" if cut.num_unseen else ""
    console.show(
        "Pieces",
        f"{num_before:,} before, {number:,} now: {cut.num_special:,} special "
        f"tokens, {cut.num_characters:,} single characters, {others:,} "
        f"others{unseen}",
    )
    changed, before, after = (
        100 * number / change.num_words
        for number in (
            change.num_changed,
            change.unknown_before,
            change.unknown_after,
        )
    )
    console.show(
        "Words",
        f"{changed:.3g} % are split into other pieces; {before:.3g} % were "
        f"[UNK], {after:.3g} % are",
    )
    if change.unknown_before > MANY_UNKNOWN * change.num_words:
        logging.warning(
            "the model does not know %.3g %% of the words: are they of its "
            "languages, and is --do_lower_case right?",
            before,
        )


def show_sizes(
    before: "Mapping[str, np.ndarray]", after: "Mapping[str, np.ndarray]"
) -> None:
    """Logs how much smaller the weights are.

    Args:
        before, after: {name: array}.
    """

    def number(weights: "Mapping[str, np.ndarray]") -> str:
        return console.amount(sum(array.size for array in weights.values()))

    def megabytes(weights: "Mapping[str, np.ndarray]") -> float:
        return sum(array.nbytes for array in weights.values()) / 1e6

    console.show(
        "Parameters",
        f"{number(before)} before ({megabytes(before):,.1f} MB), "
        f"{number(after)} now ({megabytes(after):,.1f} MB)",
    )
    console.show("Written", f"{FLAGS.output_dir}: --pretrained reads it")
