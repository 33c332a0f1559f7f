"""Which engine computes the network of an exported model.

    float32   LiteRT for a few sequences, TensorFlow for many
    bfloat16  TensorFlow, in bfloat16
    int8      LiteRT, with weights and products of int8
    auto      what `tools.tune` found to be fastest on this machine, or float32

LiteRT is for CPUs, and is left out where its package is not installed.
"""

import dataclasses
import os

import tensorflow as tf
from absl import logging

from bert_tf import extras
from bert_tf.choices import ENGINES, MAX_BATCH_TOKENS
from bert_tf.errors import UserError
from bert_tf.export.engines import tuned
from bert_tf.export.engines.graph_network import GraphNetwork, cast_once
from bert_tf.export.engines.lite_network import LiteNetwork
from bert_tf.export.engines.sequences import (
    Network,
    Numbers,
    Sequences,
    check_sizes,
)
from bert_tf.export.loaded_model import LoadedModel
from bert_tf.export.saved_models import INT8_NETWORK, NETWORK

LITERT = "ai_edge_litert"
# LiteRT answers fewer sequences faster than TensorFlow, which needs some
# milliseconds for its thousand operations; for more, a batch is faster.
FEW_SEQUENCES = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """How a network is computed.

    Attributes:
        engine: one of `choices.ENGINES`; None for the precision of the export.
        num_threads: threads of LiteRT; None for as many as there are cores.
        max_batch_tokens: places of TensorFlow's batches, padding included.

    Raises:
        UserError: a number is not a whole number from 1.
    """

    engine: str | None = None
    num_threads: int | None = None
    max_batch_tokens: int = MAX_BATCH_TOKENS

    def __post_init__(self):
        check_sizes(
            num_threads=self.num_threads,
            max_batch_tokens=self.max_batch_tokens,
        )

    @property
    def threads(self) -> int:
        """The number of threads of LiteRT."""
        return self.num_threads or tuned.num_cores()


def network_of(
    model: LoadedModel, settings: EngineSettings
) -> tuple[str, Network | None]:
    """Returns the name of the engine, and the network of a model.

    The engine "auto" is that of the export here: see `with_tuned`.

    The network is None for a model whose answers have no parts: its signatures
    compute them as a whole.

    Raises:
        UserError: the model has no such network, or LiteRT is not installed.
    """
    precision = model.info.get("precision", "float32")
    name = settings.engine
    if name is None or name == "auto":
        name = precision
    if name not in ENGINES:
        raise UserError(
            f"must be one of {', '.join(ENGINES)}", setting="engine", value=name
        )
    is_other = name != precision and not (
        model.has_parts and precision == "float32"
    )
    if is_other:
        raise UserError(
            f"{model.folder} computes {precision} alone: it was exported so, "
            "by an earlier version, or with inputs of fixed sizes",
            setting="engine",
            value=name,
        )
    if not model.has_parts:
        return name, None
    return name, _network(name, model, settings)


def with_tuned(model: LoadedModel, settings: EngineSettings) -> EngineSettings:
    """Returns what `tools.tune` found, where settings leave it open.

    Args:
        model: the model.
        settings: others than those of "auto" stay as they are. Numbers that
            are not the default win.
    """
    found = tuned.read(model.folder) if settings.engine == "auto" else None
    if found is None:
        return settings
    if found.engine not in engines_of(model):
        logging.warning(
            "%s: %s was fastest on this machine, and is missing now; run "
            "bert_tf.tools.tune again",
            model.folder,
            found.engine,
        )
        return settings
    tokens = settings.max_batch_tokens
    return EngineSettings(
        engine=found.engine,
        num_threads=settings.num_threads or found.num_threads,
        max_batch_tokens=(
            found.max_batch_tokens if tokens == MAX_BATCH_TOKENS else tokens
        ),
    )


def engines_of(model: LoadedModel) -> list[str]:
    """Names the engines that can compute a model here."""
    precision = model.info.get("precision", "float32")
    if not model.has_parts or precision != "float32":
        return [precision]
    has_int8 = model.has(INT8_NETWORK) and has_litert()
    return ["float32", "bfloat16", *(["int8"] if has_int8 else [])]


def has_litert() -> bool:
    """Whether the interpreter of LiteRT files is installed."""
    return extras.is_there(LITERT)


def check_litert(setting: str, value: object) -> None:
    """Raises UserError if that interpreter is not installed.

    Args:
        setting: name of the setting that needs it.
        value: the setting's value.
    """
    if not has_litert():
        raise UserError(
            extras.need("lite", [LITERT]),
            setting=setting,
            value=value,
        )


def _network(
    name: str, model: LoadedModel, settings: EngineSettings
) -> Network:
    if name == "int8":
        return _int8(model, settings)
    if name == "bfloat16":
        model.load_weights()
        function = model.functions.network
        if model.info["precision"] != name:
            function = cast_once(model.functions.network_bfloat16)
        return _graph(function, model, settings)
    is_gpu = bool(tf.config.list_logical_devices("GPU"))
    if is_gpu or not has_litert() or not model.has(NETWORK):
        model.load_weights()
        return _graph(model.functions.network, model, settings)
    return Float32Network(model, settings)


def _int8(model, settings) -> LiteNetwork:
    if not model.has(INT8_NETWORK):
        raise UserError(
            f"{model.folder} was exported without it; export the model "
            "again with `export_int8`",
            setting="engine",
            value="int8",
        )
    check_litert("engine", "int8")
    return LiteNetwork(
        os.path.join(model.folder, INT8_NETWORK),
        model.shapes,
        num_threads=settings.threads,
        shares_cores=True,
    )


def _graph(function, model, settings) -> GraphNetwork:
    return GraphNetwork(
        function,
        model.shapes,
        max_batch_tokens=settings.max_batch_tokens,
    )


class Float32Network(Network):
    """LiteRT computes a few sequences, and TensorFlow many.

    TensorFlow's weights are loaded when they are needed for the first time, so
    a program that asks one text at a time has no memory for them.

    Args:
        model: the model.
        settings: how its network is computed.
    """

    def __init__(self, model: LoadedModel, settings: EngineSettings):
        super().__init__(model.shapes)
        self._model = model
        self._few = LiteNetwork(
            os.path.join(model.folder, NETWORK),
            self.shapes,
            num_threads=settings.threads,
            shares_cores=False,
        )
        self._many = _graph(model.functions.network, model, settings)

    def run(self, sequences: Sequences) -> Numbers:
        # LiteRT keeps its file, whatever happens to the model's folder.
        if len(sequences) < FEW_SEQUENCES or self._model.was_replaced:
            return self._few.run(sequences)
        self._model.load_weights()
        return self._many.run(sequences)

    def warm_up(self, longest: int) -> None:
        self._few.warm_up(longest)
        self._model.load_weights()
        self._many.warm_up(longest)
