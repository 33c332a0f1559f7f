"""The texts that contestants answer: sentences, pairs, or questions."""

import dataclasses
import os
import random
from collections.abc import Iterator

from absl import flags

from bert_tf.data.squad import examples as squad_examples
from bert_tf.errors import UserError
from bert_tf.export.kinds import QUESTION_ANSWERING, SINGLE_LABEL
from bert_tf.programs import program, squad_flags
from bert_tf.tools.benchmarks.data import read_texts, train_examples
from bert_tf.tools.benchmarks.peers.answer_task import Item

FLAGS = flags.FLAGS
SEED = 12345
# Flags that name files of questions; the first that is given counts.
QUESTION_FLAGS = "predict_file", "train_file"


@dataclasses.dataclass(frozen=True)
class Texts:
    """The texts that are answered in a round.

    Attributes:
        name: where the texts are from.
        kind: the kind of answers, "single_label" or "question_answering".
        items: the texts in random order: each a text, a pair of them, or a
            question with its context.
    """

    name: str
    kind: str
    items: list[Item]

    @property
    def input_names(self) -> tuple[str, ...]:
        """The inputs of a model that answers them."""
        if self.kind == QUESTION_ANSWERING.name:
            return "question", "context"
        return ("text", "text_pair") if self.are_pairs else ("text",)

    @property
    def are_pairs(self) -> bool:
        """Whether an item has two texts."""
        return not isinstance(self.items[0], str)


def texts_to_answer() -> Iterator[Texts]:
    """Yields what the flags ask for; by default the bundled texts.

    Each has --num_texts items at most.

    Raises:
        UserError: a file has no text.
    """
    given = [
        name
        for name in ("task_name", "input_file", *QUESTION_FLAGS)
        if not FLAGS[name].using_default_value
    ]
    questions = [name for name in QUESTION_FLAGS if name in given]
    if "input_file" in given:
        names = ", ".join(map(os.path.basename, FLAGS.input_file))
        yield _texts(names, SINGLE_LABEL.name, [*read_texts()])
    if "task_name" in given or not given:
        yield _texts(FLAGS.task_name, SINGLE_LABEL.name, task_items())
    if questions:
        name = os.path.basename(program.value_of(questions[0]))
        items = question_items(questions[0])
        yield _texts(name, QUESTION_ANSWERING.name, items)


def _texts(name: str, kind: str, items: list[Item]) -> Texts:
    """A sample of items, in random order."""
    number = min(len(items), FLAGS.num_texts)
    return Texts(name, kind, random.Random(SEED).sample(items, number))


def task_items() -> list[Item]:
    """The texts, or pairs, of a task's training file."""
    return [
        example.text_a
        if example.text_b is None
        else [example.text_a, example.text_b]
        for example in train_examples()
    ]


def question_items(flag: str) -> list[Item]:
    """The questions of a SQuAD file, each with its context.

    Args:
        flag: the flag that names the file.
    """
    program.require_existing(flag)
    squad_flags.check_lengths()
    path = program.value_of(flag)
    items: list[Item] = [
        [example.question_text, " ".join(example.doc_tokens)]
        for example in squad_examples.SquadExamples(path, is_training=False)
    ]
    if not items:
        raise UserError("has no question", setting=flag, value=path)
    return items
