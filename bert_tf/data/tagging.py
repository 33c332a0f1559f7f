"""Words with tags: reads the sets of a run, whatever their files hold.

    rows of words       `conll`
    running text        `conll`, for prediction
    JSON                `tagged_json`
    Excel, Parquet      `tagged_tables`

`tag_reading` turns their tags into those of the model.
"""

import dataclasses
from collections.abc import Iterable

from bert_tf import files
from bert_tf.data import splits
from bert_tf.data.plausible.examples import of_sentences
from bert_tf.data.tagged import conll, tagged_json, tagged_tables
from bert_tf.data.tagged.learned_tags import LearnedTags, infer_labels
from bert_tf.data.tagged.sentences import (
    Sentence,
    WordColumns,
    WordFile,
    conll_lines,
    span_lines,
)
from bert_tf.data.tagged.tag_reading import TagReader

__all__ = [
    "LearnedTags",
    "Sentence",
    "TaggedSets",
    "WordColumns",
    "conll_lines",
    "infer_labels",
    "read_file",
    "read_sets",
    "span_lines",
]

COLUMNS = WordColumns()  # Those that a file shows.


@dataclasses.dataclass(frozen=True)
class TaggedSets:
    """The sentences and tags of a run's files.

    Attributes:
        sets: {set: sentences}.
        tags: those of the model.
        has_texts: whether the test set has texts with entities, rather than
            words.
    """

    sets: dict[str, list[Sentence]]
    tags: LearnedTags
    has_texts: bool = False


def read_file(
    path: str,
    set_type: str,
    columns: WordColumns = COLUMNS,
    strict: bool = False,
) -> WordFile:
    """The sentences of a file, with tags as the file spells them.

    Raises:
        UserError: see `conll.read` and `tagged_json.read`.
    """
    with files.looking(path) as content:
        if tagged_tables.is_table(content):
            return tagged_tables.read(content, set_type, columns, strict)
    if tagged_json.is_json(path):
        return tagged_json.read(path, set_type, columns, strict)
    return conll.read(path, set_type, columns)


def read_sets(
    settings: splits.FileSettings,
    sets: Iterable[str],
    learned: LearnedTags | None = None,
    columns: WordColumns = COLUMNS,
) -> TaggedSets:
    """Reads the sets that are asked for.

    The tags are those of the whole training file, even where other sets take
    some of its sentences: these may have the rare tags.

    Args:
        settings: the files.
        sets: some of "train", "dev" and "test".
        learned: the tags that an earlier run learned, or None. A training set
            with others replaces them.
        columns: of words and tags.

    Raises:
        UserError: a setting or a file cannot be used.
    """
    sets = list(sets)
    tags = learned
    has_texts = False
    num_columns = 0

    def read(path, set_type):
        nonlocal tags, has_texts, num_columns
        file = read_file(path, set_type, columns, settings.strict)
        if set_type == "test":
            has_texts = all(s.origin == "texts" for s in file.sentences)
        reader = TagReader(file, set_type, settings)
        if set_type == "train" and not (tags and "train" not in sets):
            found = reader.learn()
            is_known = tags and {*found.labels} <= {*tags.labels}
            if tags and is_known:
                found = dataclasses.replace(found, labels=tags.labels)
            tags, num_columns = found, file.num_columns
        else:
            assert tags is not None
            reader.fit(tags, num_columns)
        if set_type != "train":
            return file.sentences
        return reader.with_labels()

    sentences = splits.read_sets(settings, sets, read, sample_of=of_sentences)
    return TaggedSets(sentences, tags or LearnedTags([]), has_texts)
