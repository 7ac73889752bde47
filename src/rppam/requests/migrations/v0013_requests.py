"""Requests for access, grants, policies and groups."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None
step = "expand"


def upgrade() -> None:
    """Add the tables."""
    _user_groups()
    _user_group_members()
    _user_contacts()
    _approval_policies()
    _access_requests()
    _request_approvers()
    _request_decisions()
    _access_grants()


def _user_groups() -> None:
    op.create_table(
        "user_groups",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_user_groups"),
        sa.UniqueConstraint("name", name="uq_user_groups_name"),
    )


def _user_group_members() -> None:
    op.create_table(
        "user_group_members",
        sa.Column("group_id", sa.String(36), nullable=False),
        sa.Column("user_id", sa.String(36), nullable=False),
        sa.PrimaryKeyConstraint("group_id", "user_id", name="pk_user_group_members"),
        sa.ForeignKeyConstraint(
            ["group_id"], ["user_groups.id"], name="fk_user_group_members_group_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_user_group_members_user_id", ondelete="CASCADE"),
    )
    op.create_index("ix_user_group_members_user_id", "user_group_members", ["user_id"])


def _user_contacts() -> None:
    op.create_table(
        "user_contacts",
        sa.Column("user_id", sa.String(36), nullable=False),
        sa.Column("manager_id", sa.String(36), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_user_contacts"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_user_contacts_user_id", ondelete="CASCADE"),
    )


def _approval_policies() -> None:
    op.create_table(
        "approval_policies",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("level", sa.String(16), nullable=False),
        sa.Column("subject", sa.String(36), nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("rules", sa.Text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_approval_policies"),
        sa.UniqueConstraint("name", name="uq_approval_policies_name"),
        sa.UniqueConstraint("level", "subject", name="uq_approval_policies_level"),
    )


def _access_requests() -> None:
    op.create_table(
        "access_requests",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("requester", sa.String(36), nullable=False),
        sa.Column("object_kind", sa.String(16), nullable=False),
        sa.Column("object_id", sa.String(36), nullable=False),
        sa.Column("object_name", sa.String(300), nullable=False),
        sa.Column("rights", sa.String(64), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("factor", sa.String(16), nullable=False),
        sa.Column("policy", sa.String(64), nullable=False),
        sa.Column("terms", sa.Text, nullable=False),
        sa.Column("rules", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("decide_by", sa.BigInteger, nullable=False),
        sa.Column("starts_at", sa.BigInteger),
        sa.Column("use_by", sa.BigInteger),
        sa.Column("begins_at", sa.BigInteger),
        sa.Column("until", sa.BigInteger),
        sa.Column("warned", sa.Integer, nullable=False),
        sa.Column("extends", sa.String(36), nullable=False),
        sa.Column("emergency", sa.Boolean, nullable=False),
        sa.Column("reviewed", sa.Boolean, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("why", sa.String(1000), nullable=False),
        sa.Column("due_at", sa.BigInteger),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_access_requests"),
    )
    op.create_index("ix_access_requests_created_at", "access_requests", ["created_at"])
    op.create_index("ix_access_requests_due_at", "access_requests", ["due_at"])
    op.create_index("ix_access_requests_extends", "access_requests", ["extends"])
    op.create_index("ix_access_requests_requester", "access_requests", ["requester", "created_at"])


def _request_approvers() -> None:
    op.create_table(
        "request_approvers",
        sa.Column("request_id", sa.String(36), nullable=False),
        sa.Column("user_id", sa.String(36), nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("entitled_by", sa.String(48), nullable=False),
        sa.PrimaryKeyConstraint("request_id", "user_id", name="pk_request_approvers"),
        sa.ForeignKeyConstraint(["request_id"], ["access_requests.id"], name="fk_request_approvers_request_id"),
    )
    op.create_index("ix_request_approvers_user_id", "request_approvers", ["user_id"])


def _request_decisions() -> None:
    op.create_table(
        "request_decisions",
        sa.Column("request_id", sa.String(36), nullable=False),
        sa.Column("approver", sa.String(36), nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("note", sa.String(1000), nullable=False),
        sa.Column("factor", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("request_id", "approver", name="pk_request_decisions"),
        sa.ForeignKeyConstraint(["request_id"], ["access_requests.id"], name="fk_request_decisions_request_id"),
    )


def _access_grants() -> None:
    op.create_table(
        "access_grants",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("request_id", sa.String(36), nullable=False),
        sa.Column("user_id", sa.String(36), nullable=False),
        sa.Column("object_kind", sa.String(16), nullable=False),
        sa.Column("object_id", sa.String(36), nullable=False),
        sa.Column("rights", sa.String(64), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("begins_at", sa.BigInteger),
        sa.Column("until", sa.BigInteger),
        sa.Column("use_by", sa.BigInteger),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("ended_why", sa.String(1000), nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_access_grants"),
        sa.UniqueConstraint("request_id", name="uq_access_grants_request_id"),
        sa.ForeignKeyConstraint(["request_id"], ["access_requests.id"], name="fk_access_grants_request_id"),
    )
    op.create_index("ix_access_grants_user_id", "access_grants", ["user_id", "ended_at"])
