"""Times Asherah in this process. Replies to each line of standard input with one line.

{"payload"} (base64) sets the payload and checks that it decrypts to the same bytes.
{"operation": "encrypt"|"decrypt", "runs"} runs the operation that many times, to or from JSON text.
Its reply is {"wallMs", "cpuMs"}. Usage: asherah_worker.py go|rust
"""

import base64
import gc
import json
import sys
import time

PARTITION = "partition"


def open_go():
    from asherah import Asherah, AsherahConfig

    peer = Asherah()
    peer.setup(
        AsherahConfig(
            kms="static",
            metastore="memory",
            service_name="bench",
            product_id="keyfold",
            enable_session_caching=True,
        )
    )
    return lambda payload: peer.encrypt(PARTITION, payload), lambda record: peer.decrypt(PARTITION, record)


def open_rust():
    import asherah

    factory = asherah.SessionFactory(
        {
            "ServiceName": "bench",
            "ProductID": "keyfold",
            "Metastore": "memory",
            "KMS": "static",
            "StaticMasterKeyHex": b"thisIsAStaticMasterKeyForTesting".hex(),
            "EnableSessionCaching": True,
        }
    )
    session = factory.get_session(PARTITION)
    return session.encrypt_bytes, session.decrypt_bytes


def main():
    encrypt, decrypt = {"go": open_go, "rust": open_rust}[sys.argv[1]]()
    payload = record = None
    for line in sys.stdin:
        order = json.loads(line)
        if "payload" in order:
            payload = base64.b64decode(order["payload"])
            record = encrypt(payload)
            assert bytes(decrypt(record)) == payload
            answer = {}
        else:
            work, given = (encrypt, payload) if order["operation"] == "encrypt" else (decrypt, record)
            turns = range(order["runs"])
            gc.collect()
            wall, cpu = time.perf_counter_ns(), time.process_time_ns()
            for _ in turns:
                work(given)
            answer = {
                "wallMs": (time.perf_counter_ns() - wall) / 1e6,
                "cpuMs": (time.process_time_ns() - cpu) / 1e6,
            }
        print(json.dumps(answer), flush=True)


main()
