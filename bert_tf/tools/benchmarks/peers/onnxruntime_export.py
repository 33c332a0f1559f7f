"""Writes ONNX files of a model: `python FILE source.json FOLDER [fused]`.

float32.onnx is PyTorch's export; fused, ONNX Runtime's optimizer for
transformers has replaced its attention and normalizations by operators of
their own. int8.onnx is its dynamic quantization.
"""

import os
import sys

import onnx
import torch
from onnxruntime import quantization
from onnxruntime.transformers import optimizer

# The folder of this file is the first where Python looks.
import torch_model
from answer_task import Source, read_source

OPSET = 17


def export(source: Source, folder: str, fuses: bool) -> None:
    """Writes the files.

    Args:
        source: our model.
        folder: gets float32.onnx and int8.onnx.
        fuses: whether attention and normalizations are fused.
    """
    float32, int8 = (
        os.path.join(folder, f"{name}.onnx") for name in ("float32", "int8")
    )
    os.makedirs(folder, exist_ok=True)
    names = torch_model.OUTPUT_NAMES[source.kind]
    # The optimizer knows the attention that is written out.
    attention = "eager" if fuses else "sdpa"
    model = torch_model.model_of(source, attention)
    axes = {
        name: {0: "batch", 1: "length"}
        for name in (*torch_model.INPUT_NAMES, *names)
    }
    if "logits" in names:
        axes["logits"] = {0: "batch"}
    torch.onnx.export(
        torch_model.Traced(model, names),
        torch_model.sample(),
        float32,
        input_names=[*torch_model.INPUT_NAMES],
        output_names=[*names],
        dynamic_axes=axes,
        opset_version=OPSET,
        dynamo=False,
    )
    if fuses:
        optimized = optimizer.optimize_model(
            float32,
            model_type="bert",
            num_heads=source.config["num_attention_heads"],
            hidden_size=source.config["hidden_size"],
        )
        optimized.save_model_to_file(float32)
    quantization.quantize_dynamic(
        float32,
        int8,
        weight_type=quantization.QuantType.QInt8,
        # The types of what fused operators return are not known to it.
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
    )


if __name__ == "__main__":
    export(read_source(sys.argv[1]), sys.argv[2], "fused" in sys.argv[3:])
