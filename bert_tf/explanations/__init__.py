"""Why a model gives an answer: which words speak for it, and which against it.

Explainer      opens a model, and explains its answers
Explanation    the words of a text with their scores
"""

from bert_tf.explanations.explainer import (
    Explainer,
    Explanation,
    ScoredWord,
)

__all__ = ["Explainer", "Explanation", "ScoredWord"]
