"""Writes a model of transformers: `python FILE source.json FOLDER`."""

import sys

# The folder of this file is the first where Python looks.
import torch_model
from answer_task import read_source

if __name__ == "__main__":
    torch_model.model_of(read_source(sys.argv[1])).save_pretrained(sys.argv[2])
