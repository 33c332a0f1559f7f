"""Makes examples of masked LM and next sentence prediction of text.

    text          one sentence a line, a blank line between documents
      segments    A, some sentences; and B, the sentences that follow, or in
                  half of the cases some of another document
      truncate    at random ends, until both fit
      mask        15 % of the tokens: of these 80 % become [MASK], 10 % stay,
                  and 10 % become any token

Randomness is Python's `random`, drawn in the same order as in the original:
with the same seed the instances are the original's, one for one. Tokens may be
strings, or ids, which make the same instances faster.
"""

import dataclasses
import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from typing import Any

from bert_tf import files
from bert_tf.errors import UserError
from bert_tf.text.packing import NUM_SPECIAL_OF_PAIR
from bert_tf.tokenization import FullTokenizer

MASK_PROBABILITY = 0.8  # A token to predict becomes [MASK]; of the others
KEEP_PROBABILITY = 0.5  # these stay, and the rest become any token.
RANDOM_NEXT_PROBABILITY = 0.5
TRIES_FOR_ANOTHER_DOCUMENT = 10
MIN_TOKENS = 2  # A and B together have no fewer.
# Different words that are remembered, together with their tokens.
MAX_WORDS = 1_000_000

Token = Any  # A str, or an id: see `Tokens`.
Document = list[list[Token]]  # Segments, lists of tokens.


@dataclasses.dataclass(frozen=True, slots=True)
class TrainingInstance:
    """One sequence, and the tokens to predict in it.

    Attributes:
        tokens: [CLS] A [SEP] B [SEP], some of them masked.
        length_a: tokens of segment 0, [CLS] A [SEP].
        is_random_next: whether B comes from another place.
        masked_lm_positions: places of the tokens to predict, in order.
        masked_lm_labels: these tokens.
    """

    tokens: list[Token]
    length_a: int
    is_random_next: bool
    masked_lm_positions: list[int]
    masked_lm_labels: list[Token]

    @property
    def segment_ids(self) -> list[int]:
        """0 for [CLS] A [SEP], 1 for B [SEP]."""
        length_b = len(self.tokens) - self.length_a
        return [0] * self.length_a + [1] * length_b


@dataclasses.dataclass(frozen=True, kw_only=True)
class InstanceSettings:
    """How instances are made, for `create_training_instances` and others.

    Attributes:
        max_seq_length: tokens of an instance at most, special ones included.
        max_predictions_per_seq: tokens to predict at most.
        dupe_factor: how often each document is used, masked differently.
        short_seq_prob: share of the documents that are cut into shorter
            sequences, so that fine-tuning's are not strange to the model.
        masked_lm_prob: share of the tokens to predict.
        do_whole_word_mask: predict all the pieces of a word or none.
    """

    max_seq_length: int = 128
    max_predictions_per_seq: int = 20
    dupe_factor: int = 10
    short_seq_prob: float = 0.1
    masked_lm_prob: float = 0.15
    do_whole_word_mask: bool = False


class Tokens:
    """The tokens of a tokenizer, as strings or as ids.

    Each word is cut once and remembered.

    Args:
        tokenizer: cuts the words.
        as_ids: whether tokens are ids.

    Attributes:
        all: every token of the vocabulary, from which random ones are drawn.
        continuations: the tokens that continue a word, the `##` pieces.
        cls, sep, mask: the special tokens.

    Raises:
        UserError: the vocabulary has no [MASK].
    """

    def __init__(self, tokenizer: FullTokenizer, as_ids: bool):
        vocab = tokenizer.vocab
        if "[MASK]" not in vocab:
            raise UserError("the vocabulary has no [MASK]")
        self.tokenizer = tokenizer
        self.convert = vocab.__getitem__ if as_ids else str
        self.all = list(vocab.values() if as_ids else vocab)
        self.continuations = frozenset(
            self.convert(token) for token in vocab if token.startswith("##")
        )
        self.cls, self.sep, self.mask = map(
            self.convert, ("[CLS]", "[SEP]", "[MASK]")
        )
        self._of_word: dict[str, list[Token]] = {}

    def of_line(self, line: str) -> list[Token]:
        """The tokens of a text, those of `FullTokenizer.tokenize`.

        That takes each word by itself, too.
        """
        tokens: list[Token] = []
        known = self._of_word
        clean = self.tokenizer.basic_tokenizer.clean_table
        for word in line.translate(clean).split():
            pieces = known.get(word)
            if pieces is None:
                pieces = self._cut(word)
            tokens += pieces
        return tokens

    def _cut(self, word):
        if len(self._of_word) >= MAX_WORDS:
            self._of_word.clear()
        tokens = [*map(self.convert, self.tokenizer.tokenize(word))]
        self._of_word[word] = tokens
        return tokens


def read_documents(lines: Iterable[str], tokens: Tokens) -> list[Document]:
    """Makes documents, lists of segments, which are lists of tokens.

    Args:
        lines: sentences, with an empty one between documents.
        tokens: the vocabulary.
    """
    documents: list[Document] = [[]]
    for line in lines:
        line = line.strip()
        if not line:
            documents.append([])
        elif segment := tokens.of_line(line):
            documents[-1].append(segment)
    return [document for document in documents if document]


def lines_of(paths: Iterable[str]) -> Iterator[str]:
    """Yields the lines of text files, one file after the other.

    As in the original, a document continues from one file to the next unless
    there is an empty line between.
    """
    for path in paths:
        for _, line in files.read_lines(path):
            yield line


def create_training_instances(
    input_files: Iterable[str],
    tokenizer: FullTokenizer,
    max_seq_length: int,
    dupe_factor: int,
    short_seq_prob: float,
    masked_lm_prob: float,
    max_predictions_per_seq: int,
    rng: random.Random,
    whole_word: bool = False,
) -> list[TrainingInstance]:
    """The original's function of this name: `TrainingInstance`s of strings.

    Args:
        input_files: paths of text, one sentence a line, a blank line between
            documents.
        tokenizer: a `FullTokenizer`.
        max_seq_length, dupe_factor, short_seq_prob, masked_lm_prob,
        max_predictions_per_seq: see `InstanceSettings`.
        rng: source of randomness.
        whole_word: predict all the pieces of a word or none.
    """
    settings = InstanceSettings(
        max_seq_length=max_seq_length,
        max_predictions_per_seq=max_predictions_per_seq,
        dupe_factor=dupe_factor,
        short_seq_prob=short_seq_prob,
        masked_lm_prob=masked_lm_prob,
        do_whole_word_mask=whole_word,
    )
    tokens = Tokens(tokenizer, as_ids=False)
    documents = read_documents(lines_of(input_files), tokens)
    instances = [*make_instances(documents, tokens, settings, rng)]
    rng.shuffle(instances)
    return instances


def make_instances(
    documents: list[Document],
    tokens: Tokens,
    settings: InstanceSettings,
    rng: random.Random,
    on_document: Callable[[float], None] | None = None,
) -> Iterator[TrainingInstance]:
    """Yields the instances of documents, `dupe_factor` times over each.

    Args:
        documents: of `read_documents`; they are shuffled in place.
        tokens: their vocabulary.
        settings: how instances are made.
        rng: source of randomness.
        on_document: function(share of the work that is done), or None.
    """
    rng.shuffle(documents)
    total = settings.dupe_factor * len(documents)
    for number in range(total):
        index = number % len(documents)
        for pair in segment_pairs(documents, index, settings, rng):
            yield mask_instance(*pair, tokens, settings, rng)
        if on_document:
            on_document((number + 1) / total)


def segment_pairs(
    documents: Sequence[Document],
    index: int,
    settings: InstanceSettings,
    rng: random.Random,
) -> Iterator[tuple[list[Token], list[Token], bool]]:
    """Yields (A, B, is_random_next) from a document, each pair truncated.

    Sentences that a random B has displaced are used again for the next pair.
    """
    document = documents[index]
    max_num_tokens = settings.max_seq_length - NUM_SPECIAL_OF_PAIR
    target_length = max_num_tokens
    if rng.random() < settings.short_seq_prob:
        target_length = rng.randint(MIN_TOKENS, max_num_tokens)
    chunk, length, place = [], 0, 0
    while place < len(document):
        chunk.append(document[place])
        length += len(document[place])
        place += 1
        if place < len(document) and length < target_length:
            continue
        end_of_a = rng.randint(1, len(chunk) - 1) if len(chunk) > 1 else 1
        tokens_a = joined(chunk[:end_of_a])
        is_random_next = (
            len(chunk) == 1 or rng.random() < RANDOM_NEXT_PROBABILITY
        )
        if is_random_next:
            tokens_b = random_segment(
                documents, index, target_length - len(tokens_a), rng
            )
            place -= len(chunk) - end_of_a
        else:
            tokens_b = joined(chunk[end_of_a:])
        yield *truncate(tokens_a, tokens_b, max_num_tokens, rng), is_random_next
        chunk, length = [], 0


def joined(segments: Iterable[list[Token]]) -> list[Token]:
    """The tokens of segments as one list."""
    return [*itertools.chain.from_iterable(segments)]


def random_segment(
    documents: Sequence[Document], index: int, length: int, rng: random.Random
) -> list[Token]:
    """Sentences from a random place of another document than `index`.

    They have at least `length` tokens, if the document has as many. Where
    there is only one document, they come from it.
    """
    for _ in range(TRIES_FOR_ANOTHER_DOCUMENT):
        other = rng.randint(0, len(documents) - 1)
        if other != index:
            break
    document = documents[other]
    tokens: list[Token] = []
    for place in range(rng.randint(0, len(document) - 1), len(document)):
        tokens += document[place]
        if len(tokens) >= length:
            break
    return tokens


def truncate(
    tokens_a: list[Token],
    tokens_b: list[Token],
    max_num_tokens: int,
    rng: random.Random,
) -> tuple[list[Token], list[Token]]:
    """Takes tokens from the longer list, at a random end, until both fit."""
    start_a, end_a, start_b, end_b = 0, len(tokens_a), 0, len(tokens_b)
    while end_a - start_a + end_b - start_b > max_num_tokens:
        at_front = rng.random() < 0.5
        if end_a - start_a > end_b - start_b:
            start_a, end_a = start_a + at_front, end_a - (not at_front)
        else:
            start_b, end_b = start_b + at_front, end_b - (not at_front)
    return tokens_a[start_a:end_a], tokens_b[start_b:end_b]


def mask_instance(
    tokens_a: Sequence[Token],
    tokens_b: Sequence[Token],
    is_random_next: bool,
    tokens: Tokens,
    settings: InstanceSettings,
    rng: random.Random,
) -> TrainingInstance:
    """[CLS] A [SEP] B [SEP] with some of the tokens masked."""
    original = [tokens.cls, *tokens_a, tokens.sep, *tokens_b, tokens.sep]
    length_a = len(tokens_a) + 2
    candidates = [*range(1, length_a - 1), *range(length_a, len(original) - 1)]
    if settings.do_whole_word_mask:
        candidates = whole_words(original, candidates, tokens.continuations)
    shuffle(candidates, rng)
    limit = min(
        settings.max_predictions_per_seq,
        # The original's `round`: a half goes to the even neighbour.
        max(1, round(len(original) * settings.masked_lm_prob)),
    )
    if settings.do_whole_word_mask:
        positions = fitting_words(candidates, limit)
    else:
        positions = candidates[:limit]
    masked = original.copy()
    draw = rng.random
    for position in positions:
        if draw() < MASK_PROBABILITY:
            masked[position] = tokens.mask
        elif draw() >= KEEP_PROBABILITY:
            masked[position] = tokens.all[rng.randint(0, len(tokens.all) - 1)]
    positions.sort()
    return TrainingInstance(
        masked,
        length_a,
        is_random_next,
        positions,
        [original[position] for position in positions],
    )


def whole_words(
    sequence: Sequence[Token],
    positions: Iterable[int],
    continuations: Set[Token],
) -> list[list[int]]:
    """[[positions of a word's tokens], …].

    As in the original, a word of A continues in B where B starts with a piece
    that continues a word.
    """
    words: list[list[int]] = []
    for position in positions:
        if words and sequence[position] in continuations:
            words[-1].append(position)
        else:
            words.append([position])
    return words


def fitting_words(words: Iterable[list[int]], limit: int) -> list[int]:
    """The positions of the first words that fit, without splitting any."""
    positions: list[int] = []
    for word in words:
        if len(positions) >= limit:
            break
        if len(positions) + len(word) <= limit:
            positions += word
    return positions


def shuffle(x: list[Any], rng: random.Random) -> None:
    """`rng.shuffle(x)` in half the time: it takes a third of the whole work.

    A place is drawn as `random` does: as many random bits as its number has,
    again and again until they are small enough (tested against it).
    """
    draw = rng.getrandbits
    for last in range(len(x) - 1, 0, -1):
        num_bits = (last + 1).bit_length()
        place = draw(num_bits)
        while place > last:
            place = draw(num_bits)
        x[last], x[place] = x[place], x[last]
