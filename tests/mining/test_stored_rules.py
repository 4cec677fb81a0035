"""The names of stored projections: which mirror made them can be told from the store."""

import numpy as np
import pytest

from deconvnet import embed, mine, verify
from deconvnet.layers import Policies
from deconvnet.mining.stored_rules import named_policies, stored_name
from tests.support.mined import Pictures, pictures
from tests.support.studied import MODEL, PREPARED

NAMES = {
    "guided": Policies.of("guided", "rectify"),
    "rectgrad(90), unpooling centre": Policies.of("rectgrad(90)", unpooling="centre"),
    "gradient, normalization identity, unpooling uniform": Policies.of(
        "gradient", normalization="identity", unpooling="uniform"
    ),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_gives_its_policies_again(name):
    policies = NAMES[name]
    assert stored_name(policies) == name
    assert str(named_policies(name, policies.fallback or "")) == str(policies)


def test_a_rule_of_somebody_else_is_not_known():
    with pytest.raises(ValueError, match="'mine'"):
        named_policies("mine, unpooling centre")


def test_projections_by_another_unpooling_are_told_apart_and_verified(tmp_path):
    data = Pictures(pictures(nan=False))
    store = mine(MODEL, data, tmp_path / "top.h5", "relu", 4, 4)
    rules = ["guided", Policies.of("guided", unpooling="uniform")]
    store = embed(store, preprocessing=PREPARED, rectifiers=rules)
    (names,) = {tuple(sorted(each.projections)) for each in store.pictures.values()}
    assert names == ("guided", "guided, unpooling uniform")
    scales = [store.pictures["relu"].projections[name].scale for name in names]
    assert not np.array_equal(*scales)
    assert verify(store, n=None, preprocessing=PREPARED).passed
