"""The boto3 client of an S3 service, one per access configuration.

boto3's own retries are off, because creating an upload must not be repeated unnoticed after a lost response.
"""

import logging
from functools import cache
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from agent.model.storage import S3Access

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONNECTIONS = 8
CONNECT_S = 10.0

for _name in ("boto3", "botocore", "urllib3"):  # we log their errors ourselves
    logging.getLogger(_name).addHandler(logging.NullHandler())


@cache
def connect(access: S3Access) -> "S3Client":
    """Return the client for all threads of this process; credentials come from the usual AWS sources."""
    config = Config(
        connect_timeout=min(access.timeout_s, CONNECT_S),
        read_timeout=access.timeout_s,
        retries={"total_max_attempts": 1, "mode": "standard"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        max_pool_connections=CONNECTIONS,
        s3={
            "addressing_style": "path" if access.path_style else "auto",
            "payload_signing_enabled": False,  # the signed Content-MD5 covers it at half the cost
        },
    )
    session = boto3.session.Session()
    region = access.region or session.region_name or ("us-east-1" if access.endpoint_url else None)
    return session.client("s3", endpoint_url=access.endpoint_url or None, region_name=region, config=config)
