"""Run by a Python of its own, with torch and transformers: ``convert.py GGUF FOLDER`` writes the GGUF as vLLM reads models.

The same input gives the same bytes: bfloat16 safetensors, config, tokenizer, generation config.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch  # type: ignore[import-not-found]
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig  # type: ignore[import-not-found]

# Like the template 'chatml' of the collection: the GGUF's own adds a system prompt, under which this small model answers in circles.
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def convert(gguf: Path, folder: Path) -> None:
    """Write the model into the folder."""
    source = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    model = AutoModelForCausalLM.from_pretrained(**source, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16)
    model.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(**source)
    tokenizer.chat_template = CHATML
    tokenizer.save_pretrained(folder)


convert(Path(sys.argv[1]), Path(sys.argv[2]))
