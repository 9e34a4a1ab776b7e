"""Holds a running API against its OpenAPI document, in rounds: one line of JSON in, one out.

In:  {"requests": [[operationId, partition, body], ...], "generated": 3}: requests to make as they are, and how many to make up
     for each operation, the same each time.
Out: {"failures": [...], "codes": [...]}: where an answer is not as the document says, and the codes of all that failed.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.specs.openapi import checks

CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]

_, document, url = sys.argv
schema = schemathesis.openapi.from_path(document)
schema.config.update(base_url=url)
operations = [result.ok() for result in schema.get_all_operations()]


def made_up(operation, count):
    """Requests of an operation that the document allows."""
    if count == 0:
        return []
    cases = []

    @seed(1)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def gather(case):
        cases.append(case)

    gather()
    return cases


def as_given(operation, requests):
    """Requests of an operation that the caller has."""
    name = operation.definition.raw["operationId"]
    return [
        operation.Case(path_parameters={"partition": partition}, body=body, media_type="application/json")
        for asked, partition, body in requests
        if asked == name
    ]


def send(case):
    """What is wrong with the answer to a request, and the codes in it."""
    failures = []
    response = case.call()
    try:
        case.validate_response(response, checks=CHECKS)
    except BaseExceptionGroup as group:
        failures += [str(failure) for failure in group.exceptions]
    body = response.json()
    codes = [body["code"]] if response.status_code >= 400 else []
    codes += [result["error"]["code"] for result in body.get("results", []) if "error" in result]
    after = body.get("retryAfterSeconds")
    if [str(after)] != response.headers.get("retry-after", [str(None)]):
        failures.append(f"{case.operation.label}: Retry-After is not {after}")
    return failures, codes


for line in sys.stdin:
    asked = json.loads(line)
    cases = [
        case
        for operation in operations
        for case in as_given(operation, asked["requests"]) + made_up(operation, asked["generated"])
    ]
    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(send, cases))
    report = {
        "failures": [failure for failures, _ in outcomes for failure in failures],
        "codes": sorted({code for _, codes in outcomes for code in codes}),
    }
    print(json.dumps(report), flush=True)
