"""Somebody who has signed in, and what they ask of the vault."""

from typing import Any

import httpx

from tests.support.served import PASSWORD, Served

ENTRIES, CHECKOUTS, FOLDERS = "/api/v1/vault/entries", "/api/v1/vault/checkouts", "/api/v1/vault/folders"
SECRET = "correct-horse\n\0 🐎 battery"


class Person:
    """One who has signed in; ``admin`` is a token that was made on the host."""

    def __init__(self, served: Served, name: str, headers: dict[str, str]) -> None:
        self.served, self.name, self.headers = served, name, headers

    async def post(self, path: str, /, **body: Any) -> httpx.Response:
        return await self.served.http.post(path, json=body, headers=self.headers)

    async def get(self, path: str) -> httpx.Response:
        return await self.served.http.get(path, headers=self.headers)

    async def put(self, path: str, /, **body: Any) -> httpx.Response:
        return await self.served.http.put(path, json=body, headers=self.headers)

    async def delete(self, path: str) -> httpx.Response:
        return await self.served.http.delete(path, headers=self.headers)

    async def made(self, path: str, /, **body: Any) -> dict[str, Any]:
        """What a POST makes."""
        answer = await self.post(path, **body)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def entry(self, name: str = "root", **more: Any) -> dict[str, Any]:
        """An entry with :data:`SECRET`."""
        body = {"folder": "servers", "name": name, "type": "password", "fields": {"password": SECRET}, **more}
        return await self.made(ENTRIES, **body)

    async def reveal(self, entry: dict[str, Any], **more: Any) -> httpx.Response:
        return await self.post(f"{ENTRIES}/{entry['id']}/reveal", **{"reason": "because", **more})

    async def check_out(self, entry: dict[str, Any], **more: Any) -> httpx.Response:
        return await self.post(CHECKOUTS, **{"entryId": entry["id"], "reason": "because", "minutes": 30, **more})


def host(served: Served) -> Person:
    return Person(served, "admin", served.bearer())


async def person(served: Served, name: str) -> Person:
    """One of the accounts of the application that the tests serve."""
    answer = await served.http.post("/api/v1/auth/login", json={"username": name, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return Person(served, name, {"Authorization": f"Bearer {answer.json()['accessToken']}"})


async def let(served: Served, path: str, who: str, *rights: str) -> None:
    """Give rights on a folder, beside those that are there."""
    admin = host(served)
    [folder] = [one for one in (await admin.get(FOLDERS)).json()["items"] if one["path"] == path]
    there = (await admin.get(f"{FOLDERS}/{folder['id']}/rights")).json()["items"]
    items = [*there, {"userId": f"id-{who}", "rights": list(rights)}]
    answer = await admin.put(f"{FOLDERS}/{folder['id']}/rights", items=items)
    assert answer.status_code == 200, answer.text


async def actions(served: Served, action: str) -> list[dict[str, Any]]:
    """What was recorded."""
    answer = await host(served).get(f"/api/v1/audit/events?action={action}")
    found: list[dict[str, Any]] = answer.json()["events"]
    return found
