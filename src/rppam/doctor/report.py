"""The list of findings, a guard that keeps every secret out of it, and for which platform a fix is told.

Findings are made without secrets; but evidence quotes servers, logs and libraries, which may quote what they were sent.
"""

import re
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from rppam.cluster.store.home import is_container
from rppam.kernel.finding import Finding
from rppam.kernel.secret import REDACTED, Secret

_TELLING: Final = re.compile(
    r"((?:requirepass|masterauth|primaryauth|auth-pass|sentinel-pass|password|key-file-pass|user\s+\S+\s+on)\W{1,3})\S[^\n]*",
    re.IGNORECASE,
)
_SHORTEST: Final = 4
"""Shorter secrets are not searched for: they would turn ordinary words into stars."""


class Report:
    """Findings in the order they were made."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self._secrets: set[str] = set()

    def hide(self, *secrets: Secret | None) -> None:
        """Never show these secrets, wherever they turn up."""
        self._secrets |= {secret.reveal() for secret in secrets if secret is not None and len(secret) >= _SHORTEST}

    def add(self, *findings: Finding) -> None:
        """Keep findings, without secrets."""
        self.findings += [
            replace(finding, evidence=self.clean(finding.evidence), fix=self.clean(finding.fix)) for finding in findings
        ]

    def has(self, code: str) -> bool:
        """Whether there is a finding of this code."""
        return any(one.code == code for one in self.findings)

    def clean(self, text: str) -> str:
        """The text without any secret that was announced."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, REDACTED)
        return text


def without_passwords(lines: Iterable[str]) -> str:
    """Log lines without what follows a word that announces a password."""
    return "\n".join(_TELLING.sub(rf"\g<1>{REDACTED}", line.rstrip()) for line in lines)


def platform_of(root: Path = Path("/")) -> str:
    """Which of the platforms of fixes this host is, by its own word; empty where it is none of them."""
    if sys.platform == "win32":
        return "Windows"
    if is_container(root):
        return "Docker"
    try:
        lines = (root / "etc/os-release").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    said = {name: value.strip('"') for name, _, value in (line.partition("=") for line in lines)}
    ids = {said.get("ID", ""), *said.get("ID_LIKE", "").split()}
    if ids & {"debian", "ubuntu"}:
        return "Debian/Ubuntu"
    return "RHEL" if ids & {"rhel", "fedora", "centos"} else ""
