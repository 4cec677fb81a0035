"""Train the embedded network and write it, small and plain, beside the code that loads it.

python scripts/train_zoo.py --objects OBJECTS --backgrounds PHOTOS --out zfnet_mini.safetensors

Every object is a class, and every view of it is made up on the fly (``deconvnet.zoo.collage``).
The optimiser is Zeiler & Fergus' (2014, section 3) with batch normalisation beside it. With
``--epochs`` a seed decides the result on one machine; with ``--minutes`` the schedule follows the
clock, and two runs differ.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from deconvnet.images import IMAGENET_MEAN, IMAGENET_STD
from deconvnet.zoo.collage import Collage
from deconvnet.zoo.folding import fold_batch_norm, renormalise_filters, with_batch_norm
from deconvnet.zoo.network import ZFNetMini
from deconvnet.zoo.weights import save_weights

BATCH = 128
VIEWS_AN_EPOCH = 64  # of each object
WARM_UP = 0.02  # of the whole training
STATISTICS, EXAMINED = 40, 32  # batches


class Views:
    """Batches of normalised views, from one seed."""

    def __init__(self, collage: Collage, seed: int) -> None:
        self.collage = collage
        self.generator = torch.Generator().manual_seed(seed)
        self.mean = torch.tensor(IMAGENET_MEAN)[:, None, None]
        self.std = torch.tensor(IMAGENET_STD)[:, None, None]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            images, labels = self.collage.batch(BATCH, self.generator)
            images = images.sub_(self.mean).div_(self.std)
            yield images.contiguous(memory_format=torch.channels_last), labels


def ahead(views: Views) -> Iterator[tuple[Tensor, Tensor]]:
    """The same batches in the same order, each drawn by a second thread during a step."""
    batches = iter(views)
    with ThreadPoolExecutor(1) as second:
        coming = second.submit(next, batches)
        while True:
            batch = coming.result()
            coming = second.submit(next, batches)
            yield batch


class Average:
    """The running average of a network's state: steadier than the network while it moves."""

    def __init__(self, model: nn.Module) -> None:
        self.model = copy.deepcopy(model)
        self.updates = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move towards ``model``: fast at first, by a thousandth a step later."""
        self.updates += 1
        share = max(0.001, 9 / (9 + self.updates))
        for kept, new in zip(self.model.parameters(), model.parameters(), strict=True):
            kept.lerp_(new, share)

    @torch.no_grad()
    def folded(self, views: Views) -> nn.Module:
        """The plain network: statistics measured again for the averaged filters, then folded."""
        model = copy.deepcopy(self.model).train()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
                module.momentum = None  # the mean over all batches
        for images, _ in itertools.islice(views, STATISTICS):
            model(images)
        model = fold_batch_norm(model)
        model.classifier = model.classifier[1]  # without its dropout
        return model


def prepared(classes: int, dropout: float) -> nn.Module:
    """A network to train: batch normalisation, dropout, and the paper's start for layer 1."""
    model = with_batch_norm(ZFNetMini(classes))
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)
    nn.init.normal_(model.conv1[0].weight, std=0.01)
    model.classifier = nn.Sequential(nn.Dropout(dropout), model.classifier)
    return model.to(memory_format=torch.channels_last)


def optimiser(model: nn.Module, rate: float) -> torch.optim.Optimizer:
    """SGD; a strong decay of layer 1 alone makes its filters smooth."""
    first = model.conv1[0].weight
    rest = [p for p in model.parameters() if p is not first]
    groups = [{"params": [first], "weight_decay": 5e-3}, {"params": rest}]
    return torch.optim.SGD(groups, lr=rate, momentum=0.9, nesterov=True, weight_decay=5e-4)


def factor(share: float) -> float:
    """The learning rate's factor when a share of the training is done: warm-up, then cosine."""
    warm = min(1.0, (share + 1e-4) / WARM_UP)
    return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


@torch.no_grad()
def examine(model: nn.Module, views: Views) -> dict[str, object]:
    """Accuracy on views never trained on, and channels that answered to none of them."""
    alive: dict[str, Tensor] = {}
    right = 0
    for images, labels in itertools.islice(views, EXAMINED):
        maps = images
        for name, module in model.named_children():
            maps = module(torch.flatten(maps, 1) if name == "classifier" else maps)
            if name.startswith("relu"):
                answered = (maps > 0).any(0).flatten(1).any(1)
                alive[name] = alive.get(name, torch.zeros_like(answered)) | answered
        right += int((maps.argmax(1) == labels).sum())
    return {
        "held_out_accuracy": round(right / (EXAMINED * BATCH), 4),
        "held_out_views": EXAMINED * BATCH,
        "dead_channels": {name: int((~channels).sum()) for name, channels in alive.items()},
    }


def step(
    model: nn.Module, sgd: torch.optim.Optimizer, *, views: tuple[Tensor, Tensor], bfloat16: bool
) -> tuple[float, float]:
    """Train on one batch; its loss and the share it got right."""
    images, labels = views
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        scores = model(images).float()
    loss = nn.functional.cross_entropy(scores, labels, label_smoothing=0.05)
    sgd.zero_grad()
    loss.backward()
    sgd.step()
    return loss.item(), (scores.argmax(1) == labels).float().mean().item()


def train(options: argparse.Namespace) -> None:
    """Train, keep checkpoints, write the result and say how good it is."""
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    collage = Collage(options.objects, options.backgrounds)
    model = prepared(len(collage.names), options.dropout).train()
    average = Average(model)
    sgd = optimiser(model, options.rate)
    steps = options.epochs * math.ceil(len(collage.names) * VIEWS_AN_EPOCH / BATCH)
    start, saved, accuracy = time.monotonic(), 0.0, 0.0
    bar = tqdm(total=1.0, bar_format="{l_bar}{bar}| {elapsed}<{remaining}{postfix}", mininterval=5)
    for views in ahead(Views(collage, options.seed + 1)):
        minutes = (time.monotonic() - start) / 60
        share = minutes / options.minutes if options.minutes else average.updates / steps
        if share >= 1:
            break
        for group in sgd.param_groups:
            group["lr"] = options.rate * factor(share)
        loss, right = step(model, sgd, views=views, bfloat16=options.bfloat16)
        if options.radius:
            renormalise_filters(model, options.radius)
        average.update(model)
        accuracy += (right - accuracy) / min(100, average.updates)
        bar.set_postfix(loss=f"{loss:.2f}", accuracy=f"{accuracy:.3f}", refresh=False)
        bar.update(share - bar.n)
        if options.checkpoints and minutes - saved >= options.every:
            saved = minutes
            finish(average, collage, options, options.checkpoints / f"minute{minutes:03.0f}")
    bar.close()
    finish(average, collage, options, options.out)


def finish(average: Average, collage: Collage, options: argparse.Namespace, out: Path) -> None:
    """Fold, examine as float16 will have it, write, report."""
    model = average.folded(Views(collage, options.seed + 2))
    model.half().float()
    about = {
        "steps": average.updates,
        "batch": BATCH,
        "seed": options.seed,
        "radius": options.radius,
    }
    about |= examine(model, Views(collage, options.seed + 3))
    save_weights(model, out.with_suffix(".safetensors"), classes=collage.names, about=about)
    tqdm.write(json.dumps({"out": out.name, **about}))


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=Path, required=True, help="pictures with transparency")
    parser.add_argument("--backgrounds", type=Path, required=True, help="photographs")
    parser.add_argument("--out", type=Path, default=Path("outputs/zfnet_mini.safetensors"))
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=float, default=40, help="64 views of each object each")
    length.add_argument("--minutes", type=float, help="train by the clock instead")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=0.1, help="the highest learning rate")
    parser.add_argument("--dropout", type=float, default=0.3, help="before the classifier")
    parser.add_argument("--radius", type=float, default=0.1, help="of filters (RMS); 0 for none")
    parser.add_argument("--checkpoints", type=Path, help="a folder for networks on the way")
    parser.add_argument("--every", type=float, default=10, help="minutes between checkpoints")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--bfloat16",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="compute in bfloat16: several times faster on CPUs with AMX",
    )
    train(parser.parse_args())


if __name__ == "__main__":
    main()
