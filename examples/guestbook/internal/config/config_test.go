package config

import (
	"context"
	"errors"
	"strings"
	"testing"
)

type values map[string]string

func (v values) lookup(key string) string { return v[key] }

func (v values) Get(_ context.Context, name string) (string, error) {
	if value, ok := v[name]; ok {
		return value, nil
	}
	return "", errors.New("parameter " + name + ": not found")
}

func (v values) open(context.Context) (Getter, error) { return v, nil }

func never(context.Context) (Getter, error) { return nil, errors.New("Parameter Store was asked") }

func TestPasswordFromTheEnvironment(t *testing.T) {
	environment := values{"DB_PASSWORD": `it's a \ "쉬운" $word`, "DB_NAME": "book"}
	config, err := Load(context.Background(), environment.lookup, never)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`password='it\'s a \\ "쉬운" $word'`, "dbname='book'", "user='guestbook'", "port='5432'"} {
		if !strings.Contains(config.Database, want) {
			t.Errorf("%q is not in %q", want, config.Database)
		}
	}
	if config.Port != 8080 {
		t.Errorf("port %d", config.Port)
	}
}

func TestPasswordFromParameterStore(t *testing.T) {
	environment := values{"USE_AWS_PARAMS": "true", "DB_PASSWORD": "other", "DB_PASSWORD_PARAMETER": "/book/password"}
	config, err := Load(context.Background(), environment.lookup, values{"/book/password": "secret"}.open)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(config.Database, "password='secret'") {
		t.Error(config.Database)
	}
}

func TestRefusals(t *testing.T) {
	cases := map[string]values{
		"PORT: expected":                   {"PORT": "80a"},
		"DB_PASSWORD_PARAMETER is empty":   {"USE_AWS_PARAMS": "true"},
		"parameter /missing: not found":    {"USE_AWS_PARAMS": "true", "DB_PASSWORD_PARAMETER": "/missing"},
		"PORT: expected a number from 1 t": {"PORT": "65536"},
	}
	for want, environment := range cases {
		_, err := Load(context.Background(), environment.lookup, values{}.open)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, expected %q", environment, err, want)
		}
	}
}
