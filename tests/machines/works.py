"""Works and machines for the tests of cost models, made by hand."""

from typing import Any

from hypothesis import strategies as st

import hwconfigs
from simulator.designs import evaluate_designs
from simulator.machines.actions import ACTION_NAMES, COMPONENT_NAMES
from simulator.machines.base import Machine
from simulator.machines.registry import machine_from
from simulator.work import Work

MACHINES = ("systolic_16x16", "hvx_1024", "cortex_m4", "cortex_a73")
_DOCUMENTS = {name: hwconfigs.document(name) for name in (*MACHINES, "scalesim_compatible")}


def machine(name: str, **changes: Any) -> Machine:
    """A shipped machine with dotted paths set, written with two underscores for each dot."""
    pairs = [(path.replace("__", "."), value) for path, value in changes.items()]
    return machine_from(_DOCUMENTS[name], pairs)


def conv(
    pixels: tuple[int, int], oc: int, kernel: tuple[int, int], ic: int, groups: int = 1, **more: int
) -> Work:
    """A convolution of stride 1 over an input just large enough, with bias."""
    (oy, ox), (ky, kx) = pixels, kernel
    outputs = oy * ox * oc * groups
    return Work(
        oy=oy,
        ox=ox,
        oc=oc,
        ky=ky,
        kx=kx,
        ic=ic,
        groups=groups,
        input_elements=(oy + ky - 1) * (ox + kx - 1) * ic * groups,
        weight_elements=oc * groups * ky * kx * ic,
        bias_elements=oc * groups,
        output_elements=outputs,
        requantizations=outputs,
        depthwise=int(ic == 1 and groups > 1),
        **more,
    )


def gemm(m: int, n: int, k: int, **more: int) -> Work:
    """A product [m, k] by [k, n] without bias, as a convolution of one tap."""
    return Work(
        oy=m,
        oc=n,
        ky=1,
        kx=1,
        ic=k,
        input_elements=m * k,
        weight_elements=k * n,
        output_elements=m * n,
        requantizations=m * n,
        **more,
    )


OPERATORS = {
    "conv_2d": conv((8, 8), 16, (3, 3), 8),
    "depthwise_conv_2d": conv((8, 8), 1, (3, 3), 1, groups=24),
    "grouped_conv_2d": conv((4, 4), 6, (3, 3), 4, groups=3),
    "fully_connected": Work(
        oc=10,
        ky=1,
        kx=1,
        ic=64,
        input_elements=64,
        weight_elements=640,
        bias_elements=10,
        output_elements=10,
        requantizations=10,
    ),
    "add": Work(input_elements=512, output_elements=256, elementwise=256, requantizations=768),
    "average_pool_2d": Work(
        input_elements=512, output_elements=8, elementwise=512, requantizations=8
    ),
    "softmax": Work(input_elements=10, output_elements=10, elementwise=600, requantizations=10),
    "reshape": Work(input_elements=64, output_elements=64),
    "nothing": Work(),
}


def cost(target: Machine, work: Work) -> dict[str, int]:
    """Every action of one layer by name, with its energies by component in femtojoules."""
    result = evaluate_designs([work], [target], per_layer=True)
    names = (*COMPONENT_NAMES, *target.levels)
    priced = zip(names, result.energy_fj[0, 0].tolist(), strict=False)
    energies = {f"{name}_fj": int(value) for name, value in priced}
    actions = dict(zip(ACTION_NAMES, (int(value) for value in result.actions[0, 0]), strict=True))
    for index, level in enumerate(target.levels):
        for way in ("read", "write"):
            actions[f"{level}_{way}"] = actions[f"level_{index}_{way}_bytes"]
    cycles = sum(actions[f"{part}_cycles"] for part in ("compute", "stall", "overhead"))
    return {**actions, **energies, "cycles": cycles, "energy_fj": sum(energies.values())}


def compulsory_bytes(work: Work) -> int:
    """Bytes that any machine must move at least once."""
    bits = (
        work.input_elements * work.activation_bits
        + work.weight_elements * work.weight_bits
        + work.bias_elements * work.bias_bits
        + work.output_elements * work.output_bits
    )
    return -(-bits // 8)


@st.composite
def layers(draw: st.DrawFn) -> Work:
    """Any operator of the list above, or a convolution of random shape and widths."""
    if draw(st.booleans()):
        return OPERATORS[draw(st.sampled_from(sorted(OPERATORS)))]
    small = st.integers(1, 40)
    return conv(
        (draw(st.integers(1, 12)), draw(st.integers(1, 12))),
        draw(small),
        (draw(st.integers(1, 4)), draw(st.integers(1, 4))),
        draw(small),
        groups=draw(st.sampled_from([1, 1, 1, 2, 5, 33])),
        weight_bits=draw(st.sampled_from([2, 4, 8])),
        activation_bits=draw(st.sampled_from([4, 8])),
    )
