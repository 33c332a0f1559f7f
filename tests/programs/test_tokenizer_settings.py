"""The tokenizer's settings: from the flags to the answers of an export."""

import dataclasses
import json

import pytest
from support.programs import RUN_CLASSIFIER, SMALL_CONFIG
from support.programs import program_of as program

from bert_tf.export.predictor import Predictor
from bert_tf.export.saved_models import DESCRIPTION
from bert_tf.formats.tokenizer_files import write_tokenizer_files
from bert_tf.programs import run_record
from bert_tf.tokenization import FullTokenizer, TokenizerSettings

pytestmark = pytest.mark.slow  # A whole run.

SETTINGS = TokenizerSettings(strip_accents=False, tokenize_chinese_chars=False)
LETTERS = "abcdeé\u0301"
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, "中国", "中"]
VOCAB += [*(f"##{c}" for c in LETTERS), "##国", "国", "!"]
TEXTS = ["É ab 中国", "abe\u0301 中a中国", "中国中! Cé"]
EXPECTED = ["é", "a", "##b", "中国"]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A run that was trained with a tokenizer.json, and exported."""
    folder = tmp_path_factory.mktemp("settings")
    write_tokenizer_files(str(folder / "hub"), VOCAB, SETTINGS)
    (folder / "hub" / "vocab.txt").unlink()
    (folder / "config.json").write_text(json.dumps(SMALL_CONFIG))
    rows = "".join(f"{'xy'[i % 2]},{TEXTS[i % 3]}\n" for i in range(24))
    (folder / "train.csv").write_text(f"label,text\n{rows}", encoding="utf-8")
    RUN_CLASSIFIER.run(
        task_name="csv",
        train_file=str(folder / "train.csv"),
        text_column="text",
        label_column="label",
        dev_fraction=0.25,
        vocab_file=str(folder / "hub" / "tokenizer.json"),
        bert_config_file=str(folder / "config.json"),
        strip_accents=False,
        tokenize_chinese_chars=False,
        do_train=True,
        do_export=True,
        max_seq_length=16,
        train_batch_size=8,
        num_train_epochs=1.0,
        output_dir=str(folder / "run"),
    )
    (folder / "hub" / "tokenizer.json").unlink()
    return folder / "run"


@pytest.mark.thorough
def test_a_run_keeps_them_and_its_vocabulary(run_folder):
    lines = (run_folder / "vocab.txt").read_text("utf-8").splitlines()
    assert lines == VOCAB
    flags = run_record.flags_of(run_record.read(str(run_folder)))
    assert TokenizerSettings.of(flags) == SETTINGS


def test_a_later_command_takes_them_over(run_folder):
    """The run's tokenizer.json is gone: its own copy is read."""
    new = run_folder.parent / "new.csv"
    new.write_text(f"text\n{TEXTS[0]}\n", encoding="utf-8")
    values = {"test_file": str(new), "output_dir": str(run_folder)}
    with RUN_CLASSIFIER.flags(do_predict=True, **values) as flags:
        RUN_CLASSIFIER.main()
        found = TokenizerSettings.of(flags.flag_values_dict())
        assert found == SETTINGS
        assert flags.vocab_file == str(run_folder / "vocab.txt")


def test_an_export_reads_texts_as_the_tokenizer(run_folder):
    export = run_folder / "export"
    assert (export / "assets").is_dir()
    tokenizer = FullTokenizer(
        str(run_folder / "vocab.txt"), **SETTINGS.tokenizer_arguments()
    )
    assert tokenizer.tokenize(TEXTS[0]) == EXPECTED
    predictor = Predictor(str(export))
    description = json.loads((export / DESCRIPTION).read_text("utf-8"))
    assert TokenizerSettings.of(description) == SETTINGS
    for texts in (TEXTS, TEXTS * 40):  # Few in Python, many in the graph.
        for text, request in zip(texts, predictor.prepare(texts), strict=True):
            tokens = ["[CLS]", *tokenizer.tokenize(text), "[SEP]"]
            ids = request.ids["input_ids"]
            expected = tokenizer.convert_tokens_to_ids(tokens)
            assert ids[ids > 0].tolist() == [i for i in expected if i]


def test_the_tools_pass_them_on(run_folder, tmp_path):
    tool = program("bert_tf.tools.create_pretraining_data")
    text = tmp_path / "text.txt"
    text.write_text("\n".join(TEXTS), encoding="utf-8")
    with tool.flags(
        vocab_file=str(run_folder / "vocab.txt"),
        input_file=str(text),
        output_file=str(tmp_path / "out"),
        strip_accents=False,
        tokenize_chinese_chars=False,
    ):
        maker = tool.module.read_flags()
        tokens = tool.module.pretraining_shards.vocabulary(
            maker.vocab_file, maker.tokenizer_settings
        )
        assert maker.tokenizer_settings == SETTINGS
        assert dataclasses.asdict(SETTINGS).items() <= vars(maker).items()
        for text in TEXTS:
            expected = tokens.tokenizer.tokenize(text)
            ids = tokens.tokenizer.convert_tokens_to_ids(expected)
            assert tokens.of_line(text) == ids
        assert tokens.tokenizer.tokenize(TEXTS[0]) == EXPECTED
