"""Pretraining data: text, masked instances, shards of records."""

from bert_tf.data.pretraining.instances import create_training_instances

__all__ = ["create_training_instances"]


def __dir__() -> list[str]:
    return __all__
