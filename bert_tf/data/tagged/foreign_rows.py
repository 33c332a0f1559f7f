"""Names files of annotation tools that look like words with tags, but are not.

Read as rows they would give wrong words in silence, or an error that does not
say what the file is.
"""

import itertools
import re
from collections.abc import Sequence

from bert_tf.errors import UserError

NUM_LINES = 20  # Lines in which a format shows itself.
# (what a line starts with, what the file is, what helps).
FORMATS = (
    (
        r"T[0-9]+\t\S+ [0-9]+ [0-9]+(;[0-9]+ [0-9]+)*\t",
        "an annotation of brat, without its text",
        "give JSON with texts and entities",
    ),
    (
        r"#FORMAT=WebAnno TSV",
        "a file of INCEpTION or WebAnno, with places and layers",
        "export it as CoNLL 2002 or CoNLL 2003",
    ),
    (
        r"(?i:.*<(enamex|numex|timex)\b[^<>]*\btype=)",
        "text with entities in XML",
        "give a word and its tag in each row, or JSON with texts and entities",
    ),
    (
        r"""[A-Za-z_][A-Za-z_0-9]* *= *[\[{(] *($|[\[({"'])""",
        "a program in Python",
        "write its data with json.dump",
    ),
    (
        r"""["']?File["']?,["']?Line["']?,["']?Begin Offset""",
        "a table of the places of entities, without their texts",
        "give JSON with texts and entities",
    ),
)
_FORMATS = [(re.compile(start), what, help) for start, what, help in FORMATS]


def check(path: str, lines: Sequence[str]) -> None:
    """Refuses a file that is known to hold something else than rows of words.

    Args:
        path: of the file.
        lines: of the file.

    Raises:
        UserError: it is such a file.
    """
    for number, line in itertools.islice(enumerate(lines, 1), NUM_LINES):
        for start, what, help in _FORMATS:
            if start.match(line):
                shown = line if len(line) < 50 else f"{line[:47]}..."
                raise UserError(f"{path}:{number}: {what}: {shown!r}; {help}")
