"""The denoiser as an ONNX graph, built from a checkpoint.

One graph serves prefill, block steps, verification and scoring: every row has its own position, its own cache slot and
its own row of the attention mask, so what a row may see is decided by the host (Block Diffusion, arXiv 2503.09573; Set
Block Decoding, arXiv 2509.04185; TiDAR, arXiv 2511.08923).

The cache has a fixed capacity and is bound once as input *and* output: `ScatterElements` writes the new keys and values
into it in place, and attention runs over the whole capacity. Three things follow. Nothing is concatenated or copied
between steps. Query heads that share a key head are stacked as rows instead of repeating the keys. And the sum over
keys has one order whatever was cached before, so a token's output is the same bits cold, warm or prefilled in chunks.

Inputs (B sequences, T rows, C slots, R rows with a loss):
    ids, positions, slots  int64 (B, T)
    mask                   fp32 (B, T, C), 0 where a row sees a slot and a large negative number elsewhere
    rows                   int64 (R,), indices into B*T of the rows whose prediction is wanted
    key.{i}                (B, kv_heads, head_dim, C); value.{i} (B, kv_heads, C, head_dim), updated in place
Outputs:
    top_ids, top_logprobs  (R, TOP) best first; entropy (R,) nats; logprobs_base (R,) the log of the softmax's sum
    logits                 fp32 (R, vocab)
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper

from engine.checkpoint import Array, Checkpoint

Precision = Literal["fp32", "fp16", "int8"]

TOP = 8
BLOCK = 64  # columns that share a scale in MatMulNBits
MICROSOFT = "com.microsoft"


class GraphBuilder:
    """Collects nodes and weights; `build` gives the model without weights and the weights by name."""

    def __init__(self, checkpoint: Checkpoint, precision: Precision, capacity: int) -> None:
        self.checkpoint = checkpoint
        self.config = checkpoint.config
        self.precision = precision
        self.capacity = capacity
        self.kind = TensorProto.FLOAT16 if precision == "fp16" else TensorProto.FLOAT
        self.float = np.float16 if precision == "fp16" else np.float32
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, Array] = {}
        self.constants: dict[str, Array] = {}

    def node(self, op: str, inputs: list[str], outputs: str | list[str], domain: str = "", **attributes: Any) -> str:
        """Append a node and give its first output's name."""
        names = [outputs] if isinstance(outputs, str) else outputs
        self.nodes.append(helper.make_node(op, inputs, names, name=names[0], domain=domain, **attributes))
        return names[0]

    def constant(self, name: str, value: Any, dtype: Any = np.int64) -> str:
        """A small initializer, kept inside the model."""
        self.constants.setdefault(name, np.asarray(value, dtype=dtype))
        return name

    def weight(self, name: str, value: Array) -> str:
        """A large initializer, handed to the runtime beside the model."""
        self.weights[name] = np.ascontiguousarray(value)
        return name

    def linear(self, x: str, matrices: list[str], out: str, scale: dict[str, float] | None = None) -> str:
        """`x @ concat(matrices).T`, as one product; `scale` multiplies single matrices."""
        factors = [(scale or {}).get(m, 1.0) for m in matrices]
        if self.precision == "int8":
            parts = [self.checkpoint.quantised(m) for m in matrices]
            rows = np.concatenate([p[0] for p in parts])
            scales = np.concatenate([p[1] * np.float32(f) for p, f in zip(parts, factors, strict=True)])
            n, k = rows.shape
            packed = pack_rows(rows)
            blocks = packed.shape[1]
            y = self.node(
                "MatMulNBits",
                [
                    x,
                    self.weight(out + ".packed", packed),
                    self.weight(out + ".scales", np.repeat(scales, blocks).reshape(n, blocks)),
                ],
                out,
                MICROSOFT,
                K=k,
                N=n,
                bits=8,
                block_size=BLOCK,
                accuracy_level=4,
            )
        else:
            dense = np.concatenate(
                [self.checkpoint.dense(m) * np.float32(f) for m, f in zip(matrices, factors, strict=True)]
            )
            y = self.node("MatMul", [x, self.weight(out + ".weight", dense.T.astype(self.float))], out)
        biases = [m.removesuffix("weight") + "bias" for m in matrices]
        if all(self.checkpoint.has(b) for b in biases):
            bias = np.concatenate(
                [self.checkpoint.dense(b) * np.float32(f) for b, f in zip(biases, factors, strict=True)]
            )
            y = self.node("Add", [y, self.weight(out + ".bias", bias.astype(self.float))], out + ".biased")
        return y

    def embed(self) -> str:
        """Rows of the embedding for `ids`: (B, T, hidden)."""
        name = "model.embed_tokens.weight"
        if self.precision != "int8":
            return self.node(
                "Gather", [self.weight("embedding", self.checkpoint.dense(name).astype(self.float)), "ids"], "embedded"
            )
        rows, scales = self.checkpoint.quantised(name)
        picked = self.node("Gather", [self.weight("embedding", rows), "ids"], "embedded.rows")
        scale = self.node("Gather", [self.weight("embedding.scale", scales[:, None]), "ids"], "embedded.scale")
        wide = self.node("Cast", [picked], "embedded.wide", to=self.kind)
        return self.node("Mul", [wide, scale], "embedded")

    def norm_weight(self, name: str) -> str:
        """An RMSNorm's weight."""
        return self.weight(name, self.checkpoint.dense(name).astype(self.float))

    def shared(self) -> None:
        """What all layers use alike: scatter indices and the mask for stacked query heads."""
        c = self.config
        group = c.heads // c.kv_heads
        self.node("Shape", ["ids"], "shape")
        self.node("Gather", ["shape", self.constant("zero", [0])], "batch", axis=0)
        self.node("Gather", ["shape", self.constant("one", [1])], "length", axis=0)
        self.constant("kv", [c.kv_heads])
        self.constant("dim", [c.head_dim])
        self.node("Concat", ["batch", "kv", "dim", "length"], "key.shape", axis=0)
        self.node("Concat", ["batch", "kv", "length", "dim"], "value.shape", axis=0)
        self.node("Unsqueeze", ["slots", self.constant("axes12", [1, 2])], "slots.key")
        self.node("Unsqueeze", ["slots", self.constant("axes13", [1, 3])], "slots.value")
        self.node("Expand", ["slots.key", "key.shape"], "key.indices")
        self.node("Expand", ["slots.value", "value.shape"], "value.indices")
        self.node("Concat", ["batch", self.constant("group", [group]), "length", "capacity"], "mask.shape", axis=0)
        self.constant("capacity", [self.capacity])
        self.node("Unsqueeze", ["mask", "one"], "mask.grouped")
        self.node("Expand", ["mask.grouped", "mask.shape"], "mask.stacked")
        self.constant("mask.rows", [0, 1, -1, self.capacity])
        flat = self.node("Reshape", ["mask.stacked", "mask.rows"], "mask.flat")
        if self.precision == "fp16":
            flat = self.node("Cast", [flat], "mask.half", to=self.kind)
        self.mask = flat
        # (B, G, T, C) -> (B, 1, G*T, C): copying the batch axis (0) keeps one reshape for any B.

    def rotary(self) -> None:
        """Cosines and sines for every position a cache can hold (RoFormer, arXiv 2104.09864; rotate-half)."""
        c = self.config
        inverse = 1.0 / (c.rope_theta ** (np.arange(0, c.head_dim, 2, dtype=np.float64) / c.head_dim))
        angles = np.arange(self.capacity, dtype=np.float64)[:, None] * inverse[None]
        self.weight("rope.cos", np.cos(angles).astype(self.float))
        self.weight("rope.sin", np.sin(angles).astype(self.float))

    def attention(self, x: str, i: int) -> str:
        """Grouped-query attention of T rows over the whole cache: (B, T, hidden) -> (B, T, hidden)."""
        c, at, n = self.config, f"model.layers.{i}.self_attn.", f"attention.{i}."
        q, kv, both = c.heads * c.head_dim, c.kv_heads * c.head_dim, c.heads + c.kv_heads
        qkv = self.linear(
            x,
            [at + f"{p}_proj.weight" for p in "qkv"],
            n + "qkv",
            {at + "q_proj.weight": float(c.head_dim) ** -0.5},
        )
        self.node("Split", [qkv, self.constant("split.qk_v", [q + kv, kv])], [n + "qk", n + "v"], axis=2)
        turned = self.node(
            "RotaryEmbedding",
            [n + "qk", "positions", "rope.cos", "rope.sin"],
            n + "turned",
            MICROSOFT,
            num_heads=both,
            rotary_embedding_dim=c.head_dim,
            interleaved=0,
        )
        heads = self.node("Reshape", [turned, self.constant("heads.shape", [0, 0, both, c.head_dim])], n + "heads")
        heads = self.node("Transpose", [heads], n + "heads.t", perm=[0, 2, 1, 3])
        self.node("Split", [heads, self.constant("split.q_k", [c.heads, c.kv_heads])], [n + "q", n + "k"], axis=1)
        rows = self.node(
            "Reshape", [n + "q", self.constant("rows.shape", [0, c.kv_heads, -1, c.head_dim])], n + "q.rows"
        )
        keys = self.node("Transpose", [n + "k"], n + "k.t", perm=[0, 1, 3, 2])
        values = self.node("Reshape", [n + "v", self.constant("value.heads", [0, 0, c.kv_heads, c.head_dim])], n + "v4")
        values = self.node("Transpose", [values], n + "v.t", perm=[0, 2, 1, 3])
        all_keys = self.node("ScatterElements", [f"key.{i}", "key.indices", keys], f"key.{i}.out", axis=3)
        all_values = self.node("ScatterElements", [f"value.{i}", "value.indices", values], f"value.{i}.out", axis=2)
        scores = self.node("MatMul", [rows, all_keys], n + "scores")
        scores = self.node("Add", [scores, self.mask], n + "masked")
        weights = self.node("Softmax", [scores], n + "softmax", axis=-1)
        mixed = self.node("MatMul", [weights, all_values], n + "mixed")
        mixed = self.node("Reshape", [mixed, "mixed.shape"], n + "mixed.heads")
        mixed = self.node("Transpose", [mixed], n + "mixed.t", perm=[0, 2, 1, 3])
        mixed = self.node("Reshape", [mixed, self.constant("flat.shape", [0, 0, q])], n + "mixed.flat")
        return self.linear(mixed, [at + "o_proj.weight"], n + "out")

    def mlp(self, x: str, i: int) -> str:
        """SwiGLU: (B, T, hidden) -> (B, T, hidden)."""
        at, n = f"model.layers.{i}.mlp.", f"mlp.{i}."
        both = self.linear(x, [at + "gate_proj.weight", at + "up_proj.weight"], n + "both")
        size = self.config.intermediate
        self.node("Split", [both, self.constant("split.mlp", [size, size])], [n + "gate", n + "up"], axis=2)
        gate = self.node("QuickGelu", [n + "gate"], n + "silu", MICROSOFT, alpha=1.0)
        return self.linear(self.node("Mul", [gate, n + "up"], n + "product"), [at + "down_proj.weight"], n + "out")

    def head(self, x: str, residual: str) -> None:
        """Final norm and vocabulary head on the wanted rows, and what a sampler reads of them."""
        c = self.config
        hidden = self.node("Add", [x, residual], "hidden")
        flat = self.node("Reshape", [hidden, self.constant("hidden.rows", [-1, c.hidden])], "hidden.flat")
        picked = self.node("Gather", [flat, "rows"], "hidden.picked", axis=0)
        normed = self.node(
            "SimplifiedLayerNormalization",
            [picked, self.norm_weight("model.norm.weight")],
            "hidden.normed",
            axis=-1,
            epsilon=c.eps,
        )
        name = "model.embed_tokens.weight" if c.tied else "lm_head.weight"
        logits = self.linear(normed, [name], "logits" if self.precision != "fp16" else "logits.half")
        if self.precision == "fp16":
            self.node("Cast", [logits], "logits", to=TensorProto.FLOAT)
        last = self.constant("last", [-1])
        base = self.node("ReduceLogSumExp", ["logits", last], "logprobs_base", keepdims=0)
        self.node("TopK", ["logits", self.constant("top", [TOP])], ["top_logits", "top_ids"], axis=-1)
        column = self.node("Unsqueeze", [base, last], "base.column")
        self.node("Sub", ["top_logits", column], "top_logprobs")
        # H = log Z - sum(p * logit): one softmax, no logarithm of small numbers.
        chances = self.node("Softmax", ["logits"], "chances", axis=-1)
        product = self.node("Mul", [chances, "logits"], "chances.logits")
        mean = self.node("ReduceSum", [product, last], "mean.logit", keepdims=0)
        self.node("Sub", [base, mean], "entropy")

    def build(self) -> tuple[onnx.ModelProto, dict[str, Array]]:
        """The model, whose large initializers are marked external, and those initializers."""
        c = self.config
        self.constant("part.heads", [c.heads])
        self.shared()
        self.rotary()
        self.node("Concat", ["batch", "part.heads", "length", "dim"], "mixed.shape", axis=0)
        residual = self.embed()
        normed = self.node(
            "SimplifiedLayerNormalization",
            [residual, self.norm_weight("model.layers.0.input_layernorm.weight")],
            "norm.0",
            axis=-1,
            epsilon=c.eps,
        )
        for i in range(c.layers):
            out = self.attention(normed, i)
            residual, normed = self._join(
                out, residual, f"model.layers.{i}.post_attention_layernorm.weight", f"post.{i}"
            )
            out = self.mlp(normed, i)
            if i + 1 < c.layers:
                residual, normed = self._join(
                    out, residual, f"model.layers.{i + 1}.input_layernorm.weight", f"norm.{i + 1}"
                )
        self.head(out, residual)
        return self._model(), self.weights

    def _join(self, x: str, residual: str, weight: str, out: str) -> tuple[str, str]:
        """Add the residual and normalise, in one node: (sum, normed)."""
        self.node(
            "SkipSimplifiedLayerNormalization",
            [x, residual, self.norm_weight(weight)],
            [out, "", "", out + ".sum"],
            MICROSOFT,
            epsilon=self.config.eps,
        )
        return out + ".sum", out

    def _model(self) -> onnx.ModelProto:
        c = self.config
        info = helper.make_tensor_value_info
        key: list[str | int] = ["B", c.kv_heads, c.head_dim, self.capacity]
        value: list[str | int] = ["B", c.kv_heads, self.capacity, c.head_dim]
        inputs = [info(n, TensorProto.INT64, ["B", "T"]) for n in ("ids", "positions", "slots")]
        inputs += [
            info("mask", TensorProto.FLOAT, ["B", "T", self.capacity]),
            info("rows", TensorProto.INT64, ["R"]),
        ]
        outputs = [
            info("top_ids", TensorProto.INT64, ["R", TOP]),
            info("top_logprobs", TensorProto.FLOAT, ["R", TOP]),
            info("entropy", TensorProto.FLOAT, ["R"]),
            info("logprobs_base", TensorProto.FLOAT, ["R"]),
            info("logits", TensorProto.FLOAT, ["R", c.vocab]),
        ]
        for i in range(c.layers):
            inputs += [info(f"key.{i}", self.kind, key), info(f"value.{i}", self.kind, value)]
            outputs += [info(f"key.{i}.out", self.kind, key), info(f"value.{i}.out", self.kind, value)]
        graph = helper.make_graph(
            self.nodes, "remask", inputs, outputs, [_inline(n, v) for n, v in self.constants.items()]
        )
        graph.initializer.extend(_external(n, v) for n, v in self.weights.items())
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid(MICROSOFT, 1)],
            ir_version=10,
            producer_name="remask",
        )


def pack_rows(rows: Array) -> Array:
    """int8 (n, k) as MatMulNBits' uint8 (n, blocks, BLOCK), zero point 128; k is padded with zeros to whole blocks."""
    n, k = rows.shape
    blocks = -(-k // BLOCK)
    packed = np.full((n, blocks * BLOCK), 128, dtype=np.uint8)
    np.add(rows.view(np.uint8), np.uint8(128), out=packed[:, :k])  # wraps: int8 v is stored as v + 128
    return packed.reshape(n, blocks, BLOCK)


def _inline(name: str, value: Array) -> onnx.TensorProto:
    return helper.make_tensor(
        name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape, value.tobytes(), raw=True
    )


def _external(name: str, value: Array) -> onnx.TensorProto:
    tensor = onnx.TensorProto(
        name=name, data_type=helper.np_dtype_to_tensor_dtype(value.dtype), data_location=TensorProto.EXTERNAL
    )
    tensor.dims.extend(value.shape)
    tensor.external_data.add(key="location", value="remask")  # never opened: the runtime is handed the arrays
    tensor.external_data.add(key="offset", value="0")
    tensor.external_data.add(key="length", value=str(value.nbytes))
    return tensor
