"""Says what is wrong with a command before it runs.

    python -m bert_tf.tools.doctor run_classifier.py --task_name=csv \\
        --train_file=mails.csv --dev_fraction=0.1 --do_train --do_eval \\
        --output_dir=/tmp/mails

Put it before the command of run_classifier.py, run_squad.py or
run_pretraining.py. It reads the files as the program would, and writes
nothing. It looks at the model's files, texts, labels, duplicates, the output
folder, the devices and the memory. docs/doctor.md explains each finding.

The status is 1 when the run cannot work, and 0 otherwise. --measure_steps=5
trains five steps, and says how long an epoch takes. --find_label_errors trains
models on parts of the training file, and writes a table of the rows whose label
is probably wrong.
"""

import importlib
import json
import os
import re
import sys

from absl import flags

from bert_tf import suggestions
from bert_tf.errors import UserError
from bert_tf.programs import flags as shared_flags
from bert_tf.programs import program

FLAGS = flags.FLAGS
_PYTHON = re.compile(r"python[\d.]*")
# The programs, by the names with which people start them.
PROGRAMS = {
    "run_classifier": "run_classifier",
    "bert-classifier": "run_classifier",
    "run_squad": "run_squad",
    "bert-squad": "run_squad",
    "run_pretraining": "run_pretraining",
    "bert-pretraining": "run_pretraining",
}

flags.DEFINE_bool("json", False, "Print the findings as one JSON object.")
shared_flags.define_count(
    "measure_steps",
    0,
    "Train this many steps from random weights, which are thrown away, to say "
    "how long an epoch takes and how much memory it needs.",
    lower_bound=0,
)
flags.DEFINE_bool(
    "find_label_errors",
    False,
    "Find training rows whose label is probably wrong, by models that were "
    "trained on the other rows: run_classifier.py with one label for each "
    "text. It takes several trainings.",
)
flags.DEFINE_string(
    "label_errors_file",
    "label_errors.tsv",
    "Where --find_label_errors writes its table. What it has computed is kept "
    "in a folder with this name and `.folds`, so that the same command "
    "continues where it was stopped.",
)
shared_flags.define_count(
    "label_error_folds",
    5,
    "Parts into which --find_label_errors divides the training rows.",
    lower_bound=2,
)
shared_flags.define_count(
    "label_error_seeds",
    2,
    "Models that answer each row for --find_label_errors; more are surer.",
)


def take_program(arguments: list[str]) -> str | None:
    """Takes the program out of a command line, and defines its flags.

    It is the first word that is not a flag; `python` and `--` before it are
    left out.

    Args:
        arguments: those of the process; the program is removed. Where it is
            unknown or missing, all are removed: no flag of them is known.

    Returns:
        The name of its module, or the unknown word; None where no word is
        given.
    """
    if arguments[:1] == ["--"]:
        del arguments[0]
    places = [i for i, a in enumerate(arguments) if not a.startswith("-")]
    if places and _PYTHON.fullmatch(os.path.basename(arguments[places[0]])):
        del arguments[places[0]]
        places = [place - 1 for place in places[1:]]
    if not places:
        if not any(word.lstrip("-").startswith("help") for word in arguments):
            arguments.clear()
        return None
    word = arguments.pop(places[0])
    name = os.path.basename(word).removesuffix(".py")
    if name not in PROGRAMS:
        arguments.clear()
        return word
    importlib.import_module(PROGRAMS[name])
    return PROGRAMS[name]


def main() -> None:
    if checked is None:
        raise UserError(
            "name the program first, such as `python -m bert_tf.tools.doctor "
            "run_classifier.py --task_name=…`: one of run_classifier.py, "
            "run_squad.py, run_pretraining.py"
        )
    if checked not in PROGRAMS:
        files = [f"{name}.py" for name in dict.fromkeys(PROGRAMS.values())]
        raise UserError(
            f"{checked!r}: no such program; known are {', '.join(files)}"
            f"{suggestions.hint(checked, files, form='{}')}"
        )
    from bert_tf.doctor.findings import is_fatal, to_text
    from bert_tf.tools import doctor_run

    findings = doctor_run.examine(checked, FLAGS.measure_steps)
    if FLAGS.json:
        objects = [f.to_json(doctor_run.name_flags) for f in findings]
        status = "error" if is_fatal(findings) else "ok"
        print(json.dumps({"status": status, "findings": objects}, indent=2))
    else:
        print(to_text(findings, doctor_run.name_flags))
    if is_fatal(findings):
        sys.exit(1)
    if FLAGS.find_label_errors:
        from bert_tf.tools import doctor_labels

        doctor_labels.find(
            checked,
            FLAGS.label_errors_file,
            FLAGS.label_error_folds,
            FLAGS.label_error_seeds,
        )


checked: str | None = None  # The program whose command is looked at.

if __name__ == "__main__":
    words = sys.argv[1:]
    checked = take_program(words)
    sys.argv[1:] = words
    program.run(main)
