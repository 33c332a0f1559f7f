"""Small SQuAD files of our own text, and run_squad.py as tests run it."""

import json
import shutil

from support.programs import DEMO, RUN_SQUAD, SMALL_CONFIG

LIGHTHOUSE = (
    "The lighthouse on Gull Rock was built in 1871 by Marta Lindqvist, an "
    "engineer from Bergen.  Its lamp, which burned oil until 1923, could be "
    "seen from 30 miles away (in good weather).\nToday the tower is a museum."
)
BAKERY = (
    "Every morning at four o'clock Mr. O'Hara's bakery opens its ovens. He "
    "sells rye bread, rolls and — on Sundays only — a cake with Crème fraîche."
)
# One that learns some answers by heart, and soon.
CONFIG = {
    **SMALL_CONFIG,
    "hidden_size": 32,
    "intermediate_size": 64,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
# (question id, question, answer), the answer None where there is none.
LIGHTHOUSE_QUESTIONS = [
    ("light-0", "Who built the lighthouse?", "Marta Lindqvist"),
    ("light-1", "When was it built?", "1871"),
    ("light-2", "How far could the lamp be seen?", "30 miles"),
    ("light-3", "Who bought the lighthouse?", None),
]
BAKERY_QUESTIONS = [
    ("bake-0", "When do the ovens open?", "four o'clock"),
    ("bake-1", "Whose bakery is it?", "Mr. O'Hara"),
    ("bake-2", "What is sold on Sundays only?", "a cake with Crème fraîche"),
    ("bake-3", "What does the cake cost?", None),
]


def question(qas_id, text, answer, context, version):
    answers = []
    if answer is not None:
        answers = [{"text": answer, "answer_start": context.index(answer)}]
    entry = {"id": qas_id, "question": text, "answers": answers}
    if version == 2:
        entry["is_impossible"] = answer is None
    return entry


def paragraph(context, questions, version=1):
    return {
        "context": context,
        "qas": [
            question(*entry, context, version)
            for entry in questions
            if version == 2 or entry[2] is not None
        ],
    }


def squad_data(version=1):
    return {
        "version": "v2.0" if version == 2 else "1.1",
        "data": [
            {
                "title": "Coast",
                "paragraphs": [
                    paragraph(LIGHTHOUSE, LIGHTHOUSE_QUESTIONS, version)
                ],
            },
            {
                "title": "Bread",
                "paragraphs": [paragraph(BAKERY, BAKERY_QUESTIONS, version)],
            },
        ],
    }


def one_question(context, text="Who?", **changes):
    """A file's data, with one question on one context."""
    entry = {"id": "q", "question": text, "answers": [], **changes}
    entry = {name: value for name, value in entry.items() if value is not None}
    return {"data": [{"paragraphs": [{"context": context, "qas": [entry]}]}]}


def write_json(path, data):
    path.write_text(json.dumps(data), encoding="utf-8")
    return str(path)


def make_folder(folder, version=1):
    """Fills a folder with a small SQuAD file and a small model's files."""
    write_json(folder / "squad.json", squad_data(version))
    shutil.copy(DEMO / "demo" / "vocab.txt", folder)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


def arguments(folder, **changes):
    values = {
        "train_file": str(folder / "squad.json"),
        "predict_file": str(folder / "squad.json"),
        "vocab_file": str(folder / "vocab.txt"),
        "bert_config_file": str(folder / "config.json"),
        "output_dir": str(folder / "out"),
        "max_seq_length": 48,
        "doc_stride": 16,
        "max_query_length": 12,
        "train_batch_size": 4,
        "num_train_epochs": 2.0,
        "learning_rate": 1e-3,
        **changes,
    }
    return {name: v for name, v in values.items() if v is not None}


def run(folder, **changes):
    RUN_SQUAD.run(**arguments(folder, **changes))
