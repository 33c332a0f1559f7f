"""Explains why a model gives its answer: which words speak for it.

    python -m bert_tf.tools.explain --model=/tmp/sms \\
        "Call now to claim your prize!"

Each word gets the number that it adds to the logit of the answer, by integrated
gradients. --model is the folder of a run, an exported model, or any model that
--pretrained takes. Give several texts as several arguments; a pair of texts, or
a question and its context, is `a ||| b`, and several endings are `a ||| b ||| c`.
A page with coloured words:

    python -m bert_tf.tools.explain --model=/tmp/sms --input=new.csv \\
        --output=why.html
"""  # noqa: E501  A command that is broken is hard to copy.

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

from bert_tf import choices, extras, files
from bert_tf.errors import UserError
from bert_tf.programs import flags as shared_flags
from bert_tf.programs import program
from bert_tf.progress import with_progress
from bert_tf.text.packing import PAIR

if TYPE_CHECKING:
    from bert_tf.explanations import Explainer, Explanation

FLAGS = flags.FLAGS
REQUIRED = ("model",)
STANDARD = "-"

flags.DEFINE_string(
    "model",
    None,
    "Folder of a run, of an exported model, or of a fine-tuned model in any "
    "format that --pretrained of the programs takes; or the name of one.",
)
flags.DEFINE_string(
    "label",
    None,
    "What to explain in place of the model's answer: a label, a tag, the "
    "number of an ending from 0, or words of the context of a question.",
)
flags.DEFINE_string(
    "word",
    None,
    "For a model of tags, the word whose tag is explained. By default the one "
    "that the model is surest to be a part of a name.",
)
flags.DEFINE_string(
    "input",
    None,
    "File of texts, in the forms that the tool predict reads; - is standard "
    "input.",
)
shared_flags.define_table_flags()
flags.DEFINE_bool(
    "json", False, "Write a JSON object for each text instead of lines."
)
flags.DEFINE_string(
    "output", None, "File to write: a page, whose name ends in .html."
)
flags.DEFINE_string(
    "attention",
    None,
    "Layer and head whose attention the page shows, both from 0, such as 5.2.",
)
shared_flags.define_float(
    "tolerance",
    0.01,
    "How far the sum of the words' numbers may be from what it must be, as a "
    "part of it.",
    lower_bound=1e-5,
    upper_bound=1.0,
)
shared_flags.define_count(
    "max_steps",
    1024,
    "Largest number of points of the path at which the gradient is computed.",
    lower_bound=16,
)


def main(*texts: str) -> None:
    program.require(*REQUIRED)
    check_flags(texts)
    # It loads TensorFlow, and mistakes are found without it.
    from bert_tf.explanations import Explainer
    from bert_tf.tools import explain_output

    explainer = Explainer.open(FLAGS.model)
    explanations, pictures = [], []
    items: Iterable[object] = items_of(explainer, texts)
    if FLAGS.output is not None:  # Without a page, each answer is shown.
        items = with_progress(items, verb="Explaining")
    for item in items:
        found = explained(explainer, item)
        if FLAGS.output is None:
            shown = json.dumps(found.to_json(), ensure_ascii=False)
            if not FLAGS.json:
                has_colours = explain_output.is_coloured(sys.stdout)
                shown = explain_output.in_terminal(found, has_colours)
            print(shown, flush=True)
            continue
        explanations.append(found)
        pictures.append(attention_blocks(explainer, item))
    if FLAGS.output is not None:
        page = explain_output.page(FLAGS.model, explanations, pictures)
        files.write_text(FLAGS.output, page)
        print(FLAGS.output)


def check_flags(texts: Sequence[str]) -> None:
    """Raises UserError if there is nothing to explain, or flags do not fit."""
    if bool(texts) == bool(FLAGS.input):
        raise UserError(
            "give texts as arguments, or a file as `input`"
            + ("; not both" if texts else "")
        )
    if FLAGS.input not in (None, STANDARD):
        program.require_existing("input")
    if FLAGS.output is not None:
        program.check_output("output", FLAGS.output, [])
        if not FLAGS.output.endswith((".html", ".htm")):
            raise UserError(
                "the name of a page ends in .html",
                setting="output",
                value=FLAGS.output,
            )
        if FLAGS.json:
            raise UserError("not with `output`", setting="json", value=True)
    if FLAGS.attention is not None:
        layer_and_head()
        if FLAGS.output is None:
            raise UserError(
                "is shown on a page; name one by `output`",
                setting="attention",
                value=FLAGS.attention,
            )
        from bert_tf.report import pictures

        if not pictures.is_available():
            raise UserError(
                f"needs matplotlib: {extras.how_to_install('report')}",
                setting="attention",
                value=FLAGS.attention,
            )


def layer_and_head() -> tuple[int, int]:
    """The numbers of --attention.

    Raises:
        UserError: it is something else.
    """
    layer, _, head = FLAGS.attention.partition(".")
    if not (layer.isdecimal() and head.isdecimal()):
        raise UserError(
            "two numbers are needed, a layer and a head, such as 5.2",
            setting="attention",
            value=FLAGS.attention,
        )
    return int(layer), int(head)


def items_of(explainer: "Explainer", texts: Sequence[str]) -> Iterator[object]:
    """Yields the items of the command line, or of --input.

    Args:
        explainer: the model.
        texts: of the command line.
    """
    if FLAGS.input is None:
        for text in texts:
            yield item_of_text(explainer, text)
        return
    from bert_tf.export.input_files import InputSettings, ItemReader

    columns = dict(explainer.reading.columns)
    for name, flag in choices.COLUMN_SETTINGS.items():
        if flag in FLAGS and FLAGS[flag].present:
            columns[name] = FLAGS[flag].value
    settings = InputSettings(
        delimiter=FLAGS.delimiter, encoding=FLAGS.encoding, columns=columns
    )
    # It has what the reader needs of a `Predictor`.
    asked: Any = explainer
    reader = ItemReader(asked, settings)
    file, source = reader.first_file([FLAGS.input])
    if source.has_columns and "text_pair" not in columns:
        asked = explainer.for_single_texts()
        reader = ItemReader(asked, settings)
    is_empty = True
    for _, item in reader.read(file, source):
        is_empty = False
        yield item
    if is_empty:
        raise UserError(
            "there is no text in it", setting="input", value=FLAGS.input
        )


def item_of_text(explainer: "Explainer", text: str) -> object:
    """The item of an argument: a text, or several that bars separate.

    Raises:
        UserError: it has too many or too few parts.
    """
    parts = text.split(PAIR)
    number = len(explainer.input_names)
    if explainer.kind == "multiple_choice" and len(parts) > 1:
        return parts[0], parts[1:]
    if explainer.kind in ("multiple_choice", "question_answering"):
        is_right = len(parts) == number
    else:
        is_right = len(parts) <= number
    if not is_right:
        names = PAIR.join(explainer.input_names)
        raise UserError(f"{text!r}: the model reads {names}")
    return tuple(parts)


def explained(explainer: "Explainer", item: object) -> "Explanation":
    """Explains an item as the flags ask.

    Raises:
        UserError: the item is not what the model reads.
    """
    try:
        return explainer.explain(
            item,
            FLAGS.label,
            word=FLAGS.word,
            tolerance=FLAGS.tolerance,
            max_steps=FLAGS.max_steps,
        )
    except UserError:
        raise
    except ValueError as error:
        raise UserError(str(error)) from None


def attention_blocks(explainer: "Explainer", item: object) -> list[Any]:
    """The picture of --attention, if it is asked for."""
    if FLAGS.attention is None:
        return []
    from bert_tf.report.attention_map import MAX_TOKENS, attention_map
    from bert_tf.report.blocks import Picture

    layer, head = layer_and_head()
    tokens, matrix = explainer.attention(item, layer, head)
    title = f"Attention of layer {layer}, head {head}"
    caption = f"{title}: the darker a square, the more its row reads of it."
    if len(tokens) > MAX_TOKENS:
        caption += f" The first {MAX_TOKENS} of {len(tokens)} tokens."
    return [Picture(attention_map(tokens, matrix, title), title, caption)]


if __name__ == "__main__":
    program.run(main, required=REQUIRED, takes_texts=True)
