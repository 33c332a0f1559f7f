"""The doctor names planted faults, and has nothing to say of good data."""

import json
import pathlib
import random
import sys

import numpy as np
import pytest
from support import squad_files
from support.common import json_lines, shared
from support.programs import (
    DEMO,
    RUN_CLASSIFIER,
    RUN_SQUAD,
    SMALL_CONFIG,
    run_here,
)

from bert_tf import checkpoints, training
from bert_tf.config import BertConfig
from bert_tf.data import processor
from bert_tf.doctor import findings as doctor_findings
from bert_tf.formats.encoder_shapes import encoder_shapes
from bert_tf.programs import run_folder
from bert_tf.tools import doctor_labels, doctor_run

NUM_TRAIN, NUM_DEV = 200, 60
VOCAB = (DEMO / "demo" / "vocab.txt").read_text("utf-8").split("\n")
WORDS = [word for word in VOCAB if word.isalpha() and word.isascii()][:2000]
LABELS = ("ham", "spam")


class Planted:
    """Files of a command that is as it should be, to plant a fault in.

    Attributes:
        rows: {"train", "dev": [[text, label], …]}.
        vocab: the tokens of the vocabulary.
        config: of the model.
        flags: {flag: value} of the command.
    """

    def __init__(self, folder):
        draw = random.Random(1)
        self.folder = folder
        self.rows = {
            name: [
                [" ".join(draw.choices(WORDS, k=12)), LABELS[row % 2]]
                for row in range(number)
            ]
            for name, number in (("train", NUM_TRAIN), ("dev", NUM_DEV))
        }
        self.vocab, self.config = list(VOCAB), dict(SMALL_CONFIG)
        self.shapes = encoder_shapes(BertConfig(**SMALL_CONFIG))
        self.flags = {
            "task_name": "csv",
            "text_column": "text",
            "label_column": "label",
            "train_file": str(folder / "train.jsonl"),
            "dev_file": str(folder / "dev.jsonl"),
            "vocab_file": str(folder / "vocab.txt"),
            "bert_config_file": str(folder / "config.json"),
            "init_checkpoint": str(folder / "model.ckpt"),
            "output_dir": str(folder / "out"),
            "do_train": True,
            "do_eval": True,
            "max_seq_length": 32,
        }
        self.flags["task_name"] = "jsonl"

    def change(self, **flags):
        self.flags |= flags

    def texts(self, name, rows, change):
        """Changes the texts of some rows of a set."""
        for row in rows:
            self.rows[name][row][0] = change(self.rows[name][row][0])

    def write(self):
        for name, rows in self.rows.items():
            objects = [{"text": text, "label": label} for text, label in rows]
            (self.folder / f"{name}.jsonl").write_text(
                json_lines(*objects), "utf-8"
            )
        (self.folder / "vocab.txt").write_text("\n".join(self.vocab), "utf-8")
        (self.folder / "config.json").write_text(json.dumps(self.config))
        checkpoints.write_checkpoint(
            str(self.folder / "model.ckpt"),
            {n: np.zeros(s, np.float32) for n, s in self.shapes.items()},
        )

    def examine(self):
        self.write()
        with RUN_CLASSIFIER.flags(**self.flags):
            return doctor_run.examine("run_classifier")


def names_of(findings):
    return {
        (one.severity, one.name) for one in findings if one.severity != "note"
    }


def test_nothing_is_found_where_nothing_is_wrong(tmp_path):
    found = Planted(tmp_path).examine()
    assert found == []
    assert doctor_findings.to_text(found) == "Nothing to report."


# --- Planted faults ----------------------------------------------------------


def cased_vocabulary(it):
    it.vocab[1000:2000] = [word.capitalize() for word in it.vocab[1000:2000]]


def vocabulary_of_another_model(it):
    it.config["vocab_size"] = 4000
    it.shapes = encoder_shapes(BertConfig(**it.config))


def much_smaller_vocabulary(it):
    it.config["vocab_size"] = 30522
    it.shapes = encoder_shapes(BertConfig(**it.config))


def other_embedding_rows(it):
    words = "bert/embeddings/word_embeddings"
    it.shapes[words] = (4990, it.config["hidden_size"])


def other_layers(it):
    it.config["num_hidden_layers"] = 2


def no_special_tokens(it):
    it.vocab[it.vocab.index("[CLS]")] = "another"


def another_script(it):
    it.texts("train", range(NUM_TRAIN), lambda text: text + " ∀∃⊕∇⊗⌘")


def long_texts(it):
    it.texts("train", range(40), lambda text: text * 5)


def empty_texts(it):
    it.texts("dev", range(5), lambda text: "")


def mojibake(it):
    it.texts("train", range(20, 40), lambda text: text + " cafÃ© itâ€™s")


def lost_characters(it):
    it.texts("dev", range(5), lambda text: text + " caf\ufffd")


def control_characters(it):
    it.texts("train", range(10), lambda text: text + " it\x92s")


def one_label_for_nearly_all(it):
    for row in range(NUM_TRAIN):
        it.rows["train"][row][1] = LABELS[row % 20 == 0]


def constant_dev_label(it):
    for row in it.rows["dev"]:
        row[1] = "ham"


def unknown_dev_label(it):
    it.rows["dev"][7][1] = "eggs"


def rare_label(it):
    for row in range(3):
        it.rows["train"][row][1] = "eggs"


def copies(it):
    it.rows["train"][100:] = [list(row) for row in it.rows["train"][:100]]


def contradictions(it):
    for row in range(0, 10):
        text, label = it.rows["train"][row]
        it.rows["train"][row + 51] = [
            text,
            LABELS[1 - LABELS.index(label)],
        ]


def overlap(it):
    it.rows["dev"][:8] = [list(row) for row in it.rows["train"][:8]]


def overlap_after_normalization(it):
    it.rows["dev"][:8] = [
        [f"{text.upper()} !", label] for text, label in it.rows["train"][:8]
    ]


def near_overlap(it):
    it.rows["dev"][:8] = [
        [f"{text} zebra", label] for text, label in it.rows["train"][:8]
    ]


def finished_run(it):
    steps = 10**6
    checkpoints.write_checkpoint(
        str(it.folder / "out" / f"model.ckpt-{steps}"),
        {"global_step": np.int64(steps)},
    )


def refused_run(it):
    finished_run(it)
    it.change(resume="never")


def run_of_another_task(it):
    folder = run_folder.RunFolder(str(it.folder / "out"), "mrpc")
    folder.open()


def too_little_memory(it):
    it.config |= {"hidden_size": 8192, "num_hidden_layers": 400}
    it.config |= {"intermediate_size": 32768, "num_attention_heads": 64}


def too_long_sequences(it):
    it.change(max_seq_length=512)


def no_step(it):
    it.change(train_batch_size=512, num_train_epochs=1.0)


def random_weights(it):
    it.change(init_checkpoint="")


def wrong_column(it):
    it.change(text_column="body")


def missing_file(it):
    it.change(dev_file=str(it.folder / "nothing.jsonl"))


def wrong_class_weights(it):
    it.change(class_weights="1,2,3")


def missing_checkpoint(it):
    it.change(init_checkpoint=str(it.folder / "other.ckpt"))


FAULTS = [
    (cased_vocabulary, "error", "casing"),
    (vocabulary_of_another_model, "error", "vocabulary size"),
    (much_smaller_vocabulary, "warning", "vocabulary size"),
    (other_embedding_rows, "error", "embedding rows"),
    (other_layers, "error", "checkpoint"),
    (missing_checkpoint, "error", "checkpoint"),
    (no_special_tokens, "error", "special tokens"),
    (another_script, "warning", "unknown words"),
    (long_texts, "warning", "truncated texts"),
    (empty_texts, "warning", "empty texts"),
    (mojibake, "warning", "mojibake"),
    (lost_characters, "warning", "lost characters"),
    (control_characters, "warning", "control characters"),
    (one_label_for_nearly_all, "warning", "label balance"),
    (constant_dev_label, "warning", "constant label"),
    (unknown_dev_label, "warning", "unknown labels"),
    (rare_label, "warning", "rare labels"),
    (copies, "warning", "duplicates"),
    (contradictions, "warning", "contradicting labels"),
    (overlap, "warning", "overlap"),
    (overlap_after_normalization, "warning", "overlap"),
    (near_overlap, "warning", "near duplicates"),
    (finished_run, "warning", "output folder"),
    (refused_run, "error", "output folder"),
    (run_of_another_task, "error", "output folder"),
    (too_little_memory, "error", "memory"),
    (too_long_sequences, "error", "lengths"),
    (no_step, "error", "steps"),
    (random_weights, "warning", "random weights"),
    (wrong_column, "error", "reading"),
    (missing_file, "error", "command"),
    (wrong_class_weights, "error", "class weights"),
]


@pytest.mark.parametrize(
    ("plant", "severity", "name"), FAULTS, ids=[f[0].__name__ for f in FAULTS]
)
def test_a_planted_fault_is_named(tmp_path, plant, severity, name):
    planted = Planted(tmp_path)
    plant(planted)
    found = planted.examine()
    assert (severity, name) in names_of(found), found
    assert doctor_findings.is_fatal(found) == (severity == "error"), found


def test_several_faults_are_named_at_once(tmp_path):
    planted = Planted(tmp_path)
    for plant in (cased_vocabulary, wrong_column, no_step, refused_run):
        plant(planted)
    names = names_of(planted.examine())
    assert {name for _, name in names} >= {"casing", "reading", "output folder"}


def test_a_row_that_fails_late_is_found(tmp_path, monkeypatch):
    # A run would only meet it in the middle of its training.
    monkeypatch.setattr(processor, "NUM_CHECKED", 50)
    data = tmp_path / "data"
    data.mkdir()
    rows = [f"{WORDS[n % 2000]} {n} fine\t{n % 2}" for n in range(300)]
    rows[200] = "no label here"
    (data / "train.tsv").write_text("\n".join(["sentence\tlabel", *rows]))
    planted = Planted(tmp_path)
    planted.write()
    own = ("train_file", "dev_file", "text_column", "label_column", "do_eval")
    values = {n: v for n, v in planted.flags.items() if n not in own}
    values |= {"task_name": "sst-2", "data_dir": str(data)}
    with RUN_CLASSIFIER.flags(**values):
        found = doctor_run.examine("run_classifier")
    assert ("error", "rows that fail") in names_of(found)
    assert "train.tsv:202" in doctor_findings.to_text(found)


def test_answers_that_are_not_in_the_context(tmp_path):
    folder = squad_files.make_folder(tmp_path)
    values = squad_files.arguments(folder, do_train=True, do_predict=True)
    data = json.loads((folder / "squad.json").read_text("utf-8"))
    question = data["data"][0]["paragraphs"][0]["qas"][0]
    question["answers"] = [{"text": "a purple zebra", "answer_start": 3}]
    values["train_file"] = squad_files.write_json(folder / "bad.json", data)
    with RUN_SQUAD.flags(**values):
        names = names_of(doctor_run.examine("run_squad"))
    assert ("warning", "answers not in the context") in names
    assert ("warning", "overlap") in names  # The same contexts.


# --- The program -------------------------------------------------------------


def test_the_program_prints_findings_and_writes_nothing(tmp_path, monkeypatch):
    planted = Planted(tmp_path)
    mojibake(planted)
    planted.write()
    before = sorted(tmp_path.rglob("*"))
    words = [f"--{n}={v}" for n, v in planted.flags.items()]
    tool = "bert_tf/tools/doctor.py"
    # Its flags are defined when it is imported.
    monkeypatch.delitem(sys.modules, "run_classifier")
    # The program is the first word that is not a flag.
    done = run_here(tool, "--json", "run_classifier.py", *words)
    shown = json.loads(done.stdout)
    assert done.returncode == 0 and shown["status"] == "ok"
    (finding,) = shown["findings"]
    assert finding["name"] == "mojibake" and finding["subject"] == "train"
    assert finding["where"][0].endswith("train.jsonl:21")
    monkeypatch.delitem(sys.modules, "run_classifier")
    words += ["--train_batch_size=999", "--num_train_epochs=1"]
    done = run_here(tool, "python3", "run_classifier", *words)
    assert done.returncode == 1
    assert "steps: --num_train_epochs=" in done.stdout
    assert done.stdout.startswith("Errors") and "Warnings" in done.stdout
    assert sorted(tmp_path.rglob("*")) == before


def test_without_a_program_it_says_what_is_missing():
    for words, said in (
        (["--json"], "name the program first"),
        (["--task_name=csv"], "name the program first"),
        (["run_classifer.py", "--x"], "did you mean run_classifier.py?"),
        (["--", "run_classifer.py"], "did you mean run_classifier.py?"),
    ):
        done = run_here("bert_tf/tools/doctor.py", *words)
        assert done.returncode == 1
        assert said in done.stderr


def test_a_sentence_has_one_mark_at_its_end():
    finding = doctor_findings.Finding(
        severity="note", name="x", what="one", advice="is it two?"
    )
    assert doctor_findings.to_text([finding]) == "Notes\n  * x: one. Is it two?"


@pytest.mark.slow
def test_label_errors_are_found_and_kept(tmp_path, monkeypatch):
    planted = Planted(tmp_path)
    planted.change(init_checkpoint="", num_train_epochs=1)
    planted.write()
    path = str(tmp_path / "errors.tsv")
    planted.change(max_seq_length=16)
    with RUN_CLASSIFIER.flags(**planted.flags):
        doctor_labels.find("run_classifier", path, 2, 1)
        first = pathlib.Path(path).read_text("utf-8").split("\n")
        # What is computed is not computed again.
        monkeypatch.setattr(training, "train", None)
        doctor_labels.find("run_classifier", path, 2, 1)
    assert first == pathlib.Path(path).read_text("utf-8").split("\n")
    assert first[0].startswith("place\tlabel\tlikely_label")
    scores = [float(line.split("\t")[3]) for line in first[1:-1]]
    assert scores == sorted(scores) and -1 <= scores[0] < scores[-1] <= 1
    assert {line.split("\t")[4] for line in first[1:-1]} <= {"0", "1"}
    assert len(first) == NUM_TRAIN + 2


# --- Real data ---------------------------------------------------------------


def minilm():
    folder = shared("checkpoints/uncased_L-6_H-384_A-12_minilm")
    return {
        "vocab_file": str(folder / "vocab.txt"),
        "bert_config_file": str(folder / "bert_config.json"),
        "init_checkpoint": str(folder / "bert_model.ckpt"),
        "do_train": True,
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MRPC", "SST-2"])
def test_it_is_silent_on_glue(tmp_path, name):
    values = {
        **minilm(),
        "task_name": name.lower(),
        "data_dir": str(shared(f"data/glue/{name}")),
        "output_dir": str(tmp_path / "out"),
        "do_eval": True,
        "do_predict": True,
    }
    with RUN_CLASSIFIER.flags(**values):
        assert not names_of(doctor_run.examine("run_classifier"))


def test_it_is_silent_on_messages(tmp_path):
    path = tmp_path / "sms.tsv"
    collection = shared("data/sms_spam/SMSSpamCollection")
    path.write_text("label\ttext\n" + collection.read_text("utf-8"), "utf-8")
    values = {
        **minilm(),
        "task_name": "tsv",
        "train_file": str(path),
        "dev_fraction": 0.2,
        "text_column": "text",
        "label_column": "label",
        "output_dir": str(tmp_path / "out"),
        "do_eval": True,
    }
    with RUN_CLASSIFIER.flags(**values):
        assert not names_of(doctor_run.examine("run_classifier"))


@pytest.mark.slow
def test_it_is_silent_on_squad(tmp_path):
    folder = shared("data/squad")
    values = {
        **minilm(),
        "train_file": str(folder / "train-v1.1.recovered_subset.json"),
        "predict_file": str(folder / "dev-v1.1.reconstructed.json"),
        "output_dir": str(tmp_path / "out"),
        "do_predict": True,
        "do_eval": True,
    }
    with RUN_SQUAD.flags(**values):
        assert not names_of(doctor_run.examine("run_squad"))
