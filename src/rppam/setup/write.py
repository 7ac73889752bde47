"""Writing a node's files: checked before, private, and never over something else without being told to.

The config comes last: a run that fails half-way leaves keys that the next run uses, and no node that looks ready. Run
twice with the same wishes it changes nothing.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from rppam.access.tokens.key_files import ensure_signing_keys, load_signing_keys
from rppam.cli.files import config_text, new_cluster_key, write_private
from rppam.cluster.store.vote_file import FILE_NAME, found
from rppam.config.errors import ConfigError
from rppam.config.host_secrets import create_key, encrypt, read_key
from rppam.config.load import load_settings, parse_settings
from rppam.config.settings import Settings
from rppam.config.text import read_tree
from rppam.http.times import iso_utc_ms
from rppam.kernel.clock import Clock
from rppam.kernel.secret import Secret
from rppam.kernel.system_entropy import SystemEntropy
from rppam.licence.service import parse_public_key
from rppam.setup.bundle import Bundle
from rppam.setup.errors import InitError
from rppam.setup.given import text_of
from rppam.setup.placed_files import PREFIX, Placed, collected, unpacked
from rppam.setup.plan import Config, Layout, Wishes, first_config, joined_config, remarks, rendered

JWT: Final = "jwt/"
CONFIG_KEY: Final = "config.key"
CLUSTER_KEY: Final = "cluster.key"
SEALING_KEY: Final = "sealing.key"
LICENCE: Final = "license.jwt"
_KEY_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.(pem|key)")


class Outcome(NamedTuple):
    """What was done."""

    config: Path
    written: tuple[Path, ...]
    """Files that are new or changed; empty when everything stood there already."""
    backups: tuple[Path, ...]
    settings: Settings
    warnings: tuple[str, ...]


class NodeWriter:
    """Writes one node's files. Raises :class:`InitError` and leaves of ``ConfigError``."""

    def __init__(self, layout: Layout, clock: Clock, *, force: bool = False) -> None:
        self._layout, self._clock, self._force = layout, clock, force
        self._written: list[Path] = []
        self._backups: list[Path] = []

    def first(self, wishes: Wishes, licence: str | None) -> Outcome:
        """A first node: new keys where there are none. ``licence`` is the text of a licence file to install."""
        plan = first_config(wishes, self._layout)
        self._refuse_another(self._checked(plan, wishes.placed))
        layout = self._layout
        self._folders()
        planned = self._place(plan, wishes.placed)
        if not layout.jwt_keys.exists() or not any(layout.jwt_keys.iterdir()):
            ensure_signing_keys(layout.jwt_keys, now_ms=self._clock.wall_ms())
            self._written += layout.jwt_keys.iterdir()
        if not layout.config_key.exists():
            create_key(layout.config_key)
            self._written.append(layout.config_key)
        if not layout.cluster_key.exists():
            if not layout.sealing_key.exists():  # first: a cluster key alone is an installation of before
                self._put(layout.sealing_key, new_cluster_key())
            self._put(layout.cluster_key, new_cluster_key())
        if licence is not None:
            self._put(layout.licence, licence)
        outcome = self._config(plan, planned, wishes.placed, joining=False)
        self._found(outcome.settings)
        return outcome._replace(written=tuple(self._written))

    def would_found(self, wishes: Wishes, licence: str | None) -> list[Path]:
        """What :meth:`first` would write; nothing is."""
        layout, plan = self._layout, first_config(wishes, self._layout)
        planned = self._checked(plan, wishes.placed)
        self._refuse_another(planned)
        made = [layout.jwt_keys, layout.config_key, layout.cluster_key, layout.sealing_key, layout.config]
        promise = [layout.data / FILE_NAME] if planned.cluster.enabled else []
        contents = wishes.placed.files | ({layout.licence: licence.encode()} if licence is not None else {})
        return self._new({**dict.fromkeys((*made, *promise)), **contents})

    def would_join(self, bundle: Bundle, wishes: Wishes) -> list[Path]:
        """What :meth:`joined` would write; nothing is, and the config is not checked yet."""
        layout = self._layout
        contents = {path: bundle.files[name].reveal().encode() for name, path in self._places(bundle.files).items()}
        wishes = wishes._replace(placed=unpacked(bundle.files, layout.config.parent).under(wishes.placed))
        joined_config(bundle.config, wishes, layout)
        return self._new({**contents, **wishes.placed.files, layout.config: None})

    def _new(self, contents: Mapping[Path, bytes | None]) -> list[Path]:
        """What is not there. Raises :class:`InitError` for what differs, unless it would be replaced."""
        found = []
        for path, content in contents.items():
            if not path.exists():
                found.append(path)
            elif content is not None and path.read_bytes() != content:
                if not self._force:
                    raise InitError(f"{path} stands there already and differs; --force replaces it")
                found.append(path)
        return sorted(found)

    def _found(self, settings: Settings) -> None:
        """A first node's cluster is founded here, once; later members are taken in by the leader."""
        promise = settings.node.data_dir / FILE_NAME
        if not settings.cluster.enabled or promise.exists():
            return
        found({settings.node.node_name: settings.node.data_dir}, settings.cluster.quorum_policy, SystemEntropy())
        self._written.append(promise)

    def joined(self, bundle: Bundle, wishes: Wishes) -> Outcome:
        """The next node: the cluster's keys and the first node's config, changed where nodes differ."""
        places = self._places(bundle.files)
        wishes = wishes._replace(placed=unpacked(bundle.files, self._layout.config.parent).under(wishes.placed))
        plan = joined_config(bundle.config, wishes, self._layout)
        for name, path in places.items():  # all of them first: a node trusts any key that lies among its own
            self._is_there(path, bundle.files[name].reveal())
        self._folders()
        for name, path in places.items():
            self._put(path, bundle.files[name].reveal())
        self._refuse_another(self._checked(plan, wishes.placed))
        return self._config(plan, self._place(plan, wishes.placed), wishes.placed, joining=True)

    def _place(self, plan: Config, placed: Placed) -> Settings:
        """Write the files that the plan names; what it makes of them."""
        for path, content in placed.files.items():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._put(path, content)
        return self._checked(plan)

    def _places(self, files: Mapping[str, Secret]) -> dict[str, Path]:
        layout = self._layout
        fixed = {
            CONFIG_KEY: layout.config_key,
            CLUSTER_KEY: layout.cluster_key,
            SEALING_KEY: layout.sealing_key,
            LICENCE: layout.licence,
        }
        places = {}
        for name in files:
            if name in fixed:
                places[name] = fixed[name]
            elif name.startswith(JWT) and _KEY_NAME.fullmatch(name.removeprefix(JWT)):
                places[name] = layout.jwt_keys / name.removeprefix(JWT)
            elif not name.startswith(PREFIX):  # those are looked at by what unpacks them
                raise InitError(
                    f"the bundle holds {name!r}, which this version does not know; update rppam on this host"
                )
        return places

    def _checked(self, plan: Config, placed: Placed | None = None) -> Settings:
        """The settings that the plan makes. Raises with every problem, before anything is written.

        ``placed``: what is not there yet, perhaps.
        """
        if placed is not None and not all(path.exists() for path in placed.files):
            plan = placed.with_texts(plan)
        return self._parsed(config_text(rendered(plan, Secret.reveal)))

    def _parsed(self, text: str) -> Settings:
        config = self._layout.config
        return parse_settings(text, folder=config.parent, place=str(config))

    def _refuse_another(self, planned: Settings) -> None:
        config = self._layout.config
        if self._force or not config.exists() or self._stands(planned):
            return
        raise InitError(
            f"{config} stands there already and says something else. Look at it with 'rppam config show {config}'; "
            "choose another place, or write it anew with --force (the present one is kept beside it)"
        )

    def _stands(self, planned: Settings) -> bool:
        """Whether the config that is there means the same."""
        try:
            present = load_settings(self._layout.config)
        except ConfigError:
            return False
        return replace(present, warnings=(), notes=()) == replace(planned, warnings=(), notes=())

    def _folders(self) -> None:
        layout = self._layout
        for folder in (layout.config.parent, layout.data, layout.keys, layout.jwt_keys):
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise InitError(
                    f"the folder {folder} cannot be made: {error.strerror}. Run this as root, or use --dir"
                ) from None

    def _keeps(self, _path: Path) -> bool:
        """Whether a backup is kept of what is written over."""
        return True

    def _put(self, path: Path, text: str | bytes) -> None:
        """Write ``text``, unless just that stands there; over something else only when told to, with a backup where
        one is kept."""
        if self._is_there(path, text):
            return
        try:
            if path.exists() and self._keeps(path):
                stamp = re.sub(r"[-:]", "", iso_utc_ms(self._clock.wall_ms()))
                backup = path.with_name(f"{path.name}.bak-{stamp}")
                os.link(path, backup)  # the old file keeps its owner and mode, and is never missing
                self._backups.append(backup)
            write_private(path, text)
        except OSError as error:
            raise InitError(f"{path} cannot be written: {error.strerror}. Run this as root, or use --dir") from None
        self._written.append(path)

    def _is_there(self, path: Path, text: str | bytes) -> bool:
        """Whether just that stands there. Raises :class:`InitError` where something else does, unless told to replace
        it."""
        try:
            if not path.exists():
                return False
            if path.read_bytes() == (text.encode() if isinstance(text, str) else text):
                return True
        except OSError as error:
            raise InitError(f"{path} cannot be read: {error.strerror}. Run this as root, or use --dir") from None
        if not self._force:
            kept = " and keeps a backup" if self._keeps(path) else ", and keeps no backup of a secret"
            raise InitError(f"{path} stands there already and differs; --force replaces it{kept}")
        return False

    def _encrypted(self, secret: Secret) -> str:
        return encrypt(secret, read_key(self._layout.config_key))

    def _config(self, plan: Config, planned: Settings, placed: Placed, *, joining: bool) -> Outcome:
        config = self._layout.config
        if not (config.exists() and self._stands(planned)):
            self._put(config, config_text(rendered(plan, self._encrypted)))
        settings = load_settings(config)
        warnings = (*settings.warnings, *remarks(plan, joining=joining, placed=placed.files))
        return Outcome(config, tuple(self._written), tuple(self._backups), settings, warnings)


def bundle_of(config: Path) -> Bundle:
    """What the next node needs of the node configured in ``config``.

    Raises leaves of ``ConfigError`` and ``SigningKeyError``, and :class:`InitError` when a file cannot be taken over.
    """
    settings = load_settings(config)
    tree: dict[str, Any] = read_tree(config.read_bytes(), str(config))
    files = {JWT + signing.name: signing.pem for signing in load_signing_keys(settings.auth.jwt_keys_dir)}
    for name, path in ((CONFIG_KEY, settings.auth.secret_key_path), (CLUSTER_KEY, settings.auth.cluster_key_path)):
        key = text_of(path)
        if key is None:
            raise InitError(f"{path} is missing; a node that is to have company needs it. Run 'rppam init' as before")
        files[name] = Secret(key)
    sealing = text_of(settings.auth.sealing_key_path)
    if sealing is not None:  # without one the cluster key seals, on the next node as here
        files[SEALING_KEY] = Secret(sealing)
    files |= collected(tree, config.parent)
    licence = text_of(settings.license.path)
    if licence is not None:
        files[LICENCE] = Secret(licence)
    trusted = [_public_text(key) if isinstance(key, Path) else key for key in settings.license.trusted_keys]
    if trusted:
        tree["license"] = {**tree.get("license", {}), "trustedKeys": trusted}
    return Bundle(tree, files)


def _public_text(path: Path) -> str:
    """The key in the file that ``license.trustedKeys`` names, as text: the next host may not have that file."""
    text = text_of(path, errors="replace")
    if text is None:
        raise InitError(f"{path} is missing, and license.trustedKeys names it. Put it back, or take the entry out")
    return parse_public_key(text, str(path)).text()
