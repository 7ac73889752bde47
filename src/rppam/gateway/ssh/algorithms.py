"""Which algorithms are spoken, to users and to targets: no SHA-1, no finite-field Diffie-Hellman, no compression.

Finite-field exchanges cost milliseconds of processor time before anybody has logged in; compression lets a few bytes
grow in memory.
"""

import logging
from typing import Any, Final

import asyncssh

KEX: Final = (
    "mlkem768x25519-sha256",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
)
CIPHERS: Final = (
    "chacha20-poly1305@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-gcm@openssh.com",
    "aes256-ctr",
)
FAST_CIPHERS: Final = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", *CIPHERS[:1], *CIPHERS[3:])
"""To targets the gateway chooses, and it takes what the processor does fastest."""
MACS: Final = (
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "umac-128-etm@openssh.com",
    "hmac-sha2-256",
)
SIGNATURES: Final = (
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
HOST_KEYS: Final = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "rsa-sha2-512", "rsa-sha2-256")

LEGACY_KEX: Final = ("diffie-hellman-group14-sha256", "diffie-hellman-group14-sha1", "diffie-hellman-group1-sha1")
LEGACY_CIPHERS: Final = ("aes128-cbc", "aes256-cbc", "3des-cbc")
LEGACY_MACS: Final = ("hmac-sha1",)
LEGACY_KEYS: Final = ("ssh-rsa",)
"""What old targets know alone. Taken from those whose resource says so, and never from users."""

LOGIN_S: Final = 60
KEEPALIVE_S: Final = 15
KEEPALIVES: Final = 3


def common() -> dict[str, Any]:
    """Options of both sides."""
    return {
        "kex_algs": KEX,
        "mac_algs": MACS,
        "compression_algs": None,
        "keepalive_interval": KEEPALIVE_S,
        "keepalive_count_max": KEEPALIVES,
    }


def legacy() -> dict[str, Any]:
    """Options for a target that may know nothing better."""
    return {
        "kex_algs": KEX + LEGACY_KEX,
        "mac_algs": MACS + LEGACY_MACS,
        "encryption_algs": FAST_CIPHERS + LEGACY_CIPHERS,
        "signature_algs": SIGNATURES + LEGACY_KEYS,
    }


def quiet() -> None:
    """Keep asyncssh from logging user names and commands; what is recorded, we decide."""
    asyncssh.set_log_level(logging.ERROR)
    asyncssh.set_sftp_log_level(logging.ERROR)
