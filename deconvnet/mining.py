"""A data set is run once; the images that excite each unit most are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from torch import nn

from deconvnet.atomic import check_writable
from deconvnet.integers import integer
from deconvnet.ordinary import ordinarily
from deconvnet.runs.choosing import minable
from deconvnet.runs.job import Job
from deconvnet.runs.shards import Shard
from deconvnet.runs.working import Reporter, Unfinished, Work
from deconvnet.stores.store import Store

__all__ = ["Reporter", "Source", "Unfinished", "minable", "mine"]


_ROUNDS = 3  # of a process that is alone, should an earlier one of the same run still be at work


@dataclass(frozen=True)
class Source:
    """Where model and data set come from, in words that rebuild them; goes into the store.

    Args:
        model: model spec, such as "torchvision:vgg16".
        weights: file or name of the weights.
        dataset: folder, or "package.module:factory".
        transform: the preprocessing as JSON.
    """

    model: str = ""
    weights: str = ""
    dataset: str = ""
    transform: str = ""


@ordinarily
def mine(
    model: nn.Module,
    dataset: Any,
    path: str | PathLike[str],
    layers: Sequence[str | nn.Module] | None = None,
    k: int = 9,
    batch_size: int = 64,
    *,
    source: Source | None = None,
    workers: int = 0,
    strict: bool = False,
    nan: str = "skip",
    report: Reporter | None = None,
    resume: bool | None = None,
    save_every: float = 30.0,
    shard: tuple[int, int] = (0, 1),
    threads: int | None = None,
    stop: Callable[[], bool] | None = None,
    tell: Callable[[str], object] | None = None,
    check: bool = True,
) -> Store:
    """Find the k images that excite each unit of each layer most, and write them to a store.

    Exact: the table is what a full sort of all activations would give, one entry an image and
    channel, ties by image index, then by the first position in row-major order. All layers are
    served by one pass over the data set. The store appears whole or not at all.

    Longer runs leave what they have done in a folder ``<path>.parts``, again and again, until the
    store is written. With ``resume`` a later call goes on from there, whatever ended the earlier
    one, and several processes share the work: each writes its own part, none waits for another,
    the last one writes the store. For one batch shape, number of threads, kind of machine and
    version of PyTorch the store has the same bytes whatever the number of processes and of
    interruptions. Two calls that do the same work at once do it twice, and that is all.

    Args:
        model: any module that takes images; it comes back as it was.
        dataset: map-style, ``len`` and ``[i]``; an item is a float tensor (channels, height,
            width), preprocessed, or a tuple that starts with one; the same whenever it is read.
        path: the HDF5 file to write.
        layers: node names or modules; by default every convolution, linear layer, activation
            and join.
        k: how many images to keep for each channel.
        batch_size: images run at once, at most the whole data set; part of what a result depends
            on in its last bits.
        source: what to write down of where model and data set come from.
        workers: processes that read images ahead.
        strict: stop at the first unreadable image; else they are written down and left out, up
            to one in a hundred.
        nan: activations that are NaN are left out and counted ("skip", with a warning), or stop
            the run ("error").
        report: called after every microbatch, with the images that this call has done, of those
            that it has to do.
        resume: True: go on with unfinished work, and return a finished store of the same run as
            it is. None: do everything, and replace a store that was there; but unfinished work,
            or a file that is no store, is not dropped without a word. False: it is.
        save_every: seconds between two checkpoints; more where one takes long.
        shard: (index, count): which of several processes this is; needs ``resume=True``.
        threads: of the CPU, which the last bits of fully connected layers depend on; by default
            as many as unfinished work was begun with, else as PyTorch is set.
        stop: asked after every microbatch; true: keep what is done and raise ``Unfinished``.
        check: hold the values of the graph against the model's own, on the first microbatch.
        tell: told in a sentence what is there already, if anything is.

    Returns:
        The store, opened.

    Raises:
        KeyError: no such layer.
        TypeError: the data set is not map-style, its items are no such tensors, or a number is no
            integer.
        ValueError: the images do not fit the model, or each other, or are others when read again;
            too many are unreadable; what stands at ``path`` is of another model, data set,
            preprocessing, k, choice of layers, batch shape, precision or treatment of NaN: the
            message shows both; or it is unfinished or no store, and ``resume`` was not given.
        Unfinished: ``stop`` said so, or other shards are not done.
        UntraceableError: the graph of the model cannot be read.
        OSError: the store, or a checkpoint, cannot be written; whatever was there before is
            intact.
    """
    index, count = shard
    own = Shard(integer("shard", index), integer("shard", count))
    k, batch_size = integer("k", k), integer("batch_size", batch_size)
    threads = threads if threads is None else integer("threads", threads)
    _check(k, batch_size, resume=resume, save_every=save_every, shard=own, threads=threads)
    job = Job.of(
        model,
        dataset,
        layers=layers,
        k=k,
        batch_size=batch_size,
        nan=nan,
        threads=threads,
        told=asdict(source or Source()),
        workers=workers,
        strict=strict,
        check=check,
    )
    work = Work(job, Path(path), own)
    store, begun = work.begin(resume=resume, adapt=threads is None)
    if store is not None:
        if tell is not None:
            tell(f"{fspath(path)} is finished already, from the same run: nothing was done")
        return store
    if begun and tell is not None:
        done = sum(part.seen for part in begun)
        tell(f"going on: {done} of {len(dataset)} images are done already")
    check_writable(path)
    for _ in range(1 if own.count > 1 else _ROUNDS):
        miner = work.go_on(begun, save_every=save_every, report=report, stop=stop)
        store = work.finish(miner)
        if store is not None:
            return store
        begun = work.again()
    raise work.unfinished(miner, stopped=False)


def _check(
    k: int,
    batch_size: int,
    *,
    resume: bool | None,
    save_every: float,
    shard: Shard,
    threads: int | None,
) -> None:
    if k < 1 or batch_size < 1:
        raise ValueError(f"k={k} and batch_size={batch_size} were given; both must be at least 1")
    if threads is not None and threads < 1:
        raise ValueError(f"threads={threads} was given, expected at least 1")
    if not save_every >= 0:
        raise ValueError(f"save_every={save_every} was given, expected seconds, 0 or more")
    if shard.count > 1 and not resume:
        raise ValueError(
            f"shard {shard} was given with resume={resume}, by which no process would count on the "
            "work of the others; give resume=True, and to start over remove the folder of parts"
        )
