"""The record of a calibration that a machine's YAML carries: what was fitted, to what, how well."""

from typing import Annotated

from pydantic import Field

from simulator.schema import Schema, Text


class CalibrationError(Schema):
    """Mean absolute error of latency: fitted, and with each row or device left out, in percent."""

    fitted_percent: Annotated[float, Field(ge=0)]
    leave_one_row_out_percent: Annotated[float, Field(ge=0)] | None = None
    leave_one_device_out_percent: Annotated[float, Field(ge=0)] | None = None


class Calibration(Schema):
    """A record of how fields were fitted: when, which, to what, and how far off.

    `transferred` says that no row is of this core: the kernels were measured on others.
    """

    date: Text
    fields: tuple[Text, ...]
    rows: tuple[Text, ...] = ()
    devices: tuple[Text, ...] = ()
    error: CalibrationError | None = None
    transferred: bool = False
    note: str = ""
