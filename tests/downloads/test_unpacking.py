"""Archives that somebody has made to do harm, or that hold something else."""

import json
import pathlib
import struct
import zipfile

import pytest
from support.model_server import TINY, archive_of, files_of

from bert_tf.downloads import unpacking

NUM_ZEROS = 40 << 20


def entry(name, kind=0, **values):
    info = zipfile.ZipInfo("x")
    info.filename = info.orig_filename = name
    info.external_attr = kind << 16
    for key, value in values.items():
        setattr(info, key, value)
    return info


def encrypted():
    """An archive whose first file is marked as encrypted."""
    content = bytearray(archive_of({"secret": b"x"} | files_of()))
    central = content.index(b"PK\x01\x02")
    content[central + 8] |= 1
    return bytes(content)


def bomb(declared=None):
    """Zeros, packed to a thousandth; their size may be declared wrongly."""
    name = "bert_model.ckpt.data-00000-of-00001"
    content = bytearray(
        archive_of(files_of(**{name: bytes(NUM_ZEROS)}), zipfile.ZIP_DEFLATED)
    )
    if declared is not None:
        size = struct.pack("<L", NUM_ZEROS)
        assert content.count(size) == 2  # Before the file, and at the end.
        content = content.replace(size, struct.pack("<L", declared))
    assert len(content) < 1 << 20
    return bytes(content)


def changed_config(**values):
    config = json.dumps(TINY.sizes | values).encode()
    return archive_of(files_of(**{"bert_config.json": config}))


def with_entry(name, kind=0, **values):
    return archive_of({entry(name, kind, **values): b"x"} | files_of())


WRONG = {
    "out of the folder": (
        lambda: with_entry("../x"),
        "leads out of the folder",
    ),
    "out of a folder": (
        lambda: with_entry("a/../../x"),
        "leads out of the folder",
    ),
    "absolute": (lambda: with_entry("/tmp/x"), "'/tmp/x', an absolute path"),
    "drive": (lambda: with_entry("C:x"), "'C:x', an absolute path"),
    "backslash": (lambda: with_entry("..\\x"), "a name with a backslash"),
    "line end": (lambda: with_entry("a\nb"), "or a control character"),
    "link": (
        lambda: with_entry("vocab.txt.x", 0o120777),
        "a link or a special file",
    ),
    "device": (lambda: with_entry("x", 0o020666), "a link or a special file"),
    "encrypted": (lambda: encrypted(), "'secret', an encrypted file"),
    "method": (
        lambda: archive_of({entry("x", compress_type=14): b"x"} | files_of()),
        "packed by method 14",
    ),
    "twice": (lambda: with_entry("VOCAB.txt"), "'vocab.txt' twice"),
    "many": (
        lambda: archive_of({str(i): b"" for i in range(1001)}),
        "holds 1001 files",
    ),
    "bomb": (lambda: bomb(), "unpacks to 42 MB or more, "),
    "bomb that lies": (lambda: bomb(1000), "not a whole zip archive"),
    "no model": (
        lambda: archive_of({"x": b""}),
        "holds 0 files bert_config.json",
    ),
    "two models": (
        lambda: archive_of(files_of() | files_of(folder="a/")),
        "holds 2 files bert_config.json",
    ),
    "no vocabulary": (
        lambda: archive_of(files_of(**{"vocab.txt": None})),
        "vocab.txt is missing",
    ),
    "half a checkpoint": (
        lambda: archive_of(
            files_of(**{"bert_model.ckpt.data-00001-of-00003": b"x"})
        ),
        "bert_model.ckpt.data-00000-of-00003 is missing",
    ),
    "vocabulary": (
        lambda: archive_of(files_of(**{"vocab.txt": b"a\nb\n"})),
        "vocab.txt has 2 lines, not 30522",
    ),
    "another model": (
        lambda: changed_config(hidden_size=256),
        "of another model: hidden_size is 256, not 128",
    ),
    "no config": (
        lambda: archive_of(files_of(**{"bert_config.json": b"{"})),
        "bert_config.json:1: not JSON",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_archive_is_refused_in_one_line(tmp_path, name):
    make, why = WRONG[name]
    path = tmp_path / "below" / "x.zip"
    path.parent.mkdir()
    path.write_bytes(make())
    folder = path.parent / "model"
    with pytest.raises(unpacking.WrongArchive) as error:
        unpacking.unpack(str(path), str(folder), TINY)
    message = str(error.value)
    assert why in message
    assert "\n" not in message and str(tmp_path) not in message
    written = {p for p in tmp_path.rglob("*") if p.is_file()} - {path}
    assert all(folder == p.parent for p in written)
    limit = unpacking.max_bytes(TINY)
    assert sum(p.stat().st_size for p in written) <= limit
    assert not pathlib.Path("/tmp/x").exists()


def test_sizes_are_counted_while_they_are_written(tmp_path, monkeypatch):
    """Should zipfile ever give more bytes than the archive declares."""
    path = tmp_path / "x.zip"
    path.write_bytes(archive_of(files_of()))

    def endless(reader, size):
        return bytes(size)

    monkeypatch.setattr(zipfile.ZipExtFile, "read", endless)
    with pytest.raises(unpacking.WrongArchive, match="larger than the archi"):
        unpacking.unpack(str(path), str(tmp_path / "model"), TINY)
