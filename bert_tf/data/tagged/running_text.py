"""Tells running text from rows with a word each.

Anna Smith went to Oslo.       running text
I went with her.

Anna NNP B-PER                 rows
went VBD O
"""

import itertools
import re
from collections.abc import Sequence

from bert_tf.data.tagged.word_rows import Rows
from bert_tf.tokenization import is_cjk

NUM_ROWS_COMPARED = 200
_TAG = re.compile(
    r"[Oo]|[BIESLUMW]|[BIESLUMWbiesluw][-_:/|.].+|.+[-_:/|.][BIESLUMW]"
)
_SENTENCE_END = re.compile(r"[.!?…。！？][\"'”’»)\]]*$")
_MARKS = ".,;:!?\"'()¿¡"
# Anna/B-PER went/VBD: a word and its tag in one cell.
_WORD_AND_TAG = re.compile(r".+[/|_]([Oo]|[BIESLUMWbiesluw]-.+|[A-Z$.,:]{1,5})")
NUM_CJK = 6  # Characters of Chinese that are more than a word.


def is_running_text(rows: Rows) -> bool:
    """Whether lines are sentences, rather than words with tags."""
    if rows.separator != " " or rows.names or _has_documents(rows):
        return False
    blocks = [
        [row.cells for row in block.rows]
        for block in rows.blocks[:NUM_ROWS_COMPARED]
        if block.rows
    ]
    cells = [row for block in blocks for row in block][:NUM_ROWS_COMPARED]
    if not cells:
        return False
    if rows.num_columns == 1 and all(len(row) == 1 for row in cells):
        return _are_chinese_sentences([row[0] for row in cells])
    with_tag = sum(bool(_TAG.fullmatch(r[-1])) for r in cells if len(r) > 1)
    if 10 * with_tag > len(cells):
        return False
    usual = sum(len(row) == rows.num_columns for row in cells)
    if 5 * usual < 4 * len(cells) and _has_words(cells):
        return True  # Rows of all lengths.
    is_alone = all(len(block) == 1 for block in blocks)
    if is_alone and any(len(row) > 2 for row in cells) and _has_words(cells):
        return True  # A sentence of one word in each block is not likely.
    if len(rows.blocks) == 1 and len(cells) > 1 and _end_with_words(cells):
        return True  # No blank line, and the last column holds words.
    return _has_sentence_ends(cells) or _has_plain_words(cells)


def has_tags_in_words(rows: Rows) -> bool:
    """Whether lines are sentences of words with tags: `Anna/B-PER went/O`."""
    if rows.separator != " " or rows.names:
        return False
    cells = [
        cell
        for row in itertools.islice(rows.rows, NUM_ROWS_COMPARED)
        for cell in row.cells
        if len(row.cells) > 2
    ]
    tagged = sum(bool(_WORD_AND_TAG.fullmatch(cell)) for cell in cells)
    return len(cells) > 2 and 10 * tagged > 9 * len(cells)


def _has_documents(rows):
    return any(
        line.startswith("-DOCSTART-")
        for block in rows.blocks
        for line in block.before
    )


def _has_sentence_ends(cells: Sequence[list[str]]) -> bool:
    ends = sum(
        bool(_SENTENCE_END.search(row[-1])) for row in cells if len(row) > 2
    )
    return 2 * ends > len(cells)


def _end_with_words(cells: Sequence[list[str]]) -> bool:
    """Whether what might be tags are words, or the ends of sentences."""
    last = [row[-1] for row in cells if len(row) > 2]
    words = sum(
        bool(_SENTENCE_END.search(cell))
        or (cell.isalpha() and not cell.isupper())
        for cell in last
    )
    return 2 * len(last) > len(cells) and 5 * words > 4 * len(last)


def _has_words(cells: Sequence[list[str]]) -> bool:
    """Whether many cells after the first are words, not signs or capitals."""
    others = [cell.strip(_MARKS) for row in cells for cell in row[1:]]
    words = sum(cell.isalpha() and not cell.isupper() for cell in others)
    return bool(others) and 5 * words > 2 * len(others)


def _has_plain_words(cells: Sequence[list[str]]) -> bool:
    """Whether most cells after the first are words in small letters."""
    others = [cell for row in cells for cell in row[1:]]
    plain = sum(cell.isalpha() and cell.islower() for cell in others)
    return len(others) > len(cells) and 5 * plain > 3 * len(others)


def _are_chinese_sentences(cells: Sequence[str]) -> bool:
    long = sum(sum(map(is_cjk, cell)) >= NUM_CJK for cell in cells)
    return 2 * long > len(cells)
