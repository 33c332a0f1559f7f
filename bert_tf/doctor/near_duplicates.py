"""Finds texts that are nearly the same, among many: MinHash and LSH.

Two texts are compared by their shingles, three words in a row each. MinHash
(Broder 1997) gives each text numbers of which two texts share about as many as
their shingles do. Texts that share all numbers of a band (locality-sensitive
hashing, Indyk and Motwani 1998) are candidates, whose shingles are compared.

Shape letters: N texts, H hash functions.
"""

import collections
import itertools
from collections.abc import Iterator, Sequence

import numpy as np

NUM_WORDS = 3  # Words of a shingle.
MIN_SHINGLES = 4  # A text of fewer than 6 words is like many others.
NUM_BANDS, NUM_IN_BAND = 8, 4  # At 0.8 of 1, 98.5 % of the pairs are found.
SIMILAR = 0.8  # Shingles that both have, of those that one of them has.
MAX_CANDIDATES = 50  # Texts of one band that are compared with a text.
MAX_SHINGLES = 200  # A long text is compared by its first ones.
_SEED = 20210
_SHIFT = np.uint64(32)


class Index:
    """Texts among which similar ones are found.

    Args:
        texts: normalized texts, with blanks between words.
    """

    def __init__(self, texts: Sequence[str]):
        # The next number for each new word.
        self._ids: dict[str, int] = collections.defaultdict(
            itertools.count().__next__
        )
        self._texts = texts
        draw = np.random.default_rng(_SEED)
        number = NUM_BANDS * NUM_IN_BAND
        # Multiply-shift hashing (Dietzfelbinger et al. 1997): factors are odd.
        self._factors = draw.integers(0, 1 << 63, number, np.uint64) * 2 + 1
        self._terms = draw.integers(0, 1 << 63, number, np.uint64)
        rows, keys = self._keys_of_bands(texts)
        orders = [np.argsort(band, kind="stable") for band in keys]
        self._bands = [
            (band[order], rows[order])
            for band, order in zip(keys, orders, strict=True)
        ]

    def find(
        self, texts: Sequence[str], own_rows: Sequence[int] = ()
    ) -> Iterator[tuple[int, int]]:
        """Yields (row of `texts`, row of a similar text of the index).

        Each row comes once at most.

        Args:
            texts: normalized texts.
            own_rows: their rows in the index, which are not compared with
                themselves.
        """
        rows, keys = self._keys_of_bands(texts)
        limits = [
            [np.searchsorted(own, band, side) for side in ("left", "right")]
            for band, (own, _) in zip(keys, self._bands, strict=True)
        ]
        for place, row in enumerate(rows.tolist()):
            seen: set[int] = {own_rows[row]} if len(own_rows) else set()
            own = self._set_of(texts[row])
            for (first, last), (_, others_of_band) in zip(
                limits, self._bands, strict=True
            ):
                start = first[place]
                end = min(last[place], start + MAX_CANDIDATES)
                others = others_of_band[start:end].tolist()
                match = next(
                    (
                        other
                        for other in others
                        if other not in seen
                        and _similarity(own, self._set_of(self._texts[other]))
                        >= SIMILAR
                    ),
                    None,
                )
                seen.update(others)
                if match is not None:
                    yield row, match
                    break

    def _set_of(self, text):
        words = text.split()[: MAX_SHINGLES + NUM_WORDS - 1]
        return {
            tuple(words[start : start + NUM_WORDS])
            for start in range(len(words) - NUM_WORDS + 1)
        }

    def _keys_of_bands(self, texts):
        """(rows of texts that are long enough, int64 keys of each band)."""
        shingles, starts, rows = self._shingles(texts)
        if not len(rows):
            return rows, [np.zeros(0, np.uint64)] * NUM_BANDS
        keys = []
        for band in range(NUM_BANDS):
            key = np.zeros(len(rows), np.uint64)
            for index in range(NUM_IN_BAND):
                which = band * NUM_IN_BAND + index
                hashes = (
                    shingles * self._factors[which] + self._terms[which]
                ) >> _SHIFT
                smallest = np.minimum.reduceat(hashes, starts)
                key = key * np.uint64(1_000_003) + smallest
            keys.append(key)
        return rows, keys

    def _shingles(self, texts):
        """All shingles as numbers, where those of each row start, the rows."""
        ids, lengths, rows = self._ids, [], []
        words: list[int] = []
        for row, text in enumerate(texts):
            of_text = text.split()[: MAX_SHINGLES + NUM_WORDS - 1]
            if len(of_text) < MIN_SHINGLES + NUM_WORDS - 1:
                continue
            words.extend(map(ids.__getitem__, of_text))
            lengths.append(len(of_text))
            rows.append(row)
        numbers = np.array(words, np.uint64)
        shingles = np.zeros(len(numbers), np.uint64)
        for offset in range(NUM_WORDS):
            shifted = np.roll(numbers, -offset)
            shingles = shingles * np.uint64(1_000_003) + _mixed(shifted)
        # The last words of a row start no shingle of its own.
        ends = np.cumsum(np.array(lengths, np.int64))
        keep = np.ones(len(numbers), bool)
        for offset in range(1, NUM_WORDS):
            keep[ends - offset] = False
        sizes = np.array(lengths, np.int64) - NUM_WORDS + 1
        starts = np.cumsum(sizes) - sizes
        return (
            shingles[keep] & np.uint64(0x3FFFFFFF),
            starts,
            np.array(rows, np.int64),
        )


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """Spreads numbers over 64 bits, as the last step of MurmurHash3 does."""
    mixed = (numbers + np.uint64(1)) * np.uint64(0xFF51AFD7ED558CCD)
    mixed ^= mixed >> np.uint64(33)
    mixed *= np.uint64(0xC4CEB9FE1A85EC53)
    return mixed ^ (mixed >> np.uint64(33))


def _similarity(one: set, other: set) -> float:
    both = len(one & other)
    return both / max(1, len(one) + len(other) - both)
