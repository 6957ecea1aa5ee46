"""Answers a document: runs each root field and picks what the document selects, and describes its lists for check.py."""
import availability
import breakdown
import comparing
import concurrency
import document
import executions
import gpus
import instance_types
import jobs
import live
import loads
import machines
import provisioning
import storage
import switching
import usage
import utilization
from facts import instant, written
from fleet import Fleet

QUESTIONS = {
    "executionBreakdown": executions.ExecutionBreakdown, "executionSeries": executions.ExecutionSeries,
    "machineBreakdown": machines.MachineQuestion, "machineSeries": machines.MachineQuestion,
    "checkpointSwitching": switching.SwitchingQuestion, "jobBreakdown": jobs.JobQuestion,
    "concurrencySeries": concurrency.ConcurrencyQuestion, "provisioningBreakdown": provisioning.ProvisioningQuestion,
    "availabilityBreakdown": availability.AvailabilityQuestion, "instanceTypeUsage": instance_types.InstanceTypeQuestion,
    "loadBreakdown": loads.LoadQuestion, "storageBreakdown": storage.StorageQuestion, "usageBreakdown": usage.UsageQuestion, "usageSeries": usage.UsageQuestion,
}
TD, ADMIN, FD = "PIPELINE_TD", "ADMIN", "FINANCIAL_DIRECTOR"
ROLES = {
    "executionBreakdown": [TD, ADMIN], "executionSeries": [TD, ADMIN], "machineBreakdown": [ADMIN], "machineSeries": [ADMIN],
    "checkpointSwitching": [TD], "jobBreakdown": [TD], "executionComparison": [TD], "checkpointPopularity": [TD], "loadBreakdown": [TD, ADMIN, FD],
    "concurrencySeries": [TD, ADMIN], "jobs": [TD, ADMIN], "vms": [ADMIN, TD],
    "provisioningBreakdown": [ADMIN], "availabilityBreakdown": [ADMIN], "instanceTypeUsage": [ADMIN],
    "storageBreakdown": [ADMIN, FD], "usageBreakdown": [TD, ADMIN, FD], "usageSeries": [TD, ADMIN, FD],
}
OPTIONAL_EMPTY = {"machineBreakdown", "machineSeries", "provisioningBreakdown", "availabilityBreakdown", "instanceTypeUsage", "usageBreakdown", "usageSeries"}     # rows of nothing but zeros may be left out
OPEN = "$datetime"                                           # an instant that no oracle can tell
ANY = "$any"                                                 # a value that no oracle can tell
FIGURES = {"stats", "usage"}                                 # fields that hold the figures of a row or point


def picked(value, selection):
    if value is None or not selection:
        return value
    if isinstance(value, list):
        return [picked(v, selection) for v in value]
    return {f.alias: picked(value[f.name], f.selection) for f in selection}


def uncut(field):
    """The same field without the limits of the lists in it."""
    return document.Field(field.alias, field.name, {k: v for k, v in field.arguments.items() if k != "limit"} | ({"limit": None} if field.name == "errors" else {}), [uncut(f) for f in field.selection])


def window_object(window):
    return dict(start=written(window[0]), end=written(window[1]))


class Oracle:
    def __init__(self, facts):
        self.facts = facts
        facts.fleet = Fleet(facts)
        executions.tell_model_types(facts.executions)
        gpus.tell_gpu_memory(facts)
        facts.owned_samples = gpus.owned_samples(facts, facts.fleet)
        switching.tell_predecessors(facts)
        jobs.tell_jobs(facts)
        loads.tell_loads(facts)
        storage.tell_storage(facts)
        live.tell_live_jobs(facts)
        facts.machines = machines.MachineFacts(facts, facts.fleet)

    def ask(self, field):
        window = field.arguments["window"]
        return QUESTIONS[field.name](self.facts, field.arguments, instant(window["start"]), instant(window["end"]))

    def figures(self, question, selection, items, window):
        """What a selection of figures shows of the items of one row or point."""
        return None if items is None else {f.alias: picked(question.figure(f, items, window), f.selection) for f in selection}

    def point(self, question, selection, tile, items):
        shown = {}
        for f in selection:
            if f.name == "window":
                shown[f.alias] = picked(window_object(tile), f.selection)
            elif f.name in FIGURES:
                shown[f.alias] = self.figures(question, f.selection, items, tile)
            else:
                shown.update(self.figures(question, [f], items, tile))
        return shown

    def row(self, question, selection, key):
        items, shown = question.rows[key], {}
        for f in selection:
            if f.name == "key":
                shown[f.alias] = picked(breakdown.key_object(key, question.by), f.selection)
            elif f.name in FIGURES:
                shown[f.alias] = self.figures(question, f.selection, items, question.window)
            elif f.name == "points":
                shown[f.alias] = [self.point(question, f.selection, tile, found) for tile, found in question.points(items)]
        return shown

    def list_of_jobs(self, field, lists):
        asked, shown = live.JobList(self.facts, field.arguments), {}
        nodes = asked.nodes(self.facts)
        for f in field.selection:
            if f.name == "nodes":
                full = picked(nodes, f.selection)
                shown[f.alias] = full[:asked.limit]
                lists[f"{field.alias}.{f.alias}"] = list_of(full, asked.limit, [c.at for c in asked.jobs], ["key"])
            elif f.name == "pageInfo":
                page = dict(hasNextPage=asked.limit is not None and len(nodes) > asked.limit, hasPreviousPage=False, startCursor=ANY, endCursor=ANY)
                shown[f.alias] = picked(page, f.selection)
        return shown

    def list_of_machines(self, field, lists):
        limit, shown = field.arguments.get("first"), {}
        nodes = utilization.machines(self.facts, field.arguments.get("filter") or {})
        for f in field.selection:
            if f.name == "nodes":
                full = picked(nodes, f.selection)
                shown[f.alias] = full[:limit]
                lists[f"{field.alias}.{f.alias}"] = list_of(full, limit, [0] * len(full), ["name"])
            elif f.name == "pageInfo":
                page = dict(hasNextPage=limit is not None and len(nodes) > limit, hasPreviousPage=False, startCursor=ANY, endCursor=ANY)
                shown[f.alias] = picked(page, f.selection)
        return shown

    def instance_types(self, field, lists):
        question, rows = self.ask(field), []
        for n, name in enumerate(question.names):
            usage, shown = question.usage(name), {}
            for f in field.selection:
                if f.name == "workloads":
                    (full, hours), limit = question.workloads(name), f.arguments.get("limit", 10)
                    full = picked(full, f.selection)
                    shown[f.alias] = full[:limit]
                    lists[f"{field.alias}.{n}.{f.alias}"] = list_of(full, limit, hours, ["combination"], "sortedf")
                else:
                    shown[f.alias] = picked(usage[f.name], f.selection)
            rows.append(shown)
        lists[field.alias] = list_of(rows, None, [0] * len(rows), ["instanceType"])
        return rows

    def comparison(self, field):
        old, new = (comparing.Side(self.facts, field.arguments[side]) for side in ("baseline", "candidate"))
        figures, shown = comparing.comparison(old, new), {}
        for f in field.selection:
            if f.name in ("baseline", "candidate"):
                side = old if f.name == "baseline" else new
                question = executions.ExecutionBreakdown(self.facts, dict(by=[]), *side.window)
                shown[f.alias] = self.figures(question, f.selection, side.items, side.window)
            else:
                shown[f.alias] = figures[f.name]
        return shown

    def popularity(self, field, lists):
        models, shown = comparing.popularity(self.facts, field.arguments), []
        limit = field.arguments.get("limit", 10)
        for n, model in enumerate(models):
            row = {}
            for f in field.selection:
                full = picked(model[f.name], f.selection)
                row[f.alias] = full[:limit] if f.name == "ranking" else full
                if f.name == "ranking":
                    lists[f"{field.alias}.{n}.{f.alias}"] = list_of(full, limit, [r["executions"] for r in model["ranking"]], ["checkpointVersion"])
            shown.append(row)
        lists[field.alias] = list_of(shown, None, [m["executions"] for m in models], ["model"])
        return shown

    def root(self, field, lists):
        if field.name == "executionComparison":
            return self.comparison(field)
        if field.name == "checkpointPopularity":
            return self.popularity(field, lists)
        if field.name == "jobs":
            return self.list_of_jobs(field, lists)
        if field.name == "vms":
            return self.list_of_machines(field, lists)
        if field.name == "instanceTypeUsage":
            return self.instance_types(field, lists)
        question, shown = self.ask(field), {}
        series = field.name.endswith("Series")
        for f in field.selection:
            if f.name == "rows":
                shown[f.alias] = [self.row(question, f.selection, key) for key in question.order[:question.limit]]
                whole = [uncut(figures) for figures in f.selection]
                lists[f"{field.alias}.{f.alias}"] = described(question, [self.row(question, whole, key) for key in question.order])
                self.describe_errors(question, field, f, lists)
            elif f.name == "total" and series:
                shown[f.alias] = [self.point(question, f.selection, tile, found) for tile, found in question.points(question.total)]
            elif f.name in ("total", "other"):
                shown[f.alias] = self.figures(question, f.selection, getattr(question, f.name), question.window)
            elif f.name == "transitions":
                full, limit = picked(question.transitions(), f.selection), f.arguments.get("limit", 20)
                shown[f.alias] = full[:limit]
                lists[f"{field.alias}.{f.alias}"] = list_of(full, limit, [t["switches"] for t in question.transitions()], ["from", "to"])
            elif f.name == "window":
                shown[f.alias] = picked(window_object(question.window), f.selection)
            else:
                shown[f.alias] = {"asOf": OPEN, "rowCount": len(question.order), "step": getattr(question, "step", None),
                                   "targetRatio": getattr(question, "target", None)}[f.name]
        return shown

    def describe_errors(self, question, field, rows, lists):
        for stats in (f for f in rows.selection if f.name == "stats"):
            for errors in (f for f in stats.selection if f.name == "errors"):
                for n, key in enumerate(question.order):
                    full = picked(executions.errors(question.rows[key], None), errors.selection)
                    limit = errors.arguments.get("limit", 10)
                    lists[f"{field.alias}.{rows.alias}.{n}.{stats.alias}.{errors.alias}"] = error_list(full, limit if n < question.limit else len(full), limit)

    def data(self, text, variables):
        fields, lists = document.read(text, variables), {}
        data = {f.alias: self.root(f, lists) for f in fields}
        meta = dict(lists=lists, optionalEmpty=[f.alias for f in fields if f.name in OPTIONAL_EMPTY],
                    fields={f.alias: dict(field=f.name, roles=ROLES[f.name]) for f in fields})
        return data, meta


def described(question, full):
    """How check.py compares the rows: by key, in order, with those that the limit cut off."""
    out = dict(mode=question.mode, ident=["key"], limit=question.limit,
               sort=[None if v is None else float(v) for v in question.sort], tie=list(range(len(full))))
    if question.limit is not None and len(full) > question.limit:
        out["full"] = full
    return out


def list_of(full, limit, sort, ident, mode="sorted"):
    """The same of a list that is no breakdown's."""
    out = dict(mode=mode, ident=ident, limit=limit, sort=[None if v is None else float(v) for v in sort], tie=list(range(len(full))))
    if limit is not None and len(full) > limit:
        out["full"] = full
    return out


def error_list(full, shown, limit):
    out = dict(mode="sorted", ident=["errorType"], limit=limit, sort=[e.get("count") for e in full], tie=list(range(len(full))))
    if len(full) > shown:
        out["full"] = full
    return out
