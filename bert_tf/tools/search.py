"""Finds the texts whose meaning is nearest to that of a query.

    python -m bert_tf.tools.search --model=/tmp/vectors --corpus=faq.csv \\
        "How do I get my money back?"

--model is an exported model of vectors, or a run that has one, such as
train_embeddings, export_model --pooling=mean and export_static make.

With --index the vectors of the corpus are kept in a folder. Later commands need
no --corpus, and the server searches the same folder (serve --index):

    python -m bert_tf.tools.search --model=/tmp/vectors --corpus=faq.csv \\
        --index=/tmp/faq_index
    python -m bert_tf.tools.search --model=/tmp/vectors --index=/tmp/faq_index \\
        --queries=questions.txt --output=found.jsonl
"""  # noqa: E501  A command that is broken is hard to copy.

from collections.abc import Sequence

from absl import flags

from bert_tf import choices
from bert_tf.errors import UserError
from bert_tf.programs import engine_flags, program
from bert_tf.programs import flags as shared_flags

FLAGS = flags.FLAGS
REQUIRED = ("model",)

flags.DEFINE_string(
    "model",
    None,
    "Folder of an exported model of vectors, or of a run that has one.",
)
flags.DEFINE_string(
    "corpus",
    None,
    "File of the texts to search in, or a pattern for several: lines of text, "
    "CSV, TSV or JSON lines. An object of BEIR's corpus.jsonl has _id, title "
    "and text.",
)
flags.DEFINE_enum(
    "corpus_format",
    None,
    choices.INPUT_FORMATS,
    "How --corpus is written. By default its content and name decide.",
)
flags.DEFINE_string(
    "text_column",
    "text",
    "Column of the text, in a table or object. Without this flag a column "
    "title comes before it, as in BEIR.",
)
flags.DEFINE_string(
    "id_column",
    None,
    "Column of a text's id. By default _id or id, if the corpus has one of "
    "them, else the number of the row, from 1.",
)
flags.DEFINE_string(
    "index",
    None,
    "Folder of the index. With --corpus it is written, and replaces the index "
    "that is there; without --corpus it is read.",
)
flags.DEFINE_string(
    "queries",
    None,
    "File with a query on each line, beside or in place of "
    "those that are given as arguments.",
)
shared_flags.define_count("top_k", 10, "Texts that are found for each query.")
flags.DEFINE_string(
    "output",
    None,
    "File for the results, a JSON object for each query. By default they are "
    "printed.",
)
flags.DEFINE_bool("json", False, "Print JSON objects in place of lines.")
engine_flags.define()


def main(*texts: str) -> None:
    program.require(*REQUIRED)
    program.require_existing("model", folder=True)
    check_flags(texts)
    # Loading TensorFlow takes seconds, and mistakes are found without it.
    from bert_tf.tools import search_run

    search_run.run(texts)


def check_flags(texts: Sequence[str]) -> None:
    """Raises UserError if there is nothing to do, or flags do not fit.

    Args:
        texts: the queries that are arguments.
    """
    if FLAGS.corpus:
        program.existing_files("corpus")
    elif not FLAGS.index:
        raise UserError("give --corpus, --index, or both")
    else:
        program.require_existing("index", folder=True)
        program.refuse(
            "only with --corpus", "corpus_format", "text_column", "id_column"
        )
    if empty := [text for text in texts if not text.strip()]:
        raise UserError(f"the query {empty[0]!r} is empty: give it a word")
    if FLAGS.queries:
        program.require_existing("queries")
    is_asked = bool(texts or FLAGS.queries)
    if not is_asked and not (FLAGS.corpus and FLAGS.index):
        raise UserError("give a query as an argument, or a file as `queries`")
    if FLAGS.output:
        if not is_asked:
            raise UserError(
                "needs a query", setting="output", value=FLAGS.output
            )
        inputs = [path for path in (FLAGS.corpus, FLAGS.queries) if path]
        program.check_output("output", FLAGS.output, inputs)


if __name__ == "__main__":
    program.run(main, required=REQUIRED, takes_texts=True)
