//! `cargo xtask conformance`: the conformance suite over every store, Garage among them, which takes
//! too long to build for what a change has to pass.

use std::error::Error;

use whimbrel_testbed::{install_garage, install_hadoop, install_s3mock, install_versitygw};

use crate::process::{cargo, run};

/// Installs the servers and runs the suite over each, saying what each name and each check came to.
pub fn conformance() -> Result<(), Box<dyn Error>> {
    install_hadoop()?;
    install_versitygw()?;
    install_s3mock()?;
    install_garage()?;
    let mut test = cargo();
    test.args(["test", "--package", "whimbrel-store", "--features", "conformance"]);
    test.args(["--no-fail-fast", "--test", "conformance_*"]);
    run(test.args(["--", "--include-ignored", "--nocapture", "--test-threads", "1"]))
}
