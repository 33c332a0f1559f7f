"""Shows a program's --help, and explains mistakes in its flags."""

import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Collection, Iterable

from absl import flags

from bert_tf import files, suggestions
from bert_tf.choices import MAX_COUNT
from bert_tf.programs import arguments, flag_groups
from bert_tf.programs.arguments import SWITCHES, shown
from bert_tf.programs.flag_names import SYNONYMS

FLAGS = flags.FLAGS
MAX_WIDTH, MIN_WIDTH = 78, 30  # Characters in a line of help.

# The word for a value in help, by the end of a flag's name.
_VALUES = {
    "_file": "FILE",
    "_dir": "FOLDER",
    "_checkpoint": "PREFIX",
    "_column": "COLUMN",
    "pretrained": "NAME|FOLDER",
}


# Abseil's own flag, of which its help says little.
_FLAGFILE = """  --flagfile=FILE
      Reads flags from a file, one on each line, such as --do_train. Empty
      lines, and those that start with # or //, are left out. Values need no
      quotes: what follows = up to the line's end is the value. Where a flag
      is given more than once, the last one counts.
"""


def own_flags() -> list[flags.Flag]:
    """The flags of this program, but not of libraries, as they were defined."""
    # The program that runs is called by its path, one that is imported
    # by its module's name.
    ours = (sys.argv[0], "run_classifier", "run_pretraining", "run_squad")
    return [
        flag
        for module, its_flags in FLAGS.flags_by_module_dict().items()
        if module in ours or module.startswith("bert_tf")
        for flag in its_flags
        if flag.name != "do_lower"  # Another name of do_lower_case.
    ]


# ---------------------------------------------------------------------------
# Mistakes in flags.


def message_of(error: flags.Error) -> str:
    """An error of Abseil's flags in one line, with what was probably meant."""
    if isinstance(error, flags.UnrecognizedFlagError):
        # Abseil gives the whole argument, --name=value.
        value = str(error.flagvalue).partition("=")[2]
        return _unknown_flag(error.flagname, value)
    message = re.sub(r"\s+", " ", str(error))
    if "flagfile" in message:
        return _message_of_file(error)
    found = re.search(r"=(.*): value should be one of <(.*)>$", message)
    if found:
        names = found[2].split("|")
        value = arguments.without_marks(found[1])
        if value != found[1]:
            message = message.replace(found[1], shown(found[1]), 1)
        if value in names:
            return f"{message}; did you mean {value}?"
        message += suggestions.hint(value, names, form="{}")
        return message
    found = re.match(r"(flag --(\w+)=(.*?)): ", message)
    if found and (wanted := _wanted(found[2])):
        value = getattr(error, "value", found[3])
        hint = arguments.hint_for_value(found[2], value)
        is_plain = value.isprintable() and value.isascii()
        head = f"flag --{found[2]}={value if is_plain else shown(value)}"
        return f"{head}: must be {wanted}{hint}"
    return message


def _message_of_file(error):
    """Says what is wrong with --flagfile."""
    cause = error.__context__
    if not isinstance(cause, OSError):
        return "--flagfile: must be given as --flagfile=FILE"
    folder, name = os.path.split(str(cause.filename))
    hint = ""
    if isinstance(cause, FileNotFoundError) and files.is_folder(folder or "."):
        hint = suggestions.hint(name, files.entries(folder or "."))
    return f"--flagfile={cause.filename}: {cause.strerror}{hint}"


def _wanted(name):
    """What a flag's value must be; Abseil repeats Python's messages."""
    if name not in FLAGS:
        return ""
    if FLAGS[name].boolean:
        return "true or false"
    wanted = FLAGS[name].parser.syntactic_help
    return wanted.replace("an integer", "a whole number")


def _unknown_flag(name, value):
    written = f"--{name}={value}" if value else f"--{name}"
    is_plain = name.isascii() and name.isprintable() and " " not in name
    head = f"--{name}" if is_plain else shown(f"--{name}")
    why = arguments.reason_of(name)
    meant = arguments.flag_in(written)
    if meant and (why or not is_plain or name[-1] in ":,"):
        if meant.endswith("="):
            meant = meant[:-1] + arguments.value_after(written, sys.argv)
        end = f": {why}" if why else ""
        return f"{head}: no such flag{end}; did you mean {meant}?"
    first, _, rest = name.partition(" ")
    if rest and first in FLAGS:
        end = f"={value}" if value else ""
        return f"{head}: no such flag; did you mean --{first}={rest}{end}?"
    for its_flags in (own_flags(), map(FLAGS.__getitem__, FLAGS)):
        names = []
        for flag in its_flags:
            # --train=train.csv does not mean a flag that is on or off.
            if not flag.boolean:
                names.append(flag.name)
            elif value.lower() in SWITCHES:
                names += [flag.name, f"no{flag.name}"]
        end = suggestions.hint(name, names, SYNONYMS, form="--{}")
        if end:
            return f"{head}: no such flag{end}"
    return f"{head}: no such flag; --help lists them"


def message_of_words(words: Iterable[str], given: list[str]) -> str:
    """Says what is wrong with a word on the command line besides the flags.

    Args:
        words: the words that are not flags, nor their values.
        given: the whole command line, without the program.
    """
    words = list(words)
    word = words[0]
    # Abseil takes nothing for a flag after the first word.
    place = len(given) - len(words)
    if given[place:] != words:  # A file of flags has more of them.
        place = given.index(word) if word in given else 0
    after = words[1] if len(words) > 1 else ""
    hint = arguments.hint_for_word(word, given[:place], after)
    hint = hint or " (flags start with --; a value with blanks needs quotes)"
    return f"{shown(word)}: not a flag{hint}"


# ---------------------------------------------------------------------------
# Help.


class HelpFlag(flags.BooleanFlag):
    """A flag that shows help and ends the program with status 0.

    Args:
        name: of the flag.
        text: function() -> the help.
        description: what the flag shows.
        short_name: another name, or None.
    """

    def __init__(
        self,
        name: str,
        text: Callable[[], str],
        description: str,
        short_name: str | None = None,
    ):
        super().__init__(
            name,
            False,
            description,
            short_name=short_name,
            allow_override=True,
        )
        self._text = text

    def parse(self, argument: str | bool | None) -> None:
        if self._parse(argument):  # type: ignore[arg-type]
            print(self._text(), end="", flush=True)
            sys.exit(0)


def define_help_flags(description: str, required: Collection[str]) -> None:
    """Replaces Abseil's --help, which lists many other flags, too.

    Args:
        description: what the program does, and how it is called.
        required: names of the flags that must be given.
    """

    def short() -> str:
        return help_text(description, required)

    def full() -> str:
        return f"{short()}\n{library_help()}"

    for flag in (
        HelpFlag("help", short, "Show the program's flags.", short_name="?"),
        HelpFlag("helpshort", short, "Show the program's flags."),
        HelpFlag("helpfull", full, "Show all flags, of libraries, too."),
    ):
        # They are not the program's, and not recorded in train.json.
        flags.DEFINE_flag(flag, module_name="absl.app")


def help_text(description: str, required: Collection[str]) -> str:
    """The text of --help: what the program does, then its flags in groups.

    Args:
        description, required: see `define_help_flags`.
    """
    parts = [_refilled(description.strip()) + "\n"]
    grouped = flag_groups.grouped(own_flags(), required)
    for title, its_flags in grouped.items():
        parts.append(f"{title}:\n")
        is_required = title == flag_groups.REQUIRED
        parts += [_described(flag, is_required) for flag in its_flags]
        if title == flag_groups.FILES:
            parts.append(_FLAGFILE)
    parts.append("--helpfull shows the flags of libraries, too.\n")
    return "\n".join(parts)


def _refilled(description: str) -> str:
    """A description whose prose is as wide as the rest; commands stay."""
    return "\n\n".join(
        paragraph
        if paragraph.startswith("    ")
        else textwrap.fill(
            paragraph,
            _width(),
            break_long_words=False,
            break_on_hyphens=False,
        )
        for paragraph in description.split("\n\n")
    )


def _width() -> int:
    """Characters in a line of help."""
    columns = shutil.get_terminal_size().columns
    return min(MAX_WIDTH, max(columns - 1, MIN_WIDTH))


def library_help() -> str:
    """The help of all flags that are not the program's."""
    ours = {flag.name for flag in own_flags()}
    others = {
        flag.name: flag
        for flag in map(FLAGS.__getitem__, FLAGS)
        if flag.name not in ours
    }
    return "\n".join(
        _described(others[name], is_required=False) for name in sorted(others)
    )


def _described(flag, is_required):
    """A flag's name, the form of its value, its default and what it does."""
    head = f"--{flag.name}={_value_of(flag)}"
    if flag.boolean:
        head = f"--[no]{flag.name}"
    notes = ["required"] if is_required else []
    default = _default_of(flag)
    if default:
        notes.append(f"default: {default}")
    if bounds := _bounds_of(flag):
        notes.append(bounds)
    if notes:
        head += f" ({'; '.join(notes)})"
    width = _width()
    text = re.sub(r"\s+", " ", flag.help)
    # Abseil adds this; the first line of the flag says it already.
    text = text.removesuffix("; repeat this option to specify a list of values")
    if isinstance(flag, flags.EnumFlag):
        text = text.removeprefix(f"<{'|'.join(flag.parser.enum_values)}>: ")
    return "\n".join(
        [
            textwrap.fill(
                head,
                width,
                initial_indent="  ",
                subsequent_indent="      ",
                break_long_words=False,
                break_on_hyphens=False,
            ),
            textwrap.fill(
                text,
                width,
                initial_indent="      ",
                subsequent_indent="      ",
                break_long_words=False,
                break_on_hyphens=False,
            ),
            "",
        ]
    )


def _value_of(flag):
    """The word for a flag's value in help."""
    if isinstance(flag, flags.EnumFlag):
        return "|".join(flag.parser.enum_values)
    kind = flag.flag_type()
    if isinstance(flag, flags.MultiFlag):
        return "TEXT (several times)"
    if kind in ("int", "float"):
        return "NUMBER"
    if kind == "comma separated list of strings":
        return "A,B,…"
    ends = (end for end in _VALUES if flag.name.endswith(end))
    return _VALUES.get(next(ends, ""), "TEXT")


def _default_of(flag):
    default = flag.default
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, list):
        return ",".join(map(str, default))
    if isinstance(default, float):
        return f"{default:g}"
    return "" if default is None else str(default)


def _bounds_of(flag):
    """The numbers that a flag takes; "" where they are as one would guess."""
    lower = getattr(flag.parser, "lower_bound", None)
    upper = getattr(flag.parser, "upper_bound", None)
    if upper not in (None, MAX_COUNT):
        return f"{lower:g} to {upper:g}"
    return "" if lower in (None, 0, 1) else f"at least {lower:g}"


def example_of(description: str) -> str:
    """The first command of a program's description, in one line; or ""."""
    found = re.search(
        r"^    (python (?:.*\\\n)*.*)$", description, re.MULTILINE
    )
    return re.sub(r"\s*\\\n\s*", " ", found[1]) if found else ""
