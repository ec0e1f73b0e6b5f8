CREATE TABLE "찬송가 Hymns" ("Größe" integer NOT NULL);
-- The function finds its table through the session's search_path.
CREATE FUNCTION prayer_count() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM prayers';
CREATE MATERIALIZED VIEW prayer_summary AS SELECT prayer_count() AS prayers;
