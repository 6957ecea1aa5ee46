"""Machines: their lives, states, instance types and regions; what an execution on them held (contract/semantics.md, "Machines" and "Slot")."""
from collections import defaultdict
from fractions import Fraction

from facts import instant

STATES = ["REQUESTED", "PROVISIONING", "RUNNING", "UNREACHABLE", "MAINTENANCE", "STOPPED", "DEPROVISIONING", "TERMINATED", "FAILED"]
OPENING = {"REQUESTED", "PROVISIONING", "RUNNING"}
TYPE_FACTS = ("vCpus", "memoryBytes", "gpuModel", "gpuCount")


class Machine:
    def __init__(self, name, states, touched):
        self.name = name
        self.states = sorted(((instant(e["at"]), STATES.index(e["state"]), e["id"].lower(), e) for e in states), key=lambda s: s[:3])
        self.touched = touched           # (first, last) instant of its samples, loads and executions
        self.told = {k: [(at, e[k]) for at, _, _, e in self.states if e.get(k) is not None] for k in ("region", "provider", "purchaseOption")}
        self.lives = self._lives()

    def _lives(self):
        """[first event, last instant (None: open), instance type], in order."""
        lives, closed = [], True
        for at, order, _, event in self.states:
            if closed and STATES[order] in OPENING:
                lives.append([at, None, None])
                closed = False
            if lives and event.get("instanceType") is not None:
                lives[-1][2] = event["instanceType"]
            if STATES[order] == "TERMINATED" and lives:
                lives[-1][1], closed = at, True
        return lives

    def instance_type(self, at):
        """Of the life that holds the instant; between two lives of the one before, before all of the first."""
        found = None
        for start, _, kind in self.lives:
            if found is None or start <= at:
                found = kind
        return found

    def life_number(self, at):
        """Which life the instant lies in or follows; 0 before the first."""
        return max(0, sum(start <= at for start, _, _ in self.lives) - 1)

    def holds(self, what, at):
        """Region, provider or purchase option: from the event that names it until the next; before the first: the first."""
        told = self.told[what]
        value = told[0][1] if told else None
        for since, v in told:
            if since <= at:
                value = v
        return value

    def running(self):
        """[(start, end)] in state RUNNING; end None: still."""
        if not self.states:
            return [(self.touched[0], self.touched[1])] if self.touched else []
        spans = []
        for here, after in zip(self.states, self.states[1:] + [None]):
            if STATES[here[1]] == "RUNNING":
                spans.append((here[0], after[0] if after else None))
        return [s for s in spans if s[1] is None or s[1] > s[0]]


class Fleet:
    def __init__(self, facts):
        self.types = defaultdict(dict)
        for event in sorted(facts.states, key=lambda e: (instant(e["at"]), STATES.index(e["state"]), e["id"].lower())):
            for k in TYPE_FACTS:
                if event.get("instanceType") is not None and event.get(k) is not None:
                    self.types[event["instanceType"]][k] = event[k]
        states, touched, self.highest = defaultdict(list), defaultdict(list), defaultdict(lambda: -1)
        for event in facts.states:
            states[event["vm"]].append(event)
        for sample in facts.samples + facts.gpu_samples:
            touched[sample["vm"]].append(instant(sample["at"]))
        for load in facts.loads:
            touched[load["vm"]] += [instant(load["startedAt"]), instant(load["finishedAt"])]
        for x in facts.executions:
            if x.vm is not None:
                touched[x.vm] += [x.start, x.end]
                self.highest[x.vm] = max([self.highest[x.vm], *x.gpus])
        for event in facts.gpu_samples + facts.loads:
            if event.get("gpu") is not None:
                self.highest[event["vm"]] = max(self.highest[event["vm"]], event["gpu"])
        for event in facts.jobs:
            if event.get("vm") is not None:
                touched[event["vm"]] += []
                self.highest[event["vm"]] = max([self.highest[event["vm"]], *(event.get("gpus") or [])])
        names = set(states) | set(touched)
        self.machines = {n: Machine(n, states[n], (min(touched[n]), max(touched[n])) if touched[n] else None) for n in names}
        for x in facts.executions:
            self._place(x)

    def slots(self, machine, instance_type):
        """(are they GPUs, how many) of a machine of that type; without a machine none are GPUs."""
        if machine is None:
            return False, 1
        count = self.types.get(instance_type, {}).get("gpuCount")
        if count is not None:
            return count > 0, max(1, count)
        return self.highest[machine.name] >= 0, max(1, 1 + self.highest[machine.name])

    def held(self, machine, instance_type, gpus):
        """The slots that an execution holds which names `gpus`; none named: all."""
        if machine is None:
            return []
        has_gpu, count = self.slots(machine, instance_type)
        return sorted(set(gpus)) if gpus and has_gpu else list(range(count))

    def _place(self, x):
        machine = self.machines.get(x.vm)
        x.instance_type = machine.instance_type(x.end) if machine else None
        x.region = machine.holds("region", x.end) if machine else None
        x.provider = machine.holds("provider", x.end) if machine else None
        known = self.types.get(x.instance_type, {})
        x.has_gpu, slots = self.slots(machine, x.instance_type)
        x.slots = self.held(machine, x.instance_type, x.gpus)
        held = len(x.slots) or 1
        x.gpus_held = len(x.slots) if x.has_gpu else 0
        x.gpu_hours = x.duration_ms * x.gpus_held / 3_600_000
        if x.cpu_seconds is not None:
            x.cpu_hours = x.cpu_seconds / 3600
        elif machine is not None and known.get("vCpus") is not None:
            x.cpu_hours = x.duration_ms * known["vCpus"] * Fraction(held, slots) / 3_600_000
        else:
            x.cpu_hours = Fraction(0)
