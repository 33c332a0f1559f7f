"""Learns a WordPiece vocabulary from text, or adds words to a model's.

    python -m bert_tf.tools.build_vocab --input_file='corpus/*.txt' \\
        --output_file=vocab.txt --vocab_size=8000

The words are those of our own tokenizer, so the pieces fit what it will be
asked to cut. The learner is tensorflow-text's: it keeps the pieces that stand
in the most words, and the frequent characters, so that few words are [UNK].

    python -m bert_tf.tools.build_vocab --add_words=words.txt \\
        --vocab_file=$BERT_DIR/vocab.txt \\
        --bert_config_file=$BERT_DIR/bert_config.json \\
        --init_checkpoint=$BERT_DIR/bert_model.ckpt --output_dir=domain_bert

writes vocab.txt, bert_config.json and bert_model.ckpt of a model that has an
entry for each of the words; see vocabulary.py.
"""

import collections

from absl import flags, logging
from tensorflow_text.tools.wordpiece_vocab import (
    wordpiece_tokenizer_learner_lib as learner,
)

from bert_tf import files, vocabulary
from bert_tf.errors import UserError
from bert_tf.programs import flags as shared_flags
from bert_tf.programs import program
from bert_tf.tokenization import BasicTokenizer

FLAGS = flags.FLAGS
MIN_COUNT = 2  # A piece that stands once in all the text helps no other word.
LINES_BETWEEN_LOGS = 1_000_000

shared_flags.define_text_files_flag()
flags.DEFINE_string("output_file", None, "The vocabulary to write.")
shared_flags.define_count(
    "vocab_size",
    30522,
    "Entries at most, special ones included.",
    lower_bound=10,
)
shared_flags.define_casing_flag()
shared_flags.define_count(
    "num_unused",
    99,
    "Entries [unusedN] kept free for words of your own.",
    lower_bound=0,
)
shared_flags.define_count(
    "max_unique_chars",
    1000,
    "Characters at most, the most frequent ones; words with others become "
    "[UNK]. Chinese takes some 8000.",
    lower_bound=1,
)
flags.DEFINE_string(
    "add_words",
    None,
    "Words, one a line, to add to the model of --vocab_file and "
    "--bert_config_file instead of learning a vocabulary. The new model is "
    "written to --output_dir; without --init_checkpoint it has no weights.",
)
flags.DEFINE_bool(
    "fill_unused",
    True,
    "Put the words of --add_words in the places of [unusedN] first; if not, "
    "or where these are full, the model grows.",
)
flags.DEFINE_string(
    "vocab_file", None, "vocab.txt of the model that --add_words extends."
)
shared_flags.define_model_flags()


def special_tokens(num_unused: int) -> list:
    """In the order of the released vocabularies: [PAD] is 0."""
    unused = [f"[unused{i}]" for i in range(num_unused)]
    return ["[PAD]", *unused, "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def count_words(paths: list, do_lower_case: bool) -> collections.Counter:
    """How often each word stands in the files, which are read line by line."""
    tokenizer = BasicTokenizer(do_lower_case)
    counts = collections.Counter()
    for path in paths:
        for number, line in files.read_lines(path):
            counts.update(tokenizer.tokenize(line))
            if number % LINES_BETWEEN_LOGS == 0:
                logging.info(
                    "%s:%d: %d different words", path, number, len(counts)
                )
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


def extend_model():
    for name in ("input_file", "output_file"):
        if FLAGS[name].value is not None:
            raise UserError(
                f"--add_words={FLAGS.add_words} and --{name}="
                f"{FLAGS[name].value}: one is for adding words, the other for "
                "learning a vocabulary"
            )
    program.require("vocab_file", "bert_config_file", "output_dir")
    program.require_existing("add_words", "vocab_file", "bert_config_file")
    vocabulary.add_words(
        FLAGS.add_words,
        FLAGS.vocab_file,
        FLAGS.bert_config_file,
        FLAGS.output_dir,
        FLAGS.init_checkpoint,
        FLAGS.do_lower_case,
        FLAGS.fill_unused,
    )


def learn_vocabulary():
    program.require("input_file", "output_file")
    paths = program.matching_files("input_file")
    program.check_output("output_file", FLAGS.output_file, paths)
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
        max_unique_chars=FLAGS.max_unique_chars,
    )
    vocab = cut_to_size(vocab, FLAGS.vocab_size, special)
    files.write_text(
        FLAGS.output_file, "".join(f"{token}\n" for token in vocab)
    )
    logging.info(
        "%d entries written to %s: the least vocab_size of a bert_config.json",
        len(vocab),
        FLAGS.output_file,
    )


def main():
    if FLAGS.add_words is not None:
        extend_model()
    else:
        learn_vocabulary()


if __name__ == "__main__":
    program.run(main)
