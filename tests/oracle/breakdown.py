"""Rows by dimensions: which executions stand in which row, in what order, what the limit cuts off."""
from datetime import datetime, timedelta, timezone

from facts import EPOCH, by_bytes

MINUTE_US = 60_000_000
STEP_US = {"MINUTE": MINUTE_US, "HOUR": 60 * MINUTE_US, "DAY": 24 * 60 * MINUTE_US}


def named(name):
    return None if name is None else dict(name=name)


def checkpoint_key(c):
    return None if c is None else dict(kind=c[1], name=c[0])


def version_key(c):
    return None if c is None else dict(checkpoint=dict(kind=c.kind, name=c.name), version=c.version)


# dimension -> (name of its field in the key, value or values of an execution, shape of the key, texts that order it)
DIMENSIONS = {
    "MODEL_TYPE": ("modelType", lambda x: [x.model_type], lambda v: v, lambda v: [v]),
    "MODEL": ("model", lambda x: [x.model], named, lambda v: [v]),
    "MODEL_VERSION": ("modelVersion", lambda x: [(x.model, x.version)], lambda v: dict(model=dict(name=v[0]), version=v[1]), lambda v: [f"{v[0]} {v[1]}"]),
    "CHECKPOINT": ("checkpoint", lambda x: sorted({(c.name, c.kind) for c in x.checkpoints}) or [None], checkpoint_key, lambda v: [v[0], v[1]]),
    "CHECKPOINT_VERSION": ("checkpointVersion", lambda x: list(x.checkpoints) or [None], version_key, lambda v: [f"{v.name} {v.version}", v.kind]),
    "COMBINATION": ("combination", lambda x: [(x.label, x.model, x.version, x.checkpoints)], lambda v: dict(label=v[0]), lambda v: [v[0]]),
    "APPLICATION": ("application", lambda x: [x.application], named, lambda v: [v]),
    "USER": ("user", lambda x: [x.user], named, lambda v: [v]),
    "DEPARTMENT": ("department", lambda x: [x.department], named, lambda v: [v]),
    "PROJECT": ("project", lambda x: [x.project], named, lambda v: [v]),
    "VM": ("vm", lambda x: [x.vm], named, lambda v: [v]),
    "INSTANCE_TYPE": ("instanceType", lambda x: [x.instance_type], named, lambda v: [v]),
    "REGION": ("region", lambda x: [x.region], lambda v: v, lambda v: [v]),
    "PROVIDER": ("provider", lambda x: [x.provider], lambda v: v, lambda v: [v]),
    "ERROR_TYPE": ("errorType", lambda x: [x.error_type], lambda v: v, lambda v: [v]),
    "STORAGE_TYPE": ("storageType", lambda x: [x.storage_type], lambda v: v, lambda v: [v]),
    "STORAGE_LOCATION": ("storageLocation", lambda x: [x.storage_location], lambda v: v, lambda v: [v]),
}


def keys_of(item, by):
    keys = [()]
    for dimension in by:
        keys = [k + (v,) for k in keys for v in DIMENSIONS[dimension][1](item)]
    return keys


def key_object(key, by):
    return {DIMENSIONS[d][0]: None if v is None else DIMENSIONS[d][2](v) for d, v in zip(by, key)}


def key_order(key, by):
    """By the names in the order of `by`, bytes, null last."""
    return [(1, []) if v is None else (0, [by_bytes(t) for t in DIMENSIONS[d][3](v)]) for d, v in zip(by, key)]


def descending(value):
    """Largest first, null last."""
    return (1, 0) if value is None else (0, -value)


def grouped(items, by):
    rows = {}
    for item in items:
        for key in keys_of(item, by):
            rows.setdefault(key, []).append(item)
    return rows


def ordered(rows, by, measure):
    return sorted(rows, key=lambda k: (descending(measure(rows[k])), key_order(k, by)))


def next_edge(at, step):
    if step == "MONTH":
        day = EPOCH + timedelta(microseconds=at)
        return (datetime(day.year + day.month // 12, day.month % 12 + 1, 1, tzinfo=timezone.utc) - EPOCH) // timedelta(microseconds=1)
    return (at // STEP_US[step] + 1) * STEP_US[step]


def tiles(start, end, step):
    """UTC calendar units over the window, the first and last cut to it."""
    out = []
    while start < end:
        after = min(next_edge(start, step), end)
        out.append((start, after))
        start = after
    return out
