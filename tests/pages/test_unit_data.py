"""The files of numbers and the commands they tell."""

import ast
import json
import shlex
from types import SimpleNamespace

import numpy as np
import pytest

from deconvnet.cli.command_line import command_line
from deconvnet.pages.plan import leaves
from deconvnet.pages.unit_data import commands, identity, image_names, number, script, text_of
from tests.support.drawn_stores import drawn

HOSTILE = "</script><script>alert(1)</script><!--"


def handed_over(content):
    """The values that a file of numbers hands to its function."""
    text = content.decode("ascii").rstrip()
    assert text.startswith("self.f(")
    assert text.endswith(");")
    return json.loads(f"[{text[7:-2]}]")


def test_texts_come_back_and_end_no_script():
    values = [3, {"a": [HOSTILE, "照\u2028", "\udcff", 'quo"te\\']}]
    content = script("self.f", *values)
    assert handed_over(content) == values
    assert not set(b"<>&") & set(content)
    assert b"\n" not in content.rstrip()


def test_plain_json_would_end_the_script():
    assert HOSTILE in json.dumps(HOSTILE)  # what ``script`` must not leave


def test_numbers_that_json_has_not_are_null():
    assert [number(v) for v in (np.float32(1.234567), np.nan, np.inf, 0)] == [1.2346, None, None, 0]
    with pytest.raises(ValueError, match="not JSON compliant"):
        script("self.f", float("nan"))


@pytest.mark.parametrize("rule", ["deconvnet", "guided, unpooling centre", "rectgrad(98)"])
@pytest.mark.parametrize("layer", ["relu1", 'it\'s; rm -rf "$HOME"', "../x\n<script>", "照"])
def test_the_commands_draw_what_they_say(tmp_path, layer, rule):
    store = drawn(tmp_path / "my store.h5", {layer: 3}, k=2)
    (leaf,) = leaves(store, [layer], k=9, per_source=2, shows=lambda *_: False)
    told = commands(leaf, rule)
    words = shlex.split("7".join(told["shell"]))
    assert words[0] == "deconvnet"
    options = command_line().parse_args(words[1:])
    assert (options.store, options.layer, options.channels) == ("my store.h5", layer, "7")
    assert (options.k, options.per_source) == (2, 2)
    assert options.rectifier == rule.partition(",")[0]
    assert options.unpooling == ("centre" if "centre" in rule else "switches")
    assert "/" not in options.output
    call = ast.parse("7".join(told["python"]), mode="eval").body
    assert ast.unparse(call).endswith(f".save({options.output!r})")
    drawing = call.func.value
    assert [ast.literal_eval(one) for one in drawing.args] == ["my store.h5", layer, 7]
    given = {one.arg: ast.literal_eval(one.value) for one in drawing.keywords}
    assert given == {"k": 2, "per_source": 2} | ({} if rule == "deconvnet" else {"rectifier": rule})


def test_a_rule_of_the_users_own_has_no_command(tmp_path):
    store = drawn(tmp_path / "top.h5", {"relu": 1})
    (leaf,) = leaves(store, ["relu"], k=9, per_source=None, shows=lambda *_: False)
    assert commands(leaf, "Mine()") == {}


def test_names_of_images_tell_nothing_of_the_disk():
    def names(*paths):
        return image_names(SimpleNamespace(images=dict(enumerate(paths))))

    assert names("/data/me/a/1.png", "/data/me/b/2.png") == {0: "a/1.png", 1: "b/2.png"}
    assert names("/data/me/1.png") == {0: "1.png"}
    assert names("a/1.png", "/data/me/2.png") == {0: "a/1.png", 1: "2.png"}
    assert text_of("\udcff.png") == "\ufffd.png"


def test_the_identity_is_that_of_the_tables(tmp_path):
    one = drawn(tmp_path / "1.h5", {"relu": 3, "conv": 2})
    same = drawn(tmp_path / "2.h5", {"relu": 3, "conv": 2})
    other = drawn(tmp_path / "3.h5", {"relu": 3, "conv": 2}, seed=1)
    assert identity(one, ["relu"]) == identity(same, ["relu"])
    assert identity(one, ["relu"]) != identity(one, ["relu", "conv"])
    assert identity(one, ["relu"]) != identity(other, ["relu"])
