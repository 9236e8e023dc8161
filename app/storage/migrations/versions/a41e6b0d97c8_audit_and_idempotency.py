"""What users have done, and the answers that repeated writes get again."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "a41e6b0d97c8"
down_revision: str | Sequence[str] | None = "7c1d5a90e3b2"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "user_action",
        sa.Column(
            "id", sa.BigInteger, sa.Identity(always=True), nullable=False
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("user_id", sa.String(255), nullable=False),
        sa.Column("username", sa.String(255), nullable=False),
        sa.Column("address", sa.String(255)),
        sa.Column("protocol", sa.String(4), nullable=False),
        sa.Column("action", sa.String(255), nullable=False),
        sa.Column("resource", sa.String(255)),
        sa.Column("outcome", sa.String(20), nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("req_id", sa.String(255)),
        sa.Column("duration_ms", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_user_action"),
    )
    for columns in (
        ["at", "id"],
        ["username", "at", "id"],
        ["action", "at", "id"],
        ["outcome", "at", "id"],
    ):
        name = "_".join(["ix_user_action", *columns])
        op.create_index(name, "user_action", columns)
    op.create_table(
        "remembered_answer",
        sa.Column("user_id", sa.String(255), nullable=False),
        sa.Column("protocol", sa.String(4), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("answer", sa.LargeBinary),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.func.now(),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint(
            "user_id", "protocol", "key", name="pk_remembered_answer"
        ),
    )
    op.create_index(
        "ix_remembered_answer_created_at", "remembered_answer", ["created_at"]
    )


def downgrade() -> None:
    """Bring the schema back to the revision before."""
    op.drop_table("remembered_answer")
    op.drop_table("user_action")
