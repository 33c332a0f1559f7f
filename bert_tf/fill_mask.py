"""FillMask: predicts the word at each [MASK] with a pretrained model.

    text       the capital of france is [MASK] .
    tokens     [CLS] the capital of france is [MASK] . [SEP]
    masks      {"paris": 0.42, "lyon": 0.07, …}

It answers both questions of pretraining: which token was here, and, for two
texts, does the second follow the first (Devlin et al. 2018, section 3.1).
"""

import dataclasses
from typing import Any

import numpy as np
from keras import ops

from bert_tf import pretrained
from bert_tf.checkpoints import load_weights
from bert_tf.errors import UserError
from bert_tf.heads import BertPretrainer
from bert_tf.text.packing import pack_sequences
from bert_tf.tokenization import MASK, FullTokenizer

CHARS_NAMED = 40  # An error shows the start of a text, at most this long.


@dataclasses.dataclass(frozen=True)
class MaskedText:
    """A text, or a pair of texts, as the model reads it."""

    tokens: list[str]
    segment_ids: list[int]
    is_pair: bool

    @property
    def positions(self) -> list[int]:
        """The places of the masks: no other text becomes the token [MASK]."""
        return [i for i, token in enumerate(self.tokens) if token == MASK]


@dataclasses.dataclass(frozen=True)
class FilledText:
    """The model's answer for one text or pair.

    Attributes:
        tokens: the WordPieces that it read, special tokens included.
        masks: for each [MASK] the likeliest tokens, {token: probability}, the
            best first.
        follows: the probability that the second text of a pair follows the
            first; None for a single text.
    """

    tokens: list[str]
    masks: list[dict[str, float]]
    follows: float | None


class FillMask:
    """Fills each [MASK] of a text with the words that a model expects there.

        fill_mask = FillMask(
            f"{BERT}/vocab.txt",
            f"{BERT}/bert_config.json",
            f"{BERT}/bert_model.ckpt",
        )
        filled = fill_mask("the capital of france is [MASK] .")
        filled.masks[0]  # {"paris": 0.42, "lyon": 0.07, …}
        fill_mask("he went to the [MASK] .", "he bought milk .").follows

    Args:
        vocab_file: path of the model's `vocab.txt`.
        bert_config_file: path of its `bert_config.json`.
        init_checkpoint: prefix of a checkpoint with the heads of pretraining.
        do_lower_case: True for uncased models.
        strip_accents, tokenize_chinese_chars: see `TokenizerSettings`.

    Raises:
        UserError: a file cannot be used, the vocabulary has no [MASK], or the
            checkpoint has no masked-LM head.
    """

    @classmethod
    def from_pretrained(cls, name: str, **settings: Any) -> "FillMask":
        """Makes it of a pretrained or fine-tuned model.

        Args:
            name: a name or a folder, see `pretrained.open`.
            **settings: arguments of the class besides the model's files.

        Raises:
            UserError: the model cannot be opened, or has no vocabulary.
        """
        return cls(**{**pretrained.arguments(name), **settings})

    def __init__(
        self,
        vocab_file: str,
        bert_config_file: str,
        init_checkpoint: str,
        do_lower_case: bool = True,
        *,
        strip_accents: bool | None = None,
        tokenize_chinese_chars: bool = True,
    ):
        self.tokenizer = FullTokenizer(
            vocab_file,
            do_lower_case,
            strip_accents=strip_accents,
            tokenize_chinese_chars=tokenize_chinese_chars,
        )
        if MASK not in self.tokenizer.vocab:
            raise UserError(f"{vocab_file}: the token {MASK} is missing")
        # Rows of the table after the vocabulary's end, and its empty lines, do
        # not belong to a token: they get no probability.
        tokens = self.tokenizer.inv_vocab
        self.token_ids = np.array([i for i in sorted(tokens) if tokens[i]])
        self.config = pretrained.read_config(bert_config_file)
        self.init_checkpoint = init_checkpoint
        self.model = BertPretrainer(self.config)
        self.missing = load_weights(self.model, init_checkpoint).missing
        self._require_head("masked-LM", "cls/predictions/")

    def read(self, text: str, text_b: str | None = None) -> MaskedText:
        """Splits a text or a pair into tokens, of which "[MASK]" is one.

        Raises:
            UserError: a single text has no [MASK], the text is longer than the
                model can read, a text of a pair is empty, or the checkpoint
                has no next-sentence head for a pair.
        """
        tokens_a = self._tokenize(text)
        tokens_b = [] if text_b is None else self._tokenize(text_b)
        is_pair = text_b is not None
        if is_pair:
            self._require_head("next-sentence", "cls/seq_relationship/")
            if not (tokens_a and tokens_b):
                raise UserError(f"{_named(text)}: a text of the pair is empty")
        elif MASK not in tokens_a:
            raise UserError(f"{_named(text)}: there is no {MASK} to fill")
        # Nothing is cut off: it might be a mask, or a hint at its word.
        whole = len(tokens_a) + len(tokens_b) + 3
        tokens, segment_ids, _ = pack_sequences(tokens_a, tokens_b, whole)
        longest = self.config.max_position_embeddings
        if len(tokens) > longest:
            raise UserError(
                f"{_named(text)}: {len(tokens)} tokens with [CLS] and [SEP], "
                f"the model reads at most {longest}"
            )
        return MaskedText(tokens, segment_ids, is_pair)

    def fill(self, masked: MaskedText, top_k: int = 5) -> FilledText:
        """Asks the model for the `top_k` likeliest tokens of each mask."""
        outputs = self.model(
            {
                "input_ids": np.array(
                    [self.tokenizer.convert_tokens_to_ids(masked.tokens)],
                    "int32",
                ),
                "segment_ids": np.array([masked.segment_ids], "int32"),
                # A pair without a mask has no positions.
                "masked_lm_positions": np.array([masked.positions], "int32"),
            }
        )
        logits = np.take(outputs["mlm_logits"][0], self.token_ids, axis=-1)
        follows, _ = _softmax(outputs["nsp_logits"][0])
        return FilledText(
            masked.tokens,
            [self._best(row, top_k) for row in _softmax(logits)],
            float(follows) if masked.is_pair else None,
        )

    def __call__(
        self, text: str, text_b: str | None = None, top_k: int = 5
    ) -> FilledText:
        """`read`, then `fill`."""
        return self.fill(self.read(text, text_b), top_k)

    def _tokenize(self, text: str) -> list[str]:
        # The tokenizer would turn it into `[ mask ]`, like any other text.
        first, *others = map(self.tokenizer.tokenize, text.split(MASK))
        return first + [token for part in others for token in (MASK, *part)]

    def _best(self, probabilities: np.ndarray, top_k: int) -> dict[str, float]:
        # Stable: among equals the first in the vocabulary, on every machine.
        order = np.argsort(-probabilities, kind="stable")[:top_k]
        tokens = self.tokenizer.convert_ids_to_tokens(self.token_ids[order])
        return dict(zip(tokens, probabilities[order].tolist(), strict=True))

    def _require_head(self, name: str, scope: str) -> None:
        missing = [v for v in self.missing if v.startswith(scope)]
        if missing:
            raise UserError(
                f"{self.init_checkpoint} has no {name} head ({scope}…): "
                f"{missing[0]} is missing"
            )


def _softmax(logits: np.ndarray) -> np.ndarray:
    return ops.convert_to_numpy(ops.softmax(ops.cast(logits, "float32")))


def _named(text: str) -> str:
    return repr(text if len(text) <= CHARS_NAMED else f"{text[:CHARS_NAMED]}…")
