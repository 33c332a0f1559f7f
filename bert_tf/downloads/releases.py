"""Names, sizes and casing of the models that google-research/bert released.

A release lies at BASE/DATE/ARCHIVE.zip, and is called as its archive is. One
archive is in two folders: `uncased_L-12_H-768_A-12` is the model of the paper,
2018_10_18; the one that was trained together with the small models, 2020_02_20,
is called `uncased_L-12_H-768_A-12_2020`. `demo` is the model that comes with
this package.
"""

import dataclasses
import os

from bert_tf import suggestions
from bert_tf.errors import UserError

# pretrained.py names the same folder.
DEMO_FOLDER = os.path.join(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
    *("assets", "demo"),
)
HOW_TO_LIST = "python -m bert_tf.tools.models list"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Release:
    """A released model.

    Attributes:
        name: what it is called here, and its folder in the cache.
        date: the folder of its archive, such as "2018_10_18"; "" for the model
            that comes with the package.
        num_hidden_layers, hidden_size, num_attention_heads, vocab_size,
            max_position_embeddings: its sizes, as in bert_config.json.
        do_lower_case: True if it was trained on text in lower case, without
            accents.
        aliases: other names in use.
        archive: the archive's name without .zip; by default `name`.
    """

    name: str
    date: str
    num_hidden_layers: int
    hidden_size: int
    num_attention_heads: int
    vocab_size: int
    do_lower_case: bool
    aliases: tuple[str, ...] = ()
    archive: str = ""
    max_position_embeddings: int = 512

    @property
    def is_bundled(self) -> bool:
        """Whether it comes with the package and is never downloaded."""
        return not self.date

    @property
    def path(self) -> str:
        """The archive's path below the base address."""
        return f"{self.date}/{self.archive or self.name}.zip"

    @property
    def sizes(self) -> dict[str, int]:
        """{name in bert_config.json: value} of what the table says."""
        return {
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "intermediate_size": 4 * self.hidden_size,
            "max_position_embeddings": self.max_position_embeddings,
            "type_vocab_size": 2,
        }

    @property
    def num_parameters(self) -> int:
        """Number of parameters of the encoder with its pooler."""
        width = self.hidden_size
        rows = self.vocab_size + self.max_position_embeddings + 2
        # Four products of the attention and two of 4 D with their biases, and
        # two normalizations.
        layer = 12 * width * width + 9 * width + 4 * width
        return (
            (rows + 2) * width
            + self.num_hidden_layers * layer
            + width * width
            + width
        )

    @property
    def checkpoint_bytes(self) -> int:
        """Bytes of the checkpoint: encoder and both heads, in float32."""
        width = self.hidden_size
        masked_words = width * width + 3 * width + self.vocab_size
        next_sentence = 2 * width + 2
        return 4 * (self.num_parameters + masked_words + next_sentence)


def _small() -> list[Release]:
    """The 24 small models of 2020, which are all uncased."""
    aliases = {
        (2, 128): "bert-tiny",
        (4, 256): "bert-mini",
        (4, 512): "bert-small",
        (8, 512): "bert-medium",
    }
    found = []
    for layers in (2, 4, 6, 8, 10, 12):
        for width in (128, 256, 512, 768):
            archive = f"uncased_L-{layers}_H-{width}_A-{width // 64}"
            is_base = (layers, width) == (12, 768)
            alias = aliases.get((layers, width))
            found.append(
                Release(
                    name=f"{archive}_2020" if is_base else archive,
                    archive=archive,
                    date="2020_02_20",
                    num_hidden_layers=layers,
                    hidden_size=width,
                    num_attention_heads=width // 64,
                    vocab_size=30522,
                    do_lower_case=True,
                    aliases=(alias,) if alias else (),
                )
            )
    return found


_BASE, _LARGE = (12, 768), (24, 1024)  # Layers and hidden size.


def _sized(
    size: tuple[int, int],
    name: str,
    date: str,
    vocab_size: int,
    is_lower: bool,
    alias: str,
) -> Release:
    layers, width = size
    return Release(
        name=name,
        date=date,
        num_hidden_layers=layers,
        hidden_size=width,
        num_attention_heads=width // 64,
        vocab_size=vocab_size,
        do_lower_case=is_lower,
        aliases=(alias,),
    )


DEMO = Release(
    name="demo",
    date="",
    num_hidden_layers=2,
    hidden_size=128,
    num_attention_heads=2,
    vocab_size=4895,
    do_lower_case=True,
    max_position_embeddings=128,
)

# The original's check of casing calls multilingual_… and chinese_… lower-cased.
# fmt: off
RELEASES: tuple[Release, ...] = (
    DEMO,
    *_small(),
    _sized(_BASE, "uncased_L-12_H-768_A-12", "2018_10_18", 30522, True,
           "bert-base-uncased"),
    _sized(_LARGE, "uncased_L-24_H-1024_A-16", "2018_10_18", 30522, True,
           "bert-large-uncased"),
    _sized(_BASE, "cased_L-12_H-768_A-12", "2018_10_18", 28996, False,
           "bert-base-cased"),
    _sized(_LARGE, "cased_L-24_H-1024_A-16", "2018_10_18", 28996, False,
           "bert-large-cased"),
    _sized(_BASE, "multi_cased_L-12_H-768_A-12", "2018_11_23", 119547, False,
           "bert-base-multilingual-cased"),
    _sized(_BASE, "multilingual_L-12_H-768_A-12", "2018_11_03", 105879, True,
           "bert-base-multilingual-uncased"),
    _sized(_BASE, "chinese_L-12_H-768_A-12", "2018_11_03", 21128, True,
           "bert-base-chinese"),
    _sized(_LARGE, "wwm_uncased_L-24_H-1024_A-16", "2019_05_30", 30522, True,
           "bert-large-uncased-whole-word-masking"),
    _sized(_LARGE, "wwm_cased_L-24_H-1024_A-16", "2019_05_30", 28996, False,
           "bert-large-cased-whole-word-masking"),
)
# fmt: on


def names_of(release: Release) -> list[str]:
    """All names of a release, the first of which is its own.

    The others are its aliases, DATE/ARCHIVE as in its address, and what the
    model is called at Hugging Face.
    """
    names = [release.name, *release.aliases]
    if release.is_bundled:
        return names
    names.append(release.path.removesuffix(".zip"))
    if release.date == "2020_02_20":
        names.append(f"google/bert_{release.archive}")
    else:
        names += [f"google-bert/{alias}" for alias in release.aliases]
    return names


def find(name: str) -> Release | None:
    """The release of a name or an alias, in any case; None for other names."""
    wanted = name.strip().casefold()
    for release in RELEASES:
        if wanted in (known.casefold() for known in names_of(release)):
            return release
    return None


def suggest(name: str) -> str | None:
    """The name or alias that a misspelt one was meant to be, or None."""
    return suggestions.nearest(name, _shown_names())


def named(name: str) -> Release:
    """The release of a name or an alias.

    Raises:
        UserError: there is none. The message says what was probably meant.
    """
    release = find(name)
    if release is None:
        hint = suggestions.hint(name, _shown_names(), form="{}")
        raise UserError(
            f"{name!r}: no released model has this name{hint} "
            f"({HOW_TO_LIST} shows all names)"
        )
    return release


def _shown_names() -> list[str]:
    return [
        name
        for release in RELEASES
        for name in (release.name, *release.aliases)
    ]
