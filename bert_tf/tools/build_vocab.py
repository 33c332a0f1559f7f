"""Learns a WordPiece vocabulary from text.

    python -m bert_tf.tools.build_vocab --input_file='corpus/*.txt' \\
        --output_file=vocab.txt --vocab_size=8000

The words are those of our own tokenizer, so the pieces fit what it will be
asked to cut. The learner is tensorflow-text's: it keeps the pieces that stand
in the most words, and the frequent characters, so that few words are [UNK].
"""

import collections

from absl import flags, logging
from tensorflow_text.tools.wordpiece_vocab import (
    wordpiece_tokenizer_learner_lib as learner,
)

from bert_tf import files
from bert_tf import flags as shared_flags
from bert_tf.errors import UserError
from bert_tf.tokenization import BasicTokenizer

FLAGS = flags.FLAGS
MIN_COUNT = 2  # A piece that stands once in all the text helps no other word.

flags.DEFINE_string(
    "input_file", None, "Text files, patterns such as a/*.txt; commas between."
)
flags.DEFINE_string("output_file", None, "The vocabulary to write.")
flags.DEFINE_integer(
    "vocab_size",
    30522,
    "Entries at most, special ones included.",
    lower_bound=10,
)
shared_flags.define_casing_flag()
flags.DEFINE_integer(
    "num_unused",
    99,
    "Entries [unusedN] kept free for words of your own.",
    lower_bound=0,
)


flags.adopt_module_key_flags(shared_flags)


def special_tokens(num_unused: int) -> list:
    """In the order of the released vocabularies: [PAD] is 0."""
    unused = [f"[unused{i}]" for i in range(num_unused)]
    return ["[PAD]", *unused, "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def count_words(paths: list, do_lower_case: bool) -> collections.Counter:
    tokenizer = BasicTokenizer(do_lower_case)
    counts = collections.Counter()
    for path in paths:
        for _, line in files.read_lines(path):
            counts.update(tokenizer.tokenize(line))
    return counts


def cut_to_size(vocab: list, size: int, special: list) -> list:
    """Drops the rarest pieces, which come last; the learner may miss a size.

    Single characters stay, with and without `##`: they spell every word.
    """
    excess = len(vocab) - size
    kept = []
    for token in reversed(vocab):
        is_character = len(token.removeprefix("##")) == 1
        if excess > 0 and not is_character and token not in special:
            excess -= 1
        else:
            kept.append(token)
    if excess > 0:
        raise UserError(
            f"--vocab_size={size}: the characters of the text alone need "
            f"{len(kept)} entries"
        )
    return kept[::-1]


def main():
    shared_flags.require("input_file", "output_file")
    paths = shared_flags.matching_files("input_file")
    counts = count_words(paths, FLAGS.do_lower_case)
    if not counts:
        raise UserError(f"--input_file={FLAGS.input_file}: no words in there")
    special = special_tokens(FLAGS.num_unused)
    if FLAGS.vocab_size <= len(special):
        raise UserError(
            f"--vocab_size={FLAGS.vocab_size} leaves no room beside the "
            f"{len(special)} special entries (--num_unused={FLAGS.num_unused})"
        )
    logging.info(
        "%d words, %d different ones", sum(counts.values()), len(counts)
    )
    # Sorted, so that the order of the files cannot change the vocabulary.
    vocab = learner.learn(
        sorted(counts.items()),
        FLAGS.vocab_size,
        special,
        lower_thresh=MIN_COUNT,
    )
    vocab = cut_to_size(vocab, FLAGS.vocab_size, special)
    files.write_text(
        FLAGS.output_file, "".join(f"{token}\n" for token in vocab)
    )
    logging.info("%d entries written to %s", len(vocab), FLAGS.output_file)


if __name__ == "__main__":
    shared_flags.run(main)
