// Package parameters reads one value from AWS Systems Manager Parameter Store. It is the only place that knows the AWS SDK.
package parameters

import (
	"context"
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/ec2metadata"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/ssm"
)

// Store is a Parameter Store of one region, reached with the credentials of the SDK's ordinary chain (on EC2: the instance's role).
type Store struct {
	client *ssm.SSM
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
	return &Store{client: ssm.New(chain, settings.WithRegion(region))}, nil
}

// Get returns the decrypted value of the named parameter.
func (s *Store) Get(ctx context.Context, name string) (string, error) {
	answer, err := s.client.GetParameterWithContext(ctx, &ssm.GetParameterInput{
		Name:           aws.String(name),
		WithDecryption: aws.Bool(true),
	})
	if err != nil {
		return "", fmt.Errorf("parameter %s: %w", name, err)
	}
	return aws.StringValue(answer.Parameter.Value), nil
}

func first(names ...string) string {
	for _, name := range names {
		if value := os.Getenv(name); value != "" {
			return value
		}
	}
	return ""
}
