"""Sizes of the models that are compared with those of other libraries."""

from absl import flags

from bert_tf import pretrained, suggestions
from bert_tf.config import BertConfig
from bert_tf.errors import UserError
from bert_tf.programs import model_files

FLAGS = flags.FLAGS
# {size: (layers, hidden size, heads)}: the released models of google-research,
# and that of MiniLM (Wang et al. 2020, https://arxiv.org/abs/2002.10957).
SIZES = {
    "tiny": (2, 128, 2),
    "mini": (4, 256, 4),
    "small": (4, 512, 8),
    "medium": (8, 512, 8),
    "minilm": (6, 384, 12),
    "base": (12, 768, 12),
    "large": (24, 1024, 16),
}
VOCAB_SIZE = 30522  # That of the released uncased models.


def models() -> dict[str, BertConfig]:
    """The sizes of --bert_config_file and --sizes, by their names.

    Raises:
        UserError: a size is unknown.
    """
    found = {}
    if FLAGS.bert_config_file:
        path = FLAGS.bert_config_file
        found[path] = pretrained.read_config(path)
    if found and FLAGS["sizes"].using_default_value:
        return found
    for name in FLAGS.sizes:
        if name not in SIZES:
            raise UserError(
                f"known are {', '.join(SIZES)}"
                + suggestions.hint(name, SIZES, form="{}"),
                setting="sizes",
                value=name,
            )
        found[name] = config_of(*SIZES[name])
    return found


def config_of(layers: int, width: int, heads: int) -> BertConfig:
    """The config of a released size; the vocabulary may need more rows."""
    tokenizer = model_files.read_tokenizer()
    return BertConfig(
        vocab_size=max(VOCAB_SIZE, len(tokenizer.vocab)),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        type_vocab_size=2,
    )
