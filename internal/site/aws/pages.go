package aws

import "github.com/aws/aws-sdk-go-v2/aws"

// pages asks for one page after the other. ask gets the token of a page, nil for
// the first, and returns that of the next.
func pages(ask func(token *string) (next *string, err error)) error {
	var token *string
	for {
		next, err := ask(token)
		if err != nil || aws.ToString(next) == "" {
			return err
		}
		token = next
	}
}
