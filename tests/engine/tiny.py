"""Made-up models, small enough to be written by a test: each shape that a model folder may have."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from engine.checkpoint import PACKAGED

RESERVED = {"suffix": 8, "prefix": 9, "middle": 10, "mask": 16, "end": 0, "broken": 11}
LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 96,
    "vocab_size": 600,
    "rope_theta": 10000.0,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
}
QWEN2 = LLAMA | {
    "architectures": ["Qwen2ForCausalLM"],
    "head_dim": 32,
    "num_attention_heads": 6,
    "num_key_value_heads": 1,
    "tie_word_embeddings": True,
    "vocab_size": 70_000,
    "rope_theta": 1_000_000.0,
}


def write_model(folder: Path, shape: dict[str, Any], dtype: str = "float32", **changes: Any) -> Path:
    """A model of random weights in `folder`."""
    raw = shape | changes
    rng = np.random.default_rng(7)
    hidden, heads = raw["hidden_size"], raw["num_attention_heads"]
    dim = raw.get("head_dim") or hidden // heads
    q, kv = heads * dim, raw["num_key_value_heads"] * dim

    def matrix(rows: int, columns: int) -> np.ndarray:
        return (rng.standard_normal((rows, columns)) / np.sqrt(columns)).astype(dtype)

    tensors = {"model.embed_tokens.weight": (rng.standard_normal((raw["vocab_size"], hidden)) * 0.5).astype(dtype)}
    tensors["model.norm.weight"] = rng.uniform(0.5, 2, hidden).astype(dtype)
    if not raw["tie_word_embeddings"]:
        tensors["lm_head.weight"] = matrix(raw["vocab_size"], hidden)
    for i in range(raw["num_hidden_layers"]):
        at = f"model.layers.{i}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{at}{norm}.weight"] = rng.uniform(0.5, 2, hidden).astype(dtype)
        for name, rows in (("q", q), ("k", kv), ("v", kv)):
            tensors[f"{at}self_attn.{name}_proj.weight"] = matrix(rows, hidden)
            if raw["architectures"] == ["Qwen2ForCausalLM"]:
                tensors[f"{at}self_attn.{name}_proj.bias"] = rng.standard_normal(rows).astype(dtype)
        tensors[at + "self_attn.o_proj.weight"] = matrix(hidden, q)
        for name in ("gate", "up"):
            tensors[f"{at}mlp.{name}_proj.weight"] = matrix(raw["intermediate_size"], hidden)
        tensors[at + "mlp.down_proj.weight"] = matrix(hidden, raw["intermediate_size"])
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(raw | {"remask": RESERVED}))
    shutil.copyfile(PACKAGED / "tokenizer.json", folder / "tokenizer.json")
    return folder
