"""The unit of vLLM as it is written for both variants. That of a GPU is never run in CI."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jinja2
import pytest

from ansible_collections.onprem.llm.plugins.plugin_utils.ollama_plan import systemd_quoted

TEMPLATE = Path(__file__).parents[2] / "roles" / "vllm" / "templates" / "etc" / "systemd" / "system" / "vllm@.service.j2"


def unit(variant: str, **changes: Any) -> list[str]:
    """Render the unit with stand-ins for Ansible's own filters and tests."""
    standin = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False, trim_blocks=True)  # noqa: S701  no HTML
    standin.filters |= {"comment": lambda text: f"# {text}", "onprem.llm.systemd_quoted": systemd_quoted}
    standin.tests["search"] = lambda text, pattern: bool(re.search(pattern, text))
    values = {
        "ansible_managed": "Ansible managed",
        "vllm_prefix": "/opt/vllm",
        "vllm_home": "/var/lib/llm/vllm",
        "vllm_models_dir": "/var/lib/llm/vllm/models",
        "vllm_config_dir": "/etc/vllm",
        "vllm_user": "llm",
        "vllm_group": "llm",
        "vllm_drain_seconds": 30,
        "__vllm_plan": {"variant": variant, "environment": {"A": '50% "x"'}},
    }
    return standin.from_string(TEMPLATE.read_text()).render({**values, **changes}).splitlines()


@pytest.mark.parametrize("variant", ["cpu", "cuda"])
def test_what_both_variants_have(variant: str) -> None:
    lines = unit(variant)
    assert 'Environment="A=50%% \\"x\\""' in lines
    assert "TimeoutStopSec=60" in lines and "KillMode=mixed" in lines and "User=llm" in lines
    assert "IPAddressDeny=any" in lines and "IPAddressAllow=localhost" in lines and "ProtectHome=true" in lines
    assert not [line for line in lines if line.startswith("MemoryDenyWriteExecute=")]
    assert "# onprem.llm: the unit is written" in "\n".join(lines)


def test_a_gpu_opens_its_devices_and_nothing_else() -> None:
    cpu, cuda = unit("cpu"), unit("cuda")
    opened = {line for line in cuda if line not in cpu and not line.startswith("#")}
    assert {line.partition("=")[0] for line in opened} == {"DevicePolicy", "DeviceAllow"}
    assert "DevicePolicy=closed" in opened and "DeviceAllow=char-nvidia rw" in opened and "DeviceAllow=/dev/dxg rw" in opened
    assert {line for line in cpu if line not in cuda} == {"PrivateDevices=true"}


def test_a_volume_below_home_is_reached() -> None:
    assert "ProtectHome=false" in unit("cpu", vllm_models_dir="/home/models")
