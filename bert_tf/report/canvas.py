"""An empty picture to draw on with matplotlib, which becomes a small SVG.

matplotlib draws without pyplot and without a window. It is imported when the
first picture is drawn, because it takes half a second. Colours become CSS
variables of the page, so that one picture serves light and dark. Texts stay
texts. Each picture has role="img", <title> and <desc>.
"""

import contextlib
import importlib.util
import io
import itertools
import re
import warnings
from collections.abc import Iterator
from typing import Any
from xml.sax import saxutils

import numpy as np

from bert_tf.report.markup import clean

# Colours that stand for the page's variables. Nothing else has them.
INK, SOFT, LINE, PAPER = "#010203", "#010204", "#010205", "#010206"
SERIES = tuple(f"#0a0b{number:02x}" for number in range(1, 9))
GOOD, BAD = "#010207", "#010208"
_NAMES = {INK: "ink", SOFT: "soft", LINE: "line", PAPER: "paper"}
_NAMES |= {GOOD: "good", BAD: "bad"}
_NAMES |= {color: f"c{i}" for i, color in enumerate(SERIES, start=1)}
_VARIABLES = {color: f"var(--{name})" for color, name in _NAMES.items()}
MAX_POINTS = 300  # More points of a curve do not show.
_STYLE_TAG = r"<defs>\s*<style.*?</style>\s*</defs>"
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "bert_tf",
    "text.parse_math": False,
    "axes.formatter.use_mathtext": False,
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": LINE,
    "axes.titlesize": 10,
    "axes.linewidth": 1.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "path.simplify_threshold": 0.3,
    "svg.image_inline": True,
}
_numbers = itertools.count(1)


def is_available() -> bool:
    """Whether matplotlib is installed; does not import it."""
    return importlib.util.find_spec("matplotlib") is not None


def preload() -> None:
    """Imports what draws, so that the first picture need not wait for it."""
    with contextlib.suppress(Exception):
        import matplotlib.backends.backend_svg
        import matplotlib.figure  # noqa: F401


def thinned(number: int, most: int = MAX_POINTS) -> np.ndarray:
    """Indices, int [most or fewer], of some of `number` points, evenly."""
    if number <= most:
        return np.arange(number)
    return np.unique(np.linspace(0, number - 1, most).round().astype(int))


def short_label(text: object, most: int = 24) -> str:
    """A text as a label in a picture: one line, not too long.

    Labels often differ at their ends, as in "Cause-Effect(e2,e1)": what is
    left out is in the middle.
    """
    text = " ".join(clean(text).split())
    if len(text) <= most:
        return text
    tail = most // 2 - 1
    return f"{text[: most - 1 - tail]}…{text[-tail:]}"


class Drawing:
    """A figure to draw on with matplotlib's own methods.

        with drawing("Loss", "It falls from 0.7 to 0.1.") as picture:
            picture.axes.plot(…)
        picture.svg

    Attributes:
        figure: matplotlib's `Figure`.
        all_axes: its axes, one after the other.
        svg: the picture, after the block.
    """

    def __init__(self, figure: Any, all_axes: list[Any]):
        self.figure = figure
        self.all_axes = all_axes
        self.svg = ""

    @property
    def axes(self) -> Any:
        """The first axes."""
        return self.all_axes[0]


@contextlib.contextmanager
def drawing(
    title: str,
    description: str,
    *,
    size: tuple[float, float] = (6.4, 3.2),
    rows: int = 1,
    columns: int = 1,
) -> Iterator[Drawing]:
    """Gives an empty figure; its SVG is made when the block ends.

    Args:
        title: what the picture shows, in a few words: <title>.
        description: what can be seen, in a sentence or two: <desc>.
        size: width and height in inches of 96 CSS pixels.
        rows, columns: of axes.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # A font without the letters of a label does no harm: the page's own
        # fonts show them.
        warnings.simplefilter("ignore")
        figure = Figure(figsize=size, layout="constrained")
        canvas = FigureCanvasSVG(figure)
        figure.patch.set_visible(False)
        axes = figure.subplots(rows, columns, squeeze=False)
        for one in axes.flat:
            one.patch.set_visible(False)
        picture = Drawing(figure, list(axes.flat))
        yield picture
        stream = io.StringIO()
        # Unlike `savefig` it draws once.
        canvas.print_svg(stream, metadata={"Date": None, "Creator": None})
    picture.svg = _embedded(stream.getvalue(), title, description)


def _embedded(text: str, title: str, description: str) -> str:
    """An SVG file of matplotlib as a part of a page."""
    text = text[text.index("<svg") :]
    for left_out in (r"<metadata>.*?</metadata>", r"<!--.*?-->", _STYLE_TAG):
        text = re.sub(left_out, "", text, count=0, flags=re.DOTALL)
    prefix = f"p{next(_numbers)}-"

    def in_page(match):
        return _tag_in_page(match.group(), prefix)

    # Only tags are changed. What is between them are texts of the data.
    opening, rest = re.sub(r"<[^<>]*>", in_page, text).split(">", 1)
    rest = re.sub(r">\s+<", "><", rest)
    names = f"{prefix}t", f"{prefix}d"
    title, description = (
        saxutils.escape(clean(t)) for t in (title, description)
    )
    return (
        f'{opening} role="img" aria-labelledby="{names[0]}" '
        f'aria-describedby="{names[1]}"><title id="{names[0]}">{title}</title>'
        f'<desc id="{names[1]}">{description}</desc>{rest.strip()}'
    )


def _tag_in_page(text, prefix):
    """A tag of an SVG file as it stands in a page."""
    if text.startswith("<g "):  # Nothing refers to groups.
        text = re.sub(r' id="[^"]*"', "", text)
    # Pictures of a page must not share ids.
    text = re.sub(r'(?<= id=")|(?<=url\(#)|(?<=href="#)', prefix, text)
    for color, variable in _VARIABLES.items():
        text = text.replace(color, variable)
    text = re.sub(r"font-family: [^;\"]*", "font-family: inherit", text)
    text = re.sub(r"font: [^;\"]*", _page_font, text)
    text = re.sub(r' transform="rotate\(-?0 [^"]*"', "", text)
    text = re.sub(r"(\d+\.\d\d)\d+", r"\1", text)
    text = re.sub(r'(?<= )(width|height)="([\d.]+)pt"', _in_pixels, text)
    return re.sub(r"\s*\n\s*", " ", text)


def _page_font(match):
    """A font as matplotlib writes it, in the family of the page."""
    size = re.search(r"[\d.]+px", match.group())
    weight = "700 " if re.search("bold|700", match.group()) else ""
    size = size.group() if size else "10px"
    return f"font: {weight}{size} system-ui, sans-serif"


def _in_pixels(match):
    return f'{match[1]}="{float(match[2]) * 4 / 3:.0f}"'
