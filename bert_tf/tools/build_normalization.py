"""Builds the tables that the tokenizer in the graph normalizes text with.

    python -m bert_tf.tools.build_normalization

writes them to `assets/normalization`, so that no program has to build them
when it starts. Run it once for each Unicode version (Python 3.11, 3.12 and
3.13 have three) and after each update of tensorflow-text.
"""

from absl import logging

from bert_tf.programs import program


def main() -> None:
    from bert_tf.text import normalization
    from bert_tf.tokenization import TokenizerSettings

    for do_lower_case in (True, False):
        path = normalization.asset_path(do_lower_case)
        settings = TokenizerSettings(do_lower_case=do_lower_case)
        normalization.save(normalization.build(settings), path)
        logging.info("%s written", path)


if __name__ == "__main__":
    program.run(main)
