"""run_squad.py as people use it: whole runs, and their mistakes."""

import gzip
import json
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf
from support.common import read_json, shared
from support.programs import (
    as_flags,
    last_line,
    program_of,
    results_of,
    run_here,
    run_program,
    values_of,
)
from support.squad_files import (
    CONFIG,
    arguments,
    make_folder,
    one_question,
    paragraph,
    question,
    run,
    squad_data,
    write_json,
)

from bert_tf import BertConfig
from bert_tf.checkpoints import tensors_of, write_checkpoint
from bert_tf.errors import UserError
from bert_tf.export import QuestionAnswerer
from bert_tf.heads import BertClassifier

EVALUATE = program_of("bert_tf.tools.evaluate_squad")
PREDICT = program_of("bert_tf.tools.predict")
FILES = ("predictions.json", "nbest_predictions.json", "null_odds.json")


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path)


def contexts_of(data):
    return {
        entry["id"]: (entry["question"], paragraph["context"])
        for article in data["data"]
        for paragraph in article["paragraphs"]
        for entry in paragraph["qas"]
    }


def predictions_of(folder, name="predictions.json"):
    return read_json(folder / "out" / name)


# ---------------------------------------------------------------------------
# Whole runs.


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a run that trained, predicted, evaluated and exported."""
    folder = make_folder(tmp_path_factory.mktemp("finished"))
    run(folder, do_train=True, do_predict=True, do_eval=True, do_export=True)
    return folder


@pytest.mark.slow
def test_a_student_learns_from_an_export(finished, folder):
    run(
        folder,
        do_train=True,
        teacher=str(finished / "out" / "export"),
        distill_layers="0:0",
        pack_sequences=True,
    )
    line = (
        (folder / "out" / "report" / "steps.jsonl").read_text().split("\n")[0]
    )
    terms = json.loads(line)["losses"]
    assert {*terms} == {"labels_loss", "teacher_loss", "layers_loss"}
    assert all(0 < value < 20 for value in terms.values())


def test_a_teacher_of_another_task(folder, tmp_path):
    path = tmp_path / "teacher"
    path.mkdir()
    for name in ("vocab.txt", "config.json"):
        shutil.copy(folder / name, path)
    (path / "config.json").rename(path / "bert_config.json")
    model = BertClassifier(BertConfig(**CONFIG), 2)
    tensors = {n: np.array(x) for n, x in tensors_of(model).items()}
    write_checkpoint(str(path / "bert_model.ckpt"), tensors)
    task = {"problem": "single_label", "labels": ["a", "b"]}
    write_json(path / "task.json", task)
    message = "kind single_label, and this task needs question_answering"
    with pytest.raises(UserError, match=message):
        run(folder, do_train=True, teacher=str(path))
    (path / "task.json").unlink()
    with pytest.raises(UserError, match="nothing says which task its head"):
        run(folder, do_train=True, teacher=str(path))
    assert not (folder / "out").exists()


@pytest.mark.slow
def test_packed_training(folder, caplog):
    caplog.set_level("DEBUG", logger="absl")
    run(
        folder,
        do_train=True,
        do_eval=True,
        pack_sequences=True,
        xla=True,
        max_seq_length=64,
        max_query_length=8,
        train_batch_size=4,
        num_train_epochs=20.0,
        train_file=write_json(folder / "short.json", short_questions()),
    )
    assert "rows of --max_seq_length=64 for 4 examples; tokens" in caplog.text
    losses = [s for s in re.findall(r"loss (\d\.\d+)", caplog.text)]
    assert float(losses[-1]) < float(losses[0]) - 0.3


def short_questions():
    """Questions on contexts of which several go into a sequence."""
    contexts = ["The lamp burned oil.", "Mr. O'Hara sells rye bread."]
    answers = ["oil", "rye bread"]
    return {
        "data": [
            {
                "paragraphs": [
                    paragraph(context, [(f"q{i}", "What?", answer)])
                    for i, (context, answer) in enumerate(
                        zip(contexts, answers, strict=True)
                    )
                ]
            }
        ]
    }


def check_report(folder, predictions, f1):
    """The lines of the report hold the program's answers and scores."""
    rows = lines_of(folder / "eval.jsonl")
    assert {row["id"]: row["predicted"] for row in rows} == predictions
    assert 100 * np.mean([row["f1"] for row in rows]) == pytest.approx(f1)
    contexts = lines_of(folder / "contexts.jsonl")
    texts = {context["context"]: context["text"] for context in contexts}
    for row in rows:
        text = texts[row["context"]]
        start, end = row["gold_at"]
        assert text[start:end] == " ".join(row["gold"][0].split())
        if row["best_text"] and row["predicted_at"]:
            start, end = row["predicted_at"]
            assert text[start:end] == " ".join(row["best_text"].split())
        assert row["windows"] >= 1 and row["context_tokens"] > 0


def lines_of(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_train_predict_evaluate_export(finished):
    folder = finished
    out = folder / "out"
    names = {path.name for path in out.iterdir()}
    assert {
        *FILES[:2],
        "checkpoint",
        "eval_results.txt",
        "export",
        "report",
        "model.ckpt-0.index",
        "model.ckpt-3.index",
        "train.json",
    } < names
    assert not {"null_odds.json", "train.tf_record", "labels.txt"} & names
    assert not [name for name in names if name.startswith(".")]
    data = squad_data()
    predictions = predictions_of(folder)
    assert list(predictions) == list(contexts_of(data))
    for qas_id, entries in predictions_of(folder, FILES[1]).items():
        assert entries[0]["text"] == predictions[qas_id]
        assert 1 <= len(entries) <= 20
    results = results_of(out / "eval_results.txt")
    assert set(results) == {"exact_match", "f1", "global_step"}
    # 6 questions in batches of 4, twice: the original counts questions.
    assert results["global_step"] == "3"
    record = json.loads((out / "train.json").read_text())
    assert record["task_name"] == "squad"
    assert record["train"]["num_examples"] == 6
    assert record["train"]["num_windows"] > 6
    assert record["eval"]["results"]["f1"] == float(results["f1"])
    variables = values_of(out / "model.ckpt-3")
    assert variables["cls/squad/output_weights"].shape == (2, 32)
    assert "cls/squad/output_weights/adam_m" in variables

    check_report(out / "report", predictions, float(results["f1"]))

    # The exported model answers as the program does.
    answerer = QuestionAnswerer(str(out / "export"))
    for qas_id, (text, context) in contexts_of(data).items():
        found = answerer.answer(text, context)
        assert context[found["start"] : found["end"]] == found["answer"]
        assert " ".join(found["answer"].split()) == predictions[qas_id]


@pytest.mark.slow
def test_the_exported_model_answers_files_of_questions(finished, tmp_path):
    """SQuAD's own files, and rows with other names."""
    expected = predictions_of(finished)
    pairs = contexts_of(squad_data())
    rows = [
        {"ID": qas_id, "Question": text, "passage": context}
        for qas_id, (text, context) in pairs.items()
    ]
    for name, content in (
        ("rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows)),
        ("squad.json", json.dumps(squad_data())),
        ("articles.json", json.dumps(squad_data()["data"], indent=2)),
    ):
        path = tmp_path / name
        path.write_text(content)
        output = tmp_path / f"{path.stem}_answers.jsonl"
        PREDICT.run(
            model=str(finished / "out"), input=str(path), output=str(output)
        )
        found = [json.loads(line) for line in output.read_text().splitlines()]
        answers = {row.get("id", row.get("ID")): row["answer"] for row in found}
        assert {
            qas_id: " ".join(answer.split())
            for qas_id, answer in answers.items()
        } == expected
        assert {row["context"] for row in found} == {
            c for _, c in pairs.values()
        }


@pytest.mark.slow
def test_it_learns_the_answers(folder):
    run(
        folder,
        do_train=True,
        do_eval=True,
        num_train_epochs=80.0,
        learning_rate=2e-3,
        max_seq_length=64,
        eval_steps=60,
    )
    results = results_of(folder / "out" / "eval_results.txt")
    assert float(results["f1"]) > 75.0
    record = json.loads((folder / "out" / "train.json").read_text())
    evaluations = record["train"]["evaluations"]
    assert [e["step"] for e in evaluations] == [60, 120]
    assert evaluations[0]["f1"] <= evaluations[-1]["f1"]
    assert not (folder / "out" / "predictions.json").exists()


@pytest.mark.slow
def test_squad_2(tmp_path):
    folder = make_folder(tmp_path, version=2)
    settings = {"version_2_with_negative": True, "max_seq_length": 64}
    run(
        folder,
        do_train=True,
        do_predict=True,
        do_eval=True,
        do_export=True,
        num_train_epochs=80.0,
        learning_rate=2e-3,
        **settings,
    )
    predictions = predictions_of(folder)
    assert not predictions["light-3"] and predictions["bake-0"]
    null_odds = predictions_of(folder, "null_odds.json")
    assert all((null_odds[q] > 0) == (not predictions[q]) for q in predictions)
    results = results_of(folder / "out" / "eval_results.txt")
    assert 60.0 < float(results["f1"]) <= float(results["best_f1"])
    assert (results["HasAns_total"], results["NoAns_total"]) == ("6", "2")

    answerer = QuestionAnswerer(str(folder / "out" / "export"))
    for qas_id, pair in contexts_of(squad_data(2)).items():
        found = answerer.answer(*pair)
        assert found["answer"] == predictions[qas_id]
        assert (found["null_probability"] > 0.5) == (not predictions[qas_id])
        assert (found["start"] < 0) == (not predictions[qas_id])

    # The best threshold is the one to give.
    run(
        folder,
        do_eval=True,
        do_predict=True,
        do_export=True,
        null_score_diff_threshold=float(
            results["null_score_diff_threshold_f1"]
        ),
        **settings,
    )
    best = results_of(folder / "out" / "eval_results.txt")
    assert best["f1"] == best["best_f1"] == results["best_f1"]
    assert best["f1"] == results["null_score_diff_threshold_f1_score"]
    answerer = QuestionAnswerer(str(folder / "out" / "export"))
    for qas_id, pair in contexts_of(squad_data(2)).items():
        found = answerer.answer(*pair)
        assert found["answer"] == predictions_of(folder)[qas_id]
    settings |= {"do_predict": True, "predict_batch_size": 3}
    run(folder, null_score_diff_threshold=1e3, **settings)
    assert all(predictions_of(folder).values())
    run(folder, null_score_diff_threshold=-1e3, **settings)
    assert not any(predictions_of(folder).values())


@pytest.mark.thorough
def test_the_best_threshold_gives_the_score_it_promises(
    tmp_path, capsys, caplog
):
    """Where no answer is right, it is best to answer nothing."""
    folder = make_folder(tmp_path, version=2)
    data = squad_data(2)
    for article in data["data"]:
        for entry in article["paragraphs"][0]["qas"]:
            for answer in entry["answers"]:
                answer["text"] = "something else"
    predict_file = write_json(folder / "dev.json", data)
    settings = {"version_2_with_negative": True, "predict_file": predict_file}
    with caplog.at_level("DEBUG", logger="absl"):
        run(
            folder,
            do_train=True,
            do_eval=True,
            do_predict=True,
            num_train_epochs=1.0,
            null_score_diff_threshold=1e3,
            **settings,
        )
    results = results_of(folder / "out" / "eval_results.txt")
    assert results["best_f1_thresh"] == results["best_exact_thresh"] == "0.0"
    key = "null_score_diff_threshold_f1"
    lowest = min(predictions_of(folder, "null_odds.json").values())
    assert float(results[key]) < lowest
    assert results["exact"] == "0.0"
    assert results[f"{key}_score"] == results["best_f1"] == "25.0"
    given = f"--null_score_diff_threshold={results[key]}"
    assert f"{given} would give an f1 of 25.0" in caplog.text

    threshold = float(results[key])
    run(
        folder, do_predict=True, null_score_diff_threshold=threshold, **settings
    )
    capsys.readouterr()
    EVALUATE.run(
        predict_file=predict_file,
        predictions_file=str(folder / "out" / "predictions.json"),
        version_2_with_negative=True,
    )
    scores = json.loads(capsys.readouterr().out)
    assert str(scores["f1"]) == results[f"{key}_score"]
    assert str(scores["exact"]) == results[f"{key}_score"]


@pytest.mark.thorough
def test_answers_depend_on_nothing_but_the_question(folder):
    """Batch size, length of batches, record files, replicas."""
    run(folder, do_train=True, num_train_epochs=10.0)
    init = str(folder / "out" / "model.ckpt-15")
    found = []
    for number, changes in enumerate(
        [
            {},
            {"predict_batch_size": 1, "write_tf_records": True},
            {"predict_batch_size": 64, "pad_to_max_length": True},
            {"num_processes": 2},
        ]
    ):
        out = folder / f"out-{number}"
        run(
            folder,
            do_predict=True,
            do_eval=True,
            init_checkpoint=init,
            output_dir=str(out),
            **changes,
        )
        found.append((read_json(out / FILES[0]), read_json(out / FILES[1])))
    assert (folder / "out-1" / "eval.tf_record").exists()
    # Two parts of the CPU, which only a new process can have.
    out = folder / "replicas"
    values = arguments(folder, init_checkpoint=init, output_dir=str(out))
    done = run_program(
        *as_flags(values),
        *("--do_predict", "--cpu_replicas=2"),
        program="run_squad.py",
    )
    assert done.returncode == 0, done.stderr
    found.append((read_json(out / FILES[0]), read_json(out / FILES[1])))

    predictions, nbest = found[0]
    for other_predictions, other_nbest in found[1:]:
        assert other_predictions == predictions
        for qas_id, entries in nbest.items():
            others = other_nbest[qas_id]
            assert [e["text"] for e in others] == [e["text"] for e in entries]
            np.testing.assert_allclose(
                [e["start_logit"] for e in others],
                [e["start_logit"] for e in entries],
                atol=1e-5,
            )


@pytest.mark.slow
def test_training_from_records_is_the_same(folder):
    settings = {"do_train": True, "num_train_epochs": 4.0}
    run(folder, **settings)
    run(
        folder,
        output_dir=str(folder / "records"),
        write_tf_records=True,
        **settings,
    )
    expected = values_of(folder / "out" / "model.ckpt-6")
    found = values_of(folder / "records" / "model.ckpt-6")
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    path = str(folder / "records" / "train.tf_record")
    (record, *_) = tf.data.TFRecordDataset(path)
    keys = set(tf.train.Example.FromString(record.numpy()).features.feature)
    assert "start_positions" in keys and "unique_ids" in keys


def test_a_finished_run_predicts_from_its_checkpoint(finished, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "copy")
    before = values_of(folder / "out" / "model.ckpt-3")
    (folder / "out" / "predictions.json").unlink()
    run(folder, do_train=True, do_predict=True)  # Skips the training.
    assert len(predictions_of(folder)) == 6
    after = values_of(folder / "out" / "model.ckpt-3")
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    "version", [pytest.param(1, marks=pytest.mark.slow), 2]
)
@pytest.mark.parametrize(
    "pad", [False, pytest.param(True, marks=pytest.mark.thorough)]
)
def test_predictions_of_a_checkpoint_are_the_originals(tmp_path, version, pad):
    golden = shared(f"golden/6_run_squad/e2e_odd_squad_v{version}")
    model = shared("golden/2_modeling/odd_squad")
    run(
        tmp_path,
        do_predict=True,
        do_export=version == 1 and not pad,
        predict_file=str(golden / "predict_file.json"),
        vocab_file=str(shared("golden/vocab_small.txt")),
        bert_config_file=str(model / "bert_config.json"),
        init_checkpoint=str(model / "model.ckpt-11"),
        max_seq_length=128,
        doc_stride=64,
        max_query_length=64,
        version_2_with_negative=version == 2,
        # The original fails on the last question with its default of 20.
        n_best_size=200 if version == 2 else 20,
        pad_to_max_length=pad,
    )
    expected = (golden / "predictions.json").read_text("utf-8")
    assert (tmp_path / "out" / "predictions.json").read_text() == expected
    if version == 2:
        odds = predictions_of(tmp_path, "null_odds.json")
        expected = read_json(golden / "null_odds.json")
        assert list(odds) == list(expected)
        for qas_id, value in expected.items():
            assert odds[qas_id] == pytest.approx(value, abs=1e-5)
    if pad and version == 1:
        with gzip.open(golden / "nbest_predictions.json.gz") as reader:
            expected = json.load(reader)
        for qas_id, entries in predictions_of(tmp_path, FILES[1]).items():
            texts = [entry["text"] for entry in entries]
            assert texts == [entry["text"] for entry in expected[qas_id]]
    if pad or version == 2:
        return
    # The exported model gives the characters of the pieces; the original the
    # whole words where it cannot align them, as in texts made to be nasty.
    answerer = QuestionAnswerer(str(tmp_path / "out" / "export"))
    contexts = contexts_of(read_json(golden / "predict_file.json"))
    answers = answerer.answer_all(*zip(*contexts.values(), strict=True))
    different = []
    for (qas_id, (_, context)), found in zip(
        contexts.items(), answers, strict=True
    ):
        if found["answer"]:
            part = slice(found["start"], found["end"])
            assert context[part] == found["answer"]
            part = slice(found["start_byte"], found["end_byte"])
            assert context.encode()[part].decode() == found["answer"]
        if found["answer"] != predictions_of(tmp_path)[qas_id]:
            different.append(qas_id)
    assert len(different) <= 11  # One of them "" instead of "empty".
    assert all(qas_id.startswith("nasty-") for qas_id in different)


# ---------------------------------------------------------------------------
# Empty, odd and long.


@pytest.mark.slow
def test_empty_and_long_contexts_and_questions(folder, caplog):
    contexts = {
        "plain": ("Who?", "Marta built it."),
        "empty": ("Who?", ""),
        "spaces": ("Who?", " \n "),
        "invisible": ("Who?", "\u200b"),
        "no question": ("", "Marta built it."),
        "long question": ("Who " * 500, "Marta built it."),
        "long context": ("Who?", "The lamp was lit. " * 2000 + "Marta did it."),
        "long word": ("Who?", "a" * 5000),
    }
    data = {
        "data": [
            {
                "paragraphs": [
                    {
                        "context": context,
                        "qas": [question(qas_id, text, None, context, 1)],
                    }
                    for qas_id, (text, context) in contexts.items()
                ]
            }
        ]
    }
    predict_file = write_json(folder / "odd.json", data)
    run(folder, do_train=True)
    for version_2 in (False, True):
        with caplog.at_level("DEBUG", logger="absl"):
            run(
                folder,
                do_predict=True,
                do_export=version_2,
                predict_file=predict_file,
                version_2_with_negative=version_2,
            )
        predictions = predictions_of(folder)
        assert list(predictions) == list(contexts)
        for qas_id in ("empty", "spaces", "invisible"):
            assert predictions[qas_id] == ("" if version_2 else "empty")
    answerer = QuestionAnswerer(str(folder / "out" / "export"))
    for qas_id, pair in contexts.items():
        found = answerer.answer(*pair)
        assert found["answer"] == predictions[qas_id]
        assert (found["start"] < 0) == (found["answer"] == "")
    # Not one context has a token.
    data["data"][0]["paragraphs"] = data["data"][0]["paragraphs"][1:4]
    predict_file = write_json(folder / "odd.json", data)
    run(folder, do_predict=True, predict_file=predict_file)
    assert set(predictions_of(folder).values()) == {"empty"}
    assert "1 of 8 questions is longer than --max_query_length=12" in (
        caplog.text
    )


# ---------------------------------------------------------------------------
# Mistakes.


@pytest.mark.parametrize(
    "changes, message",
    [
        ({}, "At least one of --do_train, --do_predict"),
        ({"do_train": True, "train_file": None}, "--train_file must be given"),
        ({"do_predict": True, "predict_file": None}, "--predict_file must be"),
        ({"do_eval": True, "predict_file": None}, "--predict_file must be"),
        (
            {"do_train": True, "eval_steps": 2, "predict_file": None},
            "--predict_file must be",
        ),
        ({"do_train": True, "train_file": "/no"}, "--train_file=/no: no such"),
        (
            {"do_predict": True, "max_query_length": 45},
            "--max_query_length=45: .* --max_seq_length=48",
        ),
        (
            {"do_predict": True, "max_seq_length": 65},
            "--max_seq_length=65 exce",
        ),
        (
            {"do_train": True, "metric_for_best": "exact"},
            "--metric_for_best=exact: .*exact_match, f1",
        ),
        ({"do_predict": True}, "no checkpoint here"),
        ({"do_export": True}, "no checkpoint here"),
    ],
)
def test_mistakes_are_named_before_anything_is_written(
    folder, changes, message
):
    with pytest.raises(UserError, match=message) as caught:
        run(folder, **changes)
    assert "\n" not in str(caught.value)
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    "mode, data, message",
    [
        (
            "train",
            {"data": [{}]},
            r'squad.json: data\[0\]: "paragraphs" is mis',
        ),
        ("predict", {"version": "1.1"}, "not a SQuAD file"),
        (
            "train",
            squad_data(2),
            "is_impossible is true.*--version_2_with_nega",
        ),
        ("eval", squad_data(2), "2 of 8 questions have no answer, light-3"),
        ("train", one_question("x"), "no answer to learn from"),
        ("eval", one_question("x", answers=None), '"answers" is missing'),
        (
            "train",
            one_question("x", answers=[{"text": "y", "answer_start": 0}]),
            "no question with an answer in its context",
        ),
    ],
)
def test_wrong_files_are_named_before_anything_is_written(
    folder, mode, data, message
):
    write_json(folder / "squad.json", data)
    with pytest.raises(UserError, match=message):
        run(folder, **{f"do_{mode}": True})
    assert not (folder / "out").exists()


def test_training_without_a_token_is_refused(folder):
    answers = [{"text": "\u200b", "answer_start": 0}]
    write_json(folder / "squad.json", one_question("\u200b", answers=answers))
    with pytest.raises(UserError, match="no context has a token"):
        run(folder, do_train=True, train_batch_size=1)


@pytest.mark.slow
def test_left_out_examples_are_counted_and_named(folder, caplog):
    data = squad_data()
    data["data"][0]["paragraphs"][0]["qas"][1]["answers"][0]["text"] = "1872"
    data["data"][0]["paragraphs"][0]["qas"][0]["answers"] *= 2
    write_json(folder / "squad.json", data)
    with caplog.at_level("DEBUG", logger="absl"):
        run(folder, do_train=True)
    assert "1 of 6 questions is left out" in caplog.text
    assert "(--verbose_logging names them)" in caplog.text
    assert "several answers to 1 question; training takes the first" in (
        caplog.text
    )
    assert "question light-1 is left out" not in caplog.text
    with caplog.at_level("DEBUG", logger="absl"):
        run(folder, do_train=True, verbose_logging=True)
    assert "question light-1 is left out: its answer '1872'" in caplog.text


@pytest.mark.slow
def test_questions_marked_impossible_are_answered_with_a_warning(
    tmp_path, caplog
):
    folder = make_folder(tmp_path, version=2)
    train_file = write_json(folder / "train.json", squad_data())
    with caplog.at_level("DEBUG", logger="absl"):
        run(folder, do_train=True, do_predict=True, train_file=train_file)
    assert "2 of 8 questions are marked as having no answer" in caplog.text
    assert len(predictions_of(folder)) == 8


def test_the_program_ends_in_one_line(folder):
    write_json(folder / "squad.json", {"data": 1})
    done = run_here("run_squad.py", *as_flags(arguments(folder)), "--do_train")
    assert done.returncode == 1
    assert last_line(done).startswith(f"run_squad.py: {folder}/squad.json: not")
    assert "Traceback" not in done.stderr


# ---------------------------------------------------------------------------
# Scoring files.


def test_scoring_a_file_of_predictions(tmp_path, capsys, caplog):
    predict_file = write_json(tmp_path / "squad.json", squad_data())
    predictions = {"light-0": "Marta Lindqvist", "light-1": "in 1871", "x": ""}

    def score(path):
        EVALUATE.run(predict_file=predict_file, predictions_file=path)

    score(write_json(tmp_path / "predictions.json", predictions))
    assert json.loads(capsys.readouterr().out) == {
        "exact_match": pytest.approx(100 / 6),
        "f1": pytest.approx(100 * (1 + 2 / 3) / 6),
    }
    assert "1 of 3 predictions is ignored" in caplog.text
    assert "4 of 6 questions have no prediction, light-2 first" in caplog.text

    path = write_json(tmp_path / "unknown.json", {"x": "y"})
    files = {"predict_file": predict_file, "predictions_file": path}
    done = run_here("bert_tf/tools/evaluate_squad.py", *as_flags(files))
    assert done.returncode == 1
    assert "no question of it is in" in last_line(done)
    with pytest.raises(UserError, match="must be an object by question id"):
        score(write_json(tmp_path / "list.json", ["x"]))


def test_scoring_predictions_of_other_tools(tmp_path, capsys):
    data = squad_data()
    for number, entry in enumerate(data["data"][0]["paragraphs"][0]["qas"]):
        entry["id"] = number
    predict_file = write_json(tmp_path / "squad.json", data)
    expected = {"0": "Marta Lindqvist", "1": "1871"}
    objects = [
        {"id": 0, "prediction_text": expected["0"]},
        {"id": "1", "prediction_text": 1871, "no_answer_probability": 0.0},
    ]
    lines = tmp_path / "lines.jsonl"
    lines.write_text("".join(json.dumps(o) + "\n" for o in objects))
    answers = [
        {"id": key, "answer": text, "answers": ["x"]}
        for key, text in expected.items()
    ]
    for path in (
        write_json(tmp_path / "plain.json", expected),
        write_json(tmp_path / "objects.json", objects),
        write_json(tmp_path / "answers.json", answers),
        str(lines),
    ):
        EVALUATE.run(predict_file=predict_file, predictions_file=path)
        scores = json.loads(capsys.readouterr().out)
        assert scores["exact_match"] == pytest.approx(100 * 2 / 6)
    for wrong, message in (
        ([{"id": 0}], "number 1 is not one"),
        ([*objects, objects[0]], "the id '0' comes twice"),
        ({"0": ["x"]}, "question 0: must be a text"),
    ):
        path = write_json(tmp_path / "wrong.json", wrong)
        with pytest.raises(UserError, match=message):
            EVALUATE.run(predict_file=predict_file, predictions_file=path)
