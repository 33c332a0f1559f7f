"""The files that a run writing shards keeps next to them.

They let a run find out whether another one is writing, and whether the shards
that exist were made with its settings. They are hidden, so that a pattern for
the shards of NAME, such as NAME*, does not match them:

.NAME.json        the settings and inputs of the shards; the next run must agree
.NAME.lock        exists while a run writes
.NAME.dealing-…   the shards' texts, while a run writes
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator

from bert_tf import files
from bert_tf.data.pretraining.shards import existing_shards
from bert_tf.errors import UserError


class ShardRun:
    """A run that writes the shards of one output file.

    Args:
        output_file: the shards' common name, before `-00000-of-…`.
        flag: the flag that has this name.

    Attributes:
        folder, name: the folder and the name of `output_file`.
        is_remote: whether it is not on this machine's disks.
    """

    def __init__(self, output_file: str, flag: str = "output_file"):
        self.output_file = output_file
        self.flag = flag
        self.folder, self.name = os.path.split(output_file)
        self.is_remote = files.is_remote(output_file)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Makes sure that no other process writes the same shards.

        The lock ends with the process, in whatever way that ends.

        Raises:
            UserError: another process writes them.
        """
        if self.is_remote:
            yield
            return
        path = self._beside("lock")
        with open(path, "wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"--{self.flag}={self.output_file}: another run is "
                    "writing it"
                ) from None
            try:
                yield
            finally:
                os.remove(path)

    def check(self, state: dict[str, object]) -> None:
        """Raises UserError if shards exist that were made with other settings.

        Args:
            state: {flag: value} of this run, as JSON holds it; that of files
                is {path: stamp}.
        """
        shards = existing_shards(self.output_file)
        if not shards:
            return
        before = self._read()
        for name, value in state.items():
            if before.get(name) != value:
                which = _changed_file(before, state, name)
                raise UserError(
                    f"--{self.flag}={self.output_file}: its shards were made "
                    f"with another {name}{which}, {shards[0]} first; remove "
                    "them, or name another file"
                )

    def write(self, state: dict[str, object]) -> None:
        """Writes what `check` of the next run reads."""
        text = json.dumps(state, indent=2) + "\n"
        files.write_text(self._beside("json"), text)

    def forget(self) -> None:
        """Removes what `write` wrote, unless a shard exists."""
        if not existing_shards(self.output_file):
            files.remove_if_there(self._beside("json"))

    def remove_leftovers(self) -> None:
        """Removes the unfinished files of a run that was killed."""
        if self.is_remote:
            return
        name = re.escape(self.name)
        unfinished = re.compile(rf"\.{name}-\d+-of-\d+\.\d+\.tmp")
        for found in files.entries(self.folder):
            path = os.path.join(self.folder, found)
            if unfinished.fullmatch(found):
                os.remove(path)
            elif found.startswith(f".{self.name}.dealing-"):
                shutil.rmtree(path)

    def dealing_folder(self) -> tempfile.TemporaryDirectory[str]:
        """Makes a temporary folder for the shards' texts, for a `with` block.

        It is next to the output, where there is room; if the output is remote,
        it is in the system's folder for temporary files.
        """
        folder = None if self.is_remote else self.folder or None
        return tempfile.TemporaryDirectory(
            prefix=f".{self.name}.dealing-", dir=folder
        )

    def _beside(self, suffix):
        return os.path.join(self.folder, f".{self.name}.{suffix}")

    def _read(self) -> dict[str, object]:
        path = self._beside("json")
        if not files.exists(path):
            return {}
        try:
            state = json.loads(files.read_text(path))
        except ValueError:
            return {}
        return state if isinstance(state, dict) else {}


def _changed_file(before, state, name):
    """Names the first input file that has changed, in words; "" if another
    setting has."""
    earlier = before.get(name)
    if not isinstance(earlier, dict) or not isinstance(state[name], dict):
        return ""
    changed = [
        path
        for path in sorted({*earlier, *state[name]})
        if earlier.get(path) != state[name].get(path)
    ]
    return f" ({changed[0]}: another file, or written since)"
