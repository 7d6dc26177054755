// Talks to PGHOST:PGPORT with pgx v5: "ordinary" prints a transcript to compare, "own" checks our statements.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

var ctx = context.Background()

var modes = map[string]pgx.QueryExecMode{
	"cache_statement": pgx.QueryExecModeCacheStatement,
	"cache_describe":  pgx.QueryExecModeCacheDescribe,
	"describe_exec":   pgx.QueryExecModeDescribeExec,
	"exec":            pgx.QueryExecModeExec,
	"simple":          pgx.QueryExecModeSimpleProtocol,
}

func connect(mode string) *pgx.Conn {
	config, err := pgx.ParseConfig("")
	must(err)
	config.DefaultQueryExecMode = modes[mode]
	conn, err := pgx.ConnectConfig(ctx, config)
	must(err)
	return conn
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func check(good bool, what ...any) {
	if !good {
		panic(fmt.Sprint(what...))
	}
}

func state(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return fmt.Sprint(err)
}

func exec(conn *pgx.Conn, sql string, args ...any) string {
	tag, err := conn.Exec(ctx, sql, args...)
	if err != nil {
		return state(err)
	}
	return tag.String()
}

func rows(conn *pgx.Conn, sql string, args ...any) [][]any {
	found, err := conn.Query(ctx, sql, args...)
	must(err)
	all, err := pgx.CollectRows(found, func(row pgx.CollectableRow) ([]any, error) { return row.Values() })
	must(err)
	return all
}

func ordinary(mode string) {
	conn := connect(mode)
	defer conn.Close(ctx)
	fmt.Println(exec(conn, "drop table if exists g"), exec(conn, "create table g (id int primary key, v text)"))
	for i := 0; i < 5; i++ {
		fmt.Println(exec(conn, "insert into g values ($1, $2)", i, fmt.Sprintf("v%d", i)))
	}
	fmt.Println(exec(conn, "insert into g values ($1, $2)", 1, "again"))
	fmt.Println(rows(conn, "select id, v, id * 1.5::float8, id > 2 from g where id >= $1 order by id", 2))
	batch := &pgx.Batch{}
	for i := 10; i < 15; i++ {
		batch.Queue("insert into g values ($1, $2)", i, "batch")
	}
	batch.Queue("select count(*) from g")
	results := conn.SendBatch(ctx, batch)
	for i := 0; i < 5; i++ {
		tag, err := results.Exec()
		fmt.Println(tag, err)
	}
	var n int
	fmt.Println(results.QueryRow().Scan(&n), n, results.Close())
	tx, err := conn.Begin(ctx)
	must(err)
	_, err = tx.Exec(ctx, "select 1/0")
	fmt.Println(state(err), tx.Rollback(ctx))
	count, err := conn.CopyFrom(ctx, pgx.Identifier{"g"}, []string{"id", "v"}, pgx.CopyFromRows([][]any{{int32(100), "c"}, {int32(101), "d"}}))
	fmt.Println(count, err)
	fmt.Println(rows(conn, "select count(*), max(id) from g"))
}

func names(conn *pgx.Conn) string {
	var all []string
	for _, row := range rows(conn, "show external connections") {
		all = append(all, row[0].(string))
	}
	return strings.Join(all, " ")
}

func own(mode string) {
	conn := connect(mode)
	defer conn.Close(ctx)
	if mode == "simple" {
		check(exec(conn, "create external connection gx as 'nodelocal://self/gx'") == "CREATE EXTERNAL CONNECTION", "create")
	} else {
		check(exec(conn, "create external connection $1 as $2", "gx", "nodelocal://self/gx") == "CREATE EXTERNAL CONNECTION", "create")
	}
	for i := 0; i < 4; i++ {
		got := rows(conn, "show external connection $1", "gx")
		check(fmt.Sprint(got) == "[[gx nodelocal://self/gx STORAGE]]", got)
	}
	exec(conn, "create role gx_reader")
	check(exec(conn, "grant usage on external connection gx to gx_reader") == "GRANT", "grant")
	for i := 0; i < 3; i++ {
		grants := rows(conn, "show grants on external connection gx for gx_reader")
		check(len(grants) == 1 && strings.Contains(fmt.Sprint(grants), "gx_reader") && strings.Contains(fmt.Sprint(grants), "false"), grants)
	}
	for i := 0; i < 3; i++ {
		files := rows(conn, "export into csv $1 from select i from generate_series(1, 4) i", "external://gx/sub")
		check(len(files) == 1 && files[0][1].(int64) == 4 && files[0][2].(int64) == 8, files)
	}
	check(exec(conn, "show external connection $1", "nothing") == "42704", "missing")
	exec(conn, "create table gt (id int)")
	tx, err := conn.Begin(ctx)
	must(err)
	_, err = tx.Exec(ctx, "insert into gt values (1)")
	must(err)
	_, err = tx.Exec(ctx, "create external connection gone as 'nodelocal://self/gone'")
	must(err)
	_, err = tx.Exec(ctx, "show external connection nothing")
	check(state(err) == "42704", err)
	_, err = tx.Exec(ctx, "select 1")
	check(state(err) == "25P02", err)
	check(tx.Commit(ctx) != nil, "commit of an aborted block")
	check(len(rows(conn, "select * from gt")) == 0, "rolled back")
	check(names(conn) == "gx", names(conn))
	if mode != "simple" {
		batch := &pgx.Batch{}
		batch.Queue("select 1")
		batch.Queue("show external connection $1", "gx")
		batch.Queue("create external connection gb as 'nodelocal://self/gb'")
		batch.Queue("select 2")
		results := conn.SendBatch(ctx, batch)
		var one int
		must(results.QueryRow().Scan(&one))
		var name, uri, kind string
		must(results.QueryRow().Scan(&name, &uri, &kind))
		check(name == "gx", name)
		_, err = results.Exec()
		must(err)
		must(results.QueryRow().Scan(&one))
		must(results.Close())
		check(one == 2 && names(conn) == "gb gx", names(conn))
		exec(conn, "drop external connection gb")
	}
	check(exec(conn, "drop external connection gx") == "DROP EXTERNAL CONNECTION", "drop")
	exec(conn, "drop table gt")
	exec(conn, "drop role gx_reader")
	fmt.Println("all passed")
}

func main() {
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple"} {
		fmt.Println("mode", mode)
		if os.Args[1] == "ordinary" {
			ordinary(mode)
		} else {
			own(mode)
		}
	}
}
