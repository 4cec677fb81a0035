"""Sums that do not depend on the order of their terms."""

import torch
from torch import Tensor

# A term is a 53-bit integer times a power of two. It is cut into two halves, and each half is
# added as an integer to the bin of its exponent: integers add in any order to the same bits.
_MANTISSA = 53
_LOW = 27
_WIDTH = 8  # exponents per bin; 27 + 7 bits a term leave room for 2**29 terms
_LOWEST = -208  # the exponent of bin 0: below every bit of a sum of float32 numbers
_BINS = 48  # up to 2**176: above every sum of float32 numbers that fits in memory


class ExactSum:
    """Running sums of float64 numbers, one for each channel, the same bits in every order.

    Floating-point addition is not associative, so that a plain running sum would depend on how a
    data set was cut into shards. The terms must be sums of float32 numbers (between 2**-155 and
    2**170, or 0); infinities and NaN are carried along.
    """

    def __init__(self, channels: int, *, device: torch.device | str = "cpu") -> None:
        """Start ``channels`` sums at zero."""
        self.bins = torch.zeros(channels, _BINS, dtype=torch.int64, device=device)
        self.special = torch.zeros(channels, dtype=torch.float64, device=device)

    def add(self, terms: Tensor) -> None:
        """Add one term (channels,), float64, to each sum."""
        finite = terms.isfinite()
        self.special += torch.where(finite, 0.0, terms)
        mantissa, exponent = torch.frexp(torch.where(finite, terms, 0.0))
        integer = (mantissa * 2.0**_MANTISSA).long()
        place = exponent.long() - _MANTISSA - _LOWEST
        self._add_integers(integer & ((1 << _LOW) - 1), place)
        self._add_integers(integer >> _LOW, place + _LOW)

    def _add_integers(self, integers: Tensor, places: Tensor) -> None:
        shifted = integers << (places % _WIDTH)
        self.bins.scatter_add_(1, (places // _WIDTH)[:, None], shifted[:, None])

    def merge(self, other: "ExactSum") -> None:
        """Add the sums of another accumulator."""
        self.bins += other.bins.to(self.bins.device)
        self.special += other.special.to(self.special.device)

    def total(self) -> Tensor:
        """The sums (channels,), float64, on the CPU."""
        places = _LOWEST + _WIDTH * torch.arange(_BINS, dtype=torch.float64)
        return (self.bins.cpu().double() * 2.0**places).sum(1) + self.special.cpu()
