"""The models that answer: an export, or random weights of several sizes."""

import dataclasses
import os
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from absl import flags

from bert_tf import files, pretrained
from bert_tf.config import BertConfig
from bert_tf.errors import UserError
from bert_tf.export import saved_models
from bert_tf.export.engines.choice import has_litert
from bert_tf.export.kinds import QUESTION_ANSWERING
from bert_tf.export.question_answering import SquadSettings
from bert_tf.heads import BertClassifier, BertSpanLabeler
from bert_tf.programs import defaults, model_files, program, run_record
from bert_tf.programs.settings import from_flags
from bert_tf.tokenization import FullTokenizer
from bert_tf.tools.benchmarks import sizes
from bert_tf.tools.benchmarks.inference_texts import SEED, Texts
from bert_tf.tools.benchmarks.peers import answer_task
from bert_tf.tools.benchmarks.peers.answer_task import Source

FLAGS = flags.FLAGS
LABELS = ("0", "1")  # Of a model with random weights.


@dataclasses.dataclass(frozen=True)
class Model:
    """A model that all contestants have.

    Attributes:
        name: what it is called.
        settings: its model.json; with `vocab_file`, if there is a source.
        num_bytes: the size of its weights in float32.
        export: the folder of its export; None if we must export it, too.
        source: the file from which others export or convert it; None if
            nobody has to.
    """

    name: str
    settings: dict[str, Any]
    num_bytes: int
    export: str | None
    source: str | None

    @property
    def has_int8(self) -> bool:
        """Whether there is an int8 network, or we can export one."""
        if self.export is None:
            return has_litert()
        return os.path.exists(
            os.path.join(self.export, saved_models.INT8_NETWORK)
        )


def models_for(
    texts: Texts, folder: str, needs_source: bool
) -> Iterator[Model]:
    """Yields the model of --model, or those of --sizes.

    Args:
        texts: what they must be able to answer.
        folder: a folder for files, which are overwritten for each model.
        needs_source: whether there are others than ours.

    Raises:
        UserError: the model does not answer such texts, or its files are not
            known.
    """
    if FLAGS.model:
        yield exported_model(texts, folder, needs_source)
        return
    for name, config in sizes.models().items():
        yield random_model(name, config, texts, folder)


# ---------------------------------------------------------------------------
# Random weights.


def random_model(
    name: str, config: BertConfig, texts: Texts, folder: str
) -> Model:
    """A model with random weights, which are written into a folder.

    Raises:
        UserError: it cannot read such texts.
    """
    check_sizes(config, FLAGS.vocab_file, FLAGS.max_seq_length)
    keras.utils.set_random_seed(SEED)
    settings: dict[str, Any] = {
        "kind": texts.kind,
        "max_seq_length": FLAGS.max_seq_length,
        **model_files.tokenizer_arguments(),
        "vocab_file": os.path.abspath(FLAGS.vocab_file),
    }
    if texts.kind == QUESTION_ANSWERING.name:
        model = BertSpanLabeler(config)
        squad = from_flags(SquadSettings, FLAGS.flag_values_dict())
        settings |= dataclasses.asdict(squad)
    else:
        model = BertClassifier(config, len(LABELS))
        settings["labels"] = [*LABELS]
    weights = {v.path: np.asarray(v.value) for v in model.weights}
    return Model(
        name=name,
        settings=settings,
        num_bytes=sum(values.nbytes for values in weights.values()),
        export=None,
        source=write_source(settings, texts, config, weights, folder),
    )


def write_source(
    settings: dict[str, Any],
    texts: Texts,
    config: BertConfig,
    weights: dict[str, np.ndarray],
    folder: str,
) -> str:
    """Writes a `Source` into a folder; returns its path.

    Args:
        settings: the model's model.json, with `vocab_file`.
        texts: what it answers.
        config: its sizes.
        weights: {the original's name: float32 array}.
        folder: the folder.
    """
    path = os.path.join(folder, "weights.npz")
    np.savez(path, **weights)  # type: ignore[arg-type]  # They are arrays.
    source = Source(
        kind=settings["kind"],
        config=config.to_dict(),
        weights=path,
        settings=settings,
        takes_pairs=texts.are_pairs,
    )
    return answer_task.write_source(source, folder)


def check_sizes(config: BertConfig, vocab_file: str, length: int) -> None:
    """Raises UserError unless a model has all tokens and places of texts."""
    number = len(FullTokenizer(vocab_file).vocab)
    if number > config.vocab_size:
        raise UserError(
            f"has {number} entries, and the model's vocab_size is "
            f"{config.vocab_size}",
            setting="vocab_file",
            value=vocab_file,
        )
    if length > config.max_position_embeddings:
        raise UserError(
            f"the model reads at most {config.max_position_embeddings} tokens",
            setting="max_seq_length",
            value=length,
        )


# ---------------------------------------------------------------------------
# An export.


def exported_model(texts: Texts, folder: str, needs_source: bool) -> Model:
    """The model of --model, see `models_for`."""
    export = os.path.abspath(saved_models.find(FLAGS.model))
    loaded, settings = saved_models.load(export)
    check_kind(loaded, settings, texts)
    # The original's names, without ":0".
    variables = {
        variable.name.partition(":")[0]: variable
        for function in loaded.signatures.values()
        for variable in function.variables
    }
    weights = {name: value.numpy() for name, value in variables.items()}
    source = None
    if needs_source:
        config_file, vocab_file = files_of_model()
        settings["vocab_file"] = os.path.abspath(vocab_file)
        config = pretrained.read_config(config_file)
        check_sizes(config, vocab_file, settings["max_seq_length"])
        source = write_source(settings, texts, config, weights, folder)
    return Model(
        name=FLAGS.model,
        settings=settings,
        num_bytes=sum(values.nbytes for values in weights.values()),
        export=export,
        source=source,
    )


def check_kind(loaded: Any, settings: dict[str, Any], texts: Texts) -> None:
    """Raises UserError unless a model answers texts, in one sequence each."""

    def refuse(why: str) -> UserError:
        return UserError(why, setting="model", value=FLAGS.model)

    if settings["kind"] != texts.kind:
        raise refuse(
            f"its kind of answers is {settings['kind']}, and {texts.name} "
            f"needs {texts.kind}"
        )
    _, specs = loaded.signatures["serving_default"].structured_input_signature
    if {*specs} != {*texts.input_names}:
        raise refuse(
            f"it reads {' and '.join(specs)}, and {texts.name} has "
            f"{' and '.join(texts.input_names)}"
        )
    _, specs = loaded.signatures["ids"].structured_input_signature
    if specs["input_ids"].shape.rank != 2:
        raise refuse("it reads a text in windows, which nobody else does")
    if settings.get("precision", "float32") != "float32":
        raise refuse("it must be exported in float32, for all engines")


def files_of_model() -> tuple[str, str]:
    """bert_config.json and the vocabulary of --model, from flags or its run.

    Raises:
        UserError: a file is not known.
    """
    export = saved_models.find(FLAGS.model)
    folders = FLAGS.model, os.path.dirname(os.path.abspath(export))
    records = {folder: run_record.read(folder) for folder in folders}
    found = []
    for name in ("bert_config_file", "vocab_file"):
        paths = [
            defaults.model_file(folder, name, values.get(name))
            for folder, record in records.items()
            if (values := run_record.flags_of(record))
        ]
        if defaults.is_given(name):
            program.require_existing(name)
            paths = [program.value_of(name)]
        if name == "vocab_file":
            paths.append(os.path.join(export, saved_models.VOCABULARY))
        known = [path for path in paths if path and files.exists(path)]
        if not known:
            raise UserError(
                "must be given: others need it with the weights of "
                f"{FLAGS.model}",
                setting=name,
            )
        found.append(known[0])
    return found[0], found[1]
