"""concurrencySeries: how many run and how many wait at once (contract/semantics.md, "Concurrency")."""
from fractions import Fraction

import breakdown
from executions import fitting

DAY_US = 24 * 3_600_000_000


class Interval:
    """A stretch in which an execution or a live job (its owner) runs or waits; it is named as its owner is."""

    def __init__(self, owner, start, end, waits):
        self.owner, self.start, self.end, self.waits = owner, start, end, waits

    def __getattr__(self, name):
        return getattr(self.owner, name)


def intervals(facts):
    found = []
    for x in facts.executions:
        found.append(Interval(x, x.start, x.end, False))
        if x.queued is not None:
            found.append(Interval(x, x.queued, x.start, True))
    found += [Interval(c, c.at, c.at + DAY_US, c.state == "QUEUED") for c in facts.live_jobs]
    return [i for i in found if i.start < i.end]


def inside(items, start, end):
    return [(max(i.start, start), min(i.end, end)) for i in items if i.start < end and i.end > start]


def time(items, start, end):
    return sum(b - a for a, b in inside(items, start, end))


def most(items, start, end):
    """The largest number at one instant: ends come before starts."""
    here, largest = 0, 0
    for _, change in sorted([(a, 1) for a, _ in inside(items, start, end)] + [(b, -1) for _, b in inside(items, start, end)]):
        here += change
        largest = max(largest, here)
    return largest


class ConcurrencyQuestion:
    def __init__(self, facts, arguments, start, end):
        self.window, self.by, self.limit, self.mode = (start, end), arguments.get("by", []), arguments.get("limit", 20), "sortedf"
        self.step = arguments["step"]
        self.total = [i for i in fitting(intervals(facts), arguments.get("filter")) if i.start < end and i.end > start]
        self.rows = breakdown.grouped(self.total, self.by)

        def running(items):
            return time([i for i in items if not i.waits], start, end)
        self.order = breakdown.ordered(self.rows, self.by, running)
        self.sort = [running(self.rows[k]) for k in self.order]

    def figure(self, field, items, window):
        counted = [i for i in items if i.waits == field.name.startswith("queued")]
        if field.name.lower().endswith("mean"):
            return float(Fraction(time(counted, *window), window[1] - window[0]))
        return most(counted, *window)

    def points(self, items):
        return [(tile, items) for tile in breakdown.tiles(*self.window, self.step)]
