"""What a loss is told of rows of texts: scores, negatives, partners."""

from collections.abc import Sequence

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from bert_tf.counts import number_of
from bert_tf.data.text_groups import TextGroups
from bert_tf.errors import UserError


def scaled_scores(
    groups: TextGroups, score_range: Sequence[float] | None = None
) -> np.ndarray:
    """Scores from 0 to 1.

    Args:
        groups: scored pairs.
        score_range: the numbers that become 0 and 1; None for the smallest
            and the largest of the file.

    Returns:
        float32 [N].

    Raises:
        UserError: a score is outside of the range, or all are the same.
    """
    scores = groups.scores
    low, high = score_range or (scores.min(), scores.max())
    for row in np.flatnonzero((scores < low) | (scores > high)).tolist():
        raise UserError(
            f"{groups.path}:{groups.lines[row]}: the score {scores[row]:g} is "
            "outside of it",
            setting="score_range",
            value=f"{low:g},{high:g}",
        )
    check_scores_differ(groups, "nothing to learn")
    # Halves, because the difference of the largest numbers is infinite.
    low, high, scores = low / 2, high / 2, scores / 2
    return ((scores - low) / (high - low)).astype(np.float32)


def check_scores_differ(groups: TextGroups, missing: str) -> None:
    """Checks that scored pairs say more than one thing.

    Args:
        groups: scored pairs.
        missing: the end of the message, after "there is".

    Raises:
        UserError: all scores are the same.
    """
    scores = groups.scores
    if scores.min() == scores.max():
        raise UserError(
            f"{groups.path}: {number_of(len(groups), 'row')} and one score, "
            f"{scores[0]:g}: there is {missing}"
        )


def same_groups(columns: Sequence[Sequence[str]]) -> np.ndarray:
    """int32 [N]: rows that share a text have the same number.

    Rows of the same number are not negatives of each other: the answer to one
    question is right for another one that has it, too.

    Args:
        columns: texts that belong together, [T][N].
    """
    id_of: dict[str, int] = {}
    ids = np.array(  # [T, N]
        [
            [id_of.setdefault(text, len(id_of)) for text in column]
            for column in columns
        ]
    )
    # Texts are nodes; those of a row are joined.
    firsts = np.broadcast_to(ids[0], ids.shape)
    joined = sparse.coo_array(
        (np.ones(ids.size), (firsts.ravel(), ids.ravel())),
        shape=(len(id_of), len(id_of)),
    )
    _, groups = csgraph.connected_components(joined, directed=False)
    return groups[ids[0]].astype(np.int32)


def draw_partners(
    labels: Sequence[str], num_rounds: int, seed: int
) -> np.ndarray:
    """Pairs of rows with the same label.

    In each round each row is an anchor once and a positive once, with another
    row of its label that is drawn at random. A label with one row has no
    pairs.

    Args:
        labels: of the rows.
        num_rounds: R, the number of rounds.
        seed: of the draw.

    Returns:
        int64 [R N', 2], N' rows whose label is not alone.
    """
    draw = np.random.default_rng(seed)
    _, label_ids = np.unique(
        np.array(labels, object).astype(str), return_inverse=True
    )
    order = np.argsort(label_ids, kind="stable")
    bounds = np.flatnonzero(np.diff(label_ids[order])) + 1
    members = [rows for rows in np.split(order, bounds) if len(rows) > 1]
    pairs = []
    for _ in range(num_rounds):
        for rows in members:
            mixed = draw.permutation(rows)
            pairs.append(np.stack([mixed, np.roll(mixed, 1)], axis=1))
    return np.concatenate(pairs) if pairs else np.zeros([0, 2], np.int64)
