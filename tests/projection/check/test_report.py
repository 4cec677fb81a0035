"""What a comparison of graph and model found, as a report and on the command line."""

import json

import pytest
import torch
from torch import nn

from deconvnet.testing import check_model
from tests.support.commands import said
from tests.support.networks import noise
from tests.support.planted import IMAGES, made, planted, stale

NETS = """
import torch
from torch import nn

def plain():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))

class Rolling(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return nn.functional.dropout(self.conv(x), training=True)
"""


def test_every_module_the_output_and_the_gradient_are_in_it():
    report = check_model(made(), IMAGES)
    assert [row.name for row in report.rows] == [
        "one", "two", "norm", "the model's output", "the gradient at the images",
    ]  # fmt: skip
    assert report.ok
    assert report.reader == "torch.fx"
    assert max(row.difference for row in report.rows) < 1e-12
    assert "5 of 5 values agree; read by torch.fx" in str(report)


def test_it_tells_what_differs(monkeypatch):
    planted(monkeypatch, stale, ["trace", "export"])
    report = check_model(made(), IMAGES)
    assert not report.ok
    assert next(row.name for row in report.rows if not row.ok) == "two"
    line = next(line for line in str(report).splitlines() if line.startswith("two "))
    assert "DIFFERS: " in line
    assert "the model gives " in line


def test_further_inputs():
    class Masked(nn.Module):
        def forward(self, x, mask):
            return x * mask

    assert check_model(Masked(), IMAGES, inputs={"mask": noise(1, 1, 12, 12)}).ok
    with pytest.raises(ValueError, match="second input, 'mask'"):
        check_model(Masked(), IMAGES)


@pytest.fixture
def nets(tmp_path):
    path = tmp_path / "nets.py"
    path.write_text(NETS)
    return path


def test_on_the_command_line(nets, capfd):
    code, out, err = said(capfd, "layers", f"{nets}:plain", "--size", "16", "--check")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()[1:6]] == ["0", "1", "2", "the", "the"]
    assert "5 of 5 values agree" in out
    code, out, _ = said(capfd, "layers", f"{nets}:plain", "--size", "16", "--check", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["read_by"] == "torch.fx"
    assert found["checked"][0]["node"] == "0"
    torch.manual_seed(0)
    code, out, err = said(capfd, "layers", f"{nets}:Rolling", "--size", "16", "--check")
    assert code != 0
    assert "the graph of" in err
    assert "is not the model: the model's output" in err
