"""What is asked of tests/fixtures/fleet.ndjson.gz: the operations of tests/operations and questions of our own, each over several windows."""
from facts import instant

WINDOWS = {
    "whole": ("2026-03-27T00:00:00Z", "2026-04-02T00:00:00Z"),
    "day": ("2026-03-30T00:00:00Z", "2026-03-31T00:00:00Z"),
    "hour": ("2026-03-31T14:00:00Z", "2026-03-31T15:00:00Z"),
    "unaligned": ("2026-03-28T03:17:23.456789Z", "2026-04-01T09:41:05.000001Z"),
    "over-month-end": ("2026-03-31T20:00:00Z", "2026-04-01T06:00:00Z"),
    "seconds": ("2026-03-30T06:07:13.5Z", "2026-03-30T09:40:59.25Z"),
    "no-whole-minute": ("2026-03-30T10:00:10Z", "2026-03-30T10:01:50Z"),
    "empty": ("2026-03-20T00:00:00Z", "2026-03-21T00:00:00Z"),
}
EDGES = {name: (instant(start), instant(end)) for name, (start, end) in WINDOWS.items()}

USUAL = ["whole", "hour", "unaligned", "over-month-end", "empty"]
# operation -> windows; the first is the file without a case in its name
OPERATIONS = {
    "td-02-success-rate-by-version": USUAL,
    "td-05-load-init-inference-split": USUAL,
    "td-06-size-and-time-correlation": USUAL,
    "td-07-errors-by-combination": USUAL,
    "admin-04-network-and-disk-io": ["day", "hour", "unaligned", "over-month-end", "empty"],
    "admin-08-request-rates": USUAL + ["seconds", "no-whole-minute"],
    "td-04-gpu-memory-by-combination": USUAL,
    "td-09-checkpoint-switching": USUAL,
    "td-10-queue-and-processing-times": USUAL,
    "td-11-retries-and-failures": USUAL,
    "td-13-checkpoint-cache": USUAL,
    "admin-10-checkpoint-storage": USUAL,
    "admin-11-load-time-by-storage": USUAL,
    "td-12-concurrent-executions": ["hour", "over-month-end", "no-whole-minute", "empty"],
    "td-03-compare-combinations": ["whole", "unaligned", "day", "hour", "over-month-end", "seconds", "empty"],
    "td-08-popular-checkpoints": ["whole", "day", "hour", "unaligned", "over-month-end", "empty"],
    "admin-01-provisioning-times": USUAL,
    "admin-03-availability": USUAL + ["seconds"],
    "admin-05-idle-and-active-time": USUAL,
    "admin-07-resource-trends": USUAL,
    "admin-09-instance-type-usage": USUAL,
}
# variables beside the window
VARIABLES = {"admin-03-availability": {"target": 0.99}}


def combination(model, version, *checkpoints):
    return dict(combinations=[dict(model=model, modelVersion=version, checkpoints=[dict(kind=kind, name=name, version=version) for kind, name, version in checkpoints])])


ANIME, DEPTH = ("LORA", "anime-lines", "4"), ("CONTROLNET", "depth", "1")
# operation -> case -> variables in place of the window: what each side's filter is, and its window where it is another one
SIDES = {
    "td-03-compare-combinations": {
        "whole": (combination("sdxl", "1.0", ANIME), combination("sdxl", "1.0", ANIME, DEPTH)),
        "unaligned": (combination("sdxl", "1.0", ANIME, DEPTH), combination("sdxl", "1.0", ANIME)),
        "day": (dict(models=["sdxl"]), dict(models=["sdxl"], users=["haruto", "sam"])),
        "hour": (dict(models=["sdxl"]), dict(models=["sdxl"])),
        "over-month-end": (dict(models=["flux \"δ\""]), dict(models=["nobody's"])),
        "seconds": (None, dict(outcomes=["FAILED"])),
        "empty": (None, None),
    },
}

DISTRIBUTION = "{ count meanMs sumMs minMs p50Ms p90Ms p95Ms p99Ms maxMs }"
SIZES = "{ count meanBytes sumBytes p50Bytes p95Bytes maxBytes }"
COUNTS = "executions succeeded failed cancelled successRatio users"
EVERY = (f"{COUNTS} requestsPerSecond peakRequestsPerSecond duration {DISTRIBUTION} queue {DISTRIBUTION} checkpointLoad {DISTRIBUTION} modelInit {DISTRIBUTION} "
         f"inference {DISTRIBUTION} inputSize {SIZES} outputSize {SIZES} gpuMemory {{ executions meanBytes p95Bytes maxBytes }} "
         "sizeCorrelation { executions inputPearson outputPearson inputMsPerMebibyte outputMsPerMebibyte } "
         "executionGpuHours executionCpuHours errors(limit: 3) { errorType count ratio lastSeenAt }")
SOME = f"{COUNTS} executionGpuHours executionCpuHours duration {{ sumMs p95Ms maxMs }} queue {{ count p95Ms }}"
KEYS = {
    "MODEL_TYPE": "modelType", "MODEL": "model { name }", "MODEL_VERSION": "modelVersion { model { name } version }", "CHECKPOINT": "checkpoint { kind name }",
    "CHECKPOINT_VERSION": "checkpointVersion { checkpoint { kind name } version }", "COMBINATION": "combination { label }", "APPLICATION": "application { name }",
    "USER": "user { name }", "DEPARTMENT": "department { name }", "PROJECT": "project { name }", "VM": "vm { name }", "INSTANCE_TYPE": "instanceType { name }",
    "REGION": "region", "PROVIDER": "provider", "ERROR_TYPE": "errorType", "STORAGE_TYPE": "storageType", "STORAGE_LOCATION": "storageLocation",
}
GAUGE = "{ mean p95 max }"
MACHINE = (f"vms samples gpuSamples cpuRatio {GAUGE} memoryRatio {GAUGE} memoryUsedBytes {GAUGE} diskRatio {GAUGE} diskBusyRatio {GAUGE} gpuRatio {GAUGE} "
           f"gpuMemoryRatio {GAUGE} gpuMemoryUsedBytes {GAUGE} gpuTemperatureCelsius {GAUGE} gpuPowerWatts {GAUGE} gpuIdleRatio networkReceivedBytes networkSentBytes "
           f"networkErrors diskReadBytes diskWrittenBytes diskReadOps diskWriteOps networkReceivedBytesPerSecond {GAUGE} networkSentBytesPerSecond {GAUGE} "
           f"diskReadBytesPerSecond {GAUGE} diskWrittenBytesPerSecond {GAUGE}")
FEW = "vms samples gpuSamples networkErrors"


def keys(by):
    return " ".join(KEYS[d] for d in by)


def rows(alias, by, more="", stats=SOME, rest=SOME):
    return (f"{alias}: executionBreakdown(window: $window, by: [{', '.join(by)}]{more}) {{ window {{ start end }} rowCount rows {{ key {{ {keys(by)} }} stats {{ {stats} }} }} "
            f"other {{ {rest} }} total {{ {rest} }} }}")


def camel(dimension):
    head, *rest = dimension.lower().split("_")
    return "by" + head.title() + "".join(r.title() for r in rest)


def query(name, *fields):
    return f"query {name}($window: TimeWindowInput!) {{ " + " ".join(fields) + " }"


FILTERS = [
    ("ofAnime", ["CHECKPOINT"], ', filter: { checkpoints: [{ kind: LORA, name: "anime-lines" }] }'),
    ("ofVersion", ["CHECKPOINT_VERSION", "VM"], ', limit: 4, filter: { checkpointVersions: [{ kind: CONTROLNET, name: "depth", version: "1" }, { kind: LORA, name: "anime-lines", version: "5" }] }'),
    ("ofCombination", ["USER"], ', filter: { combinations: [{ model: "sdxl", modelVersion: "1.0", checkpoints: [{ kind: LORA, name: "anime-lines", version: "5" }, { kind: LORA, name: "anime-lines", version: "4" }] }, { model: "flux \\"δ\\"", modelVersion: "dev" }] }'),
    ("ofType", ["MODEL", "MODEL_TYPE"], ', filter: { modelTypes: ["IMAGE_TO_VIDEO", "TEXT_TO_IMAGE"], outcomes: [SUCCEEDED, FAILED] }'),
    ("ofPlace", ["DEPARTMENT", "REGION"], ', filter: { regions: ["us west/2", "europe-west4"], applications: ["studio-web", "nuke/плагин"] }'),
    ("ofMachines", ["INSTANCE_TYPE", "PROVIDER"], ', filter: { vms: ["ghost №1", "gpu münchen \\"3\\"", "g6-01"], users: ["Anna O\'Neil", "björn", "魏", "edge"] }'),
    ("ofErrors", ["ERROR_TYPE", "MODEL_VERSION"], ', orderBy: USERS, filter: { errorTypes: ["NAN_OUTPUT", "USER_ABORT", "EDGE"], modelVersions: [{ model: "sdxl", version: "1.0" }, { model: "flux \\"δ\\"", version: "dev" }] }'),
    ("ofProjects", ["PROJECT", "APPLICATION", "USER", "VM"], ', limit: 7, filter: { projects: ["Café Lumière", "Harbor, season 2"], departments: ["Animation", "Advertising"], instanceTypes: ["p4d.24xlarge"] }'),
    ("ofNothing", ["USER"], ', filter: { users: ["nobody"] }'),
    ("ofEmptyList", ["MODEL"], ', orderBy: SUCCESS_RATIO, limit: 2'),
]
ORDERS = ["EXECUTIONS", "FAILURES", "SUCCESS_RATIO", "DURATION_P95", "QUEUE_P95", "GPU_HOURS", "USERS"]

SERIES = query(
    "Series",
    f"hours: executionSeries(window: $window, step: HOUR, by: [DEPARTMENT], limit: 3) {{ window {{ start end }} step rowCount rows {{ key {{ department {{ name }} }} points {{ window {{ start end }} stats {{ {COUNTS} requestsPerSecond duration {{ p50Ms sumMs }} }} }} }} total {{ window {{ start }} stats {{ {COUNTS} executionGpuHours }} }} }}",
    f"days: executionSeries(window: $window, step: DAY, by: [MODEL, CHECKPOINT], limit: 50) {{ rowCount rows {{ key {{ model {{ name }} checkpoint {{ kind name }} }} points {{ window {{ start end }} stats {{ executions users peakRequestsPerSecond }} }} }} total {{ stats {{ executions users peakRequestsPerSecond }} }} }}",
    "all: executionSeries(window: $window, step: DAY) { total { window { start end } stats { executions users } } }",
)

FIGURES = "executions failed successRatio users duration { p95Ms } queue { p95Ms } executionGpuHours"


def ordered_by(order):
    return rows("by" + order.title().replace("_", ""), ["COMBINATION"], f", orderBy: {order}, limit: 12", FIGURES)


# name -> (role, document, windows). At most 5 root fields a document: a server tells at most 5 errors an answer, and a role
# without the right must be told for each field.
QUESTIONS = {
    **{f"own-0{n + 1}-every-dimension": ("PIPELINE_TD", query("EveryDimension", *(rows(camel(d), [d]) for d in list(KEYS)[n * 5:n * 5 + 5])), USUAL) for n in range(3)},
    **{f"own-0{n + 4}-filters": ("PIPELINE_TD", query("Filters", *(rows(*f) for f in FILTERS[n * 5:n * 5 + 5])), ["whole", "unaligned", "empty"]) for n in range(2)},
    "own-06-every-figure": ("PIPELINE_TD", query("EveryFigure", rows("byVm", ["VM"], ", orderBy: GPU_HOURS", EVERY, EVERY), rows("byUser", ["DEPARTMENT", "USER"], ", limit: 5", EVERY, EVERY)),
                            ["whole", "unaligned", "hour"]),
    **{f"own-0{n + 7}-orders": ("PIPELINE_TD", query("Orders", *(ordered_by(o) for o in ORDERS[n * 4:n * 4 + 4])), ["whole", "over-month-end"]) for n in range(2)},
    "own-09-series": ("PIPELINE_TD", SERIES, ["unaligned", "over-month-end", "empty"]),
    "own-10-machines": ("ADMIN", query(
        "Machines",
        f"byVm: machineBreakdown(window: $window, by: [VM]) {{ rowCount rows {{ key {{ vm {{ name }} }} stats {{ {MACHINE} }} }} total {{ {MACHINE} }} }}",
        f"byRegion: machineBreakdown(window: $window, by: [REGION]) {{ rows {{ key {{ region }} stats {{ {MACHINE} }} }} total {{ {MACHINE} }} }}",
        f"byType: machineBreakdown(window: $window, by: [INSTANCE_TYPE, PROVIDER], limit: 2) {{ rowCount rows {{ key {{ instanceType {{ name }} provider }} stats {{ {FEW} }} }} other {{ {FEW} }} total {{ {FEW} }} }}",
        "days: machineSeries(window: $window, step: DAY, by: [REGION], limit: 2) { rowCount rows { key { region } points { window { start end } stats { vms samples cpuRatio { mean } gpuRatio { p95 } } } } total { stats { samples } } }"),
        ["whole", "hour", "unaligned", "over-month-end"]),
}
