"""Reads event lines as contract/events.md tells: instants in whole microseconds of UTC, amounts exact, repeated lines once."""
import gzip
import json
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MICROSECOND = timedelta(microseconds=1)
UNVERSIONED = "unversioned"


def instant(text):
    """Microseconds since 1970; digits beyond are cut off."""
    head, dot, tail = text.partition(".")
    digits = ""
    if dot:
        while tail and tail[0].isdigit():
            digits, tail = digits + tail[0], tail[1:]
        text = head + tail
    at = datetime.fromisoformat(text.replace("z", "Z").replace("Z", "+00:00"))
    if at.tzinfo is None:
        raise ValueError(f"{text}: no offset")
    return (at - EPOCH) // MICROSECOND + int((digits + "000000")[:6])


def written(us):
    """RFC 3339 in UTC."""
    at = EPOCH + timedelta(microseconds=us)
    part = us % 1_000_000
    return at.strftime("%Y-%m-%dT%H:%M:%S") + (f".{part:06d}" if part else "") + "Z"


def exact(number):
    return None if number is None else Fraction(number)


@dataclass(frozen=True, order=True)
class Checkpoint:
    name: str
    version: str
    kind: str


def by_bytes(text):
    return text.encode("utf-8")


def canonical(checkpoint):
    return by_bytes(checkpoint.name), by_bytes(checkpoint.version), by_bytes(checkpoint.kind)


def checkpoints_of(event):
    found = [Checkpoint(c["name"], c.get("version") or UNVERSIONED, c["kind"]) for c in event.get("checkpoints") or []]
    return tuple(sorted(found, key=canonical))


class Execution:
    def __init__(self, e):
        self.id, self.model, self.version = e["id"].lower(), e["model"], e.get("modelVersion") or UNVERSIONED
        self.job, self.attempt = e.get("job") or self.id, e.get("attempt") or 1
        self.model_type_told = e.get("modelType")
        self.checkpoints = checkpoints_of(e)
        self.label = f"{self.model} {self.version}" + "".join(f" + {c.name} {c.version}" for c in self.checkpoints)
        self.application, self.user, self.department, self.project = (e.get(k) for k in ("application", "user", "department", "project"))
        self.vm, self.gpus = e.get("vm"), sorted(set(e.get("gpus") or []))
        self.start, self.end = instant(e["startedAt"]), instant(e["finishedAt"])
        self.queued = instant(e["queuedAt"]) if e.get("queuedAt") else None
        self.outcome, self.error_type = e["outcome"], e.get("errorType")
        self.duration_ms = Fraction(self.end - self.start, 1000)
        self.queue_ms = None if self.queued is None else Fraction(self.start - self.queued, 1000)
        self.load_ms, self.init_ms, self.inference_ms = (exact(e.get(k)) for k in ("checkpointLoadMs", "modelInitMs", "inferenceMs"))
        self.input_bytes, self.output_bytes, self.peak_bytes = (e.get(k) for k in ("inputBytes", "outputBytes", "gpuMemoryPeakBytes"))
        self.cpu_seconds = exact(e.get("cpuSeconds"))


class Facts:
    """All events of a file by type, each once, in the order of their first line."""

    def __init__(self, path):
        opened = gzip.open(path, "rt", encoding="utf-8") if str(path).endswith(".gz") else open(path, encoding="utf-8")
        seen, kept = set(), {}
        self.lines = self.duplicates = 0
        with opened as lines:
            for line in lines:
                event = json.loads(line, parse_float=Decimal)
                kind = event["type"]
                self.lines += 1
                key = (event["vm"], event.get("gpu"), instant(event["at"])) if kind.endswith("Sample") else event["id"].lower()
                if (kind, key) in seen:
                    self.duplicates += 1
                    continue
                seen.add((kind, key))
                kept.setdefault(kind, []).append(event)
        self.executions = [Execution(e) for e in kept.get("execution", [])]
        self.jobs, self.loads = kept.get("job", []), kept.get("checkpointLoad", [])
        self.snapshots = kept.get("storageSnapshot", [])
        self.states, self.samples, self.gpu_samples = kept.get("vmState", []), kept.get("vmSample", []), kept.get("gpuSample", [])
