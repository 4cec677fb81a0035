"""Processes that read a data set: started, asked, and ended however a run ends."""

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
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from deconvnet.data.factories import FileModules

from .file_positions import own_positions
from .signals import ASKING

T = TypeVar("T")


class ReaderDied(RuntimeError):
    """A process that reads images has died."""


def ignore_interrupts(worker: int) -> None:
    """Ctrl-C goes to every process of a terminal; it is the parent's to answer, and to end us."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def outlive_signals(worker: int) -> None:
    """The parent finishes its microbatch after a signal to the whole job, and ends us then.

    The second SIGTERM ends this process: the first may have been sent to the job by a cluster.
    """

    def ignore_once(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGINT, *ASKING):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, ignore_once)


class Handed(Dataset[Any]):
    """A data set with what a new process needs to understand it; subclasses say what is read.

    Attributes are pickled in their order: the files of factories are imported in the new process
    before the data set, whose classes they define, is unpickled.
    """

    def __init__(self, dataset: Any) -> None:
        self.files = FileModules()
        self.dataset = dataset


@contextmanager
def reading(
    handed: Handed,
    groups: Iterable[Sequence[int]],
    collate: Callable[[Sequence[Any]], Any],
    *,
    workers: int,
    signals: Callable[[int], None],
) -> Iterator[Iterator[Any]]:
    """Read groups of items in order; all readers have ended when this is left, however it is left.

    Args:
        handed: the data set.
        groups: the indices of each group.
        collate: makes of the items of a group what the reader sends.
        workers: how many processes read ahead; 0: this one reads.
        signals: called in each reader when it starts: ``ignore_interrupts``, ``outlive_signals``.

    Raises:
        ReaderDied: a reader has died.
        RuntimeError: it cannot be started, or the data set cannot be handed to it.
        ValueError: new processes are not forked, and the data set's class is in no file.
    """
    if workers:
        _check_importable(handed.dataset)
    loader: DataLoader[Any] = DataLoader(
        handed,
        batch_sampler=map(list, groups),
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=partial(_begin, signals),
        generator=torch.Generator(),  # else it takes a number from the user's
    )
    before, batches = multiprocessing.active_children(), None
    try:
        with readers_die(), _handed_over():
            batches = iter(loader)
        yield _received(batches, workers)
    finally:
        _end(batches, before)


def ask(
    question: Callable[[Any], T],
    dataset: Any,
    *,
    signals: Callable[[int], None] = ignore_interrupts,
) -> T:
    """Call a function on a data set in a reader of its own; this process leaves the data set alone.

    Args:
        question: a function at the top level of a module; what it returns is sent back.
        dataset: its argument.
        signals: what the reader does about signals, see ``reading``.

    Raises:
        Whatever the function raises; ReaderDied, RuntimeError: as ``reading``.
    """
    handed = _Asked(dataset, question)
    with reading(handed, [[0]], _first, workers=1, signals=signals) as answers:
        answer = next(answers)
    if isinstance(answer, Exception):
        raise answer
    found: T = answer
    return found


class _Asked(Handed):
    """Its one item is the answer to a question, or the exception that was raised instead."""

    def __init__(self, dataset: Any, question: Callable[[Any], Any]) -> None:
        super().__init__(dataset)
        self.question = question

    def __getitem__(self, index: int) -> Any:
        try:
            return self.question(self.dataset)
        except Exception as error:
            try:
                pickle.loads(pickle.dumps(error))
            except Exception:  # a class of the user's may need more than its message
                return RuntimeError(f"{type(error).__name__}: {error}")
            return error


def _first(items: Sequence[Any]) -> Any:
    return items[0]


def _received(batches: Iterator[Any], workers: int) -> Iterator[Any]:
    """What the readers send, with their deaths in our words."""
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
    """What a reader does first."""
    signals(worker)
    own_positions()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """PyTorch's readers notice only between two groups that their parent is gone."""
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
    """Say in our words when a reader dies.

    PyTorch tells of it from a signal handler, so at any line: around all work with microbatches.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error) or isinstance(error, ReaderDied):
            raise
        raise _died(error) from error


@contextmanager
def _handed_over() -> Iterator[None]:
    """Say in our words that a data set cannot be pickled."""
    try:
        yield
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise RuntimeError(
            f"the data set cannot be handed to other processes ({error}); define its classes and "
            "functions at the top level of a module that can be imported, or use workers=0"
        ) from error


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
    """How new processes are started; asking for it leaves it open to be set."""
    methods = multiprocessing.get_all_start_methods()
    return multiprocessing.get_start_method(allow_none=True) or methods[0]


def _check_importable(dataset: Any) -> None:
    """New processes that are not forked know of ``__main__`` only what is in its file."""
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
    """The script that new processes run again from its first line to its last; empty if none."""
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
