"""A data set is run once; the images that excite each unit most are kept."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from os import PathLike, fsdecode, fspath
from pathlib import Path
from typing import Any

from torch import nn

from deconvnet.arguments import expanded, integer
from deconvnet.atomic import check_writable
from deconvnet.data.image_folder import may_be_images, said_of
from deconvnet.data.preprocessing import Preprocessing
from deconvnet.data.resolve import given_dataset, known_preprocessing
from deconvnet.data.specs import anchored
from deconvnet.graph.modes import ordinarily
from deconvnet.mining.run.bad_images import DEFAULT, Limit, TooManyBad
from deconvnet.mining.run.job import Job
from deconvnet.mining.run.minable_layers import minable
from deconvnet.mining.run.readers import ReaderDied, ignore_interrupts, outlive_signals
from deconvnet.mining.run.sharding import Shard
from deconvnet.mining.run.worker import Reporter, Unfinished, Work
from deconvnet.store.format import check_attributes
from deconvnet.store.store import Store

__all__ = ["ReaderDied", "Reporter", "Source", "TooManyBad", "Unfinished", "minable", "mine"]


_ROUNDS = 3  # of a process that is alone, should an earlier one of the same run still be at work


@dataclass(frozen=True)
class Source:
    """Where model and data set come from, in words that rebuild them; goes into the store.

    Paths may be given as such, and a ``Preprocessing`` for the transform; all become text.

    Args:
        model: model spec, such as "torchvision:vgg16".
        weights: file or name of the weights.
        dataset: folder, or "package.module:factory".
        transform: the preprocessing as JSON.

    Raises:
        TypeError: something that is no text, nor a path.
        ValueError: a text that is too long for a store (60,000 bytes), or holds a NUL.
    """

    model: str | PathLike[str] = ""
    weights: str | PathLike[str] = ""
    dataset: str | PathLike[str] = ""
    transform: str | Preprocessing = ""

    def __post_init__(self) -> None:
        if isinstance(self.transform, Preprocessing):
            object.__setattr__(self, "transform", self.transform.to_json())
        for name, given in vars(self).copy().items():
            if not isinstance(given, str | PathLike):
                raise TypeError(
                    f"Source({name}={given!r}) was given, expected text or a path: it is written "
                    "into the store"
                )
            object.__setattr__(self, name, fsdecode(given))
        check_attributes(vars(self))


@ordinarily
def mine(
    model: nn.Module,
    dataset: Any,
    path: str | PathLike[str],
    layers: str | nn.Module | Sequence[str | nn.Module] | None = None,
    k: int = 9,
    batch_size: int = 64,
    *,
    source: Source | None = None,
    preprocessing: Any = None,
    workers: int = 0,
    strict: bool = False,
    max_bad: str | float = DEFAULT,
    nan: str = "skip",
    report: Reporter | None = None,
    resume: bool | None = None,
    save_every: float = 30.0,
    shard: tuple[int, int] = (0, 1),
    discard_groups: bool = False,
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
    the last one writes the store. For one batch shape, number of threads, kind of processor
    and version of PyTorch the store has the same bytes whatever the number of processes and of
    interruptions. Two calls that do the same work at once do it twice, and that is all.

    Args:
        model: any module that takes images; it comes back as it was.
        dataset: map-style, ``len`` and ``[i]``; an item is a float tensor (channels, height,
            width), preprocessed, or a tuple that starts with one; the same whenever it is read.
            Or the path of a folder of images or of a list of them, or another word of the
            command line.
        path: the HDF5 file to write.
        layers: node names or modules, one or several; by default every convolution, linear
            layer, activation and join.
        k: how many images to keep for each channel.
        batch_size: images run at once, at most the whole data set; part of what a result depends
            on in its last bits.
        source: what to write down of where model and data set come from.
        preprocessing: makes tensors of images, where the data set is given as a path: a
            ``Preprocessing``, or torchvision's weights; by default ``model.preprocessing``. Of
            other data sets it says what was applied, and is written down.
        workers: processes that read images ahead; the data set is then read in none but these.
        strict: stop at the first unreadable image; else they are written down and left out.
        max_bad: how many may be unreadable: a share of the data set ("1%", 0.01; at least one
            image), or a number of images (20). Where there are more, the rest is read without
            being run, so that the error names every one.
        nan: activations that are NaN are left out and counted ("skip", with a warning), or stop
            the run ("error").
        report: called after every microbatch, with the images that this call has done, of those
            that it has to do.
        resume: True: go on with unfinished work, and return a finished store of the same run as
            it is. None: do everything, and replace a store that was there; but unfinished work,
            or a file that is no store, is not dropped without a word. False: it is.
        save_every: seconds between two checkpoints; more where one takes long.
        shard: (index, count): which of several processes this is; needs ``resume=True``.
        discard_groups: a store that is replaced may hold groups and datasets that were added to
            it, which are lost then; by default that is refused.
        threads: of the CPU, which the last bits of fully connected layers depend on; by default
            as many as unfinished work was begun with, else as PyTorch is set.
        stop: asked after every microbatch; true: keep what is done and raise ``Unfinished``.
        check: hold the values of the graph against the model's own, on the first microbatch.
        tell: told in a sentence which files of a folder were passed over, and what is there
            already, if anything is. Without it there is a warning of files that Pillow could
            read, or that have no suffix.

    Returns:
        The store, opened.

    Raises:
        KeyError: no such layer.
        TypeError: the data set is not map-style, its items are no such tensors, or a number is no
            integer.
        ValueError: the images do not fit the model, or each other, or are others when read again;
            the data set reads from a file that was open before its readers started; what stands
            at ``path`` is of another model, data set, preprocessing, k, choice of layers, batch
            shape, precision or treatment of NaN: the message shows both; or it is unfinished or
            no store, and ``resume`` was not given.
        TooManyBad: too many images are unreadable; its ``failed`` lists them. A ValueError.
        ReaderDied: a process that reads images has died. A RuntimeError.
        Unfinished: ``stop`` said so, or other shards are not done.
        UntraceableError: the graph of the model cannot be read.
        OSError: the store, or a checkpoint, cannot be written; whatever was there before is
            intact.
    """
    path = expanded(path)
    index, count = shard
    own = Shard(integer("shard", index), integer("shard", count))
    k, batch_size = integer("k", k), integer("batch_size", batch_size)
    threads = threads if threads is None else integer("threads", threads)
    _check(k, batch_size, resume=resume, save_every=save_every, shard=own, threads=threads)
    Limit(max_bad)  # a wrong one is told before any image is read
    told = source or Source()
    if isinstance(dataset, str | PathLike):
        told = replace(told, dataset=told.dataset or anchored(fspath(dataset)))
    dataset = given_dataset(dataset, preprocessing=preprocessing, model=model)
    if preprocessing is not None and not told.transform:
        known = known_preprocessing(preprocessing)
        told = replace(told, transform=known.to_json() if known else "")
    try:
        job = Job.of(
            model,
            dataset,
            layers=layers,
            k=k,
            batch_size=batch_size,
            nan=nan,
            threads=threads,
            told=asdict(told),
            workers=workers,
            strict=strict,
            max_bad=max_bad,
            check=check,
            signals=ignore_interrupts if stop is None else outlive_signals,
        )
    except ReaderDied:  # of the signal that we were sent too
        if stop is None or not stop():
            raise
        nothing = "mining was stopped before anything was done"
        raise Unfinished(nothing, done=0, images=len(dataset), stopped=True) from None
    work = Work(job, Path(path), own, discard_groups=discard_groups)
    store, begun = work.begin(resume=resume, adapt=threads is None)
    if store is not None:
        if tell is not None:
            tell(f"{fspath(path)} is finished already, from the same run: nothing was done")
        return store
    if begun and tell is not None:
        done = sum(part.seen for part in begun)
        tell(f"going on: {done} of {len(dataset)} images are done already")
    check_writable(path)
    _tell_passed_over(dataset, tell)
    for _ in range(1 if own.count > 1 else _ROUNDS):
        miner = work.go_on(begun, save_every=save_every, report=report, stop=stop)
        try:
            store = work.finish(miner)
        except ReaderDied:
            if stop is None or not stop():
                raise
            raise work.unfinished(miner, stopped=True) from None
        if store is not None:
            return store
        begun = work.again()
    raise work.unfinished(miner, stopped=False)


def _tell_passed_over(dataset: Any, tell: Callable[[str], object] | None) -> None:
    passed: Mapping[str, int] = getattr(dataset, "passed_over", {})
    if passed and tell is not None:
        tell(said_of(passed))
    elif passed and may_be_images(passed):
        warnings.warn(f"{said_of(passed)}; rename them, or give a list of files", stacklevel=4)


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
