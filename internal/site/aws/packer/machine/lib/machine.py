"""What boot and agent share: the instance's metadata, the aws command, waiting.

Written for Python 3.9, which Amazon Linux 2023 has, and for nothing besides its
standard library and the aws command. Every place and address can be moved by an
environment variable, so that all of it can run away from AWS.
"""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request

RUN = os.environ.get("GODWIT_RUN", "/run/godwit")
HOME = os.environ.get("GODWIT_HOME", "/opt/godwit")
UNITS = os.environ.get("GODWIT_UNITS", "/run/systemd/system")
IMDS = os.environ.get("GODWIT_IMDS", "http://169.254.169.254")
PATIENCE = float(os.environ.get("GODWIT_PATIENCE", "180"))

TOKEN_SECONDS = 300


class Failure(Exception):
    """Trying again does not help."""


class Passing(Failure):
    """It may pass: try again."""


def say(text):
    """One line for the journal. Never a value of a secret."""
    print(text, file=sys.stderr, flush=True)


def retry(work, patience=None, clock=time.monotonic, rest=time.sleep):
    """Do work until it succeeds, fails for good, or patience is over."""
    end = clock() + (PATIENCE if patience is None else patience)
    wait = 1.0
    while True:
        try:
            return work()
        except Passing as problem:
            left = end - clock()
            if left <= 0:
                raise Failure(str(problem)) from None
            pause = min(wait, left)
            say("%s; trying again in %.0f s" % (problem, pause))
            rest(pause)
            wait = min(wait * 2, 15.0)


class Metadata:
    """IMDSv2: every question carries a session token."""

    def __init__(self):
        self.token = None
        # The link-local address is never behind a proxy.
        self.open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    def ask(self, path, method="GET", headers=None):
        request = urllib.request.Request(IMDS + path, method=method, headers=headers or {})
        with self.open(request, timeout=3) as answer:
            return answer.read(1 << 20).decode("utf-8")

    def get(self, path):
        """The text at path, or None where there is nothing."""
        for _ in range(2):
            try:
                if self.token is None:
                    self.token = self.ask("/latest/api/token", "PUT",
                                          {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_SECONDS)})
                return self.ask("/latest/" + path, headers={"X-aws-ec2-metadata-token": self.token})
            except urllib.error.HTTPError as problem:
                if problem.code == 404:
                    return None
                if problem.code != 401:
                    raise Passing("the instance metadata service answers %d for %s" % (problem.code, path)) from None
                self.token = None  # it has run out
            except (OSError, ValueError) as problem:
                raise Passing("the instance metadata service does not answer: %s" % problem) from None
        raise Passing("the instance metadata service refuses its own token")


def aws(region, *words):
    """Run the aws command; its answer as JSON. What it prints is never logged."""
    env = dict(os.environ, AWS_DEFAULT_REGION=region, AWS_REGION=region, AWS_PAGER="", AWS_MAX_ATTEMPTS="3")
    command = ["aws", "--output", "json", "--cli-connect-timeout", "5", "--cli-read-timeout", "20"]
    what = "aws " + " ".join(words[:2])
    try:
        done = subprocess.run(command + list(words), env=env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=90, check=False)
    except subprocess.TimeoutExpired:
        raise Passing(what + " takes longer than 90 s; has this subnet a way to AWS (a NAT, or a VPC endpoint)?") from None
    except OSError as problem:
        raise Failure("%s cannot be run: %s" % (what, problem)) from None
    if done.returncode != 0:
        lines = done.stderr.decode("utf-8", "replace").split("\n")
        told = [line.strip() for line in lines if line.strip()]
        raise Passing("%s: %s" % (what, told[-1] if told else "exit status %d" % done.returncode))
    try:
        return json.loads(done.stdout or b"null")
    except ValueError:
        raise Passing(what + " answers what is no JSON") from None


def run(*command):
    """Run a command of this machine."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise Failure("%s: %s" % (" ".join(command), problem)) from None
    if done.returncode != 0:
        text = done.stdout.decode("utf-8", "replace").strip()
        raise Failure("%s: exit status %d: %s" % (" ".join(command), done.returncode, text[-500:]))


def write(path, text, mode=0o600):
    """A file that is there whole or not at all, and never readable for others meanwhile."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    made = path + ".new"
    if os.path.lexists(made):
        os.unlink(made)
    handle = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        os.fchmod(file.fileno(), mode)
        file.flush()
        os.fsync(file.fileno())
    os.replace(made, path)


def main(work):
    """The exit status of a program that does work."""
    try:
        work()
    except Failure as problem:
        say("FAILED: %s" % problem)
        return 1
    return 0
