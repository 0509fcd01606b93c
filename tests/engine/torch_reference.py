"""`python -m tests.engine.torch_reference`, after new weights: what torch says of them, for the tests.

The token ids in `tests/data/reference.npz` stay: a context, and a block of its last token and masks behind it.
"""

from __future__ import annotations

import numpy as np
import torch

from engine.checkpoint import Checkpoint
from engine.model.architecture import from_checkpoint
from tests.conftest import ROOT

FILE = ROOT / "tests" / "data" / "reference.npz"


def main() -> None:
    """Write the file anew."""
    known = np.load(FILE)
    context, block = known["context_ids"].tolist(), known["block_ids"].tolist()
    n, k = len(context), len(block)
    model = from_checkpoint(Checkpoint(None))
    ids, positions = torch.tensor([context + block]), torch.arange(n + k)[None]
    with torch.no_grad():
        hidden = model(ids, positions, torch.ones(1, k, n + k, dtype=torch.bool), n)
        logits = (hidden[0] @ model.head.T).numpy()
    np.savez_compressed(
        FILE,
        context_ids=known["context_ids"],
        block_ids=known["block_ids"],
        context_last_logits=logits[n - 1],
        block_logits=logits[n:],
    )


if __name__ == "__main__":
    main()
