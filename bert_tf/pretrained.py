"""The bundled model and data, so that a first run needs nothing.

assets/demo/   bert_config.json, vocab.txt and bert_model.ckpt of a small
               uncased model, pretrained on three novels and the messages of
               assets/sms/train.tsv; docs/pretraining.md says how. Stored in
               float16.
assets/sms/    train.tsv, dev.tsv, test.tsv: text messages, ham or spam
"""

import os

ASSETS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "assets")

# The bundled model's files, by the names of their settings.
BUNDLED_MODEL = {
    "vocab_file": os.path.join(ASSETS, "demo", "vocab.txt"),
    "bert_config_file": os.path.join(ASSETS, "demo", "bert_config.json"),
    "init_checkpoint": os.path.join(ASSETS, "demo", "bert_model.ckpt"),
}

DEMO_TASK = "sms"

# The demo's flags. Its small model needs a higher learning rate than the
# released models, for which the defaults are meant.
DEMO_FLAGS: dict[str, str | int | float] = {
    "data_dir": os.path.join(ASSETS, "sms"),
    **BUNDLED_MODEL,
    "max_seq_length": 64,
    "learning_rate": 3e-4,
    "num_train_epochs": 2.6,
}
