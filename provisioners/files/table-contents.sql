-- Prints one line of JSON for each table with rows, in all schemas: {"schema", "table", "rows"}. A table of `seeds` also gets a
-- "checksum", which does not depend on the order of the rows. Partitioned tables have no rows of their own: their partitions do.
--
-- Variables of psql:
--   most     rows of a table that are counted at most; a table of `seeds` is always counted beyond its seeded rows
--   seeds    the contents of seeds.json, which provisioners/app/85-empty-database.sh writes; may be empty
--   details  true to add "columns" (a checksum per column) and "hashes" (one per row)
--
-- One statement per table, outside of a transaction: a single one would lock all tables at a time.
SET client_min_messages = 'error';
SET row_security = off; -- an error instead of a result without the rows that a policy hides
SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres'; SET extra_float_digits = 1; SET bytea_output = 'hex';
SET search_path = pg_catalog;
SELECT
  -- The planner evaluates the expressions of indexes, whose functions may need the database's own search path.
  CASE WHEN EXISTS (SELECT FROM pg_index WHERE indrelid = pg_class.oid AND (indexprs IS NOT NULL OR indpred IS NOT NULL))
    THEN 'RESET search_path' ELSE 'SET search_path = pg_catalog' END,
  format($$
    SELECT jsonb_build_object('schema', %1$L, 'table', %2$L, 'rows', count(*)%3$s)
    FROM (SELECT * FROM ONLY %1$I.%2$I LIMIT %4$s) AS seed_row HAVING count(*) > 0
  $$, nspname, relname,
  CASE WHEN seeds.rows IS NULL THEN '' ELSE format($$, 'checksum',
    sum(('x' || substr(md5(CASE WHEN md5(%1$s) = ANY (%3$L::text[]) THEN %1$s ELSE %2$s END), 1, 16))::bit(64)::bigint::numeric)::text
  $$, whole_row, stable_row, seeds.fixed) END ||
  CASE WHEN :details THEN format($$, 'columns', jsonb_object(ARRAY[%1$s]::text[], ARRAY[%2$s]::text[]), 'hashes', jsonb_agg(md5(%3$s))
  $$, names, sums, whole_row) ELSE '' END,
  greatest(:most, seeds.rows + 1))
FROM pg_class
JOIN pg_namespace ON pg_namespace.oid = relnamespace
LEFT JOIN jsonb_to_recordset(nullif(:'seeds', '')::jsonb)
  AS seeds ("schema" text, "table" text, "rows" bigint, "volatile" text[], "fixed" text[]) ON "schema" = nspname AND "table" = relname
CROSS JOIN LATERAL (
  SELECT
    format('ROW(%s)::text', string_agg(format('seed_row.%I', attname), ', ' ORDER BY attnum)) AS whole_row,
    format('ROW(%s)::text', string_agg(format('seed_row.%I', attname), ', ' ORDER BY attnum)
      FILTER (WHERE attname <> ALL (coalesce(seeds.volatile, '{}')))) AS stable_row,
    string_agg(format('%L', attname), ', ' ORDER BY attnum) AS names,
    string_agg(format($$sum(('x' || substr(md5(seed_row.%I::text), 1, 16))::bit(64)::bigint::numeric)$$, attname), ', ' ORDER BY attnum) AS sums
  FROM pg_attribute WHERE attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
) AS columns
WHERE relkind = 'r' AND relpersistence <> 't' AND nspname NOT IN ('pg_catalog', 'information_schema')
  AND (nspname, relname) <> ('public', 'goldenami_migrations')
ORDER BY nspname, relname
\gexec
