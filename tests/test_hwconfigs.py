"""The shipped machines and technologies: names, sources, and what cannot be loaded."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import hwconfigs
from simulator.config import load_yaml
from simulator.errors import BadConfig, BitlaneError
from simulator.machines.folds import ROWS
from simulator.machines.registry import kinds, machine_from, register
from simulator.numeric.datapath import Datapath
from simulator.schema import source_of


@pytest.mark.parametrize("name", hwconfigs.names())
def test_shipped_machines_name_the_source_of_every_number(name: str) -> None:
    made = hwconfigs.load(name)
    assert made.name == name
    plain = load_yaml(Path(hwconfigs.__file__).parent / "machines" / f"{name}.yaml").root.plain()
    numbers = list(_numbers(plain))
    # A platform names its machines, which have their own.
    assert len(numbers) > (3 if made.model == "platform" else 10)
    unsourced = [path for path in numbers if source_of(made.source, path) is None]
    assert unsourced == []
    assert all(len(text) > 15 for text in made.source.values())


def _numbers(value: Any, path: str = "") -> Any:
    if isinstance(value, dict):
        for key, below in value.items():
            if (path, key) != ("", "source"):
                yield from _numbers(below, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from _numbers(below, f"{path}.{index}")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path


def test_the_longest_prefix_is_the_source() -> None:
    sources = {"": "all", "memory": "memories", "memory.dram": "dram"}
    found = [source_of(sources, path) for path in ("x", "memory.sram.bytes", "memory.dram.rate")]
    assert found == ["all", "memories", "dram"]
    assert source_of({"memory.dra": "no"}, "memory.dram") is None


def test_the_shipped_names() -> None:
    shipped = hwconfigs.names()
    assert shipped == sorted(shipped)
    assert {"cortex_m0plus", "cortex_m4", "cortex_a73", "hvx_1024", "systolic_16x16"} < set(shipped)
    technologies = {"horowitz_45nm", "synthesized_45nm", "scaled_7nm", "pareto_linear"}
    assert technologies < set(hwconfigs.names("technologies"))
    assert {"cpu", "dsp", "platform", "spatial", "systolic"} <= set(kinds())


@pytest.mark.parametrize(
    ("name", "pairs", "message"),
    [
        (
            "sistolic_16x16",
            [],
            "no machine is named 'sistolic_16x16'; did you mean 'systolic_16x16'? "
            "(a file's name ends in .yaml)",
        ),
        (
            "zzz",
            [],
            f"no machine is named 'zzz'; known: {', '.join(hwconfigs.names())} "
            "(a file's name ends in .yaml)",
        ),
        (
            "cortex_m4",
            [("technology", "horowitz_44nm")],
            "--set technology=horowitz_44nm: technology: no technology is named 'horowitz_44nm'; "
            "did you mean 'horowitz_45nm'? (a file's name ends in .yaml)",
        ),
        (
            "cortex_m4",
            [("model", "cpuu")],
            "--set model=cpuu: model: unknown machine model 'cpuu'; did you mean 'cpu'?",
        ),
        (
            "cortex_m4",
            [("technology", "3")],
            "--set technology=3: technology: must be a mapping of fields; found 3",
        ),
        (
            "cortex_m4",
            [("technology.node_nm", "-1")],
            "--set technology.node_nm=-1: technology.node_nm: must be > 0; found -1",
        ),
        (
            "systolic_16x16",
            [("datapath.weight_bits", "17"), ("datapath.composition", "fuse")],
            "--set datapath.composition=fuse: datapath.composition: must be 'fixed', 'fused', "
            "'linear', 'serial' or 'bitplane'; found 'fuse'; did you mean 'fused'?\n"
            "--set datapath.weight_bits=17: datapath.weight_bits: must be <= 16; found 17",
        ),
    ],
)
def test_machines_that_cannot_be_loaded(
    name: str, pairs: list[tuple[str, str]], message: str
) -> None:
    with pytest.raises(BitlaneError) as caught:
        hwconfigs.load(name, pairs)
    assert str(caught.value) == message


def test_a_machine_of_ones_own(tmp_path: Path) -> None:
    shipped = Path(hwconfigs.__file__).parent / "machines" / "cortex_m4.yaml"
    own = tmp_path / "own.yaml"
    own.write_text(shipped.read_text().replace("name: cortex_m4", "name: own"))
    assert hwconfigs.load(own).name == hwconfigs.load(str(own)).name == "own"
    own.write_text("name: own\n")
    with pytest.raises(BadConfig) as caught:
        hwconfigs.load(own)
    assert str(caught.value) == (
        f"{own}:1: model: is missing; known: cpu, dsp, platform, spatial, systolic"
    )


def test_a_kind_is_defined_once() -> None:
    with pytest.raises(ValueError, match="machine 'cpu' is defined twice"):

        @register
        class Other(kinds()["cpu"]):  # type: ignore[misc]
            pass


def test_one_document_serves_many_variants() -> None:
    document = hwconfigs.document("systolic_16x16")
    made = [machine_from(document, [("array.rows", rows)]) for rows in (1, 2)]
    assert [int(machine.row()[ROWS]) for machine in made] == [1, 2]
    assert made[0].technology == hwconfigs.load_technology("horowitz_45nm")


def test_the_datapath_is_the_engines() -> None:
    changes = [
        ("datapath.accumulator", "{bits: 18, overflow: saturate}"),
        ("datapath.zero_point", "folded"),
        ("datapath.dot_width", 4),
        ("datapath.narrow", "true"),
        ("datapath.weight_bits", 4),
    ]
    assert hwconfigs.load("systolic_16x16", changes).datapath.datapath() == Datapath(
        weight_bits=4,
        activation_bits=8,
        dot_width=4,
        accumulator_bits=18,
        overflow="saturate",
        zero_point="folded",
        narrow=True,
    )


def test_importing_hwconfigs_is_light() -> None:
    program = (
        "import sys, hwconfigs; hwconfigs.names(); "
        "sys.exit(bool({'numba', 'pydantic', 'yaml', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[1])
    assert done.returncode == 0


def test_a_technology_file_lies_beside_its_machine(tmp_path: Path) -> None:
    folder = Path(hwconfigs.__file__).parent
    table = (folder / "technologies" / "horowitz_45nm.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(table.replace("name: horowitz_45nm", "name: mine"))
    text = (folder / "machines" / "cortex_m4.yaml").read_text()
    text = text.replace("technology: horowitz_45nm", "technology: mine.yaml")
    (tmp_path / "npu.yaml").write_text(text)
    assert hwconfigs.load(tmp_path / "npu.yaml").technology.name == "mine"
    (tmp_path / "mine.yaml").write_text(table.replace("node_nm: 45", "node_nm: 0"))
    with pytest.raises(BadConfig) as caught:
        hwconfigs.load(tmp_path / "npu.yaml")
    assert str(caught.value) == (
        f"{tmp_path / 'mine.yaml'}:4: technology.node_nm: must be > 0; found 0"
    )
