"""machineBreakdown and machineSeries: MachineStats by brute force."""
from fractions import Fraction

import breakdown
from facts import exact, instant
from spread import gauge

DIMENSION_OF = {"VM": lambda m, at: m.name, "INSTANCE_TYPE": lambda m, at: m.instance_type(at),
                "REGION": lambda m, at: m.holds("region", at), "PROVIDER": lambda m, at: m.holds("provider", at)}
AMOUNTS = ("networkReceivedBytes", "networkSentBytes", "networkErrors", "diskReadBytes", "diskWrittenBytes", "diskReadOps", "diskWriteOps")
FILTERS = {"vms": "VM", "instanceTypes": "INSTANCE_TYPE", "regions": "REGION", "providers": "PROVIDER"}


class Span:
    """A stretch of RUNNING in which nothing that a machine can be broken down by changes."""

    def __init__(self, machine, start, end):
        self.machine, self.at, self.end = machine, start, end


class Sample:
    def __init__(self, machine, event):
        self.machine, self.at, self.event = machine, instant(event["at"]), event
        self.end = self.at

    def get(self, key):
        return exact(self.event.get(key))


class MachineFacts:
    """Samples and RUNNING spans, each with its machine."""

    def __init__(self, facts, fleet):
        at = fleet.machines
        self.samples = [Sample(at[e["vm"]], e) for e in facts.samples]
        self.gpu_samples = [Sample(at[e["vm"]], e) for e in facts.gpu_samples]
        self.intervals = {}
        for x in facts.executions:
            self.intervals.setdefault(x.vm, []).append((x.start, x.end))
        self.spans = []
        for machine in fleet.machines.values():
            cuts = sorted({t for told in machine.told.values() for t, _ in told} | {life[0] for life in machine.lives})
            for start, end in machine.running():
                edges = [start] + [c for c in cuts if c > start and (end is None or c < end)] + [end]
                self.spans += [Span(machine, s, e) for s, e in zip(edges, edges[1:])]


def of_row(facts, by, filter_, key):
    """The samples and spans that stand in one row (key None: in the total)."""
    def fits(item):
        wanted = all(v is None or DIMENSION_OF[FILTERS[k]](item.machine, item.at) in v for k, v in (filter_ or {}).items())
        return wanted and (key is None or tuple(DIMENSION_OF[d](item.machine, item.at) for d in by) == key)
    return tuple([i for i in items if fits(i)] for items in (facts.samples, facts.gpu_samples, facts.spans))


def within(row, start, end):
    samples, gpu_samples, spans = row
    cut = [Span(s.machine, max(s.at, start), end if s.end is None else min(s.end, end)) for s in spans]
    return ([s for s in samples if start <= s.at < end], [s for s in gpu_samples if start <= s.at < end], [s for s in cut if s.at < s.end])


def values(samples, key):
    return [v for v in (s.get(key) for s in samples) if v is not None]


def shares(samples, used, total):
    pairs = [(s.get(used), s.get(total)) for s in samples]
    return [Fraction(u) / t for u, t in pairs if u is not None and t]


def rates(samples, key):
    return [s.get(key) / s.get("intervalSeconds") for s in samples if s.get(key) is not None]


def union_us(intervals):
    length, reached = 0, None
    for start, end in sorted(intervals):
        start = start if reached is None else max(start, reached)
        if end > start:
            length, reached = length + end - start, end
    return length


def activity(spans, executions_of):
    running = sum(s.end - s.at for s in spans)
    active = 0
    for s in spans:
        held = [(max(a, s.at), min(b, s.end)) for a, b in executions_of.get(s.machine.name, [])]
        active += union_us([i for i in held if i[0] < i[1]])
    # exact parts are microseconds; a whole number of milliseconds is told
    return dict(runningMs=round(running / 1000), activeMs=round(active / 1000), idleMs=round((running - active) / 1000),
                idleRatio=float(Fraction(running - active, running)) if running else None)


def rate(name, samples):
    return gauge(rates(samples, name.removesuffix("PerSecond")))


# field of MachineStats -> its value over (vm samples, gpu samples)
STATS = {
    "samples": lambda vs, gs: len(vs), "gpuSamples": lambda vs, gs: len(gs),
    "cpuRatio": lambda vs, gs: gauge(values(vs, "cpuRatio")),
    "memoryRatio": lambda vs, gs: gauge(shares(vs, "memoryUsedBytes", "memoryTotalBytes")),
    "memoryUsedBytes": lambda vs, gs: gauge(values(vs, "memoryUsedBytes")),
    "diskRatio": lambda vs, gs: gauge(shares(vs, "diskUsedBytes", "diskTotalBytes")),
    "diskBusyRatio": lambda vs, gs: gauge(values(vs, "diskBusyRatio")),
    "gpuRatio": lambda vs, gs: gauge(values(gs, "utilizationRatio")),
    "gpuMemoryRatio": lambda vs, gs: gauge(shares(gs, "memoryUsedBytes", "memoryTotalBytes")),
    "gpuMemoryUsedBytes": lambda vs, gs: gauge(values(gs, "memoryUsedBytes")),
    "gpuTemperatureCelsius": lambda vs, gs: gauge(values(gs, "temperatureCelsius")),
    "gpuPowerWatts": lambda vs, gs: gauge(values(gs, "powerWatts")),
    "gpuIdleRatio": lambda vs, gs: idle_ratio(values(gs, "utilizationRatio")),
}


def idle_ratio(busy):
    return sum(v < Fraction(1, 100) for v in busy) / len(busy) if busy else None


def stats(row, executions_of, name):
    """One figure of MachineStats."""
    samples, gpus, spans = row
    if name == "vms":
        return len({i.machine.name for items in row for i in items})
    if name == "activity":
        return activity(spans, executions_of)
    if name in AMOUNTS:
        return int(sum(values(samples, name)))
    return STATS[name](samples, gpus) if name in STATS else rate(name, samples)


class MachineQuestion:
    """machineBreakdown, or machineSeries when there is a step: rows by samples over the window."""

    def __init__(self, facts, arguments, start, end):
        facts = facts.machines
        self.intervals = facts.intervals
        self.window, self.by, self.mode = (start, end), arguments.get("by", []), "sorted"
        self.step, filter_ = arguments.get("step"), arguments.get("filter")
        self.limit = arguments.get("limit", 20 if self.step else 100)
        self.total = within(of_row(facts, self.by, filter_, None), start, end)
        items = [i for kind in self.total for i in kind]
        keys = {tuple(DIMENSION_OF[d](i.machine, i.at) for d in self.by) for i in items}
        self.rows = {k: within(of_row(facts, self.by, filter_, k), start, end) for k in keys}
        self.order = breakdown.ordered(self.rows, self.by, lambda row: len(row[0]))
        self.sort = [len(self.rows[k][0]) for k in self.order]
        cut = [self.rows[k] for k in self.order[self.limit:]]
        self.other = tuple([i for row in cut for i in row[n]] for n in range(3)) if cut else None
        self.tiles = breakdown.tiles(start, end, self.step) if self.step else []

    def figure(self, field, row, window):
        return stats(row, self.intervals, field.name)

    def points(self, row):
        return [(tile, within(row, *tile)) for tile in self.tiles]
