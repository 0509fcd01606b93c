"""A denoiser on disk: `config.json`, `tokenizer.json` and safetensors shards, read and checked.

Matrices may be fp32, fp16, bf16 or int8 with one fp32 `….scale` a row (`weight = int8 × scale`), under their Hugging
Face Llama or Qwen2 names. Nothing here knows ONNX.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from engine.errors import ModelError

Array = npt.NDArray[Any]

ARCHITECTURES = ("LlamaForCausalLM", "Qwen2ForCausalLM")
PACKAGED = Path(__file__).parent / "weights"
# How far weights are from the nearest int8 level, as a share of a level's width, root mean square: 0.29 anywhere, less
# than the first in a copy of int8 weights, and less than the second where training has moved those.
ON_LEVELS, NEAR_LEVELS = 1e-3, 0.25


@dataclass(frozen=True, slots=True)
class Reserved:
    """Vocabulary rows that carry the sequence layout `<suffix> S <prefix> P [<broken> B] <middle> M <end>`."""

    suffix: int
    prefix: int
    middle: int
    mask: int
    end: int
    broken: int


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Shapes of a Llama- or Qwen2-shaped denoiser.

    `context` is how many tokens a window has; `context_trained`, how many it had when the model was adapted. A base
    that knows more `positions` carries longer windows than those.
    """

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    rope_theta: float
    eps: float
    tied: bool
    attention_bias: bool
    context: int = field(compare=False)  # models that are read with other windows have the same shape
    context_trained: int = field(compare=False)
    positions: int = field(compare=False)
    reserved: Reserved

    @classmethod
    def from_json(cls, raw: dict[str, Any], source: Path) -> ModelConfig:
        """Read `config.json`; `ModelError` names what is missing or does not fit."""
        _refuse_other_shapes(raw, source)
        rope = raw.get("rope_parameters") or {}
        try:
            heads = int(raw["num_attention_heads"])
            hidden = int(raw["hidden_size"])
            layout = raw["remask"]
            trained = int(layout.get("context_trained", 448))
            context = int(layout.get("window", trained))
            config = cls(
                hidden=hidden,
                layers=int(raw["num_hidden_layers"]),
                heads=heads,
                kv_heads=int(raw.get("num_key_value_heads", heads)),
                head_dim=int(raw.get("head_dim") or hidden // heads),
                intermediate=int(raw["intermediate_size"]),
                vocab=int(raw["vocab_size"]),
                rope_theta=float(raw.get("rope_theta") or rope.get("rope_theta") or 10000.0),
                eps=float(raw.get("rms_norm_eps", 1e-6)),
                tied=bool(raw.get("tie_word_embeddings", False)),
                attention_bias=bool(raw.get("attention_bias", "Qwen2ForCausalLM" in raw.get("architectures", []))),
                context=context,
                context_trained=trained,
                positions=int(raw.get("max_position_embeddings") or context),
                reserved=Reserved(
                    **{k: int(layout[k]) for k in ("suffix", "prefix", "middle", "mask", "end", "broken")}
                ),
            )
        except KeyError as missing:
            raise ModelError(
                f"{source} has no entry {missing}: this is not a model adapted for Remask (see docs/architecture.md)"
            ) from None
        except (TypeError, ValueError) as wrong:
            raise ModelError(f"{source} has an entry of the wrong type: {wrong}") from None
        if config.heads % config.kv_heads or config.head_dim % 2:
            raise ModelError(f"{source}: {config.heads} heads do not divide into {config.kv_heads} key-value heads")
        if not 0 < context <= config.positions:
            raise ModelError(f"{source}: remask.window is {context} of {config.positions} positions that the model has")
        for name, row in asdict(config.reserved).items():
            if not 0 <= row < config.vocab:
                raise ModelError(f"{source}: remask.{name} is row {row} of a vocabulary of {config.vocab}")
        return config

    def with_window(self, tokens: int) -> ModelConfig:
        """The same model read with windows of another length; `ModelError` when it has no positions for them."""
        if not 0 < tokens <= self.positions:
            raise ModelError(f"a window of {tokens} tokens: the model has {self.positions} positions, ask for fewer")
        return replace(self, context=tokens)


def _refuse_other_shapes(raw: dict[str, Any], source: Path) -> None:
    """Only what the graph computes is accepted: a model that runs wrongly is worse than one that is refused."""
    architectures = raw.get("architectures") or list(ARCHITECTURES)
    if not set(architectures) & set(ARCHITECTURES):
        raise ModelError(f"{source}: {', '.join(architectures)} is not supported: use {' or '.join(ARCHITECTURES)}")
    scaling = raw.get("rope_scaling") or raw.get("rope_parameters") or {}
    kind = scaling.get("rope_type", scaling.get("type", "default")) if isinstance(scaling, dict) else scaling
    if kind != "default":
        raise ModelError(
            f"{source}: rope scaling ({kind}) is not supported. Within {raw.get('max_position_embeddings', 'the')} "
            "trained positions most such models work without it: adapt one with rope_scaling set to null"
        )
    if (act := raw.get("hidden_act", "silu")) != "silu":
        raise ModelError(f"{source}: hidden_act {act!r} is not supported, only silu is")
    if raw.get("use_sliding_window"):
        raise ModelError(f"{source}: sliding-window attention is not supported: set use_sliding_window to false")
    if (method := (raw.get("quantization_config") or {}).get("quant_method")) is not None:
        raise ModelError(f"{source}: weights quantised by {method} are not supported: use the fp32, fp16 or bf16 ones")


class Checkpoint:
    """The tensors and settings of one model folder.

    Raises `ModelError` on construction when a file is missing, cut short or does not fit `config.json`.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = Path(folder) if folder is not None else PACKAGED
        if not self.folder.is_dir():
            raise ModelError(f"no model folder at {self.folder}: give a folder with config.json and safetensors files")
        self.config = ModelConfig.from_json(self._json("config.json"), self.folder / "config.json")
        self.tokenizer_file = self.folder / "tokenizer.json"
        if not self.tokenizer_file.is_file():
            raise ModelError(f"{self.tokenizer_file} is missing: copy the model's tokenizer.json beside its weights")
        self._files: dict[str, Any] = {}
        self._where = {name: shard for shard in self._shards() for name in self._open(shard).keys()}  # noqa: SIM118
        self._check_shapes()

    def _json(self, name: str) -> dict[str, Any]:
        path = self.folder / name
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ModelError(f"{path} is missing: this folder holds no model") from None
        except (OSError, ValueError) as damage:
            raise ModelError(f"{path} cannot be read: {damage}") from None
        if not isinstance(raw, dict):
            raise ModelError(f"{path} does not hold a JSON object")
        return raw

    def _shards(self) -> list[str]:
        if (self.folder / "model.safetensors.index.json").is_file():
            return sorted(set(self._json("model.safetensors.index.json").get("weight_map", {}).values()))
        if (self.folder / "model.safetensors").is_file():
            return ["model.safetensors"]
        raise ModelError(f"no safetensors files in {self.folder}: fetch the model's weights into it")

    def _open(self, shard: str) -> Any:
        if shard not in self._files:
            try:
                self._files[shard] = safe_open(str(self.folder / shard), framework="numpy")
            except FileNotFoundError:
                raise ModelError(f"{self.folder / shard} is missing: install Remask again or fetch the model") from None
            except (SafetensorError, OSError) as damage:
                raise ModelError(
                    f"{self.folder / shard} is damaged ({damage}): install Remask again or fetch the model"
                ) from None
        return self._files[shard]

    def release(self) -> None:
        """Unmap the shards until a tensor is next read: mapped weights count as this process's memory."""
        self._files.clear()

    def _check_shapes(self) -> None:
        for name, shape in self._expected():
            shard = self._where.get(name)
            if shard is None:
                raise ModelError(f"the model in {self.folder} lacks the tensor {name}")
            found = tuple(self._open(shard).get_slice(name).get_shape())
            if found != shape:
                raise ModelError(f"tensor {name} in {self.folder} has shape {found}, config.json asks for {shape}")
        if any("_norm.weight" in name and ".self_attn." in name for name in self._where):
            raise ModelError(f"the model in {self.folder} normalises queries and keys, which is not supported")

    def _expected(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        c = self.config
        q, kv = c.heads * c.head_dim, c.kv_heads * c.head_dim
        yield "model.embed_tokens.weight", (c.vocab, c.hidden)
        yield "model.norm.weight", (c.hidden,)
        if not c.tied:
            yield "lm_head.weight", (c.vocab, c.hidden)
        for i in range(c.layers):
            at = f"model.layers.{i}."
            yield at + "input_layernorm.weight", (c.hidden,)
            yield at + "post_attention_layernorm.weight", (c.hidden,)
            yield at + "self_attn.q_proj.weight", (q, c.hidden)
            yield at + "self_attn.k_proj.weight", (kv, c.hidden)
            yield at + "self_attn.v_proj.weight", (kv, c.hidden)
            yield at + "self_attn.o_proj.weight", (c.hidden, q)
            if c.attention_bias:
                yield at + "self_attn.q_proj.bias", (q,)
                yield at + "self_attn.k_proj.bias", (kv,)
                yield at + "self_attn.v_proj.bias", (kv,)
            yield at + "mlp.gate_proj.weight", (c.intermediate, c.hidden)
            yield at + "mlp.up_proj.weight", (c.intermediate, c.hidden)
            yield at + "mlp.down_proj.weight", (c.hidden, c.intermediate)

    def names(self) -> list[str]:
        """The tensors in this folder."""
        return sorted(self._where)

    def has(self, name: str) -> bool:
        """Whether the folder holds this tensor."""
        return name in self._where

    def raw(self, name: str) -> Array:
        """A tensor as stored; bf16 becomes fp32."""
        try:
            return np.asarray(self._open(self._where[name]).get_tensor(name))
        except (SafetensorError, TypeError, OSError) as damage:
            raise ModelError(f"tensor {name} in {self.folder} cannot be read: {damage}") from None

    def quantised(self, name: str) -> tuple[Array, Array]:
        """A matrix (rows, columns) as int8 and its fp32 scales (rows,); weights of other types are rounded to it."""
        weight = self.raw(name)
        if weight.dtype == np.int8:
            return weight, self.raw(name.removesuffix("weight") + "scale").astype(np.float32)
        return to_int8(weight.astype(np.float32), name)

    def shape(self, name: str) -> tuple[int, ...]:
        """A tensor's shape, without reading it."""
        return tuple(self._open(self._where[name]).get_slice(name).get_shape())

    def stripes(self, name: str, rows: int) -> Iterator[Array]:
        """A matrix as fp32, `rows` rows at a time, each a fresh array: a head as a whole would take 100 MB."""
        weight = self.raw(name)
        scale = self.raw(name.removesuffix("weight") + "scale") if weight.dtype == np.int8 else None
        for at in range(0, len(weight), rows):
            stripe = weight[at : at + rows].astype(np.float32)
            if scale is not None:
                stripe *= scale[at : at + rows, None]
            yield stripe

    def heaviest(self, name: str) -> Array:
        """The largest magnitude in each column of a matrix, (columns,)."""
        return np.maximum.reduce([np.abs(s).max(axis=0) for s in self.stripes(name, 4096)])

    def dense(self, name: str) -> Array:
        """A tensor as fp32."""
        weight = self.raw(name)
        if weight.dtype == np.int8:
            return weight.astype(np.float32) * self.raw(name.removesuffix("weight") + "scale")[:, None]
        return weight.astype(np.float32)

    @cached_property
    def digest(self) -> str:
        """Twelve hex digits that change with any file of the model: of headers, sizes and sampled contents."""
        h = hashlib.sha256()
        for path in [*sorted(self.folder.glob("*.safetensors")), self.folder / "config.json", self.tokenizer_file]:
            size = path.stat().st_size
            h.update(f"{path.name}:{size}".encode())
            with path.open("rb") as f:
                # A page every mebibyte: a new set of weights differs everywhere, and start-up stays short.
                for offset in range(0, size, 1 << 20):
                    f.seek(offset)
                    h.update(f.read(4096))
        return h.hexdigest()[:12]

    @property
    def name(self) -> str:
        """The model's name for people and for caches: folder or packaged name, and digest."""
        stem = "remask-135m" if self.folder == PACKAGED else self.folder.resolve().name
        return f"{stem}@{self.digest}"


def to_int8(weight: Array, name: str) -> tuple[Array, Array]:
    """An fp32 matrix (rows, columns) as int8 and its scales (rows,); `name` seeds what chance decides.

    Training that began with int8 weights moves most of them by a tenth of a level: to the nearest level all would go
    back to where they began, and what was learnt would be lost. So where most weights are that near to a level, each is
    rounded up or down with the chance that keeps it where it is on average (stochastic rounding, Gupta et al. 2015).
    """
    scale = np.maximum(np.abs(weight).max(axis=1) / 127.0, 1e-12).astype(np.float32)
    levels = weight / scale[:, None]
    rounded = np.rint(levels)
    apart = float(np.sqrt(np.mean(np.square(levels - rounded))))
    if ON_LEVELS < apart < NEAR_LEVELS:
        chance = np.random.default_rng(zlib.crc32(name.encode())).random(levels.shape, dtype=np.float32)
        rounded = np.floor(levels + chance)
    return np.clip(rounded, -127, 127).astype(np.int8), scale
