"""Asks a pretrained model which words it expects at each [MASK] of a text.

    python -m bert_tf.tools.fill_mask "the capital of france is [MASK] ."

A second text after `|||` asks as well whether it follows the first:

    python -m bert_tf.tools.fill_mask "he went to the [MASK] . ||| he bought milk ."

Give several texts as several arguments, or `-` to read them from standard
input, one per line. The model is the bundled one unless --pretrained names
another.
"""  # noqa: E501  A command that is broken is hard to copy.

import dataclasses
import json
import sys
from typing import TYPE_CHECKING

from absl import flags

from bert_tf.errors import UserError
from bert_tf.programs import bundled, model_files, program
from bert_tf.programs import flags as shared_flags
from bert_tf.text.packing import split_pair
from bert_tf.tokenization import MASK

if TYPE_CHECKING:
    from bert_tf.fill_mask import FilledText

FLAGS = flags.FLAGS
EXAMPLE = f'"the capital of france is {MASK} ."'

shared_flags.define_network_flags()
shared_flags.define_vocab_flags()
shared_flags.define_count(
    "top_k", 5, "Number of words to show for each [MASK]."
)
flags.DEFINE_enum(
    "output_format",
    "text",
    ["text", "json"],
    "Form of the answers: text is for people; json is for programs: one "
    "object per line and text.",
)


def main(*texts: str) -> None:
    lines = sys.stdin.read().split("\n") if texts == ("-",) else texts
    nonempty = [text for text in lines if text.strip()]
    if not nonempty:
        raise UserError(f"no text is given, such as {EXAMPLE}")
    bundled.use_model(needs_checkpoint=True)
    model_files.read_config_and_tokenizer()  # It checks the flags.
    from bert_tf.fill_mask import FillMask

    fill_mask = FillMask(
        vocab_file=FLAGS.vocab_file,
        bert_config_file=FLAGS.bert_config_file,
        init_checkpoint=FLAGS.init_checkpoint,
        **model_files.tokenizer_arguments(),
    )
    # All texts are read before the first answer, so that errors come at once.
    masked = [fill_mask.read(*split_pair(text)) for text in nonempty]
    show = {"text": readable, "json": as_json}[FLAGS.output_format]
    for masked_text in masked:
        print(show(fill_mask.fill(masked_text, FLAGS.top_k)), flush=True)


def readable(filled: "FilledText") -> str:
    """Formats an answer for people.

    [CLS] he went to the [MASK] . [SEP] he bought milk . [SEP]
    [MASK] 1 of 1
      0.4321  store
      0.0765  market
    The second text follows the first: 0.9876
    """
    lines = [" ".join(filled.tokens)]
    for number, words in enumerate(filled.masks, start=1):
        lines.append(f"{MASK} {number} of {len(filled.masks)}")
        lines += [f"  {p:.4f}  {word}" for word, p in words.items()]
    if filled.follows is not None:
        lines.append(f"The second text follows the first: {filled.follows:.4f}")
    return "\n".join(lines) + "\n"  # An empty line between two texts.


def as_json(filled: "FilledText") -> str:
    """Formats an answer for programs."""
    return json.dumps(dataclasses.asdict(filled))


if __name__ == "__main__":
    program.run(main, takes_texts=True)
