"""What TopK takes, what it refuses, and the ends of its ranges."""

import pytest
import torch

from deconvnet.mining.topk import Table, TopK


def test_a_dead_channel_has_nonzero_zero():
    top = TopK(2, 2)
    top.update(torch.zeros(5, 2, 3, 3), torch.arange(5))
    assert top.table().nonzero.tolist() == [0, 0]
    assert top.table().image.tolist() == [[0, 1], [0, 1]]


def test_the_mean_survives_sums_beyond_float32():
    activations = torch.full((2, 1, 8, 8), 3e38)
    top = TopK(1, 1)
    top.update(activations, torch.arange(2))
    assert top.table().mean.item() == activations[0, 0, 0, 0].item()


def test_images_up_to_the_last_index():
    top = TopK(1, 2)
    top.update(torch.tensor([[1.0], [1.0]]), torch.tensor([2**32 - 2, 2**31]))
    assert top.table().image.tolist() == [[2**31, 2**32 - 2]]


def test_nothing_seen_and_an_empty_batch():
    top = TopK(2, 3)
    top.update(torch.zeros(0, 2, 4, 4), torch.zeros(0, dtype=torch.int64))
    table = top.table()
    assert isinstance(table, Table)
    assert table.activation.isnan().all()
    assert (table.image == -1).all()
    assert table.mean.isnan().all()


@pytest.mark.parametrize(
    ("activations", "images", "kind", "message"),
    [
        (torch.zeros(2, 3, dtype=torch.int64), [0, 1], TypeError, "floating point"),
        (torch.zeros(2, 4), [0, 1], ValueError, r"shape \(2, 4\).*expected \(batch, 3\)"),
        (torch.zeros(2), [0, 1], ValueError, "expected"),
        (torch.zeros(2, 3, 0, 4), [0, 1], ValueError, "no position"),
        (torch.zeros(2, 3), [0], ValueError, "one index for each"),
        (torch.zeros(2, 3), [0.0, 1.0], TypeError, "int64"),
        (torch.zeros(2, 3), [-1, 1], ValueError, "-1 … 1"),
        (torch.zeros(2, 3), [0, 2**32 - 1], ValueError, "4294967295"),
    ],
)
def test_refused(activations, images, kind, message):
    with pytest.raises(kind, match=message):
        TopK(3, 2).update(activations, torch.tensor(images))


def test_refused_k_and_merge():
    with pytest.raises(ValueError, match="at least 1"):
        TopK(3, 0)
    with pytest.raises(ValueError, match="top-2 of 3 channels cannot be merged"):
        TopK(3, 9).merge(TopK(3, 2))
