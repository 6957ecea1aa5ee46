"""executionBreakdown and executionSeries: ExecutionStats by brute force."""
from fractions import Fraction

import breakdown
from breakdown import MINUTE_US
from facts import Checkpoint, by_bytes, written
from spread import distribution, gauge, line, nearest_rank, sizes

MEBIBYTE = 1 << 20


def tell_model_types(executions):
    """A model's type is the newest that an event told, for all its executions."""
    newest = {}
    for x in sorted(executions, key=lambda x: (x.end, x.id)):
        if x.model_type_told is not None:
            newest[x.model] = x.model_type_told
    for x in executions:
        x.model_type = newest.get(x.model)


def wants_version(given):
    return Checkpoint(given["name"], given["version"], given["kind"])


def wants_combination(given):
    return given["model"], given["modelVersion"], frozenset(wants_version(c) for c in given.get("checkpoints") or [])


# What a GPU's sample, which no single execution owns, can be broken down and filtered by.
OF_SAMPLES = {"MODEL_TYPE", "MODEL", "MODEL_VERSION", "CHECKPOINT", "CHECKPOINT_VERSION", "COMBINATION", "VM", "INSTANCE_TYPE", "REGION", "PROVIDER"}
CONDITIONS_OF_SAMPLES = {"modelTypes", "models", "modelVersions", "checkpoints", "checkpointVersions", "combinations", "vms", "instanceTypes", "regions"}

# condition -> does the execution have one of the values
CONDITIONS = {
    "modelTypes": lambda x, v: x.model_type in v,
    "models": lambda x, v: x.model in v,
    "modelVersions": lambda x, v: dict(model=x.model, version=x.version) in v,
    "checkpoints": lambda x, v: any(dict(kind=c.kind, name=c.name) in v for c in x.checkpoints),
    "checkpointVersions": lambda x, v: any(c in [wants_version(g) for g in v] for c in x.checkpoints),
    "combinations": lambda x, v: (x.model, x.version, frozenset(x.checkpoints)) in [wants_combination(g) for g in v],
    "applications": lambda x, v: x.application in v,
    "users": lambda x, v: x.user in v,
    "departments": lambda x, v: x.department in v,
    "projects": lambda x, v: x.project in v,
    "vms": lambda x, v: x.vm in v,
    "instanceTypes": lambda x, v: x.instance_type in v,
    "regions": lambda x, v: x.region in v,
    "outcomes": lambda x, v: x.outcome in v,
    "errorTypes": lambda x, v: x.error_type in v,
}


def fitting(items, filter_):
    conditions = [(CONDITIONS[k], v) for k, v in (filter_ or {}).items() if v is not None]
    return [x for x in items if all(c(x, v) for c, v in conditions)]


def matching(executions, filter_, start, end):
    """An execution belongs to the instant at which it finished."""
    return [x for x in fitting(executions, filter_) if start <= x.end < end]


def ratio(part, whole):
    return part / whole if whole else None


def known(values):
    return [v for v in values if v is not None]


def errors(items, limit):
    failed = [x for x in items if x.outcome == "FAILED"]
    kinds = {x.error_type for x in failed}
    rows = [(kind, [x for x in failed if x.error_type == kind]) for kind in kinds]
    rows.sort(key=lambda r: (-len(r[1]), by_bytes(r[0])))
    return [dict(errorType=kind, count=len(xs), ratio=len(xs) / len(failed), lastSeenAt=written(max(x.end for x in xs))) for kind, xs in rows[:limit]]


def peak(items, start, end):
    first, last = -(-start // MINUTE_US), end // MINUTE_US
    if first >= last:
        return None
    counts = {}
    for x in items:
        if first <= x.end // MINUTE_US < last:
            counts[x.end // MINUTE_US] = counts.get(x.end // MINUTE_US, 0) + 1
    return max(counts.values(), default=0) / 60


def size_correlation(items):
    with_input = [(Fraction(x.input_bytes, MEBIBYTE), x.duration_ms) for x in items if x.input_bytes is not None]
    with_output = [(Fraction(x.output_bytes, MEBIBYTE), x.duration_ms) for x in items if x.output_bytes is not None]
    either = sum(x.input_bytes is not None or x.output_bytes is not None for x in items)
    (input_r, input_slope), (output_r, output_slope) = line(with_input), line(with_output)
    if not either:
        return None
    return dict(executions=either, inputPearson=input_r, outputPearson=output_r, inputMsPerMebibyte=input_slope, outputMsPerMebibyte=output_slope)


def gpu_memory(items):
    peaks = sorted(known(x.peak_bytes for x in items))
    if not peaks:
        return None
    ratios = [Fraction(x.peak_bytes, x.gpu_memory_bytes * x.gpus_held) for x in items if x.peak_bytes is not None and x.gpu_memory_bytes and x.gpus_held]
    return dict(maxRatio=float(max(ratios)) if ratios else None, executions=len(peaks), meanBytes=float(Fraction(sum(peaks), len(peaks))), p95Bytes=float(nearest_rank(peaks, 95)), maxBytes=peaks[-1])


def gpu_samples(samples):
    if samples is None:
        return None
    return dict(samples=len(samples), utilizationRatio=gauge(known(s.busy for s in samples)), memoryUsedBytes=gauge(known(s.memory for s in samples)))


def count(items, outcome):
    return sum(x.outcome == outcome for x in items)


def success_ratio(items):
    return ratio(count(items, "SUCCEEDED"), count(items, "SUCCEEDED") + count(items, "FAILED"))


# field of ExecutionStats -> its value over (executions, window, arguments)
STATS = {
    "executions": lambda xs, w, a: len(xs),
    "succeeded": lambda xs, w, a: count(xs, "SUCCEEDED"),
    "failed": lambda xs, w, a: count(xs, "FAILED"),
    "cancelled": lambda xs, w, a: count(xs, "CANCELLED"),
    "successRatio": lambda xs, w, a: success_ratio(xs),
    "requestsPerSecond": lambda xs, w, a: float(Fraction(len(xs) * 1_000_000, w[1] - w[0])),
    "peakRequestsPerSecond": lambda xs, w, a: peak(xs, *w),
    "users": lambda xs, w, a: len({x.user for x in xs} - {None}),
    "duration": lambda xs, w, a: distribution([x.duration_ms for x in xs]),
    "queue": lambda xs, w, a: distribution(known(x.queue_ms for x in xs)),
    "checkpointLoad": lambda xs, w, a: distribution(known(x.load_ms for x in xs)),
    "modelInit": lambda xs, w, a: distribution(known(x.init_ms for x in xs)),
    "inference": lambda xs, w, a: distribution(known(x.inference_ms for x in xs)),
    "inputSize": lambda xs, w, a: sizes(known(x.input_bytes for x in xs)),
    "outputSize": lambda xs, w, a: sizes(known(x.output_bytes for x in xs)),
    "sizeCorrelation": lambda xs, w, a: size_correlation(xs),
    "gpuMemory": lambda xs, w, a: gpu_memory(xs),
    "executionGpuHours": lambda xs, w, a: float(sum(x.gpu_hours for x in xs)),
    "executionCpuHours": lambda xs, w, a: float(sum(x.cpu_hours for x in xs)),
    "errors": lambda xs, w, a: errors(xs, a.get("limit", 10)),
}


def p95(values):
    values = sorted(known(values))
    return nearest_rank(values, 95) if values else None


# ExecutionOrder -> (what it sorts by, how check.py compares it)
ORDERS = {
    "EXECUTIONS": (len, "sorted"),
    "FAILURES": (lambda xs: count(xs, "FAILED"), "sorted"),
    "SUCCESS_RATIO": (lambda xs: None if success_ratio(xs) is None else Fraction(count(xs, "SUCCEEDED"), count(xs, "SUCCEEDED") + count(xs, "FAILED")), "sorted"),
    "DURATION_P95": (lambda xs: p95([x.duration_ms for x in xs]), "sorted~"),
    "QUEUE_P95": (lambda xs: p95([x.queue_ms for x in xs]), "sorted~"),
    "GPU_HOURS": (lambda xs: sum(x.gpu_hours for x in xs), "sortedf"),
    "USERS": (lambda xs: len({x.user for x in xs} - {None}), "sorted"),
}


class Row(list):
    """Executions of a row, and the GPU samples that fit it (None: the question does not allow the figure)."""

    def __init__(self, executions, samples):
        super().__init__(executions)
        self.samples = samples


class ExecutionQuestion:
    """What executionBreakdown and executionSeries have in common: rows in order, those within the limit, the rest."""

    def __init__(self, facts, arguments, start, end, limit, orders):
        self.window, self.by, self.limit = (start, end), arguments.get("by", []), arguments.get("limit", limit)
        measure, self.mode = orders
        filter_ = arguments.get("filter")
        self.samples = None
        if set(self.by) <= OF_SAMPLES and {k for k, v in (filter_ or {}).items() if v is not None} <= CONDITIONS_OF_SAMPLES:
            self.samples = [s for s in fitting(facts.owned_samples, filter_) if start <= s.at < end]
        executions = matching(facts.executions, filter_, start, end)
        grouped, sampled = breakdown.grouped(executions, self.by), breakdown.grouped(self.samples or [], self.by)
        self.total = Row(executions, self.samples)
        self.rows = {k: Row(xs, None if self.samples is None else sampled.get(k, [])) for k, xs in grouped.items()}
        self.order = breakdown.ordered(self.rows, self.by, measure)
        self.sort = [measure(self.rows[k]) for k in self.order]

    def figure(self, field, row, window):
        if field.name == "gpuSamples":
            return gpu_samples(row.samples)
        return STATS[field.name](row, window, field.arguments)


def once(lists):
    return list({id(x): x for xs in lists for x in xs}.values())


class ExecutionBreakdown(ExecutionQuestion):
    def __init__(self, facts, arguments, start, end):
        super().__init__(facts, arguments, start, end, 100, ORDERS[arguments.get("orderBy", "EXECUTIONS")])
        cut = [self.rows[k] for k in self.order[self.limit:]]
        self.other = Row(once(cut), None if self.samples is None else once(row.samples for row in cut)) if cut else None


class ExecutionSeries(ExecutionQuestion):
    """Points of the `limit` rows with the most executions over the window, and of everything."""

    def __init__(self, facts, arguments, start, end):
        super().__init__(facts, arguments, start, end, 20, ORDERS["EXECUTIONS"])
        self.step = arguments["step"]
        self.tiles = breakdown.tiles(start, end, self.step)

    def points(self, row):
        def within(tile):
            samples = None if row.samples is None else [s for s in row.samples if tile[0] <= s.at < tile[1]]
            return Row([x for x in row if tile[0] <= x.end < tile[1]], samples)
        return [(tile, within(tile)) for tile in self.tiles]
