"""What the demo puts into its cluster so that one can connect: a target, an account whose key is in the vault, a user.

Over REST, as an administrator would. What an earlier demo in the same folder has put there is found and set right.
"""

from collections.abc import Mapping
from typing import Any, Final

from rppam.demo.ssh_target import NAME, SshTarget
from rppam.http.client import NoAnswerError, ask_json
from rppam.kernel.secret import Secret
from rppam.setup.errors import DemoError

FOLDER: Final = "demo"
USER: Final = "alice"
FAILOVER_TESTS: Final = "/api/v1/settings/failoverTest/allowedMethods"
_TAKEN: Final = 409


class Access:
    """See the module."""

    def __init__(self, url: str, token: Secret) -> None:
        """``url`` of a node, ``token`` of an administrator."""
        self._url, self._token = url, token

    async def prepare(self, target: SshTarget, password: Secret) -> None:
        """Make what is not there; :data:`USER` gets ``password``. Raises :class:`DemoError`."""
        await self._allow_every_failover_test()
        user_id = await self._user(password)
        new = {"name": NAME, "kind": "ssh", "address": "127.0.0.1", "port": target.port}
        resource = await self._made("/api/v1/resources", new)
        if resource["port"] != target.port:
            await self._ask("PUT", f"/api/v1/resources/{resource['id']}", {"port": target.port})
        await self._ask("POST", f"/api/v1/resources/{resource['id']}/host-keys", {"key": target.host_key}, _TAKEN)
        account = await self._made(
            "/api/v1/accounts", {"resourceId": resource["id"], "name": target.account}, resourceId=resource["id"]
        )
        entry = {
            "folder": FOLDER,
            "name": f"{target.account} at {NAME}",
            "type": "ssh-key",
            "accountId": account["id"],
            "fields": {"username": target.account, "privateKey": target.private_key.reveal()},
            "exclusive": False,
        }
        await self._ask("POST", "/api/v1/vault/entries", entry, _TAKEN)
        folders = (await self._ask("GET", "/api/v1/vault/folders", None))["items"]
        folder = next(one["id"] for one in folders if one["path"] == FOLDER)
        right = {"items": [{"userId": user_id, "rights": ["list", "use"]}]}
        await self._ask("PUT", f"/api/v1/vault/folders/{folder}/rights", right)

    async def _allow_every_failover_test(self) -> None:
        """A demo may be killed in every way."""
        found = await self._ask("GET", FAILOVER_TESTS, None)
        wanted = dict.fromkeys(found, True)
        if found != wanted:
            await self._ask("PUT", FAILOVER_TESTS, wanted)

    async def _user(self, password: Secret) -> str:
        new = {"username": USER, "displayName": "Alice", "password": password.reveal()}
        made = await self._ask("POST", "/api/v1/users", new, _TAKEN)
        if "id" in made:
            return str(made["id"])
        found = (await self._ask("GET", f"/api/v1/users?search={USER}", None))["items"]
        ident = next(str(one["id"]) for one in found if one["username"] == USER)
        await self._ask("POST", f"/api/v1/users/{ident}/password/reset", {"password": password.reveal()})
        return ident

    async def _made(self, path: str, body: Mapping[str, object], **query: str) -> Mapping[str, Any]:
        made = await self._ask("POST", path, body, _TAKEN)
        if "id" in made:
            return made
        asked = "&".join(f"{name}={value}" for name, value in {"search": str(body["name"]), **query}.items())
        found = (await self._ask("GET", f"{path}?{asked}", None))["items"]
        return next(one for one in found if one["name"] == body["name"])

    async def _ask(self, method: str, path: str, body: Mapping[str, object] | None, also: int = 0) -> Mapping[str, Any]:
        try:
            answer = await ask_json(method, self._url + path, body, token=self._token)
        except NoAnswerError as error:
            raise DemoError(f"the demo's target could not be made known to the cluster: {error}") from None
        found = answer.body if isinstance(answer.body, Mapping) else {}
        if answer.status == also and also:
            return {}
        if answer.status >= 300:
            said = found.get("detail", answer.status)
            raise DemoError(f"the demo's target could not be made known to the cluster ({method} {path}): {said}")
        return found
