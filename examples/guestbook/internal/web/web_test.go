package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"example.com/guestbook/internal/store"
)

// memory is a Book in memory; down makes every call fail, as without a database.
type memory struct {
	entries []store.Entry
	down    bool
}

var errDown = errors.New("connection refused (secret detail)")

func (m *memory) Ping(context.Context) error {
	if m.down {
		return errDown
	}
	return nil
}

func (m *memory) Add(_ context.Context, name, message string) (store.Entry, error) {
	if m.down {
		return store.Entry{}, errDown
	}
	entry := store.Entry{ID: int64(len(m.entries) + 1), Name: name, Message: message, CreatedAt: time.Unix(0, 0)}
	m.entries = append(m.entries, entry)
	return entry, nil
}

func (m *memory) Get(_ context.Context, id int64) (store.Entry, error) {
	if m.down {
		return store.Entry{}, errDown
	}
	if id < 1 || id > int64(len(m.entries)) {
		return store.Entry{}, store.ErrNotFound
	}
	return m.entries[id-1], nil
}

func (m *memory) List(_ context.Context, limit int, before int64) ([]store.Entry, error) {
	if m.down {
		return nil, errDown
	}
	newest := []store.Entry{}
	for i := len(m.entries) - 1; i >= 0 && len(newest) < limit; i-- {
		if before == 0 || m.entries[i].ID < before {
			newest = append(newest, m.entries[i])
		}
	}
	return newest, nil
}

func ask(t *testing.T, book Book, method, target, contentType, body string) *httptest.ResponseRecorder {
	t.Helper()
	request := httptest.NewRequest(method, target, strings.NewReader(body))
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	recorder := httptest.NewRecorder()
	New(book, Version{Commit: "abc", Go: "go1.19"}).ServeHTTP(recorder, request)
	return recorder
}

func TestSignAndRead(t *testing.T) {
	book := &memory{}
	form := url.Values{"name": {" 김철수 "}, "message": {"<script>alert(1)</script> & \"안녕\""}}.Encode()
	if got := ask(t, book, "POST", "/entries", "application/x-www-form-urlencoded", form); got.Code != http.StatusSeeOther {
		t.Fatalf("%d %s", got.Code, got.Body)
	}
	body := ask(t, book, "GET", "/", "", "").Body.String()
	if !strings.Contains(body, "<strong>김철수</strong>") || strings.Contains(body, "<script>") {
		t.Error(body)
	}
}

func TestFormKeepsWhatWasWritten(t *testing.T) {
	form := url.Values{"name": {"Lee"}, "message": {"  "}}.Encode()
	got := ask(t, &memory{}, "POST", "/entries", "application/x-www-form-urlencoded", form)
	if got.Code != http.StatusBadRequest || !strings.Contains(got.Body.String(), `value="Lee"`) || !strings.Contains(got.Body.String(), "A message is needed.") {
		t.Errorf("%d %s", got.Code, got.Body)
	}
}

func TestAPI(t *testing.T) {
	book := &memory{}
	got := ask(t, book, "POST", "/api/entries", "application/json", `{"name":"Lee","message":"hello"}`)
	if got.Code != http.StatusCreated || got.Header().Get("Location") != "/api/entries/1" {
		t.Fatalf("%d %v", got.Code, got.Header())
	}
	ask(t, book, "POST", "/api/entries", "application/json", `{"name":"Kim","message":"hi"}`)
	var list struct{ Entries []store.Entry }
	if err := json.Unmarshal(ask(t, book, "GET", "/api/entries?limit=1&before=2", "", "").Body.Bytes(), &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Entries) != 1 || list.Entries[0].Name != "Lee" {
		t.Error(list)
	}
	if got := ask(t, book, "GET", "/api/entries/2", "", ""); got.Code != 200 || !strings.Contains(got.Body.String(), `"message":"hi"`) {
		t.Errorf("%d %s", got.Code, got.Body)
	}
}

func TestEmptyListIsAnArray(t *testing.T) {
	if got := ask(t, &memory{}, "GET", "/api/entries", "", "").Body.String(); strings.TrimSpace(got) != `{"entries":[]}` {
		t.Error(got)
	}
}

func TestRefusals(t *testing.T) {
	long := strings.Repeat("가", maxMessage+1)
	cases := []struct {
		method, target, body string
		status               int
	}{
		{"POST", "/api/entries", `{"name":"","message":"x"}`, 400},
		{"POST", "/api/entries", `{"name":"x","message":"` + long + `"}`, 400},
		{"POST", "/api/entries", `{"name":"x","message":"a\u0000b"}`, 400},
		{"POST", "/api/entries", `not json`, 400},
		{"POST", "/api/entries", `{"name":"` + strings.Repeat("x", maxBody) + `","message":"x"}`, 400},
		{"GET", "/api/entries?limit=0", "", 400},
		{"GET", "/api/entries?before=x", "", 400},
		{"GET", "/api/entries/9", "", 404},
		{"GET", "/api/entries/x", "", 404},
		{"DELETE", "/api/entries", "", 405},
		{"GET", "/entries", "", 405},
		{"GET", "/nowhere", "", 404},
	}
	for _, c := range cases {
		if got := ask(t, &memory{}, c.method, c.target, "application/json", c.body); got.Code != c.status {
			t.Errorf("%s %s: %d, expected %d", c.method, c.target, got.Code, c.status)
		}
	}
}

func TestHealthAndVersion(t *testing.T) {
	if got := ask(t, &memory{}, "GET", "/health", "", ""); got.Code != 200 || !strings.Contains(got.Body.String(), `"status":"ok"`) {
		t.Errorf("%d %s", got.Code, got.Body)
	}
	if got := ask(t, &memory{}, "GET", "/version", "", "").Body.String(); strings.TrimSpace(got) != `{"commit":"abc","go":"go1.19"}` {
		t.Error(got)
	}
}

func TestDatabaseDown(t *testing.T) {
	book := &memory{down: true}
	for _, target := range []string{"/", "/health", "/api/entries", "/api/entries/1"} {
		got := ask(t, book, "GET", target, "", "")
		if got.Code != http.StatusServiceUnavailable || strings.Contains(got.Body.String(), "secret detail") {
			t.Errorf("%s: %d %s", target, got.Code, got.Body)
		}
	}
}
