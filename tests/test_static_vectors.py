"""The recipe of static vectors, against plain NumPy and scikit-learn."""

import keras
import numpy as np
import pytest
from sklearn.decomposition import PCA
from support.common import TINY_CONFIG

from bert_tf import static_vectors
from bert_tf.pooling import BertEmbedder
from bert_tf.static_vectors import StaticEmbedder

RNG = np.random.default_rng(5)
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnop"]
VOCAB = {piece: place for place, piece in enumerate(PIECES)}


def test_each_piece_is_encoded_alone():
    keras.utils.set_random_seed(2)
    embedder = BertEmbedder(TINY_CONFIG, layers=(-1,))
    vectors = static_vectors.piece_vectors(embedder, VOCAB)
    assert vectors.shape == (20, TINY_CONFIG.hidden_size)
    text = np.array([[VOCAB["[CLS]"], VOCAB["c"], VOCAB["[SEP]"]]])
    expected = embedder({"input_ids": text}).numpy()[0]
    np.testing.assert_allclose(vectors[VOCAB["c"]], expected, atol=1e-6)


def test_principal_components_are_those_of_scikit_learn():
    vectors = RNG.normal(size=(50, 8)).astype(np.float32) * np.arange(1, 9)
    found = static_vectors.principal_components(vectors, 3)
    expected = PCA(3, svd_solver="full").fit_transform(vectors)
    signs = np.sign((found * expected).sum(axis=0))
    np.testing.assert_allclose(found, expected * signs, atol=1e-4)
    same = static_vectors.principal_components(vectors.copy(), 3)
    np.testing.assert_array_equal(found, same)
    with pytest.raises(ValueError, match="size must be 1 to 8"):
        static_vectors.principal_components(vectors, 9)


def test_weights_fall_with_the_frequency():
    counts = np.array([99, 0, 9])
    likely = np.array([100, 1, 10]) / 111
    expected = 0.01 / (0.01 + likely)
    found = static_vectors.sif_weights(3, counts, 0.01)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    by_rank = static_vectors.sif_weights(100)
    assert (np.diff(by_rank) > 0).all() and 0 < by_rank[0] < by_rank[-1] < 1


@pytest.mark.parametrize("num_labels", [None, 3])
def test_a_vector_is_the_mean_of_its_pieces_of_length_1(num_labels, tmp_path):
    model = StaticEmbedder(20, 4, num_labels)
    table = RNG.normal(size=(20, 4)).astype(np.float32)
    table[:4] = 0.0
    weights = [table]
    if num_labels:
        weights += [RNG.normal(size=(4, 3)), RNG.normal(size=3)]
    model.set_weights(weights)
    ids = np.array([[2, 7, 8, 3, 0, 0], [2, 1, 3, 0, 0, 0]], np.int32)
    mask = (ids > 0).astype(np.int32)
    found = model({"input_ids": ids, "input_mask": mask}).numpy()
    mean = table[7] + table[8]
    expected = np.stack([mean / np.linalg.norm(mean), np.zeros(4)])
    if num_labels:
        expected = expected @ weights[1] + weights[2]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    longer = {"input_ids": np.pad(ids, [(0, 0), (0, 9)])}
    longer["input_mask"] = np.pad(mask, [(0, 0), (0, 9)])
    np.testing.assert_allclose(model(longer).numpy(), found, atol=1e-6)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again(longer).numpy(), model(longer).numpy())
