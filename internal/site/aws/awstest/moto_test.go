package awstest

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sts"
)

func TestMoto(t *testing.T) {
	t.Parallel()
	m := StartMoto(t)
	who, err := sts.NewFromConfig(m.Config(t)).GetCallerIdentity(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if *who.Account != AccountID {
		t.Errorf("account %s", *who.Account)
	}
	m.Reset(t)
}
