// Command hymnal stores what its users write in tables of many kinds: one that its migrations fill, one with row-level security,
// one with a name that needs quotes, and sequences that descend and cycle. Tests transfer its data.
//
// POST /api/entries and GET /api/entries are the guestbook's. GET /consistent answers 200 only if every entry is in every table.
package main

import (
	"context"
	"database/sql"
	_ "embed"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	_ "github.com/lib/pq" // the driver "postgres"
)

// The column of the entries' text: a migration renames it, which the version before cannot live with.
//
//go:embed column.txt
var columnFile string

var column = strings.TrimSpace(columnFile)

type hymnal struct{ db *sql.DB }

type entry struct {
	ID        int64     `json:"id"`
	Name      string    `json:"name"`
	Message   string    `json:"message"`
	CreatedAt time.Time `json:"created_at"`
}

func main() {
	log.SetFlags(0) // the journal has the time
	password, err := exec.Command("/usr/local/lib/goldenami/ssm-parameter", os.Getenv("DB_PASSWORD_PARAMETER")).Output()
	if err != nil {
		log.Fatalf("the password cannot be read: %v", err)
	}
	sslmode := os.Getenv("DB_SSLMODE")
	if sslmode == "" {
		sslmode = "disable"
	}
	server := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(os.Getenv("DB_USER"), string(password)),
		Host:     net.JoinHostPort(os.Getenv("DB_HOST"), os.Getenv("DB_PORT")),
		Path:     os.Getenv("DB_NAME"),
		RawQuery: "sslmode=" + sslmode,
	}
	db, err := sql.Open("postgres", server.String())
	if err != nil {
		log.Fatal(err)
	}
	db.SetMaxOpenConns(20)
	h := hymnal{db}
	http.HandleFunc("/health", h.health)
	http.HandleFunc("/api/entries", h.entries)
	http.HandleFunc("/consistent", h.consistent)
	log.Fatal(http.ListenAndServe(":"+os.Getenv("PORT"), nil))
}

func (h hymnal) health(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	var exists bool
	if err := h.db.QueryRowContext(ctx, "SELECT EXISTS (SELECT "+column+" FROM entries)").Scan(&exists); err != nil {
		refuse(w, err)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (h hymnal) entries(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		h.add(w, r)
	} else {
		h.list(w, r)
	}
}

// add writes the entry to each table in one transaction.
func (h hymnal) add(w http.ResponseWriter, r *http.Request) {
	var added entry
	if err := json.NewDecoder(r.Body).Decode(&added); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	tx, err := h.db.BeginTx(r.Context(), nil)
	if err != nil {
		refuse(w, err)
		return
	}
	defer tx.Rollback()
	row := tx.QueryRow("INSERT INTO entries (name, "+column+") VALUES ($1, $2) RETURNING id, created_at", added.Name, added.Message)
	if err := row.Scan(&added.ID, &added.CreatedAt); err != nil {
		refuse(w, err)
		return
	}
	for _, statement := range []string{
		"SELECT set_config('hymnal.reader', 'choir', true)",
		"INSERT INTO prayers (id, text) VALUES (nextval('countdown'), 'Amen')",
		"INSERT INTO notes (reader, text) VALUES ('choir', nextval('wheel')::text)",
		`INSERT INTO "찬송가 Hymns" ("Größe") VALUES (1)`,
	} {
		if _, err := tx.Exec(statement); err != nil {
			refuse(w, err)
			return
		}
	}
	if err := tx.Commit(); err != nil {
		refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusCreated)
	json.NewEncoder(w).Encode(added)
}

func (h hymnal) list(w http.ResponseWriter, r *http.Request) {
	limit, before := number(r, "limit", 50), number(r, "before", 1<<62)
	rows, err := h.db.QueryContext(r.Context(),
		"SELECT id, name, "+column+", created_at FROM entries WHERE id < $1 ORDER BY id DESC LIMIT $2", before, limit)
	if err != nil {
		refuse(w, err)
		return
	}
	defer rows.Close()
	page := []entry{}
	for rows.Next() {
		var next entry
		if err := rows.Scan(&next.ID, &next.Name, &next.Message, &next.CreatedAt); err != nil {
			refuse(w, err)
			return
		}
		page = append(page, next)
	}
	if err := rows.Err(); err != nil {
		refuse(w, err)
		return
	}
	json.NewEncoder(w).Encode(map[string]any{"entries": page})
}

func number(r *http.Request, name string, missing int64) int64 {
	if value, err := strconv.ParseInt(r.URL.Query().Get(name), 10, 64); err == nil {
		return value
	}
	return missing
}

// consistent compares the tables in one snapshot; three prayers come from the migrations.
func (h hymnal) consistent(w http.ResponseWriter, r *http.Request) {
	tx, err := h.db.BeginTx(r.Context(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		refuse(w, err)
		return
	}
	defer tx.Rollback()
	if _, err := tx.Exec("SELECT set_config('hymnal.reader', 'choir', true)"); err != nil {
		refuse(w, err)
		return
	}
	var entries, prayers, notes, hymns int64
	row := tx.QueryRow(`SELECT (SELECT count(*) FROM entries), (SELECT count(*) - 3 FROM prayers),
		(SELECT count(*) FROM notes), (SELECT count(*) FROM "찬송가 Hymns")`)
	if err := row.Scan(&entries, &prayers, &notes, &hymns); err != nil {
		refuse(w, err)
		return
	}
	if prayers != entries || notes != entries || hymns != entries {
		w.WriteHeader(http.StatusConflict)
	}
	fmt.Fprintf(w, "%d entries, %d prayers, %d notes, %d hymns\n", entries, prayers, notes, hymns)
}

func refuse(w http.ResponseWriter, err error) {
	log.Printf("ERROR %v", err)
	http.Error(w, "the database refused", http.StatusServiceUnavailable)
}
