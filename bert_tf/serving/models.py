"""Served models: finds, loads and unloads the versions in their folders.

A folder is a SavedModel, or it holds versions in folders named 1, 2, … as
TensorFlow Serving has them.
"""

import contextlib
import gc
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from absl import logging

from bert_tf import files
from bert_tf.errors import UserError
from bert_tf.export.predictor import Predictor
from bert_tf.export.saved_models import (
    EXPORT,
    RUN_RECORD,
    SAVED_MODEL,
    check_exported,
)
from bert_tf.serving.batching import Batcher
from bert_tf.serving.errors import one_line
from bert_tf.serving.fleet import Fleet

if TYPE_CHECKING:
    from bert_tf.explanations import Explainer

# TensorFlow Serving's words.
LOADING, AVAILABLE, UNLOADING, FAILED = (
    "LOADING",
    "AVAILABLE",
    "UNLOADING",
    "END",
)
Stamp = list[list[object]]  # [[file name, its size and times], …]


def find_versions(folder: str) -> dict[int, str]:
    """Returns {number: folder} for the versions in a folder, newest first.

    The folder of a run has one version, its export.
    """
    names = files.entries(folder)
    if SAVED_MODEL in names:
        return {1: folder}
    names = [name.rstrip("/") for name in names]  # Remote folders end in one.
    if RUN_RECORD in names and EXPORT in names:
        return {1: os.path.join(folder, EXPORT)}
    numbers = [name for name in names if name.isascii() and name.isdigit()]
    return {
        int(name): os.path.join(folder, name)
        for name in sorted(numbers, key=int, reverse=True)
    }


def stamp_of(folder: str) -> Stamp:
    """A value that changes whenever a file in a folder does, at any depth."""
    stamps: Stamp = []
    for name in sorted(files.entries(folder)):
        path = os.path.join(folder, name)
        inside = stamp_of(path) if files.is_folder(path) else files.stamp(path)
        stamps.append([name, inside])
    return stamps


class Version:
    """One version of a model, with the thread that runs it.

    Args:
        number: the version's number.
        folder: its SavedModel.
        stamp: the folder's `stamp_of`, from before it is loaded.

    Attributes:
        state: LOADING, AVAILABLE or FAILED.
        error: why it failed; "" if it did not.
        predictor: the loaded model; None unless it is AVAILABLE.
        batcher: runs the predictor; None unless it is AVAILABLE.
        num_users: number of requests that hold the version.
        explainer: explains its answers; None before somebody asks for that.
    """

    # Annotated without None: a version that a caller holds answers.
    predictor: Predictor
    batcher: Batcher
    explainer: "Explainer | None" = None

    def __init__(self, number: int, folder: str, stamp: Stamp):
        self.number = number
        self.folder = folder
        self.stamp = stamp
        self.state = LOADING
        self.error = ""
        self._forget_model()
        self.num_users = 0

    def load(
        self,
        load: Callable[[str], Predictor],
        make_batcher: Callable[[Predictor], Batcher],
    ) -> None:
        """Sets `predictor` and `batcher`, or `error` if that fails.

        Args:
            load: function(folder) that returns a Predictor.
            make_batcher: function(predictor) that returns its Batcher.
        """
        try:
            self.predictor = load(self.folder)
            # Otherwise the first request of each length would wait for this.
            self.predictor.warm_up()
            self.batcher = make_batcher(self.predictor)
            # TensorFlow's objects, of which there are a million, stay: Python
            # need not look through them for garbage again and again.
            gc.freeze()
            self.state = AVAILABLE
        except Exception as error:
            # Clients read it, so it must not name this machine's folders.
            why = files.reason(error).replace(self.folder, "its folder")
            self.error = one_line(why) or type(error).__name__
            self.state = FAILED

    def unload(self) -> None:
        """Answers what was submitted, and frees the model's memory."""
        self.batcher.close()
        self._forget_model()
        gc.unfreeze()
        gc.collect()
        gc.freeze()

    def _forget_model(self):
        self.predictor = self.batcher = self.explainer = None

    def status(self, state: str | None = None) -> dict[str, object]:
        """Describes the version in the form of TensorFlow Serving's API.

        Args:
            state: its state for clients; its own if it is None.
        """
        return {
            "version": str(self.number),
            "state": state or self.state,
            "status": {
                "error_code": "UNKNOWN" if self.error else "OK",
                "error_message": self.error,
            },
        }


class ServedModel:
    """A model's name, and the versions that answer under it.

    The newest `keep_versions` versions that can be loaded answer. A new one is
    loaded while the others keep answering. One that is no longer kept ends
    when the requests that hold it are answered, so that none is lost.

    With several workers a version answers when all of them have loaded it, so
    that a client gets the same version from each; until then the versions
    before it are kept.

    Args:
        name: the model's name in the addresses of requests.
        folder: the model's folder, see `find_versions`.
        load: function(folder) that returns a Predictor.
        make_batcher: function(name, predictor) that returns its Batcher.
        keep_versions: how many versions answer.
        fleet: the server's workers; None if this process is the server.
    """

    def __init__(
        self,
        name: str,
        folder: str,
        *,
        load: Callable[[str], Predictor],
        make_batcher: Callable[[str, Predictor], Batcher],
        keep_versions: int = 2,
        fleet: Fleet | None = None,
    ):
        self.name = name
        self.folder = folder
        self._fleet = fleet
        self._load = load
        self._make_batcher = make_batcher
        self._keep_versions = keep_versions
        # Guards `_versions`, `_retiring` and the versions' `num_users`.
        self._lock = threading.Lock()
        self._versions: dict[int, Version] = {}
        # The versions' stamps at the last look.
        self._stamps: dict[int, Stamp] = {}
        self._retiring: list[Version] = []

    def start(self) -> None:
        """Loads the newest versions.

        Raises:
            UserError: the folder has no version that can be loaded.
        """
        folders = find_versions(self.folder)
        if not folders:
            check_exported(self.folder)
            raise UserError(
                f"{self.folder}: holds neither an exported model "
                f"({SAVED_MODEL}) nor folders 1, 2, … of its versions"
            )
        self._stamps = {n: stamp_of(folder) for n, folder in folders.items()}
        self.refresh()
        if not self.is_ready:
            newest = next(iter(folders))
            why = self._versions[newest].error
            raise UserError(f"{folders[newest]}: cannot be served: {why}")

    def refresh(self) -> None:
        """Loads new versions in the folder, and unloads those that are too old.

        A version is loaded once nothing in it has changed since the last look,
        because copying a version takes time. A version that failed is tried
        again when something in it has changed.
        """
        kept: list[int] = []
        folders = find_versions(self.folder)
        for number, folder in folders.items():
            if len(kept) == self._keep_versions:
                break
            if self._is_loaded(number) or self._load_if_new(number, folder):
                kept.append(number)
        if self._fleet:
            # Others may not have loaded the new ones yet.
            self._fleet.publish(self.name, self._loaded())
            answering = [n for n in self.available() if n in folders]
            kept += answering[: self._keep_versions]
        self._retire(kept, folders)
        if self._fleet:
            self._fleet.publish(self.name, self._loaded())
        self._unload_retired()

    def _is_loaded(self, number):
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

    def _retire(self, kept, folders):
        """Removes the versions that are not kept from the table.

        If the folder has no version at all, as when somebody moves it, those
        that answer stay.
        """
        with self._lock:
            for number, version in list(self._versions.items()):
                if version.state == AVAILABLE and kept and number not in kept:
                    logging.info("%s: version %d ends", self.name, number)
                    self._retiring.append(self._versions.pop(number))
                elif version.state == FAILED and number not in folders:
                    del self._versions[number]

    def _unload_retired(self):
        with self._lock:
            idle = [v for v in self._retiring if not v.num_users]
            self._retiring = [v for v in self._retiring if v.num_users]
        for version in idle:
            version.unload()

    @contextlib.contextmanager
    def use(self, number: int | None = None) -> Iterator[Version]:
        """Gives a version that stays loaded until the block ends.

        Args:
            number: the version's number; None for the newest that answers.

        Raises:
            KeyError: the version does not exist, or does not answer.
        """
        with self._lock:
            number = self._newest() if number is None else number
            if number not in self.available():
                raise KeyError(number)
            version = self._versions[number]
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

    def available(self) -> list[int]:
        """Returns the numbers of the versions that answer, newest first."""
        if self._fleet:
            return self._fleet.in_common(self.name, self._loaded())
        return self._loaded()

    def _loaded(self) -> list[int]:
        """The numbers of the versions that are loaded here, newest first."""
        versions = list(self._versions.values())
        loaded = [v.number for v in versions if v.state == AVAILABLE]
        return sorted(loaded, reverse=True)

    @property
    def is_ready(self) -> bool:
        """Whether a version answers."""
        versions = [v for v in self._versions.values() if v.state == AVAILABLE]
        batchers = [version.batcher for version in versions]
        return any(batcher and batcher.is_alive for batcher in batchers)

    @property
    def num_waiting(self) -> int:
        """Number of rows that wait for any version, in this process."""
        versions = [*list(self._versions.values()), *self._retiring]
        # Another thread may unload one at the same time.
        batchers = [version.batcher for version in versions]
        waiting = [batcher.num_waiting for batcher in batchers if batcher]
        return sum(waiting)

    def engines(self) -> dict[int, str]:
        """Returns the engine of each version that is loaded here."""
        predictors = {
            number: version.predictor
            for number, version in list(self._versions.items())
        }
        return {n: p.engine for n, p in predictors.items() if p is not None}

    def status(self, number: int | None = None) -> list[dict[str, object]]:
        """Returns the status of one version, or of all, newest first.

        Args:
            number: the version's number; None for all.

        Raises:
            KeyError: the version does not exist.
        """
        answering = self.available()
        if number is not None:
            versions = [self._versions[number]]
        else:
            versions = list(self._versions.values())
            versions.sort(key=lambda version: version.number, reverse=True)
        return [v.status(_state_of(v, answering)) for v in versions]


def _state_of(version: Version, answering: list[int]) -> str:
    """The state of a version for clients, whichever worker they ask."""
    if version.state != AVAILABLE or version.number in answering:
        return version.state
    # Other workers load it, or have unloaded it.
    return LOADING if version.number > answering[0] else UNLOADING


class Changing(Protocol):
    """What a `Watch` looks after: models, and the indexes of some."""

    name: str

    def refresh(self) -> None:
        """Looks for what is new, and takes it."""


class Watch:
    """A thread that looks for new versions every few seconds."""

    def __init__(self, watched: Sequence[Changing], poll_seconds: float):
        self._watched = watched
        self._poll_seconds = poll_seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self):
        while not self._over.wait(self._poll_seconds):
            for each in self._watched:
                try:
                    each.refresh()
                except Exception:  # A disk may be unavailable for a while.
                    logging.exception(
                        "%s: could not look for new versions", each.name
                    )

    def close(self) -> None:
        """Ends the thread, without waiting for a version that is loading."""
        self._over.set()
