"""The commands `bitlane hw`: machines and technologies listed, shown, checked."""

from typing import Annotated, Literal

import typer

from analysis.chosen import machine_of

hw_app = typer.Typer(help="Machines and technologies: list, show, check.", no_args_is_help=True)
What = Annotated[
    Literal["machines", "technologies", "sweeps"], typer.Argument(help="Which names to list.")
]


@hw_app.command("list")
def hw_list(what: What = "machines") -> None:
    """List the machines, technologies or sweeps that ship with bitlane."""
    import hwconfigs

    for name in hwconfigs.names(what):
        print(name)


@hw_app.command("show")
def hw_show(
    name: Annotated[str, typer.Argument(help="A machine or technology: a file or shipped name.")],
) -> None:
    """Print a machine's YAML with its technology's; of a technology its table with citations."""
    import hwconfigs

    if hwconfigs.is_technology(name):
        from analysis.technology_table import to_text

        print(to_text(hwconfigs.load_technology(name)))
    else:
        print(hwconfigs.text(name), end="")


@hw_app.command("check")
def hw_check(
    file: Annotated[str, typer.Argument(help="A machine's or technology's file.")],
) -> None:
    """Check a machine or technology file; every fault is printed with its line."""
    import hwconfigs

    if hwconfigs.is_technology(file):
        print(f"{file}: {hwconfigs.load_technology(file).name} (technology) is valid")
    else:
        machine = machine_of(file, None)
        print(f"{file}: {machine.name} ({machine.model}) is valid")
