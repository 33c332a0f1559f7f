"""The golden model as programs take it: with a vocabulary."""

from support.common import GOLDEN

ODD = GOLDEN / "modeling" / "odd"


def with_plain_words(folder) -> dict:
    """Its flags, and a vocabulary of 1,500 plain words in `folder`."""
    path = folder / "vocab.txt"
    special = "[PAD] [UNK] [CLS] [SEP] [MASK]".split()
    words = [f"w{i}" for i in range(len(special), 1500)]
    path.write_text("".join(f"{t}\n" for t in special + words))
    return {
        "vocab_file": str(path),
        "bert_config_file": str(ODD / "bert_config.json"),
        "init_checkpoint": str(ODD / "bert_model.ckpt"),
    }
