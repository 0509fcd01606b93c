"""The README.md of an exported model folder: what it is, where it comes from, what it costs to round it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.checkpoint import Checkpoint


def model_card(source: Checkpoint, exported: Checkpoint, run: Path, figures: Sequence[Mapping[str, Any]]) -> str:
    """Markdown with the front matter that model hubs read."""
    c = exported.config
    parameters = sum(_count(exported, name) for name in exported.names() if not name.endswith(".scale"))
    lines = [
        "---",
        "license: apache-2.0",
        "base_model: HuggingFaceTB/SmolLM2-135M",
        "pipeline_tag: text-generation",
        "tags: [code, fill-in-the-middle, block-diffusion]",
        "---",
        "",
        f"# {exported.name}",
        "",
        "A block-diffusion denoiser for code, adapted from SmolLM2-135M (Apache-2.0, Hugging Face) to fill in the "
        "middle and to repair. It runs in Remask: `remask complete FILE --line L --column C --model FOLDER`.",
        "",
        f"- {parameters / 1e6:.1f} M parameters: {c.layers} layers, width {c.hidden}, {c.heads} heads, {c.kv_heads} "
        f"key-value heads, vocabulary {c.vocab:,}.",
        "- Matrices are int8 with one fp32 scale a row (`weight = int8 × scale`), norms are fp32.",
        "- Sequence: `<suffix> S <prefix> P [<broken> B] <middle> M <end>`; the ids of these rows are in `config.json` "
        f"under `remask`; trained on contexts of {c.context_trained} tokens, read with windows of {c.context}.",
        "- Trained on permissively licensed packages: those that `remask model train` read are named with their "
        "licences in the project's corpus manifest; docs/model.md says what is known of the weights it began with.",
        "",
    ]
    lines += _training(exported, run)
    if figures:
        heads = list(figures[0])
        lines += ["## What rounding costs (nats a token, held-out middles)", ""]
        lines += ["| " + " | ".join(h.replace("_", " ") for h in heads) + " |", "|" + "---|" * len(heads)]
        lines += ["| " + " | ".join(str(figure[h]) for h in heads) + " |" for figure in figures]
        lines += [""]
    lines += [f"Exported from `{source.name}` by `remask model export`; measured by `remask model eval`.", ""]
    return "\n".join(lines)


def recipe_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """What `config.json` says of the training that led to a model; empty where it says nothing."""
    raw = json.loads((checkpoint.folder / "config.json").read_text(encoding="utf-8"))
    return dict(raw.get("remask", {}).get("training", {}))


def _training(exported: Checkpoint, run: Path) -> list[str]:
    """The recipe that the weights carry, and the last line of the run's log where there is one."""
    lines: list[str] = []
    if recipe := recipe_of(exported):
        lines += ["## Training", "", "```json", json.dumps(recipe, indent=1), "```", ""]
    log = run / "log.jsonl"
    if log.is_file() and (entries := log.read_text(encoding="utf-8").strip().splitlines()):
        lines += ["The run's last log entry:", "", "```json", entries[-1], "```", ""]
    return lines


def _count(checkpoint: Checkpoint, name: str) -> int:
    return int(checkpoint.raw(name).size)
