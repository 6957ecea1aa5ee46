"""Machines and jobs on purpose: what the made-up fleet of demo_lines has not, each case decided by contract/ and none left to chance.

A type that changes with the life, a region that changes in it, STOPPED, UNREACHABLE into MAINTENANCE, FAILED, silence, machines that no
state names, slots that several share over hours, executions that outlive their machine, jobs that never got an execution.
"""
import uuid

from facts import instant, written

SECOND = 1_000_000
MINUTE = 60 * SECOND
SDXL = dict(model="sdxl", modelVersion="1.0")
LINES = [dict(kind="LORA", name="anime-lines", version="4")]
BOTH = [dict(kind="LORA", name="anime-lines", version="4"), dict(kind="LORA", name="anime-lines", version="5")]
DEPTH = [dict(kind="CONTROLNET", name="depth", version="1")]


class Maker:
    """Counts ids upwards, so that the greatest id is the one made last."""

    def __init__(self):
        self.count, self.events = 0, []

    def add(self, kind, **event):
        self.count += 1
        if not kind.endswith("Sample"):
            event = dict(id=str(uuid.UUID(int=(0x0dd << 116) | (7 << 76) | (2 << 62) | self.count)), **event)
        self.events.append(dict(type=kind, **event))

    def state(self, vm, at, state, **more):
        self.add("vmState", vm=vm, at=at, state=state, **more)

    def run(self, vm, gpus, start, end, checkpoints=(), outcome="SUCCEEDED", queued=None, **more):
        event = dict(SDXL, checkpoints=list(checkpoints), startedAt=start, finishedAt=end, outcome=outcome, **more)
        event.update({k: v for k, v in (("vm", vm), ("gpus", gpus), ("queuedAt", queued)) if v is not None})
        if outcome == "FAILED":
            event["errorType"] = "ODD"
        self.add("execution", **event)

    def samples(self, vm, first, count, seconds, **measures):
        for n in range(count):
            self.add("vmSample", vm=vm, at=written(instant(first) + int(n * seconds * SECOND)), intervalSeconds=seconds, **measures)

    def gpu_samples(self, vm, gpu, first, count, minutes, total=True):
        for n in range(count):
            more = dict(memoryTotalBytes=48 << 30) if total else {}
            self.add("gpuSample", vm=vm, gpu=gpu, at=written(instant(first) + n * minutes * MINUTE), utilizationRatio=(n * 7 + gpu) % 100 / 100,
                     memoryUsedBytes=(n + 1) << 28, **more)


def states(m):
    kind = dict(instanceType="odd.3x", provider="odd co", region="north", vCpus=7, memoryBytes=64 << 30, gpuModel="Odd 48G", gpuCount=3)
    m.state("odd-01", "2026-03-28T23:59:00Z", "REQUESTED", **kind)
    m.state("odd-01", "2026-03-29T00:00:00Z", "RUNNING")
    m.state("odd-01", "2026-03-30T09:00:00Z", "UNREACHABLE")
    m.state("odd-01", "2026-03-30T09:30:00Z", "MAINTENANCE")                        # an incident without a recovery
    m.state("odd-01", "2026-03-30T10:00:00.25Z", "RUNNING")
    m.state("odd-01", "2026-03-31T14:20:00Z", "RUNNING")                            # said again: ends a silence
    m.state("odd-01", "2026-03-31T14:22:00Z", "RUNNING", region="south")            # it moves while it runs
    m.state("odd-01", "2026-03-31T14:40:00Z", "FAILED")
    m.state("odd-01", "2026-03-31T14:50:00.5Z", "RUNNING")
    m.state("odd-01", "2026-03-31T21:00:00Z", "STOPPED")
    m.state("odd-01", "2026-03-31T22:59:59.999999Z", "RUNNING")
    m.state("odd-01", "2026-04-01T02:00:00Z", "DEPROVISIONING")
    m.state("odd-01", "2026-04-01T02:05:00Z", "TERMINATED")
    m.state("odd-01", "2026-04-01T03:00:00Z", "REQUESTED", instanceType="odd.1x", gpuCount=1, vCpus=None)
    m.state("odd-01", "2026-04-01T03:10:00Z", "RUNNING")                            # another type in its second life
    m.state("odd-02", "2026-03-31T14:00:00Z", "REQUESTED", instanceType="odd.cpu", provider="odd co", region="north", gpuCount=0, vCpus=4)
    m.state("odd-02", "2026-03-31T14:01:00Z", "PROVISIONING")
    m.state("odd-02", "2026-03-31T14:02:30Z", "RUNNING")
    m.state("odd-02", "2026-03-31T14:30:00Z", "UNREACHABLE")
    m.state("odd-02", "2026-03-31T14:35:00Z", "FAILED")                             # one incident in two states
    m.state("odd-02", "2026-03-31T14:45:00Z", "RUNNING")
    m.state("odd-02", "2026-04-01T01:00:00Z", "TERMINATED")                         # nobody deprovisioned it
    m.state("odd-03", "2026-03-31T14:30:00Z", "REQUESTED", instanceType="odd.1x", region="south")
    m.state("odd-03", "2026-03-31T14:31:00Z", "FAILED")                             # never ran
    m.state("odd-04", "2026-03-31T14:59:59Z", "REQUESTED", instanceType="odd.cpu", region="south")
    m.state("odd-04", "2026-03-31T15:00:00Z", "PROVISIONING")                       # not yet


def samples(m):
    m.samples("odd-01", "2026-03-31T13:50:00Z", 16, 60, cpuRatio=.5)                # the last at 14:05: silent from 14:08 until 14:20
    m.samples("odd-01", "2026-03-31T15:10:00Z", 5, 60, cpuRatio=.25)                # silent from 15:17 until a sample
    m.samples("odd-01", "2026-03-31T15:30:00.5Z", 20, 60.5, cpuRatio=.75)           # silent until STOPPED, which is no recovery
    m.samples("odd-02", "2026-03-31T14:10:00Z", 4, 120, memoryUsedBytes=1 << 30, memoryTotalBytes=4 << 30)      # silent from 14:22 into UNREACHABLE
    m.samples("odd-02", "2026-03-31T14:32:00Z", 2, 60, cpuRatio=1)                  # a sample does not make it reachable
    m.samples("ghost №2", "2026-03-30T08:00:00Z", 30, 120, cpuRatio=.125)           # no state names it: silent from 09:04
    m.samples("ghost №2", "2026-03-30T11:00:00Z", 2, 120, cpuRatio=.125)
    m.gpu_samples("odd-01", 0, "2026-03-31T13:00:00Z", 12, 10)
    m.gpu_samples("odd-01", 1, "2026-03-31T13:00:00.000001Z", 12, 10)
    m.gpu_samples("odd-01", 2, "2026-03-31T13:05:00Z", 6, 20, total=False)
    m.gpu_samples("ghost №2", 1, "2026-03-30T08:30:00Z", 6, 10)


def executions(m):
    odd = dict(user="odd", department="Odd", project="Odd one", application="odd-app", gpuMemoryPeakBytes=20 << 30)
    m.run("odd-01", [1], "2026-03-31T12:10:00Z", "2026-03-31T14:15:00Z", LINES, **odd)                              # over two hours
    m.run("odd-01", [1, 2], "2026-03-31T13:20:00Z", "2026-03-31T13:50:00.333333Z", DEPTH, **odd)                    # beside it on slot 1
    m.run("odd-01", [1], "2026-03-31T13:30:00Z", "2026-03-31T14:05:00Z", BOTH, "FAILED", **odd)                     # the third there
    m.run("odd-01", [2, 0], "2026-03-31T13:55:00Z", "2026-03-31T14:10:00Z", DEPTH)
    m.run("odd-01", [0], "2026-03-31T13:58:00Z", "2026-03-31T14:10:00Z", DEPTH, user="odd")                         # same combination, same end: the greater id
    m.run("odd-01", [2], "2026-03-31T14:12:00Z", "2026-03-31T14:12:00Z", LINES, "CANCELLED", **odd)                 # no length, yet the last there
    m.run("odd-01", None, "2026-03-31T14:25:00Z", "2026-03-31T14:55:00Z", (), queued="2026-03-31T14:16:00Z", **odd)  # every slot, through FAILED
    m.run("odd-01", [0], "2026-03-31T20:30:00Z", "2026-03-31T23:30:00Z", BOTH, queued="2026-03-31T19:59:59Z", **odd)    # through STOPPED
    m.run("odd-01", [2], "2026-04-01T01:30:00Z", "2026-04-01T02:30:00Z", LINES, **odd)                              # outlives the machine
    m.run("odd-01", [0], "2026-04-01T04:00:00Z", "2026-04-01T04:20:00Z", LINES, **odd)                              # the second life's first
    m.run("odd-01", [0], "2026-04-01T04:30:00Z", "2026-04-01T04:40:00Z", LINES, **odd)
    m.run("odd-02", None, "2026-03-31T14:05:00Z", "2026-03-31T14:40:00Z", DEPTH, cpuSeconds=600.5, user="odd")
    m.run("odd-02", [3], "2026-03-31T14:50:00Z", "2026-03-31T16:00:00Z", (), user="odd")
    m.run("ghost №2", [1], "2026-03-30T08:10:00Z", "2026-03-30T09:20:00Z", LINES, **odd)
    m.run("ghost №2", None, "2026-03-30T09:40:00Z", "2026-03-30T10:00:00Z", DEPTH, **odd)


def jobs(m):
    named = dict(SDXL, user="odd", application="odd-app", department="Odd", project="Odd one")
    m.add("job", job="odd live 1", at="2026-03-31T13:30:00Z", state="QUEUED", checkpoints=LINES, **named)
    m.add("job", job="odd live 2", at="2026-03-31T14:00:00Z", state="QUEUED", checkpoints=DEPTH, **named)
    m.add("job", job="odd live 2", at="2026-03-31T14:10:00.5Z", state="RUNNING", checkpoints=DEPTH, vm="odd-01", gpus=[0], **named)
    m.add("job", job="odd live 3", at="2026-03-31T06:00:00Z", state="RUNNING", model="flux \"δ\"", user="edge")         # until 06:00 the day after
    m.add("job", job="odd live 4", at="2026-03-31T14:30:00Z", state="QUEUED", checkpoints=BOTH, **named)
    m.add("job", job="odd live 4", at="2026-03-31T14:40:00Z", state="CANCELLED", checkpoints=BOTH, **named)             # over without an execution
    m.add("job", job="odd live 5", at="2026-03-31T14:45:00Z", state="RUNNING", vm="c3-01", **SDXL)
    tries = dict(job="odd tries", department="Odd")
    m.run("g6-01", [0], "2026-03-31T13:00:00Z", "2026-03-31T13:01:00Z", LINES, "FAILED", "2026-03-31T12:59:00.5Z", attempt=1, user="anna's friend", **tries)
    m.run("g6-01", [0], "2026-03-31T14:03:00Z", "2026-03-31T14:04:00Z", DEPTH, "FAILED", "2026-03-31T14:02:59Z", attempt=2, user="odd", **tries)
    m.run("a2-01", [1], "2026-03-31T14:03:30Z", "2026-03-31T14:04:00Z", BOTH, "CANCELLED", attempt=2, user="odd too", **tries)  # same attempt, same end: the greater id
    later = dict(job="odd later", user="odd")
    m.run("g6-01", [0], "2026-03-31T14:30:00Z", "2026-03-31T14:31:00Z", (), "FAILED", "2026-03-31T14:29:00Z", attempt=1, **later)
    m.run("g6-01", [0], "2026-04-01T05:30:00Z", "2026-04-01T05:45:00Z", (), "FAILED", "2026-04-01T05:29:00Z", attempt=2, **later)
    m.run("g6-01", [0], "2026-04-01T05:50:00Z", "2026-04-01T06:30:00Z", (), "SUCCEEDED", attempt=3, **later)


def odd_events():
    m = Maker()
    for make in (states, samples, executions, jobs):
        make(m)
    return m.events
