"""The chunked loss with its own gradient against the plain formula and torch's autograd."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.checkpoint import Checkpoint
from engine.vocabulary import Vocabulary

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train


@pytest.fixture
def batch(tiny: Path, corpus_folder: Path, vocabulary: Vocabulary):
    from engine.model import shards
    from engine.model.batches import Batches
    from engine.model.samples import Sampler

    reserved = Checkpoint(tiny).config.reserved
    return Batches(Sampler(shards.read(corpus_folder), vocabulary, reserved, 3), reserved, 320, 3)[0]


@pytest.fixture
def read_only(tiny: Path, corpus_folder: Path, vocabulary: Vocabulary):
    """A batch whose context is only read: several samples, middles and repairs of several lengths."""
    from engine.model import shards
    from engine.model.batches import Batches
    from engine.model.samples import Sampler

    reserved = Checkpoint(tiny).config.reserved
    made = Batches(
        Sampler(shards.read(corpus_folder), vocabulary, reserved, 3), reserved, 1400, 3, context_learns=False
    )
    batch = made[1]
    assert len(batch.ids) > 2
    assert len({int(start) for start, _, _ in batch.learns}) > 1
    return batch


def plain_loss(model, batch, soft: float, scale: float):
    """The formula of the docstring, all logits at once."""
    hidden = model(batch.ids, batch.positions, batch.sees(), batch.clean)
    width = hidden.shape[-1]
    clean = hidden[:, : batch.clean].reshape(-1, width)[batch.clean_rows] @ model.head.T
    noised = hidden[:, batch.clean :].reshape(-1, width)[batch.noised_rows] @ model.head.T
    first = torch.nn.functional.cross_entropy(clean, batch.clean_targets, reduction="none")
    own = torch.nn.functional.one_hot(batch.noised_targets, clean.shape[1]).float()
    teacher = clean.detach().softmax(-1)[batch.source]
    known = (batch.source >= 0).float()[:, None] * soft
    second = -((own * (1 - known) + teacher * known) * noised.log_softmax(-1)).sum(-1)
    return scale * ((first * batch.clean_weights).sum() + (second * batch.noised_weights).sum()), first


@pytest.mark.parametrize("soft", [0.0, 0.4])
@pytest.mark.parametrize("chunk", [33, 4096])
def test_gradients_equal_those_of_the_plain_formula(tiny: Path, batch, soft: float, chunk: int):
    from engine.model.architecture import from_checkpoint
    from engine.model.objective import losses

    expected = from_checkpoint(Checkpoint(tiny))
    plain_loss(expected, batch, soft, 0.01)[0].backward()
    got = from_checkpoint(Checkpoint(tiny))
    losses(got, batch, 0.01, soft, chunk).total.backward()
    for (name, a), (_, b) in zip(expected.named_parameters(), got.named_parameters(), strict=True):
        assert torch.allclose(a.grad, b.grad, atol=2e-6, rtol=2e-3), name


def test_the_reported_nats_are_those_of_the_true_tokens(tiny: Path, batch):
    from engine.model.architecture import from_checkpoint
    from engine.model.objective import losses
    from engine.model.totals import Totals

    model = from_checkpoint(Checkpoint(tiny))
    found = Totals.read(losses(model, batch, 0.01, 0.4).by_kind)
    with torch.no_grad():
        _, first = plain_loss(model, batch, 0.4, 0.01)
    assert sum(found.sums[k] for k in ("context", "middle", "end", "repair")) == pytest.approx(
        float(first.sum()), rel=1e-4
    )
    counts = {kind: n for kind, n in found.counts.items() if kind != "going on"}
    assert sum(counts.values()) == len(batch.clean_rows) + len(batch.noised_rows)


def test_what_goes_on_is_weighed_among_the_tokens_that_do_not_end_the_middle(tiny: Path, batch):
    from engine.model.architecture import from_checkpoint
    from engine.model.batches import CLEAN_KINDS
    from engine.model.objective import losses
    from engine.model.totals import Totals

    model = from_checkpoint(Checkpoint(tiny))
    found = Totals.read(losses(model, batch, 0.01, 0.4).by_kind)
    middle = batch.clean_kinds == CLEAN_KINDS.index("middle")
    with torch.no_grad():
        hidden = model(batch.ids, batch.positions, batch.sees(), batch.clean)
        rows = hidden[:, : batch.clean].reshape(-1, hidden.shape[-1])[batch.clean_rows[middle]]
        logits = rows @ model.head.T
        logits[:, batch.end] = -torch.inf
        nats = torch.nn.functional.cross_entropy(logits, batch.clean_targets[middle], reduction="sum")
    assert found.counts["going on"] == int(middle.sum()) > 0
    assert found.sums["going on"] == pytest.approx(float(nats), rel=1e-4)
    assert found.sums["going on"] <= found.sums["middle"]


def test_rows_behind_a_context_that_is_only_read_learn_what_all_rows_at_once_would_teach_them(
    tiny: Path, read_only, monkeypatch: pytest.MonkeyPatch
):
    from engine.model import architecture
    from engine.model.attention import attend
    from engine.model.objective import losses

    batch = read_only
    starts = batch.learns[:, 0]
    context = torch.arange(batch.ids.shape[1]) < starts[:, None]
    assert not batch.clean_kinds.eq(0).any(), "context has no loss"

    def detached(q, k, v, what):
        hide = context[:, None, :, None]
        return attend(q, torch.where(hide, k.detach(), k), torch.where(hide, v.detach(), v), what)

    monkeypatch.setattr(architecture, "attend", detached)
    expected = architecture.from_checkpoint(Checkpoint(tiny))
    value, _ = plain_loss(expected, batch, 0.4, 0.01)
    value.backward()
    got = architecture.from_checkpoint(Checkpoint(tiny))
    found = losses(got, batch, 0.01, 0.4)
    found.total.backward()
    assert int(found.by_kind[1, :4].sum()) == len(batch.clean_rows)
    for (name, a), (_, b) in zip(expected.named_parameters(), got.named_parameters(), strict=True):
        assert a.grad.abs().sum() > 0, name
        assert torch.allclose(a.grad, b.grad, atol=2e-6, rtol=2e-3), name


def test_the_same_middles_take_half_the_work_where_the_context_is_only_read(checkpoint: Checkpoint, read_only):
    from dataclasses import replace

    from engine.model.speed import operations

    whole = replace(read_only, learns=None)
    assert 0.4 < operations(checkpoint.config, read_only) / operations(checkpoint.config, whole) < 0.7
