"""Folders of runs made by hand, from which pages of reports are made."""

import json

import numpy as np

from bert_tf.metrics import reports
from bert_tf.report import stored

EVIL = "<script>alert(1)</script></svg> \"'&\x07$x^2$"
LONG = "word " * 400
LABELS = {
    "single_label": ["ham", EVIL],
    "relation": [f"label {index}" for index in range(24)],
    "multi_label": ["one", EVIL, "three"],
}
NUMBER = 60
# Kind -> the kind of its name in task.json.
KINDS = [*LABELS, "regression", "multiple_choice"]


def make_run(folder, kind, *, known=True, temperature=None):
    """Fills a folder with the files of a run; returns its path.

    Args:
        folder: to be made.
        kind: one of `KINDS`.
        known: whether the labels of the test set are known.
        temperature: for task.json.
    """
    (folder / stored.FOLDER).mkdir(parents=True)
    rng = np.random.default_rng(0)
    labels = LABELS.get(kind)
    task = {"problem": kind}
    if labels:
        task["labels"] = labels
    if kind == "multi_label":
        task["thresholds"] = {"one": 0.3}
    if temperature:
        task["temperature"] = temperature
    write(folder / "task.json", task)
    of_mode = {
        "flags": {
            "task_name": "csv",
            "text_column": EVIL,
            "metric_for_best": M,
        },
        "versions": {"python": "3"},
    }
    evaluations = [
        {"step": step, M: 0.5 + step / 99, "eval_loss": 9 / step}
        for step in (10, 20, 30)
    ]
    train = {
        **of_mode,
        "num_train_steps": 30,
        "seconds": 3700.0,
        "evaluations": evaluations,
    }
    write(
        folder / "train.json",
        {"task_name": "csv", "train": train, "eval": of_mode},
    )
    rows = {name: row_list(rng, kind, folder) for name in ("eval", "test")}
    if not known:
        rows["test"] = [{**row, "label": None} for row in rows["test"]]
    for name, several in rows.items():
        path = folder / stored.FOLDER / f"{name}.jsonl"
        path.write_text("".join(map(stored.to_line, several)), "utf-8")
        if name == "eval" or known:
            report = report_of(kind, labels, several)
            write(folder / f"{name}_report.json", report)
    sets = {
        name: {
            "num_examples": NUMBER,
            "files": [str(folder / f"{EVIL.replace('/', '')}.csv")],
            "labels": {label: 7 for label in labels or ()},
            "lengths": {
                "bin_width": 3,
                "counts": [2, 9, 5, 1],
                "num_measured": 17,
                "num_truncated": 1,
                "longest": 11,
                "mean": 5.0,
                "capacity": 9,
            },
        }
        for name in ("train", "eval", "test")
    }
    data = {"given_flags": ["text_column"], "sets": sets}
    write(folder / stored.FOLDER / stored.DATA, data)
    steps = [
        {
            "step": step,
            "loss": 1 / step,
            "gradient_norm": None if step == 2 else 2.0,
            "learning_rate": 1e-4,
        }
        for step in range(1, 31)
    ]
    text = "".join(map(stored.to_line, steps))
    (folder / stored.FOLDER / stored.STEPS).write_text(text)
    return str(folder)


M = "eval_accuracy"


def write(path, value):
    path.write_text(json.dumps(value), "utf-8")


def row_list(rng, kind, folder):
    """The lines of some examples."""
    rows = []
    for index in range(NUMBER):
        row = {
            "file": str(folder / "data" / f"{EVIL.replace('/', '')}.csv"),
            "line": index + 2,
            "id": f"dev-{index}",
            "text": (EVIL, LONG, "", "a text")[index % 4],
        }
        number = len(LABELS.get(kind, "123"))
        logits = rng.normal(size=number).round(3)
        if kind == "multi_label":
            names = LABELS[kind]
            row["label"] = [
                n for n, x in zip(names, logits, strict=True) if x > 0.5
            ]
        elif kind == "regression":
            row |= {"label": index / 9, "prediction": logits[0]}
        elif kind == "multiple_choice":
            row |= {"endings": [EVIL, "b", "c"][: 2 + index % 2], "label": "1"}
            logits = logits[: 2 + index % 2]
        else:
            row["label"] = LABELS[kind][index % number]
            logits[index % number] += 1.0
        if kind == "relation":
            row["text"] = f"The <e1>cat{EVIL}</e1> sat on <e2>it</e2>."
        if kind != "regression":
            row["logits"] = logits
        rows.append(row)
    return rows


def report_of(kind, labels, rows):
    """What a program writes to eval_report.json."""
    report = {"scores": {M: 0.5, "eval_loss": 0.7}}
    if kind in ("single_label", "relation"):
        ids = np.array([labels.index(row["label"]) for row in rows])
        found = np.array([row["logits"].argmax() for row in rows])
        report |= reports.classification_report(labels, ids, found)
    elif kind == "multi_label":
        truth = np.array([[x in row["label"] for x in labels] for row in rows])
        report |= reports.multi_label_report(labels, truth * 1, truth * 1)
    elif kind == "regression":
        report["scores"] = {"pearson": 0.1, "spearman": 0.2}
    return report
