// The same module built from the distribution's packages, with no network:
//   apt-get install golang-go golang-github-lib-pq-dev golang-github-aws-aws-sdk-go-dev
//   go build -modfile=distro.mod -o guestbook ./cmd/server
module example.com/guestbook

go 1.19

require (
	github.com/aws/aws-sdk-go v1.44.133
	github.com/lib/pq v1.10.7
)

require github.com/jmespath/go-jmespath v0.4.0 // indirect

// A directory needs no checksum: the package manager has verified its contents.
replace (
	github.com/aws/aws-sdk-go => /usr/share/gocode/src/github.com/aws/aws-sdk-go
	github.com/jmespath/go-jmespath => /usr/share/gocode/src/github.com/jmespath/go-jmespath
	github.com/lib/pq => /usr/share/gocode/src/github.com/lib/pq
)
