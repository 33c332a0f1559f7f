"""A server of archives for tests of the download, and what it serves.

The archives are as small as they may be: a release's config, a vocabulary of
as many lines as it has, and any bytes for the checkpoint.
"""

import http.server
import io
import json
import threading
import zipfile

from bert_tf.downloads import releases

TINY = releases.named("bert-tiny")
CHECKPOINT = bytes(range(256)) * 400
INDEX = b"an index"


def files_of(release=TINY, folder="", **changes):
    """{name: bytes} of a release's archive; a change to None removes a file."""
    words = "".join(f"word{i}\n" for i in range(release.vocab_size))
    found = {
        "vocab.txt": words.encode(),
        "bert_config.json": json.dumps(release.sizes).encode(),
        "bert_model.ckpt.index": INDEX,
        "bert_model.ckpt.meta": b"a graph",
        "bert_model.ckpt.data-00000-of-00001": CHECKPOINT,
    }
    found |= changes
    return {
        f"{folder}{name}": content
        for name, content in found.items()
        if content is not None
    }


def archive_of(content, method=zipfile.ZIP_STORED):
    """The bytes of a zip archive of {name or ZipInfo: bytes}."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return buffer.getvalue()


class ModelServer(http.server.ThreadingHTTPServer):
    """Serves archives, as well or as badly as a test wants.

    Attributes:
        files: {path: bytes}.
        has_ranges: whether it answers requests for a part with that part.
        etag: the files' ETag, or "".
        cuts: after how many bytes each of the next answers ends.
        statuses: the statuses of the next answers, instead of files.
        extra_length: what Content-Length is too large by; None: no such line.
        is_chunked: whether files come in chunks, without their size.
        hold: waited for in the middle of each file, if it is set.
        asked: [(path, Range, If-Range)] so far.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {f"/{TINY.path}": archive_of(files_of())}
        self.has_ranges, self.etag = True, '"one"'
        self.cuts, self.statuses, self.extra_length = [], [], 0
        self.is_chunked, self.hold, self.asked = False, None, []
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.thread = threading.Thread(
            target=self.serve_forever, args=(0.01,), daemon=True
        )

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        if self.hold:
            self.hold.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        """A client that is killed is no error."""


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, headers = self.server, self.headers
        wanted, condition = headers.get("Range"), headers.get("If-Range")
        server.asked.append((self.path, wanted, condition))
        content = server.files.get(self.path)
        if server.statuses or content is None:
            self.send_error(server.statuses.pop(0) if server.statuses else 404)
            return
        start, total = 0, len(content)
        if wanted and server.has_ranges and condition in (None, server.etag):
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= total:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{total}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            place = f"bytes {start}-{total - 1}/{total}"
            self.send_header("Content-Range", place)
        if server.etag:
            self.send_header("ETag", server.etag)
        if server.is_chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif server.extra_length is not None:
            length = total - start + server.extra_length
            self.send_header("Content-Length", str(length))
        self.end_headers()
        part = content[start:]
        if server.is_chunked:
            part = b"%x\r\n%b\r\n0\r\n\r\n" % (len(part), part)
        if server.cuts:
            part = part[: server.cuts.pop(0)]
        middle = len(part) // 2
        self.wfile.write(part[:middle])
        if server.hold:
            self.wfile.flush()
            server.hold.wait(20)
        self.wfile.write(part[middle:])

    def log_message(self, *_):
        pass
