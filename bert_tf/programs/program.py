"""How a program starts, checks its flags, and reports mistakes in one line."""

import os
import re
import signal
import sys

import tensorflow as tf
from absl import app, flags, logging

from bert_tf import files
from bert_tf.errors import UserError

FLAGS = flags.FLAGS
MAX_COUNT = 2**31 - 1
# What TensorFlow raises for a path or a file system that it cannot use.
_PATH_ERRORS = (
    tf.errors.NotFoundError,
    tf.errors.PermissionDeniedError,
    tf.errors.UnimplementedError,
)


def require(*names: str):
    """Raises UserError unless each of these flags was given a value."""
    missing = [f"--{name}" for name in names if FLAGS[name].value is None]
    if missing:
        raise UserError(f"{', '.join(missing)} must be given")


def refuse(why: str, *names: str):
    """Raises UserError if one of these flags was given, but for its default."""
    for name in names:
        flag = FLAGS[name]
        if flag.present and flag.value != flag.default:
            raise UserError(f"--{name}={FLAGS[name].value}: {why}")


def require_existing(*names: str, folder: bool = False):
    """Raises UserError unless each flag names an existing file, or folder."""
    for name in names:
        path = FLAGS[name].value
        if not files.exists(path):
            raise UserError(f"--{name}={path}: no such file or folder")
        if files.is_folder(path) != folder:
            wanted, found = "file", "folder"
            if folder:
                wanted, found = found, wanted
            raise UserError(
                f"--{name}={path}: a {wanted} is needed, this is a {found}"
            )


def matching_files(name: str) -> list:
    """Paths of a flag that holds patterns with commas between, each in order.

    Raises:
        UserError: a pattern matches no file.
    """
    require(name)
    paths = []
    for pattern in filter(None, FLAGS[name].value.split(",")):
        found = [pattern]  # A name may hold brackets.
        if not files.exists(pattern):
            found = sorted(tf.io.gfile.glob(pattern))
        found = [path for path in found if not files.is_folder(path)]
        if not found:
            raise UserError(f"--{name}: no file matches {pattern}")
        paths += found
    if not paths:
        raise UserError(f"--{name}={FLAGS[name].value}: names no file")
    if len(set(paths)) < len(paths):
        logging.warning(
            "--%s=%s: names files more than once", name, FLAGS[name].value
        )
    return paths


def check_output(name: str, path: str, inputs):
    """Raises UserError where a file cannot be written, or is an input."""
    if not os.path.basename(path):
        raise UserError(f"--{name}={FLAGS[name].value}: a file name is needed")
    if files.is_folder(path):
        raise UserError(f"--{name}={path}: this is a folder")
    if files.exists(path) and not files.is_regular(path):
        raise UserError(f"--{name}={path}: this is no regular file")
    for other in inputs:
        if files.is_same(path, other):
            raise UserError(f"--{name}={path}: would replace an input")


def values() -> dict:
    """{name: value} of the program's own and the shared flags."""
    modules = FLAGS.flags_by_module_dict()
    own = [
        module
        for module in modules
        if module.startswith("bert_tf") or module == sys.argv[0]
    ]
    found = {flag.name: flag.value for m in own for flag in modules[m]}
    found.pop("do_lower", None)  # Another name of do_lower_case.
    return dict(sorted(found.items()))


def _parse(argv):
    try:
        return FLAGS(argv)
    except flags.Error as error:
        _exit(re.sub(r"\s+", " ", str(error)))


def _flag_of(setting: str) -> str:
    """The flag that gives a setting its value."""
    return f"--{setting}" if setting in FLAGS else setting


def _exit(message):
    print(f"{os.path.basename(sys.argv[0])}: {message}", file=sys.stderr)
    sys.exit(1)


def run(main, takes_texts: bool = False):
    """Runs `main()` with parsed flags; a user's mistake ends in one line.

    Args:
        main: function() of the program.
        takes_texts: what is no flag is an argument of `main`, main(*texts).
    """

    def guarded(argv):
        texts = argv[1:] if takes_texts else []
        if len(argv) > 1 and not takes_texts:
            _exit(f"{argv[1]}: not a flag (flags start with --)")
        if FLAGS["verbosity"].using_default_value:
            logging.set_verbosity(logging.INFO)
        # So that unfinished files and other processes are cleaned up. Several
        # machines may wait for each other inside TensorFlow, where no handler
        # of Python's is called: there SIGTERM must end the process at once.
        if "TF_CONFIG" not in os.environ:
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            main(*texts)
        except UserError as error:
            _exit(error.message_for(_flag_of))
        except KeyboardInterrupt:
            _exit("interrupted")
        except BrokenPipeError:
            # Whoever reads the output has enough. Python would complain once
            # more when it closes it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except OSError as error:
            if error.filename is None:
                raise
            _exit(f"{error.filename}: {error.strerror}")
        except _PATH_ERRORS as error:
            _exit(error.message.split("\n")[0])
        except tf.errors.ResourceExhaustedError as error:
            _exit(
                "out of memory: lower the batch size or --max_seq_length "
                f"({error.message.split(chr(10))[0]})"
            )

    # Flags may also stand behind a text.
    FLAGS.set_gnu_getopt(takes_texts)
    app.run(guarded, flags_parser=_parse)
