"""Reports executions, jobs and checkpoint loads from an inference process to a Plimsoll server.

One file, standard library only, Python 3.9 or later: copy it beside your code, or put its folder on PYTHONPATH.

    from plimsoll_reporter import Checkpoint, Reporter

    reporter = Reporter()  # PLIMSOLL_URL, PLIMSOLL_TOKEN, PLIMSOLL_VM, …
    with reporter.execution(model=("sdxl", "1.0"), checkpoints=[Checkpoint("LORA", "anime", "3")], user="ada") as run:
        with run.phase("inference"):
            image = pipeline(prompt)

Invariants:
- The caller is never blocked and never sees an exception of the reporter's: a call checks, encodes and enqueues, no more. One
  thread writes what was enqueued to the spool, another sends it. Bad arguments are logged once, their event is dropped and counted.
- Everything that waits has a limit, see `Limits`; what is dropped is counted and said.
- An event has one id for ever, so that sending it again changes nothing. A line leaves the spool only when a Plimsoll server has
  answered for it.
- The token is in no log line and in no spool file.

Must not know: models, frameworks, GPUs. What those look like stands in `examples/`.
"""

from __future__ import annotations

import atexit
import codecs
import collections
import contextvars
import email.utils
import functools
import gzip
import hashlib
import http.client
import inspect
import json
import logging
import math
import operator
import os
import queue
import random
import re
import socket
import ssl
import sys
import threading
import time
import urllib.parse
import uuid
import weakref
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Callable, Deque, Dict, Iterable, List, NamedTuple, Optional, Sequence, Set, Tuple, Union

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
    import msvcrt

__all__ = [
    "BadEvent",
    "Checkpoint",
    "Execution",
    "Job",
    "Limits",
    "Load",
    "Reporter",
    "Stats",
    "SystemClock",
    "current_execution",
    "name_and_version",
    "uuid7",
]
__version__ = "0.1.0"

logger = logging.getLogger("plimsoll_reporter")

# Our threads must import nothing by themselves: a fork in the middle of it leaves the child a lock that nobody ever opens.
# This one is imported with the first connection.
codecs.lookup("idna")

# What the server takes (contract/events.md).
NAME_CHARS_MAX = 200
ERROR_MESSAGE_CHARS_MAX = 2_000
CHECKPOINTS_MAX = 16
GPU_INDEX_MAX = 1_023
ATTEMPT_MAX = 2**31 - 1
WHOLE_MAX = 2**53 - 1
LINE_BYTES_MAX = 64 * 1024

CHECKPOINT_KINDS = ("LORA", "CONTROLNET", "FINE_TUNE", "EMBEDDING", "VAE", "OTHER")
STORAGE_TYPES = ("GPU_MEMORY", "HOST_MEMORY", "LOCAL_DISK", "NETWORK_FILESYSTEM", "OBJECT_STORE")
JOB_STATES = ("QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED")
PHASES = {"checkpoint_load": "checkpointLoadMs", "model_init": "modelInitMs", "inference": "inferenceMs"}

# The answer lists at most 100 rejections and 100 unknown keys.
ANSWER_BYTES_MAX = 1 << 20
# So much of an answer that is not Plimsoll's goes into the log.
EXCERPT_CHARS_MAX = 200
# Different complaints that are remembered, so that each is logged once.
COMPLAINTS_MAX = 256
# A segment is this part of the spool's bound: dropping the oldest loses no more than that.
SEGMENTS_MAX = 16
# Lines that one write to the spool takes together.
WRITE_LINES_MAX = 1_024
# Tries to make a spool folder of one's own; each fails only when somebody removes it at that instant.
CLAIMS_MAX = 10
# RFC 6750; anything else could break out of its header.
_TOKEN_PATTERN = re.compile(r"[A-Za-z0-9\-._~+/]+=*\Z")
# Half a surrogate pair is no character either, and no UTF-8.
_NO_NAME_PATTERN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class Limits:
    """Every limit of a reporter. Times in seconds, sizes in bytes."""

    queue_lines_max: int = 16_384
    """Events between the callers and the spool; more are dropped."""
    batch_lines_max: int = 1_000
    """Lines of a request."""
    batch_bytes_max: int = 1 << 20
    """Bytes of a request before compression; the server takes 64 MiB."""
    batch_age_s: float = 1.0
    """A batch that is not full is sent after this time."""
    spool_bytes_max: int = 64 << 20
    """Bytes on disk of one process; beyond it the oldest are dropped."""
    memory_bytes_max: int = 16 << 20
    """Bytes that wait in memory where there is no spool."""
    connect_timeout_s: float = 5.0
    request_timeout_s: float = 30.0
    """Time for each step of a request."""
    retry_delay_min_s: float = 1.0
    """First delay after a failure; it doubles."""
    retry_delay_max_s: float = 60.0
    """Longest delay, and the delay after 401 and 403."""
    retry_after_max_s: float = 300.0
    """A server may ask for so much patience and no more."""
    adoption_interval_s: float = 60.0
    """How often the spools of processes that are gone are looked for."""
    exit_flush_s: float = 5.0
    """Time for what still waits when the process ends."""
    warning_interval_s: float = 60.0
    """The same warning is not given more often."""


class Checkpoint(NamedTuple):
    """A checkpoint that is applied to a base model. `version` None: unversioned."""

    kind: str
    """`LORA` `CONTROLNET` `FINE_TUNE` `EMBEDDING` `VAE` `OTHER`."""
    name: str
    version: Optional[str] = None


class Stats(NamedTuple):
    """What became of the events of this process so far."""

    accepted: int
    duplicate: int
    """Known to the server already, as after a connection that broke between commit and answer."""
    rejected: Dict[str, int]
    """By the server's code; `UNLISTED` beyond the 100 that one answer lists."""
    dropped: Dict[str, int]
    """By reason: `bad_arguments` `queue_full` `spool_full` `damaged` `too_large` `disabled` `closed` `not_delivered`."""
    waiting: int
    """On disk or in memory; what is still in the queue to the spool is not counted."""


class BadEvent(ValueError):
    """An argument that the server would reject. It is raised to a caller only with `strict=True`."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field} {rule}")
        self.field = field
        self.rule = rule


class SystemClock:
    """The clocks of this machine."""

    def now(self) -> datetime:
        """The wall clock, in UTC."""
        return datetime.now(timezone.utc)

    def monotonic_s(self) -> float:
        """A clock that never steps, in seconds."""
        return time.perf_counter()


def uuid7() -> str:
    """A UUID of version 7: it begins with the time, so that new events lie together in the server's index."""
    unix_ms = time.time_ns() // 1_000_000
    value = (unix_ms & (2**48 - 1)) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def name_and_version(file_name: Union[str, "os.PathLike[str]"]) -> Tuple[str, Optional[str]]:
    """What files of models are called by habit: `styles/anime_v3.safetensors` is version 3 of `anime`. Without a version at
    its end a name is unversioned (None)."""
    base = str(file_name).replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    stem = re.sub(r"\.(safetensors|ckpt|pt|pth|bin|gguf|sft)$", "", base)
    match = re.fullmatch(r"(.+?)[-_ ]v?(\d+(?:\.\d+)*)", stem)
    return (match.group(1), match.group(2)) if match else (stem, None)


# ---------------------------------------------------------------- fields: a caller's value in, what goes on the wire out


def _name(field: str, value: Any) -> str:
    if isinstance(value, (int, uuid.UUID)) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise BadEvent(field, "must be a string")
    if not 1 <= len(value) <= NAME_CHARS_MAX:
        raise BadEvent(field, f"must have 1 to {NAME_CHARS_MAX} characters")
    if _NO_NAME_PATTERN.search(value):
        raise BadEvent(field, "must not hold control characters")
    return value


def _one_of(names: Sequence[str]) -> Callable[[str, Any], str]:
    def read(field: str, value: Any) -> str:
        if not isinstance(value, str) or value not in names:
            raise BadEvent(field, "must be one of " + " ".join(names))
        return str(value)

    return read


def _whole_to(most: int, least: int = 0) -> Callable[[str, Any], int]:
    def read(field: str, value: Any) -> int:
        try:
            # Also the integers of numpy and torch; True is no count.
            whole = None if isinstance(value, bool) else operator.index(value)
        except TypeError:
            whole = None
        if whole is None and isinstance(value, float) and value.is_integer():
            whole = int(value)
        if whole is None or not least <= whole <= most:
            raise BadEvent(field, f"must be a whole number from {least} to {most}")
        return whole

    return read


def _quantity(field: str, value: Any) -> float:
    try:
        number = math.nan if isinstance(value, (bool, str, bytes, bytearray)) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not 0 <= number <= WHOLE_MAX:
        raise BadEvent(field, f"must be a number from 0 to {WHOLE_MAX}")
    return number


def _flag(field: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadEvent(field, "must be True or False")
    return value


def _uuid(field: str, value: Any) -> str:
    try:
        return str(value if isinstance(value, uuid.UUID) else uuid.UUID(value))
    except (TypeError, ValueError, AttributeError):
        raise BadEvent(field, "must be a UUID") from None


def _instant(field: str, value: Any) -> datetime:
    """An instant from an aware datetime or from seconds since 1970."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            value = datetime.fromtimestamp(value, timezone.utc)
        except (ValueError, OverflowError, OSError):
            value = None
    if not isinstance(value, datetime) or value.tzinfo is None or value.year < 1970:
        raise BadEvent(field, "must be a datetime with a time zone, or seconds since 1970")
    return value.astimezone(timezone.utc)


def _wire_instant(at: datetime) -> str:
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _message(_field: str, value: Any) -> str:
    """Any text, cut where the server would cut it; half a surrogate pair is no text."""
    return str(value)[:ERROR_MESSAGE_CHARS_MAX].encode("utf-8", "replace").decode("utf-8")


def _model(field: str, value: Any) -> Dict[str, Any]:
    """`"sdxl"`, or `("sdxl", "1.0")`."""
    parts = value if isinstance(value, (tuple, list)) else (value, None)
    if len(parts) != 2:
        raise BadEvent(field, "must be a name, or a name and a version")
    name, version = parts
    wire = {"model": _name(field, name)}
    if version is not None:
        wire["modelVersion"] = _name(f"{field} version", version)
    return wire


def _checkpoint(field: str, value: Any) -> Dict[str, str]:
    if not isinstance(value, (tuple, list)) or len(value) not in (2, 3):
        raise BadEvent(field, "must be a Checkpoint(kind, name, version)")
    kind, name, version = Checkpoint(*value)
    wire = {"kind": _one_of(CHECKPOINT_KINDS)(f"{field} kind", kind), "name": _name(f"{field} name", name)}
    if version is not None:
        wire["version"] = _name(f"{field} version", version)
    return wire


def _checkpoints(field: str, value: Any) -> List[Dict[str, str]]:
    """The set of checkpoints that are applied together: a repeat says nothing new, and the server would reject it."""
    if isinstance(value, (str, bytes, Checkpoint)) or not isinstance(value, Iterable):
        raise BadEvent(field, "must be a list of Checkpoint")
    wire: List[Dict[str, str]] = []
    versions = set()
    for item in value:
        checkpoint = _checkpoint(field, item)
        key = (checkpoint["kind"], checkpoint["name"], checkpoint.get("version", "unversioned"))
        if key not in versions:
            versions.add(key)
            wire.append(checkpoint)
        if len(wire) > CHECKPOINTS_MAX:
            raise BadEvent(field, f"must hold at most {CHECKPOINTS_MAX} checkpoints")
    return wire


def _gpus(field: str, value: Any) -> List[int]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise BadEvent(field, "must be a list of GPU indices")
    read = _whole_to(GPU_INDEX_MAX)
    return sorted({read(field, index) for index in value})


_Field = Tuple[Optional[str], Callable[[str, Any], Any]]
"""The key on the wire and the reader of the value; without a key the reader gives several."""

_CALLER_FIELDS: Dict[str, _Field] = {key: (key, _name) for key in ("application", "user", "department", "project", "vm")}
_JOB_FIELDS: Dict[str, _Field] = {
    **_CALLER_FIELDS,
    "model": (None, _model),
    "checkpoints": ("checkpoints", _checkpoints),
    "gpus": ("gpus", _gpus),
    "attempt": ("attempt", _whole_to(ATTEMPT_MAX, 1)),
}
_EXECUTION_FIELDS: Dict[str, _Field] = {
    **_JOB_FIELDS,
    "job": ("job", _name),
    "model_type": ("modelType", _name),
    "queued_at": ("queuedAt", _instant),
    "checkpoint_load_ms": ("checkpointLoadMs", _quantity),
    "model_init_ms": ("modelInitMs", _quantity),
    "inference_ms": ("inferenceMs", _quantity),
    "input_bytes": ("inputBytes", _whole_to(WHOLE_MAX)),
    "output_bytes": ("outputBytes", _whole_to(WHOLE_MAX)),
    "gpu_memory_peak_bytes": ("gpuMemoryPeakBytes", _whole_to(WHOLE_MAX)),
    "cpu_seconds": ("cpuSeconds", _quantity),
}
_LOAD_FIELDS: Dict[str, _Field] = {
    "vm": ("vm", _name),
    "model": (None, _model),
    "checkpoint": ("checkpoint", _checkpoint),
    "storage_type": ("storageType", _one_of(STORAGE_TYPES)),
    "storage_location": ("storageLocation", _name),
    "cache_hit": ("cacheHit", _flag),
    "gpu": ("gpu", _whole_to(GPU_INDEX_MAX)),
    "size_bytes": ("bytes", _whole_to(WHOLE_MAX)),
    "execution": ("execution", _uuid),
}
_JOB_KEYS = {"model", "modelVersion"} | {key for key, _ in _JOB_FIELDS.values() if key}
_DEFAULT_FIELDS: Dict[str, _Field] = {**_CALLER_FIELDS, "gpus": ("gpus", _gpus), "model_type": ("modelType", _name)}


def _read_fields(known: Dict[str, _Field], given: Dict[str, Any]) -> Dict[str, Any]:
    """What goes on the wire for what was given; None is unknown, and unknown is left out."""
    wire: Dict[str, Any] = {}
    for field, value in given.items():
        if field not in known:
            raise BadEvent(field, "is no field of this event")
        if value is None:
            continue
        key, read = known[field]
        if key is None:
            wire.update(read(field, value))
        else:
            wire[key] = read(field, value)
    return wire


def _is_cancellation(error: BaseException) -> bool:
    """Somebody stopped it: Ctrl-C, a cancelled task (asyncio, trio, anyio, futures), a consumer that left a stream."""
    if isinstance(error, (KeyboardInterrupt, GeneratorExit, SystemExit)):
        return True
    # By name, since importing asyncio only to compare with it costs the caller's start.
    return any(cls.__name__ in ("CancelledError", "Cancelled") for cls in type(error).__mro__)


# ---------------------------------------------------------------- what a caller holds in its hands


def _guarded(method: Callable[..., Any]) -> Callable[..., Any]:
    """Lets nothing out of a method but BadEvent with strict=True. What failed spoils the event that it belongs to."""

    @functools.wraps(method)
    def call(self: "_Event", *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except Exception as error:
            self._spoil(error)
            return None

    return call


class _Event:
    """What executions, loads and jobs have in common: a reporter, fields, and that they may be spoiled."""

    _FIELDS: Dict[str, _Field] = {}
    _WHAT = ""

    def __init__(self, reporter: "Reporter", positional: Tuple[Any, ...], given: Dict[str, Any]) -> None:
        self._reporter = reporter
        self._given = dict(given)
        self._wire: Dict[str, Any] = {}
        self._is_spoiled = False
        if positional:
            self._spoil(BadEvent(self._WHAT, "takes keyword arguments only"))
        self.set(**given)

    @_guarded
    def set(self, **fields: Any) -> None:
        """Sets fields that were not known before; the names are those of the constructor. None is unknown."""
        self._wire.update(_read_fields(self._FIELDS, fields))

    def _spoil(self, error: Exception) -> None:
        self._is_spoiled = True
        self._reporter._complain(self._WHAT, error)


class _Activity(_Event):
    """Something that starts and ends. The start is the wall clock's; the length is the monotonic clock's, so that a clock
    that is set meanwhile makes nothing negative."""

    def __init__(self, reporter: "Reporter", positional: Tuple[Any, ...], given: Dict[str, Any]) -> None:
        self.id = reporter._new_id()
        """UUID of the event."""
        self._started_at: Optional[datetime] = None
        self._started_s = 0.0
        self._generation = -1
        self._is_finished = False
        self._failure: Optional[Tuple[str, Optional[str]]] = None
        super().__init__(reporter, positional, given)

    @_guarded
    def start(self) -> None:
        """Starts it, which `with` does by itself. A second start says nothing."""
        if self._started_at is not None:
            return
        self._generation = self._reporter._generation
        self._started_at = self._reporter._clock.now()
        self._started_s = self._reporter._clock.monotonic_s()
        self._begin()

    @_guarded
    def fail(self, error_type: str, message: Optional[str] = None) -> None:
        """Says that it failed, where no exception does. The end may come later."""
        self._failure = (_name("error_type", error_type), None if message is None else _message("message", message))

    @_guarded
    def finish(self, error: Optional[BaseException] = None) -> None:
        """Ends it, which `with` does by itself, and enqueues the event. A second end says nothing."""
        if self._is_finished:
            return
        self.start()
        self._is_finished = True
        elapsed_s = max(self._reporter._clock.monotonic_s() - self._started_s, 0.0)
        if self._generation != self._reporter._generation:
            return  # It began before a fork: the parent has it, too, and it is the parent's.
        self._end(elapsed_s, error)

    def _begin(self) -> None:
        pass

    def _end(self, elapsed_s: float, error: Optional[BaseException]) -> None:
        raise NotImplementedError

    def _failure_of(self, error: Optional[BaseException]) -> Dict[str, Any]:
        """The keys of a failure; an exception goes before what the caller said."""
        if error is not None:
            wire = {"errorType": _name("errorType", type(error).__name__[:NAME_CHARS_MAX])}
            try:
                message = _message("message", error)
            except Exception:
                message = ""
            return {**wire, "errorMessage": message} if message else wire
        if self._failure is not None:
            error_type, message = self._failure
            return {"errorType": error_type} if message is None else {"errorType": error_type, "errorMessage": message}
        return {}

    def __enter__(self) -> "Any":
        self.start()
        return self

    def __exit__(self, _type: Any, error: Optional[BaseException], _traceback: Any) -> None:
        try:
            self.finish(error)
        except BadEvent:
            # strict: the caller's own exception goes first.
            if error is None:
                raise

    async def __aenter__(self) -> "Any":
        return self.__enter__()

    async def __aexit__(self, *outcome: Any) -> None:
        self.__exit__(*outcome)


_current: "contextvars.ContextVar[Optional[Execution]]" = contextvars.ContextVar("plimsoll_execution", default=None)


def current_execution() -> Optional["Execution"]:
    """The execution that this thread or task is in, as started by `with` or by the decorator; None outside of one."""
    run = _current.get()
    return run if run is not None and not run._is_finished else None


class _Phase:
    """A stretch of an execution. Inside of it another phase may run, whose time is then not counted here."""

    def __init__(self, run: "Execution", key: Optional[str]) -> None:
        self._run = run
        self._key = key

    def __enter__(self) -> "_Phase":
        self._run._phase_enter(self)
        return self

    def __exit__(self, *_outcome: Any) -> None:
        self._run._phase_exit(self)

    async def __aenter__(self) -> "_Phase":
        return self.__enter__()

    async def __aexit__(self, *outcome: Any) -> None:
        self.__exit__(*outcome)


class Execution(_Activity):
    """One attempt of a job, from `Reporter.execution` or `Job.attempt`.

    As a context manager (`with` and `async with`) it measures its block; an exception makes it FAILED and goes on its way,
    a cancellation makes it CANCELLED. As a decorator it measures every call of a function, coroutine, generator or
    asynchronous generator; between its yields `current_execution` gives it to the consumer, too.
    """

    _FIELDS = _EXECUTION_FIELDS
    _WHAT = "execution"

    def __init__(self, reporter: "Reporter", positional: Tuple[Any, ...], given: Dict[str, Any], job: Optional["Job"] = None) -> None:
        self._job = job
        self._waited_s = 0.0
        self._is_cancelled = False
        self._phases: List[_Phase] = []
        self._phase_since_s = 0.0
        self._phase_ms: Dict[str, float] = {}
        self._outer: Optional["Execution"] = None
        super().__init__(reporter, positional, given)

    def phase(self, name: str = "", *_more: Any) -> _Phase:
        """A block of `checkpoint_load`, `model_init` or `inference`; blocks of one name add up."""
        key = PHASES.get(name) if isinstance(name, str) else None
        if key is None:
            self._spoil(BadEvent("phase", "must be one of " + " ".join(PHASES)))
        return _Phase(self, key)

    @_guarded
    def cancel(self) -> None:
        """Says that somebody stopped it, where no exception does. The end may come later."""
        self._is_cancelled = True

    @_guarded
    def waited(self, seconds: float) -> None:
        """Says that it spent so much of its beginning in a queue, as engines that queue by themselves tell at the end."""
        self._waited_s = _quantity("seconds", seconds)

    def _begin(self) -> None:
        if self._job is not None:
            self._job._emit("RUNNING", self._started_at, {} if self._is_spoiled else self._wire)

    def _end(self, elapsed_s: float, error: Optional[BaseException]) -> None:
        self._phase_charge()
        started_at = self._started_at + timedelta(seconds=min(self._waited_s, elapsed_s))
        finished_at = self._started_at + timedelta(seconds=elapsed_s)
        failure = self._failure_of(error)
        if self._is_cancelled or (error is not None and _is_cancellation(error)):
            outcome, failure = "CANCELLED", {}
        else:
            outcome = "FAILED" if failure else "SUCCEEDED"
        phases_ms = {key: round(ms, 3) for key, ms in self._phase_ms.items()}
        event: Dict[str, Any] = {"type": "execution", "id": self.id, **self._reporter._defaults, **phases_ms, **self._wire}
        event.update(startedAt=started_at, finishedAt=finished_at, outcome=outcome, **failure)
        if self._waited_s and "queuedAt" not in self._wire:
            event["queuedAt"] = self._started_at
        try:
            self._reporter._send(event, self)
        finally:
            if self._job is not None:
                self._job._attempt_ended(outcome, finished_at)

    @_guarded
    def _phase_enter(self, phase: _Phase) -> None:
        self._phase_charge()
        self._phases.append(phase)

    @_guarded
    def _phase_exit(self, phase: _Phase) -> None:
        self._phase_charge()
        if phase in self._phases:
            self._phases.remove(phase)

    def _phase_charge(self) -> None:
        """Gives the time since the last change to the innermost phase."""
        now_s = self._reporter._clock.monotonic_s()
        if self._phases and self._phases[-1]._key is not None:
            key = self._phases[-1]._key
            self._phase_ms[key] = self._phase_ms.get(key, 0.0) + max(now_s - self._phase_since_s, 0.0) * 1_000
        self._phase_since_s = now_s

    def __enter__(self) -> "Execution":
        self._outer = current_execution()
        _current.set(self)
        return super().__enter__()

    def __exit__(self, _type: Any, error: Optional[BaseException], _traceback: Any) -> None:
        # Not reset(token): an asynchronous generator may end in another context than it began in.
        if _current.get() is self:
            _current.set(self._outer)
        super().__exit__(_type, error, _traceback)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Decorates a function: each call is an execution with the fields given here."""
        begin = functools.partial(self._reporter.execution, **self._given)
        if inspect.isasyncgenfunction(function):

            @functools.wraps(function)
            async def measured_stream(*args: Any, **kwargs: Any) -> Any:
                stream = function(*args, **kwargs)
                with begin():
                    try:
                        async for item in stream:
                            yield item
                    finally:
                        await stream.aclose()

            return measured_stream
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def measured_generator(*args: Any, **kwargs: Any) -> Any:
                with begin():
                    return (yield from function(*args, **kwargs))

            return measured_generator
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def measured_coroutine(*args: Any, **kwargs: Any) -> Any:
                with begin():
                    return await function(*args, **kwargs)

            return measured_coroutine

        @functools.wraps(function)
        def measured(*args: Any, **kwargs: Any) -> Any:
            with begin():
                return function(*args, **kwargs)

        return measured


class Load(_Activity):
    """Bytes brought to a GPU or a cache, from `Reporter.load`. Inside an execution it names that execution, takes its model,
    and its time counts as the phase `checkpoint_load` of it."""

    _FIELDS = _LOAD_FIELDS
    _WHAT = "load"

    def _begin(self) -> None:
        self._run = current_execution()
        if self._run is not None:
            self._phase = _Phase(self._run, PHASES["checkpoint_load"])
            self._phase.__enter__()

    def _end(self, elapsed_s: float, error: Optional[BaseException]) -> None:
        defaults = {key: value for key, value in self._reporter._defaults.items() if key == "vm"}
        gpus = self._reporter._defaults.get("gpus", [])
        if len(gpus) == 1:
            defaults["gpu"] = gpus[0]
        if self._run is not None:
            self._phase.__exit__()
            defaults["execution"] = self._run.id
            defaults.update({key: self._run._wire[key] for key in ("model", "modelVersion") if key in self._run._wire})
        if "model" in self._wire:
            defaults.pop("modelVersion", None)
        event: Dict[str, Any] = {"type": "checkpointLoad", "id": self.id, **defaults, **self._wire}
        event.update(startedAt=self._started_at, finishedAt=self._started_at + timedelta(seconds=elapsed_s))
        # From these the bytes were on the machine already; from elsewhere they came unless the caller knows better.
        event.setdefault("cacheHit", event.get("storageType") in ("GPU_MEMORY", "HOST_MEMORY", "LOCAL_DISK"))
        failure = self._failure_of(error)
        if failure:
            event.update(outcome="FAILED", errorType=failure["errorType"])
        self._reporter._send(event, self)


class Job(_Event):
    """A job on its way, from `Reporter.job`: its states for the live view, and its attempts as executions."""

    _FIELDS = _JOB_FIELDS
    _WHAT = "job"

    def __init__(self, reporter: "Reporter", positional: Tuple[Any, ...], given: Dict[str, Any]) -> None:
        given = dict(given)
        self.id: str = reporter._new_id()
        """Name of the job; by default a new UUID."""
        self._attempt = 0
        self._attempts_max = 1
        self._queued_at: Optional[datetime] = None
        identity = given.pop("id", None)
        attempts_max = given.pop("attempts_max", 1)
        super().__init__(reporter, positional, given)
        self._identify(identity, attempts_max)

    @_guarded
    def _identify(self, identity: Any, attempts_max: Any) -> None:
        if identity is not None:
            self.id = _name("id", identity)
        self._attempts_max = _whole_to(ATTEMPT_MAX, 1)("attempts_max", attempts_max)
        self._attempt = self._wire.pop("attempt", 1) - 1

    @_guarded
    def queued(self, at: Union[datetime, float, None] = None) -> None:
        """Says that it waits, for its first attempt or for the next one."""
        self._queued_at = self._reporter._clock.now() if at is None else _instant("at", at)
        self._emit("QUEUED", self._queued_at, {"attempt": self._attempt + 1})

    @_guarded
    def state(self, state: str, at: Union[datetime, float, None] = None) -> None:
        """Says a state by hand, such as CANCELLED for a job that was taken out of the queue. `attempt` does it by itself."""
        state = _one_of(JOB_STATES)("state", state)
        self._emit(state, self._reporter._clock.now() if at is None else _instant("at", at), {})

    def attempt(self, *positional: Any, **fields: Any) -> Execution:
        """The next attempt, an execution with the fields of the job and those given here. RUNNING begins with it. When it
        fails and `attempts_max` allows another one, the job is QUEUED again; else it ends as the attempt did."""
        self._attempt += 1
        given = {**self._given, "job": self.id, "attempt": self._attempt, "queued_at": self._queued_at, **fields}
        run = Execution(self._reporter, positional, given, self)
        # A job that could not be named must not turn up under another name.
        run._is_spoiled = run._is_spoiled or self._is_spoiled
        return run

    def _attempt_ended(self, outcome: str, at: datetime) -> None:
        if outcome == "FAILED" and self._attempt < self._attempts_max:
            self._queued_at = at
            self._emit("QUEUED", at, {"attempt": self._attempt + 1})
        else:
            self._emit(outcome, at, {})

    @_guarded
    def _emit(self, state: str, at: datetime, wire: Dict[str, Any]) -> None:
        defaults = {key: value for key, value in self._reporter._defaults.items() if key in _JOB_KEYS}
        event = {"type": "job", "id": self._reporter._new_id(), "job": self.id, "at": at, "state": state, **defaults, **self._wire}
        if self._attempt:
            event["attempt"] = self._attempt
        event.update({key: value for key, value in wire.items() if key in _JOB_KEYS})
        self._reporter._send(event, self)


_REQUIRED = {
    "execution": ("model",),
    "job": ("model",),
    "checkpointLoad": ("vm", "storageType", "model"),
}


# ---------------------------------------------------------------- what waits: segments on disk, or in memory where there is none


def _try_lock(handle: int) -> bool:
    """Takes a lock that lives as long as the open file: it is gone with its process, however that ends."""
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    except OSError:
        return False
    return True


class _Folder:
    """The spool of one process: a folder whose lock it holds. When the process is gone, another one takes it over."""

    LOCK = "lock"

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self._handle = handle

    @classmethod
    def create(cls, parent: Path) -> "_Folder":
        """A new folder, ours alone. Raises OSError."""
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for _ in range(CLAIMS_MAX):
            path = parent / uuid7()
            path.mkdir(mode=0o700)
            try:
                folder = cls._claim(path, os.O_CREAT | os.O_EXCL)
            except FileNotFoundError:
                continue  # Somebody found it empty and removed it.
            if folder is not None:
                return folder
        raise OSError(f"could not claim a folder in {parent}")

    @classmethod
    def adopt(cls, path: Path) -> Optional["_Folder"]:
        """The folder of a process that is gone; None while it lives."""
        try:
            return cls._claim(path, 0)
        except FileNotFoundError:
            try:
                path.rmdir()  # Its process ended before it had a lock; a folder with anything in it stays.
            except OSError:
                pass
        except OSError:
            pass  # Another user's, perhaps.
        return None

    @classmethod
    def _claim(cls, path: Path, flags: int) -> Optional["_Folder"]:
        handle = os.open(str(path / cls.LOCK), os.O_RDWR | flags, 0o600)
        try:
            if _try_lock(handle) and os.path.samestat(os.fstat(handle), os.stat(str(path / cls.LOCK))):
                return cls(path, handle)
        except OSError:
            pass  # The one who had it before has just removed it.
        os.close(handle)
        return None

    def segments(self) -> List[Path]:
        return sorted(self.path.glob("*.ndjson"))

    def release(self) -> None:
        """Removes the folder if all of it is done with, and lets go of it. After that it may be somebody else's."""
        if self._handle < 0:
            return
        try:
            if not self.segments():
                (self.path / self.LOCK).unlink()
                self.path.rmdir()
        except OSError:
            pass
        self.forget()

    def forget(self) -> None:
        """Lets go of it as a forked child must: the lock is the parent's as well and stays."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


class _Segment:
    """A stretch of lines: appended to at its end, read from its start. In a file, or in memory."""

    def __init__(self, folder: Optional[_Folder], path: Optional[Path]) -> None:
        self.folder = folder
        self.path = path
        self.size_bytes = 0
        self.line_count = 0
        self.read_bytes = 0
        self.read_lines = 0
        self.is_sealed = False
        self._file: Any = None
        self._memory = bytearray()

    @classmethod
    def recover(cls, folder: _Folder, path: Path) -> Tuple["_Segment", bool]:
        """A segment as a process left it, and whether its last line is torn. Raises OSError."""
        segment = cls(folder, path)
        segment.is_sealed = True
        is_torn = False
        with open(path, "rb") as file:
            offset = 0
            for chunk in iter(lambda: file.read(1 << 20), b""):
                segment.line_count += chunk.count(b"\n")
                end = chunk.rfind(b"\n")
                if end >= 0:
                    segment.size_bytes = offset + end + 1
                offset += len(chunk)
            is_torn = offset > segment.size_bytes
        return segment, is_torn

    def append(self, data: bytes, line_count: int) -> None:
        """Raises OSError, and is then as it was."""
        if self.path is None:
            self._memory += data
        else:
            if self._file is None:
                # O_BINARY: elsewhere than on Windows a line end is one byte anyway.
                flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
                self._file = os.fdopen(os.open(str(self.path), flags, 0o600), "ab", buffering=0)
            try:
                written = 0
                while written < len(data):
                    written += self._file.write(data[written:])
            except OSError:
                self._file.truncate(self.size_bytes)
                raise
        self.size_bytes += len(data)
        self.line_count += line_count

    def read(self, bytes_max: int, lines_max: int) -> bytes:
        """Whole lines from where it was read up to, at least one if there is one. Raises OSError."""
        size_bytes = min(max(bytes_max, LINE_BYTES_MAX + 1), self.size_bytes - self.read_bytes)
        if self.path is None:
            data = bytes(self._memory[self.read_bytes : self.read_bytes + size_bytes])
        else:
            with open(self.path, "rb") as file:
                file.seek(self.read_bytes)
                data = file.read(size_bytes)
        end = 0
        for _ in range(lines_max):
            newline = data.find(b"\n", end)
            if newline < 0 or (end and newline >= bytes_max):
                break
            end = newline + 1
        return data[:end]

    @property
    def waiting_lines(self) -> int:
        return self.line_count - self.read_lines

    @property
    def waiting_bytes(self) -> int:
        return self.size_bytes - self.read_bytes

    def seal(self, is_synced: bool) -> None:
        """Nothing is appended any more."""
        self.is_sealed = True
        if self._file is not None:
            try:
                if is_synced:
                    os.fsync(self._file.fileno())
                self._file.close()
            except OSError:
                pass  # It is as safe as this disk can make it.
            self._file = None

    def delete(self) -> None:
        self.seal(False)
        self._memory = bytearray()
        if self.path is not None:
            try:
                self.path.unlink()
            except OSError:
                pass


class _Batch(NamedTuple):
    segment: _Segment
    data: bytes
    line_count: int


class _Flush:
    """A mark in the queue: everything before it is done with when `event` is set, unless the reporter gave up."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.is_done = False
        self.lines_through = 0

    def end(self, is_done: bool) -> None:
        self.is_done = is_done
        self.event.set()


class _Backlog:
    """What waits to be sent, oldest first. The writer appends, the sender takes; callers never come here.

    fsync: a segment that is full, as only happens while the server is away, and the last one at the end are synced to the
    device. What is younger survives the end of the process, also by kill -9, but not a power failure.
    """

    def __init__(self, parent: Optional[Path], limits: Limits, drop: Callable[[str, int], None], warn: Callable[..., None]) -> None:
        self.changed = threading.Condition()
        self.is_open = False
        self.is_closing = False
        self.in_flight: Optional[_Segment] = None
        self._parent = parent
        self._limits = limits
        self._drop = drop
        self._warn = warn
        self._folder: Optional[_Folder] = None
        self._segments: Deque[_Segment] = collections.deque()
        self._next_number = 1
        self._lines_in = 0
        self._lines_done = 0
        self._oldest_s = 0.0
        self._flushes: List[_Flush] = []

    def open(self) -> None:
        """Makes the folder, and takes over what processes that are gone have left."""
        with self.changed:
            if self._parent is not None:
                try:
                    self._folder = _Folder.create(self._parent)
                except OSError as error:
                    self._warn("spool", "no spool, what cannot be sent waits in memory only (%s); name a folder with PLIMSOLL_SPOOL_DIR", error)
            self.is_open = True
            self._adopt()
            self.changed.notify_all()

    def adopt(self) -> None:
        with self.changed:
            self._adopt()

    def _adopt(self) -> None:
        if self._parent is None or self._folder is None:
            return
        try:
            paths = sorted(path for path in self._parent.iterdir() if path != self._folder.path)
        except OSError:
            return
        for path in paths:
            # Never one of our own again: on some systems a process may lock a file twice.
            if any(segment.folder is not None and segment.folder.path == path for segment in self._segments):
                continue
            folder = _Folder.adopt(path)
            if folder is not None:
                self._take_over(folder)

    def _take_over(self, folder: _Folder) -> None:
        # In front of what will come, behind what was there: the order of the queue stays.
        if self._segments:
            self._segments[-1].seal(False)
        lines = 0
        for path in folder.segments():
            try:
                segment, is_torn = _Segment.recover(folder, path)
            except OSError as error:
                self._warn("adopt", "could not read a left spool segment (%s)", error)
                continue
            if is_torn:
                self._drop("damaged", 1)
            if not segment.line_count:
                segment.delete()
                continue
            self._segments.append(segment)
            lines += segment.line_count
        self._came_in(lines)
        if lines:
            logger.info("took over %d events that a process that is gone had left", lines)
        else:
            folder.release()

    def append(self, lines: List[bytes], flushes: List[_Flush]) -> None:
        with self.changed:
            if lines:
                data = b"".join(lines)
                self._make_room(len(data))
                self._append(data, len(lines))
                self._came_in(len(lines))
            for flush in flushes:
                flush.lines_through = self._lines_in
                self._flushes.append(flush)
            self._end_flushes()
            self.changed.notify_all()

    def _came_in(self, lines: int) -> None:
        if self._lines_in == self._lines_done:
            self._oldest_s = time.monotonic()
        self._lines_in += lines

    def _append(self, data: bytes, line_count: int) -> None:
        segment = self._segments[-1] if self._segments else None
        if segment is None or segment.is_sealed:
            segment = self._new_segment()
        try:
            segment.append(data, line_count)
        except OSError as error:
            self._warn("disk", "could not write to the spool (%s); events wait in memory meanwhile", error)
            segment.seal(False)
            if not segment.line_count:
                self._segments.remove(segment)
                segment.delete()
            segment = _Segment(None, None)
            self._segments.append(segment)
            segment.append(data, line_count)
            # The next ones try the disk again.
            segment.seal(False)
        if segment.size_bytes >= self._bytes_max() // SEGMENTS_MAX:
            segment.seal(True)

    def _new_segment(self) -> _Segment:
        path = None
        if self._folder is not None:
            path = self._folder.path / f"{self._next_number:020}.ndjson"
            self._next_number += 1
        segment = _Segment(self._folder if path else None, path)
        self._segments.append(segment)
        return segment

    def _bytes_max(self) -> int:
        limits = self._limits
        return limits.spool_bytes_max if self._folder is not None else min(limits.memory_bytes_max, limits.spool_bytes_max)

    def _make_room(self, size_bytes: int) -> None:
        """Drops the oldest segments until there is room, but for the one that is being sent."""
        in_memory_max = min(self._limits.memory_bytes_max, self._limits.spool_bytes_max)
        while True:
            total = sum(segment.size_bytes for segment in self._segments) + size_bytes
            in_memory = sum(segment.size_bytes for segment in self._segments if segment.path is None)
            is_memory_full = in_memory + size_bytes > in_memory_max
            if total <= self._bytes_max() and not is_memory_full:
                return
            droppable = [s for s in self._segments if s is not self.in_flight and (s.path is None or total > self._bytes_max())]
            if not droppable:
                return
            self._drop("spool_full", droppable[0].waiting_lines)
            self._lines_done += droppable[0].waiting_lines
            self._remove(droppable[0])

    def _remove(self, segment: _Segment) -> None:
        if segment in self._segments:
            self._segments.remove(segment)
        segment.delete()
        folder = segment.folder
        if folder is not None and folder is not self._folder and all(other.folder is not folder for other in self._segments):
            folder.release()

    def take(self, lines_max: int, timeout_s: float) -> Optional[_Batch]:
        """The oldest lines, once there are enough of them or they are old enough; None after the timeout or at the end."""
        deadline_s = time.monotonic() + timeout_s
        with self.changed:
            while True:
                now_s = time.monotonic()
                ready_s = self._ready_s(lines_max)
                if self.is_open and ready_s <= now_s:
                    batch = self._take(lines_max)
                    if batch is not None:
                        return batch
                    continue
                if self.is_closing or now_s >= deadline_s:
                    return None
                self.changed.wait(min(ready_s, deadline_s) - now_s)

    def _ready_s(self, lines_max: int) -> float:
        """When the oldest lines may go, on the monotonic clock."""
        lines = self.waiting_lines
        if not lines:
            return math.inf
        waiting_bytes = sum(segment.waiting_bytes for segment in self._segments)
        is_full = lines >= lines_max or waiting_bytes >= self._limits.batch_bytes_max
        return 0.0 if is_full or self._flushes or self.is_closing else self._oldest_s + self._limits.batch_age_s

    def _take(self, lines_max: int) -> Optional[_Batch]:
        segment = self._segments[0]
        # So that what is being sent and what comes in meanwhile lie apart: after kill -9 no more is sent twice than this.
        segment.seal(False)
        try:
            data = segment.read(self._limits.batch_bytes_max, lines_max)
        except OSError as error:
            self._warn("read", "could not read the spool (%s)", error)
            data = b""
        if not data:
            # Unreadable, or longer than any line of ours: the rest of it is nothing that can be sent.
            self._drop("damaged", segment.waiting_lines)
            self._finish(segment, segment.waiting_bytes, segment.waiting_lines)
            return None
        self.in_flight = segment
        return _Batch(segment, data, data.count(b"\n"))

    def done(self, batch: _Batch) -> None:
        """These lines are done with: the server has answered for them, or they were dropped."""
        with self.changed:
            self.in_flight = None
            self._finish(batch.segment, len(batch.data), batch.line_count)

    def _finish(self, segment: _Segment, size_bytes: int, lines: int) -> None:
        segment.read_bytes += size_bytes
        segment.read_lines += lines
        self._lines_done += lines
        self._oldest_s = time.monotonic()
        if segment.waiting_lines <= 0:
            self._remove(segment)
        self._end_flushes()

    def _end_flushes(self) -> None:
        for flush in [flush for flush in self._flushes if flush.lines_through <= self._lines_done]:
            self._flushes.remove(flush)
            flush.end(True)

    def pause(self, delay_s: float) -> bool:
        """Waits after a failure; False when the end came meanwhile."""
        deadline_s = time.monotonic() + delay_s
        with self.changed:
            self.in_flight = None
            while not self.is_closing and time.monotonic() < deadline_s:
                self.changed.wait(deadline_s - time.monotonic())
            return not self.is_closing

    def give_up(self) -> None:
        """Tells everybody who waits that nothing more will be sent."""
        with self.changed:
            self.in_flight = None
            for flush in self._flushes:
                flush.end(False)
            self._flushes.clear()

    @property
    def waiting_lines(self) -> int:
        return self._lines_in - self._lines_done

    def close(self) -> None:
        """What lies on disk stays there for the next process; what lies in memory is lost."""
        with self.changed:
            folders = {id(segment.folder): segment.folder for segment in self._segments if segment.folder is not None}
            if self._folder is not None:
                folders[id(self._folder)] = self._folder
            for segment in self._segments:
                segment.seal(True)
                if segment.path is None:
                    self._drop("not_delivered", segment.waiting_lines)
                    self._lines_done += segment.waiting_lines
            self._segments = collections.deque(segment for segment in self._segments if segment.path is not None)
            for folder in folders.values():
                folder.release()
            self._folder = None
            self._parent = None

    def forget(self) -> None:
        """Lets go of the folders in a forked child; they are the parent's. Takes no lock: whoever held it is not here."""
        folders = {id(segment.folder): segment.folder for segment in list(self._segments)}
        for folder in [*folders.values(), self._folder]:
            if folder is not None:
                folder.forget()


# ---------------------------------------------------------------- the server


class _Answer(NamedTuple):
    """What a request came to: `delivered` `too_large` `later` or `refused`."""

    kind: str
    receipt: Dict[str, Any] = {}
    reason: str = ""
    retry_after_s: Optional[float] = None


class _Server:
    """Posts batches over one connection that is kept. Only an answer of Plimsoll's own means delivered: neither a redirect
    nor some proxy's friendly page does."""

    def __init__(self, url: str, token: "_Token", limits: Limits, tls: Optional[ssl.SSLContext]) -> None:
        """Raises ValueError when it is no address."""
        parts = urllib.parse.urlsplit(url)
        # Not only a matter of form: what stands in an address gets into logs.
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password or parts.query:
            raise ValueError("is not the address of a server, such as https://plimsoll.example.com")
        self.is_tls = parts.scheme == "https"
        self.host = parts.hostname
        self._port = parts.port
        self._path = parts.path.rstrip("/") + "/ingest"
        self._token = token
        self._limits = limits
        self._tls = tls
        self._connection: Optional[http.client.HTTPConnection] = None

    @property
    def identity(self) -> str:
        """Tells servers apart: what was meant for one must not go to another."""
        return f"{'https' if self.is_tls else 'http'}://{self.host}:{self._port or ''}{self._path}"

    def post(self, body: bytes) -> _Answer:
        try:
            authorization = self._token.authorization()
        except OSError as error:
            return _Answer("refused", reason=f"could not read the token file: {error}")
        except ValueError as error:
            return _Answer("refused", reason=str(error))
        compressed = gzip.compress(body, compresslevel=1)
        headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip", "User-Agent": f"plimsoll-reporter/{__version__}"}
        if authorization is not None:
            headers["Authorization"] = authorization
        # A kept connection may have been closed by the server at any time; that says nothing about the server.
        attempts = 2 if self._connection is not None else 1
        while True:
            attempts -= 1
            try:
                return self._post(compressed, headers)
            except (OSError, http.client.HTTPException, UnicodeError) as error:
                self.close()
                if not attempts or isinstance(error, socket.timeout):
                    return _Answer("later", reason=f"could not reach the server: {type(error).__name__} {error}")

    def _post(self, body: bytes, headers: Dict[str, str]) -> _Answer:
        if self._connection is None:
            self._connection = self._connect()
        self._connection.request("POST", self._path, body, headers)
        response = self._connection.getresponse()
        answer = response.read(ANSWER_BYTES_MAX + 1)
        if response.will_close or not response.isclosed():
            self.close()
        if response.status == 200:
            return self._receipt(answer)
        if response.status == 413:
            return _Answer("too_large", reason="413")
        reason = f"the server answered {response.status}: {_excerpt(answer)}"
        if response.status in (408, 425, 429) or response.status >= 500:
            return _Answer("later", reason=reason, retry_after_s=self._retry_after_s(response.getheader("Retry-After")))
        return _Answer("refused", reason=reason)

    def _connect(self) -> http.client.HTTPConnection:
        timeout_s = self._limits.connect_timeout_s
        if self.is_tls:
            # Made late: reading the certificates takes long, and callers must not wait for it.
            self._tls = self._tls or ssl.create_default_context()
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(self.host, self._port, timeout=timeout_s, context=self._tls)
        else:
            connection = http.client.HTTPConnection(self.host, self._port, timeout=timeout_s)
        connection.connect()
        if connection.sock is not None:
            connection.sock.settimeout(self._limits.request_timeout_s)
        return connection

    def _retry_after_s(self, text: Optional[str]) -> Optional[float]:
        if text is None:
            return None
        try:
            delay_s = float(text) if text.strip().isdigit() else email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except (TypeError, ValueError, IndexError):
            return None
        return min(max(delay_s, 0.0), self._limits.retry_after_max_s)

    @staticmethod
    def _receipt(answer: bytes) -> _Answer:
        try:
            receipt = json.loads(answer)
            if all(isinstance(receipt[key], int) for key in ("accepted", "duplicate", "rejectedCount")):
                return _Answer("delivered", receipt)
        except (ValueError, KeyError, TypeError):
            pass
        return _Answer("later", reason=f"the answer is not Plimsoll's: {_excerpt(answer)}")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _excerpt(answer: bytes) -> str:
    return repr(answer[: 4 * EXCERPT_CHARS_MAX].decode("utf-8", "replace")[:EXCERPT_CHARS_MAX])


class _Token:
    """The bearer token. A file is read for every request, so that it may be rotated."""

    def __init__(self, text: Optional[str], path: Optional[str]) -> None:
        self._path = path
        self._text = text.strip() if text else None

    def authorization(self) -> Optional[str]:
        """Raises OSError, and ValueError without what is wrong in its text."""
        if self._text is None or self._path is not None:
            if self._path is None:
                return None
            self._text = Path(self._path).read_text("utf-8").strip()
        if not _TOKEN_PATTERN.match(self._text):
            raise ValueError("the token has characters that no token has")
        return f"Bearer {self._text}"

    def hide(self, text: str) -> str:
        """The text without the token."""
        return text.replace(self._text, "[token]") if self._text else text

    def hide_in_line(self, line: bytes) -> bytes:
        return line.replace(self._text.encode("utf-8", "replace"), b"[token]") if self._text else line

    @property
    def is_set(self) -> bool:
        return self._text is not None or self._path is not None

    def __repr__(self) -> str:
        return "_Token(…)"


# ---------------------------------------------------------------- the reporter


class Reporter:
    """Reports what one process does. Make one per process, at module level or at start; it starts its threads with the first
    event, and anew in a forked child.

    Arguments go before the environment; the names of `plimsoll-agent` are taken where ours are not set.

    - `url`: `PLIMSOLL_URL`, `PLIMSOLL_AGENT_URL`. Without one the reporter is off: everything works, nothing is sent.
    - `token`: `PLIMSOLL_TOKEN`, `PLIMSOLL_AGENT_TOKEN`; `token_file`: `PLIMSOLL_TOKEN_FILE`, `PLIMSOLL_AGENT_TOKEN_FILE`.
    - `vm`: `PLIMSOLL_VM`, `PLIMSOLL_AGENT_VM`, else the hostname, as the agent on this machine names it.
    - `gpus`: `PLIMSOLL_GPUS` such as `0,1`. An execution that names no GPU holds all of its machine.
    - `application`, `department`, `project`: `PLIMSOLL_APPLICATION`, `PLIMSOLL_DEPARTMENT`, `PLIMSOLL_PROJECT`. With `user` and
      `model_type` they are the defaults of every event.
    - `spool_dir`: `PLIMSOLL_SPOOL_DIR`, else `plimsoll-reporter` in `$XDG_STATE_HOME` or `~/.local/state`. Processes may share it.
    - `spool_bytes_max`: `PLIMSOLL_SPOOL_MAX_BYTES`, else `limits.spool_bytes_max`.
    - `tls`: another `ssl.SSLContext` than the default one, which verifies the server.
    - `strict`: bad arguments raise `BadEvent`; for tests.
    - `clock`, `new_id`: for tests.
    """

    def __init__(
        self,
        url: Optional[str] = None,
        token: Optional[str] = None,
        *,
        token_file: Optional[str] = None,
        vm: Optional[str] = None,
        gpus: Optional[Sequence[int]] = None,
        application: Optional[str] = None,
        user: Optional[str] = None,
        department: Optional[str] = None,
        project: Optional[str] = None,
        model_type: Optional[str] = None,
        spool_dir: Union[str, Path, None] = None,
        spool_bytes_max: Optional[int] = None,
        tls: Optional[ssl.SSLContext] = None,
        limits: Limits = Limits(),
        strict: bool = False,
        clock: Any = None,
        new_id: Callable[[], str] = uuid7,
    ) -> None:
        self._strict = strict
        self._clock = clock or SystemClock()
        self._new_id = new_id
        self._generation = 0
        self._defaults: Dict[str, Any] = {}
        if token is None and token_file is None:
            token, token_file = _setting("TOKEN"), _setting("TOKEN_FILE")
        self._token = _Token(token, token_file)
        self._tls = tls
        self._renew()
        self._limits = self._limits_with(limits, spool_bytes_max)
        defaults = {"user": user, "model_type": model_type, "vm": vm or _setting("VM") or socket.gethostname()}
        defaults["application"] = application or _setting("APPLICATION", False)
        defaults["department"] = department or _setting("DEPARTMENT", False)
        defaults["project"] = project or _setting("PROJECT", False)
        defaults["gpus"] = gpus if gpus is not None else _gpu_setting()
        for field, value in defaults.items():
            try:
                self._defaults.update(_read_fields(_DEFAULT_FIELDS, {field: value}))
            except Exception as error:
                self._complain("reporter", error)
        self._url = url or _setting("URL")
        self._parent: Optional[Path] = None
        self._is_on = self._check_server(spool_dir)
        _reporters.add(self)
        atexit.register(self._at_exit)

    def _limits_with(self, limits: Limits, spool_bytes_max: Optional[int]) -> Limits:
        value: Any = spool_bytes_max if spool_bytes_max is not None else _setting("SPOOL_MAX_BYTES", False)
        if value is None:
            return limits
        try:
            whole = int(value) if isinstance(value, str) and value.strip().isdigit() else value
            return Limits(**{**vars(limits), "spool_bytes_max": _whole_to(WHOLE_MAX, 1)("spool_bytes_max", whole)})
        except BadEvent as error:
            self._complain("reporter", error)
            return limits

    def _check_server(self, spool_dir: Union[str, Path, None]) -> bool:
        if not self._url:
            logger.info("PLIMSOLL_URL is not set: nothing is reported")
            return False
        try:
            self._server = self._new_server()
            self._parent = self._spool_parent(spool_dir, self._server.identity)
        except Exception as error:
            self._complain("reporter", BadEvent("url", str(error)))
            return False
        if self._token.is_set and not self._server.is_tls and self._server.host not in ("localhost", "127.0.0.1", "::1"):
            self._warn("plain", "the token travels unencrypted to %s, use https", self._server.host)
        return True

    @staticmethod
    def _spool_parent(spool_dir: Union[str, Path, None], identity: str) -> Optional[Path]:
        base = spool_dir or _setting("SPOOL_DIR", False)
        if base is None:
            state = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
            base = os.path.join(state, "plimsoll-reporter") if os.path.isabs(state) else None
        return Path(base).absolute() / hashlib.sha256(identity.encode()).hexdigest()[:16] if base is not None else None

    def _new_server(self) -> _Server:
        return _Server(str(self._url), self._token, getattr(self, "_limits", Limits()), self._tls)

    def _renew(self) -> None:
        """Everything that a forked child must not share with its parent: locks that somebody may hold, threads that are not
        here, a connection, events that the parent will send."""
        self._queue: "queue.SimpleQueue[Any]" = queue.SimpleQueue()
        # Reentrant, since a signal handler may report while its own thread is reporting.
        self._lock = threading.RLock()
        self._threads: List[threading.Thread] = []
        self._may_start = [True]
        self._backlog: Optional[_Backlog] = None
        self._is_closed = False
        self._complaints: Set[Tuple[str, str]] = set()
        self._warned_s: Dict[str, float] = {}
        self._accepted = 0
        self._duplicate = 0
        self._rejected: Dict[str, int] = {}
        self._dropped: Dict[str, int] = {}
        self._dropped_told = 0

    def _after_fork(self) -> None:
        if self._backlog is not None:
            self._backlog.forget()
        self._generation += 1
        self._renew()
        if self._is_on:
            self._server = self._new_server()

    # ------------------------------------------------ for callers

    def execution(self, *positional: Any, **fields: Any) -> Execution:
        """An execution, to be used by `with`, `async with`, as a decorator, or by `start` and `finish`.

        Fields: `model` (a name, or name and version), `checkpoints` (list of `Checkpoint`), `model_type`, `application`, `user`,
        `department`, `project`, `vm`, `gpus`, `job`, `attempt`, `queued_at`, `checkpoint_load_ms`, `model_init_ms`, `inference_ms`,
        `input_bytes`, `output_bytes`, `gpu_memory_peak_bytes`, `cpu_seconds`. Only `model` must be known at the end.
        """
        return Execution(self, positional, fields)

    def job(self, *positional: Any, **fields: Any) -> Job:
        """A job: `id` (first argument, too), `attempts_max`, `attempt` (number of the next attempt, from 1), and `model`,
        `checkpoints`, `application`, `user`, `department`, `project`, `vm`, `gpus`."""
        if len(positional) == 1 and "id" not in fields:
            fields, positional = {**fields, "id": positional[0]}, ()
        return Job(self, positional, fields)

    def load(self, *positional: Any, **fields: Any) -> Load:
        """A load of a checkpoint, or without `checkpoint` of the base model, to be used like an execution.

        Fields: `model`, `checkpoint`, `storage_type` (where it came from: `GPU_MEMORY` `HOST_MEMORY` `LOCAL_DISK`
        `NETWORK_FILESYSTEM` `OBJECT_STORE`), `storage_location`, `cache_hit` (it was on this machine already; by default true for
        the first three), `size_bytes`, `gpu`, `vm`, `execution`.
        """
        return Load(self, positional, fields)

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Waits until the server has answered for everything that was reported before. False: not within this time."""
        try:
            return self._flush(timeout_s)
        except Exception as error:
            self._warn("internal", "could not flush (%s)", type(error).__name__)
            return False

    def close(self, timeout_s: float = 10.0) -> None:
        """Sends what waits and ends. What could not be sent stays in the spool for the next process."""
        try:
            self._close(timeout_s)
        except Exception as error:
            self._warn("internal", "could not close in order (%s)", type(error).__name__)

    def stats(self) -> Stats:
        """What became of the events so far."""
        with self._lock:
            waiting = self._backlog.waiting_lines if self._backlog is not None else 0
            return Stats(self._accepted, self._duplicate, dict(self._rejected), dict(self._dropped), waiting)

    def __enter__(self) -> "Reporter":
        return self

    def __exit__(self, *_outcome: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Reporter({'on' if self._is_on else 'off'})"

    # ------------------------------------------------ from events to the queue

    def _send(self, event: Dict[str, Any], owner: _Event) -> None:
        """Checks, encodes and enqueues; raises BadEvent."""
        if owner._is_spoiled:
            self._count_dropped("bad_arguments")
            return
        try:
            line = self._encode(event)
        except Exception:
            self._count_dropped("bad_arguments")
            raise
        self._enqueue(line)

    def _encode(self, event: Dict[str, Any]) -> bytes:
        for key in _REQUIRED[event["type"]]:
            if event.get(key) is None:
                raise BadEvent(key, "is missing")
        if event["type"] == "execution" and event.get("queuedAt", event["startedAt"]) > event["startedAt"]:
            # Clocks of two machines: how long it waited is unknown, and all the rest is not.
            del event["queuedAt"]
            self._complain("execution", BadEvent("queuedAt", "lies after startedAt and is left out"), False)
        wire = {key: _wire_instant(value) if isinstance(value, datetime) else value for key, value in event.items()}
        line = json.dumps(wire, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8") + b"\n"
        if len(line) > LINE_BYTES_MAX:
            raise BadEvent(event["type"], f"is longer than {LINE_BYTES_MAX} bytes")
        return line

    def _enqueue(self, line: bytes) -> None:
        if not self._is_on:
            self._count_dropped("disabled")
        elif self._is_closed:
            self._count_dropped("closed")
        elif self._queue.qsize() >= self._limits.queue_lines_max:
            self._count_dropped("queue_full")
            # Here, since the threads hang where this happens.
            self._warn("queue_full", "events are dropped: the spool cannot be written as fast as they come")
        else:
            self._queue.put(line)
            if not self._threads:
                self._start()

    def _start(self) -> None:
        if self._threads or self._is_closed or not self._is_on:
            return
        try:
            # Not a lock: a signal handler may come here while its own thread is here.
            self._may_start.pop()
        except IndexError:
            return
        backlog = _Backlog(self._parent, self._limits, self._count_dropped, self._warn)
        self._backlog = backlog
        writer = threading.Thread(target=self._write_loop, args=(backlog, self._queue), name="plimsoll-writer", daemon=True)
        sender = threading.Thread(target=self._send_loop, args=(backlog, self._server), name="plimsoll-sender", daemon=True)
        try:
            for thread in (writer, sender):
                thread.start()
                self._threads.append(thread)
        except RuntimeError as error:
            # Too many threads, or the interpreter ends; `close` writes what is in the queue.
            self._warn("threads", "could not start a thread (%s)", error)
        if not self._threads:
            self._may_start.append(True)
        self._close_with_child()

    def _close_with_child(self) -> None:
        """Children of multiprocessing end without atexit, but with finalizers of their own."""
        process = sys.modules.get("multiprocessing.process")
        if process is not None and process.parent_process() is not None:
            from multiprocessing.util import Finalize

            Finalize(None, self._at_exit, exitpriority=0)

    def _count_dropped(self, reason: str, lines: int = 1) -> None:
        if lines:
            with self._lock:
                self._dropped[reason] = self._dropped.get(reason, 0) + lines

    def _complain(self, what: str, error: Exception, is_raised: bool = True) -> None:
        """Logs what is wrong with an argument, once; raises it with strict=True. Never the value: it may be a secret."""
        text = str(error) if isinstance(error, BadEvent) else f"{type(error).__name__} in a call of the reporter"
        with self._lock:
            is_new = (what, text) not in self._complaints and len(self._complaints) < COMPLAINTS_MAX
            if is_new:
                self._complaints.add((what, text))
        if is_new:
            self._log(logging.WARNING, "%s: %s", what, text)
        if self._strict and is_raised:
            raise error

    def _warn(self, key: str, text: str, *details: Any) -> None:
        """Logs a warning, the same one not too often."""
        now_s = time.monotonic()
        with self._lock:
            told_s = self._warned_s.get(key)
            if told_s is not None and now_s - told_s < getattr(self, "_limits", Limits()).warning_interval_s:
                return
            self._warned_s[key] = now_s
        self._log(logging.WARNING, text, *details)

    def _log(self, level: int, text: str, *details: Any) -> None:
        try:
            logger.log(level, "%s", self._token.hide(text % details if details else text))
        except Exception:
            pass  # A broken log handler is no reason to break the caller.

    # ------------------------------------------------ from the queue to the spool

    def _write_loop(self, backlog: _Backlog, lines_queue: "queue.SimpleQueue[Any]") -> None:
        try:
            backlog.open()
            is_open = True
            while is_open:
                is_open = self._write(backlog, lines_queue, lines_queue.get())
        except Exception as error:
            self._warn("internal", "the writer has ended, nothing more is reported (%s)", type(error).__name__)

    def _write(self, backlog: _Backlog, lines_queue: "queue.SimpleQueue[Any]", item: Any) -> bool:
        """Appends this item and what has gathered behind it; False at the end of the queue."""
        lines: List[bytes] = []
        flushes: List[_Flush] = []
        while item is not None:
            if isinstance(item, _Flush):
                flushes.append(item)
            else:
                lines.append(self._token.hide_in_line(item))
            if len(lines) >= WRITE_LINES_MAX:
                break
            try:
                item = lines_queue.get_nowait()
            except queue.Empty:
                break
        backlog.append(lines, flushes)
        return item is not None

    # ------------------------------------------------ from the spool to the server

    def _send_loop(self, backlog: _Backlog, server: _Server) -> None:
        try:
            self._deliver_all(backlog, server)
        except Exception as error:
            self._warn("internal", "the sender has ended, events wait in the spool (%s)", type(error).__name__)
        finally:
            server.close()
            backlog.give_up()

    def _deliver_all(self, backlog: _Backlog, server: _Server) -> None:
        limits = self._limits
        lines_max, delay_s = limits.batch_lines_max, limits.retry_delay_min_s
        adopted_s = time.monotonic()
        while True:
            self._tell_dropped()
            if time.monotonic() - adopted_s >= limits.adoption_interval_s:
                backlog.adopt()
                adopted_s = time.monotonic()
            batch = backlog.take(lines_max, limits.adoption_interval_s)
            if batch is None:
                if backlog.is_closing:
                    return
                continue
            is_last_try = backlog.is_closing
            answer = server.post(batch.data)
            if answer.kind == "delivered":
                self._count_receipt(answer.receipt)
                backlog.done(batch)
                lines_max, delay_s = min(lines_max * 2, limits.batch_lines_max), limits.retry_delay_min_s
            elif answer.kind == "too_large":
                lines_max = max(batch.line_count // 2, 1)
                if batch.line_count == 1:
                    self._count_dropped("too_large")
                    backlog.done(batch)
            else:
                self._warn(answer.kind, "%d events wait in the spool: %s", backlog.waiting_lines, answer.reason)
                pause_s = delay_s * random.uniform(0.5, 1.0)
                if answer.kind == "refused":
                    pause_s = limits.retry_delay_max_s
                elif answer.retry_after_s is not None:
                    pause_s = answer.retry_after_s
                delay_s = min(delay_s * 2, limits.retry_delay_max_s)
                is_ours = answer.kind == "later" and answer.retry_after_s is None
                if not backlog.pause(pause_s) and (is_last_try or not is_ours):
                    return  # At the end there is one more try, unless the server has asked for patience.

    def _count_receipt(self, receipt: Dict[str, Any]) -> None:
        rejections = [item for item in receipt.get("rejected") or [] if isinstance(item, dict)]
        with self._lock:
            self._accepted += receipt["accepted"]
            self._duplicate += receipt["duplicate"]
            for item in rejections:
                code = str(item.get("code"))
                self._rejected[code] = self._rejected.get(code, 0) + 1
            if receipt["rejectedCount"] > len(rejections):
                self._rejected["UNLISTED"] = self._rejected.get("UNLISTED", 0) + receipt["rejectedCount"] - len(rejections)
        for item in rejections:
            text = f"the server rejected an event: {item.get('code')} {item.get('field') or ''} (more of this code are only counted)"
            self._tell_once(f"rejected {item.get('code')}", f"{text}: {str(item.get('message'))[:EXCERPT_CHARS_MAX]}")
        for item in receipt.get("warnings") or []:
            if isinstance(item, dict):
                self._tell_once(f"warning {item.get('key')}", f"the server does not know {str(item.get('key'))[:NAME_CHARS_MAX]}")

    def _tell_once(self, key: str, text: str) -> None:
        with self._lock:
            is_new = ("server", key) not in self._complaints and len(self._complaints) < COMPLAINTS_MAX
            if is_new:
                self._complaints.add(("server", key))
        if is_new:
            self._log(logging.WARNING, text)

    def _tell_dropped(self) -> None:
        """Says what was dropped since it was last said. Bad arguments were said when they came."""
        with self._lock:
            dropped = {reason: lines for reason, lines in self._dropped.items() if reason not in ("bad_arguments", "disabled")}
            total = sum(dropped.values())
            if total == self._dropped_told:
                return
            told_s = self._warned_s.get("dropped")
            if told_s is not None and time.monotonic() - told_s < self._limits.warning_interval_s:
                return
            self._dropped_told = total
        self._warn("dropped", "events were dropped: %s", ", ".join(f"{lines} {reason}" for reason, lines in sorted(dropped.items())))

    # ------------------------------------------------ the end

    def _flush(self, timeout_s: float) -> bool:
        if not self._is_on or self._is_closed:
            return not self._is_on
        self._start()
        if not self._is_running():
            return False
        flush = _Flush()
        self._queue.put(flush)
        # The sender may have ended between the two lines before.
        deadline_s = time.monotonic() + timeout_s
        while not flush.event.wait(min(max(deadline_s - time.monotonic(), 0.0), 1.0)):
            if time.monotonic() >= deadline_s or not self._is_running():
                return flush.is_done
        return flush.is_done

    def _is_running(self) -> bool:
        return len(self._threads) == 2 and all(thread.is_alive() for thread in self._threads)

    def _close(self, timeout_s: float) -> None:
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            backlog = self._backlog
        atexit.unregister(self._at_exit)
        if backlog is None:
            return
        deadline_s = time.monotonic() + timeout_s
        self._queue.put(None)
        threads, self._threads = self._threads, []
        if threads:
            threads[0].join(max(deadline_s - time.monotonic(), 0.0))
        if not threads or not threads[0].is_alive():
            # Where there was no writer, its work is done here.
            if not backlog.is_open:
                backlog.open()
            while not self._queue.empty():
                self._write(backlog, self._queue, self._queue.get())
        with backlog.changed:
            backlog.is_closing = True
            backlog.changed.notify_all()
        for thread in threads[1:]:
            thread.join(max(deadline_s - time.monotonic(), 0.0))
        if not threads or not threads[0].is_alive():
            backlog.close()
        self._tell_dropped()
        if backlog.waiting_lines:
            self._log(logging.INFO, "%d events wait in the spool for the next process", backlog.waiting_lines)

    def _at_exit(self) -> None:
        self.close(self._limits.exit_flush_s)


def _setting(name: str, is_agents: bool = True) -> Optional[str]:
    """A setting from the environment; those that are the agent's as well may be set once for both."""
    return os.environ.get(f"PLIMSOLL_{name}") or (os.environ.get(f"PLIMSOLL_AGENT_{name}") if is_agents else None) or None


def _gpu_setting() -> Optional[List[Any]]:
    text = os.environ.get("PLIMSOLL_GPUS")
    return [int(part) if part.strip().isdigit() else part for part in text.split(",")] if text else None


_reporters: "weakref.WeakSet[Reporter]" = weakref.WeakSet()


def _renew_after_fork() -> None:
    for reporter in list(_reporters):
        reporter._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_after_fork)
