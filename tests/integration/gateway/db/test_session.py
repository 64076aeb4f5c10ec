"""What a statement says that it did."""

from libs.common.postgres.database import connect_pool
from services.gateway.db.session import affected_rows


async def test_a_command_tells_how_many_rows_it_touched(database: str) -> None:
    async with await connect_pool(database, application_name="test", max_size=2) as pool:
        await pool.execute("""INSERT INTO clicks.offers (name, document) VALUES ('a', '{}'), ('b', '{}')""")
        assert affected_rows(await pool.execute("DELETE FROM clicks.offers")) == 2
        assert affected_rows(await pool.execute("DELETE FROM clicks.offers")) == 0
