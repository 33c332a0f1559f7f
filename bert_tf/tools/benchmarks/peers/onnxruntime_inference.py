"""Answers with ONNX Runtime, on the CPU."""

import os
from collections.abc import Sequence

import numpy as np
import onnxruntime

# The folder of this file is the first where Python looks.
import answer_loop
from answer_task import Task
from peer_answers import Network, Peer

INPUT_NAMES = "input_ids", "attention_mask", "token_type_ids"
ERRORS_ALONE = 3  # A level of messages.
# See `onnxruntime_export`.
FORMS = "plain", "fused"


class OnnxRuntime(Peer):
    """ONNX files in several forms.

    Args:
        task: what to answer.
        variant: "float32" or "int8".
    """

    device = "CPU"

    def __init__(self, task: Task, variant: str):
        self.versions = f"ONNX Runtime {onnxruntime.__version__}"
        self._folder, self._variant = task.folders["onnxruntime"], variant
        super().__init__(task, self._load, FORMS)

    def _load(self, form: str, num_threads: int) -> Network:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.log_severity_level = ERRORS_ALONE
        session = onnxruntime.InferenceSession(
            os.path.join(self._folder, f"{self._variant}_{form}.onnx"),
            options,
            providers=["CPUExecutionProvider"],
        )

        def network(*ids: np.ndarray) -> Sequence[np.ndarray]:
            return session.run(None, dict(zip(INPUT_NAMES, ids, strict=True)))

        return network


if __name__ == "__main__":
    answer_loop.run(OnnxRuntime, onnxruntime.SessionOptions)
