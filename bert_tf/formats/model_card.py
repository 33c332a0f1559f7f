"""The README.md of a stored model: what it is, its scores, how to use it."""

from collections.abc import Mapping, Sequence
from typing import Any

from bert_tf.config import BertConfig

# What a head does, the name that model hubs have for it, and the name of the
# class that reads it here.
_TASKS = {
    None: ("computes vectors of texts", "feature-extraction", "BertModel"),
    "embedding": (
        "computes vectors of texts",
        "feature-extraction",
        "BertModel",
    ),
    "pretraining": (
        "predicts masked words and whether a sentence follows",
        "fill-mask",
        "BertPretrainer",
    ),
    "masked_lm": ("predicts masked words", "fill-mask", "BertPretrainer"),
    "next_sentence": (
        "predicts whether a sentence follows another one",
        "text-classification",
        "BertPretrainer",
    ),
    "single_label": (
        "gives a text one label",
        "text-classification",
        "BertClassifier",
    ),
    "multi_label": (
        "gives a text any number of labels",
        "text-classification",
        "BertClassifier",
    ),
    "regression": (
        "gives a text a number",
        "text-classification",
        "BertClassifier",
    ),
    "tags": (
        "gives each word a tag",
        "token-classification",
        "BertTokenClassifier",
    ),
    "relation": (
        "names the relation between two marked entities",
        "text-classification",
        "BertRelationClassifier",
    ),
    "multiple_choice": (
        "chooses one of several endings",
        "multiple-choice",
        "BertMultipleChoice",
    ),
    "question_answering": (
        "finds the answer to a question in a text",
        "question-answering",
        "BertSpanLabeler",
    ),
}


def model_card(
    name: str,
    config: BertConfig,
    kind: str | None,
    labels: Sequence[str] | None,
    scores: Mapping[str, str],
    library: str,
    transformers_class: str | None = None,
    task: Mapping[str, Any] | None = None,
) -> str:
    """The text of a model card in Markdown.

    Args:
        name: the model's name, for the title.
        config: the model's.
        kind: kind of its head, see `heads.SCOPES`.
        labels: its labels, if it has any.
        scores: {metric: value} of its evaluation, as they are to be shown.
        library: the library whose format the folder has.
        transformers_class: the class of transformers that reads the folder.
        task: the content of a run's task.json, which says how outputs become
            answers.
    """
    does, tag, own_class = _TASKS[kind]
    lines = [
        "---",
        "license:  # To be filled in by the owner of the model.",
        f"library_name: {library}",
        f"pipeline_tag: {tag}",
        "---",
        "",
        f"# {name}",
        "",
        f"This BERT model {does}. It has {config.num_hidden_layers} layers of "
        f"width {config.hidden_size}, {config.num_attention_heads} attention "
        f"heads, and a vocabulary of {config.vocab_size} entries. It reads up "
        f"to {config.max_position_embeddings} tokens.",
    ]
    if labels:
        shown = ", ".join(f"`{label}`" for label in labels)
        lines += ["", "## Labels", "", shown]
    lines += _answers(task or {})
    if scores:
        lines += ["", "## Scores on the dev set", "", "| metric | value |"]
        lines += ["|---|---|"]
        lines += [f"| {metric} | {value} |" for metric, value in scores.items()]
    lines += _use(own_class, transformers_class)
    lines += [
        "",
        "## Licence",
        "",
        "To be filled in by the owner of the model.",
        "",
    ]
    return "\n".join(lines)


def _use(own_class: str, transformers_class: str | None) -> list[str]:
    """How the model is loaded."""
    lines = ["", "## Use", ""]
    if transformers_class:
        lines += [
            "```python",
            f"from transformers import AutoTokenizer, {transformers_class}",
            "",
            'tokenizer = AutoTokenizer.from_pretrained("FOLDER")',
            f'model = {transformers_class}.from_pretrained("FOLDER")',
            "```",
            "",
            "In TensorFlow, with `bert_tf`:",
            "",
        ]
    imports = ["from bert_tf import BertModel, BertPreprocessor"]
    if own_class != "BertModel":
        imports = [
            "from bert_tf import BertPreprocessor",
            f"from bert_tf.heads import {own_class}",
        ]
    return [
        *lines,
        "```python",
        *imports,
        "",
        'preprocess = BertPreprocessor.from_pretrained("FOLDER")',
        f'model = {own_class}.from_pretrained("FOLDER")',
        "```",
    ]


def _answers(task: Mapping[str, Any]) -> list[str]:
    """What another program must do with the outputs, if anything."""
    deviation, mean = task.get("deviation", 1.0), task.get("mean", 0.0)
    if (deviation, mean) != (1.0, 0.0):
        return [
            "",
            "The number that the model predicts is "
            f"`output * {deviation} + {mean}`.",
        ]
    lines = []
    if temperature := task.get("temperature"):
        lines = [
            "",
            f"Divide the logits by {temperature} before they become "
            "probabilities: this temperature was fitted on the dev set.",
        ]
    if thresholds := task.get("thresholds"):
        shown = ", ".join(f"`{k}` {v}" for k, v in thresholds.items())
        lines += ["", f"A label applies from this probability on: {shown}."]
    if threshold := task.get("set_threshold"):
        lines += [
            "",
            f"The labels with a probability of at least {threshold} make a set "
            f"that holds the right label at a rate of {task.get('coverage')}.",
        ]
    return lines
