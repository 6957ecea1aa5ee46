#!/usr/bin/env python3
"""Computes the answers that tests/fixtures/fleet.ndjson.gz must give, by brute force and exactly, from contract/ alone.

    oracle.py             writes tests/fixtures/answers/*.json
    oracle.py --check     exits 1 unless they are what would be written
"""
import json
import pathlib
import sys

from answer import Oracle
from cases import OPERATIONS, QUESTIONS, SIDES, VARIABLES, WINDOWS
from facts import Facts
from more_cases import MORE_QUESTIONS

TESTS = pathlib.Path(__file__).resolve().parent.parent


def questions():
    """(operation, role, document, case, first of its operation)."""
    for operation, windows in OPERATIONS.items():
        document = (TESTS / "operations" / f"{operation}.graphql").read_text(encoding="utf-8")
        role = document.split("\n", 1)[0].removeprefix("# role:").strip()
        for n, case in enumerate(windows):
            yield operation, role, document, case, n == 0
    for operation, (role, document, windows) in (QUESTIONS | MORE_QUESTIONS).items():
        for n, case in enumerate(windows):
            yield operation, role, document, case, n == 0


def main():
    oracle, answers, differing = Oracle(Facts(TESTS / "fixtures" / "fleet.ndjson.gz")), TESTS / "fixtures" / "answers", []
    answers.mkdir(exist_ok=True)
    written = set()
    for operation, role, document, case, first in questions():
        start, end = WINDOWS[case]
        window = dict(start=start, end=end)
        variables = dict(window=window, **VARIABLES.get(operation, {}))
        if operation in SIDES:
            sides = zip(("baseline", "candidate"), SIDES[operation][case])
            variables = {side: dict(window=window) | (dict(filter=filter_) if filter_ else {}) for side, filter_ in sides}
        data, meta = oracle.data(document, variables)
        answer = dict(operation=operation, case=case, role=role, variables=variables, query=document, data=data, meta=meta)
        text = json.dumps(answer, ensure_ascii=False, separators=(",", ":")) + "\n"
        path = answers / (f"{operation}.json" if first else f"{operation}@{case}.json")
        written.add(path.name)
        if "--check" in sys.argv:
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                differing.append(path.name)
        else:
            path.write_text(text, encoding="utf-8")
    differing += sorted({p.name for p in answers.glob("*.json")} - written)
    for name in differing:
        print(f"differs: {name}")
    return differing != []


if __name__ == "__main__":
    sys.exit(main())
