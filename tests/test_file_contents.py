"""Files under any name: what they hold is seen, unpacked, or named."""

import bz2
import gzip
import io
import lzma
import os
import pickle
import sqlite3
import tarfile
import threading
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from support.common import TESTS, needs

from bert_tf import file_formats, files
from bert_tf.data.features import FeatureSpec, write_tf_records
from bert_tf.errors import UserError
from bert_tf.tokenization import load_vocab

pytestmark = pytest.mark.usefixtures("here")
REPORTS = TESTS / "reports"
TEXT = "text,label\nhéllo,1\n" * 9000  # More than is looked at.
CONTENT = TEXT.encode()


def write(content, name="x.csv"):
    with open(name, "wb") as writer:
        writer.write(content)
    return name


def read(content, name="x.csv"):
    with files.reading(write(content, name)) as reader:
        return reader.read()


def error_of(content):
    with pytest.raises(UserError) as caught:
        read(content)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def zipped(*members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


PACKED = {
    "gzip": gzip.compress(CONTENT),
    "members": gzip.compress(CONTENT[:99]) + gzip.compress(CONTENT[99:]),
    "bzip2": bz2.compress(CONTENT),
    "xz": lzma.compress(CONTENT),
    "lzma": lzma.compress(CONTENT, format=lzma.FORMAT_ALONE),
    "zip": zipped(("folder/a.csv", CONTENT), ("__MACOSX/._a.csv", b"?")),
    "gzip in zip": zipped(("a.csv.gz", gzip.compress(CONTENT))),
    "utf-16": TEXT.encode("utf-16"),
    "utf-16-be": "\ufeff".encode("utf-16-be") + TEXT.encode("utf-16-be"),
    "utf-16 without a mark": TEXT.encode("utf-16-le"),
    "utf-32": TEXT.encode("utf-32"),
    "utf-16 in gzip": gzip.compress(TEXT.encode("utf-16")),
}


@pytest.mark.parametrize("kind", PACKED)
def test_text_is_unpacked_under_any_name(kind):
    content = PACKED[kind]
    assert read(content).removeprefix(b"\xef\xbb\xbf") == CONTENT
    assert [*files.read_lines("x.csv")][-1] == (18000, "héllo,1")
    assert files.count_lines("x.csv") == 18000


@pytest.mark.parametrize("kind", ["gzip", "zip", "utf-16"])
def test_a_pipe_is_opened_once(kind):
    os.mkfifo("pipe")

    def fill():
        with open("pipe", "wb") as writer:
            writer.write(PACKED[kind])

    thread = threading.Thread(target=fill)
    thread.start()
    with files.reading("pipe") as reader:
        assert reader.read() == CONTENT
    thread.join()


def test_a_line_of_a_pipe_comes_at_once():
    """Answers to standard input are not kept until it is closed."""
    source, target = os.pipe()
    os.write(target, b"one\n")
    with files.reading(f"/dev/fd/{source}") as reader:
        assert reader.readline() == b"one\n"
    os.close(target)


def test_zstd():
    zstandard = needs("zstandard", "zstandard")
    packed = zstandard.ZstdCompressor().compress(CONTENT)
    assert read(packed + packed) == CONTENT * 2
    assert "cannot be decompressed (zstd): its end" in error_of(packed[:-9])


def test_zstd_without_its_package(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "zstandard", None)
    assert error_of(b"\x28\xb5\x2f\xfd" + b"x" * 30) == (
        "x.csv: compressed by zstd, which needs the package zstandard (pip "
        "install 'bert-tf[tables]'); or unpack it first"
    )


def test_remote_files():
    with tf.io.gfile.GFile("ram://x", "wb") as writer:
        writer.write(PACKED["bzip2"])
    with files.reading("ram://x") as reader:
        assert reader.read() == CONTENT


@pytest.mark.parametrize("kind", ["gzip", "bzip2", "xz", "zip"])
def test_a_cut_file_is_named(kind):
    message = error_of(PACKED[kind][:-30])
    assert "x.csv: cannot be decompressed (" in message
    assert message.startswith("x.csv: ")


def test_damage_within():
    content = bytearray(PACKED["gzip"])
    content[40:50] = b"0123456789"
    assert "cannot be decompressed (gzip): " in error_of(content)
    assert "Not a gzipped file" in error_of(PACKED["gzip"] + b"more")


def test_archives_are_named():
    two = zipped(("a.csv", CONTENT), ("b.csv", CONTENT))
    assert error_of(two) == (
        "x.csv: a zip archive with 2 files: a.csv, b.csv; unpack it, and name "
        "one of them"
    )
    assert error_of(zipped()) == "x.csv: a zip archive without files"
    write(CONTENT, "a.csv")
    with tarfile.open("a.tgz", "w:gz") as archive:
        archive.add("a.csv")
    with pytest.raises(UserError) as caught:
        [*files.read_lines("a.tgz")]
    assert str(caught.value) == (
        "a.tgz: a tar archive, compressed by gzip, not text: unpack it first"
    )


def saved_array():
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


def database():
    with sqlite3.connect("d") as connection:
        connection.execute("create table t(a)")
    with open("d", "rb") as reader:
        return reader.read()


def records():
    write_tf_records("r", [{"a": [1]}], [FeatureSpec("a", ())])
    with open("r", "rb") as reader:
        return reader.read()


OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n"


@pytest.mark.parametrize(
    "content, message",
    [
        (pickle.dumps({"a": 1}), "a pickle of Python"),
        (pickle.dumps({"a": 1}, 0), "a pickle of Python"),
        (saved_array, "a NumPy array (.npy)"),
        (database, "an SQLite database"),
        (records, "a TFRecord file"),
        (zipped(("word/document.xml", b"")), "a Word document"),
        (zipped(("archive/data.pkl", b"")), "a file of PyTorch"),
        (zipped(("xl/workbook.xml", b"")), "an Excel workbook"),
        (POINTER, "a pointer of Git LFS"),
        (b"%PDF-1.4\n", "a PDF document"),
        (OLE + bytes(99), "an Excel workbook (.xls)"),
        (OLE + "WordDocument".encode("utf-16-le"), "a Word document"),
        (
            OLE + "EncryptedPackage".encode("utf-16-le"),
            "an Office file with a password",
        ),
        (rb"{\rtf1\ansi hello}", "a document in RTF"),
        (b"\x89PNG\r\n\x1a\n\0\0", "a picture (PNG)"),
        (b"PAR1\x15\x04\0\0\x15\0\x01\x02\0\0", "a Parquet file"),
        (b"7z\xbc\xaf\x27\x1c\0\x04", "a 7z archive"),
        (bytes(range(256)) * 9, "a binary file"),
    ],
)
def test_what_is_no_text_is_named(content, message):
    content = content() if callable(content) else content
    assert error_of(content).startswith(f"x.csv: {message}, not text")


@pytest.mark.parametrize(
    "content",
    [
        b"PAR1 was a film, ORC another, BM a third\n",
        b"ORCs come, 1\n",
        "“Zwölf” große\n".encode("cp1252"),
        "テキスト,1\n".encode("shift-jis"),
        "テキスト,1\n".encode("iso-2022-jp"),
        b"one NUL \0 in a text\n",
        b"a\x01b\x01c\n" * 9,
        b"<!DOCTYPE html><html>",
        b"",
    ],
)
def test_texts_stay_as_they_are(content):
    assert read(content) == content


def test_a_vocabulary_may_be_compressed():
    write(gzip.compress(b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n"), "v.txt")
    assert load_vocab("v.txt")["a"] == 5


def test_the_reported_files():
    with files.reading(str(REPORTS / "C15_train.csv.bz2")) as reader:
        assert reader.readline() == b"text,label\n"
    with files.reading(str(REPORTS / "C15_misnamed.csv")) as reader:
        assert reader.readline() == b"text,label\n"
    lines = [*files.read_lines(str(REPORTS / "C16_unicode.txt"))]
    assert lines[0] == (1, "text\tlabel")
    assert lines[1][1] == "cold, loud and empty number 0 ü\t0"
    with pytest.raises(UserError, match="an Excel workbook, not text"):
        [*files.read_lines(str(REPORTS / "C16_book.xlsx"))]


def test_a_nul_in_a_short_text_is_no_utf_16():
    """Such a file has an even number of bytes."""
    assert file_formats.kind_of(b"a\n\0 \n") is None
    assert (
        file_formats.kind_of("a\nb c\n".encode("utf-16-le")).id == "utf-16-le"
    )
