"""A container's quota of CPU time, read from files of control groups that are faked."""

import os

import pytest
import torch

from deconvnet.mining.run.processors import (
    quota,
    usable_processors,
    usable_threads,
    warn_of_readers,
)


@pytest.fixture
def faked(tmp_path):
    """Writes files below a root, which it returns: {path: text}."""

    def write(files):
        for path, text in files.items():
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return tmp_path

    return write


VERSION_2 = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}
VERSION_1 = {
    "proc/self/cgroup": "9:memory:/docker/1f\n4:cpu,cpuacct:/docker/1f\n",
    "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "250000\n",
    "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
}


def test_version_2(faked):
    assert quota(faked(VERSION_2)) == 1.5


def test_version_1_whose_path_is_that_of_the_host(faked):
    assert quota(faked(VERSION_1)) == 2.5


def test_version_1_mounted_as_cpu(faked):
    files = {"proc/self/cgroup": "2:cpu:/\n", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000"}
    assert quota(faked({**files, "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"})) == 0.5


def test_the_tightest_of_the_groups_around(faked):
    files = {
        "proc/self/cgroup": "0::/slurm/job_7/step_0\n",
        "sys/fs/cgroup/slurm/cpu.max": "1600000 100000",
        "sys/fs/cgroup/slurm/job_7/cpu.max": "400000 100000",
        "sys/fs/cgroup/slurm/job_7/step_0/cpu.max": "max 100000",
    }
    assert quota(faked(files)) == 4


def test_a_version_2_group_beside_version_1(faked):
    files = {"proc/self/cgroup": "4:cpu:/\n0::/a\n", "sys/fs/cgroup/unified/a/cpu.max": "300 100"}
    assert quota(faked(files)) == 3


@pytest.mark.parametrize(
    "files",
    [
        {},
        {**VERSION_2, "sys/fs/cgroup/cpu.max": "max 100000\n"},
        {**VERSION_2, "sys/fs/cgroup/cpu.max": "what 100000"},
        {**VERSION_2, "sys/fs/cgroup/cpu.max": "100000 0"},
        {**VERSION_1, "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n"},
        {"proc/self/cgroup": "nonsense\n"},
        # a quota of another controller's group is none of CPU time
        {"proc/self/cgroup": "4:memory:/\n", "sys/fs/cgroup/memory/cpu.max": "100 100"},
    ],
)
def test_no_limit(faked, files):
    assert quota(faked(files)) is None


@pytest.mark.parametrize(
    ("allowed", "threads", "used"),
    [("150000", 8, 2), ("50000", 8, 1), ("800000", 2, 2), ("max", 8, 8)],
)
def test_threads(faked, monkeypatch, allowed, threads, used):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    root = faked({**VERSION_2, "sys/fs/cgroup/cpu.max": f"{allowed} 100000"})
    assert usable_threads(root) == used


@pytest.mark.parametrize(
    ("allowed", "cores", "used"),
    [("150000", 8, 2), ("50000", 8, 1), ("800000", 2, 2), ("max", 8, 8)],
)
def test_processors(faked, monkeypatch, allowed, cores, used):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)), raising=False)
    root = faked({**VERSION_2, "sys/fs/cgroup/cpu.max": f"{allowed} 100000"})
    assert usable_processors(root) == used


@pytest.mark.parametrize("files", [VERSION_1, VERSION_2])
def test_more_readers_than_the_quota_are_told(faked, files, recwarn):
    root = faked(files)
    allowed = {1.5: 2, 2.5: 3}[quota(root)]
    warn_of_readers(allowed, root)
    assert not recwarn.list
    with pytest.warns(UserWarning, match=rf"workers={allowed + 1} .* at most workers={allowed}$"):
        warn_of_readers(allowed + 1, root)


def test_without_a_quota_readers_are_pytorchs_matter(faked, recwarn):
    warn_of_readers(1_000, faked({}))
    assert not recwarn.list


def test_mining_tells_of_readers_before_any_work(monkeypatch, tmp_path):
    from deconvnet import mine
    from deconvnet.mining.run import processors

    monkeypatch.setattr(processors, "quota", lambda root: 0.5)
    with pytest.warns(UserWarning, match="at most workers=1$"), pytest.raises(TypeError):
        mine(torch.nn.ReLU(), {"no": "data set"}, tmp_path / "a.h5", workers=2)


def test_mining_takes_them_by_default(tmp_path, monkeypatch):
    """As many as the quota allows, unless threads= says otherwise; the store tells how many."""
    from deconvnet import mine
    from deconvnet.mining.run import job

    monkeypatch.setattr(job, "usable_threads", lambda: 1)
    model, data = (
        torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.ReLU()),
        [torch.rand(3, 8, 8)],
    )
    one = mine(model, data, tmp_path / "a.h5", k=1, batch_size=1)
    two = mine(model, data, tmp_path / "b.h5", k=1, batch_size=1, threads=2)
    assert [int(store.attributes["threads"]) for store in (one, two)] == [1, 2]
