// Package parameters reads values from AWS Systems Manager Parameter Store. No other package imports the AWS SDK.
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

// Store is the Parameter Store of a region, with the credentials of the SDK's default chain (on EC2: the instance's role).
//
// It builds its only call from the SDK's low-level packages. The SDK's package for Systems Manager has hundreds of operations;
// compiling it takes longer than everything else together, and more memory than a t3.micro has.
type Store struct {
	client *client.Client
}

// Open creates a client for the region (AWS_REGION, AWS_DEFAULT_REGION, else the instance's own) and the endpoint.
func Open(ctx context.Context) (*Store, error) {
	chain, err := session.NewSession()
	if err != nil {
		return nil, fmt.Errorf("AWS configuration: %w", err)
	}
	settings := aws.NewConfig()
	// Version 1 of the SDK does not read the endpoint variable of the newer SDKs and the CLI.
	if endpoint := first("AWS_ENDPOINT_URL_SSM", "AWS_ENDPOINT_URL"); endpoint != "" {
		settings = settings.WithEndpoint(endpoint)
	}
	region := first("AWS_REGION", "AWS_DEFAULT_REGION")
	if region == "" {
		region, err = ec2metadata.New(chain).GetMetadataWithContext(ctx, "placement/region")
		if err != nil {
			return nil, fmt.Errorf("no AWS_REGION, and the instance metadata service has no region: %w", err)
		}
	}
	return &Store{client: open(chain.ClientConfig("ssm", settings.WithRegion(region)))}, nil
}

func open(settings client.Config) *client.Client {
	ssm := client.New(*settings.Config, metadata.ClientInfo{
		ServiceName:   "ssm",
		ServiceID:     "SSM",
		APIVersion:    "2014-11-06",
		JSONVersion:   "1.1",
		TargetPrefix:  "AmazonSSM",
		Endpoint:      settings.Endpoint,
		SigningName:   "ssm",
		SigningRegion: settings.SigningRegion,
	}, settings.Handlers)
	ssm.Handlers.Sign.PushBackNamed(v4.SignRequestHandler)
	ssm.Handlers.Build.PushBackNamed(jsonrpc.BuildHandler)
	ssm.Handlers.Unmarshal.PushBackNamed(jsonrpc.UnmarshalHandler)
	ssm.Handlers.UnmarshalMeta.PushBackNamed(jsonrpc.UnmarshalMetaHandler)
	ssm.Handlers.UnmarshalError.PushBackNamed(jsonrpc.UnmarshalErrorHandler)
	return ssm
}

// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html
type getParameterInput struct {
	Name           *string
	WithDecryption *bool
}

type getParameterOutput struct {
	Parameter *struct {
		Value *string
	}
}

// Get returns the decrypted value of the named parameter.
func (s *Store) Get(ctx context.Context, name string) (string, error) {
	input := getParameterInput{Name: aws.String(name), WithDecryption: aws.Bool(true)}
	var output getParameterOutput
	call := s.client.NewRequest(&request.Operation{Name: "GetParameter", HTTPMethod: "POST", HTTPPath: "/"}, &input, &output)
	call.SetContext(ctx)
	if err := call.Send(); err != nil {
		return "", fmt.Errorf("parameter %s: %w", name, err)
	}
	if output.Parameter == nil || output.Parameter.Value == nil {
		return "", fmt.Errorf("parameter %s: the response has no value", name)
	}
	return *output.Parameter.Value, nil
}

func first(names ...string) string {
	for _, name := range names {
		if value := os.Getenv(name); value != "" {
			return value
		}
	}
	return ""
}
