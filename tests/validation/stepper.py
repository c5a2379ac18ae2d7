"""The register-level stepper against the analytic cycles of the same layers and arrays."""

from random import Random

from simulator.stepper.step import step
from tests.stepper.test_stepper import FLOWS, analytic, drawn_machine, layers, register_bytes
from tests.validation.rows import Row, Section, section_of

SEED = 20_000
LAYERS = 60


def section_rows() -> list[Row]:
    """Layers that the tests do not draw, each on an array of its own for each dataflow."""
    rng = Random(SEED + 1)
    rows = []
    for number, layer in enumerate(layers(SEED, LAYERS)):
        for dataflow in FLOWS:
            target = drawn_machine(rng, dataflow, layer.work)
            datapath = target.datapath.datapath()
            found = step(layer.operator, layer.inputs, target, layer.work)
            expected = layer.operator.accumulate(layer.inputs, datapath)
            ours = analytic(layer.work, target)
            name = f"layer {number}, {target.array.rows} x {target.array.cols} {dataflow}"
            wrong = int((found.accumulators != expected).sum())
            pairs = [("cycles", found.cycles, ours["cycles"])]
            # SCALE-Sim's timing leaves the drain out: its register writes are another count.
            if target.timing == "physical":
                clocked = register_bytes(found, layer.work, datapath)
                pairs.append(("register bytes", clocked, ours["register_bytes"]))
            pairs.append(("accumulators", expected.size, expected.size - wrong))
            rows += [Row(what, name, float(a), float(b), dataflow) for what, a, b in pairs]
    return rows


def section() -> Section:
    """Cycles, bytes clocked into registers, and the accumulators' bits."""
    return section_of(
        title="Register-level stepper",
        compares=(
            "The array stepped cycle by cycle with its real values (theirs) against the analytic "
            "model and the engine (ours): cycles, bytes written to registers, and how many "
            "accumulators of a layer hold the same value."
        ),
        source="`simulator/stepper`, which shares no formula with the cost functions",
        machine=(
            "`systolic_16x16` with a drawn array of 1 x 1 to 17 x 33, dataflow, timing, dot width, "
            "accumulator width and stages"
        ),
        basis="no: both are ours; the stepper counts what it clocks",
        name="stepper",
        rows=section_rows(),
        misses=[
            f"{LAYERS} layers of a seed that the tests do not use, on three dataflows each. "
            "`tests/stepper/test_stepper.py::test_bits_and_cycles` holds 1,500 more to the same, "
            "`tests/stepper/test_real_layers.py` layers of public networks."
        ],
    )
