"""Finds arguments that a shell, an editor or a notebook has changed.

    –-do_train           a dash for a hyphen
    --output_dir =/x     a blank before the =
    --data_dir=~/glue    a ~ that the shell has not expanded

Abseil takes some of them for values: then a run writes to a folder `=` or `~`.
Errors show an argument with its invisible characters, and what it was probably
meant to be.
"""

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from absl import flags

from bert_tf import files
from bert_tf.errors import UserError
from bert_tf.programs.run_record import PATH_ENDINGS, PATTERNS

FLAGS = flags.FLAGS
# Words that people give to a flag that is on or off, and its value.
SWITCHES = {
    **dict.fromkeys(("", "true", "t", "1", "yes", "y", "on"), "true"),
    **dict.fromkeys(("false", "f", "0", "no", "n", "off"), "false"),
}
PATHS = ("input", "output", "model", "corpus")  # More flags that are paths.
QUOTES = "\"'`´“”„‟‘’‚‛«»‹›"
_DASH = "[-\u2010-\u2015\u2212\u2043\ufe58\ufe63\uff0d]"
# Names of variables that a shell, a notebook or Windows would have replaced.
_VARIABLE = re.compile(
    r"\$\{\w+\}|\$\([^)]*\)|\$[A-Z_][A-Z0-9_]*|(?:^|(?<=/))\$[a-z]\w*(?=/|$)"
    r"|%[A-Z_][A-Z0-9_]*%|\{[A-Za-z_]\w*\}"
)
_CONTINUED = (
    "a line continues only where the backslash is its last character, and "
    "only in shells of Unix"
)


def shown(argument: str) -> str:
    """An argument in quotes, with escapes for what cannot be seen."""
    visible = "".join(
        c if c.isprintable() else ascii(c)[1:-1] for c in argument
    )
    quote = '"' if "'" in argument else "'"
    return f"{quote}{visible}{quote}"


def is_path(name: str) -> bool:
    """Whether a flag names a file or a folder."""
    return name.endswith(PATH_ENDINGS) or name in PATHS


# ---------------------------------------------------------------------------
# Guesses of what an argument was meant to be.


def _is_invisible(char: str) -> bool:
    return char.isspace() or unicodedata.category(char) in ("Cc", "Cf", "Zs")


def _stripped(text: str, more: str = "") -> str:
    """A text without blanks, invisible characters and `more` around it."""
    first, last = 0, len(text)
    while first < last and (_is_invisible(text[first]) or text[first] in more):
        first += 1
    while first < last and (
        _is_invisible(text[last - 1]) or text[last - 1] in more
    ):
        last -= 1
    return text[first:last]


def flag_in(argument: str) -> str | None:
    """The flag that an argument was probably meant to be, as one writes it.

    Returns:
        Such as "--do_train" or "--task_name=sms"; None if it names no flag.
    """
    found = re.fullmatch(
        rf"(?:{_DASH}*)([^\s:=]+)\s*(?:[:=]\s*(.*))?",
        _stripped(argument, QUOTES),
        re.DOTALL,
    )
    if not found:
        return None
    name = "".join(c for c in found[1] if not _is_invisible(c))
    name = re.sub(_DASH, "_", name)
    off = name.removeprefix("no")
    if name not in FLAGS and not (off in FLAGS and FLAGS[off].boolean):
        return None
    if found[2] is None:
        return f"--{name}"
    return f"--{name}={_meant_value(name, found[2])}"


def without_marks(value: str) -> str:
    """A value without quotation marks, commas and blanks around it."""
    return _stripped(value, QUOTES + ",;=:")


def value_after(argument: str, given: Sequence[str]) -> str:
    """`=` and the value after a flag written as in JSON, `--do_train: true`."""
    place = given.index(argument) + 1 if argument in given else len(given)
    if place == len(given) or given[place].startswith("-"):
        return ""
    return f"={without_marks(given[place])}"


def _meant_value(name, value):
    value = _stripped(value, QUOTES)
    if name in FLAGS and FLAGS[name].boolean:
        return SWITCHES.get(value.lower() or "?", value)
    return value


def reason_of(argument: str) -> str:
    """Why an argument is not the flag that `flag_in` finds; or ""."""
    for char in argument.partition("=")[0]:
        if char != "-" and re.fullmatch(_DASH, char):
            return f"{char} (U+{ord(char):04X}) is a dash, not a hyphen"
        if char in QUOTES:
            return "it starts with a quotation mark"
        if _is_invisible(char):
            what = "a blank" if char == " " else f"U+{ord(char):04X}"
            if argument[0] != char:
                return f"it holds {what}"
            is_blank = char == " "
            end = ", as after a backslash within a line" if is_blank else ""
            return f"it starts with {what}{end}"
    return ""


def hint_for_word(word: str, before: Sequence[str], after: str) -> str:
    """Explains a word that is not a flag: the flag that it was meant to be.

    Args:
        word: the word.
        before: the arguments before it.
        after: the argument after it, or "".

    Returns:
        "…; did you mean --do_train?", or "" if nothing is likely.
    """
    if not _stripped(word, "\\^`"):
        return f" ({_CONTINUED})"
    last = before[-1].lstrip("-") if before else ""
    if last in FLAGS and FLAGS[last].boolean:
        if word.lower() in SWITCHES:
            value = SWITCHES[word.lower()]
            return f"; did you mean --{last}={value}?"
        if word == "=":
            value = SWITCHES.get(after.lower() or "?", "true")
            return f"; write --{last}={value}, without blanks"
    if word.startswith("="):
        return "; write --flag=value without blanks"
    meant = flag_in(word)
    if not meant:
        return ""
    if word in FLAGS and not FLAGS[word].boolean:
        meant += f"={after}" if after else "=VALUE"
    why = reason_of(word)
    return f"{': ' if why else ''}{why}; did you mean {meant}?"


# ---------------------------------------------------------------------------
# Arguments, before Abseil reads them.


def check_arguments(arguments: Sequence[str], takes_texts: bool) -> None:
    """Checks for arguments that Abseil would take for something else.

    Args:
        arguments: the command line without the program.
        takes_texts: whether words that are not flags are texts.

    Raises:
        UserError: an argument is not what was meant.
    """
    waiting = ""  # The flag whose value is the next argument.
    for place, argument in enumerate(arguments):
        if argument == "--":
            _check_texts(arguments[place + 1 :])
            return
        after = arguments[place + 1] if place + 1 < len(arguments) else ""
        if argument.endswith("\r") and not (takes_texts and not waiting):
            raise UserError(
                f"{shown(argument)}: ends as lines of Windows do (CR LF), so "
                "the shell took the lines after it for other commands; "
                "convert the script, such as by sed -i 's/\\r$//' SCRIPT"
            )
        if argument in ("--flagfile=", "-flagfile="):  # Abseil drops it.
            raise UserError("--flagfile=: must name a file")
        if waiting:
            _check_waited_for(waiting, argument, after)
            waiting = ""
            continue
        name, has_value, value = argument.lstrip("-").partition("=")
        if argument.startswith("-") and name in FLAGS:
            if has_value and not value:
                _check_empty(name, after, takes_texts)
            elif not has_value and not FLAGS[name].boolean:
                waiting = name
        elif argument.startswith("-") and has_value and _is_off(name):
            raise UserError(
                f"{shown(argument)}: --{name} has no value; write --{name}, or "
                f"--{name[2:]}={_meant_value(name[2:], value)}"
            )
        elif takes_texts and re.match(_DASH, argument):
            if (meant := flag_in(argument)) and (why := reason_of(argument)):
                raise UserError(
                    f"{shown(argument)}: {why}; did you mean {meant}?"
                )
        elif not argument.startswith("-"):
            _check_texts([argument])


def _check_texts(texts: Sequence[str]) -> None:
    """Raises UserError for words whose bytes are not UTF-8."""
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UserError(f"{shown(text)}: is not UTF-8") from None


def _is_off(name):
    """Whether `--name` switches a flag off, as --nodo_train does."""
    on = name.removeprefix("no")
    return (
        name not in FLAGS and on != name and on in FLAGS and (FLAGS[on].boolean)
    )


def _check_waited_for(name, value, after):
    """Raises UserError if an argument is not the value of the flag before."""
    if value == "=" and after and not after.startswith("-"):
        raise UserError(
            f"'--{name} = {after}': write --{name}={after}, without blanks"
        )
    if value.startswith("=") and len(value) > 1:
        raise UserError(
            f"'--{name} {value}': write --{name}{value}, without the blank"
        )
    other = value.lstrip("-").partition("=")[0]
    is_flag = other in FLAGS or other.removeprefix("no") in FLAGS
    if value.startswith("--") and is_flag:
        raise UserError(
            f"--{name} has no value: {shown(value)} comes next; write "
            f"--{name}=VALUE"
        )


def _check_empty(name, after, takes_texts):
    """Raises UserError for `--name= value`."""
    if after and not after.startswith("-") and not takes_texts:
        raise UserError(
            f"'--{name}= {after}': write --{name}={after}, without the blank"
        )


# ---------------------------------------------------------------------------
# Values.


def check_values(own: Iterable[flags.Flag]) -> None:
    """Checks the values of the flags that the command line gives.

    Args:
        own: the program's flags.

    Raises:
        UserError: a value is not what was meant.
    """
    for flag in own:
        if not flag.present:
            continue
        values = flag.value if isinstance(flag.value, list) else [flag.value]
        for value in filter(None, values):
            if isinstance(value, str):
                _check_value(flag.name, value)


def _check_value(name: str, value: str) -> None:
    for why, meant in _mistakes(name, value):
        end = f"; did you mean --{name}={meant}?" if meant else ""
        raise UserError(f"--{name}={shown(value)}: {why}{end}")


def _mistakes(name: str, value: str) -> Iterator[tuple[str, str]]:
    """Yields (what is wrong with a value, what it was meant to be or "")."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        yield "is not UTF-8, in which TensorFlow names files", ""
        return
    glued = re.search(rf"[\s\u200b](--[^\s=]+|(?!-){_DASH}+[^\s=]+)", value)
    if glued and (meant := flag_in(glued[1])):
        yield f"holds another argument, {meant}: a blank alone separates", ""
    if not is_path(name):
        is_free = name.endswith("_column") or "label" in name
        if len(value) > 2 and not is_free and "delimiter" not in name:
            yield from _mistakes_of_quotes(value)
        return
    folder, _, rest = value.partition("=")
    start = ""
    is_named = name in ("model", "index")  # The server's are NAME=FOLDER.
    if is_named and folder and rest and not files.exists(value):
        start, value = f"{folder}=", rest
    elif folder == "" and rest and not files.exists(value):
        yield "starts with a =", value.lstrip("=")
    if files.is_remote(value) or files.exists(value):
        return
    for why, meant in (
        *_mistakes_of_quotes(value),
        *_mistakes_of_paths(name, value),
    ):
        yield why, meant and start + meant


def _mistakes_of_quotes(value):
    first, last = value[0], value[-1]
    if first in QUOTES or (last in QUOTES and last not in "'’"):
        yield (
            "holds a quotation mark that the shell left",
            _stripped(value, QUOTES),
        )


def _mistakes_of_paths(name, value):
    home = os.path.expanduser(value)
    if home != value:
        yield (
            "the shell expands a ~ only at the start of a word, outside "
            f"quotes (./{value} is a folder of that name)",
            home,
        )
    found = _VARIABLE.search(value)
    if found:
        expanded = os.path.expandvars(value) if "$" in found[0] else value
        yield (
            f"{found[0]} was not replaced by a value (is it in single quotes, "
            "not defined, or of another shell?)",
            expanded if expanded != value else "",
        )
    if value[-1] in ",;" and name not in PATTERNS:
        what = "comma" if value[-1] == "," else "semicolon"
        yield f"ends in a {what}", value.rstrip(",; ")
    for char in (value[0], value[-1]):
        if _is_invisible(char) and char not in " \t\n":
            yield (
                f"holds the invisible character U+{ord(char):04X}",
                _stripped(value),
            )


def hint_for_value(name: str, value: str) -> str:
    """Suggests a value in place of one that Abseil refuses; or ""."""
    if name not in FLAGS:
        return ""
    flag = FLAGS[name]
    cleaned = re.sub(_DASH, "-", without_marks(value))
    if flag.boolean:
        cleaned = SWITCHES.get(cleaned.lower() or "?", "")
    # A comma is that of thousands, or the decimal point of other languages.
    point = "." if flag.flag_type() == "float" else ""
    candidates = [
        cleaned,
        cleaned.replace(",", point),
        cleaned.replace(" ", ""),
    ]
    for candidate in filter(None, candidates):
        if candidate != value and _is_accepted(flag.parser.parse, candidate):
            return f"; did you mean --{name}={candidate}?"
    return ""


def _is_accepted(parse: Callable[[str], Any], value: str) -> bool:
    try:
        parse(value)
    except (ValueError, TypeError, flags.Error):
        return False
    return True


def hint_of_empty_variable(own: Iterable[flags.Flag], message: str) -> str:
    """Asks for a variable where a file is missing at the root of the disk.

    `$BERT_BASE_DIR/vocab.txt` is /vocab.txt where the variable is not set.

    Args:
        own: the program's flags.
        message: the error, which names the file.
    """
    for flag in own:
        value = flag.value
        if (
            flag.present
            and isinstance(value, str)
            and is_path(flag.name)
            and re.fullmatch(r"/[^/]+", value)
            and not os.path.exists(value)
            and value in message
        ):
            return (
                f" (is a variable of the shell before {value} empty, as in "
                f"$BERT_BASE_DIR{value}?)"
            )
    return ""
