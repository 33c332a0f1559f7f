"""Document: the WordPieces of a context, and which word each comes from."""

import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np


class Document:
    """The WordPieces of a context.

    Attributes:
        doc_tokens: the words.
        pieces: N texts.
        ids: int32 [N].
        words: int32 [N], the place of each piece's word.
        first_pieces: the place of each word's first piece; one more at the
            end, N.
    """

    def __init__(
        self,
        doc_tokens: list[str],
        tokenize: Callable[[str], Sequence[str]],
        vocab: Mapping[str, int],
    ):
        self.doc_tokens = doc_tokens
        pieces_of_words = [*map(tokenize, doc_tokens)]
        self.pieces = [*itertools.chain.from_iterable(pieces_of_words)]
        self.ids = np.array([vocab[p] for p in self.pieces], np.int32)
        lengths = [*map(len, pieces_of_words)]
        self.words = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
        self.first_pieces = [0, *itertools.accumulate(lengths)]

    def pieces_of_answer(
        self, first_word: int, last_word: int, answer_pieces: Sequence[str]
    ) -> tuple[int, int]:
        """(first, last) piece of an answer.

        The words that hold the answer may hold more, such as a bracket before
        it. Within them the answer's own pieces are searched; where they are
        not found, as in "Japanese" for "Japan", all pieces of the words count.

        Args:
            first_word, last_word: places of the words that hold the answer.
            answer_pieces: WordPieces of the answer itself.
        """
        first = self.first_pieces[first_word]
        last = self.first_pieces[last_word + 1] - 1
        length = len(answer_pieces)
        for start in range(first, last + 2 - length) if length else ():
            if self.pieces[start : start + length] == answer_pieces:
                return start, start + length - 1
        return first, last
