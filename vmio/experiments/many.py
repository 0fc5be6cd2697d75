"""The same experiment at many points, on all cores of this machine or on a cluster: a sweep.

    kept = {}
    results = many.run(experiment, points, kept)        # in the order of the points, whichever ends first

Points don't know of each other, so a sweep is cut between any two of them ("embarrassingly parallel"), and nothing else has to
be decided here: who runs what is settled by Python's own pool of processes (concurrent.futures), or by a Dask client that is
given.  `kept` has what is done, {point: result}.  A sweep that was stopped goes on from there when it is called again with it.
"""

import os
import pickle
import signal
import sys
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, as_completed
from contextlib import closing, contextmanager
from typing import Protocol, TypeVar

from vmio import progress

Point = TypeVar("Point", bound=Hashable)
Result = TypeVar("Result")


class Client(Protocol):
    """A cluster, as `dask.distributed.Client` is one."""

    def get_executor(self) -> Executor:
        """Return the cluster in the form of a pool."""


def run(experiment: Callable[[Point], Result], points: Iterable[Point], kept: dict[Point, Result] | None = None, *,
        workers: int | None = None, client: Client | None = None, what: str = "") -> list[Result]:
    """Return what `experiment` gives at each of `points`, in their order; a point that is there twice is run once.

    `kept` is filled as results come, and what is in it is not run again.  `workers` is the number of processes, as many as there
    are cores unless given; with a `client` its cluster runs them.  `what` names the bar, if it takes long enough for one.

    Whatever stops it, `kept` has what was done: Ctrl-C, an error of the experiment, which comes as it is with the point noted, or
    a ValueError for a worker that has died or a cluster that is not there.
    """
    points, kept = list(points), {} if kept is None else kept
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}; a sweep needs at least 1.")
    if client is not None and not hasattr(client, "get_executor"):
        raise ValueError(f"client is {client!r}; it must be a Client of dask.distributed.")
    open_points = [point for point in dict.fromkeys(points) if point not in kept]
    workers = min(workers or cores(), len(open_points))
    with progress.bar(len(open_points), what) as step:
        if client is None and (workers < 2 or not _can_leave(experiment, open_points)):
            ended = _here(experiment, open_points)
        else:
            ended = _elsewhere(experiment, open_points, workers, client)
        with closing(ended):
            for point, result in ended:
                if isinstance(result, BaseException):
                    raise result
                kept[point] = result
                step()
    return [kept[point] for point in points]


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _at(experiment: Callable[[Point], Result], point: Point) -> Result | BaseException:
    """What comes of one point.  An error is handed back, not raised: what a pool raises is then always the pool's own."""
    try:
        return experiment(point)
    except Exception as error:  # noqa: BLE001  # it is raised where the sweep was called
        error.add_note(f"at the point {point!r}")
        return error


def _here(experiment: Callable[[Point], Result], points: Sequence[Point]) -> Generator[tuple[Point, Result | BaseException], None, None]:
    """Yield each point with what came of it, in their order."""
    for point in points:
        yield point, _at(experiment, point)


def _elsewhere(experiment: Callable[[Point], Result], points: Sequence[Point], workers: int,
               client: Client | None) -> Generator[tuple[Point, Result | BaseException], None, None]:
    """Yield each point with what came of it, as they end; then, if some were lost with who ran them, ValueError in one sentence."""
    done, lost = 0, None
    try:
        with _pool(workers, client) as pool:
            running = _begun(pool, experiment, points)
            for future in as_completed(running):
                if (broken := future.exception()) is not None:
                    lost = broken               # others may have ended well before it
                    continue
                done += 1
                yield running[future], future.result()
    except Exception as error:  # noqa: BLE001  # whatever a cluster's library raises
        lost = error
    if lost is not None:
        who = "a worker process has died" if isinstance(lost, BrokenExecutor) else "the workers can't be reached, or can't run it"
        why = f" ({type(lost).__name__}: {lost})".splitlines()[0]
        raise ValueError(f"{who}{why}; {len(points) - done} of {len(points)} points are still to do: run it again with the same `kept` "
                         f"to go on with them.") from lost


def _begun(pool: Executor, experiment: Callable[[Point], Result], points: Sequence[Point]) -> dict[Future, Point]:
    """Hand all points over, in a thread of its own.

    A signal interrupts the main thread.  In the middle of a process's start it would leave half a process, which complains on
    its own; and one that has just started must not take the Ctrl-C that was meant for us before it knows how (`_work_quietly`).
    """
    from concurrent.futures import ThreadPoolExecutor

    def begin() -> dict[Future, Point]:
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})       # of this thread, and so of what it starts
        return {pool.submit(_at, experiment, point): point for point in points}
    with ThreadPoolExecutor(1) as starter:
        return starter.submit(begin).result()


def _work_quietly() -> None:
    """In a worker: end at Ctrl-C, without a word."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


@contextmanager
def _pool(workers: int, client: Client | None) -> Iterator[Executor]:
    """A pool that nobody waits for: what is under way when the sweep is stopped ends by itself, and what is not is never begun.

    Processes are begun anew ("spawn"), as on Windows and macOS: a fork would copy the locks of a notebook's threads.
    """
    pool = client.get_executor() if client else _processes(workers)
    try:
        yield pool
    finally:
        if client:
            pool.shutdown(wait=False)           # Dask's cancels what is open
        else:
            pool.shutdown(wait=False, cancel_futures=True)


def _processes(workers: int) -> Executor:
    """A pool of this machine's processes.  What makes it is imported here: a browser's Python has no such modules."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context
    return ProcessPoolExecutor(workers, get_context("spawn"), initializer=_work_quietly)


def _can_leave(experiment: Callable[[Point], Result], points: Sequence[Point]) -> bool:
    """Whether other processes can have it: there are some, this is none of them, and they find it under its name.

    What a notebook's cell defines can't be imported by anybody else, so it runs here.
    """
    if sys.platform == "emscripten":
        return False
    from multiprocessing import parent_process
    if parent_process() is not None:
        return False
    try:
        sent = pickle.dumps((experiment, points))
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
    return b"__main__" not in sent or hasattr(sys.modules["__main__"], "__file__")
