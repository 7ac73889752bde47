"""What can be wrong with requests for access (RPPAM-8501 and on)."""

from rppam.kernel.errors import Fault, Retry, RppamError


class RequestError(RppamError, fault=Fault.CALLER, retry=Retry.NO, level="info"):
    """Base of all errors of requests for access."""


class RequestUnknown(RequestError, code="RPPAM-8501", status=404):
    """No request for access has this id, or the caller may not see it."""

    fix = "GET /api/v1/access-requests or 'rppam request ls' lists those that the caller may see."


class RequestInvalid(RequestError, code="RPPAM-8502", status=400):
    """The request cannot be as it was given."""

    fix = "Correct this field of the request for access."


class NotPossible(RequestError, code="RPPAM-8503", status=409):
    """In the state that the request or grant is in, this cannot be done."""

    fix = "Look at its 'state' and 'decisions'; ask for access again where it is over."


class DecisionRefused(RequestError, code="RPPAM-8504", status=403):
    """The caller may not decide about this request."""

    fix = "Have one of its 'approvers' decide, who is enabled and still in the role, and not who asks."


class AskedAlready(RequestError, code="RPPAM-8505", status=409):
    """The same access was asked for already and waits for a decision."""

    fix = "Wait for that request, or cancel it."


class NobodyApproves(RequestError, code="RPPAM-8506", status=409):
    """Fewer people may approve the request than its policy needs, so it would wait for ever."""

    fix = "Give more accounts the role pam_approver, or change the policy or its group of approvers."


class QuotaUsed(RequestError, code="RPPAM-8507", status=429):
    """The caller has used up the emergencies of a day."""

    fix = "Ask for access the usual way, or have an administrator raise emergenciesPerDay of the policy."


class FactorNeeded(RequestError, code="RPPAM-8508", status=403):
    """This needs a second factor that was shown just now."""

    fix = "Send the code of the authenticator as 'code', or 'passkey'; add one first where there is none."


class ChangedMeanwhile(RequestError, code="RPPAM-8509", retry=Retry.YES, status=409):
    """It has changed since the caller has read it."""

    fix = "Read it again, and decide by what it is now."


class GrantUnknown(RequestError, code="RPPAM-8511", status=404):
    """No grant has this id, or the caller may not see it."""

    fix = "GET /api/v1/grants or 'rppam request grants' lists those that the caller may see."


class PolicyUnknown(RequestError, code="RPPAM-8521", status=404):
    """No approval policy has this id."""

    fix = "GET /api/v1/approval-policies lists them."


class PolicyInvalid(RequestError, code="RPPAM-8522", status=400):
    """The approval policy cannot be as it was given."""

    fix = "Correct this field of the policy, group or contact."


class PolicyTaken(RequestError, code="RPPAM-8523", status=409):
    """Another approval policy has this name, or this user, group or default already."""

    fix = "Give it another name, or change the policy that exists."


class GroupUnknown(RequestError, code="RPPAM-8524", status=404):
    """No group of users has this id."""

    fix = "GET /api/v1/user-groups lists them."


class GroupTaken(RequestError, code="RPPAM-8525", status=409):
    """Another group of users has this name, or a policy needs the group."""

    fix = "Give it another name; change those policies before it is deleted."
