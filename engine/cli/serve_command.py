"""`remask serve`: a team's engine on this machine; `remask serve token`: who may use it."""

from __future__ import annotations

import argparse
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import platformdirs

from engine.cluster.local import Place
from engine.cluster.options import ROUTERS, ClusterOptions
from engine.cluster.tokens import TokenFile
from engine.errors import BadRequestError


def default_tokens() -> Path:
    """`tokens.json` in the user's configuration folder."""
    return Path(platformdirs.user_config_dir("remask", appauthor=False)) / "tokens.json"


def add_parser(subparsers: Any) -> None:
    """Declare the arguments."""
    parser = subparsers.add_parser("serve", help="run a team's engine: many editors, several replicas")
    o, place = ClusterOptions(tokens=""), Place()
    parser.add_argument("--host", default=place.host, help=f"where to listen (default {place.host})")
    parser.add_argument("--port", type=int, default=place.port, help=f"(default {place.port})")
    parser.add_argument("--tls-cert", metavar="FILE", help="certificate chain, PEM")
    parser.add_argument("--tls-key", metavar="FILE", help="its private key, PEM")
    parser.add_argument("--behind-proxy", action="store_true", help="no TLS here: a proxy in front of this ends it")
    parser.add_argument("--tokens", type=Path, default=default_tokens(), metavar="FILE", help="who may come in")
    parser.add_argument("--model", metavar="FOLDER", help="a model folder instead of the packaged one")
    parser.add_argument("--device", default=o.device, help="auto, cpu or cuda")
    parser.add_argument(
        "--replicas", type=int, default=o.replicas, metavar="N", help="engines (default 1), or the least"
    )
    parser.add_argument("--max-replicas", type=int, default=0, metavar="N", help="add engines up to N when queues grow")
    parser.add_argument(
        "--target-waiting",
        type=float,
        default=o.target_waiting,
        metavar="N",
        help=f"requests under way at an engine, on average, from which on there are more (default {o.target_waiting})",
    )
    parser.add_argument("--cpus-per-replica", type=float, default=o.cpus_per_replica, metavar="N", help="(default 1)")
    parser.add_argument(
        "--gpus-per-replica", type=float, default=o.gpus_per_replica, metavar="N", help="may be a fraction (default 0)"
    )
    parser.add_argument(
        "--caches",
        type=int,
        default=o.caches,
        metavar="N",
        help=f"documents that one engine keeps prefilled (default {o.caches})",
    )
    parser.add_argument(
        "--lanes",
        type=int,
        default=o.lanes,
        metavar="N",
        help=f"requests that share the forward passes of one engine (default {o.lanes})",
    )
    parser.add_argument(
        "--router", choices=ROUTERS, default=o.router, help="which engine gets a request (default prefix)"
    )
    parser.add_argument("--metrics-port", type=int, metavar="PORT", help="Prometheus metrics, on all addresses")
    parser.add_argument("--address", metavar="ADDRESS", help="join a Ray cluster that runs already, e.g. auto")
    parser.add_argument("--ray-folder", metavar="FOLDER", help="Ray's logs and sockets, instead of /tmp/ray")
    inner = parser.add_subparsers(dest="what", metavar="token")
    token = inner.add_parser("token", help="add, revoke and list tokens; takes effect within seconds")
    actions = token.add_subparsers(dest="action", metavar="ACTION", required=True)
    add = actions.add_parser("add", help="print a new token, which is shown this once")
    add.add_argument("name", help="whose it is")
    add.add_argument("--days", type=float, metavar="N", help="valid for so long (default: until revoked)")
    revoke = actions.add_parser("revoke", help="end a token and its connections")
    revoke.add_argument("name")
    actions.add_parser("list", help="names and dates")


def run(args: argparse.Namespace) -> int:
    """Exit 0 after serving or editing, 2 for bad input."""
    if args.what == "token":
        return edit(TokenFile(args.tokens), args)
    if find_spec("ray") is None or find_spec("starlette") is None:
        raise BadRequestError("a team's engine needs Ray Serve: in a checkout of Remask, pip install '.[cluster]'")
    from engine.cluster.local import serve_until_told

    place = Place(args.host, args.port, args.tls_cert, args.tls_key, args.behind_proxy, args.address, args.ray_folder)
    place.check()
    options = ClusterOptions(
        tokens=str(args.tokens.expanduser().resolve()),
        model=args.model,
        device=args.device,
        router=args.router,
        replicas=args.replicas,
        max_replicas=args.max_replicas,
        target_waiting=args.target_waiting,
        cpus_per_replica=args.cpus_per_replica,
        gpus_per_replica=args.gpus_per_replica,
        caches=args.caches,
        lanes=args.lanes,
    )
    options.check()
    tokens = TokenFile(args.tokens)
    tokens.refresh()

    def ready() -> None:
        print(f"Serving at {place.url}: set remask.engine.url to it.", flush=True)
        if not list(tokens):
            print(f"No token yet: remask serve --tokens {args.tokens} token add NAME", flush=True)

    serve_until_told(options, place, args.metrics_port, ready)
    return 0


def edit(tokens: TokenFile, args: argparse.Namespace) -> int:
    """Change or print the file of tokens."""
    if args.action == "add":
        print(tokens.add(args.name, args.days))
    elif args.action == "revoke":
        tokens.revoke(args.name)
        print(f"Revoked: {args.name}. Open connections end within seconds.")
    else:
        tokens.refresh()
        for token in tokens:
            print(f"{token.name:<24} added {_date(token.added)}, {_validity(token.expires)}")
        if not list(tokens):
            print(f"No tokens in {tokens.path}.")
    return 0


def _validity(expires: float | None) -> str:
    if expires is None:
        return "until revoked"
    return f"{'expired' if expires <= time.time() else 'until'} {_date(expires)}"


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(seconds))
