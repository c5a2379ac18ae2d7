"""Every operator that is exported: LiteRT's bits, and the values that the plan's grids give."""

from pathlib import Path
from random import Random

import numpy as np
import pytest

import workloads
from simulator.execute import run
from simulator.graph import Array, Graph
from tests.ops.litert import requires_litert
from tests.quantize.export.float_files import Between
from tests.quantize.export.plans import INT8, INT16, against_litert, min_max_plan
from workloads.float_graph import fold_batch_norm, fuse_activations
from workloads.quantize import Form
from workloads.quantize.export.tflite import to_tflite
from workloads.quantize.ptq import Plan, simulated

IMAGE = (1, 6, 7, 4)
WINDOW = {"padding": "SAME", "stride_h": 2, "stride_w": 1}
DILATIONS = {"dilation_h_factor": 1, "dilation_w_factor": 1}
POOL = {**WINDOW, "filter_height": 3, "filter_width": 2}
SLICE = {"begin_mask": 0, "end_mask": 0, "ellipsis_mask": 0, "new_axis_mask": 0}


def reals(shape: tuple[int, ...], seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32) / 3


def ints(*values: int | tuple[int, ...]) -> Array:
    return np.array(values, dtype=np.int32)


def resized(op: str, align: bool, half: bool) -> Between:
    options = {"align_corners": align, "half_pixel_centers": half}
    return Between(op, IMAGE, (1, 9, 5, 4), options, [ints(9, 5)])


CASES: dict[str, Between] = {
    "conv": Between(
        "CONV_2D", IMAGE, (1, 3, 7, 5), {**WINDOW, **DILATIONS}, [reals((5, 3, 2, 4)), reals((5,))]
    ),
    "conv, dilated, valid, ReLU6": Between(
        "CONV_2D",
        IMAGE,
        (1, 2, 5, 5),
        {
            "padding": "VALID",
            "stride_h": 1,
            "stride_w": 1,
            "dilation_h_factor": 2,
            "dilation_w_factor": 2,
            "fused_activation_function": "RELU6",
        },
        [reals((5, 3, 2, 4)), reals((5,))],
        reach=4,
    ),
    "conv of two groups": Between(
        "CONV_2D", IMAGE, (1, 3, 7, 6), {**WINDOW, **DILATIONS}, [reals((6, 3, 2, 2)), reals((6,))]
    ),
    "depthwise, multiplier 2": Between(
        "DEPTHWISE_CONV_2D",
        IMAGE,
        (1, 3, 7, 8),
        {**WINDOW, **DILATIONS, "depth_multiplier": 2, "fused_activation_function": "RELU"},
        [reals((1, 3, 2, 8)), reals((8,))],
    ),
    "fully connected": Between("FULLY_CONNECTED", (3, 8), (3, 5), {}, [reals((5, 8)), reals((5,))]),
    "fully connected, keeping axes": Between(
        "FULLY_CONNECTED", (2, 3, 8), (2, 3, 5), {"keep_num_dims": True}, [reals((5, 8))]
    ),
    "add": Between("ADD", IMAGE, IMAGE, {"fused_activation_function": "RELU"}, times=2),
    "add of a constant": Between("ADD", IMAGE, IMAGE, {}, [reals((1, 1, 1, 4))]),
    "sub from a constant": Between("SUB", IMAGE, IMAGE, {}, [reals((4,))], first=True),
    "mul": Between("MUL", IMAGE, IMAGE, {"fused_activation_function": "RELU_N1_TO_1"}, times=2),
    "mul by a scalar": Between("MUL", IMAGE, IMAGE, {}, [np.array(0.3, np.float32)]),
    "maximum": Between("MAXIMUM", IMAGE, IMAGE, {}, [reals((1, 1, 1, 4))]),
    "minimum": Between("MINIMUM", IMAGE, IMAGE, {}, times=2),
    "average pool": Between("AVERAGE_POOL_2D", IMAGE, (1, 3, 7, 4), POOL),
    "average pool of the whole": Between(
        "AVERAGE_POOL_2D",
        IMAGE,
        (1, 1, 1, 4),
        {**POOL, "padding": "VALID", "filter_height": 6, "filter_width": 7},
    ),
    "max pool": Between("MAX_POOL_2D", IMAGE, (1, 3, 7, 4), POOL),
    "mean": Between("MEAN", IMAGE, (1, 4), {"keep_dims": False}, [ints(1, 2)]),
    "mean, kept": Between("MEAN", IMAGE, (1, 6, 7, 1), {"keep_dims": True}, [ints(3)]),
    "softmax": Between("SOFTMAX", (2, 10), (2, 10), {"beta": 0.7}, reach=3),
    "logistic": Between("LOGISTIC", IMAGE, IMAGE, reach=3),
    "tanh": Between("TANH", IMAGE, IMAGE, reach=2),
    "relu": Between("RELU", IMAGE, IMAGE),
    "relu6": Between("RELU6", IMAGE, IMAGE, reach=4),
    "relu -1 to 1": Between("RELU_N1_TO_1", IMAGE, IMAGE, reach=2),
    "leaky relu": Between("LEAKY_RELU", IMAGE, IMAGE, {"alpha": 0.2}),
    "concatenation": Between("CONCATENATION", IMAGE, (1, 6, 14, 4), {"axis": 2}, times=2),
    "pad": Between("PAD", IMAGE, (1, 9, 7, 5), {}, [ints((0, 0), (1, 2), (0, 0), (0, 1))]),
    "mirror pad": Between(
        "MIRROR_PAD",
        IMAGE,
        (1, 9, 7, 4),
        {"mode": "REFLECT"},
        [ints((0, 0), (1, 2), (0, 0), (0, 0))],
    ),
    "reshape": Between("RESHAPE", IMAGE, (6, 28), {"new_shape": (6, 28)}, [ints(6, 28)]),
    "squeeze": Between("SQUEEZE", (1, 6, 1, 4), (6, 4), {"squeeze_dims": (0, 2)}),
    "transpose": Between("TRANSPOSE", IMAGE, (1, 4, 6, 7), {}, [ints(0, 3, 1, 2)]),
    "strided slice": Between(
        "STRIDED_SLICE",
        IMAGE,
        (1, 3, 4),
        {**SLICE, "shrink_axis_mask": 2},
        [ints(0, 2, 6, 0), ints(1, 3, 0, 4), ints(1, 1, -2, 1)],
    ),
    "slice to the front": Between(
        "STRIDED_SLICE",
        IMAGE,
        (1, 6, 3, 4),
        {**SLICE, "shrink_axis_mask": 0, "end_mask": 4},
        [ints(0, 0, 5, 0), ints(1, 6, 0, 4), ints(1, 1, -2, 1)],
    ),
    "slice": Between("SLICE", IMAGE, (1, 2, 7, 3), {}, [ints(0, 3, 0, 1), ints(1, 2, -1, 3)]),
    "pack": Between("PACK", (3, 4), (3, 2, 4), {"axis": 1, "values_count": 2}, times=2),
    "gather": Between("GATHER", IMAGE, (1, 6, 3, 4), {"axis": 2}, [ints(6, 0, 6)]),
    "broadcast": Between("BROADCAST_TO", (1, 3, 1), (2, 3, 4), {}, [ints(2, 3, 4)]),
    "space to batch": Between(
        "SPACE_TO_BATCH_ND", IMAGE, (4, 3, 4, 4), {}, [ints(2, 2), ints((0, 0), (1, 0))]
    ),
    "batch to space": Between(
        "BATCH_TO_SPACE_ND", (4, 3, 4, 2), (1, 6, 7, 2), {}, [ints(2, 2), ints((0, 0), (1, 0))]
    ),
    "split": Between("SPLIT_V", IMAGE, IMAGE, {"num_splits": 1}, [ints(4), ints(3).reshape(())]),
    "unpack": Between("UNPACK", (1, 6, 4), (6, 4), {"axis": 0, "num": 1}),
    "abs": Between("ABS", IMAGE, IMAGE),
    "exp": Between("EXP", IMAGE, IMAGE, reach=0.5),
    "reduce max": Between("REDUCE_MAX", IMAGE, (1, 4), {"keep_dims": False}, [ints(1, 2)]),
    "reduce min": Between("REDUCE_MIN", IMAGE, (1, 6, 7, 1), {"keep_dims": True}, [ints(3)]),
    "batch product": Between("BATCH_MATMUL", (2, 4, 4), (2, 4, 4), times=2),
    "tile": Between("TILE", (2, 3), (4, 9), {}, [ints(2, 3)]),
    "bilinear": resized("RESIZE_BILINEAR", False, False),
    "bilinear, corners aligned": resized("RESIZE_BILINEAR", True, False),
    "bilinear, half pixels": resized("RESIZE_BILINEAR", False, True),
    "nearest": resized("RESIZE_NEAREST_NEIGHBOR", False, False),
    "nearest, half pixels": resized("RESIZE_NEAREST_NEIGHBOR", False, True),
    "nearest, corners aligned": resized("RESIZE_NEAREST_NEIGHBOR", True, False),
}
ONLY_8 = {
    "hard swish": Between("HARD_SWISH", IMAGE, IMAGE, reach=3),
    "relu 0 to 1": Between("RELU_0_TO_1", IMAGE, IMAGE, reach=2),
    "space to depth": Between("SPACE_TO_DEPTH", (1, 4, 6, 3), (1, 2, 3, 12), {"block_size": 2}),
    "depth to space": Between("DEPTH_TO_SPACE", (1, 2, 3, 12), (1, 4, 6, 3), {"block_size": 2}),
    "log softmax": Between("LOG_SOFTMAX", (2, 10), (2, 10), reach=2),
}
EVERY = [
    *((name, form) for name in CASES for form in ("int8", "int16")),
    *((name, "int8") for name in ONLY_8),
]
# LiteRT resizes on positions of 10 fractional bits, and adds their rounding up over 9 rows.
STEPS = {(name, "int16"): 2.0**16 * 9 / 2**11 for name in CASES if name.startswith("bilinear")}
FORMS: dict[str, Form] = {"int8": INT8, "int16": INT16}


def steps_apart(plan: Plan, exported: Graph, x: Array) -> float:
    """How far the outputs are from those of the simulated network, in steps of their grid."""
    name, (given,) = plan.graph.outputs[0], plan.graph.inputs
    (wanted,) = run(simulated(plan), {given: x})[0].values()
    quant = exported.tensors[exported.inputs[0]].quant
    assert quant is not None
    kind = np.iinfo(exported.tensors[exported.inputs[0]].dtype)
    codes = np.rint(x.astype(np.float64) / quant.scale[0]) + quant.zero_point[0]
    codes = np.clip(codes, kind.min, kind.max).astype(kind.dtype)
    (got,) = run(exported, {exported.inputs[0]: codes})[0].values()
    (scale,), (zero,) = (getattr(exported.tensors[name].quant, k) for k in ("scale", "zero_point"))
    return float(np.abs((got.astype(np.float64) - zero) - wanted / scale).max())


@requires_litert
@pytest.mark.parametrize(("name", "form"), EVERY)
def test_operators_are_exported(name: str, form: str, tmp_path: Path) -> None:
    """0 values differ from LiteRT's; outputs are within the roundings of two operators."""
    case = (CASES | ONLY_8)[name]
    graph = fused(case.graph(tmp_path))
    batch = case.batch(Random(name).randrange(99))
    plan = min_max_plan(graph, batch, FORMS[form])
    found = against_litert(to_tflite(plan), tmp_path)
    assert (found.differing, found.unseen) == (0, ())
    exported = workloads.load(tmp_path / "exported.tflite")
    assert steps_apart(plan, exported, batch["x"][0]) <= STEPS.get((name, form), 2.5)


def fused(graph: Graph) -> Graph:
    """As `prepared`, which refuses a network without weights."""
    return fuse_activations(fold_batch_norm(graph))
