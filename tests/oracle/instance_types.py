"""instanceTypeUsage: how busy the machines of a type were, and with what (contract/semantics.md, "busyRatio")."""
from fractions import Fraction

from facts import by_bytes
from machines import of_row, union_us, values, within
from provisioning import fits
from spread import distribution, gauge

HOUR_US = 3_600_000_000


class InstanceTypeQuestion:
    def __init__(self, facts, arguments, start, end):
        self.facts, filter_ = facts, arguments.get("filter")
        self.row = within(of_row(facts.machines, [], filter_, None), start, end)
        machines = facts.fleet.machines
        self.executions = [x for x in facts.executions if start <= x.end < end and x.vm is not None and fits(filter_, machines[x.vm], x.end)]
        names = {s.machine.instance_type(s.at) for items in self.row for s in items} | {x.instance_type for x in self.executions}
        self.names = sorted(names - {None}, key=by_bytes)

    def usage(self, name):
        samples, gpus, spans = ([i for i in items if i.machine.instance_type(i.at) == name] for items in self.row)
        known = self.facts.fleet.types.get(name, {})
        kind = dict(name=name, provider=None, **{k: known.get(k) for k in ("vCpus", "memoryBytes", "gpuModel", "gpuCount")})
        running = sum(s.end - s.at for s in spans)
        return dict(instanceType=kind, vms=len({i.machine.name for items in (samples, gpus, spans) for i in items}), runningHours=float(Fraction(running, HOUR_US)),
                    busyRatio=self.busy_ratio(spans), gpuRatio=gauge(values(gpus, "utilizationRatio")))

    def busy_ratio(self, spans):
        busy = whole = 0
        for span in spans:
            _, slots = self.facts.fleet.slots(span.machine, span.machine.instance_type(span.at))
            whole += (span.end - span.at) * slots
            for slot in range(slots):
                held = [(max(x.start, span.at), min(x.end, span.end)) for x in self.facts.executions if x.vm == span.machine.name and slot in x.slots]
                busy += union_us([h for h in held if h[0] < h[1]])
        return float(Fraction(busy, whole)) if whole else None

    def workloads(self, name):
        found = {}
        for x in self.executions:
            if x.instance_type == name:
                found.setdefault((x.model, x.version, x.checkpoints), []).append(x)
        hours = {k: sum(x.duration_ms * len(x.slots) for x in xs) / 3_600_000 for k, xs in found.items()}
        whole = sum(hours.values())
        order = sorted(found, key=lambda k: (-hours[k], by_bytes(found[k][0].label)))
        return [dict(combination=dict(label=found[k][0].label), executions=len(found[k]), gpuHours=float(hours[k]),
                     ratio=float(hours[k] / whole) if whole else 0.0, duration=distribution([x.duration_ms for x in found[k]])) for k in order], [hours[k] for k in order]
