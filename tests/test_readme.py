"""What README and docs say is so: commands, flags, file tree, Python."""

import csv
import importlib
import inspect
import re
import shlex
import tomllib

import pytest
import tensorflow as tf
from support.common import ROOT, shared
from support.pages import PAGES, blocks, prose
from support.programs import program_of

from bert_tf.tasks import registry
from bert_tf.tasks.registry import get_task

README = PAGES["README.md"]
COMMAND = re.compile(r"(?:python (?:run_|-m bert_tf)|bert-\w+ --).*")
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
    "scripts"
]


def commands():
    for block in blocks("bash"):
        for line in block.replace("\\\n", " ").split("\n"):
            found = COMMAND.search(line)
            if found:
                yield found[0]


def test_it_is_short_and_its_first_screen_says_how_to_run_it():
    lines = README.splitlines()
    assert len(lines) <= 250
    assert "python run_classifier.py" in "\n".join(lines[:40])


def test_it_opens_with_two_whole_commands():
    first, second = [block.strip() for block in blocks("bash")[:2]]
    install = "pip install -r requirements.txt && "
    assert first == install + (
        "python run_classifier.py --task_name=sms --do_train --do_eval "
        "--do_predict --output_dir=/tmp/sms"
    )
    assert second == install + "python -m pytest"


# Programs with words besides their flags.
SEARCH = "bert_tf.tools.search"
TAKE_WORDS = (
    "bert_tf.tools.explain",
    "bert_tf.tools.fill_mask",
    "bert_tf.tools.models",
    "bert_tf.tools.report",
)
DOCTOR = "bert_tf.tools.doctor"


def program_of_script(name):
    """The module that an installed command runs, such as bert-serve."""
    module, function = SCRIPTS[name].split(":")
    run = getattr(importlib.import_module(module), function)
    return inspect.getclosurevars(run).nonlocals["module"]


def program_and_arguments(command):
    """A command's module, such as bert_tf.tools.serve, and what follows it."""
    python, *arguments = shlex.split(command)
    if python != "python":
        return program_of_script(python), arguments
    program = arguments.pop(0)
    program = arguments.pop(0) if program == "-m" else program
    return program.removesuffix(".py"), arguments


@pytest.mark.parametrize("command", list(commands()))
def test_every_command_parses(command):
    program, arguments = program_and_arguments(command)
    if program == DOCTOR:
        # The command of a program, and perhaps the doctor's own flags.
        program = arguments.pop(0).removesuffix(".py")
        with program_of(DOCTOR).flags() as flags:
            arguments = flags([DOCTOR, *arguments], known_only=True)[1:]
    # Nobody has such a file here.
    arguments = [x for x in arguments if not x.startswith("--flagfile=")]
    with program_of(program).flags() as flags:
        texts = flags([program, *arguments])[1:]
        if program != SEARCH:  # It also takes none.
            assert bool(texts) == (program in TAKE_WORDS)


# Flags of absl, ruff, pip, tensorboard, gunicorn, Beam and Docker.
OTHERS = set(
    "flagfile help helpfull check no logdir preload timeout "
    "direct_num_workers direct_running_mode build entrypoint rm stop".split()
)


def test_every_flag_that_is_named_exists():
    known = set(OTHERS)
    for program in {program_and_arguments(c)[0] for c in commands()}:
        with program_of(program).flags() as flags:
            known.update(flags)
    for page in PAGES:
        for flag in re.findall(r"(?<![\w-])--(\w+)", prose(page)):
            assert {flag, flag.removeprefix("no")} & known, (page, flag)


def test_the_file_tree_is_whole():
    trees = [block for block in blocks("") if "run_classifier.py  " in block]
    assert len(trees) == 2  # The one of folders, and the whole one.
    named, folders = set(), []
    for line in "".join(trees).strip().split("\n"):
        depth = (len(line) - len(line.lstrip())) // 4
        name = line.split()[0]
        folders[depth:] = [name]
        named.add("".join(folders))
    for path in named:
        assert (ROOT / path).exists(), path
    modules = {
        str(path.relative_to(ROOT))
        for path in [*ROOT.glob("*.py"), *(ROOT / "bert_tf").rglob("*.py")]
        if path.name != "__init__.py"
    }
    assert modules <= named, modules - named


def test_the_reviews_example_writes_what_cola_reads(tmp_path, monkeypatch):
    (example,) = [b for b in blocks("python") if "reviews.csv" in b]
    with open(tmp_path / "reviews.csv", "w", newline="") as writer:
        rows = csv.writer(writer)
        rows.writerow(["text", "stars"])
        for i in range(5003):
            rows.writerow([f'He said "great",\nfilm {i}\tindeed', i % 5 + 1])
    monkeypatch.chdir(tmp_path)
    exec(example, {})
    processor = get_task("cola").processor
    sizes = {}
    for name in ("train", "dev", "test"):
        examples = processor.get_examples("data", name)
        sizes[name] = len(examples)
        assert examples[0].text_a.startswith('He said "great", film ')
        assert {e.label for e in examples} <= {"0", "1", None}
    assert sizes == {"train": 4000, "dev": 1000, "test": 3}
    # The step that the second command names: one epoch in batches of 32.
    assert (
        "bert_output/model.ckpt-125" in PAGES["docs/tasks.md"]
        and 4000 // 32 == 125
    )


def test_a_task_of_your_own(tmp_path, monkeypatch):
    (example,) = [b for b in blocks("python") if "QuestionsProcessor" in b]
    assert len(example.strip().split("\n")) < 25
    monkeypatch.setattr(registry, "TASKS", dict(registry.TASKS))
    exec(example, vars(registry) | {"__name__": "example"})
    rows = "7\tHow many?\tnumber\n8\tWho?\tperson\n"
    (tmp_path / "train.tsv").write_text(rows)
    settings = registry.TaskSettings(data_dir=str(tmp_path))
    found, problem = get_task("questions").read(["train"], settings, {})
    assert problem.labels == ["number", "person", "place"]
    examples = [(e.guid, e.text_a, e.label) for e in found["train"]]
    assert examples == [
        ("train-7", "How many?", "number"),
        ("train-8", "Who?", "person"),
    ]


def test_the_python_example_runs():
    (example,) = [b for b in blocks("python") if "*tokenizer.tokenize(" in b]
    folder = shared("checkpoints/uncased_L-6_H-384_A-12_minilm")
    example = example.replace("bert-base-uncased", str(folder))
    names = {}
    exec(example, names)
    shape = names["outputs"]["sequence_output"].shape
    assert shape == tf.TensorShape([1, 6, 384])


@pytest.mark.slow
def test_the_preprocessing_example_runs():
    (example,) = [b for b in blocks("python") if "tokenize_with_offsets(" in b]
    folder = shared("checkpoints/uncased_L-6_H-384_A-12_minilm")
    example = example.replace("bert-base-uncased", str(folder))
    lines = example.strip().split("\n")
    lines[-2:] = [f"found = {lines[-2]}", f"words = {lines[-1]}"]
    names = {}
    exec("\n".join(lines), names)
    assert names["found"] == "Caf\u00e9"
    assert names["words"].numpy().tolist() == [b"cafe zoe"]
    assert names["batch"]["segment_ids"].shape == (2, 16)
    (first, _) = names["dataset"].unbatch()
    assert first["input_ids"].shape == (16,)
