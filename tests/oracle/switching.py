"""checkpointSwitching: what was on the slot before, and what a change of it cost (contract/semantics.md, "Switching")."""
from collections import defaultdict
from fractions import Fraction

import breakdown
from executions import known, matching, once
from facts import by_bytes
from spread import distribution

HOUR_US = 3_600_000_000


def combination(x):
    return x.model, x.version, x.checkpoints


def tell_predecessors(facts):
    """To each execution on a machine the one that started before it on its lowest slot in the same life of the machine."""
    on_slot = defaultdict(list)
    for x in facts.executions:
        x.before = None
        if x.vm is not None:
            on_slot[x.vm, facts.fleet.machines[x.vm].life_number(x.start), x.slots[0]].append(x)
    for xs in on_slot.values():
        xs.sort(key=lambda x: (x.start, x.id))
        for before, x in zip(xs, xs[1:]):
            x.before = before


def is_switched(x):
    return x.before is not None and combination(x.before) != combination(x)


def is_unswitched(x):
    return x.before is not None and combination(x.before) == combination(x)


def mean(values):
    return sum(values, Fraction(0)) / len(values) if values else None


def added_mean(xs):
    """Over the switched executions of combinations that also ran unswitched."""
    unswitched = defaultdict(list)
    for x in filter(is_unswitched, xs):
        unswitched[combination(x)].append(x.duration_ms)
    added = [x.duration_ms - mean(unswitched[combination(x)]) for x in filter(is_switched, xs) if unswitched.get(combination(x))]
    return float(mean(added)) if added else None


STATS = {
    "executions": lambda xs, w: len(xs),
    "switches": lambda xs, w: sum(map(is_switched, xs)),
    "coldStarts": lambda xs, w: sum(x.before is None for x in xs),
    "switchRatio": lambda xs, w: sum(map(is_switched, xs)) / warm(xs) if warm(xs) else None,
    "switchesPerHour": lambda xs, w: float(Fraction(sum(map(is_switched, xs)) * HOUR_US, w[1] - w[0])),
    "switched": lambda xs, w: distribution([x.duration_ms for x in xs if is_switched(x)]),
    "unswitched": lambda xs, w: distribution([x.duration_ms for x in xs if is_unswitched(x)]),
    "addedMeanMs": lambda xs, w: added_mean(xs),
}


def warm(xs):
    return sum(x.before is not None for x in xs)


class SwitchingQuestion:
    def __init__(self, facts, arguments, start, end):
        self.window, self.by, self.limit, self.mode = (start, end), arguments.get("by", []), arguments.get("limit", 100), "sorted"
        self.total = [x for x in matching(facts.executions, arguments.get("filter"), start, end) if x.vm is not None]
        self.rows = breakdown.grouped(self.total, self.by)
        self.order = breakdown.ordered(self.rows, self.by, len)
        self.sort = [len(self.rows[k]) for k in self.order]
        cut = [self.rows[k] for k in self.order[self.limit:]]
        self.other = once(cut) if cut else None

    def figure(self, field, xs, window):
        return STATS[field.name](xs, window)

    def transitions(self):
        found = defaultdict(list)
        for x in filter(is_switched, self.total):
            found[combination(x.before), combination(x)].append(x)
        shown = [dict(**{"from": dict(label=xs[0].before.label), "to": dict(label=xs[0].label)}, switches=len(xs), meanLoadMs=mean_load(xs)) for xs in found.values()]
        return sorted(shown, key=lambda t: (-t["switches"], by_bytes(t["from"]["label"]), by_bytes(t["to"]["label"])))


def mean_load(xs):
    value = mean(known(x.load_ms for x in xs))
    return None if value is None else float(value)
