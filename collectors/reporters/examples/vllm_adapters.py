"""A vLLM engine with LoRA adapters, measured.

    engine = AsyncLLM.from_engine_args(AsyncEngineArgs(model="meta-llama/Llama-3.1-8B", enable_lora=True))
    measured = MeasuredEngine(engine, Reporter(model_type="TEXT_TO_TEXT", gpus=[0]), model=("llama-3.1", "8b"))
    lora = LoRARequest("sql", 1, "/adapters/sql_v2")
    async for output in measured.generate(prompt, SamplingParams(), request_id, lora_request=lora, user="ada"):
        ...

Every request is an execution, also when many share the GPU: Plimsoll splits its time between them. What vLLM's own scheduler
let a request wait is told apart, where the engine keeps statistics. Requests whose client goes away are CANCELLED.
"""

import asyncio

from plimsoll_reporter import Checkpoint, name_and_version


def adapter(lora_request):
    """The checkpoint of a `LoRARequest`, its version from the end of its folder (`sql_v2`) where there is one."""
    return Checkpoint("LORA", lora_request.lora_name, name_and_version(lora_request.lora_path)[1])


def source(lora_request):
    """Where an adapter comes from, and whether it was on this machine before."""
    is_remote = "://" in lora_request.lora_path
    return {"storage_type": "OBJECT_STORE" if is_remote else "LOCAL_DISK", "storage_location": lora_request.lora_path[:200]}


class MeasuredEngine:
    def __init__(self, engine, reporter, model):
        self._engine = engine
        self._reporter = reporter
        self._model = model
        self._loading = {}

    def __getattr__(self, name):
        return getattr(self._engine, name)

    async def add_lora(self, lora_request):
        """Loads an adapter before a request needs it; the load is measured."""
        with self._reporter.load(model=self._model, checkpoint=adapter(lora_request), **source(lora_request)):
            return await self._engine.add_lora(lora_request)

    async def remove_lora(self, lora_id):
        self._loading.pop(lora_id, None)
        return await self._engine.remove_lora(lora_id)

    async def _ensure_lora(self, run, lora_request):
        """The first request of an adapter loads it; those that come meanwhile wait for it."""
        with run.phase("checkpoint_load"):
            lora_id = lora_request.lora_int_id
            if lora_id not in self._loading:
                self._loading[lora_id] = asyncio.ensure_future(self.add_lora(lora_request))
            try:
                # Whoever gives up must not take the load from the others.
                await asyncio.shield(self._loading[lora_id])
            except Exception:
                self._loading.pop(lora_id, None)
                raise

    async def generate(self, prompt, sampling_params, request_id, *, lora_request=None, user=None, **kwargs):
        checkpoints = [adapter(lora_request)] if lora_request is not None else []
        run = self._reporter.execution(model=self._model, checkpoints=checkpoints, user=user, input_bytes=size_bytes(prompt))
        with run:
            if lora_request is not None:
                await self._ensure_lora(run, lora_request)
            output, output_bytes = None, 0
            is_delta = getattr(getattr(sampling_params, "output_kind", None), "name", "") == "DELTA"
            stream = self._engine.generate(prompt, sampling_params, request_id, lora_request=lora_request, **kwargs)
            try:
                with run.phase("inference"):
                    async for output in stream:
                        new_bytes = sum(size_bytes(completion.text) for completion in output.outputs)
                        output_bytes = new_bytes + (output_bytes if is_delta else 0)
                        yield output
            finally:
                await stream.aclose()
                if output is not None:
                    run.set(output_bytes=output_bytes)
                    self._describe(run, output)

    @staticmethod
    def _describe(run, output):
        if any(completion.finish_reason == "abort" for completion in output.outputs):
            run.cancel()
        # The engine's clock is monotonic and its own: only differences mean something. Not every engine keeps them.
        queued_s, scheduled_s, last_token_s = (getattr(output.metrics, name, 0) for name in ("queued_ts", "scheduled_ts", "last_token_ts"))
        if 0 < queued_s <= scheduled_s <= last_token_s:
            run.set(inference_ms=(last_token_s - scheduled_s) * 1_000)
            run.waited(scheduled_s - queued_s)


def size_bytes(text):
    """Bytes of a prompt that is text; None for token ids and other prompts."""
    return len(text.encode("utf-8", "replace")) if isinstance(text, str) else None
