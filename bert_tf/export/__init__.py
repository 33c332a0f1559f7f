"""SavedModels: writing them, and asking them."""

from bert_tf.export.predictor import Predictor, QuestionAnswerer
from bert_tf.export.writing import export_model

__all__ = ["Predictor", "QuestionAnswerer", "export_model"]
