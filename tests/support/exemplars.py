"""Exemplars of arrays, for the tests of figures."""

import numpy as np

from deconvnet.units import Box, Exemplar, Unit


def exemplar(patch, projection, *, unit="a:0", activation=1.0, box=None, overhang=(0, 0)):
    """An exemplar of a patch; by default its box is the patch."""
    height, width = np.shape(patch)[:2]
    return Exemplar(
        Unit.parse(unit),
        activation,
        box or Box((0, 0), (height, width)),
        overhang,
        np.asarray(patch),
        np.asarray(projection),
    )
