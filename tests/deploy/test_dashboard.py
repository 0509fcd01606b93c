"""The Grafana dashboard shows metrics that the code defines, by labels that they have, and all of them."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
BOARD = json.loads((ROOT / "deploy" / "grafana.json").read_text(encoding="utf-8"))
RAYS_LABELS = {"application", "deployment", "replica", "le"}  # that Serve and Prometheus add
SUFFIXES = {"Counter": ["_total"], "Gauge": [""], "Histogram": ["_bucket", "_sum", "_count"]}


def defined() -> dict[str, set[str]]:
    """Prometheus' names of what engine/cluster/metrics.py defines, with their labels; Ray's prefix is `ray_`."""
    tree = ast.parse((ROOT / "engine" / "cluster" / "metrics.py").read_text(encoding="utf-8"))
    found = {}
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in SUFFIXES:
            labels = {k.arg: ast.literal_eval(k.value) for k in call.keywords if k.arg == "tag_keys"}.get(
                "tag_keys", ()
            )
            for suffix in SUFFIXES[call.func.id]:
                found[f"ray_{ast.literal_eval(call.args[0])}{suffix}"] = set(labels)
    return found


def expressions() -> list[str]:
    def walk(panel: dict[str, Any]) -> list[str]:
        return [target["expr"] for target in panel.get("targets", [])]

    return [expression for panel in BOARD["panels"] for expression in walk(panel)]


def test_every_metric_that_is_shown_is_one_that_the_code_defines_and_every_label_is_its_own():
    known = defined()
    assert len(known) > 10
    for expression in expressions():
        selected = re.findall(r"(ray_\w+)\{([^}]*)\}", expression)
        assert selected, expression
        own: set[str] = set()
        for name, selectors in selected:
            assert name in known, f"{name} of {expression}"
            own |= known[name]
            for label in re.findall(r'(\w+)=~?"', selectors):
                assert label in known[name] | RAYS_LABELS, f"{label} in {expression}"
        for labels in re.findall(r"by \(([^)]*)\)", expression):
            assert set(labels.split(", ")) <= own | RAYS_LABELS, expression


def test_every_metric_that_the_code_defines_is_shown():
    shown = " ".join(expressions())
    missing = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in defined()}
    missing -= set(re.sub(r"_(total|bucket|sum|count)\b", "", name) for name in re.findall(r"ray_\w+", shown))
    assert missing == set()


def test_panels_have_titles_places_of_their_own_and_the_chosen_data_source():
    taken: set[tuple[int, int]] = set()
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
        if panel["type"] != "row":
            assert panel["targets"]
            assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
