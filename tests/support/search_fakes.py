"""An index of a fake model's vectors, and a server that has it."""

from bert_tf.export import search_index
from bert_tf.serving.batching import Batcher
from bert_tf.serving.served_index import ServedIndex
from support.server_requests import LIMITS
from support.serving_fakes import FakePredictor, make_serving, write_version

TEXTS = ["aaaa", "b", "a" * 90, "é" * 12, "b"]  # The last is found as the 2nd.


class Encoder(FakePredictor):
    """A fake that can also write an index."""

    def __init__(self, folder):
        super().__init__("embedding")
        self.folder = folder

    def stream(self, texts):
        for text in texts:
            yield {"embedding": vectors_of([text])[0]}


def vectors_of(texts):
    return FakePredictor("embedding")._embedding([], texts)["embedding"]


def write_model(folder, number):
    """A version, whose number decides its weights."""
    path = write_version(folder, number)
    (path / "variables").mkdir()
    (path / "variables" / "variables.index").write_text(f"weights {number}")
    return Encoder(str(path))


def write_index(folder, predictor, texts=TEXTS):
    rows = [(f"id {place}", text) for place, text in enumerate(texts)]
    search_index.write(str(folder), predictor, rows)
    return str(folder)


def serving_of(models, index):
    """A Serving of the model "model" in a folder, and its index."""
    served = ServedIndex("model", str(index), Batcher)
    serving = make_serving(LIMITS, load=served.loading(Encoder), folder=models)
    serving.models["model"].start()
    served.start(serving.models["model"])
    serving.indexes["model"] = served
    return serving
