"""storageBreakdown: what lies where over a window, and the loads that came from there.

A snapshot holds until the next of its place (equal instants: the greater id is later). A load has an artifact and a place of its own,
whether anything is told to lie there or not. A row is there when it had bytes or a load in the window.
"""
from fractions import Fraction

import breakdown
from facts import UNVERSIONED, Checkpoint, instant
from loads import CONDITIONS

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US


class Place:
    def __init__(self, model, version, checkpoint, storage_type, storage_location):
        self.model, self.version, self.model_type = model, version, None
        self.checkpoints = () if checkpoint is None else (checkpoint,)
        self.storage_type, self.storage_location = storage_type, storage_location
        self.snapshots = []                                  # (at, id, bytes)

    def pieces(self, start, end):
        """(from, to, bytes) over the window."""
        edges = [(at, size) for at, _, size in self.snapshots if at < end]
        for n, (at, size) in enumerate(edges):
            until = edges[n + 1][0] if n + 1 < len(edges) else end
            if max(at, start) < min(until, end):
                yield max(at, start), min(until, end), size


def tell_storage(facts):
    places = {}
    for e in facts.snapshots:
        c = e.get("checkpoint")
        checkpoint = None if c is None else Checkpoint(c["name"], c.get("version") or UNVERSIONED, c["kind"])
        version = (e.get("modelVersion") or UNVERSIONED) if e.get("model") else None
        key = (e.get("model"), version, checkpoint, e["storageType"], e.get("storageLocation"))
        places.setdefault(key, Place(*key)).snapshots.append((instant(e["at"]), bytes.fromhex(e["id"].replace("-", "")), e["sizeBytes"]))
    facts.places = list(places.values())
    for place in facts.places:
        place.snapshots.sort()


def is_place(item):
    return isinstance(item, Place)


def key_of(item, by):
    """A checkpoint of no known base model has no model version."""
    return tuple(None if d == "MODEL_VERSION" and item.model is None else v for d, v in zip(by, breakdown.keys_of(item, by)[0]))


class StorageQuestion:
    def __init__(self, facts, arguments, start, end):
        self.window, self.by, self.limit, self.mode = (start, end), arguments["by"], arguments.get("limit", 100), "sorted"
        conditions = [(CONDITIONS[k], v) for k, v in (arguments.get("filter") or {}).items() if v is not None]
        earlier = [x for x in facts.told_loads if x.end < end]
        self.total = [x for x in facts.places + earlier if all(c(x, v) for c, v in conditions)]
        rows = {}
        for item in self.total:
            rows.setdefault(key_of(item, self.by), []).append(item)
        self.rows = {k: xs for k, xs in rows.items() if self.loads(xs) or self.byte_us(xs)}
        measure = {"SIZE": self.size, "LOADS": self.loads, "LAST_LOADED": self.last}[arguments.get("orderBy", "SIZE")]
        self.order = breakdown.ordered(self.rows, self.by, measure)
        self.sort = [measure(self.rows[k]) for k in self.order]
        cut = [x for k in self.order[self.limit:] for x in self.rows[k]]
        self.other = cut or None

    def at_end(self, items):
        start, end = self.window
        return [size for x in items if is_place(x) for _, to, size in x.pieces(start, end) if to == end]

    def size(self, items):
        return sum(self.at_end(items))

    def byte_us(self, items):
        return sum((to - at) * size for x in items if is_place(x) for at, to, size in x.pieces(*self.window))

    def loads(self, items):
        return sum(not is_place(x) and x.end >= self.window[0] for x in items)

    def last(self, items):
        return max((x.end for x in items if not is_place(x)), default=None)

    def cold(self, items):
        """Bytes at every instant of the window, and no load in it."""
        start, end = self.window
        pieces = sorted((at, to) for x in items if is_place(x) for at, to, size in x.pieces(start, end) if size)
        for at, to in pieces:
            if at > start:
                return False
            start = max(start, to)
        return start >= end and not self.loads(items)

    def figure(self, field, items, window):
        from facts import written
        last = self.last(items)
        return {
            "sizeBytes": self.size(items), "replicas": sum(size > 0 for size in self.at_end(items)),
            "byteHours": float(Fraction(self.byte_us(items), HOUR_US)), "loads": self.loads(items),
            "loadsPerDay": float(Fraction(self.loads(items) * DAY_US, window[1] - window[0])),
            "lastLoadedAt": None if last is None else written(last), "cold": self.cold(items),
        }[field.name]
