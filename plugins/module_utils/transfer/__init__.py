# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetches files over HTTP so that a dropped line, a killed run or a full disk costs little, and never leaves a wrong file.

``addresses``, ``connections``, ``client``  how a server is asked: proxies, authorities, redirects, connections that are kept
``fetch``                                   the way in: ``fetch(jobs, store, access, report)``
"""
