"""Train the embedded network and write it, small and plain.

python scripts/train_zoo.py --objects OBJECTS --backgrounds PHOTOS --out zfnet_mini.safetensors

Every object is a class, and every view of it is made up on the fly (``deconvnet.zoo.collage``).
The optimiser is Zeiler & Fergus' (2014, section 3) with batch normalisation beside it. With
``--epochs`` a seed decides the result on one machine; with ``--minutes`` the schedule follows the
clock, and two runs differ. An interrupted training goes on with ``--resume``, to the same result.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from tqdm import tqdm

from deconvnet.zoo.collage import Collage
from deconvnet.zoo.embedded_weights import save_weights
from deconvnet.zoo.examining import examine
from deconvnet.zoo.training import Settings, Training
from deconvnet.zoo.views import STATISTICS, TRAINING, Views

# batches: for the statistics that are folded into the filters, and for the figures of quality
THOROUGH, GLANCE = (40, 32), (10, 4)


def train(options: argparse.Namespace) -> None:
    """Train, keep networks on the way, write the result and say how good it is."""
    torch.set_num_threads(options.threads)
    collage = Collage(options.objects, options.backgrounds)
    training = Training(settings(options, len(collage.names)), device(options.device))
    state = options.out.with_suffix(".state")
    if options.resume:
        training.restore(state)
    elif 0 in options.keep:
        finish(training, collage, kept(options.out, 0), batches=GLANCE)
    saved, accuracy, before = time.monotonic(), 0.0, training.steps
    views = Views(collage, options.seed, purpose=TRAINING, batch=options.batch)
    bar = tqdm(total=1.0, bar_format="{l_bar}{bar}| {elapsed}<{remaining}{postfix}", mininterval=5)
    for images, labels in views.ahead(training.steps):
        if training.share >= 1:
            break
        loss, right = training.step(images, labels)
        accuracy += (right - accuracy) / min(100, training.steps - before)
        bar.set_postfix(loss=f"{loss:.2f}", accuracy=f"{accuracy:.3f}", refresh=False)
        bar.update(min(1.0, training.share) - bar.n)
        epoch, within = divmod(training.steps, training.settings.epoch)
        if within == 0 and epoch in options.keep:
            finish(training, collage, kept(options.out, epoch), batches=GLANCE)
        if time.monotonic() - saved > 60 * options.save_every:  # what was to be kept is kept
            training.save(state)
            saved = time.monotonic()
    bar.close()
    finish(training, collage, options.out, batches=THOROUGH)
    state.unlink(missing_ok=True)


def finish(training: Training, collage: Collage, out: Path, *, batches: tuple[int, int]) -> None:
    """Fold, examine as float16 will have it, write, report."""
    seed, batch = training.settings.seed, training.settings.batch
    views = Views(collage, seed, purpose=STATISTICS, batch=batch)
    model = training.average.folded(views.first(batches[0]))
    model.half().float()
    about = {
        "steps": training.steps,
        "epochs": round(training.steps / training.settings.epoch, 2),
        "batch": batch,
        "seed": seed,
        "radius": training.settings.radius,
    }
    about |= examine(model, collage, seed=seed, batch=batch, batches=batches[1])
    save_weights(model, out, classes=collage.names, about=about)
    tqdm.write(json.dumps({"out": out.name, **about}))


def kept(out: Path, epoch: int) -> Path:
    """Where the network of an epoch on the way is written."""
    return out.with_name(f"{out.stem}-epoch{epoch:03d}.safetensors")


def settings(options: argparse.Namespace, classes: int) -> Settings:
    """What decides the training, from the command line."""
    return Settings(
        classes=classes,
        seed=options.seed,
        batch=options.batch,
        epochs=options.epochs,
        minutes=options.minutes,
        rate=options.rate,
        dropout=options.dropout,
        radius=options.radius,
        bfloat16=options.bfloat16,
    )


def device(name: str) -> torch.device:
    """``auto`` is the GPU where there is one."""
    return torch.device(
        ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    )


def epochs(text: str) -> set[int]:
    """Numbers between commas, such as ``1,2,5``."""
    return {int(number) for number in text.split(",") if number}


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--objects", type=Path, required=True, help="pictures with transparency")
    parser.add_argument("--backgrounds", type=Path, required=True, help="photographs")
    parser.add_argument("--out", type=Path, default=Path("outputs/zfnet_mini.safetensors"))
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=float, default=40, help="64 views of each object each")
    length.add_argument("--minutes", type=float, help="train by the clock instead")
    parser.add_argument("--keep", type=epochs, default=set(), help="epochs to write too: 1,2,5,10")
    parser.add_argument("--resume", action="store_true", help="go on where this one stopped")
    parser.add_argument("--save-every", type=float, default=5, help="minutes, for --resume")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=128, help="views a step")
    parser.add_argument("--rate", type=float, default=0.1, help="the highest learning rate")
    parser.add_argument("--dropout", type=float, default=0.3, help="before the classifier")
    parser.add_argument("--radius", type=float, default=0.1, help="of filters (RMS); 0 for none")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, … (%(default)s)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--bfloat16",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="compute in bfloat16: several times faster on CPUs with AMX",
    )
    options = parser.parse_args()
    late = [n for n in options.keep if not 0 <= n <= options.epochs]
    if late and options.minutes is None:
        parser.error(f"--keep {late}: the training has the epochs 0 to {options.epochs:g}")
    train(options)


if __name__ == "__main__":
    main()
