"""Events that have not been pushed yet."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "c58f2e7b1a04"
down_revision: str | Sequence[str] | None = "a41e6b0d97c8"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "outbox",
        sa.Column(
            "id", sa.BigInteger, sa.Identity(always=True), nullable=False
        ),
        sa.Column("key", sa.Uuid, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
    )


def downgrade() -> None:
    """Bring the schema back to the revision before."""
    op.drop_table("outbox")
