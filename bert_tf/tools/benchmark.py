"""Measures speed in ratios: all contestants take turns.

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

Training is compared with that of other libraries, where they are installed:

    python -m bert_tf.tools.benchmark --what=training \\
        --compare=transformers,keras_hub --precision=bfloat16 \\
        --peer_python=transformers=/path/to/its/environment/bin/python

So are answers of exported models, by all engines and by the server; with
--model of an export, and otherwise of random weights:

    python -m bert_tf.tools.benchmark --what=inference \\
        --compare=onnxruntime,openvino,transformers --model=out/export \\
        --peer_python=onnxruntime=/path/to/its/environment/bin/python

The server needs an exported model that reads single texts:

    python -m bert_tf.tools.benchmark --what=serving --model=out/export
"""

from collections.abc import Callable

from absl import flags

from bert_tf import choices, pretrained, suggestions
from bert_tf.errors import UserError
from bert_tf.programs import defaults, program, training_flags
from bert_tf.programs import flags as shared_flags

FLAGS = flags.FLAGS
BENCHMARKS = (
    "tokenizer",
    "input",
    "squad",
    "pretraining",
    "step",
    "memory",
    "training",
    "inference",
    "serving",
)

flags.DEFINE_list(
    "what",
    ["tokenizer", "input"],
    f"What to measure, with commas between: {', '.join(BENCHMARKS)}.",
)
flags.DEFINE_string(
    "bert_config_file",
    None,
    "For --what=step,memory,training,inference: bert_config.json, the size of "
    "the model. By default it has six layers of width 384.",
)
flags.DEFINE_list(
    "sizes",
    ["minilm"],
    "For --what=training,inference: sizes of models with random weights, some "
    "of tiny, mini, small, medium, minilm, base and large.",
)
flags.DEFINE_list(
    "shapes",
    ["8x128", "32x128", "8x512"],
    "For --what=memory,training: batch sizes and sequence lengths. In training "
    "such batches have no padding; by default they are left out.",
)
flags.DEFINE_list(
    "input_file",
    None,
    "For --what=tokenizer,serving,inference: files with one text per line, or "
    "SQuAD files, whose contexts and questions are taken. By default the texts "
    "of --task_name.",
)
flags.DEFINE_string(
    "task_name",
    pretrained.DEMO_TASK,
    "For --what=tokenizer,input,training,serving,inference: the task whose "
    "examples are read.",
)
flags.DEFINE_string(
    "data_dir", None, "Folder with the train.tsv of --task_name."
)
flags.DEFINE_string(
    "predict_file",
    None,
    "For --what=squad,inference: the SQuAD file whose questions are converted, "
    "or answered.",
)
flags.DEFINE_string(
    "train_file",
    None,
    "For --what=training,inference: the SQuAD file whose windows are trained "
    "on, or whose questions are answered.",
)
flags.DEFINE_string(
    "corpus",
    None,
    "For --what=pretraining,training: text files with one sentence per line.",
)
flags.DEFINE_string(
    "model",
    None,
    "For --what=serving,inference: folder of the exported model, or of a run "
    "that has one. To serve, it must read single texts; to be compared with "
    "others, it also needs its --bert_config_file, if it is not in the folder "
    "of its run.",
)
shared_flags.define_count(
    "doc_stride",
    128,
    "For --what=squad,training: WordPieces from the start of a window to the "
    "start of the next one.",
)
shared_flags.define_count(
    "max_query_length",
    64,
    "For --what=squad,training: largest number of WordPieces of a question.",
)
shared_flags.define_count(
    "batch_size",
    32,
    "For --what=input,step,training: number of examples in a batch.",
)
shared_flags.define_count(
    "num_batches",
    10,
    "For --what=training: how many batches each contestant trains on in a "
    "round.",
)
flags.DEFINE_list(
    "compare",
    [],
    "Libraries to compare with: for --what=training some of transformers and "
    "keras_hub, for --what=inference some of onnxruntime, openvino and "
    "transformers.",
)
flags.DEFINE_list(
    "peer_python",
    [],
    "For --what=training,inference: the Python interpreters of libraries that "
    "are installed elsewhere, such as transformers=/path/to/python.",
)
flags.DEFINE_bool(
    "profile",
    True,
    "For --what=training: also print where the time of our steps goes.",
)
flags.DEFINE_string(
    "baseline",
    None,
    "For --what=training,inference,serving: folder of another checkout of "
    "this package, which is measured too.",
)
flags.DEFINE_list(
    "engines",
    None,
    "For --what=inference: our engines, some of float32, int8, bfloat16 and "
    "auto; by default all but auto that the model has.",
)
shared_flags.define_count(
    "num_texts",
    1000,
    "For --what=inference: how many texts are answered at once in a round; "
    "fewer if there are fewer.",
)
shared_flags.define_count(
    "num_requests",
    500,
    "For --what=inference: how many of the texts are asked one at a time in a "
    "round, and by all clients together.",
)
shared_flags.define_count(
    "clients",
    32,
    "For --what=inference: how many clients ask at once.",
)
shared_flags.define_count(
    "num_starts",
    3,
    "For --what=inference: how often each contestant is started, for the time "
    "to its first answer.",
)
flags.DEFINE_list(
    "server_flags",
    [],
    "For --what=inference: more flags of our server, such as "
    "--max_batch_size=8.",
)
shared_flags.define_count(
    "rounds", 5, "How many times each contestant is measured."
)
shared_flags.define_pretrained_flag()
shared_flags.define_text_flags(max_seq_length=128)
training_flags.define_training_flags()


def main() -> None:
    for what in FLAGS.what:
        # `memory` runs one_step in processes of its own.
        if what not in (*BENCHMARKS, "one_step"):
            raise UserError(
                f"known are {', '.join(BENCHMARKS)}"
                + suggestions.hint(what, BENCHMARKS, form="{}"),
                setting="what",
                value=what,
            )
    choices.known_task(FLAGS.task_name)
    defaults.use_pretrained()
    defaults.fill_if_none("vocab_file", pretrained.DEMO_FLAGS["vocab_file"])
    FLAGS.set_default("data_dir", pretrained.DEMO_FLAGS["data_dir"])
    program.require_existing("vocab_file")
    program.require_existing("data_dir", folder=True)
    functions = benchmarks()
    for what in FLAGS.what:
        functions[what]()


def benchmarks() -> dict[str, Callable[[], None]]:
    """Loads TensorFlow, and returns the benchmarks by their names."""
    from bert_tf.tools.benchmarks import (
        data,
        inference_race,
        pretraining,
        serving,
        training,
        training_race,
    )

    return {
        "tokenizer": data.benchmark_tokenizers,
        "input": data.benchmark_input,
        "squad": data.benchmark_squad,
        "pretraining": pretraining.benchmark_pretraining,
        "step": training.benchmark_step,
        "memory": training.benchmark_memory,
        "training": training_race.benchmark_training,
        "inference": inference_race.benchmark_inference,
        "serving": serving.benchmark_serving,
        "one_step": training.print_memory_of_a_step,
    }


if __name__ == "__main__":
    program.run(main)
