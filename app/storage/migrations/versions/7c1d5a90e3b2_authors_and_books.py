"""Authors with unique names, and the books that each of them wrote."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "7c1d5a90e3b2"
down_revision: str | Sequence[str] | None = None
branch_labels: str | Sequence[str] | None = ("gatehouse",)
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "author",
        sa.Column(
            "id", sa.BigInteger, sa.Identity(always=True), nullable=False
        ),
        sa.Column("name", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_author"),
        sa.UniqueConstraint("name", name="uq_author_name"),
    )
    op.create_table(
        "book",
        sa.Column(
            "id", sa.BigInteger, sa.Identity(always=True), nullable=False
        ),
        sa.Column("title", sa.String(255), nullable=False),
        sa.Column("author_id", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_book"),
        sa.ForeignKeyConstraint(
            ["author_id"],
            ["author.id"],
            name="fk_book_author_id_author",
            ondelete="RESTRICT",
        ),
    )
    op.create_index("ix_book_author_id", "book", ["author_id"])


def downgrade() -> None:
    """Bring the schema back to the revision before."""
    op.drop_table("book")
    op.drop_table("author")
