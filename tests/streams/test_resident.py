"""Laws of a user in memory: resting loses nothing, and what rests says what is asked of it without waking up."""

from __future__ import annotations

from models.profiles import Profile, encode
from models.trigger import TriggerPolicy
from streams.resident import Resident

POLICY = TriggerPolicy(quiet_s=30.0)


def asking() -> Profile:
    profile = Profile()
    profile.offset, profile.last_ms = 7, 1_000
    profile.pending, profile.pending_since_ms = "visit", 1_000
    return profile


def test_resting_user_tells_its_offset_and_timer_without_its_object() -> None:
    resident = Resident(asking())
    resident.rest(POLICY)
    assert (resident.offset, resident.due_ms(POLICY), resident.is_live) == (7, 31_000, False)


def test_rested_user_goes_on_as_it_was() -> None:
    resident = Resident(asking())
    resident.rest(POLICY)
    assert encode(resident.profile) == encode(asking())
    assert resident.is_live


def test_bytes_follow_every_change_that_is_announced() -> None:
    resident = Resident(asking())
    before = resident.pack()
    resident.change().offset = 8
    assert resident.pack() != before
    assert resident.pack() == encode(resident.profile)
    resident.change(asking())
    assert resident.pack() == before


def test_resting_user_can_be_changed_without_a_look_before() -> None:
    resident = Resident(asking())
    resident.rest(POLICY)
    resident.change().offset = 8
    changed = asking()
    changed.offset = 8
    assert resident.pack() == encode(changed)
