package engine

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"godwit/internal/api"
	"godwit/internal/fleet"
	"godwit/internal/gateway"
	"godwit/internal/landscape"
	"godwit/internal/migrate"
	"godwit/internal/site"
)

// answerTimeout bounds the wait for a service of the data centre.
const answerTimeout = 3 * time.Second

// serving says which services of a side could not take the traffic of a
// migration now: a switch to them would turn requests into errors.
func (e *Engine) serving(ctx context.Context, w *world, m landscape.Migration, side migrate.Side) (landscape.Findings, error) {
	if side == migrate.Source {
		return w.sourceServing(ctx, m)
	}
	if w.fronted() {
		return e.frontsServing(ctx, w, m)
	}
	ctx, cancel := context.WithTimeout(ctx, observeLimit)
	defer cancel()
	s := e.healed(w)
	for {
		observed, err := s.Observe(ctx, m.Environment)
		if err != nil {
			return nil, err
		}
		found := w.unready(m, observed)
		if len(found) == 0 || !e.healers.of(m.Environment).young() {
			return found, nil
		}
		select { // they are starting again
		case <-time.After(pulseEvery):
		case <-ctx.Done():
			return found, nil
		}
	}
}

// unready are the services of a migration that an environment does not serve.
func (w *world) unready(m landscape.Migration, observed site.Environment) landscape.Findings {
	src, _ := w.landscape.Source(m.Source)
	found := landscape.Findings{}
	for _, s := range src.Services {
		if !ready(observed.Fleets, s.Name) {
			found = append(found, landscape.Finding{Severity: landscape.Error,
				Summary: fmt.Sprintf("service %s has no ready instance in %s", s.Name, m.Environment),
				Mend:    "godwit status says why; godwit up brings back what is declared"})
		}
	}
	return found
}

// ready reports whether a service has an instance that would get requests.
func ready(fleets []fleet.Fleet, service string) bool {
	for _, f := range fleets {
		for _, i := range f.Instances {
			if f.Service == service && i.State == fleet.Ready && f.Weights[i.Release] > 0 {
				return true
			}
		}
	}
	return false
}

// sourceServing asks the data centre's services for their health.
func (w *world) sourceServing(ctx context.Context, m landscape.Migration) (landscape.Findings, error) {
	src, _ := w.landscape.Source(m.Source)
	found := landscape.Findings{}
	for _, s := range src.Services {
		base, err := w.settings.value(s.URL)
		if err != nil {
			return nil, err
		}
		declared, _ := w.landscape.Service(s.Name)
		url := strings.TrimSuffix(base, "/") + declared.Health.Path
		if err := healthy(ctx, url); err != nil {
			found = append(found, landscape.Finding{Severity: landscape.Error,
				Summary: fmt.Sprintf("service %s of the data centre does not serve: %v", s.Name, err),
				Mend:    "start it, or mend its url in the source block"})
		}
	}
	return found, nil
}

// direct asks the service itself, never a proxy.
var direct = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func healthy(ctx context.Context, url string) error { return asks(ctx, direct, url, "") }

// healthyFront asks at an endpoint for a host, with the certificate that the
// gateway will demand there.
func healthyFront(ctx context.Context, to gateway.Endpoint, host, path string, roots *x509.CertPool) error {
	var dialer net.Dialer
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{ServerName: to.TLS, RootCAs: roots},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, to.Address)
		}}
	scheme := "http://"
	if to.TLS != "" {
		scheme = "https://"
	}
	return asks(ctx, &http.Client{Transport: transport}, scheme+to.Address+path, host)
}

// asks wants a good answer; host, when it is given, is the one that is asked for.
func asks(ctx context.Context, client *http.Client, url, host string) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Host = host
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	res.Body.Close()
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("%s answers %s", req.URL.Redacted(), res.Status)
	}
	return nil
}

// mayServe refuses a switch to a side that does not serve.
func (e *Engine) mayServe(ctx context.Context, w *world, m landscape.Migration, to migrate.Side) error {
	found, err := e.serving(ctx, w, m, to)
	if err != nil {
		return err
	}
	if found.HasErrors() {
		return &api.Failure{Code: api.Refused, Message: "the " + string(to) + " could not take the traffic", Findings: found}
	}
	return nil
}
