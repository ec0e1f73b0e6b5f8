module example.com/guestbook

go 1.19

require (
	github.com/aws/aws-sdk-go v1.44.133
	github.com/lib/pq v1.10.7
)

require github.com/jmespath/go-jmespath v0.4.0 // indirect
