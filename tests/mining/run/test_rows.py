"""Image i occupies row ``i % batch_size`` wherever bits are compared.

On some processors the last bits of a matrix product depend on the row. Here they always do.
"""

import pytest
import torch
from torch import nn

from deconvnet.mining.embed import embed
from deconvnet.mining.mine import mine
from deconvnet.mining.run.microbatches import Microbatch
from deconvnet.mining.verify import recompute
from deconvnet.mining.verify.verify import verify
from tests.support.mined import PREPARED, SIZE, Prepared

COUNT = 30
MANY = 300  # more than stand in the tables, so that not all are run again


class ByRow(nn.Module):
    """A matrix product whose rows differ."""

    def __init__(self, step):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc = nn.Conv2d(3, 5, 3), nn.Linear(5, 9)
        self.register_buffer("rows", step * torch.arange(64.0)[:, None])

    def forward(self, x):
        y = self.fc(self.conv(x).relu().amax((2, 3)))
        return y + self.rows[: y.shape[0]]


def the_work(path, batch_size, *, step=1e-7, broken=(), count=COUNT):
    model = ByRow(step).eval()
    data = Prepared(torch.randn(count, 3, *SIZE), broken=broken)
    return mine(model, data, path, k=3, batch_size=batch_size), model, data


@pytest.mark.parametrize("batch_size", [1, 3, 7, 30, 64])
@pytest.mark.parametrize("n", [1, 9, 10_000, None])
@pytest.mark.parametrize("step", [1e-7, 0.1])
def test_verify_to_the_last_bit(tmp_path, batch_size, n, step):
    store, model, data = the_work(tmp_path / "a.h5", batch_size, step=step)
    found = verify(store, model, data, n=n, tolerance=0.0)
    assert (found.mismatches, found.equal) == ((), found.checked)


def test_verify_beside_broken_images(tmp_path):
    """A broken image leaves its row empty; the others do not move up."""
    store, model, data = the_work(tmp_path / "a.h5", 7, step=0.1, broken=[9])
    for n in (9, None):
        found = verify(store, model, data, n=n, tolerance=0.0)
        assert (found.mismatches, found.equal) == ((), found.checked)


def test_embed_compares_in_the_row_that_was_mined(tmp_path):
    store, model, data = the_work(tmp_path / "a.h5", 7, step=1.0, count=MANY)
    assert embed(store, model, data, preprocessing=PREPARED).pictures


def test_images_in_other_rows_would_be_caught(tmp_path, monkeypatch):
    """As they were before: packed from the first row on."""
    store, model, data = the_work(tmp_path / "a.h5", 7, step=1.0, count=MANY)

    def packed(dataset, batch_size, *, groups, **_):
        for group in groups:
            images = torch.zeros(batch_size, 3, *SIZE)
            images[: len(group)] = torch.stack([dataset[i] for i in group])
            rows = torch.arange(len(group))
            yield Microbatch(0, images, rows, torch.tensor(group), {})

    monkeypatch.setattr(recompute, "microbatches", packed)
    found = verify(store, model, data, n=9)
    assert "activation" in {mismatch.kind for mismatch in found.mismatches}
    with pytest.raises(ValueError, match="the images are not those that were mined"):
        embed(store, model, data, preprocessing=PREPARED)
