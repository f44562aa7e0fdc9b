"""What has to be agreed on before two numbers can be compared, as data. Free of torch.

The docstring under a field is its help text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from polyglyph.base.errors import ConfigError

__all__ = ["METRICS", "PROTOCOLS", "MeasureConfig", "Metric", "Protocol", "protocol_of"]

Metric = Literal["cd", "lfd", "jsd"]
METRICS: tuple[str, ...] = get_args(Metric)


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How shapes are compared."""

    name: str = "get3d"
    """Whose protocol this is."""
    source: str = "Gao et al., GET3D (NeurIPS 2022), section 4 and its evaluation scripts"
    """Where it is written down."""
    points: int = 2048
    """Points drawn from each surface, uniformly by area."""
    normalisation: Literal["none", "box", "diagonal", "sphere"] = "box"
    """Frame in which points are compared: box, centre to the origin and longest side 1."""
    chamfer: Literal["squared_sum", "squared_mean", "unsquared_sum", "unsquared_mean"] = "squared_sum"
    """Which Chamfer distance: of squared distances or not, the two directions summed or averaged."""
    chamfer_factor: float = 1000.0
    """What the Chamfer distance is multiplied by before it is printed."""
    per_reference: int = 5
    """Shapes drawn from a model for each reference shape."""
    truncation: float = 1.0
    """Truncation of a model's codes."""
    jsd_resolution: int = 28
    """Nodes along one side of the grid of the Jensen-Shannon divergence; shapes are put into the ball."""
    light_fields: int = 10
    """Light fields of a shape, of 10 views each. 10 is the Light Field Distance of "3DAlignment v1.8", all
    four parts of both shapes read. Any other number is called lfd-N, and turning a shape matters less."""

    def __post_init__(self) -> None:
        for name in ("points", "per_reference", "light_fields"):
            if getattr(self, name) < 1:
                raise ConfigError(f"`protocol.{name}` is {getattr(self, name)}", fix="pass 1 or more")
        if self.jsd_resolution < 3:
            raise ConfigError(f"`protocol.jsd_resolution` is {self.jsd_resolution}", fix="pass 28")
        if not self.chamfer_factor > 0:
            raise ConfigError(
                f"`protocol.chamfer_factor` is {self.chamfer_factor}", fix="pass 1, or 1000 as is usual"
            )

    @property
    def chamfer_reduction(self) -> Literal["sum", "mean"]:
        """How the two directions of the Chamfer distance are put together."""
        return "sum" if self.chamfer.endswith("sum") else "mean"

    @property
    def light_field_name(self) -> str:
        """What the Light Field Distance is called in results."""
        return "lfd" if self.light_fields == 10 else f"lfd-{self.light_fields}"


PROTOCOLS: dict[str, Protocol] = {
    "get3d": Protocol(),
    "occupancy-networks": Protocol(
        name="occupancy-networks",
        source="Mescheder et al. (CVPR 2019): Chamfer-L1, in tenths of the longest side",
        points=100_000,
        chamfer="unsquared_mean",
        chamfer_factor=10.0,
        per_reference=1,
    ),
}


def protocol_of(name: str) -> Protocol:
    """A known protocol. Raises ConfigError for a name that is none."""
    if name not in PROTOCOLS:
        raise ConfigError(
            f"there is no protocol `{name}`", fix=f"choose one of {', '.join(sorted(PROTOCOLS))}"
        )
    return PROTOCOLS[name]


@dataclass(frozen=True, kw_only=True)
class MeasureConfig:
    """What to measure."""

    metrics: tuple[Metric, ...] = ("cd", "lfd", "jsd")
    """Distances of shapes: cd, Chamfer; lfd, light field. Each gives COV, MMD and 1-NNA. jsd: of all
    points."""
    protocol: Protocol = field(default_factory=Protocol)
    """How shapes are compared."""
    limit: int | None = None
    """Measure the first so many shapes of a folder only, and draw from a model for so many."""
    seed: int = 0
    """Seed of the points, of a model's codes and of the intervals."""

    def __post_init__(self) -> None:
        if not self.metrics or len(set(self.metrics)) != len(self.metrics):
            raise ConfigError("`metrics` names none, or one twice", fix="pass `--metrics cd lfd`")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"`limit` is {self.limit}", fix="pass 1 or more, or leave it out")
