package awstest

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"godwit/internal/landscape"
)

// Fronts is a Provisioner that makes public load balancers as Terraform's modules
// do: they speak HTTPS, and know the hosts of their own environment.
type Fronts struct{ *Provisioner }

// Apply implements aws.Provisioner.
func (f Fronts) Apply(ctx context.Context, l *landscape.Landscape, environment string) error {
	hosted, p := *l, *f.Provisioner
	hosted.Ingresses = slices.Clone(l.Ingresses)
	for i, in := range l.Ingresses {
		hosted.Ingresses[i].Host = landscape.IngressHost(l, in, environment)
	}
	p.LoadBalancing = secured{p.LoadBalancing}
	return p.Apply(ctx, &hosted, environment)
}

// secured makes listeners on 443 with a certificate.
type secured struct{ LoadBalancing }

func (s secured) CreateListener(ctx context.Context, in *elb.CreateListenerInput, o ...func(*elb.Options)) (*elb.CreateListenerOutput, error) {
	if aws.ToInt32(in.Port) == 443 {
		copied := *in
		copied.Protocol = elbtypes.ProtocolEnumHttps
		// One of IAM's, for moto wants those of ACM to be there.
		copied.Certificates = []elbtypes.Certificate{{CertificateArn: aws.String("arn:aws:iam::" + AccountID + ":server-certificate/of-a-test")}}
		in = &copied
	}
	return s.LoadBalancing.CreateListener(ctx, in, o...)
}
