"""Which of several processes this one is, as torchrun, SLURM or a person say."""

from types import SimpleNamespace

import pytest
import torch

from deconvnet.cli.device import device_of
from deconvnet.mining.run.sharding import Shard, gpu, local_rank, of_environment, parse

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}
ARRAY = {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_MIN": "5"}
SRUN = {"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2", "SLURM_LOCALID": "0"}


@pytest.mark.parametrize(
    ("environment", "expected", "origin"),
    [
        ({}, (0, 1), ""),
        (TORCHRUN, (3, 4), "RANK"),
        ({"RANK": "0", "WORLD_SIZE": "1"}, (0, 1), ""),
        (ARRAY, (2, 4), "SLURM_ARRAY_TASK_ID"),
        ({**ARRAY, "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_STEP": "2"}, (3, 4), None),
        ({"SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_COUNT": "1"}, (0, 1), ""),
        (SRUN, (1, 2), "SLURM_PROCID"),
        # in a batch script, outside srun, SLURM tells of tasks that nobody has started
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, (0, 1), ""),
        (TORCHRUN | SRUN, (3, 4), "RANK"),
        # torchrun in every task of an array: all processes of all tasks share
        (ARRAY | TORCHRUN, (2 * 4 + 3, 16), "SLURM_ARRAY_TASK_ID and RANK"),
    ],
)
def test_who_says_it(environment, expected, origin):
    found = of_environment(environment)
    assert (found.index, found.count) == expected
    assert origin is None or found.origin == origin


def test_every_process_of_an_array_of_torchruns_has_a_shard_of_its_own():
    found = {
        str(
            of_environment(
                {**ARRAY, "SLURM_ARRAY_TASK_ID": str(5 + task), **TORCHRUN, "RANK": str(rank)}
            )
        )
        for task in range(4)
        for rank in range(4)
    }
    assert found == {f"{index}/16" for index in range(16)}


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"RANK": "one", "WORLD_SIZE": "2"}, "RANK='one' stands in the environment, expected"),
        ({"WORLD_SIZE": "2"}, "RANK='' stands"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "shard 2/2 was given by RANK; shards are numbered"),
        ({**ARRAY, "SLURM_ARRAY_TASK_ID": "9"}, "task 9 of a SLURM array of 4 tasks from 5"),
        ({**ARRAY, "SLURM_ARRAY_TASK_STEP": "4"}, "without, such as --array=0-3"),
    ],
)
def test_what_nobody_can_mean(environment, message):
    with pytest.raises(ValueError, match=message):
        of_environment(environment)


def test_typed():
    assert (parse("0/4"), str(parse("3/4"))) == (Shard(0, 4, "--shard"), "3/4")
    for wrong in ("4/4", "4", "a/b", "", "-1/4", "1/0"):
        with pytest.raises(ValueError, match="shard"):
            parse(wrong)


@pytest.mark.parametrize(
    ("environment", "gpus", "expected"),
    [
        ({}, 8, "cuda"),
        (TORCHRUN, 8, "cuda:1"),
        (TORCHRUN, 1, "cuda"),
        (TORCHRUN | {"LOCAL_RANK": "5"}, 4, "cuda:1"),
        (SRUN, 2, "cuda:0"),
    ],
)
def test_every_process_of_a_machine_takes_a_gpu(environment, gpus, expected):
    assert gpu(environment, gpus) == expected
    assert local_rank({}) is None


def test_the_command_takes_the_gpu_of_its_rank(monkeypatch):
    """There is none here: what PyTorch would be asked for is looked at."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch, "zeros", lambda size, device: SimpleNamespace(device=device))
    monkeypatch.setenv("LOCAL_RANK", "6")
    found = [device_of(name) for name in ("auto", "cuda", "cuda:3", "cpu")]
    assert found == ["cuda:2", "cuda:2", "cuda:3", "cpu"]
    monkeypatch.delenv("LOCAL_RANK")
    assert device_of("auto") == "cuda"
