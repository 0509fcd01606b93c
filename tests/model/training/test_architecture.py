"""The torch transformer against the NumPy reference that the runtime graph is held to as well."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.checkpoint import Checkpoint
from tests.engine.reference import NumpyDenoiser

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train


def test_clean_and_noised_rows_agree_with_the_reference_under_one_dense_mask(tiny: Path):
    from engine.model.architecture import from_checkpoint

    checkpoint = Checkpoint(tiny)
    mask = checkpoint.config.reserved.mask
    clean = [8, 500, 600, 9, 700, 800, 10, 900]
    # A block at row 4 (its copy, two masks) and a draft behind row 6 (two masks that see it).
    rows = [*clean, 700, mask, mask, mask, mask]
    positions = [*range(8), 4, 5, 6, 7, 8]
    limits, blocks = [4, 4, 4, 7, 7], [0, 0, 0, 1, 1]
    sees = np.zeros((13, 13), bool)
    sees[:8, :8] = np.tril(np.ones((8, 8), bool))
    for i in range(5):
        sees[8 + i, : limits[i]] = True
        sees[8 + i, 8:] = np.array(blocks) == blocks[i]
    expected = NumpyDenoiser(checkpoint)(rows, positions, sees)
    model = from_checkpoint(checkpoint)
    with torch.no_grad():
        hidden = model(
            torch.tensor([rows]), torch.tensor([positions]), torch.from_numpy(sees[None, 8:]).clone(), clean=8
        )
        got = (hidden @ model.head.T)[0].numpy()
    assert np.abs(got - expected).max() < 1e-3


def test_weights_survive_the_way_into_fused_matrices_and_back(tiny: Path):
    from engine.model.architecture import from_checkpoint, to_tensors

    checkpoint = Checkpoint(tiny)
    back = to_tensors(checkpoint.config, from_checkpoint(checkpoint).state_dict())
    for name, tensor in back.items():
        assert np.array_equal(tensor, checkpoint.dense(name)), name
    assert "model.layers.1.self_attn.k_proj.weight" in back
