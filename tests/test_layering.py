"""Imports go down only, and never in a circle."""

import ast
import graphlib
import re

import pytest
from support.common import ROOT

# A module imports from the lines above its own and from its own folder. Two
# folders in one line do not import each other; modules at the root of bert_tf
# may import from their own line.
LEVELS = [
    "errors extras files file_contents file_formats forks literal_paths "
    "choices suggestions registration counts memory json_files progress "
    "autograph import_hooks",
    "config tokenizer_settings vocab_files tokenization backend dropout "
    "activations layer_norm bert_layer attention places layers "
    "configured_model modeling pooling model_classes "
    "head_layers heads losses vector_losses distillation_losses "
    "attention_distillation static_vectors optimization checkpoints "
    "vocabulary vocabulary_cut pretrained loading storing formats downloads "
    "metrics",
    "text training",
    "preprocessing data",
    "embeddings fill_mask export",
    "explanations",
    "tasks serving report doctor",
    "programs",
    "tools",
    "run_classifier run_squad run_pretraining",
    "fine_tuning",
]
FOLDERS = {path.name for path in (ROOT / "bert_tf").iterdir() if path.is_dir()}
FILES = [*ROOT.glob("*.py"), *(ROOT / "bert_tf").rglob("*.py")]


def module_of(path) -> str:
    """The name of a file's module: "data.squad.examples", "run_squad"."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[1:] if parts[0] == "bert_tf" else parts
    return ".".join(parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in FILES}


def imports_of(module: str) -> set:
    """The modules of bert_tf that a module imports."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inside = f"{node.module}.{alias.name}".partition(".")[2]
                is_module = inside in MODULES
                inside = inside if is_module else inside.rpartition(".")[0]
                if node.module.split(".")[0] == "bert_tf":
                    found.add(inside or "__init__")
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            found |= {
                name.partition(".")[2] or "__init__"
                for name in names
                if name.split(".")[0] == "bert_tf"
            }
    return found


def level_of(module: str) -> int:
    top = module.split(".")[0]
    for level, names in enumerate(LEVELS):
        if top in names.split():
            return level
    return pytest.fail(f"{module} has no level")


def test_every_name_exists():
    names = {name for names in LEVELS for name in names.split()}
    assert names == {m.split(".")[0] for m in MODULES} - {"__init__"}


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"__init__"}))
def test_imports_go_down_only(module):
    top = module.split(".")[0]
    # The package's front door loads nothing before it is asked for.
    for imported in imports_of(module) - {"__init__"}:
        other = imported.split(".")[0]
        steps_down = level_of(module) - level_of(imported)
        is_near = top == other or not {top, other} <= FOLDERS
        assert steps_down > 0 or steps_down == 0 and is_near, imported


def test_files_of_rows_know_nothing_of_what_is_in_them():
    below = ("data.tabular.", "data.plausib", "errors", "file", "suggestions")
    below = (*below, "counts", "extras")
    for module in MODULES:
        if module.startswith("data.tabular."):
            for imported in imports_of(module) - {"__init__", "data.tabular"}:
                assert imported.startswith(below), (module, imported)


def test_there_is_no_circle():
    # The front door names everything that is behind it.
    graph = {module: imports_of(module) - {"__init__"} for module in MODULES}
    tuple(graphlib.TopologicalSorter(graph).static_order())


def test_flags_and_printing_stay_on_top():
    for module, path in MODULES.items():
        if module != "__init__" and level_of(module) < level_of("programs"):
            text = path.read_text(encoding="utf-8")
            assert "FLAGS." not in text and "print(" not in text, path
            # Messages name settings; a program writes them as flags.
            is_example = module == "errors"
            assert is_example or not re.search(r"[\"'(= ]--[a-z]", text), path
