"""A model, its images and plain forward passes, for the tests of studies."""

import torch

from deconvnet import Preprocessing
from tests.support.mined import SIZE, Ties, pictures

PREPARED = Preprocessing(SIZE, None, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
WIDTH = 5.0
NAMES = ["0.jpg", "1.jpg", "2.jpg"]
IMAGES = pictures(nan=False)[:3]
MODEL = Ties(quantised=False).eval()


def strongest(image, unit):
    """Value and (row, col) of the strongest place of a channel, by a plain forward pass."""
    with torch.no_grad():
        values = MODEL.values(image[None])[unit.layer][0, unit.channel]
    return float(values.max()), divmod(int(values.argmax()), values.shape[-1])
