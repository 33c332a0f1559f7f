"""Measures speed in ratios: all contestants take turns in one process.

    python -m bert_tf.tools.benchmark --what=tokenizer,input

uses the bundled texts. For other texts:

    python -m bert_tf.tools.benchmark --what=tokenizer \\
        --vocab_file=uncased/vocab.txt --input_file=dev-v1.1.json
    python -m bert_tf.tools.benchmark --what=input \\
        --vocab_file=uncased/vocab.txt --task_name=cola --data_dir=glue/CoLA
    python -m bert_tf.tools.benchmark --what=squad \\
        --vocab_file=uncased/vocab.txt --predict_file=dev-v1.1.json
    python -m bert_tf.tools.benchmark --what=pretraining \\
        --vocab_file=uncased/vocab.txt --corpus='books/*.txt'

The time and memory of a training step depend on the model's size only:

    python -m bert_tf.tools.benchmark --what=step,memory \\
        --bert_config_file=uncased_L-12_H-768_A-12/bert_config.json

The server needs an exported model that reads single texts:

    python -m bert_tf.tools.benchmark --what=serving --model=out/export
"""

from absl import flags

from bert_tf import pretrained
from bert_tf.errors import UserError
from bert_tf.programs import flags as shared_flags
from bert_tf.programs import program, training_flags
from bert_tf.tools.benchmarks import data as data_benchmarks
from bert_tf.tools.benchmarks import pretraining as pretraining_benchmarks
from bert_tf.tools.benchmarks import serving as serving_benchmarks
from bert_tf.tools.benchmarks import training as training_benchmarks

FLAGS = flags.FLAGS

flags.DEFINE_list(
    "what",
    ["tokenizer", "input"],
    "What to measure: tokenizer, input, squad, pretraining, step, memory, "
    "serving.",
)
flags.DEFINE_string(
    "bert_config_file",
    None,
    "step, memory: the size of the model. By default six layers of width 384.",
)
flags.DEFINE_list(
    "shapes",
    ["8x128", "32x128", "8x512"],
    "memory: batch sizes and sequence lengths.",
)
flags.DEFINE_list(
    "input_file",
    None,
    "tokenizer, serving: files with one text per line, or SQuAD files, whose "
    "contexts and questions are taken. By default the texts of the task.",
)
flags.DEFINE_string(
    "task_name",
    pretrained.DEMO_TASK,
    "tokenizer, input, serving: the task whose examples are read.",
)
flags.DEFINE_string("data_dir", None, "The folder with the task's train.tsv.")
flags.DEFINE_string(
    "predict_file", None, "squad: the SQuAD file whose questions are converted."
)
flags.DEFINE_string(
    "corpus", None, "pretraining: text files with one sentence per line."
)
flags.DEFINE_string(
    "model", None, "serving: the exported model; it must read single texts."
)
shared_flags.define_count("doc_stride", 128, "squad: see run_squad.py.")
shared_flags.define_count("max_query_length", 64, "squad: see run_squad.py.")
shared_flags.define_count("batch_size", 32, "input, step: examples in a batch.")
shared_flags.define_count(
    "rounds", 5, "How many times each contestant is measured."
)
shared_flags.define_text_flags(max_seq_length=128)
training_flags.define_training_flags()


def main() -> None:
    known = {
        "tokenizer": data_benchmarks.benchmark_tokenizers,
        "input": data_benchmarks.benchmark_input,
        "squad": data_benchmarks.benchmark_squad,
        "pretraining": pretraining_benchmarks.benchmark_pretraining,
        "step": training_benchmarks.benchmark_step,
        "memory": training_benchmarks.benchmark_memory,
        "serving": serving_benchmarks.benchmark_serving,
        # `memory` runs this in processes of its own.
        "one_step": training_benchmarks.print_memory_of_a_step,
    }
    for what in FLAGS.what:
        if what not in known:
            names = ", ".join(list(known)[:-1])
            raise UserError(f"--what={what}: known are {names}")
    FLAGS.set_default("vocab_file", pretrained.DEMO_FLAGS["vocab_file"])
    FLAGS.set_default("data_dir", pretrained.DEMO_FLAGS["data_dir"])
    program.require_existing("vocab_file")
    program.require_existing("data_dir", folder=True)
    for what in FLAGS.what:
        known[what]()


if __name__ == "__main__":
    program.run(main)
