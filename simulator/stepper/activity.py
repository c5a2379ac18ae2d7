"""How busy a layer's real operands keep a machine: zeros, toggles, and what gates save.

On a systolic array counts equal the stepper's register by register; the other kinds have the order
of their loop nest or kernel (`simulator.stepper.orders`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from simulator.errors import Unsupported
from simulator.graph import Array
from simulator.mac import MacOperator, Product
from simulator.machines.base import Machine
from simulator.machines.cpu import Cpu
from simulator.machines.dsp import Dsp
from simulator.machines.spatial import Spatial
from simulator.machines.systolic import Systolic
from simulator.mapped import map_work
from simulator.mapping.loopnest import LoopNest
from simulator.numeric.datapath import Datapath
from simulator.stepper.counted import MOST_PRODUCTS, Activity, Stream, counted, uniform_products
from simulator.stepper.folds import FoldStream
from simulator.stepper.layout import Layout, operand_widths, products_by_group
from simulator.stepper.order_stream import OrderStream
from simulator.stepper.orders import Order, nest_order, vector_order
from simulator.work import Work

MOST_ORDERED: Final = 1 << 22
"""As `MOST_PRODUCTS`, in an order that is walked product by product."""

__all__ = ["Activity", "Lay", "activity", "lay_out", "uniform_activity"]


@dataclass(frozen=True)
class Lay:
    """One layer on one machine: its products by group, and in which order they are taken.

    `on` is a systolic array's layout or another machine's order; None where only zeros are counted.
    """

    operator: MacOperator
    datapath: Datapath
    products: tuple[Product, ...]
    on: Layout | Order | None


def lay_out(
    operator: MacOperator,
    inputs: Sequence[Array | None],
    machine: Machine,
    work: Work,
    *,
    datapath: Datapath | None = None,
    nest: LoopNest | None = None,
    ordered: bool = True,
) -> Lay:
    """A layer as a machine takes it; raises Unsupported for one whose products it does not tell.

    `datapath` is the layer's own where it is not the machine's; `nest` that of a `spatial` machine,
    searched if None. Not `ordered`: zeros alone. A composed multiplier has no order but on a
    systolic array, where it is looked at as if it took its operands at once.
    """
    datapath = datapath or machine.datapath.datapath()
    products = products_by_group(operator, inputs, datapath.zero_point == "folded", work)
    on: Layout | Order | None = None
    if isinstance(machine, Systolic) and ordered:
        on = Layout.of(operator, machine, work, composed=True, datapath=datapath)
    elif ordered and machine.datapath.composition == "fixed":
        if isinstance(machine, Spatial):
            on = nest_order(nest or map_work(work, machine).nest, machine, work)
        elif isinstance(machine, (Cpu, Dsp)):
            on = vector_order(machine, work)
            products = _by_filter(products) if work.depthwise else products
        else:
            raise Unsupported(f"{machine.name}: the order of its operands is not known")
    return Lay(operator, datapath, tuple(products), on)


def _by_filter(products: Sequence[Product]) -> list[Product]:
    """Each filter of each group as a group of its own."""
    return [
        Product(p.x, p.w[o : o + 1], p.bias[o : o + 1], p.first_channel + o)
        for p in products
        for o in range(len(p.w))
    ]


def activity(
    operator: MacOperator,
    inputs: Sequence[Array | None],
    machine: Machine,
    work: Work,
    seed: int = 0,
    most_products: int | None = None,
) -> Activity:
    """Count what a layer's operands do on a machine.

    Beyond `most_products` products (`MOST_PRODUCTS` on a systolic array, `MOST_ORDERED` elsewhere)
    stretches of the layer are drawn with `seed`. Raises as `lay_out`.
    """
    return real_activity(lay_out(operator, inputs, machine, work), seed, most_products)


def real_activity(lay: Lay, seed: int = 0, most_products: int | None = None) -> Activity:
    """Count what a layer's own operands do."""
    if most_products is None:
        most_products = MOST_ORDERED if isinstance(lay.on, Order) else MOST_PRODUCTS
    return counted(_stream(lay, lay.products), lay.products, seed, most_products)


def uniform_activity(
    lay: Lay, codes: tuple[int, int], seed: int = 0, most_products: int = MOST_PRODUCTS
) -> Activity:
    """The same for operands of which every code is as likely, and no bias: what data-blind means.

    `codes` are the least and the greatest an activation may have, less its zero point where the
    machine subtracts it; weights have all codes of the datapath's width.
    """
    drawn = uniform_products(lay.products, codes, lay.datapath.weight_bits, seed)
    return counted(_stream(lay, drawn), drawn, seed, most_products)


def _stream(lay: Lay, products: Sequence[Product]) -> Stream | None:
    if lay.on is None:
        return None
    if isinstance(lay.on, Layout):
        return FoldStream(lay.on, products)
    widths = operand_widths(lay.operator, lay.datapath)
    return OrderStream(lay.on, products, lay.datapath, widths)
