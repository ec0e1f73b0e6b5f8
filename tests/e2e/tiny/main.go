// Command tiny answers its health path: an application that builds in a second, for tests that bake often.
// The environment can make it unhealthy: TINY_STATUS is the HTTP status, TINY_CRASH and TINY_SLOW are durations.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"
)

func main() {
	if after, err := time.ParseDuration(os.Getenv("TINY_CRASH")); err == nil {
		time.AfterFunc(after, func() { log.Fatal("crashing, as asked for") })
	}
	if slow, err := time.ParseDuration(os.Getenv("TINY_SLOW")); err == nil {
		time.Sleep(slow)
	}
	if status, err := strconv.Atoi(os.Getenv("TINY_STATUS")); err == nil {
		http.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "unhealthy", status) })
	} else {
		http.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	}
	log.Fatal(http.ListenAndServe(":"+os.Getenv("PORT"), nil))
}
