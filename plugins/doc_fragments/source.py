# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How models are fetched, for every module that does."""

from __future__ import annotations


class ModuleDocFragment:
    """The options of ``module_utils/source_options.py``."""

    DOCUMENTATION = r"""
options:
  endpoint:
    description:
      - Base URL of the server that models are fetched from, in place of the one that the scheme of the source means,
        V(https://huggingface.co) for C(hf:) and V(https://registry.ollama.ai) for C(ollama:). A mirror of this collection
        serves C(hf:) at C(<mirror>/hf) and C(ollama:) at C(<mirror>).
      - Proxies are those of the environment, C(HTTPS_PROXY), C(HTTP_PROXY) and C(NO_PROXY).
    type: str
    default: ''
  token:
    description:
      - Token of the Hub, for repositories that are gated or private.
      - It is sent to the endpoint only, and only by https or within the host, never to a server that the endpoint redirects to.
    type: str
    default: ''
  ca_path:
    description: File with further certificate authorities to trust (PEM), beside those of the system.
    type: path
    default: ''
  ca_content:
    description: More of them, as text.
    type: str
    default: ''
  workers:
    description: Connections at most, from 1 to 64. V(0) takes as many as pay off.
    type: int
    default: 0
  rate_limit:
    description:
      - Bytes per second at most, all connections together, such as V(50M) or V(1.5G), where V(1M) is 1048576. Empty for no limit.
    type: str
    default: ''
  retries:
    description: Attempts after the first one for each request, from 0 to 100. The pauses between them grow.
    type: int
    default: 5
  timeout:
    description: Seconds without a byte after which a connection counts as dead, from 1 to 3600.
    type: int
    default: 30
"""
