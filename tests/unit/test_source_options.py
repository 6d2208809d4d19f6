"""The options of modules that fetch, and their documentation."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from ansible_collections.onprem.llm.plugins.doc_fragments.source import ModuleDocFragment
from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.source_options import SOURCE_SPEC, access_of
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import Access

DEFAULTS = {name: option["default"] for name, option in SOURCE_SPEC.items()}


def test_what_is_not_said() -> None:
    assert access_of(DEFAULTS) == Access()
    # A parameter of the type path is None where it was not given, as one from a variable may be.
    assert access_of({**DEFAULTS, "endpoint": None, "token": None, "ca_path": None, "ca_content": None, "rate_limit": None}) == Access()


def test_what_is_said() -> None:
    params = {
        "endpoint": "https://mirror/hf/",
        "token": "hf_x",
        "ca_path": "/etc/ca.pem",
        "ca_content": " pem\n",
        "workers": 4,
        "retries": 0,
        "timeout": 5,
    }
    found = access_of({**params, "rate_limit": "1.5M"})
    assert found == Access("https://mirror/hf", "hf_x", "/etc/ca.pem", "pem", 4, 1572864, 0, 5.0) and "hf_x" not in repr(found)


@pytest.mark.parametrize(("text", "rate"), [("", 0), ("0", 0), ("1024", 1024), ("50M", 50 << 20), ("2g", 2 << 30), ("10KB", 10240)])
def test_rates(text: str, rate: int) -> None:
    assert access_of({**DEFAULTS, "rate_limit": text}).rate_limit == rate


@pytest.mark.parametrize(
    ("change", "words"),
    [
        *(({"rate_limit": text}, "rate_limit must be") for text in ("x", "5", "-1M", "1023", "M", "1 potato", "nan", "9" * 400 + "E")),
        *(({"workers": number}, "workers must be a whole number from 0 to 64") for number in (-1, 65)),
        *(({"retries": number}, "retries must be a whole number from 0 to 100") for number in (-1, 101)),
        *(({"timeout": number}, "timeout must be a whole number from 1 to 3600") for number in (0, 3601)),
        *(({"token": text}, "token must be one word") for text in ("a b", "a\n", "\u00e4", "x" * 9000)),
        *(({"ca_path": text}, "ca_path must be") for text in ("ca.pem", "/a/../b", "/a\n")),
        *(({"endpoint": text}, "http") for text in ("mirror", "ftp://x", "https://user:secret@h", "https://h/?a=b")),
    ],
)
def test_what_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError) as refusal:
        access_of({**DEFAULTS, **change})
    message = str(refusal.value)
    assert words in message or "user or password" in message
    assert message.isprintable() and "secret" not in message and len(message) < 400


def test_the_documentation_says_what_the_options_are() -> None:
    documented = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    told = {name: {key: option[key] for key in ("type", "default")} for name, option in documented.items()}
    assert told == {name: {key: option[key] for key in ("type", "default")} for name, option in SOURCE_SPEC.items()}
