"""Names that other tools have for SQuAD's keys.

canonical(("Question Text", "passage"))     {"question": "Question Text",
                                             "context": "passage"}

Case, blanks, hyphens and underscores of a name do not matter.
"""

import functools
import re
from collections.abc import Collection

# {SQuAD's key: other names, the likeliest first}, without underscores.
_NAMES = {
    "context": (
        "context contexttext passage passagetext paragraph paragraphtext "
        "document documenttext story article"
    ),
    "question": "question questiontext query querytext q",
    "id": "id qid questionid queryid qasid qaid guid uid uuid exampleid",
    "paragraphs": "paragraphs",
    "qas": "qas questions qapairs questionanswers qa",
    "is_impossible": "isimpossible impossible isunanswerable unanswerable",
    "is_answerable": "isanswerable answerable",
    # MRQA's are also places in the context; its "answers" are texts alone.
    "detected_answers": "detectedanswers",
    "answers": (
        "answers answer answertext answertexts answerstext answerstexts "
        "goldanswer goldanswers groundtruth groundtruths"
    ),
    # NewsQA's, whose "answers" are those of each person.
    "consensus": "consensus",
    "answer_start": (
        "answerstart answerstarts answersstart answersanswerstart "
        "answerstartidx answerstartindex answerstartchar answerstartposition "
        "answeroffset startposition startindex startidx startchar charstart "
        "start offset"
    ),
    "answer_end": (
        "answerend answerends answersend answerendidx answerendindex "
        "answerendchar answerendposition endposition endindex endidx endchar "
        "charend end"
    ),
}
# The names in an object that is one answer.
_ANSWER_NAMES = {
    "text": "text answer answertext span spantext value",
    "answer_start": f"{_NAMES['answer_start']} s spanstart offsetstart begin",
    "answer_end": f"{_NAMES['answer_end']} e spanend offsetend",
    "char_spans": "charspans",
}


def _plain(name: object) -> str:
    return re.sub(r"[\s_.\-]+", "", str(name)).casefold()


def _table(names: dict[str, str]) -> dict[str, tuple[str, int]]:
    """{plain name: (SQuAD's key, rank)}."""
    return {
        name: (key, rank)
        for key, text in names.items()
        for rank, name in enumerate(text.split())
    }


_TABLE, _ANSWER_TABLE = _table(_NAMES), _table(_ANSWER_NAMES)


def _chosen(
    keys: Collection[str], table: dict[str, tuple[str, int]]
) -> dict[str, str]:
    best: dict[str, tuple[int, str]] = {}
    for key in keys:
        if entry := table.get(_plain(key)):
            name, rank = entry
            rank = -1 if key == name else rank  # SQuAD's own.
            if name not in best or (rank, key) < best[name]:
                best[name] = rank, key
    return {name: key for name, (_, key) in best.items()}


@functools.lru_cache(maxsize=1024)
def canonical(
    keys: tuple[str, ...], has_context: bool = False
) -> dict[str, str]:
    """The keys of an item by SQuAD's names for them.

    "text" is the context where nothing else is, and an answer otherwise.

    Args:
        keys: of an article, a paragraph or a question.
        has_context: whether the context is not among them.

    Returns:
        {SQuAD's key: the item's key}, of each the likeliest.
    """
    chosen = _chosen(keys, _TABLE)
    text = next((key for key in keys if _plain(key) == "text"), None)
    if text is not None:
        is_answer = has_context or "context" in chosen
        chosen.setdefault("answers" if is_answer else "context", text)
    return chosen


@functools.lru_cache(maxsize=1024)
def keys_with_answers(keys: tuple[str, ...]) -> list[str]:
    """The keys that may hold a question's answers, the likeliest first."""
    found = [
        key for key in keys if _TABLE.get(_plain(key), "?")[0] == "answers"
    ]
    return sorted(found, key=lambda key: _TABLE[_plain(key)][1])


@functools.lru_cache(maxsize=1024)
def canonical_of_answer(keys: tuple[str, ...]) -> dict[str, str]:
    """The keys of an answer: "text", "answer_start", "answer_end"."""
    return _chosen(keys, _ANSWER_TABLE)
