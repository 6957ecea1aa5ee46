"""executionComparison and checkpointPopularity by brute force."""
import math

import executions
from facts import by_bytes, instant
from spread import nearest_rank

ENOUGH = 8


def change(old, new):
    return None if old is None or new is None or not old else float(new / old - 1)


def p_value(old, new):
    """Two-sided Mann-Whitney test: normal approximation with tie and continuity correction; ranks, not pairs."""
    n, m = len(old), len(new)
    everything = sorted(old + new)
    middle, ties = {}, 0
    for value in set(everything):
        first, count = everything.index(value), everything.count(value)
        middle[value] = first + (count + 1) / 2
        ties += count ** 3 - count
    u = sum(middle[v] for v in old) - n * (n + 1) / 2
    variance = n * m / 12 * (n + m + 1 - ties / ((n + m) * (n + m - 1)))
    if variance <= 0:
        return 1.0
    return math.erfc(max(abs(u - n * m / 2) - 0.5, 0) / math.sqrt(variance) / math.sqrt(2))


class Side:
    def __init__(self, facts, given):
        self.window = (instant(given["window"]["start"]), instant(given["window"]["end"]))
        self.items = executions.matching(facts.executions, given.get("filter"), *self.window)
        good = [x for x in self.items if x.outcome == "SUCCEEDED"]
        self.duration = sorted(x.duration_ms for x in good)
        self.inference = sorted(x.inference_ms for x in good if x.inference_ms is not None)

    def success_ratio(self):
        good, bad = (sum(x.outcome == outcome for x in self.items) for outcome in ("SUCCEEDED", "FAILED"))
        return good / (good + bad) if good + bad else None


def percentile(values, percent):
    return nearest_rank(values, percent) if values else None


def comparison(old, new):
    shown = dict(successRatioChange=change(old.success_ratio(), new.success_ratio()))
    for name in ("duration", "inference"):
        for percent in (50, 95):
            shown[f"{name}P{percent}Change"] = change(percentile(getattr(old, name), percent), percentile(getattr(new, name), percent))
    enough = min(len(old.inference), len(new.inference)) >= ENOUGH
    p = shown["inferencePValue"] = p_value(old.inference, new.inference) if enough else None
    median = shown["inferenceP50Change"]
    clear = enough and p < 0.05 and median is not None and abs(median) >= 0.02
    shown["verdict"] = "NOT_ENOUGH_DATA" if not enough else ("SLOWER" if median > 0 else "FASTER") if clear else "NO_CLEAR_DIFFERENCE"
    return shown


def versions(items):
    rows = {}
    for x in items:
        for c in x.checkpoints:
            rows.setdefault(c, []).append(x)
    return rows


def popularity(facts, arguments):
    start, end = (instant(arguments["window"][edge]) for edge in ("start", "end"))
    filter_ = dict(models=arguments.get("models"))
    now = executions.matching(facts.executions, filter_, start, end)
    before = executions.matching(facts.executions, filter_, start - (end - start), start)
    models = []
    for model in {x.model for x in now}:
        items, earlier = [x for x in now if x.model == model], versions(x for x in before if x.model == model)
        rows = []
        for c, xs in versions(items).items():
            users = len({x.user for x in xs if x.user is not None})
            rows.append(dict(checkpointVersion=dict(checkpoint=dict(kind=c.kind, name=c.name), version=c.version), executions=len(xs), users=users,
                             ratio=len(xs) / len(items), change=len(xs) / len(earlier[c]) - 1 if c in earlier else None))
        rows.sort(key=lambda r: (-r["executions"], -r["users"], by_bytes(r["checkpointVersion"]["checkpoint"]["name"]), by_bytes(r["checkpointVersion"]["version"]),
                                 r["checkpointVersion"]["checkpoint"]["kind"]))
        models.append(dict(model=dict(name=model), executions=len(items), ranking=[dict(row, rank=n) for n, row in enumerate(rows, 1)]))
    models.sort(key=lambda m: (-m["executions"], by_bytes(m["model"]["name"])))
    return models
