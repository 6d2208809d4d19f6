"""Where NVIDIA's exporter of metrics may listen."""

from __future__ import annotations

import pytest

from ansible_collections.onprem.llm.plugins.plugin_utils.nvidia_exporter import address_problems


@pytest.mark.parametrize("address", ["127.0.0.1:9400", "0.0.0.0:9400", "[::1]:9400", "[fd00::7]:65535"])
def test_an_ip_address_and_a_port(address: str) -> None:
    assert address_problems(address) == []


@pytest.mark.parametrize(
    "address", [":9400", "9400", "127.0.0.1", "::1:9400", "[127.0.0.1]:9400", "metrics.example:9400", "127.0.0.1:0", "127.0.0.1:x"]
)
def test_anything_else_is_refused_in_a_sentence(address: str) -> None:
    (said,) = address_problems(address)
    assert said.startswith("nvidia_dcgm_exporter_address must be an IP address and a port") and repr(address) in said
