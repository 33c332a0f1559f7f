"""BERT's forward pass in plain NumPy: a second witness for the tests.

Written from the papers (Devlin et al. 2018, "BERT"; Vaswani et al. 2017,
"Attention Is All You Need") and the names in the checkpoint; it shares no
code with the model it checks. No dropout, no training. float64 throughout:
the one-hot segments are float64, and all that follows them is too.

Shapes: B batch, S sequence, N heads, H size per head, D = N*H hidden,
I intermediate, V vocabulary, T segment types, P positions, C classes.
`variables` maps the names of the original checkpoint to arrays; `scope` is
the beginning of such a name.
"""

import math

import numpy as np

MASKED = -10000.0  # added to the score of a position not to be attended to
EPSILON = 1e-12  # added to a variance, unless the config has another one


def gelu(x):
    return x * 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def gelu_exact(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / np.sqrt(2)))


ACTIVATIONS = {
    "gelu": gelu,
    "gelu_exact": gelu_exact,
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "linear": lambda x: x,
}


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def dense(variables, scope, x):
    return x @ variables[scope + "/kernel"] + variables[scope + "/bias"]


def layer_norm(config, variables, scope, x):
    mean = x.mean(axis=-1, keepdims=True)
    variance = x.var(axis=-1, keepdims=True)
    epsilon = config.get("layer_norm_eps", EPSILON)
    normal = (x - mean) / np.sqrt(variance + epsilon)
    return normal * variables[scope + "/gamma"] + variables[scope + "/beta"]


def embed(config, variables, input_ids, segment_ids):
    """LayerNorm(word + segment + position)."""
    scope = "bert/embeddings"
    words = variables[scope + "/word_embeddings"]  # [V, D]
    segments = variables[scope + "/token_type_embeddings"]  # [T, D]
    positions = variables[scope + "/position_embeddings"]  # [P, D]
    # An id that is none of the T types has an all-zero row, so it adds zero.
    types = np.arange(len(segments))
    one_hot = (segment_ids[..., None] == types).astype(np.float64)  # [B, S, T]
    x = words[input_ids] + one_hot @ segments  # [B, S, D]
    x = x + positions[: input_ids.shape[1]]
    return layer_norm(config, variables, scope + "/LayerNorm", x)


def self_attention(variables, scope, x, mask, num_heads):
    """softmax(Q K^T / sqrt(H)) V in every head, the heads side by side."""

    def project(name):
        y = dense(variables, scope + "/" + name, x)  # [B, S, D]
        y = y.reshape(*y.shape[:2], num_heads, -1)  # [B, S, N, H]
        return y.transpose(0, 2, 1, 3)  # [B, N, S, H]

    q, k, v = project("query"), project("key"), project("value")
    scores = q @ k.transpose(0, 1, 3, 2) / np.sqrt(q.shape[-1])  # [B, N, S, S]
    scores = scores + (1 - mask[:, None, None, :]) * MASKED
    heads = softmax(scores) @ v  # [B, N, S, H]
    return heads.transpose(0, 2, 1, 3).reshape(x.shape)  # [B, S, D]


def encoder_layer(config, variables, scope, x, mask):
    """x = LayerNorm(x + Sublayer(x)): first attention, then feed-forward."""
    activation = ACTIVATIONS[config["hidden_act"]]
    num_heads = config["num_attention_heads"]

    y = self_attention(variables, scope + "/attention/self", x, mask, num_heads)
    y = dense(variables, scope + "/attention/output/dense", y)
    x = x + y
    x = layer_norm(config, variables, scope + "/attention/output/LayerNorm", x)

    y = activation(dense(variables, scope + "/intermediate/dense", x))
    y = dense(variables, scope + "/output/dense", y)  # [B, S, I] -> [B, S, D]
    return layer_norm(config, variables, scope + "/output/LayerNorm", x + y)


def bert(config, variables, input_ids, input_mask=None, segment_ids=None):
    """Runs the encoder; no mask means all ones, no segments all zeros."""
    input_ids = np.asarray(input_ids)  # [B, S]
    mask = np.ones_like(input_ids) if input_mask is None else input_mask
    segments = np.zeros_like(input_ids) if segment_ids is None else segment_ids
    mask = np.asarray(mask, np.float64)

    embedding = embed(config, variables, input_ids, np.asarray(segments))
    layers = []
    x = embedding  # [B, S, D]
    for i in range(config["num_hidden_layers"]):
        x = encoder_layer(config, variables, f"bert/encoder/layer_{i}", x, mask)
        layers.append(x)
    return {
        "embedding_output": embedding,
        "all_encoder_layers": layers,
        "sequence_output": x,
        "pooled_output": np.tanh(
            dense(variables, "bert/pooler/dense", x[:, 0])
        ),
    }


def classify(variables, pooled_output):
    """Logits of the classifier on top: [B, D] -> [B, C]."""
    x = np.asarray(pooled_output, np.float64)
    return x @ variables["output_weights"].T + variables["output_bias"]
