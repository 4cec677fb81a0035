"""What one filter responds to in one photograph, with the public calls alone.

Example:
  python scripts/visualize_filter.py photo.jpg --layer features.8 --channel 12 -o filter.png
"""

from __future__ import annotations

import argparse

import torchvision

from deconvnet import DeconvNet, Preprocessing
from deconvnet.data import read_image
from deconvnet.figures import ImageRow, UnitView, save, visualization
from deconvnet.zoo.state_dicts import load_weights


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
        load_weights(model, options.weights)
    preprocessing = Preprocessing.imagenet()
    image = preprocessing(read_image(options.photograph))

    net = DeconvNet(model, options.rectifier)
    (found,) = net.project(image[None], layer=options.layer, channel=options.channel, crop=True)

    picture = preprocessing.picture(image)
    box = found.box
    view = UnitView(
        label=str(found.unit),
        box=(box.top, box.left, box.bottom, box.right),
        patch=picture[box.slices],
        projection=found.pixels.permute(1, 2, 0).numpy(),
    )
    figure = visualization([ImageRow(picture, [view], options.photograph)], width="cvpr")
    how = {"model": options.model, "unit": str(found.unit), "rectifier": options.rectifier}
    print(save(figure, options.output, provenance=how))


if __name__ == "__main__":
    main()
