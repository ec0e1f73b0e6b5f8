// Package store stores the guestbook's entries in PostgreSQL.
package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	_ "github.com/lib/pq" // the driver "postgres"
)

// Entry is a guestbook entry.
type Entry struct {
	ID        int64     `json:"id"`
	Name      string    `json:"name"`
	Message   string    `json:"message"`
	CreatedAt time.Time `json:"created_at"`
}

// ErrNotFound is returned when no entry has the requested id.
var ErrNotFound = errors.New("no such entry")

// Postgres is the guestbook's database.
type Postgres struct {
	db *sql.DB
}

// Open creates a connection pool. Connections are opened on demand, so the server starts even if the database is down.
func Open(connection string) (*Postgres, error) {
	db, err := sql.Open("postgres", connection)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(20)
	db.SetMaxIdleConns(5)
	db.SetConnMaxIdleTime(5 * time.Minute)
	return &Postgres{db: db}, nil
}

// Close closes the pool.
func (p *Postgres) Close() error { return p.db.Close() }

// Ping queries the table, which checks server, password and schema.
func (p *Postgres) Ping(ctx context.Context) error {
	var exists bool
	return p.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM entries)`).Scan(&exists)
}

// Add stores an entry and returns it with its id and time.
func (p *Postgres) Add(ctx context.Context, name, message string) (Entry, error) {
	entry := Entry{Name: name, Message: message}
	row := p.db.QueryRowContext(ctx, `INSERT INTO entries (name, message) VALUES ($1, $2) RETURNING id, created_at`, name, message)
	err := row.Scan(&entry.ID, &entry.CreatedAt)
	return entry, err
}

// Get returns an entry, or ErrNotFound.
func (p *Postgres) Get(ctx context.Context, id int64) (Entry, error) {
	entry := Entry{ID: id}
	row := p.db.QueryRowContext(ctx, `SELECT name, message, created_at FROM entries WHERE id = $1`, id)
	err := row.Scan(&entry.Name, &entry.Message, &entry.CreatedAt)
	if errors.Is(err, sql.ErrNoRows) {
		return Entry{}, ErrNotFound
	}
	return entry, err
}

// List returns at most limit entries with ids below before (0: all), newest first.
func (p *Postgres) List(ctx context.Context, limit int, before int64) ([]Entry, error) {
	rows, err := p.db.QueryContext(ctx, `
		SELECT id, name, message, created_at FROM entries
		WHERE $2 = 0 OR id < $2
		ORDER BY id DESC
		LIMIT $1`, limit, before)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	entries := []Entry{}
	for rows.Next() {
		var entry Entry
		if err := rows.Scan(&entry.ID, &entry.Name, &entry.Message, &entry.CreatedAt); err != nil {
			return nil, err
		}
		entries = append(entries, entry)
	}
	return entries, rows.Err()
}
