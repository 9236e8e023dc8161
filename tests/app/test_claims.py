"""The numbers that packages of other teams may take."""

from enum import IntEnum

import pytest

from app.constants import FIRST_APP_PKG_ID, MAX_PKG_ID
from app.settings import ConfigurationError
from app.utils.claims import Claims


class WaveID(IntEnum):
    """The least and the largest number, and those beside them."""

    BELOW = FIRST_APP_PKG_ID - 1
    LEAST = FIRST_APP_PKG_ID
    LARGEST = MAX_PKG_ID
    ABOVE = MAX_PKG_ID + 1


@pytest.mark.timeout(5)
@pytest.mark.parametrize("wave", [WaveID.LEAST, WaveID.LARGEST])
def test_every_number_is_taken_at_once(wave: WaveID) -> None:
    """However many there are below it."""
    claims = Claims()
    claims.take_number(wave, "waves", "waves")
    with pytest.raises(ConfigurationError, match=f"= {wave:d} .*is that of"):
        claims.take_number(wave, "waves", "waves")


@pytest.mark.timeout(5)
@pytest.mark.parametrize("wave", [WaveID.BELOW, WaveID.ABOVE])
def test_other_numbers_are_refused_at_once(wave: WaveID) -> None:
    """With those that there are."""
    expected = f"numbers of waves are from {FIRST_APP_PKG_ID} to {MAX_PKG_ID}"
    with pytest.raises(ConfigurationError, match=expected):
        Claims().take_number(wave, "waves", "waves")
