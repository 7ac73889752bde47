"""Somebody else's authenticator, in software: ES256, CTAP2 data as WebAuthn Level 3 writes it."""

import base64
import hashlib
import json
import os
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


def text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class SoftKey:
    """One passkey for one site."""

    def __init__(self, origin: str, *, verifies: bool = True) -> None:
        self.origin, self.flags = origin, PRESENT | (VERIFIED if verifies else 0)
        self.id, self.count = os.urandom(32), 0
        self._private = ec.generate_private_key(ec.SECP256R1())
        self.user_handle = b""

    def create(self, options: dict[str, Any]) -> dict[str, Any]:
        """What ``navigator.credentials.create`` answers."""
        self.user_handle = base64.urlsafe_b64decode(options["user"]["id"] + "==")
        public = self._private.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: public.x.to_bytes(32, "big"), -3: public.y.to_bytes(32, "big")}
        attested = bytes(16) + len(self.id).to_bytes(2, "big") + self.id + cbor2.dumps(cose)
        data = self._data(options["rp"]["id"], ATTESTED) + attested
        client = self._client("webauthn.create", options["challenge"])
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        return self._credential({"clientDataJSON": text(client), "attestationObject": text(attestation)})

    def get(self, options: dict[str, Any], **instead: Any) -> dict[str, Any]:
        """What ``navigator.credentials.get`` answers; ``instead``: another challenge or site."""
        self.count += 1
        data = self._data(instead.get("rp_id", options["rpId"]), 0)
        client = self._client("webauthn.get", instead.get("challenge", options["challenge"]))
        signature = self._private.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        response = {"clientDataJSON": text(client), "authenticatorData": text(data), "signature": text(signature)}
        return self._credential(response | {"userHandle": text(self.user_handle)})

    def _data(self, rp_id: str, flags: int) -> bytes:
        digest = hashlib.sha256(rp_id.encode()).digest()
        return digest + bytes([self.flags | flags]) + self.count.to_bytes(4, "big")

    def _client(self, kind: str, challenge: str) -> bytes:
        return json.dumps({"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}).encode()

    def _credential(self, response: dict[str, str]) -> dict[str, Any]:
        ident = text(self.id)
        return {"id": ident, "rawId": ident, "type": "public-key", "response": response, "clientExtensionResults": {}}
