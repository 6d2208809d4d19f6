# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a requirement is made of: the case that it judges, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ansible_collections.onprem.llm.plugins.plugin_utils.models import checked_models, vllm_instances
from ansible_collections.onprem.llm.plugins.plugin_utils.placed_models import placed_models

# ``note`` passes and is worth a word; ``unknown`` passes because nobody can tell.
Status = Literal["passes", "note", "unknown", "refused"]


@dataclass(frozen=True)
class Finding:
    """One thing that was found, as a sentence; a refusal ends with the smallest change that would mend it."""

    status: Status
    text: str


def passes(text: str) -> Finding:
    """Return that something is as it must be."""
    return Finding("passes", text)


def note(text: str) -> Finding:
    """Return that something will work, though not as a person may expect."""
    return Finding("note", text)


def unknown(text: str) -> Finding:
    """Return that something cannot be judged."""
    return Finding("unknown", text)


def refused(text: str) -> Finding:
    """Return that something cannot work, and what to do."""
    return Finding("refused", text)


@dataclass(frozen=True)
class Case:
    """One host: what ``host_info`` told of it, and what it shall run.

    ``host`` is empty where the module could not run there; then ``failure`` says why, and ``words`` holds what the host's shell printed.
    """

    host: Mapping[str, Any]
    inputs: Mapping[str, Any]
    failure: str = ""
    words: str = ""

    def runs(self, engine: str) -> bool:
        """Tell whether the host shall run an engine."""
        return engine in self.inputs["engines"]

    def models(self, engine: str) -> list[dict[str, Any]]:
        """Return the models that the host shall serve with an engine, those of vLLM with their instance and port."""
        if not self.runs(engine):
            return []
        port = int(self.inputs["vllm_port"])
        models = placed_models(self.inputs["models"], self.inputs.get("placement"))
        entries = vllm_instances(models, port) if engine == "vllm" else checked_models(models, engine)
        return [entry for entry in entries if entry["state"] == "present"]

    def disk(self, path: str) -> Mapping[str, Any] | None:
        """Return what was learnt of the file system of a path; None where it was not asked for."""
        return next((disk for disk in self.host["disks"] if disk["path"] == path), None)


Judge = Callable[[Case], Iterable[Finding]]


@dataclass(frozen=True)
class Requirement:
    """A row of the table: its name, the question that it answers, who judges, and the smallest change where it refuses."""

    name: str
    question: str
    judge: Judge
    fix: str
