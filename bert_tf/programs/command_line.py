"""Shows a program's --help, and explains mistakes in its flags."""

import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Collection, Iterable

from absl import flags

from bert_tf import suggestions
from bert_tf.choices import MAX_COUNT
from bert_tf.programs.flag_names import SYNONYMS

FLAGS = flags.FLAGS
# Words that people give to a flag that is on or off, and its value.
SWITCHES = {
    **dict.fromkeys(("", "true", "t", "1", "yes", "y", "on"), "true"),
    **dict.fromkeys(("false", "f", "0", "no", "n", "off"), "false"),
}
MAX_WIDTH, MIN_WIDTH = 78, 30  # Characters in a line of help.

# The word for a value in help, by the end of a flag's name.
_VALUES = {
    "_file": "FILE",
    "_dir": "FOLDER",
    "_checkpoint": "PREFIX",
    "_column": "COLUMN",
}


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
    found = re.search(r"=(.*): value should be one of <(.*)>$", message)
    if found:
        message += suggestions.hint(found[1], found[2].split("|"), form="{}")
        return message
    found = re.match(r"(flag --(\w+)=.*?): ", message)
    if found and (wanted := _wanted(found[2])):
        return f"{found[1]}: must be {wanted}"
    return message


def _wanted(name):
    """What a flag's value must be; Abseil repeats Python's messages."""
    if name not in FLAGS:
        return ""
    if FLAGS[name].boolean:
        return "true or false"
    wanted = FLAGS[name].parser.syntactic_help
    return wanted.replace("an integer", "a whole number")


def _unknown_flag(name, value):
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
            return f"--{name}: no such flag{end}"
    return f"--{name}: no such flag; --help lists them"


def message_of_words(words: Iterable[str], arguments: list[str]) -> str:
    """Says what is wrong with a word on the command line besides the flags.

    Args:
        words: the words that are not flags, nor their values.
        arguments: the whole command line, without the program.
    """
    word = next(iter(words))
    place = arguments.index(word) if word in arguments else 0
    before = arguments[place - 1].lstrip("-") if place else ""
    is_value = before in FLAGS and FLAGS[before].boolean
    if is_value and word.lower() in SWITCHES:
        value = SWITCHES[word.lower()]
        return f"{word}: not a flag; did you mean --{before}={value}?"
    return f"{word}: not a flag (flags start with --)"


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
    """The text of --help: the required flags first, then the others.

    Args:
        description, required: see `define_help_flags`.
    """
    ours = own_flags()
    first = [flag for flag in ours if flag.name in required]
    others = [flag for flag in ours if flag.name not in required]
    parts = [description.strip() + "\n"]
    parts += [_described(flag, is_required=True) for flag in first]
    parts += [_described(flag, is_required=False) for flag in others]
    parts.append("--helpfull shows the flags of libraries, too.\n")
    return "\n".join(parts)


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
    columns = shutil.get_terminal_size().columns
    width = min(MAX_WIDTH, max(columns - 1, MIN_WIDTH))
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
