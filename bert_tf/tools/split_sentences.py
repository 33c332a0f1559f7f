"""Makes one sentence a line of running text, for create_pretraining_data.

    python -m bert_tf.tools.split_sentences \\
        --input_file='books/*.txt' --output_file=/tmp/sentences.txt

In the input an empty line ends a paragraph, and several a chapter, which
becomes a document. What Project Gutenberg puts around a book is left out.

Rules do this well enough for books and articles in English and its like. For
other text, take a tool that knows the language, such as spaCy.
"""

import re

from absl import flags, logging

from bert_tf import files
from bert_tf.errors import UserError
from bert_tf.programs import flags as shared_flags
from bert_tf.programs import program

FLAGS = flags.FLAGS

shared_flags.define_text_files_flag()
flags.DEFINE_string("output_file", None, "The sentences, one a line.")
shared_flags.define_count(
    "empty_lines",
    2,
    "So many empty lines, or more, end a document.",
)

START = re.compile(r"\*\*\* ?START OF TH(E|IS) PROJECT GUTENBERG")
END = re.compile(r"\*\*\* ?END OF TH(E|IS) PROJECT GUTENBERG")

# A mark that may end a sentence, what closes behind it, and what a sentence
# starts with.
BOUNDARY = re.compile(
    r"""(?P<mark>[.!?\u2026]+)[)\]"'\u2019\u201d]*\s+"""
    r"""(?=[(\["'\u2018\u201c_]*(?P<start>\w))"""
)
# Before a dot: it ends no sentence. One letter is an initial.
ABBREVIATIONS = frozenset(
    "capt col dr esq etc gen hon jr lieut lt maj messrs mlle mme mr mrs ms mt "
    "prof rev sergt sr st viz vol vs".split()
)


def split_sentences(paragraph: str) -> list:
    """The sentences of a paragraph without line ends."""
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


def documents_of(lines, empty_lines: int):
    """Yields documents, lists of paragraphs, of the lines of a file."""
    document, paragraph, num_empty = [], [], 0
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


def without_frame(path: str):
    """The lines of a file; of one by Project Gutenberg, those of the book."""
    has_start = any(START.match(line) for _, line in files.read_lines(path))
    is_inside = not has_start
    for _, line in files.read_lines(path):
        if has_start and END.match(line):
            return
        if is_inside:
            yield line
        is_inside = is_inside or bool(START.match(line))


def main():
    program.require("input_file", "output_file")
    paths = program.matching_files("input_file")
    program.check_output("output_file", FLAGS.output_file, paths)
    files.make_folder_of(FLAGS.output_file)
    num_documents = num_sentences = 0
    with files.writing_text(FLAGS.output_file) as writer:
        for path in paths:
            for document in documents_of(
                without_frame(path), FLAGS.empty_lines
            ):
                for paragraph in document:
                    for sentence in split_sentences(paragraph):
                        writer.write(sentence + "\n")
                        num_sentences += 1
                writer.write("\n")
                num_documents += 1
        if not num_sentences:
            raise UserError(
                f"--input_file={FLAGS.input_file}: no text in there"
            )
    logging.info(
        "%d sentences of %d documents written to %s",
        num_sentences,
        num_documents,
        FLAGS.output_file,
    )


if __name__ == "__main__":
    program.run(main)
