"""Small files of each kind of labelled text, and flags that read them.

As a program it runs the kinds of a folder on two replicas, which a process
can only have from its start:

    python labelled_files.py FOLDER KIND…
"""

import csv
import functools
import json
import pathlib
import random
import sys

import tensorflow as tf

from bert_tf.training import distribution
from support.programs import RUN_CLASSIFIER, arguments, make_folder

WORDS = "call home free prize now win you are late bread milk tea".split()
NUM_ROWS = {"train": 48, "dev": 13, "test": 11}
# {kind: flags}; the files are found by their kind.
KINDS = {
    "single_label": {"task_name": "csv", "text_pair_column": "pair"},
    "multi_label": {
        "task_name": "jsonl",
        "problem_type": "multi_label",
        "label_column": "topics",
    },
    "regression": {
        "task_name": "tsv",
        "problem_type": "regression",
        "label_column": "number",
        "id_column": "key",
    },
    "windows": {
        "task_name": "csv",
        "long_documents": "windows",
        "max_windows": 3,
        "window_pooling": "max",
        "classifier_hidden": 8,
    },
    "ner": {"task_name": "ner"},
    "swag": {"task_name": "swag"},
    "relations": {"task_name": "relations"},
}
ENDINGS = {
    "multi_label": "jsonl",
    "regression": "tsv",
    "ner": "conll",
    "relations": "jsonl",
}


def flags_of(kind, folder, **changes):
    """Flags of a run in the folder, which `make` has filled."""
    ending = ENDINGS.get(kind, "csv")
    files = {
        f"{name}_file": str(folder / f"{kind}-{name}.{ending}")
        for name in NUM_ROWS
    }
    return arguments(
        folder,
        **{
            "data_dir": None,
            "output_dir": str(folder / kind),
            "metric_for_best": None,
            **files,
            **KINDS[kind],
            **changes,
        },
    )


def checkpoint_of(kind, folder):
    """The prefix of the newest checkpoint of a run, for --init_checkpoint."""
    return tf.train.latest_checkpoint(str(folder / kind))


def make(folder):
    make_folder(folder)
    for kind in KINDS:
        for index, (name, number) in enumerate(NUM_ROWS.items()):
            rng = random.Random(index)
            rows = [row_of(rng, place) for place in range(number)]
            path = folder / f"{kind}-{name}.{ENDINGS.get(kind, 'csv')}"
            path.write_text(TEXTS[kind](rows), encoding="utf-8", newline="")
    return folder


def row_of(rng, place):
    """A text of any length, and something to know about it."""
    words = rng.choices(WORDS, k=rng.randint(1, 30))
    return {
        "text": " ".join(words),
        "pair": " ".join(rng.choices(WORDS, k=rng.randint(0, 9))),
        "label": "spam, or so" if "free" in words else 'a "ham"',
        "topics": [w for w in ("free", "home") if w in words],
        "number": len(words) * 1000.0,
        "key": f"row {place}",
    }


def as_csv(rows, delimiter=","):
    class Writer(list):
        write = list.append

    lines = Writer()
    writer = csv.DictWriter(lines, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return "".join(lines)


def as_tsv(rows):
    columns = ("text", "number", "key")
    lines = [columns, *([str(row[c]) for c in columns] for row in rows)]
    return "".join("\t".join(line) + "\n" for line in lines)


def as_jsonl(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def as_conll(rows):
    """Sentences, some of them longer than a window."""
    lines = ["-DOCSTART- O", ""]
    for row in rows:
        for word in row["text"].split():
            tag = {"free": "B-OFFER", "prize": "I-OFFER"}.get(word, "O")
            lines.append(f"{word} {tag}")
        lines.append("")
    return "\n".join(lines)


def as_swag(rows):
    found = []
    for index, row in enumerate(rows):
        endings = [row["text"], row["pair"] + " tea", "free prize"]
        if index % 3 == 0:
            endings[2] = ""  # Two endings only.
        names = [f"ending{i}" for i in range(3)]
        found.append(
            {
                "sent1": row["text"],
                "sent2": "you",
                **dict(zip(names, endings, strict=True)),
                "label": index % 2,
            }
        )
    return as_csv(found)


def as_relations(rows):
    """Two words of each text, some of them far apart, in either order."""
    found = []
    for index, row in enumerate(rows):
        text = f"late {row['text']} tea"
        spans = [[0, 4], [len(text) - 3, len(text)]][:: (-1) ** index]
        label = ("Other", "X(e1,e2)", "X(e2,e1)")[index % 3]
        found.append(
            {"text": text, "e1": spans[0], "e2": spans[1], "label": label}
        )
    return as_jsonl(found)


TEXTS = {
    "single_label": as_csv,
    "multi_label": as_jsonl,
    "regression": as_tsv,
    "windows": as_csv,
    "ner": as_conll,
    "swag": as_swag,
    "relations": as_relations,
}


if __name__ == "__main__":
    # Two strategies in one process would mix up their collective operations.
    distribution.make_strategy = functools.cache(distribution.make_strategy)
    directory = pathlib.Path(sys.argv[1])
    for name in sys.argv[2:]:
        given = flags_of(
            name,
            directory,
            output_dir=str(directory / f"{name}-two"),
            cpu_replicas=2,
            predict_batch_size=4,
            num_train_epochs=0.5,
            write_tf_records=True,
        )
        RUN_CLASSIFIER.run(**given, do_train=True, do_eval=True)
        given["init_checkpoint"] = checkpoint_of(name, directory)
        given["output_dir"] = str(directory / f"{name}-two-predict")
        RUN_CLASSIFIER.run(**given, do_predict=True)
