"""Compares the oracle with answers that somebody else computed: same keys, same order, every number to 1e-12, percentiles included.

    verify.py EVENTS ANSWERS_DIR PREFIX…
"""
import glob
import json
import math
import os
import sys

from answer import ROLES, Oracle
from facts import Facts
import document

def differences(expected, got, path):
    if isinstance(expected, dict) and "$check" in expected or isinstance(expected, str) and expected.startswith("$"):
        return []
    if isinstance(expected, dict) and isinstance(got, dict):
        missing = [f"{path}.{k}: only in one" for k in set(expected) ^ set(got)]
        return missing + [d for k in expected if k in got for d in differences(expected[k], got[k], f"{path}.{k}")]
    if isinstance(expected, list) and isinstance(got, list):
        uneven = [f"{path}: {len(expected)} expected, {len(got)} got"] if len(expected) != len(got) else []
        return uneven + [d for n, (e, g) in enumerate(zip(expected, got)) for d in differences(e, g, f"{path}[{n}]")]
    if isinstance(expected, float) and isinstance(got, (int, float)) and not isinstance(got, bool):
        same = math.isclose(expected, got, rel_tol=1e-12, abs_tol=1e-15)
    else:
        same = expected == got
    return [] if same else [f"{path}: expected {expected!r} got {got!r}"]


def main():
    events, directory, prefixes = sys.argv[1], sys.argv[2], tuple(sys.argv[3:])
    oracle, failed = Oracle(Facts(events)), 0
    for path in sorted(glob.glob(os.path.join(directory, "*.json"))):
        name = os.path.basename(path)
        if not name.startswith(prefixes):
            continue
        with open(path, encoding="utf-8") as file:
            given = json.load(file)
        found, compared = [], 0
        for field in document.read(given["query"], given["variables"]):
            if field.name not in ROLES:
                print(f"     {field.name} is not answered")
                continue
            lists = {}
            got = oracle.root(field, lists)
            found += differences(given["data"][field.alias], got, field.alias)
            compared += 1
            for where, mine in lists.items():
                theirs = given["meta"]["lists"].get(where)
                if theirs is None:
                    found.append(f"{where}: no such list")
                    continue
                full = differences(theirs.get("full", []), mine.get("full", []), where + "(full)")
                found += full + [f"{where}: {k} {theirs[k]!r} and {mine[k]!r}" for k in ("mode", "limit", "ident") if theirs[k] != mine[k]]
        failed += bool(found)
        print(f"{'FAIL' if found else 'PASS'} {name} ({compared} fields)")
        for line in found[:8]:
            print("    ", line)
        if len(found) > 8:
            print(f"      … {len(found) - 8} more")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
