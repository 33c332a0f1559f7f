"""Finds training rows whose label is probably wrong, and writes them down."""

from collections.abc import Sequence

import numpy as np
from absl import flags

from bert_tf import files
from bert_tf.counts import number_of
from bert_tf.doctor import label_errors
from bert_tf.doctor import rows as row_sets
from bert_tf.errors import UserError
from bert_tf.programs import console, program
from bert_tf.programs.cross_validation import Folds

FLAGS = flags.FLAGS
HEADER = ("place", "label", "likely_label", "score", "is_error", "text")


def find(program_name: str, path: str, num_folds: int, num_seeds: int) -> None:
    """Writes a table of all training rows, the least likely label first.

    Args:
        program_name: of the command that is looked at.
        path: of the table; `path`.folds is a folder for what is computed.
        num_folds: parts of the training rows.
        num_seeds: models that answer each row.

    Raises:
        UserError: the command has not one label for each text, or the file
            cannot be written.
    """
    if program_name != "run_classifier":
        raise UserError(
            "only for run_classifier.py, with one label for each text",
            setting="find_label_errors",
            value=True,
        )
    inputs = [FLAGS.train_file] if FLAGS.train_file else []
    program.check_output("label_errors_file", path, inputs)
    folds = Folds(f"{path}.folds", num_folds, num_seeds)
    answers = folds.answers()
    found = label_errors.find(
        answers.probabilities, answers.margins, folds.label_ids
    )
    rows = row_sets.of_examples(folds.source, "train", folds.problem.kind)
    write(path, rows, found, folds.labels)
    number = int(np.sum(found.is_error))
    console.show(
        "Written",
        f"{path}: {number_of(number, 'row')} of {len(rows):,} with a label "
        "that is probably wrong; the file has all rows, the least likely "
        "label first",
    )


def write(
    path: str,
    rows: row_sets.RowSet,
    found: label_errors.LabelErrors,
    labels: Sequence[str],
) -> None:
    """Writes the table of all rows.

    Args:
        path: of the file, tab-separated with a header.
        rows: the training rows.
        found: of `label_errors.find`.
        labels: the names of the labels.
    """
    with files.writing_text(path) as writer:
        writer.write("\t".join(HEADER) + "\n")
        for row in found.order.tolist():
            text = rows.texts[row]
            if rows.pairs is not None:
                text = f"{text} ||| {rows.pairs[row]}"
            cells = (
                rows.place(row),
                rows.labels[row],
                labels[found.likely[row]],
                f"{found.scores[row]:.4f}",
                int(found.is_error[row]),
                text,
            )
            line = "\t".join(" ".join(str(cell).split()) for cell in cells)
            writer.write(line + "\n")
