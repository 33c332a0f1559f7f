"""The extras: packages that only some parts need, and how one gets them.

    pip install bert-tf                what training, evaluation and export need
    pip install 'bert-tf[serving]'     and what the server needs
    pip install 'bert-tf[all]'         and all extras but `beam`

pyproject.toml names the packages; this table says how they are imported. A part
whose packages are absent says so in one line.
"""

import importlib.util
from collections.abc import Sequence

from bert_tf.errors import UserError

# {extra: the modules of its packages}.
MODULES: dict[str, tuple[str, ...]] = {
    "beam": ("apache_beam",),
    "grpc": ("grpc",),
    "lite": ("ai_edge_litert",),
    "otel": (
        "opentelemetry.sdk",
        "opentelemetry.exporter.otlp.proto.http",
    ),
    "report": ("matplotlib",),
    "serving": (
        "fastapi",
        "fastapi_offline",
        "orjson",
        "prometheus_client",
        "uvicorn",
    ),
    "tables": ("openpyxl", "pandas", "pyarrow", "zstandard"),
}


def is_there(module: str) -> bool:
    """Whether a module can be imported; it is not imported for that."""
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:  # The package that it is in is absent.
        return False


def missing(extra: str) -> list[str]:
    """The modules of an extra that are absent."""
    return [name for name in MODULES[extra] if not is_there(name)]


def how_to_install(extra: str) -> str:
    """The command that installs an extra."""
    return f"pip install 'bert-tf[{extra}]'"


def need(extra: str, names: Sequence[str]) -> str:
    """What is said where packages of an extra are absent.

    Args:
        extra: its name.
        names: the packages that are absent.
    """
    listed = ", ".join(names)
    are = "is" if len(names) == 1 else "are"
    return f"needs {listed}, which {are} not installed: {how_to_install(extra)}"


def require(extra: str, part: str) -> None:
    """Raises UserError if packages of an extra are absent.

    Args:
        extra: its name.
        part: what needs it, such as "the server".
    """
    if names := missing(extra):
        raise UserError(f"{part} {need(extra, names)}")
