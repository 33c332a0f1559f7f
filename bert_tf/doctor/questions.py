"""Checks of SQuAD files: answers, contexts and the lengths of questions."""

from collections.abc import Sequence

from bert_tf.counts import counted, number_of
from bert_tf.data.squad.questions import read_questions
from bert_tf.doctor.duplicates import MIN_OVERLAP
from bert_tf.doctor.findings import Finding
from bert_tf.doctor.rows import RowSet, normalized

# In released files a few answers per thousand are cut or retold.
MAX_MISSING = 0.01
MAX_CUT_QUESTIONS = 0.01


class QuestionFile:
    """What is compared of a file of questions, read in one pass.

    Args:
        path: of the file.
        set_type: "train" or "dev".

    Attributes:
        contexts: {normalized context: where it is first}.
        num_questions: how many there are.
        num_answered: those that have answers.
        missing: places of questions none of whose answers is in the context.

    Raises:
        UserError: it is not a SQuAD file.
    """

    def __init__(self, path: str, set_type: str):
        self.path, self.set_type = path, set_type
        self.contexts: dict[str, str] = {}
        self.missing: list[str] = []
        self.num_questions = self.num_answered = 0
        last, folded = None, ""
        for context, question in read_questions(path):
            if context is not last:
                last, folded = context, context.text.casefold()
                self.contexts.setdefault(
                    normalized(context.text), question.place
                )
            self.num_questions += 1
            answers = [a.text for a in question.answers or () if a.text.strip()]
            if answers and not question.is_impossible:
                self.num_answered += 1
                if not any(a.strip().casefold() in folded for a in answers):
                    self.missing.append(question.place)

    def check_answers(self) -> list[Finding]:
        """Says so where answers are not in their contexts."""
        number, total = len(self.missing), self.num_answered
        if not number or number < MAX_MISSING * total:
            return []
        lost = "they are left out of training"
        if self.set_type != "train":
            lost = "no model can find them, and the best score is below 100"
        return [
            Finding(
                severity="warning",
                name="answers not in the context",
                subject=self.set_type,
                what=f"{counted(number, total, 'question')} no answer that "
                "is in the context",
                advice=lost,
                where=self.missing[:3],
            )
        ]

    def check_contexts(self, train: "QuestionFile") -> list[Finding]:
        """Compares the contexts with those of the training file."""
        common = [key for key in self.contexts if key in train.contexts]
        if len(common) <= MIN_OVERLAP * len(self.contexts):
            return []
        return [
            Finding(
                severity="warning",
                name="overlap",
                subject=self.set_type,
                what=f"{counted(len(common), len(self.contexts), 'context')} "
                "a copy in the training file",
                advice="scores on contexts that the model has seen are too "
                "good; SQuAD divides by articles",
                where=[self.contexts[common[0]], train.contexts[common[0]]],
            )
        ]


def check_question_lengths(
    rows: RowSet, lengths: Sequence[int], max_query_length: int
) -> list[Finding]:
    """Says so where questions are cut.

    Args:
        rows: the questions.
        lengths: their tokens.
        max_query_length: the setting.
    """
    cut = [row for row, n in enumerate(lengths) if n > max_query_length]
    if len(cut) <= MAX_CUT_QUESTIONS * len(lengths):
        return []
    return [
        Finding(
            severity="warning",
            name="cut questions",
            subject=rows.set_type,
            what=f"{number_of(len(cut), 'question')} of {len(lengths)} with "
            f"more than {max_query_length} tokens",
            advice=f"`max_query_length`={max(lengths)} keeps them whole",
            where=rows.places(cut),
        )
    ]
