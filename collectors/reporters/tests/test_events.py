"""What calls become on the wire, and that none of them harms its caller."""

import asyncio
import concurrent.futures
import logging
import os
import uuid
from datetime import datetime, timedelta, timezone
from unittest import mock

import plimsoll_reporter
from plimsoll_reporter import BadEvent, Checkpoint, current_execution, uuid7

from .ingest_server import TOKEN, ReporterTest

START = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)


class HandClock:
    """Both clocks, moved by hand and apart from each other."""

    def __init__(self):
        self.wall = START
        self.elapsed_s = 0.0

    def now(self):
        return self.wall

    def monotonic_s(self):
        return self.elapsed_s

    def pass_s(self, seconds):
        self.elapsed_s += seconds
        self.wall += timedelta(seconds=seconds)


class EventsTest(ReporterTest):
    def setUp(self):
        super().setUp()
        self.clock = HandClock()
        self.reporter_ = self.reporter(clock=self.clock)

    def sent(self, kind="execution"):
        self.assertTrue(self.reporter_.flush(60.0), self.log)
        return self.server.of(kind)

    def test_an_execution_says_what_it_was_told_and_measured(self):
        fields = {"model": ("sdxl", "1.0"), "model_type": "TEXT_TO_IMAGE", "user": "ada", "application": "studio", "department": "art"}
        checkpoints = [Checkpoint("LORA", "anime", "3"), ("CONTROLNET", "depth"), Checkpoint("LORA", "anime", "3")]
        with self.reporter_.execution(**fields, project="ship", checkpoints=checkpoints, gpus=[1, 0], queued_at=START) as run:
            for name, seconds in [("checkpoint_load", 1.5), ("model_init", 0.25), ("inference", 2.0), ("inference", 1.0)]:
                with run.phase(name):
                    self.clock.pass_s(seconds)
            run.set(input_bytes=5, output_bytes=7.0, gpu_memory_peak_bytes=9, cpu_seconds=0.5, user=None)
        event = self.sent()[0]
        self.assertEqual(uuid.UUID(event.pop("id")).version, 7)
        self.assertEqual(event, {
            "type": "execution", "vm": "gpu-a-01", "gpus": [0, 1], "model": "sdxl", "modelVersion": "1.0", "modelType": "TEXT_TO_IMAGE",
            "user": "ada", "application": "studio", "department": "art", "project": "ship",
            "checkpoints": [{"kind": "LORA", "name": "anime", "version": "3"}, {"kind": "CONTROLNET", "name": "depth"}],
            "queuedAt": "2026-11-24T12:00:00.000000Z", "startedAt": "2026-11-24T12:00:00.000000Z", "finishedAt": "2026-11-24T12:00:04.750000Z",
            "outcome": "SUCCEEDED", "checkpointLoadMs": 1500.0, "modelInitMs": 250.0, "inferenceMs": 3000.0,
            "inputBytes": 5, "outputBytes": 7, "gpuMemoryPeakBytes": 9, "cpuSeconds": 0.5,
        })

    def test_the_length_is_the_monotonic_clocks(self):
        with self.reporter_.execution(model="sdxl"):
            self.clock.elapsed_s += 2.0
            self.clock.wall -= timedelta(hours=1)
        event = self.sent()[0]
        self.assertEqual((event["startedAt"][11:19], event["finishedAt"][11:19]), ("12:00:00", "12:00:02"))
        self.assertNotIn("inferenceMs", event, "what was not measured is unknown")

    def test_a_phase_within_a_phase_is_counted_once(self):
        with self.reporter_.execution(model="sdxl") as run:
            with run.phase("inference"):
                self.clock.pass_s(1.0)
                with self.reporter_.load(storage_type="OBJECT_STORE", checkpoint=Checkpoint("LORA", "anime"), size_bytes=5):
                    self.clock.pass_s(3.0)
                self.clock.pass_s(1.0)
        event = self.sent()[0]
        self.assertEqual((event["inferenceMs"], event["checkpointLoadMs"]), (2000.0, 3000.0))
        load = self.server.of("checkpointLoad")[0]
        self.assertEqual((load["execution"], load["model"], load["cacheHit"], load["bytes"]), (event["id"], "sdxl", False, 5))
        self.assertEqual(load["checkpoint"], {"kind": "LORA", "name": "anime"})

    def test_loads_stand_alone_too_and_may_fail(self):
        reporter = self.reporter(clock=self.clock, gpus=[3])
        with reporter.load(model=("sdxl", "1.0"), storage_type="LOCAL_DISK", storage_location="/models"):
            self.clock.pass_s(1.0)
        with self.assertRaises(MemoryError), reporter.load(model="flux", storage_type="NETWORK_FILESYSTEM", cache_hit=True):
            raise MemoryError
        self.assertTrue(reporter.flush(60.0))
        first, second = self.server.of("checkpointLoad")
        self.assertEqual((first["cacheHit"], first["gpu"], first["storageLocation"]), (True, 3, "/models"))
        self.assertEqual((second["cacheHit"], second["outcome"], second["errorType"]), (True, "FAILED", "MemoryError"))

    def test_an_exception_is_a_failure_and_goes_on(self):
        class OutOfMemoryError(RuntimeError):
            pass

        with self.assertRaises(OutOfMemoryError), self.reporter_.execution(model="sdxl"):
            raise OutOfMemoryError("\ud800\0" + "x" * 3_000)
        with self.reporter_.execution(model="sdxl") as run:
            run.fail("SafetyChecker", "not safe")
        first, second = self.sent()
        self.assertEqual((first["outcome"], first["errorType"], len(first["errorMessage"])), ("FAILED", "OutOfMemoryError", 2_000))
        self.assertEqual((second["outcome"], second["errorType"], second["errorMessage"]), ("FAILED", "SafetyChecker", "not safe"))

    def test_an_exception_that_has_no_text_is_a_failure_too(self):
        class Mute(Exception):
            def __str__(self):
                raise RuntimeError("nothing to say")

        with self.assertRaises(Mute), self.reporter_.execution(model="sdxl"):
            raise Mute
        self.assertNotIn("errorMessage", self.sent()[0])

    def test_a_cancellation_is_no_failure(self):
        errors = [KeyboardInterrupt, GeneratorExit, SystemExit, asyncio.CancelledError, concurrent.futures.CancelledError]
        for error in errors:
            with self.assertRaises(error), self.reporter_.execution(model="sdxl"):
                raise error
        with self.reporter_.execution(model="sdxl") as run:
            run.cancel()
        self.assertEqual([event["outcome"] for event in self.sent()], ["CANCELLED"] * (len(errors) + 1))
        self.assertFalse(any("errorType" in event for event in self.sent()))

    def test_a_cancelled_task_is_cancelled(self):
        async def story():
            entered = asyncio.Event()

            async def infer():
                async with self.reporter_.execution(model="llama") as run:
                    async with run.phase("inference"):
                        entered.set()
                        await asyncio.Event().wait()

            task = asyncio.ensure_future(infer())
            await entered.wait()
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task

        asyncio.run(story())
        self.assertEqual(self.sent()[0]["outcome"], "CANCELLED")

    def test_tasks_side_by_side_know_their_own_execution(self):
        async def infer(name):
            async with self.reporter_.execution(model=name) as run:
                await asyncio.sleep(0)
                self.assertIs(current_execution(), run)
                with self.reporter_.load(storage_type="HOST_MEMORY"):
                    await asyncio.sleep(0)

        async def story():
            await asyncio.gather(*(infer(f"model-{index}") for index in range(5)))

        asyncio.run(story())
        self.assertIsNone(current_execution())
        models = {event["id"]: event["model"] for event in self.sent()}
        loads = self.server.of("checkpointLoad")
        self.assertEqual(len(loads), 5)
        self.assertTrue(all(models[load["execution"]] == load["model"] for load in loads))

    def test_it_decorates_whatever_runs(self):
        measure = self.reporter_.execution(model="sdxl")

        @measure
        def plain(value):
            current_execution().set(output_bytes=value)
            return value

        @measure
        async def coroutine(value):
            return value

        @measure
        def generator():
            yield from (1, 2)
            return 3

        @measure
        async def stream():
            yield 1
            yield 2

        async def listen():
            self.assertEqual(await coroutine(5), 5)
            self.assertEqual([item async for item in stream()], [1, 2])
            left = stream()
            await left.__anext__()
            await left.aclose()

        self.assertEqual([plain(4), plain(6)], [4, 6])
        self.assertEqual(list(generator()), [1, 2])
        asyncio.run(listen())
        self.assertEqual(plain.__name__, "plain")
        events = self.sent()
        self.assertEqual([event.get("outputBytes") for event in events[:2]], [4, 6])
        self.assertEqual([event["outcome"] for event in events], ["SUCCEEDED"] * 5 + ["CANCELLED"])

    def test_a_job_waits_runs_and_tries_again(self):
        job = self.reporter_.job("job-17", model=("sdxl", "1.0"), attempts_max=2, user="ada")
        job.queued()
        self.clock.pass_s(5.0)
        with self.assertRaises(ValueError), job.attempt(gpus=[2]):
            self.clock.pass_s(1.0)
            raise ValueError("no")
        self.clock.pass_s(2.0)
        with job.attempt():
            self.clock.pass_s(1.0)
        events = self.sent()
        self.assertEqual([(event["job"], event["attempt"], event["outcome"]) for event in events], [("job-17", 1, "FAILED"), ("job-17", 2, "SUCCEEDED")])
        self.assertEqual([(event["queuedAt"][17:19], event["startedAt"][17:19]) for event in events], [("00", "05"), ("06", "08")])
        changes = self.server.of("job")
        expected = [("QUEUED", 1, "00"), ("RUNNING", 1, "05"), ("QUEUED", 2, "06"), ("RUNNING", 2, "08"), ("SUCCEEDED", 2, "09")]
        self.assertEqual([(change["state"], change["attempt"], change["at"][17:19]) for change in changes], expected)
        self.assertEqual((changes[1]["gpus"], changes[1]["user"], changes[1]["vm"]), ([2], "ada", "gpu-a-01"))

    def test_a_job_ends_as_its_last_attempt(self):
        job = self.reporter_.job(17, model="sdxl", attempt=3)
        with self.assertRaises(ValueError), job.attempt():
            raise ValueError
        other = self.reporter_.job(model="sdxl")
        other.queued(at=START.timestamp())
        other.state("CANCELLED")
        self.sent()
        self.assertEqual([(c["job"], c["state"]) for c in self.server.of("job")], [
            ("17", "RUNNING"), ("17", "FAILED"), (other.id, "QUEUED"), (other.id, "CANCELLED")])
        self.assertEqual(self.sent()[0]["attempt"], 3)

    def test_an_engines_own_queue_is_told_at_the_end(self):
        with self.reporter_.execution(model="llama") as run:
            self.clock.pass_s(3.0)
            run.waited(2.0)
        event = self.sent()[0]
        self.assertEqual([event[key][17:19] for key in ("queuedAt", "startedAt", "finishedAt")], ["00", "02", "03"])

    def test_a_queue_whose_clock_is_ahead_leaves_the_wait_unknown(self):
        with self.reporter_.execution(model="sdxl", queued_at=START + timedelta(seconds=1)):
            pass
        self.assertNotIn("queuedAt", self.sent()[0])
        self.assertEqual(len(self.logged("queuedAt lies after startedAt")), 1)

    def test_settings_come_from_the_environment(self):
        settings = {"URL": self.server.url, "TOKEN": TOKEN, "VM": "gpu-b-02", "GPUS": "0, 3", "APPLICATION": "studio", "PROJECT": "ship",
                    "DEPARTMENT": "art", "SPOOL_DIR": self.spool, "SPOOL_MAX_BYTES": "2000000"}
        with mock.patch.dict(os.environ, {f"PLIMSOLL_{name}": value for name, value in settings.items()}):
            reporter = self.reporter(url=None, token=None, vm=None, spool_dir=None)
        self.assertEqual(reporter._limits.spool_bytes_max, 2_000_000)
        with reporter.execution(model="sdxl", project="other"):
            pass
        self.assertTrue(reporter.flush(60.0))
        event = self.server.of("execution")[0]
        self.assertEqual([event[key] for key in ("vm", "gpus", "application", "department", "project")], ["gpu-b-02", [0, 3], "studio", "art", "other"])

    def test_the_agents_names_are_taken_where_ours_are_not_set(self):
        names = {"PLIMSOLL_AGENT_URL": self.server.url, "PLIMSOLL_AGENT_TOKEN": TOKEN, "PLIMSOLL_AGENT_VM": "gpu-c-03"}
        with mock.patch.dict(os.environ, names):
            reporter = self.reporter(url=None, token=None, vm=None)
        with reporter.execution(model="sdxl"):
            pass
        self.assertTrue(reporter.flush(60.0))
        self.assertEqual(self.server.of("execution")[0]["vm"], "gpu-c-03")

    def test_without_an_address_everything_works_and_nothing_is_sent(self):
        reporter = self.reporter(url=None)
        with reporter.execution(model="sdxl") as run, run.phase("inference"):
            pass
        self.assertTrue(reporter.flush())
        self.assertEqual(reporter.stats().dropped, {"disabled": 1})

    def test_an_address_that_is_none_switches_it_off(self):
        for url in ("plimsoll.example.com", "ftp://host", "http://", "http://user:password@host", "http://host:port", 7):
            reporter = self.reporter(url=url)
            with reporter.execution(model="sdxl"):
                pass
            self.assertEqual(reporter.stats().dropped, {"disabled": 1}, url)
        self.assertEqual(self.logged("password"), [])

    BAD = [
        {}, {"model": ""}, {"model": "x" * 201}, {"model": "a\x07b"}, {"model": "a\x85b"}, {"model": "\ud800"}, {"model": 1.5}, {"model": ("a", "b", "c")},
        {"model": "m", "mood": "good"}, {"model": "m", "checkpoints": ["anime"]}, {"model": "m", "checkpoints": [("LORAS", "anime")]},
        {"model": "m", "checkpoints": [("LORA", f"n{index}") for index in range(17)]}, {"model": "m", "checkpoints": 7},
        {"model": "m", "checkpoints": Checkpoint("LORA", "anime")}, {"model": "m", "gpus": [1024]}, {"model": "m", "gpus": "01"}, {"model": "m", "gpus": [True]},
        {"model": "m", "attempt": 0}, {"model": "m", "input_bytes": 2**53}, {"model": "m", "input_bytes": 1.5}, {"model": "m", "output_bytes": -1},
        {"model": "m", "cpu_seconds": float("nan")}, {"model": "m", "inference_ms": "3"}, {"model": "m", "inference_ms": float("inf")},
        {"model": "m", "queued_at": datetime(2026, 1, 1)}, {"model": "m", "queued_at": 1e300}, {"model": "m", "user": b"ada"}, {"model": "m", "job": object()},
    ]

    def test_bad_arguments_cost_their_event_and_nothing_else(self):
        for fields in self.BAD * 2:
            with self.reporter_.execution(**fields) as run, run.phase("inference"):
                pass
        with self.reporter_.execution("sdxl"):
            pass
        with self.reporter_.execution(model="sdxl") as run, run.phase("thinking"), run.phase(["inference"]), run.phase():
            pass
        with self.reporter_.execution(model="sdxl") as run:
            run.set(5)
            run.waited(-1)
            run.fail()
        with self.reporter_.execution(model="good"):
            pass
        self.assertEqual([event["model"] for event in self.sent()], ["good"])
        self.assertEqual(self.reporter_.stats().dropped, {"bad_arguments": 2 * len(self.BAD) + 3})
        self.assertEqual(len(self.log), len(set(self.log)), "each complaint is logged once")
        self.assertEqual(self.logged("aada") + self.logged("a\x07b"), [], "a value may be a secret")

    def test_bad_jobs_and_loads_are_dropped_too(self):
        job = self.reporter_.job("", model="sdxl")
        job.queued()
        with job.attempt():
            pass
        job.state("DONE")
        with self.reporter_.load(storage_type="TAPE", model="sdxl"):
            pass
        with self.reporter_.load(storage_type="LOCAL_DISK"):
            pass
        with self.reporter_.load(storage_type="LOCAL_DISK", model="sdxl", execution="x"):
            pass
        self.assertEqual(self.sent() + self.server.of("job") + self.server.of("checkpointLoad"), [])
        self.assertEqual(self.reporter_.stats().dropped, {"bad_arguments": 4 + 3})

    def test_strict_raises_but_not_over_the_callers_own_exception(self):
        reporter = self.reporter(strict=True)
        for fields in self.BAD[1:]:
            with self.assertRaises(BadEvent, msg=str(fields)):
                reporter.execution(**fields)
        with self.assertRaises(BadEvent), reporter.execution():
            pass
        with self.assertRaises(ZeroDivisionError), reporter.execution():
            raise ZeroDivisionError
        self.assertIsNone(current_execution())

    def test_a_broken_log_handler_breaks_no_caller(self):
        class Broken(logging.Handler):
            def emit(self, record):
                raise RuntimeError("disk full")

        handler = Broken()
        plimsoll_reporter.logger.addHandler(handler)
        self.addCleanup(plimsoll_reporter.logger.removeHandler, handler)
        with self.reporter_.execution(model=""):
            pass
        self.assertEqual(self.reporter_.stats().dropped, {"bad_arguments": 1})

    def test_a_second_start_or_end_says_nothing(self):
        run = self.reporter_.execution(model="sdxl")
        run.start()
        self.clock.pass_s(1.0)
        run.start()
        run.finish()
        run.finish(ValueError())
        self.assertEqual([(event["outcome"], event["startedAt"][17:19]) for event in self.sent()], [("SUCCEEDED", "00")])

    def test_ids_are_uuids_of_version_7_in_the_order_of_time(self):
        ids = [uuid.UUID(uuid7()) for _ in range(1_000)]
        self.assertEqual(len(set(ids)), 1_000)
        self.assertEqual({(one.version, one.variant) for one in ids}, {(7, uuid.RFC_4122)})
        self.assertEqual([one.int >> 80 for one in ids], sorted(one.int >> 80 for one in ids))
