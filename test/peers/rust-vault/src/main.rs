//! Asherah's Rust crate with its Vault KMS, behind JSON lines. The caller can read and write its metastore in memory.
//!
//! Arguments: the address of Vault, the transit key, the service and the product. The token is in VAULT_TOKEN. Each
//! line of standard input is a call. The response to each call is one line, {"ok": ...} or {"error": ...}. The calls
//! are:
//! - {"op": "encrypt", "partition", "payload" (base64)}
//! - {"op": "decrypt", "partition", "record"}
//! - {"op": "load", "id", "created"}
//! - {"op": "store", "id", "row"}

use std::io::{BufRead, Write};
use std::sync::Arc;

use anyhow::{bail, Context, Result};
use asherah::kms_vault_transit::VaultTransitKms;
use asherah::traits::Metastore;
use asherah::types::EnvelopeKeyRecord;
use asherah::{aead::AES256GCM, api::new_session_factory, metastore::InMemoryMetastore, Config};
use base64::{engine::general_purpose::STANDARD, Engine};
use serde_json::{json, Value};

fn text<'a>(call: &'a Value, name: &str) -> Result<&'a str> {
    call[name].as_str().with_context(|| format!("no {name}"))
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, transit_key, service, product] = arguments.as_slice() else {
        bail!("usage: asherah-vault-peer ADDRESS KEY SERVICE PRODUCT");
    };
    let crypto = Arc::new(AES256GCM::new());
    let metastore = Arc::new(InMemoryMetastore::new());
    let kms = Arc::new(VaultTransitKms::new(address.as_str(), transit_key, None)?);
    let config = Config::new(service.as_str(), product.as_str());
    let factory = new_session_factory(config, metastore.clone(), kms, crypto);

    let answer = |call: &Value| -> Result<Value> {
        match text(call, "op")? {
            "encrypt" => {
                let session = factory.get_session(text(call, "partition")?);
                let record = session.encrypt(&STANDARD.decode(text(call, "payload")?)?)?;
                Ok(json!(serde_json::to_string(&record)?))
            }
            "decrypt" => {
                let session = factory.get_session(text(call, "partition")?);
                Ok(json!(STANDARD.encode(session.decrypt(serde_json::from_str(text(call, "record")?)?)?)))
            }
            "load" => {
                let created = call["created"].as_i64().context("no created")?;
                Ok(json!(metastore.load(text(call, "id")?, created)?))
            }
            "store" => {
                let id = text(call, "id")?;
                let mut row: EnvelopeKeyRecord = serde_json::from_value(call["row"].clone())?;
                row.id = id.to_string();
                Ok(json!(metastore.store(id, row.created, &row)?))
            }
            op => bail!("no such op: {op}"),
        }
    };
    for line in std::io::stdin().lock().lines() {
        let call: Value = serde_json::from_str(&line?)?;
        let line = match answer(&call) {
            Ok(ok) => json!({ "ok": ok }),
            Err(error) => json!({ "error": format!("{error:#}") }),
        };
        println!("{line}");
        std::io::stdout().flush()?;
    }
    Ok(())
}
