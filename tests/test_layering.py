"""Imports go down only: a module imports modules of lower rank."""

import ast

import pytest
from conftest import ROOT

RANKS = [
    # Packages hold a docstring; the front door stands further down.
    "errors data serving tools",
    "files",
    "config tokenization losses optimization distribution",
    "metrics entities reports data.cells data.own_files",
    "layers normalization checkpoints data.features data.pipeline",
    "text_context vocabulary",
    "preprocessing data.squad_answers data.squad_windows data.example_proto",
    "data.squad data.pretraining",
    "modeling pretrained saved_models lite warmup data.*",
    # The package's front door names what people import from it.
    "__init__",
    "heads answering",
    "problems pooling tag_answering question_answering predictor",
    "text_problems tagging_problem choice_problem",
    "tasks task_record training export fill_mask embeddings",
    "serving.batching serving.client serving.limits serving.metrics",
    "serving.models serving.schemas serving.signatures",
    "serving.rest",
    "serving.encode",
    "serving.app",
    "serving.server",
    "flags progress run_folder shard_run",
    "engine export_run",
    "labelled_run",
    "tools.racing tools.beam_runner",
    "tools.benchmark_data",
    "tools.*",
    "tools.benchmark",
    "run_*",
]
FILES = [*ROOT.glob("*.py"), *(ROOT / "bert_tf").rglob("*.py")]


def rank(module: str) -> int:
    for index, names in enumerate(RANKS):
        if module in names.split():
            return index
    return rank("run_*" if module.startswith("run_") else _any_of(module))


def _any_of(module):
    package, dot, _ = module.partition(".")
    return f"{package}.*" if dot else pytest.fail(f"{module} has no rank")


def module_of(path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[1:] if parts[0] == "bert_tf" else parts
    if parts[-1] == "__init__" and len(parts) > 1:
        parts = parts[:-1]
    return ".".join(parts)


def imports_of(path):
    """Modules of bert_tf that a file imports, by their names inside it."""
    known = {module_of(f) for f in FILES} - {"__init__"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = node.module or ""
            names = [f"{base}.{alias.name}" for alias in node.names] + [base]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            inside = name.removeprefix("bert_tf").removeprefix(".")
            if name.startswith("bert_tf") and inside in known:
                yield inside
        if "bert_tf" in names:
            # `import bert_tf`, or `from bert_tf import BertModel`, which is no
            # module: both go through the front door.
            others = [n.removeprefix("bert_tf.") for n in names[:-1]]
            if not others or not known.issuperset(others):
                yield "__init__"


def test_every_name_with_a_rank_exists():
    named = {n for names in RANKS for n in names.split() if "*" not in n}
    packages = {"data", "serving", "tools"}
    assert named <= {module_of(f) for f in FILES} | packages


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_go_down_only(path):
    module = module_of(path)
    for imported in imports_of(path):
        assert rank(imported) < rank(module), f"{module} imports {imported}"


def test_flags_and_printing_stay_on_top():
    for path in FILES:
        if rank(module_of(path)) < rank("flags"):
            text = path.read_text(encoding="utf-8")
            assert "FLAGS." not in text and "print(" not in text, path
