"""TensorFlow Serving's warm-up file, read back with other readers."""

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from support.common import needs

from bert_tf import files
from bert_tf.export import warmup

TensorProto = type(tf.make_tensor_proto(0))

FIELDS = {  # Of tensorflow_serving/apis; TensorProto as its bytes.
    "PredictionLog": [("predict_log", 6, "PredictLog")],
    "PredictLog": [("request", 1, "PredictRequest")],
    "PredictRequest": [
        ("model_spec", 1, "ModelSpec"),
        ("inputs", 2, "Entry"),
    ],
    "ModelSpec": [("name", 1, None), ("signature_name", 3, None)],
    "Entry": [("key", 1, None), ("value", 2, None)],
}


class Model(tf.Module):
    """Counts words, and adds numbers."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def count(self, text):
        return {"number": tf.strings.length(text)}

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.int32)] * 2)
    def add(self, left, right):
        return {"sum": left + right}


@pytest.fixture
def folder(tmp_path):
    model = Model()
    path = str(tmp_path / "export")
    signatures = {"serving_default": model.count, "add": model.add}
    tf.saved_model.save(model, path, signatures=signatures)
    return path


REQUESTS = {
    "serving_default": [{"text": ["good"]}, {"text": ["a", "Dvořák"]}],
    "add": [{"left": np.array([[1, 2]]), "right": [[300, -4]]}],
}


def own_reader():
    """The class PredictionLog, of descriptors in a pool of their own."""
    file = descriptor_pb2.FileDescriptorProto(name="warmup", package="here")
    field_type = descriptor_pb2.FieldDescriptorProto
    for name, fields in FIELDS.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            is_text = field.endswith(("name", "key"))
            scalar = (
                field_type.TYPE_STRING if is_text else field_type.TYPE_BYTES
            )
            message.field.add(
                name=field,
                number=number,
                label=field_type.LABEL_REPEATED
                if field == "inputs"
                else field_type.LABEL_OPTIONAL,
                type=field_type.TYPE_MESSAGE if kind else scalar,
                type_name=kind and f".here.{kind}",
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName("here.PredictionLog")
    )


def records_of(folder):
    path = f"{folder}/assets.extra/tf_serving_warmup_requests"
    return [r.numpy() for r in tf.data.TFRecordDataset(path)]


def assert_are_requests(found):
    """Of [(signature, {name: array})]."""
    expected = [(s, r) for s, several in REQUESTS.items() for r in several]
    for (signature, inputs), (name, arrays) in zip(
        expected, found, strict=True
    ):
        assert signature == name and inputs.keys() == arrays.keys()
        for key, value in inputs.items():
            texts = [v.encode() for v in value] if key == "text" else value
            np.testing.assert_array_equal(arrays[key], texts)
            assert arrays[key].dtype == (object if key == "text" else np.int32)


def test_requests_are_read_back(folder):
    warmup.write_warmup(folder, REQUESTS)
    reader = own_reader()
    found = []
    for content in records_of(folder):
        log = reader.FromString(content)
        assert log.ByteSize() == len(content)  # Nothing else is in it.
        request = log.predict_log.request
        arrays = {
            entry.key: tf.make_ndarray(TensorProto.FromString(entry.value))
            for entry in request.inputs
        }
        found.append((request.model_spec.signature_name, arrays))
    assert_are_requests(found)


def test_requests_are_read_by_the_servers_own_package(folder):
    logs = needs(
        "tensorflow_serving.apis.prediction_log_pb2", "tensorflow-serving-api"
    )
    warmup.write_warmup(folder, REQUESTS)
    found = []
    for content in records_of(folder):
        log = logs.PredictionLog.FromString(content)
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        arrays = {k: tf.make_ndarray(v) for k, v in request.inputs.items()}
        found.append((request.model_spec.signature_name, arrays))
    assert_are_requests(found)


def test_requests_that_do_not_fit(folder, monkeypatch):
    def write(requests):
        warmup.write_warmup(folder, requests)

    with pytest.raises(ValueError, match="signatures are add, serving_default"):
        write({"classify": [{"text": ["a"]}]})
    with pytest.raises(ValueError, match="inputs are left, right"):
        write({"add": [{"text": ["a"]}]})
    with pytest.raises((ValueError, TypeError)):
        write({"add": [{"left": ["a"], "right": [1]}]})
    with pytest.raises(ValueError, match="left must have the shape .None, 2"):
        write({"add": [{"left": [[1, 2, 3]], "right": [[1, 2, 3]]}]})
    monkeypatch.setattr(warmup, "MOST_REQUESTS", 1)
    with pytest.raises(ValueError, match="at most 1 requests. Received: 2"):
        write({"serving_default": [{"text": ["a"]}] * 2})
    assert not files.exists(f"{folder}/assets.extra")


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(OSError, match=tmp_path.name):
        warmup.write_warmup(str(tmp_path), REQUESTS)
