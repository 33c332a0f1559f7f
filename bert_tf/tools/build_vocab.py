"""Learns a WordPiece vocabulary, adds words to a model's, or makes it smaller.

    python -m bert_tf.tools.build_vocab --input_file='corpus/*.txt' \\
        --output_file=vocab.txt --vocab_size=8000

The text is split into words by this package's tokenizer, so the pieces fit the
words that it will split later. The learner is tensorflow-text's. It keeps the
pieces that occur in the most words, and the frequent characters, so that few
words become [UNK].

    python -m bert_tf.tools.build_vocab --add_words=words.txt \\
        --pretrained=bert-base-uncased --output_dir=domain_bert

writes the vocab.txt, bert_config.json and bert_model.ckpt of a model with an
entry for each of the words; see vocabulary.py.

    python -m bert_tf.tools.build_vocab --keep_pieces_of='corpus/*.txt' \\
        --pretrained=bert-base-multilingual-cased --output_dir=german_english \\
        --vocab_size=30000

writes a smaller model, with the pieces that these texts need and their rows of
the word table; see vocabulary_cut.py. Texts of these pieces have the same
outputs as before.
"""

import collections
from collections.abc import Mapping

from absl import flags, logging

from bert_tf import files
from bert_tf.data.tabular import file_shape
from bert_tf.errors import UserError
from bert_tf.programs import console, defaults, model_files, program
from bert_tf.programs import flags as shared_flags
from bert_tf.progress import with_progress, working
from bert_tf.tokenization import BasicTokenizer, TokenizerSettings
from bert_tf.tools import vocab_cut

FLAGS = flags.FLAGS
LEARNING = "learning a vocabulary"
CUTTING = ("min_frequency", "keep_unused")
MIN_COUNT = 2  # A piece that occurs only once helps no other word.

shared_flags.define_text_files_flag()
flags.DEFINE_string(
    "output_file", None, "The vocabulary file to write, if one is learned."
)
shared_flags.define_count(
    "vocab_size",
    30522,
    "Largest number of entries of the vocabulary, with the special ones.",
    lower_bound=10,
)
shared_flags.define_casing_flag()
shared_flags.define_count(
    "num_unused",
    99,
    "Number of [unusedN] entries of the vocabulary, which stay free for words "
    "of your own.",
    lower_bound=0,
)
shared_flags.define_count(
    "max_unique_chars",
    1000,
    "Largest number of different characters; the most frequent ones are kept, "
    "and words with other characters become [UNK]. Chinese needs about 8000.",
    lower_bound=1,
)
flags.DEFINE_string(
    "add_words",
    None,
    "File of words, one per line, to add to the model of --vocab_file and "
    "--bert_config_file. No vocabulary is learned then. The new model is "
    "written to --output_dir; without --init_checkpoint it has no weights.",
)
flags.DEFINE_bool(
    "fill_unused",
    True,
    "Let the words of --add_words replace the [unusedN] entries first. The "
    "model grows if this is false, or when no such entry is left.",
)
flags.DEFINE_string(
    "keep_pieces_of",
    None,
    "Text files, or patterns, separated by commas: the model keeps the pieces "
    "that their words are split into, and loses the others. Lines of text, or "
    "JSON objects, of which all strings are read. The new model is written to "
    "--output_dir. If --vocab_size is given, the most frequent pieces stay.",
)
shared_flags.define_count(
    "min_frequency",
    0,
    "How often a piece must occur in the files of --keep_pieces_of to stay. By "
    "default pieces that do not occur fill what --vocab_size leaves free.",
    lower_bound=0,
)
flags.DEFINE_bool(
    "keep_unused",
    False,
    "Keep the [unusedN] entries with --keep_pieces_of.",
)
flags.DEFINE_string(
    "vocab_file",
    None,
    "vocab.txt of the model that --add_words or --keep_pieces_of changes.",
)
shared_flags.define_network_flags()
flags.DEFINE_string(
    "output_dir",
    None,
    "Folder of the new model, with --add_words or --keep_pieces_of.",
)


def special_tokens(num_unused: int) -> list[str]:
    """Returns the special tokens in the order of the released vocabularies.

    Args:
        num_unused: number of [unusedN] entries.

    Returns:
        The tokens; [PAD] is the first.
    """
    unused = [f"[unused{i}]" for i in range(num_unused)]
    return ["[PAD]", *unused, "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def count_words(
    paths: list[str], settings: TokenizerSettings
) -> collections.Counter[str]:
    """Counts how often each word occurs in files.

    The files are read line by line.
    """
    tokenizer = BasicTokenizer(**settings.tokenizer_arguments())
    counts: collections.Counter[str] = collections.Counter()
    for path in paths:
        file_shape.warn_unless_text(path)
        number = 0
        lines = with_progress(
            files.read_lines(path), unit="lines", verb=f"Reading {path}"
        )
        for number, line in lines:  # noqa: B007
            counts.update(tokenizer.tokenize(line))
    if len(paths) == 1 and number == 1:
        logging.warning(
            "%s: 1 line of text, with %d different words: a vocabulary is "
            "learned from many",
            paths[0],
            len(counts),
        )
    return counts


def cut_to_size(vocab: list[str], size: int, special: list[str]) -> list[str]:
    """Drops the rarest pieces if the learner has returned too many.

    Single characters stay, with and without `##`, because they can spell every
    word.

    Args:
        vocab: the entries, the rarest pieces last.
        size: the largest number of entries to keep.
        special: special tokens, which stay too.

    Raises:
        UserError: the entries that must stay are more than `size`.
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


def refuse_others(name: str, aim: str, others: Mapping[str, str]) -> None:
    """Raises UserError if flags of another aim were given.

    Args:
        name: the flag that decides what is done.
        aim: what it is for, such as "one is for adding words".
        others: {flag: what it is for}.
    """
    for other, its_aim in others.items():
        if FLAGS[other].value is not None:
            raise UserError(
                f"--{name}={FLAGS[name].value} and --{other}="
                f"{FLAGS[other].value}: {aim}, the other for {its_aim}"
            )


def extend_model() -> None:
    """Adds the words of --add_words to a model.

    Raises:
        UserError: a flag is missing, or is only for learning a vocabulary.
    """
    refuse_others(
        "add_words",
        "one is for adding words",
        {
            "input_file": LEARNING,
            "output_file": LEARNING,
            "keep_pieces_of": "keeping the pieces of texts",
        },
    )
    program.refuse("it is for --keep_pieces_of", *CUTTING)
    defaults.use_pretrained()
    program.require("vocab_file", "bert_config_file", "output_dir")
    program.require_existing("add_words", "vocab_file", "bert_config_file")
    program.check_folder("output_dir")
    from bert_tf import vocabulary

    vocabulary.add_words(
        word_file=FLAGS.add_words,
        vocab_file=FLAGS.vocab_file,
        bert_config_file=FLAGS.bert_config_file,
        output_dir=FLAGS.output_dir,
        init_checkpoint=FLAGS.init_checkpoint,
        **model_files.tokenizer_arguments(),
        fill_unused=FLAGS.fill_unused,
    )


def cut_model() -> None:
    """Cuts a model down to the pieces of --keep_pieces_of.

    Raises:
        UserError: a flag is only for learning a vocabulary; see `vocab_cut`.
    """
    refuse_others(
        "keep_pieces_of",
        "one is for keeping the pieces of texts",
        {"input_file": LEARNING, "output_file": LEARNING},
    )
    program.refuse(
        "it is for learning a vocabulary", "num_unused", "max_unique_chars"
    )
    program.refuse("it is for --add_words", "fill_unused")
    vocab_cut.cut_model()


def learn_vocabulary() -> None:
    """Learns a vocabulary from --input_file.

    Raises:
        UserError: a flag is missing, the text has no words, or --vocab_size
            is too small.
    """
    program.refuse("it is for --keep_pieces_of", *CUTTING)
    program.require("input_file", "output_file")
    paths = program.matching_files("input_file")
    program.check_output("output_file", FLAGS.output_file, paths)
    counts = count_words(paths, model_files.tokenizer_settings())
    if not counts:
        raise UserError(f"--input_file={FLAGS.input_file}: contains no words")
    special = special_tokens(FLAGS.num_unused)
    if FLAGS.vocab_size <= len(special):
        raise UserError(
            f"--vocab_size={FLAGS.vocab_size} leaves no room besides the "
            f"{len(special)} special entries (--num_unused={FLAGS.num_unused})"
        )
    console.show(
        "Words",
        f"{sum(counts.values()):,}, of which {len(counts):,} are different",
    )
    from tensorflow_text.tools.wordpiece_vocab import (
        wordpiece_tokenizer_learner_lib as learner,
    )

    # Sorted, so that the vocabulary does not depend on the files' order.
    with working("Learning pieces"):
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
    console.show(
        "Written",
        f"{FLAGS.output_file}: {len(vocab):,} entries; the vocab_size of "
        "bert_config.json must be at least this number",
    )


def main() -> None:
    if FLAGS.add_words is not None:
        extend_model()
    elif FLAGS.keep_pieces_of is not None:
        cut_model()
    else:
        learn_vocabulary()


if __name__ == "__main__":
    program.run(main)
