"""What `contract/events.md` says about the events that the reporter makes, written down a second time, by hand."""

import json
import re

NAME = "name"
UUID = "uuid"
INSTANT = "instant"
MILLISECONDS = "milliseconds"
WHOLE = "whole"
FLAG = "flag"
ATTEMPT = "attempt"
GPU = "gpu"
GPUS = "gpus"
CHECKPOINT = "checkpoint"
CHECKPOINTS = "checkpoints"
MESSAGE = "message"
STORAGE_TYPES = ("GPU_MEMORY", "HOST_MEMORY", "LOCAL_DISK", "NETWORK_FILESYSTEM", "OBJECT_STORE")

CALLER = {"application": NAME, "user": NAME, "department": NAME, "project": NAME, "vm": NAME, "gpus": GPUS}
REQUIRED = {
    "execution": {"id": UUID, "model": NAME, "startedAt": INSTANT, "finishedAt": INSTANT, "outcome": ("SUCCEEDED", "FAILED", "CANCELLED")},
    "job": {"id": UUID, "job": NAME, "at": INSTANT, "state": ("QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"), "model": NAME},
    "checkpointLoad": {
        "id": UUID, "startedAt": INSTANT, "finishedAt": INSTANT, "vm": NAME, "storageType": STORAGE_TYPES, "cacheHit": FLAG, "model": NAME,
    },
}
OPTIONAL = {
    "execution": {
        **CALLER, "job": NAME, "attempt": ATTEMPT, "modelType": NAME, "modelVersion": NAME, "checkpoints": CHECKPOINTS, "queuedAt": INSTANT,
        "checkpointLoadMs": MILLISECONDS, "modelInitMs": MILLISECONDS, "inferenceMs": MILLISECONDS, "inputBytes": WHOLE,
        "outputBytes": WHOLE, "gpuMemoryPeakBytes": WHOLE, "cpuSeconds": MILLISECONDS, "errorType": NAME, "errorMessage": MESSAGE,
    },
    "job": {**CALLER, "attempt": ATTEMPT, "modelVersion": NAME, "checkpoints": CHECKPOINTS},
    "checkpointLoad": {
        "modelVersion": NAME, "checkpoint": CHECKPOINT, "gpu": GPU, "storageLocation": NAME, "bytes": WHOLE, "execution": UUID,
        "outcome": ("SUCCEEDED", "FAILED"), "errorType": NAME,
    },
}
KINDS = ("LORA", "CONTROLNET", "FINE_TUNE", "EMBEDDING", "VAE", "OTHER")


def check(line):
    """The event of a line; AssertionError where the contract would reject it or name a key as unknown."""
    assert len(line) <= 64 * 1024, f"line of {len(line)} bytes"
    assert line.startswith(b'{"type":"'), f"type comes first: {line!r}"
    event = json.loads(line.decode("utf-8"))
    kind = event.pop("type")
    required, optional = REQUIRED[kind], OPTIONAL[kind]
    missing = set(required) - set(event)
    assert not missing, f"{missing} missing: {line!r}"
    for key, value in event.items():
        rule = required.get(key) or optional.get(key)
        assert rule is not None, f"unknown key {key}: {line!r}"
        assert value is not None and follows(rule, value), f"{key}: {line!r}"
    if "startedAt" in event:
        assert event["startedAt"] <= event["finishedAt"], f"ends before it starts: {line!r}"
        assert event.get("queuedAt", event["startedAt"]) <= event["startedAt"], f"starts before it is queued: {line!r}"
    if kind == "execution" and event["outcome"] == "FAILED":
        assert "errorType" in event, f"errorType missing: {line!r}"
    return {"type": kind, **event}


def follows(rule, value):
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(rule, tuple):
        return value in rule
    if rule == NAME:
        return isinstance(value, str) and 1 <= len(value) <= 200 and not re.search("[\x00-\x1f\x7f-\x9f\ud800-\udfff]", value)
    if rule == UUID:
        return isinstance(value, str) and bool(re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value))
    if rule == INSTANT:
        # One form only, so that instants can be compared as text.
        return isinstance(value, str) and bool(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", value))
    if rule == MILLISECONDS:
        return is_number and 0 <= value < 2**53
    if rule == FLAG:
        return isinstance(value, bool)
    if rule == MESSAGE:
        return isinstance(value, str) and len(value) <= 2_000
    if rule == GPUS:
        return isinstance(value, list) and all(follows(GPU, gpu) for gpu in value) and len(set(value)) == len(value)
    if rule == CHECKPOINTS:
        keys = [(item["kind"], item["name"], item.get("version", "unversioned")) for item in value]
        return len(value) <= 16 and all(follows(CHECKPOINT, item) for item in value) and len(set(keys)) == len(keys)
    if rule == CHECKPOINT:
        is_known = set(value) <= {"kind", "name", "version"} and value["kind"] in KINDS
        return is_known and follows(NAME, value["name"]) and follows(NAME, value.get("version", "unversioned"))
    ranges = {WHOLE: (0, 2**53 - 1), ATTEMPT: (1, 2**31 - 1), GPU: (0, 1023)}
    least, most = ranges[rule]
    return isinstance(value, int) and is_number and least <= value <= most
