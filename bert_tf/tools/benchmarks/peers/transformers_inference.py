"""Answers with PyTorch and Hugging Face's transformers.

Attention is PyTorch's `scaled_dot_product_attention`. In bfloat16 the products
are by autocast, or the whole model is. Nothing is compiled, because texts have
many lengths.
"""

import weakref
from collections.abc import Sequence

import numpy as np
import torch
import transformers

# The folder of this file is the first where Python looks.
import answer_loop
import torch_model
from answer_task import Task
from peer_answers import Network, Peer

AUTOCAST, WHOLE = "autocast", "whole"
FORMS = {"float32": ("",), "bfloat16": (AUTOCAST, WHOLE)}


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
        self._names = torch_model.OUTPUT_NAMES[task.kind]
        self._class = torch_model.MODELS[task.kind]
        self._folder = task.folders["transformers"]
        # {form: model}, as long as a network of this form is in use.
        self._models: weakref.WeakValueDictionary[str, torch.nn.Module] = (
            weakref.WeakValueDictionary()
        )
        super().__init__(task, self._load, FORMS[variant])

    def _load(self, form: str, num_threads: int) -> Network:
        model = self._models.get(form)
        if model is None:
            model = self._class.from_pretrained(
                self._folder, attn_implementation="sdpa"
            ).eval()
            dtype = torch.bfloat16 if form == WHOLE else torch.float32
            model = model.to(device=self._on, dtype=dtype)
            self._models[form] = model

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
                    self._on.type, torch.bfloat16, enabled=form == AUTOCAST
                ),
            ):
                outputs = model(**inputs)
            return [outputs[name].float().cpu().numpy() for name in self._names]

        return network


if __name__ == "__main__":
    answer_loop.run(
        Transformers, lambda: torch.ones((2, 2)) @ torch.ones((2, 2))
    )
