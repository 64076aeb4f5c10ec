"""Logins are what each provider's documentation says, and what cannot travel is refused where it is read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.providers.library import read_profiles
from libs.common.providers.profile import Account, Profile, ProfileError, Rendered, characters, parse

PROFILES = read_profiles()
ACCOUNT = Account("NAME", "PW", "acct")
MINIMAL = 'title = "a"\nsource = "b"\nread = 2026-12-01\n[login]\nusername = "{username}"\npassword = "{password}"\n'


def render(
    profile: Profile, *, nonce: str = "nonce", country: str = "gb", account: Account = ACCOUNT, **other: str
) -> Rendered:
    asked = {"slot": "luna-us-slot-1", "protocol": "HTTP"} | other
    return profile.render(account, port=7000, country=country, nonce=nonce, ttl_seconds=120, **asked)


def session(name: str) -> str:
    """Returns the session that the nonce of these tests has in a profile."""
    bare = parse(MINIMAL.replace("{username}", "{session}"))
    return render(bare.model_copy(update={"session": PROFILES[name].session})).username


# From the vendors' own pages, as PROVIDERS collected them; S is the session.
@pytest.mark.parametrize(
    ("name", "host", "port", "username", "password"),
    [
        ("oxylabs", "pr.oxylabs.io", 7777, "customer-NAME-cc-GB-sessid-S-sesstime-5", "PW"),
        ("decodo", "gate.decodo.com", 7000, "user-NAME-country-gb-session-S-sessionduration-2", "PW"),
        ("brightdata", "brd.superproxy.io", 33335, "NAME-country-gb-session-S", "PW"),
        ("iproyal", "geo.iproyal.com", 12321, "NAME", "PW_country-gb_session-S_lifetime-2m"),
        ("soax", "proxy.soax.com", 1337, "country-gb-session-S", "PW"),
        ("massive", "network.joinmassive.com", 65534, "NAME-country-GB-session-S-sessionttl-2", "PW"),
        ("dataimpulse", "gw.dataimpulse.com", 823, "NAME__cr.gb;sessid.S;sessttl.2", "PW"),
        ("geonode", "premium-residential.geonode.com", 9000, "geonode_NAME-country-gb-session-S-lifetime-3", "PW"),
        ("nimble", "ip.nimbleway.com", 7000, "NAME-country-GB-session-S", "PW"),
        ("evomi", "rp.evomi.com", 1000, "NAME", "PW_country-GB_session-S_lifetime-2"),
        ("lunaproxy", "pr.lunaproxy.com", 12233, "user-NAME-region-gb-sessid-S-sesstime-2", "PW"),
        ("thordata", "acct.pr.thordata.net", 9999, "td-customer-NAME-country-gb-sessid-S-sesstime-2", "PW"),
        ("webshare", "p.webshare.io", 80, "NAME-gb-luna-us-slot-1", "PW"),
        ("generic-user", "luna-us-slot-1", 7000, "NAME-country-gb-session-S", "PW"),
        ("generic-password", "luna-us-slot-1", 7000, "NAME", "PW_country-gb_session-S"),
        ("list", "luna-us-slot-1", 7000, "NAME", "PW"),
    ],
)
def test_the_login_of_each_provider(name: str, host: str, port: int, username: str, password: str) -> None:
    dialled = render(PROFILES[name])
    assert (dialled.host, dialled.port, dialled.protocol) == (host, port, "HTTP")
    assert dialled.username == username.replace("-S", f"-{session(name)}").replace(".S", f".{session(name)}")
    assert dialled.password == password.replace("-S", f"-{session(name)}")


def test_every_shipped_profile_is_tested_and_says_where_it_is_from() -> None:
    assert len(PROFILES) == 16
    for profile in PROFILES.values():
        assert "no account was at hand" in profile.source
    unconfirmed = {name for name, profile in PROFILES.items() if profile.unconfirmed and profile.endpoint}
    assert unconfirmed == {"lunaproxy", "evomi", "webshare", "thordata"}


@pytest.mark.parametrize(
    ("name", "username"),
    [("soax", "country-any-session-S"), ("oxylabs", "customer-NAME-sessid-S-sesstime-5"), ("nimble", "NAME-session-S")],
)
def test_a_slot_for_any_country_names_none(name: str, username: str) -> None:
    assert render(PROFILES[name], country="").username == username.replace("-S", f"-{session(name)}")


@given(st.sampled_from(sorted(PROFILES)), st.lists(st.uuids(), min_size=2, max_size=50, unique=True))
def test_no_two_leases_share_a_session_and_a_repeat_gets_its_own_again(name: str, nonces: list[object]) -> None:
    profile = PROFILES[name]
    if not profile.has_sessions:
        return
    logins = [(one.username, one.password) for one in (render(profile, nonce=str(nonce)) for nonce in nonces)]
    assert len(set(logins)) == len(nonces)
    assert logins == [(one.username, one.password) for one in (render(profile, nonce=str(nonce)) for nonce in nonces)]
    assert not any(str(nonce) in "".join(login) for nonce, login in zip(nonces, logins, strict=True))


@given(st.text(st.sampled_from("abcXYZ019_."), min_size=1, max_size=10), st.integers(6, 64), st.uuids())
def test_a_session_has_the_alphabet_and_length_of_its_profile(extra: str, length: int, nonce: object) -> None:
    alphabet = "0-9" + extra
    profile = parse(
        MINIMAL.replace("{username}", "{session}") + f'[session]\nalphabet = "{alphabet}"\nlength = {length}\n'
    )
    name = render(profile, nonce=str(nonce)).username
    assert len(name) == length
    assert set(name) <= set(characters(alphabet)) == set("0123456789" + extra)


def test_a_sticky_session_belongs_to_the_slot() -> None:
    profile = parse(MINIMAL.replace("{username}", "{session}") + '[session]\nscope = "slot"\n')
    assert render(profile, nonce="1").username == render(profile, nonce="2").username
    assert render(profile).username != render(profile, slot="another").username


@pytest.mark.parametrize(
    ("seconds", "unit", "said"),
    [(1, "seconds", "60"), (90.5, "seconds", "90"), (90, "minutes", "2"), (1e9, "minutes", "1440"),
     (59 * 60, "minutes or hours", "59m"), (59 * 60 + 1, "minutes or hours", "1h"), (3601, "minutes or hours", "2h")],
)  # fmt: skip
def test_the_life_time_is_the_nearest_that_the_provider_allows(seconds: float, unit: str, said: str) -> None:
    ttl = f'[session.ttl]\nunit = "{unit}"\nleast_seconds = 60\nmost_seconds = 86400\n'
    profile = parse(MINIMAL.replace("{username}", "x{ttl}") + ttl)
    rendered = profile.render(ACCOUNT, slot="s", port=1, protocol="HTTP", country="", nonce="n", ttl_seconds=seconds)
    assert rendered.username == f"x{said}"


def test_a_country_has_the_name_that_the_provider_gives_it() -> None:
    part = '[country]\npart = "-{country}"\n[country.alias]\ngb = "UnitedKingdom"\n'
    profile = parse(MINIMAL.replace("{username}", "u{country_part}") + part)
    assert render(profile, country="GB").username == "u-UnitedKingdom"
    assert render(profile, country="us").username == "u-us"


def test_a_protocol_that_is_not_sold_becomes_one_that_is() -> None:
    assert render(PROFILES["iproyal"], protocol="SOCKS5").port == 32325
    assert (
        render(PROFILES["iproyal"], protocol="HTTPS").port,
        render(PROFILES["iproyal"], protocol="HTTPS").protocol,
    ) == (12321, "HTTP")


@pytest.mark.parametrize(
    ("account", "complaint"),
    [
        (Account("N" * 249, "PW"), "is 256 bytes long"),
        (Account("é" * 125, "PW"), "is 257 bytes long"),
        (Account("a:b", "PW"), "holds a colon"),
        (Account("NAME", ""), "password is empty"),
        (Account("NA\nME", "PW"), "control character"),
    ],
)
def test_a_login_that_cannot_travel_is_refused(account: Account, complaint: str) -> None:
    profile = parse(MINIMAL.replace("{username}", "{username}-suffix"[:17]))
    with pytest.raises(ProfileError, match=complaint) as refused:
        render(profile, account=account)
    assert account.username not in str(refused.value)


def test_socks_takes_a_colon_in_the_user_name() -> None:
    assert render(PROFILES["list"], account=Account("a:b", "PW"), protocol="SOCKS5").username == "a:b"


@pytest.mark.parametrize(
    ("text", "complaints"),
    [
        ("[x", ["is no TOML"]),
        ('title = "a"\nfoo = 1', ["source: Field required", "read: Field required", "foo: Extra inputs"]),
        (MINIMAL.replace("{username}", "{usr}"), ["login.username has the unknown place {usr}"]),
        (MINIMAL.replace("{username}", "{password}"), ["login.username has the unknown place {password}"]),
        (MINIMAL.replace("{username}", "{username"), ["brace without its partner"]),
        (MINIMAL + '[session]\nalphabet = "a-c"\n', ["fewer than 10 characters"]),
        (MINIMAL + "[session]\nlength = 5\n", ["session.length"]),
        (MINIMAL + '[session.ttl]\nunit = "minutes"\nleast_seconds = 9\nmost_seconds = 8\n', ["least_seconds is more"]),
        (MINIMAL + '[endpoint]\nhost = "h"\nports = { HTTP = 70000 }\n', ["endpoint.ports.HTTP"]),
        (
            MINIMAL + '[endpoint]\nhost = "{slot}"\nports = { HTTP = 1 }\n',
            ["endpoint.host has the unknown place {slot}"],
        ),
        (MINIMAL + '[country.alias]\nGB = "x"\n', ["country.alias"]),
    ],
)
def test_a_faulty_profile_says_all_that_is_wrong(text: str, complaints: list[str]) -> None:
    with pytest.raises(ProfileError) as refused:
        parse(text)
    for complaint in complaints:
        assert complaint in str(refused.value)


def test_no_secret_shows_in_what_is_printed() -> None:
    assert "PW" not in repr(ACCOUNT) + repr(render(PROFILES["iproyal"]))
