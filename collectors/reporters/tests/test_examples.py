"""The examples, with stand-ins that have the call shapes of diffusers, vLLM and ComfyUI."""

import asyncio
import enum
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Optional

from examples.comfyui_queue import MeasuredQueue, combination
from examples.diffusers_lora import MeasuredPipeline
from examples.vllm_adapters import MeasuredEngine
from plimsoll_reporter import name_and_version

from .ingest_server import PATIENCE_S, ReporterTest


def checkpoints(event):
    return [(item["kind"], item["name"], item.get("version")) for item in event["checkpoints"]]


class NamesTest(ReporterTest):
    def test_names_and_versions(self):
        for file_name, expected in [
            ("styles/anime_v3.safetensors", ("anime", "3")),
            ("styles\\anime_v3.safetensors", ("anime", "3")),
            ("sd_xl_base_1.0.safetensors", ("sd_xl_base", "1.0")),
            ("v1-5-pruned-emaonly.ckpt", ("v1-5-pruned-emaonly", None)),
            (Path("/adapters/sql-v2.1/"), ("sql", "2.1")),
            ("detail", ("detail", None)),
        ]:
            self.assertEqual(name_and_version(file_name), expected)


class StandInPipeline:
    """What `MeasuredPipeline` sees of a `StableDiffusionXLPipeline`."""

    def __init__(self, with_peft=True):
        self.adapters = []
        self.active = []
        self.with_peft = with_peft
        self.scheduler = "euler"

    def load_lora_weights(self, pretrained_model_name_or_path_or_dict, adapter_name=None, **kwargs):
        if "missing" in str(pretrained_model_name_or_path_or_dict):
            raise OSError("no such file")
        name = adapter_name or f"default_{len(self.adapters)}"
        self.adapters.append(name)
        self.active = [name]

    def set_adapters(self, adapter_names, adapter_weights=None):
        self.active = [adapter_names] if isinstance(adapter_names, str) else list(adapter_names)

    def unload_lora_weights(self, reset_to_overwritten_params=False):
        self.adapters, self.active = [], []

    def get_list_adapters(self):
        return {"unet": list(self.adapters), "text_encoder": list(self.adapters)} if self.adapters else {}

    def get_active_adapters(self):
        if not self.with_peft:
            raise ValueError("PEFT backend is required for this method.")
        return list(self.active)

    def __call__(self, prompt, num_inference_steps=50):
        if prompt == "too big":
            raise MemoryError("CUDA out of memory")
        return SimpleNamespace(images=[prompt])


class DiffusersTest(ReporterTest):
    def measured(self, **arguments):
        self.reporter_ = self.reporter(model_type="TEXT_TO_IMAGE")
        peaks = iter([0, 7_000] * 100)
        return MeasuredPipeline(StandInPipeline(**arguments), self.reporter_, ("sdxl", "1.0"), memory_peak_bytes=lambda: next(peaks))

    def sent(self):
        self.assertTrue(self.reporter_.flush(PATIENCE_S))
        return self.server.of("execution"), self.server.of("checkpointLoad")

    def test_a_request_that_swaps_loras(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = Path(folder.name) / "anime_v3.safetensors"
        path.write_bytes(b"x" * 100)
        measured = self.measured()
        with measured.request(user="ada"):
            measured.load_lora_weights(path, adapter_name="anime")
            measured.load_lora_weights("someone/loras", weight_name="depth-1.5.safetensors")
            measured.set_adapters(["anime", "default_1"], adapter_weights=[0.8, 1.0])
            self.assertEqual(measured("a castle").images, ["a castle"])
        measured.set_adapters(["anime", "default_1"], adapter_weights=[0.0, 1.0])
        measured("a ship")
        measured.unload_lora_weights()
        measured("the sea", num_inference_steps=5)
        self.assertEqual(measured.scheduler, "euler")
        executions, loads = self.sent()
        self.assertEqual([checkpoints(event) for event in executions], [[("LORA", "anime", "3"), ("LORA", "depth", "1.5")], [("LORA", "depth", "1.5")], []])
        self.assertEqual((executions[0]["user"], executions[0]["gpuMemoryPeakBytes"], executions[0]["modelType"]), ("ada", 7_000, "TEXT_TO_IMAGE"))
        self.assertTrue(all("inferenceMs" in event for event in executions))
        self.assertEqual(["checkpointLoadMs" in event for event in executions], [True, False, False])
        self.assertEqual([load["execution"] for load in loads], [executions[0]["id"]] * 2)
        self.assertEqual((loads[0]["bytes"], loads[0]["checkpoint"]["name"], loads[0]["model"]), (100, "anime", "sdxl"))

    def test_what_fails_is_said(self):
        measured = self.measured()
        with self.assertRaises(OSError):
            measured.load_lora_weights("missing", adapter_name="x")
        with self.assertRaises(MemoryError):
            measured("too big")
        executions, loads = self.sent()
        self.assertEqual((executions[0]["outcome"], executions[0]["errorType"]), ("FAILED", "MemoryError"))
        self.assertEqual((loads[0]["outcome"], loads[0]["errorType"]), ("FAILED", "OSError"))

    def test_it_works_without_peft(self):
        self.measured(with_peft=False)("a castle")
        self.assertEqual(self.sent()[0][0]["checkpoints"], [])


@dataclass
class LoRARequest:
    lora_name: str
    lora_int_id: int
    lora_path: str


class RequestOutputKind(enum.Enum):
    CUMULATIVE = 0
    DELTA = 1


@dataclass
class Completion:
    text: str
    finish_reason: Optional[str] = None


class StandInEngine:
    """What `MeasuredEngine` sees of an `AsyncLLM`."""

    def __init__(self, metrics=None):
        self.metrics = metrics
        self.loads = []
        self.closed = []
        self.may_load = asyncio.Event()
        self.may_load.set()

    async def add_lora(self, lora_request):
        self.loads.append(lora_request.lora_name)
        await self.may_load.wait()
        if lora_request.lora_name == "broken":
            raise RuntimeError("rank too high")
        return True

    async def remove_lora(self, lora_id):
        return True

    async def generate(self, prompt, sampling_params, request_id, *, lora_request=None, priority=0):
        try:
            texts = ["a", "b", "c"] if sampling_params.output_kind is RequestOutputKind.DELTA else ["a", "ab", "abc"]
            for text in texts:
                await asyncio.sleep(0)
                reason = ("abort" if prompt == "abort me" else "stop") if text == texts[-1] else None
                yield SimpleNamespace(request_id=request_id, outputs=[Completion(text, reason)], metrics=self.metrics, finished=reason is not None)
        finally:
            self.closed.append(request_id)


class VllmTest(ReporterTest):
    PARAMS = SimpleNamespace(output_kind=RequestOutputKind.CUMULATIVE)

    def run_story(self, story, **arguments):
        reporter = self.reporter(gpus=[0, 1])

        async def tell():
            engine = StandInEngine(**arguments)
            await story(engine, MeasuredEngine(engine, reporter, ("llama-3.1", "8b")))

        asyncio.run(tell())
        self.assertTrue(reporter.flush(PATIENCE_S))
        return self.server.of("execution"), self.server.of("checkpointLoad")

    def test_requests_of_one_adapter_load_it_once(self):
        sql = LoRARequest("sql", 1, "/adapters/sql_v2")

        async def ask(measured, number):
            outputs = [output async for output in measured.generate("select", self.PARAMS, f"r{number}", lora_request=sql, user="ada")]
            self.assertEqual([output.outputs[0].text for output in outputs], ["a", "ab", "abc"])

        async def story(engine, measured):
            await asyncio.gather(*(ask(measured, number) for number in range(4)))
            self.assertEqual(engine.loads, ["sql"])
            await measured.remove_lora(1)
            await ask(measured, 4)
            self.assertEqual(engine.loads, ["sql", "sql"])

        executions, loads = self.run_story(story)
        self.assertEqual([checkpoints(event) for event in executions], [[("LORA", "sql", "2")]] * 5)
        self.assertEqual({(event["inputBytes"], event["outputBytes"], event["modelVersion"]) for event in executions}, {(6, 3, "8b")})
        self.assertEqual(executions[0]["gpus"], [0, 1])
        self.assertTrue(all("checkpointLoadMs" in event for event in executions))
        self.assertEqual(len(loads), 2)
        self.assertIn(loads[0]["execution"], [event["id"] for event in executions])
        self.assertEqual((loads[0]["cacheHit"], loads[0]["storageLocation"]), (True, "/adapters/sql_v2"))

    def test_the_schedulers_queue_is_told_apart(self):
        async def story(_engine, measured):
            params = SimpleNamespace(output_kind=RequestOutputKind.DELTA)
            self.assertEqual(len([output async for output in measured.generate([1, 2], params, "r")]), 3)

        metrics = SimpleNamespace(arrival_time=1.0, queued_ts=1_000.0, scheduled_ts=1_000.0001, first_token_ts=1_000.1, last_token_ts=1_000.5)
        event = self.run_story(story, metrics=metrics)[0][0]
        self.assertAlmostEqual(event["inferenceMs"], 499.9)
        self.assertEqual((event["outputBytes"], event.get("inputBytes")), (3, None))
        self.assertLess(event["queuedAt"], event["startedAt"])

    def test_a_client_that_leaves_cancels_and_closes_the_engines_stream(self):
        async def story(engine, measured):
            stream = measured.generate("hello", self.PARAMS, "left")
            await stream.__anext__()
            await stream.aclose()
            self.assertEqual(engine.closed, ["left"])
            async for _ in measured.generate("abort me", self.PARAMS, "aborted"):
                pass

        executions, _ = self.run_story(story)
        self.assertEqual([(event["outcome"], event["checkpoints"]) for event in executions], [("CANCELLED", [])] * 2)

    def test_an_adapter_that_does_not_load_fails_its_request(self):
        async def story(_engine, measured):
            for _ in range(2):
                with self.assertRaises(RuntimeError):
                    async for _ in measured.generate("x", self.PARAMS, "r", lora_request=LoRARequest("broken", 2, "s3://adapters/broken")):
                        pass

        executions, loads = self.run_story(story)
        self.assertEqual([event["errorType"] for event in executions], ["RuntimeError"] * 2)
        self.assertEqual([(load["outcome"], load["storageType"], load["cacheHit"]) for load in loads], [("FAILED", "OBJECT_STORE", False)] * 2)

    def test_a_cancelled_request_leaves_the_load_to_the_others(self):
        async def story(engine, measured):
            engine.may_load.clear()
            lora = LoRARequest("sql", 1, "/adapters/sql")

            async def ask(number):
                return [output async for output in measured.generate("x", self.PARAMS, f"r{number}", lora_request=lora)]

            first, second = asyncio.ensure_future(ask(1)), asyncio.ensure_future(ask(2))
            while not engine.loads:
                await asyncio.sleep(0)
            first.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await first
            engine.may_load.set()
            self.assertEqual(len(await second), 3)

        executions, loads = self.run_story(story)
        self.assertEqual([event["outcome"] for event in executions], ["CANCELLED", "SUCCEEDED"])
        self.assertEqual(len(loads), 1)


PROMPT = {
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd_xl_base_1.0.safetensors"}},
    "10": {"class_type": "LoraLoader", "inputs": {"lora_name": "styles/anime_v3.safetensors", "strength_model": 0.8, "strength_clip": 1, "model": ["4", 0], "clip": ["4", 1]}},
    "11": {"class_type": "LoraLoader", "inputs": {"lora_name": "off_v1.safetensors", "strength_model": 0, "strength_clip": 0, "model": ["10", 0], "clip": ["10", 1]}},
    "12": {"class_type": "LoraLoader", "inputs": {"lora_name": "beside.safetensors", "strength_model": 1, "strength_clip": 1, "model": ["4", 0], "clip": ["4", 1]}},
    "13": {"class_type": "ControlNetLoader", "inputs": {"control_net_name": "depth.safetensors"}},
    "14": {"class_type": "ControlNetApply", "inputs": {"conditioning": ["6", 0], "control_net": ["13", 0], "image": ["15", 0], "strength": 1.0}},
    "15": {"class_type": "LoadImage", "inputs": {"image": "sea.png"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"batch_size": 1, "height": 512, "width": 512}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["11", 1], "text": "a castle"}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["11", 1], "text": "bad hands"}},
    "3": {"class_type": "KSampler", "inputs": {"cfg": 8, "seed": 5, "steps": 20, "model": ["11", 0], "positive": ["14", 0], "negative": ["7", 0], "latent_image": ["5", 0]}},
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "ComfyUI", "images": ["8", 0]}},
}


class ComfyTest(ReporterTest):
    def setUp(self):
        super().setUp()
        self.reporter_ = self.reporter()
        self.number = 0
        self.queue = MeasuredQueue(self.reporter_, self.submit)

    def submit(self, prompt):
        """POST /prompt."""
        self.number += 1
        return {"prompt_id": f"prompt-{self.number}", "number": self.number, "node_errors": {}}

    def say(self, prompt_id, *messages):
        for kind, data in messages:
            self.queue.on_message({"type": kind, "data": {"prompt_id": prompt_id, **data}})

    def nodes(self, *node_ids):
        return [("executing", {"node": node_id, "display_node": node_id}) for node_id in node_ids]

    def sent(self):
        self.assertTrue(self.reporter_.flush(PATIENCE_S))
        return self.server.of("execution"), self.server.of("checkpointLoad"), [(job["job"], job["state"]) for job in self.server.of("job")]

    def test_the_combination_is_what_the_samplers_need(self):
        self.assertEqual(combination(PROMPT), {
            "model": ("sd_xl_base", "1.0"), "checkpoints": [("LORA", "anime", "3"), ("CONTROLNET", "depth", None)]})

    def test_a_prompt_from_the_queue_to_its_end(self):
        first = self.queue.queue(PROMPT, user="ada")["prompt_id"]
        second = self.queue.queue(PROMPT)["prompt_id"]
        self.queue.on_message({"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 2}}}})
        self.say("somebody else's", ("execution_start", {}), ("execution_success", {}))
        self.say(first, ("execution_start", {}), ("execution_cached", {"nodes": ["5"]}), *self.nodes("4", "10", "11", "13", "6", "3"),
                 ("progress", {"value": 1, "max": 20, "node": "3"}), *self.nodes("8", "9"), ("executed", {"node": "9", "output": {}}),
                 ("execution_success", {}), *self.nodes(None))
        # All loaders are cached, and this server is one of before execution_success.
        self.say(second, ("execution_start", {}), ("execution_cached", {"nodes": ["4", "10", "11", "13"]}), *self.nodes("3", "8", "9", None))
        executions, loads, jobs = self.sent()
        self.assertEqual([(event["job"], event["outcome"], event["model"], event["modelVersion"]) for event in executions], [
            ("prompt-1", "SUCCEEDED", "sd_xl_base", "1.0"), ("prompt-2", "SUCCEEDED", "sd_xl_base", "1.0")])
        self.assertEqual(executions[0]["user"], "ada")
        self.assertEqual([("checkpointLoadMs" in event, "inferenceMs" in event) for event in executions], [(True, True), (False, True)])
        self.assertTrue(all(event["queuedAt"] <= event["startedAt"] for event in executions))
        self.assertEqual([(load.get("checkpoint") or {}).get("name") for load in loads], [None, "anime", "depth"])
        self.assertEqual({load["execution"] for load in loads}, {executions[0]["id"]})
        expected = [("prompt-1", "QUEUED"), ("prompt-2", "QUEUED"), ("prompt-1", "RUNNING"), ("prompt-1", "SUCCEEDED")]
        self.assertEqual(jobs, [*expected, ("prompt-2", "RUNNING"), ("prompt-2", "SUCCEEDED")])

    def test_errors_interruptions_and_deletions(self):
        failed, interrupted, deleted = (self.queue.queue(PROMPT)["prompt_id"] for _ in range(3))
        error = {"node_id": "10", "node_type": "LoraLoader", "executed": [], "exception_message": "no such file", "exception_type": "FileNotFoundError"}
        self.say(failed, ("execution_start", {}), *self.nodes("10"), ("execution_error", error), *self.nodes(None))
        self.say(interrupted, ("execution_start", {}), *self.nodes("3"), ("execution_interrupted", {"node_id": "3", "node_type": "KSampler", "executed": []}))
        self.queue.deleted(deleted)
        executions, loads, jobs = self.sent()
        self.assertEqual([event["outcome"] for event in executions], ["FAILED", "CANCELLED"])
        self.assertEqual((executions[0]["errorType"], executions[0]["errorMessage"]), ("FileNotFoundError", "no such file"))
        self.assertEqual((loads[0]["outcome"], loads[0]["errorType"]), ("FAILED", "FileNotFoundError"))
        self.assertEqual(jobs[-5:], [("prompt-1", "RUNNING"), ("prompt-1", "FAILED"), ("prompt-2", "RUNNING"), ("prompt-2", "CANCELLED"), ("prompt-3", "CANCELLED")])
