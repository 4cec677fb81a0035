"""Draw what one filter responds to in one photograph, by the public calls alone.

Example:
  python scripts/visualize_filter.py photo.jpg --layer features.8 --channel 12 -o filter.png
"""

from __future__ import annotations

import argparse

import torchvision

from deconvnet import DeconvNet, Preprocessing
from deconvnet.data import read_image
from deconvnet.figures import save
from deconvnet.studies.visualize import visualize
from deconvnet.zoo.state_dicts import load_state_dict


def main() -> None:
    """Project the strongest position of a channel and draw it beside its patch."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("photograph")
    parser.add_argument("--model", default="alexnet", help="a torchvision model (%(default)s)")
    parser.add_argument("--weights", help="a state dict; default: torchvision's trained weights")
    parser.add_argument("--layer", default="features.8", help="node name (%(default)s)")
    parser.add_argument("--channel", type=int, default=0)
    parser.add_argument("--rectifier", default="deconvnet")
    parser.add_argument("-o", "--output", default="outputs/filter.png")
    options = parser.parse_args()

    trained = None if options.weights else "DEFAULT"
    model = torchvision.models.get_model(options.model, weights=trained).eval()
    if options.weights:
        load_state_dict(model, options.weights)
    preprocessing = Preprocessing.imagenet()
    image = preprocessing(read_image(options.photograph))

    result = visualize(
        DeconvNet(model, options.rectifier),
        image[None],
        layer=options.layer,
        channel=options.channel,
        preprocessing=preprocessing,
        names=[options.photograph],
    )
    units = ", ".join(str(row["unit"]) for row in result.table())
    how = {"model": options.model, "unit": units, "rectifier": options.rectifier}
    print(save(result.figure(width="cvpr"), options.output, provenance=how))


if __name__ == "__main__":
    main()
