"""docs/settings.md says what app/settings.py says."""

from app.cli.docs import settings_page
from app.settings import Settings
from tests.docs.repository import ROOT


def test_settings_page_is_generated() -> None:
    """The page is what `make docs` writes from the present settings."""
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert settings_page() == page, "run `make docs`"


def test_every_setting_is_described() -> None:
    """Each setting says in one sentence what it is for."""
    silent = [
        name
        for name, field in Settings.model_fields.items()
        if not (field.description or "").endswith(".")
    ]
    assert silent == []
