"""vms and what each did when it was sampled last (contract.graphql, VmUtilization), by looking at every sample."""
from facts import instant, written
from fleet import STATES

RATES = ("networkReceivedBytes", "networkSentBytes", "diskReadBytes", "diskWrittenBytes")
LEVELS = ("cpuRatio", "memoryUsedBytes", "memoryTotalBytes", "diskUsedBytes", "diskTotalBytes")
OF_GPUS = ("uuid", "name", "utilizationRatio", "memoryUsedBytes", "memoryTotalBytes", "temperatureCelsius", "powerWatts")
LATE = 2**63


def number(value):
    return value if value is None or isinstance(value, (int, str)) else float(value)


def newest(samples, key):
    found = {}
    for e in samples:
        if key(e) not in found or instant(found[key(e)]["at"]) < instant(e["at"]):
            found[key(e)] = e
    return found


def state(machine):
    return STATES[machine.states[-1][1]] if machine.states else None


CONDITIONS = {
    "vms": lambda m, v: m.name in v, "states": lambda m, v: state(m) in v, "instanceTypes": lambda m, v: m.instance_type(LATE) in v,
    "regions": lambda m, v: m.holds("region", LATE) in v, "providers": lambda m, v: m.holds("provider", LATE) in v,
}


def machines(facts, filter_):
    """Every machine that matches, by name, as a node of `vms`."""
    samples = newest(facts.samples, lambda e: e["vm"])
    gpus = newest(facts.gpu_samples, lambda e: (e["vm"], e["gpu"]))
    found = [m for m in facts.fleet.machines.values() if all(v is None or CONDITIONS[k](m, v) for k, v in filter_.items())]
    return [dict(name=m.name, state=state(m), utilization=utilization(m, samples, gpus)) for m in sorted(found, key=lambda m: m.name.encode())]


def utilization(machine, samples, gpus):
    own = [gpus[k] for k in sorted(k for k in gpus if k[0] == machine.name)]
    e = samples.get(machine.name)
    if e is None and not own:
        return None
    shown = dict(vm=dict(name=machine.name, state=state(machine)), gpus=[gpu(g) for g in own])
    shown["at"] = written(instant(e["at"]) if e else max(instant(g["at"]) for g in own))
    shown.update({k: number((e or {}).get(k)) for k in LEVELS})
    shown.update({f"{k}PerSecond": None if e is None or e.get(k) is None else float(e[k] / e["intervalSeconds"]) for k in RATES})
    return shown


def gpu(e):
    # The fleet's jobs are older than a day: whatever the clock says, none is believed to hold a GPU now.
    return dict(index=e["gpu"], at=written(instant(e["at"])), combination=None, **{k: number(e.get(k)) for k in OF_GPUS})
