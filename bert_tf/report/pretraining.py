"""The page of a pretraining: masked LM and next sentence prediction.

Rows are those of `programs.pretraining_report`: `eval.jsonl` has a few records
with their masked places, `masked.jsonl` which piece was taken for which.
"""

import collections
from collections.abc import Mapping, Sequence

from bert_tf.report import common
from bert_tf.report.blocks import (
    Block,
    Details,
    Example,
    Examples,
    Marked,
    Paragraph,
    Share,
    Side,
    Table,
    Text,
)
from bert_tf.report.page import Section
from bert_tf.report.stored import Row, StoredRun

NUM_PIECES = 20
NUM_TAKEN_FOR = 4  # Wrong pieces that are named for a piece.
MIN_POSITIONS = 3  # A piece needs them for its accuracy to mean anything.
NUM_MARKED = 12  # Masked places of a record whose pieces are listed.
FOLLOWS = ("follows", "comes from elsewhere")


def sections(run: StoredRun) -> list[Section]:
    """The sections of a pretraining, besides those of all kinds."""
    return [
        Section("Scores", common.scores(run)),
        piece_section(run.rows.get("masked", [])),
        record_section(run.rows.get("eval", [])),
    ]


def piece_section(pairs: Sequence[Row]) -> Section:
    """What [MASK] was taken for: the commonest right and wrong pieces.

    Args:
        pairs: {"piece", "predicted", "count"} each, the commonest first.
    """
    by_piece: dict[str, collections.Counter[str]] = collections.defaultdict(
        collections.Counter
    )
    for row in pairs:
        by_piece[row["piece"]][row["predicted"]] += row["count"]
    if not by_piece:
        return Section("What [MASK] was taken for", [])
    blocks = _piece_blocks(by_piece)
    if all(piece.startswith("#") and piece != "#" for piece in by_piece):
        blocks.append(
            Paragraph(
                "Pieces are shown by their ids, as no vocab.txt of this "
                "model's size was found in the output folder, or next to the "
                "config.",
                "note",
            )
        )
    return Section("What [MASK] was taken for", blocks)


def _piece_blocks(
    by_piece: Mapping[str, collections.Counter[str]],
) -> list[Block]:
    """The tables of pieces.

    Args:
        by_piece: {true piece: {predicted piece: how often}}.
    """
    total = sum(counter.total() for counter in by_piece.values())
    num_right = sum(counter[p] for p, counter in by_piece.items())
    common = sorted(by_piece.items(), key=lambda item: -item[1].total())
    table = [
        (
            piece,
            counter.total(),
            Share(counter[piece] / counter.total()),
            _taken_for(piece, counter),
        )
        for piece, counter in common[:NUM_PIECES]
    ]
    wrong = sorted(
        (
            (count, piece, found)
            for piece, counter in by_piece.items()
            for found, count in counter.items()
            if found != piece
        ),
        key=lambda each: (-each[0], each[1], each[2]),
    )
    guesses: collections.Counter[str] = collections.Counter()
    for counter in by_piece.values():
        guesses.update(counter)
    right = {p: by_piece[p][p] for p in guesses if p in by_piece}
    return [
        Paragraph(
            f"{num_right:,} of {total:,} masked places of the evaluation get "
            f"the right piece first ({100 * num_right / total:.1f} %)."
        ),
        Table(
            ("True piece", "Places", "Right", "Else taken for"),
            table,
            caption="The commonest pieces",
        ),
        Side(
            [
                Table(
                    ("True piece", "Taken for", "Places"),
                    [(p, found, n) for n, p, found in wrong[:NUM_PIECES]],
                    caption="The commonest mistakes",
                ),
                Table(
                    ("Piece", "Predicted", "Right"),
                    [
                        (p, n, Share(right.get(p, 0) / n))
                        for p, n in guesses.most_common(NUM_PIECES)
                    ],
                    caption="The commonest guesses",
                ),
            ]
        ),
    ]


def _taken_for(piece: str, counter: collections.Counter[str]) -> str:
    others = [item for item in counter.most_common() if item[0] != piece]
    shown = [f"{found} ({n})" for found, n in others[:NUM_TAKEN_FOR]]
    if len(others) > NUM_TAKEN_FOR:
        shown.append(f"and {len(others) - NUM_TAKEN_FOR} more")
    return ", ".join(shown)


def marked_tokens(row: Row) -> Text:
    """A record's text with its masked places, which show the right pieces.

    Args:
        row: of a record.
    """
    masked = {place["at"]: place for place in row["masked"]}
    parts: list[str | Marked] = []
    numbers = {at: n for n, at in enumerate(sorted(masked), start=1)}
    for at, token in enumerate(row["tokens"]):
        space = "" if token.startswith("##") or not at else " "
        if at not in masked:
            shown = token.removeprefix("##")
            parts.append(f"{space}{shown}")
            continue
        place = masked[at]
        is_right = place["best"][0][0] == place["piece"]
        parts += [
            " ",
            Marked(
                place["piece"],
                "right" if is_right else "wrong",
                str(numbers[at]),
            ),
        ]
    return _joined(parts)


def _joined(parts: Sequence[str | Marked]) -> list[str | Marked]:
    """Joins texts that follow each other."""
    joined: list[str | Marked] = []
    for part in parts:
        if joined and isinstance(part, str) and isinstance(joined[-1], str):
            joined[-1] += part
        else:
            joined.append(part)
    return joined


def _record_blocks(row: Row) -> list[Block]:
    places = sorted(row["masked"], key=lambda place: place["at"])
    right = FOLLOWS[row["label"]]
    found = FOLLOWS[row["predicted"]]
    example = Example(
        [("", marked_tokens(row))],
        [
            ("second part", right),
            ("predicted", f"{found} ({row['probability']:.2f})"),
        ],
    )
    table = [
        (
            str(number),
            place["piece"],
            row["tokens"][place["at"]],
            ", ".join(f"{piece} {p:.2f}" for piece, p in place["best"]),
        )
        for number, place in enumerate(places[:NUM_MARKED], start=1)
    ]
    blocks: list[Block] = [
        Examples([example]),
        Table(("", "True piece", "The model reads", "Its guesses"), table),
    ]
    if len(places) > NUM_MARKED:
        left = len(places) - NUM_MARKED
        blocks.append(Paragraph(f"{left} more places are not listed.", "note"))
    return blocks


def record_section(rows: Sequence[Row]) -> Section:
    """A few records with their masked places, and the model's guesses.

    Args:
        rows: of records.
    """
    blocks: list[Block] = [
        Paragraph(
            "Marked are the true pieces of masked places. Below each text are "
            "the model's likeliest pieces with their probabilities. 8 in 10 "
            "masked places hold [MASK], 1 another piece, and 1 the true one."
        )
    ]
    for number, row in enumerate(rows, start=1):
        blocks.append(
            Details(f"Record {number}", _record_blocks(row), number <= 2)
        )
    return Section("Masked texts", blocks if rows else [])
