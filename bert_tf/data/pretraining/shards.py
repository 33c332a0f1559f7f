"""Pretraining data in shards: for corpora that no memory holds.

    text files     documents, dealt in turn
      shard 0…K-1  its documents as text
        records    made of these alone, with a random seed of the shard's own

So a shard's records depend on the input and on K, and on nothing that happens
elsewhere: any number of processes or machines make the same, and those that
are there need not be made again.
"""

import contextlib
import dataclasses
import functools
import os
import random
import re

from bert_tf import files
from bert_tf.data import example_proto
from bert_tf.data.pretraining.instances import (
    InstanceSettings,
    Tokens,
    make_instances,
    read_documents,
    serialized_example,
)
from bert_tf.errors import UserError
from bert_tf.tokenization import FullTokenizer

# Of documents that wait to be written to their shards, in characters.
WAITING = 32_000_000


@dataclasses.dataclass(frozen=True)
class RecordMaker:
    """How text becomes records; what a process is told of it.

    Attributes:
        vocab_file: path of the vocabulary.
        do_lower_case: see `FullTokenizer`.
        settings: of the instances.
        random_seed: of a run.
    """

    vocab_file: str
    do_lower_case: bool
    settings: InstanceSettings
    random_seed: int

    def serialized_examples(self, lines, rng, on_document=None) -> list:
        """Shuffled examples of text.

        Args:
            lines: see `read_documents`.
            rng: a `random.Random`.
            on_document: see `make_instances`.
        """
        tokens = vocabulary(self.vocab_file, self.do_lower_case)
        documents = read_documents(lines, tokens)
        serialized = [
            serialized_example(instance, self.settings)
            for instance in make_instances(
                documents, tokens, self.settings, rng, on_document
            )
        ]
        rng.shuffle(serialized)
        return serialized

    def rng_of_shard(self, shard: int):
        return random.Random(f"{self.random_seed}, shard {shard}")

    def write_shard(self, path: str, shard: int, lines) -> int:
        """Writes a shard's file; returns the number of its records.

        Raises:
            UserError: there are none, as its documents are of characters that
                the tokenizer drops.
        """
        serialized = self.serialized_examples(lines, self.rng_of_shard(shard))
        if not serialized:
            raise UserError(
                f"{path}: its documents have no text; take fewer shards"
            )
        write_records([path], serialized)
        return len(serialized)


@functools.lru_cache(maxsize=1)
def vocabulary(vocab_file, do_lower_case):
    """Remembers words from one shard to the next."""
    return Tokens(FullTokenizer(vocab_file, do_lower_case), as_ids=True)


def write_records(paths: list, serialized):
    """Writes TFRecord files, which get the records in turn.

    All of them appear when all are complete.
    """
    with contextlib.ExitStack() as stack:
        temporaries = [stack.enter_context(files.replacing(p)) for p in paths]
        for index, temporary in enumerate(temporaries):
            with files.open_binary(temporary, "wb") as writer:
                for content in serialized[index :: len(paths)]:
                    writer.write(example_proto.record(content))


def shard_path(output_file: str, shard: int, num_shards: int) -> str:
    return f"{output_file}-{shard:05d}-of-{num_shards:05d}"


def existing_shards(output_file: str) -> list:
    """Paths of the shards that are there, of any number of them."""
    folder, name = os.path.split(output_file)
    shard = re.compile(re.escape(name) + r"-\d{5}-of-\d{5}")
    names = sorted(filter(shard.fullmatch, files.entries(folder)))
    return [os.path.join(folder, name) for name in names]


# ---------------------------------------------------------------------------
# Dealing.


def documents_of_file(path: str):
    """Yields the documents of a text file, lists of lines that hold text.

    Here a document ends with its file.
    """
    document = []
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
    """Deals in turn; of many files with one document each, too."""
    return (file_number + document_number) % num_shards


@dataclasses.dataclass
class Dealt:
    """The text of a shard.

    Attributes:
        path: a file of its documents, an empty line behind each.
        num_documents: how many.
        num_characters: of text.
    """

    path: str
    num_documents: int = 0
    num_characters: int = 0


def deal(paths: list, num_shards: int, folder: str, on_document=None) -> list:
    """Writes the documents of text files to a file for each shard.

    Args:
        paths: the text files.
        num_shards: K.
        folder: where the shards' files go.
        on_document: function(characters), called for each, or None.

    Returns:
        A `Dealt` for each shard.
    """
    shards = [
        Dealt(os.path.join(folder, f"{shard:05d}.txt"))
        for shard in range(num_shards)
    ]
    waiting = [[] for _ in shards]
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
    """One file after the other: there may be more shards than open files."""
    for shard, texts in zip(shards, waiting, strict=True):
        with files.naming(shard.path, "could not be written"):
            with open(shard.path, "ab") as writer:
                writer.write("".join(texts).encode())
        texts.clear()
