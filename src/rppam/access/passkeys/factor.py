"""The second factor that a request shows beside what it asks for: a passkey's answer, or the authenticator's code.

It decides which of the two counts where both are given. Whether one is needed is the affair of who asks.
"""

from rppam.access.mfa.service import SecondFactors
from rppam.access.passkeys.schemas import Answer
from rppam.access.passkeys.service import Passkeys
from rppam.kernel.services import Services


async def shown_factor(services: Services, user_id: str, passkey: Answer | None, code: str | None, client: str) -> str:
    """Prove what is shown; ``passkey``, ``code``, or empty where nothing is. Raises where it is not right, as
    :meth:`Passkeys.prove` and :meth:`SecondFactors.prove` do."""
    if passkey is not None:
        await services.get(Passkeys).prove(user_id, passkey.id, passkey.credential)
        return "passkey"
    if code is not None:
        await services.get(SecondFactors).prove(user_id, code, client)
        return "code"
    return ""
