"""QuestionAnswerer: a `Predictor` for questions on texts."""

from collections.abc import Sequence

from bert_tf.errors import UserError
from bert_tf.export.kinds import Answer
from bert_tf.export.predictor import Predictor


class QuestionAnswerer:
    """Answers questions with an exported model.

        answerer = QuestionAnswerer("/tmp/squad/export")
        answerer.answer("Who wrote it?", "The book was written by Ada.")
        # {"answer": "Ada", "score": 0.98, "start": 24, "end": 27, …}

    Args:
        folder: the folder of the SavedModel.

    Raises:
        UserError: the folder has no model that answers questions.
    """

    def __init__(self, folder: str):
        self._predictor = Predictor(folder)
        names = self._predictor.input_names
        if names != ("question", "context"):
            raise UserError(
                f"{folder}: this model reads {', '.join(names) or '–'}, not "
                "question and context"
            )

    def answer(self, question: str, context: str) -> Answer:
        """Returns the answer to one question.

        Returns:
            A dict:
                answer: a part of the context; "" for none.
                score: its probability among the n best answers.
                start, end: `context[start:end]` is the answer; -1 for none.
                start_byte, end_byte: the same places in bytes of UTF-8.
                null_probability: the probability of "no answer"; only for
                    models of SQuAD 2.0.
            Half of a surrogate pair, which UTF-8 cannot encode, is read as "?".
        """
        (answer,) = self.answer_all([question], [context])
        return answer

    def answer_all(
        self, questions: Sequence[str], contexts: Sequence[str]
    ) -> list[Answer]:
        """Returns the answers to several questions, each on its own context."""
        if len(questions) != len(contexts):
            raise ValueError(
                "questions and contexts must have the same length. Received: "
                f"{len(questions)} and {len(contexts)}"
            )
        return self._predictor.predict(zip(questions, contexts, strict=True))
