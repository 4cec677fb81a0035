"""The network of Zeiler & Fergus 2014, layer by layer; without weights."""

from __future__ import annotations

from torch import Tensor, nn


class ZFNet(nn.Module):
    """Zeiler & Fergus 2014, figure 3: 224 x 224 in, maps of 110, 55, 26, 13, 13, 13, 13, 6.

    The paper gives filter sizes, strides and map sizes but not every padding: a first layer padded
    by one and pools that round up are the only choice among paddings of 0, 1, 2 that yields its
    sizes. The constants of the contrast normalisation across maps are not in the text either;
    AlexNet's are taken (Krizhevsky 2012: k = 2, n = 5, alpha = 1e-4, beta = 0.75).

    Args:
        classes: number of outputs.
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.conv1, self.relu1 = nn.Conv2d(3, 96, 7, stride=2, padding=1), nn.ReLU()
        self.pool1, self.norm1 = _pool(), _normalization()
        self.conv2, self.relu2 = nn.Conv2d(96, 256, 5, stride=2), nn.ReLU()
        self.pool2, self.norm2 = _pool(), _normalization()
        self.conv3, self.relu3 = nn.Conv2d(256, 384, 3, padding=1), nn.ReLU()
        self.conv4, self.relu4 = nn.Conv2d(384, 384, 3, padding=1), nn.ReLU()
        self.conv5, self.relu5 = nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()
        self.pool5 = _pool()
        self.flatten = nn.Flatten()
        self.fc6, self.relu6, self.drop6 = nn.Linear(256 * 6 * 6, 4096), nn.ReLU(), nn.Dropout()
        self.fc7, self.relu7, self.drop7 = nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout()
        self.fc8 = nn.Linear(4096, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Score images.

        Args:
            images: (batch, 3, 224, 224).

        Returns:
            (batch, classes) scores before the softmax.
        """
        for module in self.children():
            images = module(images)
        return images


def _pool() -> nn.Module:
    """3 x 3 with stride 2: windows overlap by one."""
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


def _normalization() -> nn.Module:
    return nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0)
