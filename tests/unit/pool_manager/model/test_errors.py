"""The errors of leases: what they are called, and what they say of the time until another attempt."""

from libs.common.errors import Code
from services.pool_manager.model.errors import no_available_ip, not_held
from services.pool_manager.model.leases import LeaseRequest, NotHeld

REQUEST = LeaseRequest("request", "us", "offer", "test", 30.0, 0.0)


def test_a_refusal_names_the_country_and_the_time_to_the_next_free_ip() -> None:
    error = no_available_ip(REQUEST, 1.5, "and too many wait already")
    assert (error.code, error.reason, error.retry_after) == (Code.RESOURCE_EXHAUSTED, "NO_AVAILABLE_IP", 1.5)
    assert error.message == "no IP of country us is free; the next one is in 1.500 s, and too many wait already"


def test_a_refusal_for_good_says_so_and_names_no_time() -> None:
    error = no_available_ip(REQUEST._replace(country=""), None)
    assert (error.retry_after, error.message) == (None, "the pool has no usable IP of any country")


def test_a_lease_that_is_over_is_told_from_one_that_never_was() -> None:
    lost, unknown = not_held(NotHeld.LOST), not_held(NotHeld.UNKNOWN)
    assert (lost.code, lost.reason) == (Code.FAILED_PRECONDITION, "LEASE_LOST")
    assert (unknown.code, unknown.reason) == (Code.NOT_FOUND, "UNKNOWN_LEASE")
