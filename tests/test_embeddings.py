"""Vectors of texts, against their definitions in NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from support.common import TINY_CONFIG, needs
from support.golden_model import with_plain_words

from bert_tf import embeddings
from bert_tf.checkpoints import Checkpoint, write_checkpoint
from bert_tf.embeddings import TextEmbedder
from bert_tf.errors import UserError
from bert_tf.pooling import POOLINGS, TOKEN_POOLINGS, BertEmbedder

RNG = np.random.default_rng(5)
LENGTHS = [6, 3, 2]


def by_hand(pooling, tokens):
    """The vector of one text, from the [tokens, D] of its tokens."""
    return {
        "mean": sum(tokens) / len(tokens),
        "max": np.sort(tokens, axis=0)[-1],
        "mean_max": np.append(np.mean(tokens, 0), np.max(tokens, 0)),
        "cls": tokens[0],
        "sep": tokens[-1],
        "none": tokens,
    }[pooling]


def sequences(lengths=tuple(LENGTHS), length=6):
    mask = (np.arange(length) < np.array(lengths)[:, None]).astype("int32")
    ids = RNG.integers(1, 20, mask.shape).astype("int32") * mask
    segments = mask * (np.arange(length) > 1).astype("int32")
    return {"input_ids": ids, "input_mask": mask, "segment_ids": segments}


def filled(model):
    """Random values where new weights would be zero or tiny."""
    for variable in model.trainable_variables:
        variable.assign(RNG.normal(size=variable.shape) * 0.3)
    return model


@pytest.mark.parametrize("layers", [(-1,), (-2,), (1, -2)])
@pytest.mark.parametrize("pooling", TOKEN_POOLINGS)
def test_poolings_are_what_they_are_called(pooling, layers):
    model = filled(BertEmbedder(TINY_CONFIG, pooling, layers))
    batch = sequences()
    found = np.array(model(batch))
    all_layers = model.bert(batch)["all_encoder_layers"]
    x = np.concatenate([np.array(all_layers[i]) for i in layers], axis=-1)
    for row, length in enumerate(LENGTHS):
        expected = by_hand(pooling, x[row, :length])
        vector = found[row]
        if pooling == "none":
            assert not vector[length:].any()
            vector = vector[:length]
        np.testing.assert_allclose(vector, expected, atol=1e-6)
    assert found.shape[-1] == model.embedding_size
    assert found.dtype == np.float32


@pytest.mark.parametrize("pooling", ["mean", "mean_max", "none"])
def test_a_dimension_keeps_the_first_components(pooling):
    whole = filled(BertEmbedder(TINY_CONFIG, pooling))
    model = BertEmbedder(TINY_CONFIG, pooling, normalize=True, dimension=5)
    model.set_weights(whole.get_weights())
    batch = sequences()
    first = np.array(whole(batch))[..., :5]
    found = np.array(model(batch))
    lengths = np.linalg.norm(first, axis=-1, keepdims=True)
    np.testing.assert_allclose(found * lengths, first, atol=1e-6)
    assert model.embedding_size == 5
    assert BertEmbedder.from_config(model.get_config()).dimension == 5
    # A file of an earlier version has none.
    config = {k: v for k, v in model.get_config().items() if k != "dimension"}
    assert BertEmbedder.from_config(config).dimension is None
    size = whole.embedding_size
    with pytest.raises(ValueError, match=f"dimension must be from 1 to {size}"):
        BertEmbedder(TINY_CONFIG, pooling, dimension=size + 1)


def test_cls_pooled_is_the_pooled_output():
    model = filled(BertEmbedder(TINY_CONFIG, "cls_pooled"))
    batch = sequences()
    expected = model.bert(batch)["pooled_output"]
    np.testing.assert_array_equal(model(batch), expected)
    assert expected.shape[-1] == model.embedding_size


@pytest.mark.parametrize("pooling", POOLINGS)
def test_neither_padding_nor_batch_mates_change_a_vector(pooling):
    model = filled(BertEmbedder(TINY_CONFIG, pooling, normalize=True))
    batch = sequences(length=9)
    batch["input_ids"][:, 6:] = 7  # The padding may contain anything.
    together = np.array(model(batch))
    for row, length in enumerate(LENGTHS):
        alone = {name: x[[row], :length] for name, x in batch.items()}
        found = together[row]
        if pooling == "none":
            found = found[:length]
        np.testing.assert_allclose(found, model(alone)[0], atol=1e-5)
        lengths = np.linalg.norm(found, axis=-1)
        np.testing.assert_allclose(lengths, 1, atol=1e-5)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_text_without_a_token_has_finite_numbers(pooling):
    model = filled(BertEmbedder(TINY_CONFIG, pooling, normalize=True))
    vectors = np.array(model(sequences([0, 4])))
    assert np.isfinite(vectors).all()
    if pooling in ("mean", "max", "mean_max", "none"):
        assert not vectors[0].any()


def test_without_a_mask_all_are_tokens():
    model = filled(BertEmbedder(TINY_CONFIG, "mean_max"))
    batch = sequences([6, 6])
    batch["segment_ids"] *= 0
    expected = model(batch)
    ids = batch["input_ids"]
    np.testing.assert_array_equal(model({"input_ids": ids}), expected)
    np.testing.assert_array_equal(model(ids), expected)


def test_it_goes_into_a_saved_model(tmp_path):
    model = filled(BertEmbedder(TINY_CONFIG, "sep", normalize=True))
    spec = tf.TensorSpec([None, None], tf.int32)
    batch = sequences()
    serve = tf.function(
        lambda inputs: model(inputs),
        input_signature=[dict.fromkeys(batch, spec)],
    )
    module = tf.Module()
    module.model, module.serve = model, serve
    tf.saved_model.save(module, str(tmp_path))
    batch = {name: tf.constant(x) for name, x in batch.items()}
    loaded = tf.saved_model.load(str(tmp_path))
    np.testing.assert_allclose(loaded.serve(batch), model(batch), atol=1e-6)


def test_what_is_not_there_is_refused():
    with pytest.raises(ValueError, match="mean, max, .*: pooling='sum'"):
        BertEmbedder(TINY_CONFIG, "sum")
    for layers in [(-3,), (0, 2), ()]:
        with pytest.raises(ValueError, match="from -2 to 1 .* 2 layers, and"):
            BertEmbedder(TINY_CONFIG, layers=layers)


# ---------------------------------------------------------------------------
# Texts.

TEXTS = [
    "w7 w8 w9",
    "",
    ("w7 w8", "w9"),
    "w30 " * 40,
    "w8",
    ("w8", ""),
    "nothing known",
    ("w10 " * 9, "w11 " * 30),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return with_plain_words(tmp_path_factory.mktemp("vectors"))


@pytest.fixture(scope="module")
def embedder(files):
    return TextEmbedder(**files, max_seq_length=24, batch_size=3)


def test_vectors_come_in_the_order_of_the_texts(embedder, monkeypatch):
    vectors = embedder.embed(TEXTS)
    assert vectors.shape == (len(TEXTS), 96) and vectors.dtype == np.float32
    alone = np.concatenate([embedder.embed([text]) for text in TEXTS])
    np.testing.assert_allclose(vectors, alone, atol=1e-5)
    np.testing.assert_array_equal(vectors[4], vectors[5])
    assert len(np.unique(vectors.round(3), axis=0)) == len(TEXTS) - 1
    assert embedder.embed([]).shape == (0, 96)
    # Several blocks, of an iterable that can be read but once.
    monkeypatch.setattr(embeddings, "WINDOW", 5)
    again = embedder.embed(text for text in TEXTS)
    np.testing.assert_allclose(again, vectors, atol=1e-5)


def test_texts_are_read_as_they_are_needed(embedder, monkeypatch):
    monkeypatch.setattr(embeddings, "WINDOW", 3)
    texts = iter(TEXTS)
    stream = embedder.stream(texts)
    assert next(stream).text == TEXTS[0]
    assert next(texts) == TEXTS[3]


def test_the_model_reads_what_the_tokenizer_says(embedder):
    found = list(embedder.stream(TEXTS))
    assert [e.text for e in found] == TEXTS
    tokens = [" ".join(embedder.tokens(e)) for e in found]
    assert tokens[:3] == [
        "[CLS] w7 w8 w9 [SEP]",
        "[CLS] [SEP]",
        "[CLS] w7 w8 [SEP] w9 [SEP]",
    ]
    assert tokens[3] == "[CLS]" + " w30" * 22 + " [SEP]"
    assert [e.is_truncated for e in found] == [
        len(t.split()) == 24 for t in tokens
    ]
    assert sum(e.is_truncated for e in found) == 2
    # And the model's own layer gives the vector.
    ids = found[2].input_ids[None]
    inputs = {"input_ids": ids, "segment_ids": np.array([[0, 0, 0, 0, 1, 1]])}
    layer = np.array(embedder.model.bert(inputs)["all_encoder_layers"][-2])
    np.testing.assert_allclose(found[2].vector, layer[0].mean(0), atol=1e-5)


def test_each_token_has_a_vector_where_none_are_pooled(files, embedder):
    each = TextEmbedder(**files, max_seq_length=24, pooling="none")
    vectors = each.embed(TEXTS)
    assert [len(v) for v in vectors] == [
        len(e.input_ids) for e in embedder.stream(TEXTS)
    ]
    means = np.stack([v.mean(axis=0) for v in vectors])
    np.testing.assert_allclose(means, embedder.embed(TEXTS), atol=1e-5)
    assert each.embed([]) == []


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["bfloat16", "int8"])
def test_engines_have_nearly_the_same_vectors(files, embedder, engine):
    needs("ai_edge_litert.interpreter", "ai-edge-litert")
    other = TextEmbedder(
        **files, max_seq_length=24, engine=engine, num_threads=2
    )
    vectors, expected = other.embed(TEXTS), embedder.embed(TEXTS)
    cosines = np.sum(vectors * expected, axis=1) / (
        np.linalg.norm(vectors, axis=1) * np.linalg.norm(expected, axis=1)
    )
    assert cosines.min() > 0.99
    assert not np.array_equal(vectors, expected)
    alone = np.concatenate([other.embed([text]) for text in TEXTS])
    np.testing.assert_allclose(vectors, alone, atol=0.1)


def test_mistakes_are_named(files, embedder, tmp_path):
    with pytest.raises(ValueError, match="a list of texts. Received: .*'w7'"):
        embedder.embed("w7")
    for text in (None, 7, ["w7", "w8"], ("w7",), ("w7", None)):
        with pytest.raises(ValueError, match="a tuple of two. Received: "):
            embedder.embed(["w7", text])
    with pytest.raises(ValueError, match="Received: max_seq_length=129, max_p"):
        TextEmbedder(**files, max_seq_length=129)
    with pytest.raises(ValueError, match="Received: batch_size=0"):
        TextEmbedder(**files, batch_size=0)
    vocab = tmp_path / "vocab.txt"
    vocab.write_text(open(files["vocab_file"]).read() + "one_more\n")
    with pytest.raises(UserError, match="has 1501 entries, more than"):
        TextEmbedder(**{**files, "vocab_file": str(vocab)})


def test_the_whole_encoder_must_be_in_the_checkpoint(files, tmp_path):
    checkpoint = Checkpoint(files["init_checkpoint"])
    names = [n for n in checkpoint.shapes if "layer_1/output" not in n]
    prefix = str(tmp_path / "less.ckpt")
    write_checkpoint(prefix, {n: checkpoint.read(n) for n in names})
    with pytest.raises(UserError, match="less.ckpt: 4 of the encoder's var"):
        TextEmbedder(**{**files, "init_checkpoint": prefix})
