"""Collects what is found while a command is looked at."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from absl import flags

from bert_tf import pretrained
from bert_tf.config import BertConfig
from bert_tf.doctor import duplicates, machine, model_files, texts
from bert_tf.doctor import labels as label_checks
from bert_tf.doctor.findings import Finding, is_fatal, worst_first
from bert_tf.doctor.rows import RowSet
from bert_tf.errors import UserError
from bert_tf.formats.checkpoint import Checkpoint
from bert_tf.programs import gpus, program, resuming, run_record
from bert_tf.programs import model_files as program_files
from bert_tf.programs.hearing import Heard
from bert_tf.programs.run_folder import RunFolder
from bert_tf.tokenization import FullTokenizer
from bert_tf.vocab_files import load_vocab

FLAGS = flags.FLAGS
T = TypeVar("T")


class Examination:
    """What is found while a command is looked at.

    Args:
        program_name: such as "run_classifier".
        measure_steps: training steps whose time is taken.

    Attributes:
        found: the findings so far.
        heard: what the package itself warns of meanwhile.
        vocab, config, tokenizer: the model's, where they can be read.
        paths: {path: the sets that were read from this file}.
    """

    def __init__(self, program_name: str, measure_steps: int = 0):
        self.program_name, self.measure_steps = program_name, measure_steps
        self.found: list[Finding] = []
        self.heard = Heard()
        self.vocab: dict[str, int] | None = None
        self.config: BertConfig | None = None
        self.tokenizer: FullTokenizer | None = None
        self.paths: dict[str, set[str]] = {}

    def add(self, findings: Iterable[Finding]) -> None:
        """Adds findings."""
        self.found += findings

    def guard(
        self, name: str, work: Callable[..., T], *arguments: Any, **others: Any
    ) -> T | None:
        """Calls a function; its mistake is a finding, and gives None.

        Args:
            name: of the finding.
            work: the function.
            *arguments, **others: its arguments.
        """
        try:
            return work(*arguments, **others)
        except UserError as error:
            self.found.append(model_files.of_error(error, name))
        except OSError as error:
            what = f"{error.filename}: {error.strerror}"
            self.found.append(Finding(severity="error", name=name, what=what))
        return None

    def all_findings(self) -> list[Finding]:
        """All findings, each once, the worst first.

        What the package warns of is left out where a check of the doctor says
        the same of the same set.
        """
        known = {(f.name, f.subject) for f in self.found}
        heard = []
        for finding in self.heard.findings:
            subjects = next(
                (
                    sets
                    for path, sets in self.paths.items()
                    if finding.what.startswith(path)
                ),
                {""},
            )
            if known.isdisjoint((finding.name, s) for s in subjects):
                heard.append(finding)
        unique = {f.what: f for f in reversed([*self.found, *heard])}
        return worst_first(reversed(unique.values()))

    # --- The model's files -------------------------------------------------

    def look_at_model(self, pretraining: bool = False) -> None:
        """Reads and checks vocabulary, config and checkpoint."""
        vocab_file = "" if pretraining else FLAGS.vocab_file or ""
        if vocab_file:
            self.vocab = self.guard("vocabulary", load_vocab, vocab_file)
        if FLAGS.bert_config_file:
            self.config = self.guard(
                "config", pretrained.read_config, FLAGS.bert_config_file
            )
        if self.vocab:
            self.add(
                model_files.check_vocabulary(
                    self.vocab, vocab_file, FLAGS.do_lower_case
                )
            )
            self.tokenizer = self.guard(
                "vocabulary", program_files.read_tokenizer
            )
        if self.vocab and self.config:
            self.add(
                model_files.check_sizes(
                    self.vocab, vocab_file, self.config, FLAGS.bert_config_file
                )
            )
        if self.config:
            self.guard("lengths", program_files.check_length, self.config)
            self._look_at_weights()

    def _look_at_weights(self):
        if FLAGS.init_checkpoint:
            self.add(
                model_files.check_weights(
                    FLAGS.init_checkpoint, self.config, FLAGS.bert_config_file
                )
            )
        elif FLAGS.do_train and self.program_name != "run_pretraining":
            self.add(
                [
                    Finding(
                        severity="warning",
                        name="random weights",
                        what="no `init_checkpoint` is given: training starts "
                        "from random weights",
                        advice="a pretrained model learns far more from the "
                        "same texts; `pretrained` names one",
                    )
                ]
            )

    # --- The rows ------------------------------------------------------------

    def look_at_rows(
        self,
        sets: Sequence[RowSet],
        labels: Sequence[str] | None,
        capacity: int | None,
    ) -> None:
        """Checks texts, labels and duplicates of all sets.

        Args:
            sets: the sets, the training set first.
            labels: every label that is trained, if there are any.
            capacity: tokens of the longest sequence of which nothing is cut
                off; None where that is not for the run to say.
        """
        train = next((s for s in sets if s.set_type == "train"), None)
        for rows in sets:
            self.add(texts.check_empty(rows))
            self.add(texts.check_odd(rows))
            self.add(label_checks.check_balance(rows))
            self.add(label_checks.check_size(rows))
            if rows is train:
                self.add(duplicates.check_copies(rows))
                self.add(duplicates.check_contradictions(rows))
                self.add(label_checks.check_rare(rows, labels or ()))
            elif train is not None:
                self.add(duplicates.check_overlap(rows, train))
                self.add(duplicates.check_near(rows, train))
                self.add(
                    label_checks.check_unknown(rows, labels or (), train.path)
                    if labels
                    else []
                )
            if self.tokenizer and self.config and len(rows):
                self._look_at_tokens(rows, capacity)

    def _look_at_tokens(self, rows, capacity):
        some, pieces = texts.tokenize(rows, self.tokenizer)
        self.add(texts.check_unknown(some, pieces))
        length = FLAGS.max_seq_length
        if capacity is None or length is None:
            return
        lengths = texts.sequence_lengths(some, pieces)
        longest = self.config.max_position_embeddings
        self.add(texts.check_lengths(some, lengths, capacity, longest, length))
        is_padded = "pad_to_max_length" in FLAGS and (
            FLAGS.pad_to_max_length or FLAGS.use_tpu
        )
        self.add(texts.check_room(some, lengths, length, is_padded))

    # --- The output folder ---------------------------------------------------

    def look_at_folder(
        self,
        task_name: str,
        num_train_steps: int | None,
        labels: list[str] | None = None,
    ) -> None:
        """Says what the output folder holds, and what the command does there.

        Args:
            task_name: of the command.
            num_train_steps: the step at which it would end; None where that
                is not known, or it does not train.
            labels: every label, if the task has any.
        """
        folder = FLAGS.output_dir
        if not folder:
            return
        run = self.guard("output folder", RunFolder, folder, task_name)
        existing = self.guard(
            "output folder", resuming.existing_checkpoints, folder, FLAGS.resume
        )
        if run is not None and labels is not None:
            self.guard("output folder", run.check_labels, labels)
        if FLAGS.do_train and self.config:
            self.add(
                machine.check_disk(folder, self.config, FLAGS.keep_checkpoints)
            )
        if not existing or not FLAGS.do_train or run is None:
            return
        checkpoint = self.guard("output folder", Checkpoint, existing[0])
        if checkpoint is None:
            return
        before = run_record.flags_of(run.record, ["train"])
        resuming.warn_of_changed_flags(
            {**resuming.BEFORE_THERE_WAS, **before}, program.values()
        )
        step = checkpoint.global_step()
        self.add([_of_existing(folder, step, num_train_steps)])

    # --- The machine ---------------------------------------------------------

    def look_at_memory(
        self, batch_size: int, length: int, extra: float
    ) -> None:
        """Compares the memory that training needs with the machine's.

        Args:
            batch_size: sequences of a step.
            length: tokens of the longest sequence.
            extra: more bytes for each sequence, such as for its outputs.
        """
        if self.config is None or not FLAGS.do_train:
            return
        parts = FLAGS.gradient_accumulation_steps
        at_once = max(1, batch_size // parts)
        need = machine.need_of(
            self.config,
            at_once,
            length,
            precision=FLAGS.precision,
            remat=FLAGS.remat,
            extra=extra * at_once,
        )
        memory, place = machine.memory_of_machine(), "this machine"
        if gpus.num_seen():
            memory, place = gpus.memory(), "the GPU"
        self.add(machine.check_memory(need, memory, place, at_once))

    def can_build(self) -> bool:
        """Whether the model can be built: nothing that was found forbids it."""
        return self.config is not None and not is_fatal(self.found)

    def measure(self, work: Callable[..., Finding], *arguments: Any) -> None:
        """Measures training steps; a mistake there is a finding."""
        finding = self.guard("time", work, self.measure_steps, *arguments)
        if finding is not None:
            self.add([finding])

    def look_at_devices(self) -> None:
        """Finds devices that TensorFlow does not use."""
        self.add(machine.check_devices(gpus.devices()))


def _of_existing(folder: str, step: int, last: int | None) -> Finding:
    """What training does in a folder that holds a run."""
    if last is not None and step >= last:
        return Finding(
            severity="warning",
            name="output folder",
            what=f"{folder} holds a training that is finished, at step {step} "
            f"of {last}",
            advice="training is skipped; name another folder to train again",
        )
    of_last = f" of {last}" if last is not None else ""
    return Finding(
        severity="note",
        name="output folder",
        what=f"{folder} holds a training, which resumes from step {step}"
        + of_last,
        advice="name another folder to start again",
    )
