"""Which bands of an image a figure shows, and what its caption says of its pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral

from deconvnet.arguments import listed
from deconvnet.data.pictures import Prepares
from deconvnet.units import Exemplar, check_bands

_USUAL = (1, 3)  # numbers of bands of which all are shown


def check_numbers(bands: int | Sequence[int] | None) -> None:
    """Check that bands are numbers, before any image is read; one number is one band.

    Raises:
        TypeError: they are not.
    """
    some = [] if bands is None else [bands] if isinstance(bands, str | float) else bands
    numbers = some if isinstance(some, Iterable) else [some]
    if not all(isinstance(band, Integral) for band in numbers):
        raise TypeError(
            f"bands={bands!r} was given, expected three numbers, counted from 0, shown as red, "
            "green and blue, or one, shown as grey: bands=(3, 2, 1)"
        )


def bands_of(
    given: int | Sequence[int] | None, prepared: Prepares | None, exemplars: Sequence[Exemplar]
) -> tuple[int, ...] | None:
    """The bands that a figure shows: as given, else as the preprocessing says, else the usual ones.

    Args:
        given: the argument of a call.
        prepared: the preprocessing, where it is known.
        exemplars: of images with equally many bands.

    Returns:
        The bands, counted from 0; None where all are shown.

    Raises:
        ValueError: bands that the images do not have.
    """
    chosen: Sequence[int] | None = None if given is None else listed(given, Integral)
    chosen = chosen if given is not None or prepared is None else prepared.bands
    if not exemplars:
        return None if chosen is None else tuple(chosen)
    there, axes = exemplars[0].patch.shape[-1], exemplars[0].axes
    bands = check_bands(chosen, there, axes=axes)
    return None if chosen is None and (there in _USUAL or axes == 1) else bands


def sanity_line(sanity: object, rectifiers: Sequence[str], model: str) -> str:
    """A line of a sanity check, see ``sanity.line_of``; empty for None."""
    if sanity is None:
        return ""
    from .sanity import line_of  # here, since what it needs is slow to import

    return line_of(sanity, rectifiers, model)


def with_line(caption: str | None, line: str) -> str | None:
    """A caption, if there is one, and a line that is shown in any case."""
    return ". ".join(part for part in (caption, line) if part) or None


def captioned(text: str, bands: Sequence[int] | None, note: str) -> str:
    """A caption with what is to be known of the pictures."""
    parts = [text, f"bands {', '.join(map(str, bands))}" if bands else "", note]
    return "; ".join(part for part in parts if part)
