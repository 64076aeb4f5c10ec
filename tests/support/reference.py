"""The reference of all settings as their declarations say it, and the list of variables that services know."""

from collections.abc import Iterable, Iterator, Mapping

from libs.common.process.declared import Setting
from libs.common.process.settings import DatabaseSettings, ServiceSettings, Settings
from libs.common.process.values import Address
from services.gateway.settings import GatewaySettings
from services.pool_manager.settings import PoolSettings, ProvisionSettings
from services.tracer.settings import TracerSettings

SERVICES: Mapping[str, type[Settings]] = {
    "Gateway": GatewaySettings,
    "Pool manager": PoolSettings,
    "Tracer": TracerSettings,
    "Provisioning": ProvisionSettings,
}
PROGRAMS = {
    "Gateway": "`python -m services.gateway`, and its `migrate`",
    "Pool manager": "`python -m services.pool_manager`, and its `migrate`",
    "Tracer": "`python -m services.tracer`",
    "Provisioning": "`python -m services.pool_manager provision FILE` (`make provision`)",
}
OF_OTHERS = {"CLICKTRACE_OTLP_ENDPOINT": "Where the collector of `k8s/components/otel-collector` sends spans."}
"""Variables with our prefixes that no service reads."""

# CLICKTRACE_ is ours, although no setting begins with it yet.
OWN_PREFIXES = ("CLICKTRACE_",)

_TABLE = ("| variable | default | value | range | unit | what it sets |", "|---|---|---|---|---|---|")


def shared() -> dict[str, Setting]:
    """Returns the settings that do not carry the prefix of a service."""
    found = [*Setting.all_of(ServiceSettings), *Setting.all_of(DatabaseSettings)]
    return {each.variable: each for each in found}


def own(cls: type[Settings]) -> dict[str, Setting]:
    """Returns the settings of a class but for those that are shared."""
    return {each.variable: each for each in Setting.all_of(cls) if each.variable not in shared()}


def known() -> list[str]:
    """Returns every variable that some program of ours reads, and those of `OF_OTHERS`."""
    return sorted({*shared(), *(name for cls in SERVICES.values() for name in own(cls)), *OF_OTHERS})


def retired() -> dict[str, str]:
    """Returns the retired variables, each with what replaced it."""
    return {name: instead for cls in SERVICES.values() for name, instead in sorted(cls.retired.items())}


def prefixes() -> list[str]:
    """Returns what our variables begin with."""
    return sorted({*OWN_PREFIXES, *(str(cls.model_config["env_prefix"]) for cls in SERVICES.values())})


def tables() -> str:
    """Renders the tables of docs/settings.md."""
    return "\n".join(_tables())


def _tables() -> Iterator[str]:
    of_all = {each.variable for each in Setting.all_of(ServiceSettings)}
    yield "## All services\n"
    yield from _rows(each for name, each in shared().items() if name in of_all)
    yield (
        "\nThe SDK of OpenTelemetry reads other variables of its specification by itself, for example\n"
        "`OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_BSP_SCHEDULE_DELAY`.\n"
    )
    yield "## Database\n\nOf the gateway and the pool manager; see [database.md](database.md).\n"
    yield from _rows(each for name, each in shared().items() if name not in of_all)
    for title, cls in SERVICES.items():
        yield f"\n## {title}\n\n{PROGRAMS[title]}.\n"
        yield from _rows(own(cls).values())
    yield "\n## Not settings of a service\n\n| variable | what it sets |\n|---|---|"
    for name, meaning in OF_OTHERS.items():
        yield f"| `{name}` | {meaning} |"
    yield "\n## Retired\n\nIgnored, and named in the log (`setting.retired`) together with what replaced them.\n"
    if gone := retired():
        yield "| variable | replaced by |\n|---|---|"
        yield from (f"| `{name}` | {instead} |" for name, instead in gone.items())
        yield ""
    else:
        yield "None so far.\n"


def _rows(settings: Iterable[Setting]) -> Iterator[str]:
    yield from _TABLE
    for each in settings:
        cells = (f"`{each.variable}`", _code(each.default), _value(each), each.range, each.unit, each.meaning)
        yield f"| {' | '.join(cells)} |"


def _value(setting: Setting) -> str:
    """Returns the kind of a value, without the examples that stand above the tables."""
    if setting.is_span or setting.kind is Address:
        return " ".join(setting.form.split()[1:][: 3 if setting.is_span else 1])
    return setting.form.removeprefix("a ")


def _code(default: str) -> str:
    return default if default in {"none", "required"} else f"`{default}`"


def variables() -> str:
    """Renders libs/common/process/variables.py."""
    listed = "\n".join(f'        "{name}",' for name in known())
    gone = "\n".join(f'    "{name}": {instead!r},' for name, instead in retired().items())
    table = "{\n" + gone + "\n}" if gone else "{}"
    given = ", ".join(f'"{prefix}"' for prefix in prefixes())
    return f'''"""The environment variables of all services. Written by `make reference`; do not edit."""

from collections.abc import Mapping

PREFIXES = ({given})
"""What the names of our settings begin with."""

KNOWN = frozenset(
    [
{listed}
    ]
)
"""The settings of every program, so that each service tells those of its siblings from misspellings."""

RETIRED: Mapping[str, str] = {table}
"""Variables that were settings once, with what replaced them."""
'''
