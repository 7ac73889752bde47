"""How a node hands orders on to others, and takes theirs: plugged together."""

import socket

from rppam.cluster.admin.forwarding import Carrier, LinkRelay
from rppam.cluster.consensus.node import NodeCore
from rppam.cluster.link.data_keys import sealing_secrets_of
from rppam.cluster.link.link import TlsMemberLink
from rppam.cluster.link.orders import OrderOptions
from rppam.config.advertised import api_url
from rppam.config.settings import Settings


def relay_of(settings: Settings, link: TlsMemberLink | None, core: NodeCore, carrier: Carrier) -> LinkRelay:
    """The way of orders to other nodes; ``carrier`` carries out what comes from them."""
    if link is not None:
        link.take_orders(OrderOptions(sealing_secrets_of(settings), carrier, lambda node: _may_order(core, node)))
    return LinkRelay(settings.node.node_name, link)


def own_url(settings: Settings) -> str:
    """Where others reach this node's API."""
    return api_url(settings, hostname=socket.gethostname())


def _may_order(core: NodeCore, node: str) -> bool:
    """Whether ``node`` is a member that has administrators: no witness, which has no REST API."""
    membership = core.status().known_membership
    return membership is not None and any(body.may_stand(node) for body in membership.voter_sets)
