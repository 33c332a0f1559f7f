"""Recognises texts that are hardly texts: numbers, dates, paths, ids, words.

    is_number("1,234.50")           True
    is_date("Mon Apr 06 22:19")     True
    is_path("img/cat_01.jpg")       True
    is_id("B00813GRG4")             True
    is_word("lovely")               True

They are for texts without white space around them. A text that is of several
kinds is of the first in this order.
"""

import re

MAX_LENGTH = 300  # Longer texts are texts.

_NUMBER = re.compile(
    r"[-+(]?[$€£¥]? ?[-+]?(\d+|\d{1,3}([,'. ]\d{3})+)?([.,]\d+)?"
    r"([eE][-+]?\d+)? ?[%$€£¥]?\)?"
)
_NAMES = (
    "jan(uary)? feb(ruary)? mar(ch)? apr(il)? may june? july? aug(ust)? "
    "sept?(ember)? oct(ober)? nov(ember)? dec(ember)? "
    "mon(day)? tue(s(day)?)? wed(nesday)? thu(r(s(day)?)?)? fri(day)? "
    "sat(urday)? sun(day)? am pm a\\.m\\. p\\.m\\. st nd rd th "
    "utc gmt z t [pecm][sd]t"
)
_DATE_PARTS = re.compile(
    rf"(\d|\b({'|'.join(_NAMES.split())})\b|(?<=\d)(am|pm|st|nd|rd|th|t|z)"
    r"|[-/.:,+ ])+",
    re.IGNORECASE,
)
_DATE_SHAPE = re.compile(
    r"(?<![-/.\d])\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?![-/.\d])|\d{1,2}:\d\d"
    r"|[a-z]{3}.*\d|\d.*[a-z]{3}",
    re.IGNORECASE,
)
_ENDINGS = (
    "jpe?g png gif bmp tiff? webp svg wav mp3 mp4 flac ogg m4a avi mov mkv "
    "pdf docx? xlsx? pptx? txt csv tsv json jsonl xml html? md zip gz tar "
    "parquet pkl npy dcm nii"
)
_PATH = re.compile(
    r"(https?|ftp|s3|gs|file)://\S+|www\.\S+|\S+\.(com|org|net)/\S*"
    r"|([a-z]:)?[/\\~.]{1,3}[/\\]?[^\s/\\]+([/\\][^\s/\\]*)+"
    rf"|[^\n]{{1,200}}\.({'|'.join(_ENDINGS.split())})",
    re.IGNORECASE,
)
# A number in it, or a long row of hexadecimal digits; no letter of a text.
_ID = re.compile(
    r"(?=[^\s]*\d)[A-Za-z0-9_:.@#/+=-]+|[0-9a-f]{16,}|[^\s@]+@[^\s@]+\.[a-z]+",
    re.IGNORECASE,
)
_DIGITS = re.compile(r"\d{1,15}")
# Scripts from here on have words without white space between them.
_FIRST_WITHOUT_SPACES = "\u0e00"


def is_number(text: str) -> bool:
    """Whether a text is one number, a percentage or an amount of money."""
    return (
        len(text) <= MAX_LENGTH
        and any(map(str.isdecimal, text))
        and _NUMBER.fullmatch(text) is not None
    )


def are_numbers(text: str) -> bool:
    """Whether all words of a text are whole numbers, such as ids of tokens."""
    # Few texts start with a digit, and this is asked of all.
    return text[:1].isdecimal() and text.replace(" ", "").isdecimal()


def is_date(text: str) -> bool:
    """Whether a text is a date, a time or both."""
    return (
        len(text) <= 60
        and any(map(str.isdecimal, text))
        and _DATE_PARTS.fullmatch(text) is not None
        and _DATE_SHAPE.search(text) is not None
    )


def is_path(text: str) -> bool:
    """Whether a text is the name of a file, a path or an address."""
    return (
        len(text) <= MAX_LENGTH
        and ("." in text or "/" in text or "\\" in text)
        and _PATH.fullmatch(text) is not None
    )


def is_id(text: str) -> bool:
    """Whether a text is a code, such as an id, a hash or an e-mail address."""
    return len(text) <= MAX_LENGTH and _ID.fullmatch(text) is not None


def is_word(text: str) -> bool:
    """Whether a text is one word, of a script that has spaces between words."""
    return (
        len(text) <= 40
        and not any(map(str.isspace, text))
        and max(text, default="\U0010ffff") < _FIRST_WITHOUT_SPACES
    )


def counted_up(text: str) -> tuple[str, str, int] | None:
    """Splits off the last number of a text: "row 7." is ("row ", ".", 7)."""
    if not any(map(str.isdecimal, text)):
        return None
    *_, last = _DIGITS.finditer(text)
    return text[: last.start()], text[last.end() :], int(last[0])
