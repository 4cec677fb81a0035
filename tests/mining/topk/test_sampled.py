"""A sample is drawn uniformly, and is the same however the images are offered and shared out."""

import random

import pytest
import torch

from deconvnet.mining.topk import Members, TopK
from deconvnet.mining.topk.sampled import hash_of

SEEDS, IMAGES, N = 1000, 50, 10
LOW, HIGH = 23.98, 85.35  # the 0.1 % and 99.9 % quantiles of chi-square, 49 degrees of freedom


def drawn(images, *, n=N, seed=0, sizes=(7, 1, 3)):
    """The sample, in its order, of images offered in batches of these sizes by turns."""
    members, images, turn = Members(n, seed), list(images), 0
    while images:
        size = sizes[turn % len(sizes)]
        members.admit(images[:size])
        images, turn = images[size:], turn + 1
    slots = members.images
    return [slots[slot] for slot in members.order()]


def chi_square(draw):
    """How uneven the images are drawn over 1,000 seeds; of draws without replacement."""
    counts = [0] * IMAGES
    for seed in range(SEEDS):
        for image in draw(seed):
            counts[image] += 1
    share = N / IMAGES
    expected = SEEDS * share
    squares = sum((count - expected) ** 2 / expected for count in counts)
    return squares / (1 - share) * (IMAGES - 1) / IMAGES


def test_every_image_is_equally_likely_over_a_thousand_seeds():
    assert LOW < chi_square(lambda seed: drawn(range(IMAGES), seed=seed)) < HIGH


@pytest.mark.parametrize("place", [0, N - 1])
def test_so_it_is_at_each_place_of_the_sample(place):
    """The first m of a sample are a sample of m."""
    counts = [0] * IMAGES
    for seed in range(SEEDS):
        counts[drawn(range(IMAGES), seed=seed)[place]] += 1
    expected = SEEDS / IMAGES
    assert LOW < sum((count - expected) ** 2 / expected for count in counts) < HIGH


def test_the_chi_square_catches_what_is_not_random():
    assert chi_square(lambda seed: range(N)) > HIGH
    assert chi_square(lambda seed: drawn(range(IMAGES), seed=0)) > HIGH
    reservoir = lambda seed: [i for i in range(IMAGES) if (i * 7 + seed) % 5 == 0]  # noqa: E731
    assert chi_square(reservoir) < LOW  # every fifth is too even


def test_neither_the_order_nor_the_batches_are_seen():
    expected = sorted(range(IMAGES), key=lambda i: (hash_of(i, 3), i))[:N]
    for turn in range(20):
        images = list(range(IMAGES))
        random.Random(turn).shuffle(images)
        assert drawn(images, seed=3, sizes=(turn + 1,)) == expected


def test_fewer_images_than_were_asked_for():
    assert sorted(drawn([4, 7], n=5)) == [-1, -1, -1, 4, 7]
    assert drawn([4, 7], n=5)[2:] == [-1, -1, -1]
    assert drawn([4, 7], n=0) == []


def test_the_next_hash_takes_the_place_of_an_image_that_cannot_be_used():
    order = drawn(range(IMAGES), n=IMAGES)
    usable = [image for image in range(IMAGES) if image != order[2]]
    assert drawn(usable) == [*order[:2], *order[3 : N + 1]]


def test_a_hash_is_what_the_format_says():
    """Changing it changes every sample that was ever drawn."""
    assert hash_of(0, 0).hex() == "a3dbe6b386261f66"
    assert hash_of(12, 7).hex() == "8a2032c9b451b1c9"  # of the text "7 12"


def test_slots_and_values_stay_together():
    """The activations of a sample are those of its images, whoever left it meanwhile."""
    values = torch.randn(IMAGES, 3, generator=torch.Generator().manual_seed(0))
    members, top = Members(N, 1), TopK(3, 2, sample=N)
    for images in torch.randperm(IMAGES, generator=torch.Generator().manual_seed(1)).split(7):
        top.update(values[images], images, drawn=members.admit(images.tolist()))
    order = members.order()
    images = torch.tensor(members.images)[order]
    assert torch.equal(top.sample(order).activation, values[images].T)


def test_images_that_are_no_sample():
    members = Members(3, 0)
    members.load([4, -1, 9])
    assert members.images == [4, -1, 9]
    for wrong in ([4, 4, -1], [1, 2], [1, 2, -2]):
        with pytest.raises(ValueError, match="no sample of 3"):
            members.load(wrong)
