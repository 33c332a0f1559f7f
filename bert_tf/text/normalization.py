"""The tokenizer's rules for characters, as tables for the graph.

tensorflow-text's C++ op `FastBertNormalize` replaces each character of a text
by the text that a table has for it. Its own table is not the original's:
thousands of characters come out differently. Here the table is made from the
rules in `tokenization.py`, character by character, so that the op does what
`BasicTokenizer` does:

    É → e        U+0301 → nothing        TAB → space        한 → ᄒ ᅡ ᆫ

The words are split by a second op, `FastWordpieceTokenize`, at white space,
punctuation and Chinese characters as ICU knows them. A few characters are
punctuation for ICU and not for Python, whose Unicode tables are older. Such a
character is replaced by an alias, a code point that is never a character, in
texts and in vocabularies alike.

In two rare cases the result depends on a character's neighbours: the final
sigma and the order of marks. `Normalization` lists the characters that are
concerned, and `context.py` changes them.

A table depends on the Unicode version of Python and on tensorflow-text, not
on the vocabulary. It takes a second to build; the tables of the original's two
casings for the usual versions are in `assets/normalization`, where
`tools/build_normalization.py` puts them. Tables of other settings are built
when they are needed.

Where Chinese characters stay inside words, there are more of them than code
points that never become characters. Such a table is made for a vocabulary: the
Chinese characters in its tokens get aliases that are not in it, such as code
points for private use. All other Chinese characters, and these code points in
texts, become the same character that no vocabulary has: their words are
unknown.
"""

import dataclasses
import functools
import importlib.metadata
import os
import unicodedata
from collections.abc import Collection, Iterable, Sequence

import flatbuffers
import numpy as np
import tensorflow as tf
import tensorflow_text as tf_text

from bert_tf import tokenization
from bert_tf.pretrained import ASSETS
from bert_tf.tokenization import TokenizerSettings

SURROGATES = range(0xD800, 0xE000)  # No characters: UTF-8 has no form for them.
CODE_POINTS = [o for o in range(0x110000) if o not in SURROGATES]

# Unicode guarantees that these 66 code points never become characters.
NONCHARACTERS = [
    *range(0xFDD0, 0xFDF0),
    *(plane << 16 | low for plane in range(17) for low in (0xFFFE, 0xFFFF)),
]
# The first ones are aliases. Those that a text contains become UNKNOWN_CHAR;
# as no vocabulary may have it, their word is unknown. NEVER is not in any
# normalized text.
*ALIASES, UNKNOWN_CHAR, NEVER = NONCHARACTERS
# More aliases, for tables that are made for a vocabulary: code points that
# Unicode leaves to private use.
PRIVATE_USE = [
    *range(0xE000, 0xF900),
    *range(0xF0000, 0xFFFFE),
    *range(0x100000, 0x10FFFE),
]


@dataclasses.dataclass(frozen=True)
class Normalization:
    """The rules of a tokenizer's settings, as arrays.

    Ranges are rows of [first, last] code point, in rising order.

    Attributes:
        model: uint8 [n], the table in the format of `FastBertNormalize`.
        aliases: int32 [n, 2], rows of character and alias.
        dropped: int32 [n, 2], ranges of the characters that are removed
            before anything else happens.
        cased: int32 [n, 2], ranges of the letters with case, which make a
            sigma after them final, unless another such letter follows.
        ignored: int32 [n, 2], ranges of the characters that may be between a
            sigma and such a letter.
        reordered: int32 [n], marks that survive the removal of accents, and
            that canonical ordering may move; and the characters that
            decompose into them.
        combining: int32 [n, 3], rows of mark, its canonical combining class,
            and whether it is an accent, which will be removed (1 or 0).

    `cased` and `ignored` have entries only where text is lower-cased,
    `reordered` and `combining` only where accents are dropped.
    """

    model: np.ndarray
    aliases: np.ndarray
    dropped: np.ndarray
    cased: np.ndarray
    ignored: np.ndarray
    reordered: np.ndarray
    combining: np.ndarray

    @property
    def alias_of(self) -> dict[int, int]:
        """{character: alias}, for `str.translate`."""
        return dict(self.aliases.tolist())


def versions() -> dict[str, str]:
    """The versions that a table depends on, besides its casing."""
    return {
        "unicode": unicodedata.unidata_version,
        "tensorflow_text": importlib.metadata.version("tensorflow-text"),
    }


def asset_path(do_lower_case: bool) -> str:
    """The path of the table that is shipped for this version of Unicode."""
    casing = "uncased" if do_lower_case else "cased"
    name = f"{casing}_unicode_{unicodedata.unidata_version}.npz"
    return os.path.join(ASSETS, "normalization", name)


def load(
    settings: TokenizerSettings, vocab: Collection[str] = ()
) -> Normalization:
    """The table for these versions, from the assets or built now.

    Args:
        settings: the tokenizer's.
        vocab: its vocabulary, see `build`.
    """
    is_original = settings.tokenize_chinese_chars and (
        settings.strips_accents == settings.do_lower_case
    )
    path = asset_path(settings.do_lower_case)
    if is_original and os.path.exists(path):
        with np.load(path) as arrays:
            arrays = dict(arrays)
        made_with = arrays.pop("tensorflow_text")
        if made_with == versions()["tensorflow_text"]:
            return Normalization(**arrays)
    if settings.tokenize_chinese_chars:
        return _build_once(settings, "")
    return _build_once(settings, "".join(sorted(set("".join(vocab)))))


@functools.lru_cache(maxsize=4)  # A process may make several tokenizers.
def _build_once(settings: TokenizerSettings, chars: str) -> Normalization:
    return build(settings, chars)


def save(normalization: Normalization, path: str) -> None:
    """Writes a table to a file."""
    np.savez_compressed(
        path,
        tensorflow_text=versions()["tensorflow_text"],
        **dataclasses.asdict(normalization),
    )


def build(
    settings: TokenizerSettings, vocab: Collection[str] = ()
) -> Normalization:
    """The table, made from the rules in `tokenization.py`.

    Args:
        settings: the tokenizer's.
        vocab: its vocabulary; makes a difference only if Chinese characters
            stay inside words.
    """
    splits = _split_by_icu()
    ruled = _with_a_rule()
    images = {o: _image(chr(o), settings) for o in ruled}
    images |= {o: chr(o) for o in CODE_POINTS if splits[o] and o not in ruled}
    images = {o: _join_to_icu(image, splits) for o, image in images.items()}
    ordinary = {ord(c) for image in images.values() for c in image if c != " "}
    isolated = {o for o in ordinary if is_isolated(chr(o), settings)}
    aliased = sorted(o for o in ordinary - isolated if splits[o])
    if settings.tokenize_chinese_chars:
        aliases, reserved = _aliases(aliased, ALIASES), []
        unknown: dict[int, int] = {}
    else:
        in_vocab = {*map(ord, set("".join(vocab)))}
        reserved = [o for o in PRIVATE_USE if o not in in_vocab]
        aliases = _aliases([o for o in aliased if o in in_vocab], reserved)
        unknown = dict.fromkeys({*aliased} - in_vocab, UNKNOWN_CHAR)
        reserved = [*aliases.values()]
    renamed = aliases | unknown
    images = {o: image.translate(renamed) for o, image in images.items()}
    images |= {o: chr(UNKNOWN_CHAR) for o in [*NONCHARACTERS, *reserved]}
    dropped = [o for o in ruled if not tokenization.clean(chr(o))]
    cased, ignored, reordered, combining = [], [], [], []
    if settings.do_lower_case:
        cased, ignored = _sigma_context(ruled, set(dropped))
    if settings.strips_accents:
        change = tokenization.rule_of_words(settings)
        reordered, combining = _reordered_marks(ruled, change)
    return Normalization(
        model=_normalizer_model(images),
        aliases=np.array(list(aliases.items()), np.int32).reshape(-1, 2),
        dropped=_ranges(dropped),
        cased=_ranges(cased),
        ignored=_ranges(ignored),
        reordered=np.array(reordered, np.int32),
        combining=np.array(combining, np.int32).reshape(-1, 3),
    )


def _with_a_rule() -> dict:
    """The code points, as keys, that a rule may concern: one in four.

    The others have no category and no case, and are never changed.
    """
    chinese = {
        code_point
        for first, last in tokenization.CJK_BLOCKS
        for code_point in range(first, last + 1)
    }
    return {
        code_point: None
        for code_point in CODE_POINTS
        if unicodedata.category(chr(code_point)) not in ("Cn", "Co")
        or code_point in chinese
    }


def _aliases(aliased: list[int], aliases: list[int]) -> dict[int, int]:
    """{character: alias}.

    Raises:
        RuntimeError: there are too few aliases.
    """
    if len(aliases) < len(aliased):
        raise RuntimeError(
            f"{len(aliased)} characters need an alias; there are {len(aliases)}"
        )
    return dict(zip(aliased, aliases, strict=False))


def _image(char: str, settings: TokenizerSettings) -> str:
    """The result of `BasicTokenizer` for a character, with spaces at splits."""
    image = tokenization.clean(char, settings.tokenize_chinese_chars)
    image = tokenization.rule_of_words(settings)(image)
    image = "".join(map(tokenization.isolate_punctuation, image))
    return " " if image.isspace() else image


def is_isolated(char: str, settings: TokenizerSettings) -> bool:
    """Whether the character is always a word of its own."""
    return tokenization.is_punctuation(char) or (
        settings.tokenize_chinese_chars and tokenization.is_cjk(char)
    )


def _join_to_icu(image: str, splits) -> str:
    """Leaves out the spaces around characters that ICU splits by itself.

    Spaces would change nothing; without them a text stays short.
    """
    words = image.split(" ")
    if all(len(w) <= 1 and all(splits[ord(c)] for c in w) for w in words):
        return "".join(words) or image
    return image


def _split_by_icu() -> np.ndarray:
    """bool [0x110000]: where `FastWordpieceTokenize` splits a word."""
    tokenizer = tf_text.FastWordpieceTokenizer(
        ["[UNK]", "a", "##a"], token_out_type=tf.int32
    )
    inner = np.array(CODE_POINTS[1:], np.int32)  # Without NUL.
    words = np.stack([np.full_like(inner, ord("a")), inner, inner], axis=1)
    words[:, 2] = ord("a")
    pieces = tokenizer.tokenize(tf.strings.unicode_encode(words, "UTF-8"))
    splits = np.zeros(0x110000, bool)
    # "a!a" has three words, "a a" has two; "aéa" is one unknown word.
    splits[inner] = pieces.row_lengths().numpy() > 1
    splits[ord("a")] = False  # "aaa" is one word of three pieces.
    return splits


def _sigma_context(ruled, dropped: set):
    """(cased, ignored) of `Normalization`, found with Python's `str.lower`.

    A sigma at the end of a word is ς, otherwise σ. The next character with
    case decides whether it is at the end; some others are skipped.
    """
    sigma, final = "\u03a3", "\u03c2"
    cased, ignored = [], []
    for code_point in ruled:
        char = chr(code_point)
        if code_point in dropped:
            ignored.append(code_point)  # It is gone when Python lowers.
        elif (char + sigma).lower().endswith(final):
            cased.append(code_point)
        elif ("A" + char + sigma).lower().endswith(final):
            ignored.append(code_point)
    return cased, ignored


def _reordered_marks(ruled, change):
    """(reordered, combining) of `Normalization`.

    Canonical ordering sorts marks that follow each other by their combining
    class. Nearly all of them are accents, removed afterwards. Of the others,
    only marks of different classes can change places, and in real texts no
    other class follows the most frequent one, the viramas' 9.
    """
    reordered, combining = [], []
    for code_point in ruled:
        char = chr(code_point)
        combining_class = unicodedata.combining(char)
        is_accent = not tokenization.strip_accent(char)
        if combining_class or is_accent:
            combining.append([code_point, combining_class, is_accent])
        if tokenization.clean(char) and any(
            unicodedata.combining(c) not in (0, VIRAMA) for c in change(char)
        ):
            reordered.append(code_point)
    return reordered, combining


VIRAMA = 9  # A canonical combining class.


def _ranges(code_points: list[int]) -> np.ndarray:
    """int32 [n, 2]: rising code points as rows of [first, last]."""
    rows: list[list[int]] = []
    for code_point in code_points:
        if rows and rows[-1][1] == code_point - 1:
            rows[-1][1] = code_point
        else:
            rows.append([code_point, code_point])
    return np.array(rows, np.int32).reshape(-1, 2)


# ---------------------------------------------------------------------------
# The model of FastBertNormalize: a flatbuffer (tensorflow-text's
# fast_bert_normalizer_model.fbs) with a trie over the UTF-8 bytes of each
# character that changes, and a pool of strings that the trie's values name.

CHANGED = 1 << 30  # Flag of a value: the character is replaced.
LENGTH_BITS = 6  # A value is CHANGED | place in the pool << 6 | length.


def _normalizer_model(images: dict[int, str]) -> np.ndarray:
    """uint8 [n]: the model that replaces code points by {code point: text}."""
    pool, places, values = bytearray(), {}, {}
    for code_point, image in images.items():
        if image == chr(code_point):
            continue
        text = image.encode("utf-8")
        if text not in places:
            places[text] = len(pool)
            pool += text
        place = places[text] << LENGTH_BITS if text else 0
        values[code_point] = CHANGED | place | len(text)
    value_of_nul = values.pop(0)
    trie = _trie({chr(o).encode("utf-8"): v for o, v in values.items()})

    builder = flatbuffers.Builder(1 << 20)
    trie_vector = builder.CreateNumpyVector(trie)
    pool_vector = builder.CreateNumpyVector(np.frombuffer(pool, np.uint8))
    builder.StartObject(4)
    builder.PrependBoolSlot(0, False, False)  # "Lower-cases": never read.
    builder.PrependUOffsetTRelativeSlot(1, trie_vector, 0)
    builder.PrependInt32Slot(2, value_of_nul, 0)
    builder.PrependUOffsetTRelativeSlot(3, pool_vector, 0)
    builder.Finish(builder.EndObject())
    return np.frombuffer(bytes(builder.Output()), np.uint8)


def _trie(values: dict[bytes, int]) -> np.ndarray:
    """uint32 [n]: {bytes of one character: value} as a darts-clone trie.

    In a double array a node's child for a byte is at `base ^ byte`. The
    array is filled without a search for gaps: every inner node gets a block
    of 64 units of its own, as many as there are continuation bytes (0x80 to
    0xBF); the root gets 256.

    A unit holds its byte in bits 0 to 7, in bit 8 whether a value belongs to
    it, and from bit 10 on `its own place ^ base`, where for a leaf `base` is
    the place of its value. A value has bit 31 set.
    """
    nodes = {b"": 0}  # Prefix of a character: its place.
    units = [0] * 512
    for key in values:
        for length in range(1, len(key) + 1):
            prefix = key[:length]
            if prefix in nodes:
                continue
            parent, byte = nodes[prefix[:-1]], prefix[-1]
            base = parent ^ (units[parent] >> 10)
            if base == parent:  # Its first child.
                base = 256
                if parent:
                    base = len(units) ^ 0x80
                    units += [0] * 64
                units[parent] |= (parent ^ base) << 10
            nodes[prefix] = base ^ byte
            units[base ^ byte] = byte
    value_places = {}
    for key, value in values.items():
        if value not in value_places:
            value_places[value] = len(units)
            units.append(1 << 31 | value)
        place = nodes[key]
        units[place] |= 1 << 8 | (place ^ value_places[value]) << 10
    units += [0] * (-len(units) % 256)  # `base ^ byte` stays inside.
    return np.array(units, np.uint32)


def regex_class(ranges: Iterable[Sequence[int]]) -> str:
    """An RE2 character class of [first, last] rows."""
    return "".join(rf"\x{{{a:X}}}-\x{{{b:X}}}" for a, b in ranges)
