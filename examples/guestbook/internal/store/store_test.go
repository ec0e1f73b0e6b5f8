package store

import (
	"context"
	"os"
	"testing"
)

// Tests the SQL against a temporary database with schema.sql; the variable is a lib/pq connection string.
func TestAgainstPostgreSQL(t *testing.T) {
	connection := os.Getenv("GUESTBOOK_TEST_DATABASE")
	if connection == "" {
		t.Skip("GUESTBOOK_TEST_DATABASE is not set")
	}
	ctx := context.Background()
	book, err := Open(connection)
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	if err := book.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	first, err := book.Add(ctx, "김철수", `it's "fine"; DROP TABLE entries; --`)
	if err != nil {
		t.Fatal(err)
	}
	second, err := book.Add(ctx, "Lee", "hello")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := book.Get(ctx, first.ID); err != nil || got.Message != first.Message || got.Name != first.Name {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := book.List(ctx, 1, 0); err != nil || len(got) != 1 || got[0].ID != second.ID {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := book.List(ctx, 1, second.ID); err != nil || len(got) != 1 || got[0].ID != first.ID {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := book.Get(ctx, 1<<60); err != ErrNotFound {
		t.Error(err)
	}
	if _, err := book.Add(ctx, "", "nameless"); err == nil {
		t.Error("the schema took an entry without a name")
	}
}
