"""availabilityBreakdown: up, down and in maintenance, and how often and how long down (contract/semantics.md, "Availability")."""
from fractions import Fraction

import breakdown
from facts import exact, instant
from fleet import STATES
from machines import DIMENSION_OF
from provisioning import fits

KINDS = {"RUNNING": "up", "UNREACHABLE": "down", "FAILED": "down", "MAINTENANCE": "maintenance"}
FOREVER = 1 << 62


class Stretch:
    """[at, end) of one kind. An incident is a stretch of down that nothing interrupts; `recovered`: it ended with RUNNING or a sample."""

    def __init__(self, machine, at, end, kind, recovered=False):
        self.machine, self.at, self.end, self.kind, self.recovered = machine, at, end, kind, recovered


def silences(machine, samples):
    """[(start, end, ended by a sample)]: from 3 intervals after a sample until the next sample or state after that sample."""
    changes = sorted({at for at, _, _, _ in machine.states})
    ordered = sorted((instant(s["at"]), exact(s["intervalSeconds"])) for s in samples)
    found = []
    for n, (at, interval) in enumerate(ordered):
        start = at + int(3 * interval * 1_000_000)
        sample = ordered[n + 1][0] if n + 1 < len(ordered) else FOREVER
        state = min((c for c in changes if c > at), default=FOREVER)
        if start < min(sample, state):
            found.append((start, min(sample, state), sample <= state))
    return found


def states_in_lives(machine):
    """[(start, end, state)] from the first RUNNING to TERMINATED of each life."""
    if not machine.states:
        return [(*machine.touched, "RUNNING")] if machine.touched else []
    found, alive = [], False
    for here, after in zip(machine.states, machine.states[1:] + [None]):
        state = STATES[here[1]]
        alive = (alive or state == "RUNNING") and state != "TERMINATED"
        if alive:
            found.append((here[0], after[0] if after else FOREVER, state))
    return [s for s in found if s[0] < s[1]]


def stretches(machine, samples):
    """The machine's whole time by kind, cut where silence begins and ends."""
    quiet, found = silences(machine, samples), []
    spans = states_in_lives(machine)
    for n, (start, end, state) in enumerate(spans):
        after = spans[n + 1][2] if n + 1 < len(spans) and spans[n + 1][0] == end else None
        at = start
        for a, b, sampled in quiet if state == "RUNNING" else []:
            if start <= a < b <= end:
                found.append(Stretch(machine, at, a, "up"))
                found.append(Stretch(machine, a, b, "down", sampled or b == end and after == "RUNNING"))
                at = b
        kind = KINDS.get(state)
        if kind:
            found.append(Stretch(machine, at, end, kind, kind == "down" and after == "RUNNING"))
    return [s for s in found if s.at < s.end]


def incidents(found):
    """The stretches of down, those that touch as one."""
    merged = []
    for s in (s for s in found if s.kind == "down"):
        if merged and merged[-1].end == s.at:
            merged[-1] = Stretch(s.machine, merged[-1].at, s.end, "down", s.recovered)
        else:
            merged.append(s)
    return merged


def cuts(machine):
    return sorted({t for told in machine.told.values() for t, _ in told} | {life[0] for life in machine.lives})


def pieces(stretch, start, end):
    """The stretch within the window, cut where what names the machine may change."""
    a, b = max(stretch.at, start), min(stretch.end, end)
    edges = [a] + [c for c in cuts(stretch.machine) if a < c < b] + [b]
    return [Stretch(stretch.machine, s, e, stretch.kind) for s, e in zip(edges, edges[1:]) if s < e]


class Row:
    def __init__(self):
        self.us, self.incidents, self.recoveries = dict(up=0, down=0, maintenance=0), 0, []


class AvailabilityQuestion:
    def __init__(self, facts, arguments, start, end):
        self.window, self.by, self.limit, self.mode = (start, end), arguments.get("by", []), None, "sorted"
        self.target, self.filter = arguments.get("targetRatio", 0.999), arguments.get("filter")
        samples = {}
        for event in facts.samples:
            samples.setdefault(event["vm"], []).append(event)
        self.rows, self.total = {}, Row()
        for machine in facts.fleet.machines.values():
            self.add(stretches(machine, samples.get(machine.name, [])))
        self.order = sorted(self.rows, key=lambda k: breakdown.key_order(k, self.by))
        self.sort = [0 for _ in self.order]

    def add(self, found):
        for stretch in found:
            for piece in pieces(stretch, *self.window):
                for row in self.rows_of(piece):
                    row.us[piece.kind] += piece.end - piece.at
        for incident in incidents(found):
            began = self.window[0] <= incident.at < self.window[1]
            recovered = incident.recovered and self.window[0] <= incident.end < self.window[1]
            for row in self.rows_of(incident) if began or recovered else []:
                row.incidents += began
                row.recoveries += [incident.end - incident.at] if recovered else []

    def rows_of(self, stretch):
        if not fits(self.filter, stretch.machine, stretch.at):
            return []
        key = tuple(DIMENSION_OF[d](stretch.machine, stretch.at) for d in self.by)
        return [self.rows.setdefault(key, Row()), self.total]

    def figure(self, field, row, window):
        up, down, name = row.us["up"], row.us["down"], field.name
        if name in ("upMs", "downMs", "maintenanceMs"):
            return round(Fraction(row.us[name.removesuffix("Ms")], 1000))
        if name == "incidents":
            return row.incidents
        if name == "meanTimeToRecoverMs":
            return float(Fraction(sum(row.recoveries), 1000 * len(row.recoveries))) if row.recoveries else None
        ratio = Fraction(up, up + down) if up + down else None
        if name == "availabilityRatio":
            return None if ratio is None else float(ratio)
        return None if ratio is None else ratio >= Fraction(str(self.target))
