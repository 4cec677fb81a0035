"""One row of the benchmark's first table: the results compared, then both sides timed in turns."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import benchmark_cases as cases
import benchmark_memory as memory
import benchmark_runners as runners
from benchmark_cases import Case
from benchmark_timing import interleaved, ratios, settled

from deconvnet import DeconvNet
from deconvnet.projection.check.checked_graphs import judge

SIDES = ("ours", "captum", "forward")


@dataclass(frozen=True)
class Row:
    """What was found out about a case.

    Args:
        units: how many.
        images: how many different ones.
        error: the greatest difference in float32, of the units that agree there.
        tied: how many units were settled in float64.
        exact: the greatest difference of those, in float64.
        seconds: {side: seconds of each round}, of ``SIDES``.
        forwarded: multiply-adds of the plain forward pass that was timed.
        way: the way our projection took.
        multiply_adds: {way: multiply-adds of our projection}, and of the way "taken".
        peaks: {side: bytes}.
        check: seconds that it takes to hold the graph against the model, once; in no other figure.
    """

    units: int
    images: int
    error: float
    tied: int
    exact: float
    seconds: dict[str, list[float]]
    forwarded: int
    way: str
    multiply_adds: dict[str, int]
    peaks: dict[str, int]
    check: float = 0.0

    @property
    def faster(self) -> list[float]:
        """How many times faster we are, round by round."""
        return ratios(self.seconds["captum"], self.seconds["ours"])

    @property
    def rate(self) -> list[float]:
        """Our multiply-adds a second, in units of the plain forward pass's, round by round."""
        share = self.multiply_adds["taken"] / self.forwarded
        return [share * r for r in ratios(self.seconds["forward"], self.seconds["ours"])]

    def each(self, side: str) -> float:
        """Milliseconds a unit."""
        return 1000 * median(self.seconds[side]) / self.units

    def as_json(self) -> dict[str, Any]:
        """Everything, to be written to a file."""
        return asdict(self)


def row(case: Case, *, rounds: int, device: str = "cpu", threads: int = 1) -> Row:
    """Measure a case.

    The comparison is the warm-up too: it runs both sides whole, and our check of the graph. A GPU,
    whose comparison runs in another precision, has a first round more that does not count.

    Raises:
        ValueError: the results differ.
    """
    model = cases.network(case.network, case.weights).to(device)
    images = cases.pictures(case.distinct).to(device)
    units = cases.units_of(case, model, images)
    found = runners.compare(case, model, images, units=units)
    net, few = DeconvNet(model, case.rule), images[: runners.TOGETHER]
    begin = time.perf_counter()
    judge(net.graph, images, gradient=True)
    settled(device)()
    check = time.perf_counter() - begin
    route = net.route(images, units)
    forwarded = runners.multiply_adds(model, few)
    runners.forward(model, few)
    extra = int(device.startswith("cuda"))
    seconds = interleaved(
        {
            "ours": lambda: runners.ours(net, images, units),
            "captum": lambda: runners.captum_of(case, model, images, units),
            "forward": lambda: runners.forward(model, few),
        },
        rounds=rounds + extra,
        settle=settled(device),
    )
    seconds = {side: told[extra:] for side, told in seconds.items()}
    peaks = {
        side: memory.measured(case, units, side=side, device=device, threads=threads)["peak"]
        for side in ("ours", "captum")
    }
    return Row(
        units=len(units),
        images=len(images),
        error=found["error"],
        tied=int(found["tied"]),
        exact=found["exact"],
        seconds=seconds,
        forwarded=forwarded,
        way=route.way,
        multiply_adds=dict(route.multiply_adds),
        peaks=peaks,
        check=check,
    )
