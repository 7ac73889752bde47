"""Tokens of SoftHSM in a folder: an HSM for tests. What it does not have: a PIN that locks itself."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.support.redis_servers import missing

PIN: Final = "4711-canary-pin"
SO_PIN: Final = "so-4711"
_LIBRARIES: Final = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so")


class SoftHsm:
    """A folder with tokens. The library reads where it is from the environment, once for each process."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder: Final = folder
        self.tokens: Final = folder / "tokens"
        self.tokens.mkdir(exist_ok=True)
        self.config: Final = folder / "softhsm2.conf"
        self.config.write_text(f"directories.tokendir = {self.tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
        self.pin: Final = folder / "pin"
        self.write_pin(PIN)

    @property
    def module(self) -> Path:
        """The library; skips, or fails in CI, where there is none."""
        found = next((Path(one) for one in _LIBRARIES if Path(one).exists()), None)
        if found is None or shutil.which("softhsm2-util") is None:
            missing("no SoftHSM here: apt-get install softhsm2")
        assert found is not None
        return found

    @property
    def environment(self) -> dict[str, str]:
        """For a process that uses it."""
        return {"SOFTHSM2_CONF": str(self.config)}

    def write_pin(self, text: str) -> None:
        """Have another PIN in the file."""
        self.pin.write_text(text + "\n")
        self.pin.chmod(0o600)

    def make_token(self, label: str = "rppam") -> None:
        """A token without a key."""
        words = ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", SO_PIN]
        folder = self.module.parent  # skips where there is none
        done = subprocess.run(
            words, env=os.environ | self.environment, capture_output=True, text=True, check=False, cwd=folder
        )
        assert done.returncode == 0, done.stderr

    def take_away(self) -> None:
        """Pull the tokens out."""
        self.tokens.rename(self.folder / "away")

    def put_back(self) -> None:
        """Undo :meth:`take_away`."""
        (self.folder / "away").rename(self.tokens)

    def settings(self, **more: object) -> dict[str, object]:
        """The section ``vault`` of a config."""
        return {"pkcs11Module": str(self.module), "pkcs11PinPath": str(self.pin), **more}
