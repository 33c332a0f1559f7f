"""Small records of pretraining data, and run_pretraining.py as tests run it."""

import json

import numpy as np
import tensorflow as tf

from bert_tf.data.pretraining.dataset import pretraining_specs
from bert_tf.data.pretraining.shards import write_records
from support.programs import RUN_PRETRAINING, SMALL_CONFIG

LENGTH, PREDICTIONS = 12, 3
CONFIG = {
    **SMALL_CONFIG,
    "vocab_size": 100,
    "max_position_embeddings": LENGTH,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
SPECS = pretraining_specs(LENGTH, PREDICTIONS)


def examples(numbers, vocab_size=100):
    """{feature: values} of each number, which is the second of its ids."""
    for number in numbers:
        rng = np.random.default_rng(number)
        length = int(rng.integers(6, LENGTH + 1))
        num_predictions = int(rng.integers(1, PREDICTIONS + 1))
        places = np.arange(LENGTH)
        ids = rng.integers(5, vocab_size, LENGTH)
        ids[1] = number
        predicted = np.arange(PREDICTIONS) < num_predictions
        positions = 2 + np.sort(rng.permutation(length - 2)[:PREDICTIONS])
        yield {
            "input_ids": ids * (places < length),
            "input_mask": 1 * (places < length),
            "segment_ids": 1 * ((places >= 4) & (places < length)),
            "masked_lm_positions": positions * predicted,
            "masked_lm_ids": rng.integers(5, vocab_size, PREDICTIONS)
            * predicted,
            "masked_lm_weights": predicted.astype(float),
            "next_sentence_labels": [rng.integers(2)],
        }


def serialized(example: dict) -> bytes:
    """A record; values of the type float become floats."""
    features = {}
    for name, values in example.items():
        values = np.asarray(values)
        if values.dtype.kind == "f":
            kind = {"float_list": tf.train.FloatList(value=values)}
        else:
            kind = {"int64_list": tf.train.Int64List(value=values)}
        features[name] = tf.train.Feature(**kind)
    return tf.train.Example(
        features=tf.train.Features(feature=features)
    ).SerializeToString()


def write_examples(path, some_examples) -> str:
    write_records([str(path)], [*map(serialized, some_examples)])
    return str(path)


def changed(example: dict, **changes) -> dict:
    """Other values, {name: {place: value}, or all of them}; None for none."""
    example = dict(example)
    for name, values in changes.items():
        if values is None:
            del example[name]
        elif isinstance(values, dict):
            example[name] = np.array(example[name])
            for place, value in values.items():
                example[name][place] = value
        else:
            example[name] = values
    return example


def make_folder(folder):
    """Fills a folder with three files of 12, 6 and 3 records, and a config."""
    for name, numbers in {
        "a": range(12),
        "b": range(12, 18),
        "c": range(18, 21),
    }.items():
        write_examples(folder / f"{name}.tfrecord", examples(numbers))
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


def arguments(folder, **changes):
    values = {
        "input_file": f"{folder}/a.tfrecord,{folder}/[bc].tfrecord",
        "bert_config_file": str(folder / "config.json"),
        "output_dir": str(folder / "out"),
        "max_seq_length": LENGTH,
        "max_predictions_per_seq": PREDICTIONS,
        "train_batch_size": 4,
        "num_train_steps": 8,
        "num_warmup_steps": 2,
        "learning_rate": 1e-3,
        **changes,
    }
    return {name: v for name, v in values.items() if v is not None}


def run(folder, **changes):
    RUN_PRETRAINING.run(**arguments(folder, **changes))
