"""Splits running text into one sentence per line, for create_pretraining_data.

    python -m bert_tf.tools.split_sentences \\
        --input_file='books/*.txt' --output_file=/tmp/sentences.txt

In the input, one empty line ends a paragraph, and several end a chapter, which
becomes a document. The text that Project Gutenberg adds around a book is left
out.

A few rules decide where a sentence ends. They work well enough for books and
articles in English and similar languages. For other text use a tool that knows
the language, such as spaCy.
"""

import re
from collections.abc import Iterable, Iterator

from absl import flags

from bert_tf import files
from bert_tf.counts import number_of
from bert_tf.data.tabular import file_shape
from bert_tf.errors import UserError
from bert_tf.programs import console, program
from bert_tf.programs import flags as shared_flags
from bert_tf.progress import with_progress

FLAGS = flags.FLAGS
REQUIRED = ("input_file", "output_file")

shared_flags.define_text_files_flag()
flags.DEFINE_string(
    "output_file", None, "The file to write: one sentence per line."
)
shared_flags.define_count(
    "empty_lines",
    2,
    "Number of empty lines that end a document.",
)

START = re.compile(r"\*\*\* ?START OF TH(E|IS) PROJECT GUTENBERG")
END = re.compile(r"\*\*\* ?END OF TH(E|IS) PROJECT GUTENBERG")

# A mark that may end a sentence, closing quotes and brackets after it, and the
# start of the next sentence.
BOUNDARY = re.compile(
    r"""(?P<mark>[.!?\u2026]+)[)\]"'\u2019\u201d]*\s+"""
    r"""(?=[(\["'\u2018\u201c_]*(?P<start>\w))"""
)
# A dot after these does not end a sentence, nor after an initial, one letter.
ABBREVIATIONS = frozenset(
    "capt col dr esq etc gen hon jr lieut lt maj messrs mlle mme mr mrs ms mt "
    "prof rev sergt sr st viz vol vs".split()
)


def split_sentences(paragraph: str) -> list[str]:
    """Returns the sentences of a paragraph, which has no line ends."""
    sentences, begin = [], 0
    for found in BOUNDARY.finditer(paragraph):
        if _is_end(paragraph[begin : found.start()], found):
            sentences.append(paragraph[begin : found.end()].strip())
            begin = found.end()
    rest = paragraph[begin:].strip()
    return sentences + [rest] if rest else sentences


def _is_end(before, found):
    if found["start"].islower():  # "Why?" he asked.
        return False
    if found["mark"] != ".":
        return True
    last_word = re.search(r"(\w*)$", before)[1]
    return len(last_word) != 1 and last_word.lower() not in ABBREVIATIONS


def documents_of(lines: Iterable[str], empty_lines: int) -> Iterator[list[str]]:
    """Yields the documents of a file as lists of paragraphs.

    Args:
        lines: the file's lines.
        empty_lines: number of empty lines that end a document.
    """
    document: list[str] = []
    paragraph: list[str] = []
    num_empty = 0
    for line in lines:
        words = line.split()
        if words:
            if num_empty >= empty_lines and document:
                yield document
                document = []
            paragraph += words
            num_empty = 0
            continue
        num_empty += 1
        if paragraph:
            document.append(" ".join(paragraph))
            paragraph = []
    if paragraph:
        document.append(" ".join(paragraph))
    if document:
        yield document


def without_frame(path: str) -> Iterator[str]:
    """Yields a file's lines; only the book's if Project Gutenberg's frame is
    around it."""
    has_start = any(START.match(line) for _, line in files.read_lines(path))
    is_inside = not has_start
    for _, line in files.read_lines(path):
        if has_start and END.match(line):
            return
        if is_inside:
            yield line
        is_inside = is_inside or bool(START.match(line))


def main() -> None:
    program.require(*REQUIRED)
    paths = program.matching_files("input_file")
    program.check_output("output_file", FLAGS.output_file, paths)
    files.make_folder_of(FLAGS.output_file)
    num_documents = num_sentences = 0
    with files.writing_text(FLAGS.output_file) as writer:
        for path in paths:
            file_shape.warn_unless_text(path)
            lines = with_progress(
                without_frame(path), unit="lines", verb=f"Reading {path}"
            )
            for document in documents_of(lines, FLAGS.empty_lines):
                for paragraph in document:
                    for sentence in split_sentences(paragraph):
                        writer.write(sentence + "\n")
                        num_sentences += 1
                writer.write("\n")
                num_documents += 1
        if not num_sentences:
            raise UserError(
                f"--input_file={FLAGS.input_file}: contains no text"
            )
    sentences = number_of(num_sentences, "sentence")
    documents = number_of(num_documents, "document")
    console.show("Written", f"{FLAGS.output_file}: {sentences} of {documents}")


if __name__ == "__main__":
    program.run(main, required=REQUIRED)
