"""The commands of the installed package: pyproject.toml names them.

    bert-classifier, bert-squad, bert-pretraining   run_classifier.py, …
    bert-doctor, bert-export, bert-predict, bert-serve
                                                    python -m bert_tf.tools.…

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
doctor = _command("bert_tf.tools.doctor")
export = _command("bert_tf.tools.export_model")
predict = _command("bert_tf.tools.predict")
serve = _command("bert_tf.tools.serve")
