"""The page of a run on questions: SQuAD 1.1 and 2.0.

Rows are those of `programs.squad_report`; exact match and F1 are shown in per
cent, as SQuAD's scripts have them.
"""

import collections
import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from bert_tf.report import common, pictures
from bert_tf.report.blocks import (
    Block,
    Details,
    Paragraph,
    Picture,
    Side,
    Table,
)
from bert_tf.report.page import Section
from bert_tf.report.question_examples import example_section
from bert_tf.report.question_rows import (
    Row,
    has_unanswerable,
    is_scored,
    scores_of,
)
from bert_tf.report.question_threshold import threshold_section
from bert_tf.report.stored import StoredRun

NUM_SPECIAL_TOKENS = 3  # [CLS], and [SEP] twice.
ANSWER_BINS = (1, 2, 3, 5, 10)  # Words.
CONTEXT_BINS = (100, 150, 200, 300, 500)  # WordPieces.
_QUESTION_WORD = re.compile(
    r"\b(how (?:many|much)|how|what|who|whom|whose|when|where|why|which)\b"
)
_SAME_WORD = {"whom": "who", "whose": "who", "how much": "how many"}
WORDS = ("what", "who", "when", "where", "which", "why", "how many", "how")
OTHER = "other"


def question_word(question: str) -> str:
    """The first question word of an English question: one of WORDS, or other.

    "how many" and "how much" are one, and so are "who", "whom" and "whose".
    """
    found = _QUESTION_WORD.search(question.lower())
    if not found:
        return OTHER
    return _SAME_WORD.get(found[1], found[1])


def sections(run: StoredRun) -> list[Section]:
    """The sections of a run on questions, besides those of all kinds."""
    name = "eval" if run.rows.get("eval") else "test"
    rows = run.rows.get(name, [])
    if not rows:
        return [Section("Scores", common.scores(run))]
    contexts = {
        row["context"]: row["text"] for row in run.rows.get("contexts", ())
    }
    path = run.file_of_set(name)
    found = []
    if is_scored(rows):
        chosen = run.flags.get("null_score_diff_threshold") or 0.0
        all_scores = Details("All scores", common.scores(run))
        scores = score_section(rows)
        found = [
            Section(scores.title, [*scores.blocks, all_scores]),
            group_section(rows),
            threshold_section(rows, float(chosen)),
        ]
    max_seq_length = run.flags.get("max_seq_length") or 0
    return [
        *found,
        example_section(rows, contexts, path),
        length_section(rows, int(max_seq_length)),
    ]


# ---------------------------------------------------------------------------
# Scores of groups of questions.


def score_section(rows: Sequence[Row]) -> Section:
    """Exact match and F1 of all questions, of those with an answer, and not."""
    groups = [("all questions", rows)]
    if has_unanswerable(rows):
        groups += [
            ("with an answer", [row for row in rows if row["gold"]]),
            ("without an answer", [row for row in rows if not row["gold"]]),
        ]
    table = [
        (name, len(some), *scores_of(some)) for name, some in groups if some
    ]
    blocks: list[Block] = [
        Table(("Questions", "Number", "Exact", "F1"), table),
        Paragraph(
            "Exact is the share of answers that are the same as a right "
            "answer, but for case, punctuation and articles. F1 compares "
            "their words. Both are in per cent.",
            "note",
        ),
    ]
    if has_unanswerable(rows):
        blocks.insert(1, _answer_table(rows))
    return Section("Scores", blocks)


def _answer_table(rows: Sequence[Row]) -> Table:
    """How many questions were answered, and how many have an answer."""
    numbers = collections.Counter(
        (bool(row["gold"]), bool(row["predicted"])) for row in rows
    )
    return Table(
        ("", "Answered", "Not answered"),
        [
            (name, numbers[has_answer, True], numbers[has_answer, False])
            for name, has_answer in (
                ("has an answer", True),
                ("has no answer", False),
            )
        ],
        caption="Answered or not",
    )


def _groups(
    rows: Iterable[Row], name_of: Callable[[Row], str], order: Sequence[str]
) -> list[tuple[str, list[Row]]]:
    """(name, rows) of each group that has any, in order."""
    by_name: dict[str, list[Row]] = collections.defaultdict(list)
    for row in rows:
        by_name[name_of(row)].append(row)
    return [(name, by_name[name]) for name in order if by_name[name]]


def _group_picture(
    title: str, groups: Sequence[tuple[str, Sequence[Row]]], what: str
) -> Picture:
    """Bars of exact match and F1, a group of bars for each group."""
    scores = [scores_of(rows) for _, rows in groups]
    alt = "; ".join(
        f"{name}: exact {exact:.1f}, F1 {f1:.1f} of {len(rows):,}"
        for (name, rows), (exact, f1) in zip(groups, scores, strict=True)
    )
    svg = pictures.bars(
        title,
        alt,
        [f"{name} ({len(rows):,})" for name, rows in groups],
        [
            ("exact", [exact for exact, _ in scores]),
            ("F1", [f1 for _, f1 in scores]),
        ],
        x_label="per cent",
        x_range=(0.0, 100.0),
    )
    return Picture(svg, alt, f"{what} In brackets: the number of questions.")


def bin_names(ends: Sequence[int]) -> list[str]:
    """Names of bins of whole numbers: "1", "2", "3–5", "more than 5"."""
    names, low = [], 1
    for number, end in enumerate(ends):
        single = str(end) if number or end == 1 else f"up to {end}"
        names.append(single if low == end or not number else f"{low}–{end}")
        low = end + 1
    return [*names, f"more than {ends[-1]}"]


def _bin_of(value: int, ends: Sequence[int], names: Sequence[str]) -> str:
    return names[int(np.searchsorted(ends, value))]


def group_section(rows: Sequence[Row]) -> Section:
    """Scores by question word, by length of the answer and of the context."""
    by_word = _groups(
        rows, lambda row: question_word(row["question"]), (*WORDS, OTHER)
    )
    parts: list[Block] = []
    if len(by_word) > 1:  # Otherwise the questions are not in English.
        parts.append(
            _group_picture(
                "Scores by question word",
                by_word,
                "By the first question word.",
            )
        )
    with_answer = [row for row in rows if row["gold"]]
    names = bin_names(ANSWER_BINS)
    by_answer = _groups(
        with_answer,
        lambda row: _bin_of(
            max(1, min(len(text.split()) for text in row["gold"])),
            ANSWER_BINS,
            names,
        ),
        names,
    )
    if len(by_answer) > 1:
        parts.append(
            _group_picture(
                "Scores by length of the right answer",
                by_answer,
                "By words in the shortest right answer.",
            )
        )
    context_names = bin_names(CONTEXT_BINS)
    by_context = _groups(
        rows,
        lambda row: _bin_of(row["context_tokens"], CONTEXT_BINS, context_names),
        context_names,
    )
    if len(by_context) > 1:
        parts.append(
            _group_picture(
                "Scores by length of the context",
                by_context,
                "By WordPieces of the context.",
            )
        )
    return Section("Which questions are hard", [Side(parts)] if parts else [])


# ---------------------------------------------------------------------------
# Lengths.


def length_section(rows: Sequence[Row], max_seq_length: int) -> Section:
    """How long questions with their contexts are, and how many are cut.

    Args:
        rows: of all questions.
        max_seq_length: the length of a window.
    """
    lengths = np.array(
        [
            row["question_tokens"] + row["context_tokens"] + NUM_SPECIAL_TOKENS
            for row in rows
        ]
    )
    num_long = int(np.sum([row["windows"] > 1 for row in rows]))
    share = 100 * num_long / len(rows)
    alt = (
        f"{num_long:,} of {len(rows):,} questions ({share:.1f} %) are longer "
        f"with their context than max_seq_length={max_seq_length}; the median "
        f"is {int(np.median(lengths)):,} tokens, the longest has "
        f"{int(lengths.max()):,}."
    )
    counts, edges = np.histogram(lengths, bins=40)
    svg = pictures.histogram(
        "Lengths of questions with their contexts",
        alt,
        edges,
        [("", counts)],
        x_label="tokens of question and context",
        y_label="questions",
        marks=[(max_seq_length, "max_seq_length")],
        size=(6.4, 2.8),
    )
    text = " Longer contexts are read in several overlapping windows."
    return Section("Lengths", [Paragraph(alt + text), Picture(svg, alt)])
