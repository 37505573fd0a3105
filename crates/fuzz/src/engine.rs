//! One target under libFuzzer: which one stands in `WHIMBREL_FUZZ_TARGET`. Started by
//! `cargo xtask fuzz`.

#![no_main]

use std::sync::LazyLock;

use whimbrel_fuzz::{Target, VARIABLE, target};

static CHOSEN: LazyLock<Option<&Target>> = LazyLock::new(|| target(&std::env::var(VARIABLE).ok()?));

libfuzzer_sys::fuzz_target!(
    init: assert!(CHOSEN.is_some(), "{VARIABLE} names no target"),
    |bytes: &[u8]| {
        if let Some(target) = CHOSEN.filter(|target| bytes.len() <= target.bytes_max) {
            target.run(bytes);
        }
    }
);
