"""Reads the files of each task, and makes batches of ids of them."""

import importlib
from typing import Any

# The modules with the names that people import, loaded when first used.
__all__ = ["pretraining", "squad"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"bert_tf.data.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
