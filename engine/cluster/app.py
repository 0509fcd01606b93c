"""The application that Serve runs: an ingress and its replicas. `import_path: engine.cluster.app:build` in YAML."""

from __future__ import annotations

from typing import Any

from ray import serve
from ray.serve import Application
from ray.serve.config import RequestRouterConfig

from engine.cluster.ingress import Ingress
from engine.cluster.options import ClusterOptions
from engine.cluster.replica import EngineReplica
from engine.cluster.wire import MAX_BYTES

NAME = "remask"
ROUTER = "engine.cluster.router.PrefixRouter"
DRAIN_SECONDS = 20.0  # what runs when a replica is to go is finished
SESSIONS = 100_000  # the ingress counts its own connections
# Next to nothing, but not nothing: Ray places what asks for nothing on any node, and all ingresses on one as well.
INGRESS_CPUS = 0.01
# Serve reads this where it makes a gRPC server or channel; its default of 4 MB is less than a file may have.
ENVIRONMENT = {"env_vars": {"RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(2 * MAX_BYTES)}}
LOGGING = {"encoding": "JSON", "enable_access_log": False}


def build(args: dict[str, Any]) -> Application:
    """The application for the options of `ClusterOptions`; `BadRequestError` when they make no sense."""
    options = ClusterOptions.from_args(args)
    args = options.to_args()
    return ingress(options).bind(args, replicas(options).bind(args))


def replicas(options: ClusterOptions) -> Any:
    """The deployment of the engines."""
    resources: dict[str, Any] = {"num_cpus": options.cpus_per_replica, "runtime_env": ENVIRONMENT}
    if options.gpus_per_replica:
        resources["num_gpus"] = options.gpus_per_replica
    number: dict[str, Any] = {"num_replicas": options.replicas}
    if options.max_replicas > options.replicas:
        number = {
            "autoscaling_config": {
                "min_replicas": options.replicas,
                "max_replicas": options.max_replicas,
                "target_ongoing_requests": options.target_waiting,
                "upscale_delay_s": 10.0,
                "downscale_delay_s": 300.0,
            }
        }
    if options.router == "prefix":
        number["request_router_config"] = RequestRouterConfig(request_router_class=ROUTER)
    return serve.deployment(
        EngineReplica,
        name="engine",
        ray_actor_options=resources,
        max_ongoing_requests=options.max_waiting,
        max_queued_requests=4 * options.max_waiting,
        graceful_shutdown_timeout_s=DRAIN_SECONDS,
        graceful_shutdown_wait_loop_s=0.5,
        health_check_period_s=2.0,
        health_check_timeout_s=10.0,
        max_surge_percent=options.surge,
        logging_config=LOGGING,
        **number,
    )


def ingress(options: ClusterOptions) -> Any:
    """The deployment that Serve's proxies pass connections to."""
    return serve.deployment(
        serve.ingress()(Ingress),
        name="ingress",
        num_replicas=options.ingresses,
        ray_actor_options={"num_cpus": INGRESS_CPUS, "runtime_env": ENVIRONMENT},
        max_ongoing_requests=SESSIONS,
        graceful_shutdown_timeout_s=2.0,
        graceful_shutdown_wait_loop_s=0.5,
        max_surge_percent=100,  # the next one is there before connections end
        health_check_period_s=2.0,
        health_check_timeout_s=10.0,
        logging_config=LOGGING,
    )
