"""Reads IAM policies by name from standard input, as JSON, and writes what cloudsplaining finds in each, as JSON."""

import json
import sys

from cloudsplaining.scan.policy_document import PolicyDocument

FINDINGS = {
    "PrivilegeEscalation": "allows_privilege_escalation",
    "DataExfiltration": "allows_data_exfiltration_actions",
    "ResourceExposure": "permissions_management_without_constraints",
    "CredentialsExposure": "credentials_exposure",
    "ServiceWildcard": "service_wildcard",
    "InfrastructureModification": "infrastructure_modification",
}

found = {}
for name, policy in json.load(sys.stdin).items():
    document = PolicyDocument(policy)
    found[name] = {kind: getattr(document, attribute) for kind, attribute in FINDINGS.items()}
json.dump(found, sys.stdout)
