"""Questions of our own about jobs, switching, concurrency, usage, machines' lives and what their GPUs did, beside those of cases.py.

The name tells the question (`own-switching-…`), so that the stories of a question that a server cannot answer yet can be left out.
"""
from cases import DISTRIBUTION, KEYS, camel, keys, query

DIMENSIONS = list(KEYS)[:15]
LOAD_DIMENSIONS = ["MODEL_TYPE", "MODEL", "MODEL_VERSION", "CHECKPOINT", "CHECKPOINT_VERSION", "VM", "INSTANCE_TYPE", "REGION", "PROVIDER", "STORAGE_TYPE", "STORAGE_LOCATION", "ERROR_TYPE"]
LOADS = (f"loads cacheHits cacheMisses hitRatio failed bytes duration {DISTRIBUTION} hitDuration {DISTRIBUTION} missDuration {DISTRIBUTION} throughputBytesPerSecond")
SOME_LOADS = "loads cacheMisses hitRatio failed bytes duration { sumMs p95Ms } throughputBytesPerSecond"
GAUGE = "{ mean p95 max }"
STORAGE = "sizeBytes replicas byteHours loads loadsPerDay lastLoadedAt cold"
STORAGE_DIMENSIONS = ["MODEL", "MODEL_VERSION", "CHECKPOINT", "CHECKPOINT_VERSION", "STORAGE_TYPE", "STORAGE_LOCATION"]
SWITCHING = f"executions switches coldStarts switchRatio switchesPerHour switched {DISTRIBUTION} unswitched {DISTRIBUTION} addedMeanMs"
SWITCHED = "executions switches coldStarts switchRatio addedMeanMs"
JOBS = f"jobs attempts retries retriedJobs failedJobs failureRatio retryRatio queue {DISTRIBUTION} processing {DISTRIBUTION}"
SOME_JOBS = "jobs attempts retries retriedJobs failedJobs failureRatio retryRatio queue { count p95Ms } processing { sumMs maxMs }"
CONCURRENCY = "window { start end } mean max queuedMean queuedMax"
USAGE = "gpuHours cpuHours idleGpuHours idleCpuHours"
PROVISIONING = f"requested provisioned failed terminated provisioning {DISTRIBUTION} deprovisioning {DISTRIBUTION}"
AVAILABILITY = "upMs downMs maintenanceMs availabilityRatio incidents meanTimeToRecoverMs meetsTarget"
ACTIVITY = "vms activity { runningMs activeMs idleMs idleRatio }"
GPU = f"gpuMemory {{ executions meanBytes p95Bytes maxBytes maxRatio }} gpuSamples {{ samples utilizationRatio {GAUGE} memoryUsedBytes {GAUGE} }}"
NODE = "{ key state queuedAt startedAt finishedAt combination { label } application { name } user { name } department { name } project { name } vm { name } }"


def listed(by):
    return "[" + ", ".join(by) + "]"


def switching(alias, by, more="", stats=SWITCHED):
    given = f", by: {listed(by)}" if by else ""
    rows = f"rowCount rows {{ key {{ {keys(by)} }} stats {{ {stats} }} }} other {{ {stats} }}" if by else "rowCount"
    return f"{alias}: checkpointSwitching(window: $window{given}{more}) {{ window {{ start end }} {rows} total {{ {SWITCHING} }} }}"


def jobs(alias, by, more="", stats=SOME_JOBS):
    rows = f"rows {{ key {{ {keys(by)} }} stats {{ {stats} }} }}" if by else "rows { stats { jobs } }"
    return f"{alias}: jobBreakdown(window: $window, by: {listed(by)}{more}) {{ window {{ start end }} rowCount {rows} other {{ {stats} }} total {{ {stats} }} }}"


def loads(alias, by, more="", stats=SOME_LOADS):
    rows = f"rows {{ key {{ {keys(by)} }} stats {{ {stats} }} }}" if by else "rows { stats { loads } }"
    return f"{alias}: loadBreakdown(window: $window, by: {listed(by)}{more}) {{ window {{ start end }} rowCount {rows} other {{ {stats} }} total {{ {stats} }} }}"


def storage(alias, by, more=""):
    rows = f"rows {{ key {{ {keys(by)} }} stats {{ {STORAGE} }} }}" if by else f"rows {{ stats {{ {STORAGE} }} }}"
    return f"{alias}: storageBreakdown(window: $window, by: {listed(by)}{more}) {{ window {{ start end }} rowCount {rows} other {{ {STORAGE} }} total {{ {STORAGE} }} }}"


def series(field, alias, by, step, more, point):
    rows = f"rowCount rows {{ key {{ {keys(by)} }} points {{ {point} }} }}" if by else "rowCount"
    given = f", by: {listed(by)}" if by else ""
    return f"{alias}: {field}(window: $window, step: {step}{given}{more}) {{ window {{ start end }} step {rows} total {{ {point} }} }}"


def concurrency(alias, by, step="DAY", more=", limit: 6"):
    return series("concurrencySeries", alias, by, step, more, CONCURRENCY)


def usage_series(alias, by, step, more=""):
    return series("usageSeries", alias, by, step, more, f"window {{ start end }} usage {{ {USAGE} }}")


def usage(alias, by, more=""):
    rows = f"rows {{ key {{ {keys(by)} }} usage {{ {USAGE} }} }}" if by else f"rows {{ usage {{ {USAGE} }} }}"
    return f"{alias}: usageBreakdown(window: $window, by: {listed(by)}{more}) {{ window {{ start end }} rowCount {rows} other {{ {USAGE} }} total {{ {USAGE} }} }}"


def machines(field, alias, by, more, figures):
    given = f", by: {listed(by)}" if by else ""
    rows = f"rows {{ key {{ {keys(by)} }} stats {{ {figures} }} }}" if by else ""
    target = "targetRatio " if field == "availabilityBreakdown" else ""
    return f"{alias}: {field}(window: $window{given}{more}) {{ window {{ start end }} {target}{rows} total {{ {figures} }} }}"


def provisioning(alias, by, more=""):
    return machines("provisioningBreakdown", alias, by, more, PROVISIONING)


def availability(alias, by, more=""):
    return machines("availabilityBreakdown", alias, by, more, AVAILABILITY)


def activity(alias, by, more=""):
    return (f"{alias}: machineBreakdown(window: $window, by: {listed(by)}{more}) {{ rowCount rows {{ key {{ {keys(by)} }} stats {{ {ACTIVITY} }} }} "
            f"other {{ {ACTIVITY} }} total {{ {ACTIVITY} }} }}")


def gpu(alias, by, more=""):
    rows = f"rows {{ key {{ {keys(by)} }} stats {{ executions {GPU} }} }}"
    return f"{alias}: executionBreakdown(window: $window, by: {listed(by)}{more}) {{ rowCount {rows} other {{ executions {GPU} }} total {{ executions {GPU} }} }}"


def instances(alias, filter_, limit):
    given = f", filter: {filter_}" if filter_ else ""
    shown = f"(limit: {limit})" if limit else ""
    return (f"{alias}: instanceTypeUsage(window: $window{given}) {{ instanceType {{ name gpuModel gpuCount vCpus memoryBytes }} vms runningHours busyRatio gpuRatio {GAUGE} "
            f"workloads{shown} {{ combination {{ label }} executions gpuHours ratio duration {DISTRIBUTION} }} }}")


def every_dimension(name, role, one, windows):
    """Three documents of five dimensions."""
    return {f"{name}-every-dimension-{n + 1}": (role, query("EveryDimension", *(one(camel(d), [d]) for d in DIMENSIONS[n * 5:n * 5 + 5])), windows) for n in range(3)}


UTILIZATION = ("{ vm { name state } at cpuRatio memoryUsedBytes memoryTotalBytes diskUsedBytes diskTotalBytes networkReceivedBytesPerSecond networkSentBytesPerSecond "
               "diskReadBytesPerSecond diskWrittenBytesPerSecond gpus { index at uuid name utilizationRatio memoryUsedBytes memoryTotalBytes temperatureCelsius powerWatts combination { label } } }")
TD, ADMIN = "PIPELINE_TD", "ADMIN"
ANIME = 'checkpoints: [{ kind: LORA, name: "anime-lines" }]'
NOBODY = 'filter: { users: ["nobody"] }'
USUAL = ["whole", "hour", "unaligned", "over-month-end", "empty"]

MORE_QUESTIONS = {
    "own-gpus-samples": (TD, query(
        "GpuSamples", gpu("byModel", ["MODEL"]), gpu("byCheckpoint", ["CHECKPOINT"], ", limit: 3"), gpu("byMachine", ["VM", "INSTANCE_TYPE"], ", limit: 4"),
        gpu("byPlace", ["REGION", "PROVIDER", "MODEL_TYPE"]), gpu("byVersion", ["MODEL_VERSION"], f', filter: {{ {ANIME}, regions: ["north", "south", "us-east-1"] }}')), USUAL),
    "own-gpus-no-samples": (TD, query(
        "GpuSamples", gpu("byUser", ["USER"], ", limit: 3"), gpu("ofUser", ["VM"], ', filter: { users: ["odd"] }'), gpu("ofOutcome", ["VM"], ", filter: { outcomes: [FAILED] }"),
        gpu("ofMachines", ["COMBINATION"], ', filter: { vms: ["odd-01", "ghost №2"], instanceTypes: ["odd.3x"] }'),
        f"hours: executionSeries(window: $window, step: DAY, by: [COMBINATION], limit: 3) {{ rows {{ key {{ combination {{ label }} }} points {{ window {{ start }} stats {{ {GPU} }} }} }} total {{ stats {{ {GPU} }} }} }}"),
        ["unaligned", "hour"]),
    **every_dimension("own-switching", TD, switching, ["unaligned"]),
    "own-switching": (TD, query(
        "Switching", switching("all", []), switching("few", ["VM", "MODEL"], ", limit: 3", SWITCHING), switching("filtered", ["COMBINATION"], f', filter: {{ {ANIME}, vms: ["g6-01", "p4d-01", "odd-01"] }}'),
        switching("nobody", ["USER"], f", {NOBODY}"),
        "steps: checkpointSwitching(window: $window, filter: { outcomes: [SUCCEEDED] }) { transitions { from { label } to { label } switches meanLoadMs } }"), USUAL),
    **every_dimension("own-jobs", TD, jobs, ["unaligned"]),
    "own-jobs-orders": (TD, query("Orders", *(jobs("by" + o.title().replace("_", ""), ["MODEL", "VM"], f", orderBy: {o}, limit: 7", SOME_JOBS) for o in
                                              ("JOBS", "RETRIES", "FAILURES", "QUEUE_P95", "PROCESSING_P95"))), ["whole", "hour", "over-month-end"]),
    "own-jobs": (TD, query(
        "Jobs", jobs("all", []), jobs("ofOdd", ["USER", "DEPARTMENT", "VM"], ', filter: { departments: ["Odd"] }', JOBS), jobs("nobody", ["USER"], f", {NOBODY}"),
        jobs("failed", ["ERROR_TYPE"], ", filter: { outcomes: [FAILED, CANCELLED] }"), jobs("cut", ["COMBINATION"], f", limit: 1, filter: {{ {ANIME} }}")), USUAL),
    **{f"own-loads-every-dimension-{n + 1}": ("FINANCIAL_DIRECTOR", query("EveryDimension", *(loads(camel(d), [d]) for d in LOAD_DIMENSIONS[n * 4:n * 4 + 4])), ["unaligned"]) for n in range(3)},
    "own-loads-orders": (ADMIN, query("Orders", *(loads("by" + o.title().replace("_", ""), ["CHECKPOINT_VERSION", "VM"], f", orderBy: {o}, limit: 7") for o in ("LOADS", "MISSES", "BYTES", "DURATION_P95"))),
                         ["whole", "hour", "over-month-end"]),
    "own-loads": (TD, query(
        "Loads", loads("all", [], "", LOADS), loads("few", ["MODEL", "STORAGE_TYPE"], ", limit: 3", LOADS),
        loads("ofAnime", ["MODEL_VERSION", "STORAGE_LOCATION"], f', filter: {{ {ANIME}, storageTypes: [OBJECT_STORE, NETWORK_FILESYSTEM, LOCAL_DISK], models: ["sdxl"] }}'),
        loads("nobody", ["VM"], ', filter: { storageLocations: ["nowhere"] }'), loads("none", ["VM"], ", limit: 0, filter: { cacheHit: false }")), USUAL),
    "own-loads-filtered": (TD, query(
        "Loads", loads("hits", ["STORAGE_TYPE", "REGION"], ', filter: { cacheHit: true, regions: ["us-east-1", "us west/2", "europe-west4"] }', LOADS), loads("misses", ["STORAGE_TYPE"], ", orderBy: BYTES, filter: { cacheHit: false }", LOADS),
        loads("failed", ["MODEL", "VM"], ', filter: { errorTypes: ["CHECKSUM_MISMATCH"] }', LOADS),
        loads("placed", ["CHECKPOINT"], ', filter: { vms: ["p4d-01", "g6-01"], instanceTypes: ["p4d.24xlarge"], storageLocations: ["fsx-weights", "p4d-01/nvme0"] }'),
        loads("ofVersions", ["CHECKPOINT_VERSION"], ', filter: { checkpointVersions: [{ kind: LORA, name: "anime-lines", version: "5" }, { kind: CONTROLNET, name: "depth", version: "1" }] }')), ["whole", "unaligned"]),
    **{f"own-storage-every-dimension-{n + 1}": ("FINANCIAL_DIRECTOR", query("EveryDimension", *(storage(camel(d), [d]) for d in STORAGE_DIMENSIONS[n * 3:n * 3 + 3])), USUAL) for n in range(2)},
    "own-storage": (ADMIN, query(
        "Storage", storage("all", []), storage("few", ["CHECKPOINT_VERSION", "STORAGE_TYPE"], ", orderBy: LOADS, limit: 4"), storage("newest", ["MODEL", "STORAGE_LOCATION"], ", orderBy: LAST_LOADED, limit: 5"),
        storage("ofAnime", ["MODEL_VERSION", "STORAGE_LOCATION"], f', filter: {{ {ANIME}, storageTypes: [OBJECT_STORE, NETWORK_FILESYSTEM], models: ["sdxl"] }}'),
        storage("nowhere", ["CHECKPOINT"], ', filter: { storageLocations: ["nowhere"] }')), USUAL + ["seconds", "no-whole-minute"]),
    **every_dimension("own-concurrency", TD, concurrency, ["unaligned"]),
    "own-concurrency": (TD, query(
        "Concurrency", concurrency("all", [], "HOUR", ""), concurrency("month", ["USER"], "MONTH", ""), concurrency("ofOdd", ["VM", "COMBINATION"], "HOUR", ', filter: { users: ["odd"] }'),
        concurrency("nobody", ["USER"], "DAY", f", {NOBODY}"), concurrency("failed", ["MODEL"], "DAY", ", filter: { outcomes: [FAILED] }, limit: 2")), ["unaligned", "over-month-end", "empty"]),
    "own-concurrency-minutes": (TD, query("Concurrency", concurrency("minutes", ["VM"], "MINUTE", ", limit: 2")), ["hour", "no-whole-minute"]),
    "own-joblist": (TD, "query Jobs { " + " ".join(f"{alias}: jobs(filter: {{ states: [{states}]{more} }}, first: {first}) {{ nodes {NODE} pageInfo {{ hasNextPage hasPreviousPage }} }}" for alias, states, more, first in (
        ("all", "QUEUED, RUNNING", "", 100), ("waiting", "QUEUED", "", 10), ("first", "QUEUED, RUNNING", "", 2),
        ("odd", "RUNNING, QUEUED", f', {ANIME}, users: ["odd", "anna"], departments: ["Odd"], projects: ["Odd one"], applications: ["odd-app"]', 10),
        ("placed", "RUNNING", ', vms: ["c3-01", "odd-01"], models: ["sdxl"]', 10))) + " }", ["hour"]),
    **every_dimension("own-usage", TD, usage, ["unaligned"]),
    "own-usage": (TD, query(
        "Usage", usage("all", []), usage("cut", ["VM", "COMBINATION"], ", limit: 5"), usage("ofOdd", ["REGION", "INSTANCE_TYPE", "USER"], ', filter: { projects: ["Odd one"], outcomes: [SUCCEEDED, CANCELLED] }'),
        usage("nobody", ["USER"], f", {NOBODY}"), usage("placed", ["CHECKPOINT_VERSION", "VM"], ', filter: { vms: ["odd-01", "odd-02", "ghost №2"], models: ["sdxl"] }')), USUAL),
    "own-usage-series": (ADMIN, query(
        "UsageSeries", usage_series("hours", [], "HOUR"), usage_series("days", ["DEPARTMENT"], "DAY", ", limit: 2"), usage_series("months", ["CHECKPOINT"], "MONTH"),
        usage_series("ofOdd", ["VM"], "HOUR", ', filter: { users: ["odd"] }'), usage_series("nobody", ["USER"], "DAY", f", {NOBODY}")), ["unaligned", "over-month-end", "no-whole-minute", "empty"]),
    "own-provisioning": (ADMIN, query(
        "Provisioning", provisioning("all", []), provisioning("byVm", ["VM"]), provisioning("byPlace", ["PROVIDER", "REGION"]),
        provisioning("ofType", ["INSTANCE_TYPE"], ', filter: { instanceTypes: ["odd.1x", "odd.3x", "g6.2xlarge"], regions: ["north", "us west/2", "eu-central-1"] }'),
        provisioning("nobody", ["VM"], ', filter: { vms: ["nobody"] }')), USUAL),
    "own-availability": (ADMIN, query(
        "Availability", availability("all", []), availability("byVm", ["VM"], ", targetRatio: 0.5"), availability("byPlace", ["REGION", "INSTANCE_TYPE"], ", targetRatio: 0.95"),
        availability("ofProvider", ["PROVIDER"], ', filter: { providers: ["odd co", "gcp"] }, targetRatio: 1'), availability("nobody", ["VM"], ', filter: { vms: ["nobody"] }')),
        USUAL + ["seconds", "no-whole-minute"]),
    "own-activity": (ADMIN, query(
        "Activity", activity("byType", ["INSTANCE_TYPE"], ", limit: 3"), activity("byPlace", ["REGION", "PROVIDER"]), activity("ofOdd", ["VM", "REGION"], ', filter: { providers: ["odd co"] }'),
        f"hours: machineSeries(window: $window, step: HOUR, filter: {{ vms: [\"odd-01\", \"odd-02\"] }}) {{ total {{ window {{ start end }} stats {{ {ACTIVITY} }} }} }}",
        f"days: machineSeries(window: $window, step: DAY, by: [VM]) {{ rows {{ key {{ vm {{ name }} }} points {{ window {{ start }} stats {{ {ACTIVITY} }} }} }} total {{ stats {{ {ACTIVITY} }} }} }}"), USUAL),
    "own-instances": (ADMIN, query(
        "Instances", instances("all", "", ""), instances("few", '{ regions: ["north", "south", "us west/2"] }', 1), instances("ofMachines", '{ vms: ["odd-01", "g6-01"], instanceTypes: ["odd.1x", "g6.2xlarge"] }', 2),
        instances("ofProvider", '{ providers: ["gcp"] }', 3), instances("nobody", '{ vms: ["nobody"] }', "")), USUAL),
    "own-utilization": (ADMIN, "query Utilization { " + " ".join(f"{alias}: vms(first: {first}{more}) {{ nodes {{ name utilization {UTILIZATION} }} }}" for alias, first, more in (
        ("all", 100, ""), ("running", 100, ", filter: { states: [RUNNING, MAINTENANCE] }"), ("placed", 100, ', filter: { regions: ["us west/2", "north"] }'),
        ("named", 1, ', filter: { vms: ["nobody", "g6-01", "p4d-01"] }'))) + " }", ["whole"]),
}
