"""How the model of a run is used: commands, and lines of Python."""

import re
import shlex

from bert_tf.report.blocks import Block, Code, Paragraph
from bert_tf.report.page import Section
from bert_tf.report.stored import StoredRun

_INPUTS = dict.fromkeys(
    ("single_label", "multi_label", "regression"), '["A text."]'
)


def command(*words: str, **settings: str | bool) -> str:
    """A command as one types it.

    Args:
        *words: its first words.
        **settings: {name of a flag: its value}; True for a switch.
    """
    flags = [
        f"--{name}" if value is True else f"--{name}={value}"
        for name, value in settings.items()
    ]
    return shlex.join([*words, *flags])


def tool(name: str) -> tuple[str, ...]:
    """The first words of a tool's command."""
    return ("python", "-m", f"bert_tf.tools.{name}")


def model_name(run: StoredRun) -> str:
    """The name of the run's folder, in characters that a server allows."""
    return re.sub("[^A-Za-z0-9_.-]+", "_", run.name) or "model"


def sections(run: StoredRun) -> list[Section]:
    """Commands that predict, export and serve; and the same in Python."""
    folder = run.folder
    program = {"squad": "run_squad.py", "pretraining": "run_pretraining.py"}
    script = program.get(run.task_name, "run_classifier.py")
    if run.task_name == "pretraining":
        fine_tune = command(
            *("python", "run_classifier.py"),
            task_name="TASK",
            do_train=True,
            do_eval=True,
            pretrained=folder,
            output_dir="FOLDER",
        )
        return [
            Section("Use the model", [Code(f"# Fine-tune it\n{fine_tune}")])
        ]
    if run.task_name == "embeddings":
        return [Section("Use the model", _of_vectors(folder))]
    commands = [
        "# Export it, to use it without this program",
        command("python", script, do_export=True, output_dir=folder),
        "# Answer a file of texts",
        command(*tool("predict"), model=folder, input="FILE"),
        "# Serve it, with a page to try it on",
        command(*tool("serve"), model=f"{model_name(run)}={folder}"),
    ]
    blocks: list[Block] = [Code("\n".join(commands))]
    if items := _items(run):
        blocks += [
            Paragraph("In Python, after the export:"),
            Code(
                "from bert_tf.export import Predictor\n\n"
                f"predictor = Predictor({folder!r})\n"
                f"answers = predictor.predict({items})"
            ),
        ]
    return [Section("Use the model", blocks)]


def _of_vectors(folder: str) -> list[Block]:
    """How a model that makes vectors is used.

    Args:
        folder: the run's.
    """
    commands = [
        "# The vectors of a file's lines",
        command(
            *tool("extract_features"),
            pretrained=folder,
            input_file="FILE",
            output_format="npy",
            output_file="FILE.npy",
        ),
        "# Export it, to use it without this program",
        command(*tool("train_embeddings"), do_export=True, output_dir=folder),
    ]
    return [
        Code("\n".join(commands)),
        Paragraph("In Python:"),
        Code(
            "from bert_tf.embeddings import TextEmbedder\n\n"
            f"embedder = TextEmbedder.from_pretrained({folder!r})\n"
            'vectors = embedder.embed(["A text.", "Another one."])'
        ),
    ]


def _items(run: StoredRun) -> str:
    """Items for `Predictor.predict`, as Python; "" where that is unknown."""
    if run.kind == "multiple_choice":
        return '[{"text": "A text.", "endings": ["One.", "Another."]}]'
    if run.kind not in _INPUTS:
        return ""
    rows = [*run.rows.get("eval", ()), *run.rows.get("test", ())]
    if rows and rows[0].get("text_pair") is not None:
        return '[{"text": "A text.", "text_pair": "A second one."}]'
    return _INPUTS[run.kind]
