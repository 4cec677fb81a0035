"""What commands share that run for long, in several processes, and may be interrupted."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress

from deconvnet.mining.mine import Unfinished
from deconvnet.mining.run.sharding import Shard, local_rank, of_environment, parse
from deconvnet.mining.run.signals import Stopping

from .progress import bar


def shard_of(options: argparse.Namespace) -> Shard:
    """Which process this is: as typed, else as torchrun or SLURM say."""
    return parse(options.shard) if options.shard else of_environment(os.environ)


@contextmanager
def progress(total: int, does: str) -> Iterator[Callable[[int, int], None]]:
    """A bar; one for each machine where several processes write to one terminal."""
    silent = nullcontext(lambda done, of: None) if local_rank(os.environ) else None
    with silent or bar(total, does) as report:
        yield report


@contextmanager
def interruptible(options: argparse.Namespace) -> Iterator[Stopping]:
    """Signals end the run in good order, and the person is told how to go on.

    Raises:
        SystemExit: 128 + the signal after one; 0 where the share of this process is done.
    """
    stopping = Stopping(
        told="\ndeconvnet: stopping when what was begun is done; a second Ctrl-C stops at once\n"
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
            _tell(f"stopped: {done} and kept; go on with\n  {_command(options)}")
        raise SystemExit(stopping.status) from None
    except KeyboardInterrupt:
        _tell(
            "stopped at once: the last checkpoint is kept, if there was one; go on with\n"
            f"  {_command(options)}"
        )
        raise SystemExit(stopping.status) from None


def _tell(text: str) -> None:
    with suppress(OSError):  # the connection may be lost, and the terminal with it
        sys.stderr.write(f"deconvnet: {text}\n")
        sys.stderr.flush()


def _command(options: argparse.Namespace) -> str:
    """What was typed, but for starting over."""
    typed = shlex.join(word for word in options.typed if word != "--restart")
    torchrun = f"torchrun --nproc-per-node {os.environ.get('LOCAL_WORLD_SIZE')} -m "
    return f"{torchrun if 'TORCHELASTIC_RUN_ID' in os.environ else ''}deconvnet {typed}"
