#!/usr/bin/env python3
"""Makes tests/fixtures/fleet.ndjson.gz: six made-up days with every awkward case on purpose. Same input, same bytes.

    demo_lines 11 2026-04-02T00:00:00Z 6 2700 1200 10 | make_fleet.py FILE      (demo_lines: an example of plimsoll-domain)

Nothing here may be undecided by contract/: whoever reads the contract must come to the one answer that oracle.py computes.
"""
import gzip
import json
import sys
import uuid
from random import Random

from cases import EDGES
from facts import instant, written
from odd_machines import odd_events

CHANCE = Random(2026)
RENAMED = {
    "flux": 'flux "δ"', "qwen-image-edit": "qwen image edit", "ink-wash": "水墨 wash", "hero-mira": 'Míra the "hero"', "film-grain": "o'grain\\35mm",
    "anna": "Anna O'Neil", "wei": "魏", "nils": "nils+render@example.org", "g6-03": 'gpu münchen "3"', "a2-02": "a2 02 (spare)",
    "Localization": 'Lokalisierung "DE"', "nuke-plugin": "nuke/плагин",
}
OPTIONAL = {"job": .02, "application": .03, "user": .04, "department": .04, "project": .05, "queuedAt": .04, "checkpointLoadMs": .06, "modelInitMs": .05,
            "inferenceMs": .05, "inputBytes": .06, "outputBytes": .06, "gpuMemoryPeakBytes": .08, "modelVersion": .0}
OFFSETS = [("+02:00", 120), ("-07:00", -420), ("+05:30", 330), ("+00:00", 0)]
INSTANTS = ("at", "queuedAt", "startedAt", "finishedAt")
PHASES = ("checkpointLoadMs", "modelInitMs", "inferenceMs")
MEASURES = ("cpuRatio", "memoryUsedBytes", "memoryTotalBytes", "diskUsedBytes", "diskTotalBytes", "diskBusyRatio", "networkReceivedBytes", "networkSentBytes",
            "networkErrors", "diskReadBytes", "diskWrittenBytes", "diskReadOps", "diskWriteOps")


def chance(probability):
    return CHANCE.random() < probability


def below(count):
    return int(CHANCE.random() * count)


def new_id():
    return str(uuid.UUID(int=CHANCE.getrandbits(128), version=4))


def rename(event):
    for key in ("model", "user", "vm", "department", "application", "name"):
        if key in event:
            event[key] = RENAMED.get(event[key], event[key])
    for checkpoint in [event.get("checkpoint"), *(event.get("checkpoints") or [])]:
        if checkpoint:
            checkpoint["name"] = RENAMED.get(checkpoint["name"], checkpoint["name"])
            if checkpoint["name"] == "studio-look":            # nobody ever told its version
                checkpoint.pop("version")
    if event.get("model") == "whisper" and chance(.5):
        del event["modelVersion"]


def set_length(event, start, end):
    event["startedAt"], event["finishedAt"] = written(start), written(end)
    if event.get("queuedAt") and instant(event["queuedAt"]) > start:
        event["queuedAt"] = written(start)
    if sum(event.get(k) or 0 for k in PHASES) > (end - start) / 1000:
        for k in PHASES:
            event.pop(k, None)


def reshape(event):
    """Lengths: none at all, ends on the minute or the hour, overlaps."""
    start, end, drawn = instant(event["startedAt"]), instant(event["finishedAt"]), CHANCE.random()
    if drawn < .01:
        set_length(event, start, start)
    elif drawn < .03:
        set_length(event, start, max(start, end // 60_000_000 * 60_000_000))
    elif drawn < .04:
        set_length(event, min(start, end // 3_600_000_000 * 3_600_000_000), end // 3_600_000_000 * 3_600_000_000)
    elif drawn < .08:
        set_length(event, start - 1_000_000 * (20 + below(400)), end)


def rehouse(event):
    """Machines: none, one that nobody knows, no GPUs named, GPUs named where there are none."""
    drawn = CHANCE.random()
    if drawn < .02:
        event.pop("vm", None)
        event.pop("gpus", None)
    elif drawn < .032:
        event["vm"], event["gpus"] = "ghost №1", [below(2)]
    elif drawn < .038:
        event["vm"] = "ghost №1"
        event.pop("gpus", None)
    elif drawn < .07:
        event.pop("gpus", None)
    elif event.get("vm") == "c3-01" and drawn < .2:
        event["gpus"] = [0]


def execution(event):
    reshape(event)
    rehouse(event)
    told = event.pop("modelType", None)
    if told and event["model"] == "wan-video" and instant(event["finishedAt"]) < EDGES["unaligned"][0]:
        event["modelType"] = "VIDEO"                           # told otherwise later
    elif told and event["model"] != "whisper":                 # whisper: never told
        event["modelType"] = told
    for key, probability in OPTIONAL.items():
        if key in event and chance(probability):
            if chance(.3):
                event[key] = None
            else:
                del event[key]
    if "cpuSeconds" not in event and chance(.1):
        event["cpuSeconds"] = below(90_000) / 1000
    if event["outcome"] == "CANCELLED" and chance(.3):
        event["errorType"] = "USER_ABORT"
    if chance(.002):
        event["gpuMemoryPeekBytes"] = 1                        # a key that nobody knows


def vm_state(event, lives):
    if "instanceType" not in event:
        return
    name = event["vm"]
    lives[name] = lives.get(name, 0) + 1
    if event["instanceType"].startswith("a2"):
        event["vCpus"] = None
    if name == "c3-02":
        del event["provider"]
    if name == "g6-02" and lives[name] > 1:
        event["region"] = "us west/2"
    if lives[name] > 1:                                         # known from the first life of the type
        for key in ("vCpus", "memoryBytes", "gpuModel", "gpuCount"):
            event.pop(key, None)


def sample(event):
    if event["type"] == "vmSample":
        measures = [k for k in MEASURES if k in event]
        for key in measures:
            if chance(.05):
                event.pop(key)
        if chance(.01) or not any(k in event for k in MEASURES):
            for key in measures:
                event.pop(key, None)
            event["networkSentBytes"] = below(1 << 40)
        if chance(.03):
            event["intervalSeconds"] = 59.5
        if chance(.02):
            event["at"] = written(instant(event["at"]) - 1)
    elif chance(.04):
        event.pop("temperatureCelsius", None)
        event.pop("utilizationRatio")


def edge_executions():
    """Executions that end on the edges of the windows that are asked for, and a microsecond beside them."""
    made = []
    for n, edge in enumerate(sorted({e for name, window in EDGES.items() if name != "empty" for e in window})):
        for beside in (-1, 0, 1):
            end = edge + beside
            start = end - 1_000_000 * (1 + n) - 7 * (beside + 2)
            made.append(dict(type="execution", id=new_id(), model="sdxl", modelVersion="1.0", checkpoints=[dict(kind="LORA", name="anime-lines", version="4")],
                             user="edge", vm="ghost №1", gpus=[0], startedAt=written(start), finishedAt=written(end), outcome=["FAILED", "SUCCEEDED", "CANCELLED"][beside],
                             inputBytes=1 << 20, outputBytes=(n + 1) << 20, **({"errorType": "EDGE"} if beside == 0 else {})))
    return made


def odd_executions(first):
    """Cases that chance would not make: two kinds of one name, two versions of one checkpoint in other orders, no optional key at all."""
    depth = [dict(kind="CONTROLNET", name="depth", version="1"), dict(kind="LORA", name="depth", version="9")]
    lines = [dict(kind="LORA", name="anime-lines", version=v) for v in ("4", "5")]
    made = []
    for n in range(24):
        checkpoints = [depth, depth[::-1], lines, lines[::-1], [], None][n % 6]
        start = first + 21_600_000_000 * n + 333
        event = dict(type="execution", id=new_id().upper() if n % 5 == 0 else new_id(), model="sdxl", modelVersion=["1.0", None][n % 2], checkpoints=checkpoints,
                     startedAt=written(start), finishedAt=written(start + 1_000_000 * n), outcome="SUCCEEDED")
        if n % 6 > 3:
            event = {k: v for k, v in event.items() if v is not None}
        made.append(event)
    return made


def respelt(at):
    """The same instant in other letters."""
    us = instant(at)
    if chance(.3):
        whole, part = written(us)[:19], us % 1_000_000
        return f"{whole}.{part:06d}Z"
    offset, minutes = OFFSETS[below(len(OFFSETS))]
    return written(us + minutes * 60_000_000)[:-1] + offset


def spelt(event, freely):
    """One line; freely: keys in another order, instants and letters written otherwise, room between."""
    event = dict(event)
    if freely or chance(.05):
        for key in INSTANTS:
            if event.get(key) and chance(.6):
                event[key] = respelt(event[key])
    if freely and event.get("checkpoints"):
        event["checkpoints"] = event["checkpoints"][::-1]
    if freely or chance(.05):
        event = dict(sorted(event.items(), key=lambda _: CHANCE.random()))
    separators = (", ", ": ") if chance(.05) else (",", ":")
    return json.dumps(event, ensure_ascii=chance(.3), separators=separators)


def main():
    events, lives = [json.loads(line) for line in sys.stdin], {}
    start = min(instant(e.get("finishedAt") or e["at"]) for e in events)
    for event in events:
        rename(event)
        if event["type"] == "execution":
            execution(event)
        elif event["type"] == "vmState":
            vm_state(event, lives)
        elif event["type"].endswith("Sample"):
            sample(event)
    events += edge_executions() + odd_executions(start // 3_600_000_000 * 3_600_000_000) + odd_events()
    events.sort(key=lambda e: instant(e.get("finishedAt") or e["at"]))
    placed = []
    for n, event in enumerate(events):
        placed.append((n, spelt(event, False)))
        if chance(.012) or event["type"] == "execution" and chance(.05):
            placed.append((n + below(400), spelt(event, True)))
    placed.sort(key=lambda p: p[0])
    with open(sys.argv[1], "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0, compresslevel=9) as file:
        file.write("".join(line + "\n" for _, line in placed).encode("utf-8"))


if __name__ == "__main__":
    main()
