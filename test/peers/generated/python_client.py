"""Round trips through a client of openapi-python-client. Prints a report."""

import json
import sys
from typing import TypeVar

from keyfold_client import AuthenticatedClient
from keyfold_client.api.batches import decrypt_batch, encrypt_batch, rewrap_batch
from keyfold_client.api.fields import decrypt_fields, encrypt_fields
from keyfold_client.api.items import decrypt, encrypt, rewrap
from keyfold_client.api.service import health
from keyfold_client.models import (
    DecryptAnswer,
    DecryptBatchAnswer,
    DecryptBatchRequest,
    DecryptDocumentRequest,
    DecryptDocumentTextFieldsRequest,
    DecryptRequest,
    DocumentAnswer,
    DocumentTextAnswer,
    EncryptAnswer,
    EncryptBatchAnswer,
    EncryptBatchRequest,
    EncryptDocumentFieldsRequest,
    EncryptDocumentTextFieldsRequest,
    EncryptRequest,
    Health,
    ItemFailure,
    Problem,
    RewrapAnswer,
    RewrapBatchAnswer,
    RewrapBatchRequest,
    RewrapRequest,
)
from keyfold_client.types import Response, Unset

T = TypeVar("T")
client = AuthenticatedClient(base_url=sys.argv[1], token="a JWT, which the local API does not read")
partition = "tenant-1"
plaintext = "aGVsbG8="
document = {"id": 7, "card": "4111"}


def data_of(answer: object, expected: type[T]) -> T:
    """The answer, which must be of the expected type and no problem."""
    assert isinstance(answer, expected), answer
    return answer


def code_of(error: Problem | ItemFailure) -> str:
    code = error.error.code if isinstance(error, ItemFailure) else error.code
    assert not isinstance(code, Unset), error
    return code.value


def failure_of(response: Response[T]) -> list[object]:
    return [response.status_code.value, code_of(data_of(response.parsed, Problem))]


def encrypted(request: EncryptRequest) -> EncryptAnswer:
    return data_of(encrypt.sync(partition, client=client, body=request), EncryptAnswer)


record = encrypted(EncryptRequest(plaintext)).record
compact = encrypted(EncryptRequest(plaintext, format_="compact")).record
decrypted = data_of(decrypt.sync(partition, client=client, body=DecryptRequest(record)), DecryptAnswer)
rewrapped = data_of(rewrap.sync(partition, client=client, body=RewrapRequest(record)), RewrapAnswer)
batch = data_of(
    encrypt_batch.sync(
        partition, client=client, body=EncryptBatchRequest([EncryptRequest(plaintext), EncryptRequest("!")])
    ),
    EncryptBatchAnswer,
)
records = [result.record for result in batch.results if isinstance(result, EncryptAnswer)]
opened = data_of(
    decrypt_batch.sync(
        partition, client=client, body=DecryptBatchRequest([DecryptRequest(record) for record in records])
    ),
    DecryptBatchAnswer,
)
rewrapped_batch = data_of(
    rewrap_batch.sync(partition, client=client, body=RewrapBatchRequest([RewrapRequest(record)])), RewrapBatchAnswer
)
sealed = data_of(
    encrypt_fields.sync(partition, client=client, body=EncryptDocumentFieldsRequest(document, ["$.card"])),
    DocumentAnswer,
)
clear = data_of(
    decrypt_fields.sync(partition, client=client, body=DecryptDocumentRequest(sealed.document, all_=True)),
    DocumentAnswer,
)
sealed_text = data_of(
    encrypt_fields.sync(
        partition,
        client=client,
        body=EncryptDocumentTextFieldsRequest(json.dumps(document, separators=(",", ":")), ["$.card"]),
    ),
    DocumentTextAnswer,
)
clear_text = data_of(
    decrypt_fields.sync(
        partition, client=client, body=DecryptDocumentTextFieldsRequest(sealed_text.document_text, ["$.card"])
    ),
    DocumentTextAnswer,
)
state = data_of(health.sync(client=client), Health)
failures = [
    failure_of(encrypt.sync_detailed(partition, client=client, body=EncryptRequest("!"))),
    failure_of(decrypt.sync_detailed("tenant-2", client=client, body=DecryptRequest(record))),
    failure_of(
        encrypt_fields.sync_detailed(
            partition, client=client, body=EncryptDocumentFieldsRequest(document, ["$.none"])
        )
    ),
    # The types do not allow the request body of another operation.
    failure_of(encrypt.sync_detailed(partition, client=client, body=DecryptRequest(record))),  # type: ignore[arg-type]
]

print(
    json.dumps(
        {
            "decrypted": decrypted.plaintext,
            "compact": isinstance(compact, str) and compact.startswith("kf1."),
            "rewrapped": rewrapped.rewrapped,
            "batch": [code_of(result) if isinstance(result, ItemFailure) else "record" for result in batch.results],
            "opened": [
                code_of(result) if isinstance(result, ItemFailure) else result.plaintext for result in opened.results
            ],
            "rewrappedBatch": [
                code_of(result) if isinstance(result, ItemFailure) else result.rewrapped
                for result in rewrapped_batch.results
            ],
            "clear": clear.document,
            "clearText": clear_text.document_text,
            "failures": failures,
            "metastore": state.metastore.state.value,
        }
    )
)
