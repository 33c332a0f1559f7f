"""SavedModels: writing them, and asking them."""

import importlib
from typing import Any

# Nothing is loaded before it is asked for: a program that only asks a model
# does not need the modules that write one.
_HOMES = {
    "Predictor": "predictor",
    "QuestionAnswerer": "question_answerer",
    "export_model": "fitted",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        module = importlib.import_module(f"bert_tf.export.{_HOMES[name]}")
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
