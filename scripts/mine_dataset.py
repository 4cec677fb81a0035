"""Find the nine photographs of a folder that activate each unit of a model most; write a store.

Example:
  python scripts/mine_dataset.py photos/ --layers features.7 features.9 -o outputs/top9.h5
"""

from __future__ import annotations

import argparse

import torchvision

import deconvnet
from deconvnet import Preprocessing
from deconvnet.data import ImageFolder
from deconvnet.mining.mine import Source
from deconvnet.mining.progress import bar
from deconvnet.zoo.state_dicts import load_state_dict


def main() -> None:
    """Mine a folder and print the strongest photograph of a few units."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--model", default="alexnet", help="a torchvision model (%(default)s)")
    parser.add_argument("--weights", help="a state dict; default: torchvision's trained weights")
    parser.add_argument("--layers", nargs="*", help="node names; default: all with units")
    parser.add_argument("-o", "--output", default="outputs/top9.h5")
    options = parser.parse_args()

    trained = None if options.weights else "DEFAULT"
    model = torchvision.models.get_model(options.model, weights=trained)
    if options.weights:
        load_state_dict(model, options.weights)
    preprocessing = Preprocessing.imagenet()
    photographs = ImageFolder(options.folder, preprocessing)
    source = Source(
        model=f"torchvision:{options.model}",
        weights=options.weights or "DEFAULT",
        dataset=options.folder,
        transform=preprocessing.to_json(),
    )
    with bar(len(photographs), "mining") as report:
        store = deconvnet.mine(
            model, photographs, options.output, options.layers, source=source, report=report
        )
    for name, table in store.layers.items():
        best = int(table.image[0, 0])
        print(f"{name}:0 is strongest in {store.images[best]} ({table.activation[0, 0]:.3g})")


if __name__ == "__main__":
    main()
