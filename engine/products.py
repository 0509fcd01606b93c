"""Products with a weight matrix, one way for each precision.

Weights are int8 with a scale a row. Two ways to multiply with them, both bit-identical whatever shares the pass,
because a token's activations are rounded by themselves. Whole rows (`MatMulIntegerToFloat`): one scale a token, exact
sums in int32, VNNI where the processor has it; twice as fast from four rows on. Blocks (`MatMulNBits`, accuracy level
4): a scale for every 64 columns of a token, which heavy-tailed activations need. `int8` takes whole rows behind a norm,
which keeps activations even, and blocks elsewhere; `int8-blocks` takes blocks everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from engine.checkpoint import Array

BLOCK = 64  # columns that share a scale in MatMulNBits
STRIPE = 4096  # rows that are requantised at a time: a head of 49,152 rows never exists as fp32


@cache
def zero_point() -> Array:
    """The zero of weights on this processor: int8 where its kernel is exact, else uint8.

    Without VNNI, x86 adds two products of uint8 and int8 in 16 bits, which saturate; two of uint8 it adds in 32. With
    VNNI both are exact and int8 is twice as fast. One product at the limit tells.
    """
    x, w = np.full((4, 64), 255, np.uint8), np.full((64, 16), 127, np.int8)
    inputs = [helper.make_tensor_value_info("x", TensorProto.UINT8, x.shape)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.INT32, (4, 16))]
    node = helper.make_node("MatMulInteger", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "probe", inputs, outputs, [numpy_helper.from_array(w, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    exact = bool((session.run(None, {"x": x})[0] == 255 * 127 * 64).all())
    return np.asarray(0, np.int8) if exact else np.asarray(128, np.uint8)


def requantise(stripes: Iterator[Array], rows: int, columns: int) -> tuple[Array, Array]:
    """fp32 stripes of a matrix as 8-bit (columns, rows) around `zero_point`, and the fp32 scale of each of its rows."""
    zero = zero_point()
    turned = np.empty((columns, rows), dtype=zero.dtype)
    scales = np.empty(rows, dtype=np.float32)
    at = 0
    for stripe in stripes:
        n = len(stripe)
        scale = np.maximum(np.maximum(stripe.max(axis=1), -stripe.min(axis=1)) / np.float32(127.0), np.float32(1e-12))
        stripe *= (np.float32(1.0) / scale)[:, None]
        turned[:, at : at + n] = (np.rint(stripe, out=stripe) + np.float32(zero)).astype(zero.dtype).T
        scales[at : at + n] = scale
        at += n
    return turned, scales


def pack_int8(rows: Array) -> Array:
    """int8 (n, k) as MatMulNBits' uint8 (n, blocks, BLOCK), zero point 128; k is padded with zeros to whole blocks."""
    n, k = rows.shape
    blocks = -(-k // BLOCK)
    packed = np.full((n, blocks * BLOCK), 128, dtype=np.uint8)
    np.add(rows.view(np.uint8), np.uint8(128), out=packed[:, :k])  # wraps: int8 v is stored as v + 128
    return packed.reshape(n, blocks, BLOCK)


def pack_int4(rows: Array, scales: Array) -> tuple[Array, Array]:
    """int8 (n, k) as four bits: MatMulNBits' uint8 (n, blocks, BLOCK / 2), zero point 8, and (n, blocks) scales.

    Round to nearest with the scale of each block's largest weight: nothing is fitted, and it shows in the evaluation.
    """
    n, k = rows.shape
    blocks = -(-k // BLOCK)
    padded = np.zeros((n, blocks * BLOCK), dtype=np.float32)
    padded[:, :k] = rows
    grouped = padded.reshape(n, blocks, BLOCK)
    scale = np.maximum(np.abs(grouped).max(axis=2) / np.float32(7.0), np.float32(1e-6))
    nibbles = (np.clip(np.rint(grouped / scale[:, :, None]), -8, 7) + 8).astype(np.uint8)
    packed = nibbles[:, :, 0::2] | (nibbles[:, :, 1::2] << 4)
    return packed, scale * scales[:, None].astype(np.float32)
