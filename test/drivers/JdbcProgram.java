import java.sql.*;
import java.util.*;

/** Talks to PGHOST:PGPORT by JDBC: "ordinary" prints a transcript to compare, "own" checks our statements. */
public class JdbcProgram {
  static Connection connect(String options) throws SQLException {
    String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/postgres?user=postgres&sslmode=disable&" + options;
    return DriverManager.getConnection(url);
  }

  static void check(boolean good, String what) {
    if (!good) throw new AssertionError(what);
  }

  static List<List<String>> read(ResultSet rs) throws SQLException {
    List<List<String>> rows = new ArrayList<>();
    while (rs.next()) {
      List<String> row = new ArrayList<>();
      for (int i = 1; i <= rs.getMetaData().getColumnCount(); i++) row.add(rs.getString(i));
      rows.add(row);
    }
    return rows;
  }

  static String state(SqlCall call) throws SQLException {
    try {
      call.run();
      return "no error";
    } catch (BatchUpdateException e) {
      return e.getNextException() == null ? e.getSQLState() : e.getNextException().getSQLState();
    } catch (SQLException e) {
      return e.getSQLState();
    }
  }

  interface SqlCall { void run() throws SQLException; }

  public static void main(String[] args) throws Exception {
    try (Connection c = connect(args[1])) {
      if (args[0].equals("ordinary")) ordinary(c, args[1]);
      else own(c, args[1]);
    }
  }

  static void ordinary(Connection c, String options) throws Exception {
    Statement st = c.createStatement();
    st.execute("drop table if exists j");
    st.execute("create table j (id int primary key, v text)");
    PreparedStatement in = c.prepareStatement("insert into j values (?, ?)");
    for (int i = 0; i < 20; i++) { in.setInt(1, i); in.setString(2, "v" + i); in.addBatch(); }
    System.out.println(Arrays.toString(in.executeBatch()));
    PreparedStatement q = c.prepareStatement("select id, v, id * 1.5::float8, id > 3, now() is null from j where id >= ? order by id");
    for (int run = 0; run < 7; run++) { q.setInt(1, 15 + run % 5); System.out.println(read(q.executeQuery())); }
    System.out.println(q.getMetaData().getColumnName(2));
    System.out.println(state(() -> st.execute("select 1/0")));
    c.setAutoCommit(false);
    st.setFetchSize(3);
    System.out.println(read(st.executeQuery("select id from j order by id limit 10")));
    System.out.println(state(() -> st.execute("insert into j values (1, 'again')")));
    System.out.println(state(() -> st.execute("select 1")));
    c.rollback();
    Savepoint sp = c.setSavepoint("sp");
    System.out.println(state(() -> st.execute("select nope")));
    c.rollback(sp);
    System.out.println(st.executeUpdate("update j set v = 'new' where id < 5"));
    c.commit();
    c.setAutoCommit(true);
    boolean more = st.execute("select 1 as a; select 2 as b; update j set v = 'x' where id = 1");
    while (more || st.getUpdateCount() >= 0) {
      System.out.println(more ? read(st.getResultSet()).toString() : "count " + st.getUpdateCount());
      more = st.getMoreResults();
    }
    for (int i = 30; i < 35; i++) { in.setInt(1, i == 33 ? 1 : i); in.setString(2, "b"); in.addBatch(); }
    System.out.println(state(() -> in.executeBatch()));
    System.out.println(read(c.getMetaData().getTables(null, "public", "%", null)).size());
    System.out.println(read(st.executeQuery("select count(*) from j")));
    if (options.contains("simple")) return; // it cannot tell the parameter's type there
    CallableStatement call = c.prepareCall("{? = call upper(?)}");
    call.registerOutParameter(1, Types.VARCHAR);
    call.setString(2, "abc");
    call.execute();
    System.out.println(call.getString(1));
  }

  static List<String> names(Connection c) throws SQLException {
    List<String> names = new ArrayList<>();
    try (Statement st = c.createStatement()) {
      for (List<String> row : read(st.executeQuery("show external connections"))) names.add(row.get(0));
    }
    return names;
  }

  static void own(Connection c, String options) throws Exception {
    Statement st = c.createStatement();
    PreparedStatement create = c.prepareStatement("create external connection ? as ?");
    create.setString(1, "jd");
    create.setString(2, "nodelocal://self/jd");
    check(create.executeUpdate() == 0, "update count of create");
    List<String> row = List.of("jd", "nodelocal://self/jd", "STORAGE");
    check(read(st.executeQuery("show external connections")).equals(List.of(row)), "show all");
    PreparedStatement show = c.prepareStatement("show external connection ?");
    for (int run = 0; run < 8; run++) {
      show.setString(1, "jd");
      check(read(show.executeQuery()).equals(List.of(row)), "show, run " + run);
    }
    ResultSetMetaData meta = c.prepareStatement("show external connections").getMetaData();
    check(meta.getColumnCount() == 3 && meta.getColumnName(3).equals("connection_type"), "metadata");
    PreparedStatement number = c.prepareStatement("create external connection ? as 'nodelocal://self/n'");
    if (!options.contains("simple")) {
      number.setInt(1, 7);
      number.executeUpdate();
      check(names(c).equals(List.of("7", "jd")), "an int as name");
      st.execute("drop external connection '7'");
    }
    create.setString(1, "b1"); create.setString(2, "nodelocal://self/b1"); create.addBatch();
    create.setString(1, "b2"); create.setString(2, "nodelocal://self/b2"); create.addBatch();
    create.executeBatch();
    check(names(c).equals(List.of("b1", "b2", "jd")), "batch");
    st.execute("create role jd_reader");
    st.execute("grant usage on external connection jd to jd_reader");
    PreparedStatement grants = c.prepareStatement("show grants on external connection jd for jd_reader");
    for (int run = 0; run < 7; run++) {
      ResultSet rs = grants.executeQuery();
      check(rs.next() && !rs.getBoolean("is_grantable") && !rs.next(), "grants, run " + run);
    }
    PreparedStatement export = c.prepareStatement("export into csv ? from select i from generate_series(1, 6) i");
    for (int run = 0; run < 7; run++) {
      export.setString(1, "external://jd/sub");
      ResultSet rs = export.executeQuery();
      check(rs.next() && rs.getLong("rows") == 6 && rs.getLong(3) == 12 && !rs.next(), "export, run " + run);
    }
    check(state(() -> st.execute("show external connection nothing")).equals("42704"), "missing");
    st.execute("create table jt (id int)");
    c.setAutoCommit(false);
    st.setFetchSize(1);
    check(read(st.executeQuery("show external connections")).size() == 3, "fetch size 1");
    st.execute("insert into jt values (1)");
    check(state(() -> st.execute("show external connection nothing")).equals("42704"), "missing in a block");
    if (options.contains("autosave=always")) {
      check(read(st.executeQuery("select count(*) from jt")).get(0).get(0).equals("1"), "autosave");
      check(read(show.executeQuery()).size() == 1, "show under autosave");
    } else check(state(() -> st.execute("select 1")).equals("25P02"), "aborted");
    c.rollback();
    st.executeUpdate("create external connection gone as 'nodelocal://self/gone'");
    check(names(c).contains("gone"), "own change seen");
    c.rollback();
    Savepoint sp = c.setSavepoint();
    check(state(() -> st.execute("show external connection nothing")).equals("42704"), "missing behind a savepoint");
    c.rollback(sp);
    st.executeUpdate("create external connection kept as 'nodelocal://self/kept'");
    c.commit();
    check(state(() -> st.execute("export into csv 'nodelocal://self/x' from select 1")).equals("25001"), "export in a block");
    c.rollback();
    c.setAutoCommit(true);
    check(names(c).equals(List.of("b1", "b2", "jd", "kept")), "names " + names(c));
    for (String name : names(c)) st.execute("drop external connection " + name);
    st.execute("drop table jt");
    st.execute("drop role jd_reader");
    System.out.println("all passed");
  }
}
