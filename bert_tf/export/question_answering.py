"""QuestionServing: answers questions on contexts of any length.

    question, context   strings
      tokenize          WordPieces, and their places in the context
      windows           of the context's pieces, each after the question
      model             start and end logits, some windows at a time
      answer            the best of all windows, see `answer_choice.py`

All of it is in the graph of a SavedModel.
"""

import dataclasses
from typing import Any

import keras
import tensorflow as tf

from bert_tf.export import kinds
from bert_tf.export.answer_choice import AnswerChooser
from bert_tf.export.chunks import WindowIds, map_chunks
from bert_tf.export.question_windows import (
    NUM_SPECIAL,
    SquadSettings,
    WindowSizes,
)
from bert_tf.export.serving_base import (
    SAMPLES,
    Function,
    InputShape,
    ServingModule,
    Tensors,
)
from bert_tf.preprocessing import BertPreprocessor, Slices
from bert_tf.text.packing import ID_NAMES
from bert_tf.vocab_files import tokens_by_id


class QuestionServing(ServingModule):
    """Answers questions on contexts.

    Args:
        model: a `BertSpanLabeler`.
        preprocess: a `BertPreprocessor`; its `max_seq_length` is the length
            of a window.
        settings: a `SquadSettings`.
    """

    kind = kinds.QUESTION_ANSWERING.name

    def __init__(
        self,
        model: keras.Model,
        preprocess: BertPreprocessor,
        settings: SquadSettings,
    ):
        super().__init__(model, preprocess.max_seq_length, InputShape())
        self._preprocess = preprocess
        self._settings = settings
        self._sizes = WindowSizes(preprocess.max_seq_length, settings)
        self._chooser = AnswerChooser(self._sizes)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="question"),
            tf.TensorSpec([None], tf.string, name="context"),
        ],
        autograph=False,
    )
    def answer(self, question: tf.Tensor, context: tf.Tensor) -> Tensors:
        """Answers each question on its context.

        Args:
            question, context: tf.string [B].

        Returns:
            A dict of [B]:
                answer: tf.string, a part of the context; "" for none.
                score: float32, its probability among the n best answers.
                start, end: int32, its place in characters of the context
                    (Unicode code points), the end not included; -1 for none.
                start_byte, end_byte: int32, the same in bytes of UTF-8.
                null_probability: float32, the probability of "no answer";
                    with `version_2_with_negative`.
        """
        read = self._read_all(question, context)
        return self._finish(read, self._logits(read))

    def _read_all(self, question, context):
        """The ids of all windows, and what must be known of the texts.

        Returns:
            A dict:
                input_ids, input_mask, segment_ids: int32 [W, S].
                lengths: int32 [W], the places of each window that count.
                rows, indexes, doc_starts, doc_lengths: of `Windows`.
                query_lengths, context_lengths: int64 [B], in pieces.
                starts, limits: [pieces of all contexts], in bytes.
                context: tf.string [B].
        """
        tf.debugging.assert_equal(
            tf.size(question),
            tf.size(context),
            "question and context must have the same number of rows",
        )
        queries = self._preprocess.tokenize(question)
        queries = queries[:, : self._settings.max_query_length]
        pieces, starts, limits = self._preprocess.tokenize_with_offsets(context)
        query_lengths, lengths = queries.row_lengths(), pieces.row_lengths()
        windows = self._sizes.windows(query_lengths, lengths)
        inputs = self._inputs(queries, pieces, windows)
        num_tokens = tf.reduce_sum(inputs["input_mask"], axis=1)
        return {
            **inputs,
            "lengths": self._sizes.num_places(num_tokens),
            **windows._asdict(),
            "query_lengths": query_lengths,
            "context_lengths": lengths,
            "starts": starts.values,
            "limits": limits.values,
            "context": context,
        }

    def _finish(self, read, numbers):
        return self._chooser.answers(read, numbers)

    @property  # The others set an attribute.
    def serve(self) -> Function:  # type: ignore[override]
        return self.answer

    def vocabulary(self) -> list[str]:
        """Returns the tokens: `pretrained.open` needs them."""
        return tokens_by_id(self._preprocess.tokenizer.vocab)

    def description(self) -> dict[str, Any]:
        return {
            "max_seq_length": self._preprocess.max_seq_length,
            **self._preprocess.settings.tokenizer_arguments(),
            **dataclasses.asdict(self._settings),
        }

    def _string_specs(self):
        return [
            tf.TensorSpec([None], tf.string, name=name)
            for name in ("question", "context")
        ]

    def _lengths(self, question, context):
        queries, contexts = (
            self._preprocess.tokenize(text).row_lengths()
            for text in (question, context)
        )
        # Windows take contexts of any length, and the start of a question.
        return {
            "num_tokens": queries + contexts + NUM_SPECIAL,
            "truncated": queries > self._settings.max_query_length,
        }

    def _answer_to(self, ids):
        """{"start_logits", "end_logits": float32 [B, S]}."""
        return self._traced_network(ids)

    def _network(self, ids):
        logits = self._outputs_of_model(ids)
        return {n: tf.cast(values, tf.float32) for n, values in logits.items()}

    def samples(self) -> list[Tensors]:
        """Returns contexts of one window, of several, and of none."""
        contexts = [SAMPLES[2], " ".join(SAMPLES), *SAMPLES]
        questions = ["Which one?", SAMPLES[3], *SAMPLES[::-1]]
        return [
            {
                "question": tf.constant(questions),
                "context": tf.constant(contexts),
            }
        ]

    def _logits(self, read):
        """Computes the logits of all windows, float32 [W, S] each."""
        ids = WindowIds(*(read[name] for name in ID_NAMES))
        spec = tf.TensorSpec([None, None], tf.float32)
        names = ("start_logits", "end_logits")

        def logits(chunk):
            numbers = self._traced_network(chunk._asdict())
            return [numbers[name] for name in names]

        values = map_chunks(logits, ids, [spec, spec])
        return dict(zip(names, values, strict=True))

    def _inputs(self, queries, pieces, windows) -> dict:
        """Lays out [CLS] question [SEP] window [SEP] padding: int32 [W, S]."""
        query = Slices(
            queries.values,
            tf.gather(queries.row_starts(), windows.rows),
            tf.gather(queries.row_lengths(), windows.rows),
        )
        document = Slices(
            pieces.values,
            tf.gather(pieces.row_starts(), windows.rows) + windows.doc_starts,
            windows.doc_lengths,
        )
        num_tokens = query.lengths + document.lengths + NUM_SPECIAL
        # There may be no window.
        longest = tf.reduce_max(
            tf.concat([num_tokens, [self._sizes.num_best]], axis=0)
        )
        return self._preprocess.lay_out(
            query, document, self._sizes.num_places(longest)
        )
