"""Models of `fit`: exported, they answer as they did in Keras."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.programs import DEMO, SMALL_CONFIG
from support.server_requests import predict, send_request
from support.serving_fakes import make_serving, running

from bert_tf import BertConfig, BertPreprocessor
from bert_tf.choices import POOLINGS
from bert_tf.data.relations import MARKS
from bert_tf.errors import UserError
from bert_tf.export import Predictor, export_model, fitted
from bert_tf.export.fitted_settings import FittedSettings
from bert_tf.export.question_windows import SquadSettings
from bert_tf.export.relations import MarkedReader, delimited
from bert_tf.export.serving_modules import SAMPLES, InputShape
from bert_tf.heads import (
    BertClassifier,
    BertMultipleChoice,
    BertPretrainer,
    BertRelationClassifier,
    BertSpanLabeler,
    BertTokenClassifier,
)
from bert_tf.optimization import AdamWeightDecay, WarmupLinearDecay
from bert_tf.pooling import BertEmbedder
from bert_tf.text.packing import ID_NAMES

VOCAB = str(DEMO / "demo" / "vocab.txt")
CONFIG = BertConfig.from_dict(SMALL_CONFIG)
LABELS = ["ham", "spähm", "no"]
TEXTS = [text.replace("\0", "") for text in SAMPLES]
# Padded no further than a batch needs, as people do it in tf.data.
PREPROCESS = BertPreprocessor(VOCAB, max_seq_length=24, length_multiple=8)


def randomized(model):
    """The model with outputs that differ from text to text."""
    rng = np.random.default_rng(0)
    model.output_weights.assign(rng.normal(size=model.output_weights.shape))
    return model


@pytest.fixture(scope="module")
def model():
    """A model that was compiled and fitted on raw texts in tf.data."""
    keras.utils.set_random_seed(3)
    model = randomized(BertClassifier(CONFIG, 3))
    dataset = tf.data.Dataset.from_tensor_slices((TEXTS, [0, 1, 2, 0, 1, 2]))
    dataset = dataset.batch(3).map(lambda t, label: (PREPROCESS(t), label))
    model.compile(
        AdamWeightDecay(WarmupLinearDecay(1e-2, 4)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    before = model.get_weights()
    fit = model.fit(dataset, epochs=2, shuffle=False, verbose=0)
    assert np.isfinite(fit.history["loss"]).all()
    assert not np.array_equal(before[-1], model.get_weights()[-1])
    assert len(model.predict(dataset, verbose=0)) == len(TEXTS)
    assert model.evaluate(dataset, verbose=0, return_dict=True)["loss"] > 0
    return model


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fitted") / "export"
    export_model(str(folder), model, PREPROCESS, labels=LABELS)
    return folder


@pytest.fixture(scope="module")
def probabilities(model):
    """float [texts, labels], as Keras computes them."""
    logits = model.predict(PREPROCESS(TEXTS), verbose=0)
    return np.array(keras.ops.softmax(logits))


@pytest.mark.slow
def test_the_predictor_answers_as_the_model_does(folder, probabilities):
    predictor = Predictor(str(folder))
    assert predictor.labels == LABELS
    for answer, row in zip(
        predictor.predict(TEXTS), probabilities, strict=True
    ):
        assert answer["label"] == LABELS[row.argmax()]
        found = [answer["probabilities"][label] for label in LABELS]
        np.testing.assert_allclose(found, row, atol=1e-5)


@pytest.mark.slow
def test_the_server_answers_as_the_model_does(folder, probabilities):
    """The page asks at the same address."""
    serving = make_serving(load=Predictor, folder=folder)
    serving.models["model"].start()
    with running(serving) as (_, port):
        status, answer = send_request(
            port, predict("model"), {"instances": TEXTS}
        )
        page = send_request(port, "/status")[1]
    assert status == 200 and "model" in str(page)
    found = [row["probabilities"] for row in answer["predictions"]]
    np.testing.assert_allclose(found, probabilities, atol=1e-5)


@pytest.mark.slow
def test_the_folder_has_the_weights_alone(folder, model):
    """Neither the optimizer's slots nor Keras' metrics are exported."""
    prefix = str(folder / "variables" / "variables")
    shapes = dict(tf.train.list_variables(prefix))
    reader = tf.train.load_checkpoint(prefix)
    types = reader.get_variable_to_dtype_map()
    found = [shapes[n] for n in shapes if types[n] == tf.float32]
    expected = [list(weight.shape) for weight in model.weights]
    assert sorted(found) == sorted(expected)
    assert (folder / "assets.extra" / "tf_serving_warmup_requests").exists()


# ---------------------------------------------------------------------------
# Every class, without the SavedModel: what would be written.


@pytest.fixture
def written(monkeypatch):
    """Holds `module` and `description` of the export instead of a folder."""
    found = types.SimpleNamespace()

    def keep(folder, module, trained, *, precision, int8, description):
        assert int8 is None
        found.module, found.description = module, description
        assert module is trained or precision != "float32"

    monkeypatch.setattr(fitted.writing, "export_module", keep)
    return found


def serve(module, *columns):
    """The module's answers to columns of strings, as arrays."""
    outputs = module.serve(*map(tf.constant, columns))
    return {name: value.numpy() for name, value in outputs.items()}


def test_several_labels(written):
    model = randomized(BertClassifier(CONFIG, 3))
    export_model(
        "x",
        model,
        PREPROCESS,
        labels=LABELS,
        problem_type="multi_label",
        thresholds={"ham": 0.9},
    )
    assert written.description == {
        "labels": LABELS,
        "thresholds": {"ham": 0.9},
    }
    expected = keras.ops.sigmoid(model(PREPROCESS(TEXTS)))
    found = serve(written.module, TEXTS)
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-5)
    np.testing.assert_array_equal(
        found["is_given"], expected >= [0.9, 0.5, 0.5]
    )


def test_a_number_is_the_default_of_one_output(written):
    model = randomized(BertClassifier(CONFIG, 1))
    export_model("x", model, PREPROCESS, mean=3.0, deviation=2.0)
    assert written.description == {"mean": 3.0, "deviation": 2.0}
    expected = model(PREPROCESS(TEXTS))[:, 0] * 2.0 + 3.0
    found = serve(written.module, TEXTS)["prediction"]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_pairs(written):
    model = randomized(BertClassifier(CONFIG, 3))
    export_model("x", model, PREPROCESS, labels=LABELS, takes_pairs=True)
    expected = keras.ops.softmax(model(PREPROCESS(TEXTS, TEXTS[::-1])))
    found = serve(written.module, TEXTS, TEXTS[::-1])
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-5)


def test_windows(written):
    model = randomized(BertClassifier(CONFIG, 3))
    export_model(
        "x", model, PREPROCESS, labels=LABELS, max_windows=3, doc_stride=9
    )
    expected = keras.ops.softmax(model(PREPROCESS.windows(TEXTS, 3, 9)))
    found = serve(written.module, TEXTS)
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-5)


@pytest.mark.slow
def test_head_and_tail_of_long_texts(written):
    preprocess = BertPreprocessor(
        VOCAB, max_seq_length=24, truncation="head_tail"
    )
    model = randomized(BertClassifier(CONFIG, 3))
    export_model("x", model, preprocess, labels=LABELS)
    expected = keras.ops.softmax(model(preprocess(TEXTS)))
    found = serve(written.module, TEXTS)
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-5)


@pytest.mark.slow
def test_tags(written):
    model = randomized(BertTokenClassifier(CONFIG, 3))
    export_model("x", model, PREPROCESS, labels=["O", "B-A", "I-A"])
    found = serve(written.module, ["they call me now"])
    # Each word is one piece.
    expected = keras.ops.softmax(model(PREPROCESS(["they call me now"])))
    np.testing.assert_allclose(
        found["scores"][0], np.max(expected[0, 1:5], axis=-1), atol=1e-5
    )


@pytest.mark.slow
def test_endings(written):
    model = randomized(BertMultipleChoice(CONFIG))
    export_model("x", model, PREPROCESS)
    endings = [["now", "tomorrow"], ["yes", "no"]]
    sequences = [
        PREPROCESS.with_length_multiple(None)([text] * 2, row)
        for text, row in zip(["call me", "is it?"], endings, strict=True)
    ]
    ids = {name: np.stack([s[name] for s in sequences]) for name in ID_NAMES}
    expected = keras.ops.softmax(model(ids))
    found = serve(written.module, ["call me", "is it?"], endings)
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-5)


@pytest.fixture(scope="module")
def marked_preprocess(tmp_path_factory):
    """A preprocessor whose vocabulary has the marks of relations."""
    words = (DEMO / "demo" / "vocab.txt").read_text("utf-8")
    vocab = tmp_path_factory.mktemp("marked") / "vocab.txt"
    vocab.write_text(words + "".join(f"{m}\n" for m in MARKS), "utf-8")
    return BertPreprocessor(str(vocab), max_seq_length=24)


@pytest.mark.slow
def test_relations(written, marked_preprocess):
    preprocess = marked_preprocess
    model = randomized(BertRelationClassifier(CONFIG, 3))
    export_model("x", model, preprocess, labels=LABELS)
    texts = ["[E1]Ann[/E1] likes [E2]tea[/E2]", "a [E2]b[/E2], [E1]c[/E1]"]
    reader = fitted.TextReader.from_preprocessor(preprocess)
    ids = MarkedReader(reader).read(delimited(tf.constant(texts)))
    expected = keras.ops.softmax(model(ids))
    found = serve(written.module, texts)
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-5)


@pytest.mark.slow
def test_questions(written):
    model = BertSpanLabeler(CONFIG)
    settings = SquadSettings(version_2_with_negative=True)
    export_model("x", model, PREPROCESS, squad=settings)
    found = serve(written.module, ["Who?"], ["Ann called. Bob did not."])
    assert found["answer"][0].decode() in "Ann called. Bob did not."
    assert "null_probability" in found


def test_vectors(written):
    model = BertEmbedder(CONFIG, pooling="none", layers=[-1])
    export_model("x", model, PREPROCESS)
    expected = model(PREPROCESS(TEXTS[:1]))[0]
    found = serve(written.module, TEXTS[:1])
    number = found["num_tokens"][0]
    np.testing.assert_allclose(
        found["embedding"][0][:number], expected[:number], atol=1e-5
    )
    assert written.description["pooling"] == "none"


def ids_of_rows(axes, marks, length=24):
    """Rows that are full and shorter ones; padding has ids, too."""
    rng = np.random.default_rng(5)
    num_tokens = rng.integers(6, length, (6, *axes, 1))
    num_tokens[0] = length
    if axes:
        num_tokens[1:, -1] = 0  # Examples of fewer sequences.
    is_token = np.arange(length) < num_tokens
    ids = rng.integers(1, 100, is_token.shape)
    ids[..., 1 : 1 + len(marks)] = marks
    values = (ids, is_token, rng.integers(0, 2, ids.shape))
    return dict(zip(ID_NAMES, map(tf.constant, np.int32(values)), strict=True))


FORMS = {
    "label": (BertClassifier, (3,), {"labels": LABELS}),
    "labels": (
        BertClassifier,
        (3, 0.1, 4),
        {"labels": LABELS, "problem_type": "multi_label"},
    ),
    "number": (BertClassifier, (1,), {}),
    "windows": (BertClassifier, (3,), {"labels": LABELS, "max_windows": 3}),
    "tags": (BertTokenClassifier, (3,), {"labels": LABELS}),
    "choices": (BertMultipleChoice, (), {}),
    "relation": (BertRelationClassifier, (3,), {"labels": LABELS}),
    "questions": (BertSpanLabeler, (), {"squad": SquadSettings()}),
    "one shape": (
        BertClassifier,
        (3,),
        {"labels": LABELS, "shape": InputShape(pads_to_max=True)},
    ),
    **{
        f"vectors, {pooling}": (BertEmbedder, (pooling, [0, -1]), {})
        for pooling in POOLINGS
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_answers_are_those_with_padding(form, marked_preprocess):
    """Most modules leave the vectors of padding out."""
    model_class, arguments, settings = FORMS[form]
    model = model_class(CONFIG, *arguments)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(weight + 0.1 * rng.normal(size=weight.shape))
    module_of, _ = fitted._form_of(model).export_of(
        model, marked_preprocess, FittedSettings(**settings)
    )
    module = module_of(model)
    assert module.computes_padding == (form in ("questions", "one shape"))
    axes = (3,) if form in ("windows", "choices") else ()
    reader = fitted.TextReader.from_preprocessor(marked_preprocess)
    ids = ids_of_rows(axes, MarkedReader(reader).mark_ids)
    found = module._answer_to(ids)
    assert model.bert.compute_padding  # As it was.
    module.computes_padding = True
    expected = module._answer_to(ids)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        ours, theirs = found[name].numpy(), value.numpy()
        if form == "tags":  # Those of padding have no meaning.
            is_token = ids["input_mask"].numpy() > 0
            ours, theirs = ours[is_token], theirs[is_token]
        if theirs.dtype.kind == "f":
            np.testing.assert_allclose(ours, theirs, atol=1e-6, err_msg=name)
        else:
            np.testing.assert_array_equal(ours, theirs)


def kinds_of_operations(function):
    graph = function.get_concrete_function().graph.as_graph_def()
    functions = graph.library.function
    nodes = [*graph.node, *(n for f in functions for n in f.node_def)]
    return {node.op for node in nodes}


def test_graphs_without_padding(model, written):
    """LiteRT's has it: its sizes do not depend on the tokens."""
    export_model("x", model, PREPROCESS, labels=LABELS)
    module = written.module
    assert "Where" in kinds_of_operations(module.ids)
    assert "Where" in kinds_of_operations(module.examples)
    assert "Where" not in kinds_of_operations(module.padded_ids())


class OfAllPlaces(BertClassifier):
    """A head whose `call` reads padding, and does not say so."""

    def call(self, inputs, training=None, seed=None):
        x = self.bert(inputs, training=training, seed=seed)["sequence_output"]
        return self.output_of(keras.ops.mean(x, axis=1), training, seed)


class OfFirstPlace(OfAllPlaces):
    """A head that says that it reads tokens alone."""

    reads_padding = False

    def call(self, inputs, training=None, seed=None):
        x = self.bert(inputs, training=training, seed=seed)["sequence_output"]
        return self.output_of(x[:, 0], training, seed)


def test_heads_of_your_own_read_padding_unless_they_say_not(written):
    for kind, needs in ((OfAllPlaces, True), (OfFirstPlace, False)):
        export_model("x", kind(CONFIG, 3), PREPROCESS, labels=LABELS)
        assert written.module.computes_padding == needs


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_precision(written, precision):
    """A model of `mixed_bfloat16` is exported in the precision asked for."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = randomized(BertClassifier(CONFIG, 3))
    finally:
        keras.config.set_dtype_policy("float32")
    export_model("x", model, PREPROCESS, labels=LABELS, precision=precision)
    encoder = written.module._model.bert
    assert {weight.dtype for weight in encoder.weights} == {precision}


# ---------------------------------------------------------------------------
# Mistakes.


class LazyClassifier(BertClassifier):
    """Has a layer whose weights do not exist before the first call."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.extra = keras.layers.Dense(3)


def classifier(**changes):
    return BertClassifier(BertConfig.from_dict({**SMALL_CONFIG, **changes}), 3)


def with_weights():
    model = LazyClassifier(CONFIG, 3)
    model.extra.build((None, 4))
    return model


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (classifier, {}, "labels must be given; the model has 3 outputs"),
        (
            classifier,
            {"labels": ["a", "b"]},
            r"labels=\['a', 'b'\]: the model has 3 outputs, and there are 2",
        ),
        (classifier, {"labels": "abc"}, "labels=abc: must be a list of str"),
        (classifier, {"labels": ["a", "b", "a"]}, "must be a different one"),
        (
            classifier,
            {"labels": LABELS, "problem_type": "multilabel"},
            "problem_type=multilabel: must be one of single_label, multi_label",
        ),
        (
            classifier,
            {"problem_type": "regression"},
            "problem_type=regression: needs a model with one output",
        ),
        (
            lambda: BertClassifier(CONFIG, 1),
            {"labels": ["spam"]},
            "multi_label says whether it applies",
        ),
        (
            lambda: BertClassifier(CONFIG, 1),
            {"labels": ["x"], "problem_type": "regression"},
            "labels=.*: not for problem_type=regression",
        ),
        (
            classifier,
            {"labels": LABELS, "thresholds": {"ham": 0.3}},
            "thresholds=.*: only for problem_type=multi_label, and this is",
        ),
        (
            classifier,
            {
                "labels": LABELS,
                "problem_type": "multi_label",
                "thresholds": {"hum": 0.3},
            },
            "thresholds=.*: hum is not one of the labels ham, spähm, no",
        ),
        (
            classifier,
            {"labels": LABELS, "max_windows": 2, "takes_pairs": True},
            "max_windows=2: does not support pairs",
        ),
        (
            classifier,
            {"labels": LABELS, "doc_stride": 2},
            "doc_stride=2: only with max_windows",
        ),
        (
            lambda: BertEmbedder(CONFIG, layers=[-1]),
            {"labels": LABELS},
            "labels=.*: not for a BertEmbedder",
        ),
        (
            lambda: BertPretrainer(CONFIG),
            {},
            "model is a BertPretrainer, and must be one of BertClassifier, ",
        ),
        (
            lambda: keras.Sequential([keras.layers.Dense(2)]),
            {},
            "model is a Sequential, and must be one of BertClassifier, ",
        ),
        (
            lambda: classifier(max_position_embeddings=16),
            {"labels": LABELS},
            "max_seq_length=24: the model reads at most 16 tokens",
        ),
        (
            lambda: classifier(vocab_size=100),
            {"labels": LABELS},
            "vocab.txt: has 4895 entries, and the model knows 100",
        ),
        (
            lambda: LazyClassifier(CONFIG, 3),
            {"labels": LABELS},
            "model is not built; dense.* has no weights before the model is",
        ),
        (
            with_weights,
            {"labels": LABELS},
            "LazyClassifier.from_config makes a model with other weights",
        ),
        (
            classifier,
            {"labels": LABELS, "precision": "int8"},
            "precision=int8: must be one of float32, bfloat16",
        ),
    ],
)
def test_a_mistake_is_one_line(tmp_path, make, settings, message):
    with pytest.raises(UserError, match=message) as error:
        export_model(str(tmp_path / "export"), make(), PREPROCESS, **settings)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "export").exists()


def test_other_mistakes(tmp_path):
    model = classifier()
    with pytest.raises(UserError, match="must be the BertPreprocessor of"):
        export_model("x", model, VOCAB, labels=LABELS)
    with pytest.raises(UserError, match="must be the BertPreprocessor of"):
        export_model("x", model, labels=LABELS)
    with pytest.raises(TypeError, match="argument 'label'; .* takes labels, "):
        export_model("x", model, PREPROCESS, label=LABELS)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="not a SavedModel; move it away"):
        export_model(str(tmp_path), model, PREPROCESS, labels=LABELS)


def test_every_setting_belongs_to_a_class():
    taken = {name for form in fitted._FORMS for name in form.takes}
    assert taken == {*vars(FittedSettings())}


def test_a_module_is_written_as_it_is(written):
    """The form of the call before there were others."""
    model = randomized(BertClassifier(CONFIG, 3))
    export_model("x", model, PREPROCESS, labels=LABELS)
    module = written.module
    export_model("x", module, module, description={"labels": LABELS})
    assert written.module is module
    export_model("x", module, trained=module, precision="float32")
    assert written.module is module and written.description is None


def test_fixed_sizes(written):
    model = randomized(BertClassifier(CONFIG, 3))
    shape = InputShape(batch_size=2, pads_to_max=True)
    export_model("x", model, PREPROCESS, labels=LABELS, shape=shape)
    assert written.module.id_shape == (2, 24)
