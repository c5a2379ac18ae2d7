"""The command line. Each command imports what it needs when it runs, so that --help is instant."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from analysis import explore_commands, quantize_commands, train_commands
from analysis.chosen import datapath_of, optional_machine_of
from analysis.hw_commands import hw_app
from analysis.limits import MAX_BATCH
from analysis.terminal import integer, run
from simulator.errors import BitlaneError

app = typer.Typer(
    name="bitlane",
    help="What a quantized network computes on a machine, bit for bit, and what that costs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(hw_app, name="hw")


def _number(option: str, text: str, low: int, high: int | None = None) -> Any:
    """An integer option with bounds, refused in our own words."""
    return typer.Option(parser=integer(option, low, high), metavar="N", help=text)


Model = Annotated[
    str,
    typer.Argument(
        help="A .tflite or .onnx file, a SCALE-Sim topology .csv, or zoo:NAME.", metavar="MODEL"
    ),
]
Json = Annotated[
    Path | None, typer.Option("--json", help="Write a JSON document here; - is standard output.")
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", help="PATH=VALUE: replace a field of every machine (repeatable)."),
]
Dialect = Annotated[
    str | None,
    typer.Option(help="Runtime whose arithmetic is followed.", show_default="by the file's format"),
]


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("bitlane-demo"),
) -> None:
    """Run the embedded digits network: bits, cycles, joules, and a design-space page."""
    from analysis.demo import demo as run_demo

    run_demo(out)


@app.command()
def inspect(
    model: Model,
    accumulators: Annotated[
        bool, typer.Option("--accumulators", help="Audit how wide each accumulator must be.")
    ] = False,
    inputs: Annotated[
        Path | None, typer.Option(help="With --accumulators: observe these inputs too, .npz.")
    ] = None,
    bits: Annotated[
        int | None,
        _number("--bits", "With --inputs: count what this width would lose.", 2, 64),
    ] = None,
    dot_width: Annotated[
        int, _number("--dot-width", "Products summed before each add.", 1, 1024)
    ] = 1,
    json: Json = None,
    dialect: Dialect = None,
) -> None:
    """Show what a model holds: operators, shapes, grids, MACs; or audit its accumulators."""
    import workloads
    from analysis.accumulators import audit_command
    from analysis.files import tell, write_json
    from analysis.inspect import describe, to_text
    from workloads.topology_csv import require_values

    graph = workloads.load(model, dialect)
    if accumulators:
        audit_command(require_values(graph), inputs, bits, dot_width, json)
        return
    if inputs or bits:
        raise BitlaneError("--inputs and --bits belong to --accumulators; add it")
    tell(to_text(graph), json)
    if json:
        write_json(json, describe(graph))


@app.command("exec")
def exec_(
    model: Model,
    inputs: Annotated[Path, typer.Option(help="Input arrays, .npz.")],
    out: Annotated[Path | None, typer.Option(help="Where the computed arrays go, .npz.")] = None,
    hw: Annotated[str | None, typer.Option(help="Compute as this machine's datapath.")] = None,
    set_: Sets = None,
    dialect: Dialect = None,
    tensors: Annotated[str, typer.Option(help="outputs, or all.")] = "outputs",
    stepper: Annotated[
        bool, typer.Option("--stepper", help="Step --layer through the array of --hw instead.")
    ] = False,
    layer: Annotated[str | None, typer.Option(help="With --stepper: this layer.")] = None,
    html: Annotated[
        Path | None, typer.Option(help="With --stepper: a page of every cycle here.")
    ] = None,
) -> None:
    """Run a model on given inputs, bit-exactly, and write its tensors.

    With --stepper instead: one layer through a systolic array, register by register; exit 1 where
    a bit or a cycle differs from the engine's and the analytic model's.
    """
    import workloads
    from analysis.exec import describe, exec_file
    from workloads.topology_csv import require_values

    _choose("--tensors", tensors, ("outputs", "all"))
    if (layer or html) and not stepper:
        raise BitlaneError("--layer and --html belong to --stepper; add it")
    if stepper == (out is not None):
        raise BitlaneError("exec writes --out FILE.npz, or steps with --stepper; give one of them")
    machine = optional_machine_of(hw, set_)
    graph = require_values(workloads.load(model, dialect))
    if out is None:
        from analysis.stepper import stepper_command

        if machine is None:
            raise BitlaneError("--stepper: steps through a machine's array; give it with --hw")
        if not stepper_command(graph, machine, inputs, layer, html):
            raise typer.Exit(1)
        return
    datapath = datapath_of(machine, graph)
    results = exec_file(graph, inputs, out, every_tensor=tensors == "all", datapath=datapath)
    lines = describe(graph, results, datapath)
    print(*lines, sep="\n")
    print(f"written to {out}")


@app.command()
def validate(
    model: Model,
    against: Annotated[
        str | None,
        typer.Option(help="The reference: litert-ref, onnxruntime or onnxruntime-unfused."),
    ] = None,
    hw: Annotated[
        str | None, typer.Option(help="Compare this machine's arithmetic with the graph's own.")
    ] = None,
    set_: Sets = None,
    samples: Annotated[int, _number("--samples", "Random inputs to compare on.", 1)] = 10,
    seed: Annotated[int, _number("--seed", "Seed of the random inputs.", 0)] = 0,
    inputs: Annotated[Path | None, typer.Option(help="Compare on these instead, .npz.")] = None,
    reference_model: Annotated[
        Path | None,
        typer.Option(help="The file that the reference runs, where it is not MODEL."),
    ] = None,
    dialect: Dialect = None,
    json: Json = None,
) -> None:
    """Compare every tensor with a reference runtime; exit 1 where a bit differs.

    Random inputs are uniform for integers, standard normal for reals.
    With --hw instead: report what a machine's arithmetic changes, and exit 0.
    """
    import workloads
    from analysis.files import tell, write_json
    from analysis.reference import own_dialect
    from analysis.validate import sample_inputs, to_text
    from analysis.validate import validate as compare
    from workloads.source import resolve
    from workloads.topology_csv import require_values

    if (against is None) == (hw is None):
        raise BitlaneError("validate takes --against RUNTIME or --hw MACHINE, one of the two")
    machine = optional_machine_of(hw, set_)
    graph = require_values(workloads.load(model, dialect or own_dialect(against, model)))
    if machine is not None:
        from analysis.arrays import drawn_from
        from analysis.damage import damage_command

        given = list(sample_inputs(graph, samples, seed, inputs))
        origin = "given inputs" if inputs else f"{drawn_from(graph)}, seed {seed}"
        damage_command(graph, machine.name, datapath_of(machine, graph), given, json, origin)
        return
    assert against is not None
    reference_file = resolve(reference_model or model)
    outcome = compare(graph, reference_file, against, count=samples, seed=seed, inputs=inputs)
    tell(to_text(outcome), json)
    if json:
        write_json(json, outcome.to_json_dict())
    if outcome.differing:
        raise typer.Exit(1)


@app.command()
def golden(
    model: Model,
    inputs: Annotated[Path, typer.Option(help="Input arrays of one inference, .npz.")],
    out: Annotated[Path, typer.Option(help="Folder for the vectors; made, or empty.")],
    layer: Annotated[str | None, typer.Option(help="This layer only.")] = None,
    hw: Annotated[str | None, typer.Option(help="Compute as this machine's datapath.")] = None,
    set_: Sets = None,
    fold_taps: Annotated[
        int | None, _number("--fold-taps", "Partial sums after every so many taps.", 1)
    ] = None,
    intermediates: Annotated[
        bool,
        typer.Option(
            "--intermediates",
            help="Each stage of the requantizers, the multipliers' operands and, with a systolic "
            "--hw, the partial sums of its folds.",
        ),
    ] = False,
    lanes: Annotated[int, _number("--lanes", "Elements in a hex word.", 1, 4096)] = 1,
    corners: Annotated[
        bool, typer.Option(help="Vectors at extremes, ties and clamps beside the real ones.")
    ] = True,
    dialect: Dialect = None,
) -> None:
    """Write golden vectors for RTL: each layer's inputs, sums, requantizer and outputs.

    Arrays as .npy and as hex for $readmemh, and a manifest.json of shapes, packing and sha256.
    """
    import workloads
    from analysis.arrays import one_sample
    from analysis.golden import golden as write_pack
    from analysis.golden import taps_per_fold
    from analysis.golden_sums import Options
    from workloads.topology_csv import require_values

    machine = optional_machine_of(hw, set_)
    if machine is not None and machine.model == "platform":
        raise BitlaneError(
            f"--hw {hw}: a platform has a datapath for each unit; write vectors for one machine"
        )
    graph = require_values(workloads.load(model, dialect))
    datapath = datapath_of(machine, graph)
    if intermediates and machine is not None and fold_taps is None:
        fold_taps = taps_per_fold(machine)
    options = Options(layer, fold_taps, lanes, corners, intermediates)
    manifest = write_pack(graph, one_sample(graph, inputs), out, options, datapath)
    print(f"{len(manifest['files'])} arrays of {len(manifest['layers'])} layers written to {out}")


@app.command()
def estimate(
    model: Model,
    hw: Annotated[list[str], typer.Option(help="A machine file or shipped name (repeatable).")],
    set_: Sets = None,
    batch: Annotated[int, _number("--batch", "Inferences run together.", 1, MAX_BATCH)] = 1,
    json: Json = None,
    csv: Annotated[Path | None, typer.Option(help="Write a row per layer here.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page here.")] = None,
    mapping: Annotated[
        list[Path] | None,
        typer.Option(help="Pin this loop nest, Timeloop's or ZigZag's too (repeatable)."),
    ] = None,
    mappings: Annotated[
        Path | None, typer.Option(help="Write each layer's loop nest to this folder.")
    ] = None,
    mapping_format: Annotated[
        str,
        typer.Option(help="Of --mappings: bitlane, timeloop, timeloop-text, zigzag, zigzag-text."),
    ] = "bitlane",
    inputs: Annotated[
        Path | None, typer.Option(help="Price by what these operands do as well, .npz.")
    ] = None,
    seed: Annotated[int, _number("--seed", "With --inputs: what large layers draw.", 0)] = 0,
    constraint: Annotated[
        list[str] | None,
        typer.Option(help="'area_mm2 <= 2.0': exit 1 where a machine breaks it (repeatable)."),
    ] = None,
) -> None:
    """Count cycles, energy and area of a model on machines, layer by layer."""
    from analysis.estimate import estimate_command
    from analysis.held import constraints_of
    from analysis.mapping_files import check_mappings, mappings_command, pinned_machines

    if mapping_format != "bitlane" and mappings is None:
        raise BitlaneError("--mapping-format belongs to --mappings; add it")
    limits = constraints_of(constraint or [])
    machines = pinned_machines(model, hw, set_, mapping or [], batch)
    if mappings:
        check_mappings(machines, mapping_format)
    files = (json, csv, html, inputs)
    graph, found, held = estimate_command(model, machines, batch, *files, seed, limits)
    if mappings:
        mappings_command(graph, machines, found, batch, mappings, mapping_format, json)
    if not held:
        raise typer.Exit(1)


app.command()(train_commands.train)
app.command()(explore_commands.sweep)
app.command()(explore_commands.search)
app.command()(explore_commands.reprice)
app.command()(explore_commands.report)
app.command()(explore_commands.diff)
app.command()(quantize_commands.quantize)


@app.command()
def calibrate(
    base: Annotated[str, typer.Argument(help="A machine file or shipped name.", metavar="BASE")],
    measurements: Annotated[Path, typer.Option(help="CSV of measured latencies.")],
    out: Annotated[Path, typer.Option(help="Where the calibrated machine goes, .yaml.")],
    fit: Annotated[
        list[str] | None,
        typer.Option(help="PATH or PATH=LOW:HIGH: a number of the machine to fit (repeatable)."),
    ] = None,
    date: Annotated[str | None, typer.Option(help="Date to record; today where absent.")] = None,
) -> None:
    """Fit a machine's rates to measured latencies, leave-one-out errors printed."""
    from analysis.calibrated import calibrate_command

    calibrate_command(base, measurements, out, fit or [], date)


def _choose(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise BitlaneError(f"{option} {value}: must be one of {', '.join(allowed)}")


def main() -> None:
    """Run the command line; `analysis.terminal.run` says what the exit codes mean."""
    sys.exit(run(app))


if __name__ == "__main__":
    main()
