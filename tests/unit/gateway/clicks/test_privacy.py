"""What the click log keeps of a visitor: never more than the setting allows."""

import pytest

from services.gateway.clicks.privacy import PersonalData, Privacy


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("198.51.100.77", "198.51.100.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("2001:db8::1", "2001:db8::"),
        ("fe80::1%eth0", "fe80::"),
        ("no address", ""),
        ("", ""),
    ],
)
def test_a_truncated_address_is_that_of_its_network(address: str, kept: str) -> None:
    assert Privacy(PersonalData.TRUNCATED, b"").address(address) == kept


def test_a_truncated_user_agent_is_its_product() -> None:
    assert Privacy(PersonalData.TRUNCATED, b"").user_agent("Mozilla/5.0 (X11; Linux)") == "Mozilla/5.0"


def test_a_hash_tells_the_same_visitor_again_and_needs_the_key() -> None:
    privacy = Privacy(PersonalData.HASHED, b"key")
    assert privacy.address("198.51.100.77") == privacy.address("198.51.100.77") != privacy.address("198.51.100.78")
    assert Privacy(PersonalData.HASHED, b"other").address("198.51.100.77") != privacy.address("198.51.100.77")
    assert "198.51.100" not in privacy.address("198.51.100.77")


def test_nothing_is_nothing() -> None:
    privacy = Privacy(PersonalData.NONE, b"key")
    assert privacy.address("198.51.100.77") == privacy.user_agent("Mozilla/5.0") == ""


def test_what_a_page_repeats_of_a_visitor_is_kept_as_the_visitor_is() -> None:
    agent = "Mozilla/5.0 (X11; Linux)"
    page = f"location = '/l?ua={agent}'"
    assert Privacy(PersonalData.TRUNCATED, b"").snippet(page, agent) == "location = '/l?ua=Mozilla/5.0'"
    assert Privacy(PersonalData.TRUNCATED, b"").snippet(page, "") == page
    assert [Privacy(policy, b"key").snippet(page, agent) for policy in (PersonalData.HASHED, PersonalData.NONE)] == [
        "",
        "",
    ]
