"""Processes that convert data start without TensorFlow."""

import subprocess
import sys

from support.common import ROOT

CONVERTING = """
import sys
import bert_tf.data.pretraining.shards
import bert_tf.data.squad.windows
from bert_tf.data.pretraining import create_training_instances
from bert_tf.data.squad import compute_predictions
loaded = {"tensorflow", "keras", "pandas"} & set(sys.modules)
assert not loaded, loaded
"""


def test_converting_imports_no_tensorflow():
    done = subprocess.run(
        [sys.executable, "-c", CONVERTING],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
