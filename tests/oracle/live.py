"""Jobs by their changes: which are QUEUED or RUNNING without an execution, and what `jobs` lists (contract/semantics.md, "Concurrency")."""
from collections import defaultdict

from facts import UNVERSIONED, checkpoints_of, instant, written

STATES = ["QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"]


class Change:
    """One line about a job. It carries what an execution would be broken down and filtered by; no outcome yet."""

    def __init__(self, e, fleet, model_types):
        self.at, self.state, self.id, self.job, self.attempt = instant(e["at"]), e["state"], e["id"].lower(), e["job"], e.get("attempt") or 1
        self.model, self.version, self.checkpoints = e["model"], e.get("modelVersion") or UNVERSIONED, checkpoints_of(e)
        self.label = f"{self.model} {self.version}" + "".join(f" + {c.name} {c.version}" for c in self.checkpoints)
        self.model_type = model_types.get(self.model)
        self.application, self.user, self.department, self.project, self.vm = (e.get(k) for k in ("application", "user", "department", "project", "vm"))
        machine = fleet.machines.get(self.vm)
        self.instance_type = machine.instance_type(self.at) if machine else None
        self.region = machine.holds("region", self.at) if machine else None
        self.provider = machine.holds("provider", self.at) if machine else None
        self.outcome = self.error_type = None


def tell_live_jobs(facts):
    """To `facts.live_jobs` the latest change of each job that has no execution of that attempt or a later one."""
    types, changes, attempted = {x.model: x.model_type for x in facts.executions}, defaultdict(list), defaultdict(int)
    for x in facts.executions:
        attempted[x.job] = max(attempted[x.job], x.attempt)
    for e in facts.jobs:
        change = Change(e, facts.fleet, types)
        changes[change.job].append(change)
    latest = [max(cs, key=lambda c: (c.at, STATES.index(c.state), c.id)) for cs in changes.values()]
    facts.changes = changes
    facts.live_jobs = [c for c in latest if c.state in ("QUEUED", "RUNNING") and c.attempt > attempted[c.job]]


class JobList:
    """jobs(filter: { states: [QUEUED, RUNNING] … }): only live ones are told, newest change first."""

    CONDITIONS = {
        "states": lambda c, v: c.state in v,
        "models": lambda c, v: c.model in v,
        "checkpoints": lambda c, v: any(dict(kind=p.kind, name=p.name) in v for p in c.checkpoints),
        "users": lambda c, v: c.user in v,
        "applications": lambda c, v: c.application in v,
        "departments": lambda c, v: c.department in v,
        "projects": lambda c, v: c.project in v,
        "vms": lambda c, v: c.vm in v,
    }

    def __init__(self, facts, arguments):
        filter_ = arguments.get("filter") or {}
        if not set(filter_.get("states") or STATES) <= {"QUEUED", "RUNNING"}:
            raise ValueError("the oracle lists live jobs only")
        wanted = [(self.CONDITIONS[k], v) for k, v in filter_.items() if v is not None]
        found = [c for c in facts.live_jobs if all(w(c, v) for w, v in wanted)]
        self.jobs = sorted(found, key=lambda c: -c.at)
        self.limit = arguments.get("first")

    def nodes(self, facts):
        return [self.node(c, facts) for c in self.jobs]

    @staticmethod
    def node(c, facts):
        def since(state):
            at = min((o.at for o in facts.changes[c.job] if o.state == state and o.attempt == c.attempt), default=None)
            return None if at is None else written(at)
        named = {k: None if getattr(c, k) is None else dict(name=getattr(c, k)) for k in ("application", "user", "department", "project", "vm")}
        return dict(key=c.job, state=c.state, combination=dict(label=c.label), queuedAt=since("QUEUED"), startedAt=since("RUNNING"), finishedAt=None, **named)
