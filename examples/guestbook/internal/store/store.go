// Package store keeps the guestbook's entries in PostgreSQL.
package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	_ "github.com/lib/pq" // the driver "postgres"
)

// Entry is what one visitor left.
type Entry struct {
	ID        int64     `json:"id"`
	Name      string    `json:"name"`
	Message   string    `json:"message"`
	CreatedAt time.Time `json:"created_at"`
}

// ErrNotFound says that no entry has the id that was asked for.
var ErrNotFound = errors.New("no such entry")

// Postgres is the guestbook's database.
type Postgres struct {
	db *sql.DB
}

// Open prepares a pool of connections; the first one is made when it is needed, so a database that is down does not stop the start.
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

// Close returns the connections.
func (p *Postgres) Close() error { return p.db.Close() }

// Ping asks the database for the table itself: an answer means that server, password and schema are in order.
func (p *Postgres) Ping(ctx context.Context) error {
	var found bool
	return p.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM entries)`).Scan(&found)
}

// Add keeps an entry and returns it with its id and time.
func (p *Postgres) Add(ctx context.Context, name, message string) (Entry, error) {
	entry := Entry{Name: name, Message: message}
	row := p.db.QueryRowContext(ctx, `INSERT INTO entries (name, message) VALUES ($1, $2) RETURNING id, created_at`, name, message)
	err := row.Scan(&entry.ID, &entry.CreatedAt)
	return entry, err
}

// Get returns one entry, or ErrNotFound.
func (p *Postgres) Get(ctx context.Context, id int64) (Entry, error) {
	entry := Entry{ID: id}
	row := p.db.QueryRowContext(ctx, `SELECT name, message, created_at FROM entries WHERE id = $1`, id)
	err := row.Scan(&entry.Name, &entry.Message, &entry.CreatedAt)
	if errors.Is(err, sql.ErrNoRows) {
		return Entry{}, ErrNotFound
	}
	return entry, err
}

// List returns at most limit entries, newest first, with ids below before (0: from the newest).
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
