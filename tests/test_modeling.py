"""BertModel and BertClassifier against the original and against NumPy."""

import collections
import dataclasses
import functools
import inspect
import itertools
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from support import numpy_bert
from support.common import GOLDEN, TINY_CONFIG, read_json, read_npz, shared
from tensorflow.python.eager import context

from bert_tf import BertConfig, BertModel, activations, attention, losses
from bert_tf.checkpoints import Checkpoint, load_weights
from bert_tf.dropout import Dropout
from bert_tf.embeddings import TextEmbedder
from bert_tf.heads import BertClassifier, BertPretrainer, BertSpanLabeler

ODD = GOLDEN / "modeling" / "odd"
# The row whose mask is all zeros: -10000 in float32 leaves fewer digits.
LOOSE_ROW, TOLERANCE, LOOSE_TOLERANCE = -1, 5e-5, 2e-4


@functools.cache
def golden(name):
    """(folder, classifier with the golden weights, inputs) of one model."""
    folder = ODD if name == "odd" else shared(f"golden/2_modeling/{name}")
    config = BertConfig.from_json_file(str(folder / "bert_config.json"))
    head = read_npz(folder / "head_classifier.npz")
    model = BertClassifier(config, len(head["output_bias"]))
    load_weights(model, str(folder / "bert_model.ckpt"))
    for name in head:
        getattr(model, name).assign(head[name])
    inputs = read_npz(folder / "inputs.npz")
    names = ("input_ids", "input_mask", "segment_ids")
    return folder, model, {n: inputs[n] for n in names}


@functools.cache
def tiny_model():
    keras.utils.set_random_seed(1)
    return BertModel(TINY_CONFIG)


def assert_close(ours, theirs, name):
    ours = np.asarray(ours)
    np.testing.assert_allclose(
        ours[:LOOSE_ROW],
        theirs[:LOOSE_ROW],
        atol=TOLERANCE,
        rtol=0,
        err_msg=name,
    )
    np.testing.assert_allclose(
        ours[LOOSE_ROW],
        theirs[LOOSE_ROW],
        atol=LOOSE_TOLERANCE,
        rtol=0,
        err_msg=name,
    )


def named_outputs(outputs):
    layers = outputs["all_encoder_layers"]
    return {
        **{n: outputs[n] for n in outputs if n != "all_encoder_layers"},
        **{f"layer_{i}": layer for i, layer in enumerate(layers)},
    }


@pytest.mark.parametrize("name", ["odd", "tiny"])
def test_every_output_is_the_originals(name):
    folder, model, inputs = golden(name)
    expected = read_npz(folder / "outputs_pretrain.npz")
    outputs = named_outputs(model.bert(inputs))
    assert len(outputs) >= 3 + model.config.num_hidden_layers
    for output in outputs:
        assert_close(outputs[output], expected[output], output)
    alone = model.bert({"input_ids": inputs["input_ids"]})["sequence_output"]
    assert_close(
        alone, expected["sequence_output_no_mask_no_types"], "ids alone"
    )
    expected = read_npz(folder / "outputs_classifier.npz")
    logits = model(inputs)
    assert_close(logits, expected["classifier_logits"], "logits")


@functools.cache
def span_labeler(name):
    """The same for question answering: (folder, model, all inputs)."""
    folder = ODD if name == "odd" else shared(f"golden/2_modeling/{name}")
    model = BertSpanLabeler(
        BertConfig.from_json_file(str(folder / "bert_config.json"))
    )
    load_weights(model, str(folder / "bert_model.ckpt"))
    head = read_npz(folder / "head_squad.npz")
    for variable in model.cls.variables:
        variable.assign(head[variable.path])
    return folder, model, read_npz(folder / "inputs.npz")


@pytest.mark.parametrize("name", ["odd", "tiny"])
def test_span_logits_and_loss_are_the_originals(name):
    folder, model, inputs = span_labeler(name)
    expected = read_npz(folder / "outputs_squad.npz")
    names = ("input_ids", "input_mask", "segment_ids")
    logits = model({name: inputs[name] for name in names})
    for name in ("start_logits", "end_logits"):
        assert_close(logits[name], expected[f"squad_{name}"], name)
    batch = {
        "start_positions": inputs["start_positions"],
        "end_positions": inputs["end_positions"],
        "is_real_example": np.ones(len(inputs["input_ids"]), "int32"),
    }
    (term,) = losses.span_loss()
    loss = term.numerator(logits, batch) / term.denominator(batch)
    np.testing.assert_allclose(loss, expected["squad_loss"], atol=1e-5)
    # Rows that only fill up a batch do not count.
    batch["is_real_example"][2:] = 0
    few = {name: value[:2] for name, value in batch.items()}
    first = {name: value[:2] for name, value in logits.items()}
    np.testing.assert_allclose(
        term.numerator(logits, batch), term.numerator(first, few), atol=1e-6
    )
    assert term.denominator(batch) == 2


@functools.cache
def pretrainer(name):
    """The same for pretraining, whose heads are in the checkpoint."""
    folder = ODD if name == "odd" else shared(f"golden/2_modeling/{name}")
    model = BertPretrainer(
        BertConfig.from_json_file(str(folder / "bert_config.json"))
    )
    report = load_weights(model, str(folder / "bert_model.ckpt"))
    assert report.missing == report.unexpected == []
    return folder, model, read_npz(folder / "inputs.npz")


@pytest.mark.parametrize("name", ["odd", "tiny"])
def test_pretraining_outputs_and_losses_are_the_originals(name):
    folder, model, inputs = pretrainer(name)
    expected = read_npz(folder / "outputs_pretrain.npz")
    outputs = model(inputs)
    labels = inputs["next_sentence_labels"][:, 0]
    found = {
        "masked_lm_log_probs": ops.log_softmax(outputs["mlm_logits"]),
        "masked_lm_example_loss": losses.masked_lm_cross_entropy(
            outputs["mlm_logits"], inputs["masked_lm_ids"]
        ),
        "next_sentence_log_probs": ops.log_softmax(outputs["nsp_logits"]),
        "next_sentence_example_loss": losses.softmax_cross_entropy(
            outputs["nsp_logits"], labels
        ),
    }
    for name, ours in found.items():
        # The original has the predictions of all sequences in one row.
        theirs = expected[name].reshape(ours.shape)
        ours = np.asarray(ours)
        np.testing.assert_allclose(
            ours[:LOOSE_ROW], theirs[:LOOSE_ROW], atol=1e-5, err_msg=name
        )
        assert_close(ours, theirs, name)
    examples = {
        **inputs,
        "next_sentence_labels": labels,
        "is_real_example": np.ones(len(labels), "int32"),
    }
    for term in losses.pretraining_loss():
        loss = term.numerator(outputs, examples) / term.denominator(examples)
        np.testing.assert_allclose(
            loss, expected[term.name], atol=1e-5, err_msg=term.name
        )


def test_only_masked_positions_meet_the_vocabulary():
    """No tensor of the graph is [B, S, V], flat or not."""
    _, model, inputs = pretrainer("odd")
    names = ("input_ids", "masked_lm_positions")
    graph = (
        tf.function(model)
        .get_concrete_function({n: tf.constant(inputs[n]) for n in names})
        .graph
    )
    batch, length = inputs["input_ids"].shape
    predictions = inputs["masked_lm_positions"].shape[1]
    vocab_size = model.config.vocab_size
    sizes = {
        tensor.shape.num_elements()
        for operation in graph.get_operations()
        for tensor in operation.outputs
        if tensor.shape.rank and tensor.shape[-1] == vocab_size
    }
    assert batch * predictions * vocab_size in sizes
    assert batch * length * vocab_size not in sizes


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_act": "gelu"},
        {"hidden_act": "gelu_exact", "layer_norm_eps": 0.1},
        {"hidden_act": "relu"},
        {"hidden_act": "tanh"},
        {"hidden_act": "linear"},
    ],
)
def test_second_witness(changes):
    """An independent forward pass in NumPy, on random weights."""
    keras.utils.set_random_seed(3)
    config = BertConfig(**{**TINY_CONFIG.to_dict(), **changes})
    model = BertClassifier(config, 3)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(0, 0.3, variable.shape))
    inputs = {
        "input_ids": rng.integers(0, 20, (4, 9)).astype("int32"),
        "input_mask": rng.integers(0, 2, (4, 9)).astype("int32"),
        "segment_ids": rng.integers(0, 2, (4, 9)).astype("int32"),
    }
    inputs["input_mask"][:, 0] = 1
    variables = {v.path: v.numpy() for v in model.trainable_variables}
    expected = numpy_bert.bert(config.to_dict(), variables, **inputs)
    outputs = named_outputs(model.bert(inputs))
    for name, value in named_outputs(expected).items():
        np.testing.assert_allclose(outputs[name], value, atol=2e-5)
    np.testing.assert_allclose(
        model(inputs),
        numpy_bert.classify(variables, expected["pooled_output"]),
        atol=2e-5,
    )


@functools.cache
def pretrained():
    """A pretrained model with the exact gelu, and another library's outputs."""
    folder = shared("checkpoints/rxnfp_L-12_H-256")
    model = BertPretrainer(
        BertConfig.from_json_file(str(folder / "bert_config.json"))
    )
    report = load_weights(model, str(folder / "bert_model.ckpt"))
    assert report.missing == report.unexpected == []
    return model, read_npz(folder / "golden.npz")


def test_a_pretrained_model_with_the_exact_gelu():
    """Layers and logits are those of another implementation."""
    model, golden = pretrained()
    outputs = model(golden)
    encoded = model.bert(golden)
    layers = encoded["all_encoder_layers"]
    found = {
        **outputs,
        "embedding_output": encoded["embedding_output"],
        **{f"layer_{i}": layers[i - 1] for i in (1, 6, 12)},
    }
    is_token = golden["input_mask"] == 1
    for name, value in found.items():
        ours, theirs = np.asarray(value), golden[name]
        if name not in outputs:
            # The vector of a padding token is off by 4e-5 in theirs, too, if
            # both are compared with float64. Nobody reads it.
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-4)
            ours, theirs = ours[is_token], theirs[is_token]
        np.testing.assert_allclose(
            ours, theirs, rtol=0, atol=2e-5, err_msg=name
        )
    guesses = np.argmax(outputs["mlm_logits"], axis=-1)
    counts = golden["masked_lm_weights"] == 1
    assert np.mean((guesses == golden["masked_lm_ids"])[counts]) > 0.97


def exact_gelu(x):
    return numpy_bert.gelu_exact(np.asarray(x, np.float64))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "dtype, tolerance",
    # Half precision: the last digit of the outputs.
    [("float64", 1e-13), ("float32", 1e-6), ("float16", 5e-4)],
)
def test_gelu_exact(dtype, tolerance, training):
    x = tf.cast(np.linspace(-9, 9, 4001), dtype)
    expected = exact_gelu(tf.cast(x, tf.float64))
    found = activations.activate(x, "gelu_exact", training)
    assert found.dtype == dtype
    np.testing.assert_allclose(
        tf.cast(found, tf.float64), expected, rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize("training", [False, True])
def test_gelu_exact_in_bfloat16_keeps_the_digits_of_small_outputs(training):
    """Those of large negative inputs are lost where 1 + erf is rounded."""
    x = tf.cast(np.linspace(-2.5, 2.5, 1001), "bfloat16")
    expected = exact_gelu(tf.cast(x, tf.float64))
    found = activations.activate(x, "gelu_exact", training)
    np.testing.assert_allclose(
        tf.cast(found, tf.float64), expected, rtol=0.04, atol=1e-4
    )


def fused_into_products(config, policy):
    """How often each activation is part of a product, once it is optimized."""
    keras.config.set_dtype_policy(policy)
    try:
        model = BertModel(config)
    finally:
        keras.config.set_dtype_policy("float32")
    call = tf.function(lambda ids: model(ids)["sequence_output"])
    context.context().enable_run_metadata()
    try:
        call(tf.constant(random_inputs()))
        metadata = context.context().export_run_metadata()
    finally:
        context.context().disable_run_metadata()
    graphs = [g.post_optimization_graph for g in metadata.function_graphs]
    return collections.Counter(
        name.decode()
        for graph in graphs
        for node in graph.node
        for name in node.attr["fused_ops"].list.s
    )


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_both_forms_of_gelu_are_fused_into_products(policy):
    """TensorFlow does it where it has oneDNN; else it does neither."""
    exact = dataclasses.replace(TINY_CONFIG, hidden_act="gelu_exact")
    forms = [fused_into_products(c, policy) for c in (TINY_CONFIG, exact)]
    tanh, erf = (
        counts[name]
        for counts, name in zip(
            forms, ("GeluApproximate", "GeluExact"), strict=True
        )
    )
    assert tanh == erf
    assert tanh in (0, TINY_CONFIG.num_hidden_layers)


def random_inputs(batch=3, length=7):
    ids = np.random.default_rng(2).integers(1, 20, (batch, length))
    return ids.astype("int32")


def test_padding_changes_nothing():
    ids = random_inputs()
    padded = np.pad(ids, ((0, 0), (0, 5)))
    mask = (padded > 0).astype("int32")
    short = tiny_model()({"input_ids": ids})
    long = tiny_model()({"input_ids": padded, "input_mask": mask})
    np.testing.assert_allclose(
        short["sequence_output"],
        long["sequence_output"][:, : ids.shape[1]],
        atol=1e-6,
    )
    np.testing.assert_allclose(
        short["pooled_output"], long["pooled_output"], atol=1e-6
    )


def test_no_gradient_reaches_a_masked_position():
    """Tokens that the mask hides cannot change the others."""
    model, ids = tiny_model(), random_inputs()
    mask = np.ones_like(ids)
    mask[:, 5:] = 0
    with tf.GradientTape() as tape:
        embeddings = model.embeddings(ids, np.zeros_like(ids))
        tape.watch(embeddings)
        output = model.encoder(embeddings, mask)[-1][:, :5]
        score = tf.reduce_sum(
            output * tf.random.stateless_normal(output.shape, [1, 2])
        )
    gradient = tape.gradient(score, embeddings).numpy()
    assert np.all(gradient[:, 5:] == 0.0)
    assert np.all(np.abs(gradient[:, :5]).sum(axis=-1) > 0)


def test_batch_mates_do_not_matter():
    ids = random_inputs(batch=5)
    order = [3, 0, 4, 1, 2]
    np.testing.assert_allclose(
        tiny_model()({"input_ids": ids[order]})["pooled_output"],
        tiny_model()({"input_ids": ids})["pooled_output"].numpy()[order],
        atol=1e-6,
    )


def test_fully_masked_row_stays_finite():
    ids = random_inputs()
    outputs = tiny_model()({"input_ids": ids, "input_mask": np.zeros_like(ids)})
    assert np.isfinite(outputs["sequence_output"]).all()


def test_segment_id_outside_the_table_adds_nothing():
    ids = random_inputs()
    with_none = tiny_model().embeddings(ids, np.full_like(ids, 7))
    table = tiny_model().embeddings.token_type_embeddings
    saved = table.numpy()
    table.assign(np.zeros_like(saved))
    without = tiny_model().embeddings(ids, np.zeros_like(ids))
    table.assign(saved)
    np.testing.assert_allclose(with_none, without, atol=1e-6)


def test_too_long_a_sequence_is_refused():
    with pytest.raises(ValueError, match="max_position_embeddings=12"):
        tiny_model()({"input_ids": np.zeros((1, 13), "int32")})


def test_graph_with_unknown_shapes_equals_eager():
    ids = random_inputs()
    model = tiny_model()
    call = tf.function(
        lambda ids: model(ids)["pooled_output"],
        input_signature=[tf.TensorSpec([None, None], tf.int32)],
    )
    np.testing.assert_allclose(
        call(ids), model(ids)["pooled_output"], atol=1e-6
    )


def test_dropout_is_a_function_of_seed_and_path():
    one, other = Dropout(0.25, name="one"), Dropout(0.25, name="other")
    for layer in (one, other):
        layer.build((None,))
    x, seed = np.ones(40_000, "float32"), tf.constant([1, 2])

    def draw(layer, seed):
        return layer(x, training=True, seed=seed).numpy()

    mask = draw(one, seed)
    assert np.array_equal(mask, draw(one, seed))
    assert set(np.unique(mask)) == {0.0, np.float32(1 / 0.75)}
    assert abs((mask == 0).mean() - 0.25) < 0.01
    # Independent masks agree where both drop or both keep: 1 - 2 * 3/16.
    for independent in (draw(other, seed), draw(one, tf.constant([1, 3]))):
        agreement = ((mask == 0) == (independent == 0)).mean()
        assert abs(agreement - 0.625) < 0.01
    assert np.array_equal(one(x, training=False, seed=seed), x)
    compiled = tf.function(lambda: one(x, training=True, seed=seed))
    assert np.array_equal(compiled(), mask)


def test_dropout_outside_a_model():
    """Nobody builds it, so it has a name and no path."""
    x = np.ones(200, "float32")
    kept = Dropout(0.25)(x, training=True).numpy()
    assert set(np.unique(kept)) == {0.0, np.float32(1 / 0.75)}
    seed = tf.constant([1, 2])
    masks = [
        Dropout(0.25, name=name)(x, training=True, seed=seed).numpy()
        for name in ("one", "one", "other")
    ]
    assert np.array_equal(masks[0], masks[1])
    assert not np.array_equal(masks[0], masks[2])


def test_dropout_sits_where_the_originals_does(monkeypatch):
    """With every mask replaced by its mean, training mode is deterministic.

    The golden run multiplied by the keep probability at each dropout, with
    a rate for each kind of place, so that a missing or misplaced one shows.
    """
    calls = dict(read_json(ODD / "dropout_probe_calls.json"))
    folder, model, inputs = golden("odd")
    expected = read_npz(folder / "outputs_dropout_probe.npz")
    assert set(calls.values()) == {0.5, 0.75, 0.9}

    def mean(self, shape, dtype, training, seed):
        return ops.full(shape, 0.9 if self.path == "dropout" else 0.75, dtype)

    monkeypatch.setattr(Dropout, "mask", mean)
    # Attention drops nothing, and scales what it keeps.
    monkeypatch.setattr(attention, "_drop", lambda probs, *args: probs)
    monkeypatch.setattr(Dropout, "scale", 0.5)
    outputs = named_outputs(model.bert(inputs, training=True))
    outputs["logits"] = model(inputs, training=True)
    compared = 0
    for name in expected:
        if name in outputs:
            assert_close(outputs[name], expected[name], name)
            compared += 1
    assert compared >= 3, list(expected)


@pytest.mark.parametrize(
    "make, file",
    [
        (golden, "variables_classifier.json"),
        (span_labeler, "variables_squad.json"),
    ],
)
def test_variable_names_are_the_originals(make, file):
    folder, model, _ = make("odd")
    expected = {name: tuple(shape) for name, shape in read_json(folder / file)}
    actual = {v.path: tuple(v.shape) for v in model.trainable_variables}
    assert actual == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    "documented", [BertModel, BertClassifier, TextEmbedder]
)
def test_examples_in_docstrings_run(documented):
    lines = inspect.getdoc(documented).splitlines()
    start = next(
        number
        for number, line in enumerate(lines)
        if line.startswith(("    import ", "    from "))
    )
    example = itertools.takewhile(
        lambda line: not line or line.startswith("    "), lines[start:]
    )
    names = {}
    exec(textwrap.dedent("\n".join(example)), names)
    assert "model" in names or names["vectors"].shape == (3, 128)


def test_the_classifiers_own_variables_are_not_in_a_pretrained_checkpoint():
    folder, model, _ = golden("odd")
    actual = {v.path for v in model.trainable_variables}
    checkpoint = Checkpoint(str(folder / "bert_model.ckpt"))
    assert actual - set(checkpoint.shapes) == {
        "output_weights",
        "output_bias",
    }
