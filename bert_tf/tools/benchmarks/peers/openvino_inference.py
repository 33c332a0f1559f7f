"""Answers with OpenVINO, on the CPU."""

import os
import queue
from collections.abc import Sequence

import numpy as np
import openvino

# The folder of this file is the first where Python looks.
import answer_loop
from answer_task import Task
from peer_answers import Network, Peer

PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}


class OpenVino(Peer):
    """A model in OpenVINO's format.

    Args:
        task: what to answer.
        variant: "float32" or "bfloat16", the precision of its products.
    """

    device = "CPU"

    def __init__(self, task: Task, variant: str):
        self.versions = f"OpenVINO {openvino.__version__}"
        self._variant = variant
        self._path = os.path.join(task.folders["openvino"], "model.xml")
        super().__init__(task, self._load)

    def _load(self, form: str, num_threads: int) -> Network:
        # A stream computes one request, with all threads that it has.
        streams = max(1, self._num_threads // num_threads)
        compiled = openvino.Core().compile_model(
            self._path,
            "CPU",
            {
                "INFERENCE_NUM_THREADS": self._num_threads,
                "NUM_STREAMS": streams,
                "INFERENCE_PRECISION_HINT": PRECISIONS[self._variant],
            },
        )
        requests: queue.SimpleQueue[openvino.InferRequest] = queue.SimpleQueue()
        for _ in range(streams):
            requests.put(compiled.create_infer_request())

        def network(*ids: np.ndarray) -> Sequence[np.ndarray]:
            request = requests.get()
            try:
                outputs = request.infer(list(ids), share_inputs=True)
                return [*outputs.values()]
            finally:
                requests.put(request)

        return network


if __name__ == "__main__":
    answer_loop.run(OpenVino, openvino.Core)
