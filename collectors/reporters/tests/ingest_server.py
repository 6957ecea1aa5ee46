"""A server that answers `POST /ingest` as Plimsoll does, or as a test tells it to; and what the tests share around it."""

import gzip
import json
import logging
import os
import socket
import tempfile
import threading
import time
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest import mock

from plimsoll_reporter import Limits, Reporter

from . import contract

TOKEN = "secret-token-5f1e"
# Much longer than anything takes, so that a slow machine fails no test.
PATIENCE_S = 60.0
# A test's time is short: everything that waits, waits little.
QUICK = Limits(batch_age_s=0.02, retry_delay_min_s=0.01, retry_delay_max_s=0.05, adoption_interval_s=0.05, exit_flush_s=10.0)


class Answer:
    """What the server says to one request. `hold` is an event to wait for before it says anything."""

    def __init__(self, status=200, body=None, headers=(), hold=None, is_committed=True, is_cut=False):
        self.status = status
        self.body = body
        self.headers = dict(headers)
        self.hold = hold
        self.is_committed = is_committed and status == 200 and body is None
        self.is_cut = is_cut


class IngestServer:
    """Keeps what it accepted, by id, and every breach of the contract. `answers` are given once each, then all is accepted."""

    def __init__(self, port=0, tls=None):
        self.answers = []
        self.reject = None
        self.events = {}
        self.order = []
        self.breaches = []
        self.requests = []
        self.connections = 0
        self.lock = threading.Lock()
        self._http = _Http(("127.0.0.1", port), _Handler)
        self._http.ingest = self
        if tls is not None:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)
        self.port = self._http.server_port
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def commit(self, lines):
        """Plimsoll's answer for these lines."""
        accepted = duplicate = 0
        rejected = []
        for number, line in enumerate(lines, 1):
            try:
                event = contract.check(line)
            except Exception as error:
                self.breaches.append(repr(error))
                continue
            rejection = self.reject(event) if self.reject is not None else None
            if rejection is not None:
                rejected.append({"line": number, "id": event["id"], **rejection})
            elif event["id"] not in self.events:
                accepted += 1
                self.events[event["id"]] = event
                self.order.append(event)
            elif self.events[event["id"]] == event:
                duplicate += 1
            else:
                rejected.append({"line": number, "id": event["id"], "code": "CONFLICT", "message": "the first stays"})
        warnings = [{"key": "execution.mood", "lines": 1}] if any(b'"mood"' in line for line in lines) else []
        return {"accepted": accepted, "duplicate": duplicate, "rejected": rejected[:100], "rejectedCount": len(rejected), "warnings": warnings}

    def of(self, kind):
        with self.lock:
            return [event for event in self.order if event["type"] == kind]

    def close(self):
        self._http.shutdown()
        self._http.server_close()
        for connection in list(self._http.open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, *args):
        self.open = set()
        super().__init__(*args)

    def handle_error(self, request, client_address):
        pass  # A client that went away is what some tests are about.


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        self.server.open.add(self.connection)
        with self.server.ingest.lock:
            self.server.ingest.connections += 1

    def finish(self):
        self.server.open.discard(self.connection)
        super().finish()

    def do_POST(self):
        ingest = self.server.ingest
        body = gzip.decompress(self.rfile.read(int(self.headers["Content-Length"])))
        lines = body.splitlines()
        with ingest.lock:
            ingest.requests.append((time.monotonic(), self.path, dict(self.headers), len(lines), len(body)))
            answer = ingest.answers.pop(0) if ingest.answers else Answer()
            if callable(answer):
                answer = answer(lines)
        if answer.hold is not None:
            answer.hold.wait(PATIENCE_S)
        receipt = answer.body
        if answer.is_committed:
            with ingest.lock:
                receipt = ingest.commit(lines)
        if answer.is_cut:
            self.close_connection = True
            return
        text = receipt if isinstance(receipt, bytes) else json.dumps(receipt).encode()
        self.send_response(answer.status)
        for name, value in {"Content-Length": str(len(text)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_details):
        pass


class ReporterTest(unittest.TestCase):
    """A server, a spool folder and what the reporter logged. At the end: no breach of the contract, no token anywhere."""

    def setUp(self):
        # Settings of the one who tests are not the tests'.
        settings = mock.patch.dict(os.environ)
        settings.start()
        self.addCleanup(settings.stop)
        for name in [name for name in os.environ if name.startswith("PLIMSOLL_")]:
            del os.environ[name]
        self.server = IngestServer()
        self.addCleanup(self._check)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.spool = folder.name
        self.log = []
        handler = logging.Handler()
        handler.emit = lambda record: self.log.append(record.getMessage())
        logger = logging.getLogger("plimsoll_reporter")
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        was_propagating, logger.propagate = logger.propagate, False
        self.addCleanup(setattr, logger, "propagate", was_propagating)
        self.addCleanup(logger.removeHandler, handler)

    def reporter(self, **arguments):
        defaults = {"url": self.server.url, "token": TOKEN, "vm": "gpu-a-01", "spool_dir": self.spool, "limits": QUICK}
        reporter = Reporter(**{**defaults, **arguments})
        self.addCleanup(reporter.close, 0.0)
        return reporter

    def wait_until(self, is_so, what="it"):
        deadline_s = time.monotonic() + PATIENCE_S
        while not is_so():
            self.assertLess(time.monotonic(), deadline_s, f"{what} never came; log: {self.log}")
            time.sleep(0.005)

    def logged(self, text):
        return [line for line in self.log if text in line]

    def _check(self):
        self.server.close()
        self.assertEqual(self.server.breaches, [])
        self.assertEqual(self.logged(TOKEN), [])


def free_port():
    """A port that nobody listens on just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
