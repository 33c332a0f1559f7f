"""A model of transformers with the weights of ours.

The activation "gelu" of BERT's config files is the one with tanh in the
original and in ours; in transformers it is the one with erf, our "gelu_exact".
"""

import re

import torch
import transformers

# The folder of this file is the first where Python looks.
from answer_task import Source

MODELS = {
    "single_label": transformers.BertForSequenceClassification,
    "question_answering": transformers.BertForQuestionAnswering,
}
ACTIVATIONS = {
    "gelu": "gelu_pytorch_tanh",
    "gelu_exact": "gelu",
    None: "linear",
    "": "linear",
}
# {start of a name in transformers: the original's}.
HEADS = {
    "classifier.": "output_",
    "qa_outputs.": "cls/squad/output_",
}
START_AND_END = "start_logits", "end_logits"
INPUT_NAMES = "input_ids", "attention_mask", "token_type_ids"
OUTPUT_NAMES = {
    "single_label": ("logits",),
    "question_answering": START_AND_END,
}


def model_of(source: Source, attention: str = "sdpa") -> torch.nn.Module:
    """A model of transformers, ready to answer.

    Args:
        source: our model.
        attention: how attention is computed, "sdpa" or "eager".

    Raises:
        KeyError: the source does not have a weight.
    """
    act = source.config["hidden_act"]
    act = act.lower() if act else act
    config = transformers.BertConfig(
        **{**source.config, "hidden_act": ACTIVATIONS.get(act, act)},
        num_labels=len(source.settings.get("labels", START_AND_END)),
        attn_implementation=attention,
    )
    model = MODELS[source.kind](config)
    weights = source.read_weights()
    state = model.state_dict()
    for name, value in state.items():
        if not name.endswith("position_ids"):
            array = torch.as_tensor(weights[original_name(name)])
            is_kernel = original_name(name).endswith("/kernel")
            value.copy_(array.T if is_kernel else array)
    return model.eval()


def original_name(name: str) -> str:
    """The original's name of a weight of transformers."""
    for start, original in HEADS.items():
        if name.startswith(start):
            kind = name.removeprefix(start)
            return original + {"weight": "weights"}.get(kind, kind)
    name = re.sub(r"layer\.(\d+)", r"layer_\1", name).replace(".", "/")
    for ours, theirs in (
        ("LayerNorm/gamma", "LayerNorm/weight"),
        ("LayerNorm/beta", "LayerNorm/bias"),
        ("embeddings", "embeddings/weight"),
        ("kernel", "weight"),
    ):
        if name.endswith(theirs):
            return name.removesuffix(theirs) + ours
    return name


def sample() -> tuple[torch.Tensor, ...]:
    """Ids to trace a model with: two sequences, one of them padded."""
    input_ids = torch.arange(10).reshape(2, 5)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    return input_ids, mask, torch.zeros_like(input_ids)


class Traced(torch.nn.Module):
    """A model of transformers with a plain signature, for exports.

    Args:
        model: the model.
        output_names: the outputs to return, as a tuple.
    """

    def __init__(self, model: torch.nn.Module, output_names: tuple[str, ...]):
        super().__init__()
        self.model = model
        self.output_names = output_names

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
        )
        return tuple(outputs[name] for name in self.output_names)
