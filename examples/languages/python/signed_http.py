"""Encrypts and decrypts over HTTP, with requests that are signed with AWS Signature Version 4."""

import json
import os
from base64 import b64decode, b64encode

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.httpsession import URLLib3Session

aws, http = boto3.Session(), URLLib3Session()


def call(operation, body):
    url = f"{os.environ['KEYFOLD_URL']}/v1/partitions/tenant-1/{operation}"
    request = AWSRequest("POST", url, {"content-type": "application/json"}, json.dumps(body))
    SigV4Auth(aws.get_credentials(), "execute-api", aws.region_name).add_auth(request)
    answer = http.send(request.prepare())
    if answer.status_code != 200:
        raise RuntimeError(answer.text)
    return json.loads(answer.content)


sealed = call("encrypt", {"plaintext": b64encode(b"hello").decode()})
opened = call("decrypt", {"record": sealed["record"]})
print(b64decode(opened["plaintext"]).decode())
