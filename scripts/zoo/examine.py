"""Measure how good trained weights of the embedded network are, and print it as JSON.

Accuracy on views never trained on, dead channels of each rectifier, blank or noisy filters of layer
1, and how often a nearest-mean classifier of the features finds the folder of an object that it
has not seen.

Example:
  python scripts/zoo/examine.py --objects OBJECTS --backgrounds PHOTOS zfnet_mini.safetensors
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from deconvnet.zoo import WEIGHTS
from deconvnet.zoo.embedded_weights import load_about, load_classes, load_weights
from deconvnet.zoo.zfnet_mini_network import ZFNetMini

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # to run this file by its path

from scripts.zoo.examining import examine, unseen_instances
from scripts.zoo.views import Pictures


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, examine and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("weights", type=Path, nargs="?", default=WEIGHTS, help="default: embedded")
    parser.add_argument("--objects", type=Path, required=True, help="as they were trained on")
    parser.add_argument("--backgrounds", type=Path, required=True, help="photographs")
    parser.add_argument("--batch", type=int, default=128, help="views at a time")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args(arguments)

    torch.set_num_threads(options.threads)
    names = load_classes(options.weights)
    pictures = Pictures(options.objects, options.backgrounds)
    if pictures.names != names:
        parser.error(
            f"{options.weights} tells {len(names)} objects apart, beginning with {names[:2]}; "
            f"{options.objects} holds {len(pictures.names)}, beginning with {pictures.names[:2]}: "
            "give the folder the weights were trained on"
        )
    model = ZFNetMini(len(names)).eval()
    model.load_state_dict(load_weights(options.weights))
    seed = int(load_about(options.weights)["seed"])
    figures = {"weights": options.weights.name, "bytes": options.weights.stat().st_size}
    figures |= examine(model, pictures, seed=seed, batch=options.batch)
    figures |= unseen_instances(model, pictures, seed=seed, batch=options.batch)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
