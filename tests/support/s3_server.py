"""A server of S3 for tests, over TLS: moto, which checks each signature by botocore. It forgets all at its end."""

import contextlib
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.authority import Authority
from tests.support.ports import free_port

REGION: Final = "eu-central-1"
BUCKET: Final = "recordings"
_ALLOWED: Final = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}'


class S3Server(NamedTuple):
    """One that runs."""

    url: str
    ca: Path
    key: str
    secret: str
    process: "subprocess.Popen[bytes]"

    def client(self, service: str = "s3", key: str = "", secret: str = "") -> Any:
        """Asks it as somebody else's program does."""
        return boto3.client(
            service, endpoint_url=self.url, region_name=REGION, verify=str(self.ca),
            aws_access_key_id=key or self.key, aws_secret_access_key=secret or self.secret,
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )  # fmt: skip

    def names(self) -> list[str]:
        """Of all objects."""
        return sorted(one["Key"] for one in self.client().list_objects_v2(Bucket=BUCKET).get("Contents", []))

    def body(self, name: str) -> bytes:
        """Of an object."""
        data: bytes = self.client().get_object(Bucket=BUCKET, Key=name)["Body"].read()
        return data

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """It takes connections, and says nothing."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """Run one until the end, with a user whose requests have to be signed, and an empty bucket."""
    authority, port = Authority(folder), free_port()
    chain, key = authority.issue("127.0.0.1")
    argv = ["-m", "moto.server", "-H", "127.0.0.1", "-p", str(port), "-c", chain, "-k", key]
    with (folder / "s3.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, *argv], stdout=log, stderr=log)
    one = S3Server(f"https://127.0.0.1:{port}", authority.path, "anybody", "anything", process)
    try:
        yield _prepared(one)
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait(10)


def _prepared(one: S3Server) -> S3Server:
    until = time.monotonic() + 60
    while True:
        with contextlib.suppress(Exception):
            one.client().create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
            break
        assert one.process.poll() is None, "the server of S3 has ended"
        assert time.monotonic() < until, "the server of S3 does not begin"
        time.sleep(0.2)
    iam = one.client("iam")
    iam.create_user(UserName="node")
    iam.put_user_policy(UserName="node", PolicyName="all", PolicyDocument=_ALLOWED)
    made = iam.create_access_key(UserName="node")["AccessKey"]
    one = one._replace(key=made["AccessKeyId"], secret=made["SecretAccessKey"])
    context = ssl.create_default_context(cafile=str(one.ca))
    where, plain = f"{one.url}/moto-api/reset-auth", {"Content-Type": "text/plain"}
    request = urllib.request.Request(where, b"0", plain, method="POST")
    with urllib.request.urlopen(request, context=context):
        pass
    with contextlib.suppress(ClientError):
        one.client(secret="wrong").list_objects_v2(Bucket=BUCKET)
        raise AssertionError("the server of S3 does not check signatures")
    return one
