"""train_embeddings as people use it: whole runs, and their mistakes."""

import json

import numpy as np
import pytest
import tensorflow as tf
from support.common import read_json
from support.programs import (
    make_folder,
    program_of,
    results_of,
    values_of,
    write,
)

from bert_tf.embeddings import TextEmbedder
from bert_tf.errors import UserError
from bert_tf.export import Predictor
from bert_tf.pooling import BertEmbedder
from bert_tf.programs import (
    defaults,
    embedding_data,
    export_run,
    labelled_run,
    model_files,
)

TRAIN = program_of("bert_tf.tools.train_embeddings")
EXPORT = program_of("bert_tf.tools.export_model")
EXTRACT = program_of("bert_tf.tools.extract_features")

NAMES = "Anna Bella Clara Dora Emma Frieda Greta Hanna".split()
THINGS = "a house|the sea|some bread|her book".split("|")
TEXTS = ["I like it.", "a house by the sea", "Anna sees some bread"]
SEARCHES = ["recall@1", "recall@10", "recall@100", "mrr@10", "ndcg@10"]


def table(header, rows):
    return "".join(f"{','.join(map(str, row))}\n" for row in (header, *rows))


SAYINGS = [
    (f"{n} sees {t}", f"{t} is seen by {n}") for n in NAMES for t in THINGS
]
FILES = {
    "scored.csv": table(
        ["sentence1", "sentence2", "score"],
        [(*pair, place % 6) for place, pair in enumerate(SAYINGS)],
    ),
    "pairs.csv": table(["anchor", "positive"], SAYINGS),
    "triples.csv": table(
        ["anchor", "positive", "negative"],
        [
            (*pair, other)
            for pair, (other, _) in zip(SAYINGS, SAYINGS[::-1], strict=True)
        ],
    ),
    "labelled.csv": table(
        ["text", "label"],
        [(a, a.split()[0]) for a, _ in SAYINGS] + [("alone", "x")],
    ),
    "lines.txt": "".join(f"{a}\n" for a, _ in SAYINGS),
    "same.csv": table(["anchor", "positive"], [SAYINGS[0]] * 4),
    "chain.csv": table(["anchor", "positive"], [("a", "b"), ("b", "c")]),
    "one_anchor.csv": table(
        ["anchor", "positive", "negative"],
        [("which", positive, other) for positive, other in SAYINGS],
    ),
    "constant.csv": table(
        ["sentence1", "sentence2", "score"],
        [(*pair, 3) for pair in SAYINGS[:2]],
    ),
    "one_label.csv": table(["text", "label"], [("a", "x"), ("b", "x")]),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = make_folder(tmp_path_factory.mktemp("vectors"))
    for name, text in FILES.items():
        write(folder, name, text)
    (folder / "beir" / "qrels").mkdir(parents=True)
    for name, column in (("queries", 0), ("corpus", 1)):
        rows = [
            {"_id": str(place), "text": pair[column]}
            for place, pair in enumerate(SAYINGS)
        ]
        lines = "".join(f"{json.dumps(row)}\n" for row in rows)
        write(folder / "beir", f"{name}.jsonl", lines)
    rows = [f"{n}\t{n}\t1\n" for n in range(len(SAYINGS))]
    qrels = "query-id\tcorpus-id\tscore\n" + "".join(rows)
    write(folder / "beir" / "qrels", "test.tsv", qrels)
    return folder


def arguments(folder, **changes):
    values = {
        "vocab_file": str(folder / "vocab.txt"),
        "bert_config_file": str(folder / "config.json"),
        "train_file": str(folder / "scored.csv"),
        "output_dir": str(folder / "out"),
        "max_seq_length": 16,
        "train_batch_size": 8,
        "num_train_epochs": 1.0,
        "learning_rate": 1e-3,
        **changes,
    }
    return {name: v for name, v in values.items() if v is not None}


def run(folder, **changes):
    TRAIN.run(**arguments(folder, **changes))


@pytest.fixture(scope="module")
def trained(folder):
    """The folder of a run on scored pairs."""
    run(
        folder,
        do_train=True,
        do_eval=True,
        do_export=True,
        dev_file=str(folder / "scored.csv"),
        retrieval_dir=str(folder / "beir"),
        eval_steps=2,
        matryoshka_sizes=["16", "12", "8"],
        dimension=8,
    )
    return folder / "out"


@pytest.mark.slow
def test_scores_are_written_for_each_size(trained):
    names = [f"eval_{n}" for n in ("spearman", "pearson", *SEARCHES)]
    expected = {f"{n}{e}" for n in names for e in ("", "_dim16", "_dim12")}
    results = results_of(trained / "eval_results.txt")
    assert {*results} == {*expected, "global_step"}
    # The best of two evaluations is loaded, and gives its scores again.
    record = read_json(trained / "train.json")
    evaluations = record["train"]["evaluations"]
    assert [scores["step"] for scores in evaluations] == [2, 4]
    assert record["train"]["flags"]["metric_for_best"] == "eval_spearman"
    best = max(evaluations, key=lambda scores: scores["eval_spearman"])
    assert best["step"] == int(results["global_step"])
    assert best["eval_ndcg@10"] == pytest.approx(
        float(results["eval_ndcg@10"]), abs=1e-6
    )
    assert float(results["eval_recall@100"]) == 1  # Of 32 texts.


@pytest.mark.slow
def test_the_export_answers_as_the_run(trained):
    embedder = TextEmbedder.from_pretrained(str(trained))
    vectors = embedder.embed(TEXTS)
    assert vectors.shape == (3, 8)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    answers = Predictor(str(trained)).predict(TEXTS)
    found = [answer["embedding"] for answer in answers]
    np.testing.assert_allclose(found, vectors, atol=1e-5)


@pytest.mark.slow
def test_a_later_command_knows_the_run(trained):
    with TRAIN.flags(output_dir=str(trained), do_eval=True) as flags:
        defaults.from_earlier_run(("embeddings",), trains=False)
        assert (flags.train_on, flags.loss) == ("scored", "cosent")
        assert (flags.dimension, flags.max_seq_length) == (8, 16)
        assert flags.matryoshka_sizes == ["16", "12", "8"]
        assert flags.dev_file.endswith("scored.csv")
        assert flags.init_checkpoint is None


@pytest.mark.slow
def test_other_tools_make_vectors_as_the_run(trained, monkeypatch):
    with EXTRACT.flags(pretrained=str(trained), layers="-1") as flags:
        defaults.use_pretrained()
        config, _ = model_files.read_config_and_tokenizer()
        expected = {
            "pooling": "mean",
            "layers": (-1,),
            "normalize": True,
            "dimension": 8,
        }
        assert model_files.pooling_settings(config) == expected
        assert flags.init_checkpoint.startswith(str(trained / "best"))
    model = BertEmbedder.from_pretrained(str(trained))
    assert (model.layer_indexes, model.dimension) == ((-1,), 8)
    exported = {}
    monkeypatch.setattr(
        export_run,
        "export_trained",
        lambda folder, model, **others: exported.update(others, model=model),
    )
    EXPORT.run(output_dir=str(trained), export_dir=str(trained / "a"))
    assert {name: exported[name] for name in expected} == expected
    EXPORT.run(
        output_dir=str(trained), export_dir=str(trained / "a"), dimension=12
    )
    assert exported["dimension"] == 12


# (file, the texts of its first row, rows of an epoch).
ROWS = {
    "pairs.csv": [*SAYINGS[0]],
    "triples.csv": [*SAYINGS[0], SAYINGS[-1][0]],
    "lines.txt": [SAYINGS[0][0]] * 2,
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_texts(folder, name):
    with TRAIN.flags(**arguments(folder, train_file=str(folder / name))):
        _, rows, loss = embedding_data.read_training(seed=1)
    assert loss == "in_batch_negatives"
    assert rows.texts_of(0) == ROWS[name]
    assert len(rows) == rows.num_examples == len(SAYINGS)
    assert len(np.unique(rows.targets["label_ids"])) == len(SAYINGS)


@pytest.mark.parametrize(
    ("name", "column"),
    [("labelled.csv", "label_column"), ("scored.csv", "score_column")],
)
def test_a_column_that_is_not_there_is_named(folder, name, column, monkeypatch):
    """The file is not read as something else, without a word."""
    changes = {"train_file": str(folder / name), column: "nope"}
    with TRAIN.flags(**arguments(folder, **changes)) as flags:
        monkeypatch.setattr(flags[column], "present", 1)
        message = f"{column}=nope: .*{name} is read as .*, without this column"
        with pytest.raises(UserError, match=message):
            embedding_data.read_training(seed=1)
    # The score column may be that of the dev file.
    if column == "score_column":
        changes["dev_file"] = str(folder / name)
        with TRAIN.flags(**arguments(folder, **changes)) as flags:
            monkeypatch.setattr(flags[column], "present", 1)
            groups, _, _ = embedding_data.read_training(seed=1)
        assert groups.kind == "pairs"


def test_triples_have_negatives_of_their_own(folder):
    """Also where all anchors are the same, and in a batch of one row."""
    for loss in ("in_batch_negatives", "triplet"):
        values = arguments(
            folder, train_file=str(folder / "one_anchor.csv"), loss=loss
        )
        with TRAIN.flags(**{**values, "train_batch_size": 1}):
            _, rows, _ = embedding_data.read_training(seed=1)
        assert len(rows) == len(SAYINGS)


def test_labels_make_pairs(folder, caplog):
    values = arguments(
        folder, train_file=str(folder / "labelled.csv"), num_train_epochs=3.5
    )
    with TRAIN.flags(**values):
        _, rows, _ = embedding_data.read_training(seed=1)
    assert (len(rows), rows.num_examples) == (4 * 32, 32)
    for row in range(len(rows)):
        first, second = rows.texts_of(row)
        assert first != second and first[:4] == second[:4]
    assert "1 of 33 rows has a label that no other row has" in caplog.text


def test_batches_have_all_texts_of_a_row(folder):
    values = arguments(folder, train_file=str(folder / "triples.csv"))
    with TRAIN.flags(**values) as flags:
        _, rows, _ = embedding_data.read_training(seed=1)
        reader = labelled_run.make_reader(
            model_files.read_tokenizer(), flags.flag_values_dict()
        )
        batches = embedding_data.training_batches(
            tf.distribute.get_strategy(), rows, reader, seed=1
        )(first_step=1)
        batch = next(iter(batches))
    assert batches.element_spec["input_ids"].shape.as_list()[1] == 3
    assert batch["input_ids"].shape[:2] == (8, 3)
    for index in range(8):
        place = int(batch["example_index"][index])
        for text, ids, mask in zip(
            rows.texts_of(place),
            batch["input_ids"][index].numpy(),
            batch["input_mask"][index].numpy(),
            strict=True,
        ):
            _, tokens = reader.convert(text)
            expected = reader.tokenizer.convert_tokens_to_ids(tokens)
            assert ids[mask == 1].tolist() == expected
            assert not batch["segment_ids"][index].numpy().any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"train_file": "pairs.csv", "train_batch_size": 1},
            "--train_batch_size=1: a batch of one row has nothing to be",
        ),
        (
            {"train_file": "pairs.csv", "train_on": "triples"},
            "and not anchor, positive and negative",
        ),
        ({"train_file": "same.csv"}, "4 rows and no negatives"),
        ({"train_file": "one_label.csv"}, "all 2 rows have the label 'x'"),
        ({"loss": "triplet"}, "--loss=triplet: not for scored: cosent or"),
        ({"matryoshka_sizes": ["8", "x"]}, "=8,x: different whole numbers"),
        ({"matryoshka_sizes": ["32"]}, "=32: vectors have 16 components"),
        ({"dimension": 17}, "--dimension=17: vectors have 16 components"),
        (
            {"matryoshka_sizes": ["8", "9" * 5000]},
            "different whole numbers from 1",
        ),
        ({"train_file": "chain.csv"}, "2 rows and no negatives: rows that"),
        ({"score_range": ["5", "0"]}, "two numbers are needed, the smaller"),
        ({"score_range": ["0", "inf"], "loss": "cosine"}, "two numbers are"),
        ({"score_range": ["0", "1", "5"], "loss": "cosine"}, "two numbers are"),
        (
            {"do_eval": True, "dev_file": "constant.csv"},
            "constant.csv: 2 rows and one score, 3: there is no order",
        ),
        ({"pooling": "none"}, "--pooling=none: a text needs one vector"),
        ({"do_eval": True}, "--do_eval needs --dev_file, --retrieval_dir or"),
        (
            {"do_eval": True, "dev_file": "pairs.csv"},
            "and not sentence1, sentence2 and score",
        ),
        (
            {
                "do_eval": True,
                "dev_file": "scored.csv",
                "metric_for_best": "eval_spearmen",
            },
            "did you mean eval_spearman?",
        ),
        ({"train_batch_size": 64}, "is less than one step"),
    ],
)
def test_mistakes_are_named_and_nothing_is_written(folder, changes, message):
    for name in ("train_file", "dev_file"):
        if name in changes:
            changes = {**changes, name: str(folder / changes[name])}
    with pytest.raises(UserError) as error:
        run(folder, do_train=True, output_dir=str(folder / "new"), **changes)
    assert message in str(error.value)
    assert not (folder / "new").exists()


@pytest.mark.slow
def test_without_an_evaluation(folder):
    values = {
        "num_train_epochs": 0.5,
        "output_dir": str(folder / "short"),
        "train_file": str(folder / "triples.csv"),
        "loss": "triplet",
    }
    run(folder, do_train=True, dimension=4, **values)
    assert (folder / "short" / "model.ckpt-2.index").exists()
    assert not (folder / "short" / "eval_results.txt").exists()
    assert read_json(folder / "short" / "task.json")["dimension"] == 4


@pytest.mark.slow
def test_it_resumes_with_the_same_result(tmp_path, folder):
    settings = {
        "train_file": str(folder / "labelled.csv"),
        "do_train": True,
        "num_train_epochs": 2.0,
        "symmetric_loss": True,
        "gradient_accumulation_steps": 2,
    }
    run(folder, output_dir=str(tmp_path / "whole"), **settings)
    parts = {**settings, "output_dir": str(tmp_path / "parts")}
    run(folder, **parts, save_checkpoints_steps=3)
    for path in (tmp_path / "parts").glob("model.ckpt-[!3]*"):
        path.unlink()
    run(folder, **parts)
    whole, again = (
        values_of(tmp_path / part / "model.ckpt-8")
        for part in ("whole", "parts")
    )
    for variable, values in whole.items():
        np.testing.assert_allclose(again[variable], values, atol=1e-6)


@pytest.mark.slow
def test_an_int8_export_is_compared(trained, folder):
    run(folder, do_eval=True, do_export=True, export_int8=True, train_file=None)
    description = read_json(trained / "export/assets.extra/model.json")
    assert description["dimension"] == 8
    assert description["int8"]["agreement"] > 0.99
    embedder = TextEmbedder.from_pretrained(str(trained))
    vectors = embedder.embed(TEXTS)
    answers = Predictor(str(trained), engine="int8").predict(TEXTS)
    for vector, answer in zip(vectors, answers, strict=True):
        assert vector @ answer["embedding"] > 0.99
