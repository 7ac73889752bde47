"""Why an administrator's order was not carried out (RPPAM-52xx). Nothing was changed, unless the sentence says so."""

from collections.abc import Mapping

from rppam.http.errors import RequestError
from rppam.kernel.errors import Exit, Fault, Retry


class AdministrationError(RequestError, exit=Exit.NO, status=409):
    """Base of all of them. ``str(error)`` is for the administrator."""


class NodeUnable(
    AdministrationError, fault=Fault.SURROUNDINGS, retry=Retry.YES, exit=Exit.ERRORS, status=503, level="warning"
):
    """Base of what this node itself could not do."""


class OtherNodeError(AdministrationError, exit=Exit.ERRORS):
    """Base of what keeps an order from the node that it is for, which is not the one that was asked."""

    def __init__(self, sentence: str, node: str, url: str | None) -> None:
        super().__init__(sentence)
        self.node, self.url = node, url

    def members(self) -> Mapping[str, object]:
        """Name the node that the order is for, and where it answers; null when that is not known."""
        return {"node": self.node, "nodeUrl": self.url}


class OtherNodeFailed(OtherNodeError, fault=Fault.PEER, level="warning"):
    """Base of what the other node, or the way to it, did wrong."""


class MemberUnknown(AdministrationError, code="RPPAM-5201", exit=Exit.ERRORS, status=404):
    """No node of this name belongs to the cluster, as far as the asked node knows."""

    fix = "Compare the name with 'rppam status'; if it is right, ask again once the node has shown itself."


class NotThisNode(OtherNodeError, code="RPPAM-5202", retry=Retry.CALLER_DECIDES, status=421):
    """The order is for another node, and the asked one could not hand it on."""

    fix = "Send the request to the node itself, at 'nodeUrl'; 'detail' says why it was not handed on."


class ChangePending(
    AdministrationError, code="RPPAM-5203", fault=Fault.SURROUNDINGS, retry=Retry.YES, exit=Exit.ERRORS
):
    """Another change of the members is under way, and there is one at a time."""

    fix = "Wait until 'rppam status' shows no pending change; a member that died meanwhile may have to be forgotten."


class NobodyToFollow(AdministrationError, code="RPPAM-5204", fault=Fault.SURROUNDINGS, retry=Retry.YES):
    """No other node could lead now, so the leader stays."""

    fix = "Bring another node up, or out of maintenance; to end the service anyway, stop the node."


class CannotFollow(AdministrationError, code="RPPAM-5205"):
    """The node that was named to follow could not lead now, so the leader stays."""

    fix = "Name one that could, or none: then the first in the order of succession is invited."


class LeadsAlready(AdministrationError, code="RPPAM-5206"):
    """The node that was named leads already."""

    fix = "Nothing is to be done."


class MemberRuns(AdministrationError, code="RPPAM-5207", retry=Retry.CALLER_DECIDES):
    """A member that runs is not forgotten, unless it is a node in maintenance."""

    fix = (
        "Stop it, and forget it then; a node, not a witness, may stay up in maintenance: rppam cluster maintenance "
        "NODE on."
    )


class NotStatedOff(AdministrationError, code="RPPAM-5208", fault=Fault.OPERATOR):
    """A member that does not answer can be removed only on the word that it is switched off."""

    fix = "Make sure that the host is off or its rppam disabled for good, then: rppam cluster forget NODE --off."


class LeaderPresent(AdministrationError, code="RPPAM-5209"):
    """The cluster has a leader, so members are not removed by force."""

    fix = "Use 'rppam cluster forget NODE' without --force: the leader then changes the members safely."


class MembersDoNotVote(AdministrationError, code="RPPAM-5210"):
    """Members do not vote here, so there is no list of members to change."""

    fix = "A node without a cluster key is led by the Redis record alone; a stopped node leaves the view by itself."


class ControlSilent(NodeUnable, code="RPPAM-5211"):
    """The node's control process did not answer; the order may or may not have been carried out."""

    fix = "Look with 'rppam status' whether it was, and give it again in a second if not."


class OrdersUnwritable(NodeUnable, code="RPPAM-5212"):
    """The order holds while this node runs, but was not saved to disk and is lost at a restart."""

    fix = "Free some space in node.dataDir, or let the account that runs rppam own it; the node tries again every 5 s."


class HistoryUnreadable(NodeUnable, code="RPPAM-5213", retry=Retry.NO):
    """The file with this node's history cannot be read; leadership does not depend on it."""

    fix = "Let the account that runs rppam own history.jsonl in node.dataDir; the log tells the same story."


class NodeSilent(OtherNodeFailed, code="RPPAM-5214", retry=Retry.IF_IDEMPOTENT, status=504):
    """The node that the order is for did not answer; it may or may not have taken the order."""

    fix = "Look with 'rppam status' whether it has; see that it runs, and that the member link between the two works."


class NodeAnswersWrongly(OtherNodeFailed, code="RPPAM-5215", retry=Retry.CALLER_DECIDES, status=502):
    """The node that the order is for gave no answer that can be passed on."""

    fix = "'detail' says what it answered; both nodes need one release of rppam and the same key files (auth.*)."


class WitnessTakesNoOrders(AdministrationError, code="RPPAM-5216"):
    """A witness is never in maintenance: it only votes, never leads, and has no REST API."""

    fix = "Work on its host, one voter at a time; to remove it for good, stop it, then: rppam cluster forget NODE."


class FaultImpossible(AdministrationError, code="RPPAM-5217"):
    """The node that leads cannot have this fault made for a failover test."""

    fix = "Choose another --method; 'detail' says what is in the way."


class SettingUnfit(AdministrationError, code="RPPAM-5218"):
    """A value of a setting would not work on this node, so no node goes by it."""

    fix = "'detail' says which node lacks what; give every node the same, or choose a value that all can use."


class TooManyOrders(
    AdministrationError, code="RPPAM-5321", fault=Fault.PEER, retry=Retry.SLOWLY, status=503, level="warning"
):
    """The node that the order is for takes no more orders now; it was not carried out."""

    fix = "Give it again in a second; if it stays so, look into the log of the two nodes for who orders so much."

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "1"}


class OrderNotBelieved(OtherNodeFailed, code="RPPAM-5322", fault=Fault.OPERATOR, retry=Retry.SLOWLY, status=502):
    """The node that the order is for did not accept it as coming from its cluster; it was not carried out."""

    fix = "'detail' says why; let both nodes have the same key files (auth.*), and both be members: 'rppam status'."
