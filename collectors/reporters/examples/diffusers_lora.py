"""A diffusers pipeline that swaps LoRAs, measured.

    pipeline = DiffusionPipeline.from_pretrained("stabilityai/stable-diffusion-xl-base-1.0").to("cuda")
    measured = MeasuredPipeline(pipeline, Reporter(model_type="TEXT_TO_IMAGE"), model=("sdxl", "1.0"))
    with measured.request(user="ada"):  # what is loaded in here counts as loading of this execution
        measured.load_lora_weights("loras/anime_v3.safetensors", adapter_name="anime")
        measured.set_adapters("anime", adapter_weights=0.8)
        image = measured("a castle by the sea").images[0]
    measured.unload_lora_weights()

The wrapper has the methods of the pipeline that it measures and hands everything else through. Applied are the adapters that
are active in the call, with a weight other than 0.
"""

import os
from contextlib import contextmanager

from plimsoll_reporter import Checkpoint, current_execution, name_and_version


def cuda_peak_bytes():
    """The most memory that tensors took since the last time; None where there is no CUDA."""
    try:
        import torch
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    peak_bytes = torch.cuda.max_memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    return peak_bytes


class MeasuredPipeline:
    def __init__(self, pipeline, reporter, model, storage_type="LOCAL_DISK", memory_peak_bytes=cuda_peak_bytes):
        self._pipeline = pipeline
        self._reporter = reporter
        self._model = model
        self._storage_type = storage_type
        self._memory_peak_bytes = memory_peak_bytes
        self._checkpoints = {}
        self._weights = {}

    def __getattr__(self, name):
        return getattr(self._pipeline, name)

    @contextmanager
    def request(self, **fields):
        """One execution around everything that a request does, loading included."""
        with self._reporter.execution(model=self._model, **fields) as run:
            yield run

    def load_lora_weights(self, pretrained_model_name_or_path_or_dict, adapter_name=None, **kwargs):
        source = pretrained_model_name_or_path_or_dict
        file_name = kwargs.get("weight_name") or (source if isinstance(source, (str, os.PathLike)) else adapter_name or "state dict")
        checkpoint = Checkpoint("LORA", *name_and_version(file_name))
        size_bytes = os.path.getsize(source) if isinstance(source, (str, os.PathLike)) and os.path.isfile(source) else None
        before = self._adapter_names()
        load = self._reporter.load(model=self._model, checkpoint=checkpoint, storage_type=self._storage_type, size_bytes=size_bytes)
        with load:
            self._pipeline.load_lora_weights(source, adapter_name=adapter_name, **kwargs)
        # Without a name diffusers makes one up.
        for name in self._adapter_names() - before or {adapter_name}:
            self._checkpoints[name] = checkpoint

    def set_adapters(self, adapter_names, adapter_weights=None):
        self._pipeline.set_adapters(adapter_names, adapter_weights)
        names = [adapter_names] if isinstance(adapter_names, str) else list(adapter_names)
        weights = adapter_weights if isinstance(adapter_weights, list) else [adapter_weights] * len(names)
        self._weights = dict(zip(names, weights))

    def unload_lora_weights(self, **kwargs):
        self._pipeline.unload_lora_weights(**kwargs)
        self._checkpoints.clear()
        self._weights.clear()

    def __call__(self, *args, **kwargs):
        run = current_execution()
        if run is None:
            with self.request() as run:
                return self._infer(run, args, kwargs)
        return self._infer(run, args, kwargs)

    def _infer(self, run, args, kwargs):
        run.set(checkpoints=self._applied())
        self._memory_peak_bytes()
        try:
            with run.phase("inference"):
                return self._pipeline(*args, **kwargs)
        finally:
            run.set(gpu_memory_peak_bytes=self._memory_peak_bytes())

    def _adapter_names(self):
        # {"unet": ["anime"], "text_encoder": ["anime"]}
        return {name for names in self._pipeline.get_list_adapters().values() for name in names}

    def _applied(self):
        try:
            active = self._pipeline.get_active_adapters()
        except ValueError:
            return []  # Without PEFT there are no adapters.
        active = [name for name in active if self._weights.get(name) != 0]
        return [self._checkpoints.get(name) or Checkpoint("LORA", *name_and_version(name)) for name in active]
