"""Why an administrator's order was not carried out (RPPAM-52xx). Nothing was changed, unless the sentence says so."""

from collections.abc import Mapping

from rppam.http.errors import RequestError
from rppam.kernel.errors import ErrorRow, Fault, Retry
from rppam.kernel.exits import Exit


class AdministrationError(RequestError):
    """Base of all of them. ``str(error)`` is for the administrator."""


class MemberUnknown(AdministrationError):
    """Nobody of this name is known here."""

    row = ErrorRow(
        "RPPAM-5201",
        Fault.CALLER,
        Retry.NO,
        "No node of this name belongs to the cluster, as far as the asked node knows.",
        "Compare the name with 'rppam status'; if it is right, ask again once the node has shown itself.",
        exit=Exit.ERRORS,
        status=404,
        level="info",
    )


class OtherNodeError(AdministrationError):
    """Base of what keeps an order from the node that it is for, which is not the one that was asked."""

    def __init__(self, sentence: str, node: str, url: str | None) -> None:
        super().__init__(sentence)
        self.node, self.url = node, url

    def members(self) -> Mapping[str, object]:
        """Whom the order is for, and where that one answers; null when that is not known."""
        return {"node": self.node, "nodeUrl": self.url}


class NotThisNode(OtherNodeError):
    """An order for another node, which is not handed on."""

    row = ErrorRow(
        "RPPAM-5202",
        Fault.CALLER,
        Retry.CALLER_DECIDES,
        "The order is for another node, and the asked one could not hand it on.",
        "Send the request to the node itself, at 'nodeUrl'; 'detail' says why it was not handed on.",
        exit=Exit.ERRORS,
        status=421,
        level="info",
    )


class ChangePending(AdministrationError):
    """One change of the members at a time."""

    row = ErrorRow(
        "RPPAM-5203",
        Fault.SURROUNDINGS,
        Retry.YES,
        "Another change of the members is under way, and there is one at a time.",
        "Wait until 'rppam status' shows no pending change; a member that died meanwhile may have to be forgotten.",
        exit=Exit.ERRORS,
        status=409,
        level="info",
    )


class NobodyToFollow(AdministrationError):
    """The leader would leave the cluster without one."""

    row = ErrorRow(
        "RPPAM-5204",
        Fault.SURROUNDINGS,
        Retry.YES,
        "No other node could lead now, so the leader stays.",
        "Bring another node up, or out of maintenance; to end the service anyway, stop the node.",
        exit=Exit.NO,
        status=409,
        level="info",
    )


class CannotFollow(AdministrationError):
    """The node that was named could not lead."""

    row = ErrorRow(
        "RPPAM-5205",
        Fault.CALLER,
        Retry.NO,
        "The node that was named to follow could not lead now, so the leader stays.",
        "Name one that could, or none: then the first in the order of succession is invited.",
        exit=Exit.NO,
        status=409,
        level="info",
    )


class LeadsAlready(AdministrationError):
    """There is nothing to hand over."""

    row = ErrorRow(
        "RPPAM-5206",
        Fault.CALLER,
        Retry.NO,
        "The node that was named leads already.",
        "Nothing is to be done.",
        exit=Exit.NO,
        status=409,
        level="info",
    )


class MemberRuns(AdministrationError):
    """A member that runs is not removed by mistake."""

    row = ErrorRow(
        "RPPAM-5207",
        Fault.CALLER,
        Retry.CALLER_DECIDES,
        "A member that runs is not forgotten, unless it is a node in maintenance.",
        "Stop it, and forget it then; a node, not a witness, may stay up in maintenance: rppam cluster maintenance "
        "NODE on.",
        exit=Exit.NO,
        status=409,
        level="info",
    )


class NotStatedOff(AdministrationError):
    """The rule needs the operator's word that a silent member is switched off."""

    row = ErrorRow(
        "RPPAM-5208",
        Fault.OPERATOR,
        Retry.NO,
        "A member that does not answer can be removed only on the word that it is switched off.",
        "Make sure that the host is off or its rppam disabled for good, then: rppam cluster forget NODE --off.",
        exit=Exit.NO,
        status=409,
        level="info",
    )


class LeaderPresent(AdministrationError):
    """Force is for a cluster that has lost its majority."""

    row = ErrorRow(
        "RPPAM-5209",
        Fault.CALLER,
        Retry.NO,
        "The cluster has a leader, so members are not removed by force.",
        "Use 'rppam cluster forget NODE' without --force: the leader then changes the members safely.",
        exit=Exit.NO,
        status=409,
        level="info",
    )


class MembersDoNotVote(AdministrationError):
    """There is no list of members to change."""

    row = ErrorRow(
        "RPPAM-5210",
        Fault.CALLER,
        Retry.NO,
        "Members do not vote here, so there is no list of members to change.",
        "A node without a cluster key is led by the Redis record alone; a stopped node leaves the view by itself.",
        exit=Exit.NO,
        status=409,
        level="info",
    )


class ControlSilent(AdministrationError):
    """The part of the node that decides did not answer."""

    row = ErrorRow(
        "RPPAM-5211",
        Fault.SURROUNDINGS,
        Retry.YES,
        "The control process of the node did not answer; the order may or may not have been carried out.",
        "Look with 'rppam status' whether it was, and give it again in a second if not.",
        exit=Exit.ERRORS,
        status=503,
        level="warning",
    )


class OrdersUnwritable(AdministrationError):
    """An order holds, and cannot be kept over a restart."""

    row = ErrorRow(
        "RPPAM-5212",
        Fault.SURROUNDINGS,
        Retry.YES,
        "The order holds while this node runs, but could not be kept on disk and would be forgotten at a restart.",
        "Free some space in node.dataDir, or let the account that runs rppam own it; the node tries again every 5 s.",
        exit=Exit.ERRORS,
        status=503,
        level="warning",
    )


class HistoryUnreadable(AdministrationError):
    """The node cannot read what it noted."""

    row = ErrorRow(
        "RPPAM-5213",
        Fault.SURROUNDINGS,
        Retry.NO,
        "The file with this node's history cannot be read; leadership does not depend on it.",
        "Let the account that runs rppam own history.jsonl in node.dataDir; the log tells the same story.",
        exit=Exit.ERRORS,
        status=503,
        level="warning",
    )


class NodeSilent(OtherNodeError):
    """The order was handed on, and no answer came."""

    row = ErrorRow(
        "RPPAM-5214",
        Fault.PEER,
        Retry.IF_IDEMPOTENT,
        "The node that the order is for did not answer the one that was asked; it may or may not have taken it.",
        "Look with 'rppam status' whether it has; see that it runs, and that the member link between the two works.",
        exit=Exit.ERRORS,
        status=504,
        level="warning",
    )


class NodeAnswersWrongly(OtherNodeError):
    """The order was handed on, and what came back is no answer that this node can read or believe."""

    row = ErrorRow(
        "RPPAM-5215",
        Fault.PEER,
        Retry.CALLER_DECIDES,
        "The node that the order is for gave the node that was asked no answer that can be passed on.",
        "'detail' says what it answered; let both nodes run one release of rppam and have the same key files (auth.*).",
        exit=Exit.ERRORS,
        status=502,
        level="warning",
    )


class WitnessTakesNoOrders(AdministrationError):
    """There is nothing that a witness could be kept from."""

    row = ErrorRow(
        "RPPAM-5216",
        Fault.CALLER,
        Retry.NO,
        "A witness is never in maintenance: it only votes, never leads, and has no REST API.",
        "Work on its host as you like, one voter at a time; to remove it for good, stop it, then: rppam cluster forget "
        "NODE.",
        exit=Exit.NO,
        status=409,
        level="info",
    )


class TooManyOrders(AdministrationError):
    """Orders between nodes are few at a time."""

    row = ErrorRow(
        "RPPAM-5321",
        Fault.PEER,
        Retry.SLOWLY,
        "The node that the order is for takes no more orders at this moment; it was not carried out.",
        "Give it again in a second; if it stays so, look into the log of the two nodes for who orders so much.",
        exit=Exit.NO,
        status=503,
        level="warning",
    )

    def headers(self) -> Mapping[str, str]:
        """When to come again."""
        return {"Retry-After": "1"}


class OrderNotBelieved(OtherNodeError):
    """The other node says that this one may not order, or not by this key."""

    row = ErrorRow(
        "RPPAM-5322",
        Fault.OPERATOR,
        Retry.SLOWLY,
        "The node that the order is for did not believe that it comes from a node of the cluster, and says that it did "
        "not carry it out.",
        "'detail' says why; let both nodes have the same key files (auth.*), and both be members: 'rppam status'.",
        exit=Exit.ERRORS,
        status=502,
        level="warning",
    )
