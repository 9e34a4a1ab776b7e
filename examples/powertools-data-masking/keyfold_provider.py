"""A provider for the data masking of Powertools for AWS Lambda, which encrypts with Keyfold's Lambda functions."""

import json
from base64 import b64decode, b64encode

import boto3
from aws_lambda_powertools.utilities.data_masking.provider import BaseProvider


class KeyfoldProvider(BaseProvider):
    """Encrypts and decrypts for one tenant. A text of the encryption context binds the value to its place."""

    def __init__(self, tenant, functions=None, seal="keyfold-seal", open="keyfold-open"):
        super().__init__()
        self.tenant = tenant
        self.functions = functions or boto3.client("lambda")
        self.seal, self.open = seal, open

    def encrypt(self, data, provider_options=None, **encryption_context):
        plaintext = b64encode(self.json_serializer(data).encode()).decode()
        event = {"operation": "encrypt", "plaintext": plaintext, "format": "compact"}
        return self._call(self.seal, event, encryption_context)["record"]

    def decrypt(self, data, provider_options=None, **encryption_context):
        event = {"operation": "decrypt", "record": data}
        plaintext = self._call(self.open, event, encryption_context)["plaintext"]
        return self.json_deserializer(b64decode(plaintext).decode())

    def _call(self, function, event, context):
        event = {**event, "partition": self.tenant, **({"context": context} if context else {})}
        answer = self.functions.invoke(FunctionName=function, Payload=json.dumps(event))
        result = json.load(answer["Payload"])
        if "FunctionError" in answer:
            raise RuntimeError(f"{result['errorType']}: {result['errorMessage']}")
        return result
