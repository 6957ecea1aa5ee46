"""What samples of GPUs tell about executions: the memory of a machine's GPUs, and whose a sample was."""
from collections import defaultdict

from facts import exact, instant


class OwnedSample:
    """A sample at whose instant one combination alone held the GPU; it carries what that combination and its machine are named by."""

    def __init__(self, event, at, holder, machine):
        self.at, self.busy, self.memory = at, exact(event.get("utilizationRatio")), exact(event.get("memoryUsedBytes"))
        self.model, self.version, self.checkpoints, self.label, self.model_type = holder.model, holder.version, holder.checkpoints, holder.label, holder.model_type
        self.vm, self.instance_type = machine.name, machine.instance_type(at)
        self.region, self.provider = machine.holds("region", at), machine.holds("provider", at)


def tell_gpu_memory(facts):
    """To each execution the memory of one GPU of its machine, by the machine's latest sample with a total."""
    latest = {}
    for event in facts.gpu_samples:
        if event.get("memoryTotalBytes") is not None:
            here = (instant(event["at"]), event["gpu"], event["memoryTotalBytes"])
            latest[event["vm"]] = max(latest.get(event["vm"], here), here)
    for x in facts.executions:
        x.gpu_memory_bytes = latest[x.vm][2] if x.vm in latest else None


def owned_samples(facts, fleet):
    holders = defaultdict(list)
    for x in facts.executions:
        for slot in x.slots:
            holders[x.vm, slot].append(x)
    owned = []
    for event in facts.gpu_samples:
        at = instant(event["at"])
        here = [x for x in holders[event["vm"], event["gpu"]] if x.start <= at < x.end]
        if len({(x.model, x.version, x.checkpoints) for x in here}) == 1:
            owned.append(OwnedSample(event, at, here[0], fleet.machines[event["vm"]]))
    return owned
