// Package config reads the server's settings from the environment and, if configured, from Parameter Store.
package config

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Config has the settings of the server.
type Config struct {
	Port     int
	Database string // a connection string for lib/pq
}

// Getter reads a secret by its name.
type Getter interface {
	Get(ctx context.Context, name string) (string, error)
}

// Load reads the settings through lookup (os.Getenv). With USE_AWS_PARAMS=true the database password is the value of the
// parameter in DB_PASSWORD_PARAMETER, read through open; otherwise it is DB_PASSWORD.
func Load(ctx context.Context, lookup func(string) string, open func(context.Context) (Getter, error)) (Config, error) {
	get := func(key, otherwise string) string {
		if value := lookup(key); value != "" {
			return value
		}
		return otherwise
	}
	port, err := strconv.Atoi(get("PORT", "8080"))
	if err != nil || port < 1 || port > 65535 {
		return Config{}, fmt.Errorf("PORT: expected a number from 1 to 65535, got %q", lookup("PORT"))
	}
	password := lookup("DB_PASSWORD")
	if lookup("USE_AWS_PARAMS") == "true" {
		name := lookup("DB_PASSWORD_PARAMETER")
		if name == "" {
			return Config{}, errors.New("USE_AWS_PARAMS is true, but DB_PASSWORD_PARAMETER is empty")
		}
		store, err := open(ctx)
		if err != nil {
			return Config{}, err
		}
		if password, err = store.Get(ctx, name); err != nil {
			return Config{}, err
		}
	}
	words := []string{
		"host=" + quote(get("DB_HOST", "127.0.0.1")),
		"port=" + quote(get("DB_PORT", "5432")),
		"dbname=" + quote(get("DB_NAME", "guestbook")),
		"user=" + quote(get("DB_USER", "guestbook")),
		"sslmode=" + quote(get("DB_SSLMODE", "disable")),
		"connect_timeout='3'",
	}
	if password != "" {
		words = append(words, "password="+quote(password))
	}
	return Config{Port: port, Database: strings.Join(words, " ")}, nil
}

// quote returns a value quoted for a key=value connection string.
func quote(value string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
}
