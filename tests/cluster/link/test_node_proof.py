"""The proof of a node in its certificate: only a holder of the sealing key makes one, for one key and one name."""

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_der_x509_certificate, load_pem_x509_certificate

from rppam.cluster.link.credentials import OID, Credentials, proves, shows
from rppam.kernel.secret import Secret

LINK, SEALING, NEXT, OTHER = (Secret(digits * 32) for digits in ("ab", "5e", "6f", "77"))
CLUSTER, NODE = "cluster-001", "node1"


def certificate(*sealing: Secret, node: str = NODE) -> bytes:
    made = Credentials(LINK, cluster_id=CLUSTER, node_name=node, sealing=sealing)
    return load_pem_x509_certificate(made.own_pem).public_bytes(Encoding.DER)


def test_a_certificate_proves_its_maker_s_sealing_keys_and_no_others() -> None:
    der = certificate(SEALING, NEXT)
    assert proves(der, CLUSTER, NODE, (SEALING,))
    assert proves(der, CLUSTER, NODE, (OTHER, NEXT))
    assert not proves(der, CLUSTER, NODE, (OTHER, LINK))
    assert shows(der, CLUSTER, NODE, SEALING)
    assert not shows(der, CLUSTER, NODE, NEXT), "it knows it, and seals with another one"


def test_a_proof_is_for_one_name_of_one_cluster() -> None:
    der = certificate(SEALING)
    assert not proves(der, CLUSTER, "node2", (SEALING,))
    assert not proves(der, "cluster-002", NODE, (SEALING,))


@pytest.mark.parametrize("der", [None, b"", b"no certificate"])
def test_what_is_no_certificate_proves_nothing(der: bytes | None) -> None:
    assert not proves(der, CLUSTER, NODE, (SEALING,))
    assert not shows(der, CLUSTER, NODE, SEALING)


def test_a_holder_of_the_link_key_alone_has_no_proof_and_another_s_is_for_another_key() -> None:
    assert not proves(certificate(), CLUSTER, NODE, (SEALING,))
    first, second = (load_der_x509_certificate(certificate(SEALING)) for _ in range(2))
    one, two = (made.extensions.get_extension_for_oid(OID).value for made in (first, second))
    assert one != two, "a proof that was seen fits no other public key"


def test_a_proof_is_demanded_only_where_the_link_key_does_not_seal() -> None:
    def demands(*sealing: Secret, also: tuple[Secret, ...] = ()) -> bool:
        return Credentials(LINK, cluster_id=CLUSTER, node_name=NODE, also=also, sealing=sealing).demands_proof

    assert demands(SEALING)
    assert not demands()
    assert not demands(LINK)
    assert not demands(SEALING, LINK), "it is being introduced: some seal with the link key still"
    assert not demands(OTHER, also=(OTHER,))
