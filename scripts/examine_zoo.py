"""Say how good trained weights of the embedded network are, as JSON.

python scripts/examine_zoo.py --objects OBJECTS --backgrounds PHOTOS zfnet_mini.safetensors

Accuracy on views never trained on, dead channels of each rectifier, tiles of layer 1 that show
nothing, and how often an object that a read-out of the features never saw goes to its own folder.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from deconvnet.zoo import WEIGHTS
from deconvnet.zoo.collage import Collage
from deconvnet.zoo.embedded_weights import load_about, load_classes, load_weights
from deconvnet.zoo.examining import examine, unseen_instances
from deconvnet.zoo.zfnet_mini_network import ZFNetMini


def main() -> None:
    """Read the command line, examine and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("weights", type=Path, nargs="?", default=WEIGHTS, help="default: embedded")
    parser.add_argument("--objects", type=Path, required=True, help="as they were trained on")
    parser.add_argument("--backgrounds", type=Path, required=True, help="photographs")
    parser.add_argument("--batch", type=int, default=128, help="views at a time")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    names = load_classes(options.weights)
    collage = Collage(options.objects, options.backgrounds)
    if collage.names != names:
        parser.error(
            f"{options.weights} tells {len(names)} objects apart, beginning with {names[:2]}; "
            f"{options.objects} holds {len(collage.names)}, beginning with {collage.names[:2]}: "
            "give the folder the weights were trained on"
        )
    model = ZFNetMini(len(names)).eval()
    model.load_state_dict(load_weights(options.weights))
    seed = int(load_about(options.weights)["seed"])
    found = {"weights": options.weights.name, "bytes": options.weights.stat().st_size}
    found |= examine(model, collage, seed=seed, batch=options.batch)
    found |= unseen_instances(model, collage, seed=seed, batch=options.batch)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
