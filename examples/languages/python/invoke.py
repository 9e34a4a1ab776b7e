"""Encrypts and decrypts by direct invocation of Lambda functions."""

import json
from base64 import b64decode, b64encode

import boto3

functions = boto3.client("lambda")


def call(function, event):
    answer = functions.invoke(FunctionName=function, Payload=json.dumps(event))
    result = json.load(answer["Payload"])
    if "FunctionError" in answer:
        raise RuntimeError(f"{result['errorType']}: {result['errorMessage']}")
    return result


plaintext = b64encode(b"hello").decode()
sealed = call("keyfold-seal", {"operation": "encrypt", "partition": "tenant-1", "plaintext": plaintext})
opened = call("keyfold-open", {"operation": "decrypt", "partition": "tenant-1", "record": sealed["record"]})
print(b64decode(opened["plaintext"]).decode())
