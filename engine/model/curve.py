"""The loss curve of a run as PNG, drawn from its `log.jsonl`."""

from __future__ import annotations

import json
from pathlib import Path

SHOWN = ("middle", "end", "repair", "masked middle", "masked repair")


def read(log: Path) -> list[dict[str, object]]:
    """The log's records; a last line that was cut short is left out."""
    records = []
    for line in log.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return records


def draw(log: Path, png: Path, smooth: float = 0.95) -> None:
    """Draw training losses (running means, nats a token) and dev losses (points) over the hours trained."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    records = read(log)
    figure, axes = plt.subplots(figsize=(9, 5.5), dpi=110)
    for i, kind in enumerate(SHOWN):
        for of, style in (("loss", "-"), ("dev", "o")):
            hours, values, mean = [], [], None
            for record in records:
                losses = record.get(of)
                if not isinstance(losses, dict) or losses.get(kind) is None:
                    continue
                value = float(losses[kind])
                mean = value if mean is None or of == "dev" else smooth * mean + (1 - smooth) * value
                hours.append(float(str(record["minutes"])) / 60)
                values.append(mean)
            if values:
                axes.plot(hours, values, style, color=f"C{i}", label=kind if of == "loss" else None, markersize=4)
    axes.set_xlabel("hours")
    axes.set_ylabel("nats a token (points: held-out packages)")
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend()
    figure.tight_layout()
    scratch = png.with_suffix(".part.png")
    figure.savefig(scratch)
    plt.close(figure)
    scratch.replace(png)
