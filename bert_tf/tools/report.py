"""Makes the page of a run again, or one page that compares several runs.

    python -m bert_tf.tools.report DIR
    python -m bert_tf.tools.report DIR DIR… --output=comparison.html
    python -m bert_tf.tools.report FOLDER_OF_SEVERAL_RUNS

Programs write DIR/report.html at their end. This tool makes it from the files
in the folder alone: neither the data nor the model is needed. The runs of a
comparison must be of one task.
"""

from absl import flags

from bert_tf.errors import UserError
from bert_tf.programs import program
from bert_tf.report import run_folders, stored

FLAGS = flags.FLAGS
COMPARISON = "comparison.html"

flags.DEFINE_string(
    "output",
    None,
    "HTML file to write. Default: report.html in the folder of the run; of "
    f"several runs {COMPARISON} in the current folder.",
)


def main(*folders: str) -> None:
    if not folders:
        raise UserError("name the folder of a run, --output_dir of its program")
    for folder in folders:
        if not run_folders.is_of_several(folder):
            stored.check_folder(folder)
    # Slow to import, and not needed for --help.
    from bert_tf.report import writing

    if len(folders) == 1:
        print(writing.write_page(folders[0], FLAGS.output))
    else:
        path = FLAGS.output or COMPARISON
        print(writing.write_comparison(folders, path))


if __name__ == "__main__":
    program.run(main, takes_texts=True)
