"""deploy/: every file against its schema, and against each other and the code. Nothing here needs Ray or a cluster."""

from __future__ import annotations

import copy
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from engine.cluster import local
from engine.cluster.options import ClusterOptions
from engine.errors import BadRequestError

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
DEPLOY = ROOT / "deploy"


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def service() -> dict[str, Any]:
    (found,) = documents("rayservice.yaml")
    return found


@pytest.fixture(scope="module")
def serve() -> dict[str, Any]:
    (found,) = documents("serve.yaml")
    return found


def pods(service: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = service["spec"]["rayClusterConfig"]
    return [cluster["headGroupSpec"]["template"], *(group["template"] for group in cluster["workerGroupSpecs"])]


def check(document: dict[str, Any]) -> None:
    """By Kubernetes' own schemas; an unknown field is an error."""
    kubernetes_validate.validate(document, "1.33", strict=True)


def as_pod(template: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod"} | template


def test_the_rayservice_is_one(service):
    schema = json.loads((HERE / "rayservice.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(service, schema)
    for template in pods(service):
        check(as_pod(template))


def test_the_schemas_notice_a_misspelt_field(service):
    schema = json.loads((HERE / "rayservice.schema.json").read_text(encoding="utf-8"))
    wrong = copy.deepcopy(service)
    wrong["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["minReplica"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, schema)
    pod = as_pod(copy.deepcopy(pods(service)[0]))
    pod["spec"]["containers"][0]["volumeMount"] = []
    with pytest.raises(kubernetes_validate.ValidationError):
        check(pod)


def test_the_network_is_made_of_kubernetes_objects(service):
    entry, policy = documents("network.yaml")
    check(entry)
    check(policy)
    backend = entry["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    assert backend["name"] == service["metadata"]["name"] + "-serve-svc"
    labels = policy["spec"]["podSelector"]["matchLabels"]
    for template in pods(service):
        assert labels.items() <= template["metadata"]["labels"].items(), "the policy covers every pod"


def test_prometheus_finds_every_pod_by_its_label_and_port(service):
    (scrape,) = documents("prometheus.yaml")
    wanted = [rule["regex"] for rule in scrape["scrape_configs"][0]["relabel_configs"]]
    for template in pods(service):
        assert template["metadata"]["labels"]["app"] == wanted[0]
        assert wanted[1] in [port["name"] for port in template["spec"]["containers"][0]["ports"]]


def test_both_ways_to_deploy_serve_the_same(service, serve):
    assert yaml.safe_load(service["spec"]["serveConfigV2"]) == serve


def test_the_arguments_are_those_that_the_engine_takes(serve):
    (application,) = serve["applications"]
    module, name = application["import_path"].split(":")
    source = (ROOT / module.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8")
    assert f"def {name}(args" in source
    options = ClusterOptions.from_args(application["args"])
    assert options.max_replicas > options.replicas, "it scales"
    with pytest.raises(BadRequestError, match="unknown option 'replica'"):
        ClusterOptions.from_args(application["args"] | {"replica": 2})


def test_a_worker_has_room_for_the_replicas_that_share_its_gpu(service, serve):
    options = ClusterOptions.from_args(serve["applications"][0]["args"])
    (group,) = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    requests = group["template"]["spec"]["containers"][0]["resources"]["requests"]
    on_one = requests["nvidia.com/gpu"] / options.gpus_per_replica
    assert float(requests["cpu"]) > on_one * options.cpus_per_replica, "and for the ingress"
    assert group["maxReplicas"] * on_one >= options.max_replicas
    assert group["minReplicas"] * on_one >= options.replicas


def test_every_pod_has_the_file_of_tokens_where_the_ingress_looks(service, serve):
    folder = str(Path(serve["applications"][0]["args"]["tokens"]).parent)
    for template in pods(service):
        (container,) = template["spec"]["containers"]
        assert [m["mountPath"] for m in container["volumeMounts"] if m.get("readOnly")] == [folder]


def test_every_pod_has_the_environment_that_remask_serve_gives_ray(service, monkeypatch):
    monkeypatch.setattr(local.os, "environ", wanted := {})
    local.environment()
    for template in pods(service):
        (container,) = template["spec"]["containers"]
        assert wanted.items() <= {entry["name"]: entry["value"] for entry in container["env"]}.items()
    assert wanted


def test_image_manifest_and_package_agree_on_rays_version(service):
    image = re.search(r"ARG RAY=([\d.]+)", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"))
    assert image
    assert service["spec"]["rayClusterConfig"]["rayVersion"] == image[1]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (wanted,) = project["optional-dependencies"]["cluster"]
    least = re.search(r">=([\d.]+)", wanted)
    assert least
    assert tuple(map(int, image[1].split("."))) >= tuple(map(int, least[1].split(".")))
    images = {template["spec"]["containers"][0]["image"] for template in pods(service)}
    assert {image.rpartition(":")[2] for image in images} == {project["version"]}
