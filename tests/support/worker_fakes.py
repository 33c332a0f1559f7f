"""Workers without a model: each answers a connection with its process number.

    python tests/support/worker_fakes.py NUMBER ACTION

serves with NUMBER of them, and prints the port first. ACTION is what they do:
"serve"; "fail", which says that one cannot start; "die", in which one ends
while it starts; "hang", in which they do not end when they are asked to.
"""

import functools
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time

from absl import app

from bert_tf.errors import UserError
from bert_tf.serving.fleet import Board, Fleet
from bert_tf.serving.listening import BACKLOG, bind
from bert_tf.serving.waiting import WaitingRoom
from bert_tf.serving.workers import Workers


def work(board, number, listener, action, message):
    """Answers connections until SIGTERM comes."""
    if action == "fail" and number == 1:
        message.send("`engine`=int8: is not there")
        sys.exit(1)
    if action == "die" and number == 1:
        os._exit(3)
    is_over = threading.Event()
    handler = signal.SIG_IGN
    if action != "hang":
        handler = lambda *_: is_over.set()  # noqa: E731
    signal.signal(signal.SIGTERM, handler)
    fleet = Fleet(board, number)
    fleet.set_ready(os.getpid())
    listener.listen(BACKLOG)
    listener.settimeout(0.05)
    message.send("")
    while not is_over.is_set():
        try:
            connection, _ = listener.accept()
        except OSError:
            continue
        with connection:
            connection.settimeout(None)
            connection.sendall(b"%d" % os.getpid())
            fleet.count_request()
    os._exit(0)


def serve(number, action):
    """Runs the workers until a signal; returns the program's status."""
    listener: socket.socket = bind("127.0.0.1", 0)
    board = Board(number, ["model"], 3)

    def make_process(place, message):
        return multiprocessing.get_context("spawn").Process(
            target=work, args=(board, place, listener, action, message)
        )

    room = functools.partial(WaitingRoom, listener, ["model"])
    workers = Workers(board, make_process, listener, 0.5, room)
    port = listener.getsockname()[1]
    return workers.run(functools.partial(print, port, flush=True))


def main(argv):
    start = time.monotonic()
    try:
        status = serve(int(argv[1]), argv[2])
    except UserError as error:
        print(error, file=sys.stderr)
        status = 1
    print(f"{time.monotonic() - start:.1f} s", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    app.run(main)
