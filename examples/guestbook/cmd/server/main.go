// Command server serves the guestbook.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"example.com/guestbook/internal/config"
	"example.com/guestbook/internal/parameters"
	"example.com/guestbook/internal/store"
	"example.com/guestbook/internal/web"
)

func main() {
	log.SetFlags(0) // the journal has the time
	if err := run(); err != nil {
		log.Fatalf("guestbook: %v", err)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	reading, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	settings, err := config.Load(reading, os.Getenv, func(ctx context.Context) (config.Getter, error) { return parameters.Open(ctx) })
	if err != nil {
		return err
	}
	book, err := store.Open(settings.Database)
	if err != nil {
		return err
	}
	defer book.Close()

	server := &http.Server{
		Handler:           web.New(book, version()),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
	}
	listener, err := net.Listen("tcp", ":"+strconv.Itoa(settings.Port))
	if err != nil {
		return err
	}
	log.Printf("guestbook %s listens on %s", version().Commit, listener.Addr())

	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	// Finish open requests.
	closing, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(closing); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("shutdown: %w", err)
	}
	return nil
}

// version returns the commit of the image (APP_COMMIT), else the one that the Go tool recorded.
func version() web.Version {
	commit := os.Getenv("APP_COMMIT")
	if build, ok := debug.ReadBuildInfo(); ok && commit == "" {
		for _, setting := range build.Settings {
			if setting.Key == "vcs.revision" {
				commit = setting.Value
			}
		}
	}
	if commit == "" {
		commit = "unknown"
	}
	return web.Version{Commit: commit, Go: runtime.Version()}
}
