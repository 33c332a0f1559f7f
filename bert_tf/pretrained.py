"""The bundled model and data, so that a first run needs nothing.

assets/demo/   bert_config.json, vocab.txt and bert_model.ckpt of a small
               uncased model, pretrained on three novels and the messages of
               assets/sms/train.tsv; README tells how. Stored in float16.
assets/sms/    train.tsv, dev.tsv, test.tsv: text messages, ham or spam
"""

import os

ASSETS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "assets")

# Flags of the bundled model.
BUNDLED_MODEL = {
    "vocab_file": os.path.join(ASSETS, "demo", "vocab.txt"),
    "bert_config_file": os.path.join(ASSETS, "demo", "bert_config.json"),
    "init_checkpoint": os.path.join(ASSETS, "demo", "bert_model.ckpt"),
}

DEMO_TASK = "sms"

# Flags of the demo. The model is small, so it wants a higher rate than the
# defaults, which are meant for the released ones.
DEMO_FLAGS = {
    "data_dir": os.path.join(ASSETS, "sms"),
    **BUNDLED_MODEL,
    "max_seq_length": 64,
    "learning_rate": 3e-4,
    "num_train_epochs": 5.0,
}
