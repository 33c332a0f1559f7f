"""The download of released models, from a server on this machine."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from support.common import ROOT
from support.model_server import CHECKPOINT, TINY, ModelServer, archive_of
from support.model_server import files_of as archive_files

from bert_tf import progress
from bert_tf.downloads import cache, download, transfer
from bert_tf.errors import UserError

NAMES = {
    *("vocab.txt", "bert_config.json", "bert_model.ckpt.index"),
    *("bert_model.ckpt.meta", "bert_model.ckpt.data-00000-of-00001"),
}
PART = f"{TINY.name}.zip.part"
STATE = f"{PART}.json"


@pytest.fixture
def home(tmp_path, monkeypatch):
    folder = tmp_path / "home"
    monkeypatch.setenv(cache.HOME_VARIABLE, str(folder))
    monkeypatch.setattr(transfer, "PAUSES", (0.01,) * 4)
    return folder


@pytest.fixture
def server(home, monkeypatch):
    with ModelServer() as server:
        monkeypatch.setenv(download.MIRROR_VARIABLE, server.address)
        monkeypatch.setenv("no_proxy", "*")
        yield server


def left_in(home) -> set:
    """What is in the cache but for locks."""
    names = {path.name for path in home.iterdir()} if home.is_dir() else set()
    return {name for name in names if not name.endswith(".lock")}


def check_whole(home, folder):
    assert folder == str(home / TINY.name)
    assert {path.name for path in pathlib.Path(folder).iterdir()} == NAMES
    data = home / TINY.name / "bert_model.ckpt.data-00000-of-00001"
    assert data.read_bytes() == CHECKPOINT
    assert left_in(home) == {TINY.name}


def failure(home, *, kept=()) -> str:
    """The one line with which `fetch` fails; `kept` is all that it leaves."""
    with pytest.raises(UserError) as error:
        download.fetch(TINY)
    assert "\n" not in str(error.value)
    assert left_in(home) == set(kept)
    assert not cache.is_cached(TINY)
    return str(error.value)


def in_another_process(**more):
    """Starts `fetch` in a process of its own; prints the folder."""
    code = (
        "from absl import logging\n"
        "from bert_tf.downloads import download\n"
        "logging.set_verbosity(logging.INFO)\n"
        "print(download.fetch_named('bert-tiny'))\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        **more,
    )


def wait_until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


# ---------------------------------------------------------------------------
# What arrives in the end.


@pytest.mark.parametrize("folder", ["", f"{TINY.name}/", "some/where/"])
def test_a_model_is_downloaded_once(home, server, folder):
    content = archive_files(folder=folder) | {f"{folder}notes.txt": b"other"}
    server.files[f"/{TINY.path}"] = archive_of(content)
    check_whole(home, download.fetch(TINY))
    check_whole(home, download.fetch_named("BERT-tiny"))
    assert server.asked == [(f"/{TINY.path}", None, None)]


def test_a_connection_that_is_cut_goes_on(home, server):
    server.cuts = [1000, 2000]
    check_whole(home, download.fetch(TINY))
    ranges = [wanted for _, wanted, _ in server.asked]
    assert ranges == [None, "bytes=1000-", "bytes=3000-"]
    assert {condition for *_, condition in server.asked[1:]} == {'"one"'}


def test_chunks_that_are_cut_go_on(home, server):
    server.is_chunked, server.cuts = True, [1000]
    check_whole(home, download.fetch(TINY))
    (_, nothing, _), (_, wanted, _) = server.asked
    assert nothing is None and wanted.startswith("bytes=99")


def test_a_part_from_another_address_is_not_used(home, server, monkeypatch):
    server.cuts = [1000] + [0] * 4
    failure(home, kept={PART, STATE})
    mirror = server.address.replace("127.0.0.1", "localhost")
    monkeypatch.setenv(download.MIRROR_VARIABLE, mirror)
    check_whole(home, download.fetch(TINY))
    assert server.asked[-1][1] is None


def test_the_log_says_how_far_it_is(home, server, caplog, monkeypatch):
    server.cuts = [len(server.files[f"/{TINY.path}"]) // 2]
    with caplog.at_level("DEBUG", logger="absl"):
        download.fetch(TINY)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 4, messages  # None every few kilobytes.
    assert messages[0].endswith(f"downloading {server.address}/{TINY.path}")
    assert messages[2] == f"{TINY.name}: 0.2 of 0.4 MB (50 %) have arrived"
    cache.remove(TINY)
    caplog.clear()
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    with caplog.at_level("DEBUG", logger="absl"):
        download.fetch(TINY)
    assert "0.4 of 0.4 MB (100 %), " in caplog.records[-2].getMessage()


def test_the_next_call_goes_on_where_the_last_one_ended(home, server):
    server.cuts, server.statuses = [1000], []
    server.cuts += [0] * 4
    why = failure(home, kept={PART, STATE})
    assert "the connection failed 5 times: the connection ended after " in why
    assert (home / PART).stat().st_size == 1000
    server.asked.clear()
    check_whole(home, download.fetch(TINY))
    assert server.asked == [(f"/{TINY.path}", "bytes=1000-", '"one"')]


@pytest.mark.parametrize("has_ranges", [True, False])
def test_a_file_that_has_changed_starts_again(home, server, has_ranges):
    server.cuts = [1000] + [0] * 4
    failure(home, kept={PART, STATE})
    server.has_ranges, server.etag = has_ranges, '"two"'
    server.files[f"/{TINY.path}"] += b"\0\0"  # After the archive's end.
    content = archive_of({"x": b"before"} | archive_files())
    server.files[f"/{TINY.path}"] = content
    check_whole(home, download.fetch(TINY))
    assert server.asked[-1] == (f"/{TINY.path}", "bytes=1000-", '"one"')


def test_a_changed_file_without_etag_starts_again(home, server):
    server.etag, server.cuts = "", [1000]
    server.cuts += [0] * 4
    failure(home, kept={PART, STATE})
    content = archive_of({"x": b"before"} | archive_files())
    server.files[f"/{TINY.path}"] = content
    check_whole(home, download.fetch(TINY))
    assert [wanted for _, wanted, _ in server.asked[-2:]] == [
        "bytes=1000-",
        None,
    ]


def test_a_part_that_is_larger_than_the_file_starts_again(home, server):
    server.cuts = [1000] + [0] * 4
    failure(home, kept={PART, STATE})
    with open(home / PART, "ab") as part:
        part.write(bytes(10**6))
    check_whole(home, download.fetch(TINY))
    assert server.asked[-1][1] is None


def test_a_whole_file_is_not_asked_for_again(home, server):
    server.cuts = [1000] + [0] * 4
    failure(home, kept={PART, STATE})
    (home / PART).write_bytes(server.files[f"/{TINY.path}"])
    server.asked.clear()
    check_whole(home, download.fetch(TINY))
    assert server.asked == []


def test_a_server_that_is_busy_is_asked_again(home, server):
    server.statuses = [503, 429]
    server.extra_length = None  # Nor does it say how long the file is.
    check_whole(home, download.fetch(TINY))
    assert len(server.asked) == 3


def test_an_archive_on_a_disk_is_used_where_it_is(home, tmp_path, monkeypatch):
    path = tmp_path / "a mirror" / TINY.path
    path.parent.mkdir(parents=True)
    path.write_bytes(archive_of(archive_files()))
    mirror = (tmp_path / "a mirror").as_uri() + "/"
    monkeypatch.setenv(download.MIRROR_VARIABLE, mirror)
    check_whole(home, download.fetch(TINY))
    cache.remove(TINY)
    path.write_bytes(b"no archive")
    assert "not a whole zip archive" in failure(home)
    assert path.read_bytes() == b"no archive"
    path.unlink()
    assert "cannot be downloaded: there is no such file; " in failure(home)


# ---------------------------------------------------------------------------
# What is not there.


@pytest.mark.parametrize("status", [403, 404])
def test_a_server_that_has_no_such_file(home, server, status):
    server.statuses = [status]
    why = failure(home)
    assert f"the server answers {status} " in why
    assert f"below BERT_TF_MIRROR there must be {TINY.path}" in why
    assert len(server.asked) == 1


def test_no_network(home, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv(download.MIRROR_VARIABLE, f"http://127.0.0.1:{port}")
    monkeypatch.setenv("no_proxy", "*")
    why = failure(home)
    assert "it cannot be reached: Connection refused" in why
    request = transfer.urllib.request.Request(f"http://127.0.0.1:{port}/x")
    with pytest.raises(transfer._Cut):  # It answered before.
        transfer._opened(request, is_again=True)
    address = f"https://storage.googleapis.com/bert_models/{TINY.path}"
    place = f"download {address} by other means and unpack it into "
    assert place + str(home / TINY.name) in why
    assert "BERT_TF_HOME moves the cache" in why


@pytest.mark.parametrize("inner", ["", TINY.name])
def test_a_model_that_was_unpacked_by_hand(home, inner):
    folder = home / TINY.name / inner
    folder.mkdir(parents=True)
    for name, content in archive_files().items():
        (folder / name).write_bytes(content)
    assert download.fetch(TINY) == str(folder)
    (folder / "vocab.txt").unlink()
    with pytest.raises(UserError, match="vocab.txt is missing; remove the f"):
        download.fetch(TINY)


@pytest.mark.parametrize(
    "mirror, why",
    [
        ("ftp://x", "must start with https://, http:// or file://"),
        ("/data", "; did you mean file:///data?"),
        ("https://me:secret@x", "must not hold the name of a user"),
        ("file://x/data", "as file:///data"),
    ],
)
def test_addresses_of_mirrors(home, monkeypatch, mirror, why):
    monkeypatch.setenv(download.MIRROR_VARIABLE, mirror)
    message = failure(home)
    assert why in message and "secret" not in message


def test_redirections_do_not_leave_https():
    request = transfer.urllib.request.Request("https://x/y")
    follow = transfer._Redirects().redirect_request
    with pytest.raises(transfer.TransferError, match="http://z, which is not"):
        follow(request, None, 302, "Found", {}, "http://z")
    assert follow(request, None, 302, "Found", {}, "https://z")


# ---------------------------------------------------------------------------
# What is wrong.


def test_a_size_that_is_wrong(home, server):
    server.extra_length, server.has_ranges = 10, False
    size = len(server.files[f"/{TINY.path}"])
    why = failure(home, kept={PART, STATE})
    assert f"the connection ended after {size} of {size + 10} bytes" in why


def test_a_file_that_is_far_too_large(home, server):
    server.extra_length = 10**9
    assert " bytes or more, at most 34" in failure(home)
    server.extra_length = None
    server.files[f"/{TINY.path}"] = bytes(40 << 20)
    assert " bytes or more, at most 34" in failure(home)


@pytest.mark.parametrize(
    "content, why",
    [
        (b"<html>Log in first</html>", "not a whole zip archive (File is not"),
        (archive_of(archive_files())[:-30], "not a whole zip archive"),
        (
            archive_of(archive_files()).replace(CHECKPOINT[:999], b"x" * 999),
            "not a whole zip archive (Bad CRC-32",
        ),
        (archive_of({"a/../../x": b""} | archive_files()), "leads out of the"),
    ],
)
def test_archives_that_are_wrong_are_not_kept(home, server, content, why):
    server.files[f"/{TINY.path}"] = content
    message = failure(home)
    assert f"{server.address}/{TINY.path}: not the archive of" in message
    assert why in message and "nothing of it was kept" in message
    assert not (home.parent / "x").exists()


def test_a_cache_that_cannot_be_written(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for home in (tmp_path / "file" / "home", pathlib.Path("/proc/bert")):
        monkeypatch.setenv(cache.HOME_VARIABLE, str(home))
        why = failure(home)
        assert str(home) in why and "the cache cannot be written (" in why
        assert why.endswith("; BERT_TF_HOME names another folder")
    assert server.asked == []
    monkeypatch.setenv(cache.HOME_VARIABLE, "gs://bucket/x")
    with pytest.raises(UserError, match="must be a folder of this machine"):
        download.fetch(TINY)


def test_a_disk_that_is_full(home, server, monkeypatch):
    usage = shutil.disk_usage(home.parent)
    with monkeypatch.context() as patch:
        patch.setattr(
            download.shutil,
            "disk_usage",
            lambda _: usage._replace(free=30 * 10**6),
        )
        why = failure(home)
        assert why.startswith(f"{home}: 30 MB are free, {TINY.name} needs abo")
    assert server.asked == []

    def limited(limit):
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    process = in_another_process(preexec_fn=lambda: limited(50_000))
    last = process.communicate()[1].strip().splitlines()[-1]
    assert f"{home}: the cache cannot be written (File too large)" in last
    assert left_in(home) == {PART, STATE}
    check_whole(home, download.fetch(TINY))


# ---------------------------------------------------------------------------
# Several processes, and processes that are killed.


def test_two_processes_download_once(home, server):
    server.hold = threading.Event()
    first = in_another_process()
    wait_until(lambda: server.asked)
    second = in_another_process()
    wait_until(lambda: "waiting for it" in second.stderr.readline())
    server.hold.set()
    for process in (first, second):
        out, err = process.communicate(timeout=20)
        assert process.returncode == 0, err
        assert out == f"{home / TINY.name}\n"
    assert len(server.asked) == 1
    check_whole(home, download.fetch(TINY))


def test_a_process_that_is_killed_leaves_no_model(home, server):
    server.hold = threading.Event()
    process = in_another_process()
    wait_until(lambda: (home / PART).exists() and (home / PART).stat().st_size)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert left_in(home) == {PART, STATE} and not cache.is_cached(TINY)
    server.hold.set()
    check_whole(home, download.fetch(TINY))
    assert server.asked[-1][1].startswith("bytes=")


def test_what_killed_processes_leave_is_cleaned_up(home, server):
    unpacked, other = home / f".{TINY.name}.7.tmp", home / ".other.7.tmp"
    for folder in (unpacked, other):
        folder.mkdir(parents=True)
        (folder / "vocab.txt").write_text("half")
    assert not cache.is_cached(TINY) and cache.cached() == [cache.RELEASES[0]]
    download.fetch(TINY)
    assert left_in(home) == {TINY.name, other.name}
    shutil.rmtree(other)
    (home / PART).write_bytes(b"whole")  # Killed before the last step.
    check_whole(home, download.fetch(TINY))


def test_where_the_cache_is(monkeypatch):
    monkeypatch.setenv("HOME", "/h")
    monkeypatch.delenv(cache.HOME_VARIABLE, raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache.home() == "/h/.cache/bert_tf"
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache.home() == "/x/bert_tf"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache.home() == "/h/Library/Caches/bert_tf"
    monkeypatch.setenv(cache.HOME_VARIABLE, "~/b")
    assert cache.home() == os.path.abspath("/h/b")
