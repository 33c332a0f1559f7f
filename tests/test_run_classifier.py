"""run_classifier.py as people use it: whole runs, and their mistakes.

Most run `main()` in this process, which saves the import of TensorFlow; some
run the program itself, with its exit status and what it prints.
"""

import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from support.common import shared
from support.programs import (
    RUN_CLASSIFIER,
    SMALL_CONFIG,
    Messages,
    arguments,
    as_flags,
    last_line,
    make_folder,
    results_of,
    run,
    run_here,
    run_program,
    write,
)

from bert_tf import checkpoints
from bert_tf.errors import UserError


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """(folder, messages) of a run that trained, evaluated and predicted."""
    folder = make_folder(tmp_path_factory.mktemp("finished"))
    with Messages() as messages:
        run(folder, do_train=True, do_eval=True, do_predict=True)
    return folder, messages


@pytest.fixture
def finished_copy(finished, tmp_path):
    """The folder of the finished run, for a test that changes it."""
    return shutil.copytree(finished[0], tmp_path / "copy")


def test_train_evaluate_predict(finished):
    folder, _ = finished
    out = folder / "out"
    events = [path.name for path in out.glob("events.out.tfevents.*")]
    assert {path.name for path in out.iterdir()} == {
        *events,
        "bert_config.json",
        "checkpoint",
        "eval_report.json",
        "eval_results.txt",
        "labels.txt",
        "model.ckpt-0.data-00000-of-00001",
        "model.ckpt-0.index",
        "model.ckpt-10.data-00000-of-00001",
        "model.ckpt-10.index",
        "report",
        "task.json",
        "test_eval_results.txt",
        "test_predictions.tsv",
        "test_report.json",
        "test_results.tsv",
        "train.json",
        "vocab.txt",
    }
    results = results_of(out / "eval_results.txt")
    assert list(results) == [
        "eval_accuracy",
        "eval_loss",
        "global_step",
        "loss",
    ]
    assert results["global_step"] == "10"
    assert (out / "labels.txt").read_text() == "ham\nspam\n"

    rows = (out / "test_results.tsv").read_text().splitlines()
    probabilities = np.array([row.split("\t") for row in rows], "float64")
    assert probabilities.shape == (41, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    header, *rows = (out / "test_predictions.tsv").read_text().splitlines()
    assert header == "id\tlabel\tscore\ttext\ttrue_label"
    assert len(rows) == 41
    for i, row in enumerate(rows):
        guid, label, score, text, true_label = row.split("\t")
        assert text and true_label in ("ham", "spam")
        assert guid == f"test-{i + 1}"
        assert float(score) == probabilities[i].max()
        assert label == ["ham", "spam"][probabilities[i].argmax()]

    record = json.loads((out / "train.json").read_text())
    assert record["task_name"] == "sms"
    assert {record[m]["num_examples"] for m in RUN_CLASSIFIER.module.MODES} == {
        41
    }
    assert record["train"]["num_train_steps"] == 10
    assert record["train"]["seconds"] > 0
    assert record["train"]["flags"]["learning_rate"] == 1e-3
    assert record["train"]["versions"]["tensorflow"] == tf.__version__
    assert set(record["eval"]["results"]) >= {"eval_accuracy", "f1"}

    # The second command of the published guides: no training, new folder.
    run(
        folder,
        do_predict=True,
        output_dir=str(folder / "second"),
        init_checkpoint=str(out / "model.ckpt-10"),
    )
    second = (folder / "second" / "test_results.tsv").read_text()
    assert second == (out / "test_results.tsv").read_text()
    # Batch size and order of batches change nothing.
    run(
        folder,
        do_predict=True,
        predict_batch_size=3,
        output_dir=str(folder / "third"),
        init_checkpoint=str(out / "model.ckpt-10"),
    )
    again = np.loadtxt(folder / "third" / "test_results.tsv", delimiter="\t")
    np.testing.assert_allclose(again, probabilities, atol=1e-6)


@pytest.mark.slow
def test_a_second_run_continues_or_has_nothing_to_do(folder, caplog):
    caplog.set_level("DEBUG", logger="absl")
    run(folder, do_train=True, save_checkpoints_steps=4)
    out = folder / "out"
    expected = checkpoints.Checkpoint(str(out / "model.ckpt-10"))

    before = os.stat(out / "model.ckpt-10.index").st_mtime_ns
    run(folder, do_train=True, do_eval=True, learning_rate=0.5)
    assert "Skipping training since max_steps has already saved" in caplog.text
    assert "--learning_rate was 0.001 before" in caplog.text
    record = json.loads((out / "train.json").read_text())
    assert record["train"]["flags"]["learning_rate"] == 1e-3
    assert os.stat(out / "model.ckpt-10.index").st_mtime_ns == before
    assert results_of(out / "eval_results.txt")["global_step"] == "10"

    # As after a crash: the run's files end at step 4.
    values = {n: expected.read(n) for n in expected.shapes}
    for path in out.glob("model.ckpt-[18]*"):
        path.unlink()
    (out / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-4"\n')
    run(folder, do_train=True, save_checkpoints_steps=4)
    assert f"Resuming from {out}/model.ckpt-4" in caplog.text
    again = checkpoints.Checkpoint(str(out / "model.ckpt-10"))
    for name, value in values.items():
        assert again.read(name).tobytes() == value.tobytes(), name


@pytest.mark.slow
def test_console_lines_that_people_search_for(finished, caplog):
    folder, messages = finished
    for line in (
        "**** Trainable Variables ****",
        "  name = output_bias:0, shape = (2,)",
        "***** Running training *****",
        "  Num examples = 41",
        "  Batch size = 8",
        "  Num steps = 10",
        "*** Features ***",
        "  name = input_ids, shape = (8, 16)",
        "***** Running evaluation *****",
        "  Num examples = 41 (41 actual, 0 padding)",
        "***** Eval results *****",
        "***** Running prediction*****",
        "***** Predict results *****",
    ):
        assert line in messages, line
    assert messages.count("*** Example ***") == 15
    tokens = [m for m in messages if m.startswith("tokens: ")][0]
    assert tokens.startswith("tokens: [CLS] ")
    assert any("are cut at 16" in message for message in messages)

    caplog.set_level("DEBUG", logger="absl")
    run(
        folder,
        do_train=True,
        init_checkpoint=str(folder / "out" / "model.ckpt-10"),
        output_dir=str(folder / "from a checkpoint"),
    )
    assert "**** Trainable Variables ****" in caplog.text
    assert (
        "name = bert/embeddings/word_embeddings:0, shape = (5000, 16), "
        "*INIT_FROM_CKPT*" in caplog.text
    )


@pytest.mark.slow
@pytest.mark.parametrize("write_tf_records", [False, True])
def test_fixed_evaluation_is_the_originals(tmp_path, write_tf_records):
    """Evaluation and prediction straight from a checkpoint of the original."""
    golden = shared("golden")
    expected = golden / "5_run_classifier" / "fixed_mnli_odd_classifier"
    model = golden / "2_modeling" / "odd_classifier"
    run(
        tmp_path,
        task_name="MNLI",
        data_dir=str(golden / "5_run_classifier" / "data" / "MNLI"),
        vocab_file=str(golden / "vocab_small.txt"),
        bert_config_file=str(model / "bert_config.json"),
        init_checkpoint=str(model / "model.ckpt-7"),
        max_seq_length=128,
        do_eval=True,
        do_predict=True,
        write_tf_records=write_tf_records,
    )
    ours = results_of(tmp_path / "out" / "eval_results.txt")
    theirs = results_of(expected / "eval_results.txt")
    assert list(ours) == list(theirs)
    for key in theirs:
        np.testing.assert_allclose(
            float(ours[key]), float(theirs[key]), rtol=1e-6
        )
    np.testing.assert_allclose(
        np.loadtxt(tmp_path / "out" / "test_results.tsv"),
        np.loadtxt(expected / "test_results.tsv"),
        atol=1e-6,
    )
    records = list((tmp_path / "out").glob("*.tf_record"))
    assert len(records) == 2 * write_tf_records
    if not write_tf_records:
        return
    sizes = dict(
        line.split("\t")
        for line in (expected / "listing.tsv").read_text().splitlines()
    )
    for name in ("eval.tf_record", "predict.tf_record"):
        size = (tmp_path / "out" / name).stat().st_size
        assert size == int(sizes[name])


# What was done to the folder, the flags, and what the message must say.
MISTAKES = {
    "nothing to do": (None, {"do_eval": False}, "At least one of --do_train"),
    "no output_dir": (None, {"output_dir": None}, "--output_dir must be given"),
    "some files": (
        None,
        {"vocab_file": None},
        "--vocab_file must be given",
    ),
    "no such folder": (None, {"data_dir": "/x/y"}, "--data_dir=/x/y: no such"),
    "file for folder": (
        None,
        {"data_dir": __file__},
        "a folder is needed, this is a file",
    ),
    "folder for file": (
        None,
        {"vocab_file": "/"},
        "--vocab_file=/: a file is needed, this is a folder",
    ),
    "endless": (
        None,
        {"do_train": True, "num_train_epochs": 1e307},
        "steps; 2147483647 are the most",
    ),
    "no such file": (
        None,
        {"vocab_file": "/x/v"},
        "--vocab_file=/x/v: no such",
    ),
    "no such config": (
        None,
        {"bert_config_file": "/x/c"},
        "--bert_config_file=/x/c: no such",
    ),
    "unknown task": (
        None,
        {"task_name": "nope"},
        "--task_name=nope: no such task; known are cola, sst-2",
    ),
    "wrong label": (
        ("data/dev.tsv", "label\ttext\nham\ta\neggs\tb\n"),
        {},
        "dev.tsv:3: label 'eggs' is not one of ham, spam",
    ),
    "few columns": (
        ("data/dev.tsv", "label\ttext\nham\n"),
        {},
        "dev.tsv:2: 1 column, but the text is column 2",
    ),
    "not UTF-8": (
        ("data/dev.tsv", b"label\ttext\nham\t\xe9\n"),
        {},
        "dev.tsv:2: not UTF-8",
    ),
    "empty file": (("data/dev.tsv", ""), {}, "dev.tsv: no examples"),
    "too long": (
        None,
        {"max_seq_length": 65},
        "--max_seq_length=65 exceeds the max_position_embeddings=64",
    ),
    "large vocabulary": (
        ("config.json", json.dumps({**SMALL_CONFIG, "vocab_size": 50})),
        {},
        "entries, more than the vocab_size=50",
    ),
    "broken config": (("config.json", "{"), {}, "config.json:1: not JSON"),
    "casing": (
        None,
        {"do_lower_case": False},
        "--do_lower_case=False: none of the vocabulary's",
    ),
    "no checkpoint at all": (None, {}, "no checkpoint here to work"),
    "no such checkpoint": (
        None,
        {"init_checkpoint": "/x/bert_model.ckpt"},
        "--init_checkpoint=/x/bert_model.ckpt: /x/bert_model.ckpt: no such",
    ),
    "packed by length": (
        None,
        {"do_train": True, "pack_sequences": True, "group_by_length": True},
        "--pack_sequences: not with --group_by_length",
    ),
    "packed windows": (
        None,
        {
            "do_train": True,
            "pack_sequences": True,
            "long_documents": "windows",
        },
        "--pack_sequences: not with --long_documents=windows",
    ),
    "less than a step": (
        None,
        {"do_train": True, "num_train_epochs": 0.1},
        "is less than one step",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_writes_nothing(folder, mistake):
    change, flag_values, message = MISTAKES[mistake]
    if change:
        write(folder, *change)
    with pytest.raises(UserError) as error:
        run(folder, **{"do_eval": True, **flag_values})
    # As the program prints it.
    assert message in error.value.message_for("--{}".format)
    assert "\n" not in str(error.value)
    assert not (folder / "out").exists()


def test_mistakes_about_checkpoints(finished_copy):
    folder = finished_copy
    prefix = str(folder / "out" / "model.ckpt-10")
    other = {"output_dir": str(folder / "other"), "init_checkpoint": prefix}

    def refuses(message, **changes):
        with pytest.raises(UserError) as error:
            run(folder, do_eval=True, **{**other, **changes})
        assert message in str(error.value)
        assert not (folder / "other").exists()

    wide = {**SMALL_CONFIG, "hidden_size": 32}
    write(folder, "wide.json", json.dumps(wide))
    refuses(
        "word_embeddings has shape [5000, 16], the model needs [5000, 32]",
        bert_config_file=str(folder / "wide.json"),
    )
    deep = {**SMALL_CONFIG, "num_hidden_layers": 2}
    write(folder, "deep.json", json.dumps(deep))
    refuses(
        "bert/encoder/layer_1/attention/self/query/kernel first",
        bert_config_file=str(folder / "deep.json"),
    )

    # A pretrained encoder without a head cannot answer.
    checkpoint = checkpoints.Checkpoint(prefix)
    encoder = [n for n in checkpoint.shapes if n.startswith("bert/")]
    pretrained_prefix = str(folder / "bert_model.ckpt")
    checkpoints.write_checkpoint(
        pretrained_prefix, {n: checkpoint.read(n) for n in encoder}
    )
    refuses(
        "has no output_weights, output_bias",
        init_checkpoint=pretrained_prefix,
    )

    # A cut file in the run's own folder.
    data_file = folder / "out" / "model.ckpt-10.data-00000-of-00001"
    os.truncate(data_file, 1000)
    with pytest.raises(UserError, match="model.ckpt-10: the checkpoint is dam"):
        run(folder, do_eval=True)

    # Another task's folder.
    golden_like = "a\t1\t\tfine\nb\t0\t\tnot\n"
    for name in ("train", "dev"):
        write(folder, f"data/{name}.tsv", golden_like)
    with pytest.raises(UserError, match="holds a run of the task 'sms', not"):
        run(folder, task_name="cola", do_train=True, train_batch_size=2)
    (folder / "out" / "train.json").unlink()
    with pytest.raises(UserError, match="with the labels ham, spam, not 0, 1"):
        run(folder, task_name="cola", do_train=True, train_batch_size=2)
    write(folder, "out/train.json", "{")
    with pytest.raises(UserError, match="out/train.json: damaged; remove it"):
        run(folder, do_eval=True)


def test_program_ends_with_status_1_and_one_line():
    done = run_program("--do_trian")
    assert done.returncode == 1
    assert last_line(done) == (
        "run_classifier.py: --do_trian: no such flag; did you mean --do_train?"
    )
    assert "Traceback" not in done.stderr


def test_a_file_system_that_is_not_there(folder):
    path = "nope://nowhere/config.json"
    with pytest.raises(OSError, match="scheme 'nope' not implemented") as error:
        run(folder, do_eval=True, bert_config_file=path)
    assert error.value.filename == path


def test_flag_values_that_are_no_numbers():
    for flag in ("learning_rate=nan", "num_train_epochs=inf", "seed=1e9"):
        done = run_here("run_classifier.py", f"--{flag}")
        assert done.returncode == 1
        name, value = flag.split("=")
        assert last_line(done).startswith("run_classifier.py: flag --" + name)


def test_an_output_folder_that_cannot_be_made(folder):
    write(folder, "file", "")
    values = arguments(folder, output_dir=str(folder / "file" / "out"))
    done = run_here("run_classifier.py", "--do_train", *as_flags(values))
    assert done.returncode == 1
    assert last_line(done) == (
        f"run_classifier.py: --output_dir={folder}/file/out: cannot be "
        f"written: {folder}/file: Not a directory"
    )
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_full_disk_leaves_the_run_usable(finished_copy):
    """A limit on file size stands for the full disk: the checkpoint of the
    longer training does not fit, and that of the shorter one stays."""
    folder = finished_copy
    out = folder / "out"
    size = (out / "model.ckpt-10.data-00000-of-00001").stat().st_size
    values = arguments(folder, num_train_epochs=4.0)
    done = run_program("--do_train", *as_flags(values), limit=size // 2)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert f"{out}/model.ckpt-20: could not be written" in last_line(done)
    latest = checkpoints.CheckpointFolder(str(out)).newest_first()[0]
    assert latest == str(out / "model.ckpt-10")
    run(folder, do_eval=True)

    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    done = run_program("--do_eval", *as_flags(arguments(folder)), limit=4)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert last_line(done) == (
        f"run_classifier.py: {out}/vocab.txt: could not be written: "
        "File too large"
    )
    after = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert before == after


@pytest.mark.slow
def test_demo_needs_no_files(tmp_path):
    """The README's first command, shortened."""
    done = run_program(
        "--task_name=sms",
        "--do_train",
        "--do_eval",
        "--do_predict",
        "--num_train_epochs=0.05",
        f"--output_dir={tmp_path}",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "bundled with this package: --data_dir=" in done.stderr
    assert "bundled, and small; --pretrained names another" in done.stderr
    assert results_of(tmp_path / "eval_results.txt")


@pytest.mark.slow
def test_mrpc_layout_trains_on_real_data(tmp_path):
    golden = shared("golden/5_run_classifier/data/MRPC")
    model = shared("golden/2_modeling/tiny")
    run(
        tmp_path,
        task_name="MRPC",
        data_dir=str(golden),
        vocab_file=str(shared("data/vocab/uncased/vocab.txt")),
        bert_config_file=str(model / "bert_config.json"),
        init_checkpoint=str(model / "bert_model.ckpt"),
        max_seq_length=128,
        train_batch_size=32,
        do_train=True,
        do_eval=True,
        do_predict=True,
    )
    expected = shared("golden/5_run_classifier/e2e_mrpc_tiny")
    theirs = results_of(expected / "eval_results.txt")
    ours = results_of(tmp_path / "out" / "eval_results.txt")
    assert list(ours) == list(theirs)
    for key, value in theirs.items():  # Another random start and order.
        assert float(ours[key]) == pytest.approx(float(value), abs=0.1)
    rows = (tmp_path / "out" / "test_results.tsv").read_text().splitlines()
    assert len(rows) == 53


@pytest.mark.slow
def test_records_and_padding_change_no_result(finished):
    """Neither the way through files nor the length of sequences matters."""
    folder, _ = finished
    for name, settings in {
        "padded": {"pad_to_max_length": True},
        "records": {"write_tf_records": True},
    }.items():
        run(
            folder,
            do_eval=True,
            do_predict=True,
            init_checkpoint=str(folder / "out" / "model.ckpt-10"),
            output_dir=str(folder / name),
            **settings,
        )
        for file in ("test_results.tsv", "eval_results.txt"):
            ours = (folder / name / file).read_text().split()
            theirs = (folder / "out" / file).read_text().split()
            for a, b in zip(ours, theirs, strict=True):
                if "." in a:
                    assert float(a) == pytest.approx(float(b), abs=1e-6)
    # Training from records: the examples in the same order.
    run(
        folder,
        do_train=True,
        write_tf_records=True,
        output_dir=str(folder / "again"),
    )
    ours = checkpoints.Checkpoint(str(folder / "again" / "model.ckpt-10"))
    theirs = checkpoints.Checkpoint(str(folder / "out" / "model.ckpt-10"))
    for name in theirs.shapes:
        np.testing.assert_allclose(
            ours.read(name), theirs.read(name), atol=1e-6
        )
    assert (folder / "again" / "train.tf_record").exists()
