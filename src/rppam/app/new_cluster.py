"""What a new cluster begins with: the settings that are written in the transaction that makes its first account.

Decides the start alone: an installation that has accounts keeps what it has, whatever a config says. A new one asks its
administrators for a second factor, unless the section ``settings`` of the node's config says something else.
"""

import json
from collections.abc import Mapping
from typing import Any

from rppam.access.accounts.model import AccountRole
from rppam.access.mfa.model import MfaRequirement, is_required
from rppam.access.mfa.policy import MFA, MfaPolicy
from rppam.config.settings import Settings
from rppam.settings.files import wishes
from rppam.settings.model import Setting


def initial_settings(settings: Settings) -> dict[str, str]:
    """The JSON of each setting that does not begin with its default, by name."""
    first: dict[str, tuple[Setting[Any], dict[str, object]]] = {
        MFA.name: (MFA, MFA.write(MfaPolicy(mfa_requirement=MfaRequirement.ADMINS.value)))
    }
    first |= {wish.setting.name: (wish.setting, wish.value) for wish in wishes(settings.hot)}
    return {
        name: json.dumps(value) for name, (setting, value) in first.items() if value != setting.write(setting.default)
    }


def first_log_in(first: Mapping[str, str]) -> str:
    """What people should know before the first log-in, where a cluster begins with ``first``."""
    value = MFA.read(json.loads(first.get(MFA.name, "{}")))
    if is_required(value.requirement, frozenset({AccountRole.ADMIN})):
        return "The first log-in enrols a second factor, which this cluster asks of administrators (security/mfa)."
    return "No second factor is asked for in this cluster: its config says so (security/mfa)."
