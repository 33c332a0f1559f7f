"""A run that writes shards: that it is the only one, and the one before.

Beside the shards of `NAME`, hidden, as patterns may name all that is there:

.NAME.json        what the shards are made of; the next run must agree
.NAME.lock        while a run writes
.NAME.dealing-…   the shards' texts, while a run writes
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
import tempfile

from bert_tf import files
from bert_tf.data.pretraining.shards import existing_shards
from bert_tf.errors import UserError


class ShardRun:
    """What stands beside the shards of one --output_file.

    Args:
        output_file: to which shards add `-00000-of-…`.
    """

    def __init__(self, output_file: str):
        self.output_file = output_file
        self.folder, self.name = os.path.split(output_file)
        self.is_remote = files.is_remote(output_file)

    @contextlib.contextmanager
    def alone(self):
        """Raises UserError where another process writes the same shards.

        The lock ends with the process, however that ends.
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
                    f"--output_file={self.output_file}: another run is "
                    "writing it"
                ) from None
            try:
                yield
            finally:
                os.remove(path)

    def check(self, state: dict):
        """Raises UserError where there are shards that were made otherwise.

        Args:
            state: what the shards are made of, {flag: value} as JSON holds
                it; `input_file` is {path: stamp}.
        """
        shards = existing_shards(self.output_file)
        if not shards:
            return
        before = self._read()
        for name, value in state.items():
            if before.get(name) != value:
                which = _changed_file(before, state, name)
                raise UserError(
                    f"--output_file={self.output_file}: shards are here that "
                    f"were made with another {name}{which}, {shards[0]} "
                    "first; remove them, or name another file"
                )

    def write(self, state: dict):
        text = json.dumps(state, indent=2) + "\n"
        files.write_text(self._beside("json"), text)

    def remove_leftovers(self):
        """Removes what a run that was killed had not finished."""
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

    def dealing_folder(self):
        """A folder for the shards' texts, for a `with` block.

        Beside the output, which has the room; for a remote one that of the
        system.
        """
        folder = None if self.is_remote else self.folder or None
        return tempfile.TemporaryDirectory(
            prefix=f".{self.name}.dealing-", dir=folder
        )

    def _beside(self, suffix):
        return os.path.join(self.folder, f".{self.name}.{suffix}")

    def _read(self) -> dict:
        path = self._beside("json")
        if not files.exists(path):
            return {}
        try:
            state = json.loads(files.read_text(path))
        except ValueError:
            return {}
        return state if isinstance(state, dict) else {}


def _changed_file(before, state, name):
    """Which of the input files has changed, if that is what has."""
    earlier = before.get(name)
    if name != "input_file" or not isinstance(earlier, dict):
        return ""
    changed = [
        path
        for path in sorted({*earlier, *state[name]})
        if earlier.get(path) != state[name].get(path)
    ]
    return f" ({changed[0]}: another file, or written since)"
