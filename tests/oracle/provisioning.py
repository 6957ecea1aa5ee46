"""provisioningBreakdown: how machines came and went, each step where it ended (contract/semantics.md, "Provisioning")."""
from fractions import Fraction

import breakdown
from fleet import STATES
from machines import DIMENSION_OF, FILTERS
from spread import distribution


class Step:
    """One thing that happened to a machine at an instant; `ms`: how long it took, where that is told."""

    def __init__(self, machine, at, what, since=None):
        self.machine, self.at, self.what = machine, at, what
        self.ms = None if since is None else Fraction(at - since, 1000)


def steps_of_life(machine, states):
    steps, requested, deprovisioned, ran, failed = [], None, None, False, False
    for at, state in states:
        if state == "REQUESTED":
            steps.append(Step(machine, at, "requested"))
            requested = at
        elif state == "RUNNING" and not ran:
            steps.append(Step(machine, at, "provisioned", requested))
            ran = True
        elif state == "FAILED" and not ran and not failed:
            steps.append(Step(machine, at, "failed"))
            failed = True
        elif state == "DEPROVISIONING":
            deprovisioned = at if deprovisioned is None else deprovisioned
        elif state == "TERMINATED":
            steps.append(Step(machine, at, "terminated", deprovisioned))
    return steps


def steps(fleet):
    found = []
    for machine in fleet.machines.values():
        lives = {}
        for at, order, _, _ in machine.states:
            lives.setdefault(machine.life_number(at), []).append((at, STATES[order]))
        for states in lives.values():
            found += steps_of_life(machine, states)
    return found


def count(what):
    return lambda found: sum(s.what == what for s in found)


def times(what):
    return lambda found: distribution([s.ms for s in found if s.what == what and s.ms is not None])


STATS = {"requested": count("requested"), "provisioned": count("provisioned"), "failed": count("failed"), "terminated": count("terminated"),
         "provisioning": times("provisioned"), "deprovisioning": times("terminated")}


def fits(filter_, machine, at):
    return all(v is None or DIMENSION_OF[FILTERS[k]](machine, at) in v for k, v in (filter_ or {}).items())


class ProvisioningQuestion:
    def __init__(self, facts, arguments, start, end):
        self.window, self.by, self.limit, self.mode = (start, end), arguments.get("by", []), None, "sorted"
        self.total = [s for s in steps(facts.fleet) if start <= s.at < end and fits(arguments.get("filter"), s.machine, s.at)]
        self.rows = {}
        for s in self.total:
            self.rows.setdefault(tuple(DIMENSION_OF[d](s.machine, s.at) for d in self.by), []).append(s)
        self.order = sorted(self.rows, key=lambda k: breakdown.key_order(k, self.by))
        self.sort = [0 for _ in self.order]

    def figure(self, field, found, window):
        return STATS[field.name](found)
