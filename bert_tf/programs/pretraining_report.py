"""What the report of a pretraining is made of.

OUTPUT_DIR/report/
    eval.jsonl      a line for each of a few records: its pieces, and what the
                    model expects at its masked places
    masked.jsonl    how often which piece was taken for which
"""

import collections
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import scipy.special

from bert_tf import files, pretrained, vocab_files
from bert_tf.errors import UserError
from bert_tf.programs import report_rows
from bert_tf.programs.run_folder import RunFolder

# Function(features) -> the outputs of a `BertPretrainer`.
OutputsOf = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]
NUM_POSITIONS = 5000  # Masked positions that are counted.
NUM_RECORDS = 8  # Records that are shown.
NUM_BEST = 5  # Pieces that are shown for a masked place.
DIGITS = 5
# The features that a model reads, and the labels.
_LABELS = ("masked_lm_ids", "masked_lm_weights", "next_sentence_labels")


class MaskedSample:
    """The first masked positions of an evaluation.

    Attributes:
        records: {feature: int [≤ NUM_RECORDS, …]} of the first records.
        pairs: {(id of the right piece, id of the likeliest): how often}.
        num_records: how many records were evaluated.
        num_positions: how many positions are counted.
    """

    def __init__(self) -> None:
        self.records: dict[str, np.ndarray] = {}
        self.pairs: collections.Counter[tuple[int, int]] = collections.Counter()
        self.num_records = self.num_positions = 0

    def add(
        self, batch: Mapping[str, np.ndarray], best: np.ndarray | None
    ) -> None:
        """Adds a batch; its masked positions only until there are enough.

        Args:
            batch: the features of real records, [B, …].
            best: int [B, P], the likeliest piece at each masked position; None
                of a model that does not predict them.
        """
        self.num_records += len(batch["input_ids"])
        if best is None or self.num_positions >= NUM_POSITIONS:
            return
        if not self.records:
            self.records = {
                name: values[:NUM_RECORDS] for name, values in batch.items()
            }
        is_masked = batch["masked_lm_weights"] > 0
        right = batch["masked_lm_ids"][is_masked].tolist()
        found = best[is_masked].tolist()
        self.pairs.update(zip(right, found, strict=True))
        self.num_positions += len(right)


def write(
    folder: RunFolder,
    sample: MaskedSample,
    tokens: list[str] | None,
    outputs_of: OutputsOf,
) -> None:
    """Writes the files of the report, if this process writes.

    Args:
        folder: of the run.
        sample: of the evaluation.
        tokens: see `find_tokens`.
        outputs_of: see `record_rows`.
    """
    if folder.writes:
        masked = pair_rows(sample, tokens)
        report_rows.write_rows(folder, "masked.jsonl", masked)
        records = record_rows(sample, tokens, outputs_of)
        report_rows.write_rows(folder, "eval.jsonl", records)


def find_tokens(
    output_dir: str, flag_values: Mapping[str, Any], vocab_size: int
) -> list[str] | None:
    """The pieces by their ids, if a vocabulary of the right size is found.

    The program has no flag for it. It may be in the run's folder, in that of
    the pretrained model, or next to the config.
    """
    paths = [os.path.join(output_dir, "vocab.txt")]
    if name := flag_values.get("pretrained"):
        paths.append(pretrained.open(name).vocab_file or "")
    if config := flag_values.get("bert_config_file"):
        paths.append(os.path.join(os.path.dirname(config), "vocab.txt"))
    for path in filter(None, paths):
        if not files.exists(path):
            continue
        try:
            tokens = vocab_files.tokens_by_id(vocab_files.load_vocab(path))
        except UserError:
            continue
        if len(tokens) == vocab_size:
            return tokens
    return None


def pair_rows(
    sample: MaskedSample, tokens: list[str] | None
) -> Iterator[dict[str, Any]]:
    """Yields how often which piece was taken for which, the commonest first.

    Yields:
        {"piece", "predicted", "count"}; pieces are "#id" without a vocabulary.
    """
    for (right, found), count in sorted(
        sample.pairs.items(), key=lambda item: (-item[1], item[0])
    ):
        yield {
            "piece": _piece(right, tokens),
            "predicted": _piece(found, tokens),
            "count": count,
        }


def record_rows(
    sample: MaskedSample,
    tokens: list[str] | None,
    outputs_of: OutputsOf,
) -> Iterator[dict[str, Any]]:
    """Yields what the model expects at the masked places of a few records.

    Args:
        sample: the records.
        tokens: see `find_tokens`.
        outputs_of: function(features) -> the outputs of a `BertPretrainer`.

    Yields:
        "id"; "tokens": the pieces as the model reads them; "second": the place
        of the second segment; "masked": for each masked place "at", "piece"
        (the right one) and "best", a list of [piece, probability]; "label" and
        "predicted": 0 where the second segment follows the first, else 1;
        "probability" of `predicted`.
    """
    if not sample.records:
        return
    records = sample.records
    outputs = outputs_of({n: v for n, v in records.items() if n not in _LABELS})
    mlm = scipy.special.softmax(
        np.asarray(outputs["mlm_logits"], np.float64), axis=-1
    )
    nsp = scipy.special.softmax(
        np.asarray(outputs["nsp_logits"], np.float64), axis=-1
    )
    for number, ids in enumerate(records["input_ids"]):
        length = int(records["input_mask"][number].sum())
        segments = records["segment_ids"][number][:length]
        yield {
            "id": number,
            "tokens": [_piece(i, tokens) for i in ids[:length].tolist()],
            "second": int(np.argmax(segments)) if segments.any() else None,
            "masked": [
                {
                    "at": at,
                    "piece": _piece(right, tokens),
                    "best": [
                        [_piece(int(i), tokens), round(float(each[i]), DIGITS)]
                        for i in np.argsort(-each)[:NUM_BEST]
                    ],
                }
                for at, right, weight, each in zip(
                    records["masked_lm_positions"][number].tolist(),
                    records["masked_lm_ids"][number].tolist(),
                    records["masked_lm_weights"][number].tolist(),
                    mlm[number],
                    strict=True,
                )
                if weight > 0
            ],
            "label": int(np.ravel(records["next_sentence_labels"][number])[0]),
            "predicted": int(nsp[number].argmax()),
            "probability": round(float(nsp[number].max()), DIGITS),
        }


def _piece(index: int, tokens: list[str] | None) -> str:
    if tokens is None or not tokens[index]:
        return f"#{index}"
    return tokens[index]
