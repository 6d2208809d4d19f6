"""Write the options that this version of vLLM knows, as JSON: run by the version's own interpreter.

Each option has a kind: boolean, 'whole number', number, size (such as 32k), text, mapping (or other JSON), and perhaps choices, and 'many'
where it takes a list.
"""

import argparse
import importlib
import json
import sys
import warnings

warnings.simplefilter("ignore")

# Where make_arg_parser was before vLLM 0.30 and since.
PARSERS = ("vllm.entrypoints.launchers.cli_args", "vllm.entrypoints.openai.cli_args")


def main():
    """Write the table."""
    import vllm
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    known = {}
    for action in make_parser(FlexibleArgumentParser())._actions:  # noqa: SLF001  argparse has no other way to ask
        names = [text[2:] for text in action.option_strings if text.startswith("--")]
        if names and not isinstance(action, argparse._HelpAction):  # noqa: SLF001
            known.update({name: described(action) for name in names if not (name.startswith("no-") and name[3:] in names)})
    json.dump({"version": vllm.__version__.partition("+")[0], "options": known}, sys.stdout)


def make_parser(empty):
    """Return ``empty`` with the options of the server."""
    for name in PARSERS:
        try:
            return importlib.import_module(name).make_arg_parser(empty)
        except ModuleNotFoundError:
            continue
    raise SystemExit("this version has its options at a place that is not known")


def described(action):
    """Return what the table says of one option."""
    found = {"kind": "boolean" if action.nargs == 0 else kind(action.type)}
    choices = sorted(str(choice) for choice in action.choices or [] if choice is not None)
    if choices:
        found["choices"] = choices
    if action.nargs in ("+", "*") or isinstance(action, argparse._AppendAction):  # noqa: SLF001
        found["many"] = True
    return found


def kind(convert):
    """Return what an option takes, by trying."""
    if convert is None or takes(convert, "x"):
        return "text"
    if takes(convert, "8k"):
        return "size"
    if takes(convert, "{}") or takes(convert, "[]"):
        return "mapping"
    return "number" if takes(convert, "1.5") else "whole number"


def takes(convert, text):
    """Tell whether an option takes ``text``."""
    try:
        convert(text)
    except Exception:  # noqa: BLE001  whatever it raises, it is a no
        return False
    return True


if __name__ == "__main__":
    main()
