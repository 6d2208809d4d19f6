"""Write docs/reference from what modules, filters and roles say of themselves: ``python3 -m tools.reference [--check]``.

With ``--check`` nothing is written; the exit status is 1 if a page is stale.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

from .testbed.shell import ROOT, main_guard, run

TARGET = ROOT / "docs" / "reference"
NAMESPACE = "onprem.llm"
Options = dict[str, dict[str, Any]]


def plain(text: str | list[str]) -> str:
    """Turn Ansible's markup (``O(x)``, ``V(y)``, ``C(z)`` ...) into Markdown."""
    joined = text if isinstance(text, str) else " ".join(text)
    joined = re.sub(r"\b[OVCE]\(([^)]*)\)|\b[MP]\(([^)#]*)[^)]*\)", lambda m: f"`{m[1] or m[2]}`", joined)
    return re.sub(r"\b[BI]\(([^)]*)\)", r"**\1**", joined).replace("\n", " ").replace("|", "\\|")


def literal(value: Any) -> str:
    """Show a default as the user would write it."""
    return f"`{value}`" if isinstance(value, str) and value else f"`{json.dumps(value)}`"


def rows(options: Options, prefix: str = "") -> Iterator[str]:
    """Yield a table row for each option and, below it, for its sub-options."""
    for name, option in options.items():
        kind = option.get("type", "str")
        if option.get("elements"):
            kind += f" of {option['elements']}"
        if option.get("required"):
            default = "**required**"
        else:
            default = literal(option["default"]) if "default" in option else ""
        choices = f" One of {', '.join(f'`{c}`' for c in option['choices'])}." if option.get("choices") else ""
        yield f"| `{prefix}{name}` | {kind} | {default} | {plain(option.get('description', ''))}{choices} |"
        yield from rows(option.get("options") or option.get("suboptions") or {}, f"{prefix}{name}.")


def table(options: Options) -> list[str]:
    """Return the table of ``options``."""
    return ["| option | type | default | what |", "|---|---|---|---|", *rows(options)] if options else ["No options."]


def described(kind: str) -> dict[str, Any]:
    """Return what ``ansible-doc`` knows of every plugin of one kind in this collection."""
    names = json.loads(run("ansible-doc", "--list", "--json", "--type", kind, NAMESPACE, quiet=True))
    if not names:
        return {}
    found: dict[str, Any] = json.loads(run("ansible-doc", "--json", "--type", kind, *names, quiet=True))
    return found


def plugin_page(kind: str, title: str) -> str:
    """Return one page for all plugins of a kind."""
    lines = [f"# {title}", ""]
    for name, entry in sorted(described(kind).items()):
        doc = entry["doc"]
        lines += [f"## `{name}`", "", plain(doc["short_description"]) + ".", "", plain(doc["description"]), ""]
        lines += [*table(doc.get("options", {})), ""]
        if entry.get("examples"):
            lines += ["```yaml", entry["examples"].strip(), "```", ""]
        returns = entry.get("return") or {}
        if returns:
            lines += ["| returns | type | what |", "|---|---|---|"]
            lines += [f"| `{key}` | {value.get('type', '')} | {plain(value.get('description', ''))} |" for key, value in returns.items()]
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def role_page() -> str:
    """Return one page for all roles a user calls."""
    lines = ["# Roles", ""]
    for name, entry in sorted(described("role").items()):
        if "main" not in entry["entry_points"]:
            continue
        point = entry["entry_points"]["main"]
        lines += [f"## `{name}`", "", plain(point["short_description"]) + ".", "", plain(point.get("description", "")), ""]
        lines += [*table(point.get("options", {})), ""]
    return "\n".join(lines).rstrip() + "\n"


def pages() -> dict[str, str]:
    """Return every page by file name."""
    head = "<!-- Written by `make docs` from the code's own documentation. Do not edit. -->\n\n"
    return {
        "modules.md": head + plugin_page("module", "Modules"),
        "filters.md": head + plugin_page("filter", "Filters"),
        "roles.md": head + role_page(),
    }


def main() -> None:
    """Write the pages, or check them."""
    TARGET.mkdir(parents=True, exist_ok=True)
    stale = []
    for name, text in pages().items():
        page = TARGET / name
        if page.exists() and page.read_text() == text:
            continue
        stale.append(name)
        if "--check" not in sys.argv:
            page.write_text(text)
    if stale and "--check" in sys.argv:
        sys.exit(f"error: docs/reference is stale: {', '.join(stale)}. Run 'make docs' and commit the result.")


if __name__ == "__main__":
    main_guard(main)
