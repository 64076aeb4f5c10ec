"""Misspelt variables are refused with the setting that was meant; those of Kubernetes and of others are left alone."""

import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from libs.common.process import naming, variables

LETTERS = string.ascii_uppercase + "_"
# The variables of OpenTelemetry are those of a standard, which has more of them than we read.
OURS = sorted(name for name in variables.KNOWN if not name.startswith("OTEL_"))
KUBERNETES = [
    f"{service}_{what}"
    for service in ("GATEWAY", "GATEWAY_INTERNAL", "POOL_MANAGER", "TRACER", "CLICKTRACE_POSTGRES", "POOL")
    for what in (
        *("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_GRPC", "SERVICE_PORT_HTTP_METRICS", "PORT"),
        *("PORT_8080_TCP", "PORT_8080_TCP_PROTO", "PORT_8080_TCP_PORT", "PORT_8080_TCP_ADDR", "PORT_53_UDP_ADDR"),
    )
]


@st.composite
def edits(draw: st.DrawFn) -> tuple[str, str]:
    """Draws a setting, and its name with one letter more, less, changed, or in the place of its neighbour."""
    name = draw(st.sampled_from(OURS))
    at = draw(st.integers(0, len(name) - 1))
    letter = draw(st.sampled_from(LETTERS))
    edited = draw(
        st.sampled_from(
            [
                name[:at] + letter + name[at:],
                name + letter,
                name[:at] + name[at + 1 :],
                name[:at] + letter + name[at + 1 :],
                name[:at] + name[at : at + 2][::-1] + name[at + 2 :],
            ]
        )
    )
    assume(edited not in variables.KNOWN)
    return name, edited


@given(edits())
def test_every_edit_of_one_letter_is_refused_and_the_setting_is_named(edit: tuple[str, str]) -> None:
    meant, edited = edit
    (fault,) = naming.violations([edited])
    assert fault.startswith(f"{edited}: ")
    assert meant in fault.partition(": ")[2].replace(",", "").replace(";", "").split()


def test_where_two_settings_are_as_near_both_are_named() -> None:
    (violation,) = naming.violations(["GATEWAY_MAX_HEADESR_BYTES"])
    assert violation.endswith("; the nearest are GATEWAY_MAX_HEADER_BYTES and GATEWAY_MAX_HEADERS_BYTES")


@pytest.mark.parametrize("name", KUBERNETES)
def test_what_kubernetes_sets_is_no_misspelling(name: str) -> None:
    assert list(naming.violations([name])) == []


@pytest.mark.parametrize(
    "name", ["GATEWAY_PORTS", "GATEWAY_PORT_LIMIT", "POOL_SERVICE", "TRACER_PORT_8080_TCP_ADDRESS"]
)
def test_what_only_looks_like_it_is(name: str) -> None:
    assert len(list(naming.violations([name]))) == 1


@pytest.mark.parametrize(
    "name",
    [
        "PATH",
        "HOME",
        "LOG_DIR",
        "DATABASE_HOST",
        "DATABASE_PASSWORD",
        "OTEL_TRACES_SAMPLER",
        "OTEL_SDK_DISABLD",
        "X",
        "",
    ],
)
def test_variables_of_others_are_left_alone(name: str) -> None:
    assert list(naming.violations([name])) == []


def test_a_name_without_our_prefix_is_left_alone_beside_the_setting_that_it_resembles() -> None:
    assert list(naming.violations(["LOGLEVEL"])) == [
        "LOGLEVEL: this is one letter away from LOG_LEVEL, which is not set; rename it, or set LOG_LEVEL too"
    ]
    assert list(naming.violations(["LOGLEVEL", "LOG_LEVEL"])) == []


def test_settings_of_siblings_are_known_and_so_are_small_letters() -> None:
    assert list(naming.violations(OURS)) == []
    assert list(naming.violations([name.lower() for name in OURS])) == []
    (fault,) = naming.violations(["pool_coldown"])
    assert fault.endswith("the nearest is POOL_COOLDOWN")


def test_own_settings_count_beside_those_of_the_list() -> None:
    assert list(naming.violations(["OWN_LISTEN"], ["OWN_LISTEN"], prefix="OWN_")) == []
    assert list(naming.violations(["OWN_LISTN"], ["OWN_LISTEN"], prefix="OWN_")) == [
        "OWN_LISTN: there is no such setting; the nearest is OWN_LISTEN"
    ]


def test_the_reserved_prefix_is_refused_too() -> None:
    (fault,) = naming.violations(["CLICKTRACE_MAX_WAIT"])
    assert fault.startswith("CLICKTRACE_MAX_WAIT: there is no such setting")


def test_retired_variables_are_no_faults_and_never_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variables, "RETIRED", {"POOL_REST": "POOL_COOLDOWN"})
    gone = {"GATEWAY_QUEUE": "GATEWAY_JOURNAL_CAPACITY"}
    given = ["POOL_REST", "gateway_queue", "GATEWAY_GRACE"]
    assert list(naming.violations(given, gone=gone)) == []
    assert list(naming.retired(given, gone)) == [
        ("POOL_REST", "POOL_COOLDOWN"),
        ("gateway_queue", "GATEWAY_JOURNAL_CAPACITY"),
    ]
    (fault,) = naming.violations(["GATEWAY_QUEUES"], gone=gone)
    assert "GATEWAY_QUEUE " not in f"{fault} ".partition(": ")[2]
