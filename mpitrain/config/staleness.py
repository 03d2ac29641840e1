"""The table that says what is done about staleness."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from mpitrain.config.setting import Table, setting

WINDOWED = ("asp", "ssp")  # the modes in which anything is stale


@dataclasses.dataclass(frozen=True, kw_only=True)
class Staleness(Table):
    """What is done about staleness."""

    table: ClassVar[str] = "staleness"

    factor: str = setting(
        "none",
        "how an update shrinks with its staleness tau: inverse 1 / tau, inverse_sqrt "
        "1 / sqrt(1 + tau), polynomial (1 + tau)^-power, hinge 1 / (slope (tau - start) + 1)",
        choices=("hinge", "inverse", "inverse_sqrt", "none", "polynomial"),
        used_by=("mode.kind", WINDOWED),
    )
    power: float = setting(0.5, "of the factor", above=0, used_by=("factor", ("polynomial",)))
    hinge_slope: float = setting(10.0, "of the factor", above=0, used_by=("factor", ("hinge",)))
    hinge_start: float = setting(
        4.0, "staleness up to which the factor is 1", least=0, used_by=("factor", ("hinge",))
    )
    normalize: bool = setting(
        False,
        "divide the factor by what it is at the mean staleness",
        used_by=("factor", ("hinge", "inverse", "inverse_sqrt", "polynomial")),
    )
    mean: float | None = setting(
        None,
        "mean staleness that normalize takes; none takes that of equal ranks, their number - 1",
        unit="updates of other ranks",
        least=0,
        most=1e9,
        used_by=("normalize", ()),
    )
    compensation: str = setting(
        "none",
        "how a stale gradient is corrected: by the gap between what it read and what is there "
        "(gap_aware), by a guess of the gradient there (dc_asgd_c, dc_asgd_a), by computing it "
        "where the parameters are expected (prediction), by momentum that looks ahead (dana_slim)",
        choices=("dana_slim", "dc_asgd_a", "dc_asgd_c", "gap_aware", "none", "prediction"),
        used_by=("mode.kind", WINDOWED),
    )
    gap_decay: float = setting(
        0.999,
        "of the running mean of squared changes",
        least=0,
        below=1,
        used_by=("compensation", ("gap_aware",)),
    )
    constant_control: float = setting(
        0.04, "lambda of dc_asgd_c", least=0, used_by=("compensation", ("dc_asgd_c",))
    )
    adaptive_control: float = setting(
        2.0, "lambda_0 of dc_asgd_a", least=0, used_by=("compensation", ("dc_asgd_a",))
    )
    adaptive_decay: float = setting(
        0.95,
        "of the running mean of squared gradients",
        least=0,
        below=1,
        used_by=("compensation", ("dc_asgd_a",)),
    )
    momentum: float = setting(
        0.9,
        "gamma of dana_slim",
        least=0,
        below=1,
        used_by=("compensation", ("dana_slim",)),
    )
