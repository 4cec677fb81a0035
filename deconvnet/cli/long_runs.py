"""Device, shard, progress bar and clean interruption of long-running commands."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch

from deconvnet.mining.mine import Unfinished
from deconvnet.mining.run.sharding import Shard, gpu, of_environment, parse
from deconvnet.mining.run.signals import Stopping


def device_of(name: str) -> torch.device:
    """The device that ``--device`` names; "auto" is the GPU where there is one.

    Of several GPUs each process of a machine takes its own, as torchrun or srun number them.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        name = gpu(os.environ, torch.cuda.device_count())
    try:
        if name == "meta":
            raise RuntimeError("it holds no values")
        return torch.zeros((), device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"the device {name!r} cannot be used here: {error}") from error


def shard_of(options: argparse.Namespace) -> Shard:
    """The shard of this process: from ``--shard``, else from torchrun or SLURM."""
    return parse(options.shard) if options.shard else of_environment(os.environ)


@contextmanager
def interruptible(options: argparse.Namespace) -> Iterator[Stopping]:
    """Let signals stop the run after a checkpoint, and tell the user how to resume it.

    The exit status is 128 + the signal; 0 where the share of this process is done.
    """
    stopping = Stopping(
        told="\ndeconvnet: stopping after the current batch; a second Ctrl-C stops at once\n"
    )
    try:
        with stopping:
            yield stopping
    except Unfinished as unfinished:
        done = f"{unfinished.done} of {unfinished.images} images are done"
        if not unfinished.stopped:
            _tell(f"this share is done; of all, {done}: the last process writes {options.output}")
            raise SystemExit(0) from None
        if not unfinished.done:
            _tell("stopped before anything was done; the same command starts again")
        else:
            _tell(f"stopped: {done} and kept; resume with\n  {_command(options)}")
        raise SystemExit(stopping.status) from None
    except KeyboardInterrupt:
        kept = "stopped at once: the last checkpoint is kept, if there was one"
        _tell(f"{kept}; resume with\n  {_command(options)}")
        raise SystemExit(stopping.status) from None


def _tell(text: str) -> None:
    with suppress(OSError):  # the connection may be lost, and the terminal with it
        sys.stderr.write(f"deconvnet: {text}\n")
        sys.stderr.flush()


def _command(options: argparse.Namespace) -> str:
    """The command as typed, without ``--restart``."""
    typed = shlex.join(word for word in options.typed if word != "--restart")
    torchrun = f"torchrun --nproc-per-node {os.environ.get('LOCAL_WORLD_SIZE')} -m "
    return f"{torchrun if 'TORCHELASTIC_RUN_ID' in os.environ else ''}deconvnet {typed}"
