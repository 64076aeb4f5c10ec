"""Migrating a database that has rows keeps them."""

import asyncio
from datetime import UTC, datetime

import asyncpg

from libs.common.postgres import functions
from libs.common.postgres.database import connect_pool
from libs.common.postgres.migrate import migrate, read_migrations
from services.gateway.db.offer_health import OfferHealthTable
from services.gateway.db.offers import OfferTable
from services.gateway.db.webhooks import WebhookTable
from services.gateway.model import FallbackPolicy, MergePolicy, Mode, Offer, Rename, UserAgentPolicy

PACKAGE = "services.gateway.db"
BEFORE_DOCUMENTS = (1, 2)
CREATED, CHANGED = datetime(2026, 1, 2, 3, 4, 5, 678, UTC), datetime(2026, 2, 3, tzinfo=UTC)


async def as_before_documents(url: str) -> "asyncpg.Connection[asyncpg.Record]":
    """Applies the migrations that a database had when offers were columns."""
    connection = await asyncpg.connect(url)
    await connection.execute(
        "CREATE SCHEMA clicks; CREATE TABLE clicks.migrations (version integer PRIMARY KEY, name text NOT NULL, "
        "checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
    )
    for migration in read_migrations(PACKAGE):
        if migration.version in BEFORE_DOCUMENTS:
            await connection.execute(migration.sql)
            await connection.execute(
                "INSERT INTO clicks.migrations (version, name, checksum) VALUES ($1, $2, $3)",
                migration.version,
                migration.name,
                migration.checksum,
            )
    await functions.create_table(connection, "clicks")
    await functions.apply(connection, "clicks", functions.read_functions(PACKAGE))
    return connection


async def test_offers_that_were_columns_become_documents_and_nothing_is_lost(empty_database: str) -> None:
    connection = await as_before_documents(empty_database)
    await connection.execute(
        """
        INSERT INTO clicks.offers VALUES (
            'full', 'https://t.example/?o={order}', 'de', 0.25, 'BEACON', 'APPEND', '{a,"b c"}', '{c}',
            '[{"source": "x", "target": "y"}]', '{order}', 'https://f.example/', 'LAST_LANDING', '{shop.example}',
            'VISITOR', true, 7, 60, 'https://hooks.example/', true, $1, $2
        ), (
            'plain', 'http://t.example/', '', NULL, 'TRACE', 'INBOUND_WINS', '{}', '{}', '[]', '{}', '',
            'TRACKING_URL', '{}', 'TRACER', false, 1, 3600, '', false, $1, $2
        )
        """.replace("$1", f"'{CREATED.isoformat()}'").replace("$2", f"'{CHANGED.isoformat()}'")
    )
    await connection.execute(
        """
        INSERT INTO clicks.offer_health (offer) VALUES ('full');
        INSERT INTO clicks.webhooks (click_id, offer, url, dead) VALUES ('1', 'full', 'https://old.example/', true)
        """
    )
    heard: asyncio.Queue[str] = asyncio.Queue()
    await connection.add_listener("clicks_offers", lambda *event: heard.put_nowait(str(event[-1])))

    done = await migrate(empty_database, schema="clicks", package=PACKAGE)
    assert done.migrations == ["0003_offer_documents.sql"]

    full = Offer(
        name="full",
        tracking_url="https://t.example/?o={order}",
        country="de",
        max_wait=0.25,
        mode=Mode.BEACON,
        merge_policy=MergePolicy.APPEND,
        allow_params=("a", "b c"),
        deny_params=("c",),
        rename_params=(Rename("x", "y"),),
        identity_params=("order",),
        fallback_url="https://f.example/",
        fallback_policy=FallbackPolicy.LAST_LANDING,
        landing_hosts=("shop.example",),
        user_agent_policy=UserAgentPolicy.VISITOR,
        allow_app_links=True,
        weight=7,
        join_window=60.0,
        webhook_url="https://hooks.example/",
        disabled=True,
        create_time=CREATED,
        update_time=CHANGED,
    )
    plain = Offer("plain", "http://t.example/", create_time=CREATED, update_time=CHANGED)
    async with await connect_pool(empty_database, application_name="test", max_size=2) as pool:
        found = await OfferTable(pool).page("", 10)
        assert [offer for offer in found if isinstance(offer, Offer)] == list(found)
        assert [_without_etag(offer) for offer in found] == [full, plain]
        assert [health.offer for health in await OfferHealthTable(pool).page("", 10)] == ["full", "plain"]
        assert await WebhookTable(pool).retry([], "full") == 1
        assert await pool.fetchval("SELECT url FROM clicks.webhooks") == "https://hooks.example/"
        assert await pool.fetchval("SELECT count(*) FROM active_trace_requests") == 0
        for right in ("SELECT", "INSERT", "UPDATE", "DELETE"):
            assert await pool.fetchval("SELECT has_table_privilege('clicktrace_gateway', 'clicks.offers', $1)", right)
        # Nobody is told to read what a gateway of before cannot read; from now on each change is told, as ever.
        await pool.execute("UPDATE clicks.offers SET document = document || '{\"weight\": 2}' WHERE name = 'plain'")
        async with asyncio.timeout(5):
            assert await heard.get() == "plain"
    await connection.close()


def _without_etag(offer: object) -> Offer:
    assert isinstance(offer, Offer)
    return Offer(**{name: getattr(offer, name) for name in Offer.__dataclass_fields__ if name != "etag"})
