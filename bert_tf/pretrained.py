"""The bundled demo: a small model and data, so that a first run needs nothing.

assets/demo/   bert_config.json and vocab.txt of a small uncased model
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

# Flags of the demo. The model is small and starts from random weights, so it
# wants a higher rate and more epochs than the defaults, which are meant for a
# pretrained BERT.
DEMO_FLAGS = {
    "data_dir": os.path.join(ASSETS, "sms"),
    "vocab_file": os.path.join(ASSETS, "demo", "vocab.txt"),
    "bert_config_file": os.path.join(ASSETS, "demo", "bert_config.json"),
    "max_seq_length": 64,
    "learning_rate": 3e-4,
    "num_train_epochs": 8.0,
}
