"""Writes ONNX files of a model: `python FILE source.json FOLDER`.

float32_plain.onnx   PyTorch's export
float32_fused.onnx   ONNX Runtime's optimizer for transformers has replaced
                     attention and normalizations by its own operators
int8_plain.onnx, int8_fused.onnx
                     ONNX Runtime's dynamic quantization of both
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


def export(source: Source, folder: str) -> None:
    """Writes all files.

    Args:
        source: our model.
        folder: gets the files.
    """
    os.makedirs(folder, exist_ok=True)
    plain, fused = (
        os.path.join(folder, f"float32_{form}.onnx")
        for form in ("plain", "fused")
    )
    export_plain(source, plain, "sdpa")
    # The optimizer knows attention that is written out.
    export_plain(source, fused, "eager")
    optimized = optimizer.optimize_model(
        fused,
        model_type="bert",
        num_heads=source.config["num_attention_heads"],
        hidden_size=source.config["hidden_size"],
    )
    optimized.save_model_to_file(fused)
    for path in (plain, fused):
        quantization.quantize_dynamic(
            path,
            path.replace("float32_", "int8_"),
            weight_type=quantization.QuantType.QInt8,
            # It does not know the types of what fused operators return.
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )


def export_plain(source: Source, path: str, attention: str) -> None:
    """Writes PyTorch's export.

    Args:
        source: our model.
        path: the file.
        attention: see `torch_model.model_of`.
    """
    names = torch_model.OUTPUT_NAMES[source.kind]
    axes = {
        name: {0: "batch", 1: "length"}
        for name in (*torch_model.INPUT_NAMES, *names)
    }
    if "logits" in names:
        axes["logits"] = {0: "batch"}
    torch.onnx.export(
        torch_model.Traced(torch_model.model_of(source, attention), names),
        torch_model.sample(),
        path,
        input_names=[*torch_model.INPUT_NAMES],
        output_names=[*names],
        dynamic_axes=axes,
        opset_version=OPSET,
        dynamo=False,
    )


if __name__ == "__main__":
    export(read_source(sys.argv[1]), sys.argv[2])
