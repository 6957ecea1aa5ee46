"""What lies on disk: killed and forked processes, several at once, and the bounds."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import unittest
from dataclasses import replace
from pathlib import Path
from unittest import mock

import plimsoll_reporter

from .ingest_server import PATIENCE_S, QUICK, TOKEN, Answer, IngestServer, ReporterTest, free_port

HERE = Path(__file__).resolve().parent.parent
PREFACE = """
import os, sys, time, signal, threading, logging
from plimsoll_reporter import *
logging.basicConfig(level=logging.INFO)
QUICK = Limits(batch_age_s=0.02, retry_delay_min_s=0.01, retry_delay_max_s=0.05, adoption_interval_s=0.05, exit_flush_s=10.0)
def report(count=1, model="sdxl"):
    for _ in range(count):
        with reporter.execution(model=model) as run:
            print(run.id, flush=True)
reporter = Reporter(sys.argv[1], "secret-token-5f1e", vm="gpu-a-01", spool_dir=sys.argv[2], limits=QUICK)
"""


class SpoolTest(ReporterTest):
    def start(self, script, url=None):
        """A process of its own that runs this script; its standard output are ids."""
        command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PREFACE + textwrap.dedent(script), url or self.server.url, self.spool]
        environment = {**os.environ, "PYTHONPATH": str(HERE)}
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.PIPE, text=True, env=environment)
        self.addCleanup(child.stdin.close)
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.stderr.close)
        self.addCleanup(child.kill)
        return child

    def run_script(self, script, url=None):
        child = self.start(script, url)
        out, err = child.communicate(timeout=PATIENCE_S)
        self.assertEqual(child.returncode, 0, err)
        self.assertNotIn(TOKEN, err)
        return out.split(), err

    def spooled(self):
        """The ids in the spool, however many processes have left them."""
        ids = []
        for path in sorted(Path(self.spool).rglob("*.ndjson")):
            ids += [json.loads(line)["id"] for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
        return ids

    def received(self):
        return [event["id"] for event in self.server.of("execution")]

    def test_a_process_that_ends_delivers_first(self):
        ids, _ = self.run_script("report(20)")
        self.assertEqual(self.received(), ids)
        self.assertEqual(self.spooled(), [])

    def test_what_a_process_could_not_send_the_next_one_sends(self):
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        ids, err = self.run_script("report(20)", url)
        self.assertIn("20 events wait in the spool for the next process", err)
        self.assertEqual(self.spooled(), ids)
        self.server.close()
        self.server = IngestServer(port)
        more, _ = self.run_script("report(1)", url)
        self.assertEqual(self.received(), ids + more)
        self.assertEqual(list(Path(self.spool).glob("*/*")), [])

    def test_kill_9_loses_nothing_that_reached_the_spool(self):
        port = free_port()
        child = self.start("report(500)\nsys.stdin.read()", f"http://127.0.0.1:{port}")
        ids = [child.stdout.readline().strip() for _ in range(500)]
        self.wait_until(lambda: len(self.spooled()) == 500)
        child.kill()
        child.wait()
        # Power was lost in the middle of a line.
        segment = sorted(Path(self.spool).rglob("*.ndjson"))[-1]
        with open(segment, "ab") as file:
            file.write(b'{"type":"execution","id":"')
        self.server.close()
        self.server = IngestServer(port)
        heir = self.reporter()
        self.assertTrue(heir.flush(PATIENCE_S), self.log)
        self.assertEqual(self.received(), ids)
        self.assertEqual(heir.stats()[:4], (500, 0, {}, {"damaged": 1}))
        self.assertEqual(len(self.logged("took over 500 events")), 1)

    def test_kill_9_in_the_middle_of_sending_loses_and_doubles_nothing(self):
        child = self.start("""
            threading.Thread(target=lambda: (sys.stdin.read(1), os.kill(os.getpid(), signal.SIGKILL)), daemon=True).start()
            while True: report(50)
        """)
        ids = []
        reader = threading.Thread(target=lambda: ids.extend(line.strip() for line in child.stdout), daemon=True)
        reader.start()
        self.wait_until(lambda: len(self.server.of("execution")) > 500)
        child.stdin.write("x")
        child.stdin.flush()
        child.wait(PATIENCE_S)
        reader.join(PATIENCE_S)
        waiting = set(self.spooled())
        heir = self.reporter()
        self.assertTrue(heir.flush(PATIENCE_S), self.log)
        received = self.received()
        self.assertEqual(len(received), len(set(received)))
        self.assertLessEqual(waiting, set(received))
        # Only what the writer had not seen yet may be lost: the tail.
        self.assertEqual([one for one in ids if one in set(received)], ids[: len(set(ids) & set(received))])
        self.assertEqual(heir.stats().rejected, {})

    def test_the_living_are_left_alone_and_the_dead_are_taken_over(self):
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        living = self.start("report(10)\nsys.stdin.read(1)\nreport(1)", url)
        ids = [living.stdout.readline().strip() for _ in range(10)]
        self.wait_until(lambda: self.spooled() == ids)
        heir = self.reporter(url=url)
        self.assertFalse(heir.flush(0.2) and heir.stats().accepted)
        self.assertEqual(heir.stats().waiting, 0)
        living.kill()
        living.wait()
        self.wait_until(lambda: heir.stats().waiting == 10)
        self.server.close()
        self.server = IngestServer(port)
        self.assertTrue(heir.flush(PATIENCE_S))
        self.assertEqual((self.received(), heir.stats().duplicate), (ids, 0))

    def test_several_processes_share_a_spool(self):
        children = [self.start("report(200)\nprint(reporter.flush(60), reporter.stats().duplicate)") for _ in range(3)]
        ids = []
        for child in children:
            lines = child.communicate(timeout=PATIENCE_S)[0].splitlines()
            ids += lines[:-1]
            self.assertEqual(lines[-1], "True 0")
        self.assertEqual(sorted(self.received()), sorted(ids))

    def test_what_was_meant_for_one_server_goes_to_no_other(self):
        other = self.reporter(url=f"http://127.0.0.1:{free_port()}")
        with other.execution(model="secret"):
            pass
        self.wait_until(lambda: other.stats().waiting == 1 and len(self.spooled()) == 1)
        other.close(PATIENCE_S)
        heir = self.reporter()
        with heir.execution(model="sdxl"):
            pass
        self.assertTrue(heir.flush(PATIENCE_S))
        self.assertEqual([event["model"] for event in self.server.of("execution")], ["sdxl"])

    @unittest.skipUnless(hasattr(os, "fork"), "no fork here")
    def test_a_forked_child_reports_by_itself(self):
        ids, err = self.run_script("""
            report(3, "parent before")
            with reporter.execution(model="of the parent"):
                child = os.fork()
            if child == 0:
                report(3, "child")
                sys.exit(0 if reporter.flush(60) and reporter.stats().accepted == 3 else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            report(3, "parent after")
            assert reporter.flush(60)
            assert reporter.stats().accepted == 7 and reporter.stats().duplicate == 0, reporter.stats()
        """)
        models = sorted(event["model"] for event in self.server.of("execution"))
        self.assertEqual(models, ["child"] * 3 + ["of the parent"] + ["parent after"] * 3 + ["parent before"] * 3)
        self.assertEqual((len(ids), err), (9, ""))

    def test_threads_import_nothing(self):
        # A fork in the middle of an import leaves the child a lock that nobody ever opens.
        ids, err = self.run_script("""
            known = set(sys.modules)
            with reporter.execution(model="sdxl"): pass
            assert reporter.flush(60)
            assert set(sys.modules) == known, set(sys.modules) - known
        """)
        self.assertEqual((ids, err), ([], ""))

    @unittest.skipUnless(hasattr(os, "fork"), "no fork here")
    def test_a_fork_while_others_report_hangs_nobody(self):
        self.run_script("""
            stop = threading.Event()
            def busy():
                while not stop.is_set():
                    with reporter.execution(model="thread"): pass
            threads = [threading.Thread(target=busy) for _ in range(3)]
            for thread in threads: thread.start()
            for _ in range(10):
                child = os.fork()
                if child == 0:
                    stop.set()
                    with reporter.execution(model="child"): pass
                    os._exit(0 if reporter.flush(60) else 1)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            stop.set()
            for thread in threads: thread.join()
        """)
        self.assertEqual(sum(event["model"] == "child" for event in self.server.of("execution")), 10)

    def test_children_of_multiprocessing_deliver_before_they_end(self):
        for method in multiprocessing.get_all_start_methods():
            if method == "forkserver":
                continue
            with self.subTest(method):
                before = len(self.server.order)
                context = multiprocessing.get_context(method)
                arguments = (self.server.url, self.spool)
                child = context.Process(target=report_one, args=arguments)
                child.start()
                child.join(PATIENCE_S)
                self.assertEqual(child.exitcode, 0)
                self.assertEqual(len(self.server.order), before + 1)

    @unittest.skipUnless(hasattr(signal, "setitimer"), "no timer signals here")
    def test_a_signal_handler_may_report_too(self):
        self.run_script("""
            counts = [0]
            def handle(*_):
                counts[0] += 1
                with reporter.execution(model="handler"): pass
            signal.signal(signal.SIGALRM, handle)
            signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
            while counts[0] < 100:
                with reporter.execution(model=""): pass
                with reporter.execution(model="main"): pass
            signal.setitimer(signal.ITIMER_REAL, 0, 0)
            assert reporter.flush(60)
            assert reporter.stats().accepted > 100
        """)

    def away(self, **arguments):
        return self.reporter(url=f"http://127.0.0.1:{free_port()}", **arguments)

    def fill(self, reporter, count):
        """Events one by one into the spool, and their ids."""
        ids = []
        for number in range(1, count + 1):
            with reporter.execution(model="x" * 200, user="y" * 200) as run:
                ids.append(run.id)
            self.wait_until(lambda: reporter.stats().waiting + reporter.stats().dropped.get("spool_full", 0) == number)
        return ids

    def test_the_spool_is_bounded_and_drops_the_oldest(self):
        reporter = self.away(spool_bytes_max=64_000)
        ids = self.fill(reporter, 200)
        size_bytes = sum(path.stat().st_size for path in Path(self.spool).rglob("*.ndjson"))
        self.assertLessEqual(size_bytes, 64_000)
        stats = reporter.stats()
        self.assertEqual(stats.waiting + stats.dropped["spool_full"], 200)
        self.wait_until(lambda: self.logged("events were dropped"))
        self.assertEqual(len(self.logged("events were dropped")), 1)
        reporter.close(PATIENCE_S)
        kept = self.spooled()
        # The newest are there; one old segment may be, as it was being sent when room was needed.
        self.assertEqual(kept[-80:], ids[-80:])

    def test_without_a_spool_a_bounded_memory_serves(self):
        blocked = Path(self.spool) / "file"
        blocked.write_text("")
        port = free_port()
        reporter = self.reporter(url=f"http://127.0.0.1:{port}", spool_dir=blocked, limits=replace(QUICK, memory_bytes_max=64_000))
        ids = self.fill(reporter, 200)
        self.assertEqual(len(self.logged("no spool, what cannot be sent waits in memory only")), 1)
        self.assertGreater(reporter.stats().dropped["spool_full"], 0)
        self.server.close()
        self.server = IngestServer(port)
        self.assertTrue(reporter.flush(PATIENCE_S))
        self.assertEqual(self.received()[-80:], ids[-80:])

    def test_what_memory_cannot_send_at_the_end_is_counted(self):
        blocked = Path(self.spool) / "file"
        blocked.write_text("")
        reporter = self.away(spool_dir=blocked)
        self.fill(reporter, 3)
        reporter.close(PATIENCE_S)
        self.assertEqual(reporter.stats().dropped, {"not_delivered": 3})

    def test_a_full_disk_costs_nothing_while_memory_lasts(self):
        reporter = self.reporter(limits=replace(QUICK, batch_age_s=PATIENCE_S))
        ids = self.fill(reporter, 2)
        with mock.patch.object(plimsoll_reporter._Segment, "append", side_effect=full_disk, autospec=True):
            ids += self.fill_more(reporter, 2, 4)
        ids += self.fill_more(reporter, 4, 6)
        self.assertTrue(reporter.flush(PATIENCE_S))
        self.assertEqual(self.received(), ids)
        self.assertEqual(len(self.logged("could not write to the spool")), 1)

    def test_a_disk_that_fills_up_within_a_line_leaves_whole_lines(self):
        segment = plimsoll_reporter._Segment(None, Path(self.spool) / "1.ndjson")
        segment.append(b"first\n", 1)
        segment._file = HalfFull(segment._file)
        with self.assertRaises(OSError):
            segment.append(b"second\n", 1)
        segment.seal(False)
        self.assertEqual((segment.path.read_bytes(), segment.line_count), (b"first\n", 1))

    def fill_more(self, reporter, start, end):
        ids = []
        for number in range(start + 1, end + 1):
            with reporter.execution(model="sdxl") as run:
                ids.append(run.id)
            self.wait_until(lambda: reporter.stats().waiting == number)
        return ids

    def test_a_spool_that_somebody_deletes_harms_nobody(self):
        hold = threading.Event()
        self.addCleanup(hold.set)
        self.server.answers = [Answer(503, {}, hold=hold)]
        reporter = self.reporter()
        self.fill(reporter, 3)
        self.wait_until(lambda: self.server.requests)
        for path in Path(self.spool).rglob("*.ndjson"):
            path.unlink()
        hold.set()
        self.assertTrue(reporter.flush(PATIENCE_S))
        self.assertEqual(reporter.stats().dropped, {"damaged": 3})

    def test_rubbish_in_a_left_spool_stops_nothing(self):
        port = free_port()
        reporter = self.reporter(url=f"http://127.0.0.1:{port}")
        ids = self.fill(reporter, 3)
        reporter.close(PATIENCE_S)
        self.assertEqual(self.spooled(), ids)
        folder = next(Path(self.spool).rglob("*.ndjson")).parent
        (folder / "00000000000000000000.ndjson").write_bytes(b"\0" * 3_000_000 + b"\n")
        (folder / "00000000000000000001a.ndjson").write_bytes(b"")
        (folder.parent / "unlocked").mkdir()
        (folder.parent / "a file").write_text("")
        self.server.close()
        self.server = IngestServer(port)
        heir = self.reporter(url=self.server.url)
        self.assertTrue(heir.flush(PATIENCE_S))
        self.assertEqual(self.received(), ids)
        self.assertEqual(heir.stats().dropped, {"damaged": 1})
        self.assertEqual(list(folder.parent.glob("unlocked")) + list(folder.parent.glob(folder.name)), [])


class HalfFull:
    """A file that takes half of a write and then nothing."""

    def __init__(self, file):
        self._file = file
        self._is_full = False

    def __getattr__(self, name):
        return getattr(self._file, name)

    def write(self, data):
        if self._is_full:
            raise OSError(28, "No space left on device")
        self._is_full = True
        return self._file.write(data[: len(data) // 2])


def full_disk(segment, data, line_count):
    """A disk on which nothing fits any more; memory is none."""
    if segment.path is not None:
        raise OSError(28, "No space left on device")
    segment._memory += data
    segment.size_bytes += len(data)
    segment.line_count += line_count


def report_one(url, spool):
    """What a child of multiprocessing does last."""
    reporter = plimsoll_reporter.Reporter(url, TOKEN, vm="gpu-a-01", spool_dir=spool, limits=QUICK)
    with reporter.execution(model="sdxl"):
        pass
