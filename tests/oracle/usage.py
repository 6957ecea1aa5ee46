"""usageBreakdown and usageSeries: slot time in whole UTC hours, shared by those who held a slot, idle time by who caused it.

contract/semantics.md, "Money" 2 to 4 and 7, without money: the share of an instant, and whose it is.
"""
from fractions import Fraction

import breakdown
from availability import states_in_lives
from breakdown import STEP_US
from executions import fitting

HOUR_US = STEP_US["HOUR"]
CHECKPOINT_CONDITIONS = {"checkpoints", "checkpointVersions"}


class Part:
    """[start, end) of one slot that an execution (the owner) held, alone or with others, or that idled because of it.

    Where that was is a matter of the machine in that hour, not of the execution, which may end elsewhere: all else is the owner's.
    """

    def __init__(self, owner, start, end, idle, gpu, cpu, checkpoints, place=(None, None, None)):
        self.owner, self.start, self.end, self.idle = owner, start, end, idle
        self.place = self.instance_type, self.region, self.provider = place
        self.gpu, self.cpu, self.checkpoints = gpu, cpu, checkpoints          # GPUs and vCPUs that it stands for

    def __getattr__(self, name):
        return getattr(self.owner, name)

    def by_checkpoint(self):
        """Even shares, one for each checkpoint version."""
        versions = self.owner.checkpoints
        if len(versions) < 2:
            return [self]
        return [Part(self.owner, self.start, self.end, self.idle, self.gpu / len(versions), self.cpu / len(versions), (v,), self.place) for v in versions]


def cut_by_place(machine, span):
    """Where the machine changes its region or provider."""
    start, end, state = span
    changes = {at for name in ("region", "provider") for at, _ in machine.told[name] if start < at < end}
    edges = sorted({start, end} | changes)
    return [(a, b, state) for a, b in zip(edges, edges[1:])]


def slot_parts(span, began, executions, gpu, cpu, place):
    """What becomes of one slot in a span (start, end, state) of a life that began at `began`."""
    start, end, state = span
    here = [x for x in executions if x.start < end and x.end > start and x.start < x.end]
    edges = sorted({start, end} | {t for x in executions for t in (x.start, x.end) if start < t < end})
    for a, b in zip(edges, edges[1:]):
        holders = [x for x in here if x.start <= a and x.end >= b]
        if holders:
            for x in holders:
                yield Part(x, a, b, False, Fraction(gpu, len(holders)), cpu / len(holders), x.checkpoints, place)
        elif state == "RUNNING":
            finished = [x for x in executions if began <= x.end <= a]
            if finished:
                last = max(finished, key=lambda x: (x.end, x.id))
                yield Part(last, a, b, True, Fraction(gpu), cpu, last.checkpoints, place)


def parts(facts):
    found = []
    for machine in facts.fleet.machines.values():
        began, number = None, None
        mine = [x for x in facts.executions if x.vm == machine.name]
        for span in states_in_lives(machine):
            if began is None or machine.life_number(span[0]) != number:
                began, number = span[0], machine.life_number(span[0])
            if span[2] == "STOPPED":
                continue
            kind = machine.instance_type(span[0])
            is_gpu, slots = facts.fleet.slots(machine, kind)
            cpu = Fraction(facts.fleet.types.get(kind, {}).get("vCpus") or 0, slots)
            for piece in cut_by_place(machine, span):
                place = kind, machine.holds("region", piece[0]), machine.holds("provider", piece[0])
                for slot in range(slots):
                    found += slot_parts(piece, began, [x for x in mine if slot in x.slots], int(is_gpu), cpu, place)
    return found


def matching(found, filter_):
    """A condition on checkpoints keeps the shares of those checkpoints alone: filter then sum = sum then filter."""
    given = {k: v for k, v in (filter_ or {}).items() if v is not None}
    if CHECKPOINT_CONDITIONS & set(given):
        found = [share for p in found for share in p.by_checkpoint()]
    return fitting(found, given)


class UsageQuestion:
    def __init__(self, facts, arguments, start, end):
        start, end = start // HOUR_US * HOUR_US, -(-end // HOUR_US) * HOUR_US
        self.window, self.by, self.mode, self.step = (start, end), arguments.get("by", []), "sortedf", arguments.get("step")
        self.limit = arguments.get("limit", 20 if self.step else 100)
        if not hasattr(facts, "usage_parts"):
            facts.usage_parts = parts(facts)
        self.total = [p for p in matching(facts.usage_parts, arguments.get("filter")) if p.start < end and p.end > start]
        split = any(d.startswith("CHECKPOINT") for d in self.by)
        self.rows = breakdown.grouped([s for p in self.total for s in (p.by_checkpoint() if split else [p])], self.by)
        measures = {k: hours(v, False, "gpu", *self.window) + hours(v, False, "cpu", *self.window) for k, v in self.rows.items()}
        self.order = sorted(self.rows, key=lambda k: (-measures[k], breakdown.key_order(k, self.by)))
        self.sort = [measures[k] for k in self.order]
        cut = [p for k in self.order[self.limit:] for p in self.rows[k]]
        self.other = cut if len(self.order) > self.limit else None

    def figure(self, field, found, window):
        name = field.name
        return float(hours(found, name.startswith("idle"), "gpu" if name.lower().endswith("gpuhours") else "cpu", *window))

    def points(self, found):
        return [(tile, found) for tile in breakdown.tiles(*self.window, self.step)]


def hours(found, idle, what, start, end):
    """Sum of the parts' time within the window times what they stand for, in hours."""
    weighed = {}
    for p in found:
        if p.idle == idle and p.start < end and p.end > start:
            amount = getattr(p, what)
            weighed[amount] = weighed.get(amount, 0) + min(p.end, end) - max(p.start, start)
    return sum((amount * us for amount, us in weighed.items()), Fraction(0)) / HOUR_US
