"""A training of the embedded network that can be interrupted and resumed, to the same bits."""

from __future__ import annotations

import io
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from deconvnet.atomic import write_whole

from .recipe import averaged, factor, optimiser, prepared, renormalise_filters
from .views import DROPOUT, seed_of

VIEWS_AN_EPOCH = 64  # of each object


@dataclass(frozen=True)
class Settings:
    """What decides a training, beside the pictures."""

    classes: int  # how many objects there are
    seed: int = 0  # of the start, the views and the dropout
    batch: int = 128  # views a step
    epochs: float = 40  # of 64 views of each object
    rate: float = 0.1  # the highest learning rate
    dropout: float = 0.3  # before the classifier
    radius: float = 0.1  # the largest RMS of a filter (Zeiler & Fergus 2014, section 3); 0: none
    bfloat16: bool = False  # compute in bfloat16

    @property
    def epoch(self) -> int:
        """Steps an epoch."""
        return math.ceil(self.classes * VIEWS_AN_EPOCH / self.batch)

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return math.ceil(self.epochs * self.epoch)


class Training:
    """A network, its optimiser and its average, after some number of steps.

    On a CPU, the same settings, views and number of threads give the same network to the last
    bit, also when the training was saved and restored on the way.
    """

    def __init__(self, settings: Settings, device: str | torch.device = "cpu") -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.device = settings, torch.device(device)
        self.model = prepared(settings.classes, settings.dropout).to(self.device).train()
        self.average = averaged(self.model)
        self.sgd = optimiser(self.model, settings.rate)

    @property
    def steps(self) -> int:
        """How many steps are done."""
        return int(self.average.n_averaged)

    def step(self, images: Tensor, labels: Tensor) -> tuple[float, float]:
        """Train on one batch of normalised images ``(N, 3, 96, 96)`` and labels ``(N,)``.

        Returns:
            The loss, and the accuracy before the step.
        """
        images = images.to(self.device, memory_format=torch.channels_last)
        labels = labels.to(self.device)
        for group in self.sgd.param_groups:
            group["lr"] = self.settings.rate * factor(self.steps / self.settings.steps)
        torch.manual_seed(seed_of(self.settings.seed, DROPOUT, self.steps))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.bfloat16):
            scores = self.model(images).float()
        loss = nn.functional.cross_entropy(scores, labels, label_smoothing=0.05)
        self.sgd.zero_grad()
        loss.backward()
        self.sgd.step()
        if self.settings.radius:
            renormalise_filters(self.model, self.settings.radius)
        self.average.update_parameters(self.model)
        return loss.item(), (scores.argmax(1) == labels).float().mean().item()

    def save(self, path: str | Path) -> None:
        """Write everything that :meth:`restore` needs, whole or not at all."""
        state = {
            "settings": asdict(self.settings),
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.sgd.state_dict(),
        }
        file = io.BytesIO()
        torch.save(state, file)
        write_whole(path, file.getvalue())

    def restore(self, path: str | Path) -> None:
        """Return to what was saved.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it belongs to a training with other settings.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(
                f"there is no interrupted training at {path}: it has ended, or was never saved; "
                "start one without resuming"
            )
        state = torch.load(path, map_location=self.device, weights_only=True)
        mine, theirs = asdict(self.settings), state["settings"]
        other = [f"{key} {theirs.get(key)}" for key in mine if mine[key] != theirs.get(key)]
        if other:
            raise ValueError(
                f"{path} is of a training with {', '.join(other)}: expected the settings it was "
                f"begun with, here {self.settings}; give those, or begin anew"
            )
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.sgd.load_state_dict(state["optimiser"])
