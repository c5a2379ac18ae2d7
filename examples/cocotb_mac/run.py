"""Build mac.v under Icarus Verilog for a golden pack's widths and run the cocotb bench on it.

    python run.py PACK [--sums N] [--rtl FILE] [--build DIR]

Exit codes: 0 every bit equal, 1 a difference, 2 the pack does not suit.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from pack import Pack

HERE = Path(__file__).resolve().parent


def parameters(pack: Pack) -> dict[str, int]:
    """Widths that hold every layer of the pack that mac.v computes; raises ValueError for none."""
    fit, others = pack.layers()
    if not fit:
        raise ValueError("no layer suits mac.v: " + "; ".join(others))
    first: dict[str, Any] = fit[0]
    return {
        "X_BITS": max(pack.bits(f"{layer['name']}/operand_x") for layer in fit),
        "W_BITS": max(pack.bits(f"{layer['name']}/operand_w") for layer in fit),
        "ACC_BITS": first["accumulator_bits"],
        "SATURATE": int(first["overflow"] == "saturate"),
        "OUT_BITS": max(pack.bits(f"{layer['name']}/output") for layer in fit),
    }


def simulate(folder: Path, sums: int, rtl: Path, build: Path) -> int:
    """Build, run, and count the failed tests."""
    from cocotb_tools.check_results import get_results
    from cocotb_tools.runner import get_runner

    runner = get_runner("icarus")
    runner.build(
        sources=[rtl],
        hdl_toplevel="mac_requantize",
        parameters=parameters(Pack(folder)),
        build_dir=build,
        timescale=("1ns", "1ns"),
        always=True,
    )
    results = runner.test(
        test_module="bench",
        hdl_toplevel="mac_requantize",
        build_dir=build,
        test_dir=build,
        extra_env={"GOLDEN_PACK": str(folder), "GOLDEN_SUMS": str(sums)},
    )
    ran, failed = get_results(results)
    return failed if ran else 1


def main() -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pack", type=Path, help="folder that `bitlane golden` wrote")
    parser.add_argument("--sums", type=int, default=100, help="sums of each layer, tap by tap")
    parser.add_argument("--rtl", type=Path, default=HERE / "mac.v", help="the Verilog to test")
    parser.add_argument("--build", type=Path, help="build folder; a scratch one otherwise")
    given = parser.parse_args()
    try:
        pack = Pack(given.pack)
        parameters(pack)
    except (OSError, ValueError, KeyError) as error:
        print(f"{given.pack}: {error}", file=sys.stderr)
        return 2
    for line in pack.layers()[1]:
        print(f"left out: {line}")
    with tempfile.TemporaryDirectory() as scratch:
        build = (given.build or Path(scratch)).resolve()
        failed = simulate(given.pack.resolve(), given.sums, given.rtl.resolve(), build)
    print("every bit equal" if not failed else f"{failed} tests failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
