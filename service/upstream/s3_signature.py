"""Sign requests to an S3-compatible origin with AWS Signature Version 4, by botocore (the extra `s3`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.settings.named_origins import S3Access
from service.upstream.origin_access import Sign

if TYPE_CHECKING:
    import httpx

S3_PATH_CHARACTERS = "/"
"""S3 computes the signature over a path in which all but these and unreserved characters are percent-encoded."""


def s3_signer(access: S3Access) -> Sign:
    """Return a function that signs a GET with these credentials. The other fields of a request are not signed."""
    # Imported here, because botocore is optional.
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import ReadOnlyCredentials

    token = None if access.session_token is None else access.session_token.get_secret_value()
    credentials = ReadOnlyCredentials(access.access_key, access.secret_key.get_secret_value(), token)

    def sign(request: httpx.Request) -> None:
        signed = AWSRequest(method=request.method, url=str(request.url.copy_with(userinfo=b"")))
        S3SigV4Auth(credentials, "s3", access.region).add_auth(signed)
        request.headers.update(dict(signed.headers.items()))

    return sign
