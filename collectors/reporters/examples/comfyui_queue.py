"""A ComfyUI queue, measured from its API: what was queued, what ran, with which models.

    ws.connect(f"ws://{server}/ws?clientId={client_id}")
    queue = MeasuredQueue(Reporter(model_type="TEXT_TO_IMAGE"), queue_prompt)  # queue_prompt posts to /prompt
    prompt_id = queue.queue(prompt, user="ada")["prompt_id"]
    while True:
        message = ws.recv()
        if isinstance(message, str):  # previews are bytes
            queue.on_message(json.loads(message))

A prompt is a job and its run an execution. Model and checkpoints come from the loaders that the outputs really need. While a
loader node runs it counts as loading, while a sampler runs as inference; a node that ComfyUI has in its cache loads nothing.
"""

from plimsoll_reporter import Checkpoint, name_and_version

# Class of a loader node -> its input with the file, and what that file is (None: the base model).
LOADERS = {
    "CheckpointLoaderSimple": ("ckpt_name", None),
    "UNETLoader": ("unet_name", None),
    "LoraLoader": ("lora_name", "LORA"),
    "LoraLoaderModelOnly": ("lora_name", "LORA"),
    "ControlNetLoader": ("control_net_name", "CONTROLNET"),
    "VAELoader": ("vae_name", "VAE"),
}
# Prompts that are followed at a time; ComfyUI says nothing of those that are deleted from its queue.
PROMPTS_MAX = 10_000
SAMPLERS = {"KSampler", "KSamplerAdvanced", "SamplerCustom", "SamplerCustomAdvanced"}


def needed(prompt):
    """The ids of the nodes that the samplers draw upon, themselves included; ComfyUI runs no loader beside them in vain."""
    found, open_ids = set(), [node_id for node_id, node in prompt.items() if node["class_type"] in SAMPLERS]
    while open_ids:
        node_id = open_ids.pop()
        if node_id in found or node_id not in prompt:
            continue
        found.add(node_id)
        # A link is [node id, index of the output]; everything else is a value.
        open_ids += [str(value[0]) for value in prompt[node_id]["inputs"].values() if isinstance(value, list) and len(value) == 2]
    return found


def artifact(node):
    """What a loader node loads, as fields of a load; None for other nodes and for a LoRA with no strength."""
    file_input, kind = LOADERS.get(node["class_type"], (None, None))
    file_name = node["inputs"].get(file_input) if file_input else None
    if not isinstance(file_name, str):
        return None
    if kind == "LORA" and not (node["inputs"].get("strength_model", 1) or node["inputs"].get("strength_clip", 0)):
        return None
    name_version = name_and_version(file_name)
    return {"model": name_version} if kind is None else {"checkpoint": Checkpoint(kind, *name_version)}


def combination(prompt):
    """Base model and checkpoints of a prompt graph."""
    loaded = [artifact(prompt[node_id]) for node_id in sorted(needed(prompt))]
    models = [item["model"] for item in loaded if item and "model" in item]
    return {
        "model": models[0] if models else "unknown",
        "checkpoints": [item["checkpoint"] for item in loaded if item and "checkpoint" in item],
    }


class MeasuredQueue:
    def __init__(self, reporter, submit, storage_type="LOCAL_DISK"):
        self._reporter = reporter
        self._submit = submit
        self._storage_type = storage_type
        self._prompts = {}

    def queue(self, prompt, **fields):
        """Queues a prompt graph; the answer is ComfyUI's."""
        answer = self._submit(prompt)
        prompt_id = answer["prompt_id"]
        job = self._reporter.job(prompt_id, **combination(prompt), **fields)
        job.queued()
        while len(self._prompts) >= PROMPTS_MAX:
            self._prompts.pop(next(iter(self._prompts)))
        self._prompts[prompt_id] = _Run(self._reporter, job, prompt, self._storage_type)
        return answer

    def deleted(self, prompt_id):
        """Says that a prompt was taken out of the queue (POST /queue with `delete`) before it ran."""
        run = self._prompts.pop(prompt_id, None)
        if run is not None:
            run.cancel()

    def on_message(self, message):
        """Takes a message of ComfyUI's websocket (or of `PromptServer.send_sync`); others' prompts are passed over."""
        kind, data = message["type"], message.get("data") or {}
        run = self._prompts.get(data.get("prompt_id"))
        if run is None:
            return
        if kind == "execution_start":
            run.start()
        elif kind == "executing":
            run.enter(data.get("node"))
        elif kind in ("execution_success", "execution_error", "execution_interrupted"):
            run.end(kind, data)
        if run.is_ended:
            del self._prompts[data["prompt_id"]]


class _Run:
    def __init__(self, reporter, job, prompt, storage_type):
        self._reporter = reporter
        self._job = job
        self._prompt = prompt
        self._storage_type = storage_type
        self._execution = None
        self._phase = None
        self._load = None
        self.is_ended = False

    def cancel(self):
        self._job.state("CANCELLED")

    def start(self):
        if self._execution is None:
            self._execution = self._job.attempt()
            self._execution.start()

    def enter(self, node_id):
        """A node begins, and the one before has ended; None: it was the last one."""
        self.start()
        self._leave()
        if node_id is None:
            # Servers before execution_success say the end so; the newer ones have said it by then.
            self.end("execution_success", {})
            return
        node = self._prompt.get(str(node_id), {"class_type": "", "inputs": {}})
        if node["class_type"] in LOADERS:
            self._enter_phase("checkpoint_load")
            self._enter_load(node)
        elif node["class_type"] in SAMPLERS:
            self._enter_phase("inference")

    def end(self, kind, data):
        if self.is_ended:
            return
        self.start()
        self._leave(data.get("exception_type"))
        if kind == "execution_error":
            self._execution.fail(data.get("exception_type", "unknown"), data.get("exception_message"))
        elif kind == "execution_interrupted":
            self._execution.cancel()
        self._execution.finish()
        self.is_ended = True

    def _enter_phase(self, name):
        self._phase = self._execution.phase(name)
        self._phase.__enter__()

    def _enter_load(self, node):
        loaded = artifact(node)
        if loaded is not None:
            fields = {**combination(self._prompt), **loaded, "storage_type": self._storage_type, "execution": self._execution.id}
            del fields["checkpoints"]
            self._load = self._reporter.load(**fields)
            self._load.start()

    def _leave(self, error_type=None):
        if self._load is not None:
            if error_type is not None:
                self._load.fail(error_type)
            self._load.finish()
            self._load = None
        if self._phase is not None:
            self._phase.__exit__()
            self._phase = None
