// Package parameters reads one value from AWS Systems Manager Parameter Store. It is the only place that knows the AWS SDK.
package parameters

import (
	"context"
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/client"
	"github.com/aws/aws-sdk-go/aws/client/metadata"
	"github.com/aws/aws-sdk-go/aws/ec2metadata"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/aws/session"
	v4 "github.com/aws/aws-sdk-go/aws/signer/v4"
	"github.com/aws/aws-sdk-go/private/protocol/jsonrpc"
)

// Store is a Parameter Store of one region, reached with the credentials of the SDK's ordinary chain (on EC2: the instance's role).
//
// It makes the one call it needs from the SDK's own parts. The SDK's package for Systems Manager holds hundreds of operations,
// and compiling it takes more time than all the rest together, and more memory than a t3.micro has to spare.
type Store struct {
	client *client.Client
}

// Open finds the region (AWS_REGION, AWS_DEFAULT_REGION, else the instance's own) and the endpoint, and makes a client.
func Open(ctx context.Context) (*Store, error) {
	chain, err := session.NewSession()
	if err != nil {
		return nil, fmt.Errorf("AWS configuration: %w", err)
	}
	settings := aws.NewConfig()
	// Version 1 of the SDK does not read the variable that the newer SDKs and the CLI agree on.
	if endpoint := first("AWS_ENDPOINT_URL_SSM", "AWS_ENDPOINT_URL"); endpoint != "" {
		settings = settings.WithEndpoint(endpoint)
	}
	region := first("AWS_REGION", "AWS_DEFAULT_REGION")
	if region == "" {
		region, err = ec2metadata.New(chain).GetMetadataWithContext(ctx, "placement/region")
		if err != nil {
			return nil, fmt.Errorf("no AWS_REGION, and the instance metadata service does not tell it: %w", err)
		}
	}
	return &Store{client: open(chain.ClientConfig("ssm", settings.WithRegion(region)))}, nil
}

func open(settings client.Config) *client.Client {
	made := client.New(*settings.Config, metadata.ClientInfo{
		ServiceName:   "ssm",
		ServiceID:     "SSM",
		APIVersion:    "2014-11-06",
		JSONVersion:   "1.1",
		TargetPrefix:  "AmazonSSM",
		Endpoint:      settings.Endpoint,
		SigningName:   "ssm",
		SigningRegion: settings.SigningRegion,
	}, settings.Handlers)
	made.Handlers.Sign.PushBackNamed(v4.SignRequestHandler)
	made.Handlers.Build.PushBackNamed(jsonrpc.BuildHandler)
	made.Handlers.Unmarshal.PushBackNamed(jsonrpc.UnmarshalHandler)
	made.Handlers.UnmarshalMeta.PushBackNamed(jsonrpc.UnmarshalMetaHandler)
	made.Handlers.UnmarshalError.PushBackNamed(jsonrpc.UnmarshalErrorHandler)
	return made
}

// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html
type question struct {
	Name           *string
	WithDecryption *bool
}

type answer struct {
	Parameter *struct {
		Value *string
	}
}

// Get returns the decrypted value of the named parameter.
func (s *Store) Get(ctx context.Context, name string) (string, error) {
	asked := question{Name: aws.String(name), WithDecryption: aws.Bool(true)}
	var told answer
	call := s.client.NewRequest(&request.Operation{Name: "GetParameter", HTTPMethod: "POST", HTTPPath: "/"}, &asked, &told)
	call.SetContext(ctx)
	if err := call.Send(); err != nil {
		return "", fmt.Errorf("parameter %s: %w", name, err)
	}
	if told.Parameter == nil || told.Parameter.Value == nil {
		return "", fmt.Errorf("parameter %s: the answer holds no value", name)
	}
	return *told.Parameter.Value, nil
}

func first(names ...string) string {
	for _, name := range names {
		if value := os.Getenv(name); value != "" {
			return value
		}
	}
	return ""
}
