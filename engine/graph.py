"""The denoiser as an ONNX graph, built from a checkpoint.

One graph serves prefill, block steps, verification and scoring: every row has its own position, its own cache slot and
its own row of the attention mask, so what a row may see is decided by the host (Block Diffusion, arXiv 2503.09573; Set
Block Decoding, arXiv 2509.04185; TiDAR, arXiv 2511.08923).

The cache has a fixed capacity and is bound once as input *and* output: `ScatterElements` writes the new keys and values
into it in place, and attention runs over the whole capacity, which is a dimension that the host chooses (in steps of
128: the sums of a kernel then split where they always split). Three things follow. Nothing is concatenated or copied
between steps. Query heads that share a key head are stacked as rows instead of repeating the keys. And the sum over
keys has one order whatever was cached before, so a token's output is the same bits cold, warm or prefilled in chunks.

A graph may have several lanes: caches of requests that have nothing to do with each other, of any sizes, whose rows
share every product with the weights and meet only their own keys (as in Orca's selective batching, OSDI 2022).

Inputs (B sequences, T rows, R rows that are read; lane l has T_l of the rows, one behind the other, and C_l slots):
    ids, positions         int64 (B, T)
    lengths                int64 (lanes,), T_l; with more than one lane only, and B is 1 then
    rows                   int64 (R,), indices into B*T of the rows whose prediction is wanted
    slots.{l}              int64 (B, T_l)
    mask.{l}               fp32 (B, T_l, C_l), 0 where a row sees a slot and a large negative number elsewhere
    key.{l}.{i}, value.{l}.{i}  (B, kv_heads, C_l, head_dim) of layer i, updated in place
Outputs:
    top_ids, top_logprobs  (R, TOP) best first; logprobs_base (R,) the log of the softmax's sum
    end_logprobs           (R,) of `<end>`; entropy (R,) nats, in the graph for GPUs only
    logits                 fp32 (R, vocab)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper

from engine.checkpoint import Array, Checkpoint
from engine.products import BLOCK, STRIPE, pack_int4, pack_int8, requantise, zero_point

Precision = Literal["fp32", "fp16", "int8", "int8-blocks", "int4-blocks"]

TOP = 8
MICROSOFT = "com.microsoft"


class GraphBuilder:
    """Collects nodes and weights; `build` gives the model without weights and the weights by name."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        precision: Precision,
        positions: int,
        activations: dict[str, Array] | None = None,
        lanes: int = 1,
    ) -> None:
        """`positions` is how many the rotary tables hold; `activations` the largest input of each product (int8)."""
        self.checkpoint = checkpoint
        self.config = checkpoint.config
        self.precision = precision
        self.positions = positions
        self.activations = activations or {}
        self.lanes = lanes
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

    def linear(
        self, x: str, matrices: list[str], out: str, rows: Array | None = None, spread: Array | None = None
    ) -> str:
        """`x @ concat(matrices).T`, as one product, whose rows are scaled by `rows`.

        `x` comes from a norm when `spread` is there: the divisors of its channels, to be made good by the weights.
        """
        if self.precision == "int8" and spread is not None:
            y = self._rows(x, matrices, out, rows, spread)
        elif self.precision in ("fp32", "fp16"):
            dense = np.concatenate([self.checkpoint.dense(m) for m in matrices])
            if rows is not None:
                dense *= rows[:, None]
            y = self.node("MatMul", [x, self.weight(out + ".weight", dense.T.astype(self.float))], out)
        else:
            y = self._blocks(x, matrices, out, rows)
        biases = [m.removesuffix("weight") + "bias" for m in matrices]
        if all(self.checkpoint.has(b) for b in biases):
            bias = np.concatenate([self.checkpoint.dense(b) for b in biases])
            if rows is not None:
                bias *= rows
            y = self.node("Add", [y, self.weight(out + ".bias", bias.astype(self.float))], out + ".biased")
        return y

    def _rows(self, x: str, matrices: list[str], out: str, rows: Array | None, spread: Array) -> str:
        """Activations and weights int8: x / max|x| of each token, times 127, against weights as `zero_point` says."""
        n = sum(self.checkpoint.shape(m)[0] for m in matrices)
        k = self.checkpoint.shape(matrices[0])[1]

        def stripes() -> Iterator[Array]:
            at = 0
            for matrix in matrices:
                for stripe in self.checkpoint.stripes(matrix, STRIPE):
                    if rows is not None:
                        stripe *= rows[at : at + len(stripe), None]
                    stripe *= spread
                    at += len(stripe)
                    yield stripe

        turned, scales = requantise(stripes(), n, k)
        step, middle = self.constant("step", 1 / 127, np.float32), self.constant("middle.value", 128, np.uint8)
        size = self.node("Abs", [x], out + ".abs")
        largest = self.node("ReduceMax", [size, self.constant("last", [-1])], out + ".largest", keepdims=1)
        unit = self.node("Div", [x, largest], out + ".unit")
        rounded = self.node("QuantizeLinear", [unit, step, middle], out + ".rounded")
        weights = [self.weight(out + ".weight", turned), step, self.weight(out + ".scales", scales)]
        zeros = [middle, self.constant("zero.weight", zero_point(), turned.dtype)]
        whole = self.node("MatMulIntegerToFloat", [rounded, *weights, *zeros], out + ".unit.out", MICROSOFT)
        return self.node("Mul", [whole, largest], out)

    def _blocks(self, x: str, matrices: list[str], out: str, rows: Array | None) -> str:
        """Weights int8 or int4 in blocks of columns, activations int8 in the same blocks."""
        parts = [self.checkpoint.quantised(m) for m in matrices]
        weights, scales = np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
        if rows is not None:
            scales = scales * rows
        n, k = weights.shape
        if self.precision == "int4-blocks":
            packed, block_scales = pack_int4(weights, scales)
        else:
            packed = pack_int8(weights)
            block_scales = np.repeat(scales, packed.shape[1]).reshape(n, -1)
        inputs = [x, self.weight(out + ".packed", packed), self.weight(out + ".scales", block_scales)]
        bits = 4 if self.precision == "int4-blocks" else 8
        how = {"bits": bits, "block_size": BLOCK, "accuracy_level": 4}
        return self.node("MatMulNBits", inputs, out, MICROSOFT, K=k, N=n, **how)

    def spread(self, product: str, matrices: list[str]) -> Array:
        """Divisors of the channels that a norm gives to a product, (columns,)."""
        columns = self.checkpoint.shape(matrices[0])[1]
        if self.precision != "int8" or product not in self.activations:
            return np.ones(columns, dtype=np.float32)
        heaviest = np.maximum.reduce([self.checkpoint.heaviest(m) for m in matrices])
        return smoothing(self.activations[product], heaviest)

    def embed(self) -> str:
        """Rows of the embedding for `ids`: (B, T, hidden)."""
        name = "model.embed_tokens.weight"
        if self.precision in ("fp32", "fp16"):
            return self.node(
                "Gather", [self.weight("embedding", self.checkpoint.dense(name).astype(self.float)), "ids"], "embedded"
            )
        rows, scales = self.checkpoint.quantised(name)
        picked = self.node("Gather", [self.weight("embedding", rows), "ids"], "embedded.rows")
        scale = self.node("Gather", [self.weight("embedding.scale", scales[:, None]), "ids"], "embedded.scale")
        wide = self.node("Cast", [picked], "embedded.wide", to=self.kind)
        return self.node("Mul", [wide, scale], "embedded")

    def norm_weight(self, name: str, spread: Array) -> str:
        """An RMSNorm's weight, with the divisors of the product behind it."""
        return self.weight(name, (self.checkpoint.dense(name) / spread).astype(self.float))

    def shared(self) -> None:
        """What all layers use alike: scatter indices, and the masks for stacked query heads."""
        c = self.config
        self.constant("kv", [c.kv_heads])
        self.constant("dim", [c.head_dim])
        self.constant("group", [c.heads // c.kv_heads])
        self.constant("heads.all", [c.heads])
        zero, one = self.constant("zero", [0]), self.constant("one", [1])
        for lane in range(self.lanes):
            n = f".{lane}"
            self.node("Shape", ["mask" + n], "mask.size" + n)
            self.node("Gather", ["mask.size" + n, zero], "batch" + n, axis=0)
            self.node("Gather", ["mask.size" + n, one], "length" + n, axis=0)
            self.node("Gather", ["mask.size" + n, self.constant("two", [2])], "capacity" + n, axis=0)
            self.node("Concat", ["batch" + n, "kv", "length" + n, "dim"], "written.shape" + n, axis=0)
            self.node("Unsqueeze", ["slots" + n, self.constant("axes13", [1, 3])], "slots.value" + n)
            self.node("Expand", ["slots.value" + n, "written.shape" + n], "written" + n)
            # (B, T, C) -> (B, 1, G*T, C), for the G query heads that are stacked on a key head.
            self.node("Concat", ["batch" + n, "group", "length" + n, "capacity" + n], "mask.shape" + n, axis=0)
            self.node("Unsqueeze", ["mask" + n, "one"], "mask.grouped" + n)
            self.node("Expand", ["mask.grouped" + n, "mask.shape" + n], "mask.stacked" + n)
            rest = self.constant("rest", [-1])
            self.node("Concat", ["batch" + n, "one", rest, "capacity" + n], "mask.rows" + n, axis=0)
            flat = self.node("Reshape", ["mask.stacked" + n, "mask.rows" + n], "mask.flat" + n)
            if self.precision == "fp16":
                self.node("Cast", [flat], "mask.half" + n, to=self.kind)
            self.node("Concat", ["batch" + n, "heads.all", "length" + n, "dim"], "mixed.shape" + n, axis=0)

    def rotary(self) -> None:
        """Cosines and sines for every position (RoFormer, arXiv 2104.09864; rotate-half)."""
        c = self.config
        inverse = 1.0 / (c.rope_theta ** (np.arange(0, c.head_dim, 2, dtype=np.float64) / c.head_dim))
        angles = np.arange(self.positions, dtype=np.float64)[:, None] * inverse[None]
        self.weight("rope.cos", np.cos(angles).astype(self.float))
        self.weight("rope.sin", np.sin(angles).astype(self.float))

    def attention(self, x: str, i: int, spread: Array) -> str:
        """Grouped-query attention of T rows over the whole cache: (B, T, hidden) -> (B, T, hidden)."""
        c, at, n = self.config, f"model.layers.{i}.self_attn.", f"attention.{i}."
        q, kv, both = c.heads * c.head_dim, c.kv_heads * c.head_dim, c.heads + c.kv_heads
        factors = np.ones(q + 2 * kv, dtype=np.float32)
        factors[:q] = float(c.head_dim) ** -0.5
        qkv = self.linear(x, [at + f"{p}_proj.weight" for p in "qkv"], n + "qkv", factors, spread)
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
        values = self.node("Reshape", [n + "v", self.constant("value.heads", [0, 0, c.kv_heads, c.head_dim])], n + "v4")
        self.node("Transpose", [values], n + "v.t", perm=[0, 2, 1, 3])
        parts = [self._by_lane(n + name) for name in ("q", "k", "v.t")]
        mixed = [self._lane(n, i, lane, *part) for lane, part in enumerate(zip(*parts, strict=True))]
        joined = self.node("Concat", mixed, n + "mixed.heads", axis=2) if self.lanes > 1 else mixed[0]
        joined = self.node("Transpose", [joined], n + "mixed.t", perm=[0, 2, 1, 3])
        joined = self.node("Reshape", [joined, self.constant("flat.shape", [0, 0, q])], n + "mixed.flat")
        return self.linear(joined, [at + "o_proj.weight"], n + "out")

    def _by_lane(self, name: str) -> list[str]:
        """The rows (B, heads, T, head_dim) of each lane."""
        if self.lanes == 1:
            return [name]
        parts = [f"{name}.{lane}" for lane in range(self.lanes)]
        self.node("Split", [name, "lengths"], parts, axis=2)
        return parts

    def _lane(self, n: str, i: int, lane: int, queries: str, keys: str, values: str) -> str:
        """Attention of one lane's rows over its own cache: (B, heads, T_l, head_dim)."""
        c, at = self.config, f".{lane}"
        rows = self.node(
            "Reshape", [queries, self.constant("rows.shape", [0, c.kv_heads, -1, c.head_dim])], n + "rows" + at
        )
        cached = [f"{part}.{lane}.{i}" for part in ("key", "value")]
        all_keys = self.node("ScatterElements", [cached[0], "written" + at, keys], cached[0] + ".out", axis=2)
        all_values = self.node("ScatterElements", [cached[1], "written" + at, values], cached[1] + ".out", axis=2)
        scores = self.node("FusedMatMul", [rows, all_keys], n + "scores" + at, MICROSOFT, transB=1)
        mask = ("mask.half" if self.precision == "fp16" else "mask.flat") + at
        scores = self.node("Add", [scores, mask], n + "masked" + at)
        weights = self.node("Softmax", [scores], n + "softmax" + at, axis=-1)
        mixed = self.node("MatMul", [weights, all_values], n + "mixed" + at)
        return self.node("Reshape", [mixed, "mixed.shape" + at], n + "mixed.heads" + at)

    def mlp(self, x: str, i: int, spread: Array) -> str:
        """SwiGLU: (B, T, hidden) -> (B, T, hidden)."""
        at, n = f"model.layers.{i}.mlp.", f"mlp.{i}."
        size = self.config.intermediate
        both = self.linear(x, [at + "gate_proj.weight", at + "up_proj.weight"], n + "both", spread=spread)
        self.node("Split", [both, self.constant("split.mlp", [size, size])], [n + "gate", n + "up"], axis=2)
        gate = self.node("QuickGelu", [n + "gate"], n + "silu", MICROSOFT, alpha=1.0)
        product = self.node("Mul", [gate, n + "up"], n + "product")
        return self.linear(product, [at + "down_proj.weight"], n + "out")

    def head(self, x: str, residual: str) -> None:
        """Final norm and vocabulary head on the wanted rows, and what a sampler reads of them."""
        c = self.config
        name = "model.embed_tokens.weight" if c.tied else "lm_head.weight"
        spread = self.spread("logits", [name])
        hidden = self.node("Add", [x, residual], "hidden")
        flat = self.node("Reshape", [hidden, self.constant("hidden.rows", [-1, c.hidden])], "hidden.flat")
        picked = self.node("Gather", [flat, "rows"], "hidden.picked", axis=0)
        normed = self.node(
            "SimplifiedLayerNormalization",
            [picked, self.norm_weight("model.norm.weight", spread)],
            "hidden.normed",
            axis=-1,
            epsilon=c.eps,
        )
        half = self.precision == "fp16"
        logits = self.linear(normed, [name], "logits.half" if half else "logits", spread=spread)
        if half:
            self.node("Cast", [logits], "logits", to=TensorProto.FLOAT)
        chances = self.node("Softmax", ["logits"], "chances", axis=-1)
        self.node("TopK", ["logits", self.constant("top", [TOP])], ["top_logits", "top_ids"], axis=-1)
        # log Z = best logit - log of its chance, which is never small: no second sum over the vocabulary.
        first = self.constant("first", [0])
        best = self.node("Gather", ["top_logits", first], "best.logit", axis=1)
        best_id = self.node("Gather", ["top_ids", first], "best.id", axis=1)
        chance = self.node("GatherElements", [chances, best_id], "best.chance", axis=1)
        base = self.node("Sub", [best, self.node("Log", [chance], "best.logprob")], "base.column")
        last = self.constant("last", [-1])
        self.node("Squeeze", [base, last], "logprobs_base")
        self.node("Sub", ["top_logits", base], "top_logprobs")
        end = self.constant("end", [c.reserved.end])
        end_logit = self.node("Squeeze", [self.node("Gather", ["logits", end], "end.logit", axis=1), last], "end.flat")
        self.node("Sub", [end_logit, "logprobs_base"], "end_logprobs")
        if not half:  # a processor has the logits at hand: the host computes entropies when a sampler asks for them
            return
        # H = log Z - sum(p * logit): no logarithm of small numbers.
        product = self.node("Mul", [chances, "logits"], "chances.logits")
        mean = self.node("ReduceSum", [product, last], "mean.logit", keepdims=0)
        self.node("Sub", ["logprobs_base", mean], "entropy")

    def build(self) -> tuple[onnx.ModelProto, dict[str, Array]]:
        """The model, whose large initializers are marked external, and those initializers."""
        c = self.config
        self.shared()
        self.rotary()
        residual = self.embed()
        out = None
        for i in range(c.layers):
            at = f"model.layers.{i}."
            spread = self.spread(f"attention.{i}.qkv", [at + f"self_attn.{p}_proj.weight" for p in "qkv"])
            weight = self.norm_weight(at + "input_layernorm.weight", spread)
            residual, normed = self._norm(out, residual, weight, f"norm.{i}")
            out = self.attention(normed, i, spread)
            spread = self.spread(f"mlp.{i}.both", [at + f"mlp.{p}_proj.weight" for p in ("gate", "up")])
            weight = self.norm_weight(at + "post_attention_layernorm.weight", spread)
            residual, normed = self._norm(out, residual, weight, f"post.{i}")
            out = self.mlp(normed, i, spread)
        assert out is not None
        self.head(out, residual)
        return self._model(), self.weights

    def _norm(self, x: str | None, residual: str, weight: str, out: str) -> tuple[str, str]:
        """Add what the last part gave to the residual and normalise, in one node: (sum, normed)."""
        eps = self.config.eps
        if x is None:
            self.node("SimplifiedLayerNormalization", [residual, weight], out, axis=-1, epsilon=eps)
            return residual, out
        outputs = [out, "", "", out + ".sum"]
        self.node("SkipSimplifiedLayerNormalization", [x, residual, weight], outputs, MICROSOFT, epsilon=eps)
        return out + ".sum", out

    def _model(self) -> onnx.ModelProto:
        c = self.config
        info = helper.make_tensor_value_info
        inputs = [info(n, TensorProto.INT64, ["B", "T"]) for n in ("ids", "positions")]
        inputs.append(info("rows", TensorProto.INT64, ["R"]))
        if self.lanes > 1:
            inputs.append(info("lengths", TensorProto.INT64, [self.lanes]))
        for lane in range(self.lanes):
            inputs.append(info(f"slots.{lane}", TensorProto.INT64, ["B", f"T{lane}"]))
            inputs.append(info(f"mask.{lane}", TensorProto.FLOAT, ["B", f"T{lane}", f"C{lane}"]))
        outputs = [
            info("top_ids", TensorProto.INT64, ["R", TOP]),
            info("top_logprobs", TensorProto.FLOAT, ["R", TOP]),
            info("logprobs_base", TensorProto.FLOAT, ["R"]),
            info("end_logprobs", TensorProto.FLOAT, ["R"]),
            info("logits", TensorProto.FLOAT, ["R", c.vocab]),
        ]
        if self.precision == "fp16":
            outputs.append(info("entropy", TensorProto.FLOAT, ["R"]))
        for lane in range(self.lanes):
            shape: list[str | int] = ["B", c.kv_heads, f"C{lane}", c.head_dim]
            for name in cache_names(c.layers, lane):
                inputs.append(info(name, self.kind, shape))
                outputs.append(info(name + ".out", self.kind, shape))
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


def cache_names(layers: int, lane: int = 0) -> list[str]:
    """The inputs that hold a lane's keys and values."""
    return [f"{part}.{lane}.{i}" for i in range(layers) for part in ("key", "value")]


def smoothing(largest: Array, heaviest: Array, alpha: float = 0.5) -> Array:
    """Divisors (n,) for channels with the largest activations `largest` and the heaviest weights `heaviest`.

    SmoothQuant (arXiv 2211.10438), equation 4: `s = max|x|^a / max|W|^(1-a)`, here with a geometric mean of 1.
    """
    s = np.maximum(largest, 1e-5) ** alpha / np.maximum(heaviest, 1e-5) ** (1.0 - alpha)
    return (s / np.exp(np.log(s).mean())).astype(np.float32)


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
