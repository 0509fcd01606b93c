"""Micro-batches in their order, made ahead by processes of their own where a GPU would otherwise wait for them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import torch

from engine.model.batches import Batch, Batches
from engine.model.processes import cores

AHEAD = 4  # batches a process
MOST = 16  # processes: more than a GPU can use up


def workers(device: torch.device) -> int:
    """Processes that make batches: all cores but two for a GPU; none where the cores train."""
    if device.type != "cuda":
        return 0
    return min(max(cores() - 2, 0), MOST)


def stream(batches: Batches, start: int, workers: int, pin: bool = False) -> Iterator[Batch]:
    """Micro-batches from number `start` on, made ahead by `workers` processes (0: here), for a GPU in pinned memory."""
    if not workers:
        j = start
        while True:
            yield batches[j]
            j += 1
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    loader: Iterable[Batch] = torch.utils.data.DataLoader(
        batches,  # type: ignore[arg-type]
        batch_size=None,
        sampler=range(start, start + 10_000_000),
        num_workers=workers,
        prefetch_factor=AHEAD,
        pin_memory=pin,
    )
    yield from loader
