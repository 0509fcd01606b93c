from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from engine.checkpoint import Checkpoint
from engine.model import shards, spans
from engine.vocabulary import Vocabulary
from tests.conftest import ROOT


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, checkpoint: Checkpoint) -> Path:
    """A model folder of the packaged shape in miniature, weights drawn at random."""
    folder = tmp_path_factory.mktemp("tiny")
    raw = json.loads((checkpoint.folder / "config.json").read_text())
    raw |= {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    raw |= {"head_dim": 8, "intermediate_size": 48}
    (folder / "config.json").write_text(json.dumps(raw))
    shutil.copy(checkpoint.tokenizer_file, folder / "tokenizer.json")
    rng = np.random.default_rng(5)
    tensors = {"model.embed_tokens.weight": (49152, 32), "model.norm.weight": (32,)}
    for i in range(2):
        at = f"model.layers.{i}."
        tensors |= {at + "input_layernorm.weight": (32,), at + "post_attention_layernorm.weight": (32,)}
        tensors |= {at + "self_attn.q_proj.weight": (32, 32), at + "self_attn.o_proj.weight": (32, 32)}
        tensors |= {at + "self_attn.k_proj.weight": (16, 32), at + "self_attn.v_proj.weight": (16, 32)}
        tensors |= {at + "mlp.gate_proj.weight": (48, 32), at + "mlp.up_proj.weight": (48, 32)}
        tensors |= {at + "mlp.down_proj.weight": (32, 48)}
    drawn = {
        n: np.ones(s, np.float32) if len(s) == 1 else rng.normal(0, 0.2, s).astype(np.float32)
        for n, s in tensors.items()
    }
    save_file(drawn, folder / "model.safetensors")
    return folder


@pytest.fixture(scope="session")
def corpus_folder(tmp_path_factory: pytest.TempPathFactory, vocabulary: Vocabulary) -> Path:
    """A corpus of this project's own sources: `engine` to train on, `grammars` held out."""
    out = tmp_path_factory.mktemp("corpus")
    for split, package in (("train", "engine"), ("dev", "grammars")):
        pieces = []
        for path in sorted((ROOT / package).glob("*.py")):
            data = path.read_bytes()
            ids = np.array(vocabulary.encode(data.decode()), np.uint16)
            found = spans.find("python", data, np.random.default_rng(0))
            pieces.append(shards.Piece(package, path.name, ids, found))
        shards.write(out, split, "python", pieces, "test")
    return out
