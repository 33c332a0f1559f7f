"""What a command leaves out: an earlier run, the bundled model, what fits."""

import csv
import io
import json
import os
import shutil

import pytest
from support.programs import (
    RUN_CLASSIFIER,
    RUN_SQUAD,
    SMALL_CONFIG,
    Messages,
    run_here,
)

from bert_tf import pretrained
from bert_tf.data.tabular.csv_files import read_table
from bert_tf.errors import UserError
from bert_tf.programs import defaults, hyperparameters
from bert_tf.programs.run_folder import RunFolder

TEXTS = [("win a prize now", "spam"), ("see you at eight", "ham")]


def test_rates_are_the_originals_for_its_models_and_data_sets():
    # MRPC, CoLA and MNLI have 3,668, 8,551 and 392,702 examples.
    for num_examples in (3668, 8551, 392_702):
        assert hyperparameters.num_train_epochs(num_examples, 32) == 3.0
    assert hyperparameters.learning_rate(768) == 5e-5
    assert hyperparameters.learning_rate(1024) == 5e-5
    assert hyperparameters.max_seq_length(512) == 128


def test_rates_fit_small_models_and_data_sets():
    assert hyperparameters.learning_rate(128) == 3e-4
    assert hyperparameters.learning_rate(384) == 7.3e-5
    assert hyperparameters.num_train_epochs(360, 32) == 20.0
    assert 3 < hyperparameters.num_train_epochs(1500, 32) < 20
    assert hyperparameters.max_seq_length(64) == 64


@pytest.mark.parametrize(
    "lengths, length",
    [([9] * 99 + [500], 32), ([33] * 10, 64), ([900] * 10, 256)],
)
def test_the_length_holds_most_texts(lengths, length):
    assert hyperparameters.max_seq_length(512, lengths=lengths) == length
    assert hyperparameters.max_seq_length(48, lengths=lengths) <= 48


# ---------------------------------------------------------------------------
# One's own run.


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A small model, a table to train on, and tables to label."""
    folder = tmp_path_factory.mktemp("files")
    shutil.copy(pretrained.BUNDLED_MODEL["vocab_file"], folder / "vocab.txt")
    (folder / "config.json").write_text(json.dumps(SMALL_CONFIG))
    with open(folder / "train.csv", "w", newline="") as writer:
        rows = csv.writer(writer)
        rows.writerow(["no", "message", "kind"])
        rows.writerows((i, *TEXTS[i % 2]) for i in range(40))
    (folder / "new.csv").write_text(
        'no,message\n7,"Call, now"\n8,hello\n9,\n', "utf-8"
    )
    (folder / "old.csv").write_text(
        "no,message,kind\n1,win a prize now,spam\n2,see you,ham\n", "utf-8"
    )
    return folder


@pytest.fixture(scope="module")
def run_folder(files):
    """A run on the table, exported."""
    out = files / "run"
    RUN_CLASSIFIER.run(
        task_name="csv",
        train_file=str(files / "train.csv"),
        text_column="message",
        label_column="kind",
        id_column="no",
        dev_fraction=0.2,
        test_fraction=0.2,
        vocab_file=str(files / "vocab.txt"),
        bert_config_file=str(files / "config.json"),
        do_train=True,
        do_eval=True,
        do_predict=True,
        do_export=True,
        max_seq_length=16,
        num_train_epochs=2.0,
        output_dir=str(out),
    )
    return out


def lines_of(path):
    return path.read_text("utf-8").splitlines()


@pytest.mark.slow
def test_predictions_carry_the_text_and_the_label(run_folder):
    header, *rows = lines_of(run_folder / "test_predictions.tsv")
    assert header.split("\t") == ["id", "label", "score", "text", "true_label"]
    known = dict(TEXTS)
    assert len(rows) == 8
    for row in rows:
        _, _, _, text, label = row.split("\t")
        assert known[text] == label


@pytest.mark.slow
def test_pretrained_must_be_the_model_of_the_run(run_folder, files, tmp_path):
    """The run's weights would answer with another activation, unnoticed."""
    other = tmp_path / "other"
    shutil.copytree(run_folder, other)
    for name, text in (
        ("bert_config_file", {**SMALL_CONFIG, "hidden_act": "gelu_exact"}),
        ("vocab_file", "[UNK]\n[CLS]\n[SEP]\n"),
    ):
        path = other / defaults.COPIES[name]
        kept = path.read_text("utf-8")
        path.write_text(text if name == "vocab_file" else json.dumps(text))
        with pytest.raises(UserError, match=f"another --{name}"):
            RUN_CLASSIFIER.run(
                task_name="csv",
                pretrained=str(other),
                do_predict=True,
                test_file=str(files / "new.csv"),
                output_dir=str(run_folder),
            )
        path.write_text(kept, "utf-8")


@pytest.mark.slow
def test_a_run_and_its_export_answer_alike(run_folder, files, tmp_path):
    answers = []
    for model in (run_folder, run_folder / "export"):
        RUN_CLASSIFIER.run(
            task_name="csv",
            text_column="message",
            pretrained=str(model),
            max_seq_length=16,
            do_predict=True,
            test_file=str(files / "new.csv"),
            output_dir=str(tmp_path / model.name),
        )
        answers.append(lines_of(tmp_path / model.name / "test_results.tsv"))
    assert len(answers[0]) == 3
    assert answers[0] == answers[1]


@pytest.mark.slow
def test_macro_f1_is_reported_for_dev_and_test(run_folder):
    for name in ("eval", "test"):
        report = json.loads((run_folder / f"{name}_report.json").read_text())
        assert report["scores"]["macro_f1"] == pytest.approx(
            report["macro_avg"]["f1"]
        )


@pytest.mark.slow
def test_a_new_file_is_labelled_from_the_run_alone(run_folder, files):
    before = {
        name: (run_folder / name).read_bytes()
        for name in (
            "test_results.tsv",
            "test_predictions.tsv",
            "test_report.json",
            "test_eval_results.txt",
            "eval_results.txt",
            "eval_report.json",
            "task.json",
        )
    }
    with Messages() as messages:
        RUN_CLASSIFIER.run(
            do_predict=True,
            do_eval=True,
            dev_file=str(files / "old.csv"),
            test_file=str(files / "new.csv"),
            output_dir=str(run_folder),
        )
    taken = next(m for m in messages if m.startswith("From the run in"))
    assert "--text_column=message" in taken and "--max_seq_length=16" in taken
    # The rows of the test set stay out of the others.
    assert "--test_fraction=0.2" in taken
    for name, content in before.items():
        assert (run_folder / name).read_bytes() == content, name
    rows = lines_of(run_folder / "predictions" / "new" / "test_predictions.tsv")
    assert [row.split("\t")[0] for row in rows] == ["id", "7", "8", "9"]
    table = read_table(
        str(run_folder / "predictions/new/test_predictions.tsv"), "tsv"
    )
    done = predict(run_folder, f"--input={files / 'new.csv'}")
    answers = [*csv.reader(io.StringIO(done.stdout))][1:]
    assert [answer[2] for answer in answers] == table.texts("label")
    assert not (run_folder / "predictions/new/test_report.json").exists()
    results = run_folder / "evaluations" / "old" / "eval_results.txt"
    assert "eval_accuracy = " in results.read_text()
    # The same again replaces these; another file of that name does not.
    other = files / "other" / "new.csv"
    other.parent.mkdir(exist_ok=True)
    shutil.copy(files / "old.csv", other)
    for path in (files / "new.csv", other):
        RUN_CLASSIFIER.run(
            do_predict=True, test_file=str(path), output_dir=str(run_folder)
        )
    assert sorted(p.name for p in (run_folder / "predictions").iterdir()) == [
        "new",
        "new-2",
    ]
    assert len(lines_of(run_folder / "predictions/new/labels.txt")) == 2


@pytest.mark.slow
def test_a_given_flag_wins(run_folder, files):
    with pytest.raises(UserError, match="no such column"):
        RUN_CLASSIFIER.run(
            do_predict=True,
            test_file=str(files / "new.csv"),
            text_column="words",
            output_dir=str(run_folder),
        )


@pytest.mark.slow
def test_a_moved_run_has_its_model_with_it(run_folder, files, tmp_path):
    moved = shutil.copytree(run_folder, tmp_path / "moved")
    record = json.loads((moved / "train.json").read_text())
    for flag in ("vocab_file", "bert_config_file"):
        record["train"]["flags"][flag] = str(tmp_path / "gone" / flag)
    (moved / "train.json").write_text(json.dumps(record))
    RUN_CLASSIFIER.run(
        do_predict=True,
        test_file=str(files / "old.csv"),
        output_dir=str(moved),
    )
    assert (moved / "predictions" / "old" / "test_report.json").exists()


@pytest.mark.slow
def test_a_run_is_used_from_another_folder(run_folder, tmp_path, monkeypatch):
    # Its paths were typed in the folder of its files.
    copy = shutil.copytree(
        run_folder,
        tmp_path / "run",
        ignore=shutil.ignore_patterns("predictions", "evaluations"),
    )
    record = json.loads((copy / "train.json").read_text())
    for mode in ("train", "eval", "predict"):
        assert record[mode]["working_folder"] == os.getcwd()
        record[mode]["working_folder"] = str(run_folder.parent)
        record[mode]["flags"]["train_file"] = "train.csv"
    (copy / "train.json").write_text(json.dumps(record))
    monkeypatch.chdir(tmp_path)
    before = (copy / "test_predictions.tsv").read_bytes()
    RUN_CLASSIFIER.run(do_predict=True, do_eval=True, output_dir="run")
    assert (copy / "test_predictions.tsv").read_bytes() == before
    assert not (copy / "predictions").exists()


def test_a_pipe_has_new_content_each_time(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    values = {"test_file": str(tmp_path / "pipe")}
    run = RunFolder(str(tmp_path / "run"), "csv")
    run.open()
    run.record_mode("predict", values)
    assert not run.is_of_same_file("predict", values)
    names = []
    for _ in range(2):
        folder = run.folder_of_other_file("predict", values)
        folder.open()
        folder.record_mode("predict", values)
        names.append(os.path.basename(folder.path))
    assert names == ["pipe", "pipe-2"]


def test_a_checkpoint_names_its_run(tmp_path):
    assert defaults.run_of_checkpoint("a/best/model.ckpt-5") == "a"
    assert defaults.run_of_checkpoint("a/model.ckpt-5") == "a"
    folder = tmp_path / "best"  # A run that somebody called so.
    folder.mkdir()
    (folder / "train.json").write_text("{}")
    prefix = str(folder / "model.ckpt-5")
    assert defaults.run_of_checkpoint(prefix) == str(folder)


@pytest.mark.slow
def test_a_checkpoint_alone_brings_its_run(run_folder, files, tmp_path):
    (index,) = run_folder.glob("model.ckpt-1*.index")
    RUN_CLASSIFIER.run(
        do_predict=True,
        init_checkpoint=str(index.with_suffix("")),
        test_file=str(files / "new.csv"),
        output_dir=str(tmp_path / "out"),
    )
    rows = lines_of(tmp_path / "out" / "test_predictions.tsv")
    assert [row.split("\t")[0] for row in rows] == ["id", "7", "8", "9"]


@pytest.mark.slow
def test_a_folder_without_a_run_is_named(run_folder, files, tmp_path):
    with pytest.raises(UserError, match="holds no run to use"):
        RUN_CLASSIFIER.run(do_predict=True, output_dir=str(tmp_path))
    shutil.copytree(run_folder, tmp_path / "seed-5")
    with pytest.raises(UserError, match="holds several runs"):
        RUN_CLASSIFIER.run(do_predict=True, output_dir=str(tmp_path))
    with pytest.raises(UserError, match=r"such as .*/model\.ckpt-\d+$"):
        RUN_CLASSIFIER.run(
            do_predict=True,
            init_checkpoint=str(run_folder),
            output_dir=str(tmp_path / "new"),
        )
    with pytest.raises(UserError, match="holds a run of the task 'csv'"):
        RUN_SQUAD.run(do_predict=True, output_dir=str(run_folder))


@pytest.mark.slow
def test_the_same_run_is_resumed_without_its_flags(run_folder):
    with Messages() as messages:
        RUN_CLASSIFIER.run(do_train=True, output_dir=str(run_folder))
    assert any("Skipping training since" in message for message in messages)
    assert not any(" before, and is " in message for message in messages)


@pytest.mark.slow
def test_the_next_command_is_printed(run_folder):
    with Messages() as messages:
        RUN_CLASSIFIER.run(do_eval=True, output_dir=str(run_folder))
    (line,) = [m for m in messages if m.startswith("Next  ")]
    assert f"--do_predict --test_file=FILE --output_dir={run_folder}" in line


# ---------------------------------------------------------------------------
# The tool predict.


def predict(run_folder, *arguments):
    done = run_here(
        "bert_tf/tools/predict.py", f"--model={run_folder}", *arguments
    )
    return done


@pytest.mark.slow
def test_a_table_is_answered_with_its_columns(run_folder, files):
    done = predict(run_folder, f"--input={files / 'new.csv'}")
    assert done.returncode == 0, done.stderr
    rows = [*csv.reader(io.StringIO(done.stdout))]
    assert rows[0] == ["no", "message", "label", "score"]
    assert [row[:2] for row in rows[1:]] == [
        ["7", "Call, now"],
        ["8", "hello"],
        ["9", ""],
    ]


@pytest.mark.slow
def test_a_table_keeps_its_delimiter(run_folder, tmp_path):
    (tmp_path / "a.csv").write_text("no;message\n1;hello\n")
    done = predict(run_folder, f"--input={tmp_path / 'a.csv'}")
    assert done.stdout.splitlines()[0] == "no;message;label;score"
    out = tmp_path / "a.xlsx"
    source = f"--input={tmp_path / 'a.csv'}"
    done = predict(run_folder, source, f"--output={out}")
    assert done.returncode == 1 and "not written as .xlsx" in done.stderr


@pytest.mark.slow
def test_every_format_gives_the_same_answers(run_folder, files, tmp_path):
    texts = ["win a prize now", "see you"]
    inputs = {
        "a.tsv": "message\tlabel\n" + "".join(f"{t}\tx\n" for t in texts),
        "a.jsonl": "".join(
            json.dumps({"message": t, "label": "x"}) + "\n" for t in texts
        ),
        "a.txt": "".join(f"{t}\n" for t in texts),
    }
    answers = []
    for name, content in inputs.items():
        (tmp_path / name).write_text(content)
        out = tmp_path / f"out.{name.split('.')[1]}"
        done = predict(
            run_folder, f"--input={tmp_path / name}", f"--output={out}"
        )
        assert done.returncode == 0, done.stderr
        if name == "a.tsv":
            header, *rows = (row.split("\t") for row in lines_of(out))
            assert header == ["message", "input_label", "label", "score"]
            answers.append([row[2] for row in rows])
        else:
            rows = [json.loads(line) for line in lines_of(out)]
            answers.append([row["label"] for row in rows])
            key = "message" if name == "a.jsonl" else "text"
            assert [row[key] for row in rows] == texts
            assert set(rows[0]["probabilities"]) == {"ham", "spam"}
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    "content, arguments, message",
    [
        ("no,mesage\n1,x\n", (), "did you mean 'mesage'?"),
        ("no,message\n", (), "there is nothing to answer in it"),
        ("no,message\n1,x\n", ("--text_column=no2",), "no column no2"),
        ("no,body\n1,x\n", (), "; --text_column chooses another column"),
        ("no,message\n1\n", (), "a.csv:2: 1 cell, but the header has 2"),
    ],
)
def test_mistakes_in_a_table_are_named(
    run_folder, tmp_path, content, arguments, message
):
    (tmp_path / "a.csv").write_text(content)
    done = predict(run_folder, f"--input={tmp_path / 'a.csv'}", *arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_run_without_an_export_says_how_to_get_one(run_folder, tmp_path):
    (tmp_path / "train.json").write_text("{}")
    (tmp_path / "a.txt").write_text("x\n")
    done = predict(tmp_path, f"--input={tmp_path / 'a.txt'}")
    assert done.returncode == 1
    assert "a run without an export" in done.stderr
