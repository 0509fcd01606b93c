"""Other people's models: each shape against the NumPy reference, and clear refusals of what cannot be computed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import engine
from engine import footprint, variants
from engine.activations import measure
from engine.checkpoint import Checkpoint, ModelConfig
from engine.denoiser import Denoiser
from engine.device import choose
from engine.errors import ModelError
from tests.engine.reference import NumpyDenoiser
from tests.engine.tiny import LLAMA, QWEN2, write_model

SHAPES = {
    "llama": (LLAMA, "float32"),
    "llama, tied, as many key heads as heads": (
        LLAMA | {"tie_word_embeddings": True, "num_key_value_heads": 4},
        "float32",
    ),
    "llama in fp16": (LLAMA, "float16"),
    "qwen2": (QWEN2, "float32"),
    "qwen2, untied": (QWEN2 | {"tie_word_embeddings": False, "vocab_size": 900}, "float32"),
}
N, BLOCK = 40, 6


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(variants, "folder", lambda: tmp_path / "cache")


def mixed_rows(checkpoint: Checkpoint) -> tuple[list[int], np.ndarray]:
    """A context and a block of masks behind it, and what each row sees."""
    rng = np.random.default_rng(3)
    ids = [*rng.integers(20, checkpoint.config.vocab, N).tolist(), *[checkpoint.config.reserved.mask] * BLOCK]
    ids[1] = checkpoint.config.vocab - 1
    sees = np.tril(np.ones((N + BLOCK, N + BLOCK), bool))
    sees[N:, N:] = True
    return ids, sees


def logits(denoiser: Denoiser, ids: list[int], sees: np.ndarray) -> np.ndarray:
    at = np.arange(len(ids))[None]
    rows = np.arange(len(ids))
    return denoiser.forward(denoiser.new_cache(), np.array([ids]), at, at, sees[None], rows).logits


@pytest.mark.parametrize("name", SHAPES)
def test_each_shape_agrees_with_the_reference(tmp_path, name):
    shape, dtype = SHAPES[name]
    checkpoint = Checkpoint(write_model(tmp_path, shape, dtype))
    ids, sees = mixed_rows(checkpoint)
    expected = NumpyDenoiser(checkpoint)(ids, list(range(len(ids))), sees)
    got = logits(Denoiser(checkpoint, choose("cpu"), "fp32"), ids, sees)
    assert np.abs(got - expected).max() < 1e-3


@pytest.mark.parametrize("name", ["llama", "qwen2"])
@pytest.mark.parametrize("precision", ["int8", "int8-blocks", "int4-blocks", "fp16"])
def test_each_precision_stays_near_the_reference(tmp_path, name, precision):
    shape, dtype = SHAPES[name]
    checkpoint = Checkpoint(write_model(tmp_path, shape, dtype))
    ids, sees = mixed_rows(checkpoint)
    expected = NumpyDenoiser(checkpoint)(ids, list(range(len(ids))), sees)
    got = logits(Denoiser(checkpoint, choose("cpu"), precision), ids, sees)
    error = np.linalg.norm(got - expected) / np.linalg.norm(expected)
    assert error < {"int8": 0.06, "int8-blocks": 0.06, "int4-blocks": 0.5, "fp16": 0.01}[precision]


@pytest.mark.parametrize("name", ["llama", "qwen2"])
def test_measured_activations_are_folded_without_changing_the_model(tmp_path, name):
    shape, dtype = SHAPES[name]
    checkpoint = Checkpoint(write_model(tmp_path, shape, dtype))
    ids, sees = mixed_rows(checkpoint)
    plain = logits(Denoiser(checkpoint, choose("cpu"), "int8"), ids, sees)
    save_file(measure(checkpoint, [ids[:N]]), tmp_path / "activations.safetensors")
    smoothed = Denoiser(Checkpoint(tmp_path), choose("cpu"))
    assert smoothed.precision == "int8"
    expected = NumpyDenoiser(checkpoint)(ids, list(range(len(ids))), sees)
    got = logits(smoothed, ids, sees)
    assert not np.array_equal(got, plain)
    assert np.linalg.norm(got - expected) / np.linalg.norm(expected) < 0.06


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "rope scaling .yarn. is not supported"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope scaling .linear. is not supported"),
        ({"architectures": ["GPT2LMHeadModel"]}, "GPT2LMHeadModel is not supported"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu' is not supported"),
        ({"use_sliding_window": True}, "sliding-window attention is not supported"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantised by gptq are not supported"),
        ({"max_position_embeddings": "many"}, "has an entry of the wrong type: .*many"),
        ({"vocab_size": 12}, "remask.mask is row 16 of a vocabulary of 12"),
        ({"intermediate_size": 97}, "config.json asks for"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(tmp_path, changes: dict[str, Any], says: str):
    folder = write_model(tmp_path, LLAMA)
    raw = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(raw | changes))
    with pytest.raises(ModelError, match=says):
        Checkpoint(folder)


def test_windows_may_be_longer_than_in_training_but_not_than_the_positions_of_the_base(tmp_path):
    folder = write_model(tmp_path, LLAMA)
    raw = json.loads((folder / "config.json").read_text())
    raw["max_position_embeddings"] = 1024
    raw["remask"]["context_trained"] = 200

    def config(**more: int) -> ModelConfig:
        layout = raw["remask"] | more
        (folder / "config.json").write_text(json.dumps(raw | {"remask": layout}))
        return Checkpoint(folder).config

    assert (config().context, config().context_trained) == (200, 200)
    assert (config(window=300).context, config(window=300).context_trained) == (300, 200)
    with pytest.raises(ModelError, match=r"remask.window is 1025 of 1024 positions"):
        config(window=1025)
    assert config(window=300).with_window(1024).context == 1024
    for tokens in (0, 1025):
        with pytest.raises(ModelError, match=f"a window of {tokens} tokens: the model has 1024 positions"):
            config().with_window(tokens)


def test_missing_biases_are_named(tmp_path):
    folder = write_model(tmp_path, LLAMA)
    raw = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(raw | {"architectures": ["Qwen2ForCausalLM"]}))
    with pytest.raises(ModelError, match=r"lacks the tensor model.layers.0.self_attn.q_proj.bias"):
        Checkpoint(folder)


def test_a_model_cut_short_is_refused(tmp_path):
    folder = write_model(tmp_path, LLAMA)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match="is damaged"):
        Checkpoint(folder)


def test_a_model_that_does_not_fit_says_what_it_needs(tmp_path, monkeypatch, checkpoint):
    monkeypatch.setattr(footprint, "available", lambda: 300e6)
    with pytest.raises(ModelError, match=r"134 M parameters, about 0\.5 GB of memory as int8.*0\.3 GB are free"):
        Denoiser(checkpoint, choose("cpu"))


def test_a_made_up_model_completes_through_the_engine(tmp_path: Path):
    folder = write_model(tmp_path, LLAMA, vocab_size=49_152)
    with engine.load(device="cpu", model=folder, memory=False) as e:
        assert e.model.startswith(tmp_path.name)
        assert isinstance(e.complete("def add(a, b):\n    ret", "\n", max_tokens=8), list)
