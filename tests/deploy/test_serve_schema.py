"""deploy/serve.yaml by Ray Serve's own schema."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.cluster

FILE = Path(__file__).parent.parent.parent / "deploy" / "serve.yaml"


def test_ray_serve_takes_the_file_and_would_not_take_any():
    from pydantic import ValidationError
    from ray.serve.schema import ServeDeploySchema

    raw = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    parsed = ServeDeploySchema.model_validate(raw)
    assert [application.name for application in parsed.applications] == ["remask"]
    assert parsed.http_options.port == raw["http_options"]["port"]
    raw["proxy_location"] = "Everywhere"
    with pytest.raises(ValidationError):
        ServeDeploySchema.model_validate(raw)


def test_the_import_path_gives_an_application(tmp_path):
    from ray.serve import Application

    from engine.cluster.app import build

    raw = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    assert isinstance(build(raw["applications"][0]["args"]), Application)
