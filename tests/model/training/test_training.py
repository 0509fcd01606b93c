"""The loop: resumable to the step, and nothing lost to interrupts, damage, full disks or a second process."""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from safetensors import SafetensorError

from engine.checkpoint import Checkpoint
from engine.errors import BadRequestError

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch):
    from engine.model import speed, training

    monkeypatch.setattr(speed, "product_rate", lambda *a: 1e11)
    monkeypatch.setattr(training, "DEV_BATCHES", 1)
    monkeypatch.setattr(training, "threads_now", lambda: 1)
    monkeypatch.setattr(training, "WORTH_COMPILING", 1e9)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def arguments(run: Path, corpus: Path, model: Path, **changes: object) -> argparse.Namespace:
    settings = {
        "run": run,
        "corpus": corpus,
        "start": model,
        "minutes": 1000.0,
        "steps": 2,
        "rate": 1e-3,
        "positions": 640,
        "accumulate": 1,
        "device": "cpu",
        "save_every": 1000.0,
        "state_every": None,
        "deadline": None,
        "seed": 0,
        "watch": None,
        "context_learns": None,
    }
    return argparse.Namespace(**(settings | changes))


@pytest.fixture
def train(tmp_path: Path, corpus_folder: Path, tiny: Path):
    from engine.model.training import train_command

    def go(name: str = "run", **changes: object) -> int:
        return train_command(arguments(tmp_path / name, corpus_folder, tiny, **changes))

    return go


def weights(folder: Path) -> dict:
    return torch.load(folder / "state.pt", weights_only=True)["weights"]


def test_a_run_leaves_a_model_that_loads_a_log_and_a_curve(train, tmp_path, tiny):
    assert train() == 0
    before, after = Checkpoint(tiny), Checkpoint(tmp_path / "run" / "model")
    name = "model.layers.0.mlp.down_proj.weight"
    assert (before.dense(name) != after.dense(name)).any()
    assert (after.config.context_trained, after.config.context) == (640, before.config.context)
    records = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [r["step"] for r in records if "loss" in r] == [1, 2]
    assert {"middle", "end", "masked middle"} <= set(records[0]["dev"])
    assert all(0 <= r["waited"] < 1 for r in records if "loss" in r)
    assert (tmp_path / "run" / "curve.png").read_bytes()[:4] == b"\x89PNG"
    assert not (tmp_path / "run" / "pid").exists()


def test_going_on_is_the_same_run_as_never_having_stopped(train, tmp_path):
    train("whole", steps=3)
    train("parts", steps=1)
    train("parts", steps=3)
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    for name, tensor in whole.items():
        assert torch.equal(tensor, parts[name]), name


@pytest.mark.parametrize("context_learns", [True, False])
def test_training_lowers_the_loss(train, tmp_path, context_learns: bool):
    train(steps=40, rate=4e-3, positions=1600, context_learns=context_learns)
    before, after = (record["dev"] for record in records(tmp_path / "run") if "dev" in record)
    learnt = ["middle", "end", "masked middle", "beyond the end", *["context"] * context_learns]
    for kind in learnt:  # of the same held-out tokens both times
        assert after[kind] < before[kind] - 0.8, kind


def test_a_processor_only_reads_the_context_unless_it_is_to_learn(train, tmp_path):
    train("read", steps=1)
    train("learnt", steps=1, context_learns=True)
    train("learnt", steps=2)  # what was asked for holds when the run goes on
    assert ["context" in r["loss"] for r in records(tmp_path / "read") if "loss" in r] == [False]
    assert ["context" in r["loss"] for r in records(tmp_path / "learnt") if "loss" in r] == [True, True]
    assert "context" in records(tmp_path / "read")[0]["dev"], "held-out losses are of all kinds either way"


def test_an_interrupt_ends_with_a_saved_state(train, tmp_path):
    over = threading.Event()

    def interrupt() -> None:
        """Once the run logs: before, nobody has taken the signal over from pytest."""
        while not (tmp_path / "run" / "log.jsonl").exists():
            if over.wait(0.05):
                return
        if not over.is_set():
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        assert train(steps=100_000) == 130
    finally:
        over.set()
        thread.join()
    assert torch.load(tmp_path / "run" / "state.pt", weights_only=True)["step"] >= 0
    assert Checkpoint(tmp_path / "run" / "model")


def test_a_step_in_which_the_run_was_stopped_costs_no_time(train, tmp_path, monkeypatch):
    from engine.model.trainer import Trainer

    finish = Trainer.finish_step

    def rest(trainer: Trainer) -> float:
        stopped = trainer.step == 1
        time.sleep(3 if stopped else 0.1)  # a step at work is told apart from none: the log has thousandths of a minute
        if stopped:
            os.kill(os.getpid(), signal.SIGCONT)
        return finish(trainer)

    monkeypatch.setattr(Trainer, "finish_step", rest)
    train(steps=3)
    minutes = [r["minutes"] for r in records(tmp_path / "run") if "loss" in r]
    assert minutes[1] == minutes[0] < minutes[2]


def test_a_time_budget_ends_the_run(train, tmp_path):
    assert train(steps=None, minutes=0.03) == 0
    assert torch.load(tmp_path / "run" / "state.pt", weights_only=True)["minutes"] >= 0.03


def test_a_damaged_state_falls_back_to_the_one_before(train, tmp_path):
    train(steps=1)
    train(steps=2)
    last = tmp_path / "run" / "state.pt"
    last.write_bytes(last.read_bytes()[:1000])
    assert train(steps=3) == 0
    assert torch.load(last, weights_only=True)["step"] == 3


def test_two_damaged_states_are_named_and_nothing_is_overwritten(train, tmp_path):
    from engine.model.run_folder import RunError

    train(steps=1)
    last = tmp_path / "run" / "state.pt"
    last.write_bytes(b"nonsense")
    with pytest.raises(RunError, match=r"state\.pt is damaged .* --from"):
        train(steps=2)
    assert last.read_bytes() == b"nonsense"


def test_a_run_that_goes_on_from_another_ones_weights_sees_other_samples(train, tmp_path):
    assert train("first") == 0
    assert train("second", start=tmp_path / "first" / "model") == 0
    assert train("third", start=tmp_path / "second" / "model") == 0
    runs = ("first", "second", "third")
    seeds = [torch.load(tmp_path / n / "state.pt", weights_only=True)["recipe"]["seed"] for n in runs]
    assert seeds == [0, 2, 4]


def test_a_disk_that_is_full_when_the_model_is_written_is_not_fatal(train, tmp_path, monkeypatch, capsys):
    from engine.model import run_folder
    from engine.model.run_folder import RunError

    def full(*_: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(run_folder, "save_file", full)
    with pytest.raises(RunError, match="free some space"):
        train()
    assert "No space left" in capsys.readouterr().err
    assert not (tmp_path / "run" / "model.part").exists()


def test_a_full_disk_keeps_the_last_state_and_says_so(train, tmp_path, monkeypatch, capsys):
    from engine.model.run_folder import RunError

    train(steps=1)
    kept = (tmp_path / "run" / "state.pt").read_bytes()

    def full(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(RunError, match="free some space"):
        train(steps=2)
    assert (tmp_path / "run" / "state.pt").read_bytes() == kept
    assert not list((tmp_path / "run").glob("*.part"))
    assert "No space left" in capsys.readouterr().err


def test_two_processes_never_train_in_one_folder(train, tmp_path):
    from engine.model.run_folder import RunError

    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "pid").write_text("1")
    with pytest.raises(RunError, match="process 1 is training"):
        train()


def test_a_process_of_another_user_counts_as_alive_and_one_that_has_ended_does_not(tmp_path, monkeypatch):
    from engine.model.run_folder import RunError, RunFolder

    def refuse(error: type[OSError]) -> None:
        def kill(process: int, number: int) -> None:
            raise error

        monkeypatch.setattr(os, "kill", kill)

    run = RunFolder(tmp_path)
    (tmp_path / "pid").write_text("1")
    refuse(PermissionError)
    with pytest.raises(RunError, match="process 1 is training"):
        run.claim()
    refuse(ProcessLookupError)
    run.claim()
    assert (tmp_path / "pid").read_text() == str(os.getpid())


def test_bad_settings_are_refused_before_anything_is_loaded(train):
    for name, value in {"minutes": 0.0, "rate": -1e-4, "positions": -1, "accumulate": -2, "save_every": 0.0}.items():
        with pytest.raises(BadRequestError, match=f"--{name.replace('_', '-')} is {value}"):
            train(**{name: value})
    if not torch.cuda.is_available():
        with pytest.raises(BadRequestError, match="no CUDA device"):
            train(device="cuda")


def test_the_rate_warms_up_holds_and_falls_with_the_time(tmp_path, tiny):
    from engine.model.recipe import Recipe
    from engine.model.run_folder import RunFolder
    from engine.model.trainer import Trainer

    trainer = Trainer(RunFolder(tmp_path), Checkpoint(tiny), Recipe(rate=1.0, warmup=10), torch.device("cpu"))
    assert trainer.set_rate(0.0) == pytest.approx(0.1)
    trainer.step = 50
    assert trainer.set_rate(0.3) == pytest.approx(1.0)
    assert trainer.set_rate(0.9) < 0.5
    assert trainer.set_rate(1.0) == pytest.approx(0.05)


def test_batches_made_ahead_by_processes_are_the_same_in_the_same_order(corpus_folder, tiny, vocabulary):
    from engine.model import shards
    from engine.model.batches import Batches
    from engine.model.loader import stream
    from engine.model.samples import Sampler

    reserved = Checkpoint(tiny).config.reserved
    batches = Batches(Sampler(shards.read(corpus_folder), vocabulary, reserved, 2), reserved, 640, 2)
    ahead = stream(batches, 5, workers=2)
    for j in range(5, 9):
        made, expected = next(ahead), batches[j]
        assert torch.equal(made.ids, expected.ids)
        assert torch.equal(made.source, expected.source)
        assert (made.edges == expected.edges).all()
        assert torch.equal(made.to(torch.device("cpu")).noised_rows, expected.noised_rows)
    ahead.close()


def records(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_a_gradient_that_is_not_finite_costs_its_step_and_ten_on_end_the_run(train, tmp_path, monkeypatch):
    from engine.model.run_folder import RunError
    from engine.model.trainer import Trainer

    micro = Trainer.micro

    def hurt(bad: set[int]) -> None:
        def spoiled(self, batch, scale):
            found = micro(self, batch, scale)
            if self.step in bad and scale:
                next(self.model.parameters()).grad.fill_(torch.nan)
            return found

        monkeypatch.setattr(Trainer, "micro", spoiled)

    hurt({0})
    assert train("one", steps=1) == 0
    state = torch.load(tmp_path / "one" / "state.pt", weights_only=True)
    assert state["step"] == 1
    assert state["optimiser"]["state"] == {}, "nothing was learnt from it"
    hurt(set(range(1, 50)))
    with pytest.raises(RunError, match="10 gradients on end are not finite"):
        train("many", steps=50)
    assert [r["step"] for r in records(tmp_path / "many") if "loss" in r] == list(range(1, 11))


def test_what_was_learnt_before_a_failure_is_kept(train, tmp_path, monkeypatch):
    from engine.model.trainer import Trainer

    micro = Trainer.micro

    def fail(error: type[Exception]) -> None:
        def failing(self, batch, scale):
            if scale and self.step >= 2:
                raise error("the card is gone")
            return micro(self, batch, scale)

        monkeypatch.setattr(Trainer, "micro", failing)

    for name, error, positions in (("gone", RuntimeError, 640), ("full", torch.OutOfMemoryError, 320)):
        fail(error)
        with pytest.raises(error, match="the card is gone"):
            train(name, steps=5)
        state = torch.load(tmp_path / name / "state.pt", weights_only=True)
        assert state["step"] == 2
        assert state["recipe"]["positions"] == positions
        assert not (tmp_path / name / "pid").exists()


def test_the_model_is_saved_more_often_than_the_state(train, tmp_path, monkeypatch):
    from engine.model import run_folder

    saved = []
    for name in ("save", "save_model"):
        monkeypatch.setattr(run_folder.RunFolder, name, lambda *a, name=name: saved.append(name))
    assert train(steps=4, save_every=1e-9, state_every=1000.0) == 0
    assert saved == ["save_model"] * 4 + ["save", "save_model"]


def test_a_deadline_shortens_a_run_and_with_it_its_schedule(train, tmp_path, monkeypatch):
    from engine.model import training

    assert train(steps=1) == 0
    found: list[float] = []
    monkeypatch.setattr(training, "_loop", lambda args, trainer, *_: found.append(args.minutes - trainer.minutes) or 0)
    for minutes in (1000.0, 5.0):
        assert train(steps=2, minutes=minutes, deadline=time.time() + 600) == 0
    assert 5.0 < found[0] <= 10.0
    assert found[1] <= 5.0


def test_held_out_losses_compile_nothing(tmp_path, tiny, corpus_folder, vocabulary):
    from engine.model.recipe import Recipe
    from engine.model.run_folder import RunFolder
    from engine.model.trainer import Trainer, compilations
    from engine.model.training import dev_batches

    trainer = Trainer(RunFolder(tmp_path), Checkpoint(tiny), Recipe(), torch.device("cpu"), compiled=True)
    before = compilations()
    assert trainer.evaluate(dev_batches(corpus_folder, vocabulary, Checkpoint(tiny)))["middle"] > 0
    assert compilations() == before


def test_micro_batches_shrink_until_a_card_holds_them(checkpoint):
    from engine.model.recipe import Recipe, fit

    found = []
    for gigabytes in (141, 80, 40, 24):
        recipe = Recipe(positions=48_000, accumulate=1)
        fit(recipe, checkpoint.config, gigabytes * 10**9)
        found.append((recipe.positions, recipe.accumulate))
    assert found == [(48_000, 1), (48_000, 1), (24_000, 2), (12_000, 4)]
