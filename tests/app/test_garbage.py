"""What lasts as long as the process is not looked through again."""

import gc

from app.constants import GC_YOUNG_OBJECTS
from app.utils.garbage import lasting_objects


def test_what_is_there_is_left_out_until_the_block_is_left() -> None:
    """Whoever runs two services in a process finds it as it was."""
    gc.unfreeze()
    before = gc.get_threshold()
    with lasting_objects():
        assert GC_YOUNG_OBJECTS == gc.get_threshold()[0]
        assert 0 < gc.get_freeze_count()
    assert (before, 0) == (gc.get_threshold(), gc.get_freeze_count())
