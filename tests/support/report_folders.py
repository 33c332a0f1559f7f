"""Folders of runs on questions, tags and pretraining, made by hand."""

import json

from bert_tf.report import stored
from support.report_runs import EVIL

# "squad" is SQuAD 2.0; the others are named after their kind.
OTHER_KINDS = ["squad", "tags", "pretraining"]
STEPS = [
    {"step": n, "loss": 3 / n, "gradient_norm": 1.0, "learning_rate": 1e-4}
    for n in range(1, 11)
]
# Characters of 2, 3 and 4 bytes before the answers.
CONTEXT = f"Zürich 東京 😀 {EVIL} was built by Marta Nilsson in 1871 ."


def make_other(folder, kind, rows=None, **changes):
    """Fills a folder with the files of a run; returns its path.

    Args:
        folder: to be made.
        kind: one of `OTHER_KINDS`.
        rows: {name: lines}; default: those of `ROWS`.
        **changes: flags of its training, and "scores", those of its dev set.
    """
    (folder / stored.FOLDER).mkdir(parents=True)
    scores = changes.pop("scores", {"f1": 50.0, "exact": 40.0})
    if kind == "pretraining":
        scores = {"masked_lm_accuracy": 0.3, "masked_lm_perplexity": 9.0}
    flags = {
        "max_seq_length": 16,
        "predict_file": f"/data/{EVIL.replace('/', '')}.json",
        "null_score_diff_threshold": 0.0,
        "learning_rate": 1e-4,
        "seed": 1,
        "output_dir": str(folder),
        **changes,
    }
    mode = {"flags": flags, "working_folder": "/data"}
    dev = [{"step": n, **scores} for n in (5, 10)]
    record = {
        "task_name": "ner" if kind == "tags" else kind,
        "train": {**mode, "num_train_steps": 10, "evaluations": dev},
        "eval": {**mode, "results": scores},
    }
    (folder / "train.json").write_text(json.dumps(record), "utf-8")
    if kind == "tags":
        task = {"problem": "tags", "labels": ["O", "B-PER", "I-PER", "B-LOC"]}
        (folder / "task.json").write_text(json.dumps(task), "utf-8")
    files = {"steps": STEPS, **(ROWS[kind] if rows is None else rows)}
    for name, lines in files.items():
        path = folder / stored.FOLDER / f"{name}.jsonl"
        path.write_text("".join(map(stored.to_line, lines)), "utf-8")
    return str(folder)


def place(text, context=CONTEXT):
    start = context.index(text)
    return [start, start + len(text)]


def question(qas_id, text, gold, predicted, **changes):
    """A line of a question; "" stands for no answer."""
    is_right = float(gold == predicted)
    return {
        "id": qas_id,
        "place": "data[0].paragraphs[0].qas[0]",
        "question": text,
        "context": 0,
        "predicted": predicted,
        "predicted_at": place(predicted) if predicted else None,
        "best_text": predicted,
        "null_odds": -1.0 if predicted else 1.0,
        "question_tokens": 4,
        "context_tokens": 9,
        "windows": 1,
        "probability": 0.75,
        "gold": [gold] if gold else [],
        "gold_at": place(gold) if gold else None,
        "exact": is_right,
        "f1": is_right,
        **changes,
    }


def sentence(words, label, predicted, **changes):
    """A line of tagged words; tags are separated by spaces."""
    return {
        "id": "dev-0",
        "words": words,
        "label": label if label is None else label.split(),
        "predicted": predicted.split(),
        "scores": [0.9] * len(words),
        **changes,
    }


QUESTIONS = [
    question("q1", f"Who built {EVIL}?", "Marta Nilsson", "Nilsson", f1=0.67),
    question("q2", "When was it built?", "1871", "Marta Nilsson"),
    question("q3", "How many doors?", "", "1871"),
    question("q4", "Why was it built?", "1871", ""),
    question("q5", "When did they build it?", "1871", "1871"),
    question(
        "q6", "Where?", "", "", context_tokens=900, windows=9, exact=1.0, f1=1.0
    ),
]
WORDS = ["Zoë", EVIL, "lives", "in", "東京", "."]
SENTENCES = [
    sentence(WORDS, "B-PER I-PER O O B-LOC O", "B-PER O O O B-PER O"),
    sentence(WORDS, "B-PER I-PER O O B-LOC O", "B-PER I-PER O O B-LOC O"),
    sentence(WORDS, "B-PER I-PER O O O O", "B-PER I-PER O O B-LOC O"),
]
TOKENS = ["[CLS]", "the", EVIL, "[MASK]", "##s", "[SEP]", "it", "[SEP]"]
RECORD = {
    "id": 0,
    "tokens": TOKENS,
    "second": 6,
    "masked": [
        {"at": 3, "piece": "cat", "best": [["dog", 0.5], [EVIL, 0.25]]},
        {"at": 6, "piece": "it", "best": [["it", 0.75], ["he", 0.25]]},
    ],
    "label": 0,
    "predicted": 1,
    "probability": 0.625,
}
PAIRS = [
    {"piece": "the", "predicted": "the", "count": 6},
    {"piece": "the", "predicted": EVIL, "count": 2},
    {"piece": "cat", "predicted": "dog", "count": 2},
]
ROWS = {
    "squad": {
        "eval": QUESTIONS,
        "contexts": [{"context": 0, "text": CONTEXT}],
    },
    "tags": {"eval": SENTENCES},
    "pretraining": {"eval": [RECORD], "masked": PAIRS},
}
