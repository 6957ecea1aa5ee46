#!/usr/bin/env python3
"""Times DuckDB's exact answers from its own table of the rows in a CSV file: finished_at, combination, user, application, outcome, duration."""
import json, statistics, sys, time

try:
    import duckdb
except ImportError:
    sys.exit("duckdb is not installed")

db = duckdb.connect()
db.execute("set threads to 2")
db.execute("create table e (finished_at bigint, combination integer, user_id integer, application integer, outcome smallint, duration_us bigint)")
db.execute("insert into e select * from read_csv(?, header=false)", [sys.argv[1]])


def median_ms(sql):
    times = []
    for _ in range(6):
        started = time.perf_counter()
        db.execute(sql).fetchall()
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times[1:])


print(json.dumps(dict(
    byCombinationMs=median_ms("select combination, count(*), sum((outcome = 0)::int) / nullif(sum((outcome < 2)::int), 0), quantile_disc(duration_us, 0.95) from e group by 1"),
    byCallerMs=median_ms("select user_id, application, combination, count(*) c from e group by 1, 2, 3 order by c desc limit 100"))))
