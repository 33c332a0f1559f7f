"""The commands of the installed package: pyproject.toml names them.

    bert-classifier, bert-squad, bert-pretraining   run_classifier.py, …
    bert-export                  python -m bert_tf.tools.export_model
    bert-pretraining-data        python -m bert_tf.tools.create_pretraining_data
    bert-predict, bert-serve, …  the tool of that name

Each runs its program's file as `python FILE` does, so that flags, messages and
records are the same.
"""

import os
import runpy
import sys
from collections.abc import Callable

typed = ""  # The command that runs, such as bert-squad; "" for `python FILE`.


def _command(module: str) -> Callable[[], None]:
    def run() -> None:
        global typed
        typed = os.path.basename(sys.argv[0])  # Its file's path is put there.
        runpy.run_module(module, run_name="__main__", alter_sys=True)

    return run


classifier = _command("run_classifier")
squad = _command("run_squad")
pretraining = _command("run_pretraining")
build_vocab = _command("bert_tf.tools.build_vocab")
convert_checkpoint = _command("bert_tf.tools.convert_checkpoint")
doctor = _command("bert_tf.tools.doctor")
evaluate_squad = _command("bert_tf.tools.evaluate_squad")
explain = _command("bert_tf.tools.explain")
export = _command("bert_tf.tools.export_model")
export_static = _command("bert_tf.tools.export_static")
extract_features = _command("bert_tf.tools.extract_features")
fill_mask = _command("bert_tf.tools.fill_mask")
models = _command("bert_tf.tools.models")
predict = _command("bert_tf.tools.predict")
pretraining_data = _command("bert_tf.tools.create_pretraining_data")
report = _command("bert_tf.tools.report")
search = _command("bert_tf.tools.search")
serve = _command("bert_tf.tools.serve")
split_sentences = _command("bert_tf.tools.split_sentences")
train_embeddings = _command("bert_tf.tools.train_embeddings")
tune = _command("bert_tf.tools.tune")
