"""Exact streaming top-k: the strongest activations of every channel of a layer, in one pass."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .exact_sum import ExactSum
from .keys import EMPTY, LAST_IMAGE, activations_of, best, images_of, keys_of
from .maxima import first_positions, maxima_and_sums


@dataclass(frozen=True)
class Table:
    """The k strongest images of every channel, and counts over all activations seen.

    Sorted by activation, descending; ties by image, ascending. Empty slots are NaN, -1 and -1.
    """

    activation: Tensor
    """(channels, k) float32"""
    image: Tensor
    """(channels, k) int64"""
    position: Tensor
    """(channels, k) int64: flat, row-major; the first of equals; 0 where a map has no positions."""
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
    """

    def __init__(self, channels: int, k: int, *, device: torch.device | str = "cpu") -> None:
        """Start with empty tables on a device; activations may come from another device."""
        if channels < 1 or k < 1:
            raise ValueError(f"{channels} channels and k={k} were given, both must be at least 1")
        self.channels, self.k = channels, k
        self.images = 0  # that were fed so far; one fed twice counts twice
        self._activations = 0
        self._newest = -1
        self._keys = torch.full((channels, k), EMPTY, dtype=torch.int64, device=device)
        self._positions = torch.full_like(self._keys, -1)
        self._floor = activations_of(self._keys[:, -1])
        self._positive = torch.zeros(channels, dtype=torch.int64, device=device)
        self._nan = torch.zeros_like(self._positive)
        self._sum = ExactSum(channels, device=device)

    @torch.no_grad()
    def update(self, activations: Tensor, images: Tensor) -> None:
        """Take in one batch.

        Args:
            activations: (batch, channels) or (batch, channels, *positions), floating point.
            images: (batch,) int64, the index of each image in the data set.
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
        images = images.to(self._keys.device)
        oldest, newest = int(images.min()), int(images.max())
        if oldest <= self._newest and torch.isin(images, images_of(self._keys)).any():
            again = TopK(self.channels, self.k, device=self._keys.device)
            again.update(activations, images)
            self.merge(again)
            return
        maxima = self._count(activations)
        # A tie with the last entry gets in only by a smaller image index. Saying so here spares
        # the sorting of all the dead channels, which tie at 0 in every batch.
        beaten = maxima <= self._floor if oldest > self._newest else maxima < self._floor
        columns = (~beaten).any(0).nonzero().squeeze(1)
        self._newest = max(self._newest, newest)
        if len(columns):
            self._enter(activations, maxima[:, columns], images, columns=columns)

    def merge(self, other: "TopK") -> None:
        """Take in what another instance saw; commutative and associative."""
        if (other.channels, other.k) != (self.channels, self.k):
            raise ValueError(
                f"a top-{other.k} of {other.channels} channels cannot be merged into a "
                f"top-{self.k} of {self.channels} channels; make both of the same layer and k"
            )
        device = self._keys.device
        keys = torch.cat([self._keys, other._keys.to(device)], dim=1)
        positions = torch.cat([self._positions, other._positions.to(device)], dim=1)
        self._keys, self._positions = best(keys, positions, k=self.k)
        self._floor = activations_of(self._keys[:, -1])
        self._newest = max(self._newest, other._newest)
        self.images += other.images
        self._activations += other._activations
        self._positive += other._positive.to(device)
        self._nan += other._nan.to(device)
        self._sum.merge(other._sum)

    def table(self) -> Table:
        """The table so far, on the CPU; a copy. With no image seen, mean and nonzero are NaN."""
        keys, nan = self._keys.cpu(), self._nan.cpu().clone()
        image = torch.where(keys == EMPTY, -1, images_of(keys))
        return Table(
            activation=activations_of(keys),
            image=image,
            position=self._positions.cpu().clone(),
            mean=self._sum.total() / (self._activations - nan),
            nonzero=self._positive.cpu().double() / self.images,
            nan=nan,
        )

    @property
    def nans(self) -> int:
        """How many activations were NaN so far, over all channels."""
        return int(self._nan.sum())

    def kept(self) -> set[int]:
        """The images that stand in the table."""
        keys = self._keys.cpu()
        return set(images_of(keys[keys != EMPTY]).tolist())

    def state(self) -> dict[str, Tensor]:
        """Everything, as tensors on the CPU, to be stored and given to ``from_state``."""
        counts = torch.tensor([self.k, self.images, self._activations, self._newest])
        tensors = {"counts": counts, **self._tensors()}
        return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}

    @classmethod
    def from_state(
        cls, state: Mapping[str, Tensor], *, device: torch.device | str = "cpu"
    ) -> "TopK":
        """Restore what ``state`` returned; it continues to the same bits."""
        k, images, activations, newest = (int(number) for number in state["counts"])
        top = cls(len(state["keys"]), k, device=device)
        top.images, top._activations, top._newest = images, activations, newest
        for name, tensor in top._tensors().items():
            tensor.copy_(state[name])
        top._floor = activations_of(top._keys[:, -1])
        return top

    def _tensors(self) -> dict[str, Tensor]:
        return {
            "keys": self._keys,
            "positions": self._positions,
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
        device = self._keys.device
        places = tuple(range(2, activations.ndim))
        maxima, sums = (
            maxima_and_sums(activations, places) if places else (activations, activations)
        )
        # one pass for all counts: a sum that is finite tells that no activation was NaN
        odd = (~sums.isfinite()).any(0).nonzero().squeeze(1)
        maxima, sums = maxima.to(device, torch.float32), sums.to(device, torch.float64)
        if len(odd):
            part = activations[:, odd].flatten(2) if places else activations[:, odd, None]
            part = part.to(device, torch.float32)
            odd, nan = odd.to(device), part.isnan()
            self._nan[odd] += nan.sum((0, 2))
            sums = sums.index_copy(1, odd, part.masked_fill(nan, 0.0).double().sum(2))
            strongest = part.masked_fill(nan, -torch.inf).amax(2)
            maxima = maxima.index_copy(1, odd, strongest.masked_fill(nan.all(2), torch.nan))
        self._sum.add(sums.sum(0))
        self._positive += (maxima > 0).sum(0)
        self.images += len(activations)
        self._activations += activations.numel() // self.channels
        return maxima + 0.0  # -0.0 + 0.0 is 0.0

    def _enter(
        self, activations: Tensor, maxima: Tensor, images: Tensor, *, columns: Tensor
    ) -> None:
        """Merge the maxima (batch, columns) of some columns; find positions only of those kept."""
        keys = torch.cat([self._keys[columns], keys_of(maxima.T, images)], dim=1)
        keys, chosen = keys.topk(self.k, dim=1)
        # an empty key is kept only while the last slot is empty too, whose position is -1
        positions = self._positions[columns].gather(1, chosen.clamp(max=self.k - 1))
        new = (chosen >= self.k) & (keys != EMPTY)
        positions[new] = first_positions(
            activations,
            activations_of(keys[new]),
            rows=chosen[new] - self.k,
            channels=columns[new.nonzero()[:, 0]],
        )
        self._keys[columns], self._positions[columns] = keys, positions
        self._floor[columns] = activations_of(keys[:, -1])
