"""Train the embedded network on views of photographed objects, each object a class.

The optimiser is Zeiler & Fergus' (2014, section 3) with batch normalisation beside it. A seed
decides the result on one machine; an interrupted training continues with ``--resume``, to the same
result.

Example:
  python scripts/zoo/train.py --objects OBJECTS --backgrounds PHOTOS --epochs 24 --bfloat16
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # to run this file by its path

from deconvnet.zoo.embedded_weights import save_weights
from scripts.zoo.examining import examine
from scripts.zoo.recipe import plain
from scripts.zoo.training import Settings, Training
from scripts.zoo.views import STATISTICS, TRAINING, Pictures, Views

# numbers of batches: for the statistics that are folded into the filters, and for the examination
THOROUGH, GLANCE = (40, 32), (10, 4)


def train(options: argparse.Namespace) -> None:
    """Train, keep networks on the way, write the result and say how good it is."""
    torch.set_num_threads(options.threads)
    pictures = Pictures(options.objects, options.backgrounds)
    names = ("seed", "batch", "epochs", "rate", "dropout", "radius", "bfloat16")
    settings = Settings(len(pictures.names), **{name: vars(options)[name] for name in names})
    training, state = Training(settings, options.device), options.out.with_suffix(".state")
    if options.resume:
        training.restore(state)
    elif 0 in options.keep:
        finish(training, pictures, options, epoch=0)
    saved, accuracy, before = time.monotonic(), 0.0, training.steps
    views = Views(pictures, settings.seed, purpose=TRAINING, labels=settings.steps * settings.batch)
    batches = views.batches(settings.batch, first=before * settings.batch, workers=options.workers)
    bar = tqdm(batches, initial=before, total=settings.steps, unit="step", mininterval=5)
    for images, labels in bar:
        loss, right = training.step(images, labels)
        accuracy += (right - accuracy) / min(100, training.steps - before)
        bar.set_postfix(loss=f"{loss:.2f}", accuracy=f"{accuracy:.3f}", refresh=False)
        epoch, within = divmod(training.steps, settings.epoch)
        if within == 0 and epoch in options.keep:
            finish(training, pictures, options, epoch=epoch)
        if time.monotonic() - saved > 60 * options.save_every:
            training.save(state)
            saved = time.monotonic()
    finish(training, pictures, options)
    state.unlink(missing_ok=True)


def finish(
    training: Training, pictures: Pictures, options: argparse.Namespace, epoch: int | None = None
) -> None:
    """Fold batch normalisation into the filters, examine them rounded to float16, and write them.

    The file of an epoch before the end has the epoch in its name.
    """
    seed, batch, out = training.settings.seed, training.settings.batch, options.out
    measured, examined = THOROUGH
    if epoch is not None:
        out = out.with_name(f"{out.stem}-epoch{epoch:03d}.safetensors")
        measured, examined = GLANCE
    views = Views(pictures, seed, purpose=STATISTICS, labels=measured * batch)
    model = plain(training.average, views.batches(batch)).half().float()
    about = {
        "steps": training.steps,
        "epochs": round(training.steps / training.settings.epoch, 2),
        "batch": batch,
        "seed": seed,
        "radius": training.settings.radius,
        **examine(model, pictures, seed=seed, batch=batch, batches=examined),
    }
    save_weights(model, out, classes=pictures.names, about=about)
    tqdm.write(json.dumps({"out": out.name, **about}))


def epochs(text: str) -> set[int]:
    """Numbers between commas, such as ``1,2,5``."""
    return {int(number) for number in text.split(",") if number}


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    gpu = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--objects", type=Path, required=True, help="pictures with transparency")
    parser.add_argument("--backgrounds", type=Path, required=True, help="photographs")
    parser.add_argument("--out", type=Path, default=Path("outputs/zfnet_mini.safetensors"))
    parser.add_argument("--epochs", type=float, default=40, help="64 views of each object each")
    parser.add_argument("--keep", type=epochs, default=set(), help="epochs to write too: 1,2,5,10")
    parser.add_argument("--resume", action="store_true", help="continue an interrupted training")
    parser.add_argument("--save-every", type=float, default=5, help="minutes, for --resume")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=128, help="views a step")
    parser.add_argument("--rate", type=float, default=0.1, help="the highest learning rate")
    parser.add_argument("--dropout", type=float, default=0.3, help="before the classifier")
    parser.add_argument("--radius", type=float, default=0.1, help="of filters (RMS); 0 for none")
    parser.add_argument("--device", default=gpu, help="default here: %(default)s")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--workers", type=int, default=1, help="processes that make views")
    parser.add_argument("--bfloat16", action="store_true",
                        help="several times faster on CPUs with AMX")  # fmt: skip
    options = parser.parse_args(arguments)
    late = [epoch for epoch in options.keep if not 0 <= epoch <= options.epochs]
    if late:
        parser.error(f"--keep {late}: the training has the epochs 0 to {options.epochs:g}")
    train(options)


if __name__ == "__main__":
    main()
