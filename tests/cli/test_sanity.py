"""``deconvnet sanity``: its figure, its rows, and bad input before any model is loaded."""

import json

import pytest

from deconvnet.figures import read_provenance
from tests.support.commands import said

pytestmark = pytest.mark.filterwarnings("default")
MODEL = "zoo:zfnet_mini"


def test_it_draws_and_tells(files, capfd):
    images = [files / "photos" / f"cat{number}.png" for number in (0, 1)]
    how = ["--target", "relu2:3", "--rectifiers", "guided", "--stages", "conv1", "--init", "reset"]
    path = files / "sanity.png"
    code, out, err = said(capfd, "sanity", MODEL, *images, *how, "-o", path, "--json")
    assert code == 0, err
    result = json.loads(out)
    assert [row["rectifier"] for row in result["rows"]] == ["guided", "edges", "noise", "constant"]
    assert {row["stage"] for row in result["rows"]} == {"conv1"}
    assert result["rows"][1]["ssim"] == 1
    assert result["rows"][3]["spearman"] is None
    assert "complexity_rise" in result["scores"][0]
    told = read_provenance(path)
    assert (told["study"], told["target"], told["model"]) == ("Sanity", "relu2:3", MODEL)


@pytest.mark.parametrize(
    ("options", "words"),
    {
        "--order sideways": "invalid choice: 'sideways'",
        "--init zeros": "invalid choice: 'zeros'",
        "--rectifiers relu": "'relu'",
        "--init-std 0": "init_std=0.0 was given",
        "--stages conv9": "is called 'conv9'",
        "--stages 0": "stages=0 was given",
        "--target 367": "target=367 was given; the classes of classifier are 0 to 366",
        "--target relu9:1": "no layer is called 'relu9'",
        "--target zebra": "'zebra' was given, which is none of the class names",
    }.items(),
)
def test_bad_input(files, capfd, options, words):
    image = files / "photos" / "cat0.png"
    code, _, err = said(capfd, "sanity", MODEL, image, *options.split(), "-o", files / "a.png")
    assert code == 2
    assert words in err
    assert not (files / "a.png").exists()
