"""FineTuned: a run's folder, as Python sees it."""

import html
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bert_tf import files
from bert_tf.counts import format_score
from bert_tf.errors import UserError
from bert_tf.fine_tuning import engine
from bert_tf.programs import run_record, run_table

EXPORT = "export"
REPORT = "report.html"
LABELS = "labels.txt"
MODEL = "saved_model.pb"  # Every SavedModel has this file.
FRAME_HEIGHT = 600  # Height of a report in a notebook, in pixels.


class ReportPage(str):
    """The path of a report, which a notebook shows as the page itself."""

    def _repr_html_(self) -> str:
        page = html.escape(files.read_text(self), quote=True)
        return (
            f'<iframe srcdoc="{page}" width="100%" height="{FRAME_HEIGHT}" '
            'style="border: 0"></iframe>'
        )


class FineTuned:
    """A model that was fine-tuned: by `fine_tune`, or by a program.

        model = bert_tf.FineTuned("/tmp/tickets")
        model.scores["eval_accuracy"]
        model.predict(["where is my parcel?"])

    Args:
        folder: the folder of the run, `output_dir`; or one with several runs,
            of seeds or of a grid, whose best run is meant.

    Attributes:
        output_dir: the folder that was given.
        run_dir: the folder of the run: of several the best one.
        task: the name of its task; "squad" for questions.

    Raises:
        UserError: the folder holds no run, or its train.json is damaged.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.output_dir = os.fspath(folder)
        best = run_table.best_folder(self.output_dir)
        self.run_dir = os.path.join(self.output_dir, best or "").rstrip("/")
        self._record = run_record.read(self.run_dir)
        if "train" not in self._record:
            raise UserError(f"{self.output_dir}: holds no run")
        self.task: str = self._record["task_name"]
        self._predictor: Any = None

    def __repr__(self) -> str:
        shown = ", ".join(f"{k} {v}" for k, v in self._shown_scores())
        return f"<FineTuned {self.task} in {self.output_dir}: {shown or '–'}>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{value}</td></tr>"
            for name, value in self._shown_scores()
        )
        where = html.escape(self.output_dir)
        return f"<table><caption>{self.task}, {where}</caption>{rows}</table>"

    def _shown_scores(self) -> Iterator[tuple[str, str]]:
        for name, value in sorted(self.scores.items()):
            is_whole = isinstance(value, int)
            yield name, str(value) if is_whole else format_score(value)

    @property
    def scores(self) -> dict[str, Any]:
        """{metric: number} on the dev set; {} if nothing was evaluated."""
        return dict(self._record.get("eval", {}).get("results") or {})

    @property
    def settings(self) -> dict[str, Any]:
        """{setting: value} of the training, those that were chosen too."""
        return dict(run_record.flags_of(self._record, ["train"]))

    @property
    def labels(self) -> list[str] | None:
        """The labels, in the model's order; None if the task has none."""
        path = os.path.join(self.run_dir, LABELS)
        return (
            files.read_text(path).splitlines() if files.exists(path) else None
        )

    @property
    def report(self) -> ReportPage | None:
        """The path of report.html; None without matplotlib."""
        for folder in (self.output_dir, self.run_dir):
            path = os.path.join(folder, REPORT)
            if files.exists(path):
                return ReportPage(path)
        return None

    def predict(self, items: Iterable[object]) -> list[dict[str, Any]]:
        """Answers items with the model.

        The first call exports the model to `output_dir`/export, unless it is
        there, and loads it.

        Args:
            items: texts; (text, text_pair) for pairs; (question, context) for
                questions; or a DataFrame with the columns of the training.

        Returns:
            An answer for each item, see `bert_tf.export.kinds`, such as
            {"label": "spam", "score": 0.99, "probabilities": {…}}.

        Raises:
            UserError: an item is not what the model reads.
        """
        if self._predictor is None:
            from bert_tf.export import Predictor

            self._predictor = Predictor(self._exported())
        if isinstance(items, str | Mapping):  # One item is meant.
            items = [items]
        elif hasattr(items, "iterrows"):
            items = self._items_of(items)
        answers: list[dict[str, Any]] = self._predictor.predict(items)
        return answers

    def export(
        self,
        folder: str | os.PathLike[str],
        *,
        verbose: bool = False,
        **settings: Any,
    ) -> str:
        """Writes the model as a SavedModel that takes raw text.

        Args:
            folder: the SavedModel's; one that is there is replaced.
            verbose: whether lines tell what is done.
            **settings: of the export, such as `export_int8=True` and
                `export_precision="bfloat16"`; see docs/serving.md.

        Returns:
            The folder.

        Raises:
            UserError: a setting is wrong, or the folder cannot be written.
        """
        folder = os.fspath(folder)
        given = {"export_dir": folder, "output_dir": self.run_dir}
        for name in given:
            if name in settings:
                raise UserError("is `folder` here", setting=name)
        engine.run(engine.EXPORT, {**given, **settings}, verbose=verbose)
        return folder

    def _exported(self) -> str:
        """The folder of the run's export, which is made if need be."""
        folder = os.path.join(self.output_dir, EXPORT)
        model = os.path.join(folder, MODEL)
        if not files.exists(model) or _changed(model) < max(
            map(_changed, self._checkpoints()), default=0.0
        ):
            self.export(folder)
        return folder

    def _checkpoints(self) -> Iterator[str]:
        """The files of the run's checkpoints."""
        for folder in (self.run_dir, os.path.join(self.run_dir, "best")):
            if files.is_folder(folder):
                for name in files.entries(folder):
                    if name.endswith(".index"):
                        yield os.path.join(folder, name)

    def _items_of(self, table: Any) -> Iterator[object]:
        """The items of a DataFrame: what the model reads, row by row."""
        names = self._predictor.input_names
        columns = [
            self.settings.get(f"{name}_column") or name for name in names
        ]
        columns = [name for name in columns if name in table.columns]
        if not columns:
            raise UserError(
                f"the table has none of the columns that the model reads: "
                f"{', '.join(names)}"
            )
        for values in table[columns].itertuples(index=False, name=None):
            yield values[0] if len(values) == 1 else values


def _changed(path: str) -> float:
    """When a file was written."""
    return 0.0 if files.is_remote(path) else os.path.getmtime(path)
