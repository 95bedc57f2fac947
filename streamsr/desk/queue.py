"""The queue: which jobs there are, and which comes next. Pure functions of values.

    waiting -> running -> done | failed          paused, failed and cancelled wait again when asked
       '---------'--> paused

One runs at a time, because one takes all cores. Jobs stand in the order in which they run.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any


class State(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    """Only of files in a watched folder, which would come back if they were forgotten."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """How a file looks from outside."""

    bytes: int
    mtime_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One file to upscale.

    number    unique, and never given again
    source, output  absolute paths
    options   words of the command line, as ``streamsr upscale`` takes them
    ours      the source is a copy that was dropped into the page: it goes with the job
    watched   how the source looked when it was found in a watched folder; None for other jobs
    content   of a watched file that is done: what is in it, as a ledger says it
    fresh     it is being worked on, and nothing had the output's name when it was begun: what has
              it now is this job's, where there is no ledger any more
    total     frames of the film, None as long as unknown
    done      of these, when it was last worked on
    how       the network and the engine, once begun
    error     of a failed one, as the command line says it
    said      the command's other lines
    """

    number: int
    source: str
    output: str
    options: tuple[str, ...] = ()
    state: State = State.WAITING
    ours: bool = False
    watched: Stamp | None = None
    content: str = ""
    fresh: bool = False
    total: int | None = None
    done: int = 0
    how: str = ""
    error: str = ""
    said: tuple[str, ...] = ()

    def json(self) -> dict[str, Any]:
        """JSON values; paths keep bytes that are no text as Python's ``surrogateescape`` does."""
        return asdict(self)


Jobs = tuple[Job, ...]


def job_from(entry: Any) -> Job:  # Any: JSON
    """The job that `Job.json` has written down. Raises ValueError for anything else."""
    kinds: dict[str, tuple[type, ...]] = {
        "number": (int,),
        "ours": (bool,),
        "fresh": (bool,),
        "total": (int, type(None)),
        "done": (int,),
        "watched": (dict, type(None)),
        "options": (list,),
        "said": (list,),
    }
    names = [field.name for field in fields(Job)]
    if not isinstance(entry, dict) or entry.keys() != set(names):
        raise ValueError("expected the entries of a job")
    for name in names:
        if type(entry[name]) not in kinds.get(name, (str,)):
            raise ValueError(f"{name}: not of its kind")
    words = [*entry["options"], *entry["said"]]
    if not all(isinstance(word, str) for word in words):
        raise ValueError("expected words")
    watched = entry["watched"]
    if watched is not None:
        if watched.keys() != {"bytes", "mtime_ns"} or not all(
            type(value) is int for value in watched.values()
        ):
            raise ValueError("watched: not of its kind")
        watched = Stamp(**watched)
    return Job(
        **{
            **entry,
            "options": tuple(entry["options"]),
            "said": tuple(entry["said"]),
            "state": State(entry["state"]),
            "watched": watched,
        }
    )


def next_to_run(jobs: Jobs) -> Job | None:
    """The job to begin now; None while one runs, or none waits."""
    if any(job.state is State.RUNNING for job in jobs):
        return None
    return next((job for job in jobs if job.state is State.WAITING), None)


def after_restart(jobs: Jobs) -> Jobs:
    """The queue of a program that starts: what was running when the last one ended goes first."""
    running = [replace(job, state=State.WAITING) for job in jobs if job.state is State.RUNNING]
    return (*running, *(job for job in jobs if job.state is not State.RUNNING))


def found(jobs: Iterable[Job], number: int) -> Job | None:
    """The job of this number."""
    return next((job for job in jobs if job.number == number), None)


def changed(jobs: Jobs, number: int, change: Callable[[Job], Job]) -> Jobs:
    """The same queue with this job changed; where there is none, as it was."""
    return tuple(change(job) if job.number == number else job for job in jobs)


def without(jobs: Jobs, number: int) -> Jobs:
    """The queue without this job."""
    return tuple(job for job in jobs if job.number != number)


def moved(jobs: Jobs, number: int, place: int) -> Jobs:
    """The queue with this job at another place among those that wait, are paused or run, from 0;
    beyond the last it comes last. The others keep their order."""
    job = found(jobs, number)
    if job is None:
        return jobs
    others = list(without(jobs, number))
    open_ = [at for at, other in enumerate(others) if other.state in OPEN]
    place = max(place, 0)
    at = open_[place] if place < len(open_) else (open_[-1] + 1 if open_ else len(others))
    return (*others[:at], job, *others[at:])


OPEN = frozenset({State.WAITING, State.RUNNING, State.PAUSED})
"""States of jobs that have an order."""


def paused(job: Job) -> Job:
    """The job once it is asked to rest. Raises ValueError where there is nothing to rest."""
    if job.state not in OPEN:
        raise ValueError(f"is {job.state}")
    return replace(job, state=State.PAUSED)


def waiting(job: Job) -> Job:
    """The job once it is asked to go on. Raises ValueError for one that is done."""
    if job.state is State.DONE:
        raise ValueError(f"is {job.state}")
    if job.state is State.RUNNING:
        return job
    return replace(job, state=State.WAITING, error="", said=())


def anew(job: Job) -> Job:
    """The job from its beginning. Raises ValueError while it runs, or where it is done."""
    if job.state is State.RUNNING:
        raise ValueError(f"is {job.state}")
    return replace(waiting(job), total=None, done=0, how="")


def from_start(job: Job) -> Job:
    """A job that does not run, whose file has become another: it waits, or rests, as if it were
    new."""
    state = State.PAUSED if job.state is State.PAUSED else State.WAITING
    return replace(
        job, state=state, error="", said=(), total=None, done=0, how="", content="", fresh=False
    )
