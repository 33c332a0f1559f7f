"""Named entities in tags, counted as the CoNLL shared tasks count them.

    John  Smith  visited  New    York   .
    B-PER I-PER  O        B-LOC  I-LOC  O     →  PER 0…2, LOC 3…5

The rules are those of conlleval, the script of the shared tasks of 2000 to 2003
(Tjong Kim Sang & De Meulder 2003, https://aclanthology.org/W03-0419). It takes
every sequence of tags, also inconsistent ones that a model predicts, and all
ways to use B, I, E, S and O: IOB1, IOB2, IOE and BIOES.
"""

import collections
from collections.abc import Sequence
from typing import Any, TypeAlias

PREFIXES = ("B", "I", "E", "S", "O")
Span: TypeAlias = tuple[str, int, int]  # Type, first word, word after the last.


def entity_spans(tags: Sequence[str]) -> list[Span]:
    """The entities of one sentence, in order.

    An I or an E continues the entity of the word before if that word's tag is
    a B or an I of the same type. All other tags except O start an entity, such
    as an I after an O, or after an I of another type.

    conlleval does not know S, nor an E followed by a B of the same type. Here,
    as in its descendants, an S is an entity of its own, and an E ends one. A
    tag without such a prefix, such as NOUN, is the type of a single word.

    Args:
        tags: "O", or a prefix B, I, E or S with a type: "B-PER"; or plain tags.

    Returns:
        (type, start, end) of each entity: the places of its first word and of
        the word after its last.
    """
    spans: list[Span] = []
    last_prefix, last_kind = "O", ""
    for place, tag in enumerate(tags):
        prefix, _, kind = tag.partition("-")  # A type may hold hyphens.
        if prefix not in PREFIXES:
            prefix, kind = "S", tag
        start = place
        if (
            last_prefix in ("B", "I")
            and prefix in ("I", "E")
            and kind == last_kind
        ):
            _, start, _ = spans.pop()
        if prefix != "O":
            spans.append((kind, start, place + 1))
        last_prefix, last_kind = prefix, kind
    return spans


def entity_scores(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]
) -> dict[str, Any]:
    """Precision, recall and F1 of predicted entities.

        precision = right / predicted      recall = right / gold
        F1 = 2 right / (predicted + gold)

    A predicted entity is right if its type, its start and its end are.

    Args:
        gold: the right tags of each sentence, as `entity_spans` takes them.
        predicted: the model's tags of the same sentences.

    Returns:
        A dict:
            precision, recall, f1: over the entities of all types.
            accuracy: the share of the words whose tag is right.
            types: {type: {"precision", "recall", "f1", "support"}}, in
                alphabetical order; `support` is the number of the type's
                entities in `gold`.
        All shares are from 0 to 1, and 0 where there is nothing to count.

    Raises:
        ValueError: a sentence, or a tag, is missing on one side.
    """
    counts: dict[str, collections.Counter[str]] = {
        name: collections.Counter() for name in ("gold", "predicted", "right")
    }
    num_tags = num_right = 0
    for gold_tags, predicted_tags in zip(gold, predicted, strict=True):
        pairs = list(zip(gold_tags, predicted_tags, strict=True))
        num_tags += len(pairs)
        num_right += sum(one == other for one, other in pairs)
        gold_spans = set(entity_spans(gold_tags))
        predicted_spans = set(entity_spans(predicted_tags))
        for name, spans in (
            ("gold", gold_spans),
            ("predicted", predicted_spans),
            ("right", gold_spans & predicted_spans),
        ):
            counts[name].update(kind for kind, _, _ in spans)
    kinds = sorted(counts["gold"] | counts["predicted"])
    return {
        **_shares(*(counter.total() for counter in counts.values())),
        "accuracy": num_right / num_tags if num_tags else 0.0,
        "types": {
            kind: {
                **_shares(*(counter[kind] for counter in counts.values())),
                "support": counts["gold"][kind],
            }
            for kind in kinds
        },
    }


def entity_errors(
    gold: Sequence[str], predicted: Sequence[str]
) -> list[tuple[str, Span | None, Span | None]]:
    """What is wrong with the entities of one sentence.

    A gold entity is compared with the predicted one that shares most words
    with it, the first of several.

    Args:
        gold: the right tags, as `entity_spans` takes them.
        predicted: the model's tags of the same words.

    Returns:
        (error, gold span, predicted span) of each error, by the first word:
            "type": both entities have the same words, and different types.
            "boundary": they overlap, and have the same type.
            "type and boundary": they overlap, and differ in both.
            "missed": nothing is predicted there; the predicted span is None.
            "invented": a predicted entity that no gold entity is compared
                with; the gold span is None.
    """
    gold_spans, others = entity_spans(gold), entity_spans(predicted)
    right = set(gold_spans) & set(others)
    others = [span for span in others if span not in right]
    used: set[Span] = set()
    errors: list[tuple[str, Span | None, Span | None]] = []
    for span in gold_spans:
        if span in right:
            continue
        best = max(others, key=lambda o: _num_shared(span, o), default=None)
        if best is None or not _num_shared(span, best):
            errors.append(("missed", span, None))
            continue
        used.add(best)
        errors.append((_error_name(span, best), span, best))
    errors += [("invented", None, o) for o in others if o not in used]
    return sorted(
        errors, key=lambda error: (error[1] or error[2] or ("", 0))[1]
    )


def _num_shared(span: Span, other: Span) -> int:
    return max(0, min(span[2], other[2]) - max(span[1], other[1]))


def _error_name(span: Span, other: Span) -> str:
    if span[1:] == other[1:]:
        return "type"
    return "boundary" if span[0] == other[0] else "type and boundary"


def _shares(
    num_gold: int, num_predicted: int, num_right: int
) -> dict[str, float]:
    total = num_gold + num_predicted
    return {
        "precision": num_right / num_predicted if num_predicted else 0.0,
        "recall": num_right / num_gold if num_gold else 0.0,
        "f1": 2 * num_right / total if num_right else 0.0,
    }
