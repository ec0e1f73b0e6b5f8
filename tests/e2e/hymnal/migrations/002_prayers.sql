-- Users write into this table, too.
CREATE TABLE prayers (
    id bigint PRIMARY KEY,
    text text NOT NULL,
    added_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO prayers (id, text) VALUES (1, 'Vater unser'), (2, '주님의 기도'), (3, 'Gloria');
