"""A small encoder learns how a large one relates the tokens of a text.

A layer of the teacher and the last layer of the student each make queries,
keys and values of a text. Cut into A relation heads of size H = D / A, each
head has matrices of relations:

    R_xy = softmax(X Yᵀ / sqrt(H) + mask),  X and Y of Q, K, V;  [S, S]

    loss_xy = mean over heads and tokens of KL(R_xy, teacher ‖ R_xy, student)

As A is the same for both, their widths, layers and numbers of attention heads
may differ. No label is needed.

    qq, kk, vv  MiniLMv2: Wang et al. 2021, https://arxiv.org/abs/2012.15828,
                section 3
    qk, vv      MiniLM: Wang et al. 2020, https://arxiv.org/abs/2002.10957,
                section 3. With as many relation heads as both models have
                attention heads, qk are the attention distributions.

Padding has no part in it, neither as a token nor in the softmax. The mean is
over all tokens of a batch.

Shape letters: B batch, S sequence, D hidden size of either model, A relation
heads, H their size, Q places whose outputs are needed.
"""

import math
from collections.abc import Collection
from typing import Any, TypeAlias

from keras import ops

from bert_tf import losses
from bert_tf.attention import MASKED_SCORE
from bert_tf.backend import Tensor, at_least_float32, matmul_transposed
from bert_tf.bert_layer import made_with
from bert_tf.choices import TEACHER_RELATIONS
from bert_tf.config import BertConfig
from bert_tf.configured_model import ConfiguredModel, Inputs
from bert_tf.head_layers import pretraining_answers, pretraining_positions
from bert_tf.heads import BertPretrainer
from bert_tf.losses import Batch, LossTerm
from bert_tf.metrics.pretraining import NUM_TOKENS
from bert_tf.modeling import BertModel, Encoded

TEACHER = "teacher_"  # Before the names of the teacher's tensors in a batch.

Pair: TypeAlias = tuple[Tensor, Tensor]  # X and Y, float [B, S, D].


def projections(
    bert: BertModel, encoded: Encoded, layer: int
) -> dict[str, Tensor]:
    """The queries, keys and values of a layer, of all heads side by side.

    They are computed from the input of the layer, once more: so layers are the
    same with and without a teacher. A graph leaves out what nobody reads of
    the layer and of those above it.

    Args:
        bert: the encoder.
        encoded: what it made of a batch.
        layer: number of the layer, from 0.

    Returns:
        {"q", "k", "v"}: float [B, S, D].
    """
    rows = [encoded.embedding_rows, *encoded.all_rows][layer]
    attention = bert.encoder.transformer_layers[layer].attention.self_attention
    parts = {"q": attention.query, "k": attention.key, "v": attention.value}
    sequences = encoded.places.sequences
    return {name: sequences(part(rows)) for name, part in parts.items()}


def relation_log_probs(
    x: Tensor, y: Tensor, input_mask: Tensor, num_heads: int
) -> Tensor:
    """log softmax(X Yᵀ / sqrt(H) + mask) of each head, at least float32.

    Args:
        x, y: float [B, S, D].
        input_mask: int [B, S], 1 for tokens and 0 for padding.
        num_heads: A, which divides D.

    Returns:
        float [B, A, S, S].
    """
    size = x.shape[-1] // num_heads

    def heads(x):
        batch, length = ops.shape(x)[:2]
        x = ops.reshape(at_least_float32(x), (batch, length, num_heads, size))
        return ops.transpose(x, (0, 2, 1, 3))

    scores = matmul_transposed(heads(x), heads(y)) * (1.0 / math.sqrt(size))
    mask = (1.0 - ops.cast(input_mask, scores.dtype)) * MASKED_SCORE
    return ops.log_softmax(scores + mask[:, None, None], axis=-1)


def relation_divergence(
    teacher: Pair, student: Pair, input_mask: Tensor, num_heads: int
) -> Tensor:
    """Σ over tokens of the mean over heads of KL(teacher ‖ student).

    KL(p ‖ q) = Σ_s p_s (log p_s - log q_s).

    Args:
        teacher, student: X and Y of each, float [B, S, D].
        input_mask: int [B, S].
        num_heads: A.

    Returns:
        float [B], at least float32: 0 for an example without a token.
    """
    log_p = relation_log_probs(*teacher, input_mask, num_heads)
    log_q = relation_log_probs(*student, input_mask, num_heads)
    # At padding p is 0, and both logarithms are finite.
    divergence = ops.sum(ops.exp(log_p) * (log_p - log_q), axis=-1)
    is_token = ops.cast(input_mask, divergence.dtype)
    return ops.sum(ops.mean(divergence, axis=1) * is_token, axis=-1)


def num_tokens(batch: Batch) -> Tensor:
    """float [B]: the tokens of each example; 0 for rows that only fill up."""
    real = losses.real_examples(batch)
    return ops.sum(ops.cast(batch["input_mask"], real.dtype), axis=-1) * real


def relation_sums(
    outputs: Batch, batch: Batch, relations: Collection[str], num_heads: int
) -> dict[str, Tensor]:
    """What `relation_loss` averages, of each example, for an evaluation.

    Args:
        outputs: of a `RelationStudent`.
        batch: the examples, with the tensors of a `RelationTeacher`.
        relations: some of `TEACHER_RELATIONS`.
        num_heads: A.

    Returns:
        {name of the loss, and `NUM_TOKENS`: float [B]}.
    """

    def pair(tensors, relation, prefix=""):
        return tensors[prefix + relation[0]], tensors[prefix + relation[1]]

    sums = {
        TEACHER_RELATIONS[relation]: relation_divergence(
            pair(batch, relation, TEACHER),
            pair(outputs, relation),
            batch["input_mask"],
            num_heads,
        )
        for relation in relations
    }
    return {**sums, NUM_TOKENS: num_tokens(batch)}


def relation_loss(
    relations: Collection[str], num_heads: int, masked_lm_weight: float = 0.0
) -> tuple[LossTerm, ...]:
    """A term for each relation, and those of pretraining if they count.

    Args:
        relations: some of `TEACHER_RELATIONS`, which count alike.
        num_heads: A.
        masked_lm_weight: what the terms of `losses.pretraining_loss` are
            multiplied by; 0 for the relations alone.
    """

    def relation_term(relation):
        name = TEACHER_RELATIONS[relation]

        def numerator(outputs, batch):
            sums = relation_sums(outputs, batch, [relation], num_heads)[name]
            return ops.sum(
                sums * ops.cast(losses.real_examples(batch), sums.dtype)
            )

        return LossTerm(name, numerator, lambda x: ops.sum(num_tokens(x)))

    def weighted(term):
        return term._replace(
            numerator=lambda outputs, batch: (
                masked_lm_weight * term.numerator(outputs, batch)
            )
        )

    others = losses.pretraining_loss() if masked_lm_weight else ()
    return (*map(relation_term, relations), *map(weighted, others))


class RelationStudent(BertPretrainer):
    """A `BertPretrainer` that also gives the Q, K and V of its last layer.

    Args:
        config: a `BertConfig`.
        has_answers: whether it also gives the logits of masked LM and next
            sentence prediction. If not, the weights that no relation depends
            on are not trained: the heads, the pooler, and what comes after Q, K
            and V in the last layer.

    Call arguments:
        inputs, training, seed: as in `BertPretrainer`.

    Returns:
        A dict: "q", "k" and "v", float [B, S, D]; with `has_answers` also what
        a `BertPretrainer` returns.
    """

    reads_padding = False

    def __init__(
        self, config: BertConfig, has_answers: bool = True, **kwargs: Any
    ):
        super().__init__(config, **kwargs)
        self.has_answers = has_answers
        if has_answers:
            return
        last = self.bert.encoder.transformer_layers[-1]
        for layer in (
            last.attention.output_projection,
            last.intermediate,
            last.output_projection,
            self.bert.pooler,
            self.cls,
        ):
            layer.trainable = False

    def call(
        self, inputs: Inputs, training: bool | None = None, seed: Tensor = None
    ) -> dict[str, Tensor]:
        last = self.config.num_hidden_layers - 1
        if not self.has_answers:
            encoded = self.bert.encode(inputs, training, seed)
            return projections(self.bert, encoded, last)
        positions = pretraining_positions(inputs)
        encoded = self.bert.encode(inputs, training, seed, positions)
        shape = (*ops.shape(positions), self.config.hidden_size)
        return {
            **projections(self.bert, encoded, last),
            **pretraining_answers(
                self.bert,
                self.cls,
                ops.reshape(encoded.rows, shape),
                training=training,
            ),
        }


class RelationTeacher(ConfiguredModel):
    """An encoder that gives the Q, K and V of one of its layers.

    It is never trained: `training.Trainer` takes it as its `teacher`.

    Args:
        config: a `BertConfig`.
        layer: number of the layer, from 0; or from the end, -1 for the last.

    Call arguments:
        inputs: as in `BertModel`.

    Returns:
        {"teacher_q", "teacher_k", "teacher_v"}: float [B, S, D].

    Raises:
        IndexError: the model does not have the layer.
    """

    reads_padding = False
    reads_pooled_output = False

    def __init__(self, config: BertConfig, layer: int = -1, **kwargs: Any):
        kwargs.setdefault("name", "teacher")
        super().__init__(**kwargs)
        self.config = config
        self.layer_index = range(config.num_hidden_layers)[layer]
        with made_with(self.dtype_policy):
            self.bert = BertModel(config)
        self.trainable = False
        self.built = True

    def call(
        self, inputs: Inputs, training: bool | None = None, seed: Tensor = None
    ) -> dict[str, Tensor]:
        encoded = self.bert.encode(inputs, training=False)
        found = projections(self.bert, encoded, self.layer_index)
        return {f"{TEACHER}{name}": x for name, x in found.items()}

    def read_as(self, student: RelationStudent) -> None:
        """Reads batches as the student does: padding and packed sequences."""
        self.bert.read_as(student.bert)
