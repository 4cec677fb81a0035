"""Exact streaming top-k: the strongest activations of every channel of a layer, in one pass."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .exact_sum import ExactSum
from .keys import LAST_IMAGE, places_of
from .maxima import entries, every_position, first_positions, maxima_and_sums, spatial_means
from .ranking import Ranked, Ranking
from .sampled import Drawn, Sampled


@dataclass(frozen=True)
class Table(Ranked):
    """The k strongest images of every channel, and counts over all activations seen."""

    mean: Tensor
    """(channels,) float64, over all images and positions, without NaN."""
    nonzero: Tensor
    """(channels,) float64: the share of the images where the maximum is above 0; dead units: 0."""
    nan: Tensor
    """(channels,) int64: how many activations were NaN."""


class TopK:
    """Exact streaming top-k of one layer, one entry for each image and channel.

    Feed every image once, in any order, from any number of instances, then ``merge`` them: for
    one batch size the table has the same bits however the batches were shared out. An image fed
    again keeps its stronger entry and never takes a second slot, but it counts twice in ``mean``,
    ``nonzero`` and ``nan``.

    NaN activations are counted and otherwise left out: the maximum is over the rest of the map,
    and a map of NaN alone makes no entry. Infinities are legal; -0.0 is 0.0. float16 and bfloat16
    become float32 exactly, float64 is rounded to float32 before anything is compared. ``mean``
    adds float32 sums of single maps in float64.

    With ``by_mean`` the images are ranked by the mean of the map, and the position is that of the
    maximum all the same. ``sample`` is how many images of a random sample are kept, whatever
    their activations: see ``Members``.
    """

    def __init__(
        self,
        channels: int,
        k: int,
        *,
        by_mean: bool = False,
        sample: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        """Start with empty tables on a device; activations may come from another device."""
        if channels < 1 or k < 1:
            raise ValueError(f"{channels} channels and k={k} were given, both must be at least 1")
        self.channels, self.k, self.by_mean = channels, k, by_mean
        self.images = 0  # that were fed so far; one fed twice counts twice
        self._activations = 0
        self.ranking = Ranking(channels, k, device=device)
        self.sampled = Sampled(channels, sample, device=device)
        self._positive = torch.zeros(channels, dtype=torch.int64, device=device)
        self._nan = torch.zeros_like(self._positive)
        self._sum = ExactSum(channels, device=device)

    @torch.no_grad()
    def update(
        self,
        activations: Tensor,
        images: Tensor,
        *,
        drawn: tuple[list[int], list[int]] = ([], []),
    ) -> None:
        """Take in one batch.

        Args:
            activations: (batch, channels) or (batch, channels, *positions), floating point.
            images: (batch,) int64, the index of each image in the data set.
            drawn: the rows of the batch that enter the sample, and their slots in it.
        """
        self._check(activations, images)
        if not len(images):
            return
        if activations.dtype == torch.float64:
            activations = activations.float()
        if len(set(images.tolist())) < len(images):
            for row in range(len(images)):
                self.update(activations[row : row + 1], images[row : row + 1])
            return
        maxima, device = self._count(activations), self._nan.device
        values = spatial_means(activations).to(device) if self.by_mean else maxima

        def locate(rows: Tensor, channels: Tensor) -> Tensor:
            at = entries(maxima, rows, channels)
            where = first_positions(activations, at, rows=rows, channels=channels)
            return places_of(where, at)

        self.ranking.take(values, images.to(device), locate)
        rows, slots = drawn
        if rows:
            places = places_of(every_position(activations, maxima, rows), maxima[rows].T)
            self.sampled.put(values[rows].T, places, slots)

    def merge(self, other: "TopK") -> None:
        """Take in what another instance saw, but for its sample; commutative and associative."""
        if (other.channels, other.k) != (self.channels, self.k):
            raise ValueError(
                f"a top-{other.k} of {other.channels} channels cannot be merged into a "
                f"top-{self.k} of {self.channels} channels; make both of the same layer and k"
            )
        self.ranking.merge(other.ranking)
        device = self._nan.device
        self.images += other.images
        self._activations += other._activations
        self._positive += other._positive.to(device)
        self._nan += other._nan.to(device)
        self._sum.merge(other._sum)

    def table(self, k: int | None = None) -> Table:
        """The table so far, or its first k columns, on the CPU; a copy.

        With no image seen, mean and nonzero are NaN.
        """
        nan = self._nan.cpu().clone()
        return Table(
            **vars(self.ranking.table(k)),
            mean=self._sum.total() / (self._activations - nan),
            nonzero=self._positive.cpu().double() / self.images,
            nan=nan,
        )

    def sample(self, order: list[int]) -> Drawn:
        """The sampled activations so far, with the slots in this order."""
        return self.sampled.table(order)

    @property
    def nans(self) -> int:
        """How many activations were NaN so far, over all channels."""
        return int(self._nan.sum())

    def kept(self) -> set[int]:
        """The images that stand in the table."""
        return self.ranking.kept()

    def state(self) -> dict[str, Tensor]:
        """Everything, as tensors on the CPU, to be stored and given to ``from_state``."""
        counts = torch.tensor([self.k, self.images, self._activations, int(self.by_mean)])
        tensors = {"counts": counts, **self._tensors()}
        return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}

    @classmethod
    def from_state(
        cls, state: Mapping[str, Tensor], *, device: torch.device | str = "cpu"
    ) -> "TopK":
        """Restore what ``state`` returned; it continues to the same bits."""
        k, images, activations, by_mean = (int(number) for number in state["counts"])
        channels, sample = state["sampled"].shape
        top = cls(channels, k, by_mean=bool(by_mean), sample=sample, device=device)
        top.images, top._activations = images, activations
        for name, tensor in top._tensors().items():
            tensor.copy_(state[name])
        top.ranking.load(dict(state))
        return top

    def _tensors(self) -> dict[str, Tensor]:
        return {
            **self.ranking.tensors(),
            **self.sampled.tensors(),
            "positive": self._positive,
            "nan": self._nan,
            "bins": self._sum.bins,
            "special": self._sum.special,
        }

    def _check(self, activations: Tensor, images: Tensor) -> None:
        if not activations.is_floating_point():
            raise TypeError(f"activations of {activations.dtype} were given, give floating point")
        if activations.ndim < 2 or activations.shape[1] != self.channels:
            raise ValueError(
                f"activations of shape {tuple(activations.shape)} were given, expected "
                f"(batch, {self.channels}) or (batch, {self.channels}, *positions)"
            )
        if not activations[0:1, 0:1].numel() and len(activations):
            raise ValueError(
                f"activations of shape {tuple(activations.shape)} have no position; "
                "give the model larger images"
            )
        if images.dtype != torch.int64:
            raise TypeError(f"images of {images.dtype} were given, expected int64 indices")
        if images.shape != activations.shape[:1]:
            raise ValueError(
                f"images of shape {tuple(images.shape)} were given for activations of shape "
                f"{tuple(activations.shape)}, expected one index for each of the batch"
            )
        if len(images) and not 0 <= int(images.min()) <= int(images.max()) <= LAST_IMAGE:
            raise ValueError(
                f"images {int(images.min())} … {int(images.max())} were given, indices must be "
                f"in 0 … {LAST_IMAGE}"
            )

    def _count(self, activations: Tensor) -> Tensor:
        """Count, and return the maxima (batch, channels), NaN where a map is NaN all over."""
        device = self._nan.device
        places = tuple(range(2, activations.ndim))
        maxima, sums = (
            maxima_and_sums(activations, places) if places else (activations, activations)
        )
        maxima = maxima.to(device, torch.float32)
        total = sums.to(device).sum(0, dtype=torch.float64)
        # one pass for all counts: a sum that is finite tells that no activation was NaN
        odd = (~total.isfinite()).nonzero().squeeze(1)
        if len(odd):
            part = activations[:, odd.to(activations.device)]
            part = (part.flatten(2) if places else part[..., None]).to(device, torch.float32)
            nan = part.isnan()
            self._nan[odd] += nan.sum((0, 2))
            total[odd] = part.masked_fill(nan, 0.0).double().sum(2).sum(0)
            strongest = part.masked_fill(nan, -torch.inf).amax(2)
            maxima = maxima.index_copy(1, odd, strongest.masked_fill(nan.all(2), torch.nan))
        self._sum.add(total)
        self._positive += (maxima > 0).sum(0)
        self.images += len(activations)
        self._activations += activations.numel() // self.channels
        return maxima + 0.0  # -0.0 + 0.0 is 0.0
