"""New words for a model that exists: its vocabulary, table and config grow.

    genome         the old vocabulary cuts it into   gen ##ome
    its entry      takes the place of an [unusedN], or is appended
    its row        starts as the mean of the rows of gen and ##ome

So a text means to the new model about what it meant to the old one, and
training goes on from there. A text without the new words, and without longer
words that start with one, is cut as before and gives the same outputs.
"""

import contextlib
import dataclasses
import json
import os
import re

import numpy as np
from absl import logging

from bert_tf import files
from bert_tf.checkpoints import (
    Checkpoint,
    read_matching,
    remove_checkpoint,
    write_checkpoint,
)
from bert_tf.config import BertConfig
from bert_tf.errors import UserError
from bert_tf.tokenization import (
    MAX_CHARS_PER_WORD,
    UNKNOWN,
    FullTokenizer,
    check_casing,
    check_size,
)

# Variables with one row for each entry of the vocabulary.
WORD_EMBEDDINGS = "bert/embeddings/word_embeddings"
OUTPUT_BIAS = "cls/predictions/output_bias"  # Of the masked language model.
MOMENTS = ("adam_m", "adam_v")

WORDS_IN_LOG = 20
_UNUSED = re.compile(r"\[unused\d+\]")


@dataclasses.dataclass(frozen=True)
class NewWord:
    """A word and what becomes of it.

    Attributes:
        text: as the tokenizer gives it.
        index: its id, a row of the table.
        old_ids: of the pieces into which the old vocabulary cuts it.
    """

    text: str
    index: int
    old_ids: list


def add_words(
    word_file: str,
    vocab_file: str,
    bert_config_file: str,
    output_dir: str,
    init_checkpoint: str | None = None,
    do_lower_case: bool = True,
    fill_unused: bool = True,
):
    """Writes a model that knows more words than the one it is made from.

    `output_dir` gets vocab.txt, bert_config.json and, where there was a
    checkpoint, bert_model.ckpt: all of them, or none.

    Args:
        word_file: the words, one a line.
        vocab_file: of the old model.
        bert_config_file: of the old model. Its `vocab_size` may exceed the
            number of entries: the rows behind them are used, too.
        output_dir: must not hold a model yet.
        init_checkpoint: of the old model; None for one without weights.
        do_lower_case: as the old model was trained.
        fill_unused: first put words in the places of the entries [unusedN].

    Raises:
        UserError: a file cannot be used, the old model's files do not fit
            each other, or there is nothing to add.
    """
    target = _ModelFiles(output_dir)
    target.require_absent()
    tokenizer = FullTokenizer(vocab_file, do_lower_case)
    check_casing(tokenizer.vocab, do_lower_case)
    config = BertConfig.from_json_file(bert_config_file)
    num_ids = check_size(
        tokenizer.vocab, config.vocab_size, vocab_file, bert_config_file
    )
    # Empty lines behind the last entry would be in the way of new ones.
    lines = _read_raw_lines(vocab_file)[:num_ids]
    words = place_words(
        read_words(word_file, tokenizer), lines, tokenizer, fill_unused
    )
    vocab_size = max(config.vocab_size, words[-1].index + 1)
    _log(words, tokenizer, num_ids, config.vocab_size, vocab_size)

    tensors = None
    if init_checkpoint is not None:
        tensors = grow_tensors(
            Checkpoint(init_checkpoint), config, words, vocab_size
        )
    # The file's own values: some hold more than a BertConfig does.
    settings = json.loads(files.read_text(bert_config_file))
    settings["vocab_size"] = vocab_size
    target.write(
        vocab="".join(insert_words(words, lines)),
        config=json.dumps(settings, indent=2) + "\n",
        tensors=tensors,
    )


def read_words(path: str, tokenizer: FullTokenizer) -> list:
    """The words of a file that the tokenizer's vocabulary lacks.

    They have the form that the tokenizer gives them; one that stands twice
    counts once.

    Raises:
        UserError: a line holds no word that could be one entry, or there is
            no new word.
    """
    words, known, repeated = {}, 0, 0
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
            words[word] = None  # A dict keeps their order.
    found = len(words) + known + repeated
    if not found:
        raise UserError(f"{path}: no words in there")
    if not words:
        raise UserError(f"{path}: all words are in the vocabulary already")
    logging.info(
        "%d words in %s: %d new, %d in the vocabulary already, %d repeated",
        found,
        path,
        len(words),
        known,
        repeated,
    )
    return list(words)


def _single_word(parts, line, place):
    if len(parts) > 1:
        raise UserError(
            f"{place}: {_shortened(line.strip())} cannot be one entry: the "
            f"tokenizer splits it into {_shortened(' '.join(parts))}"
        )
    if len(parts[0]) > MAX_CHARS_PER_WORD:
        raise UserError(
            f"{place}: a word of {len(parts[0])} characters; those of more "
            f"than {MAX_CHARS_PER_WORD} are {UNKNOWN} to every vocabulary"
        )
    return parts[0]


def _shortened(text, most=60):
    return repr(text if len(text) <= most else text[:most] + "…")


def _read_raw_lines(path) -> list:
    """Lines with their ends and all: what is not changed is written back."""
    with files.reading(path) as reader:
        return [line.decode("utf-8") for line in reader]


def place_words(
    words: list, lines: list, tokenizer: FullTokenizer, fill_unused: bool
) -> list:
    """A `NewWord` for each word: in an [unusedN], in order, or at the end."""
    unused = [
        index
        for index, line in enumerate(lines)
        if fill_unused and _UNUSED.fullmatch(line.strip())
    ]
    end = range(len(lines), len(lines) + len(words))
    cut = tokenizer.wordpiece_tokenizer.tokenize_word
    return [
        NewWord(word, index, tokenizer.convert_tokens_to_ids(cut(word)))
        for word, index in zip(words, [*unused, *end], strict=False)
    ]


def insert_words(words: list, lines: list) -> list:
    """The lines of the new vocabulary, the others as they were."""
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


def _log(words, tokenizer, num_ids, old_size, new_size):
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
    checkpoint: Checkpoint, config: BertConfig, words: list, vocab_size: int
) -> dict:
    """{name: array} of the new checkpoint.

    A word's row, and its bias where the checkpoint has the masked language
    model's head, is the mean of its old pieces' rows; its moments are zero,
    as at the start of training. All else stays as it is.

    Args:
        checkpoint: of the old model.
        config: of the old model.
        words: of `NewWord`.
        vocab_size: rows of the new table.

    Raises:
        UserError: a variable does not fit the old config.
    """
    shapes = {WORD_EMBEDDINGS: (config.vocab_size, config.hidden_size)}
    if OUTPUT_BIAS in checkpoint.shapes:
        shapes[OUTPUT_BIAS] = (config.vocab_size,)
    moments = {
        f"{name}/{moment}": shape
        for name, shape in shapes.items()
        for moment in MOMENTS
        if f"{name}/{moment}" in checkpoint.shapes
    }
    # Those first: a checkpoint that does not fit is not read for nothing.
    by_entry = read_matching(checkpoint, shapes | moments)
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
                0 if name in moments else _mean_row(old, word.old_ids)
            )
        tensors[name] = new
    return tensors


def _mean_row(table, ids):
    # In float64, so that one piece alone gives its very row.
    return table[ids].astype(np.float64).mean(axis=0)


class _ModelFiles:
    """The three files of a model, under the names of the released ones."""

    def __init__(self, folder: str):
        self.folder = folder
        self.vocab = os.path.join(folder, "vocab.txt")
        self.config = os.path.join(folder, "bert_config.json")
        self.checkpoint = os.path.join(folder, "bert_model.ckpt")

    def require_absent(self):
        """A model is not overwritten: it may be the one to read from."""
        for path in (self.vocab, self.config, self.checkpoint + ".index"):
            if files.exists(path):
                raise UserError(f"{path} exists already; name another folder")

    def write(self, vocab: str, config: str, tensors: dict | None):
        """Writes all, or none: after an error, what was written is removed."""
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
        logging.info("A model that knows them: %s", self.folder)
