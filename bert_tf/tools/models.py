"""Lists, fetches and removes the models that google-research/bert released.

    python -m bert_tf.tools.models list
    python -m bert_tf.tools.models path bert-base-uncased
    python -m bert_tf.tools.models remove bert-base-uncased

`path` downloads the model unless it is in the cache, and prints its folder
alone, so that a shell can use it:

    BERT_BASE_DIR=$(python -m bert_tf.tools.models path bert-base-uncased)

The cache is the folder BERT_TF_HOME, or else bert_tf in the platform's folder
for caches. BERT_TF_MIRROR is another base address to download from, such as
file:///data/bert_models.
"""

from absl import logging

from bert_tf import suggestions
from bert_tf.downloads import cache, download, releases
from bert_tf.downloads.releases import Release
from bert_tf.errors import UserError
from bert_tf.programs import program

NAMED = ("path", "remove")  # What needs the name of a model.
ACTIONS = ("list", *NAMED)
COLUMNS = (
    *("name", "layers", "hidden", "heads", "parameters", "text"),
    *("in the cache", "also called"),
)


def main(*words: str) -> None:
    action, *names = words or ("",)
    if action not in ACTIONS:
        given = f"{action!r}: " if action else ""
        hint = suggestions.hint(action, ACTIONS, form="{}")
        raise UserError(f"{given}say list, path NAME or remove NAME{hint}")
    if len(names) != (action in NAMED):
        wanted = "the name of one model" if action in NAMED else "nothing else"
        received = f", not {' '.join(names)!r}" if names else ""
        raise UserError(f"{action}: {wanted} must follow{received}")
    if action == "list":
        print(table(), end="")
        return
    release = releases.named(names[0])
    if action == "path":
        print(download.fetch(release), flush=True)
    else:
        remove(release)


def remove(release: Release) -> None:
    """Removes a model from the cache, and logs what that has freed.

    Raises:
        UserError: it is not there.
    """
    size = cache.remove(release)
    if not size:
        raise UserError(f"{release.name}: not in the cache, {cache.home()}")
    logging.info(
        "%s: removed, %.1f MB are free again", release.name, size / 1e6
    )


def table() -> str:
    """The released models, one a line, and the cache's folder."""
    rows = [COLUMNS, *map(_row, releases.RELEASES)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if 0 < place < 5 else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip() + "\n")
    return "".join([*lines, f"\nThe cache is {cache.home()}\n"])


def _row(release: Release) -> tuple[str, ...]:
    parameters = release.num_parameters / 1e6
    return (
        release.name,
        str(release.num_hidden_layers),
        str(release.hidden_size),
        str(release.num_attention_heads),
        f"{parameters:.1f} M",
        "lower case" if release.do_lower_case else "cased",
        _state(release),
        ", ".join(release.aliases),
    )


def _state(release: Release) -> str:
    """Whether a model is on this machine."""
    if release.is_bundled:
        return "bundled"
    if not cache.is_cached(release):
        return "-"
    return f"{cache.bytes_of(cache.folder_of(release)) / 1e6:.0f} MB"


if __name__ == "__main__":
    program.run(main, takes_texts=True)
