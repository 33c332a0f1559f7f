"""Help, and mistakes in flags, before TensorFlow is loaded.

One process without TensorFlow runs all the command lines of this file.
"""

import json
import os
import re
import subprocess
import sys

import pytest
from support.common import ROOT

from bert_tf import extras
from bert_tf.programs import command_line, flag_groups

PROGRAMS = ("run_classifier", "run_squad", "run_pretraining")
TOOLS = (
    "benchmark",
    "build_normalization",
    "build_vocab",
    "convert_checkpoint",
    "create_pretraining_data",
    "doctor",
    "evaluate_squad",
    "explain",
    "export_model",
    "export_static",
    "extract_features",
    "fill_mask",
    "models",
    "predict",
    "report",
    "search",
    "serve",
    "soak",
    "split_sentences",
    "train_embeddings",
    "tune",
)
# Parts of other tools, which nobody runs.
PARTS = {
    *("__init__", "beam_runner", "shard_run", "predict_run", "vector_formats"),
    *("doctor_data", "doctor_examination", "doctor_labels", "doctor_run"),
    "doctor_steps",
    *("beam_answers", "beam_rows", "beam_vectors", "row_shards", "row_work"),
    *("explain_output", "serve_flags", "serve_folders", "serve_grpc"),
    *(
        "search_run",
        "beam_answers",
        "beam_rows",
        "beam_vectors",
        "row_shards",
        "row_work",
    ),
    "explain_output",
    *("explain_output", "vocab_cut"),
}

# Reads [[name, argument, …], …]; writes [[status, stdout, stderr], …].
RUNNER = """
import contextlib, copy, io, json, runpy, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ImportError(f"{name} is blocked")

BLOCKED = {"tensorflow", "tensorflow_text", "keras", "sklearn", "scipy"}
sys.meta_path.insert(0, Blocked())
from absl import app, flags, logging

def copies(values):
    return {name: copy.copy(value) for name, value in values.items()}

before = copies(vars(flags.FLAGS))
results = []
for name, *arguments in json.load(sys.stdin):
    vars(flags.FLAGS).update(copies(before))
    app._define_help_flags_called = False
    is_tool = not name.startswith("run_")
    sys.argv = [f"{name}.py", *arguments]
    out, err, status = io.StringIO(), io.StringIO(), 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            if is_tool:
                module = f"bert_tf.tools.{name}"
                runpy.run_module(module, run_name="__main__", alter_sys=True)
            else:
                runpy.run_path(f"{name}.py", run_name="__main__")
    except SystemExit as end:
        status = end.code or 0
    except ImportError as error:
        status = str(error)
    results.append([status, out.getvalue(), err.getvalue()])
assert not BLOCKED & set(sys.modules)
json.dump(results, sys.stdout)
"""

HOME = os.path.expanduser("~")
NEW = ("--do_train", "--output_dir=/tmp/new")
SMS = ("--task_name=sms", *NEW)
CSV = ("--task_name=csv", "--vocab_file=v", "--bert_config_file=c", *NEW)
SQUAD = ("--vocab_file=v", "--bert_config_file=c", "--output_dir=/tmp/new")
VECTORS = ("--train_file=README.md", *NEW)
EMBED = ("--input_file=README.md", "--output_file=/tmp/new.npy")

# (program, arguments, what was probably meant).
TYPOS = [
    ("run_classifier", ["--num_epochs=3"], "--num_train_epochs"),
    ("run_classifier", ["--epochs=3"], "--num_train_epochs"),
    ("run_classifier", ["--lr=1e-4"], "--learning_rate"),
    ("run_classifier", ["--batch_size=8"], "--train_batch_size"),
    ("run_classifier", ["--model=bert"], "--init_checkpoint"),
    ("run_classifier", ["--checkpoint=x.ckpt"], "--init_checkpoint"),
    ("run_classifier", ["--data=glue"], "--data_dir"),
    ("run_classifier", ["--output=/tmp/x"], "--output_dir"),
    ("run_classifier", ["--max_length=64"], "--max_seq_length"),
    ("run_classifier", ["--max_len=64"], "--max_seq_length"),
    ("run_classifier", ["--seq_length=64"], "--max_seq_length"),
    ("run_classifier", ["--max-seq-length=64"], "--max_seq_length"),
    ("run_classifier", ["--vocab=v.txt"], "--vocab_file"),
    ("run_classifier", ["--train"], "--do_train"),
    ("run_classifier", ["--train=train.csv"], "--train_file"),
    ("run_classifier", ["--nodo_trian"], "--nodo_train"),
    ("run_classifier", ["--learing_rate=1e-4"], "--learning_rate"),
    ("run_classifier", ["--warmup_ratio=0.1"], "--warmup_proportion"),
    ("run_classifier", ["--do_train", "True"], "--do_train=true"),
    ("run_squad", ["--eval"], "--do_eval"),
    ("run_squad", ["--version_2"], "--version_2_with_negative"),
    ("run_pretraining", ["--epochs=3"], "--num_train_steps"),
    ("run_pretraining", ["--warmup_ratio=0.1"], "--num_warmup_steps"),
    ("predict", ["--checkpoint=x"], "--model"),
    ("predict", ["--in_file=x"], "--input"),
    ("serve", ["--models=a=b"], "--model"),
    ("build_vocab", ["--vocabsize=100"], "--vocab_size"),
    ("extract_features", ["--output=x"], "--output_file"),
    # Values.
    ("run_classifier", ["--optimizer=adam"], "adamw"),
    ("run_classifier", ["--long_documents=window"], "windows"),
    ("run_classifier", [*SMS, "--class_weights=balance"], "'balanced'"),
    ("run_classifier", [*SMS, "--freeze_layers=encodr"], "'encoder'"),
    (
        "run_squad",
        [*SQUAD, "--do_export", "--metric_for_best=exactmatch"],
        "exact_match",
    ),
    ("train_embeddings", ["--loss=cossine"], "cosine"),
    ("benchmark", ["--what=tokeniser"], "tokenizer"),
    ("models", ["lst"], "list"),
    # Tasks, whatever else is missing.
    *(
        ("run_classifier", [f"--task_name={written}"], meant)
        for written, meant in {
            "smss": "sms",
            "SST2": "sst-2",
            "stsb": "sts-b",
            "mnli_mm": "mnli-mm",
            "conll": "ner",
            "conll2003": "ner",
            "json": "jsonl",
            "cvs": "csv",
            "relation": "relations",
        }.items()
    ),
    ("benchmark", ["--task_name=sst2"], "sst-2"),
]

# (program, arguments, a part of the message): mistakes that need no files.
MISTAKES = [
    (
        "run_classifier",
        [*SMS, "--do_train", "--few_shot", "--teacher=."],
        "--teacher=.: not with --few_shot",
    ),
    (
        "run_classifier",
        [*SMS, "--distill_weight=0.5"],
        "--distill_weight=0.5: only with --teacher",
    ),
    (
        "run_classifier",
        [*SMS, "--unlabelled_file=README.md"],
        "--unlabelled_file=README.md: only with --teacher",
    ),
    (
        "run_classifier",
        ["--task_name=sms", "--do_eval", "--output_dir=docs", "--teacher=x"],
        "--teacher=x: only with --do_train",
    ),
    (
        "run_classifier",
        ["--task_name=ner", *NEW, "--unlabelled_file=README.md"],
        "--unlabelled_file=README.md: --task_name=ner does not use it",
    ),
    (
        "run_classifier",
        [*SMS, "--teacher=bert-base-uncased"],
        "--teacher=bert-base-uncased: a pretrained model, which answers",
    ),
    (
        "run_classifier",
        [*SMS, "--teacher=demo"],
        "--teacher=demo: a pretrained model, which answers nothing yet",
    ),
    (
        "run_classifier",
        [*SMS, "--teacher=docs"],
        "--teacher=docs: no model here, but",
    ),
    (
        "run_classifier",
        [*SMS, "--teacher=bert-bse-uncased"],
        "--teacher=bert-bse-uncased: no such file or folder, and no released",
    ),
    (
        "run_classifier",
        [*SMS, "--do_train", "--few_shot", "--eval_steps=5"],
        "--eval_steps=5: not with --few_shot",
    ),
    (
        "run_classifier",
        [*SMS, "--do_train", "--few_shot", "--classifier_dropout=0.3"],
        "--classifier_dropout=0.3: not with --few_shot",
    ),
    (
        "run_classifier",
        ["--task_name=sms", "--do_eval", "--output_dir=docs", "--few_shot"],
        "--few_shot=True: only with --do_train",
    ),
    (
        "run_classifier",
        [*SMS, "--teacher="],
        "--teacher=: an empty name: it must be a name or a folder",
    ),
    ("search", ["--model=."], "give --corpus, --index, or both"),
    (
        "export_static",
        ["--export_dir=/tmp/x", "--label_column=x"],
        "--label_column=x: only with --train_file",
    ),
    ("run_classifier", ["--task_name=squad"], "run_squad.py answers questions"),
    ("run_classifier", ["--task_name=SQuAD2.0"], "run_squad.py answers"),
    ("run_classifier", ["--task_name=xyzzy"], "no such task; known are cola,"),
    ("run_classifier", ["--xyzzy=1"], "--xyzzy: no such flag; --help lists"),
    ("run_classifier", ["train.csv"], "'train.csv': not a flag (flags start"),
    ("run_classifier", ["--seed=x"], "flag --seed=x: must be a whole number"),
    ("run_classifier", [*SMS, "--coverage=90"], "; did you mean 0.9?"),
    (
        "run_classifier",
        ["--flagfile=REDME.md"],
        "--flagfile=REDME.md: No such file or directory; did you mean 'README",
    ),
    ("run_classifier", ["--flagfile"], "--flagfile: must be given as"),
    ("run_classifier", ["--flagfile="], "--flagfile=: must name a file"),
    ("run_classifier", ["--do_train=yess"], "=yess: must be true or false"),
    ("run_classifier", ["--num_train_epochs=x"], "=x: must be a"),
    (
        "run_classifier",
        ["--learning_rate=-1"],
        "flag --learning_rate=-1: must be a non-negative number",
    ),
    (
        "run_classifier",
        ["--do_predict", "--output_dir=/tmp/no_such_run"],
        "--output_dir=/tmp/no_such_run: holds no run",
    ),
    ("run_classifier", ["--task_name=sms"], "--output_dir must be given"),
    (
        "run_classifier",
        ["--task_name=sms", "--output_dir=/tmp/new"],
        "At least one of --do_train, --do_eval",
    ),
    (
        "run_classifier",
        ["--task_name=csv", "--vocab_file=v", *NEW],
        "--bert_config_file must be given too",
    ),
    ("run_classifier", [*CSV], "--train_file must be given"),
    ("run_classifier", [*CSV, "--data_dir=x"], "csv does not use it"),
    (
        "run_classifier",
        [*CSV, "--train_file=README.md", "--label_column=text"],
        "--label_column=text: this is the --text_column",
    ),
    (
        "run_classifier",
        [*CSV, "--train_file=README.md", "--delimiter=ab"],
        "--delimiter=ab: must be one ASCII character",
    ),
    (
        "run_classifier",
        [*CSV, "--train_file=README.md", "--dev_fraction=1"],
        "--dev_fraction=1.0: must be at least 0 and below 1",
    ),
    ("run_classifier", [*SMS, "--export_tflite"], "only with --do_export"),
    (
        "run_classifier",
        [*SMS, "--num_seeds=2"],
        "--num_seeds=2 needs --do_eval",
    ),
    (
        "run_classifier",
        [*SMS, "--early_stopping_patience=2"],
        "needs --eval_steps",
    ),
    (
        "run_classifier",
        [*SMS, "--gradient_accumulation_steps=3"],
        "--train_batch_size=32 does not divide by "
        "--gradient_accumulation_steps=3: use 30 or 33",
    ),
    (
        "run_classifier",
        [*SMS, "--use_tpu", "--distribution_strategy=mirrored"],
        "--use_tpu: not with --distribution_strategy=mirrored",
    ),
    (
        "run_classifier",
        [*SMS, "--cpu_replicas=2", "--distribution_strategy=tpu"],
        "--cpu_replicas=2: these are for one process",
    ),
    ("run_squad", [*SQUAD, "--do_train"], "--train_file must be given"),
    (
        "run_squad",
        [*SQUAD, "--do_export", "--max_query_length=382"],
        "--max_query_length=382: with the 3 special",
    ),
    ("run_pretraining", [*SQUAD[1:], "--do_train"], "--input_file must be"),
    ("predict", ["--model=x"], "--input must be given"),
    ("serve", ["--model=x"], "--model=x: must be NAME=FOLDER"),
    ("serve", ["--model=x=.", "--max_queue=9"], "exceeds --max_queue=9"),
    ("serve", ["--model=x=.", "--tls_cert=a"], "--tls_cert needs --tls_key"),
    ("serve", ["--model=x=.", "--api_key_file=/no"], "--api_key_file=/no: No"),
    (
        "extract_features",
        [*EMBED, "--pooling=none", "--output_format=npy"],
        "--pooling=none: texts have different numbers of tokens",
    ),
    ("train_embeddings", [NEW[1]], "At least one of --do_train, --do_eval"),
    ("train_embeddings", [*NEW], "--train_file must be given"),
    (
        "train_embeddings",
        [NEW[1], "--do_export", "--do_eval"],
        "--do_eval needs --dev_file, --retrieval_dir or both",
    ),
    (
        "train_embeddings",
        [*VECTORS, "--retrieval_split=test"],
        "--retrieval_split=test: only with --retrieval_dir",
    ),
    (
        "train_embeddings",
        [*VECTORS, "--train_on=scored", "--loss=triplet"],
        "--loss=triplet: not for scored: cosent or cosine is",
    ),
    (
        "train_embeddings",
        [*VECTORS, "--train_on=pairs", "--train_batch_size=1"],
        "--train_batch_size=1: a batch of one row has nothing to be",
    ),
    (
        "train_embeddings",
        [*VECTORS, "--train_on=triples", "--score_range=0,5"],
        "--score_range=0,5: not with --loss=in_batch_negatives",
    ),
    (
        "train_embeddings",
        [*VECTORS, "--matryoshka_sizes=64,64"],
        "--matryoshka_sizes=64,64: different whole numbers from 1",
    ),
    ("fill_mask", [" "], "no text is given, such as "),
    ("fill_mask", ["a\udcff"], r"'a\udcff': is not UTF-8"),
    ("search", ["--model=x", "--", "\udcff"], r"'\udcff': is not UTF-8"),
    ("report", [], "name the folder of a run"),
    ("report", ["/no/such"], "/no/such: no such folder"),
    ("models", ["path"], "path: the name of one model must follow"),
    ("models", ["list", "bert-tiny"], "list: nothing else must follow, not"),
    ("models", ["remove", "demo"], "demo: comes with the package"),
    (
        "models",
        ["path", "bert-tini"],
        "'bert-tini': no released model has this name; did you mean bert-tiny?",
    ),
    ("export_model", ["--output_dir=x"], "--export_dir must be given"),
    # Places that cannot be written.
    (
        "run_classifier",
        ["--task_name=sms", "--do_train", "--output_dir=README.md/a/b"],
        "--output_dir=README.md/a/b: cannot be written: ",
    ),
    (
        "run_classifier",
        ["--task_name=sms", "--do_train", "--output_dir=/proc/no/where"],
        "--output_dir=/proc/no/where: cannot be written: /proc: ",
    ),
    (
        "run_classifier",
        ["--task_name=sms", "--do_train", "--output_dir=README.md"],
        "--output_dir=README.md: this is a file",
    ),
    (
        "run_classifier",
        ["--task_name=sms", "--do_train", "--output_dir="],
        "--output_dir=: a folder is needed",
    ),
    (
        "run_pretraining",
        [
            "--do_train",
            "--input_file=x",
            "--bert_config_file=README.md",
            "--output_dir=README.md/a",
        ],
        "--output_dir=README.md/a: cannot be written: ",
    ),
    (
        "run_squad",
        [*SQUAD[:2], "--do_export", "--output_dir=README.md/a"],
        "--output_dir=README.md/a: cannot be written: ",
    ),
    (
        "predict",
        ["--model=docs", "--input=README.md", "--output=README.md/a"],
        "--output=README.md/a: cannot be written: ",
    ),
    ("export_model", ["--export_dir=README.md/a"], "=README.md/a: cannot be"),
    ("export_model", ["--export_dir="], "--export_dir=: a folder is needed"),
    (
        "extract_features",
        ["--input_file=README.md", "--output_file=README.md/a"],
        "--output_file=README.md/a: cannot be written: ",
    ),
    (
        "split_sentences",
        ["--input_file=README.md", "--output_file=README.md/a"],
        "--output_file=README.md/a: cannot be written: ",
    ),
    (
        "build_vocab",
        ["--input_file=README.md", "--output_file=README.md/a"],
        "--output_file=README.md/a: cannot be written: ",
    ),
    (
        "convert_checkpoint",
        ["--init_checkpoint=x", "--output_checkpoint=README.md/a"],
        "--output_checkpoint=README.md/a: cannot be written: ",
    ),
]
# (program, arguments, the argument as it is shown, what was meant).
CHANGED = [
    # Lines that were meant to continue.
    (
        "run_classifier",
        [" --task_name=sms"],
        "' --task_name=sms'",
        "--task_name=sms",
    ),
    ("run_classifier", ["--do_train", "\\"], "'\\'", "its last character"),
    ("run_classifier", ["--do_train", "\\ "], "'\\ '", "its last character"),
    ("run_classifier", [*SMS, "\r"], "'\\r'", "convert the script"),
    ("run_classifier", ["--seed=1\r"], "'--seed=1\\r'", "convert the script"),
    # Dashes, quotation marks and characters that cannot be seen.
    ("run_classifier", ["–do_train"], "'–do_train'", "--do_train?"),
    ("run_classifier", ["—seed=3"], "'—seed=3'", "--seed=3?"),
    ("run_classifier", ["−−do_train"], "U+2212", "--do_train?"),
    ("run_classifier", ["--do–train"], "'--do–train'", "--do_train?"),
    ("run_squad", ["--max‑seq_length=9"], "U+2011", "--max_seq_length=9?"),
    ("run_classifier", ["--learning_rate=2e−5"], "'2e−5'", "=2e-5?"),
    (
        "run_classifier",
        ["\u200b--do_train"],
        "'\\u200b--do_train'",
        "--do_train?",
    ),
    ("fill_mask", ["—top_k=3", "a text"], "'—top_k=3'", "--top_k=3?"),
    ("run_classifier", ["--task_name=“sms”"], "'“sms”'", "--task_name=sms?"),
    ("run_classifier", ['--task_name="sms'], "'\"sms'", "--task_name=sms?"),
    ("run_classifier", ["'--do_train'"], "\"'--do_train'\"", "--do_train?"),
    ("run_classifier", ["--optimizer='lamb'"], "\"'lamb'\"", "mean lamb?"),
    ("predict", ["--model=‘x’"], "'‘x’'", "--model=x?"),
    ("run_squad", ["--train_file=\ufeffx"], "'\\ufeffx'", "--train_file=x?"),
    (
        "run_classifier",
        ["--task_name=sms\xa0--do_train"],
        "'sms\\xa0--do",
        "--do_train:",
    ),
    (
        "run_classifier",
        ["--data_dir=x --do_eval"],
        "'x --do_eval'",
        "--do_eval:",
    ),
    # Blanks, colons and commas, as in other languages.
    ("run_classifier", ["--do_train=yes"], "=yes: must be", "--do_train=true?"),
    ("run_classifier", ["--do_train", "=", "true"], "'='", "--do_train=true,"),
    (
        "run_classifier",
        ["--task_name", "=", "sms"],
        "'--task_name = sms'",
        "--task_name=sms,",
    ),
    (
        "run_classifier",
        ["--output_dir", "=/tmp/x"],
        "'--output_dir =/tmp/x'",
        "--output_dir=/tmp/x,",
    ),
    (
        "run_classifier",
        ["--output_dir=", "x"],
        "'--output_dir= x'",
        "--output_dir=x,",
    ),
    ("run_classifier", ["--output_dir==x"], "'=x'", "--output_dir=x?"),
    (
        "run_classifier",
        ["--train_file", "--dev_file=x"],
        "'--dev_file=x'",
        "--train_file=VALUE",
    ),
    (
        "run_classifier",
        ["--do_train:", "true"],
        "--do_train:",
        "--do_train=true?",
    ),
    (
        "run_classifier",
        ["--do_train: false"],
        "'--do_train: false'",
        "--do_train=false?",
    ),
    (
        "run_classifier",
        ["task_name=sms"],
        "'task_name=sms'",
        "--task_name=sms?",
    ),
    (
        "run_classifier",
        ["--train_batch_size=32,"],
        "=32,: must",
        "--train_batch_size=32?",
    ),
    (
        "run_classifier",
        ["--output_dir=/tmp/new,"],
        "'/tmp/new,'",
        "--output_dir=/tmp/new?",
    ),
    (
        "build_vocab",
        ["--vocab_size=1,000"],
        "=1,000: must",
        "--vocab_size=1000?",
    ),
    (
        "run_classifier",
        ["--nodo_train=true"],
        "'--nodo_train=true'",
        "write --nodo_train, or --do_train=true",
    ),
    ("run_squad", ["--learning_rate=0,01"], "=0,01: must", "=0.01?"),
    # What a shell or a notebook did not replace.
    ("run_classifier", ["--data_dir=~/x"], "'~/x'", f"--data_dir={HOME}/x?"),
    ("serve", ["--model=a=~/m"], "'a=~/m'", f"--model=a={HOME}/m?"),
    ("export_model", ["--export_dir=~/m"], "'~/m'", f"--export_dir={HOME}/m?"),
    (
        "run_squad",
        ["--vocab_file=$NO_DIR/v"],
        "'$NO_DIR/v'",
        "$NO_DIR was not replaced",
    ),
    (
        "run_squad",
        ["--output_dir=/tmp/${NO}x"],
        "'/tmp/${NO}x'",
        "${NO} was not",
    ),
    ("run_squad", ["--output_dir=%OUT%/x"], "'%OUT%/x'", "%OUT% was not"),
    ("run_squad", ["--output_dir={out}"], "'{out}'", "{out} was not replaced"),
    (
        "run_classifier",
        [*CSV, "--train_file=/no.csv"],
        "--train_file=/no.csv",
        "before /no.csv empty",
    ),
]
NO_FLAGS = [name for name in (*PROGRAMS, *TOOLS) if "b" != name[0]]


@pytest.fixture(scope="module")
def results():
    """{command line: (status, stdout, stderr)} of all of this file."""
    commands = [[name, "--help"] for name in (*PROGRAMS, *TOOLS)]
    commands += [["run_classifier", "--helpfull"], ["serve", "--helpshort"]]
    commands += [[name] for name in (*NO_FLAGS, "build_vocab")]
    commands += [[name, *rest] for name, rest, _ in (*TYPOS, *MISTAKES)]
    commands += [[name, *rest] for name, rest, *_ in CHANGED]
    done = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(map(tuple, commands), json.loads(done.stdout), strict=True))


def test_these_are_all_the_tools():
    files = {path.stem for path in (ROOT / "bert_tf/tools").glob("*.py")}
    assert files - PARTS == {*TOOLS}


@pytest.mark.parametrize("name", [*PROGRAMS, *TOOLS])
def test_help(results, name):
    status, text, errors = results[name, "--help"]
    assert (status, errors) == (0, "")
    path = ROOT / f"{name}.py"
    if name in TOOLS:
        path = ROOT / "bert_tf" / "tools" / f"{name}.py"
    source = path.read_text(encoding="utf-8")
    first = source.removeprefix('"""').split("\n")[0].removesuffix('"""')
    assert text.startswith(first)
    # Flags of libraries do not hide ours.
    assert "pdb" not in text and "verbosity" not in text


def test_help_describes_flags(results):
    text = results["run_classifier", "--help"][1]
    required = ["--task_name=TEXT (required)", "--output_dir=FOLDER (required)"]
    found = [line.strip() for line in text.split("\n") if line[:4] == "  --"]
    assert found[:2] == required
    assert len(found) == len(set(found)) > 70
    for line in (
        "--[no]do_train (default: false)",
        "--max_seq_length=NUMBER (at least 3)",
        "--warmup_proportion=NUMBER (default: 0.1; 0 to 1)",
        "--optimizer=adamw|lamb (default: adamw)",
    ):
        assert line in found
    text = results["serve", "--help"][1]
    assert "--model=TEXT (several times) (required)" in text
    assert "repeat this option" not in text


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_has_each_flag_under_one_heading(results, name):
    lines = results[name, "--help"][1].split("\n")
    assert max(map(len, lines)) <= 78
    titles = [line[:-1] for line in lines if re.fullmatch(r"\w[\w ]+:", line)]
    titles = titles[titles.index(flag_groups.REQUIRED) :]
    assert len(titles) == len({*titles}) > 6
    assert titles[-1] == flag_groups.FILES
    # What defines a flag says its heading, see `flag_groups`.
    assert flag_groups.OWN not in titles
    found = [line.split("=")[0] for line in lines if line[:4] == "  --"]
    assert len(found) == len({*found}) > 40


def test_help_fits_a_narrow_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")
    command = "    python -m this --flag=" + 50 * "x"
    text = command_line.help_text(f"{'a word ' * 20}\n\n{command}", ())
    first, *more = text.split("\n\n")
    assert more[0] == command
    assert [len(line) for line in first.split("\n")] == [48, 48, 41]


def test_helpfull_describes_flags_of_libraries_after_ours(results):
    status, text, _ = results["run_classifier", "--helpfull"]
    ours = results["run_classifier", "--help"][1]
    assert status == 0 and text.startswith(ours)
    assert "--verbosity=NUMBER" in text[len(ours) :]
    short = results["serve", "--helpshort"]
    assert short == results["serve", "--help"]


def test_help_takes_no_time():
    # The processor's time: other work on the machine does not count.
    start = os.times()
    done = subprocess.run(
        [sys.executable, "run_classifier.py", "--help"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0 and "--learning_rate" in done.stdout
    end = os.times()
    user = end.children_user - start.children_user
    assert user + end.children_system - start.children_system < 3


@pytest.mark.parametrize("name", [*NO_FLAGS, "build_vocab"])
def test_without_flags_an_example_is_shown(results, name):
    status, text, errors = results[(name,)]
    assert (status, text) == (1, "")
    (line,) = errors.strip().split("\n")
    example = re.search(r"for example: python (\S+)(?: (\S+))? ", line)
    assert example[1] == f"{name}.py" or example[2] == f"bert_tf.tools.{name}"
    assert line.endswith("(--help lists all flags)")


@pytest.mark.parametrize("name, arguments, meant", TYPOS)
def test_a_typo_is_answered_with_what_was_meant(
    results, name, arguments, meant
):
    status, text, errors = results[name, *arguments]
    assert (status, text) == (1, "")
    (line,) = errors.strip().split("\n")[-1:]
    assert line.startswith(f"{name}.py: ")
    assert line.endswith(f"; did you mean {meant}?")


@pytest.mark.parametrize("name, arguments, written, meant", CHANGED)
def test_an_argument_that_was_changed_is_shown_and_explained(
    results, name, arguments, written, meant
):
    status, text, errors = results[name, *arguments]
    assert (status, text) == (1, "")
    (line,) = errors.strip("\n").split("\n")
    assert line.startswith(f"{name}.py: ")
    place = line.index(written)
    assert meant in line[place + len(written) - 1 :]


@pytest.mark.parametrize("name, arguments, message", MISTAKES)
def test_a_mistake_is_found_without_tensorflow(
    results, name, arguments, message
):
    if name == "serve" and extras.missing("serving"):
        pytest.skip("the packages of the server are absent")
    status, text, errors = results[name, *arguments]
    assert (status, text) == (1, "")
    (line,) = errors.strip().split("\n")[-1:]
    assert line.startswith(f"{name}.py: ")
    assert message in line
