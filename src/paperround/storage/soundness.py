"""Soundness: whether the database is what its schema says, and how large it is."""

from sqlalchemy import Connection, func, inspect, select, text

from paperround.records import TableSize
from paperround.storage.database import Database
from paperround.storage.schema import metadata

INVALID = text("""
    SELECT 'the index ' || indexrelid::regclass || ' is not valid: REINDEX it' FROM pg_index WHERE NOT indisvalid
    UNION ALL SELECT 'the constraint ' || conname || ' is not valid: VALIDATE it' FROM pg_constraint WHERE NOT convalidated""")
BYTES = text("SELECT relname AS name, pg_total_relation_size(relid) AS bytes FROM pg_stat_user_tables WHERE schemaname = current_schema()")


class SoundnessRows:
    """The part of the Storage protocol that looks at itself."""

    db: Database

    async def check(self) -> list[str]:
        """What is wrong with the database; empty = sound. SQLite reads all of its file; PostgreSQL watches its pages itself."""
        async with self.db.reading() as connection:
            unlike = await connection.run_sync(unlike_schema)
            if not self.db.sqlite:
                return [*unlike, *(await connection.execute(INVALID)).scalars()]
            lines = (await connection.exec_driver_sql("PRAGMA integrity_check")).scalars().all()
            orphans = (await connection.exec_driver_sql("PRAGMA foreign_key_check")).all()
        broken = [str(line) for line in lines if line != "ok"]
        return [*unlike, *broken, *(f"a row points to one that is missing: {tuple(row)}" for row in orphans)]

    async def sizes(self) -> list[TableSize]:
        """Rows and bytes by table, the largest first; SQLite knows the bytes of the whole alone, under the name of ""."""
        async with self.db.reading() as connection:
            rows = {
                table.name: (await connection.execute(select(func.count()).select_from(table))).scalar_one()
                for table in metadata.sorted_tables
            }
            if self.db.sqlite:
                pages = (await connection.exec_driver_sql("PRAGMA page_count")).scalar_one()
                taken: dict[str, int] = {"": pages * (await connection.exec_driver_sql("PRAGMA page_size")).scalar_one()}
            else:
                taken = {row.name: row.bytes for row in await connection.execute(BYTES)}
        named = [TableSize(name=name, rows=rows.get(name), bytes=taken.get(name)) for name in {**rows, **taken}]
        return sorted(named, key=lambda each: (-(each.bytes or 0), -(each.rows or 0), each.name))


def unlike_schema(connection: Connection) -> list[str]:
    """Tables, columns and indexes that should be there and are not."""
    found = inspect(connection)
    there, lacking = set(found.get_table_names()), []
    for table in metadata.sorted_tables:
        if table.name not in there:
            lacking.append(f"the table {table.name} is missing")
            continue
        names = {each["name"] for each in (*found.get_columns(table.name), *found.get_indexes(table.name))}
        expected = {column.name for column in table.columns} | {str(index.name) for index in table.indexes}
        lacking += [f"{table.name} lacks {name}" for name in sorted(expected - names)]
    return lacking
