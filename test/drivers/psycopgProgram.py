"""Talks to PGHOST:PGPORT with psycopg 3: `ordinary` prints a transcript to compare, `own` checks our statements."""
import sys
import psycopg
from psycopg import errors


def ordinary():
    with psycopg.connect(autocommit=True) as conn:
        conn.execute("drop table if exists py")
        conn.execute("create table py (id int primary key, v text)")
        print(conn.execute("select %s::int + 1, %s::text", (41, "ä")).fetchall())
        print(conn.execute("select %s::int8, %b::float8, %t::text", (5, 2.5, "t")).fetchall())
        for i in range(8):
            print(conn.execute("select %s::text", (f"run {i}",), prepare=i > 2).fetchone())
        with conn.pipeline() as pipe:
            cur = [conn.execute("insert into py values (%s, %s)", (i, f"v{i}")) for i in range(20)]
            pipe.sync()
            print([c.rowcount for c in cur])
        try:
            with conn.pipeline():
                conn.execute("insert into py values (100, 'gone')")
                conn.execute("insert into py values (1, 'again')")
                conn.execute("insert into py values (101, 'gone')")
        except errors.UniqueViolation as e:
            print("unique violation", e.sqlstate)
        print(conn.execute("select count(*) from py").fetchone())
        with conn.cursor() as cur:
            cur.executemany("insert into py values (%s, %s)", [(i, "m") for i in range(200, 210)])
            print(cur.rowcount)
        with conn.transaction():
            with conn.cursor("named") as cur:
                cur.itersize = 3
                cur.execute("select id from py order by id limit 10")
                print([row[0] for row in cur])
        with conn.cursor() as cur:
            with cur.copy("copy py from stdin") as copy:
                for i in range(1000, 1500):
                    copy.write_row((i, f"copied {i}"))
            with cur.copy("copy (select * from py where id >= 1490 order by id) to stdout") as copy:
                print(b"".join(bytes(b) for b in copy))
        print(conn.execute("select true, 1.5::float8, now() is null", binary=True).fetchone())
    with psycopg.connect() as conn:
        conn.execute("insert into py values (5000, 'x')")
        try:
            with conn.transaction():
                conn.execute("select 1/0")
        except errors.DivisionByZero as e:
            print(e.sqlstate)
        conn.rollback()
        print(conn.execute("select count(*) from py where id = 5000").fetchone())
        print(conn.info.transaction_status.name)


def names(conn):
    return [row[0] for row in conn.execute("show external connections").fetchall()]


def own():
    with psycopg.connect(autocommit=True) as conn:
        conn.execute("create external connection %s as %s", ("py", "nodelocal://self/py"))
        row = ("py", "nodelocal://self/py", "STORAGE")
        assert conn.execute("show external connections").fetchall() == [row]
        for i in range(8):
            assert conn.execute("show external connection %s", ("py",)).fetchall() == [row], i
        assert conn.execute("show external connection %s", ("py",), binary=True).fetchall() == [row]
        assert conn.execute("show external connection %s", ("py",), prepare=True).fetchall() == [row]
        # psycopg sends a small int as binary int2: the name is its text.
        conn.execute("create external connection %s as 'nodelocal://self/five'", (5,))
        assert names(conn) == ["5", "py"]
        conn.execute("drop external connection %s", (5,))
        conn.execute("create role py_reader")
        conn.execute("grant usage on external connection py to py_reader")
        grants = conn.execute("show grants on external connection py for py_reader", binary=True).fetchall()
        assert len(grants) == 1 and False in grants[0], grants
        try:
            conn.execute("show external connection %s", ("nothing",))
            raise AssertionError("no error")
        except errors.UndefinedObject as e:
            assert e.sqlstate == "42704"
        with conn.pipeline():
            a = conn.execute("select 1")
            b = conn.execute("show external connection %s", ("py",))
            c = conn.execute("select 3")
        assert (a.fetchone(), b.fetchone(), c.fetchone()) == ((1,), row, (3,))
        conn.execute("create table if not exists pyt (id int)")
        try:
            with conn.pipeline():
                conn.execute("insert into pyt values (1)")
                conn.execute("show external connection %s", ("nothing",))
                conn.execute("insert into pyt values (2)")
            raise AssertionError("no error")
        except errors.UndefinedObject:
            pass
        assert conn.execute("select count(*) from pyt").fetchone() == (0,)
        with conn.pipeline() as pipe:
            conn.execute("create external connection p1 as 'nodelocal://self/p1'")
            cur = conn.execute("show external connections")
            pipe.sync()
            assert [row[0] for row in cur.fetchall()] == ["p1", "py"]
            conn.execute("drop external connection p1")
        (file,) = conn.execute(
            "export into csv %s from select i from generate_series(1, 4) i", ("external://py/sub",)
        ).fetchall()
        assert file[1:] == (4, 8), file
        (file,) = conn.execute("export into csv %s from select 1", ("external://py/sub",), binary=True).fetchall()
        assert file[1:] == (1, 2), file
        with conn.cursor() as cur:
            cur.executemany("create external connection %s as %s", [("m1", "nodelocal://self/1"), ("m2", "nodelocal://self/2")])
        assert names(conn) == ["m1", "m2", "py"]
        conn.execute("drop external connection m1")
        conn.execute("drop external connection m2")
    with psycopg.connect() as conn:
        conn.execute("insert into pyt values (3)")
        conn.execute("create external connection gone as 'nodelocal://self/gone'")
        assert names(conn) == ["gone", "py"]
        try:
            with conn.transaction():
                conn.execute("insert into pyt values (4)")
                conn.execute("show external connection nothing")
        except errors.UndefinedObject:
            pass
        assert conn.execute("select id from pyt").fetchall() == [(3,)]
        try:
            conn.execute("export into csv 'nodelocal://self/x' from select 1")
            raise AssertionError("no error")
        except errors.ActiveSqlTransaction:
            conn.rollback()
        assert names(conn) == ["py"]
        assert conn.execute("select count(*) from pyt").fetchone() == (0,)
        try:
            conn.execute("declare c cursor for show external connections")
            raise AssertionError("no error")
        except errors.SyntaxError:
            conn.rollback()
        conn.execute("create external connection kept as 'nodelocal://self/kept'")
        conn.commit()
        assert names(conn) == ["kept", "py"]
        conn.execute("drop external connection kept")
        conn.execute("drop external connection py")
        conn.execute("drop role py_reader")
        conn.execute("drop table pyt")
        conn.commit()
    print("all passed")


{"ordinary": ordinary, "own": own}[sys.argv[1]]()
