"""The files themselves: they run on Python 3.9 and need nothing but the standard library."""

import ast
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
OURS = {"plimsoll_reporter", "examples", "tests"}


class FilesTest(unittest.TestCase):
    def test_they_are_python_3_9(self):
        for path in HERE.rglob("*.py"):
            ast.parse(path.read_text("utf-8"), str(path), feature_version=(3, 9))

    @unittest.skipUnless(hasattr(sys, "stdlib_module_names"), "before Python 3.10 nobody tells what the standard library is")
    def test_the_reporter_needs_the_standard_library_only(self):
        imported = set()
        for node in ast.walk(ast.parse((HERE / "plimsoll_reporter.py").read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported.update(name.name.split(".")[0] for name in node.names)
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").split(".")[0])
        self.assertLessEqual(imported, set(sys.stdlib_module_names))

    def test_no_function_is_too_long(self):
        for path in HERE.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    self.assertLessEqual((node.end_lineno or 0) - node.lineno, 70, f"{path.name} {node.name}")
