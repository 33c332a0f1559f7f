"""Defines the flags of files of words with tags, for --task_name=ner."""

from absl import flags

from bert_tf import choices


def define() -> None:
    """Defines the columns of words and tags, and the form of predictions."""
    for name, what, place in (
        ("word", "the words", "first"),
        ("tag", "the tags of words", "last"),
    ):
        flags.DEFINE_string(
            f"{name}_column",
            None,
            f"Column of {what} in a file of --task_name=ner: a number from 1, "
            "or from -1 on from the end; or its name in a header or in JSON. "
            f"By default the {place} one, or what the file shows for certain.",
        )
    flags.DEFINE_enum(
        "prediction_format",
        None,
        choices.PREDICTION_FORMATS,
        "How --task_name=ner writes predictions: test_predictions.conll, which "
        "is the test file with a column more; or test_predictions.jsonl with "
        "the places of entities in each text. By default as the test file has "
        "them.",
    )
