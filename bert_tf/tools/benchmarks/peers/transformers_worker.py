"""Trains with PyTorch and Hugging Face's transformers.

As its Trainer does: fused AdamW without weight decay of biases and
normalizations, gradients clipped to a norm of 1, bfloat16 by autocast, and
batches as long as their longest sequence. Attention is PyTorch's
`scaled_dot_product_attention`. Nothing is compiled.
"""

from collections.abc import Callable
from typing import Any

import torch
import transformers

# The folder of this file is the first where Python looks.
import worker_loop

NUM_LABELS = 2
NOT_PREDICTED = -100  # The loss leaves such places out.
MODELS = {
    "classification": transformers.AutoModelForSequenceClassification,
    "questions": transformers.AutoModelForQuestionAnswering,
    "pretraining": transformers.AutoModelForPreTraining,
}


class Transformers:
    """A model of transformers, and a training loop of PyTorch.

    Args:
        task: what to train.
    """

    def __init__(self, task: worker_loop.Task):
        is_gpu = torch.cuda.is_available()
        self.device = "GPU" if is_gpu else "CPU"
        self.versions = (
            f"PyTorch {torch.__version__}, "
            f"transformers {transformers.__version__}"
        )
        self._on = torch.device("cuda" if is_gpu else "cpu")
        self._dtype = getattr(torch, task.precision)
        hidden_act = (task.config["hidden_act"] or "linear").lower()
        hidden_act = {"gelu_exact": "gelu"}.get(hidden_act, hidden_act)
        config = transformers.BertConfig(
            **{**task.config, "hidden_act": hidden_act},
            num_labels=NUM_LABELS,
        )
        self.model = MODELS[task.problem].from_config(
            config, attn_implementation="sdpa"
        )
        self.model.to(self._on).train()
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.model), lr=1e-6, fused=True
        )
        inputs_of = INPUTS[task.problem]
        self._next = worker_loop.endless(
            [
                {
                    name: torch.as_tensor(values).to(self._on)
                    for name, values in inputs_of(batch).items()
                }
                for batch in task.batches
            ]
        )

    def train(self, num_steps: int) -> float:
        for _ in range(num_steps):
            with torch.autocast(
                self._on.type,
                torch.bfloat16,
                enabled=self._dtype != torch.float32,
            ):
                loss = self.model(**self._next()).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()
        return loss.item()

    def product(self, size: int) -> Callable[[], object]:
        a, b = (
            torch.randn(size, size, device=self._on).to(self._dtype)
            for _ in range(2)
        )
        return lambda: (a @ b)[0, 0].item()

    def peak_bytes(self) -> int:
        if self.device == "GPU":
            return torch.cuda.max_memory_allocated()
        return worker_loop.peak_bytes_of_process()


def parameter_groups(model: torch.nn.Module) -> list[dict[str, Any]]:
    """The parameters with weight decay, and those without."""
    groups: dict[bool, list[Any]] = {True: [], False: []}
    for name, parameter in model.named_parameters():
        decays = not name.endswith("bias") and "LayerNorm" not in name
        groups[decays].append(parameter)
    return [
        {"params": groups[True], "weight_decay": 0.01},
        {"params": groups[False], "weight_decay": 0.0},
    ]


def encoder_inputs(batch: worker_loop.Arrays) -> worker_loop.Arrays:
    """The encoder's inputs, by their names in transformers."""
    names = {
        "input_ids": "input_ids",
        "attention_mask": "input_mask",
        "token_type_ids": "segment_ids",
    }
    return {name: batch[ours].astype("int64") for name, ours in names.items()}


def classification_inputs(batch: worker_loop.Arrays) -> worker_loop.Arrays:
    """Inputs and labels of a classifier."""
    labels = batch["label_ids"].astype("int64")
    return {**encoder_inputs(batch), "labels": labels}


def question_inputs(batch: worker_loop.Arrays) -> worker_loop.Arrays:
    """Inputs and answers' places of a question answerer."""
    names = "start_positions", "end_positions"
    positions = {name: batch[name].astype("int64") for name in names}
    return {**encoder_inputs(batch), **positions}


def pretraining_inputs(batch: worker_loop.Arrays) -> worker_loop.Arrays:
    """Inputs and labels of pretraining; the labels are [B, S]."""
    inputs = encoder_inputs(batch)
    labels = inputs["input_ids"] * 0 + NOT_PREDICTED
    rows, predictions = batch["masked_lm_weights"].nonzero()
    positions = batch["masked_lm_positions"][rows, predictions]
    labels[rows, positions] = batch["masked_lm_ids"][rows, predictions]
    is_next = batch["next_sentence_labels"].astype("int64")
    return {**inputs, "labels": labels, "next_sentence_label": is_next}


INPUTS = {
    "classification": classification_inputs,
    "questions": question_inputs,
    "pretraining": pretraining_inputs,
}


if __name__ == "__main__":
    worker_loop.run(Transformers)
