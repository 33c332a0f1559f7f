"""The benchmark, as people run it."""

import json

import pytest
from support.common import ROOT, run_module
from support.programs import last_line, program_of, run_here
from support.squad_files import squad_data, write_json

from bert_tf.errors import UserError

BENCHMARK = program_of("bert_tf.tools.benchmark")


def run(*arguments):
    return run_module("bert_tf.tools.benchmark", *arguments)


@pytest.mark.slow
def test_it_prints_tables(tmp_path):
    predict_file = write_json(tmp_path / "squad.json", squad_data())
    corpus = tmp_path / "text.txt"
    corpus.write_text("You win a prize.\nOr not.\n\nIt is so.\n" * 20)
    done = run(
        "--what=tokenizer,input,squad,pretraining",
        "--rounds=1",
        f"--predict_file={predict_file}",
        f"--corpus={corpus}",
    )
    assert done.returncode == 0, done.stderr
    rows = {
        cells[1]: cells[2]
        for cells in (
            [cell.strip() for cell in line.split("|")]
            for line in done.stdout.splitlines()
            if line.startswith("|")
        )
    }
    for name in ("in the graph", "from the file", "the plain way", "plain"):
        assert float(rows[name].replace(",", "")) > 0
    assert "To the first batch: " in done.stdout
    assert "from memory, by length: " in done.stdout


@pytest.mark.slow
def test_recomputation_halves_the_memory_of_a_step(tmp_path):
    config = {
        "vocab_size": 1000,
        "hidden_size": 256,
        "num_hidden_layers": 12,
        "num_attention_heads": 4,
        "intermediate_size": 1024,
        "max_position_embeddings": 512,
        "type_vocab_size": 2,
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))

    def gigabytes(*settings):
        done = run(
            "--what=one_step",
            "--batch_size=8",
            "--max_seq_length=512",
            f"--bert_config_file={path}",
            *settings,
        )
        assert done.returncode == 0, done.stderr
        return float(done.stdout.split()[-1])

    assert gigabytes("--remat") <= gigabytes() / 2


@pytest.mark.parametrize(
    "what, message",
    [
        ("speed", "--what=speed: known are tokenizer, input, squad"),
        ("serving", "--model must be given"),
    ],
)
def test_wrong_flags_are_refused(what, message):
    with pytest.raises(UserError, match=message):
        BENCHMARK.run(what=[what])


def test_a_file_that_is_missing_is_named():
    path = f"{ROOT}/tests/golden/x.json"
    with pytest.raises(FileNotFoundError) as error:
        BENCHMARK.run(input_file=[path])
    assert error.value.filename == path


def test_a_mistake_is_one_line():
    done = run_here("bert_tf/tools/benchmark.py", "--input_file=/x/y")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "/x/y: No such file or directory" in last_line(done)
