"""The embedded network: ZFNet's proportions for images of 96 pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CHANNELS = (48, 96, 160, 160, 256)


class ZFNetMini(nn.Module):
    """Five convolutions, three overlapping max pools, one linear classifier.

    The proportions are those of Zeiler & Fergus 2014, figure 3: a 7x7 first layer of stride 2, a
    5x5 second one, then three of 3x3, with pools of 3x3 and stride 2 after the first, second and
    fifth. In place of the paper's fully connected layers, the classifier sees of each channel of
    layer 5 where it is strongest, and nothing else: each has to become a detector of something,
    which is what a top-9 figure asks of it. Every rectifier and every pool is a module of its own,
    so that each stands under a name in ``DeconvNet(...).layers``. Batch normalisation and dropout
    belong to training (see scripts/zoo/folding.py): what ships is convolutions with a bias
    and nothing else.

    Args:
        classes: How many outputs the classifier has.

    Raises:
        ValueError: If ``classes`` is not positive.
    """

    def __init__(self, classes: int = 367) -> None:
        if classes < 1:
            raise ValueError(f"classes is {classes}: a classifier needs at least one class")
        super().__init__()
        c1, c2, c3, c4, c5 = CHANNELS
        self.conv1 = nn.Conv2d(3, c1, 7, stride=2, padding=3)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(3, stride=2)
        self.conv2 = nn.Conv2d(c1, c2, 5, padding=2)
        self.relu2 = nn.ReLU()
        self.pool2 = nn.MaxPool2d(3, stride=2)
        self.conv3 = nn.Conv2d(c2, c3, 3, padding=1)
        self.relu3 = nn.ReLU()
        self.conv4 = nn.Conv2d(c3, c4, 3, padding=1)
        self.relu4 = nn.ReLU()
        self.conv5 = nn.Conv2d(c4, c5, 3, padding=1)
        self.relu5 = nn.ReLU()
        self.pool5 = nn.MaxPool2d(3, stride=2)
        self.strongest = nn.AdaptiveMaxPool2d(1)
        self.classifier = nn.Linear(c5, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Classify preprocessed images.

        Args:
            images: ``(N, 3, 96, 96)``, normalised by ``deconvnet.zoo.PREPROCESSING``.

        Returns:
            Scores before the softmax, ``(N, classes)``.
        """
        maps = self.pool1(self.relu1(self.conv1(images)))
        maps = self.pool2(self.relu2(self.conv2(maps)))
        maps = self.relu3(self.conv3(maps))
        maps = self.relu4(self.conv4(maps))
        maps = self.strongest(self.pool5(self.relu5(self.conv5(maps))))
        scores: Tensor = self.classifier(torch.flatten(maps, 1))
        return scores
