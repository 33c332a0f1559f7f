"""Served models: which versions of them lie in a folder, and answer.

A folder is a SavedModel, or holds versions in folders named 1, 2, … as
TensorFlow Serving has them.
"""

import contextlib
import gc
import os
import threading
from collections.abc import Callable

from absl import logging

from bert_tf import files
from bert_tf.errors import UserError
from bert_tf.export.saved_models import SAVED_MODEL
from bert_tf.serving.limits import one_line

# TensorFlow Serving's words.
LOADING, AVAILABLE, FAILED = "LOADING", "AVAILABLE", "END"


def find_versions(folder: str) -> dict:
    """{number: folder} of the versions in a folder, the newest first."""
    names = files.entries(folder)
    if SAVED_MODEL in names:
        return {1: folder}
    names = [name.rstrip("/") for name in names]  # Remote folders end in one.
    numbers = [name for name in names if name.isascii() and name.isdigit()]
    return {
        int(name): os.path.join(folder, name)
        for name in sorted(numbers, key=int, reverse=True)
    }


def stamp_of(folder: str) -> list:
    """What changes whenever a file in a folder does, at any depth."""
    stamps = []
    for name in sorted(files.entries(folder)):
        path = os.path.join(folder, name)
        inside = stamp_of(path) if files.is_folder(path) else files.stamp(path)
        stamps.append([name, inside])
    return stamps


class Version:
    """One version of a model, with the thread that runs it."""

    def __init__(self, number: int, folder: str, stamp: list):
        self.number = number
        self.folder = folder
        self.stamp = stamp
        self.state = LOADING
        self.error = ""
        self.predictor = None
        self.batcher = None
        self.num_users = 0  # Requests that hold it.

    def load(self, load: Callable, make_batcher: Callable):
        """Sets `predictor` and `batcher`, or the error why there are none."""
        try:
            self.predictor = load(self.folder)
            # Else the first request of each length would wait for it.
            self.predictor.warm_up()
            self.batcher = make_batcher(self.predictor)
            self.state = AVAILABLE
        except Exception as error:
            # Clients read it: it names no folder of this machine.
            why = files.reason(error).replace(self.folder, "its folder")
            self.error = one_line(why) or type(error).__name__
            self.state = FAILED

    def unload(self):
        self.batcher.close()
        self.predictor = self.batcher = None
        gc.collect()

    def status(self) -> dict:
        """As TensorFlow Serving tells it."""
        return {
            "version": str(self.number),
            "state": self.state,
            "status": {
                "error_code": "UNKNOWN" if self.error else "OK",
                "error_message": self.error,
            },
        }


class ServedModel:
    """A name, and the versions that answer under it.

    The newest `keep_versions` of them that can be loaded answer. A new one is
    loaded while the others go on; one that falls out ends when the requests
    that hold it are answered. So none is lost.

    Args:
        name: in the addresses of requests.
        folder: see `find_versions`.
        load: function(folder) that returns a Predictor.
        make_batcher: function(name, predictor) that returns a Batcher of it.
        keep_versions: how many answer.
    """

    def __init__(
        self,
        name: str,
        folder: str,
        load: Callable,
        make_batcher: Callable,
        keep_versions: int = 2,
    ):
        self.name = name
        self.folder = folder
        self._load = load
        self._make_batcher = make_batcher
        self._keep_versions = keep_versions
        self._lock = threading.Lock()  # Of the versions and their users.
        self._versions = {}
        self._stamps = {}  # As the last look found them; None once loaded.
        self._retiring = []

    def start(self):
        """Loads the newest versions.

        Raises:
            UserError: there is none that can be.
        """
        found = find_versions(self.folder)
        if not found:
            raise UserError(
                f"{self.folder}: neither an exported model ({SAVED_MODEL}) nor "
                "folders 1, 2, … of its versions are in it"
            )
        self._stamps = {n: stamp_of(folder) for n, folder in found.items()}
        self.refresh()
        if not self.is_ready:
            newest = next(iter(found))
            why = self._versions[newest].error
            raise UserError(f"{found[newest]}: cannot be served: {why}")

    def refresh(self):
        """Loads what is new in the folder and lets go of what is too old.

        A version is loaded when nothing changed in it since the last look, as
        copying one takes its time; one that failed, when something did.
        """
        kept = []
        found = find_versions(self.folder)
        for number, folder in found.items():
            if len(kept) == self._keep_versions:
                break
            if self._answers(number) or self._load_if_new(number, folder):
                kept.append(number)
        self._retire(kept, found)
        self._unload_retired()

    def _answers(self, number):
        version = self._versions.get(number)
        return version is not None and version.state == AVAILABLE

    def _load_if_new(self, number, folder):
        stamp = stamp_of(folder)
        is_settled = self._stamps.get(number) == stamp
        self._stamps[number] = stamp
        failed = self._versions.get(number)
        if not is_settled or (failed and failed.stamp == stamp):
            return False
        version = Version(number, folder, stamp)
        with self._lock:
            self._versions[number] = version
        logging.info("%s: loading version %d", self.name, number)
        version.load(
            self._load,
            lambda predictor: self._make_batcher(self.name, predictor),
        )
        if version.error:
            logging.error(
                "%s: version %d failed: %s", self.name, number, version.error
            )
            return False
        logging.info("%s: version %d answers", self.name, number)
        return True

    def _retire(self, kept, found):
        """Takes from the table what is not kept. With no version left in the
        folder, as when somebody moves it, those that answer go on."""
        with self._lock:
            for number, version in list(self._versions.items()):
                if version.state == AVAILABLE and kept and number not in kept:
                    logging.info("%s: version %d ends", self.name, number)
                    self._retiring.append(self._versions.pop(number))
                elif version.state == FAILED and number not in found:
                    del self._versions[number]

    def _unload_retired(self):
        with self._lock:
            idle = [v for v in self._retiring if not v.num_users]
            self._retiring = [v for v in self._retiring if v.num_users]
        for version in idle:
            version.unload()

    @contextlib.contextmanager
    def use(self, number: int | None = None):
        """Gives a version that stays until the block ends.

        Args:
            number: of the version; None for the newest that answers.

        Raises:
            KeyError: there is no such version, or none that answers.
        """
        with self._lock:
            number = self._newest() if number is None else number
            version = self._versions[number]
            if version.state != AVAILABLE:
                raise KeyError(number)
            version.num_users += 1
        try:
            yield version
        finally:
            with self._lock:
                version.num_users -= 1

    def _newest(self):
        available = self.available()
        if not available:
            raise KeyError(self.name)
        return available[0]

    def available(self) -> list:
        """Numbers of the versions that answer, the newest first."""
        versions = list(self._versions.values())
        answering = [v.number for v in versions if v.state == AVAILABLE]
        return sorted(answering, reverse=True)

    @property
    def is_ready(self) -> bool:
        versions = [v for v in self._versions.values() if v.state == AVAILABLE]
        batchers = [version.batcher for version in versions]
        return any(batcher and batcher.is_alive for batcher in batchers)

    @property
    def num_waiting(self) -> int:
        versions = [*list(self._versions.values()), *self._retiring]
        # Another thread may let go of one meanwhile.
        batchers = [version.batcher for version in versions]
        return sum(batcher.num_waiting for batcher in batchers if batcher)

    def status(self, number: int | None = None) -> list:
        """Of a version, or of all, the newest first.

        Raises:
            KeyError: there is no such version.
        """
        if number is not None:
            return [self._versions[number].status()]
        versions = sorted(
            list(self._versions.values()), key=lambda v: v.number, reverse=True
        )
        return [version.status() for version in versions]


class Watch:
    """A thread that looks after new versions every few seconds."""

    def __init__(self, models: list, poll_seconds: float):
        self._models = models
        self._poll_seconds = poll_seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self):
        while not self._over.wait(self._poll_seconds):
            for model in self._models:
                try:
                    model.refresh()
                except Exception:  # A disk that is away for a while.
                    logging.exception("%s: looking for versions", model.name)

    def close(self):
        """A version that is being loaded is not waited for."""
        self._over.set()
