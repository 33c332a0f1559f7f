"""Explanations for people: in the terminal, and as a page."""

import os
from collections.abc import Sequence
from typing import IO

from bert_tf.explanations import Explanation, ScoredWord
from bert_tf.report.blocks import Block, Details, Paragraph, Table
from bert_tf.report.page import Section, render
from bert_tf.report.scored_words import ScoredText, signed

MOST_WORDS = 10  # With their scores, below a text in the terminal.
MOST_ON_PAGE = 200  # Texts on a page.
_FOR, _AGAINST, _END = "32", "31", "\x1b[0m"
_STRONG, _WEAK = 0.5, 0.1  # Shares of the largest score.
# Characters that would change the terminal instead of being shown.
_CONTROLS = {
    code: "\ufffd"
    for code in (*range(0x20), *range(0x7F, 0xA0))
    if chr(code) not in "\n\t"
}

METHOD = (
    "A word's number is what it adds to the logit of the answer, by integrated "
    "gradients over the word embeddings. Green words with a solid line speak "
    "for the answer, red ones with a dotted line against it."
)


def is_coloured(stream: IO[str]) -> bool:
    """Whether a stream is a terminal that shows colours.

    Args:
        stream: such as sys.stdout.
    """
    is_dumb = os.environ.get("TERM") == "dumb"
    return stream.isatty() and not is_dumb and "NO_COLOR" not in os.environ


def summary(explanation: Explanation) -> str:
    """What is explained, and by how much all words move it: one line."""
    total = signed(explanation.logit - explanation.baseline_logit)
    number = f"{explanation.logit:.2f}"
    before = f"{explanation.baseline_logit:.2f}"
    if explanation.kind == "regression":
        return f"{number}: the words add {total} to {before}"
    name = explanation.target or "no answer"
    if explanation.kind == "multiple_choice":
        name = f"ending {name}"
    if explanation.word is not None:
        name = f"{explanation.word.text} is {name}"
    text = f"{name}: the words add {total} to its logit, {before} to {number}"
    if explanation.target != explanation.answer:
        text += f" (the answer is {explanation.answer or 'no answer'})"
    return text


def notes(explanation: Explanation) -> list[str]:
    """What a reader must know of an explanation, a sentence each."""
    found = []
    if explanation.truncated:
        found.append("The text is too long: the model does not read all of it.")
    if not explanation.is_complete:
        found.append(
            f"The numbers are rough: their sum is {100 * explanation.error:.0f}"
            f" % off after {explanation.num_steps} steps."
        )
    return found


def in_terminal(explanation: Explanation, has_colours: bool) -> str:
    """An explanation as lines of text.

    Args:
        explanation: what is shown.
        has_colours: whether words are coloured; their signs are shown in any
            case.
    """
    lines = [summary(explanation)]
    largest = _largest(explanation)
    for field, text in explanation.texts.items():
        words = [w for w in explanation.words if w.field == field]
        name = f"{field}: " if len(explanation.texts) > 1 else ""
        shown = _coloured(text, words, largest) if has_colours else _plain(text)
        lines.append(f"  {name}{shown}")
    by_size = sorted(explanation.words, key=lambda word: -abs(word.score))
    for word in by_size[:MOST_WORDS]:
        lines.append(f"  {signed(word.score):>7}  {_plain(word.text)}")
    rest = len(by_size) - MOST_WORDS
    if rest > 0:
        others = sum(word.score for word in by_size[MOST_WORDS:])
        lines.append(f"  {signed(others):>7}  all other words, {rest} of them")
    lines += [f"  {note}" for note in notes(explanation)]
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    return text.translate(_CONTROLS).replace("\n", " ")


def _coloured(text, words, largest):
    shown, at = [], 0
    for word in words:
        shown.append(_plain(text[at : word.start]))
        part, at = _plain(text[word.start : word.end]), word.end
        share = abs(word.score) / largest
        if share >= _WEAK:
            colour = _FOR if word.score > 0 else _AGAINST
            style = "1;" if share >= _STRONG else ""
            part = f"\x1b[{style}{colour}m{part}{_END}"
        shown.append(part)
    return "".join([*shown, _plain(text[at:])])


def _largest(explanation):
    return max((abs(w.score) for w in explanation.words), default=0.0) or 1.0


def page(
    model: str,
    explanations: Sequence[Explanation],
    pictures: Sequence[Sequence[Block]] = (),
) -> str:
    """Explanations as a page of HTML.

    Args:
        model: the model's name.
        explanations: at most `MOST_ON_PAGE` are shown, and the page says so.
        pictures: more blocks for each.
    """
    sections = []
    for number, explanation in enumerate(explanations[:MOST_ON_PAGE]):
        more = pictures[number] if number < len(pictures) else ()
        blocks = [*_blocks(explanation), *more]
        title = f"{number + 1}. {_title(explanation)}"
        sections.append(Section(title, blocks, id=f"text-{number + 1}"))
    head: list[Block] = [Paragraph(METHOD, kind="note")]
    if len(explanations) > MOST_ON_PAGE:
        head.append(
            Paragraph(
                f"The first {MOST_ON_PAGE} of {len(explanations):,} texts are "
                "shown.",
                kind="note",
            )
        )
    return render(
        "Why the model answers so", sections, head=head, subtitle=model
    )


def _title(explanation):
    name = explanation.target or "no answer"
    if explanation.kind == "regression":
        name = explanation.answer
    if explanation.word is not None:
        name = f"{explanation.word.text}: {name}"
    return name if len(name) <= 60 else f"{name[:59]}…"


def _blocks(explanation: Explanation) -> list[Block]:
    largest = _largest(explanation)
    blocks: list[Block] = [Paragraph(summary(explanation))]
    for field, text in explanation.texts.items():
        words = [w for w in explanation.words if w.field == field]
        name = field.replace("_", " ") if len(explanation.texts) > 1 else ""
        blocks.append(ScoredText(text, words, largest, name))
    blocks += [Paragraph(note, kind="warning") for note in notes(explanation)]
    blocks.append(Details("All words and numbers", [_table(explanation.words)]))
    return blocks


def _table(words: Sequence[ScoredWord]) -> Table:
    rows = sorted(words, key=lambda word: -abs(word.score))
    return Table(
        ["word", "text", "adds"],
        [[word.text, word.field, signed(word.score)] for word in rows],
    )
