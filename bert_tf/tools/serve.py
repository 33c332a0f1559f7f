"""Serves exported models over HTTP, with TensorFlow Serving's REST API.

    python -m bert_tf.tools.serve --model=sms=out/export --port=8501

and then

    curl -d '{"instances": ["you win a prize"]}' \\
        http://localhost:8501/v1/models/sms:predict

http://localhost:8501/ is a page to try the model on, and /docs describes all
addresses. For several models, give --model several times. An embedding model
also answers bert-as-service's /encode.
"""

import functools
import os
import re
from typing import TYPE_CHECKING

from absl import flags, logging

from bert_tf import files
from bert_tf.errors import UserError
from bert_tf.programs import flags as shared_flags
from bert_tf.programs import program
from bert_tf.serving.limits import Limits

if TYPE_CHECKING:
    from bert_tf.export.predictor import Predictor
    from bert_tf.serving.batching import Batcher
    from bert_tf.serving.state import Serving

FLAGS = flags.FLAGS
REQUIRED = ("model",)
NAME = r"[A-Za-z0-9_.-]+"

flags.DEFINE_multi_string(
    "model",
    None,
    "NAME=FOLDER: the name under which a model is served, and its exported "
    "model, a run that has one, or a folder of versions 1, 2, …, of which the "
    "newest answers. May be given several times.",
)
flags.DEFINE_string(
    "host",
    "127.0.0.1",
    "Address to listen on. By default only this machine can connect; 0.0.0.0 "
    "allows all machines. The server does not ask for passwords.",
)
shared_flags.define_count(
    "port",
    8501,
    "Port to listen on; 0 for any free port.",
    lower_bound=0,
    upper_bound=65535,
)
shared_flags.define_count(
    "keep_versions", 2, "Number of versions that answer: the newest ones."
)
shared_flags.define_float(
    "poll_seconds",
    5.0,
    "Seconds between two looks for new versions.",
    lower_bound=0.1,
)
shared_flags.define_count(
    "max_batch_size",
    32,
    "Texts that the model runs at once, from all requests together.",
)
shared_flags.define_float(
    "batch_wait_ms",
    2.0,
    "Milliseconds that a batch waits for clients that have just been "
    "answered. A single client never waits.",
    lower_bound=0.0,
)
shared_flags.define_count(
    "max_texts",
    Limits.max_texts,
    "Texts in a request; more are refused with status 413.",
)
shared_flags.define_count(
    "max_sequences",
    Limits.max_sequences,
    "Sequences that the model reads for one text, such as the windows of a "
    "long context; more are refused with status 413.",
)
shared_flags.define_count(
    "max_body_bytes",
    Limits.max_body_bytes,
    "Bytes in a request's body; more are refused with status 413.",
)
shared_flags.define_count(
    "max_text_bytes",
    Limits.max_text_bytes,
    "Bytes of one text in UTF-8; more are refused with status 413.",
)
shared_flags.define_count(
    "max_queue",
    Limits.max_queue,
    "Sequences that wait for a model; more are refused with status 429.",
)
shared_flags.define_count(
    "max_connections",
    512,
    "Open connections; more are refused with status 503.",
)
shared_flags.define_float(
    "body_seconds",
    Limits.body_seconds,
    "Seconds for a request's body to arrive; then it is refused with status "
    "408.",
    lower_bound=0.1,
)
shared_flags.define_float(
    "request_seconds",
    Limits.request_seconds,
    "Seconds for the model to answer a request; then it is refused with "
    "status 504.",
    lower_bound=0.1,
)
shared_flags.define_count(
    "grace_seconds",
    30,
    "Seconds to answer the accepted requests after SIGTERM or Ctrl-C.",
)


def main() -> None:
    # 1. Check the flags and the port before a model is loaded.
    folders = model_folders()
    limits = read_limits()
    from bert_tf.export.predictor import Predictor
    from bert_tf.serving.models import ServedModel, Watch
    from bert_tf.serving.server import Server, address_of, bind, end_process
    from bert_tf.serving.state import Serving

    listener = bind(FLAGS.host, FLAGS.port)
    # 2. Load the models.
    serving = Serving(models={}, limits=limits)
    for name, folder in folders.items():
        serving.models[name] = ServedModel(
            name,
            folder,
            load=Predictor,
            make_batcher=functools.partial(make_batcher, serving),
            keep_versions=FLAGS.keep_versions,
        )
        serving.models[name].start()
    # 3. Serve until a signal comes.
    watch = Watch(list(serving.models.values()), FLAGS.poll_seconds)
    announcement = f"Serving {', '.join(folders)} at {address_of(listener)}"
    server = Server(
        serving,
        on_start=functools.partial(print, announcement, flush=True),
        max_connections=FLAGS.max_connections,
        grace_seconds=FLAGS.grace_seconds,
    )
    server.run(sockets=[listener])
    # 4. End.
    watch.close()
    if server.num_unanswered:
        logging.error("%d requests were not answered", server.num_unanswered)
    end_process(1 if server.num_unanswered else 0)


def model_folders() -> dict[str, str]:
    """Returns {name: folder} from --model.

    Raises:
        UserError: a value is not NAME=FOLDER, a name is given twice, or a
            folder does not exist.
    """
    program.require(*REQUIRED)
    folders = {}
    for value in FLAGS.model:
        name, equals, folder = value.partition("=")
        if not equals or not folder or not re.fullmatch(NAME, name):
            raise UserError(
                f"--model={value}: must be NAME=FOLDER; a name has letters, "
                f"digits, -, _ and .{_with_name(value)}"
            )
        if name in folders:
            raise UserError(f"--model={value}: {name} is given twice")
        if not files.is_folder(folder):
            raise UserError(f"--model={value}: no such folder")
        folders[name] = folder
    return folders


def _with_name(value: str) -> str:
    """A hint for a folder that was given without a name."""
    name = os.path.basename(os.path.abspath(value))
    if not files.is_folder(value) or not re.fullmatch(NAME, name):
        return ""
    return f"; did you mean --model={name}={value}?"


def read_limits() -> Limits:
    """Returns the limits that the flags set.

    Raises:
        UserError: a request may hold more texts than the queue.
    """
    if FLAGS.max_texts > FLAGS.max_queue:
        raise UserError(
            f"--max_texts={FLAGS.max_texts} exceeds --max_queue="
            f"{FLAGS.max_queue}: such a request would never be accepted"
        )
    return Limits(
        max_body_bytes=FLAGS.max_body_bytes,
        max_text_bytes=FLAGS.max_text_bytes,
        max_texts=FLAGS.max_texts,
        max_sequences=FLAGS.max_sequences,
        max_queue=FLAGS.max_queue,
        body_seconds=FLAGS.body_seconds,
        request_seconds=FLAGS.request_seconds,
    )


def make_batcher(
    serving: "Serving", name: str, predictor: "Predictor"
) -> "Batcher":
    """Makes the batcher of a model, with the settings of the flags."""
    from bert_tf.serving import signatures
    from bert_tf.serving.batching import Batcher

    # A model for accelerators has a fixed batch size.
    largest = predictor.info.get("batch_size") or FLAGS.max_batch_size
    return Batcher(
        functools.partial(signatures.run, predictor),
        max_batch_size=min(FLAGS.max_batch_size, largest),
        max_wait_seconds=FLAGS.batch_wait_ms / 1000,
        max_queue=FLAGS.max_queue,
        weigh=signatures.num_sequences,
        observe=serving.metrics.batch_sizes.labels(name).observe,
    )


if __name__ == "__main__":
    program.run(main, required=REQUIRED)
