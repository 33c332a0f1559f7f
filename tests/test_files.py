"""Files are read as the original reads them, and written whole or not."""

import errno
import os
import tempfile

import pytest

from bert_tf import files
from bert_tf.errors import UserError


def lines_of(tmp_path, data):
    path = tmp_path / "text"
    path.write_bytes(data)
    return [text for _, text in files.read_lines(str(path))]


def test_lines(tmp_path):
    assert lines_of(tmp_path, b"a\nb") == ["a", "b"]
    assert lines_of(tmp_path, b"a\r\nb\rc\n\n") == ["a", "bc", ""]
    assert lines_of(tmp_path, b"\xef\xbb\xbfa\n\xef\xbb\xbfb") == [
        "a",
        "\ufeffb",
    ]
    assert lines_of(tmp_path, "a\u2028b\x0bc\n".encode()) == ["a\u2028b\x0bc"]
    assert lines_of(tmp_path, b"") == []


def test_lines_of_old_macs(tmp_path):
    for data in b"a\rb\r\rc\r", b"\xef\xbb\xbfa\rb\r\rc":
        assert lines_of(tmp_path, data) == ["a", "b", "", "c"]
        assert files.count_lines(str(tmp_path / "text")) == 4
    long = b"x" * 70000
    assert lines_of(tmp_path, b"a\rb\r" + long + b"\n") == [
        "a",
        "b",
        long.decode(),
    ]
    assert lines_of(tmp_path, "a\rb\rc".encode("utf-16")) == ["a", "b", "c"]
    assert lines_of(tmp_path, b"a\rb") == ["ab"]


def test_invalid_utf8_names_the_place(tmp_path):
    with pytest.raises(UserError, match="text:2: not UTF-8: byte 0xe9 at pos"):
        lines_of(tmp_path, b"ok\ncaf\xe9\n")


def test_a_failed_write_changes_nothing(tmp_path):
    path = str(tmp_path / "results.txt")
    files.write_text(path, "old")
    with pytest.raises(RuntimeError), files.replacing(path) as temporary:
        with open(temporary, "w") as writer:
            writer.write("half of the n")
        raise RuntimeError
    assert files.read_text(path) == "old"
    assert os.listdir(tmp_path) == ["results.txt"]


def test_a_place_is_tried_and_left_as_it_was(tmp_path, monkeypatch):
    files.check_creatable(str(tmp_path))
    files.check_creatable(str(tmp_path / "new" / "folder" / "file"))
    monkeypatch.chdir(tmp_path)
    files.check_creatable("new")
    files.check_creatable("gs://bucket/folder")  # Without a request.
    assert not [*tmp_path.iterdir()]
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(NotADirectoryError) as error:
        files.check_creatable(str(file / "a" / "b"))
    assert error.value.filename == str(file)


def test_a_folder_that_may_not_be_written(tmp_path, monkeypatch):
    def refuse(**place):
        raise PermissionError(errno.EACCES, "Permission denied", place["dir"])

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    with pytest.raises(PermissionError) as error:
        files.check_creatable(str(tmp_path / "a" / "b"))
    assert error.value.filename == str(tmp_path)
    assert error.value.strerror == "Permission denied"
