"""Checks of the machine: its memory and devices, and what a run needs."""

import dataclasses
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from bert_tf import files
from bert_tf.config import BertConfig
from bert_tf.doctor.findings import Finding
from bert_tf.formats.encoder_shapes import encoder_shapes

GIB = 1 << 30
# What a process has before it trains: Python, TensorFlow, tables, graphs.
BASE_BYTES = 1.1 * GIB
# Weights, gradients and the two means of AdamW and LAMB, in float32.
COPIES_IN_TRAINING = 4
# Arrays that a layer keeps for the backward pass, as many times the width, the
# inner width, and the heads times the length; see docs/doctor.md.
KEPT_OF_WIDTH, KEPT_OF_INNER, KEPT_OF_SCORES = 12.0, 4.0, 1.75
# A run that needs more of the memory may be killed.
MUCH_MEMORY = 0.9
SURELY_TOO_MUCH = 1.3  # The estimate is not exact.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Need:
    """What a training needs, in bytes.

    Attributes:
        weights: weights, gradients, and the optimizer's means.
        activations: what is kept of one batch for the backward pass, and its
            outputs.
    """

    weights: float
    activations: float

    @property
    def total(self) -> float:
        """All of it, with the process itself."""
        return BASE_BYTES + self.weights + self.activations


def num_parameters(config: BertConfig) -> int:
    """The number of weights of an encoder."""
    return sum(map(math.prod, encoder_shapes(config).values()))


def need_of(
    config: BertConfig,
    batch_size: int,
    length: int,
    *,
    precision: str = "float32",
    remat: bool = False,
    extra: float = 0.0,
) -> Need:
    """Estimates what a run needs.

    Args:
        config: the model's.
        batch_size: sequences that are computed at once.
        length: their tokens.
        precision: "float32", "bfloat16" or "float16".
        remat: whether activations are computed again in the backward pass.
        extra: bytes of a batch besides the encoder's, such as its outputs.
    """
    size = 4 if precision == "float32" else 2
    tokens = batch_size * length
    width, inner = config.hidden_size, config.intermediate_size
    of_layer = tokens * (
        KEPT_OF_WIDTH * width
        + KEPT_OF_INNER * inner
        + KEPT_OF_SCORES * config.num_attention_heads * length
    )
    layers = config.num_hidden_layers
    activations = of_layer * layers
    if remat:
        activations = of_layer + tokens * width * layers
    return Need(
        weights=4.0 * COPIES_IN_TRAINING * num_parameters(config),
        activations=size * activations + extra,
    )


def check_memory(
    need: Need, available: float | None, place: str, batch_size: int
) -> list[Finding]:
    """Compares what a run needs with what there is.

    Args:
        need: of `need_of`.
        available: bytes; None where that is not known.
        place: what has them, such as "this machine".
        batch_size: of the training, for the advice.
    """
    if not available or need.total <= MUCH_MEMORY * available:
        return []
    fitting = _largest_batch(need, available, batch_size)
    advice = "use a smaller model, or `precision`=bfloat16"
    if fitting:
        advice = (
            f"`train_batch_size`={batch_size} with "
            f"`gradient_accumulation_steps`={math.ceil(batch_size / fitting)} "
            "computes the same in parts; a shorter `max_seq_length` and "
            "`remat` help, too"
        )
    is_sure = need.total > SURELY_TOO_MUCH * available
    return [
        Finding(
            severity="error" if is_sure else "warning",
            name="memory",
            what=f"training needs about {need.total / GIB:.1f} GiB "
            f"({need.weights / GIB:.1f} for weights and optimizer, "
            f"{need.activations / GIB:.1f} for a batch), and {place} has "
            f"{available / GIB:.1f} GiB",
            advice=advice,
        )
    ]


def _largest_batch(need, available, batch_size):
    room = MUCH_MEMORY * available - BASE_BYTES - need.weights
    return int(room / (need.activations / batch_size)) if room > 0 else 0


def memory_of_machine() -> float | None:
    """The bytes that this process may use: of the machine, or its group.

    None where the system does not say.
    """
    try:
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None
    limits = [float(pages * size)]
    for path in (
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ):
        try:
            with open(path, encoding="ascii") as reader:
                limits.append(float(reader.read()))
        except (OSError, ValueError):
            pass
    return min(limits)


def check_disk(
    folder: str, config: BertConfig, keep_checkpoints: int
) -> list[Finding]:
    """Compares the size of a run's checkpoints with the free disk."""
    if files.is_remote(folder):
        return []
    while folder and not os.path.isdir(folder):
        folder = os.path.dirname(os.path.abspath(folder))
    free = shutil.disk_usage(folder or ".").free
    # Weights and two means; one more while the oldest is still there.
    needed = 12.0 * num_parameters(config) * (keep_checkpoints + 1)
    if needed <= free:
        return []
    return [
        Finding(
            severity="warning",
            name="disk",
            what=f"checkpoints need up to {needed / GIB:.1f} GiB, and "
            f"{folder} has {free / GIB:.1f} GiB free",
            advice="`keep_checkpoints`=1 keeps the newest one alone",
        )
    ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Devices:
    """The devices of a machine.

    Attributes:
        seen: those of the kind GPU that TensorFlow sees.
        present: the names of the GPUs that the machine has.
        capabilities: their compute capabilities, such as "9.0", where known.
        build: of `tf.sysconfig.get_build_info()`.
    """

    seen: int
    present: Sequence[str] = ()
    capabilities: Sequence[str] = ()
    build: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def check_devices(devices: Devices) -> list[Finding]:
    """Finds devices that the machine has and TensorFlow does not use."""
    if not devices.present:
        return []
    what = (
        f"the machine has {', '.join(sorted({*devices.present}))}, and "
        "TensorFlow sees no GPU"
    )
    if not devices.seen:
        if devices.build and not devices.build.get("is_cuda_build"):
            advice = (
                "this TensorFlow is built for processors alone: install "
                "tensorflow[and-cuda]"
            )
        else:
            advice = (
                "the libraries of CUDA or the driver are missing: pip install "
                "'tensorflow[and-cuda]' installs the libraries, and "
                "nvidia-smi must show the driver"
            )
        return [
            Finding(
                severity="warning",
                name="unused GPU",
                what=what,
                advice=f"{advice}; training runs on the processor, many "
                "times slower",
            )
        ]
    return _check_kernels(devices)


def _check_kernels(devices):
    """Finds GPUs for which the installed TensorFlow has no kernels."""
    built = [
        _capability(name)
        for name in devices.build.get("cuda_compute_capabilities", ())
    ]
    built = [one for one in built if one]
    for name in sorted({*devices.capabilities}):
        wanted = _capability(name)
        if not built or wanted is None or _has_kernels(wanted, built):
            continue
        return [
            Finding(
                severity="warning",
                name="no kernels for the GPU",
                what=f"TensorFlow has kernels for the compute capabilities "
                f"{', '.join(f'{a}.{b}' for a, b, _ in built)}, and the GPU "
                f"has {name}",
                advice="kernels are compiled when they are first used, which "
                "may take half an hour, or fail; another version of "
                "TensorFlow may have them",
            )
        ]
    return []


def _capability(name: str) -> tuple[int, int, bool] | None:
    """(major, minor, whether it is PTX) of "sm_90", "compute_90" or "9.0"."""
    digits = name.rpartition("_")[2].replace(".", "")
    if not digits.isdecimal() or len(digits) < 2:
        return None
    return int(digits[:-1]), int(digits[-1]), name.startswith("compute")


def _has_kernels(wanted, built):
    """Binaries run on the same major version, from their minor version on."""
    return any(
        major == wanted[0] and minor <= wanted[1] for major, minor, _ in built
    )
