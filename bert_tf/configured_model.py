"""The base of the encoder and of all heads."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Self, TypeAlias

import keras

from bert_tf import forks
from bert_tf.backend import Shape, Tensor
from bert_tf.bert_layer import Configured

Inputs: TypeAlias = dict[str, Tensor] | Tensor  # See `BertModel`.


class ConfiguredModel(Configured, keras.Model):
    """Base of the encoder and of all heads.

    Attributes:
        reads_padding: whether a head's outputs depend on the encoder's vectors
            of padding. A class with a `call` of its own says so if they do
            not; otherwise they are taken to.
        reads_pooled_output: whether a head uses the encoder's pooler.
        kinds: the kinds of answers that the head gives, as `export.kinds`
            names them; none for an encoder.
        kind: the kind of the stored head that `from_pretrained` has read; None
            if the head is new.
        task: what was read with that head: labels, thresholds, the mean and
            deviation of numbers.

    Raises:
        ForkedProcess: made or called in a process that was forked after
            TensorFlow had run.
    """

    reads_padding = True
    reads_pooled_output = True
    kinds: tuple[str, ...] = ()
    kind: str | None = None
    task: Mapping[str, Any] = MappingProxyType({})

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "call" in vars(cls) and "reads_padding" not in vars(cls):
            cls.reads_padding = True

    def __init__(self, *args: Any, **kwargs: Any):
        forks.check()
        super().__init__(*args, **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        forks.check()
        return super().__call__(*args, **kwargs)

    def make_predict_function(self, force: bool = False) -> Any:
        """Keras' own, which `predict` calls first."""
        forks.check()
        return super().make_predict_function(force)

    def make_test_function(self, force: bool = False) -> Any:
        """Keras' own, which `evaluate` calls first."""
        forks.check()
        return super().make_test_function(force)

    def make_train_function(self, force: bool = False) -> Any:
        """Keras' own, which `fit` calls first."""
        forks.check()
        return super().make_train_function(force)

    def get_config(self) -> dict[str, Any]:
        """Keras' own, with how the encoder computes where that was changed."""
        saved, changed = super().get_config(), {}
        for name, (part, usual) in _HOW_TO_COMPUTE.items():
            value = getattr(part(self), name, usual)
            if value != usual:
                changed[name] = value
        return {**saved, "how_to_compute": changed} if changed else saved

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        settings = dict(config)
        changed = settings.pop("how_to_compute", {})
        model = super().from_config(settings)
        for name, value in changed.items():
            # TensorFlow alone computes without padding.
            if name != "compute_padding" or (
                keras.backend.backend() == "tensorflow"
            ):
                setattr(_HOW_TO_COMPUTE[name][0](model), name, value)
        return model

    @classmethod
    def from_pretrained(cls, name: str, **settings: Any) -> Self:
        """Makes the model with the weights of a pretrained or fine-tuned one.

            BertClassifier.from_pretrained("bert-base-uncased", num_labels=3)

        The head is read if the stored one is of the same kind and size. If
        not, it is new, which is logged.

        Args:
            name: a name or a folder, see `pretrained.open`.
            **settings: arguments of the class besides the config; those of a
                stored head are used where they are left out.

        Raises:
            UserError: the model cannot be opened, its encoder is incomplete,
                or `num_labels` is needed.
        """
        # Not needed by who builds a model of his own, as under JAX.
        from bert_tf import loading, pretrained

        return loading.make_model(cls, pretrained.open(name), settings)

    def save_pretrained(
        self,
        folder: str,
        *,
        labels: list[str] | None = None,
        format: str = "original",
        kind: str | None = None,
    ) -> None:
        """Writes the model so that `from_pretrained` reads it.

        Args:
            folder, labels, format, kind: see `storing.save_pretrained`.
        """
        from bert_tf import storing

        storing.save_pretrained(
            self, folder, labels=labels, format=format, kind=kind
        )

    def input_shapes(self) -> dict[str, Shape]:
        """The inputs of an export, int32; None for any size."""
        names = ("input_ids", "input_mask", "segment_ids")
        return dict.fromkeys(names, (None, None))

    def export(
        self,
        filepath: str,
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        **kwargs: Any,
    ) -> None:
        """Exports the model as Keras does, with a signature for its inputs.

        `bert_tf.export.export_model` writes one that reads raw text.

        Args:
            filepath, format, verbose, **kwargs: see `keras.Model.export`.
            input_signature: by default `input_shapes`.
        """
        if input_signature is None:
            input_signature = [
                {
                    name: keras.InputSpec("int32", shape, name=name)
                    for name, shape in self.input_shapes().items()
                }
            ]
        super().export(filepath, format, verbose, input_signature, **kwargs)


def _bert_of(model):
    return getattr(model, "bert", model)


# What a saved model keeps besides its config: {attribute: (whose, usual)}.
_HOW_TO_COMPUTE: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "compute_padding": (_bert_of, True),
    "packed_rows": (_bert_of, None),
    "recompute": (
        lambda model: getattr(_bert_of(model), "encoder", None),
        False,
    ),
}
