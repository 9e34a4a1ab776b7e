"""Asherah behind JSON lines: the first line of standard input is its configuration, each further one a call.

Calls are {"op": "encrypt", "partition", "payload" (base64)} and {"op": "decrypt", "partition", "record" (JSON text)}.
Each is answered with one line: {"ok": ...} or {"error": ...}. Usage: asherah_peer.py go|rust
"""

import base64
import json
import sys


def open_go(config):
    from asherah import Asherah, AsherahConfig

    keys = {"kms": "static"}
    if "regionMap" in config:
        keys = {"kms": "aws", "region_map": config["regionMap"], "preferred_region": config["preferredRegion"]}
    if "connectionString" in config:
        store = {"metastore": "rdbms", "connection_string": config["connectionString"]}
    else:
        store = {
            "metastore": "dynamodb",
            "dynamo_db_endpoint": config["dynamoDbEndpoint"],
            "dynamo_db_region": config["region"],
            "dynamo_db_table_name": config["tableName"],
            "enable_region_suffix": config["regionSuffix"],
        }
    peer = Asherah()
    peer.setup(AsherahConfig(**keys, **store, service_name=config["service"], product_id=config["product"]))
    return peer.encrypt, peer.decrypt


def open_rust(config):
    import asherah

    options = {
        "ServiceName": config["service"],
        "ProductID": config["product"],
        "EnableSessionCaching": False,
    }
    if "connectionString" in config:
        options.update(Metastore="rdbms", ConnectionString=config["connectionString"])
    else:
        options.update(
            Metastore="dynamodb",
            DynamoDBEndpoint=config["dynamoDbEndpoint"],
            DynamoDBRegion=config["region"],
            DynamoDBTableName=config["tableName"],
            EnableRegionSuffix=config["regionSuffix"],
        )
    if "regionMap" in config:
        # Asherah's guard refuses a process whose region map differs from that of another process. These tests need
        # different maps.
        options.update(ConfigDriftForceRun=True)
        if config["single"]:
            options.update(KMS="aws", KmsKeyId=config["regionMap"][config["preferredRegion"]])
        else:
            options.update(KMS="aws", RegionMap=config["regionMap"], PreferredRegion=config["preferredRegion"])
    else:
        options.update(KMS="static", StaticMasterKeyHex=config["staticMasterKeyHex"])
    asherah.setup(options)

    def encrypt(partition, payload):
        record = asherah.encrypt_bytes(partition, payload)
        return record.decode() if isinstance(record, bytes) else record

    return encrypt, asherah.decrypt_bytes


def main():
    config = json.loads(sys.stdin.readline())
    try:
        encrypt, decrypt = {"go": open_go, "rust": open_rust}[sys.argv[1]](config)
        answer = {"ok": "ready"}
    except Exception as error:
        answer = {"error": repr(error)}
    print(json.dumps(answer), flush=True)
    for line in sys.stdin:
        call = json.loads(line)
        try:
            if call["op"] == "encrypt":
                answer = {"ok": encrypt(call["partition"], base64.b64decode(call["payload"]))}
            else:
                payload = bytes(decrypt(call["partition"], call["record"]))
                answer = {"ok": base64.b64encode(payload).decode()}
        except Exception as error:
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)


main()
