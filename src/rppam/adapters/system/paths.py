"""Where an installation keeps its files when nobody says otherwise.

Two tables, Linux and Windows, both plain values: either can be asked for on any system. Which path is really used is
decided by whoever reads options and environment; nothing here touches the disk.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath, PurePosixPath, PureWindowsPath


@dataclass(frozen=True, slots=True)
class Paths:
    """One installation's places."""

    config_file: PurePath
    """``rppam.config``."""
    licence_file: PurePath
    """The signed licence."""
    keys_dir: PurePath
    """Keys of this cluster: owner only."""
    certs_dir: PurePath
    """Certificates."""
    modules_dir: PurePath
    """Endpoint modules."""
    state_dir: PurePath
    """What a node must remember over a restart, and the database of a single machine."""
    log_dir: PurePath
    """Log files, where logs go to files."""


def linux_paths() -> Paths:
    """The places on Linux (Filesystem Hierarchy Standard 3.0)."""
    etc, lib = PurePosixPath("/etc/rppam"), PurePosixPath("/var/lib/rppam")
    return Paths(
        config_file=etc / "rppam.config",
        licence_file=etc / "license.jwt",
        keys_dir=lib / "keys",
        certs_dir=lib / "certs",
        modules_dir=lib / "modules",
        state_dir=lib,
        log_dir=PurePosixPath("/var/log/rppam"),
    )


def windows_paths(environment: Mapping[str, str]) -> Paths:
    """The places on Windows, below ``ProgramData``."""
    base = PureWindowsPath(environment.get("ProgramData") or r"C:\ProgramData") / "Ravenphyre" / "RP-PAM"
    return Paths(
        config_file=base / "rppam.config",
        licence_file=base / "license.jwt",
        keys_dir=base / "Keys",
        certs_dir=base / "Certs",
        modules_dir=base / "Modules",
        state_dir=base / "State",
        log_dir=base / "Logs",
    )


def default_paths() -> Paths:
    """The places on this system."""
    return windows_paths(os.environ) if sys.platform == "win32" else linux_paths()
