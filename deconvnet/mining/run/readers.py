"""Start and end the processes that read a data set, and explain their failures."""

from __future__ import annotations

import ast
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar, cast

import torch
from torch.utils.data import DataLoader, Dataset

from deconvnet.data.factories import FileModules

from .file_positions import own_positions
from .signals import ASKING

T = TypeVar("T")


class ReaderDied(RuntimeError):
    """A process that reads images has died."""


def ignore_interrupts(worker: int) -> None:
    """Ignore Ctrl-C, which a terminal sends to all its processes: the parent ends this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def outlive_signals(worker: int) -> None:
    """Survive a signal to the whole job, so that the parent can finish its microbatch.

    The second SIGTERM ends this process: a cluster may have sent the first to the whole job.
    """

    def ignore_once(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGINT, *ASKING):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, ignore_once)


class Handed(Dataset[Any]):
    """A data set as it is sent to a new process; subclasses say what is read for a group.

    Attributes are unpickled in order: the files of factories are imported in the new process
    before the data set, whose classes they define.
    """

    def __init__(self, dataset: Any) -> None:
        self.files = FileModules()
        self.dataset = dataset


@contextmanager
def reading(
    handed: Handed,
    groups: Iterable[Sequence[int]],
    *,
    workers: int,
    signals: Callable[[int], None],
) -> Iterator[Iterator[Any]]:
    """Read groups of indices in order; on leaving, also by an exception, all readers are ended.

    A reader sends what ``handed`` gives for a whole group. With ``workers=0`` this process reads;
    else ``signals`` is called in each reader when it starts: ``ignore_interrupts`` or
    ``outlive_signals``.

    Raises:
        ReaderDied: a reader has died.
        RuntimeError: it cannot be started, or the data set cannot be handed to it.
        ValueError: new processes are not forked, and the data set's class is in no file.
    """
    if workers:
        _check_importable(handed.dataset)
    loader: DataLoader[Any] = DataLoader(
        handed,
        batch_size=None,
        sampler=map(list, groups),
        num_workers=workers,
        collate_fn=_as_it_is,
        worker_init_fn=partial(_begin, signals),
        generator=torch.Generator(),  # else it takes a number from the user's
    )
    before, batches = multiprocessing.active_children(), None
    try:
        try:
            with readers_die():
                batches = iter(loader)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise RuntimeError(
                f"the data set cannot be handed to other processes ({error}); define its classes "
                "and functions at the top level of a module that can be imported, or use workers=0"
            ) from error
        yield _received(batches, workers)
    finally:
        _end(batches, before)


def _as_it_is(made: T) -> T:
    return made


def ask(
    question: Callable[[Any], T],
    dataset: Any,
    *,
    signals: Callable[[int], None] = ignore_interrupts,
) -> T:
    """Call a function on a data set in a new reader, and return or raise what it does there.

    The function stands at the top level of a module; this process does not touch the data set.
    """
    handed = _Asked(dataset, question)
    with reading(handed, [[0]], workers=1, signals=signals) as answers:
        answer = next(answers)
    if isinstance(answer, Exception):
        raise answer
    return cast(T, answer)


class _Asked(Handed):
    """All that it gives is the answer to a question, or the exception that was raised instead."""

    def __init__(self, dataset: Any, question: Callable[[Any], Any]) -> None:
        super().__init__(dataset)
        self.question = question

    def __getitem__(self, group: Sequence[int]) -> Any:
        try:
            return self.question(self.dataset)
        except Exception as error:
            try:
                pickle.loads(pickle.dumps(error))
            except Exception:  # a class of the user's may need more than its message
                return RuntimeError(f"{type(error).__name__}: {error}")
            return error


def _received(batches: Iterator[Any], workers: int) -> Iterator[Any]:
    """What the readers send."""
    while True:
        with readers_die():
            try:
                batch = next(batches)
            except StopIteration:
                return
            except (OSError, EOFError) as error:
                # our own data sets' are reasons by now; this one comes from talking to a reader
                if not workers or "Caught " in str(error):
                    raise
                raise _died(error) from error
        yield batch


def _begin(signals: Callable[[int], None], worker: int) -> None:
    signals(worker)
    own_positions()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """PyTorch's readers notice only between two groups that their parent has died."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _end(batches: Iterator[Any] | None, before: Sequence[Any]) -> None:
    """End the readers: asked to finish first, then killed."""
    processes = list(getattr(batches, "_workers", ()))
    if batches is None:  # one of them could not be started; those before it were
        processes = [child for child in multiprocessing.active_children() if child not in before]
    # PyTorch ends its readers when the last reference goes, which a traceback may hold for ever
    shut_down = getattr(batches, "_shutdown_workers", None)
    try:
        if shut_down is not None:
            shut_down()
    finally:
        for process in processes:
            with suppress(ValueError):  # it has been closed
                if process.is_alive():
                    process.kill()
                    process.join()


@contextmanager
def readers_die() -> Iterator[None]:
    """Raise ``ReaderDied`` when a reader dies; around all work with microbatches.

    PyTorch raises from a signal handler, so at any line.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error) or isinstance(error, ReaderDied):
            raise
        raise _died(error) from error


def _died(error: BaseException) -> ReaderDied:
    said = " ".join(str(error).split())
    script = _unguarded_script()
    if script:
        return ReaderDied(
            f"a process that reads images has died ({said}): with the start method "
            f"{_start_method()!r} each reader runs {script!r} again, which has "
            'no line `if __name__ == "__main__":`; put what it calls under such a line, or use '
            "workers=0"
        )
    return ReaderDied(
        f"a process that reads images has died ({said}); what it printed stands above; where it "
        "printed nothing it may have been out of memory: use fewer workers, or none"
    )


def _start_method() -> str:
    """How new processes are started; ``allow_none`` leaves it open to be set later."""
    methods = multiprocessing.get_all_start_methods()
    return multiprocessing.get_start_method(allow_none=True) or methods[0]


def _check_importable(dataset: Any) -> None:
    """A process that is not forked cannot import classes of a ``__main__`` without a file."""
    if _start_method() == "fork" or getattr(sys.modules.get("__main__"), "__file__", None):
        return
    left, seen = [dataset], []
    while left:
        one = left.pop()
        seen.append(one)
        kind = type(one)
        if kind.__module__ == "__main__":
            raise ValueError(
                f"the class {kind.__name__} of the data set is defined in a notebook or an "
                f"interactive session; with the start method {_start_method()!r} a process that "
                "reads cannot import it: write it to a file and import it, or use workers=0"
            )
        # of a Subset, say, or a ConcatDataset
        inner = [getattr(one, "dataset", None), *(getattr(one, "datasets", None) or ())]
        left += [each for each in inner if all(each is not other for other in [None, *seen])]


def _unguarded_script() -> str:
    """The script that new processes run again, having no ``__main__`` guard; empty if none."""
    main = sys.modules.get("__main__")
    script = str(getattr(main, "__file__", None) or "")
    if _start_method() == "fork" or getattr(main, "__spec__", None) is not None:
        return ""
    try:
        tree = ast.parse(Path(script).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ""
    tests = [node.test for node in tree.body if isinstance(node, ast.If)]
    names = {name.id for test in tests for name in ast.walk(test) if isinstance(name, ast.Name)}
    return "" if "__name__" in names else script
