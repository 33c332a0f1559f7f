"""Heads and losses of labelled texts, against their definitions."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import tree
from support.common import TINY_CONFIG

from bert_tf import losses
from bert_tf.dropout import Dropout
from bert_tf.heads import (
    BertClassifier,
    BertMultipleChoice,
    BertPretrainer,
    BertRelationClassifier,
    BertSpanLabeler,
    BertTokenClassifier,
)
from bert_tf.layer_norm import LayerNorm
from bert_tf.modeling import BertModel
from bert_tf.optimization import AdamWeightDecay
from bert_tf.pooling import NO_CHOICE, BertEmbedder

RNG = np.random.default_rng(3)
# No setting is the default, so that a copy without it shows.
CONFIG = dataclasses.replace(
    TINY_CONFIG,
    hidden_act="gelu_exact",
    layer_norm_eps=1e-3,
    hidden_dropout_prob=0.2,
    attention_probs_dropout_prob=0.3,
)
# Three examples of up to three sequences: the second has two, the third one.
LENGTHS = np.array([[6, 6, 3], [6, 2, 0], [4, 0, 0]])


def sequences(lengths=LENGTHS, length=6):
    """Features of any shape, with the given number of tokens in each row."""
    mask = (np.arange(length) < np.array(lengths)[..., None]).astype("int32")
    ids = RNG.integers(1, 20, mask.shape).astype("int32") * mask
    return {"input_ids": ids, "input_mask": mask, "segment_ids": 0 * mask}


def filled(model):
    """Random values where new weights would be zero or tiny."""
    for variable in model.trainable_variables:
        variable.assign(RNG.normal(size=variable.shape) * 0.3)
    return model


# ---------------------------------------------------------------------------
# Every head.


@dataclasses.dataclass(frozen=True)
class Head:
    """A head, an example batch and the expected properties of its outputs.

    Attributes:
        kind: the class.
        settings: arguments other than the defaults.
        lengths: number of tokens of each sequence of the batch.
        shapes: shapes of the outputs.
        own: paths of the variables outside the encoder.
        positions: {name: shape} of further inputs, which are places.
        unused: starts of the paths of variables that no output depends on.
        is_float32: whether outputs are float32 in half precision, too.
        shifts_all: paths of variables that change all logits of an example
            alike, which softmax ignores: only rounding moves them.
    """

    kind: type
    settings: dict
    lengths: np.ndarray
    shapes: tuple | dict
    own: set
    positions: dict = dataclasses.field(default_factory=dict)
    unused: tuple = ()
    is_float32: bool = False
    shifts_all: tuple = ()

    def make(self, **kwargs):
        return self.kind(CONFIG, **self.settings, **kwargs)

    def batch(self):
        batch = sequences(self.lengths)
        for name, shape in self.positions.items():
            batch[name] = RNG.integers(0, 3, shape).astype("int32")
        return batch


OUTPUT = {"output_weights", "output_bias"}
HEADS = {
    "classifier": Head(
        BertClassifier,
        {"num_labels": 5, "dropout_rate": 0.2},
        LENGTHS[:, 0],
        (3, 5),
        OUTPUT,
    ),
    "classifier of windows": Head(
        BertClassifier,
        {"num_labels": 5, "hidden_units": 4, "pooling": "max"},
        LENGTHS,
        (3, 5),
        OUTPUT | {"hidden/kernel", "hidden/bias"},
        is_float32=True,
    ),
    "token classifier": Head(
        BertTokenClassifier,
        {"num_labels": 5, "dropout_rate": 0.2},
        LENGTHS[:, 0],
        (3, 6, 5),
        OUTPUT,
        unused=("bert/pooler/",),
    ),
    "relation classifier": Head(
        BertRelationClassifier,
        {"num_labels": 5, "dropout_rate": 0.2},
        LENGTHS[:, 0],
        (3, 5),
        OUTPUT,
        positions={"entity_positions": (3, 2)},
        unused=("bert/pooler/",),
    ),
    "multiple choice": Head(
        BertMultipleChoice,
        {"dropout_rate": 0.2},
        LENGTHS,
        (3, 3),
        OUTPUT,
        is_float32=True,
        shifts_all=("output_bias",),
    ),
    "span labeler": Head(
        BertSpanLabeler,
        {},
        LENGTHS[:, 0],
        {"start_logits": (3, 6), "end_logits": (3, 6)},
        {f"cls/squad/{name}" for name in OUTPUT},
        unused=("bert/pooler/",),
    ),
    "pretrainer": Head(
        BertPretrainer,
        {},
        LENGTHS[:, 0],
        {"mlm_logits": (3, 2, 20), "nsp_logits": (3, 2)},
        {
            "cls/predictions/output_bias",
            "cls/predictions/transform/LayerNorm/beta",
            "cls/predictions/transform/LayerNorm/gamma",
            "cls/predictions/transform/dense/bias",
            "cls/predictions/transform/dense/kernel",
            *(f"cls/seq_relationship/{name}" for name in OUTPUT),
        },
        positions={"masked_lm_positions": (3, 2)},
    ),
    "embedder": Head(
        BertEmbedder,
        {"pooling": "max", "layers": [0, -1], "normalize": True},
        LENGTHS[:, 0],
        (3, 16),
        set(),
        unused=("bert/pooler/",),
        is_float32=True,
    ),
}


@pytest.fixture(params=HEADS, scope="module")
def head(request):
    return HEADS[request.param]


@pytest.fixture(scope="module")
def model(head):
    """The head with random weights; tests leave them as they are."""
    return filled(head.make())


def shapes_of(outputs):
    # A tuple is a structure to keras.tree, so shapes come without it.
    if isinstance(outputs, dict):
        return {name: tuple(x.shape) for name, x in outputs.items()}
    return tuple(outputs.shape)


def assert_equal(outputs, expected):
    tree.map_structure(np.testing.assert_array_equal, outputs, expected)


def test_variables_exist_before_the_first_call(head):
    model = head.make()
    paths = [variable.path for variable in model.weights]
    assert model.built and len(set(paths)) == len(paths)
    assert {p for p in paths if not p.startswith("bert/")} == head.own
    model(head.batch())
    assert [variable.path for variable in model.weights] == paths


def test_shapes_are_the_same_symbolic_and_eager(head, model):
    batch = head.batch()
    outputs = model(batch)
    assert shapes_of(outputs) == head.shapes
    assert all(x.dtype == tf.float32 for x in tree.flatten(outputs))
    symbols = {
        name: keras.Input(x.shape[1:], batch_size=len(x), dtype="int32")
        for name, x in batch.items()
    }
    assert shapes_of(model(symbols)) == head.shapes


@pytest.mark.slow  # A second for each head.
@pytest.mark.filterwarnings("ignore:Gradients do not exist:UserWarning")
def test_a_step_of_fit_moves_what_the_outputs_depend_on(
    head, tmp_path, monkeypatch
):
    """After it is saved and loaded, the next step is the same."""
    model = filled(head.make())
    batch = head.batch()
    outputs = model(batch)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        AdamWeightDecay(1e-3),
        tree.map_structure(lambda _: loss, outputs),
        run_eagerly=True,
    )
    labels = tree.map_structure(
        lambda x: np.zeros(x.shape[:-1], "int32"), outputs
    )
    before = model.get_weights()
    history = model.fit(batch, labels, epochs=1, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    moved = {
        variable.path: not np.array_equal(variable, old)
        for variable, old in zip(model.weights, before, strict=True)
    }
    for path, has_moved in moved.items():
        if not path.endswith(("key/bias", *head.shifts_all)):
            assert has_moved != path.startswith(head.unused), path

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    # Keras' generators, from which `fit` draws dropout, start anew.
    monkeypatch.setattr(Dropout, "num_dropped", 0)
    histories = [
        each.fit(batch, labels, shuffle=False, verbose=0).history
        for each in (model, loaded)
    ]
    assert histories[0] == histories[1]
    assert_same_variables(loaded, model)
    assert_same_variables(loaded.optimizer, model.optimizer)


def assert_same_variables(ours, theirs):
    values = [
        {v.path: np.array(v) for v in getattr(x, "weights", x.variables)}
        for x in (ours, theirs)
    ]
    assert list(values[0]) == list(values[1])
    assert_equal(*values)


def test_configs_make_the_same_model(head, model):
    assert head.settings.items() <= model.get_config().items()
    copy = type(model).from_config(model.get_config())
    assert copy.get_config() == model.get_config()
    shapes = [(v.path, v.shape) for v in model.weights]
    assert [(v.path, v.shape) for v in copy.weights] == shapes
    copy.set_weights(model.get_weights())
    batch = head.batch()
    assert_equal(copy(batch), model(batch))


def assert_same_model(ours, theirs, batch):
    """All but the numbers of Keras' generators."""
    assert type(ours) is type(theirs) and ours.config == CONFIG
    assert ours.get_config() == theirs.get_config()
    layers = [
        [
            (layer.path, layer.dtype_policy.name, getattr(layer, "rate", None))
            for layer in each._flatten_layers()
        ]
        for each in (ours, theirs)
    ]
    assert layers[0] == layers[1]
    assert_same_variables(ours, theirs)
    assert_equal(ours(batch), theirs(batch))


@pytest.mark.parametrize(
    "policy",
    ["float32", pytest.param("mixed_bfloat16", marks=pytest.mark.slow)],
)
def test_a_saved_model_is_the_same(head, model, tmp_path, policy):
    """In the precision and with the settings that it was saved with."""
    batch, saved = head.batch(), head.make(dtype=policy)
    saved.set_weights(model.get_weights())
    saved.bert.encoder.recompute = True
    saved.bert.compute_padding = False
    saved.bert.packed_rows = 3
    saved.save(tmp_path / "model.keras")
    saved.save_weights(tmp_path / "model.weights.h5")

    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_same_model(loaded, saved, batch)
    assert loaded.bert.encoder.recompute and loaded.bert.packed_rows == 3
    assert not loaded.bert.compute_padding
    clone = keras.models.clone_model(saved)
    clone.load_weights(tmp_path / "model.weights.h5")
    assert_same_model(clone, saved, batch)


def test_a_saved_encoder_is_the_same(tmp_path):
    batch = sequences(LENGTHS[:, 0])
    saved = filled(BertModel(CONFIG, dtype="mixed_float16"))
    saved.save(tmp_path / "encoder.keras")
    loaded = keras.models.load_model(tmp_path / "encoder.keras")
    assert_same_model(loaded, saved, batch)


def test_every_normalization_has_the_epsilon_of_the_config(head, model):
    layers = [x for x in model._flatten_layers() if isinstance(x, LayerNorm)]
    number = 1 + 2 * CONFIG.num_hidden_layers + (head.kind is BertPretrainer)
    assert [x.epsilon for x in layers] == [1e-3] * number


@pytest.mark.slow  # A second for each head.
def test_keras_exports_it(head, model, tmp_path):
    """Without a call or a signature before; [B, S] with any B and S."""
    batch = head.batch()
    signature = None
    if batch["input_ids"].shape != (3, 6) and head.kind is BertClassifier:
        signature = [
            {
                name: keras.InputSpec("int32", (None, None, None), name=name)
                for name in batch
            }
        ]
    expected = model(batch)
    copy = type(model).from_config(model.get_config())
    copy.set_weights(model.get_weights())
    folder = str(tmp_path / "export")
    copy.export(folder, verbose=False, input_signature=signature)
    serve = tf.saved_model.load(folder).signatures["serving_default"]
    outputs = serve(**{name: tf.constant(x) for name, x in batch.items()})
    found = {name: x.numpy() for name, x in outputs.items()}
    if not isinstance(expected, dict):
        (found,) = found.values()
    tree.map_structure(
        lambda ours, theirs: np.testing.assert_allclose(
            ours, theirs, atol=1e-5
        ),
        found,
        expected,
    )


def test_relations_have_two_places_among_their_inputs():
    model = BertRelationClassifier(TINY_CONFIG, 4)
    inputs = {
        name: keras.Input(shape[1:], dtype="int32")
        for name, shape in model.input_shapes().items()
    }
    assert inputs["entity_positions"].shape == (None, 2)
    assert model(inputs).shape == (None, 4)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision(head, model, precision):
    keras.config.set_dtype_policy(f"mixed_{precision}")
    try:
        half = head.make()
    finally:
        keras.config.set_dtype_policy("float32")
    assert {variable.dtype for variable in half.weights} == {"float32"}
    half.set_weights(model.get_weights())
    batch = head.batch()
    outputs = half(batch)
    dtype = "float32" if head.is_float32 else precision
    assert {x.dtype.name for x in tree.flatten(outputs)} == {dtype}
    assert half.bert(sequences([6]))["pooled_output"].dtype == precision

    def assert_close(ours, expected):
        ours = np.array(ours, "float32")
        np.testing.assert_allclose(ours, expected, atol=0.05, rtol=0.05)

    tree.map_structure(assert_close, outputs, model(batch))


# ---------------------------------------------------------------------------
# Their definitions.


def of_each(model, batch):
    """Logits of each sequence by itself, [B, N, C]."""
    columns = [
        model({name: x[:, i] for name, x in batch.items()})
        for i in range(batch["input_ids"].shape[1])
    ]
    return np.stack([np.array(x) for x in columns], axis=1)


@pytest.mark.parametrize("hidden_units", [None, 5])
@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_windows_are_pooled_and_empty_ones_do_not_count(pooling, hidden_units):
    model = filled(
        BertClassifier(
            TINY_CONFIG, 4, hidden_units=hidden_units, pooling=pooling
        )
    )
    batch = sequences()
    pool = {"mean": np.mean, "max": np.max}[pooling]
    expected = [
        pool(logits[: np.count_nonzero(lengths)], axis=0)
        for logits, lengths in zip(of_each(model, batch), LENGTHS, strict=True)
    ]
    np.testing.assert_allclose(model(batch), expected, atol=1e-5)
    # A row that only fills up the batch has no window, and stays finite.
    empty = {name: 0 * x for name, x in batch.items()}
    assert np.isfinite(np.array(model(empty))).all()


def test_hidden_layer():
    model = filled(BertClassifier(TINY_CONFIG, 2, hidden_units=5))
    batch = sequences([6, 3])
    x = np.array(model.bert(batch)["pooled_output"])
    kernel, bias = (np.array(v) for v in model.hidden.variables)
    x = np.maximum(x @ kernel + bias, 0)
    x = x @ np.array(model.output_weights).T + np.array(model.output_bias)
    np.testing.assert_allclose(model(batch), x, atol=1e-5)
    paths = {variable.path for variable in model.variables}
    assert {"hidden/kernel", "hidden/bias", "output_weights"} <= paths
    with pytest.raises(ValueError, match="mean, max. Received: pooling=sum"):
        BertClassifier(TINY_CONFIG, 2, pooling="sum")


def test_token_classifier():
    model = filled(BertTokenClassifier(TINY_CONFIG, 3))
    batch = sequences([6, 3])
    x = np.array(model.bert(batch)["sequence_output"])
    x = x @ np.array(model.output_weights).T + np.array(model.output_bias)
    np.testing.assert_allclose(model(batch), x, atol=1e-5)


def test_multiple_choice():
    model = filled(BertMultipleChoice(TINY_CONFIG))
    batch = sequences()
    logits = np.array(model(batch))
    scorer = BertClassifier(TINY_CONFIG, 1)
    for target, source in zip(scorer.variables, model.variables, strict=True):
        target.assign(source)
    expected = of_each(scorer, batch)[..., 0]
    is_there = LENGTHS > 0
    np.testing.assert_allclose(logits[is_there], expected[is_there], atol=1e-5)
    assert (logits[~is_there] == NO_CHOICE).all()


def value_of(terms, outputs, batch):
    (term,) = terms
    numerator = np.array(term.numerator(outputs, batch))
    return numerator / np.array(term.denominator(batch))


REAL = np.array([1, 1, 0])


def test_multi_label_loss():
    logits = RNG.normal(size=(3, 4)).astype("float32") * 5
    labels = RNG.integers(0, 2, (3, 4)).astype("int32")
    batch = {"label_ids": labels, "is_real_example": REAL}
    right = 1 / (1 + np.exp(-logits))
    each = -np.log(np.where(labels == 1, right, 1 - right))[:2].mean()
    found = value_of(losses.multi_label_loss(), logits, batch)
    np.testing.assert_allclose(found, each, rtol=1e-5)


def test_regression_loss():
    outputs = np.array([[1.0], [2.0], [9.0]], "float32")
    values = np.array([0.0, 4.0, 0.0], "float32")
    batch = {"label_values": values, "is_real_example": REAL}
    found = value_of(losses.regression_loss(), outputs, batch)
    np.testing.assert_allclose(found, (1 + 4) / 2)


def test_tagging_loss_counts_the_first_pieces():
    logits = RNG.normal(size=(2, 3, 4)).astype("float32")
    labels = np.array([[1, 0, 3], [2, 0, 0]], "int32")
    mask = np.array([[1, 0, 1], [1, 0, 0]], "int32")
    batch = {"label_ids": labels, "label_mask": mask}
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    each = [log_probs[0, 0, 1], log_probs[0, 2, 3], log_probs[1, 0, 2]]
    found = value_of(losses.tagging_loss(), logits, batch)
    np.testing.assert_allclose(found, -np.mean(each), rtol=1e-5)
