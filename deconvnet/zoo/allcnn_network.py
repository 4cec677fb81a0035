"""The All-CNN-C of Springenberg et al. 2014: strides instead of pools; without weights."""

from __future__ import annotations

from torch import Tensor, nn


class AllCNN(nn.Module):
    """Springenberg et al. 2014, table 1, "All-CNN-C", for 32 x 32 images.

    No pooling, so that a DeconvNet projection of it does not depend on the image.

    Args:
        classes: number of outputs.
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.drop0 = nn.Dropout(0.2)
        self.conv1, self.relu1 = nn.Conv2d(3, 96, 3, padding=1), nn.ReLU()
        self.conv2, self.relu2 = nn.Conv2d(96, 96, 3, padding=1), nn.ReLU()
        self.conv3, self.relu3 = nn.Conv2d(96, 96, 3, stride=2, padding=1), nn.ReLU()
        self.drop3 = nn.Dropout(0.5)
        self.conv4, self.relu4 = nn.Conv2d(96, 192, 3, padding=1), nn.ReLU()
        self.conv5, self.relu5 = nn.Conv2d(192, 192, 3, padding=1), nn.ReLU()
        self.conv6, self.relu6 = nn.Conv2d(192, 192, 3, stride=2, padding=1), nn.ReLU()
        self.drop6 = nn.Dropout(0.5)
        self.conv7, self.relu7 = nn.Conv2d(192, 192, 3), nn.ReLU()
        self.conv8, self.relu8 = nn.Conv2d(192, 192, 1), nn.ReLU()
        self.conv9, self.relu9 = nn.Conv2d(192, classes, 1), nn.ReLU()
        self.average = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()

    def forward(self, images: Tensor) -> Tensor:
        """Score images.

        Args:
            images: (batch, 3, 32, 32).

        Returns:
            (batch, classes) scores before the softmax.
        """
        for module in self.children():
            images = module(images)
        return images
