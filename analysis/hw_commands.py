"""The commands `bitlane hw`: machines listed, shown, checked."""

from typing import Annotated

import typer

from analysis.chosen import machine_of

hw_app = typer.Typer(help="Machines: list, show, check.", no_args_is_help=True)


@hw_app.command("list")
def hw_list() -> None:
    """List the machines that ship with bitlane."""
    import hwconfigs

    for name in hwconfigs.names():
        print(name)


@hw_app.command("show")
def hw_show(name: Annotated[str, typer.Argument(help="A machine file or shipped name.")]) -> None:
    """Print a machine's YAML, its sources and its technology's."""
    import hwconfigs

    print(hwconfigs.text(name), end="")


@hw_app.command("check")
def hw_check(file: Annotated[str, typer.Argument(help="A machine file.")]) -> None:
    """Check a machine file; every fault is printed with its line."""
    machine = machine_of(file, None)
    print(f"{file}: {machine.name} ({machine.model}) is valid")
