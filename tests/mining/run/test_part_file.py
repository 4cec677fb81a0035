"""A part survives its file to the bit, and a file that is not whole is refused."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import deconvnet.mining.run.part_folder
from deconvnet.mining.run import part_file
from deconvnet.mining.run.blocks import to_ranges
from deconvnet.mining.run.part import FirstNaN, Part, apart
from deconvnet.mining.run.part_folder import PartFolder
from deconvnet.mining.run.request import Request
from deconvnet.mining.topk import TopK
from deconvnet.store.store import Failed

REQUEST = Request(
    {"batch_shape": [4, 3, 5, 6], "k": 2, "model": "nät\udcff"}, 18, {"a/b": 3, "c": 1}
)
PATHS = {0: "x/0.jpg", 4: "bad\udcff\n.jpg", 5: "", 17: "ä"}


def made(done=(0, 1, 4), *, request=REQUEST):
    """A part with something everywhere."""
    generator = torch.Generator().manual_seed(1)
    tops = {}
    for name, channels in request.channels.items():
        tops[name] = TopK(channels, request.k)
        for number in done:
            images = torch.arange(number * 4, min(number * 4 + 4, 18))
            images = images[images != 7]
            maps = torch.randn(len(images), channels, 3, 2, generator=generator)
            tops[name].update(maps, images)
    failed = (Failed(7, "7\udcff.jpg", 'it is "broken"'),) if 1 in done else ()
    nan = FirstNaN(1, "c", (4, 5))
    return Part(request, to_ranges(done), failed, nan, "shard 0/1", "9 bytes", None, tops, PATHS)


def states(part):
    return [
        (layer, name, tensor.numpy().tobytes())
        for layer, top in part.tops.items()
        for name, tensor in top.state().items()
    ]


def test_a_part_survives_its_file(tmp_path):
    part, file = made(), tmp_path / "part.safetensors"
    file.write_bytes(part_file.to_bytes(part))
    found = part_file.read(file)
    assert states(found) == states(part)
    for name in (
        "request",
        "done",
        "failed",
        "nan",
        "process",
        "replaces",
        "images",
        "seen",
        "mask",
    ):
        assert getattr(found, name) == getattr(part, name), name
    assert (found.seen, bin(found.mask)) == (10, "0b10011")
    head = part_file.heading(file)
    assert (head.done, head.tops, head.images) == (part.done, {}, {})


def test_a_part_of_nothing_but_a_broken_image(tmp_path):
    part = made(())
    file = tmp_path / "part.safetensors"
    part = Part(REQUEST, (), (), None, "", "", None, part.tops, {})
    file.write_bytes(part_file.to_bytes(part))
    assert part_file.read(file).images == {}


# --- files that are no part -------------------------------------------------------------------


def altered(data, change):
    """The file with another header, or another tensor."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    rest = change(header, bytearray(data[8 + length :]))
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(rest)


def texts(**new):
    """A header whose texts say something else."""

    def change(header, rest):
        header["__metadata__"].update(new)
        return rest

    return change


def without(name):
    def change(header, rest):
        del header["__metadata__"][name]
        return rest

    return change


def bit_flipped(header, rest):
    start, stop = header["0/keys"]["data_offsets"]
    rest[start + 3] ^= 1
    return rest


def offsets_beyond(header, rest):
    header["0/keys"]["data_offsets"] = [0, len(rest) + 8]
    return rest


def other_shape(header, rest):
    header["0/keys"]["shape"] = header["0/keys"]["shape"][::-1]
    return rest


def not_a_table(header, rest):
    header["0/keys"] = 3
    return rest


WRONG = {
    "empty": lambda data: b"",
    "cut in its header": lambda data: data[:100],
    "cut in its tables": lambda data: data[:-1],
    "longer": lambda data: data + b"x",
    "text": lambda data: b"<html>not found</html>",
    "zeros": lambda data: bytes(len(data)),
    "a header of terabytes": lambda data: b"\xff" * 8 + data[8:],
    "a pickle": lambda data: b"\x80\x04\x95" + data,
    "another format": lambda data: altered(data, texts(format="deconvnet part 9")),
    "no checksum": lambda data: altered(data, without("sha256")),
    "no request": lambda data: altered(data, without("request")),
    "another request": lambda data: altered(data, texts(process="somebody else")),
    "more is done": lambda data: altered(data, texts(done="[[0, 5]]")),
    "ranges that overlap": lambda data: altered(data, texts(done="[[0, 2], [1, 3]]")),
    "ranges beyond the end": lambda data: altered(data, texts(done="[[0, 6]]")),
    "failed is a number": lambda data: altered(data, texts(failed="3")),
    "failed in pairs": lambda data: altered(data, texts(failed="[[1, 2]]")),
    "NaN is a number": lambda data: altered(data, texts(nan="3")),
    "no JSON": lambda data: altered(data, texts(done="[[")),
    "deep JSON": lambda data: altered(data, texts(done="[" * 100_000)),
    "a bit flipped": lambda data: altered(data, bit_flipped),
    "offsets beyond the end": lambda data: altered(data, offsets_beyond),
    "another shape": lambda data: altered(data, other_shape),
    "not a table": lambda data: altered(data, not_a_table),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_file_that_is_no_part_is_refused(tmp_path, wrong):
    data = part_file.to_bytes(made())
    file = tmp_path / "part-x.safetensors"
    file.write_bytes(wrong(data))
    with pytest.raises(ValueError, match=r"part-x.safetensors' holds no mined part .*; delete it"):
        part_file.read(file)
    file.write_bytes(data)
    assert states(part_file.read(file)) == states(made())


def test_tables_must_be_those_of_the_heading(tmp_path):
    """With a right checksum: written by a program that counts wrongly."""
    file = tmp_path / "part-x.safetensors"
    part = made()
    for wrong, message in (
        (Part(**{**vars(part), "done": ((0, 1),)}), "counts 9 images at k=2, expected 3 at k=2"),
        (Part(**{**vars(part), "failed": ()}), "counts 9 images"),
        (Part(**{**vars(part), "tops": {"a/b": part.tops["a/b"]}}), "the table of c lacks keys"),
        (
            Part(
                **{
                    **vars(part),
                    "request": replace(REQUEST, attributes={**REQUEST.attributes, "k": 10**9}),
                }
            ),
            "the table of a/b lacks keys, or has another shape",
        ),
        (Part(**{**vars(part), "tops": dict(reversed(part.tops.items()))}), "has another shape"),
    ):
        file.write_bytes(part_file.to_bytes(wrong))
        with pytest.raises(ValueError, match=message):
            part_file.read(file)


def test_a_part_that_another_state_replaces_while_it_is_opened(tmp_path, monkeypatch):
    """Its size is that of what is open, not of what has its name now."""
    file, newer = tmp_path / "part-x.safetensors", tmp_path / "newer"
    file.write_bytes(part_file.to_bytes(made((0,))))
    newer.write_bytes(part_file.to_bytes(Part(**{**vars(made()), "images": {0: "x" * 1000}})))
    real = Path.open

    def opened(self, *arguments):
        found = real(self, *arguments)
        if newer.exists():
            os.replace(newer, self)
        return found

    monkeypatch.setattr(Path, "open", opened)
    assert part_file.heading(file).done == ((0, 1),)
    assert part_file.heading(file).done == ((0, 2), (4, 5))


# --- which parts go together ------------------------------------------------------------------


def named(*done):
    tops = {}
    return [
        Part(REQUEST, to_ranges(d), (), None, str(i), "", None, tops, {})
        for i, d in enumerate(done)
    ]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([], set()),
        ([{0}, {1}, {2, 3}], {0, 1, 2}),
        ([{0, 1}, {0, 1}], {0}),
        ([{0, 1}, {0, 1, 2}], {1}),
        # the greatest first would leave 3 and 4 to be done again
        ([{1, 2, 3}, {0, 1, 2}, {3, 4}], {1, 2}),
        ([{1, 2}, {0, 1}, {2, 3}], {1, 2}),
        ([{0}, {0}, {0}, {1}, {1}], {0, 3}),
    ],
)
def test_no_microbatch_twice_and_most_of_them(parts, expected):
    found = apart(named(*parts))
    assert sum(part.mask.bit_count() for part in found) == sum(len(parts[i]) for i in expected)
    together = [n for part in found for start, stop in part.done for n in range(start, stop)]
    assert len(together) == len(set(together))
    assert len(found) == len(expected)


def test_many_overlapping_parts_take_no_time():
    """More than a best choice is looked for among; still none twice."""
    found = apart(named(*({n % 5, (n + 1) % 5} for n in range(200))))
    assert sum(part.mask.bit_count() for part in found) == 4


# --- the folder -------------------------------------------------------------------------------


def test_names_do_not_meet(tmp_path):
    folder = PartFolder.beside(tmp_path / "top.h5")
    assert folder.path == tmp_path / "top.h5.parts"
    names = {folder.new_file("0-of-2") for _ in range(50)}
    assert len(names) == 50
    assert all(name.match("part-0-of-2-*.safetensors") for name in names)
    assert folder.headings() == []
    folder.clear()  # there is none


def test_a_folder_may_vanish_under_a_writer(tmp_path, monkeypatch):
    """Whoever has assembled the store removes it."""
    folder, part = PartFolder.beside(tmp_path / "top.h5"), made()
    file, left = folder.new_file("0-of-2"), [3]
    write = deconvnet.mining.run.part_folder.write_whole

    def vanishing(path, data):
        left[0] -= 1
        if left[0] >= 0:
            raise FileNotFoundError(2, "gone")
        write(path, data)

    monkeypatch.setattr(deconvnet.mining.run.part_folder, "write_whole", vanishing)
    folder.write(file, part)
    assert states(part_file.read(file)) == states(part)
    left[0] = 100
    with pytest.raises(FileNotFoundError):
        folder.write(file, part)


def test_clearing_leaves_what_is_not_ours(tmp_path):
    folder = PartFolder.beside(tmp_path / "top.h5")
    folder.write(folder.new_file("0-of-1"), made())
    (folder.path / ".deconvnet-1-2.tmp").write_bytes(b"half")
    (folder.path / "notes.txt").write_text("mine")
    folder.clear()
    assert [one.name for one in folder.path.iterdir()] == ["notes.txt"]
