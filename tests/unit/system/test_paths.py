"""The default places are the product's."""

import sys
from pathlib import PurePosixPath, PureWindowsPath

from rppam.adapters.system.paths import default_paths, linux_paths, windows_paths


def test_linux_places() -> None:
    paths = linux_paths()
    assert paths.config_file == PurePosixPath("/etc/rppam/rppam.config")
    assert paths.licence_file == PurePosixPath("/etc/rppam/license.jwt")
    assert paths.keys_dir == PurePosixPath("/var/lib/rppam/keys")


def test_windows_places_follow_programdata() -> None:
    usual, moved = windows_paths({}), windows_paths({"ProgramData": r"D:\Data"})
    assert usual.config_file == PureWindowsPath(r"C:\ProgramData\Ravenphyre\RP-PAM\rppam.config")
    assert moved.keys_dir == PureWindowsPath(r"D:\Data\Ravenphyre\RP-PAM\Keys")


def test_this_system_has_its_own() -> None:
    assert default_paths() == (windows_paths({}) if sys.platform == "win32" else linux_paths())
