package cloud

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"godwit/internal/api"
	"godwit/internal/fleet"
	"godwit/internal/journal"
	"godwit/internal/landscape"
	"godwit/internal/site"
	"godwit/internal/site/aws"
)

// fillEnv says which version of the service's secret holds what it takes from
// env.NAME, and makes one when there is none; "" when the service takes nothing.
func (w *work) fillEnv(ctx context.Context, s landscape.Service, live fleet.Release) (string, error) {
	values, err := given(s)
	if err != nil || len(values) == 0 {
		return "", err
	}
	named, err := w.versions(ctx, live)
	if err != nil {
		return "", err
	}
	return w.site.FillServiceSecret(ctx, w.environment, s.Name, values, named)
}

// given are the values that a service takes from env.NAME, by NAME.
func given(s landscape.Service) (map[string]string, error) {
	values, missing := map[string]string{}, ""
	for _, v := range s.Env {
		for _, ref := range v.Refs() {
			if ref.Kind != "env" {
				continue
			}
			value, ok := os.LookupEnv(ref.Name)
			if !ok {
				missing = ref.Name
			}
			values[ref.Name] = value
		}
	}
	if missing != "" {
		return nil, api.Fail(api.Usage, "service %s needs env.%s, which is not set here: set it for this command; it goes into Secrets Manager", s.Name, missing)
	}
	return values, nil
}

// keepEnv refuses a release whose values AWS has deleted, before anything is
// begun: its instances would not start. Who may not look leaves it to them.
func (w *work) keepEnv(ctx context.Context, r, live fleet.Release) error {
	if r.SecretVersion == "" {
		return nil
	}
	named, err := w.versions(ctx, live)
	if err != nil {
		return err
	}
	err = w.site.KeepServiceSecret(ctx, w.environment, w.service, r.SecretVersion, named)
	switch {
	case errors.Is(err, site.ErrNotFound):
		return api.Fail(api.Missing, "%s: release %d cannot be returned to, for the values of env.NAME that it was given are gone: %v; set them for godwit aws deploy, and roll its image %s out with them",
			w.subject(), r.Number, err, r.Image)
	case denied(err):
		w.Sink.Note(w.subject(), "secret", fmt.Sprintf("not looked whether the values of release %d are still there: %v", r.Number, err))
		return nil
	}
	return err
}

// markEnv shows in AWS which values serve. No release that names its version
// depends on it, so no rollout fails by it; the next one does it again.
func (w *work) markEnv(ctx context.Context, live fleet.Release) {
	if live.SecretVersion == "" {
		return
	}
	if err := w.site.MarkServiceSecret(ctx, w.environment, w.service, live.SecretVersion); err != nil {
		w.Sink.Note(w.subject(), "secret", fmt.Sprintf("AWS goes on calling other values current than those of release %d: %v", live.Number, err))
	}
}

func denied(err error) bool {
	var e *aws.Error
	return errors.As(err, &e) && e.Kind == aws.KindDenied
}

// versions of the service's secret are those that a rollback may return to: that
// of the live release, then those of the others, the newest first.
func (w *work) versions(ctx context.Context, live fleet.Release) ([]string, error) {
	runs, err := w.book.Runs(ctx, string(journal.Done))
	if err != nil {
		return nil, err
	}
	all := []string{live.SecretVersion}
	for _, run := range slices.Backward(runs) {
		p, err := planOf(run.Payload)
		if err != nil {
			return nil, err
		}
		all = append(all, p.To.SecretVersion)
	}
	return slices.DeleteFunc(all, func(version string) bool { return version == "" }), nil
}
