"""Turns the tags of a file into those that a model knows.

Tags in another spelling or scheme than those of training are the same tags;
see `tag_schemes`. Tags that training does not have are counted as missed, and
marks for "no tag" are not tags.
"""

import collections
import re
from collections.abc import Callable, Collection, Sequence

from absl import logging

from bert_tf.counts import counted, number_of
from bert_tf.data import splits
from bert_tf.data.labels.missing_labels import marks_among
from bert_tf.data.tagged.learned_tags import LearnedTags, infer_labels
from bert_tf.data.tagged.sentences import Sentence, WordFile
from bert_tf.data.tagged.tag_schemes import (
    LETTERS,
    OUTSIDE,
    PLAIN,
    TYPES,
    Spelling,
    convert,
    find_scheme,
    find_spelling,
    likeliest_spelling,
)
from bert_tf.errors import UserError

# Besides the marks of other tasks: PyTorch's losses and CoNLL-U have them.
MARKS = ("-100", "_", "")
NUM_TAGS_SHOWN = 10
MANY_TAGS = 1000  # More than any set of plain tags has.
_FRACTION = re.compile(r"-?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?")
_HEADER = "; if this row is a header, `tag_column` may name its column"
_JOINED = re.compile(r"[BIESLU]-.+[|,;+/#][BIESLU]-.+")  # B-PER|B-ORG.
FORMS = "O, B-type, I-type, E-type, S-type, where a type is such as PER"


class TagReader:
    """Turns the tags of a file's sentences into those of the package.

    Args:
        file: its sentences are changed.
        set_type: "train", "dev" or "test".
        settings: has `strict` and `missing_label`.
    """

    def __init__(
        self, file: WordFile, set_type: str, settings: splits.FileSettings
    ):
        self._file, self._set_type = file, set_type
        self._path, self._sentences = file.path, file.sentences
        self._strict, self._named = settings.strict, settings.missing_label
        self._counts = self._count()

    def _count(self) -> collections.Counter[str]:
        counts: collections.Counter[str | None] = collections.Counter()
        for sentence in self._sentences:
            if sentence.labels is not None:
                counts.update(sentence.labels)
        return collections.Counter(
            {tag: n for tag, n in counts.items() if tag is not None}
        )

    def learn(self) -> LearnedTags:
        """Reads the tags of a training file.

        Raises:
            UserError: they are no tags, or there is nothing to learn.
        """
        self._drop_missing()
        spelling = self._spelling()
        if spelling is None:
            raise self._misfit()
        if spelling.form == PLAIN:
            self._check_plain()
        self._say(spelling)
        self._check_joined()
        self._change(spelling.read)
        scheme = None
        if spelling.form != PLAIN:
            scheme = find_scheme(self._whole())
        labels = infer_labels(self._sentences, spelling.form == PLAIN)
        first = labels[0] if labels else None
        splits.check_varied(
            labels,
            self._path,
            f"all words have the tag {first!r}",
            where=self._file.where,
        )
        if spelling.form != PLAIN and scheme not in (None, "BIO"):
            logging.info("%s: the tags' scheme is %s", self._path, scheme)
        return LearnedTags(labels, spelling, scheme)

    def fit(self, tags: LearnedTags, num_columns: int) -> None:
        """Reads the tags of another file as those that a model knows.

        Args:
            tags: the model's.
            num_columns: of the training file; 0 where that is not known.

        Raises:
            UserError: a file for evaluation has none of these tags.
        """
        self._drop_missing({*map(tags.spelling.write, tags.labels)})
        if not self._counts:
            if self._set_type == "dev":
                raise UserError(f"{self._path}: no word in this file has a tag")
            self._clear()
            return
        spelling = self._spelling(tags.spelling)
        if spelling is None or not self._fits(spelling, tags, num_columns):
            self._refuse(tags, spelling)
            return
        if spelling != tags.spelling:
            self._say(spelling)
        self._change(spelling.read)
        if tags.spelling.form != PLAIN:
            self._convert(tags)
        self._report_unknown(tags)

    # --- Spelling ---------------------------------------------------------

    def _spelling(self, other: Spelling | None = None) -> Spelling | None:
        """The file's spelling; `other` where all tags fit it."""
        if self._file.is_spelled:
            return Spelling()
        if other is not None and other.form == PLAIN:
            return other
        found = find_spelling(self._counts)
        if other is None:
            return found
        has_letters = found is not None and found.form not in (PLAIN, TYPES)
        if other.form == TYPES:
            return found if has_letters and found else other
        if all(other.read(tag) for tag in self._counts):
            return other
        return found

    def _say(self, spelling: Spelling) -> None:
        if spelling == Spelling():
            return
        numbers = [tag for tag in self._counts if tag.isdecimal()]
        if spelling.form == PLAIN and len(numbers) == len(self._counts):
            text = (
                f"{self._path}: the tags in {self._file.where} are numbers "
                "without names; each is a tag of its own, and there are no "
                "entities to score"
            )
            if self._strict:
                raise UserError(f"{text}, under `strict`")
            logging.warning("%s", text)
            return
        what = {
            PLAIN: "plain tags, each scored by itself",
            TYPES: f"{spelling}; words of one type in a row are one entity",
        }.get(spelling.form, f"{spelling}")
        shown = sorted(self._counts, key=lambda tag: -self._counts[tag])
        logging.info(
            "%s: the tags %s are read as %s",
            self._path,
            ", ".join(shown[:NUM_TAGS_SHOWN]),
            what,
        )

    def _change(self, read: Callable[[str], str | None]) -> None:
        """Replaces each tag."""
        new = {tag: read(tag) for tag in self._counts}
        if all(tag == other for tag, other in new.items()):
            return
        for sentence in self._sentences:
            if sentence.labels is not None:
                sentence.labels = [
                    tag if tag is None else new[tag] for tag in sentence.labels
                ]
        self._counts = self._count()

    def _misfit(self, known: Sequence[str] | None = None) -> UserError:
        """The error for the first tag that is not known."""
        plain = likeliest_spelling(self._counts)
        for sentence in self._sentences:
            for place, tag in enumerate(sentence.labels or ()):
                if tag is None:
                    continue
                is_known = tag in known if known else bool(plain.read(tag))
                if not is_known:
                    is_first = sentence is self._sentences[0] and not place
                    is_header = is_first and known is None
                    return UserError(
                        f"{self._path}:{sentence.line(place)}: tag {tag!r} is "
                        f"not one of {', '.join(known) if known else FORMS}"
                        + (self._hint() or _HEADER * is_header)
                    )
        return UserError(f"{self._path}: tags of different spellings")

    def _hint(self) -> str:
        if not self._file.tags_are_found or self._file.num_columns < 3:
            return ""
        return (
            f"; `tag_column` chooses another column than {self._file.where}, "
            "by its number or, in a file with a header, by its name"
        )

    def _check_plain(self) -> None:
        """Raises UserError if there are too many plain tags."""
        number = len(self._counts)
        total = self._counts.total()
        if number > MANY_TAGS or number > 30 and 2 * number > total:
            raise UserError(
                f"{self._path}: {number_of(number, 'different tag')} for "
                f"{number_of(total, 'word')} in {self._file.where}: are "
                "these tags? `tag_column` chooses another column"
            )

        if any("." in tag for tag in self._counts) and all(
            map(_FRACTION.fullmatch, self._counts)
        ):
            raise UserError(
                f"{self._path}: the tags in {self._file.where} are numbers, "
                f"such as {next(iter(self._counts))}: are these tags? "
                "`tag_column` chooses another column"
            )

    def _check_joined(self) -> None:
        """Warns of words with several tags in one, as of nested entities."""
        joined = {tag for tag in self._counts if _JOINED.fullmatch(tag)}
        if not joined:
            return
        line, first = next(
            (sentence.line(place), tag)
            for sentence in self._sentences
            for place, tag in enumerate(sentence.labels or ())
            if tag in joined
        )
        number = sum(self._counts[tag] for tag in joined)
        text = (
            f"{self._path}:{line}: {number} words have several tags in one, "
            f"such as {first!r}"
        )
        if self._strict:
            raise UserError(f"{text}, under `strict`")
        logging.warning(
            "%s: what follows the first letter is read as one type; leave one "
            "tag, or give each a column for `tag_column`",
            text,
        )

    # --- Missing tags -----------------------------------------------------

    def _drop_missing(self, known: Collection[str] = ()) -> None:
        """Takes marks for "no tag" as words without tags; counts them.

        Args:
            known: tags of the training file, which are not such marks.
        """
        if self._file.is_spelled:
            return
        named = self._named
        marks = set(marks_among([*self._counts], named))
        if named is None:
            marks |= {mark for mark in MARKS if mark in self._counts}
            spelling = find_spelling(self._counts)
            if spelling is not None and spelling.outside in marks:
                if spelling.form != PLAIN:
                    marks.discard(spelling.outside)
            marks -= {*known}
        if not marks:
            return
        number, first = 0, None
        for sentence in self._sentences:
            labels = sentence.labels
            if labels is None or not marks.intersection(
                tag for tag in labels if tag is not None
            ):
                continue
            for place, tag in enumerate(labels):
                if tag in marks:
                    number += 1
                    first = first or (sentence.line(place), tag)
            sentence.labels = [None if tag in marks else tag for tag in labels]
        self._counts = self._count()
        if first is None:
            return
        what = {
            "train": "left out of training",
            "dev": "not scored",
            "test": "predicted, not scored",
        }[self._set_type]
        text = (
            f"{self._path}: no tag for {number_of(number, 'word')} "
            f"({first[1]!r} on line {first[0]} first)"
        )
        if self._strict and self._set_type != "test":
            raise UserError(f"{text}, under `strict`")
        logging.warning(
            "%s: %s (`missing_label` says which tags mean none)", text, what
        )

    def with_labels(self) -> list[Sentence]:
        """The sentences that have a tag, for a training set."""
        kept = [s for s in self._sentences if s.label is not None]
        if len(kept) < len(self._sentences):
            total = len(self._sentences)
            logging.warning(
                "%s: %s no tag: left out",
                self._path,
                counted(total - len(kept), total, "sentence"),
            )
        return kept

    def _clear(self) -> None:
        for sentence in self._sentences:
            sentence.labels = None

    def _whole(self) -> list[list[str]]:
        """The tags of the sentences all whose words have one."""
        return [
            [tag for tag in s.labels if tag is not None]
            for s in self._sentences
            if s.labels and None not in s.labels
        ]

    # --- Tags that training does not have ---------------------------------

    def _fits(
        self, spelling: Spelling, tags: LearnedTags, num_columns: int
    ) -> bool:
        """Whether the tags are of the model's kind, though some be unknown."""
        counts: collections.Counter[str] = collections.Counter()
        for tag, number in self._counts.items():
            counts[spelling.read(tag) or tag] += number
        known_types = {_type(tag) for tag in tags.labels if tag != OUTSIDE}
        others = {tag for tag in counts if tag != OUTSIDE}
        if not others or any(_type(tag) in known_types for tag in others):
            return True
        if tags.spelling.form == PLAIN or spelling.form in (PLAIN, TYPES):
            return False
        if OUTSIDE not in counts:
            return False
        same = num_columns == self._file.num_columns
        return same or 2 * counts[OUTSIDE] >= counts.total()

    def _refuse(self, tags: LearnedTags, spelling: Spelling | None) -> None:
        known = [tags.spelling.write(tag) for tag in tags.labels]
        error = self._misfit(known)
        if self._set_type != "test" or self._strict:
            raise error
        logging.warning("%s; the file is read as one without tags", error)
        self._clear()

    def _convert(self, tags: LearnedTags) -> None:
        """Puts the tags into the scheme of training."""
        scheme = find_scheme(self._whole())
        unknown = {*self._counts} - {*tags.labels}
        if tags.scheme is None or scheme == tags.scheme:
            return
        if scheme is None and not unknown:
            return
        changed = 0
        for sentence in self._sentences:
            labels = [tag for tag in sentence.labels or () if tag is not None]
            if len(labels) < len(sentence.words):
                continue
            new = convert(labels, tags.scheme)
            if new != labels:
                sentence.labels = new
                changed += 1
        self._counts = self._count()
        if changed:
            logging.info(
                "%s: tags in %s are read as the same entities in %s, the "
                "scheme of training",
                self._path,
                scheme or "no scheme",
                tags.scheme,
            )

    def _report_unknown(self, tags: LearnedTags) -> None:
        known = {*tags.labels}
        unknown = {t: n for t, n in self._counts.items() if t not in known}
        if not unknown:
            return
        line = next(
            s.line(place)
            for s in self._sentences
            for place, tag in enumerate(s.labels or ())
            if tag in unknown
        )
        write = tags.spelling.write
        shown = [f"{write(tag)} ({n})" for tag, n in sorted(unknown.items())]
        if len(shown) > NUM_TAGS_SHOWN:
            shown[NUM_TAGS_SHOWN:] = ["…"]
        text = (
            f"{self._path}:{line}: "
            f"{counted(sum(unknown.values()), self._counts.total(), 'word')} a "
            f"tag that training does not have: {', '.join(shown)}"
        )
        if self._strict:
            raise UserError(f"{text}, under `strict`")
        logging.warning(
            "%s; counted as missed (the tags are %s)",
            text,
            ", ".join(map(write, tags.labels)),
        )


def _type(tag: str) -> str:
    """The type of an entity's tag; a plain tag is one of its own."""
    prefix, _, kind = tag.partition("-")
    return kind if prefix in {*LETTERS} and kind else tag
