"""Adds words to a model: its vocabulary, embedding table and config grow.

    genome         the old vocabulary splits it into   gen ##ome
    its entry      takes the place of an [unusedN], or is appended
    its row        starts as the mean of the rows of gen and ##ome

So a text means about the same to the new model as to the old one, and training
continues from there. A text without the new words, and without longer words
that start with one, is split as before and gives the same outputs.
"""

import contextlib
import dataclasses
import json
import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import logging

from bert_tf import files, pretrained
from bert_tf.checkpoints import (
    open_weights,
    read_matching,
    remove_checkpoint,
    write_checkpoint,
)
from bert_tf.config import BertConfig
from bert_tf.errors import UserError
from bert_tf.formats import tokenizer_json
from bert_tf.formats.weights import Weights
from bert_tf.optimization import SLOT_NAMES
from bert_tf.tokenization import (
    MAX_CHARS_PER_WORD,
    UNKNOWN,
    FullTokenizer,
    check_casing,
    check_size,
)

# Variables with one row for each entry of the vocabulary.
WORD_EMBEDDINGS = "bert/embeddings/word_embeddings"
OUTPUT_BIAS = "cls/predictions/output_bias"  # The masked LM's.

WORDS_IN_LOG = 20
_UNUSED = re.compile(r"\[unused\d+\]")


@dataclasses.dataclass(frozen=True)
class NewWord:
    """A word and its place in the new vocabulary.

    Attributes:
        text: the word in the tokenizer's form.
        index: its id, a row of the table.
        old_ids: ids of the pieces into which the old vocabulary splits it.
    """

    text: str
    index: int
    old_ids: list[int]


def add_words(
    *,
    word_file: str,
    vocab_file: str,
    bert_config_file: str,
    output_dir: str,
    init_checkpoint: str | None = None,
    do_lower_case: bool = True,
    strip_accents: bool | None = None,
    tokenize_chinese_chars: bool = True,
    fill_unused: bool = True,
) -> None:
    """Writes a copy of a model with more words in its vocabulary.

    `output_dir` gets vocab.txt, bert_config.json and, if a checkpoint is given,
    bert_model.ckpt: all of them or none.

    Args:
        word_file: path of the words, one per line.
        vocab_file: path of the old model's vocabulary.
        bert_config_file: path of the old model's config. Its `vocab_size` may
            exceed the number of entries: the rows after them are used, too.
        output_dir: folder of the new model; must not contain a model yet.
        init_checkpoint: prefix of the old model's checkpoint; None for a model
            without weights.
        do_lower_case: True if the old model is uncased.
        strip_accents, tokenize_chinese_chars: see `TokenizerSettings`.
        fill_unused: whether words first replace the entries [unusedN].

    Raises:
        UserError: a file cannot be used, the old model's files do not fit
            each other, or there is nothing to add.
        OSError: the new files could not be written.
    """
    target = _ModelFiles(output_dir)
    target.require_absent()
    tokenizer = FullTokenizer(
        vocab_file,
        do_lower_case,
        strip_accents=strip_accents,
        tokenize_chinese_chars=tokenize_chinese_chars,
    )
    check_casing(tokenizer.vocab, do_lower_case)
    config = pretrained.read_config(bert_config_file)
    num_ids = check_size(
        tokenizer.vocab, config.vocab_size, vocab_file, bert_config_file
    )
    # New entries come directly after the last one, in place of empty lines.
    lines = _read_raw_lines(vocab_file)[:num_ids]
    words = place_words(
        read_words(word_file, tokenizer), lines, tokenizer, fill_unused
    )
    vocab_size = max(config.vocab_size, words[-1].index + 1)
    _log(words, tokenizer, num_ids, config.vocab_size, vocab_size)

    tensors = None
    if init_checkpoint is not None:
        tensors = grow_tensors(
            open_weights(init_checkpoint), config, words, vocab_size
        )
    settings = _settings_in(bert_config_file, config)
    settings["vocab_size"] = vocab_size
    target.write(
        vocab="".join(insert_words(words, lines)),
        config=json.dumps(settings, indent=2) + "\n",
        tensors=tensors,
    )


def _settings_in(path: str, config: BertConfig) -> dict[str, Any]:
    """The content of a bert_config.json; that of another format translated."""
    if not files.is_folder(path) and files.exists(path):
        values = json.loads(files.read_text(path))
        if BertConfig.from_dict(values) == config:
            return values  # It may contain more than a BertConfig.
    return config.to_dict()


def read_words(path: str, tokenizer: FullTokenizer) -> list[str]:
    """The words of a file that the tokenizer's vocabulary lacks.

    They have the form that the tokenizer gives them, and each appears once.

    Raises:
        UserError: a line cannot be one entry, or there is no new word.
    """
    words: dict[str, None] = {}  # A dict keeps their order.
    known = repeated = 0
    for number, line in files.read_lines(path):
        parts = tokenizer.basic_tokenizer.tokenize(line)
        if not parts:
            continue
        word = _single_word(parts, line, f"{path}:{number}")
        if word in tokenizer.vocab:
            known += 1
        elif word in words:
            repeated += 1
        else:
            words[word] = None
    num_words = len(words) + known + repeated
    if not num_words:
        raise UserError(f"{path}: the file contains no words")
    if not words:
        raise UserError(f"{path}: all words are in the vocabulary already")
    logging.info(
        "%d words in %s: %d new, %d in the vocabulary already, %d repeated",
        num_words,
        path,
        len(words),
        known,
        repeated,
    )
    return list(words)


def _single_word(parts: list[str], line: str, place: str) -> str:
    if len(parts) > 1:
        raise UserError(
            f"{place}: {_shortened(line.strip())} cannot be one entry: the "
            f"tokenizer splits it into {_shortened(' '.join(parts))}"
        )
    if len(parts[0]) > MAX_CHARS_PER_WORD:
        raise UserError(
            f"{place}: a word of {len(parts[0])} characters; the tokenizer "
            f"turns words of more than {MAX_CHARS_PER_WORD} into {UNKNOWN}"
        )
    return parts[0]


def _shortened(text: str, most: int = 60) -> str:
    return repr(text if len(text) <= most else text[:most] + "…")


def _read_raw_lines(path: str) -> list[str]:
    """The lines with their ends, to write unchanged ones as they were."""
    with files.reading(path) as reader:
        lines = [line.decode("utf-8") for line in reader]
    if tokenizer_json.is_json("".join(lines[:3])):
        return [f"{t}\n" for t in tokenizer_json.read_vocab_lines(path)]
    return lines


def place_words(
    words: Sequence[str],
    lines: Sequence[str],
    tokenizer: FullTokenizer,
    fill_unused: bool,
) -> list[NewWord]:
    """Gives each word the next [unusedN], or a place at the end.

    Args:
        words: the new words.
        lines: lines of the old vocabulary.
        tokenizer: splits words as the old model does.
        fill_unused: whether words replace the entries [unusedN].
    """
    unused = [
        index
        for index, line in enumerate(lines)
        if fill_unused and _UNUSED.fullmatch(line.strip())
    ]
    end = range(len(lines), len(lines) + len(words))
    split = tokenizer.wordpiece_tokenizer.tokenize_word
    return [
        NewWord(word, index, tokenizer.convert_tokens_to_ids(split(word)))
        for word, index in zip(words, [*unused, *end], strict=False)
    ]


def insert_words(words: Sequence[NewWord], lines: Sequence[str]) -> list[str]:
    """The lines of the new vocabulary; unchanged entries keep their lines."""
    lines = list(lines)
    if not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    for word in words:
        if word.index < len(lines):
            old = lines[word.index]
            lines[word.index] = old.replace(old.strip(), word.text)
        else:
            lines.append(word.text + "\n")
    return lines


def _log(
    words: Sequence[NewWord],
    tokenizer: FullTokenizer,
    num_ids: int,
    old_size: int,
    new_size: int,
) -> None:
    appended = sum(word.index >= num_ids for word in words)
    logging.info(
        "%d in places of [unusedN], %d appended; vocab_size %d -> %d",
        len(words) - appended,
        appended,
        old_size,
        new_size,
    )
    unknown = [tokenizer.vocab[UNKNOWN]]
    num_unknown = sum(word.old_ids == unknown for word in words)
    if num_unknown:
        logging.info(
            "%d of them were %s and start with its row", num_unknown, UNKNOWN
        )
    for word in words[:WORDS_IN_LOG]:
        pieces = tokenizer.convert_ids_to_tokens(word.old_ids)
        logging.info("  %d %s: %s", word.index, word.text, " ".join(pieces))
    if len(words) > WORDS_IN_LOG:
        logging.info("  ... %d more", len(words) - WORDS_IN_LOG)


def grow_tensors(
    checkpoint: Weights,
    config: BertConfig,
    words: Sequence[NewWord],
    vocab_size: int,
) -> dict[str, np.ndarray]:
    """{name: array} of the new checkpoint.

    A word's row is the mean of its old pieces' rows, and so is its bias where
    the checkpoint has the masked LM's head. The optimizer's slots are zero for
    it, as at the start of training. All other values stay as they are.

    Args:
        checkpoint: the old model's.
        config: the old model's.
        words: the new words.
        vocab_size: number of rows of the new table.

    Raises:
        UserError: a variable does not fit the old config.
    """
    shapes: dict[str, tuple[int, ...]] = {
        WORD_EMBEDDINGS: (config.vocab_size, config.hidden_size)
    }
    if OUTPUT_BIAS in checkpoint.shapes:
        shapes[OUTPUT_BIAS] = (config.vocab_size,)
    slots = {
        f"{name}/{slot}": shape
        for name, shape in shapes.items()
        for slot in SLOT_NAMES
        if f"{name}/{slot}" in checkpoint.shapes
    }
    # First these: a checkpoint that does not fit need not be read further.
    by_entry = read_matching(checkpoint, shapes | slots)
    tensors = {
        name: checkpoint.read(name)
        for name in sorted(checkpoint.shapes)
        if name not in by_entry
    }
    for name, old in by_entry.items():
        new = np.zeros((vocab_size, *old.shape[1:]), old.dtype)
        new[: len(old)] = old
        for word in words:
            new[word.index] = (
                0 if name in slots else _mean_row(old, word.old_ids)
            )
        tensors[name] = new
    return tensors


def _mean_row(table: np.ndarray, ids: list[int]) -> np.ndarray:
    # In float64, so that the mean of a single row is exactly that row.
    return table[ids].astype(np.float64).mean(axis=0)


class _ModelFiles:
    """The three files of a model, named as in the released models."""

    def __init__(self, folder: str):
        self.folder = folder
        self.vocab = os.path.join(folder, "vocab.txt")
        self.config = os.path.join(folder, "bert_config.json")
        self.checkpoint = os.path.join(folder, "bert_model.ckpt")

    def require_absent(self) -> None:
        """Raises UserError if one exists: it may be the model to read from."""
        for path in (self.vocab, self.config, self.checkpoint + ".index"):
            if files.exists(path):
                raise UserError(f"{path} exists already; name another folder")

    def write(
        self, vocab: str, config: str, tensors: dict[str, np.ndarray] | None
    ) -> None:
        """Writes all files or none: an error removes those already written."""
        files.make_folder(self.folder)
        with contextlib.ExitStack() as undo:
            if tensors is not None:  # First, as it needs the most space.
                undo.callback(remove_checkpoint, self.checkpoint)
                write_checkpoint(self.checkpoint, tensors)
            undo.callback(files.remove_if_there, self.config)
            files.write_text(self.config, config)
            undo.callback(files.remove_if_there, self.vocab)
            files.write_text(self.vocab, vocab)
            undo.pop_all()  # Without calling them.
        logging.info("The model with these words: %s", self.folder)
