"""Directions on the command line: mined, told of, stored, verified and drawn."""

import json

import numpy as np

from deconvnet.store.store import open_store
from tests.support.commands import make_files, said


def ran(capfd, *arguments):
    code, out, err = said(capfd, *arguments)
    assert code == 0, err
    return out


def test_from_a_file_to_a_figure(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(make_files(tmp_path))
    vectors = np.zeros((2, 96))
    vectors[0, 7], vectors[1] = 1, -1
    np.save("concepts.npy", vectors)
    mine = ["mine", "zoo:zfnet_mini", "photos", "-o", "a.h5", "--layers", "relu2", "-k", 2]
    mine += ["--lowest", 2, "--sample", 5, "--directions", "relu2=concepts.npy"]
    assert json.loads(ran(capfd, *mine, "--dry-run", "--json"))["dry_run"]
    ran(capfd, *mine)
    table = open_store("a.h5")["relu2"]
    own = table.directions["given"]
    assert np.array_equal(own.vector, vectors.astype("f4"))
    assert np.array_equal(own.activation[0], table.activation[7])
    assert "finished already" in "".join(said(capfd, *mine)[1:])
    out = ran(capfd, "info", "a.h5")
    assert "2 in the channels of 1 layer, mined as channels are" in out
    assert "verify: " not in ran(capfd, "verify", "a.h5", "--exact", "--random-state", 2)
    drawn = ["--layer", "relu2", "--channels", "0-1", "--of", "directions", "-o"]
    ran(capfd, "exemplars", "a.h5", *drawn, "recomputed.png")
    ran(capfd, "embed", "a.h5", "--rectifiers", "deconvnet")
    out = ran(capfd, "exemplars", "a.h5", *drawn, "stored.png")
    assert "2 directions of relu2" in out
    assert "from the pictures in the store" in out
    out = ran(capfd, "exemplars", "a.h5", *drawn, "low.png", "--end", "lowest")
    assert "from the pictures in the store" in out
    monkeypatch.setattr("deconvnet.cli.commands.spectrum.mined", None)  # it needs no model
    out = ran(capfd, "spectrum", "a.h5", *drawn, "spectrum.png")
    assert "relu2 direction 0@" in out
    assert "relu2:0" not in out, "which is a channel"
    for name in ("recomputed", "stored", "low", "spectrum"):
        assert (tmp_path / f"{name}.png").stat().st_size > 0


def test_a_file_without_its_layer(capfd):
    code, _, err = said(capfd, "mine", "zoo:zfnet_mini", "photos", "--directions", "concepts.npy")
    assert code == 2
    assert "'concepts.npy' was given, expected LAYER=FILE.npy" in err
