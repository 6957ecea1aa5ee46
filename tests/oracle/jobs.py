"""jobBreakdown: jobs in the window in which their last attempt finished (contract/semantics.md, "Jobs")."""
from collections import defaultdict

import breakdown
from executions import known, matching, once, p95, ratio
from spread import distribution


class Job:
    def __init__(self, attempts):
        self.attempts = sorted(attempts, key=lambda x: (x.attempt, x.end, x.id))
        self.first, self.last = self.attempts[0], self.attempts[-1]
        self.retries = len(attempts) - 1
        self.processing_ms = sum(x.duration_ms for x in attempts)

    @property
    def queue_ms(self):
        return self.first.queue_ms


def tell_jobs(facts):
    attempts = defaultdict(list)
    for x in facts.executions:
        attempts[x.job].append(x)
    facts.finished_jobs = {name: Job(xs) for name, xs in attempts.items()}
    for job in facts.finished_jobs.values():
        for x in job.attempts:
            x.its_job = job


def failed(jobs):
    return sum(j.last.outcome == "FAILED" for j in jobs)


def decided(jobs):
    return sum(j.last.outcome != "CANCELLED" for j in jobs)


STATS = {
    "jobs": len,
    "attempts": lambda js: sum(len(j.attempts) for j in js),
    "retries": lambda js: sum(j.retries for j in js),
    "retriedJobs": lambda js: sum(j.retries > 0 for j in js),
    "failedJobs": failed,
    "failureRatio": lambda js: ratio(failed(js), decided(js)),
    "retryRatio": lambda js: ratio(sum(j.retries for j in js), sum(len(j.attempts) for j in js)),
    "queue": lambda js: distribution(known(j.queue_ms for j in js)),
    "processing": lambda js: distribution([j.processing_ms for j in js]),
}
# JobOrder -> (what it sorts by, how check.py compares it)
ORDERS = {
    "JOBS": (len, "sorted"),
    "RETRIES": (STATS["retries"], "sorted"),
    "FAILURES": (failed, "sorted"),
    "QUEUE_P95": (lambda js: p95([j.queue_ms for j in js]), "sorted~"),
    "PROCESSING_P95": (lambda js: p95([j.processing_ms for j in js]), "sorted~"),
}


class JobQuestion:
    def __init__(self, facts, arguments, start, end):
        self.window, self.by, self.limit = (start, end), arguments["by"], arguments.get("limit", 100)
        measure, self.mode = ORDERS[arguments.get("orderBy", "JOBS")]
        last = [x for x in matching(facts.executions, arguments.get("filter"), start, end) if x is x.its_job.last]
        self.total = [x.its_job for x in last]
        self.rows = {k: [x.its_job for x in xs] for k, xs in breakdown.grouped(last, self.by).items()}
        self.order = breakdown.ordered(self.rows, self.by, measure)
        self.sort = [measure(self.rows[k]) for k in self.order]
        cut = [self.rows[k] for k in self.order[self.limit:]]
        self.other = once(cut) if cut else None

    def figure(self, field, jobs, window):
        return STATS[field.name](jobs)
