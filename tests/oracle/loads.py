"""loadBreakdown: loads of base models and checkpoints in the window in which they finished.

Where contract/ is silent, the answers of its own fixture tell: a load that failed counts in bytes and times like any other, also in
the throughput. A miss that did not tell its bytes tells nothing of the throughput.
"""
from fractions import Fraction

import breakdown
from executions import known, once, p95, ratio
from facts import UNVERSIONED, Checkpoint, exact, instant
from spread import distribution


class Load:
    def __init__(self, e):
        self.start, self.end = instant(e["startedAt"]), instant(e["finishedAt"])
        self.model, self.version = e["model"], e.get("modelVersion") or UNVERSIONED
        c = e.get("checkpoint")
        self.checkpoints = () if c is None else (Checkpoint(c["name"], c.get("version") or UNVERSIONED, c["kind"]),)
        self.vm, self.storage_type, self.storage_location = e["vm"], e["storageType"], e.get("storageLocation")
        self.hit, self.failed, self.error_type = e["cacheHit"], e.get("outcome") == "FAILED", e.get("errorType")
        self.bytes = exact(e.get("bytes"))
        self.duration_ms = Fraction(self.end - self.start, 1000)


def tell_loads(facts):
    """Needs the fleet and the types of models."""
    types = {x.model: x.model_type for x in facts.executions}
    facts.told_loads = [Load(e) for e in facts.loads]
    for load in facts.told_loads:
        machine = facts.fleet.machines.get(load.vm)
        load.model_type = types.get(load.model)
        load.instance_type = machine.instance_type(load.end) if machine else None
        load.region = machine.holds("region", load.end) if machine else None
        load.provider = machine.holds("provider", load.end) if machine else None


CONDITIONS = {
    "models": lambda x, v: x.model in v,
    "checkpoints": lambda x, v: any(dict(kind=c.kind, name=c.name) in v for c in x.checkpoints),
    "checkpointVersions": lambda x, v: any(dict(kind=c.kind, name=c.name, version=c.version) in v for c in x.checkpoints),
    "vms": lambda x, v: x.vm in v,
    "instanceTypes": lambda x, v: x.instance_type in v,
    "regions": lambda x, v: x.region in v,
    "storageTypes": lambda x, v: x.storage_type in v,
    "storageLocations": lambda x, v: x.storage_location in v,
    "errorTypes": lambda x, v: x.error_type in v,
    "cacheHit": lambda x, v: x.hit == v,
}


def hits(loads):
    return [x for x in loads if x.hit]


def misses(loads):
    return [x for x in loads if not x.hit]


def total_bytes(loads):
    return int(sum(known(x.bytes for x in loads)))


def times(loads):
    return [x.duration_ms for x in loads]


def throughput(loads):
    sized = [x for x in misses(loads) if x.bytes is not None]
    seconds = sum(times(sized)) / 1000
    return float(total_bytes(sized) / seconds) if seconds else None


STATS = {
    "loads": len,
    "cacheHits": lambda xs: len(hits(xs)),
    "cacheMisses": lambda xs: len(misses(xs)),
    "hitRatio": lambda xs: ratio(len(hits(xs)), len(xs)),
    "failed": lambda xs: sum(x.failed for x in xs),
    "bytes": total_bytes,
    "duration": lambda xs: distribution(times(xs)),
    "hitDuration": lambda xs: distribution(times(hits(xs))),
    "missDuration": lambda xs: distribution(times(misses(xs))),
    "throughputBytesPerSecond": throughput,
}
# LoadOrder -> (what it sorts by, how check.py compares it)
ORDERS = {
    "LOADS": (len, "sorted"),
    "MISSES": (lambda xs: len(misses(xs)), "sorted"),
    "BYTES": (total_bytes, "sorted"),
    "DURATION_P95": (lambda xs: p95(times(xs)), "sorted~"),
}


class LoadQuestion:
    def __init__(self, facts, arguments, start, end):
        self.window, self.by, self.limit = (start, end), arguments["by"], arguments.get("limit", 100)
        measure, self.mode = ORDERS[arguments.get("orderBy", "LOADS")]
        conditions = [(CONDITIONS[k], v) for k, v in (arguments.get("filter") or {}).items() if v is not None]
        self.total = [x for x in facts.told_loads if start <= x.end < end and all(c(x, v) for c, v in conditions)]
        self.rows = breakdown.grouped(self.total, self.by)
        self.order = breakdown.ordered(self.rows, self.by, measure)
        self.sort = [measure(self.rows[k]) for k in self.order]
        cut = [self.rows[k] for k in self.order[self.limit:]]
        self.other = once(cut) if cut else None

    def figure(self, field, loads, window):
        return STATS[field.name](loads)
