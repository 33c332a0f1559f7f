"""Named entities in tags, counted as the CoNLL shared tasks count them.

    John  Smith  visited  New    York   .
    B-PER I-PER  O        B-LOC  I-LOC  O     →  PER 0…2, LOC 3…5

The rules are those of conlleval, the script of CoNLL-2000 to 2003. It takes
every sequence of tags, the inconsistent ones of a model too, and all the ways
in which B, I, E, S and O are used: IOB1, IOB2, IOE and BIOES.
"""

import collections


def entity_spans(tags: list) -> list:
    """The entities of one sentence, in order.

    An I or an E goes on with the entity of the word in front if that word's
    tag is a B or an I of the same type. All other tags but O start an entity:
    thus an I behind an O does, or one of another type.

    conlleval knows no S, and no E followed by a B of the same type. Here, as
    in its descendants, an S is an entity of its own, and an E ends one.

    Args:
        tags: list of str, "O" or a prefix B, I, E or S with a type: "B-PER".

    Returns:
        list of (type, start, end): places of the first word and of the one
        behind the last.
    """
    spans = []
    last_prefix, last_kind = "O", ""
    for place, tag in enumerate(tags):
        prefix, _, kind = tag.partition("-")  # A type may hold hyphens.
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


def entity_scores(gold: list, predicted: list) -> dict:
    """How many of the entities are found, and how many found are right.

    A found entity is right if its type, its start and its end are.

    Args:
        gold: the tags of each sentence, as `entity_spans` takes them.
        predicted: those of the model, as many.

    Returns:
        {"precision", "recall", "f1"}: over the entities of all types;
        "accuracy": share of the words whose tag is right;
        "types": {type: {"precision", "recall", "f1", "support"}}, in
        alphabetical order; `support` counts the type's entities in `gold`.
        All shares are from 0 to 1, and 0 where there is nothing to count.

    Raises:
        ValueError: a sentence, or a tag, is missing on one side.
    """
    counts = {name: collections.Counter() for name in ("gold", "found", "both")}
    num_tags = num_right = 0
    for gold_tags, predicted_tags in zip(gold, predicted, strict=True):
        pairs = list(zip(gold_tags, predicted_tags, strict=True))
        num_tags += len(pairs)
        num_right += sum(one == other for one, other in pairs)
        in_gold = set(entity_spans(gold_tags))
        found = set(entity_spans(predicted_tags))
        for name, spans in (
            ("gold", in_gold),
            ("found", found),
            ("both", in_gold & found),
        ):
            counts[name].update(kind for kind, _, _ in spans)
    kinds = sorted(counts["gold"] | counts["found"])
    return {
        **_shares(*(counts[n].total() for n in ("gold", "found", "both"))),
        "accuracy": num_right / num_tags if num_tags else 0.0,
        "types": {
            kind: {
                **_shares(
                    *(counts[n][kind] for n in ("gold", "found", "both"))
                ),
                "support": counts["gold"][kind],
            }
            for kind in kinds
        },
    }


def _shares(num_gold, num_found, num_both):
    return {
        "precision": num_both / num_found if num_found else 0.0,
        "recall": num_both / num_gold if num_gold else 0.0,
        # The harmonic mean of the two.
        "f1": 2 * num_both / (num_gold + num_found) if num_both else 0.0,
    }
