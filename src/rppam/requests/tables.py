"""The tables of requests, grants, policies and groups. Times are milliseconds since 1970, by the database's clock.

No row of a request or a grant is ever deleted: they are the history of who had access.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from rppam.db.tables import metadata

access_requests = Table(
    "access_requests",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("requester", String(36), nullable=False),
    Column("object_kind", String(16), nullable=False),
    Column("object_id", String(36), nullable=False),
    Column("object_name", String(300), nullable=False),
    Column("rights", String(64), nullable=False),
    Column("reason", Text, nullable=False),
    Column("factor", String(16), nullable=False),
    Column("policy", String(64), nullable=False),
    Column("terms", Text, nullable=False),
    Column("rules", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("decide_by", BigInteger, nullable=False),
    Column("starts_at", BigInteger),
    Column("use_by", BigInteger),
    Column("begins_at", BigInteger),
    Column("until", BigInteger),
    Column("warned", Integer, nullable=False),
    Column("extends", String(36), nullable=False),
    Column("emergency", Boolean, nullable=False),
    Column("reviewed", Boolean, nullable=False),
    Column("ended_at", BigInteger),
    Column("why", String(1000), nullable=False),
    Column("due_at", BigInteger),
    Column("version", BigInteger, nullable=False),
    Index("ix_access_requests_due_at", "due_at"),
    Index("ix_access_requests_requester", "requester", "created_at"),
    Index("ix_access_requests_created_at", "created_at"),
    Index("ix_access_requests_extends", "extends"),
)
"""``terms`` and ``rules``: what the policy said when access was asked for, as JSON. ``extends``: the request whose
grant this one makes longer, or empty. ``due_at``: when time alone does something to it next. ``version`` grows with
every change."""

request_approvers = Table(
    "request_approvers",
    metadata,
    Column("request_id", String(36), ForeignKey("access_requests.id"), primary_key=True),
    Column("user_id", String(36), primary_key=True),
    Column("since", BigInteger, nullable=False),
    Column("entitled_by", String(48), nullable=False),
    Index("ix_request_approvers_user_id", "user_id"),
)
"""Who may decide, fixed when access was asked for. ``entitled_by``: ``role``, ``admin``, ``manager`` or ``group:ID``;
it has to hold at the decision as well."""

request_decisions = Table(
    "request_decisions",
    metadata,
    Column("request_id", String(36), ForeignKey("access_requests.id"), primary_key=True),
    Column("approver", String(36), primary_key=True),
    Column("verdict", String(16), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("note", String(1000), nullable=False),
    Column("factor", String(16), nullable=False),
)

access_grants = Table(
    "access_grants",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("request_id", String(36), ForeignKey("access_requests.id"), nullable=False),
    Column("user_id", String(36), nullable=False),
    Column("object_kind", String(16), nullable=False),
    Column("object_id", String(36), nullable=False),
    Column("rights", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("begins_at", BigInteger),
    Column("until", BigInteger),
    Column("use_by", BigInteger),
    Column("ended_at", BigInteger),
    Column("ended_why", String(1000), nullable=False),
    Column("version", BigInteger, nullable=False),
    UniqueConstraint("request_id"),
    Index("ix_access_grants_user_id", "user_id", "ended_at"),
)
"""What came of approved requests: one of each, whatever else goes wrong."""

approval_policies = Table(
    "approval_policies",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("level", String(16), nullable=False),
    Column("subject", String(36), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("rules", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    UniqueConstraint("name"),
    UniqueConstraint("level", "subject"),
)

user_groups = Table(
    "user_groups",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("revision", BigInteger, nullable=False),
    UniqueConstraint("name"),
)

user_group_members = Table(
    "user_group_members",
    metadata,
    Column("group_id", String(36), ForeignKey("user_groups.id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", String(36), ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Index("ix_user_group_members_user_id", "user_id"),
)

user_contacts = Table(
    "user_contacts",
    metadata,
    Column("user_id", String(36), ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("manager_id", String(36), nullable=False),
    Column("email", String(254), nullable=False),
    Column("revision", BigInteger, nullable=False),
)
"""Who somebody reports to, and where mail reaches them; both may be empty."""
