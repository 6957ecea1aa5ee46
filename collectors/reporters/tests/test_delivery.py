"""From the queue to the server: what goes well, what does not, and that the caller never notices."""

import json
import shutil
import ssl
import subprocess
import tempfile
import threading
import time
import unittest
from dataclasses import replace
from pathlib import Path
from unittest import mock

import plimsoll_reporter
from plimsoll_reporter import Limits

from .ingest_server import PATIENCE_S, QUICK, TOKEN, Answer, IngestServer, ReporterTest, free_port

EVENTS_MANY = 10_000


class DeliveryTest(ReporterTest):
    def report(self, reporter, count=1, **fields):
        ids = []
        for _ in range(count):
            with reporter.execution(**{"model": "sdxl", **fields}) as run:
                ids.append(run.id)
        return ids

    def assert_delivered(self, reporter, ids):
        self.assertTrue(reporter.flush(PATIENCE_S), self.log)
        self.assertEqual([event["id"] for event in self.server.of("execution")], ids)
        self.assertEqual(reporter.stats().waiting, 0)

    def test_events_travel_in_batches_over_one_connection(self):
        reporter = self.reporter()
        ids = self.report(reporter, 2_500)
        self.assert_delivered(reporter, ids)
        ids += self.report(reporter, 5)
        self.assert_delivered(reporter, ids)
        self.assertEqual(self.server.connections, 1)
        _, path, headers, _, _ = self.server.requests[0]
        self.assertEqual(path, "/ingest")
        self.assertEqual((headers["Authorization"], headers["Content-Type"], headers["Content-Encoding"]), (f"Bearer {TOKEN}", "application/x-ndjson", "gzip"))
        self.assertLessEqual(max(lines for _, _, _, lines, _ in self.server.requests), QUICK.batch_lines_max)
        self.assertEqual(reporter.stats(), (2_505, 0, {}, {}, 0))

    def test_a_batch_is_bounded_in_bytes_too(self):
        reporter = self.reporter(limits=replace(QUICK, batch_bytes_max=10_000, batch_age_s=PATIENCE_S))
        with self.assertRaises(ValueError), reporter.execution(model="sdxl"):
            raise ValueError("\x01" * 2_000)  # 12,000 bytes as JSON: alone longer than a batch, and it must go all the same.
        self.report(reporter, 100)
        self.assertTrue(reporter.flush(PATIENCE_S))
        sizes = [size for _, _, _, lines, size in self.server.requests if lines > 1]
        self.assertLessEqual(max(sizes), 10_000)
        self.assertEqual(len(self.server.order), 101)

    def test_a_batch_that_is_not_full_goes_when_it_is_old_enough(self):
        reporter = self.reporter()
        self.report(reporter, 3)
        self.wait_until(lambda: len(self.server.of("execution")) == 3)

    def test_a_server_that_is_away_gets_everything_in_order_when_it_is_back(self):
        port = free_port()
        reporter = self.reporter(url=f"http://127.0.0.1:{port}")
        ids = self.report(reporter, 1_500)
        self.wait_until(lambda: self.logged("could not reach the server"))
        self.assertFalse(reporter.flush(0.05))
        ids += self.report(reporter, 1_500)
        self.server.close()
        self.server = IngestServer(port)
        self.assert_delivered(reporter, ids)
        self.assertEqual(len(self.logged("could not reach the server")), 1, "at most once a minute")
        # And away again, over a connection that was kept.
        self.server.close()
        ids += self.report(reporter, 3)
        received, breaches = self.server.order, self.server.breaches
        self.assertEqual(breaches, [])
        self.server = IngestServer(port)
        self.server.order.extend(received)
        self.assert_delivered(reporter, ids)

    def test_a_lost_answer_makes_duplicates_and_no_doubles(self):
        self.server.answers = [Answer(is_cut=True)]
        reporter = self.reporter()
        ids = self.report(reporter, 10)
        self.assert_delivered(reporter, ids)
        stats = reporter.stats()
        self.assertGreater(stats.duplicate, 0)
        self.assertEqual(stats.accepted + stats.duplicate, 10)

    def test_retry_after_is_obeyed(self):
        for status in (429, 503):
            with self.subTest(status):
                self.server.answers = [Answer(status, {}, {"Retry-After": "1"})]
                before = len(self.server.requests)
                reporter = self.reporter()
                self.report(reporter, 1)
                self.assertTrue(reporter.flush(PATIENCE_S))
                first, second = [at_s for at_s, *_ in self.server.requests[before:]]
                self.assertGreaterEqual(second - first, 1.0)

    def test_patience_is_bounded_and_dates_are_understood(self):
        reporter = self.reporter(limits=Limits())
        read = reporter._server._retry_after_s
        self.assertEqual([read("7"), read("86400"), read("soon"), read(None)], [7.0, 300.0, None, None])
        self.assertEqual(read("Wed, 21 Oct 2015 07:28:00 GMT"), 0.0)
        self.assertEqual(read("Wed, 21 Oct 2099 07:28:00 GMT"), 300.0)

    def test_an_error_of_the_server_is_tried_again(self):
        self.server.answers = [Answer(500, {}), Answer(502, b"<html>"), Answer(200, b"<html>Welcome to the hotel</html>"), Answer(200, {"ok": True})]
        reporter = self.reporter()
        with mock.patch.object(reporter, "_start"):
            ids = self.report(reporter, 3)
        self.assert_delivered(reporter, ids)
        self.assertEqual(len(self.server.requests), 5)

    def test_a_refusal_waits_and_is_said_without_the_token(self):
        for status in (401, 403):
            with self.subTest(status):
                self.server.answers = [Answer(status, {"error": f"no such token: {TOKEN}"}), Answer(302, b"", {"Location": "http://127.0.0.1:1/"})]
                reporter = self.reporter()
                self.report(reporter, 2)
                self.assertTrue(reporter.flush(PATIENCE_S))
                self.assertEqual(reporter.stats().accepted, 2)
                self.assertEqual(len(self.logged(f"the server answered {status}")), 1)
        self.assertEqual(len(self.logged("[token]")), 2)

    def test_413_halves_until_it_fits(self):
        self.server.answers = [lambda lines: Answer(413, {}) if len(lines) > 100 else Answer()] * 10
        reporter = self.reporter()
        with mock.patch.object(reporter, "_start"):
            ids = self.report(reporter, 1_000)
        self.assert_delivered(reporter, ids)
        sizes = [lines for _, _, _, lines, _ in self.server.requests]
        self.assertEqual(sizes[:5], [1_000, 500, 250, 125, 62])

    def test_a_line_that_never_fits_goes_and_is_counted(self):
        self.server.answers = [Answer(413, {})] * 3
        reporter = self.reporter()
        with mock.patch.object(reporter, "_start"):
            ids = self.report(reporter, 4)
        self.assert_delivered(reporter, ids[1:])
        self.assertEqual(reporter.stats().dropped, {"too_large": 1})
        self.wait_until(lambda: self.logged("1 too_large"))

    def test_rejections_are_counted_and_said_once_per_code(self):
        codes = {"a": "INVALID_VALUE", "b": "FUTURE_TIMESTAMP"}
        self.server.reject = lambda event: codes.get(event["model"]) and {"code": codes[event["model"]], "field": "finishedAt", "message": "no"}
        reporter = self.reporter()
        with mock.patch.object(reporter, "_start"):
            for model in "abc" * 2 + "a" * 200:
                self.report(reporter, model=model)
        self.assertTrue(reporter.flush(PATIENCE_S))
        stats = reporter.stats()
        self.assertEqual((stats.accepted, stats.rejected["UNLISTED"], sum(stats.rejected.values())), (2, 104, 204))
        self.assertEqual(len(self.logged("INVALID_VALUE finishedAt")), 1)
        self.assertEqual(len(self.logged("FUTURE_TIMESTAMP finishedAt")), 1)

    def test_keys_that_the_server_does_not_know_are_said_once(self):
        answer = {"accepted": 1, "duplicate": 0, "rejected": [], "rejectedCount": 0, "warnings": [{"key": "execution.mood", "lines": 1}]}
        self.server.answers = [Answer(200, answer)] * 2
        reporter = self.reporter()
        for _ in range(2):
            self.report(reporter)
            self.assertTrue(reporter.flush(PATIENCE_S))
        self.assertEqual(len(self.logged("execution.mood")), 1)

    def test_a_server_that_never_answers_blocks_no_caller(self):
        release = threading.Event()
        self.addCleanup(release.set)
        self.server.answers = [Answer(hold=release)]
        reporter = self.reporter()
        ids = self.report(reporter)
        self.wait_until(lambda: self.server.requests)
        ids += self.report(reporter, EVENTS_MANY)
        # All calls have returned while the first request still hangs.
        self.assertEqual((len(self.server.requests), self.server.of("execution")), (1, []))
        self.assertFalse(reporter.flush(0.05))
        release.set()
        self.assert_delivered(reporter, ids)
        self.assertEqual(reporter.stats().dropped, {})

    def test_a_full_queue_drops_and_says_so_once(self):
        reporter = self.reporter(limits=replace(QUICK, queue_lines_max=10))
        with mock.patch.object(reporter, "_start"):
            ids = self.report(reporter, 25)
        self.assertEqual(reporter.stats().dropped, {"queue_full": 15})
        self.assertEqual(len(self.logged("events are dropped")), 1)
        # The mark of flush needs no room.
        self.assert_delivered(reporter, ids[:10])

    def test_closing_a_reporter_whose_server_hangs_takes_no_longer_than_it_may(self):
        release = threading.Event()
        self.addCleanup(release.set)
        self.server.answers = [Answer(hold=release)]
        reporter = self.reporter()
        self.report(reporter, 5)
        self.wait_until(lambda: self.server.requests)
        started_s = time.monotonic()
        reporter.close(0.2)
        self.assertLess(time.monotonic() - started_s, PATIENCE_S)
        self.report(reporter, 1)
        self.assertEqual(reporter.stats().dropped, {"closed": 1})
        self.assertFalse(reporter.flush(0.0))
        release.set()
        self.wait_until(lambda: self.logged("1 closed"))

    def test_it_closes_with_everything_delivered(self):
        with self.reporter(limits=replace(QUICK, batch_age_s=PATIENCE_S)) as reporter:
            ids = self.report(reporter, 50)
        self.assertEqual([event["id"] for event in self.server.of("execution")], ids)
        self.assertEqual(list(Path(self.spool).glob("*/*")), [], "an empty spool leaves nothing behind")

    def test_a_signal_handler_within_the_start_starts_nothing_twice(self):
        reporter = self.reporter()
        backlogs = []

        def interrupted(*arguments):
            backlogs.append(None)
            if len(backlogs) == 1:
                reporter._start()
            return real_backlog(*arguments)

        real_backlog = plimsoll_reporter._Backlog
        with mock.patch.object(plimsoll_reporter, "_Backlog", interrupted):
            ids = self.report(reporter, 3)
        self.assertEqual((len(backlogs), len(reporter._threads)), (1, 2))
        self.assert_delivered(reporter, ids)

    def test_an_interpreter_without_threads_spools_at_its_end(self):
        reporter = self.reporter()
        with mock.patch.object(threading.Thread, "start", side_effect=RuntimeError("can't start new thread")):
            ids = self.report(reporter, 3)
            self.assertFalse(reporter.flush(0.0))
            reporter.close(1.0)
        heir = self.reporter()
        self.assert_delivered(heir, ids)

    def test_the_token_is_nowhere_but_in_its_header(self):
        release = threading.Event()
        self.addCleanup(release.set)
        self.server.answers = [Answer(hold=release)]
        reporter = self.reporter()
        self.report(reporter)
        self.wait_until(lambda: self.server.requests)
        with self.assertRaises(RuntimeError), reporter.execution(model="sdxl"):
            raise RuntimeError(f"environment: PLIMSOLL_TOKEN={TOKEN}")
        self.wait_until(lambda: reporter.stats().waiting == 2)
        text = b"".join(path.read_bytes() for path in Path(self.spool).rglob("*") if path.is_file())
        self.assertIn(b"PLIMSOLL_TOKEN=[token]", text)
        self.assertNotIn(TOKEN.encode(), text)
        self.assertNotIn(TOKEN, repr(reporter) + repr(reporter._token))
        release.set()
        self.assertTrue(reporter.flush(PATIENCE_S))

    def test_a_token_file_is_read_whenever_it_is_needed(self):
        path = Path(self.spool) / "token"
        reporter = self.reporter(token=None, token_file=str(path))
        ids = self.report(reporter)
        self.wait_until(lambda: self.logged("could not read the token file"))
        for token in ("first", "second"):
            path.write_text(token + "\n")
            self.wait_until(lambda: reporter.stats().waiting == 0)
            ids += self.report(reporter)
            self.assert_delivered(reporter, ids)
        self.assertEqual(self.server.requests[-1][2]["Authorization"], "Bearer second")

    def test_a_token_that_breaks_out_of_its_header_is_not_sent(self):
        reporter = self.reporter(token="evil\r\nX-Other: 1")
        self.report(reporter)
        self.wait_until(lambda: self.logged("characters that no token has"))
        self.assertEqual((self.server.requests, self.logged("evil")), ([], []))

    def test_an_unencrypted_way_is_said(self):
        self.reporter(url="http://plimsoll.example.com")
        self.assertEqual(len(self.logged("the token travels unencrypted to plimsoll.example.com")), 1)

    def test_whoever_is_not_the_server_gets_nothing(self):
        if shutil.which("openssl") is None:
            raise unittest.SkipTest("openssl is not here to make a certificate")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        pem = str(Path(folder.name) / "localhost.pem")
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
        command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", pem, "-out", pem + ".crt"]
        subprocess.run(command, check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem + ".crt", pem)
        self.server.close()
        self.server = IngestServer(tls=context)
        stranger = self.reporter()
        self.report(stranger)
        self.wait_until(lambda: self.logged("CERTIFICATE_VERIFY_FAILED"))
        self.assertEqual(self.server.requests, [])
        stranger.close(PATIENCE_S)
        friend = self.reporter(tls=ssl.create_default_context(cafile=pem + ".crt"))
        self.report(friend)
        self.assertTrue(friend.flush(PATIENCE_S))
        self.assertEqual(friend.stats().accepted, 2, "with what the stranger could not send")

    def test_stats_say_json(self):
        self.assertEqual(json.loads(json.dumps(self.reporter().stats()._asdict()))["waiting"], 0)
