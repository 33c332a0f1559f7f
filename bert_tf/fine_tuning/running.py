"""fine_tune: the programs' training as a function."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

from bert_tf import choices, files, suggestions
from bert_tf.errors import UserError
from bert_tf.fine_tuning import engine
from bert_tf.fine_tuning.result import FineTuned
from bert_tf.fine_tuning.rows import FOLDER, RowSet, task_of

DEV_FRACTION = 0.1  # Share of the rows, where no dev set is given.
_SQUAD = "squad"
# Flags of the programs that are arguments here.
_ARGUMENTS = {
    "data_dir": "data",
    "dev_file": "dev",
    "predict_file": "dev",
    "task_name": "task",
    "test_file": "test",
    "train_file": "data",
}


def fine_tune(
    data: Any = None,
    *,
    output_dir: str | os.PathLike[str],
    task: str | None = None,
    pretrained: str | os.PathLike[str] | None = None,
    dev: Any = None,
    test: Any = None,
    verbose: bool = True,
    **settings: Any,
) -> FineTuned:
    """Fine-tunes BERT on texts of your own, and evaluates it.

        import bert_tf

        rows = [("where is my parcel?", "delivery"), ("a refund!", "billing")]
        model = bert_tf.fine_tune(rows, output_dir="/tmp/tickets", dev=rows)
        model.scores["eval_accuracy"]
        model.predict(["the parcel is late"])[0]["label"]

    It is run_classifier.py, or for questions run_squad.py, as a function: the
    same training, settings and files. So a command can continue, evaluate,
    export or serve `output_dir`, and `FineTuned(output_dir)` opens it again.
    The same call, given again, resumes or only evaluates. The process keeps
    its flags, log, random numbers and handlers of signals.

    Args:
        data: what to train on: a DataFrame, a list of dicts or of (text,
            label) or (text, text_pair, label), {column: values}, or the path
            of a file of any format of docs/files.md. Of a published task it is
            the folder of its files. It may be left out for `task="sms"`.
        output_dir: folder of the run. Rows are stored in it, too.
        task: what is asked, as --task_name has it, or "squad". By default the
            file's ending or the columns decide: labels for texts, tags for
            words, endings, relations, or answers to questions.
        pretrained: the model to start from: a name such as
            "bert-base-uncased", or a folder. By default it is the bundled
            model, which is small: enough to try your data out.
        dev: what to evaluate on, as `data`. By default it is a tenth of the
            rows; `dev_fraction=0` evaluates nothing. Questions have no
            default.
        test: what to predict, as `data`; the file test_predictions.tsv in
            `output_dir` gets the answers.
        verbose: whether lines tell what is done, and not warnings alone.
        **settings: every flag of the program by its name, such as
            `max_seq_length=64`, `num_train_epochs=2`, `do_export=True`,
            `problem_type="multi_label"`; `python run_classifier.py --help`
            lists them. `teacher` may be a `FineTuned`.

    Returns:
        The run: its scores, report and model.

    Raises:
        UserError: a setting does not exist, or data or a setting cannot be
            used. It is a ValueError. Nothing is left in `output_dir` if no
            training has begun.
        KeyboardInterrupt: somebody stopped it; a checkpoint is written before.
    """
    folder = os.fspath(output_dir)
    for name in settings:
        if name in _ARGUMENTS:
            raise UserError(f"{name}: is the argument {_ARGUMENTS[name]} here")
    if settings.get("do_train", True) is not True:
        raise UserError(
            "this trains; FineTuned uses a run",
            setting="do_train",
            value=settings["do_train"],
        )
    sets = {
        name: RowSet.of(rows, argument)
        for argument, name, rows in (
            ("data", "train", data),
            ("dev", "dev", dev),
            ("test", "test", test),
        )
        if rows is not None
    }
    if isinstance(teacher := settings.get("teacher"), FineTuned):
        settings["teacher"] = teacher.run_dir
    program, of_data = _of_data(sets, task, folder, settings)
    values = {
        **of_data,
        "do_train": True,
        "output_dir": folder,
        "pretrained": pretrained,
        **settings,
    }
    with _stored(sets, folder):
        engine.run(program, values, verbose=verbose)
    return FineTuned(folder)


def _of_data(
    sets: Mapping[str, RowSet],
    task: str | None,
    folder: str,
    settings: Mapping[str, Any],
) -> tuple[str, dict[str, Any]]:
    """Decides which program runs, and which settings the data are for it.

    Args:
        sets: {"train", "dev" or "test": rows}.
        task: what was asked for.
        folder: the run's.
        settings: those that were given.

    Returns:
        (program, {setting: value}).
    """
    train = sets.get("train")
    if train is None and task is None:
        raise UserError("must be given, or `task`", setting="data")
    task = task or task_of(train or RowSet())
    paths = {name: rows.file_in(folder, name) for name, rows in sets.items()}
    if _is_squad(task):
        return "run_squad", _of_questions(paths)
    known = choices.known_task(task, (*choices.TASKS, _SQUAD))
    values: dict[str, Any] = {"task_name": known}
    if "data_dir" in choices.TASKS[known]:
        if {*sets} - {"train"}:
            raise UserError(
                f"task={known}: reads all its sets from one folder, `data`"
            )
        return "run_classifier", {
            **values,
            "data_dir": paths.get("train"),
            "do_eval": True,
        }
    if train is None:
        raise UserError("must be given", setting="data")
    fraction = settings.get("dev_fraction", 0 if "dev" in sets else None)
    if fraction is None:
        fraction = values["dev_fraction"] = DEV_FRACTION
    return "run_classifier", {
        **values,
        **{f"{name}_file": path for name, path in paths.items()},
        "do_eval": "dev" in sets or fraction > 0,
        "do_predict": "test" in sets,
    }


def _of_questions(paths: Mapping[str, str]) -> dict[str, Any]:
    """The settings of run_squad for the files of the sets."""
    if "test" in paths:
        raise UserError(
            "not for questions: `predict` of the result answers them",
            setting="test",
        )
    return {
        "train_file": paths.get("train"),
        "predict_file": paths.get("dev"),
        "do_eval": "dev" in paths,
    }


def _is_squad(task: str) -> bool:
    word = suggestions.words_of(task).rstrip("0123456789_v")
    program = choices.OTHER_PROGRAMS.get(word, "")
    return program.startswith("run_squad")


@contextlib.contextmanager
def _stored(sets: Mapping[str, RowSet], folder: str) -> Iterator[None]:
    """Writes rows to files of the run, which go away if it does not begin.

    Raises:
        UserError: the folder holds a run on other rows.
    """
    written = {
        rows.file_in(folder, name): rows.text
        for name, rows in sets.items()
        if not rows.path
    }
    is_new = not files.exists(folder)
    has_run = not is_new and {*files.entries(folder)} - {FOLDER}
    for path, text in written.items():
        if not has_run or not files.exists(path):
            continue
        if files.read_text(path) != text.removesuffix("\n"):
            raise UserError(
                "holds a run on other rows; name another folder",
                setting="output_dir",
                value=folder,
            )
    made = [path for path in written if not files.exists(path)]
    try:
        for path, text in written.items():
            files.make_folder_of(path)
            files.write_text(path, text)
        yield
    except BaseException:
        if not files.exists(folder) or not {*files.entries(folder)} - {FOLDER}:
            for path in made:
                files.remove_if_there(path)
            _remove_if_empty(os.path.join(folder, FOLDER))
            if is_new:
                _remove_if_empty(folder)
        raise


def _remove_if_empty(folder: str) -> None:
    with contextlib.suppress(OSError):
        os.rmdir(folder)
