"""Writes OpenVINO's files of a model: `python FILE source.json FOLDER`."""

import os
import sys

import openvino

# The folder of this file is the first where Python looks.
import torch_model
from answer_task import read_source

if __name__ == "__main__":
    source = read_source(sys.argv[1])
    names = torch_model.OUTPUT_NAMES[source.kind]
    model = torch_model.Traced(torch_model.model_of(source), names)
    converted = openvino.convert_model(
        model, example_input=torch_model.sample()
    )
    os.makedirs(sys.argv[2], exist_ok=True)
    path = os.path.join(sys.argv[2], "model.xml")
    openvino.save_model(converted, path, compress_to_fp16=False)
