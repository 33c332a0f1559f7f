"""Requests of pairs and of tokens, for an encoder that reads single texts.

bert-as-service's clients send texts, pairs of texts and lists of tokens to one
model, and may ask which tokens it read. `Predictor.run` answers the requests
that are made here like those of `Predictor.prepare`.
"""

import dataclasses
import functools
import os
import weakref
from collections.abc import Sequence

import numpy as np

from bert_tf import files
from bert_tf.export.kinds import Request
from bert_tf.export.predictor import Predictor
from bert_tf.export.saved_models import LENGTH_MULTIPLE, VOCABULARY
from bert_tf.text.packing import ID_NAMES, pack_sequences, truncate_seq_pair
from bert_tf.tokenization import UNKNOWN, FullTokenizer, TokenizerSettings

_READERS: "weakref.WeakKeyDictionary[Predictor, TokenReader]" = (
    weakref.WeakKeyDictionary()
)


class NoVocabulary(ValueError):
    """The export of an earlier version, whose folder has no vocabulary."""


class TokenReader:
    """Makes requests from pairs and from tokens, and gives requests' tokens.

    Args:
        predictor: a model of the kind "embedding".
    """

    def __init__(self, predictor: Predictor):
        # It keeps no reference: the reader lives as long as its predictor.
        self._folder = predictor.folder
        self._settings = TokenizerSettings.of(predictor.info)
        self._max_seq_length = predictor.info["max_seq_length"]
        self._truncation = predictor.info.get("truncation", "head")

    @functools.cached_property
    def tokenizer(self) -> FullTokenizer:
        """The model's tokenizer.

        Raises:
            NoVocabulary: the folder has no vocabulary.
        """
        path = os.path.join(self._folder, VOCABULARY)
        if not files.exists(path):
            raise NoVocabulary(
                "the model was exported without its vocabulary, by an earlier "
                "version: export it again"
            )
        return FullTokenizer(path, **self._settings.tokenizer_arguments())

    def of_tokens(
        self, tokens: Sequence[str], pair: Sequence[str] = ()
    ) -> Request:
        """Returns the request of tokens, which are looked up as they are.

        Args:
            tokens: tokens; [UNK] takes the place of those that the vocabulary
                lacks.
            pair: those of a second text; none for a single text.

        Raises:
            NoVocabulary: the folder has no vocabulary.
        """
        vocab = self.tokenizer.vocab
        words = [
            word if word and word in vocab else UNKNOWN
            for word in (*tokens, *pair)
        ]
        packed, segment_ids, _ = pack_sequences(
            words[: len(tokens)],
            words[len(tokens) :],
            self._max_seq_length,
            self._truncation,
        )
        ids = self.tokenizer.convert_tokens_to_ids(packed)
        # [CLS] and one [SEP] or two are tokens as well.
        number = len(words) + (3 if pair else 2)
        request = self._request(ids, segment_ids)
        lengths = {"num_tokens": number, "truncated": number > len(ids)}
        return dataclasses.replace(request, lengths=lengths)

    def of_pair(self, predictor: Predictor, text: str, pair: str) -> Request:
        """Returns the request of a pair: [CLS] text [SEP] pair [SEP].

        Args:
            predictor: the model.
            text, pair: both texts.
        """
        if not files.exists(os.path.join(self._folder, VOCABULARY)):
            return self._of_pair_without_vocabulary(predictor, text, pair)
        # Half of a surrogate pair is read as "?", as the graph reads it.
        tokens, others = (
            self.tokenizer.tokenize(side.encode("utf-8", "replace"))
            for side in (text, pair)
        )
        return self.of_tokens(tokens, others)

    def _of_pair_without_vocabulary(self, predictor, text, pair):
        """Joins the ids of two single texts, which the graph has cut off.

        The head of a pair is no longer than those of the texts alone.
        """
        sides = []
        for request in predictor.prepare([text, pair]):
            number = int(request.ids["input_mask"].sum())
            sides.append(request.ids["input_ids"][:number].tolist())
        first, last = sides[0][0], sides[0][-1]  # [CLS], [SEP]
        tokens, others = (side[1:-1] for side in sides)
        if not others:
            return self._request(sides[0], [0] * len(sides[0]))
        truncate_seq_pair(tokens, others, self._max_seq_length - 3)
        segment_ids = [0] * (len(tokens) + 2) + [1] * (len(others) + 1)
        ids = [first, *tokens, last, *others, last]
        return self._request(ids, segment_ids)

    def _request(self, input_ids, segment_ids) -> Request:
        number = len(input_ids)
        length = -(-number // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
        length = min(length, self._max_seq_length)
        values = (input_ids, [1] * number, segment_ids)
        arrays = {}
        for name, column in zip(ID_NAMES, values, strict=True):
            arrays[name] = np.zeros(length, np.int32)
            arrays[name][:number] = column
        return Request(inputs=(b"",), ids=arrays, length=length)

    def tokens_of(self, request: Request) -> list[str]:
        """Returns the tokens that the model reads, [CLS] and [SEP] included.

        Raises:
            NoVocabulary: the folder has no vocabulary.
        """
        tokenizer = self.tokenizer
        number = int(request.ids["input_mask"].sum())
        ids = request.ids["input_ids"][:number].tolist()
        return tokenizer.convert_ids_to_tokens(ids)


def reader_of(predictor: Predictor) -> TokenReader:
    """Returns the reader of a predictor, which keeps its vocabulary."""
    if predictor not in _READERS:
        _READERS[predictor] = TokenReader(predictor)
    return _READERS[predictor]
