//! Times Asherah's Rust crate without a binding. It uses the same protocol as asherah_worker.py.

use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{ensure, Context, Result};
use asherah::{aead::AES256GCM, api::new_session_factory, kms::StaticKMS, metastore::InMemoryMetastore, Config};
use base64::{engine::general_purpose::STANDARD, Engine};
use serde_json::{json, Value};

const MASTER_KEY: &[u8] = b"thisIsAStaticMasterKeyForTesting";

/// The CPU time of all the process's threads, in milliseconds.
fn cpu_ms() -> f64 {
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
    let ms = |time: libc::timeval| time.tv_sec as f64 * 1e3 + time.tv_usec as f64 / 1e3;
    ms(usage.ru_utime) + ms(usage.ru_stime)
}

fn main() -> Result<()> {
    let crypto = Arc::new(AES256GCM::new());
    let metastore = Arc::new(InMemoryMetastore::new());
    let kms = Arc::new(StaticKMS::new(crypto.clone(), MASTER_KEY.to_vec())?);
    let factory = new_session_factory(Config::new("bench", "keyfold"), metastore, kms, crypto);
    let session = factory.get_session("partition");
    let encrypt = |payload: &[u8]| -> Result<String> { Ok(serde_json::to_string(&session.encrypt(payload)?)?) };
    let decrypt = |record: &str| -> Result<Vec<u8>> { session.decrypt(serde_json::from_str(record)?) };

    let mut payload = Vec::new();
    let mut record = String::new();
    for line in std::io::stdin().lock().lines() {
        let order: Value = serde_json::from_str(&line?)?;
        let answer = if let Some(text) = order["payload"].as_str() {
            payload = STANDARD.decode(text)?;
            record = encrypt(&payload)?;
            ensure!(decrypt(&record)? == payload, "what was sealed does not come back");
            json!({})
        } else {
            let runs = order["runs"].as_u64().context("no number of runs")?;
            let seals = order["operation"] == "encrypt";
            let (began, cpu) = (Instant::now(), cpu_ms());
            for _ in 0..runs {
                if seals {
                    std::hint::black_box(encrypt(&payload)?);
                } else {
                    std::hint::black_box(decrypt(&record)?);
                }
            }
            json!({ "wallMs": began.elapsed().as_secs_f64() * 1e3, "cpuMs": cpu_ms() - cpu })
        };
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}
