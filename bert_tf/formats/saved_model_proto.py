"""What the file `saved_model.pb` says, without loading or running its graph."""

import os
from typing import Any

from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from bert_tf import files
from bert_tf.errors import UserError

FILE = "saved_model.pb"
VARIABLES = os.path.join("variables", "variables")
_ASSETS = "assets"


def is_saved_model(path: str) -> bool:
    """Whether a folder has the files of a SavedModel with variables."""
    return files.exists(os.path.join(path, FILE)) and files.exists(
        os.path.join(path, f"{VARIABLES}.index")
    )


class SavedModelProto:
    """The content of a `saved_model.pb`.

    Args:
        folder: the SavedModel's.

    Raises:
        UserError: the file is missing or damaged.
    """

    def __init__(self, folder: str):
        self.folder = folder
        file = os.path.join(folder, FILE)
        content = saved_model_pb2.SavedModel()
        with files.naming(file), files.open_binary(file) as reader:
            data = reader.read()
        try:
            content.ParseFromString(data)
            self._graph: Any = content.meta_graphs[0]
        except (DecodeError, IndexError):
            raise UserError(
                f"{file}: not a SavedModel, or a damaged one"
            ) from None

    def operations(self) -> set[str]:
        """The names of all kinds of operations in it, such as "MatMul"."""
        graph = self._graph.graph_def
        found = {node.op for node in graph.node}
        for function in graph.library.function:
            found |= {node.op for node in function.node_def}
        return found

    def asset(self, name: str) -> str | None:
        """The path of the file that is an attribute of an object in it.

        Args:
            name: the attribute's. Of several, that of the root object counts,
                then the first.

        Returns:
            None if there is no such attribute or file.
        """
        nodes = self._graph.object_graph_def.nodes
        definitions = self._graph.asset_file_def
        for child in (child for node in nodes for child in node.children):
            if child.local_name != name or child.node_id >= len(nodes):
                continue
            node = nodes[child.node_id]
            index = node.asset.asset_file_def_index
            if not node.HasField("asset") or index >= len(definitions):
                continue
            file = os.path.basename(definitions[index].filename)
            path = os.path.join(self.folder, _ASSETS, file)
            return path if file and files.exists(path) else None
        return None
