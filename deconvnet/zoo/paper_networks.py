"""The networks of Zeiler & Fergus 2014 and Springenberg et al. 2014, with random weights."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


class ZFNet(nn.Sequential):
    """Zeiler & Fergus 2014, figure 3: 224 x 224 in, maps of 110, 55, 26, 13, 13, 13, 13, 6.

    The paper gives filter sizes, strides and map sizes but not every padding: a first layer padded
    by one and pools that round up are the only choice among paddings of 0, 1, 2 that yields its
    sizes. The constants of the contrast normalisation across maps are not in the text either;
    AlexNet's are taken (Krizhevsky 2012: k = 2, n = 5, alpha = 1e-4, beta = 0.75).

    Args:
        classes: number of outputs.
    """

    def __init__(self, classes: int = 1000) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        convolutions = [
            nn.Conv2d(3, 96, 7, stride=2, padding=1),
            nn.Conv2d(96, 256, 5, stride=2),
            nn.Conv2d(256, 384, 3, padding=1),
            nn.Conv2d(384, 384, 3, padding=1),
            nn.Conv2d(384, 256, 3, padding=1),
        ]
        for number, convolution in enumerate(convolutions, start=1):
            layers |= {f"conv{number}": convolution, f"relu{number}": nn.ReLU()}
            if number in (1, 2, 5):
                layers[f"pool{number}"] = nn.MaxPool2d(3, stride=2, ceil_mode=True)
            if number in (1, 2):
                layers[f"norm{number}"] = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0)
        layers["flatten"] = nn.Flatten()
        for number, size in ((6, 256 * 6 * 6), (7, 4096)):
            layers |= {f"fc{number}": nn.Linear(size, 4096), f"relu{number}": nn.ReLU()}
            layers[f"drop{number}"] = nn.Dropout()
        super().__init__(layers | {"fc8": nn.Linear(4096, classes)})


class AllCNN(nn.Sequential):
    """Springenberg et al. 2014, table 1, "All-CNN-C", for 32 x 32 images.

    No pooling, so that a DeconvNet projection of it does not depend on the image.

    Args:
        classes: number of outputs.
    """

    def __init__(self, classes: int = 10) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict(drop0=nn.Dropout(0.2))
        convolutions = [
            nn.Conv2d(3, 96, 3, padding=1),
            nn.Conv2d(96, 96, 3, padding=1),
            nn.Conv2d(96, 96, 3, stride=2, padding=1),
            nn.Conv2d(96, 192, 3, padding=1),
            nn.Conv2d(192, 192, 3, padding=1),
            nn.Conv2d(192, 192, 3, stride=2, padding=1),
            nn.Conv2d(192, 192, 3),
            nn.Conv2d(192, 192, 1),
            nn.Conv2d(192, classes, 1),
        ]
        for number, convolution in enumerate(convolutions, start=1):
            layers |= {f"conv{number}": convolution, f"relu{number}": nn.ReLU()}
            if number in (3, 6):
                layers[f"drop{number}"] = nn.Dropout(0.5)
        super().__init__(layers | {"average": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()})
