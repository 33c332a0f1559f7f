"""Answers with PyTorch and Hugging Face's transformers.

Attention is PyTorch's `scaled_dot_product_attention`; bfloat16 is by autocast.
Nothing is compiled, because texts have many lengths.
"""

from collections.abc import Sequence

import numpy as np
import torch
import transformers

# The folder of this file is the first where Python looks.
import answer_loop
import torch_model
from answer_task import Task
from peer_answers import Network, Peer


class Transformers(Peer):
    """A model of transformers.

    Args:
        task: what to answer.
        variant: "float32" or "bfloat16".
    """

    def __init__(self, task: Task, variant: str):
        is_gpu = torch.cuda.is_available()
        self.device = "GPU" if is_gpu else "CPU"
        self.versions = (
            f"PyTorch {torch.__version__}, "
            f"transformers {transformers.__version__}"
        )
        self._on = torch.device("cuda" if is_gpu else "cpu")
        self._is_bfloat16 = variant == "bfloat16"
        self._names = torch_model.OUTPUT_NAMES[task.kind]
        model_class = torch_model.MODELS[task.kind]
        self._model = model_class.from_pretrained(
            task.folders["transformers"], attn_implementation="sdpa"
        )
        self._model.to(self._on).eval()
        super().__init__(task, self._with_threads)

    def _with_threads(self, num_threads: int) -> Network:
        def network(*ids: np.ndarray) -> Sequence[np.ndarray]:
            torch.set_num_threads(num_threads)
            inputs = {
                name: torch.as_tensor(values).to(self._on)
                for name, values in zip(
                    torch_model.INPUT_NAMES, ids, strict=True
                )
            }
            with (
                torch.inference_mode(),
                torch.autocast(
                    self._on.type, torch.bfloat16, enabled=self._is_bfloat16
                ),
            ):
                outputs = self._model(**inputs)
            return [outputs[name].float().cpu().numpy() for name in self._names]

        return network


if __name__ == "__main__":
    answer_loop.run(
        Transformers, lambda: torch.ones((2, 2)) @ torch.ones((2, 2))
    )
