"""Keys and a clock for token tests."""

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from rppam.access.tokens.key_files import StoredKey
from rppam.kernel.instant import Instant, WallMs
from rppam.kernel.secret import Secret

NOW_S = 1_772_000_000


class SetClock:
    """A clock that the test sets."""

    def __init__(self, now_s: int = NOW_S) -> None:
        self.now_s = now_s

    def now(self) -> Instant:
        return Instant(self.now_s * 1_000_000)

    def wall_ms(self) -> WallMs:
        return WallMs(self.now_s * 1000)


class Counting:
    """Nonces in order."""

    def __init__(self) -> None:
        self.count = 0

    def nonce(self) -> str:
        self.count += 1
        return f"{self.count:016x}"

    def below(self, bound: int) -> int:
        return 0 % bound


def stored(key: PrivateKeyTypes, name: str = "jwt.pem", signs_from_s: int = 0) -> StoredKey:
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return StoredKey(name, Secret(pem), signs_from_s)


def p256() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)
