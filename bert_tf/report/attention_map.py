"""The attention of one head as a picture: from each token to each token."""

from collections.abc import Sequence

import numpy as np

from bert_tf.report import pictures

MAX_TOKENS = 64  # More could not be read.
LEAST = 0.02  # A smaller probability is hardly seen.


def attention_map(
    tokens: Sequence[str], probabilities: np.ndarray, title: str
) -> str:
    """Draws attention as squares: the darker, the more a row reads a column.

    Args:
        tokens: S tokens; of more than `MAX_TOKENS` the first are drawn.
        probabilities: float [S, S], a row for each token that reads.
        title: what the picture shows.

    Returns:
        An SVG, see `pictures.drawing`.
    """
    names = [pictures.short_label(token, 14) for token in tokens[:MAX_TOKENS]]
    number = len(names)
    side = max(3.6, 0.2 * number + 1.4)
    row, column = np.unravel_index(
        np.argmax(probabilities[:number, :number]), (number, number)
    )
    description = (
        f"{number} tokens. The strongest: {names[row]} reads {names[column]} "
        f"with {probabilities[row, column]:.2f}."
    )
    with pictures.drawing(title, description, size=(side, side)) as picture:
        from matplotlib.patches import Rectangle

        axes = picture.axes
        for y, x in np.argwhere(probabilities[:number, :number] >= LEAST):
            axes.add_patch(
                Rectangle(
                    (x - 0.48, y - 0.48),
                    0.96,
                    0.96,
                    facecolor=pictures.SERIES[0],
                    alpha=min(1.0, float(probabilities[y, x])),
                    linewidth=0,
                )
            )
        axes.set_xlim(-0.5, number - 0.5)
        axes.set_ylim(number - 0.5, -0.5)
        axes.set_aspect("equal")
        axes.grid(False)
        axes.set_xticks(range(number), names, rotation=90)
        axes.set_yticks(range(number), names)
        axes.set_xlabel("is read")
        axes.set_ylabel("reads")
    return picture.svg
