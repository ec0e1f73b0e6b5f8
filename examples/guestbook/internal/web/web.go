// Package web answers the guestbook's HTTP requests.
package web

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"html/template"
	"log"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"example.com/guestbook/internal/store"
)

const (
	pageSize   = 50
	maxBody    = 64 << 10
	maxName    = 80
	maxMessage = 2000
)

//go:embed page.html
var pageSource string

var page = template.Must(template.New("page").Parse(pageSource))

// Book is the store of the pages.
type Book interface {
	Ping(ctx context.Context) error
	Add(ctx context.Context, name, message string) (store.Entry, error)
	Get(ctx context.Context, id int64) (store.Entry, error)
	List(ctx context.Context, limit int, before int64) ([]store.Entry, error)
}

// Version identifies the running build.
type Version struct {
	Commit string `json:"commit"`
	Go     string `json:"go"`
}

type server struct {
	book    Book
	version Version
}

// New returns the handler of the whole site.
func New(book Book, version Version) http.Handler {
	s := &server{book: book, version: version}
	mux := http.NewServeMux()
	mux.HandleFunc("/", s.home)
	mux.HandleFunc("/entries", s.sign)
	mux.HandleFunc("/api/entries", s.entries)
	mux.HandleFunc("/api/entries/", s.entry)
	mux.HandleFunc("/health", s.health)
	mux.HandleFunc("/version", s.about)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		mux.ServeHTTP(w, r)
	})
}

type view struct {
	Entries                []store.Entry
	Older                  int64
	Problem, Name, Message string
}

func (s *server) home(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/" {
		http.NotFound(w, r)
		return
	}
	if !allowed(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	s.show(w, r, http.StatusOK, view{})
}

func (s *server) show(w http.ResponseWriter, r *http.Request, status int, v view) {
	before, _ := strconv.ParseInt(r.URL.Query().Get("before"), 10, 64)
	if before < 0 {
		before = 0
	}
	entries, err := s.book.List(r.Context(), pageSize, before)
	if err != nil {
		unavailable(w, err)
		return
	}
	v.Entries = entries
	if len(entries) == pageSize {
		v.Older = entries[pageSize-1].ID
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if err := page.Execute(w, v); err != nil {
		log.Printf("page: %v", err)
	}
}

func (s *server) sign(w http.ResponseWriter, r *http.Request) {
	if !allowed(w, r, http.MethodPost) {
		return
	}
	if err := r.ParseForm(); err != nil {
		http.Error(w, "The form could not be read.", http.StatusBadRequest)
		return
	}
	name, message, problem := clean(r.PostForm.Get("name"), r.PostForm.Get("message"))
	if problem != "" {
		s.show(w, r, http.StatusBadRequest, view{Problem: problem, Name: name, Message: message})
		return
	}
	if _, err := s.book.Add(r.Context(), name, message); err != nil {
		unavailable(w, err)
		return
	}
	// See Other: reloading the next page must not post again.
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *server) entries(w http.ResponseWriter, r *http.Request) {
	if !allowed(w, r, http.MethodGet, http.MethodHead, http.MethodPost) {
		return
	}
	if r.Method == http.MethodPost {
		s.add(w, r)
		return
	}
	limit, before := pageSize, int64(0)
	var err error
	query := r.URL.Query()
	if text := query.Get("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > 1000 {
			answer(w, http.StatusBadRequest, problem("limit: expected a number from 1 to 1000"))
			return
		}
	}
	if text := query.Get("before"); text != "" {
		if before, err = strconv.ParseInt(text, 10, 64); err != nil || before < 1 {
			answer(w, http.StatusBadRequest, problem("before: expected the id of an entry"))
			return
		}
	}
	entries, err := s.book.List(r.Context(), limit, before)
	if err != nil {
		unavailable(w, err)
		return
	}
	answer(w, http.StatusOK, map[string][]store.Entry{"entries": entries})
}

func (s *server) add(w http.ResponseWriter, r *http.Request) {
	var given struct{ Name, Message string }
	if err := json.NewDecoder(r.Body).Decode(&given); err != nil {
		answer(w, http.StatusBadRequest, problem("expected a JSON object with name and message"))
		return
	}
	name, message, wrong := clean(given.Name, given.Message)
	if wrong != "" {
		answer(w, http.StatusBadRequest, problem(wrong))
		return
	}
	entry, err := s.book.Add(r.Context(), name, message)
	if err != nil {
		unavailable(w, err)
		return
	}
	w.Header().Set("Location", "/api/entries/"+strconv.FormatInt(entry.ID, 10))
	answer(w, http.StatusCreated, entry)
}

func (s *server) entry(w http.ResponseWriter, r *http.Request) {
	if !allowed(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	id, err := strconv.ParseInt(strings.TrimPrefix(r.URL.Path, "/api/entries/"), 10, 64)
	if err != nil {
		answer(w, http.StatusNotFound, problem("no such entry"))
		return
	}
	entry, err := s.book.Get(r.Context(), id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		answer(w, http.StatusNotFound, problem("no such entry"))
	case err != nil:
		unavailable(w, err)
	default:
		answer(w, http.StatusOK, entry)
	}
}

func (s *server) health(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	w.Header().Set("Cache-Control", "no-store")
	if err := s.book.Ping(ctx); err != nil {
		log.Printf("health: %v", err)
		answer(w, http.StatusServiceUnavailable, map[string]string{"status": "down", "database": "unreachable"})
		return
	}
	answer(w, http.StatusOK, map[string]string{"status": "ok", "database": "ok"})
}

func (s *server) about(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, s.version)
}

// clean trims a visitor's text, and returns a message if it is invalid. PostgreSQL's text type needs valid UTF-8 without NUL.
func clean(name, message string) (string, string, string) {
	name, message = strings.TrimSpace(name), strings.TrimSpace(message)
	switch {
	case !plain(name) || !plain(message):
		return "", "", "The text is not valid UTF-8."
	case name == "":
		return name, message, "A name is needed."
	case message == "":
		return name, message, "A message is needed."
	case utf8.RuneCountInString(name) > maxName:
		return name, message, "The name is longer than 80 characters."
	case utf8.RuneCountInString(message) > maxMessage:
		return name, message, "The message is longer than 2000 characters."
	}
	return name, message, ""
}

func plain(text string) bool { return utf8.ValidString(text) && !strings.ContainsRune(text, 0) }

func allowed(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	for _, method := range methods {
		if r.Method == method {
			return true
		}
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	return false
}

func problem(text string) map[string]string { return map[string]string{"error": text} }

// unavailable logs the database's error and returns a generic one to the visitor.
func unavailable(w http.ResponseWriter, err error) {
	log.Printf("database: %v", err)
	answer(w, http.StatusServiceUnavailable, problem("the guestbook cannot be reached just now"))
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		log.Printf("answer: %v", err)
	}
}
