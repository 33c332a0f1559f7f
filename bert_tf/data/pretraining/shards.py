"""Pretraining data in shards: for corpora that no memory holds.

    text files     documents, distributed in turn
      shard 0…K-1  its documents as text
        records    made from these alone, with a random seed for the shard

So a shard's records depend on the input and on K, and on nothing that happens
elsewhere: any number of processes or machines make the same records, and
existing shards need not be made again.
"""

import contextlib
import dataclasses
import functools
import os
import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from bert_tf import files
from bert_tf.data import example_proto
from bert_tf.data.pretraining.instances import (
    InstanceSettings,
    Tokens,
    make_instances,
    read_documents,
)
from bert_tf.data.pretraining.serialization import serialized_example
from bert_tf.errors import UserError
from bert_tf.tokenization import FullTokenizer, TokenizerSettings

# Characters of documents that wait to be written to their shards, at most.
WAITING = 32_000_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecordMaker(TokenizerSettings):
    """Makes records of text; small enough to be sent to each process.

    Attributes:
        vocab_file: path of the vocabulary.
        do_lower_case, strip_accents, tokenize_chinese_chars: see
            `TokenizerSettings`.
        settings: how instances are made.
        random_seed: of the run; each shard derives its own.
    """

    vocab_file: str
    settings: InstanceSettings
    random_seed: int

    def serialized_examples(
        self,
        lines: Iterable[str],
        rng: random.Random,
        on_document: Callable[[float], None] | None = None,
    ) -> list[bytes]:
        """The examples of a text, shuffled.

        Args:
            lines: see `read_documents`.
            rng: source of randomness.
            on_document: see `make_instances`.
        """
        tokens = vocabulary(self.vocab_file, self.tokenizer_settings)
        documents = read_documents(lines, tokens)
        serialized = [
            serialized_example(instance, self.settings)
            for instance in make_instances(
                documents, tokens, self.settings, rng, on_document
            )
        ]
        rng.shuffle(serialized)
        return serialized

    def rng_of_shard(self, shard: int) -> random.Random:
        """The source of a shard's randomness."""
        return random.Random(f"{self.random_seed}, shard {shard}")

    def write_shard(self, path: str, shard: int, lines: Iterable[str]) -> int:
        """Writes a shard's file; returns the number of its records.

        Raises:
            UserError: it has no record, because the tokenizer drops all
                characters of its documents.
        """
        serialized = self.serialized_examples(lines, self.rng_of_shard(shard))
        if not serialized:
            raise UserError(
                f"{path}: its documents have no text; take fewer shards"
            )
        write_records([path], serialized)
        return len(serialized)


@functools.lru_cache(maxsize=1)
def vocabulary(vocab_file: str, settings: TokenizerSettings) -> Tokens:
    """A vocabulary that remembers words from one shard to the next."""
    tokenizer = FullTokenizer(vocab_file, **settings.tokenizer_arguments())
    return Tokens(tokenizer, as_ids=True)


def write_records(paths: Sequence[str], serialized: Sequence[bytes]) -> None:
    """Writes TFRecord files, and distributes the records in turn.

    The files appear when all are complete.
    """
    with contextlib.ExitStack() as stack:
        temporaries = [stack.enter_context(files.replacing(p)) for p in paths]
        for index, temporary in enumerate(temporaries):
            with files.open_binary(temporary, "wb") as writer:
                for content in serialized[index :: len(paths)]:
                    writer.write(example_proto.record(content))


def shard_path(output_file: str, shard: int, num_shards: int) -> str:
    """The path of a shard's records."""
    return f"{output_file}-{shard:05d}-of-{num_shards:05d}"


def existing_shards(output_file: str) -> list[str]:
    """Paths of the shards that exist, for any number of shards."""
    folder, name = os.path.split(output_file)
    shard = re.compile(re.escape(name) + r"-\d{5}-of-\d{5}")
    names = sorted(filter(shard.fullmatch, files.entries(folder)))
    return [os.path.join(folder, name) for name in names]


# ---------------------------------------------------------------------------
# Distributing documents.


def documents_of_file(path: str) -> Iterator[list[str]]:
    """Yields the documents of a text file, lists of lines that hold text.

    Here a document ends with its file.
    """
    document: list[str] = []
    for _, line in files.read_lines(path):
        line = line.strip()
        if line:
            document.append(line)
        elif document:
            yield document
            document = []
    if document:
        yield document


def shard_of(file_number: int, document_number: int, num_shards: int) -> int:
    """The shard of a document: each in turn, also where files have only one."""
    return (file_number + document_number) % num_shards


@dataclasses.dataclass
class ShardText:
    """The text of a shard.

    Attributes:
        path: a file of its documents, with an empty line after each.
        num_documents: the number of documents.
        num_characters: the length of the text.
    """

    path: str
    num_documents: int = 0
    num_characters: int = 0


def distribute(
    paths: Sequence[str],
    num_shards: int,
    folder: str,
    on_document: Callable[[int], None] | None = None,
) -> list[ShardText]:
    """Writes the documents of text files to a file for each shard.

    Args:
        paths: the text files.
        num_shards: K.
        folder: where the shards' files go.
        on_document: function(characters), called for each, or None.

    Returns:
        The text of each shard.
    """
    shards = [
        ShardText(os.path.join(folder, f"{shard:05d}.txt"))
        for shard in range(num_shards)
    ]
    waiting: list[list[str]] = [[] for _ in shards]
    num_waiting = 0
    for file_number, path in enumerate(paths):
        for number, document in enumerate(documents_of_file(path)):
            shard = shard_of(file_number, number, num_shards)
            text = "\n".join(document) + "\n\n"
            waiting[shard].append(text)
            shards[shard].num_documents += 1
            shards[shard].num_characters += len(text)
            num_waiting += len(text)
            if on_document:
                on_document(len(text))
            if num_waiting > WAITING:
                _append(shards, waiting)
                num_waiting = 0
    _append(shards, waiting)
    return shards


def _append(shards, waiting):
    """Opens one file at a time: there may be more shards than open files."""
    for shard, texts in zip(shards, waiting, strict=True):
        with files.naming(shard.path, "could not be written"):
            with open(shard.path, "ab") as writer:
                writer.write("".join(texts).encode())
        texts.clear()
