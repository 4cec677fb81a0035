"""Find each unit's top-k images in one pass over a dataset."""

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
from deconvnet.data.pictures import Prepares
from deconvnet.data.resolve import UNKNOWN, anchored, given_dataset, known_preprocessing
from deconvnet.graph.modes import plain
from deconvnet.mining.progress import reporting
from deconvnet.mining.run.bad_images import DEFAULT, Limit, TooManyBad
from deconvnet.mining.run.job import Job, Settings
from deconvnet.mining.run.minable_layers import minable
from deconvnet.mining.run.readers import ReaderDied, ignore_interrupts, outlive_signals
from deconvnet.mining.run.sharding import Shard
from deconvnet.mining.run.worker import Reporter, Unfinished, Work
from deconvnet.net import DeconvNet
from deconvnet.store.format import check_attributes
from deconvnet.store.store import Store

__all__ = ["ReaderDied", "Reporter", "Source", "TooManyBad", "Unfinished", "minable", "mine"]

_UNSTATED = (
    'the store records the preprocessing of its images as "unknown", since neither the call nor '
    "the data set states it; state it with --mean and --std, mine(preprocessing=...) or an "
    "attribute preprocessing of the data set, or state it for each figure"
)


@dataclass(frozen=True)
class Source:
    """Where model and data set come from, as the command line names them; recorded in the store.

    Args:
        model: model spec, such as "torchvision:vgg16".
        weights: file or name of the weights.
        dataset: folder, or "package.module:factory".
        transform: the preprocessing, or its JSON.

    Raises:
        TypeError: something that is neither text nor a path.
        ValueError: a text that is too long for a store (60,000 bytes), or holds a NUL.
    """

    model: str | PathLike[str] = ""
    weights: str | PathLike[str] = ""
    dataset: str | PathLike[str] = ""
    transform: str | Prepares = ""

    def __post_init__(self) -> None:
        if isinstance(self.transform, Prepares):
            object.__setattr__(self, "transform", self.transform.to_json())
        for name, given in vars(self).copy().items():
            if not isinstance(given, str | PathLike):
                raise TypeError(
                    f"Source({name}={given!r}) was given, expected text or a path: it is written "
                    "into the store"
                )
            object.__setattr__(self, name, fsdecode(given))
        check_attributes(vars(self))


@plain()
def mine(
    model: nn.Module | DeconvNet,
    dataset: Any,
    path: str | PathLike[str],
    layers: str | nn.Module | Sequence[str | nn.Module] | None = None,
    k: int = 9,
    batch_size: int = 64,
    *,
    lowest: int = 0,
    sample: int = 0,
    rank: str = "max",
    random_state: int = 0,
    directions: Mapping[str | nn.Module, Any] | None = None,
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
    progress: bool = True,
) -> Store:
    """Find the k images that excite each unit of each layer most, and write them to a store.

    Exact: the table is what a full sort of all activations would give, with one entry for each
    image and channel; ties by image index, then by the first position in row-major order. All
    layers are served by one pass over the data set. The store appears whole or not at all.

    Runs that take longer than ``save_every`` keep their progress in a folder ``<path>.parts``
    until the store is written. With ``resume=True`` a later call resumes from there, and several
    processes divide the work: each writes its own part, none waits for another, the last one
    writes the store. For one batch shape, number of threads, kind of processor and version of
    PyTorch the store has the same bytes whatever the number of processes and of interruptions.
    Two calls that do the same work at once do it twice, and harm nothing.

    Args:
        model: any module that takes images, or its DeconvNet; it comes back as it was.
        dataset: map-style, with ``len`` and ``[i]``; an item is a preprocessed float tensor
            (channels, *size), of one, two or three axes, or a tuple that starts with one, and the
            same each time it is read. Or the path of a folder or list of images, or another DATA
            of the command line.
        path: the HDF5 file to write.
        layers: node names or modules, one or several; by default every convolution, linear
            layer, activation and join.
        k: how many images to keep for each channel.
        batch_size: images in one forward pass, at most the whole data set; the last bits of the
            result depend on it.
        lowest: how many images to keep besides for each channel, those with the smallest minimum
            over positions, ascending. Those of a rectifier, which are all 0, are of the layer
            that feeds it; the store says so.
        sample: how many images to draw at random, the same for all channels, whose activations
            are kept too: those with the smallest hash of ``random_state`` and their index. So the
            sample does not depend on the order of mining; an image that cannot be used is
            replaced by that of the next hash.
        rank: "max": images are ranked by their strongest position; "mean": by the mean over
            positions. The position is that of the maximum in both cases (of the lowest: of the
            minimum).
        random_state: which images are drawn.
        directions: {layer: (directions, channels)}, such as concept vectors, or (channels,) for
            one, real numbers; of layers that are mined. The response of a direction, at each
            position the sum over channels of direction times map, is mined as if it were one more
            channel: ``store[layer].directions["given"]``. Its lowest are those of the layer itself,
            a rectifier too, since a response has either sign.
        source: where model and data set come from, recorded in the store.
        preprocessing: makes tensors of images, where the data set is given as a path: a
            ``Preprocessing``, or torchvision's weights; by default ``model.preprocessing``. For
            other data sets it is only recorded.
        workers: processes that read images ahead; no other process reads the data set then.
        strict: stop at the first unreadable image; else they are recorded and left out.
        max_bad: how many may be unreadable: a share of the data set ("1%", 0.01; at least one
            image), or a number of images (20). Where there are more, the rest is read without
            being run, so that the error names every one.
        nan: "skip": activations that are NaN are left out and counted, with a warning; "error":
            they stop the run.
        report: called after every microbatch, with the images that this call has done, of those
            that it has to do.
        resume: True: resume unfinished work, and return a finished store of the same run as it
            is. None: do everything, and replace a store that was there, but refuse to drop
            unfinished work, or a file that is no store. False: drop these too.
        save_every: seconds between two checkpoints; more where writing one takes long.
        shard: (index, count): which of several processes this is; needs ``resume=True``.
        discard_groups: replace a store also if groups or datasets were added to it, which are
            lost then.
        threads: of the CPU, on which the last bits of fully connected layers depend; by default
            those of the unfinished work, else as PyTorch is set.
        stop: called after every microbatch; True: keep what is done and raise ``Unfinished``.
        tell: called with a sentence about the files of a folder that were passed over, and about
            work that is done already. Without it there is a warning of files that Pillow could
            read, or that have no suffix.
        check: compare the values of the graph with the model's own, on the first microbatch.
        progress: show a bar after a second, if there is no ``report``.

    Returns:
        The store, opened. It remembers the model and the data set as long as this process lives.

    Raises:
        KeyError: no such layer.
        TypeError: the data set is not map-style, its items are no such tensors, a number is no
            integer, or directions are no real numbers.
        ValueError: directions do not fit their layer, or are zero or not finite; the images do not
            fit the model, or each other, or differ when read again; the
            data set reads from a file that was open before its readers started; what stands at
            ``path`` is of another run (the message shows both settings), or is unfinished or no
            store, and ``resume`` was not given.
        TooManyBad: too many images are unreadable; its ``failed`` lists them. A ValueError.
        ReaderDied: a process that reads images has died. A RuntimeError.
        Unfinished: ``stop`` said so, or other shards are not done.
        UntraceableError: the graph of the model cannot be read.
        OSError: the store, or a checkpoint, cannot be written; whatever was there before is
            intact.
    """
    path = expanded(path)
    index, count = (integer("shard", number) for number in shard)
    own = Shard(index, count)
    if not save_every >= 0:
        raise ValueError(f"save_every={save_every} was given, expected seconds, 0 or more")
    if count > 1 and not resume:
        raise ValueError(
            f"shard {own} was given with resume={resume}, expected resume=True: without it no "
            "process uses the work of the others; to start over, remove the folder of parts first"
        )
    settings = Settings(
        k=k,
        batch_size=batch_size,
        lowest=lowest,
        sample=sample,
        rank=rank,
        random_state=random_state,
        nan=nan,
        threads=threads,
        workers=workers,
        limit=Limit(max_bad, strict),
        check=check,
        directions=directions,
    )
    source = source or Source()
    if isinstance(dataset, str | PathLike):
        source = replace(source, dataset=source.dataset or anchored(fspath(dataset)))
    dataset = given_dataset(dataset, preprocessing=preprocessing, model=model)
    model = model.model if isinstance(model, DeconvNet) else model
    if preprocessing is not None and not source.transform:
        known = known_preprocessing(preprocessing)
        source = replace(source, transform=known or "")
    work: Work | None = None
    try:
        job = Job.of(
            model,
            dataset,
            layers,
            settings=settings,
            told=asdict(source),
            signals=ignore_interrupts if stop is None else outlive_signals,
        )
        work = Work(job, Path(path), own, discard_groups=discard_groups)
        store = work.begin(resume=resume, adapt=threads is None)
        if store is not None:
            if tell is not None:
                tell(f"{fspath(path)} is finished already, from the same run: nothing was done")
            return replace(store, mined_from=(model, dataset))
        check_writable(path)
        _tell_passed_over(dataset, tell)
        if tell is not None and job.request.attributes["transform"] == UNKNOWN:
            tell(_UNSTATED)
        with reporting(report, "mining", progress=progress) as told:
            store = work.run(save_every=save_every, report=told, stop=stop, tell=tell)
        return replace(store, mined_from=(model, dataset))
    except ReaderDied:  # of the signal that we were sent too
        if stop is None or not stop():
            raise
        if work is not None:
            raise work.unfinished(stopped=True) from None
        nothing = "mining was stopped before anything was done"
        raise Unfinished(nothing, done=0, images=len(dataset), stopped=True) from None


def _tell_passed_over(dataset: Any, tell: Callable[[str], object] | None) -> None:
    passed: Mapping[str, int] = getattr(dataset, "passed_over", {})
    if passed and tell is not None:
        tell(said_of(passed))
    elif passed and may_be_images(passed):
        warnings.warn(f"{said_of(passed)}; rename them, or give a list of files", stacklevel=4)
